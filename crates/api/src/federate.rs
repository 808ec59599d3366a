//! `GET /federate`: the newest sample of every selected series, for another server to scrape.
//!
//! In the text format, or in protobuf for those who ask for it: native histograms are in there alone, but for those with custom buckets,
//! which are classic ones in both. Order, types and labels as Prometheus: by metric name, `untyped`, external labels where the series has
//! none of the name, and an empty `instance` so that the scraping server does not put its own. Names beyond the classic alphabet are
//! escaped as the request asks.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use model::labels::{METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use model::{Histogram, Labels, NameEscaping, TimeRange, is_stale};
use promql::{EvalError, LookUp};
use storage::{Queryable, SelectHints, Series};
use wire::exposition::{FamilyWriter, Point};

use crate::error::{ApiError, ErrorKind};
use crate::params::Params;
use crate::respond::text_response;
use crate::state::{Shared, Shell};
use crate::v1;

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format {
    is_protobuf: bool,
    /// Of the text format, 1.0.0 rather than 0.0.4.
    is_version_1: bool,
    escaping: NameEscaping,
}

impl Format {
    /// What `Accept` asks for: its clauses by falling weight, the first that can be had. As Prometheus, of which a scheme of escaping holds from
    /// the clause on that names it.
    fn negotiated(accept: &str) -> Self {
        let mut clauses: Vec<(f64, Vec<&str>)> = accept
            .split(',')
            .map(|clause| {
                let parts: Vec<&str> = clause.split(';').map(str::trim).collect();
                let weight = parts.iter().find_map(|part| part.strip_prefix("q=")?.parse().ok());
                (weight.unwrap_or(1.0), parts)
            })
            .collect();
        clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut format = Self { is_protobuf: false, is_version_1: false, escaping: NameEscaping::default() };
        for (_, parts) in &clauses {
            let parameter = |name: &str| {
                let mut pairs = parts[1..].iter().filter_map(|part| part.split_once('='));
                pairs.find(|(known, _)| *known == name).map(|(_, value)| value.trim_matches('"'))
            };
            if let Some(escaping) = parameter("escaping").and_then(|text| text.parse().ok()) {
                format.escaping = escaping;
            }
            let is_families = parameter("proto") == Some("io.prometheus.client.MetricFamily");
            match (parts[0], parameter("version")) {
                ("application/vnd.google.protobuf", _)
                    if is_families && parameter("encoding") == Some("delimited") =>
                {
                    return Self { is_protobuf: true, ..format };
                }
                ("text/plain", Some("1.0.0")) => return Self { is_version_1: true, ..format },
                ("text/plain", None | Some("" | "0.0.4")) => return format,
                _ => {}
            }
        }
        format
    }

    fn content_type(self) -> String {
        let media = match self {
            Self { is_protobuf: true, .. } => wire::exposition::Format::Protobuf.content_type(),
            Self { is_version_1: true, .. } => "text/plain; version=1.0.0; charset=utf-8",
            _ => wire::exposition::Format::Text004.content_type(),
        };
        format!("{media}; escaping={}", self.escaping)
    }
}

