//! A tree of ZooKeeper's, followed: what [`crate::kinds::nerve`] and [`crate::kinds::serverset`] have in common.
//!
//! A small client of ZooKeeper's wire protocol (jute records in frames, as its programmer's guide and `zookeeper.jute`
//! give them): one session, one question at a time, watches on everything that was read. When the session ends, the next
//! server is asked and the tree is read anew; until then what was found stays.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration as StdDuration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::{Duration, Labels};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::SdError;
use crate::driver::{Backoff, Context};
use crate::group::TargetGroup;

/// Where a server listens unless told otherwise.
const PORT: u16 = 2181;
/// Longest frame, in bytes. Chosen: ZooKeeper's own default is one megabyte.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// Nodes below the configured paths. Chosen.
const NODES_MAX: usize = 200_000;
/// Longest pause between attempts to connect. Chosen.
const RETRY_MAX: StdDuration = StdDuration::from_secs(30);

const OP_EXISTS: i32 = 3;
const OP_GET_DATA: i32 = 4;
const OP_GET_CHILDREN: i32 = 8;
const OP_PING: i32 = 11;
const XID_WATCH: i32 = -1;
const XID_PING: i32 = -2;
const ERR_NO_NODE: i32 = -101;
const EVENT_DELETED: i32 = 2;
const EVENT_DATA: i32 = 3;
const EVENT_CHILDREN: i32 = 4;
const STATE_EXPIRED: i32 = -112;

/// The keys of both kinds, as they stand in a file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TreeKeys {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    servers: Vec<String>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    paths: Vec<String>,
    timeout: Option<Duration>,
}

/// What they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    /// `host:port`, or `host`.
    servers: Vec<String>,
    /// Below which nodes are looked for.
    paths: Vec<String>,
    /// Of the session.
    timeout: Duration,
}

impl TreeKeys {
    /// `kind` is for the words of refusals.
    pub(crate) fn check(self, kind: &str) -> Result<Tree, String> {
        let Self { servers, paths, timeout } = self;
        if servers.is_empty() {
            return Err(format!("{kind} SD config must contain at least one Zookeeper server"));
        }
        if paths.is_empty() {
            return Err(format!("{kind} SD config must contain at least one path"));
        }
        if let Some(path) = paths.iter().find(|path| !path.starts_with('/')) {
            return Err(format!("{kind} SD config paths must begin with '/': {path}"));
        }
        let timeout = timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(Duration::from_secs(10));
        Ok(Tree { servers, paths, timeout })
    }
}

/// Follows the tree and publishes a target for every node that `read` understands.
pub(crate) async fn follow(context: Context, tree: Tree, read: fn(&str, &[u8]) -> Option<Labels>) {
    let mut backoff = Backoff::new(RETRY_MAX);
    let mut n_tried = 0usize;
    loop {
        let server = &tree.servers[n_tried % tree.servers.len()];
        n_tried = n_tried.wrapping_add(1);
        let mut has_read = false;
        let ended = session(&context, &tree, server, read, &mut has_read).await;
        if let Err(err) = ended {
            context.metrics.kinds.zookeeper_failures.inc();
            context.failed(&SdError::Other(format!("zookeeper {server}: {err}")));
        }
        if has_read {
            backoff = Backoff::new(RETRY_MAX);
        }
        tokio::time::sleep(backoff.pause(false)).await;
    }
}

/// One session, until it breaks.
async fn session(
    context: &Context,
    tree: &Tree,
    server: &str,
    read: fn(&str, &[u8]) -> Option<Labels>,
    has_read: &mut bool,
) -> Result<(), SdError> {
    let mut known = Known { conn: Conn::open(server, tree.timeout.as_std()).await?, nodes: BTreeMap::new() };
    for path in &tree.paths {
        known.walk(trimmed(path)).await?;
    }
    *has_read = true;
    loop {
        let group = |(path, data): (&String, &Bytes)| Some(TargetGroup::new(path, vec![read(path, data)?]));
        context.publish(known.nodes.iter().filter_map(group).collect());
        let mut event = known.conn.next_event().await?;
        loop {
            known.take(&event).await?;
            // What came meanwhile goes on together.
            match known.conn.events.pop_front() {
                Some(next) => event = next,
                None => break,
            }
        }
    }
}

