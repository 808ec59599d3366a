//! One request's batch of the store, with what became of its points: for OTLP and line protocol.

use model::labels::{LabelsBuilder, METRIC_NAME};
use model::{Exemplar, Histogram, Labels, Metadata};
use storage::{AppendError, Appender, StorageError};
use wire::exposition::{LABEL_BYTES_MAX, LABELS_MAX};
use wire::otlp::Partial;

/// Reasons spelled out for the sender; the others are counted. Chosen: a log line of some length.
const LINES_MAX: usize = 10;
/// Characters of an exemplar's labels, names and values. From OpenMetrics.
const EXEMPLAR_CHARS_MAX: usize = 128;

/// When a point was taken, and since when it counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Unix milliseconds.
    pub(crate) t_ms: i64,
    /// Likewise; 0 when not known.
    pub(crate) start_ms: i64,
}

fn to_ms(unix_nano: u64) -> i64 {
    (unix_nano / 1_000_000) as i64
}

impl Moment {
    /// From Unix nanoseconds.
    pub(crate) fn new(time_unix_nano: u64, start_time_unix_nano: u64) -> Self {
        Self { t_ms: to_ms(time_unix_nano), start_ms: to_ms(start_time_unix_nano) }
    }
}

/// What was done.
pub(crate) struct Done {
    pub(crate) partial: Partial,
    pub(crate) n_samples: u64,
    pub(crate) n_joined: u64,
    pub(crate) n_empty: u64,
}

/// A batch of the store.
pub(crate) struct Batch<'s> {
    appender: Box<dyn Appender + 's>,
    latest_ms: i64,
    /// A counter that begins gets a zero where its sender says it began.
    pub(crate) has_zeros: bool,
    n_samples: u64,
    n_rejected: u64,
    lines: Vec<String>,
    /// Attributes whose names became those of others.
    pub(crate) n_joined: u64,
    /// Metrics without points.
    pub(crate) n_empty: u64,
}

impl<'s> Batch<'s> {
    /// Takes what is not later than `latest_ms`.
    pub(crate) fn new(appender: Box<dyn Appender + 's>, latest_ms: i64) -> Self {
        Self {
            appender,
            latest_ms,
            has_zeros: false,
            n_samples: 0,
            n_rejected: 0,
            lines: Vec::new(),
            n_joined: 0,
            n_empty: 0,
        }
    }

    /// Counts points that are not stored; `why` is kept if there is room.
    pub(crate) fn reject(&mut self, n_points: u64, why: impl FnOnce() -> String) {
        self.n_rejected += n_points;
        if self.lines.len() < LINES_MAX {
            self.lines.push(why());
        }
    }

    /// The labels with a metric's name.
    pub(crate) fn named(&self, labels: &mut LabelsBuilder, name: &str) -> Result<Labels, String> {
        labels.set(METRIC_NAME, name);
        if labels.iter().count() > LABELS_MAX {
            return Err(format!("a point of {name} has more than {LABELS_MAX} labels"));
        }
        if labels.iter().any(|(name, value)| name.len().max(value.len()) > LABEL_BYTES_MAX) {
            return Err(format!("a label of {name} has more than {LABEL_BYTES_MAX} bytes"));
        }
        Ok(labels.build())
    }

    pub(crate) fn metadata(&mut self, name: &str, metadata: &Metadata) {
        self.appender.append_metadata(name, metadata);
    }

    fn is_near(&self, at: Moment, labels: &Labels) -> Result<(), String> {
        if at.t_ms > self.latest_ms {
            return Err(format!("out of bounds: timestamp is too far in the future for series {labels}"));
        }
        Ok(())
    }

    pub(crate) fn put(&mut self, labels: &Labels, at: Moment, value: f64) -> Result<(), String> {
        self.is_near(at, labels)?;
        if self.has_zeros && at.start_ms != 0 {
            // Refused for all but new counters.
            let _ = self.appender.append_zero(labels, at.t_ms, at.start_ms);
        }
        let appended = match at.start_ms {
            0 => self.appender.append(None, labels, at.t_ms, value),
            start_ms => self.appender.append_with_start(None, labels, at.t_ms, start_ms, value),
        };
        self.count(appended.map(|_| ()), labels)
    }

    pub(crate) fn put_histogram(
        &mut self,
        labels: &Labels,
        at: Moment,
        histogram: &Histogram,
    ) -> Result<(), String> {
        self.is_near(at, labels)?;
        let appended = self.appender.append_histogram(None, labels, at.t_ms, at.start_ms, histogram);
        self.count(appended.map(|_| ()), labels)
    }

    fn count(&mut self, appended: Result<(), AppendError>, labels: &Labels) -> Result<(), String> {
        appended.map_err(|err| format!("{err} for series {labels}"))?;
        self.n_samples += 1;
        Ok(())
    }

    /// Those that the store does not take are left out: they are a convenience.
    pub(crate) fn put_exemplars<'e>(
        &mut self,
        labels: &Labels,
        at: Moment,
        exemplars: impl Iterator<Item = &'e wire::otlp::Exemplar>,
    ) {
        for exemplar in exemplars {
            let exemplar = exemplar_of(exemplar, at);
            if exemplar.t_ms <= self.latest_ms {
                let _ = self.appender.append_exemplar(None, labels, &exemplar);
            }
        }
    }

    pub(crate) fn commit(self) -> Result<Done, StorageError> {
        let stats = self.appender.commit()?;
        let mut lines = self.lines;
        if stats.n_refused > 0 {
            lines.push("out of order sample, found at commit".to_owned());
        }
        Ok(Done {
            partial: Partial { n_rejected: self.n_rejected + stats.n_refused, message: lines.join("\n") },
            n_samples: self.n_samples.saturating_sub(stats.n_refused),
            n_joined: self.n_joined,
            n_empty: self.n_empty,
        })
    }
}

/// What was observed.
pub(crate) fn value_of(exemplar: &wire::otlp::Exemplar) -> f64 {
    exemplar.as_double.or(exemplar.as_int.map(|value| value as f64)).unwrap_or(0.0)
}

/// Attributes that make it too long are left out; the ids stay.
fn exemplar_of(exemplar: &wire::otlp::Exemplar, at: Moment) -> Exemplar {
    let mut labels = LabelsBuilder::new();
    for (name, id) in [("trace_id", &exemplar.trace_id), ("span_id", &exemplar.span_id)] {
        if id.bytes().any(|byte| byte != b'0') {
            labels.set(name, &id.to_ascii_lowercase());
        }
    }
    let mut n_chars: usize =
        labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    let attributes: Vec<(&str, String)> =
        exemplar.filtered_attributes.iter().map(|it| (it.key.as_str(), it.value.to_text())).collect();
    n_chars +=
        attributes.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum::<usize>();
    if n_chars <= EXEMPLAR_CHARS_MAX {
        for (name, value) in attributes.iter().filter(|(name, _)| !name.is_empty()) {
            labels.set(name, value);
        }
    }
    let t_ms = match to_ms(exemplar.time_unix_nano) {
        0 => at.t_ms,
        t_ms => t_ms,
    };
    Exemplar { labels: labels.build(), value: value_of(exemplar), t_ms }
}
