//! Digests and signatures that clouds ask for, over ring.
//!
//! In: bytes and keys. Out: bytes or lower-case hex. Keeps nothing.

use ring::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use ring::{digest, hmac};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

pub use stdx::hex::encode as hex;

/// The digest of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

/// The old digest, where a cloud still wants it.
#[must_use]
pub fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

/// HMAC with SHA-256, RFC 2104.
#[must_use]
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes).as_ref().to_vec()
}

/// An RSA signature of `bytes` with the key in `key_pem` (PKCS#1 or PKCS#8, without a passphrase).
///
/// `algorithm` is `RS256`, `RS384`, `RS512` or `PS256`.
///
/// # Errors
/// When the key is none, or not RSA of 2048 to 8192 bits.
pub fn rsa(algorithm: &str, key_pem: &[u8], bytes: &[u8]) -> Result<Vec<u8>, String> {
    let der =
        PrivateKeyDer::from_pem_slice(key_pem).map_err(|err| format!("the private key is not PEM: {err}"))?;
    let pair = match &der {
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return Err("the private key is not an RSA key".to_owned()),
    };
    let pair =
        pair.map_err(|err| format!("the private key is not an RSA key of 2048 bits or more: {err}"))?;
    let encoding: &'static dyn RsaEncoding = match algorithm {
        "RS256" => &RSA_PKCS1_SHA256,
        "RS384" => &RSA_PKCS1_SHA384,
        "RS512" => &RSA_PKCS1_SHA512,
        "PS256" => &RSA_PSS_SHA256,
        _ => return Err(format!("signature algorithm {algorithm:?} is not known")),
    };
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(encoding, &ring::rand::SystemRandom::new(), bytes, &mut signature)
        .map_err(|_| "the private key cannot sign".to_owned())?;
    Ok(signature)
}
