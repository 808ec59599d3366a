//! Why a collector has nothing to say.

use std::path::PathBuf;

/// Why one collector failed; the others go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// This host has no such thing.
    #[error("no data: {0}")]
    NoData(&'static str),
    /// A file of the kernel cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the kernel is not as it should be.
    #[error("{}, line {line}: {what}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What was expected there.
        what: &'static str,
    },
}
