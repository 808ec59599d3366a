//! `hinomi push metrics`: pages of metrics, sent to a remote write receiver; promtool's flags and words.
//!
//! In from files or standard input; out to one receiver, a request for each page.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderName, HeaderValue};
use clap::{Arg, ArgAction, ArgMatches, Command};
use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, Metadata};
use net::{Limits, Request};
use stdx::{Clock as _, Dir as _, DiskDir, SystemClock};
use wire::exposition::{Entry, Format, Parser};
use wire::remote_write::{Sample, TimeSeries, compress, encode_metadata_v1, encode_v1, encode_v2};

use crate::admin::block_on;
use crate::http::{self, Access};
use crate::say;

/// Largest page, in bytes: as of `check metrics`. Chosen.
const PAGE_BYTES_MAX: u64 = 512 << 20;
/// Longest answer read: it is a line of error. Chosen.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Where receivers listen. From Prometheus.
const PATH: &str = "/api/v1/write";
const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    url: String,
    access: Access,
    /// None for standard input.
    files: Vec<PathBuf>,
    /// Put beside the labels that series have.
    labels: BTreeMap<String, String>,
    timeout: Duration,
    message: api::WriteMessage,
    path: String,
}

/// `hinomi push` for clap.
pub(crate) fn command() -> Command {
    let value = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("push")
        .about("Sends metrics to a server")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("metrics").about("Sends pages of metrics to a remote write receiver, for tests").args([
                Arg::new("url")
                    .value_name("URL")
                    .help("Receiver: http://127.0.0.1:9090; a Hinomi needs --web.enable-remote-write-receiver")
                    .required(true),
                Arg::new("files")
                    .value_name("FILE")
                    .num_args(1..)
                    .help("Page in text format, or OpenMetrics when it ends with # EOF; standard input without one")
                    .value_parser(clap::value_parser!(PathBuf)),
                value("label", "NAME=VALUE", "Label for every series, repeatable; job=promtool without one")
                    .action(ArgAction::Append),
                value("timeout", "DURATION", "How long an answer may take").default_value("30s"),
                value("protobuf_message", "NAME", "prometheus.WriteRequest or io.prometheus.write.v2.Request")
                    .default_value("prometheus.WriteRequest"),
                value("remote-write.path", "PATH", "Path of the receiver").default_value(PATH),
                http::header_arg(),
                http::config_file_arg(),
            ]),
        )
}

/// What clap found.
///
/// # Errors
/// What is wrong with a value.
pub(crate) fn parse(sub: &ArgMatches) -> Result<Args, String> {
    let (_, matches) = sub.subcommand().expect("clap demands a subcommand");
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let mut labels = BTreeMap::new();
    for label in matches.get_many::<String>("label").into_iter().flatten() {
        let pair = label.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) =
            pair.ok_or_else(|| format!("--label: {label:?} is not of the form NAME=VALUE"))?;
        labels.insert(name.to_owned(), value.to_owned());
    }
    if labels.is_empty() {
        labels.insert("job".to_owned(), "promtool".to_owned());
    }
    let timeout = text("timeout").parse::<model::Duration>().map_err(|why| format!("--timeout: {why}"))?;
    Ok(Args {
        url: text("url"),
        access: Access::from_matches(matches),
        files: matches.get_many::<PathBuf>("files").into_iter().flatten().cloned().collect(),
        labels,
        timeout: timeout.as_std(),
        message: text("protobuf_message").parse().map_err(|why| format!("--protobuf_message: {why}"))?,
        path: text("remote-write.path"),
    })
}

