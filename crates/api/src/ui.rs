//! The web page, built by `build.rs` into the binary: files with their gzip form, and the page itself for its routes.
//!
//! Nothing from outside: the policy sent with the page lets the browser load from this server only.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{OriginalUri, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::respond::{text_response, typed_response};
use crate::state::{Role, Shell};

/// One embedded file.
struct Asset {
    /// Relative to the page's root, `assets/index-3f2a.js`.
    path: &'static str,
    content_type: &'static str,
    /// Quoted hash of the content.
    etag: &'static str,
    plain: &'static [u8],
    /// Empty where packing does not pay.
    gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Scripts and styles from here alone. Styles may stand in elements: the graph and component libraries set them there.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; \
                      base-uri 'self'; form-action 'self'; frame-ancestors 'self'";

/// The page; sent with its base path and title filled in, never as a plain file.
const PAGE: &str = "index.html";

/// Files whose names hold a hash of their content never change.
const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";

/// Paths that the page leads to one of [`PAGES`]: links to Prometheus' pages.
const LED_ON: &[&str] = &["agent", "graph", "hosts", "index.html", "query", "silences", "starting"];

/// Whether there is a page at a path, which has no slash in front.
fn is_page(path: &str) -> bool {
    // Prometheus' page of before, and the one that was tried beside it.
    let old = ["classic/", "new/"].iter().find_map(|prefix| path.strip_prefix(prefix));
    let path = old.unwrap_or(path).trim_end_matches('/');
    let is_at = |page: &str| {
        let (mut ours, mut asked) = (page.split('/'), path.split('/'));
        ours.by_ref().all(|part| asked.next().is_some_and(|said| part.starts_with(':') || part == said))
            && asked.next().is_none()
    };
    LED_ON.contains(&path) || PAGES.iter().any(|page| is_at(page))
}

/// Everything that no other route answers: a file, or the page for one of its own routes.
pub(crate) async fn serve(State(shell): State<Arc<Shell>>, request: Request) -> Response {
    if let Some(single) = with_single_slashes(&request) {
        return Redirect::permanent(&single).into_response();
    }
    let path = request.uri().path().trim_start_matches('/');
    let asset = find(path).filter(|asset| asset.path != PAGE);
    let is_page = is_page(path);
    match (is_page || asset.is_some(), request.method()) {
        (false, _) => {}
        (true, &Method::GET | &Method::HEAD) => {}
        (true, _) => {
            let mut refused = text_response(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET,HEAD"));
            return refused;
        }
    }
    if let Some(asset) = asset {
        return send(asset, request.headers());
    }
    if !is_page {
        return nothing_there(&shell, &request, path);
    }
    if let Some(home) = home_with_slash(&request) {
        return Redirect::permanent(&home).into_response();
    }
    page(&shell, &way_back(path))
}

/// 404: in a word for programs, as the page for people.
fn nothing_there(shell: &Shell, request: &Request, path: &str) -> Response {
    let accepts = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if *request.method() != Method::GET || !accepts.contains("text/html") {
        return text_response(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    let mut response = page(shell, &way_back(path));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// Where a path with two slashes in a row was meant to go, as `http://host:9090//api/v1/query` of a base that ends in one.
fn with_single_slashes(request: &Request) -> Option<String> {
    let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |original| &original.0);
    if !uri.path().contains("//") {
        return None;
    }
    let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let end = if uri.path().ends_with('/') && !parts.is_empty() { "/" } else { "" };
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    Some(format!("/{}{end}{query}", parts.join("/")))
}

/// The page itself, at the route prefix.
pub(crate) async fn home(State(shell): State<Arc<Shell>>) -> Response {
    page(&shell, &way_back(""))
}

fn page(shell: &Shell, base: &str) -> Response {
    match find(PAGE) {
        Some(page) => send_page(page, shell, base),
        None => text_response(StatusCode::NOT_FOUND, "this build has no web page\n"),
    }
}

fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

/// `x/` for `/a/x` when the route prefix is `/a/x`: the page's base is relative, and without the slash it would be one folder too high.
fn home_with_slash(request: &Request) -> Option<String> {
    let OriginalUri(uri) = request.extensions().get::<OriginalUri>()?;
    let last = uri.path().rsplit('/').next().filter(|last| !last.is_empty())?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    request.uri().path().trim_start_matches('/').is_empty().then(|| format!("{last}/{query}"))
}

/// From a page's path back to where the routes begin. Relative, so that it holds under a route prefix, behind a proxy that adds one or
/// takes one off, and for those who come past the proxy.
fn way_back(path: &str) -> String {
    format!("./{}", "../".repeat(path.matches('/').count()))
}

/// The page with its base path and title filled in.
fn send_page(page: &Asset, shell: &Shell, base: &str) -> Response {
    let title = escape(&shell.options.page_title);
    let root = match shell.options.role {
        Role::Server => "<html lang=\"en\"",
        Role::Agent => "<html lang=\"en\" data-role=\"agent\"",
        Role::Manager => "<html lang=\"en\" data-role=\"alertmanager\"",
    };
    let text = String::from_utf8_lossy(page.plain)
        .replacen("<base href=\"/\"", &format!("<base href=\"{base}\""), 1)
        .replacen("<html lang=\"en\"", root, 1)
        .replacen("<title>Hinomi</title>", &format!("<title>{title}</title>"), 1);
    let mut response = typed_response(StatusCode::OK, page.content_type, text);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn send(asset: &'static Asset, request: &HeaderMap) -> Response {
    let is_known = request.get_all(IF_NONE_MATCH).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == asset.etag))
    });
    let packed = accepts_gzip(request) && !asset.gzip.is_empty();
    let (status, body) = match is_known {
        true => (StatusCode::NOT_MODIFIED, Body::empty()),
        false => (StatusCode::OK, Body::from(if packed { asset.gzip } else { asset.plain })),
    };
    let mut response = typed_response(status, asset.content_type, body);
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_static(asset.etag));
    let cache = if asset.path.starts_with("assets/") { CACHE_FOREVER } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if packed && !is_known {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Whether `Accept-Encoding` names gzip, and not with `q=0`.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = quality.trim().strip_prefix("q=").map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
        matches!(name.trim(), "gzip" | "x-gzip" | "*") && quality > 0.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_as_long_as_the_path() {
        for (path, expected) in [("", "./"), ("targets", "./"), ("hosts/a:1", "./../"), ("a/b/c", "./../../")]
        {
            assert_eq!(way_back(path), expected, "{path}");
        }
    }

    #[test]
    fn pages_are_those_of_the_web_pages_own_table() {
        for path in
            ["", "targets", "targets/", "hosts/a.b:9100", "classic/graph", "graph", "new/alerts", "hosts/"]
        {
            assert!(is_page(path), "{path}");
        }
        for path in [
            "nothing",
            "targets/x",
            "hosts/a/b",
            "user/x",
            "consoles/node.html",
            "static/x",
            "-/x",
            "debug/pprof/",
        ] {
            assert!(!is_page(path), "{path}");
        }
    }

    #[test]
    fn gzip_is_sent_to_those_who_ask() {
        let check = |value: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(accepts_gzip(&headers), expected, "{value}");
        };
        check("gzip, deflate, br", true);
        check("deflate;q=0.5, gzip;q=1.0", true);
        check("*", true);
        check("gzip;q=0", false);
        check("identity", false);
    }
}
