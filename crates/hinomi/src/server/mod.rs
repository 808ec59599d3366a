//! Runs the server: builds every part from flags and file, starts them in order, stops them in reverse.
//!
//! Order of start: the data directory opens while the API already answers 503; then Alertmanager, rules, scraping.
//! Order of stop: scraping, rules, Alertmanager, API, store; within five seconds, a second signal ends at once.

mod alerting;
mod features;
pub(crate) mod listen;
mod maintenance;
mod open_files;
mod otlp;
pub(crate) mod own;
mod queries;
mod reload;
mod samples;
mod sending;
pub(crate) mod signals;
mod warm;
pub(crate) mod web;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use api::Command;
use arc_swap::ArcSwap;
use spans::Tracer;
use stdx::metrics::Registry;
use stdx::{Clock, DiskDir, SystemClock};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::alerting::Alerting;
use self::own::OwnTargets;
use self::queries::Queries;
use self::reload::ReloadMetrics;
use self::signals::Signals;
use self::web::{build_info, external_url, hostname, route_prefix};
use crate::config::Config;
use crate::flags::{Features, Values};
use crate::import::job::Imports;
use crate::say;

/// Threads that drive sockets and timers. Chosen: they never compute, so that two serve any number of targets.
const WORKER_THREADS: usize = 2;

/// How long parts may take to stop; a second of the five is left for closing the store.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(4);

/// How often the log says how far a start is. Chosen: soon enough for somebody who waits.
const PROGRESS_EVERY: Duration = Duration::from_secs(3);

/// Requests to reload or stop that may wait.
pub(crate) const COMMANDS_MAX: usize = 8;

/// Runs until told to stop.
///
/// # Errors
/// When a flag, the configuration, the data directory or a port cannot be used.
pub(crate) fn run(flags: &Values) -> Result<()> {
    let tracer = crate::log::start(flags.text("log.level"), flags.text("log.format"), "prometheus")?;
    let n_queries = usize::try_from(flags.count("query.max-concurrency")?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        // Queries, and a few threads for ingest, files and maintenance beside them.
        .max_blocking_threads(n_queries + 16)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let ended = runtime.block_on(serve(flags, tracer));
    // Everything that matters has been waited for; a blocking thread that still reads something is not.
    runtime.shutdown_background();
    ended
}

/// Everything that runs, for reloading and stopping.
struct Running {
    config_path: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    engine: Arc<ArcSwap<promql::Engine>>,
    queries: Queries,
    scraping: scrape::Manager,
    own: OwnTargets,
    db: Arc<tsdb::Db>,
    alerting: Alerting,
    remote: remote::Manager,
    reading: Arc<remote::ReadThrough>,
    tracer: Tracer,
    status: Arc<ArcSwap<api::ConfigStatus>>,
    metrics: ReloadMetrics,
    /// What runs now, to go back to when a new configuration fails halfway.
    current: Arc<ArcSwap<Config>>,
}

async fn serve(flags: &Values, tracer: Tracer) -> Result<()> {
    let mut signals = Signals::listen()?;
    let (clock, registry): (Arc<dyn Clock>, _) = (Arc::new(SystemClock::new()), Registry::new());
    tracer.register(&registry);
    let (features, base) = (features(flags)?, Base::new(&registry, &clock));
    let (config_path, config) = configured(flags)?;
    let (web, listeners) =
        (listen::door(flags)?, listen::bind("web.listen-address", flags.list("web.listen-address")).await?);
    let mut others = listen::Others::bind(flags).await?;
    let (commands, mut requests) = mpsc::channel(COMMANDS_MAX);
    let status = Arc::new(ArcSwap::from_pointee(api::ConfigStatus::default()));
    let options = web_options(flags, &listeners, web.as_deref(), &*clock)?;
    let page = own::metrics_page(&registry, "prometheus_build_info");
    let watching = watch(flags, features.auto_reload, config_path.as_deref(), &commands)?;
    let shell = api::Shell::new(options, clock.clone(), &registry, page.clone(), status.clone(), commands);
    let stop_http = CancellationToken::new();
    let http = listen::serve(listeners, &mut others, flags, web, &shell, &registry, &stop_http)?;

    let data_path = flags.data_path();
    let db = tokio::select! {
        opened = open_store(flags, &config, &data_path, &registry, &*clock, &shell) => Arc::new(opened?),
        // Reading the log again may take a while; ending in the middle harms nothing.
        () = signals.next_stop() => bail!("ended by a signal while the data directory was being opened"),
    };
    let maintenance = maintenance::spawn(db.clone(), clock.clone(), data_dir(&data_path)?, shell.notices());
    let imports = imports(&db, &data_path, &clock)?;
    let queries = Queries::open(flags, &data_path, &registry, &clock)?;
    let engine = Arc::new(ArcSwap::from_pointee(queries.engine(flags, &config)?));
    warm::spawn(&db, &engine);
    let reading = sending::read_through(&db, &config, &registry)?;
    let stores = (db.clone(), reading.clone());
    let alerting = Alerting::start(flags, &config, &data_path, shell.external_url(), stores, &base)?;
    let scraping = scraping(&db, &base, features);
    let maintenance = [maintenance, maintenance::spawn_families(db.clone(), scraping.view())];
    // Before anything can be committed.
    let (targets, is_typed) = (scraping.view(), features.scrapes.type_and_unit_labels);
    let remote = sending::start(&db, &data_path, &config, targets, is_typed, (&registry, &clock))?;
    let influx = otlp::influx(flags, &db, &registry, &clock);
    others.receive(influx.as_ref(), &registry, &stop_http);
    let pushed = otlp::pushed(flags, &data_path, &registry, &clock)?;
    let current = Arc::new(ArcSwap::from_pointee(config));
    let ground = Ground { flags, db: &db, registry: &registry, clock: &clock };
    let ways_in = (influx, pushed.clone());
    let reads = (&reading, &engine);
    shell.set_ready(services(&ground, &shell, reads, (&scraping, &alerting), &current, &imports, ways_in)?);
    let running = Running {
        own: own_targets(&clock, page, pushed, &shell),
        db: db.clone(),
        config_path,
        clock,
        engine,
        queries,
        scraping,
        alerting,
        remote,
        reading,
        tracer,
        status,
        metrics: ReloadMetrics::register(&registry, shell.notices()),
        current,
    };
    running.apply(running.current.load_full(), flags)?;
    running.alerting.resume();
    info!("server is ready to receive web requests");
    greet(&shell, &data_path, &running.current.load());

    running.attend(&mut signals, &mut requests, flags, watching).await;
    let beside = Beside { shell, stop_http, http, imports, maintenance, db };
    end(beside.stop(running), &mut signals).await
}

/// What every part stands on.
struct Ground<'a> {
    flags: &'a Values,
    db: &'a Arc<tsdb::Db>,
    registry: &'a Registry,
    clock: &'a Arc<dyn Clock>,
}

