//! Labels and annotations of alerts: Go templates with Prometheus' functions.
//!
//! In from alerting rules, parsed once per rule; out as text. A template that fails gives
//! `<error expanding template: …>` and the alert goes on.

use std::net::IpAddr;
use std::sync::Arc;

use gotemplate::{Functions, Object, Options, Template, Value, query_escape};
use model::Labels;
use model::regex::SearchRegex;

use crate::humanize::{
    humanize, humanize_1024, humanize_duration, humanize_percentage, humanize_timestamp, to_time,
};
use crate::query::{Querier, Sample};

/// Stands before every template, so that `$labels` and its kin are known.
pub const ALERT_DEFS: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
    {{$externalURL := .ExternalURL}}{{$value := .Value}}";

const OPTIONS: Options = Options { missing_key_zero: true, html: false };

/// Whether `text` is a template for a rule called `alert`.
///
/// # Errors
/// In Prometheus' words.
pub fn check_template(alert: &str, text: &str) -> Result<(), String> {
    if !text.contains("{{") {
        return Ok(());
    }
    parse(alert, text, &functions(None)).map(|_| ())
}

fn parse(alert: &str, text: &str, functions: &Functions) -> Result<Template, String> {
    let name = format!("__alert_{alert}");
    Template::parse(&name, &format!("{ALERT_DEFS}{text}"), functions, OPTIONS)
        .map_err(|err| format!("error parsing template {name}: {err}"))
}

/// One text, parsed once.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    Plain(String),
    Template {
        name: String,
        template: Template,
    },
    /// Found out when the file was read, unless the rule was made in code.
    Broken(String),
}

impl Text {
    pub(crate) fn new(alert: &str, text: &str) -> Self {
        if !text.contains("{{") {
            return Self::Plain(text.to_owned());
        }
        match parse(alert, text, &functions(None)) {
            Ok(template) => Self::Template { name: format!("__alert_{alert}"), template },
            Err(err) => Self::Broken(err),
        }
    }

    /// The text for one alert. Errors become text, as in Prometheus.
    pub(crate) fn expand(&self, functions: &Functions, data: &Value) -> String {
        let result = match self {
            Self::Plain(text) => return text.clone(),
            Self::Broken(err) => Err(err.clone()),
            Self::Template { name, template } => template
                .execute_with(functions.clone(), data)
                .map_err(|err| format!("error executing template {name}: {err}")),
        };
        result.unwrap_or_else(|err| {
            tracing::warn!(error = err, "alert template failed");
            format!("<error expanding template: {err}>")
        })
    }

    pub(crate) fn is_template(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

/// What a template sees: `.Labels .Value .ExternalLabels .ExternalURL`.
pub(crate) fn alert_data(labels: &Labels, value: f64, external_labels: &Labels, external_url: &str) -> Value {
    Value::object(AlertData {
        labels: Value::string_map(labels),
        value,
        external_labels: Value::string_map(external_labels),
        external_url: Value::str(external_url),
    })
}

/// A type of its own, so that a name that is none of its fields is told as in Prometheus.
#[derive(Debug)]
struct AlertData {
    labels: Value,
    value: f64,
    external_labels: Value,
    external_url: Value,
}

impl Object for AlertData {
    fn type_name(&self) -> &str {
        "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(self.labels.clone()),
            "Value" => Some(Value::Float(self.value)),
            "ExternalLabels" => Some(self.external_labels.clone()),
            "ExternalURL" => Some(self.external_url.clone()),
            _ => None,
        }
    }

    /// As Go prints the fields of a struct.
    fn display(&self) -> String {
        format!(
            "{{{} {} {} {}}}",
            self.labels,
            self.external_labels,
            self.external_url,
            Value::Float(self.value)
        )
    }
}

/// What functions need to know of the evaluation at hand.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) querier: Querier,
    pub(crate) t_ms: i64,
    pub(crate) external_url: Arc<str>,
}

fn text(args: &[Value], idx: usize) -> Result<&str, String> {
    match args.get(idx) {
        Some(value) => value
            .as_str()
            .ok_or_else(|| format!("wrong type for value; expected string; got {}", value.type_name())),
        None => Err("argument is missing".to_owned()),
    }
}

