//! Maintenance windows: quiet that is planned, once or again and again, with somebody who answers for it.
//!
//! In from API v2, the configuration file, the state file and other managers; out: one silence for each run, made when it
//! begins ([`Window::silence`]), so that whatever reads silences knows of it. Pure; [`crate::dispatch`] asks when it is time.
//! Plan and reasons: docs/adr/0008-maintenance-windows.md.

mod recur;
mod store;
mod window;

pub(crate) use store::{Origin, WINDOWS_MAX, WindowRecord, Windows};
pub(crate) use window::{Run, Spec, Window, WindowError, file_id, held_by};

/// The annotation of a run's silence that has the window's id.
pub(crate) const WINDOW_ID: &str = "hinomi_maintenance_id";
/// The annotation of a run's silence that has the window's name.
pub(crate) const WINDOW_NAME: &str = "hinomi_maintenance";