/// What answers over HTTP need.
fn services(
    &Ground { flags, db, registry, clock }: &Ground<'_>,
    shell: &Arc<api::Shell>,
    (reading, engine): (&Arc<remote::ReadThrough>, &Arc<ArcSwap<promql::Engine>>),
    (scraping, alerting): (&scrape::Manager, &Alerting),
    current: &Arc<ArcSwap<Config>>,
    imports: &Arc<Imports>,
    (influx, push): (Option<Arc<api::InfluxReceiver>>, Option<Arc<api::PushReceiver>>),
) -> Result<api::Services> {
    Ok(api::Services {
        clock: clock.clone(),
        queryable: reading.clone(),
        engine: engine.clone(),
        query_gate: queries::gate(flags, registry)?,
        head_stats: head_stats(db),
        block_metas: Arc::new({
            let db = db.clone();
            move || db.block_metas()
        }),
        targets: scraping.view(),
        pushed_metadata: pushed_metadata(db),
        rules: alerting.rules.clone(),
        backfills: alerting.backfills.clone(),
        alertmanager_urls: alertmanager_urls(shell, alerting),
        alertmanager: alerting.alertmanager.clone(),
        receiver: receiver(flags, db, registry, clock)?,
        otlp: otlp::receiver(flags, current, db, registry, clock)?,
        read_limits: sending::read_limits(flags, registry)?,
        influx,
        push,
        admin: flags.is_on("web.enable-admin-api").then(|| db.clone()),
        importer: flags.is_on("web.enable-admin-api").then(|| imports.clone() as Arc<dyn api::Importer>),
        exemplars: exemplars(db),
    })
}

