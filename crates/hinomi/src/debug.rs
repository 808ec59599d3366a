//! `hinomi debug`: what helps others help, from a running server into one archive.
//!
//! In from a server over HTTP; out to a `.tar.gz`. The server has replaced secrets in what it shows; nothing else leaves it. What one
//! server does not have is named in the archive and does not hold up the rest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgMatches, Command};
use net::{HttpClient, Limits, Request};
use stdx::{Clock as _, Dir as _, DiskDir, SystemClock};

use crate::admin::block_on;
use crate::http::{self, Access};
use crate::say;

mod tar;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer read. Chosen: the targets of a large fleet.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Where promtool writes.
const OUT: &str = "debug.tar.gz";
/// What could not be had.
const MISSING: &str = "missing.txt";

const METRICS: &[(&str, &str)] = &[("/metrics", "metrics.txt")];

/// Of a server, and of an Alertmanager alone as far as it has them.
const STATUS: &[(&str, &str)] = &[
    ("/api/v1/status/buildinfo", "buildinfo.json"),
    ("/api/v1/status/runtimeinfo", "runtimeinfo.json"),
    ("/api/v1/status/flags", "flags.json"),
    ("/api/v1/status/config", "config.json"),
    ("/api/v1/features", "features.json"),
    ("/api/v1/status/walreplay", "walreplay.json"),
    ("/api/v1/status/tsdb", "tsdb.json"),
    ("/api/v1/status/tsdb/blocks", "blocks.json"),
    ("/api/v1/status/queries", "queries.json"),
    ("/api/v1/status/discovery", "discovery.json"),
    ("/api/v1/targets", "targets.json"),
    ("/api/v1/rules", "rules.json"),
    ("/api/v1/alertmanagers", "alertmanagers.json"),
    ("/api/v1/notifications", "notifications.json"),
    ("/api/v2/status", "alertmanager.json"),
];

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Args {
    /// Fetch these.
    Fetch {
        groups: Vec<&'static [(&'static str, &'static str)]>,
        server: String,
        access: Access,
        out: PathBuf,
    },
    /// Go's profiles.
    Profiles,
}

/// `hinomi debug` for clap.
pub(crate) fn command() -> Command {
    let sub = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).args([
            Arg::new("server").value_name("URL").help("Server to ask: http://127.0.0.1:9090").required(true),
            Arg::new("out")
                .long("out")
                .value_name("FILE")
                .help("Archive to write; one that is there is replaced")
                .default_value(OUT)
                .value_parser(clap::value_parser!(PathBuf)),
            http::config_file_arg(),
            http::header_arg(),
        ])
    };
    Command::new("debug")
        .about("Fetches what helps others help, into one archive")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(sub("metrics", "Fetches the server's own metrics"))
        .subcommand(sub("all", "Fetches metrics, status pages, targets, running queries, and the configuration with its secrets replaced"))
        // Of promtool; its answer says where profiles come from here.
        .subcommand(sub("pprof", "Profiles of Go's runtime").hide(true))
}

/// What clap found.
pub(crate) fn parse(sub: &ArgMatches) -> Args {
    let (name, sub) = sub.subcommand().expect("clap demands a subcommand");
    let groups = match name {
        "pprof" => return Args::Profiles,
        "metrics" => vec![METRICS],
        _ => vec![METRICS, STATUS],
    };
    Args::Fetch {
        groups,
        server: sub.get_one::<String>("server").cloned().unwrap_or_default(),
        access: Access::from_matches(sub),
        out: sub.get_one::<PathBuf>("out").cloned().unwrap_or_default(),
    }
}

/// Fetches and writes.
///
/// # Errors
/// When the server gives nothing at all, or the archive cannot be written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Args::Fetch { groups, server, access, out } = args else {
        bail!(
            "there are no Go profiles to fetch; `perf record -g -p PID` sees every function of the server, and \
             `hinomi debug all` fetches the rest"
        );
    };
    let base = if server.contains("://") { server.clone() } else { format!("http://{server}") };
    let base = base.trim_end_matches('/');
    let client = access.client()?;
    let endpoints: Vec<_> = groups.iter().flat_map(|group| group.iter()).collect();
    let archive = block_on(async {
        let mut archive = tar::Archive::new(SystemClock::new().now_ms() / 1_000);
        let (mut missing, mut n_found) = (String::new(), 0);
        for (path, name) in &endpoints {
            say(&format!("collecting: {base}{path}"));
            match fetch(&client, &format!("{base}{path}")).await {
                Ok(body) => {
                    archive.add(name, &body)?;
                    n_found += 1;
                }
                // Nobody there: nor will the others be.
                Err(err) if n_found == 0 && missing.is_empty() && err.is::<net::HttpError>() => {
                    return Err(err.context(format!("cannot ask {base}")));
                }
                Err(err) => missing.push_str(&format!("{path}: {err:#}\n")),
            }
        }
        if n_found == 0 {
            bail!("{base} has none of this:\n{}", missing.trim_end());
        }
        eprint!("{missing}");
        if !missing.is_empty() {
            archive.add(MISSING, missing.as_bytes())?;
        }
        Ok(archive)
    })?;
    write(out, &archive.finish()?)?;
    say(&format!(
        "Compiling debug information complete, all files written in {:?}.",
        out.display().to_string()
    ));
    Ok(())
}

fn write(out: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = DiskDir::anywhere().create(out)?;
        file.append(bytes)
    };
    write().with_context(|| format!("cannot write {}", out.display()))
}

async fn fetch(client: &HttpClient, url: &str) -> Result<Vec<u8>> {
    let url = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
    let limits =
        Limits { timeout: TIMEOUT, body_bytes_max: ANSWER_BYTES_MAX, decoded_bytes_max: ANSWER_BYTES_MAX };
    let response = client.request(Request::get(url), &limits).await?;
    if !response.status.is_success() {
        bail!("{}", response.status);
    }
    Ok(response.body.to_vec())
}
