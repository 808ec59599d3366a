//! `hinomi alertmanager`: the Alertmanager alone, without a store and without scraping.
//!
//! In: Alertmanager's flags and configuration file; out: its API, its web page, and notifications. The manager itself and the way it
//! is put together ([`compose`]) are those that the server embeds. Stops in reverse order of start, within five seconds.

pub(crate) mod compose;
pub(crate) mod flags;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use api::Command;
use arc_swap::ArcSwap;
use spans::Tracer;
use stdx::metrics::Registry;
use stdx::{Clock, SystemClock};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::cluster;
use crate::flags::Values;
use crate::server::signals::Signals;
use crate::server::{COMMANDS_MAX, STOP_TIMEOUT, listen, own, web};

/// Threads that drive sockets and timers. Chosen: as the server's.
const WORKER_THREADS: usize = 2;
/// Threads beside them, for long lists and for files. Chosen.
const BLOCKING_THREADS: usize = 8;
/// Connections at once. From the server's flag, of which Alertmanager has none.
const CONNECTIONS_MAX: usize = 512;
/// Live streams of notices at once, as the server's flag has it.
const NOTICE_SUBSCRIBERS_MAX: usize = 16;
/// How long reading one request may take.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// GET requests at once, at least. From Alertmanager.
const GETS_MIN: usize = 8;

/// Runs until told to stop.
///
/// # Errors
/// When a flag, the configuration, the data directory or a port cannot be used.
pub(crate) fn run(flags: &Values) -> Result<()> {
    let tracer = crate::log::start(flags.text("log.level"), flags.text("log.format"), "alertmanager")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let ended = runtime.block_on(serve(flags, tracer));
    runtime.shutdown_background();
    ended
}

/// What a reload tells.
struct Running {
    path: PathBuf,
    manager: alertmanager::Handle,
    status: Arc<ArcSwap<api::ConfigStatus>>,
    clock: Arc<dyn Clock>,
    tracer: Tracer,
}

async fn serve(flags: &Values, tracer: Tracer) -> Result<()> {
    let mut signals = Signals::listen()?;
    let features = flags::features(flags.list("enable-feature"))?;
    for remark in features.remarks.iter().chain(flags.warnings()) {
        warn!("{remark}");
    }
    // Before the file is read.
    alertmanager::set_matcher_mode(features.matcher_mode);
    let cluster = cluster::options(flags)?;
    let (clock, registry): (Arc<dyn Clock>, _) = (Arc::new(SystemClock::new()), Registry::new());
    let path = PathBuf::from(flags.text("config.file"));
    let config = traced(&tracer, compose::load(&path)?, &registry)?;
    let door = listen::door(flags)?;
    let listeners = listen::bind("web.listen-address", flags.list("web.listen-address")).await?;
    let addresses: Vec<String> = listeners.iter().map(|listener| listener.addr.to_string()).collect();

    let (commands, mut requests) = mpsc::channel(COMMANDS_MAX);
    let status =
        Arc::new(ArcSwap::from_pointee(shown(&config, flags.text("data.retention"), clock.now_ms())));
    let options = web_options(flags, &listeners, door.as_deref(), &*clock)?;
    let page = own::metrics_page(&registry, "alertmanager_build_info");
    let shell = api::Shell::new(options, clock.clone(), &registry, page, status.clone(), commands);
    let parts = compose::Parts {
        data_path: PathBuf::from(flags.text("storage.path")),
        external_url: shell.external_url().to_owned(),
        retention: flags.duration("data.retention")?,
        start_delay: flags.duration("dispatch.start-delay")?,
        limits: limits(flags)?,
        logs_silences: flags.is_on("log.silences"),
        metric_detail: features.metric_detail,
        cluster,
        samples: None,
    };
    let manager = compose::start(config, parts, &registry, &clock)?;
    shell.set_manager(manager.clone());
    let stop_http = CancellationToken::new();
    let server = net::server::ServerOptions {
        connections_max: CONNECTIONS_MAX,
        read_timeout: READ_TIMEOUT,
        drain_timeout: Duration::from_secs(2),
        web: door,
        ..net::server::ServerOptions::default()
    };
    let router = api::manager_router(shell.clone(), request_limits(flags, &registry)?);
    let http = listen::serve_router(listeners, router, server, &registry, &stop_http);
    // Others look for these very words to learn the port.
    addresses.iter().for_each(|address| info!(address = %address, "Listening on"));
    crate::say(&format!("Hinomi's Alertmanager is watching. Open {}", shell.external_url()));

    let running = Running { path, manager, status, clock, tracer };
    running.attend(&mut signals, &mut requests).await;
    info!("stopping; a second signal ends at once");
    shell.set_stopping();
    stop_http.cancel();
    let parts = async {
        let ended = tokio::join!(running.manager.shutdown(), http);
        running.tracer.stop().await;
        ended
    };
    tokio::select! {
        ended = tokio::time::timeout(STOP_TIMEOUT, parts) => {
            if ended.is_err() {
                warn!("some parts did not stop in time; what they had acknowledged is stored");
            }
        }
        () = signals.next_stop() => bail!("ended by a second signal before everything had stopped"),
    }
    info!("stopped");
    Ok(())
}

