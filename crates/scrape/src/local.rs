//! Targets inside this process: the host's collector, our own metrics.
//!
//! Their pages come from a function instead of HTTP; everything after that is as for any other target.

use std::sync::Arc;

use model::{Duration, Labels};

/// Writes a page in the text format 0.0.4. May take a while: it is called on a blocking thread.
pub type PageFn = Arc<dyn Fn() -> String + Send + Sync>;

/// Writes the native histograms that belong to such a page, which has no words for them, as protobuf. Called right after the page; what changes
/// between the two is stored a scrape later.
pub type NativesFn = Arc<dyn Fn() -> Vec<u8> + Send + Sync>;

/// A target inside this process.
#[derive(Clone)]
pub struct LocalTarget {
    /// The label `job`, and the name of the scrape pool.
    pub job: String,
    /// Further labels; `instance` belongs here.
    pub labels: Labels,
    /// Between scrapes. The first comes at once, two more after 1.5 s and 3 s.
    pub interval: Duration,
    /// Whether the page's own labels win over these.
    pub honor_labels: bool,
    /// The page.
    pub source: PageFn,
    /// Its native histograms, where there are any.
    pub natives: Option<NativesFn>,
    /// Shown as the target's URL, for instance `local:///metrics`.
    pub shown_url: String,
}

impl std::fmt::Debug for LocalTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalTarget")
            .field("job", &self.job)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}
