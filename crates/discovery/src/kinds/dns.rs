//! `dns_sd_configs`: records of names, asked of the name servers that `/etc/resolv.conf` lists.
//!
//! Asked directly, without a cache: `refresh_interval` says how old an answer may be. A name whose servers do not answer
//! keeps its last targets; a name that does not exist has none.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration as StdDuration;

use model::{Duration, Labels};
use serde::Deserialize;
use stdx::dir::Dir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::Kind;
use crate::SdError;
use crate::dns_message::{
    Message, RCODE_NAME_ERROR, RCODE_SUCCESS, Record, RecordType, UDP_BYTES_MAX, parse, question,
};
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::{TargetGroup, join_host_port};
use crate::metrics::SdMetrics;

/// Of one question to one server. From the library that Prometheus uses.
const ASK_TIMEOUT: StdDuration = StdDuration::from_secs(2);
/// Where servers and search domains stand.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Names asked at once. Chosen.
const AT_ONCE: usize = 16;

/// One element of `dns_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    names: Vec<String>,
    refresh_interval: Duration,
    record_type: RecordType,
    /// Not used for SRV, which brings its own.
    port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    names: Vec<String>,
    refresh_interval: Option<Duration>,
    #[serde(rename = "type")]
    #[serde(deserialize_with = "model::yaml::null_as_empty")]
    record_type: Option<String>,
    port: Option<u16>,
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        if keys.names.is_empty() {
            return Err("DNS-SD config must contain at least one SRV record name".to_owned());
        }
        let name = keys.record_type.as_deref().unwrap_or("SRV");
        let record_type = match name.to_ascii_uppercase().as_str() {
            "SRV" => RecordType::Srv,
            "A" => RecordType::A,
            "AAAA" => RecordType::Aaaa,
            "MX" => RecordType::Mx,
            "NS" => RecordType::Ns,
            _ => return Err(format!("invalid DNS-SD records type {name}")),
        };
        let port = keys.port.unwrap_or_default();
        if record_type != RecordType::Srv && port == 0 {
            return Err("a port is required in DNS-SD configs for all record types except SRV".to_owned());
        }
        Ok(Self {
            names: keys.names,
            refresh_interval: super::interval(keys.refresh_interval, 30)?,
            record_type,
            port,
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "dns";

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let provider = Dns {
            config: self.clone(),
            resolver: Resolver { dir: Arc::clone(&context.dir), path: RESOLV_CONF.into(), port: 53 },
            metrics: Arc::clone(&context.metrics),
            known: BTreeMap::new(),
        };
        Ok(refreshing(context, self.refresh_interval, provider))
    }
}

#[derive(Debug)]
struct Dns {
    config: Config,
    resolver: Resolver,
    metrics: Arc<SdMetrics>,
    /// The last good answer for each name.
    known: BTreeMap<String, TargetGroup>,
}

impl Provider for Dns {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        use futures_util::StreamExt as _;
        let servers = self.resolver.read()?;
        let (config, resolver) = (&self.config, &self.resolver);
        let asked: Vec<_> = config
            .names
            .iter()
            .map(|name| resolver.look_up_named(&servers, name.clone(), config.record_type))
            .collect();
        let answers: Vec<_> = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let mut failure = None;
        let n_asked = answers.len();
        let mut n_failed = 0;
        for (name, answer) in answers {
            self.metrics.kinds.dns_lookups.inc();
            match answer {
                Ok(records) => {
                    self.known.insert(name.clone(), group(config, &name, &records));
                }
                Err(err) => {
                    self.metrics.kinds.dns_lookup_failures.inc();
                    n_failed += 1;
                    tracing::warn!(mechanism = "dns", name, error = %err, "cannot look up; its targets stay");
                    failure = Some(err);
                }
            }
        }
        match failure {
            Some(err) if n_failed == n_asked => Err(err),
            _ => Ok(self.known.values().cloned().collect()),
        }
    }
}

