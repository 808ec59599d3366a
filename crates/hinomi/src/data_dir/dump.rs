//! `hinomi tsdb dump`: every sample as a line, as `promtool tsdb dump` prints them, or as OpenMetrics.

use std::io::{BufWriter, Write};

use anyhow::Result;
use model::float::format_g;
use model::{TimeRange, is_stale};
use storage::{Queryable as _, SelectHints, Series};

use super::Selection;

/// Prints `selection`.
pub(super) fn dump(selection: &Selection, as_openmetrics: bool) -> Result<()> {
    let db = super::open(&selection.data_dir)?;
    let range = TimeRange::new(selection.range.start_ms, selection.range.end_ms);
    let matchers = selection.matchers()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut n_histograms = 0;
    let mut set = db.select(&matchers, range, &SelectHints::default())?;
    while let Some(series) = set.next()? {
        n_histograms += series.histograms.len();
        let written = if as_openmetrics { openmetrics(&mut out, &series) } else { plain(&mut out, &series) };
        // A reader that has seen enough, such as head, is no error.
        if written.is_err_and(|err| err.kind() == std::io::ErrorKind::BrokenPipe) {
            return Ok(());
        }
    }
    if as_openmetrics {
        writeln!(out, "# EOF")?;
    }
    out.flush()?;
    drop(set);
    db.close()?;
    if n_histograms > 0 {
        eprintln!(
            "{n_histograms} native histograms left out: this text has no form for them; hinomi tsdb export has"
        );
    }
    Ok(())
}

fn plain(out: &mut impl Write, series: &Series) -> std::io::Result<()> {
    for (t_ms, value) in series.timestamps.iter().zip(&series.values) {
        writeln!(out, "{} {} {t_ms}", series.labels, format_g(*value))?;
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