fn own_targets(
    clock: &Arc<dyn Clock>,
    page: scrape::local::PageFn,
    pushed: Option<Arc<api::PushReceiver>>,
    shell: &api::Shell,
) -> OwnTargets {
    let pushed = pushed.map(otlp::pushed_page);
    OwnTargets::new(clock.clone(), page, pushed, hostname(), shell.listen_port())
}

/// What stops besides what a reload tells.
struct Beside<H> {
    shell: Arc<api::Shell>,
    stop_http: CancellationToken,
    http: H,
    imports: Arc<Imports>,
    maintenance: [JoinHandle<()>; 2],
    db: Arc<tsdb::Db>,
}

impl<H: Future> Beside<H> {
    async fn stop(self, running: Running) -> Result<Result<(), tsdb::TsdbError>, JoinError> {
        self.shell.set_stopping();
        self.stop_http.cancel();
        let parts = async {
            // As long as there are targets.
            maintenance::keep_families(self.db.clone(), running.scraping.view()).await;
            tokio::join!(
                running.scraping.stop(),
                running.alerting.stop(),
                running.remote.stop(),
                self.imports.stop(),
                self.http
            );
            running.tracer.stop().await;
        };
        wait_for(parts).await;
        self.maintenance.iter().for_each(JoinHandle::abort);
        tokio::task::spawn_blocking(move || self.db.close()).await
    }
}

/// Waits until everything has stopped, or a second signal comes.
async fn end(
    stop: impl Future<Output = Result<Result<(), tsdb::TsdbError>, JoinError>>,
    signals: &mut Signals,
) -> Result<()> {
    tokio::select! {
        closed = stop => closed?.context("cannot close the store")?,
        () = signals.next_stop() => bail!("ended by a second signal before everything had stopped"),
    }
    info!("stopped");
    Ok(())
}

/// Looks after the configuration file, when that is wanted.
fn watch(
    flags: &Values,
    is_feature: bool,
    path: Option<&Path>,
    commands: &mpsc::Sender<Command>,
) -> Result<Option<reload::Watch>> {
    let is_wanted = is_feature || flags.is_on("config.auto-reload");
    is_wanted.then(|| reload::Watch::new(flags, path, commands.clone())).transpose()
}

/// Waits for parts to stop, as long as there is time.
async fn wait_for<T>(parts: impl Future<Output = T>) {
    if tokio::time::timeout(STOP_TIMEOUT, parts).await.is_err() {
        warn!("some parts did not stop in time; what they had acknowledged is stored");
    }
}

impl Running {
    /// Serves until told to stop.
    async fn attend(
        &self,
        signals: &mut Signals,
        requests: &mut mpsc::Receiver<Command>,
        flags: &Values,
        watching: Option<reload::Watch>,
    ) {
        let watching = watching.map(|watch| tokio::spawn(watch.run()));
        self.answer(signals, requests, flags).await;
        watching.iter().for_each(JoinHandle::abort);
        info!("stopping; a second signal ends at once");
    }

    /// Answers requests to reload until one to stop comes.
    async fn answer(&self, signals: &mut Signals, requests: &mut mpsc::Receiver<Command>, flags: &Values) {
        loop {
            let asked = tokio::select! {
                asked = signals.next() => asked.into(),
                Some(command) = requests.recv() => command,
            };
            match asked {
                Command::Reload(reply) => drop(reply.send(self.reload(flags).await)),
                Command::Quit => return,
            }
        }
    }
}

/// What most parts need.
struct Base {
    registry: Registry,
    clock: Arc<dyn Clock>,
    discovery: Arc<discovery::Hub>,
}

impl Base {
    fn new(registry: &Registry, clock: &Arc<dyn Clock>) -> Self {
        let discovery = discovery::Hub::new(discovery::HubOptions {
            clock: clock.clone(),
            dir: Arc::new(DiskDir::anywhere()),
            registry: registry.clone(),
        });
        Self { registry: registry.clone(), clock: clock.clone(), discovery: Arc::new(discovery) }
    }
}

fn scraping(db: &Arc<tsdb::Db>, base: &Base, features: Features) -> scrape::Manager {
    scrape::Manager::new(scrape::ManagerOptions {
        clock: base.clock.clone(),
        store: db.clone(),
        discovery: base.discovery.clone(),
        dir: Arc::new(DiskDir::anywhere()),
        registry: base.registry.clone(),
        starts: features.starts,
        features: features.scrapes,
        host_name: hostname(),
    })
}

