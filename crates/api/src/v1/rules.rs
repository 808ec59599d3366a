//! `rules`, `alerts`, `alertmanagers`: what is evaluated, what fires, who is told.

use std::collections::BTreeSet;

use axum::response::Response;
use model::Matcher;
use rules::{AlertView, GroupView, RuleView};

use crate::error::ApiError;
use crate::json::{Json, format_e};
use crate::params::Params;
use crate::respond::success;
use crate::state::Shared;

/// `GET /api/v1/alerts`
pub(crate) async fn alerts(Shared(api): Shared) -> Response {
    let groups = api.rules.views();
    let alerts = groups.iter().flat_map(|group| &group.rules).filter_map(|rule| rule.alerting.as_ref());
    let alerts = alerts.flat_map(|alerting| &alerting.alerts);
    success(|json| {
        json.object(|json| json.key("alerts").array(|json| alerts.for_each(|alert| push_alert(json, alert))));
    })
}

/// `GET /api/v1/alertmanagers`
pub(crate) async fn alertmanagers(Shared(api): Shared) -> Response {
    let urls = (api.alertmanager_urls)();
    success(|json| {
        json.object(|json| {
            json.key("activeAlertmanagers").array(|json| {
                urls.iter().for_each(|url| json.object(|json| json.key("url").text(url)));
            });
            json.key("droppedAlertmanagers").array(|_| {});
        });
    })
}

/// `GET /api/v1/rules`
pub(crate) async fn rules(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let filter = Filter::new(&params)?;
    let page = Page::new(&params)?;
    let mut shown = Vec::new();
    let mut next_token = None;
    let mut has_begun = page.token.is_empty();
    for group in api.rules.views() {
        has_begun = has_begun || token(&group) == page.token;
        if !has_begun || !filter.takes_group(&group) {
            continue;
        }
        let rules: Vec<usize> =
            (0..group.rules.len()).filter(|idx| filter.takes(&group.rules[*idx])).collect();
        if rules.is_empty() {
            continue;
        }
        if page.limit.is_some_and(|limit| shown.len() == limit) {
            next_token = Some(token(&group));
            break;
        }
        shown.push((group, rules));
    }
    if !has_begun {
        let why = format!("invalid group_next_token '{}'. were rule groups changed?", page.token);
        return Err(ApiError::parameter("group_next_token", why));
    }
    Ok(success(|json| {
        json.object(|json| {
            json.key("groups").array(|json| {
                for (group, rules) in &shown {
                    push_group(json, group, rules, filter.with_alerts);
                }
            });
            if let Some(token) = &next_token {
                json.key("groupNextToken").text(token);
            }
        });
    }))
}

/// Which rules were asked for. An empty set takes all.
struct Filter {
    kind: String,
    rule_names: BTreeSet<String>,
    groups: BTreeSet<String>,
    files: BTreeSet<String>,
    matcher_sets: Vec<Vec<Matcher>>,
    with_alerts: bool,
}

impl Filter {
    fn new(params: &Params) -> Result<Self, ApiError> {
        let set = |name: &str| params.all(name).map(str::to_owned).collect();
        let matcher_sets = params.matcher_sets().map_err(ApiError::bad_data)?;
        let kind = params.get("type").to_lowercase();
        if !matches!(kind.as_str(), "" | "alert" | "record") {
            return Err(ApiError::parameter(
                "type",
                format!("not supported value {}", model::labels::quoted(&kind)),
            ));
        }
        let text = params.get("exclude_alerts").to_lowercase();
        let without_alerts = match text.as_str() {
            "" | "0" | "f" | "false" => false,
            "1" | "t" | "true" => true,
            text => {
                let why = format!(
                    "error converting exclude_alerts: strconv.ParseBool: parsing {}: invalid syntax",
                    model::labels::quoted(text)
                );
                return Err(ApiError::parameter("exclude_alerts", why));
            }
        };
        Ok(Self {
            kind,
            rule_names: set("rule_name[]"),
            groups: set("rule_group[]"),
            files: set("file[]"),
            matcher_sets,
            with_alerts: !without_alerts,
        })
    }

    fn takes_group(&self, group: &GroupView) -> bool {
        (self.groups.is_empty() || self.groups.contains(&group.name))
            && (self.files.is_empty() || self.files.contains(&group.file))
    }

