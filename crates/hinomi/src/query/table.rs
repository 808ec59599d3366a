//! Answers with a column for each label: as tables for eyes, and as CSV.

use std::collections::BTreeSet;

use serde_json::Value;

use super::print::{series_name, value_text};
use super::{Format, spark};
use crate::say;
use crate::terminal::{Align, Table, time};

/// Label columns of a table; with more, series are written as one text. Chosen: what a terminal can show.
const LABELS_MAX: usize = 8;
/// The label that names a metric; it comes first.
const NAME: &str = "__name__";

/// Which columns series have.
enum Columns {
    Labels(Vec<String>),
    Series,
}

impl Columns {
    fn of<'a>(metrics: impl Iterator<Item = &'a Value>, format: Format) -> Self {
        let names: BTreeSet<&String> = metrics.filter_map(Value::as_object).flat_map(|m| m.keys()).collect();
        if format == Format::Table && names.len() > LABELS_MAX {
            return Self::Series;
        }
        let mut names: Vec<String> = names.into_iter().cloned().collect();
        names.sort_by_key(|name| (name != NAME, name.clone()));
        Self::Labels(names)
    }

    fn headings(&self) -> Vec<String> {
        match self {
            Self::Series => vec!["SERIES".to_owned()],
            Self::Labels(names) => names.clone(),
        }
    }

    fn cells(&self, metric: &Value) -> Vec<String> {
        match self {
            Self::Series => vec![series_name(metric)],
            Self::Labels(names) => {
                names.iter().map(|name| metric[name].as_str().unwrap_or_default().to_owned()).collect()
            }
        }
    }
}