fn trimmed(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

fn join(path: &str, child: &str) -> String {
    if path == "/" { format!("/{child}") } else { format!("{path}/{child}") }
}

/// What is known of the tree.
#[derive(Debug)]
struct Known {
    conn: Conn,
    nodes: BTreeMap<String, Bytes>,
}

impl Known {
    /// Reads a node and everything below it, and watches all of that.
    async fn walk(&mut self, path: &str) -> Result<(), SdError> {
        let mut open = vec![path.to_owned()];
        while let Some(path) = open.pop() {
            if self.nodes.len() >= NODES_MAX {
                return Err(SdError::Other(format!("there are more than {NODES_MAX} nodes")));
            }
            if !self.read(&path).await? {
                continue;
            }
            for child in self.conn.children(&path).await?.unwrap_or_default() {
                open.push(join(&path, &child));
            }
        }
        Ok(())
    }

    /// Reads a node; one that is not there is watched for, and forgotten with all below it.
    async fn read(&mut self, path: &str) -> Result<bool, SdError> {
        match self.conn.data(path).await? {
            Some(data) => {
                self.nodes.insert(path.to_owned(), data);
                Ok(true)
            }
            None => {
                self.forget(path);
                self.conn.watch_for(path).await?;
                Ok(false)
            }
        }
    }

    fn forget(&mut self, path: &str) {
        let below = join(path, "");
        self.nodes.retain(|known, _| known != path && !known.starts_with(&below));
    }

    async fn take(&mut self, event: &Event) -> Result<(), SdError> {
        let path = event.path.as_str();
        match event.kind {
            EVENT_DELETED | EVENT_DATA => {
                self.read(path).await?;
            }
            EVENT_CHILDREN => {
                let Some(children) = self.conn.children(path).await? else {
                    self.forget(path);
                    return Ok(());
                };
                let now: Vec<String> = children.iter().map(|child| join(path, child)).collect();
                let below = join(path, "");
                let is_gone = |known: &String| {
                    let rest = known.strip_prefix(&below);
                    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('/')) && !now.contains(known)
                };
                let gone: Vec<String> = self.nodes.keys().filter(|known| is_gone(known)).cloned().collect();
                gone.iter().for_each(|path| self.forget(path));
                for path in now {
                    if !self.nodes.contains_key(&path) {
                        self.walk(&path).await?;
                    }
                }
            }
            // It has come to be.
            _ if !path.is_empty() => self.walk(path).await?,
            _ => {}
        }
        Ok(())
    }
}

/// A watch that fired.
#[derive(Debug)]
struct Event {
    kind: i32,
    path: String,
}

/// A session.
#[derive(Debug)]
struct Conn {
    stream: TcpStream,
    buffer: BytesMut,
    xid: i32,
    timeout: StdDuration,
    events: VecDeque<Event>,
}

