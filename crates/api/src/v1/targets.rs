//! `targets`, `targets/metadata`, `targets/relabel_steps`, `scrape_pools`, `metadata`: what is scraped and what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use model::relabel::{self, RelabelConfig};
use model::{Labels, Matcher, Metadata};
use scrape::{ActiveTarget, DroppedTarget, SdHealth, TargetMetadata, View};

use crate::error::ApiError;
use crate::json::Json;
use crate::params::Params;
use crate::respond::success;
use crate::state::{Shared, Shell};

/// `GET /api/v1/scrape_pools`
pub(crate) async fn scrape_pools(Shared(api): Shared) -> Response {
    success(|json| json.object(|json| json.key("scrapePools").texts(api.targets.scrape_pools())))
}

/// `GET /api/v1/status/discovery`: of each job whether its targets can be found, and since when not. Ours.
pub(crate) async fn discovery(Shared(api): Shared) -> Response {
    let jobs = api.targets.discovery();
    success(|json| {
        json.object(|json| {
            json.key("scrapePools").array(|json| {
                for (job, sources) in &jobs {
                    json.object(|json| {
                        json.key("scrapePool").text(job);
                        json.key("sources").array(|json| sources.iter().for_each(|it| push_source(json, it)));
                    });
                }
            });
        });
    })
}

fn push_source(json: &mut Json, health: &SdHealth) {
    json.object(|json| {
        json.key("mechanism").text(health.mechanism());
        if let Some(trouble) = health.trouble() {
            json.key("error").text(&trouble.error);
            json.key("since").time(trouble.since_ms);
        }
    });
}

/// `GET /api/v1/scrape_pools/config`: the section of one job, as it is written.
pub(crate) async fn pool_config(
    State(shell): State<Arc<Shell>>,
    _: Shared,
    params: Params,
) -> Result<Response, ApiError> {
    let pool = params.get("scrapePool");
    if pool.is_empty() {
        return Err(ApiError::bad_data("no scrapePool parameter provided"));
    }
    let config = shell.config.load();
    let yaml = config.scrape_configs.get(pool).ok_or_else(|| {
        let pool = model::labels::quoted(pool);
        ApiError::bad_data(format!("error retrieving scrape config: scrape pool {pool} not found"))
    })?;
    Ok(success(|json| json.object(|json| json.key("yaml").text(yaml))))
}

/// `GET /api/v1/targets`
pub(crate) async fn targets(Shared(api): Shared, params: Params) -> Response {
    let state = params.get("state").to_lowercase();
    let shows = |kind: &str| matches!(state.as_str(), "" | "any") || state == kind;
    let pool = Some(params.get("scrapePool")).filter(|pool| !pool.is_empty());
    let active = if shows("active") { api.targets.active_targets(pool) } else { Vec::new() };
    let dropped = if shows("dropped") { api.targets.dropped_targets(pool) } else { Vec::new() };
    success(|json| {
        json.object(|json| {
            json.key("activeTargets")
                .array(|json| active.iter().for_each(|target| push_active(json, target)));
            json.key("droppedTargets")
                .array(|json| dropped.iter().for_each(|target| push_dropped(json, target)));
            if shows("dropped") {
                push_counts(json.key("droppedTargetCounts"), &api.targets);
            } else {
                json.key("droppedTargetCounts").null();
            }
        });
    })
}

fn push_active(json: &mut Json, target: &ActiveTarget) {
    json.object(|json| {
        json.key("discoveredLabels").labels(&target.discovered_labels);
        json.key("labels").labels(&target.labels);
        json.key("scrapePool").text(&target.scrape_pool);
        json.key("scrapeUrl").text(&target.scrape_url);
        json.key("globalUrl").text(&target.global_url);
        json.key("lastError").text(&target.last_error);
        json.key("lastScrape").time_or_never(target.last_scrape_ms);
        json.key("lastScrapeDuration").number(target.last_scrape_duration_secs);
        json.key("health").text(target.health.as_str());
        json.key("scrapeInterval").text(&target.scrape_interval.to_string());
        json.key("scrapeTimeout").text(&target.scrape_timeout.to_string());
    });
}

fn push_dropped(json: &mut Json, target: &DroppedTarget) {
    json.object(|json| {
        json.key("discoveredLabels").labels(&target.discovered_labels);
        json.key("scrapePool").text(&target.scrape_pool);
    });
}

fn push_counts(json: &mut Json, view: &View) {
    json.object(|json| {
        for (pool, count) in view.dropped_target_counts() {
            json.data_key(&pool).int(count as i64);
        }
    });
}