    fn takes(&self, rule: &RuleView) -> bool {
        let is_kind = match self.kind.as_str() {
            "alert" => rule.alerting.is_some(),
            "record" => rule.alerting.is_none(),
            _ => true,
        };
        let matches = |set: &Vec<Matcher>| set.iter().all(|matcher| matcher.matches_labels(&rule.labels));
        is_kind
            && (self.rule_names.is_empty() || self.rule_names.contains(&rule.name))
            && (self.matcher_sets.is_empty() || self.matcher_sets.iter().any(matches))
    }
}

/// Which part of the groups was asked for.
struct Page {
    limit: Option<usize>,
    token: String,
}

impl Page {
    fn new(params: &Params) -> Result<Self, ApiError> {
        let token = params.get("group_next_token").to_owned();
        let text = params.get("group_limit");
        if text.is_empty() {
            if !token.is_empty() {
                let why = "group_limit needs to be present in order to paginate over the groups";
                return Err(ApiError::parameter("group_next_token", why));
            }
            return Ok(Self { limit: None, token });
        }
        let limit: i32 = text.parse().map_err(|_| {
            let text = model::labels::quoted(text);
            let why = format!(
                "group_limit needs to be a valid number: strconv.ParseInt: parsing {text}: invalid syntax"
            );
            ApiError::parameter("group_limit", why)
        })?;
        match usize::try_from(limit) {
            Ok(limit) if limit > 0 => Ok(Self { limit: Some(limit), token }),
            _ => Err(ApiError::parameter("group_limit", "group_limit needs to be greater than 0")),
        }
    }
}

/// Names a group to begin the next page with. Clients only hand it back.
fn token(group: &GroupView) -> String {
    let bytes = format!("{};{}", group.file, group.name).into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn push_group(json: &mut Json, group: &GroupView, rules: &[usize], with_alerts: bool) {
    json.object(|json| {
        json.key("name").text(&group.name);
        json.key("file").text(&group.file);
        json.key("rules").array(|json| {
            rules.iter().for_each(|idx| push_rule(json, &group.rules[*idx], with_alerts));
        });
        json.key("interval").number(group.interval_ms as f64 / 1_000.0);
        json.key("limit").int(group.limit as i64);
        json.key("evaluationTime").number(group.evaluation_seconds);
        json.key("lastEvaluation").time_or_never(group.last_evaluation_ms);
    });
}

fn push_rule(json: &mut Json, rule: &RuleView, with_alerts: bool) {
    json.object(|json| {
        if let Some(alerting) = &rule.alerting {
            json.key("state").text(alerting.state.as_str());
        }
        json.key("name").text(&rule.name);
        json.key("query").text(&rule.query);
        if let Some(alerting) = &rule.alerting {
            json.key("duration").number(alerting.hold_ms as f64 / 1_000.0);
            json.key("keepFiringFor").number(alerting.keep_firing_ms as f64 / 1_000.0);
            if alerting.no_data.what != rules::NoData::Resolve {
                json.key("noData").text(alerting.no_data.what.as_str());
                json.key("noDataFor").number(alerting.no_data.for_ms as f64 / 1_000.0);
            }
        }
        json.key("labels").labels(&rule.labels);
        if let Some(alerting) = &rule.alerting {
            json.key("annotations").labels(&alerting.annotations);
            match with_alerts {
                true => json.key("alerts").array(|json| {
                    alerting.alerts.iter().for_each(|alert| push_alert(json, alert));
                }),
                false => json.key("alerts").null(),
            }
        }
        json.key("health").text(rule.health.as_str());
        if !rule.last_error.is_empty() {
            json.key("lastError").text(&rule.last_error);
        }
        json.key("evaluationTime").number(rule.evaluation_seconds);
        json.key("lastEvaluation").time_or_never(rule.last_evaluation_ms);
        json.key("type").text(if rule.alerting.is_some() { "alerting" } else { "recording" });
    });
}

fn push_alert(json: &mut Json, alert: &AlertView) {
    json.object(|json| {
        json.key("labels").labels(&alert.labels);
        json.key("annotations").labels(&alert.annotations);
        json.key("state").text(alert.state.as_str());
        json.key("activeAt").time(alert.active_at_ms);
        if let Some(since_ms) = alert.keep_firing_since_ms {
            json.key("keepFiringSince").time(since_ms);
        }
        if let Some(since_ms) = alert.no_data_since_ms {
            json.key("noDataSince").time(since_ms);
        }
        json.key("value").text(&format_e(alert.value));
    });
}
