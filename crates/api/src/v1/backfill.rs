//! `admin/rules/backfill` and `status/backfill`: recording rules over stored history, while the server serves. Ours; Prometheus has no such
//! endpoint. It is begun and cancelled with `--web.enable-admin-api` only; how far it is, everybody may see.

use std::sync::Arc;

use axum::response::Response;
use rules::{BackfillRequest, BackfillStatus, Backfills};

use super::aside;
use crate::error::{ApiError, ErrorKind};
use crate::json::Json;
use crate::params::Params;
use crate::respond::success;
use crate::state::{Services, Shared};

/// `POST|PUT /api/v1/admin/rules/backfill`
pub(crate) async fn start(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let backfills = enabled(&api)?;
    if params.get("start").is_empty() {
        return Err(ApiError::parameter("start", "say from when on: RFC 3339 or Unix seconds"));
    }
    let names = |name: &str| params.all(name).map(str::to_owned).collect();
    let request = BackfillRequest {
        start_ms: params.time("start")?,
        end_ms: params.time_or("end", api.clock.now_ms())?,
        file: params.get("file").to_owned(),
        groups: names("group[]"),
        records: names("rule[]"),
        rules: params.all("rules").next().map(str::to_owned),
        interval_ms: params.duration("interval")?,
    };
    if request.interval_ms.is_some_and(|interval_ms| interval_ms <= 0) {
        return Err(ApiError::parameter("interval", "must be above zero"));
    }
    let (prepared, status) = aside({
        let backfills = Arc::clone(&backfills);
        move || backfills.prepare(&request)
    })
    .await?
    .map_err(ApiError::bad_data)?;
    drop(tokio::task::spawn_blocking(move || backfills.run(prepared)));
    Ok(success(|json| push(json, &status)))
}

/// `DELETE /api/v1/admin/rules/backfill`
pub(crate) async fn cancel(Shared(api): Shared) -> Result<Response, ApiError> {
    answer(enabled(&api)?.cancel())
}

/// `GET /api/v1/status/backfill`
pub(crate) async fn status(Shared(api): Shared) -> Result<Response, ApiError> {
    answer(api.backfills.status())
}

fn enabled(api: &Services) -> Result<Arc<Backfills>, ApiError> {
    let admin = api.admin.as_ref().map(|_| Arc::clone(&api.backfills));
    admin.ok_or_else(|| ApiError::new(ErrorKind::Unavailable, "admin APIs disabled"))
}

fn answer(status: Option<BackfillStatus>) -> Result<Response, ApiError> {
    let none = || ApiError::new(ErrorKind::NotFound, "no rule was backfilled since the server started");
    let status = status.ok_or_else(none)?;
    Ok(success(|json| push(json, &status)))
}

fn push(json: &mut Json, status: &BackfillStatus) {
    json.object(|json| {
        json.key("state").text(status.state.name());
        json.key("start").time(status.start_ms);
        json.key("end").time(status.end_ms);
        json.key("startedAt").time(status.started_at_ms);
        json.key("rules").array(|json| {
            for (group, record) in &status.rules {
                json.object(|json| {
                    json.key("group").text(group);
                    json.key("name").text(record);
                });
            }
        });
        json.key("evaluations").int(status.n_steps);
        json.key("done").int(status.n_done);
        json.key("samples").int(status.n_samples);
        json.key("here").int(status.n_here);
        json.key("failed").int(status.n_failed);
        json.key("refused").int(status.n_refused);
        json.key("alertingRulesLeftOut").int(status.n_alerting);
        if let Some(seconds) = status.eta_seconds {
            json.key("etaSeconds").int(seconds);
        }
        if !status.current.is_empty() {
            json.key("current").text(&status.current);
        }
        if let Some(error) = &status.error {
            json.key("error").text(error);
        }
    });
}
