//! Mail by a connection of our own, for CRAM-MD5 (RFC 2195), which lettre's transport does not speak.
//!
//! The server sends a challenge; the answer is its HMAC-MD5 under the secret, so that the secret itself never travels.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::Message;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use md5::{Digest as _, Md5};

use super::{Email, failure, mechanisms, tls_parameters, traced};
use crate::notify::{Attempt, Failure};

/// Bytes that MD5 takes at once.
const BLOCK_BYTES: usize = 64;

/// Sends `message`; a server that does not know CRAM-MD5 is given the password, if there is one.
pub(super) async fn send(config: &Email, attempt: &Attempt<'_>, message: &Message) -> Result<(), Failure> {
    let fail = |err: lettre::transport::smtp::Error| failure(config, &err);
    let hello = ClientId::Domain(config.hello.clone());
    let is_tls = config.is_implicit_tls || config.requires_tls;
    let first = match config.is_implicit_tls {
        true => Some(tls_parameters(config, attempt)?),
        false => None,
    };
    let address = (config.host.as_str(), config.port);
    let connected = AsyncSmtpConnection::connect_tokio1(address, Some(attempt.timeout), &hello, first, None);
    let mut connection = connected.await.map_err(fail)?;
    if is_tls && !config.is_implicit_tls {
        if !connection.can_starttls() {
            return Err(Failure::retryable(format!(
                "{}:{}: the server does not offer STARTTLS",
                config.host, config.port
            )));
        }
        connection.starttls(tls_parameters(config, attempt)?, &hello).await.map_err(fail)?;
    }
    if let Err(refused) = log_in(config, attempt, &mut connection).await? {
        let Some(password) = &config.auth_password else { return Err(fail(refused)) };
        let credentials = Credentials::new(config.auth_username.clone(), attempt.secret(password)?);
        connection.auth(&mechanisms(config, is_tls), &credentials).await.map_err(fail)?;
    }
    let sent = connection.send(message.envelope(), &message.formatted()).await;
    // The message is out or not by now, whatever the server says to our leaving.
    let _ = connection.quit().await;
    let answer = sent.map_err(fail)?;
    traced(attempt, &answer);
    Ok(())
}

/// The inner error is the server's refusal.
async fn log_in(
    config: &Email,
    attempt: &Attempt<'_>,
    connection: &mut AsyncSmtpConnection,
) -> Result<Result<Response, lettre::transport::smtp::Error>, Failure> {
    let Some(source) = &config.auth_secret else { return Err(Failure::fatal("no auth_secret")) };
    let secret = attempt.secret(source)?;
    let asked = match connection.command("AUTH CRAM-MD5\r\n").await {
        Ok(asked) => asked,
        Err(refused) => return Ok(Err(refused)),
    };
    let challenge = asked.first_word().and_then(|word| STANDARD.decode(word).ok());
    let challenge = challenge.ok_or_else(|| Failure::retryable("the server's challenge is not base64"))?;
    let said = answer(&config.auth_username, &secret, &challenge);
    Ok(connection.command(format!("{}\r\n", STANDARD.encode(said))).await)
}

/// Name, space, HMAC-MD5 in hexadecimal.
fn answer(user: &str, secret: &str, challenge: &[u8]) -> String {
    let mut key = [0; BLOCK_BYTES];
    let long;
    let short = match secret.len() {
        n if n <= BLOCK_BYTES => secret.as_bytes(),
        _ => {
            long = Md5::digest(secret.as_bytes());
            &long[..]
        }
    };
    key[..short.len()].copy_from_slice(short);
    let keyed = |pad: u8, text: &[u8]| {
        let mut hash = Md5::new();
        hash.update(key.map(|byte| byte ^ pad));
        hash.update(text);
        hash.finalize()
    };
    let digest = keyed(0x5c, &keyed(0x36, challenge));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{user} {hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_standard() {
        // The example of RFC 2195.
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        assert_eq!(answer("tim", "tanstaaftanstaaf", challenge), "tim b913a602c7eda7a495b4e6e7334d3890");
        // Test case 6 of RFC 2202: a key longer than a block.
        let key: String = "x".repeat(80);
        assert_eq!(answer("u", &key, b"a").len(), 34);
    }
}
