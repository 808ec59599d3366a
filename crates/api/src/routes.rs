//! The table of routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post, put};
use http::{Method, StatusCode};

use crate::error::{ApiError, ErrorKind};
use crate::respond::{redirect, text_response};
use crate::state::Shell;
use crate::v1::{
    admin, backfill, exemplars, import, influx, openapi, otlp, push, queries, query, read, rules, search,
    self_metrics, series, status, targets, try_rules, write,
};
use crate::{agent, consoles, federate, lifecycle, metrics, notices, trace, ui, v2};

/// All routes, below the route prefix.
pub fn router(shell: Arc<Shell>) -> Router {
    let api = v1()
        .method_not_allowed_fallback(lifecycle::no_such_method)
        .fallback(unknown_endpoint)
        .layer(from_fn_with_state(shell.clone(), lifecycle::cors));
    let v2 = v2::routes().route("/write", post(influx::write_v2));
    let v2 = v2.layer(from_fn_with_state(shell.clone(), lifecycle::cors));
    let reload = post(lifecycle::reload).put(lifecycle::reload).fallback(lifecycle::method_not_allowed);
    let quit = post(lifecycle::quit).put(lifecycle::quit).fallback(lifecycle::method_not_allowed);
    let routes = Router::new()
        .route("/write", post(influx::write_v1))
        .route("/ping", get(influx::ping))
        .route("/api", any(unknown_endpoint))
        .route("/api/", any(unknown_endpoint))
        .route("/api/{*path}", any(unknown_endpoint))
        .route("/-/healthy", get(lifecycle::healthy))
        .route("/-/ready", get(lifecycle::ready))
        .route("/-/reload", reload)
        .route("/-/quit", quit)
        .route("/metrics", get(metrics::page))
        .route("/metrics/job/{*rest}", any(push::group))
        .route("/metrics/job@base64/{*rest}", any(push::group))
        .route("/federate", get(federate::page))
        .route("/version", get(status::version))
        .route("/consoles/", get(consoles::console))
        .route("/consoles/{*path}", get(consoles::console))
        .route("/user/", get(consoles::user))
        .route("/user/{*path}", get(consoles::user))
        .method_not_allowed_fallback(lifecycle::no_such_method)
        // After that, so that theirs stay within what is wrapped around them.
        .nest("/api/v1", api)
        .nest("/api/v2", v2)
        .fallback(ui::serve)
        .layer(from_fn_with_state(shell.clone(), agent::refuse))
        .layer(from_fn_with_state(shell.clone(), metrics::count))
        .layer(from_fn(trace::span));
    // Around everything: which methods a path has is said by the router, outside of what is wrapped around its routes.
    Router::new().fallback_service(below_prefix(routes, shell)).layer(from_fn(lifecycle::methods))
}

/// The same below the route prefix, with the way there from the root.
pub(crate) fn below_prefix(routes: Router<Arc<Shell>>, shell: Arc<Shell>) -> Router {
    let prefix = shell.options.route_prefix.trim_end_matches('/').to_owned();
    if prefix.is_empty() {
        return routes.with_state(shell);
    }
    let home = format!("{prefix}/");
    let to_home = home.clone();
    let root = move || async move { redirect(&Method::GET, StatusCode::FOUND, &to_home, None) };
    // A router within another is not asked for the path that is nothing but its prefix and a slash.
    let all = Router::new().nest(&prefix, routes).route(&home, get(ui::home)).route("/", get(root));
    all.fallback(|| async { text_response(StatusCode::NOT_FOUND, "404 page not found\n") }).with_state(shell)
}

fn v1() -> Router<Arc<Shell>> {
    Router::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/query_exemplars", get(exemplars::exemplars).post(exemplars::exemplars))
        .route("/format_query", get(query::format).post(query::format))
        .route("/parse_query", get(query::syntax_tree).post(query::syntax_tree))
        .route("/series", get(series::series).post(series::series))
        .route("/labels", get(series::label_names).post(series::label_names))
        .route("/label/{name}/values", get(series::label_values))
        .route("/search/metric_names", get(search::metric_names).post(search::metric_names))
        .route("/search/label_names", get(search::label_names).post(search::label_names))
        .route("/search/label_values", get(search::label_values).post(search::label_values))
        .route("/targets", get(targets::targets))
        .route("/targets/metadata", get(targets::target_metadata))
        .route("/targets/relabel_steps", get(targets::relabel_steps))
        .route("/scrape_pools", get(targets::scrape_pools))
        .route("/scrape_pools/config", get(targets::pool_config))
        .route("/metadata", get(targets::metadata))
        .route("/rules", get(rules::rules))
        .route("/rules/try", get(try_rules::run).post(try_rules::run))
        .route("/alerts", get(rules::alerts))
        .route("/alertmanagers", get(rules::alertmanagers))
        .route("/write", post(write::write))
        .route("/otlp/v1/metrics", post(otlp::metrics))
        .route("/metrics", get(push::metrics))
        .route("/admin/wipe", put(push::wipe))
        .route("/read", post(read::read))
        .route("/admin/tsdb/delete_series", post(admin::delete_series).put(admin::delete_series))
        .route("/admin/tsdb/clean_tombstones", post(admin::clean_tombstones).put(admin::clean_tombstones))
        .route("/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot))
        .route(
            "/admin/tsdb/import",
            get(import::status).post(import::start).put(import::start).delete(import::cancel),
        )
        .route("/admin/rules/backfill", post(backfill::start).put(backfill::start).delete(backfill::cancel))
        .route("/status/discovery", get(targets::discovery))
        .route("/status/backfill", get(backfill::status))
        .route("/features", get(status::features))
        .route("/status/buildinfo", get(status::build_info))
        .route("/status/runtimeinfo", get(status::runtime_info))
        .route("/status/flags", get(status::flags))
        .route("/status/config", get(status::config))
        .route("/status/tsdb", get(status::tsdb))
        .route("/status/tsdb/blocks", get(status::blocks))
        .route("/status/self_metrics", get(self_metrics::self_metrics))
        .route("/status/walreplay", get(status::wal_replay))
        .route("/notifications", get(notices::list))
        .route("/notifications/live", get(notices::live))
        .route("/status/queries", get(queries::list))
        .route("/status/queries/{id}", delete(queries::cancel))
        .route("/status/queries/{id}/cancel", post(queries::cancel))
        .route("/openapi.yaml", get(openapi::document))
}

async fn unknown_endpoint(State(_): State<Arc<Shell>>, method: Method, uri: http::Uri) -> Response {
    if method == Method::OPTIONS {
        // As any other preflight request: whether there is anything is for the request itself.
        return StatusCode::NO_CONTENT.into_response();
    }
    let mut response =
        ApiError::new(ErrorKind::NotFound, format!("no such endpoint: {}", uri.path())).into_response();
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
