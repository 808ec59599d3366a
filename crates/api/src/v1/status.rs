//! `status/…`: what this server is and how it is set.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::error::ApiError;
use crate::json::Json;
use crate::params::Params;
use crate::respond::success;
use crate::state::{BuildInfo, Manager, Shared, Shell};

/// `GET /api/v1/status/buildinfo`
pub(crate) async fn build_info(State(shell): State<Arc<Shell>>, _: Manager) -> Response {
    success(|json| put_build(json, &shell.options.build))
}

/// `GET /version`: the same, bare, and plain text by its header, as there.
pub(crate) async fn version(State(shell): State<Arc<Shell>>) -> Response {
    let mut json = Json::new();
    put_build(&mut json, &shell.options.build);
    (StatusCode::OK, [(CONTENT_TYPE, "text/plain; charset=utf-8")], json.finish() + "\n").into_response()
}

fn put_build(json: &mut Json, build: &BuildInfo) {
    json.object(|json| {
        json.key("version").text(build.version);
        json.key("revision").text(build.revision);
        json.key("branch").text(build.branch);
        json.key("buildUser").text(build.build_user);
        json.key("buildDate").text(build.build_date);
        json.key("goVersion").text(build.compiler);
    });
}

/// `GET /api/v1/status/runtimeinfo`. Keys about Go's runtime stay, since clients read them; threads stand for goroutines.
pub(crate) async fn runtime_info(State(shell): State<Arc<Shell>>, _: Manager) -> Response {
    let options = &shell.options;
    let config = shell.config.load();
    let n_threads = tokio::runtime::Handle::current().metrics().num_workers();
    let n_cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    success(|json| {
        json.object(|json| {
            json.key("startTime").time(options.started_at_ms);
            json.key("CWD").text(&options.working_dir);
            json.key("hostname").text(&options.hostname);
            json.key("serverTime").time(shell.clock.now_ms());
            json.key("reloadConfigSuccess").bool(config.reload_success);
            json.key("lastConfigTime").time(config.loaded_at_ms / 1_000 * 1_000);
            json.key("corruptionCount").int(0);
            json.key("goroutineCount").int(n_threads as i64);
            json.key("GOMAXPROCS").int(n_cpus as i64);
            json.key("GOMEMLIMIT").int(i64::MAX);
            json.key("GOGC").text("");
            json.key("GODEBUG").text("");
            json.key("storageRetention").text(&config.retention);
        });
    })
}

/// `GET /api/v1/status/flags`
pub(crate) async fn flags(State(shell): State<Arc<Shell>>, _: Manager) -> Response {
    success(|json| {
        json.object(|json| {
            for (name, value) in &shell.options.flags {
                json.data_key(name).text(value);
            }
        });
    })
}

/// `GET /api/v1/features`
pub(crate) async fn features(State(shell): State<Arc<Shell>>, _: Manager) -> Response {
    success(|json| {
        json.object(|json| {
            for (category, features) in &shell.options.features {
                json.key(category).object(|json| {
                    for (name, is_on) in features {
                        json.key(name).bool(*is_on);
                    }
                });
            }
        });
    })
}

/// `GET /api/v1/status/config`
pub(crate) async fn config(State(shell): State<Arc<Shell>>, _: Manager) -> Response {
    let config = shell.config.load();
    success(|json| json.object(|json| json.key("yaml").text(&config.yaml)))
}

/// Entries of each list of `status/tsdb` when `limit` is not given, and the most there can be. From Prometheus.
const TSDB_ENTRIES: usize = 10;
const TSDB_ENTRIES_MAX: usize = 10_000;

/// `GET /api/v1/status/tsdb`
pub(crate) async fn tsdb(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let limit = match params.get("limit") {
        "" => TSDB_ENTRIES,
        text => text
            .parse()
            .ok()
            .filter(|limit| *limit >= 1)
            .ok_or_else(|| ApiError::bad_data("limit must be a positive number"))?,
    };
    if limit > TSDB_ENTRIES_MAX {
        return Err(ApiError::bad_data(format!("limit must not exceed {TSDB_ENTRIES_MAX}")));
    }
    let head_stats = api.head_stats.clone();
    let stats = super::aside(move || head_stats(limit)).await?;
    Ok(success(|json| {
        json.object(|json| {
            json.key("headStats").object(|json| {
                json.key("numSeries").int(stats.n_series);
                json.key("numLabelPairs").int(stats.n_label_pairs);
                json.key("chunkCount").int(stats.n_chunks);
                json.key("minTime").int(stats.min_time_ms);
                json.key("maxTime").int(stats.max_time_ms);
            });
            push_counts(json.key("seriesCountByMetricName"), &stats.series_by_metric_name);
            push_counts(json.key("labelValueCountByLabelName"), &stats.values_by_label_name);
            push_counts(json.key("memoryInBytesByLabelName"), &stats.memory_by_label_name);
            push_counts(json.key("seriesCountByLabelValuePair"), &stats.series_by_label_pair);
        });
    }))
}

/// `GET /api/v1/status/tsdb/blocks`
pub(crate) async fn blocks(Shared(api): Shared) -> Result<Response, ApiError> {
    let block_metas = api.block_metas.clone();
    let metas = super::aside(move || block_metas()).await?;
    Ok(success(|json| {
        json.object(|json| {
            json.key("blocks").array(|json| metas.iter().for_each(|meta| json.raw(meta.trim())));
        });
    }))
}

fn push_counts(json: &mut Json, counts: &[tsdb::NamedCount]) {
    json.array(|json| {
        for count in counts {
            json.object(|json| {
                json.key("name").text(&count.name);
                json.key("value").int(count.value);
            });
        }
    });
}

/// `GET /api/v1/status/walreplay`. Answered before the server is ready.
pub(crate) async fn wal_replay() -> Response {
    success(|json| {
        json.object(|json| {
            json.key("min").int(0);
            json.key("max").int(0);
            json.key("current").int(0);
        });
    })
}
