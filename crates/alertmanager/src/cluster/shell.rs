//! Around the mesh: sockets, envelopes, names and the clock.
//!
//! In from HTTP requests of other managers and from the driver (what happened here); out as HTTP requests to them. Each
//! address has a task and a queue of its own, so that one that hangs holds up nobody else. Messages may be lost: the
//! mesh says again what matters.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use http::{HeaderMap, Method, StatusCode};
use net::{HttpClient, Limits};
use parking_lot::Mutex;
use stdx::Clock;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use url::Url;

use super::ClusterOptions;
use super::mesh::{Mesh, Out};
use super::message::{self, Identity};
use super::metrics::ClusterMetrics;
use super::seal::{SealError, Sealer};
use super::shared::{spread, take, turn};
use crate::driver::{Inner, Shared};
use crate::record::Record;

/// Longest envelope that is taken or sent, in bytes. Chosen: the log entry of a group with every alert there can be.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Messages that wait for one address; beyond it they are lost, as on a bad line. Chosen.
const OUTBOX_MAX: usize = 64;
/// Longest answer that is read of another manager, in bytes. Chosen: a sentence.
const ANSWER_BYTES_MAX: usize = 4 << 10;
/// Connections at once from other managers. Chosen: two for each of the most there can be.
const CONNECTIONS_MAX: usize = 64;
/// How long a goodbye may take. Chosen: the whole program has five seconds.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Shortest and longest sleep of the task.
const TICK_MIN: Duration = Duration::from_millis(5);
const TICK_MAX: Duration = Duration::from_secs(1);
/// How often names of the configuration are looked up again. From upstream.
const REFRESH_INTERVAL: Duration = Duration::from_secs(15);
/// Where messages are posted.
const PATH: &str = "/cluster/v1";

/// A manager's part in a cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    mesh: Mutex<Mesh>,
    sealer: Sealer,
    client: HttpClient,
    is_tls: bool,
    timeout: Duration,
    peers: Vec<String>,
    clock: Arc<dyn Clock>,
    metrics: ClusterMetrics,
    wake: Notify,
    outboxes: Mutex<HashMap<String, mpsc::Sender<Vec<u8>>>>,
    /// What each address answered last, so that it is said once.
    complaints: Mutex<HashMap<String, String>>,
}

/// What `GET /api/v2/status` shows.
#[derive(Debug)]
pub(crate) struct ClusterView {
    pub(crate) name: String,
    pub(crate) is_ready: bool,
    /// Name and address, by name.
    pub(crate) peers: Vec<(String, String)>,
}

fn monotonic_ms(clock: &dyn Clock) -> i64 {
    i64::try_from(clock.monotonic().as_millis()).unwrap_or(i64::MAX)
}

impl Cluster {
    /// Not listening yet; see [`Cluster::run`].
    pub(super) fn new(
        options: &ClusterOptions,
        me: Identity,
        client: HttpClient,
        clock: Arc<dyn Clock>,
        registry: &stdx::metrics::Registry,
        is_blank: bool,
    ) -> Result<Self, SealError> {
        let sealer = Sealer::new(options.key.expose().as_bytes(), &options.label)?;
        let metrics = ClusterMetrics::new(registry, &me.name);
        let mesh = Mesh::new(me, options.times.mesh(), &options.peers, is_blank, monotonic_ms(&*clock));
        Ok(Self {
            mesh: Mutex::new(mesh),
            sealer,
            client,
            is_tls: options.server_tls.is_some(),
            timeout: options.times.tcp_timeout,
            peers: options.peers.clone(),
            clock,
            metrics,
            wake: Notify::new(),
            outboxes: Mutex::default(),
            complaints: Mutex::default(),
        })
    }

    /// For the API.
    pub(crate) fn view(&self) -> ClusterView {
        let mesh = self.mesh.lock();
        ClusterView { name: mesh.me.name.clone(), is_ready: mesh.is_ready(), peers: mesh.peers() }
    }

    /// Tells others what happened here. The core's lock is held.
    pub(crate) fn spread(&self, journal: &[Record]) {
        if !journal.is_empty() {
            spread(&mut self.mesh.lock(), journal);
            self.wake.notify_one();
        }
    }

