//! The first start in a data directory that an Alertmanager used: its silences and its notification log become ours.
//!
//! In from `silences` and `nflog` in the directory; out to the core, and with the snapshot that follows into our own file,
//! whose presence means that this is done. Their files are read and never changed, so that the way back stays open.

use std::path::Path;

use model::{MatchOp, Matcher};
use stdx::Dir;
use wire::alertmanager::{MatchKind, WireMatcher, WireSilence};

use crate::alert::Fingerprint;
use crate::dispatch::Core;
use crate::nflog::{Entry, NotifyKey};
use crate::silence::Silence;
use crate::uuid::new_uuid;

/// Names of the files, from Alertmanager.
const SILENCES: &str = "silences";
const NFLOG: &str = "nflog";

/// What was found in one file.
#[derive(Debug, Default)]
struct Found {
    n_taken: usize,
    /// One line each.
    troubles: Vec<String>,
}

/// Takes what an Alertmanager left in `dir`; says in the log how much, and what could not be read.
pub(super) fn from_alertmanager(dir: &dyn Dir, core: &mut Core, now_ms: i64) {
    let mut take = |name: &str, take: fn(&[u8], &mut Core, i64) -> Found| {
        let path = Path::new(name);
        if !dir.exists(path) {
            return None;
        }
        Some(match dir.read(path) {
            Ok(bytes) => take(&bytes, core, now_ms),
            Err(err) => Found { n_taken: 0, troubles: vec![err.to_string()] },
        })
    };
    let silences = take(SILENCES, take_silences);
    let entries = take(NFLOG, take_entries);
    if silences.is_none() && entries.is_none() {
        return;
    }
    let (silences, entries) = (silences.unwrap_or_default(), entries.unwrap_or_default());
    tracing::info!(
        silences = silences.n_taken,
        notification_log_entries = entries.n_taken,
        "took over the data of an Alertmanager; its files stay as they are and are not read again"
    );
    for (file, found) in [(SILENCES, silences), (NFLOG, entries)] {
        for trouble in found.troubles {
            tracing::error!(file, "not taken over: {trouble}");
        }
    }
}

fn take_silences(bytes: &[u8], core: &mut Core, _: i64) -> Found {
    let (silences, err) = wire::alertmanager::silences(bytes);
    let mut found = Found { n_taken: 0, troubles: end_of(err) };
    for wire in silences {
        let id = wire.id.clone();
        match taken_silences(wire) {
            Ok(silences) => {
                found.n_taken += 1;
                silences.into_iter().for_each(|silence| core.silences.keep(silence));
            }
            Err(why) => found.troubles.push(format!("silence {id}: {why}")),
        }
    }
    found
}

/// The silence; several when it has several sets of matchers, of which any one hides.
fn taken_silences(wire: WireSilence) -> Result<Vec<Silence>, String> {
    if wire.n_receiver_sets > 0 {
        return Err("it is for some receivers only, which is not served".to_owned());
    }
    if wire.matcher_sets.iter().all(Vec::is_empty) {
        return Err("it has no matchers".to_owned());
    }
    let mut silences = Vec::new();
    for (nth, set) in wire.matcher_sets.iter().enumerate() {
        let id = match nth {
            0 => wire.id.clone(),
            _ => new_uuid().map_err(|_| "the system gives no random numbers".to_owned())?,
        };
        silences.push(Silence {
            id,
            matchers: set.iter().map(matcher).collect::<Result<_, _>>()?,
            starts_at_ms: wire.starts_at_ms,
            ends_at_ms: wire.ends_at_ms,
            updated_at_ms: wire.updated_at_ms,
            created_by: wire.created_by.clone(),
            comment: wire.comment.clone(),
            annotations: wire.annotations.clone(),
        });
    }
    Ok(silences)
}

fn matcher(wire: &WireMatcher) -> Result<Matcher, String> {
    let op = match wire.kind {
        MatchKind::Equal => MatchOp::Equal,
        MatchKind::Regex => MatchOp::Regex,
        MatchKind::NotEqual => MatchOp::NotEqual,
        MatchKind::NotRegex => MatchOp::NotRegex,
    };
    Matcher::new(op, &wire.name, &wire.pattern).map_err(|err| err.to_string())
}

fn take_entries(bytes: &[u8], core: &mut Core, now_ms: i64) -> Found {
    let (entries, err) = wire::alertmanager::notified(bytes);
    let mut found = Found { n_taken: 0, troubles: end_of(err) };
    for wire in entries.into_iter().filter(|entry| entry.expires_at_ms > now_ms) {
        let hashes = |list: Vec<u64>| list.into_iter().map(Fingerprint).collect();
        let key = NotifyKey {
            group_key: wire.group_key,
            receiver: wire.receiver,
            integration: wire.integration,
            idx: wire.idx as usize,
        };
        let entry = Entry {
            issued: crate::nflog::Issued::new(),
            since: crate::nflog::Issued::new(),
            sent_at_ms: wire.sent_at_ms,
            expires_at_ms: wire.expires_at_ms,
            firing: hashes(wire.firing),
            resolved: hashes(wire.resolved),
            data: wire.data,
        };
        core.nflog.put(key, entry);
        found.n_taken += 1;
    }
    found
}

fn end_of(err: Option<wire::remote_write::DecodeError>) -> Vec<String> {
    err.map(|err| format!("damaged from some place on, what stands before it is taken: {err}"))
        .into_iter()
        .collect()
}