impl Conn {
    async fn open(server: &str, timeout: StdDuration) -> Result<Self, SdError> {
        let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { server.to_owned() } else { format!("{server}:{PORT}") };
        let connected = tokio::time::timeout(timeout, TcpStream::connect(address)).await;
        let stream = connected.map_err(|_| SdError::other("i/o timeout"))?.map_err(SdError::other)?;
        let buffer = BytesMut::new();
        let mut conn = Self { stream, buffer, xid: 0, timeout, events: VecDeque::new() };
        // Protocol, last change seen, timeout, session, password.
        let mut hello = BytesMut::new();
        hello.put_i32(0);
        hello.put_i64(0);
        hello.put_i32(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
        hello.put_i64(0);
        hello.put_i32(16);
        hello.put_bytes(0, 16);
        conn.write(&hello).await?;
        let mut answer = conn.frame_in_time().await?;
        let (_, granted_ms) = (int(&mut answer)?, int(&mut answer)?);
        match u64::try_from(granted_ms) {
            Ok(granted_ms @ 1..) => conn.timeout = StdDuration::from_millis(granted_ms),
            _ => return Err(SdError::other("the session was refused")),
        }
        Ok(conn)
    }

    async fn write(&mut self, record: &[u8]) -> Result<(), SdError> {
        let mut frame = BytesMut::with_capacity(record.len() + 4);
        frame.put_i32(i32::try_from(record.len()).map_err(SdError::other)?);
        frame.put_slice(record);
        self.stream.write_all(&frame).await.map_err(SdError::other)
    }

    /// The next frame. May be given up and asked for again: nothing is lost.
    async fn frame(&mut self) -> Result<Bytes, SdError> {
        loop {
            if let Some(head) = self.buffer.first_chunk::<4>() {
                let n_bytes = usize::try_from(i32::from_be_bytes(*head)).unwrap_or(usize::MAX);
                if n_bytes > FRAME_BYTES_MAX {
                    return Err(SdError::Other(format!("a frame is longer than {FRAME_BYTES_MAX} bytes")));
                }
                if self.buffer.len() >= 4 + n_bytes {
                    self.buffer.advance(4);
                    return Ok(self.buffer.split_to(n_bytes).freeze());
                }
            }
            if self.stream.read_buf(&mut self.buffer).await.map_err(SdError::other)? == 0 {
                return Err(SdError::other("the connection was closed"));
            }
        }
    }

    async fn frame_in_time(&mut self) -> Result<Bytes, SdError> {
        let timeout = self.timeout;
        tokio::time::timeout(timeout, self.frame()).await.map_err(|_| SdError::other("i/o timeout"))?
    }

    /// Asks about a path; `None` when there is no such node. Every question leaves a watch.
    async fn ask(&mut self, op: i32, path: &str) -> Result<Option<Bytes>, SdError> {
        self.xid = self.xid.checked_add(1).unwrap_or(1);
        let mut record = BytesMut::new();
        record.put_i32(self.xid);
        record.put_i32(op);
        record.put_i32(i32::try_from(path.len()).map_err(SdError::other)?);
        record.put_slice(path.as_bytes());
        record.put_u8(1);
        self.write(&record).await?;
        loop {
            let mut frame = self.frame_in_time().await?;
            let (xid, code) = head(&mut frame)?;
            if xid == XID_WATCH {
                self.note(frame)?;
            } else if xid == self.xid {
                return match code {
                    0 => Ok(Some(frame)),
                    ERR_NO_NODE => Ok(None),
                    code => Err(SdError::Other(format!("{path}: error {code}"))),
                };
            }
        }
    }

    async fn data(&mut self, path: &str) -> Result<Option<Bytes>, SdError> {
        match self.ask(OP_GET_DATA, path).await? {
            Some(mut answer) => buffer(&mut answer).map(Some),
            None => Ok(None),
        }
    }

    async fn children(&mut self, path: &str) -> Result<Option<Vec<String>>, SdError> {
        let Some(mut answer) = self.ask(OP_GET_CHILDREN, path).await? else { return Ok(None) };
        let n_children = int(&mut answer)?;
        let mut children = Vec::new();
        for _ in 0..n_children {
            children.push(text(&mut answer)?);
        }
        Ok(Some(children))
    }

    async fn watch_for(&mut self, path: &str) -> Result<(), SdError> {
        self.ask(OP_EXISTS, path).await.map(drop)
    }

    /// Takes note of a watch that fired.
    fn note(&mut self, mut frame: Bytes) -> Result<(), SdError> {
        let (kind, state) = (int(&mut frame)?, int(&mut frame)?);
        if state == STATE_EXPIRED {
            return Err(SdError::other("the session expired"));
        }
        self.events.push_back(Event { kind, path: text(&mut frame)? });
        Ok(())
    }

    /// Waits for a watch to fire; keeps the session alive meanwhile.
    async fn next_event(&mut self) -> Result<Event, SdError> {
        let mut n_unanswered = 0;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            match tokio::time::timeout(self.timeout / 3, self.frame()).await {
                Ok(frame) => {
                    let mut frame = frame?;
                    n_unanswered = 0;
                    if head(&mut frame)?.0 == XID_WATCH {
                        self.note(frame)?;
                    }
                }
                Err(_) if n_unanswered >= 2 => return Err(SdError::other("the server is silent")),
                Err(_) => {
                    n_unanswered += 1;
                    let mut ping = BytesMut::new();
                    ping.put_i32(XID_PING);
                    ping.put_i32(OP_PING);
                    self.write(&ping).await?;
                }
            }
        }
    }
}

/// The head of an answer: which question, the time of the last change (left out), how it went.
fn head(frame: &mut Bytes) -> Result<(i32, i32), SdError> {
    let xid = int(frame)?;
    frame.try_get_i64().map_err(SdError::other)?;
    Ok((xid, int(frame)?))
}

