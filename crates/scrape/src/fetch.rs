//! The HTTP side of a scrape: what is asked for, and which answers count.

use std::sync::Arc;

use http::HeaderValue;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};
use net::client::status_error;
use net::{Body, HttpError, Limits, Line, Repeated, Request};

use crate::config::ScrapeConfig;
use crate::settings::Settings;
use crate::target::Target;

/// Largest body where no `body_size_limit` is set, in bytes. Chosen: ten times the largest pages seen in the wild.
pub(crate) const BODY_BYTES_MAX: usize = 512 << 20;
/// How much longer than its text a compressed body may be: gzip's own header. Chosen.
const GZIP_OVERHEAD_BYTES: usize = 1 << 10;

static TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// A page as it came.
#[derive(Debug)]
pub(crate) struct Page {
    /// Maybe compressed.
    pub(crate) body: Body,
    /// Native histograms beside a page of text, of targets inside this process; empty for none.
    pub(crate) natives: Vec<u8>,
    /// How.
    pub(crate) encoding: String,
    /// What.
    pub(crate) content_type: String,
}

/// Most bytes of a decompressed body: a body that reaches `body_size_limit` is too large.
pub(crate) fn decoded_bytes_max(config: &ScrapeConfig) -> usize {
    match config.limits.body_bytes_max {
        0 => BODY_BYTES_MAX,
        limit => usize::try_from(limit - 1).unwrap_or(usize::MAX).min(BODY_BYTES_MAX),
    }
}

/// gzip first: one page of it is inflated in one step, zstd as a stream.
const COMPRESSED: &str = "gzip, zstd;q=0.5";

/// What a target is asked again and again, until its settings change.
#[derive(Debug)]
pub(crate) struct Question {
    settings: Arc<Settings>,
    target: Arc<Target>,
    request: Repeated,
    limits: Limits,
}

impl Question {
    pub(crate) fn new(settings: &Arc<Settings>, target: &Arc<Target>) -> Self {
        let config = &settings.config;
        let mut request = Request::get(target.url.clone());
        let text = |text: &str| HeaderValue::from_str(text).expect("made of ASCII by this module");
        request.headers.insert(ACCEPT, text(&settings.accept));
        let encoding = if config.enable_compression { COMPRESSED } else { "identity" };
        request.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
        request.headers.insert(TIMEOUT_HEADER.clone(), text(&target.timeout.as_secs_f64().to_string()));
        let decoded_bytes_max = decoded_bytes_max(config);
        let limits = Limits {
            timeout: target.timeout.as_std(),
            body_bytes_max: decoded_bytes_max.saturating_add(GZIP_OVERHEAD_BYTES),
            decoded_bytes_max,
        };
        Self { settings: Arc::clone(settings), target: Arc::clone(target), request: request.into(), limits }
    }

    /// Whether it still is what this target is to be asked.
    pub(crate) fn is_of(&self, settings: &Arc<Settings>, target: &Arc<Target>) -> bool {
        Arc::ptr_eq(&self.settings, settings) && Arc::ptr_eq(&self.target, target)
    }

    /// Asks the target for its page, over `line` where that can be.
    pub(crate) async fn fetch(&mut self, line: &mut Line) -> Result<Page, FetchError> {
        let fetched = self.settings.client.fetch(&mut self.request, &self.limits, line).await?;
        if fetched.status != http::StatusCode::OK {
            return Err(FetchError::Status(status_error(fetched.status)));
        }
        Ok(Page {
            encoding: fetched.content_encoding,
            content_type: fetched.content_type,
            body: fetched.body,
            natives: Vec::new(),
        })
    }
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{0}")]
    Http(#[from] HttpError),
    #[error("{0}")]
    Status(String),
    /// `target_limit`.
    #[error("{0}")]
    TargetLimit(String),
    /// A function of this process that panicked.
    #[error("the source of this target failed: {0}")]
    Local(String),
}