pub(crate) async fn page(
    State(shell): State<Arc<Shell>>,
    Shared(api): Shared,
    headers: HeaderMap,
    params: Params,
) -> Response {
    let sets = match params.matcher_sets() {
        Ok(sets) => sets,
        Err(why) => return text_response(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::negotiated(&accept.collect::<Vec<_>>().join(","));
    let external = shell.config.load().external_labels.clone();
    let now_ms = api.clock.now_ms();
    let range = TimeRange::new(now_ms.saturating_sub(api.engine.load().options().lookback_ms), now_ms);
    let body = v1::series::read_text(&api, move |queryable, look_up| {
        let mut newest = BTreeMap::new();
        for matchers in &sets {
            collect(queryable, look_up, matchers, range, &mut newest)?;
        }
        let exposed = Exposed { newest: &newest, external: &external, escaping: format.escaping };
        Ok(if format.is_protobuf { exposed.protobuf() } else { exposed.text().into_bytes() })
    });
    match body.await {
        Ok(body) => {
            let mut response = text_response(StatusCode::OK, body);
            if let Ok(content_type) = HeaderValue::try_from(format.content_type()) {
                response.headers_mut().insert(CONTENT_TYPE, content_type);
            }
            response
        }
        Err(ApiError { kind: ErrorKind::Timeout, message }) => {
            text_response(StatusCode::SERVICE_UNAVAILABLE, format!("{message}\n"))
        }
        Err(err) => text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("{err}\n")),
    }
}

/// What a series had last.
#[derive(Debug, Clone)]
enum Last {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// Newest sample of each series; by name, then by labels.
type Newest = BTreeMap<(String, Labels), (i64, Last)>;

fn collect(
    queryable: &dyn Queryable,
    look_up: &LookUp,
    matchers: &[model::Matcher],
    range: TimeRange,
    newest: &mut Newest,
) -> Result<(), EvalError> {
    let mut set = queryable.select(matchers, range, &SelectHints::default()).map_err(EvalError::Storage)?;
    while let Some(series) = set.next().map_err(EvalError::Storage)? {
        look_up.take(v1::series::bytes_of(&series.labels))?;
        let name = series.labels.metric_name();
        if let Some(last) = last_of(&series).filter(|_| !name.is_empty()) {
            newest.insert((name.to_owned(), series.labels.clone()), last);
        }
    }
    Ok(())
}

/// A series that ended has none.
fn last_of(series: &Series) -> Option<(i64, Last)> {
    let float = series.timestamps.last().copied().zip(series.values.last().copied());
    let histogram = series.histograms.last();
    match (float, histogram) {
        (Some((t_ms, value)), None) => (!is_stale(value)).then_some((t_ms, Last::Float(value))),
        (float, Some(sample)) => match float {
            Some((t_ms, value)) if t_ms > sample.t_ms => {
                (!is_stale(value)).then_some((t_ms, Last::Float(value)))
            }
            _ => (!is_stale(sample.histogram.sum))
                .then(|| (sample.t_ms, Last::Histogram(sample.histogram.clone()))),
        },
        (None, None) => None,
    }
}

/// What is sent.
struct Exposed<'a> {
    newest: &'a Newest,
    external: &'a Labels,
    escaping: NameEscaping,
}

impl Exposed<'_> {
    /// The labels of a series but its name, with those it lacks.
    fn labels<'l>(&'l self, labels: &'l Labels) -> Vec<(Cow<'l, str>, &'l str)> {
        let own = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
        let added = self.external.iter().filter(|(label, _)| labels.get(label).is_none());
        let has_instance = labels.get("instance").is_some() || self.external.get("instance").is_some();
        let instance = (!has_instance).then_some(("instance", ""));
        own.chain(instance).chain(added).map(|(name, value)| (self.escaping.escape(name), value)).collect()
    }

    fn protobuf(&self) -> Vec<u8> {
        let mut writer = FamilyWriter::default();
        for ((name, labels), (t_ms, last)) in self.newest {
            let labels = self.labels(labels);
            let pairs = labels.iter().map(|(name, value)| (&**name, *value));
            let point = match last {
                Last::Float(value) => Point::Untyped(*value),
                Last::Histogram(histogram) => Point::Histogram(histogram),
            };
            writer.metric(&self.escaping.escape(name), pairs, *t_ms, point);
        }
        writer.finish()
    }

    fn text(&self) -> String {
        let (mut out, mut last_family) = (String::new(), (String::new(), ""));
        for ((name, labels), (t_ms, last)) in self.newest {
            let kind = match last {
                Last::Float(_) => "untyped",
                Last::Histogram(histogram) if histogram.uses_custom_buckets() => "histogram",
                // The format has no form for them.
                Last::Histogram(_) => continue,
            };
            let name = self.escaping.escape(name);
            if (&*last_family.0, last_family.1) != (&*name, kind) {
                let shown = if is_legacy_metric_name(&name) { name.to_string() } else { quote(&name) };
                let _ = writeln!(out, "# TYPE {shown} {kind}");
                last_family = (name.to_string(), kind);
            }
            let labels = self.labels(labels);
            match last {
                Last::Float(value) => push_line(&mut out, &name, &labels, None, *value, *t_ms),
                Last::Histogram(histogram) => push_classic(&mut out, &name, &labels, histogram, *t_ms),
            }
        }
        out
    }
}

