//! `status/queries`: what runs now and what it costs, and a way to stop it. Ours; Prometheus has no such endpoint.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri, Path};
use axum::response::Response;
use http::header::USER_AGENT;
use http::request::Parts;
use promql::{QueryInfo, QueryKind, QueryOrigin, RangeParams, RunningQuery};

use crate::error::{ApiError, ErrorKind};
use crate::json::Json;
use crate::respond::success;
use crate::state::Shared;

/// How much of a client's name for itself is kept, in bytes. Chosen: browsers take some hundred.
const USER_AGENT_BYTES_MAX: usize = 256;

/// Extractor: who asks.
pub(crate) struct Asker(pub(crate) QueryOrigin);

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let client = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let user_agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("");
        // Routers within routers see the rest of the path only.
        let original = parts.extensions.get::<OriginalUri>();
        let path = original.map_or(parts.uri.path(), |OriginalUri(uri)| uri.path()).to_owned();
        Ok(Self(QueryOrigin::Http {
            client: client.map(|ConnectInfo(addr)| addr.ip().to_string()).unwrap_or_default(),
            user_agent: user_agent[..user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX)].to_owned(),
            method: parts.method.to_string(),
            path,
        }))
    }
}

impl Asker {
    pub(crate) fn info(self, kind: QueryKind, text: &str, steps: RangeParams) -> QueryInfo {
        let RangeParams { start_ms, end_ms, step_ms } = steps;
        QueryInfo { kind, text: text.to_owned(), start_ms, end_ms, step_ms, origin: self.0 }
    }
}

/// `GET /api/v1/status/queries`
pub(crate) async fn list(Shared(api): Shared) -> Response {
    let engine = api.engine.load();
    let running = engine.guard().list();
    success(|json| {
        json.object(|json| {
            json.key("queries").array(|json| running.iter().for_each(|query| push(json, query)));
            json.key("memoryBytes").int(engine.guard().memory_bytes());
        });
    })
}

fn push(json: &mut Json, query: &RunningQuery) {
    let (info, meter) = (&query.info, &query.meter);
    json.object(|json| {
        json.key("id").int(query.id);
        json.key("kind").text(info.kind.name());
        json.key("query").text(&info.text);
        json.key("start").time(info.start_ms);
        json.key("end").time(info.end_ms);
        json.key("stepSeconds").number(info.step_ms as f64 / 1_000.0);
        match &info.origin {
            QueryOrigin::Http { client, user_agent, .. } => {
                json.key("client").text(client);
                json.key("userAgent").text(user_agent);
            }
            QueryOrigin::Rule { file, group } => json.key("ruleGroup").object(|json| {
                json.key("file").text(file);
                json.key("name").text(group);
            }),
        }
        json.key("state").text(if query.is_canceled { "canceled" } else { query.state.name() });
        json.key("startedAt").time(query.started_at_ms);
        json.key("elapsedSeconds").number(query.elapsed.as_secs_f64());
        json.key("seriesRead").int(meter.n_series());
        json.key("samplesRead").int(meter.n_samples());
        json.key("memoryBytes").int(meter.held_bytes());
        json.key("peakSamples").int(meter.n_samples_peak());
    });
}

/// `DELETE /api/v1/status/queries/<id>`, `POST /api/v1/status/queries/<id>/cancel`
pub(crate) async fn cancel(Shared(api): Shared, Path(id): Path<String>) -> Result<Response, ApiError> {
    let known = id.parse().is_ok_and(|id| api.engine.load().guard().cancel(id));
    if !known {
        return Err(ApiError::new(ErrorKind::NotFound, format!("no query {id} is running")));
    }
    Ok(success(|json| json.object(|_| {})))
}