/// `GET /api/v1/targets/relabel_steps`: what the rules of a job make of `labels`, one by one.
pub(crate) async fn relabel_steps(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let pool = params.get("scrapePool");
    if pool.is_empty() {
        return Err(ApiError::bad_data("no scrapePool parameter provided"));
    }
    let text = params.get("labels");
    if text.is_empty() {
        return Err(ApiError::bad_data("no labels parameter provided"));
    }
    let pairs: BTreeMap<String, String> = serde_json::from_str(text)
        .map_err(|err| ApiError::bad_data(format!("error parsing labels: {err}")))?;
    let rules = api.targets.relabel_configs(pool).ok_or_else(|| {
        let pool = model::labels::quoted(pool);
        ApiError::bad_data(format!("error retrieving scrape config: scrape pool {pool} not found"))
    })?;
    let mut builder = Labels::from_pairs(&pairs).to_builder();
    let mut keep = true;
    Ok(success(|json| {
        json.object(|json| {
            json.key("steps").array(|json| {
                for rule in &rules {
                    keep = keep && relabel::process_builder(&mut builder, std::slice::from_ref(rule));
                    let output = if keep { builder.build() } else { Labels::default() };
                    json.object(|json| {
                        push_rule(json.key("rule"), rule);
                        json.key("output").labels(&output);
                        json.key("keep").bool(keep);
                    });
                }
            });
        });
    }))
}

/// As Prometheus writes a rule: what is empty or zero is left out where it does so.
fn push_rule(json: &mut Json, rule: &RelabelConfig) {
    json.object(|json| {
        if !rule.source_labels.is_empty() {
            json.key("source_labels").texts(&rule.source_labels);
        }
        json.key("separator").text(&rule.separator);
        json.key("regex").text(rule.regex.pattern());
        if rule.modulus > 0 {
            json.key("modulus").int(rule.modulus);
        }
        if !rule.target_label.is_empty() {
            json.key("target_label").text(&rule.target_label);
        }
        json.key("replacement").text(&rule.replacement);
        json.key("action").text(rule.action.as_str());
    });
}

/// `GET /api/v1/targets/metadata`
pub(crate) async fn target_metadata(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let limit = params.count("limit")?.unwrap_or(usize::MAX);
    let matchers = match params.get("match_target") {
        "" => Vec::new(),
        text => promql::metric_selector(text).map_err(|err| ApiError::parameter("match_target", err))?,
    };
    let metric = params.get("metric").to_owned();
    let view = api.targets.clone();
    let all = super::aside(move || view.metadata()).await?;
    let chosen = all.iter().filter(|entry| {
        let is_target = matchers.iter().all(|matcher: &Matcher| matcher.matches_labels(&entry.target));
        is_target && (metric.is_empty() || metric == entry.metric)
    });
    Ok(success(|json| {
        json.array(|json| {
            chosen.take(limit).for_each(|entry| push_target_metadata(json, entry, metric.is_empty()));
        });
    }))
}

fn push_target_metadata(json: &mut Json, entry: &TargetMetadata, with_metric: bool) {
    json.object(|json| {
        json.key("target").labels(&entry.target);
        if with_metric {
            json.key("metric").text(&entry.metric);
        }
        push_metadata(json, &entry.metadata);
    });
}

fn push_metadata(json: &mut Json, metadata: &Metadata) {
    json.key("type").text(&metadata.metric_type.to_string());
    json.key("help").text(&metadata.help);
    json.key("unit").text(&metadata.unit);
}

/// `GET /api/v1/metadata`
pub(crate) async fn metadata(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let limit = params.count("limit")?.unwrap_or(usize::MAX);
    let per_metric = params.count("limit_per_metric")?.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let metric = params.get("metric").to_owned();
    let (view, pushed) = (api.targets.clone(), api.pushed_metadata.clone());
    let (scraped, pushed) = super::aside(move || (view.metadata(), pushed())).await?;
    // Several targets may say different things of one family: each is listed once. So are those who push.
    let mut families: BTreeMap<&str, Vec<&Metadata>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let all = scraped.iter().map(|entry| (&entry.metric, &entry.metadata)).chain(&pushed);
    for (name, metadata) in all.filter(|(name, _)| metric.is_empty() || metric == **name) {
        let key = (name, metadata.metric_type.to_string(), &metadata.help, &metadata.unit);
        let list = families.entry(name).or_default();
        if list.len() < per_metric && seen.insert(key) {
            list.push(metadata);
        }
    }
    Ok(success(|json| {
        json.object(|json| {
            for (name, list) in families.into_iter().take(limit) {
                json.data_key(name).array(|json| {
                    list.into_iter().for_each(|metadata| json.object(|json| push_metadata(json, metadata)));
                });
            }
        });
    }))
}
