//! `/api/v1`: one file per group of endpoints.

pub(crate) mod query;
pub(crate) mod series;
pub(crate) mod status;

use std::error::Error;
use std::fmt::Write as _;

/// An error with its causes, `a: b: c`: the edge is where chains are printed.
pub(crate) fn chain(err: &dyn Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(err) = source {
        let cause = err.to_string();
        // Some errors print their source themselves.
        if !text.contains(&cause) {
            let _ = write!(text, ": {cause}");
        }
        source = err.source();
    }
    text
}
