//! A server's door: TLS, client certificates, users, rate and security headers from the web configuration file.
//!
//! In from the file and the files it names, which are looked at again at every handshake and request, so that a renewed certificate or
//! a new user needs no restart; out to [`crate::server`]. When what is there now cannot be used, what was there before stays and the log says
//! why, once. Whether TLS is spoken at all is fixed when the server starts.

mod config;
mod rate;
mod tls;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use model::yaml::{self, YamlError};
use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use stdx::dir::{Dir as _, DiskDir};
use tokio::time::Instant;

use config::WebFile;
use rate::Bucket;
use tls::ServerFiles;
use users::Doorkeeper;

use crate::config::TlsConfig;
use crate::error::BuildError;

/// Why a web configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebConfigError {
    /// It cannot be read.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// What is in it is wrong; says where.
    #[error("{0}")]
    Wrong(#[from] YamlError),
    /// A certificate or key it names is.
    #[error("{}: tls_server_config: {why}", path.display())]
    Tls {
        /// The file that names it.
        path: PathBuf,
        /// What is wrong.
        why: BuildError,
    },
    /// Certificates came or went since the start.
    #[error("{}: tls_server_config was added or removed; TLS is switched on and off by a restart", path.display())]
    TlsSwitched {
        /// The file.
        path: PathBuf,
    },
    /// A file of servers that connect to each other lacks how others connect here.
    #[error("{}: missing 'tls_server_config' entry in the TLS configuration", path.display())]
    NoServer {
        /// The file.
        path: PathBuf,
    },
    /// A web configuration file says how to connect elsewhere.
    #[error("{}: field tls_client_config not found; it is for --cluster.tls-config", path.display())]
    Client {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    NoRandomness,
}

/// The file as it was read last, with what was made of it.
struct Loaded {
    /// As read, to see whether anything changed.
    text: Vec<u8>,
    files: ServerFiles,
    web: WebFile,
    tls: Option<Arc<ServerConfig>>,
}

impl Loaded {
    fn read(path: &Path, dir: &DiskDir) -> Result<Self, WebConfigError> {
        let unreadable = |reason: String| WebConfigError::Unreadable { path: path.to_owned(), reason };
        let text = dir.read(path).map_err(|err| unreadable(err.to_string()))?;
        let utf8 =
            std::str::from_utf8(&text).map_err(|_| unreadable("the file is not UTF-8 text".to_owned()))?;
        let mut web: WebFile = yaml::parse(&path.display().to_string(), utf8)?;
        web.set_directory(path.parent().unwrap_or(Path::new("")));
        let wrong = |why| WebConfigError::Tls { path: path.to_owned(), why };
        let (files, tls) = match &web.tls {
            None => (ServerFiles::default(), None),
            Some(keys) => {
                let files = ServerFiles::read(keys, dir).map_err(wrong)?;
                let tls = tls::server_config(keys, &files, web.http2).map_err(wrong)?;
                (files, Some(tls))
            }
        };
        Ok(Self { text, files, web, tls })
    }

    /// Whether a file is not what it was; `with_certificates` also looks at those the file names.
    fn has_changed(&self, path: &Path, dir: &DiskDir, with_certificates: bool) -> bool {
        if dir.read(path).ok().as_deref() != Some(&self.text) {
            return true;
        }
        let Some(keys) = self.web.tls.as_ref().filter(|_| with_certificates) else { return false };
        ServerFiles::read(keys, dir).ok().as_ref() != Some(&self.files)
    }
}

/// A web configuration file in use.
pub struct WebConfig {
    path: PathBuf,
    dir: DiskDir,
    has_tls: bool,
    loaded: RwLock<Arc<Loaded>>,
    /// The last complaint, so that it is said once.
    complaint: Mutex<String>,
    doorkeeper: Doorkeeper,
    bucket: Mutex<Bucket>,
    started: Instant,
}

impl std::fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebConfig")
            .field("path", &self.path)
            .field("has_tls", &self.has_tls)
            .finish_non_exhaustive()
    }
}

/// What a file says, for people.
#[derive(Debug, Clone)]
pub struct WebSummary {
    /// Whether TLS is spoken.
    pub has_tls: bool,
    /// How many users there are; anybody may come in when there are none.
    pub n_users: usize,
    /// What is accepted and cannot be done as written.
    pub warnings: Vec<String>,
}

