//! What handlers hold: services that appear when the server is ready, and facts known from the start.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use stdx::Clock;
use stdx::metrics::Registry;
use storage::Queryable;
use tokio::sync::{mpsc, oneshot};

use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::notices::{Notices, STARTING, STOPPING};
use crate::params::{FORM_BYTES_MAX, Params};
use crate::respond::text_response;

/// What a request may ask the whole program to do.
#[derive(Debug)]
pub enum Command {
    /// Read the configuration again; the answer is an error for people.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Stop.
    Quit,
}

/// What the binary knows of itself.
#[derive(Debug, Clone, Default)]
pub struct BuildInfo {
    /// `0.1.0`
    pub version: &'static str,
    /// Commit.
    pub revision: &'static str,
    /// Branch.
    pub branch: &'static str,
    /// Who built it.
    pub build_user: &'static str,
    /// When, `20260604-00:58:54`.
    pub build_date: &'static str,
    /// Compiler; stands where Prometheus names Go's version.
    pub compiler: &'static str,
}

/// The running configuration, as status pages show it.
#[derive(Debug, Clone, Default)]
pub struct ConfigStatus {
    /// The text, secrets masked.
    pub yaml: String,
    /// Of each job its section, secrets masked, also where the section stands in a file of its own.
    pub scrape_configs: BTreeMap<String, String>,
    /// Whether the last attempt to load it went well.
    pub reload_success: bool,
    /// When that was, Unix milliseconds.
    pub loaded_at_ms: i64,
    /// `global.external_labels`, for federation.
    pub external_labels: model::Labels,
    /// How much is kept, in words: `15d or 10GiB`.
    pub retention: String,
}

/// What a server can do, by category and name.
pub type FeatureTable = BTreeMap<&'static str, BTreeMap<&'static str, bool>>;

/// What the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// All of it.
    Server,
    /// It scrapes and sends on; nothing is asked of it.
    Agent,
    /// An Alertmanager and nothing else.
    Manager,
}

/// Settings of the HTTP side.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the program is: its page and its metrics' names follow.
    pub role: Role,
    /// Every flag with its value.
    pub flags: BTreeMap<String, String>,
    /// What this server can do and whether it is on, by category, for `features`.
    pub features: FeatureTable,
    /// What `buildinfo` says.
    pub build: BuildInfo,
    /// `--web.page-title`
    pub page_title: String,
    /// Path before every route, `/` or `/x`.
    pub route_prefix: String,
    /// How this server is reached from outside.
    pub external_url: url::Url,
    /// Port of the first listener, to know our own address among targets.
    pub listen_port: u16,
    /// Whether `/-/reload` may be used.
    pub allow_reload: bool,
    /// Whether `/-/quit` may be used.
    pub allow_quit: bool,
    /// `--web.cors.origin`, anchored; `None` for any origin.
    pub cors_origin: Option<model::Regex>,
    /// Working directory, for `runtimeinfo`.
    pub working_dir: String,
    /// This host, for `runtimeinfo`.
    pub hostname: String,
    /// When the process began, Unix milliseconds.
    pub started_at_ms: i64,
    /// Live streams of notices at once.
    pub notice_subscribers_max: usize,
    /// Most results of one search, 0 for no limit (`--web.search.max-limit`); `None` where searching is off.
    pub search_limit_max: Option<usize>,
    /// Where an operator's own pages are.
    pub own_pages: crate::OwnPages,
}

/// Writes the page of our own metrics in the text format 0.0.4.
pub type MetricsPage = Arc<dyn Fn() -> String + Send + Sync>;

/// Exemplars within a range, by series, which are sorted.
pub type ExemplarsOf = Arc<
    dyn Fn(&[model::Matcher], model::TimeRange) -> Vec<(model::Labels, Vec<model::Exemplar>)> + Send + Sync,
>;

