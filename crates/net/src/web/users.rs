//! Who may come in: HTTP basic authentication against bcrypt hashes.
//!
//! A right password is hashed once and then known by a digest, so that bcrypt's cost is not paid for each request; a wrong one likewise,
//! in a memory of its own, so that guesses push out no user. An unknown user costs as much time as a known one.

use std::collections::BTreeMap;

use base64::Engine as _;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use parking_lot::Mutex;
use rustls::crypto::ring;
use tokio::sync::Semaphore;

use super::config::PasswordHash;

/// Digests kept of each kind. From the exporter toolkit.
const KEPT_MAX: usize = 100;
/// What an unknown user's password is compared with; no password has it, since the digest is of other bytes than the salt's.
const NOBODYS_SALT: [u8; 16] = *b"no user has this";

type Digest = [u8; 32];

/// Checks passwords and remembers the outcome.
pub(crate) struct Doorkeeper {
    /// Makes digests worthless outside this process.
    secret: [u8; 32],
    right: Mutex<Kept>,
    wrong: Mutex<Kept>,
    /// One hash at a time: strangers take one core at most.
    turn: Semaphore,
}

/// The last few digests.
#[derive(Default)]
struct Kept {
    digests: Vec<Digest>,
    next_idx: usize,
}

impl Kept {
    fn has(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }

    fn put(&mut self, digest: Digest) {
        if self.digests.len() < KEPT_MAX {
            self.digests.push(digest);
            return;
        }
        self.digests[self.next_idx] = digest;
        self.next_idx = (self.next_idx + 1) % KEPT_MAX;
    }
}

impl Doorkeeper {
    /// Knows nobody yet; `None` when the system has no randomness.
    pub(crate) fn new() -> Option<Self> {
        let mut secret = [0; 32];
        ring::default_provider().secure_random.fill(&mut secret).ok()?;
        Some(Self { secret, right: Mutex::default(), wrong: Mutex::default(), turn: Semaphore::new(1) })
    }

    /// Whether the request comes from one of `users`.
    pub(crate) async fn admits(&self, users: &BTreeMap<String, PasswordHash>, headers: &HeaderMap) -> bool {
        let Some((name, password)) = credentials(headers) else { return false };
        let known = users.get(&name);
        let digest = self.digest(&name, known.map_or("", PasswordHash::expose), &password);
        if known.is_some() && self.right.lock().has(&digest) {
            return true;
        }
        if self.wrong.lock().has(&digest) {
            return false;
        }
        let Ok(_turn) = self.turn.acquire().await else { return false };
        // While it waited, another request with the same words may have had its turn.
        if known.is_some() && self.right.lock().has(&digest) {
            return true;
        }
        let hash = known.map(|hash| hash.expose().to_owned());
        let cost_unknown = users.values().map(PasswordHash::cost).max().unwrap_or(bcrypt::DEFAULT_COST);
        let compared = tokio::task::spawn_blocking(move || match hash {
            Some(hash) => bcrypt::verify(password, &hash).unwrap_or(false),
            None => {
                let _ = std::hint::black_box(bcrypt::hash_with_salt(password, cost_unknown, NOBODYS_SALT));
                false
            }
        });
        let is_right = compared.await.unwrap_or(false);
        if is_right {
            self.right.lock().put(digest);
        } else {
            self.wrong.lock().put(digest);
        }
        is_right
    }

    fn digest(&self, name: &str, hash: &str, password: &[u8]) -> Digest {
        let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let sha256 = suite.tls13().expect("the suite is one of TLS 1.3").common.hash_provider;
        let mut hasher = sha256.start();
        hasher.update(&self.secret);
        for part in [name.as_bytes(), hash.as_bytes(), password] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
    }
}

/// Name and password of the header, if it is there and of this scheme.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, coded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = base64::engine::general_purpose::STANDARD.decode(coded.trim()).ok()?;
    let colon = memchr::memchr(b':', &plain)?;
    Some((String::from_utf8(plain[..colon].to_vec()).ok()?, plain[colon + 1..].to_vec()))
}