/// Sends each page; goes on with the next when one fails.
///
/// # Errors
/// When a page cannot be read or sent; what is wrong has been printed then.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let client = args.access.client()?;
    let url = receiver(&args.url, &args.path)?;
    let send = |body: &[u8]| {
        let series = read(body, &args.labels, SystemClock::new().now_ms())?;
        block_on(post(&client, request(&url, args.message, &series), args.timeout))
    };
    if args.files.is_empty() {
        let mut body = Vec::new();
        std::io::stdin().take(PAGE_BYTES_MAX).read_to_end(&mut body).context("standard input")?;
        say("Parsing standard input");
        send(&body)?;
        say("  SUCCESS: metrics pushed to remote write.");
        return Ok(ExitCode::SUCCESS);
    }
    let mut is_good = true;
    for file in &args.files {
        let shown = file.display();
        say(&format!("Parsing metrics file {shown}"));
        match page(file).and_then(|body| send(&body)) {
            Ok(()) => say(&format!("  SUCCESS: metrics file {shown} pushed to remote write.")),
            Err(err) => {
                eprintln!("  FAILED: {err:#}");
                is_good = false;
            }
        }
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn page(file: &Path) -> Result<Vec<u8>> {
    DiskDir::anywhere().read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The receiver's address: `path` behind `text`, unless that has it already.
fn receiver(text: &str, path: &str) -> Result<url::Url> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url: url::Url = text.parse().with_context(|| format!("{text:?} is not a URL"))?;
    if !url.path().ends_with(path) {
        let whole = format!("{}/{}", url.path().trim_end_matches('/'), path.trim_start_matches('/'));
        url.set_path(&whole);
    }
    Ok(url)
}

/// What is known of a page's series.
#[derive(Default)]
struct Page {
    series: BTreeMap<Labels, Vec<Sample>>,
    families: BTreeMap<String, Metadata>,
    /// The family that each series' name belongs to.
    family_of: BTreeMap<String, String>,
}

/// The series of a page, with `labels` beside their own; a job that they name themselves becomes `exported_job`.
fn read(body: &[u8], labels: &BTreeMap<String, String>, now_ms: i64) -> Result<Page> {
    let is_openmetrics = body.trim_ascii_end().ends_with(b"# EOF");
    let format = if is_openmetrics { Format::OpenMetrics100 } else { Format::Text004 };
    let (mut page, mut family) = (Page::default(), String::new());
    let mut builder = LabelsBuilder::new();
    let mut parser = Parser::new(body, format);
    while let Some(entry) = parser.next_entry()? {
        match entry {
            Entry::Type { name, metric_type } => {
                page.families.entry(name.to_string()).or_default().metric_type = metric_type;
                family = name.into_owned();
            }
            Entry::Help { name, text } => {
                page.families.entry(name.to_string()).or_default().help = text.into_owned();
            }
            Entry::Unit { name, unit } => {
                page.families.entry(name.to_string()).or_default().unit = unit.to_owned();
            }
            Entry::Sample(sample) => {
                sample.fill_labels(&mut builder)?;
                if let Some(job) = builder.get("job").map(str::to_owned) {
                    builder.remove("job").set("exported_job", &job);
                }
                for (name, value) in labels {
                    if builder.get(name).is_none() {
                        builder.set(name, value);
                    }
                }
                let labels = builder.build();
                let name = labels.get(METRIC_NAME).unwrap_or_default();
                let known = if name.starts_with(&family) && !family.is_empty() { &family } else { name };
                page.family_of.insert(name.to_owned(), known.to_owned());
                let t_ms = sample.t_ms.unwrap_or(now_ms);
                let samples = page.series.entry(labels).or_default();
                samples.push(Sample { t_ms, start_ms: 0, value: sample.value });
            }
            Entry::Comment => {}
        }
    }
    if page.series.is_empty() {
        bail!("there are no samples in it");
    }
    Ok(page)
}

fn request(url: &url::Url, message: api::WriteMessage, page: &Page) -> Request {
    let series = page.series.iter().map(|(labels, samples)| {
        let family = page.family_of.get(labels.metric_name());
        let mut samples = samples.clone();
        samples.sort_by_key(|sample| sample.t_ms);
        TimeSeries {
            labels: labels.clone(),
            samples,
            metadata: family
                .filter(|_| message == api::WriteMessage::V2)
                .and_then(|family| page.families.get(family))
                .cloned(),
            ..TimeSeries::default()
        }
    });
    let series: Vec<TimeSeries> = series.collect();
    let (body, content_type, version) = match message {
        // Two messages, one behind the other, are one with the fields of both.
        api::WriteMessage::V1 => {
            let families = page.families.iter().map(|(name, metadata)| (name.as_str(), metadata));
            let body = [encode_v1(&series), encode_metadata_v1(families)].concat();
            (body, "application/x-protobuf", "0.1.0")
        }
        api::WriteMessage::V2 => {
            let content_type = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
            (encode_v2(&series), content_type, "2.0.0")
        }
    };
    let mut request = Request::post(url.clone(), content_type, compress(&body));
    request.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    request.headers.insert(VERSION, HeaderValue::from_static(version));
    request
}

async fn post(client: &net::HttpClient, request: Request, timeout: Duration) -> Result<()> {
    let limits = Limits { timeout, body_bytes_max: ANSWER_BYTES_MAX, decoded_bytes_max: ANSWER_BYTES_MAX };
    let response = client.request(request, &limits).await?;
    if response.status.is_success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&response.body);
    bail!("server returned HTTP status {}: {}", response.status, said.trim());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_series_with_labels_and_times() {
        let labels = BTreeMap::from([("job".to_owned(), "b".to_owned()), ("x".to_owned(), "y".to_owned())]);
        let text = b"# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_sum 3 77\nm{job=\"a\",x=\"own\"} 1\n";
        let page = read(text, &labels, 5).unwrap();
        let got: Vec<_> = page.series.iter().map(|(l, s)| (l.to_string(), s[0].t_ms, s[0].value)).collect();
        let expected = [
            ("{__name__=\"h_bucket\", job=\"b\", le=\"1.0\", x=\"y\"}", 5, 2.0),
            ("{__name__=\"h_sum\", job=\"b\", x=\"y\"}", 77, 3.0),
            ("{__name__=\"m\", exported_job=\"a\", job=\"b\", x=\"own\"}", 5, 1.0),
        ];
        assert_eq!(got.len(), expected.len());
        for ((labels, t_ms, value), expected) in got.iter().zip(expected) {
            assert_eq!((labels.as_str(), *t_ms, *value), expected);
        }
        assert_eq!(page.family_of["h_sum"], "h");
        for bad in ["", "# TYPE m gauge\n", "m{\n"] {
            assert!(read(bad.as_bytes(), &labels, 5).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_path_is_put_behind_the_server_once() {
        for (text, expected) in [
            ("http://a:1", "http://a:1/api/v1/write"),
            ("a:1/", "http://a:1/api/v1/write"),
            ("http://a:1/p/", "http://a:1/p/api/v1/write"),
            ("http://a:1/api/v1/write", "http://a:1/api/v1/write"),
        ] {
            assert_eq!(receiver(text, PATH).unwrap().as_str(), expected);
        }
    }
}
