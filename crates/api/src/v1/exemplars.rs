//! `query_exemplars`: the exemplars of every series that a query reads.

use std::collections::BTreeMap;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use model::{Exemplar, Labels};

use super::aside;
use crate::error::ApiError;
use crate::params::Params;
use crate::respond::success;
use crate::state::Shared;

/// `GET|POST /api/v1/query_exemplars`. Modifiers of the query's selectors move nothing, as in Prometheus: the range is that of the request.
pub(crate) async fn exemplars(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let range = params.range()?;
    if range.end_ms < range.start_ms {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let expr =
        api.engine.load().parse(params.get("query")).map_err(|err| ApiError::bad_data(err.to_string()))?;
    if expr.selectors().is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let found = aside(move || {
        // A series that several selectors mean is there once.
        let mut found: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        for selector in expr.selectors() {
            found.extend((api.exemplars)(&selector.matchers, range));
        }
        found
    })
    .await?;
    Ok(success(|json| {
        json.array(|json| {
            for (labels, exemplars) in &found {
                json.object(|json| {
                    json.key("seriesLabels").labels(labels);
                    json.key("exemplars").array(|json| {
                        for exemplar in exemplars {
                            json.object(|json| {
                                json.key("labels").labels(&exemplar.labels);
                                json.key("value").sample_value(exemplar.value);
                                json.key("timestamp").sample_time(exemplar.t_ms);
                            });
                        }
                    });
                });
            }
        });
    }))
}
