//! Envelopes: only who has the key can write one, or read it.
//!
//! In from and out to HTTP bodies. An envelope is `HMC`, a version byte, 16 bytes of salt, 12 of nonce, then the message,
//! encrypted and authenticated with ChaCha20-Poly1305 (RFC 8439) under a key of its own: HMAC-SHA256 of the shared key
//! over the label and the salt, which is new at each start of a manager. The head is authenticated with it.

use net::auth::sign::hmac_sha256;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

const MAGIC: &[u8; 3] = b"HMC";
/// Raised with every change that an older manager would not understand.
pub(super) const VERSION: u8 = 5;
const SALT_LEN: usize = 16;
const HEAD_LEN: usize = MAGIC.len() + 1 + SALT_LEN + NONCE_LEN;

/// Why an envelope was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    #[error("not a message of a cluster of Hinomi's managers")]
    NoEnvelope,
    #[error(
        "version {0} of the cluster's messages is not spoken here, only {VERSION}: run the same version of hinomi on all managers"
    )]
    Version(u8),
    #[error(
        "sealed with another key or for another cluster: --cluster.key-file and --cluster.label must be the same on all managers"
    )]
    Key,
    #[error("the system gives no randomness")]
    NoRandomness,
}

/// Writes and opens envelopes.
pub(crate) struct Sealer {
    secret: Vec<u8>,
    label: String,
    salt: [u8; SALT_LEN],
    own: LessSafeKey,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("label", &self.label).finish_non_exhaustive()
    }
}

fn key(secret: &[u8], label: &str, salt: &[u8]) -> LessSafeKey {
    let mut context = b"hinomi cluster 1\0".to_vec();
    context.extend_from_slice(label.as_bytes());
    context.push(0);
    context.extend_from_slice(salt);
    let bytes = hmac_sha256(secret, &context);
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &bytes).expect("both are 32 bytes long"))
}

impl Sealer {
    /// With the shared key, which may be empty among processes of one host.
    pub(crate) fn new(secret: &[u8], label: &str) -> Result<Self, SealError> {
        let mut salt = [0; SALT_LEN];
        getrandom::fill(&mut salt).map_err(|_| SealError::NoRandomness)?;
        let own = key(secret, label, &salt);
        Ok(Self { secret: secret.to_vec(), label: label.to_owned(), salt, own })
    }

    /// Puts `message` into an envelope.
    pub(crate) fn seal(&self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let mut head = Vec::with_capacity(HEAD_LEN);
        head.extend_from_slice(MAGIC);
        head.push(VERSION);
        head.extend_from_slice(&self.salt);
        head.extend_from_slice(&nonce);
        let mut body = message.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.own.seal_in_place_append_tag(nonce, Aad::from(&head), &mut body);
        sealed.map_err(|_| SealError::Key)?;
        head.append(&mut body);
        Ok(head)
    }

    /// Takes the message out of an envelope.
    pub(crate) fn open(&self, envelope: &[u8]) -> Result<Vec<u8>, SealError> {
        let rest = envelope.strip_prefix(MAGIC).ok_or(SealError::NoEnvelope)?;
        let version = *rest.first().ok_or(SealError::NoEnvelope)?;
        if version != VERSION {
            return Err(SealError::Version(version));
        }
        let (head, body) = envelope.split_at_checked(HEAD_LEN).ok_or(SealError::NoEnvelope)?;
        let (salt, nonce) = head[MAGIC.len() + 1..].split_at(SALT_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::NoEnvelope)?;
        let mut body = body.to_vec();
        let key = key(&self.secret, &self.label, salt);
        let message = key.open_in_place(nonce, Aad::from(head), &mut body).map_err(|_| SealError::Key)?;
        Ok(message.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_label_open_what_was_sealed() {
        let sealer = |secret: &str, label: &str| Sealer::new(secret.as_bytes(), label).expect("randomness");
        let envelope = sealer("secret", "a").seal(b"hello").expect("sealed");
        assert_eq!(sealer("secret", "a").open(&envelope), Ok(b"hello".to_vec()));
        for (secret, label) in [("other", "a"), ("secret", "b"), ("", "a")] {
            assert_eq!(sealer(secret, label).open(&envelope), Err(SealError::Key), "{secret} {label}");
        }
        assert!(!envelope.windows(5).any(|window| window == b"hello"), "nobody reads it on the way");
        // Any changed byte is noticed.
        for idx in 0..envelope.len() {
            let mut changed = envelope.clone();
            changed[idx] ^= 1;
            assert!(sealer("secret", "a").open(&changed).is_err(), "byte {idx}");
        }
        for cut in 0..envelope.len() {
            assert!(sealer("secret", "a").open(&envelope[..cut]).is_err(), "cut at {cut}");
        }
        let mut newer = envelope;
        newer[3] = VERSION + 1;
        let err = sealer("secret", "a").open(&newer).expect_err("newer");
        assert!(
            err.to_string().starts_with("version 6 of the cluster's messages is not spoken here, only 5")
        );
    }
}
