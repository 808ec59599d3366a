//! Roll-ups: what is kept of samples once they themselves have gone. Layout: docs/formats/rollup.md; reasons: docs/adr/0003-roll-ups.md.
//!
//! `rows` and `serve` are pure: samples to rows, and rows to samples again. `make` writes blocks of rows, `read` answers from them, `state`
//! is the file that says what is committed. Which stretch is rolled up, and when, is decided by the store.

mod make;
mod read;
mod rows;
mod serve;
mod state;

pub(crate) use make::{Stretch, roll_up};
pub(crate) use read::{RolledUpSet, Source};
pub(crate) use serve::fuzz_serve;
pub(crate) use state::State;

/// Folder of all tiers.
pub(crate) const ROLLUPS_DIR: &str = "rollups";