fn group(config: &Config, name: &str, records: &[Record]) -> TargetGroup {
    let bare = |host: &str| host.trim_end_matches('.').to_owned();
    let target = |record: &Record| {
        let (address, more) = match record {
            Record::A(ip) => (join_host_port(&ip.to_string(), config.port), Vec::new()),
            Record::Aaaa(ip) => (join_host_port(&ip.to_string(), config.port), Vec::new()),
            Record::Mx(host) => (
                join_host_port(&bare(host), config.port),
                vec![("__meta_dns_mx_record_target", host.clone())],
            ),
            Record::Ns(host) => (
                join_host_port(&bare(host), config.port),
                vec![("__meta_dns_ns_record_target", host.clone())],
            ),
            Record::Srv { target, port } => (
                join_host_port(&bare(target), port),
                vec![
                    ("__meta_dns_srv_record_target", target.clone()),
                    ("__meta_dns_srv_record_port", port.to_string()),
                ],
            ),
            Record::Other => return None,
        };
        let own = [("__address__", address), ("__meta_dns_name", name.to_owned())];
        Some(Labels::from_pairs(own.into_iter().chain(more)))
    };
    TargetGroup::new(name, records.iter().filter_map(target).collect())
}

/// What `/etc/resolv.conf` says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Servers {
    addresses: Vec<IpAddr>,
    search: Vec<String>,
    n_dots: usize,
}

impl Servers {
    fn parse(text: &str) -> Self {
        let mut servers = Self { addresses: Vec::new(), search: Vec::new(), n_dots: 1 };
        for line in text.lines().filter(|line| !line.starts_with([';', '#'])) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // A zone (`fe80::1%eth0`) is not part of an address as we connect to it.
                    let word = words.next().unwrap_or_default();
                    servers
                        .addresses
                        .extend(word.split('%').next().and_then(|word| word.parse::<IpAddr>().ok()));
                }
                Some("search") => servers.search = words.map(str::to_owned).collect(),
                Some("domain") => servers.search = words.take(1).map(str::to_owned).collect(),
                Some("options") => {
                    let n_dots =
                        words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok()).next_back();
                    servers.n_dots = n_dots.unwrap_or(servers.n_dots);
                }
                _ => {}
            }
        }
        servers
    }

    /// The names to ask for, in order, as the search list says.
    fn names(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let whole = format!("{name}.");
        let has_dots = name.split('.').count() > self.n_dots;
        let mut names: Vec<_> =
            self.search.iter().map(|domain| format!("{name}.{}.", domain.trim_matches('.'))).collect();
        if has_dots {
            names.insert(0, whole);
        } else {
            names.push(whole);
        }
        names
    }
}

#[derive(Debug)]
struct Resolver {
    dir: Arc<dyn Dir>,
    path: PathBuf,
    port: u16,
}

impl Resolver {
    fn read(&self) -> Result<Servers, SdError> {
        let path: &Path = &self.path;
        let bytes = self
            .dir
            .read(path)
            .map_err(|err| SdError::Other(format!("cannot read {}: {err}", path.display())))?;
        Ok(Servers::parse(&String::from_utf8_lossy(&bytes)))
    }

    async fn look_up_named(
        &self,
        servers: &Servers,
        name: String,
        kind: RecordType,
    ) -> (String, Result<Vec<Record>, SdError>) {
        let answer = self.look_up(servers, &name, kind).await;
        (name, answer)
    }

    /// The records of `name`, tried with every search domain; none when it does not exist.
    async fn look_up(&self, servers: &Servers, name: &str, kind: RecordType) -> Result<Vec<Record>, SdError> {
        let mut failure = None;
        for full in servers.names(name) {
            match self.ask_any(servers, &full, kind).await {
                Ok(message) if message.rcode == RCODE_SUCCESS => return Ok(message.answers),
                Ok(_) => {}
                Err(err) => failure = Some(err),
            }
        }
        failure.map_or(Ok(Vec::new()), Err)
    }

