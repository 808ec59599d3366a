//! Observes this host: the metrics of node_exporter, under its names and labels, and those of this process.
//!
//! In from the kernel's files (`/proc`, `/sys`) through [`stdx::Dir`]; out as pages in the text format, to the server's
//! own scrape and to `/metrics`. Must work without the storage engine.
//! Never executes a program, never opens a socket, never hangs on a mount that does not answer.
//! Names, labels, help texts and units: node_exporter 1.5 to 1.9 on Linux.

mod collectors;
mod config;
mod error;
mod host;
mod mounts;
pub mod process;
pub mod procfs;

pub use collectors::Collector;
pub use config::{Config, DeviceFilter, unanchored};
pub use error::CollectError;
pub use host::Host;
