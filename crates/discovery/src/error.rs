//! Why a service could not be asked, or its answer not be used.

/// What went wrong with one look. The log names the kind and the job beside it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SdError {
    /// No answer; names the URL.
    #[error(transparent)]
    Http(#[from] net::HttpError),
    /// The client cannot be made from its configuration.
    #[error(transparent)]
    Build(#[from] net::BuildError),
    /// An answer that says no.
    #[error("{url}: {status}{}", said(.body))]
    Status {
        /// Where, without password.
        url: String,
        /// `server returned HTTP status 500 Internal Server Error`.
        status: String,
        /// The code.
        code: u16,
        /// The beginning of the body.
        body: String,
    },
    /// An answer that is not what the service is known to say.
    #[error("{url}: {reason}")]
    Answer {
        /// Where, without password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl SdError {
    /// From anything that explains itself.
    pub fn other(reason: impl std::fmt::Display) -> Self {
        Self::Other(reason.to_string())
    }

    /// The status code of an answer that said no.
    #[must_use]
    pub fn status_code(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// `: what the body says`, unless it says nothing.
fn said(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}