    /// Where this one stands among the managers; the first one speaks first.
    pub(crate) fn position(&self) -> usize {
        self.mesh.lock().position()
    }

    /// Tells the dispatcher whose turn it is.
    pub(crate) fn set_turn(&self, inner: &mut Inner) -> bool {
        let turn = turn(&self.mesh.lock());
        let is_new = inner.core.turn() != turn;
        inner.core.set_turn(turn);
        is_new
    }

    /// Serves and speaks until the alertmanager stops.
    pub(crate) async fn run(
        self: Arc<Self>,
        shared: Arc<Shared>,
        listener: TcpListener,
        web: Option<Arc<net::WebConfig>>,
        metrics: net::server::ServerMetrics,
    ) {
        let options = net::server::ServerOptions {
            connections_max: CONNECTIONS_MAX,
            body_bytes_max: MESSAGE_BYTES_MAX,
            read_timeout: self.timeout,
            drain_timeout: LEAVE_TIMEOUT,
            compress: false,
            web,
            ..net::server::ServerOptions::default()
        };
        let state = (Arc::clone(&self), Arc::clone(&shared));
        let router = Router::new().route(PATH, post(receive)).with_state(state);
        let server =
            tokio::spawn(net::server::serve(listener, router, options, metrics, shared.stop.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&self).refresh());
        loop {
            self.tick(&shared, &mut tasks);
            tokio::select! {
                () = shared.stop.cancelled() => break,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(self.sleep()) => {}
            }
        }
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, self.leave(&shared)).await;
        tasks.shutdown().await;
        let _ = server.await;
    }

    fn sleep(&self) -> Duration {
        let next_ms = self.mesh.lock().next_deadline_ms();
        let wait_ms = next_ms.saturating_sub(monotonic_ms(&*self.clock));
        Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)).clamp(TICK_MIN, TICK_MAX)
    }

    /// Lets time pass in the mesh, and passes on what it wants said.
    fn tick(self: &Arc<Self>, shared: &Shared, tasks: &mut JoinSet<()>) {
        let outs = {
            let mut inner = shared.inner.lock();
            let outs = self.mesh.lock().poll(monotonic_ms(&*self.clock), &inner.core);
            if self.set_turn(&mut inner) {
                shared.wake.notify_one();
            }
            outs
        };
        self.metrics.set(&self.mesh.lock());
        for out in outs {
            self.post(out, tasks);
        }
    }

    /// Puts a message into the queue of its address.
    fn post(self: &Arc<Self>, out: Out, tasks: &mut JoinSet<()>) {
        let Some(envelope) = self.envelope(&out) else { return };
        let mut outboxes = self.outboxes.lock();
        let outbox = outboxes.entry(out.address.clone()).or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(OUTBOX_MAX);
            tasks.spawn(Arc::clone(self).deliver(out.address, receiver));
            sender
        });
        if outbox.try_send(envelope).is_err() {
            self.metrics.dropped();
        }
    }

    fn envelope(&self, out: &Out) -> Option<Vec<u8>> {
        let bytes = message::write(&out.message);
        self.metrics.sent(&out.message.body, bytes.len());
        if bytes.len() > MESSAGE_BYTES_MAX - 64 {
            tracing::error!(
                bytes = bytes.len(),
                "a record is too long for the other managers; they do not hear of it"
            );
            return None;
        }
        self.sealer
            .seal(&bytes)
            .inspect_err(|err| tracing::error!(error = %err, "cannot seal a message"))
            .ok()
    }

    async fn deliver(self: Arc<Self>, address: String, mut queue: mpsc::Receiver<Vec<u8>>) {
        while let Some(envelope) = queue.recv().await {
            self.send(&address, envelope).await;
        }
    }

    async fn send(&self, address: &str, envelope: Vec<u8>) {
        let scheme = if self.is_tls { "https" } else { "http" };
        let complaint = match Url::parse(&format!("{scheme}://{address}{PATH}")) {
            Err(err) => Some(format!("not an address: {err}")),
            Ok(url) => {
                let request = net::Request {
                    method: Method::POST,
                    url,
                    headers: HeaderMap::new(),
                    body: envelope.into(),
                };
                let limits = Limits {
                    timeout: self.timeout,
                    body_bytes_max: ANSWER_BYTES_MAX,
                    decoded_bytes_max: ANSWER_BYTES_MAX,
                };
                match self.client.request(request, &limits).await {
                    Ok(response) if response.status.is_success() => None,
                    Ok(response) => {
                        let text = String::from_utf8_lossy(&response.body).trim().to_owned();
                        Some(format!("{}: {text}", response.status.as_u16()))
                    }
                    Err(err) => Some(err.to_string()),
                }
            }
        };
        let mut complaints = self.complaints.lock();
        match complaint {
            None => {
                if complaints.remove(address).is_some() {
                    tracing::info!(peer = address, "another manager answers again");
                }
            }
            Some(complaint) => {
                if complaints.get(address) != Some(&complaint) {
                    tracing::warn!(peer = address, error = %complaint, "cannot speak to another manager");
                    complaints.insert(address.to_owned(), complaint);
                }
            }
        }
    }

    /// Says goodbye to all, at once.
    async fn leave(self: &Arc<Self>, shared: &Shared) {
        let outs = {
            let inner = shared.inner.lock();
            let mut mesh = self.mesh.lock();
            mesh.leave();
            mesh.poll(monotonic_ms(&*self.clock), &inner.core)
        };
        let mut sending = JoinSet::new();
        for out in outs {
            if let Some(envelope) = self.envelope(&out) {
                let cluster = Arc::clone(self);
                sending.spawn(async move { cluster.send(&out.address, envelope).await });
            }
        }
        while sending.join_next().await.is_some() {}
    }

    /// Looks names of the configuration up again and again: one may stand for many managers.
    async fn refresh(self: Arc<Self>) {
        loop {
            for peer in self.peers.iter().filter(|peer| peer.parse::<SocketAddr>().is_err()) {
                let found = match tokio::net::lookup_host(peer.as_str()).await {
                    Ok(found) => found.collect::<Vec<_>>(),
                    Err(err) => {
                        tracing::debug!(peer, error = %err, "cannot look up another manager");
                        continue;
                    }
                };
                if found.len() > 1 {
                    let (now_ms, mut mesh) = (monotonic_ms(&*self.clock), self.mesh.lock());
                    found.iter().for_each(|address| mesh.add_contact(&address.to_string(), false, now_ms));
                }
            }
            tokio::time::sleep(REFRESH_INTERVAL).await;
        }
    }

    /// Takes an envelope; says why not when it is none of ours.
    fn take(&self, shared: &Shared, envelope: &[u8]) -> Result<(), SealError> {
        let bytes = self.sealer.open(envelope)?;
        let message = message::read(&bytes).ok_or(SealError::NoEnvelope)?;
        self.metrics.received(&message.body, bytes.len());
        let (now_ms, wall_ms) = (monotonic_ms(&*self.clock), shared.clock.now_ms());
        let mut inner = shared.inner.lock();
        let mut mesh = self.mesh.lock();
        if let Some(news) = mesh.on_message(message, now_ms, &inner.core) {
            let journal = take(&mut mesh, &mut inner.core, news, wall_ms);
            let Inner { core, store } = &mut *inner;
            store.append(core, &journal, wall_ms);
            shared.wake.notify_one();
        }
        self.wake.notify_one();
        Ok(())
    }
}

/// `POST /cluster/v1`
async fn receive(State((cluster, shared)): State<(Arc<Cluster>, Arc<Shared>)>, request: Request) -> Response {
    let refuse = |status: StatusCode, text: String| {
        let mut response = Response::new(Body::from(text + "\n"));
        *response.status_mut() = status;
        response
    };
    let body = match to_bytes(request.into_body(), MESSAGE_BYTES_MAX).await {
        Ok(body) => body,
        Err(err) => return refuse(StatusCode::BAD_REQUEST, err.to_string()),
    };
    match cluster.take(&shared, &body) {
        Ok(()) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(err) => {
            cluster.metrics.refused(err);
            let status = match err {
                SealError::Key => StatusCode::FORBIDDEN,
                _ => StatusCode::BAD_REQUEST,
            };
            refuse(status, err.to_string())
        }
    }
}
