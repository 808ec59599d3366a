//! Log lines on stderr: logfmt as Prometheus 3 writes it, JSON, or a short form on a terminal.

use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Result, bail};
use jiff::Timestamp;
use spans::{Program, Tracer};
use stdx::{Clock, SystemClock};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, Filter, Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Logfmt,
    Json,
    Terminal,
}

/// Starts logging. `format` is `logfmt` or `json`; logfmt on a terminal becomes a short form for eyes.
///
/// Spans go to the tracer that comes back, which is off until a configuration says otherwise.
///
/// # Errors
/// When level or format is unknown.
pub(crate) fn start(level: &str, format: &str, program: &'static str) -> Result<Tracer> {
    let Ok(filter) = LevelFilter::from_str(level) else {
        bail!("--log.level: {level:?} is none of error, warn, info, debug");
    };
    let form = match format {
        "json" => Form::Json,
        "logfmt" if std::io::stderr().is_terminal() => Form::Terminal,
        "logfmt" => Form::Logfmt,
        _ => bail!("--log.format: {format:?} is none of logfmt, json"),
    };
    let program = Program { name: program, version: crate::build::VERSION };
    let tracer = Tracer::new(program, Arc::new(SystemClock::new()));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .event_format(Lines { form, clock: SystemClock::new() })
        .with_filter(Events(filter));
    let subscriber = tracing_subscriber::registry().with(lines).with(tracer.layer());
    // A second start, in tests only, keeps the first.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(tracer)
}

/// What becomes a line: events up to a level, and no spans.
struct Events(LevelFilter);

impl Events {
    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.0
    }
}

impl<S> Filter<S> for Events {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.takes(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.takes(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0)
    }
}

struct Lines {
    form: Form,
    clock: SystemClock,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let file = metadata.file().unwrap_or("").rsplit("crates/").next().unwrap_or("");
        let line = Line {
            time_ms: self.clock.now_ms(),
            level: *metadata.level(),
            source: format!("{file}:{}", metadata.line().unwrap_or(0)),
            fields,
        };
        writer.write_str(&line.render(self.form))
    }
}

/// One line's facts.
struct Line {
    time_ms: i64,
    level: Level,
    source: String,
    fields: Fields,
}

impl Line {
    fn render(&self, form: Form) -> String {
        let time = Timestamp::from_millisecond(self.time_ms).unwrap_or_default();
        let Fields { message, pairs } = &self.fields;
        let mut out = String::new();
        match form {
            Form::Logfmt => {
                let _ = write!(
                    out,
                    "time={time:.3} level={} source={} msg={}",
                    self.level,
                    self.source,
                    value(message)
                );
                push_pairs(&mut out, pairs);
            }
            Form::Json => {
                let _ = write!(out, "{{\"time\":\"{time:.3}\",\"level\":\"{}\"", self.level);
                let facts = [("source", &self.source), ("msg", message)];
                let rest = pairs.iter().map(|(key, text)| (*key, text));
                for (key, text) in facts.into_iter().chain(rest) {
                    let mut json = api::Json::new();
                    json.text(text);
                    let _ = write!(out, ",\"{key}\":{}", json.finish());
                }
                out.push('}');
            }
            Form::Terminal => {
                let clock = time.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S");
                let _ = write!(out, "{clock} {:<5} {message}", self.level);
                push_pairs(&mut out, pairs);
            }
        }
        out.push('\n');
        out
    }
}

fn push_pairs(out: &mut String, pairs: &[(&'static str, String)]) {
    for (key, text) in pairs {
        let _ = write!(out, " {key}={}", value(text));
    }
}

/// Message and other fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    pairs: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, text: &str) {
        match field.name() {
            "message" => text.clone_into(&mut self.message),
            name => self.pairs.push((name, text.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, text: &dyn fmt::Debug) {
        self.record_str(field, &format!("{text:?}"));
    }

    fn record_error(&mut self, field: &Field, err: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &format!("{err}"));
    }
}

/// In quotes where logfmt needs them.
fn value(text: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { model::labels::quoted(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_logfmt_or_json() {
        let line = Line {
            time_ms: 1_435_781_430_781,
            level: Level::WARN,
            source: "scrape/src/driver.rs:7".to_owned(),
            fields: Fields {
                message: "scrape failed".to_owned(),
                pairs: vec![("error", "a=\"b\"".to_owned()), ("n", "3".to_owned())],
            },
        };
        assert_eq!(
            line.render(Form::Logfmt),
            "time=2015-07-01T20:10:30.781Z level=WARN source=scrape/src/driver.rs:7 msg=\"scrape failed\" \
             error=\"a=\\\"b\\\"\" n=3\n"
        );
        assert_eq!(
            line.render(Form::Json),
            "{\"time\":\"2015-07-01T20:10:30.781Z\",\"level\":\"WARN\",\"source\":\"scrape/src/driver.rs:7\",\
             \"msg\":\"scrape failed\",\"error\":\"a=\\\"b\\\"\",\"n\":\"3\"}\n"
        );
    }
}