/// A row of CSV as RFC 4180 has it.
pub(crate) fn csv_line<S: AsRef<str>>(cells: impl IntoIterator<Item = S>) -> String {
    let quoted = |cell: S| {
        let text = cell.as_ref();
        if text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    cells.into_iter().map(quoted).collect::<Vec<_>>().join(",")
}

/// Rows under headings, of which the last `n_numbers` hold numbers.
struct Rows {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    numbers: std::ops::Range<usize>,
}

impl Rows {
    fn print(self, format: Format) {
        if format == Format::Csv {
            say(&csv_line(&self.headings));
            self.rows.iter().for_each(|row| say(&csv_line(row)));
            return;
        }
        if self.rows.is_empty() {
            eprintln!("nothing found");
            return;
        }
        let align = |idx: usize| if self.numbers.contains(&idx) { Align::Right } else { Align::Left };
        let headings: Vec<String> = self
            .headings
            .iter()
            .map(|name| if name == NAME { "METRIC".to_owned() } else { name.clone() })
            .collect();
        let mut table =
            Table::new(headings.iter().enumerate().map(|(idx, name)| (name.as_str(), align(idx))));
        self.rows.into_iter().for_each(|row| table.row(row));
        table.print();
    }
}

/// Series without values.
pub(super) fn series(data: &Value, format: Format) {
    let metrics = || data.as_array().into_iter().flatten();
    let columns = Columns::of(metrics(), format);
    let rows = metrics().map(|metric| columns.cells(metric)).collect();
    Rows { headings: columns.headings(), rows, numbers: 0..0 }.print(format);
}

/// The result of a query.
pub(super) fn result(data: &Value, format: Format) {
    let result = &data["result"];
    match data["resultType"].as_str() {
        Some("vector") => vector(result, format),
        Some("matrix") if format == Format::Csv => matrix_csv(result),
        Some("matrix") => matrix_table(result),
        _ => {
            let row = vec![instant(&result[0], format), value_text(&result[1])];
            let headings = ["timestamp", "value"].map(str::to_owned).to_vec();
            Rows { headings, rows: vec![row], numbers: 1..2 }.print(format);
        }
    }
}

fn instant(seconds: &Value, format: Format) -> String {
    match seconds.as_f64() {
        Some(seconds) if format == Format::Table => time((seconds * 1_000.0).round() as i64),
        _ => seconds.to_string(),
    }
}

fn vector(result: &Value, format: Format) {
    let all = || result.as_array().into_iter().flatten();
    let columns = Columns::of(all().map(|series| &series["metric"]), format);
    let rows = all().map(|series| {
        let pair = if series["value"].is_array() { &series["value"] } else { &series["histogram"] };
        let mut row = columns.cells(&series["metric"]);
        if format == Format::Csv {
            row.push(instant(&pair[0], format));
        }
        row.push(value_text(&pair[1]));
        row
    });
    let rows = rows.collect();
    let mut headings = columns.headings();
    if format == Format::Csv {
        headings.push("timestamp".to_owned());
    }
    headings.push(if format == Format::Csv { "value" } else { "VALUE" }.to_owned());
    let n = headings.len();
    Rows { headings, rows, numbers: n - 1..n }.print(format);
    if let (Format::Table, Some(first)) = (format, all().next()) {
        let at = if first["value"].is_array() { &first["value"][0] } else { &first["histogram"][0] };
        eprintln!("at {}", instant(at, format));
    }
}

/// One row for each point.
fn matrix_csv(result: &Value) {
    let all = || result.as_array().into_iter().flatten();
    let columns = Columns::of(all().map(|series| &series["metric"]), Format::Csv);
    let mut rows = Vec::new();
    for series in all() {
        let cells = columns.cells(&series["metric"]);
        let points = ["values", "histograms"].into_iter().filter_map(|key| series[key].as_array());
        for pair in points.flatten() {
            let mut row = cells.clone();
            row.extend([instant(&pair[0], Format::Csv), value_text(&pair[1])]);
            rows.push(row);
        }
    }
    let mut headings = columns.headings();
    headings.extend(["timestamp".to_owned(), "value".to_owned()]);
    Rows { headings, rows, numbers: 0..0 }.print(Format::Csv);
}

/// Seconds and value.
type Points = Vec<(f64, f64)>;

/// Numbers of a series; of a native histogram how much it counts.
fn points(series: &Value) -> Points {
    let number = |value: &Value| -> Option<f64> {
        let text = value.as_str().or_else(|| value["count"].as_str())?;
        text.replace("Inf", "inf").parse().ok()
    };
    let all = ["values", "histograms"].into_iter().filter_map(|key| series[key].as_array()).flatten();
    let mut points: Points = all.filter_map(|pair| Some((pair[0].as_f64()?, number(&pair[1])?))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// One row for each series, with a sparkline.
fn matrix_table(result: &Value) {
    let all = || result.as_array().into_iter().flatten();
    let columns = Columns::of(all().map(|series| &series["metric"]), Format::Table);
    let of_series: Vec<(Vec<String>, Points)> =
        all().map(|series| (columns.cells(&series["metric"]), points(series))).collect();
    let times = || of_series.iter().flat_map(|(_, points)| points).map(|(at, _)| *at);
    let (start, end) = (times().fold(f64::INFINITY, f64::min), times().fold(f64::NEG_INFINITY, f64::max));
    let n_steps = of_series.iter().map(|(_, points)| points.len()).max().unwrap_or(0);
    let rows = of_series.iter().map(|(cells, points)| {
        let values = || points.iter().map(|(_, value)| *value);
        let text = |value: Option<f64>| value.map_or_else(String::new, model::float::format_g);
        let mut row = cells.clone();
        row.extend([
            text(values().reduce(f64::min)),
            text(values().reduce(f64::max)),
            text(values().next_back()),
            spark::line(points, start, end, n_steps),
        ]);
        row
    });
    let rows = rows.collect();
    let mut headings = columns.headings();
    let n = headings.len();
    headings.extend(["MIN", "MAX", "LAST", ""].map(str::to_owned));
    Rows { headings, rows, numbers: n..n + 3 }.print(Format::Table);
    if start <= end {
        let clock = |seconds: f64| time((seconds * 1_000.0).round() as i64);
        eprintln!("from {} to {}", clock(start), clock(end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(csv_line(["a", "b,c", "d\"e", "f\ng", ""]), "a,\"b,c\",\"d\"\"e\",\"f\ng\",");
    }
}
