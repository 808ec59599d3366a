//! Agent mode: its flags, and which flags go with it. Rules and wording are Prometheus'.

use std::path::PathBuf;

use super::{DURATION, Flag, Kind, Values, flag};

/// Of agent mode.
pub(super) const FLAGS: &[Flag] = &[
    flag(
        "agent",
        Kind::Switch,
        "false",
        "Run in agent mode: scrape, take what others push, and send on by remote write; no queries, rules or alerts",
    ),
    flag(
        "storage.agent.path",
        Kind::Value("DIR"),
        "data-agent/",
        "Where samples wait; use with agent mode only",
    ),
    flag(
        "storage.agent.retention.max-time",
        DURATION,
        "4h",
        "How long samples wait for their receivers; older ones go unsent; use with agent mode only",
    ),
];

/// How flags begin that are of agent mode only.
const AGENT_ONLY: &str = "storage.agent.";

/// How flags begin that agent mode has no use for.
const SERVER_ONLY: &[&str] = &[
    "alertmanager.",
    "alerts.",
    "cluster.",
    "query.",
    "rules.",
    "storage.remote.read-",
    "storage.tsdb.",
    "web.search.",
];

impl Values {
    /// Whether it is an agent that should run.
    #[must_use]
    pub(crate) fn is_agent(&self) -> bool {
        self.is_on("agent")
    }

    /// Where samples are kept.
    #[must_use]
    pub(crate) fn data_path(&self) -> PathBuf {
        self.text(if self.is_agent() { "storage.agent.path" } else { "storage.tsdb.path" }).into()
    }

    /// Whether the flags that were given go together.
    ///
    /// # Errors
    /// Those that do not, named in one sentence.
    pub(crate) fn check_mode(&self) -> Result<(), String> {
        let is_server_only = |name: &str| SERVER_ONLY.iter().any(|start| name.starts_with(start));
        let is_wrong = |name: &str| match self.is_agent() {
            true => is_server_only(name),
            false => name.starts_with(AGENT_ONLY),
        };
        let wrong: Vec<String> =
            self.given.iter().filter(|name| is_wrong(name)).map(|name| format!("\"--{name}\"")).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let when =
            if self.is_agent() { "can not be used in agent mode" } else { "can only be used in agent mode" };
        Err(format!("The following flag(s) {when}: [{}]", wrong.join(" ")))
    }
}
