//! What commands print for eyes: tables, colours where there is a terminal, numbers with units.

use std::io::IsTerminal as _;

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr as _;

use crate::say;

/// Where the text of a column begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows of text under headings; columns are as wide as their widest text.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows.
    #[must_use]
    pub(crate) fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        let columns = columns.into_iter().map(|(name, align)| (name.to_owned(), align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row; what is missing at its end stays empty.
    pub(crate) fn row(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    /// Whether there is no row.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Its lines, the heading first.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<String> {
        let width = |idx: usize| {
            let texts = self.rows.iter().filter_map(|row| row.get(idx));
            texts.chain([&self.columns[idx].0]).map(|text| text.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |row: &[String]| {
            let cells = self.columns.iter().zip(&widths).enumerate().map(|(idx, ((_, align), width))| {
                let text = row.get(idx).map_or("", String::as_str);
                // Japanese and Korean letters take two places of a terminal, which `{text:<width$}` does not know.
                let room = " ".repeat(width.saturating_sub(text.width()));
                match align {
                    Align::Left => format!("{text}{room}"),
                    Align::Right => format!("{room}{text}"),
                }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let heading: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        std::iter::once(line(&heading)).chain(self.rows.iter().map(|row| line(row))).collect()
    }

    /// Prints it, the heading bold on a terminal.
    pub(crate) fn print(&self) {
        for (idx, line) in self.lines().into_iter().enumerate() {
            say(&if idx == 0 { bold(&line) } else { line });
        }
    }
}

fn is_coloured() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal()
        && !set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn styled(text: &str, code: &str) -> String {
    if is_coloured() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Bold on a terminal.
pub(crate) fn bold(text: &str) -> String {
    styled(text, "1")
}

/// Red on a terminal.
pub(crate) fn red(text: &str) -> String {
    styled(text, "31")
}

/// Green on a terminal.
pub(crate) fn green(text: &str) -> String {
    styled(text, "32")
}

/// Yellow on a terminal.
pub(crate) fn yellow(text: &str) -> String {
    styled(text, "33")
}

/// `1.5 MiB`
pub(crate) fn bytes(n_bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = n_bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n_bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `1,234,567`
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `2023-11-14 22:13:20 UTC`
pub(crate) fn time(t_ms: i64) -> String {
    Timestamp::from_millisecond(t_ms)
        .map_or_else(|_| format!("{t_ms} ms"), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// `1h46m0s`, with milliseconds when there are some.
pub(crate) fn duration(ms: i64) -> String {
    let (secs, millis) = (ms / 1000, ms % 1000);
    let (hours, minutes, seconds) = (secs / 3600, secs / 60 % 60, secs % 60);
    let seconds = match millis {
        0 => format!("{seconds}s"),
        _ => format!("{seconds}.{}s", format!("{millis:03}").trim_end_matches('0')),
    };
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, _) => format!("{minutes}m{seconds}"),
        _ => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// The same in whole seconds from a minute on, for what nobody knows more exactly.
pub(crate) fn roughly(ms: i64) -> String {
    if ms.abs() < 60_000 { duration(ms) } else { duration((ms + 500) / 1_000 * 1_000) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_took_minutes_took_whole_seconds() {
        for (ms, expected) in
            [(1_129, "1.129s"), (752_129, "12m32s"), (752_500, "12m33s"), (59_999, "59.999s")]
        {
            assert_eq!(roughly(ms), expected);
        }
    }

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let mut table = Table::new([("NAME", Align::Left), ("N", Align::Right), ("", Align::Left)]);
        table.row(["é".to_owned(), "1".to_owned()]);
        table.row(["longer".to_owned(), "12,345".to_owned(), "x".to_owned()]);
        assert_eq!(table.lines(), ["NAME         N", "é            1", "longer  12,345  x"]);
        let mut table = Table::new([("NAME", Align::Left), ("N", Align::Right)]);
        table.row(["停止".to_owned(), "1".to_owned()]);
        table.row(["부족한 것".to_owned(), "2".to_owned()]);
        assert_eq!(table.lines(), ["NAME       N", "停止       1", "부족한 것  2"]);
    }

    #[test]
    fn numbers_have_units() {
        assert_eq!([0, 1023, 1024, 1 << 21].map(bytes), ["0 B", "1023 B", "1.0 KiB", "2.0 MiB"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1, 59_000, 60_500, 6_360_001].map(duration),
            ["0s", "0.001s", "59s", "1m0.5s", "1h46m0.001s"]
        );
        assert_eq!(time(1_700_000_000_000), "2023-11-14 22:13:20 UTC");
    }
}
