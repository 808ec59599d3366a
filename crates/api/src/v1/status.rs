//! `status/…`: what this server is and how it is set.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::respond::success;
use crate::state::{Shared, Shell};

/// `GET /api/v1/status/buildinfo`
pub(crate) async fn build_info(State(shell): State<Arc<Shell>>, _: Shared) -> Response {
    let build = &shell.options.build;
    success(|json| {
        json.object(|json| {
            json.key("version").text(build.version);
            json.key("revision").text(build.revision);
            json.key("branch").text(build.branch);
            json.key("buildUser").text(build.build_user);
            json.key("buildDate").text(build.build_date);
            json.key("goVersion").text(build.compiler);
        });
    })
}

/// `GET /api/v1/status/runtimeinfo`. Keys about Go's runtime stay, since clients read them; threads stand for goroutines.
pub(crate) async fn runtime_info(State(shell): State<Arc<Shell>>, _: Shared) -> Response {
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
            json.key("storageRetention").text(&options.retention);
        });
    })
}

/// `GET /api/v1/status/flags`
pub(crate) async fn flags(State(shell): State<Arc<Shell>>, _: Shared) -> Response {
    success(|json| {
        json.object(|json| {
            for (name, value) in &shell.options.flags {
                json.data_key(name).text(value);
            }
        });
    })
}

/// `GET /api/v1/status/config`
pub(crate) async fn config(State(shell): State<Arc<Shell>>, _: Shared) -> Response {
    let config = shell.config.load();
    success(|json| json.object(|json| json.key("yaml").text(&config.yaml)))
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
