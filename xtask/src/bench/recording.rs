//! Recorded scrapes of node_exporter: `u32` little-endian length, body, and so on, in a zstd frame.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::options::Options;
use crate::run::root;

/// Between the starts of two hosts in the recording. From its description.
pub const PHASE: usize = 37;

/// Where the recording lies: `--recording`, or beside the checkout (`HINOMI_SHARED`).
pub fn path(options: &Options) -> PathBuf {
    let shared = || std::env::var_os("HINOMI_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    options.text("recording").map_or_else(|| shared().join("testdata/recordings/node-a.zst"), PathBuf::from)
}

/// The bodies, in order.
pub fn bodies(path: &Path) -> Result<Vec<Vec<u8>>> {
    if !path.is_file() {
        bail!("no recording at {}; name one by --recording FILE, or set HINOMI_SHARED", path.display());
    }
    let output = Command::new("zstd")
        .args(["--decompress", "--long=27", "--stdout"])
        .arg(path)
        .stderr(Stdio::inherit())
        .output()
        .context("reading a recording needs the command zstd (Debian: apt-get install zstd)")?;
    if !output.status.success() {
        bail!("zstd could not read {}", path.display());
    }
    split(&output.stdout)
}

fn split(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut bodies = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let (body, rest) = rest.split_at_checked(length).context("the recording ends inside a body")?;
        bodies.push(body.to_vec());
        bytes = rest;
    }
    if bodies.is_empty() {
        bail!("the recording is empty");
    }
    Ok(bodies)
}

/// One series of a body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub name: String,
    /// Own labels in the order of the body.
    pub labels: Vec<(String, String)>,
}

/// The series of the recording that are in every body, each with its value in every body.
pub fn columns(bodies: &[Vec<u8>]) -> Result<Vec<(Line, Vec<f64>)>> {
    let mut columns: Vec<(Line, Vec<f64>)> = Vec::new();
    let mut places = std::collections::BTreeMap::new();
    for (nth, body) in bodies.iter().enumerate() {
        let body = std::str::from_utf8(body).context("a body is not UTF-8")?;
        for text in body.lines().filter(|text| !text.is_empty() && !text.starts_with('#')) {
            let (series, value) = text.rsplit_once(' ').with_context(|| format!("no value: {text}"))?;
            let value: f64 = value.parse().with_context(|| format!("no number: {text}"))?;
            if nth == 0 {
                places.insert(series, columns.len());
                columns.push((line(series).with_context(|| format!("no series: {text}"))?, Vec::new()));
            }
            if let Some(&place) = places.get(series).filter(|place| columns[**place].1.len() == nth) {
                columns[place].1.push(value);
            }
        }
    }
    columns.retain(|(_, values)| values.len() == bodies.len());
    Ok(columns)
}

/// `name{key="value",…}`, as node_exporter writes it.
fn line(series: &str) -> Option<Line> {
    let Some((name, labels)) = series.split_once('{') else {
        return Some(Line { name: series.to_owned(), labels: Vec::new() });
    };
    let mut labels = labels.strip_suffix('}')?;
    let mut pairs = Vec::new();
    while !labels.is_empty() {
        let (key, rest) = labels.split_once("=\"")?;
        let (mut value, mut chars) = (String::new(), rest.char_indices());
        let end = loop {
            match chars.next()? {
                (end, '"') => break end,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, c) => value.push(c),
            }
        };
        pairs.push((key.to_owned(), value));
        labels = rest[end + 1..].trim_start_matches(',');
    }
    Some(Line { name: name.to_owned(), labels: pairs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_split_and_lines_are_read() {
        let body = b"# HELP a b\na{x=\"1\",y=\"\\\"q\\\"\"} 2.5\nb 1e+06\n";
        let other = b"a{x=\"1\",y=\"\\\"q\\\"\"} 3\nc 1\n";
        let mut bytes = Vec::new();
        for body in [&body[..], other] {
            bytes.extend(u32::try_from(body.len()).expect("short").to_le_bytes());
            bytes.extend(body);
        }
        let bodies = split(&bytes).expect("two records");
        assert_eq!(bodies, [body.to_vec(), other.to_vec()]);
        let labels = vec![("x".to_owned(), "1".to_owned()), ("y".to_owned(), "\"q\"".to_owned())];
        assert_eq!(
            columns(&bodies).expect("valid"),
            [(Line { name: "a".to_owned(), labels }, vec![2.5, 3.0])]
        );
        assert!(split(&bytes[..bytes.len() - 1]).is_err());
    }
}