/// A histogram with custom buckets as the lines of a classic one.
fn push_classic(
    out: &mut String,
    name: &str,
    labels: &[(Cow<'_, str>, &str)],
    histogram: &Histogram,
    t_ms: i64,
) {
    let bucket = format!("{name}_bucket");
    for (upper, below) in histogram.cumulative() {
        push_line(out, &bucket, labels, Some(&model::float::format_g(upper)), below, t_ms);
    }
    push_line(out, &bucket, labels, Some("+Inf"), histogram.count, t_ms);
    push_line(out, &format!("{name}_sum"), labels, None, histogram.sum, t_ms);
    push_line(out, &format!("{name}_count"), labels, None, histogram.count, t_ms);
}

fn push_line(
    out: &mut String,
    name: &str,
    labels: &[(Cow<'_, str>, &str)],
    le: Option<&str>,
    value: f64,
    t_ms: i64,
) {
    let is_quoted = !is_legacy_metric_name(name);
    let mut pairs: Vec<String> = if is_quoted { vec![quote(name)] } else { Vec::new() };
    pairs.extend(labels.iter().map(|(label, value)| match is_legacy_label_name(label) {
        true => format!("{label}={}", quote(value)),
        false => format!("{}={}", quote(label), quote(value)),
    }));
    pairs.extend(le.map(|le| format!("le={}", quote(le))));
    let shown = if is_quoted { "" } else { name };
    let _ = writeln!(out, "{shown}{{{}}} {} {t_ms}", pairs.join(","), model::float::format_g(value));
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_decides_on_format_and_escaping() {
        let check = |accept: &str, expected: &str| {
            assert_eq!(Format::negotiated(accept).content_type(), expected, "{accept}");
        };
        let text = "text/plain; version=0.0.4; charset=utf-8; escaping=";
        check("", &format!("{text}underscores"));
        check("*/*", &format!("{text}underscores"));
        check("text/html, text/plain;q=0.5", &format!("{text}underscores"));
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;escaping=values;q=0.4,*/*;q=0.2",
            "text/plain; version=1.0.0; charset=utf-8; escaping=values",
        );
        let protobuf =
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        check(
            "text/plain;version=0.0.4;q=0.2,application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6",
            &format!("{protobuf}; escaping=underscores"),
        );
        check("application/vnd.google.protobuf;encoding=text", &format!("{text}underscores"));
    }

    fn newest<const N: usize>(series: [(&str, &str, Last); N]) -> Newest {
        let entry = |(name, job, last): (&str, &str, Last)| {
            let labels = Labels::from_pairs([("__name__", name), ("job", job)]);
            ((name.to_owned(), labels), (7, last))
        };
        series.into_iter().map(entry).collect()
    }

    #[test]
    fn lines_are_grouped_and_carry_external_labels() {
        let newest = newest([("up", "a", Last::Float(1.0)), ("b", "x\"\n", Last::Float(1e21))]);
        let external = Labels::from_pairs([("job", "no"), ("mon", "m")]);
        let exposed = Exposed { newest: &newest, external: &external, escaping: NameEscaping::default() };
        assert_eq!(
            exposed.text(),
            "# TYPE b untyped\nb{job=\"x\\\"\\n\",instance=\"\",mon=\"m\"} 1e+21 7\n\
             # TYPE up untyped\nup{job=\"a\",instance=\"\",mon=\"m\"} 1 7\n"
        );
    }

    #[test]
    fn histograms_and_names_take_the_form_that_is_asked_for() {
        let native = Histogram { count: 1.0, zero_count: 1.0, ..Histogram::default() };
        let custom = Histogram {
            schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
            count: 3.0,
            sum: 4.5,
            positive_spans: vec![model::histogram::Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            custom_bounds: [0.5].into(),
            ..Histogram::default()
        };
        let newest = newest([
            ("a.b", "j", Last::Float(1.0)),
            ("c", "j", Last::Histogram(Arc::new(custom))),
            ("n", "j", Last::Histogram(Arc::new(native))),
        ]);
        let external = Labels::from_pairs([("instance", "i")]);
        let exposed = |escaping| Exposed { newest: &newest, external: &external, escaping };
        assert_eq!(
            exposed(NameEscaping::AllowUtf8).text(),
            "# TYPE \"a.b\" untyped\n{\"a.b\",job=\"j\",instance=\"i\"} 1 7\n\
             # TYPE c histogram\nc_bucket{job=\"j\",instance=\"i\",le=\"0.5\"} 1 7\n\
             c_bucket{job=\"j\",instance=\"i\",le=\"+Inf\"} 3 7\nc_sum{job=\"j\",instance=\"i\"} 4.5 7\n\
             c_count{job=\"j\",instance=\"i\"} 3 7\n"
        );
        assert!(exposed(NameEscaping::Underscores).text().starts_with("# TYPE a_b untyped\na_b{job="));
        let body = exposed(NameEscaping::Underscores).protobuf();
        let mut read = wire::exposition::Translation::default();
        let options = wire::exposition::HistogramOptions { natives: true, ..Default::default() };
        wire::exposition::translate_protobuf(&body, options, &mut read).unwrap();
        assert!(read.text.contains("a_b{") && read.text.contains("c_bucket{"), "{}", read.text);
        assert_eq!((read.natives.len(), read.natives[0].histogram.zero_count), (1, 1.0));
    }
}
