//! `hinomi tsdb create-blocks-from rules`: blocks for Prometheus of what recording rules would have written, asked of any server that
//! speaks Prometheus' API; promtool's flags. A Hinomi does it by itself, see `crate::backfill`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use model::labels::METRIC_NAME;
use model::{Labels, TimeRange};
use promdata::BlockWriter;
use rules::{GroupSpec, RuleSpec};
use serde_json::Value;
use stdx::{Clock as _, Dir, DiskDir, SystemClock};
use storage::Series;

use crate::admin::{Admin, block_on};
use crate::config::{Depth, read_rules};
use crate::http::Access;
use crate::say;

/// Length of a block. From promtool.
const BLOCK_MS: i64 = 2 * 60 * 60 * 1_000;
/// Where the end is unless it is said. From promtool: what is newer is in the head of the server.
const END_AGO: Duration = Duration::from_secs(3 * 60 * 60);
/// What Hinomi's own data directory has and Prometheus' has not.
const OWN_FILES: [&str; 2] = ["alertmanager", "wal"];

/// What was asked for.
#[derive(Debug)]
pub(crate) struct FromRules {
    pub files: Vec<PathBuf>,
    pub url: String,
    pub access: Access,
    pub start_ms: i64,
    pub end_ms: Option<i64>,
    pub to: PathBuf,
    pub interval_ms: i64,
    pub is_quiet: bool,
}

/// Samples of one block.
type Samples = BTreeMap<Labels, BTreeMap<i64, f64>>;

/// Does it.
pub(super) fn run(args: &FromRules) -> Result<()> {
    let out: Arc<dyn Dir> = Arc::new(DiskDir::anywhere());
    let to = &args.to;
    if OWN_FILES.iter().all(|name| out.exists(&to.join(name))) {
        bail!(
            "{} is a data directory of Hinomi: name another one with --output-dir and import it, or let the server do it all with \
             hinomi backfill rules",
            to.display()
        );
    }
    let mut groups = Vec::new();
    for file in &args.files {
        groups.extend(read_rules(file, Depth::AllFiles)?.0);
    }
    let end_ms = args.end_ms.unwrap_or_else(|| SystemClock::new().now_ms() - END_AGO.as_millis() as i64);
    if args.start_ms > end_ms {
        bail!("the start lies behind the end");
    }
    out.create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let admin = Admin::new(&args.url, &args.access)?;
    let (mut n_blocks, mut n_samples) = (0, 0);
    let mut from_ms = args.start_ms;
    while from_ms <= end_ms {
        let next_ms = (from_ms.div_euclid(BLOCK_MS) + 1) * BLOCK_MS;
        let window = TimeRange::new(from_ms, end_ms.min(next_ms - 1));
        let samples = block_on(evaluate(&admin, &groups, window, args.interval_ms))?;
        if let Some((name, n)) = write(&out, to, window, samples)? {
            n_blocks += 1;
            n_samples += n;
            if !args.is_quiet {
                say(&format!("{name}: {n} samples"));
            }
        }
        from_ms = next_ms;
    }
    say(&format!("{n_blocks} blocks with {n_samples} samples written to {}", to.display()));
    Ok(())
}

/// The results of all recording rules within `window`.
async fn evaluate(
    admin: &Admin,
    groups: &[GroupSpec],
    window: TimeRange,
    default_ms: i64,
) -> Result<Samples> {
    let mut samples = Samples::new();
    for group in groups {
        let interval_ms = group.interval_ms.unwrap_or(default_ms).max(1);
        let phase_ms = group.phase_ms(interval_ms);
        let first_ms = window.start_ms + (phase_ms - window.start_ms).rem_euclid(interval_ms);
        if first_ms > window.end_ms {
            continue;
        }
        for rule in &group.rules {
            let RuleSpec::Recording { record, expr, labels } = rule else { continue };
            let seconds = |ms: i64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
            let form = [
                ("query", expr.text.clone()),
                ("start", seconds(first_ms)),
                ("end", seconds(window.end_ms)),
                ("step", seconds(interval_ms)),
            ];
            let answer = admin.post("query_range", &form).await;
            let answer = answer.with_context(|| format!("group {:?}, rule {record:?}", group.name))?;
            take(&answer, record, labels, &mut samples)
                .with_context(|| format!("group {:?}, rule {record:?}", group.name))?;
        }
    }
    Ok(samples)
}

/// Takes the series of an answer, renamed.
fn take(answer: &Value, record: &str, extra: &BTreeMap<String, String>, samples: &mut Samples) -> Result<()> {
    let series = answer["result"].as_array().context("the server's answer has no result")?;
    for one in series {
        let metric: BTreeMap<String, String> =
            serde_json::from_value(one["metric"].clone()).context("the server's answer has no metric")?;
        let mut builder = Labels::from_pairs(&metric).to_builder();
        builder.set(METRIC_NAME, record);
        for (name, value) in extra {
            builder.set(name, value);
        }
        if one["histograms"].is_array() {
            eprintln!("{record}: native histograms are left out, the API does not tell them whole");
        }
        let of_series = samples.entry(builder.build()).or_default();
        for point in one["values"].as_array().into_iter().flatten() {
            let (at, value) = (point[0].as_f64(), point[1].as_str());
            let (Some(at), Some(value)) = (at, value.and_then(number)) else {
                bail!("the server's answer has a point that is none: {point}");
            };
            of_series.insert((at * 1_000.0).round() as i64, value);
        }
    }
    Ok(())
}

/// A float as the API writes it.
fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

fn write(
    out: &Arc<dyn Dir>,
    to: &Path,
    window: TimeRange,
    samples: Samples,
) -> Result<Option<(String, u64)>> {
    let texts = samples.keys().flat_map(|labels| labels.iter());
    let symbols: BTreeSet<String> =
        texts.flat_map(|(name, value)| [name.to_owned(), value.to_owned()]).collect();
    if symbols.is_empty() {
        return Ok(None);
    }
    let ulid = super::export::new_ulid(window.start_ms)?;
    let mut writer = BlockWriter::begin(Arc::clone(out), to, &ulid, symbols)?;
    for (labels, of_series) in samples {
        let (times, values): (Vec<i64>, Vec<f64>) = of_series.into_iter().unzip();
        writer.add(&Series::floats(labels, Arc::new(times), values))?;
    }
    Ok(writer.finish()?.map(|meta| (ulid, meta.stats.num_samples)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_become_series_under_the_rules_name() {
        let answer = json!({"result": [
            {"metric": {"__name__": "m", "a": "1", "b": "2"}, "values": [[1.5, "3"], [61.5, "+Inf"], [121.5, "NaN"]]},
        ]});
        let mut samples = Samples::new();
        let labels = BTreeMap::from([("b".to_owned(), String::new()), ("c".to_owned(), "x".to_owned())]);
        take(&answer, "r", &labels, &mut samples).unwrap();
        let (labels, values) = samples.first_key_value().unwrap();
        assert_eq!(labels.to_string(), "{__name__=\"r\", a=\"1\", c=\"x\"}");
        assert_eq!(values.keys().copied().collect::<Vec<_>>(), [1_500, 61_500, 121_500]);
        assert_eq!(values[&61_500], f64::INFINITY);
        assert!(values[&121_500].is_nan());
        assert!(
            take(
                &json!({"result": [{"metric": {}, "values": [[1, 2]]}]}),
                "r",
                &BTreeMap::new(),
                &mut samples
            )
            .is_err()
        );
    }
}
