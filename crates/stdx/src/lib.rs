//! What std lacks for us: the seams to the world (clock, files) and small things every engine needs.
//!
//! In from every crate; out to the operating system, and only here.
//! Pure except for [`clock::SystemClock`] and [`dir::DiskDir`], the one reader of the wall clock
//! and the one user of `std::fs`.

pub mod bits;
pub mod calendar;
pub mod clock;
pub mod dir;
pub mod hex;
pub mod metrics;
pub mod varint;

pub use clock::{Clock, SystemClock, TestClock};
pub use dir::{Dir, DiskDir, FaultyDir, File, MemDir, SubDir};