fn int(record: &mut Bytes) -> Result<i32, SdError> {
    record.try_get_i32().map_err(SdError::other)
}

/// Bytes after their length; a length of -1 is none.
fn buffer(record: &mut Bytes) -> Result<Bytes, SdError> {
    let n_bytes = int(record)?;
    let n_bytes = if n_bytes == -1 { 0 } else { usize::try_from(n_bytes).map_err(SdError::other)? };
    if n_bytes > record.len() {
        return Err(SdError::other("a record ends early"));
    }
    Ok(record.split_to(n_bytes))
}

fn text(record: &mut Bytes) -> Result<String, SdError> {
    String::from_utf8(buffer(record)?.to_vec()).map_err(SdError::other)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;
    use tokio::net::TcpListener;
    use tokio::sync::broadcast;

    /// A small ZooKeeper: nodes in a map, and every change told to every session as a watch.
    pub(crate) struct FakeZookeeper {
        pub(crate) address: String,
        nodes: Arc<Mutex<BTreeMap<String, String>>>,
        events: broadcast::Sender<(i32, String)>,
    }

    impl FakeZookeeper {
        pub(crate) async fn start(nodes: &[(&str, &str)]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let nodes = nodes.iter().map(|(path, data)| ((*path).to_owned(), (*data).to_owned()));
            let nodes = Arc::new(Mutex::new(nodes.collect::<BTreeMap<_, _>>()));
            let (events, _) = broadcast::channel(16);
            let fake = Self { address, nodes: Arc::clone(&nodes), events: events.clone() };
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&nodes), events.subscribe()));
                }
            });
            fake
        }

        /// Sets or removes a node, and tells that its parent's children or its own data changed.
        pub(crate) fn set(&self, path: &str, data: Option<&str>, told: (i32, &str)) {
            match data {
                Some(data) => self.nodes.lock().insert(path.to_owned(), data.to_owned()),
                None => self.nodes.lock().remove(path),
            };
            self.events.send((told.0, told.1.to_owned())).unwrap();
        }
    }

    async fn serve(
        stream: TcpStream,
        nodes: Arc<Mutex<BTreeMap<String, String>>>,
        mut events: broadcast::Receiver<(i32, String)>,
    ) {
        let (buffer, timeout) = (BytesMut::new(), StdDuration::from_secs(20));
        let mut conn = Conn { stream, buffer, xid: 0, timeout, events: VecDeque::new() };
        conn.frame().await.unwrap();
        let mut hello = BytesMut::new();
        hello.put_i32(0);
        hello.put_i32(4_000);
        hello.put_i64(7);
        hello.put_i32(0);
        conn.write(&hello).await.unwrap();
        loop {
            let mut out = BytesMut::new();
            tokio::select! {
                frame = conn.frame() => {
                    let Ok(mut frame) = frame else { return };
                    let (xid, op) = (int(&mut frame).unwrap(), int(&mut frame).unwrap());
                    let path = if op == OP_PING { String::new() } else { text(&mut frame).unwrap() };
                    let nodes = nodes.lock();
                    let found = nodes.get(&path);
                    out.put_i32(xid);
                    out.put_i64(1);
                    out.put_i32(if found.is_some() || op == OP_PING { 0 } else { ERR_NO_NODE });
                    match (op, found) {
                        (OP_GET_DATA, Some(data)) => {
                            out.put_i32(data.len() as i32);
                            out.put_slice(data.as_bytes());
                        }
                        (OP_GET_CHILDREN, Some(_)) => {
                            let below = join(&path, "");
                            let children: Vec<&str> = nodes
                                .keys()
                                .filter_map(|known| known.strip_prefix(&below))
                                .filter(|rest| !rest.is_empty() && !rest.contains('/'))
                                .collect();
                            out.put_i32(children.len() as i32);
                            for child in children {
                                out.put_i32(child.len() as i32);
                                out.put_slice(child.as_bytes());
                            }
                        }
                        _ => {}
                    }
                }
                event = events.recv() => {
                    let (kind, path) = event.unwrap();
                    out.put_i32(XID_WATCH);
                    out.put_i64(-1);
                    out.put_i32(0);
                    out.put_i32(kind);
                    out.put_i32(3);
                    out.put_i32(path.len() as i32);
                    out.put_slice(path.as_bytes());
                }
            }
            conn.write(&out).await.unwrap();
        }
    }
}