    async fn ask_any(&self, servers: &Servers, name: &str, kind: RecordType) -> Result<Message, SdError> {
        let mut reason = "there is no nameserver in resolv.conf".to_owned();
        for address in &servers.addresses {
            match ask(SocketAddr::new(*address, self.port), name, kind).await {
                Ok(message) if matches!(message.rcode, RCODE_SUCCESS | RCODE_NAME_ERROR) => {
                    return Ok(message);
                }
                Ok(message) => reason = format!("{address} answered with code {}", message.rcode),
                Err(err) => reason = format!("{address}: {err}"),
            }
        }
        Err(SdError::Other(format!(
            "could not resolve {name}: no servers returned a viable answer: {reason}"
        )))
    }
}

/// One question to one server: over UDP, and over TCP when the answer does not fit.
async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Result<Message, SdError> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(SdError::other)?;
    let id = u16::from_be_bytes(id);
    let timed_out = |_| SdError::other("i/o timeout");
    let message = tokio::time::timeout(
        ASK_TIMEOUT,
        ask_udp(server, &question(id, name, kind, true).map_err(SdError::other)?, id),
    )
    .await
    .map_err(timed_out)??;
    if !message.is_truncated {
        return Ok(message);
    }
    let asked = question(id, name, kind, false).map_err(SdError::other)?;
    let bytes = tokio::time::timeout(ASK_TIMEOUT, ask_tcp(server, &asked)).await.map_err(timed_out)??;
    let message = parse(&bytes).map_err(SdError::other)?;
    if message.is_truncated || message.id != id {
        return Err(SdError::other("the answer over TCP is truncated or not ours"));
    }
    Ok(message)
}

async fn ask_udp(server: SocketAddr, asked: &[u8], id: u16) -> Result<Message, SdError> {
    let own: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(own).await.map_err(SdError::other)?;
    socket.connect(server).await.map_err(SdError::other)?;
    socket.send(asked).await.map_err(SdError::other)?;
    let mut buffer = vec![0; UDP_BYTES_MAX];
    loop {
        let n_bytes = socket.recv(&mut buffer).await.map_err(SdError::other)?;
        let message = parse(&buffer[..n_bytes]).map_err(SdError::other)?;
        // A late answer to a question of before.
        if message.id == id {
            return Ok(message);
        }
    }
}

