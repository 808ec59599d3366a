//! `hinomi tsdb dump`: every sample as a line, as `promtool tsdb dump` prints them, or as OpenMetrics.

use std::io::{BufWriter, Write};

use anyhow::Result;
use model::float::format_g;
use model::{TimeRange, is_stale};
use storage::{Queryable as _, SelectHints, Series};

use super::Selection;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DumpFormat {
    /// A line for each sample: labels, value, milliseconds.
    Lines,
    /// OpenMetrics with timestamps.
    OpenMetrics,
    /// A line for each series: its labels.
    SeriesJson,
}

/// Prints `selection`.
pub(super) fn dump(selection: &Selection, as_what: DumpFormat) -> Result<()> {
    let db = super::open(&selection.data_dir)?;
    let range = TimeRange::new(selection.range.start_ms, selection.range.end_ms);
    let matchers = selection.matchers()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut n_histograms = 0;
    let mut set = db.select(&matchers, range, &SelectHints::default())?;
    while let Some(series) = set.next()? {
        let written = match as_what {
            DumpFormat::Lines => lines(&mut out, &series),
            DumpFormat::OpenMetrics => {
                n_histograms += series.histograms.len();
                openmetrics(&mut out, &series)
            }
            DumpFormat::SeriesJson => {
                let labels: serde_json::Map<String, serde_json::Value> =
                    series.labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                writeln!(out, "{}", serde_json::Value::Object(labels))
            }
        };
        // A reader that has seen enough, such as head, is no error.
        if written.is_err_and(|err| err.kind() == std::io::ErrorKind::BrokenPipe) {
            return Ok(());
        }
    }
    if as_what == DumpFormat::OpenMetrics {
        writeln!(out, "# EOF")?;
    }
    out.flush()?;
    drop(set);
    db.close()?;
    if n_histograms > 0 {
        eprintln!(
            "{n_histograms} native histograms left out: OpenMetrics has no form for them; dump without --openmetrics has, and export"
        );
    }
    Ok(())
}

/// Floats and histograms in the order of their times.
fn lines(out: &mut impl Write, series: &Series) -> std::io::Result<()> {
    let mut histograms = series.histograms.iter().peekable();
    for (t_ms, value) in series.timestamps.iter().zip(&series.values) {
        while let Some(sample) = histograms.next_if(|sample| sample.t_ms < *t_ms) {
            writeln!(out, "{} {} {}", series.labels, sample.histogram, sample.t_ms)?;
        }
        writeln!(out, "{} {} {t_ms}", series.labels, format_g(*value))?;
    }
    for sample in histograms {
        writeln!(out, "{} {} {}", series.labels, sample.histogram, sample.t_ms)?;
    }
    Ok(())
}

/// Without staleness markers, which the text cannot carry.
fn openmetrics(out: &mut impl Write, series: &Series) -> std::io::Result<()> {
    let name = series.labels.metric_name();
    let rest = series.labels.without_metric_name();
    let pairs: Vec<String> =
        rest.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
    for (t_ms, value) in series.timestamps.iter().zip(&series.values).filter(|(_, value)| !is_stale(**value))
    {
        let (secs, millis) = (t_ms.div_euclid(1000), t_ms.rem_euclid(1000));
        writeln!(out, "{name}{labels} {} {secs}.{millis:03}", format_g(*value))?;
    }
    Ok(())
}

/// OpenMetrics knows three escapes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