/// Known from the first moment on; the router's state.
pub struct Shell {
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) page: MetricsPage,
    pub(crate) config: Arc<ArcSwap<ConfigStatus>>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) services: OnceLock<Arc<Services>>,
    /// The Alertmanager inside, or the one that is all there is.
    manager: OnceLock<alertmanager::Handle>,
    pub(crate) is_stopping: AtomicBool,
    /// What the start is doing.
    starting: OnceLock<Arc<dyn Fn() -> String + Send + Sync>>,
    pub(crate) metrics: Metrics,
    pub(crate) notices: Arc<Notices>,
}

impl Shell {
    /// A server that is not ready yet: everything but health and metrics answers 503. `page` gives `/metrics`.
    #[must_use]
    pub fn new(
        options: Options,
        clock: Arc<dyn Clock>,
        registry: &Registry,
        page: MetricsPage,
        config: Arc<ArcSwap<ConfigStatus>>,
        commands: mpsc::Sender<Command>,
    ) -> Arc<Self> {
        let metrics = Metrics::register(registry, options.role);
        let notices = Arc::new(Notices::new(clock.clone(), options.notice_subscribers_max, registry));
        notices.raise(STARTING);
        Arc::new(Self {
            options,
            clock,
            page,
            config,
            commands,
            services: OnceLock::new(),
            manager: OnceLock::new(),
            is_stopping: AtomicBool::new(false),
            starting: OnceLock::new(),
            metrics,
            notices,
        })
    }

    /// Has `/-/ready` say what the start is doing, as long as it does. Only the first call counts.
    pub fn set_starting(&self, doing: Arc<dyn Fn() -> String + Send + Sync>) {
        let _ = self.starting.set(doing);
    }

    /// What the start is doing; `None` once it is done, or when nobody says.
    pub(crate) fn starting(&self) -> Option<String> {
        let is_starting = self.services.get().is_none() && !self.is_stopping.load(Ordering::Relaxed);
        self.starting.get().filter(|_| is_starting).map(|doing| doing())
    }

    /// From now on requests are answered. Only the first call counts.
    pub fn set_ready(&self, services: Services) {
        let manager = services.alertmanager.clone();
        let _ = self.services.set(Arc::new(services));
        self.set_manager(manager);
    }

    /// As [`Shell::set_ready`], for a program that is an Alertmanager and nothing else.
    pub fn set_manager(&self, manager: alertmanager::Handle) {
        let _ = self.manager.set(manager);
        self.notices.clear(STARTING);
        self.metrics.ready.set(1.0);
    }

    /// From now on requests are refused with 503.
    pub fn set_stopping(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.notices.raise(STOPPING);
        self.notices.hang_up();
        self.metrics.ready.set(0.0);
    }

    /// What everybody who looks at the page is told.
    #[must_use]
    pub fn notices(&self) -> &Arc<Notices> {
        &self.notices
    }

    /// How this server is reached from outside, without a slash at the end.
    #[must_use]
    pub fn external_url(&self) -> &str {
        self.options.external_url.as_str().trim_end_matches('/')
    }

    /// Port of the first listener.
    #[must_use]
    pub fn listen_port(&self) -> u16 {
        self.options.listen_port
    }

    /// The services, unless the server is still starting or already stopping.
    pub(crate) fn ready(&self) -> Option<&Arc<Services>> {
        self.services.get().filter(|_| !self.is_stopping.load(Ordering::Relaxed))
    }

    /// The Alertmanager, unless the server is still starting or already stopping.
    pub(crate) fn manager(&self) -> Option<&alertmanager::Handle> {
        self.manager.get().filter(|_| !self.is_stopping.load(Ordering::Relaxed))
    }

    /// 503 as Prometheus says it.
    pub(crate) fn unavailable(&self) -> Response {
        let stopping = if self.is_stopping.load(Ordering::Relaxed) { "true" } else { "false" };
        let mut response = text_response(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        response.headers_mut().insert("x-prometheus-stopping", HeaderValue::from_static(stopping));
        response
    }
}

impl std::fmt::Debug for Shell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shell").finish_non_exhaustive()
    }
}

