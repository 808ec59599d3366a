//! How many files the server may have open: as many as it can get.
//!
//! Most systems give a program 1,024 and let it take far more (the soft and the hard limit); the low number is for programs that use
//! `select(2)`, which we do not. Every target keeps one connection, every reader of the API another. Go programs do the same.

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::{info, warn};

/// Fewer than these and a fleet of some thousand targets does not fit. Chosen.
const SCARCE: u64 = 8_192;

/// Sets the soft limit to the hard one, and says what it is now.
pub(super) fn allow_most() {
    let before = getrlimit(Resource::Nofile);
    let mut wanted = before;
    wanted.current = before.maximum;
    if let Err(err) = setrlimit(Resource::Nofile, wanted) {
        warn!(error = %err, "cannot raise the limit of open files to the hard limit");
    }
    let now = getrlimit(Resource::Nofile);
    let shown = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let (soft, hard) = (shown(now.current), shown(now.maximum));
    match now.current {
        Some(current) if current < SCARCE => warn!(
            soft,
            hard,
            "few files may be open, and every target takes one: raise LimitNOFILE of the service, or ulimit -Hn"
        ),
        _ => info!(soft, hard, "limit of open files"),
    }
}
