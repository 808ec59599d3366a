//! Bytes on the wire to values of the model and back, borrowing wherever possible.
//!
//! In from `scrape` and `api` (bodies they fetched or were sent); out to them as entries of the model, and to
//! `agent` and `api` as text.
//! Remote write, both versions, OTLP and Influx line protocol go the same way, and the files that Alertmanager keeps.
//! Pure: no sockets, no clock, no files. Bytes from outside never panic and never grow memory.

pub mod alertmanager;
pub mod exposition;
pub mod influx;
mod limits;
pub mod otlp;
pub mod remote_write;
