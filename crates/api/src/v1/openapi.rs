//! `GET /api/v1/openapi.yaml`: the description of this API for programs that read such.
//!
//! The document is kept by hand beside this file. A test here holds it against the table of routes, an integration test against the
//! answers of a server.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

const DOCUMENT: &str = include_str!("openapi.yaml");

/// The document.
pub(crate) async fn document() -> Response {
    let headers = [
        (CONTENT_TYPE, "application/yaml; charset=utf-8"),
        (CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
    ];
    (headers, DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::Deserialize;
    use serde::de::IgnoredAny;

    use super::*;

    #[derive(Deserialize)]
    struct Document {
        paths: BTreeMap<String, BTreeMap<String, IgnoredAny>>,
    }

    /// Every path with its methods, as `get /query`.
    fn documented() -> BTreeSet<String> {
        let document: Document = model::yaml::parse("openapi.yaml", DOCUMENT).unwrap();
        let all = document.paths.iter();
        all.flat_map(|(path, methods)| methods.keys().map(move |method| format!("{method} {path}"))).collect()
    }

    /// The same from the source of the table: there is no way to ask a router for its routes.
    fn routed() -> BTreeSet<String> {
        let source = include_str!("../routes.rs");
        let (_, table) = source.split_once("fn v1()").unwrap();
        let table = table.split_once("\n}").unwrap().0;
        let mut all = BTreeSet::new();
        for route in table.split(".route(").skip(1) {
            let path = route.split('"').nth(1).unwrap();
            for method in ["get", "post", "put", "delete"] {
                if route.contains(&format!(" {method}(")) || route.contains(&format!(").{method}(")) {
                    all.insert(format!("{method} {path}"));
                }
            }
        }
        all
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let (documented, routed) = (documented(), routed());
        let missing: Vec<_> = routed.difference(&documented).collect();
        let gone: Vec<_> = documented.difference(&routed).collect();
        assert!(missing.is_empty() && gone.is_empty(), "not described: {missing:?}; not routed: {gone:?}");
        assert!(routed.len() > 40, "{routed:?}");
    }
}
