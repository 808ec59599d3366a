//! Which proxy a request goes through.
//!
//! In from `proxy_url`, `no_proxy` and the environment; rules of Go's `httpproxy`: a listed domain stands for its
//! subdomains too, a leading dot for subdomains only, addresses and networks are compared as such, `*` is all.

use std::net::IpAddr;

use url::Url;

use crate::config::ProxyConfig;
use crate::config::proxy::parse;

/// Where a SOCKS proxy listens unless its URL says so. RFC 1928 §3.
const SOCKS_PORT: u16 = 1080;

/// A proxy server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProxyServer {
    pub(crate) url: Url,
}

impl ProxyServer {
    /// Host and port to connect to.
    pub(crate) fn addr(&self) -> (String, u16) {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let usual = if self.is_socks() { SOCKS_PORT } else { 80 };
        (host, self.url.port_or_known_default().unwrap_or(usual))
    }

    /// Whether it speaks SOCKS, and so never sees what is asked.
    pub(crate) fn is_socks(&self) -> bool {
        matches!(self.url.scheme(), "socks5" | "socks5h")
    }

    /// User and password of the URL.
    pub(crate) fn user(&self) -> Option<(String, String)> {
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let name = decode(self.url.username());
        (!name.is_empty()).then(|| (name, decode(self.url.password().unwrap_or_default())))
    }

    /// The value of `Proxy-Authorization`, when the URL has a user.
    pub(crate) fn authorization(&self) -> Option<String> {
        self.user().map(|(name, password)| crate::secret::basic_header(&name, &password))
    }
}

/// Chooses.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProxyRules {
    http: Option<ProxyServer>,
    https: Option<ProxyServer>,
    exceptions: Vec<String>,
    /// Only a bare `proxy_url` sends requests to this very machine through the proxy.
    loopback_direct: bool,
}

impl ProxyRules {
    /// From a configuration, looking into the environment when it says so. Environment variables come through `env`.
    pub(crate) fn new(config: &ProxyConfig, env: impl Fn(&str) -> Option<String>) -> Self {
        let server = |text: &str| Url::parse(text).ok().map(|url| ProxyServer { url });
        if config.proxy_from_environment {
            let first = |names: [&str; 2]| names.into_iter().find_map(&env).filter(|text| !text.is_empty());
            // `proxy:3128` without a scheme means http.
            let lenient = |text: String| {
                server(&text).filter(|s| s.url.host().is_some()).or_else(|| server(&format!("http://{text}")))
            };
            return Self {
                http: first(["HTTP_PROXY", "http_proxy"]).and_then(lenient),
                https: first(["HTTPS_PROXY", "https_proxy"]).and_then(lenient),
                exceptions: exceptions(&first(["NO_PROXY", "no_proxy"]).unwrap_or_default()),
                loopback_direct: true,
            };
        }
        let proxy = config.proxy_url.as_ref().and_then(|url| parse(url.expose()).ok());
        let proxy = proxy.map(|url| ProxyServer { url });
        Self {
            http: proxy.clone(),
            https: proxy,
            exceptions: exceptions(&config.no_proxy),
            loopback_direct: !config.no_proxy.is_empty(),
        }
    }

    /// The proxy for a target; `None` for a direct connection.
    pub(crate) fn choose(&self, is_https: bool, host: &str, port: u16) -> Option<&ProxyServer> {
        let proxy = if is_https { self.https.as_ref() } else { self.http.as_ref() }?;
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let ip: Option<IpAddr> = host.parse().ok();
        if self.loopback_direct && (host == "localhost" || ip.is_some_and(|ip| ip.is_loopback())) {
            return None;
        }
        let is_exception = self.exceptions.iter().any(|rule| rule_matches(rule, &host, ip, port));
        (!is_exception).then_some(proxy)
    }
}

fn exceptions(text: &str) -> Vec<String> {
    text.split(',').map(|rule| rule.trim().to_ascii_lowercase()).filter(|rule| !rule.is_empty()).collect()
}

fn rule_matches(rule: &str, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
    if rule == "*" {
        return true;
    }
    if let Some((network, bits)) = rule.split_once('/')
        && let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>())
    {
        return ip.is_some_and(|ip| in_network(ip, network, bits));
    }
    let (rule, rule_port) = match rule.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => match digits.parse::<u16>() {
            Ok(port) => (name, Some(port)),
            Err(_) => (rule, None),
        },
        _ => (rule, None),
    };
    if rule_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    let rule = rule.trim_matches(['[', ']']);
    if let Ok(wanted) = rule.parse::<IpAddr>() {
        return ip == Some(wanted);
    }
    let domain = rule.trim_start_matches('*');
    match domain.strip_prefix('.') {
        Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
        None => host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
    }
}

fn in_network(ip: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(ip) & mask == u32::from(network) & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(ip) & mask == u128::from(network) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(no_proxy: &str, host: &str, port: u16, direct: bool) {
        let config = ProxyConfig {
            proxy_url: Some(crate::Secret::new("http://proxy:3128")),
            no_proxy: no_proxy.to_owned(),
            ..ProxyConfig::default()
        };
        let rules = ProxyRules::new(&config, |_| None);
        assert_eq!(rules.choose(false, host, port).is_none(), direct, "{no_proxy:?} {host}:{port}");
    }

    #[test]
    fn exceptions_follow_go() {
        check("", "localhost", 80, false);
        check("other", "localhost", 80, true);
        check("example.com", "example.com", 80, true);
        check("example.com", "a.example.com", 80, true);
        check("example.com", "notexample.com", 80, false);
        check(".example.com", "example.com", 80, false);
        check(".example.com", "a.example.com", 80, true);
        check("a, 10.0.0.0/8", "10.9.8.7", 80, true);
        check("10.0.0.0/8", "11.0.0.1", 80, false);
        check("10.0.0.1:9100", "10.0.0.1", 9100, true);
        check("10.0.0.1:9100", "10.0.0.1", 80, false);
        check("fd00::/8", "[fd00::1]", 80, true);
        check("*", "anything", 80, true);
    }

    #[test]
    fn environment_decides_by_scheme() {
        let config = ProxyConfig { proxy_from_environment: true, ..ProxyConfig::default() };
        let rules = ProxyRules::new(&config, |name| (name == "https_proxy").then(|| "proxy:3128".to_owned()));
        assert!(rules.choose(false, "example.com", 80).is_none());
        assert_eq!(rules.choose(true, "example.com", 443).unwrap().addr(), ("proxy".to_owned(), 3128));
    }

    #[test]
    fn proxies_of_socks_have_their_own_port_and_are_told_no_header() {
        let server = |text: &str| ProxyServer { url: parse(text).unwrap() };
        let socks = server("socks5h://u:p%40ss@proxy");
        assert_eq!((socks.is_socks(), socks.addr()), (true, ("proxy".to_owned(), 1080)));
        assert_eq!(socks.user(), Some(("u".to_owned(), "p@ss".to_owned())));
        assert_eq!(server("socks5://[::1]:9050").addr(), ("::1".to_owned(), 9050));
        assert!(!server("http://proxy").is_socks() && server("http://proxy").user().is_none());
    }
}