fn number(args: &[Value], idx: usize) -> Result<f64, String> {
    match args.get(idx) {
        Some(Value::Float(value)) => Ok(*value),
        Some(Value::Int(value)) => Ok(*value as f64),
        Some(Value::Duration(ns)) => Ok(*ns as f64 / 1e9),
        Some(Value::Str(text)) => parse_float(text),
        Some(other) => Err(format!("can't convert {} to float", other.type_name())),
        None => Err("argument is missing".to_owned()),
    }
}

/// As Go's `strconv.ParseFloat`.
fn parse_float(text: &str) -> Result<f64, String> {
    let syntax = || format!("strconv.ParseFloat: parsing {}: invalid syntax", model::labels::quoted(text));
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return Err(syntax());
    }
    text.parse().map_err(|_| syntax())
}

/// A sample as templates see it.
fn sample_value(sample: &Sample) -> Value {
    Value::map([("Labels", Value::string_map(&sample.labels)), ("Value", Value::Float(sample.value))])
}

fn entry(value: &Value, name: &str) -> Option<Value> {
    match value {
        Value::Map(map) => map.entries.get(name).cloned(),
        _ => None,
    }
}

fn sample_label(sample: &Value, name: &str) -> Result<Value, String> {
    let labels = entry(sample, "Labels").ok_or_else(|| not_sample(sample))?;
    Ok(entry(&labels, name).unwrap_or_else(|| Value::str("")))
}

fn not_sample(value: &Value) -> String {
    format!("wrong type for value; expected *template.sample; got {}", value.type_name())
}

/// Prometheus' functions. Without a scene they are only known by name, for checking templates.
pub(crate) fn functions(scene: Option<&Scene>) -> Functions {
    let functions = with_numbers(with_texts(Functions::new()));
    let functions = with_samples(functions);
    let (for_query, for_now) = (scene.cloned(), scene.map_or(0, |scene| scene.t_ms));
    let url: Arc<str> = scene.map_or_else(|| Arc::from(""), |scene| Arc::clone(&scene.external_url));
    let path =
        url::Url::parse(&url).map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default();
    functions
        .add("query", 1, move |args| {
            let query = text(args, 0)?;
            let Some(scene) = &for_query else { return Ok(Value::list([])) };
            let samples = scene.querier.text(query, scene.t_ms)?;
            Ok(Value::list(samples.iter().map(sample_value)))
        })
        .add("now", 0, move |_| Ok(Value::Float(for_now as f64 / 1_000.0)))
        .add("externalURL", 0, move |_| Ok(Value::Str(Arc::clone(&url))))
        .add("pathPrefix", 0, move |_| Ok(Value::str(&path)))
}

fn with_samples(functions: Functions) -> Functions {
    functions
        .add("first", 1, |args| match &args[0] {
            Value::List(list) => {
                list.first().cloned().ok_or("first() called on vector with no elements".to_owned())
            }
            other => {
                Err(format!("wrong type for value; expected template.queryResult; got {}", other.type_name()))
            }
        })
        .add("label", 2, |args| sample_label(&args[1], text(args, 0)?))
        .add("value", 1, |args| entry(&args[0], "Value").ok_or_else(|| not_sample(&args[0])))
        .add("strvalue", 1, |args| sample_label(&args[0], "__value__"))
        .add("sortByLabel", 2, |args| {
            let name = text(args, 0)?;
            let Value::List(list) = &args[1] else {
                return Err(format!(
                    "wrong type for value; expected template.queryResult; got {}",
                    args[1].type_name()
                ));
            };
            let mut keyed = Vec::with_capacity(list.len());
            for sample in list.iter() {
                keyed.push((sample_label(sample, name)?.to_string(), sample.clone()));
            }
            keyed.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(Value::list(keyed.into_iter().map(|(_, sample)| sample)))
        })
        .add("args", 0.., |args| {
            let named = args.iter().enumerate().map(|(idx, arg)| (format!("arg{idx}"), arg.clone()));
            Ok(Value::map(named))
        })
}