fn head_stats(db: &Arc<tsdb::Db>) -> Arc<dyn Fn(usize) -> tsdb::Stats + Send + Sync> {
    let db = db.clone();
    Arc::new(move |limit| db.stats(limit))
}

fn pushed_metadata(db: &Arc<tsdb::Db>) -> Arc<dyn Fn() -> BTreeMap<String, model::Metadata> + Send + Sync> {
    let db = db.clone();
    Arc::new(move || db.metadata())
}

fn exemplars(db: &Arc<tsdb::Db>) -> api::ExemplarsOf {
    let db = db.clone();
    Arc::new(move |matchers, range| db.exemplars(matchers, range))
}

fn imports(db: &Arc<tsdb::Db>, data_path: &Path, clock: &Arc<dyn Clock>) -> Result<Arc<Imports>> {
    Ok(Imports::start(db.clone(), data_dir(data_path)?, clock.clone()))
}

fn data_dir(path: &Path) -> Result<Arc<DiskDir>> {
    let dir = DiskDir::open(path).with_context(|| format!("cannot use data directory {}", path.display()))?;
    Ok(Arc::new(dir))
}

/// Takes remote write, if that is switched on.
fn receiver(
    flags: &Values,
    db: &Arc<tsdb::Db>,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<api::Receiver>>> {
    if !flags.is_on("web.enable-remote-write-receiver") {
        return Ok(None);
    }
    let (features, _) = flags.features()?;
    Ok(Some(Arc::new(api::Receiver::new(api::ReceiverOptions {
        store: db.clone(),
        clock: clock.clone(),
        registry: registry.clone(),
        accepted: accepted_messages(flags)?,
        memo_series_max: usize::try_from(flags.count("storage.head.series-max")?)?,
        type_and_unit_labels: features.scrapes.type_and_unit_labels,
        start_zeros: features.starts.zeros,
    }))))
}

/// Names one by one, or several with commas between them.
fn accepted_messages(flags: &Values) -> Result<Vec<api::WriteMessage>> {
    let name = "web.remote-write-receiver.accepted-protobuf-messages";
    let names = flags.list(name).iter().flat_map(|list| list.split(','));
    names.map(|text| text.trim().parse().map_err(|err| anyhow!("--{name}: {err}"))).collect()
}

/// Says where to look, in words.
fn greet(shell: &api::Shell, data_path: &Path, config: &Config) {
    let data_path = std::path::absolute(data_path).unwrap_or_else(|_| data_path.to_owned());
    say(&format!("Hinomi {} is watching. Open {}", crate::build::VERSION, shell.external_url()));
    say(&format!("Data is kept in {}; Ctrl-C stops it.", data_path.display()));
    if !config.has_own {
        info!(
            "this is a plain Prometheus configuration: nothing of our own is scraped or alerted on; the key \
             hinomi: {{host_metrics: true, self_metrics: true, builtin_rules: true}} switches it on"
        );
    }
}

/// What is switched on; the log has what was asked for in vain.
fn features(flags: &Values) -> Result<Features> {
    let (features, remarks) = flags.features()?;
    remarks.iter().for_each(|remark| warn!("{remark}"));
    alertmanager::set_matcher_mode(features.matcher_mode);
    Ok(features)
}

/// Where the configuration is, and what is in it.
fn configured(flags: &Values) -> Result<(Option<PathBuf>, Config)> {
    let path = Some(flags.text("config.file")).filter(|path| !path.is_empty()).map(PathBuf::from);
    let config = load_config(path.as_deref(), flags.is_agent())?;
    if flags.is_agent() && config.remote_write.is_empty() {
        warn!("there is no remote_write in the configuration: what is scraped goes nowhere");
    }
    Ok((path, config))
}

/// The configuration from the file, or what holds without one.
fn load_config(path: Option<&Path>, is_agent: bool) -> Result<Config> {
    let config = match path {
        None if is_agent => {
            bail!("--agent: give --config.file, too, with remote_write: an agent sends on what it scrapes")
        }
        None => Config::without_file(),
        Some(path) => Config::load(path)?,
    };
    let refused = if is_agent { config.refused_by_agent() } else { Vec::new() };
    if refused.is_empty() { Ok(config) } else { Err(crate::config::ConfigErrors(refused).into()) }
}

/// Where alerts go: the Alertmanager inside, then those of the configuration.
fn alertmanager_urls(shell: &api::Shell, alerting: &Alerting) -> Arc<dyn Fn() -> Vec<String> + Send + Sync> {
    let inside = format!("{}/api/v2/alerts", shell.external_url());
    let notifier = alerting.notifier.clone();
    Arc::new(move || {
        let outside = notifier.endpoints().into_iter().map(|endpoint| endpoint.url.to_string());
        std::iter::once(inside.clone()).chain(outside).collect()
    })
}

async fn open_store(
    flags: &Values,
    config: &Config,
    path: &Path,
    registry: &Registry,
    clock: &dyn Clock,
    shell: &api::Shell,
) -> Result<tsdb::Db> {
    open_files::allow_most();
    let options = store_options(flags, registry)?.with_limits(config.storage.limits(flags)?);
    let dir = DiskDir::open(path).with_context(|| format!("cannot use data directory {}", path.display()))?;
    let (now_ms, progress) = (clock.now_ms(), options.progress.clone());
    shell.set_starting(Arc::new({
        let progress = progress.clone();
        move || progress.text()
    }));
    let mut opening = tokio::task::spawn_blocking(move || tsdb::Db::open(Arc::new(dir), options, now_ms));
    let opened = loop {
        match tokio::time::timeout(PROGRESS_EVERY, &mut opening).await {
            Ok(opened) => break opened?,
            Err(_) => info!("{}", progress.text()),
        }
    };
    let (db, report) = opened.with_context(|| format!("cannot open data directory {}", path.display()))?;
    for line in report.warnings() {
        warn!("{line}");
    }
    Ok(db)
}

fn store_options(flags: &Values, registry: &Registry) -> Result<tsdb::Options> {
    Ok(tsdb::Options {
        retention_rules: flags
            .selector_durations("storage.tsdb.retention.rule")?
            .into_iter()
            .map(|(matchers, retention_ms)| tsdb::RetentionRule { matchers, retention_ms })
            .collect(),
        roll_ups: flags
            .duration_pairs("storage.tsdb.rollup")?
            .into_iter()
            .map(|(interval_ms, retention_ms)| tsdb::RollUp { interval_ms, retention_ms })
            .collect(),
        series_max: flags.count("storage.head.series-max")?,
        memory_budget_bytes: flags.memory("storage.memory.budget-bytes")?,
        registry: registry.clone(),
        ..tsdb::Options::default()
    })
}

fn own_pages(flags: &Values) -> api::OwnPages {
    let folder = |name: &str| PathBuf::from(flags.text(name));
    api::OwnPages {
        templates: folder("web.console.templates"),
        libraries: folder("web.console.libraries"),
        user_assets: Some(folder("web.user-assets")).filter(|folder| !folder.as_os_str().is_empty()),
    }
}

fn web_options(
    flags: &Values,
    listeners: &[listen::Listener],
    web: Option<&net::WebConfig>,
    clock: &dyn Clock,
) -> Result<api::Options> {
    let first = listeners.first().ok_or_else(|| anyhow!("--web.listen-address: none given"))?;
    let external_url = external_url(flags, first, web.is_some_and(net::WebConfig::has_tls))?;
    let route_prefix = route_prefix(flags, &external_url);
    let is_loopback = listeners.iter().all(|listener| listener.addr.ip().is_loopback());
    let lifecycle = flags.is_on("web.enable-lifecycle");
    let origin = flags.text("web.cors.origin");
    let cors_origin = match origin {
        ".*" => None,
        origin => Some(model::Regex::new(origin).map_err(|err| anyhow!("--web.cors.origin: {err}"))?),
    };
    Ok(api::Options {
        role: if flags.is_agent() { api::Role::Agent } else { api::Role::Server },
        own_pages: own_pages(flags),
        flags: flags.all(),
        features: features::table(flags)?,
        build: build_info(),
        page_title: flags.text("web.page-title").to_owned(),
        route_prefix,
        external_url,
        listen_port: first.addr.port(),
        allow_reload: lifecycle || is_loopback,
        allow_quit: lifecycle,
        cors_origin,
        working_dir: std::env::current_dir().unwrap_or_default().display().to_string(),
        hostname: hostname(),
        started_at_ms: clock.now_ms(),
        notice_subscribers_max: usize::try_from(flags.count("web.max-notifications-subscribers")?)?,
        search_limit_max: match flags.features()?.0.search {
            true => Some(usize::try_from(flags.count("web.search.max-limit")?)?),
            false => None,
        },
    })
}
