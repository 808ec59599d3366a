//! Rules and alerts as the API shows them: plain values, taken after each evaluation.

use model::Labels;

/// The state of an alert, or the worst of a rule's alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// Not evaluated yet.
    Unknown,
    /// Nothing to tell.
    Inactive,
    /// Holds, but not for long enough.
    Pending,
    /// Fires.
    Firing,
}

impl AlertState {
    /// As the API and the `alertstate` label write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// Whether a rule's last evaluation went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Not evaluated yet.
    #[default]
    Unknown,
    /// It went well.
    Ok,
    /// It failed.
    Err,
}

impl Health {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Err => "err",
        }
    }
}

/// One active alert.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertView {
    /// Its identity.
    pub labels: Labels,
    /// Text for people.
    pub annotations: Labels,
    /// Pending or firing.
    pub state: AlertState,
    /// Since when the expression holds, Unix milliseconds.
    pub active_at_ms: i64,
    /// Since when it fires although the expression no longer holds.
    pub keep_firing_since_ms: Option<i64>,
    /// The expression's value.
    pub value: f64,
    /// Since when its series has no data, while the rule keeps it.
    pub no_data_since_ms: Option<i64>,
}

/// One rule. What only alerting rules have is in [`AlertingView`].
#[derive(Debug, Clone)]
pub struct RuleView {
    /// The series' or alert's name.
    pub name: String,
    /// The expression, printed.
    pub query: String,
    /// Labels as written; templates are not expanded.
    pub labels: Labels,
    /// Of the last evaluation.
    pub health: Health,
    /// Why the last evaluation failed; empty when it did not.
    pub last_error: String,
    /// How long the last evaluation took, seconds.
    pub evaluation_seconds: f64,
    /// When that was, Unix milliseconds; `None` before the first.
    pub last_evaluation_ms: Option<i64>,
    /// For alerting rules.
    pub alerting: Option<AlertingView>,
}

/// What only alerting rules have.
#[derive(Debug, Clone)]
pub struct AlertingView {
    /// The worst of its alerts.
    pub state: AlertState,
    /// `for`, milliseconds.
    pub hold_ms: i64,
    /// `keep_firing_for`, milliseconds.
    pub keep_firing_ms: i64,
    /// What happens to alerts whose series vanish, and for how long.
    pub no_data: crate::NoDataSpec,
    /// As written; templates are not expanded.
    pub annotations: Labels,
    /// Pending and firing alerts, sorted by labels.
    pub alerts: Vec<AlertView>,
}

/// One group.
#[derive(Debug, Clone)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// The file it stands in, [`crate::builtin::FILE`] for built-in ones.
    pub file: String,
    /// How often it is evaluated, milliseconds.
    pub interval_ms: i64,
    /// How many series or alerts a rule may make; 0 for any.
    pub limit: usize,
    /// How long the last evaluation of all its rules took, seconds.
    pub evaluation_seconds: f64,
    /// When that was, Unix milliseconds; `None` before the first.
    pub last_evaluation_ms: Option<i64>,
    /// Its rules, in order.
    pub rules: Vec<RuleView>,
}