/// Sends spans, when the configuration says where to.
fn traced(
    tracer: &Tracer,
    config: alertmanager::Config,
    registry: &Registry,
) -> Result<alertmanager::Config> {
    tracer.register(registry);
    tracer.take(tracer.prepare(config.tracing()).context("tracing")?);
    Ok(config)
}

impl Running {
    /// Answers signals and requests until one to stop comes.
    async fn attend(&self, signals: &mut Signals, requests: &mut mpsc::Receiver<Command>) {
        loop {
            let asked = tokio::select! {
                asked = signals.next() => asked.into(),
                Some(command) = requests.recv() => command,
            };
            match asked {
                Command::Reload(reply) => drop(reply.send(self.reload().await)),
                Command::Quit => return,
            }
        }
    }

    /// Reads the file again and takes it, or keeps everything as it is.
    async fn reload(&self) -> Result<(), String> {
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || compose::load(&path)).await;
        let loaded = loaded.unwrap_or_else(|err| Err(err.into()));
        let taken = loaded.inspect_err(|_| self.manager.reload_failed()).and_then(|config| {
            let status = shown(&config, &self.status.load().retention, self.clock.now_ms());
            let tracing = self.tracer.prepare(config.tracing()).context("tracing")?;
            self.manager.reload(config)?;
            self.tracer.take(tracing);
            self.status.store(Arc::new(status));
            Ok(())
        });
        match taken {
            Ok(()) => {
                info!(file = %self.path.display(), "configuration reloaded");
                Ok(())
            }
            Err(err) => {
                let why = format!("{err:#}");
                error!(error = %why, "configuration not reloaded, the old one stays");
                let old = self.status.load_full();
                self.status.store(Arc::new(api::ConfigStatus { reload_success: false, ..(*old).clone() }));
                Err(why)
            }
        }
    }
}

fn shown(config: &alertmanager::Config, retention: &str, now_ms: i64) -> api::ConfigStatus {
    api::ConfigStatus {
        yaml: config.masked_yaml().to_owned(),
        reload_success: true,
        loaded_at_ms: now_ms,
        retention: retention.to_owned(),
        ..api::ConfigStatus::default()
    }
}

/// Zero stands for «no limit», of which there is one in any case.
fn limits(flags: &Values) -> Result<alertmanager::Limits> {
    let most = compose::history_limits(flags)?;
    let bounded = |name: &str, most: usize| -> Result<usize> {
        Ok(usize::try_from(flags.limit(name)?).unwrap_or(usize::MAX).min(most))
    };
    Ok(alertmanager::Limits {
        silences_max: bounded("silences.max-silences", most.silences_max)?,
        silence_bytes_max: bounded("silences.max-silence-size-bytes", most.silence_bytes_max)?,
        alerts_per_name_max: match bounded("alerts.per-alertname-limit", usize::MAX)? {
            usize::MAX => 0,
            limit => limit,
        },
        resolved_keep: flags.positive("alerts.gc-interval")?,
        maintenance_interval: flags.positive("data.maintenance-interval")?,
        ..most
    })
}

fn request_limits(flags: &Values, registry: &Registry) -> Result<api::RequestLimits> {
    let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let n_gets = match flags.limit("web.get-concurrency")? {
        u64::MAX => n_cores.max(GETS_MIN),
        n => usize::try_from(n)?,
    };
    let timeout_ms = flags.duration_ms("web.timeout")?;
    let timeout = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms.unsigned_abs()));
    Ok(api::RequestLimits::new(n_gets, timeout, registry))
}

fn web_options(
    flags: &Values,
    listeners: &[listen::Listener],
    door: Option<&net::WebConfig>,
    clock: &dyn Clock,
) -> Result<api::Options> {
    let first = listeners.first().ok_or_else(|| anyhow!("--web.listen-address: none given"))?;
    let external_url = web::external_url(flags, first, door.is_some_and(net::WebConfig::has_tls))?;
    Ok(api::Options {
        role: api::Role::Manager,
        own_pages: api::OwnPages::default(),
        flags: flags.all(),
        features: api::FeatureTable::new(),
        build: web::build_info(),
        page_title: flags.text("web.page-title").to_owned(),
        route_prefix: web::route_prefix(flags, &external_url),
        external_url,
        listen_port: first.addr.port(),
        allow_reload: true,
        allow_quit: false,
        cors_origin: None,
        working_dir: std::env::current_dir().unwrap_or_default().display().to_string(),
        hostname: web::hostname(),
        started_at_ms: clock.now_ms(),
        notice_subscribers_max: NOTICE_SUBSCRIBERS_MAX,
        search_limit_max: None,
    })
}
