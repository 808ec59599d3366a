//! `GET /federate`: the newest sample of every selected series, in the text format, for another server to scrape.
//!
//! Order, types and labels as Prometheus: by metric name, `untyped`, external labels where the series has none of the
//! name, and an empty `instance` so that the scraping server does not put its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use model::labels::METRIC_NAME;
use model::{Labels, TimeRange, is_stale};
use promql::{EvalError, LookUp};
use storage::{Queryable, SelectHints};

use crate::error::{ApiError, ErrorKind};
use crate::params::Params;
use crate::respond::{text_response, typed_response};
use crate::state::{Shared, Shell};
use crate::v1;

/// What Prometheus calls the text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) async fn page(State(shell): State<Arc<Shell>>, Shared(api): Shared, params: Params) -> Response {
    let sets = match params.matcher_sets() {
        Ok(sets) => sets,
        Err(why) => return text_response(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    let external = shell.config.load().external_labels.clone();
    let now_ms = api.clock.now_ms();
    let range = TimeRange::new(now_ms.saturating_sub(api.engine.load().options().lookback_ms), now_ms);
    let text = v1::series::read_text(&api, move |queryable, look_up| {
        let mut newest = BTreeMap::new();
        for matchers in &sets {
            collect(queryable, look_up, matchers, range, &mut newest)?;
        }
        Ok(render(&newest, &external))
    });
    match text.await {
        Ok(text) => typed_response(StatusCode::OK, CONTENT_TYPE, text),
        Err(ApiError { kind: ErrorKind::Timeout, message }) => {
            text_response(StatusCode::SERVICE_UNAVAILABLE, format!("{message}\n"))
        }
        Err(err) => text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("{err}\n")),
    }
}

/// Newest sample of each series; by name, then by labels.
type Newest = BTreeMap<(String, Labels), (i64, f64)>;

fn collect(
    queryable: &dyn Queryable,
    look_up: &LookUp,
    matchers: &[model::Matcher],
    range: TimeRange,
    newest: &mut Newest,
) -> Result<(), EvalError> {
    let mut set = queryable.select(matchers, range, &SelectHints::default()).map_err(EvalError::Storage)?;
    while let Some(series) = set.next().map_err(EvalError::Storage)? {
        look_up.take(v1::series::bytes_of(&series.labels))?;
        let (Some(t_ms), Some(value)) = (series.timestamps.last(), series.values.last()) else { continue };
        let name = series.labels.metric_name();
        if !is_stale(*value) && !name.is_empty() {
            newest.insert((name.to_owned(), series.labels.clone()), (*t_ms, *value));
        }
    }
    Ok(())
}

fn render(newest: &Newest, external: &Labels) -> String {
    let mut out = String::new();
    let mut last_name = "";
    for ((name, labels), (t_ms, value)) in newest {
        let quoted_name = !model::labels::is_legacy_metric_name(name);
        if name != last_name {
            let shown = if quoted_name { quote(name) } else { name.clone() };
            let _ = writeln!(out, "# TYPE {shown} untyped");
            last_name = name;
        }
        let own = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
        let added = external.iter().filter(|(label, _)| labels.get(label).is_none());
        let has_instance = labels.get("instance").is_some() || external.get("instance").is_some();
        let instance = (!has_instance).then_some(("instance", ""));
        let mut pairs: Vec<String> = if quoted_name { vec![quote(name)] } else { Vec::new() };
        pairs.extend(own.chain(instance).chain(added).map(|(label, value)| {
            match model::labels::is_legacy_label_name(label) {
                true => format!("{label}={}", quote(value)),
                false => format!("{}={}", quote(label), quote(value)),
            }
        }));
        let shown = if quoted_name { "" } else { name.as_str() };
        let _ = writeln!(out, "{shown}{{{}}} {} {t_ms}", pairs.join(","), model::float::format_g(*value));
    }
    out
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_grouped_and_carry_external_labels() {
        let mut newest = Newest::new();
        for (name, job, value) in [("up", "a", 1.0), ("b", "x\"\n", 1e21)] {
            let labels = Labels::from_pairs([("__name__", name), ("job", job)]);
            newest.insert((name.to_owned(), labels), (7, value));
        }
        let external = Labels::from_pairs([("job", "no"), ("mon", "m")]);
        assert_eq!(
            render(&newest, &external),
            "# TYPE b untyped\nb{job=\"x\\\"\\n\",instance=\"\",mon=\"m\"} 1e+21 7\n\
             # TYPE up untyped\nup{job=\"a\",instance=\"\",mon=\"m\"} 1 7\n"
        );
    }
}