async fn ask_tcp(server: SocketAddr, asked: &[u8]) -> Result<Vec<u8>, SdError> {
    let mut stream = TcpStream::connect(server).await.map_err(SdError::other)?;
    let length = u16::try_from(asked.len()).map_err(SdError::other)?;
    let framed = [&length.to_be_bytes()[..], asked].concat();
    stream.write_all(&framed).await.map_err(SdError::other)?;
    let n_bytes = stream.read_u16().await.map_err(SdError::other)?;
    let mut bytes = vec![0; usize::from(n_bytes)];
    stream.read_exact(&mut bytes).await.map_err(SdError::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns_message::tests::answer;
    use crate::fake;
    use stdx::dir::MemDir;
    use stdx::metrics::Registry;

    fn check(text: &str, expected: Result<(), &str>) {
        assert_eq!(fake::config::<Config>(text).map(drop), expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        check("{names: [a]}", Ok(()));
        check("{names: [a], type: mx, port: 25}", Ok(()));
        check("{names: []}", Err("p.yml: DNS-SD config must contain at least one SRV record name"));
        check(
            "{names: [a], type: A}",
            Err("p.yml: a port is required in DNS-SD configs for all record types except SRV"),
        );
        check("{names: [a], type: TXT}", Err("p.yml: invalid DNS-SD records type TXT"));
    }

    #[test]
    fn the_search_list_is_followed() {
        let servers = Servers::parse(
            "# x\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch a.org b.org.\noptions ndots:2 timeout:1\n",
        );
        assert_eq!(servers.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        for (name, expected) in
            [("h.", "h."), ("h", "h.a.org. h.b.org. h."), ("h.x.y", "h.x.y. h.x.y.a.org. h.x.y.b.org.")]
        {
            assert_eq!(servers.names(name).join(" "), expected);
        }
    }

    /// A port that is free for both: tests beside this one may hold the other half of the first that is tried.
    async fn one_port() -> (UdpSocket, tokio::net::TcpListener, u16) {
        loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let port = udp.local_addr().unwrap().port();
            if let Ok(tcp) = tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
                return (udp, tcp, port);
            }
        }
    }

    /// A name server that knows `_m._tcp.org` (over TCP only, being large), `h.org` and `mail.org`; `bad.org` fails.
    async fn server() -> u16 {
        let (udp, tcp, port) = one_port().await;
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((n_bytes, from)) = udp.recv_from(&mut buffer).await {
                let asked = &buffer[..n_bytes];
                let text = String::from_utf8_lossy(asked).into_owned();
                let reply = if text.contains("_m") {
                    let mut reply = answer(asked, 0, &[]);
                    reply[2] |= 2;
                    reply
                } else if text.contains("\u{1}h\u{3}org") {
                    answer(asked, 0, &[(5, vec![0]), (1, vec![10, 0, 0, 7])])
                } else if text.contains("mail") {
                    answer(asked, 0, &[(15, vec![0, 5, 2, b'm', b'x', 0])])
                } else if text.contains("bad") {
                    answer(asked, 2, &[])
                } else {
                    answer(asked, RCODE_NAME_ERROR, &[])
                };
                udp.send_to(&reply, from).await.unwrap();
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let n_bytes = stream.read_u16().await.unwrap();
                let mut asked = vec![0; usize::from(n_bytes)];
                stream.read_exact(&mut asked).await.unwrap();
                let srv = [0, 0, 0, 0, 0x23, 0x8c, 2, b'h', b'1', 0xc0, 12].to_vec();
                let reply = answer(&asked, 0, &[(33, srv)]);
                stream.write_u16(u16::try_from(reply.len()).unwrap()).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        });
        port
    }

    async fn look(text: &str, port: u16) -> (Result<Vec<String>, String>, Registry) {
        let dir = MemDir::new();
        dir.write_atomic(Path::new("resolv.conf"), b"nameserver 127.0.0.1\nsearch org\n").unwrap();
        let registry = Registry::new();
        let mut dns = Dns {
            config: fake::config(text).unwrap(),
            resolver: Resolver { dir: Arc::new(dir), path: "resolv.conf".into(), port },
            metrics: Arc::new(SdMetrics::new(&registry)),
            known: BTreeMap::new(),
        };
        let answer: Result<Vec<TargetGroup>, SdError> = dns.refresh().await;
        (answer.map(|groups| fake::labels(&groups)).map_err(|err| err.to_string()), registry)
    }

    #[tokio::test]
    async fn records_become_targets() {
        let port = server().await;
        for (text, expected) in [
            (
                "{names: [_m._tcp.org]}",
                r#"{__address__="h1._m._tcp.org:9100", __meta_dns_name="_m._tcp.org", __meta_dns_srv_record_port="9100", __meta_dns_srv_record_target="h1._m._tcp.org."}"#,
            ),
            ("{names: [h, gone], type: A, port: 80}", r#"{__address__="10.0.0.7:80", __meta_dns_name="h"}"#),
            (
                "{names: [mail.org.], type: MX, port: 25}",
                r#"{__address__="mx:25", __meta_dns_mx_record_target="mx.", __meta_dns_name="mail.org."}"#,
            ),
        ] {
            assert_eq!(look(text, port).await.0.unwrap(), [expected], "{text}");
        }
    }

    #[tokio::test]
    async fn servers_that_fail_are_counted_and_take_nothing_away() {
        let port = server().await;
        let (answer, registry) = look("{names: [bad.org.], type: A, port: 80}", port).await;
        assert_eq!(
            answer.unwrap_err(),
            "could not resolve bad.org.: no servers returned a viable answer: 127.0.0.1 answered with code 2"
        );
        let text = registry.render();
        assert!(text.contains("prometheus_sd_dns_lookups_total 1\n"), "{text}");
        assert!(text.contains("prometheus_sd_dns_lookup_failures_total 1\n"), "{text}");
        let (answer, _) = look("{names: [bad.org., h.org], type: A, port: 80}", port).await;
        assert_eq!(answer.unwrap().len(), 1);
    }
}
