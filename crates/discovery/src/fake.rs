//! A small real HTTP server for tests: recorded answers by path and query, and what was asked.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use url::Url;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

#[derive(Debug, Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<Asked>>,
}

/// A server on loopback; ends with the test's runtime.
#[derive(Debug)]
pub(crate) struct Fake {
    /// `http://127.0.0.1:port/`
    pub(crate) url: Url,
    shared: Arc<Shared>,
}

impl Fake {
    /// Serves JSON bodies by path and query; everything else is 404.
    pub(crate) async fn start(answers: &[(&str, &str)]) -> Self {
        let shared = Arc::new(Shared::default());
        let app = app(&shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let fake = Self { url, shared };
        for (path, body) in answers {
            fake.answer(path, 200, &[], body);
        }
        fake
    }

    /// Answers on a socket of the file system, too.
    pub(crate) fn listen_at(&self, path: &std::path::Path) {
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        let app = app(&self.shared);
        tokio::spawn(async move { axum::serve(listener, app).await });
    }

    /// What `path` (with its query) is answered from now on.
    pub(crate) fn answer(&self, path: &str, status: u16, headers: &[(&str, &str)], body: &str) {
        let json = [("content-type", "application/json")];
        let headers = json.iter().chain(headers).map(|(name, value)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
        });
        // A later pair takes the place of an earlier one.
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, value);
        }
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: map, body: body.to_owned() };
        self.shared.answers.lock().insert(path.to_owned(), answer);
    }

    /// Everything asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }
}

fn app(shared: &Arc<Shared>) -> Router {
    Router::new().fallback(serve).with_state(Arc::clone(shared))
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    shared.asked.lock().push(Asked { method, path: path.clone(), headers, body });
    let known = shared.answers.lock().get(&path).cloned();
    match known {
        Some(answer) => (answer.status, answer.headers, answer.body).into_response(),
        None => (StatusCode::NOT_FOUND, format!("nothing recorded for {path}")).into_response(),
    }
}

/// Reads one element of a `*_sd_configs` as it would stand in a file.
pub(crate) fn config<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    model::yaml::parse("p.yml", text).map_err(|err| err.to_string())
}

/// The labels of all targets, those of their group included, each set in order.
pub(crate) fn labels(groups: &[crate::TargetGroup]) -> Vec<String> {
    let all = groups
        .iter()
        .flat_map(|group| group.targets.iter().map(|target| group.merged(target).build().to_string()));
    all.collect()
}
