//! The handshake with a SOCKS proxy, version 5: who we are, and where to.
//!
//! In from [`crate::connect`], a connection to the proxy; out the same connection, which then leads to the target. RFC 1928 and, for
//! user and password, RFC 1929. Names are sent as they are, for `socks5` and `socks5h` alike, as Go does: the proxy looks them up.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::plain_io_error;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;
/// Of the exchange about user and password.
const LOGIN_VERSION: u8 = 1;
const COMMAND_CONNECT: u8 = 1;
const ADDRESS_V4: u8 = 1;
const ADDRESS_NAME: u8 = 3;
const ADDRESS_V6: u8 = 4;

/// Makes `io`, a fresh connection to a proxy, one to `host` and `port`.
///
/// # Errors
/// What the proxy refused, in the words of Go's SOCKS client.
pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    user: Option<(String, String)>,
    host: &str,
    port: u16,
) -> Result<(), String> {
    let asked = question(host, port)?;
    let login = user.map(|(name, password)| login(&name, &password)).transpose()?;
    let methods: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
        None => &[VERSION, 1, NO_AUTHENTICATION],
    };
    send(io, methods).await?;
    let [version, method] = receive(io).await?;
    check_version(version)?;
    match (method, login) {
        (NO_AUTHENTICATION, _) => {}
        (USER_AND_PASSWORD, Some(login)) => {
            send(io, &login).await?;
            let [version, status] = receive(io).await?;
            if version != LOGIN_VERSION {
                return Err("invalid username/password version".to_owned());
            }
            if status != 0 {
                return Err("username/password authentication failed".to_owned());
            }
        }
        (NONE_ACCEPTABLE, _) => return Err("no acceptable authentication methods".to_owned()),
        (other, _) => return Err(format!("unsupported authentication method {other}")),
    }
    send(io, &asked).await?;
    let [version, status, _, kind] = receive(io).await?;
    check_version(version)?;
    if status != 0 {
        return Err(refusal(status));
    }
    // The address that the proxy uses is of no use to us, but stands before the first byte of the target.
    match kind {
        ADDRESS_V4 => drop(receive::<_, 6>(io).await?),
        ADDRESS_V6 => drop(receive::<_, 18>(io).await?),
        ADDRESS_NAME => {
            let [length] = receive(io).await?;
            for _ in 0..usize::from(length) + 2 {
                let [_] = receive(io).await?;
            }
        }
        _ => return Err("unknown address type".to_owned()),
    }
    Ok(())
}

/// `CONNECT` to the target.
fn question(host: &str, port: u16) -> Result<Vec<u8>, String> {
    let mut asked = vec![VERSION, COMMAND_CONNECT, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            asked.push(ADDRESS_V4);
            asked.extend(ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            asked.push(ADDRESS_V6);
            asked.extend(ip.octets());
        }
        Err(_) => {
            asked.push(ADDRESS_NAME);
            put_short(&mut asked, host).ok_or("FQDN too long")?;
        }
    }
    asked.extend(port.to_be_bytes());
    Ok(asked)
}

fn login(name: &str, password: &str) -> Result<Vec<u8>, String> {
    let mut sent = vec![LOGIN_VERSION];
    let is_good =
        !name.is_empty() && put_short(&mut sent, name).is_some() && put_short(&mut sent, password).is_some();
    if is_good { Ok(sent) } else { Err("invalid username/password".to_owned()) }
}

/// A text of up to 255 bytes behind its length.
fn put_short(bytes: &mut Vec<u8>, text: &str) -> Option<()> {
    bytes.push(u8::try_from(text.len()).ok()?);
    bytes.extend_from_slice(text.as_bytes());
    Some(())
}

fn check_version(version: u8) -> Result<(), String> {
    if version == VERSION { Ok(()) } else { Err(format!("unexpected protocol version {version}")) }
}

/// RFC 1928 §6.
fn refusal(status: u8) -> String {
    let known = match status {
        1 => "general SOCKS server failure",
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => return format!("unknown error unknown code: {status}"),
    };
    format!("unknown error {known}")
}

async fn send<S: AsyncWrite + Unpin>(io: &mut S, bytes: &[u8]) -> Result<(), String> {
    io.write_all(bytes).await.map_err(|err| plain_io_error(&err))
}

async fn receive<S: AsyncRead + Unpin, const N: usize>(io: &mut S) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    match io.read_exact(&mut bytes).await {
        Ok(_) => Ok(bytes),
        Err(err) if err.kind() == std::io::ErrorKind::UnexpectedEof => Err("EOF".to_owned()),
        Err(err) => Err(plain_io_error(&err)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// User, host, what the proxy says, what comes of it.
    type Case<'a> = (Option<(&'a str, &'a str)>, &'a str, &'a [u8], &'a str);

    /// What is sent to a proxy that answers with `told` whatever it hears, and what comes of it.
    async fn handshake(user: Option<(&str, &str)>, host: &str, told: &[u8]) -> (Vec<u8>, Result<(), String>) {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 10);
        theirs.write_all(told).await.unwrap();
        theirs.shutdown().await.unwrap();
        let user = user.map(|(name, password)| (name.to_owned(), password.to_owned()));
        let result = connect(&mut ours, user, host, 443).await;
        drop(ours);
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).await.unwrap();
        (heard, result)
    }

    #[tokio::test]
    async fn names_and_addresses_are_asked_for_as_the_standard_says() {
        let answer = [5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 0, 80];
        for (host, expected) in [
            ("a.b", &[5, 1, 0, 5, 1, 0, 3, 3, b'a', b'.', b'b', 1, 187][..]),
            ("1.2.3.4", &[5, 1, 0, 5, 1, 0, 1, 1, 2, 3, 4, 1, 187]),
            ("::1", &[5, 1, 0, 5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 187]),
        ] {
            assert_eq!(handshake(None, host, &answer).await, (expected.to_vec(), Ok(())), "{host}");
        }
        let with_user = [5, 2, 1, 0, 5, 0, 0, 3, 2, b'h', b'i', 0, 80];
        let expected =
            [&[5, 2, 0, 2, 1, 1, b'u', 2, b'p', b'w'][..], &[5, 1, 0, 1, 1, 2, 3, 4, 1, 187]].concat();
        assert_eq!(handshake(Some(("u", "pw")), "1.2.3.4", &with_user).await, (expected, Ok(())));
    }

    #[tokio::test]
    async fn refusals_are_told_in_known_words() {
        let long = "x".repeat(256);
        let cases: [Case<'_>; 9] = [
            (None, "a", &[5, 255], "no acceptable authentication methods"),
            (None, "a", &[5, 2], "unsupported authentication method 2"),
            (None, "a", b"HTTP/1.1 400", "unexpected protocol version 72"),
            (Some(("u", "p")), "a", &[5, 2, 1, 1], "username/password authentication failed"),
            (Some(("u", &long)), "a", &[], "invalid username/password"),
            (None, &long, &[], "FQDN too long"),
            (None, "a", &[5, 0, 5, 4, 0, 1], "unknown error host unreachable"),
            (None, "a", &[5, 0, 5, 99, 0, 1], "unknown error unknown code: 99"),
            (None, "a", &[5, 0, 5, 0, 0, 3, 9, 1], "EOF"),
        ];
        for (user, host, told, expected) in cases {
            assert_eq!(handshake(user, host, told).await.1, Err(expected.to_owned()));
        }
    }
}
