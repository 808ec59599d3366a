//! Signed statements: JSON Web Tokens with RSA, RFC 7515 and RFC 7518 §3.3.
//!
//! In: header, claims and a key in PEM. Out: three pieces of base64url. Never reads one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;

use super::sign;

/// A name that nobody else gives, as a UUID of version 4.
pub(crate) fn random_id() -> String {
    let mut bytes = [0u8; 16];
    // Without randomness there is no TLS either; the time of the statement still makes it one of its kind.
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = sign::hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// `header.claims.signature`
pub(crate) fn signed(
    algorithm: &str,
    header: &Value,
    claims: &Value,
    key_pem: &[u8],
) -> Result<String, String> {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(header), encode(claims));
    let signature = sign::rsa(algorithm, key_pem, text.as_bytes())?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
