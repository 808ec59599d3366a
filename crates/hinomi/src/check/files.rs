//! What a job names and the server only looks at while it runs: files with keys and certificates, addresses, files of targets.
//!
//! In: a job; out: one message for each thing wrong. promtool's checks.

use std::path::Path;

use discovery::{SdConfig, TargetGroup};
use scrape::ScrapeConfig;
use scrape::target::{Built, build};
use stdx::{Dir as _, DiskDir};

/// Files with secrets, certificates and keys: all of a pair, and all there.
pub(super) fn keys_of(job: &ScrapeConfig, is_syntax_only: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must_exist = |what: &str, path: Option<&Path>| {
        if let Some(path) = path.filter(|path| !is_syntax_only && !DiskDir::anywhere().exists(path)) {
            wrong.push(format!(
                "error checking {what} {:?} of job {:?}: no such file or directory",
                path.display().to_string(),
                job.job
            ));
        }
    };
    let authorization = job.http.authorization.as_ref();
    let credentials = authorization.and_then(|auth| auth.credentials_file.as_deref());
    must_exist("authorization credentials or bearer token file", credentials);
    if let Some(tls) = &job.http.tls_config {
        must_exist("client cert file", tls.cert_file.as_deref());
        must_exist("client key file", tls.key_file.as_deref());
    }
    wrong
}

/// Addresses that stand in the configuration, after relabelling.
pub(super) fn targets_of(job: &ScrapeConfig) -> Vec<String> {
    let groups = job.sd.iter().filter_map(|sd| match sd {
        SdConfig::Static(groups) => Some(groups),
        _ => None,
    });
    let reason = |group: &TargetGroup, nth: usize| {
        let failed = group.targets.iter().enumerate().find_map(|(at, own)| match build(job, group, own) {
            Built::Failed { reason, .. } => Some((at, reason)),
            _ => None,
        })?;
        Some(format!("job {:?}: instance {} in group {nth}: {}", job.job, failed.0, failed.1))
    };
    groups.flatten().enumerate().filter_map(|(nth, group)| reason(group, nth)).collect()
}
