//! `hinomi check service-discovery`: the targets of one job, found as the server would, before and after relabelling.
//!
//! In: a configuration and a job's name; out: promtool's JSON on stdout, what went wrong with the services on stderr.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use discovery::{Groups, Hub, HubOptions, Owner, Subscription};
use model::Labels;
use scrape::ScrapeConfig;
use scrape::target::{Built, build};
use serde_json::{Value, json};
use stdx::metrics::Registry;
use stdx::{DiskDir, SystemClock};

use super::args::Discovery;
use crate::admin::block_on;
use crate::config::{Config, Depth};
use crate::say;

/// Once every service has answered, so long without news ends the wait. Chosen: those that tell of changes tell in pieces at first.
const QUIET: Duration = Duration::from_secs(1);

/// Finds and prints.
pub(super) fn check(args: &Discovery) -> Result<ExitCode> {
    let config = Config::load_to(Path::new(&args.file), Depth::Syntax)?;
    let Some(job) = config.jobs.iter().find(|job| job.job == args.job) else {
        let jobs: Vec<String> = config.jobs.iter().map(|job| format!("\t{}", job.job)).collect();
        bail!("Job {} not found. Select one of:\n{}", args.job, jobs.join("\n"));
    };
    let found = block_on(async { Ok(find(job, args.timeout).await) })?;
    let mut has_failed = false;
    for source in &found {
        if let Some(trouble) = source.health.trouble() {
            eprintln!("{}: {}", source.health.mechanism(), trouble.error);
            has_failed = true;
        } else if source.groups.is_none() {
            eprintln!("{}: no answer within {}", source.health.mechanism(), args.timeout_text);
            has_failed = true;
        }
    }
    let results: Vec<Value> = results(job, &found);
    say(&serde_json::to_string_pretty(&results)?);
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What one of the job's `*_sd_configs` said.
struct Found {
    health: discovery::SdHealth,
    groups: Option<Groups>,
}

/// Asks every service of the job until all have said what they know, or the time is over.
async fn find(job: &ScrapeConfig, timeout: Duration) -> Vec<Found> {
    let hub = Hub::new(HubOptions {
        clock: Arc::new(SystemClock::new()),
        dir: Arc::new(DiskDir::anywhere()),
        registry: Registry::new(),
    });
    let owner = Owner { name: "scrape", config: job.job.clone() };
    let mut sources: Vec<Subscription> = job.sd.iter().map(|sd| hub.subscribe(sd, &owner)).collect();
    let mut groups: Vec<Option<Groups>> = vec![None; sources.len()];
    let follow = async {
        let mut is_first = true;
        loop {
            for (known, source) in groups.iter_mut().zip(&mut sources) {
                *known = source.take().or(known.take());
            }
            // Static lists and files have spoken by now, others have not.
            let is_whole = groups.iter().all(Option::is_some) && !is_first;
            is_first = false;
            let news = async {
                if sources.is_empty() {
                    std::future::pending::<()>().await;
                }
                let changes = sources.iter_mut().map(|source| Box::pin(source.changed()));
                futures_util::future::select_all(changes).await;
            };
            if tokio::time::timeout(QUIET, news).await.is_err() && is_whole {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(timeout, follow).await;
    sources.iter().zip(groups).map(|(source, groups)| Found { health: source.health(), groups }).collect()
}

/// One entry for each target, each once, as promtool writes it.
fn results(job: &ScrapeConfig, found: &[Found]) -> Vec<Value> {
    let mut results: Vec<Value> = Vec::new();
    for group in found.iter().filter_map(|source| source.groups.as_ref()).flat_map(|groups| groups.iter()) {
        for own in &group.targets {
            let (discovered, labels, error) = match build(job, group, own) {
                Built::Active(target) => (target.discovered, target.labels, None),
                Built::Dropped { discovered } => (discovered, Labels::empty(), None),
                Built::Failed { discovered, reason } => (discovered, Labels::empty(), Some(reason)),
            };
            let mut result = json!({ "discoveredLabels": map(&discovered), "labels": map(&labels) });
            if let Some(error) = error {
                result["error"] = json!(error);
            }
            if !results.contains(&result) {
                results.push(result);
            }
        }
    }
    results
}

fn map(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().collect()
}