impl WebConfig {
    /// Reads the file at `path` and the files it names.
    ///
    /// # Errors
    /// When one of them cannot be read or used.
    pub fn open(path: &Path) -> Result<Self, WebConfigError> {
        let web = Self::open_any(path)?;
        let has_client = web.loaded.read().web.client.is_some();
        if has_client { Err(WebConfigError::Client { path: path.to_owned() }) } else { Ok(web) }
    }

    /// As [`WebConfig::open`], for servers that connect to each other: TLS must be on, and `tls_client_config` may say
    /// how to connect to the others, see [`WebConfig::peers_tls`].
    ///
    /// # Errors
    /// As [`WebConfig::open`], and without `tls_server_config`.
    pub fn open_for_peers(path: &Path) -> Result<Self, WebConfigError> {
        let web = Self::open_any(path)?;
        if web.has_tls { Ok(web) } else { Err(WebConfigError::NoServer { path: path.to_owned() }) }
    }

    /// `tls_client_config`: how to connect to the others.
    #[must_use]
    pub fn peers_tls(&self) -> TlsConfig {
        self.loaded.read().web.client.clone().unwrap_or_default()
    }

    fn open_any(path: &Path) -> Result<Self, WebConfigError> {
        let dir = DiskDir::anywhere();
        let loaded = Loaded::read(path, &dir)?;
        Ok(Self {
            path: path.to_owned(),
            dir,
            has_tls: loaded.tls.is_some(),
            loaded: RwLock::new(Arc::new(loaded)),
            complaint: Mutex::default(),
            doorkeeper: Doorkeeper::new().ok_or(WebConfigError::NoRandomness)?,
            bucket: Mutex::default(),
            started: Instant::now(),
        })
    }

    /// What the file says now.
    #[must_use]
    pub fn summary(&self) -> WebSummary {
        let loaded = self.loaded.read();
        WebSummary { has_tls: self.has_tls, n_users: loaded.web.users.len(), warnings: loaded.web.warnings() }
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.has_tls
    }

    /// What the files hold now, or held when they could last be used.
    fn current(&self, with_certificates: bool) -> Arc<Loaded> {
        let before = self.loaded.read().clone();
        if !before.has_changed(&self.path, &self.dir, with_certificates) {
            return before;
        }
        let read =
            Loaded::read(&self.path, &self.dir).and_then(|now| match now.tls.is_some() == self.has_tls {
                true => Ok(Arc::new(now)),
                false => Err(WebConfigError::TlsSwitched { path: self.path.clone() }),
            });
        match read {
            Ok(now) => {
                tracing::info!(file = %self.path.display(), "took the changed web configuration or its certificates");
                self.complaint.lock().clear();
                *self.loaded.write() = Arc::clone(&now);
                now
            }
            Err(err) => {
                let text = err.to_string();
                let mut complaint = self.complaint.lock();
                if *complaint != text {
                    tracing::error!(
                        error = text,
                        "cannot use the changed web configuration, the old one stays"
                    );
                    *complaint = text;
                }
                before
            }
        }
    }

    /// For a handshake; `None` when TLS is not spoken.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.has_tls.then(|| self.current(true).tls.clone()).flatten()
    }

    /// Lets a request in; answers with the headers to add to its response.
    ///
    /// # Errors
    /// The response that refuses it: 429 beyond the rate, 401 without the right password.
    pub(crate) async fn admit(&self, headers: &HeaderMap) -> Result<Extra, Response<Body>> {
        let loaded = self.current(false);
        if !self.bucket.lock().take(loaded.web.rate, self.started.elapsed()) {
            return Err(refusal(StatusCode::TOO_MANY_REQUESTS));
        }
        let extra = Extra(Arc::clone(&loaded));
        if loaded.web.users.is_empty() || self.doorkeeper.admits(&loaded.web.users, headers).await {
            return Ok(extra);
        }
        let mut response = refusal(StatusCode::UNAUTHORIZED);
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        extra.add(response.headers_mut());
        Err(response)
    }
}

/// The headers of `http_server_config`.
pub(crate) struct Extra(Arc<Loaded>);

impl Extra {
    /// Adds them, unless the response has its own.
    pub(crate) fn add(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0.web.headers {
            headers.entry::<HeaderName>(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// As Go's `http.Error` writes it.
fn refusal(status: StatusCode) -> Response<Body> {
    let mut response =
        Response::new(Body::from(format!("{}\n", status.canonical_reason().unwrap_or_default())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