fn with_numbers(functions: Functions) -> Functions {
    functions
        .add("humanize", 1, |args| Ok(Value::from(humanize(number(args, 0)?))))
        .add("humanize1024", 1, |args| Ok(Value::from(humanize_1024(number(args, 0)?))))
        .add("humanizeDuration", 1, |args| Ok(Value::from(humanize_duration(number(args, 0)?))))
        .add("humanizePercentage", 1, |args| Ok(Value::from(humanize_percentage(number(args, 0)?))))
        .add("humanizeTimestamp", 1, |args| Ok(Value::from(humanize_timestamp(number(args, 0)?)?)))
        .add("toTime", 1, |args| to_time(number(args, 0)?))
        .add("toDuration", 1, |args| {
            let ns = number(args, 0)? * 1e9;
            if !ns.is_finite() || ns.abs() > i64::MAX as f64 {
                return Err("value cannot be represented as a duration since it overflows int64".to_owned());
            }
            Ok(Value::Duration(ns as i64))
        })
        .add("parseDuration", 1, |args| {
            let duration: model::Duration = text(args, 0)?.parse().map_err(|err| format!("{err}"))?;
            Ok(Value::Float(duration.as_secs_f64()))
        })
}

fn with_texts(functions: Functions) -> Functions {
    functions
        .add("title", 1, |args| Ok(Value::from(title(text(args, 0)?))))
        .add("toUpper", 1, |args| Ok(Value::from(text(args, 0)?.to_uppercase())))
        .add("toLower", 1, |args| Ok(Value::from(text(args, 0)?.to_lowercase())))
        .add("match", 2, |args| {
            let regex = SearchRegex::new(text(args, 0)?).map_err(|err| err.to_string())?;
            Ok(Value::Bool(regex.is_match(text(args, 1)?)))
        })
        .add("reReplaceAll", 3, |args| {
            let regex = SearchRegex::new(text(args, 0)?).map_err(|err| err.to_string())?;
            Ok(Value::from(regex.replace_all(text(args, 2)?, text(args, 1)?)))
        })
        .add("safeHtml", 1, |args| Ok(Value::Html(Arc::from(text(args, 0)?))))
        .add("graphLink", 1, |args| Ok(Value::from(expression_link(text(args, 0)?, 0))))
        .add("tableLink", 1, |args| Ok(Value::from(expression_link(text(args, 0)?, 1))))
        .add("urlQueryEscape", 1, |args| Ok(Value::from(query_escape(text(args, 0)?))))
        .add("stripPort", 1, |args| Ok(Value::from(strip_port(text(args, 0)?))))
        .add("stripDomain", 1, |args| Ok(Value::from(strip_domain(text(args, 0)?))))
}

/// Every word's first letter in upper case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        // As Go's strings.Title, an apostrophe ends a word.
        in_word = c.is_alphanumeric() || c == '_' || (!c.is_ascii() && !c.is_whitespace());
    }
    out
}

/// The path of the page that shows `expr`: as a graph (tab 0) or a table (tab 1).
pub(crate) fn expression_link(expr: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", query_escape(expr))
}

/// Host and port, as Go's `net.SplitHostPort`.
fn split_host_port(address: &str) -> Option<(&str, &str)> {
    if let Some(inner) = address.strip_prefix('[') {
        let (host, rest) = inner.split_once(']')?;
        return rest.strip_prefix(':').map(|port| (host, port));
    }
    let (host, port) = address.rsplit_once(':')?;
    if host.contains([':', '[', ']']) { None } else { Some((host, port)) }
}

fn strip_port(address: &str) -> &str {
    split_host_port(address).map_or(address, |(host, _)| host)
}

fn strip_domain(address: &str) -> String {
    let (host, port) = split_host_port(address).unwrap_or((address, ""));
    if host.parse::<IpAddr>().is_ok() {
        return address.to_owned();
    }
    let host = host.split('.').next().unwrap_or(host);
    match port {
        "" => host.to_owned(),
        port if host.contains(':') => format!("[{host}]:{port}"),
        port => format!("{host}:{port}"),
    }
}
