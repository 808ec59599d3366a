//! `hinomi tsdb dump`: every sample as a line, as `promtool tsdb dump` prints them, or as OpenMetrics.

use std::io::{BufWriter, Write};

use anyhow::Result;
use model::float::format_g;
use storage::{SelectHints, Series};

use super::openmetrics::{self, LeftOut};
use super::{Selected, Selection};

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
    let selected = selection.open()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = match as_what {
        DumpFormat::OpenMetrics => openmetrics::write(&mut out, &selected),
        _ => all_lines(&mut out, &selected, as_what).map(|()| LeftOut::default()),
    };
    let written = written.and_then(|left_out| Ok(out.flush().map(|()| left_out)?));
    let left_out = match written {
        // A reader that has seen enough, such as head, is no error.
        Err(err) if is_broken_pipe(&err) => return Ok(()),
        written => written?,
    };
    if left_out.n_histograms > 0 {
        eprintln!(
            "{} native histograms left out: OpenMetrics has no form for them; dump without --openmetrics has, and export",
            left_out.n_histograms
        );
    }
    if left_out.n_exemplars > 0 {
        eprintln!(
            "{} exemplars left out: OpenMetrics has them for counters and buckets, one for each sample",
            left_out.n_exemplars
        );
    }
    Ok(())
}

fn is_broken_pipe(err: &anyhow::Error) -> bool {
    err.downcast_ref::<std::io::Error>().is_some_and(|err| err.kind() == std::io::ErrorKind::BrokenPipe)
}

fn all_lines(out: &mut impl Write, selected: &Selected<'_>, as_what: DumpFormat) -> Result<()> {
    let hints = SelectHints { labels_only: as_what == DumpFormat::SeriesJson, ..SelectHints::default() };
    let mut set = selected.select(selected.selection.range, &hints)?;
    while let Some(series) = set.next()? {
        if as_what == DumpFormat::SeriesJson {
            let labels: serde_json::Map<String, serde_json::Value> =
                series.labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            writeln!(out, "{}", serde_json::Value::Object(labels))?;
        } else {
            lines(out, &series)?;
        }
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
