//! `admin/tsdb/…`: what an operator does to the store. Off unless `--web.enable-admin-api`.
//!
//! Each waits for the store's own work to end and may take as long as a compaction: they run on blocking threads.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use jiff::Timestamp;

use super::{aside, chain};
use crate::error::{ApiError, ErrorKind};
use crate::params::Params;
use crate::respond::success;
use crate::state::{Services, Shared};

/// Where snapshots go, in the data directory. From Prometheus.
const SNAPSHOTS: &str = "snapshots";

/// `POST|PUT /api/v1/admin/tsdb/delete_series`
pub(crate) async fn delete_series(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let db = enabled(&api)?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let range = params.range()?;
    let sets = params.matcher_sets().map_err(|why| ApiError::parameter("match[]", why))?;
    run("", move || sets.iter().try_for_each(|matchers| db.delete_series(matchers, range).map(drop))).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST|PUT /api/v1/admin/tsdb/clean_tombstones`
pub(crate) async fn clean_tombstones(Shared(api): Shared) -> Result<Response, ApiError> {
    let db = enabled(&api)?;
    run("", move || db.clean_tombstones().map(drop)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST|PUT /api/v1/admin/tsdb/snapshot`
pub(crate) async fn snapshot(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let db = enabled(&api)?;
    let skip_head = match params.get("skip_head") {
        "" => false,
        text => parse_bool(text).ok_or_else(|| {
            let why = format!("unable to parse boolean: strconv.ParseBool: parsing {text:?}: invalid syntax");
            ApiError::parameter("skip_head", why)
        })?,
    };
    let name = snapshot_name(api.clock.now_ms());
    let to: PathBuf = Path::new(SNAPSHOTS).join(&name);
    run("create snapshot: ", move || db.snapshot(&to, !skip_head)).await?;
    Ok(success(|json| json.object(|json| json.key("name").text(&name))))
}

fn enabled(api: &Services) -> Result<Arc<tsdb::Db>, ApiError> {
    api.admin.clone().ok_or_else(|| ApiError::new(ErrorKind::Unavailable, "admin APIs disabled"))
}

async fn run(
    what: &'static str,
    work: impl FnOnce() -> Result<(), tsdb::TsdbError> + Send + 'static,
) -> Result<(), ApiError> {
    let done = aside(work).await?;
    done.map_err(|err| ApiError::new(ErrorKind::Internal, format!("{what}{}", chain(&err))))
}

/// As Go reads one.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// `20261121T021500Z-` and a random number, so that two within a second differ.
fn snapshot_name(now_ms: i64) -> String {
    let now = Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let random = RandomState::new().hash_one(now_ms) >> 1;
    format!("{}-{random:016x}", now.strftime("%Y%m%dT%H%M%SZ"))
}
