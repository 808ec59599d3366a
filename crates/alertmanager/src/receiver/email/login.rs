//! Mail by a connection of our own, where a name and a password are configured: lettre's transport logs in by fewer ways, and does
//! not go on without where a server offers none.
//!
//! CRAM-MD5 (RFC 2195): the server sends a challenge; the answer is its HMAC-MD5 under the secret, so that the secret itself never
//! travels. PLAIN (RFC 4616) with an identity: who logs in acts for somebody else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::Message;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
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
    if offers_login(config, &mut connection).await.map_err(fail)? {
        log_in(config, attempt, is_tls, &mut connection).await?;
    }
    let sent = connection.send(message.envelope(), &message.formatted()).await;
    // The message is out or not by now, whatever the server says to our leaving.
    let _ = connection.quit().await;
    let answer = sent.map_err(fail)?;
    traced(attempt, &answer);
    Ok(())
}

/// Whether the server lets anybody log in, by whatever way. One that does not takes mail as it is, as relays inside of a
/// network do.
async fn offers_login(
    config: &Email,
    connection: &mut AsyncSmtpConnection,
) -> Result<bool, lettre::transport::smtp::Error> {
    let known = [Mechanism::Plain, Mechanism::Login];
    if known.iter().any(|way| connection.server_info().supports_auth_mechanism(*way)) {
        return Ok(true);
    }
    // Of other ways lettre keeps nothing.
    let offers = connection.command(format!("EHLO {}\r\n", config.hello)).await?;
    Ok(offers.message().any(|line| line.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("AUTH"))))
}

async fn log_in(
    config: &Email,
    attempt: &Attempt<'_>,
    is_tls: bool,
    connection: &mut AsyncSmtpConnection,
) -> Result<(), Failure> {
    let fail = |err: lettre::transport::smtp::Error| failure(config, &err);
    let refused = match &config.auth_secret {
        Some(secret) => with_secret(config, attempt.secret(secret)?, connection).await?.err(),
        None => None,
    };
    match (&config.auth_password, refused) {
        // Let in with the secret.
        (_, None) if config.auth_secret.is_some() => {}
        (Some(password), _) => {
            with_password(config, attempt.secret(password)?, is_tls, connection).await.map_err(fail)?;
        }
        (None, Some(refused)) => return Err(fail(refused)),
        (None, None) => return Err(Failure::fatal("auth_username is set, but no auth_password")),
    }
    Ok(())
}

/// PLAIN with the identity, where the server speaks it and nobody listens; otherwise as without one.
async fn with_password(
    config: &Email,
    password: String,
    is_tls: bool,
    connection: &mut AsyncSmtpConnection,
) -> Result<Response, lettre::transport::smtp::Error> {
    let ways = mechanisms(config, is_tls);
    let is_plain = ways.contains(&Mechanism::Plain)
        && connection.server_info().supports_auth_mechanism(Mechanism::Plain)
        && !config.auth_identity.is_empty();
    if is_plain {
        let said = format!("{}\0{}\0{password}", config.auth_identity, config.auth_username);
        return connection.command(format!("AUTH PLAIN {}\r\n", STANDARD.encode(said))).await;
    }
    let credentials = Credentials::new(config.auth_username.clone(), password);
    connection.auth(&ways, &credentials).await
}

/// CRAM-MD5. The inner error is the server's refusal.
async fn with_secret(
    config: &Email,
    secret: String,
    connection: &mut AsyncSmtpConnection,
) -> Result<Result<Response, lettre::transport::smtp::Error>, Failure> {
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
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::super::tests::{email, sent};
    use super::*;

    /// A server that offers `ways` to log in and lets everybody in; what it was told until the message began.
    async fn told(keys: &str, ways: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut tcp = BufReader::new(tcp);
            let (mut told, mut in_message) = (String::new(), false);
            tcp.write_all(b"220 hello\r\n").await.unwrap();
            loop {
                let mut line = String::new();
                if tcp.read_line(&mut line).await.unwrap() == 0 {
                    return told;
                }
                let answer = match line.trim_end() {
                    "." => "250 taken\r\n".to_owned(),
                    _ if in_message => continue,
                    "DATA" => "354 go on\r\n".to_owned(),
                    "QUIT" => "221 bye\r\n".to_owned(),
                    hello if hello.starts_with("EHLO") && ways.is_empty() => "250 me\r\n".to_owned(),
                    hello if hello.starts_with("EHLO") => format!("250-me\r\n250 AUTH {ways}\r\n"),
                    auth if auth.starts_with("AUTH") => "235 come in\r\n".to_owned(),
                    _ => "250 fine\r\n".to_owned(),
                };
                in_message = answer.starts_with("354");
                told.push_str(&line);
                tcp.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let keys = format!(
            "{{to: a@x.example, from: h@x.example, smarthost: '127.0.0.1:{port}', require_tls: false, {keys}}}"
        );
        sent(&email(&keys)).await.expect("sent");
        server.await.unwrap()
    }

    #[tokio::test]
    async fn who_acts_for_another_says_so_in_plain() {
        let keys = "auth_username: me, auth_password: secret, auth_identity: boss";
        let said = format!("AUTH PLAIN {}\r\n", STANDARD.encode("boss\0me\0secret"));
        let told_plain = told(keys, "LOGIN PLAIN").await;
        assert!(told_plain.contains(&said), "{told_plain}");
        // LOGIN has no place for it, upstream neither.
        let told_login = told(keys, "LOGIN").await;
        assert!(told_login.contains("AUTH LOGIN\r\n"), "{told_login}");
    }

    #[tokio::test]
    async fn a_server_that_lets_nobody_log_in_is_given_the_mail_and_no_password() {
        let told = told("auth_username: me, auth_password: secret", "").await;
        assert!(told.contains("MAIL FROM") && !told.contains("AUTH"), "{told}");
    }

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