/// What answers need; there once the store is open.
pub struct Services {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The store.
    pub queryable: Arc<dyn Queryable>,
    /// The query engine; swapped when the configuration changes.
    pub engine: Arc<ArcSwap<promql::Engine>>,
    /// Lets as many queries run at once as `--query.max-concurrency` says.
    pub query_gate: net::Gate,
    /// Sizes of the store's head; lists hold as many entries as asked for.
    pub head_stats: Arc<dyn Fn(usize) -> tsdb::Stats + Send + Sync>,
    /// The `meta.json` of each block, oldest first.
    pub block_metas: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// What is scraped.
    pub targets: scrape::View,
    /// What those who push say of their metrics, by family.
    pub pushed_metadata: Arc<dyn Fn() -> BTreeMap<String, model::Metadata> + Send + Sync>,
    /// What is evaluated.
    pub rules: Arc<rules::Manager>,
    /// Rules over stored history.
    pub backfills: Arc<rules::Backfills>,
    /// Where alerts are sent besides the Alertmanager inside.
    pub alertmanager_urls: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The Alertmanager inside.
    pub alertmanager: alertmanager::Handle,
    /// Takes remote write; `None` without `--web.enable-remote-write-receiver`.
    pub receiver: Option<Arc<crate::Receiver>>,
    /// Takes OTLP; `None` without `--web.enable-otlp-receiver`.
    pub otlp: Option<Arc<crate::OtlpReceiver>>,
    /// What remote read may cost.
    pub read_limits: Arc<crate::ReadLimits>,
    /// Takes Influx line protocol; `None` without `--web.enable-influx-receiver`.
    pub influx: Option<Arc<crate::InfluxReceiver>>,
    /// Keeps pushed groups; `None` without `--web.enable-pushgateway`.
    pub push: Option<Arc<crate::PushReceiver>>,
    /// The store's own hands; `None` without `--web.enable-admin-api`.
    pub admin: Option<Arc<tsdb::Db>>,
    /// Imports while serving; `None` without `--web.enable-admin-api`.
    pub importer: Option<Arc<dyn crate::Importer>>,
    /// Exemplars of the series for which all matchers hold.
    pub exemplars: ExemplarsOf,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// Extractor: the services, or 503 while there are none.
pub(crate) struct Shared(pub(crate) Arc<Services>);

impl FromRequestParts<Arc<Shell>> for Shared {
    type Rejection = Response;

    async fn from_request_parts(_: &mut Parts, shell: &Arc<Shell>) -> Result<Self, Response> {
        shell.ready().cloned().map(Self).ok_or_else(|| shell.unavailable())
    }
}

/// Extractor: the Alertmanager, or 503 while there is none.
pub(crate) struct Manager(pub(crate) alertmanager::Handle);

impl FromRequestParts<Arc<Shell>> for Manager {
    type Rejection = Response;

    async fn from_request_parts(_: &mut Parts, shell: &Arc<Shell>) -> Result<Self, Response> {
        shell.manager().cloned().map(Self).ok_or_else(|| shell.unavailable())
    }
}

/// Extractor: parameters of the URL and, for POST and PUT, of the form in the body.
impl FromRequest<Arc<Shell>> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Arc<Shell>) -> Result<Self, ApiError> {
        let query = request.uri().query().unwrap_or("").to_owned();
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or("").trim();
        let is_form = media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        let is_in_parts = media_type.eq_ignore_ascii_case("multipart/form-data");
        if !matches!(*request.method(), Method::POST | Method::PUT) || !(is_form || is_in_parts) {
            return Ok(Self::new(&query, b""));
        }
        let content_type = content_type.unwrap_or("").to_owned();
        let body = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX).await.map_err(|err| {
            ApiError::bad_data(format!("error parsing form values (at most {FORM_BYTES_MAX} bytes): {err}"))
        })?;
        if is_in_parts {
            return Ok(Self::new(&query, b"").with_multipart(&content_type, &body));
        }
        Ok(Self::new(&query, &body))
    }
}
