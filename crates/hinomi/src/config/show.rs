//! The configuration as the status page shows it: the file's own keys and values, secrets replaced.
//!
//! In from the file's text; out to `/api/v1/status/config`. Comments and layout are lost, order is kept.
//! Never prints what stands under a key that holds a secret, nor passwords inside URLs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// What stands for a secret, as Prometheus prints it.
const MASK: &str = "<secret>";

/// Keys whose values are secrets, wherever they stand.
const SECRET_KEYS: [&str; 14] = [
    "password",
    "credentials",
    "bearer_token",
    "client_secret",
    "secret_key",
    "secrets",
    "key",
    "token",
    "application_credential_secret",
    "client_certificate_key",
    "proxy_connect_header",
    "smtp_auth_password",
    "slack_api_url",
    "service_account_key",
];

/// And however they begin: `application_secret`, `auth_token`, `certificate_password`, `private_key` of the services that are discovered.
const SECRET_ENDS: [&str; 6] = ["_secret", "_token", "password", "passphrase", "private_key", "consumer_key"];

fn is_secret(key: &str) -> bool {
    SECRET_KEYS.contains(&key) || SECRET_ENDS.iter().any(|end| key.ends_with(end))
}

/// `text`, which must be YAML, with secrets replaced.
///
/// # Errors
/// When it is no YAML.
pub(crate) fn masked(file: &str, text: &str) -> Result<String, model::yaml::YamlError> {
    let node: Node = model::yaml::parse(file, text)?;
    let mut out = String::new();
    match &node {
        Node::Map(entries) if entries.is_empty() => {}
        node => push(&mut out, node, 0, false),
    }
    Ok(out)
}

/// Of each job in `text` its section, secrets replaced. Nothing where it is no YAML: others say so.
pub(crate) fn sections(file: &str, text: &str) -> BTreeMap<String, String> {
    let Ok(Node::Map(keys)) = model::yaml::parse(file, text) else { return BTreeMap::new() };
    let jobs = keys.into_iter().find(|(key, _)| key == "scrape_configs");
    let Some((_, Node::List(jobs))) = jobs else { return BTreeMap::new() };
    let section = |job: &Node| {
        let Node::Map(keys) = job else { return None };
        let name = keys.iter().find(|(key, _)| key == "job_name");
        let name = match &name?.1 {
            Node::Text(text) | Node::Number(text) => text.clone(),
            _ => return None,
        };
        let mut out = String::new();
        push(&mut out, job, 0, false);
        Some((name, out))
    };
    jobs.iter().filter_map(section).collect()
}

/// A YAML value, order kept.
enum Node {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

fn push(out: &mut String, node: &Node, indent: usize, after_dash: bool) {
    match node {
        Node::Map(entries) => {
            for (idx, (key, value)) in entries.iter().enumerate() {
                let pad = if idx == 0 && after_dash { 0 } else { indent };
                let _ = write!(out, "{:pad$}{}:", "", scalar(key));
                match is_secret(key) && !matches!(value, Node::Null) {
                    true => drop(writeln!(out, " {MASK}")),
                    false => push_value(out, value, indent),
                }
            }
        }
        Node::List(list) => {
            for (idx, item) in list.iter().enumerate() {
                let pad = if idx == 0 && after_dash { 0 } else { indent };
                let _ = write!(out, "{:pad$}-", "");
                match item {
                    Node::Map(entries) if !entries.is_empty() => {
                        out.push(' ');
                        push(out, item, indent + 2, true);
                    }
                    Node::List(inner) if !inner.is_empty() => {
                        out.push(' ');
                        push(out, item, indent + 2, true);
                    }
                    item => push_value(out, item, indent),
                }
            }
        }
        scalar => push_value(out, scalar, indent),
    }
}

/// What follows a key or a dash: on the same line, or a block below.
fn push_value(out: &mut String, node: &Node, indent: usize) {
    let _ = match node {
        Node::Null => writeln!(out, " null"),
        Node::Bool(value) => writeln!(out, " {value}"),
        Node::Number(text) => writeln!(out, " {text}"),
        Node::Text(text) => writeln!(out, " {}", scalar(&without_password(text))),
        Node::List(list) if list.is_empty() => writeln!(out, " []"),
        Node::Map(entries) if entries.is_empty() => writeln!(out, " {{}}"),
        Node::List(_) => {
            out.push('\n');
            return push(out, node, indent, false);
        }
        Node::Map(_) => {
            out.push('\n');
            return push(out, node, indent + 2, false);
        }
    };
}

/// `http://user:hunter2@host` → `http://user:<secret>@host`.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some((user, host)) = authority.rsplit_once('@') else { return text.to_owned() };
    let Some((name, _)) = user.split_once(':') else { return text.to_owned() };
    format!("{scheme}://{name}:{MASK}@{host}{path}")
}

/// A text, quoted where YAML would read it as something else.
fn scalar(text: &str) -> String {
    let is_plain_start =
        text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_' | '<' | '$' | '('));
    let is_plain = is_plain_start
        && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([' ', ':'])
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "null"
        );
    let starts_as_time = text.len() < 12 && text.parse::<model::Duration>().is_ok() && text != "0";
    if is_plain || starts_as_time {
        return text.to_owned();
    }
    let mut json = api::Json::new();
    json.text(text);
    json.finish()
}

#[cfg(test)]
mod tests {
    use super::{masked, sections};

    fn check(text: &str, expected: &str) {
        assert_eq!(masked("a.yml", text).unwrap(), expected, "{text}");
    }

    #[test]
    fn jobs_have_a_section_each() {
        let text =
            "scrape_configs:\n- job_name: a\n  basic_auth: {password: x}\n- {job_name: 7, scheme: https}\n";
        let found: Vec<_> = sections("a.yml", text).into_iter().collect();
        let expected = [
            ("7".to_owned(), "job_name: 7\nscheme: https\n".to_owned()),
            ("a".to_owned(), "job_name: a\nbasic_auth:\n  password: <secret>\n".to_owned()),
        ];
        assert_eq!(found, expected);
        assert!(sections("a.yml", "global: {}").is_empty());
    }

    #[test]
    fn keeps_order_and_hides_secrets() {
        check("", "");
        check(
            "global: {scrape_interval: 15s, external_labels: {a: \"yes\", b: 'x: y'}}\nscrape_configs:\n- job_name: b\n  basic_auth: {username: u, password: hunter2}\n  static_configs: [{targets: [\"h:1\", 'http://u:hunter2@h/p']}]\n  params: {}\n",
            "global:\n  scrape_interval: 15s\n  external_labels:\n    a: \"yes\"\n    b: \"x: y\"\nscrape_configs:\n- job_name: b\n  basic_auth:\n    username: u\n    password: <secret>\n  static_configs:\n  - targets:\n    - h:1\n    - http://u:<secret>@h/p\n  params: {}\n",
        );
        check(
            "a: {application_key: k, application_secret: s, consumer_key: s, auth_token: s, key_passphrase: s, certificate_password: s, private_key: s, service_account_key: s, private_key_path: p, token_url: u}\n",
            "a:\n  application_key: k\n  application_secret: <secret>\n  consumer_key: <secret>\n  auth_token: <secret>\n  key_passphrase: <secret>\n  certificate_password: <secret>\n  private_key: <secret>\n  service_account_key: <secret>\n  private_key_path: p\n  token_url: u\n",
        );
        check("a:\n- [1, x]\n- [true]\nb:\n", "a:\n- - 1\n  - x\n- - true\nb: null\n");
    }
}
