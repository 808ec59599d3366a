//! How much is kept, and for how long.

/// How many alerts are kept, resolved ones included. Chosen: some 100 MB of memory.
pub const ALERTS_MAX: usize = 200_000;

/// How much is kept, and how often what is over is forgotten.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most silences, expired ones included.
    pub silences_max: usize,
    /// Longest texts of one silence, in bytes.
    pub silence_bytes_max: usize,
    /// Most alerts of one name; 0 for no limit but [`crate::ALERTS_MAX`].
    pub alerts_per_name_max: usize,
    /// How long a resolved alert is kept after its end.
    pub resolved_keep: model::Duration,
    /// How often what is over is forgotten and the state file written anew.
    pub maintenance_interval: model::Duration,
    /// How long the history of alerts is kept.
    pub history_keep: model::Duration,
    /// Most bytes of it; 0 to keep none.
    pub history_bytes_max: u64,
}

/// How long the history of alerts is kept when nobody says. Chosen: a quarter, so that «was it like this last month?» has an answer.
const HISTORY_KEEP: model::Duration = model::Duration::from_secs(90 * 24 * 3_600);
/// Most bytes of it when nobody says. Chosen: about a million events, and searched as a whole in a second or two.
const HISTORY_BYTES_MAX: u64 = 128 << 20;

impl Default for Limits {
    /// Those of Alertmanager's flags; the number of silences and the history are ours.
    fn default() -> Self {
        Self {
            silences_max: crate::SILENCES_MAX,
            silence_bytes_max: usize::MAX,
            alerts_per_name_max: 0,
            resolved_keep: model::Duration::from_secs(30 * 60),
            maintenance_interval: model::Duration::from_secs(15 * 60),
            history_keep: HISTORY_KEEP,
            history_bytes_max: HISTORY_BYTES_MAX,
        }
    }
}
