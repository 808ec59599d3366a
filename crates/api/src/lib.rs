//! Answers over HTTP: Prometheus' API, health and metrics pages, the embedded web page.
//!
//! In from sockets through [`router`]; out to `promql`, the store and the services' views. Remote write and OTLP come in here, too.
//! The only place that knows result JSON. Async at the edge: whatever reads the store runs on blocking threads.
//! Semantics and wording from Prometheus 3; differences are listed in docs/differences.md.

mod agent;
mod consoles;
mod error;
mod federate;
mod influx;
mod influx_udp;
mod json;
mod lifecycle;
mod limits;
mod manager;
mod metrics;
mod notices;
mod otlp;
mod params;
mod push;
mod respond;
mod routes;
mod state;
mod trace;
mod ui;
mod v1;
mod v2;
mod write;

pub use consoles::OwnPages;
pub use error::{ApiError, ErrorKind};
pub use influx::{InfluxOptions, InfluxReceiver};
pub use influx_udp::serve_influx_udp;
pub use json::Json;
pub use limits::RequestLimits;
pub use manager::manager_router;
pub use notices::Notices;
pub use otlp::{Delta as OtlpDelta, OtlpConfig, OtlpOptions, OtlpReceiver, Strategy as OtlpStrategy};
pub use params::{FORM_BYTES_MAX, POINTS_MAX, Params, parse_duration, parse_time};
pub use push::{PushOptions, PushReceiver};
pub use routes::router;
pub use state::{
    BuildInfo, Command, ConfigStatus, ExemplarsOf, FeatureTable, MetricsPage, Options, Role, Services, Shell,
};
pub use v1::import::{ImportKind, ImportState, ImportStatus, Importer};
pub use v1::otlp_grpc::grpc_router;
pub use v1::read::ReadLimits;
pub use write::{Receiver, ReceiverOptions, WriteMessage};
