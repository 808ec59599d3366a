//! An alert on its way from a rule to a notification.

use crate::labels::Labels;

/// The label that names an alert.
pub const ALERT_NAME: &str = "alertname";

/// The value that an alert is about; not part of its identity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// As it is: of a firing alert, and of one that ended where it can be known.
    pub value: Option<f64>,
    /// The worst since the alert began.
    pub peak: f64,
    /// Whether smaller values are the worse ones.
    pub lower_is_worse: bool,
}

impl Measured {
    /// With what was known of the same firing before.
    #[must_use]
    pub fn after(self, before: Self) -> Self {
        let worse = if self.lower_is_worse { f64::min } else { f64::max };
        Self { peak: worse(self.peak, before.peak), ..self }
    }
}

/// One alert, as rules send it and the alertmanager keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Its identity.
    pub labels: Labels,
    /// Text for people; not part of the identity.
    pub annotations: Labels,
    /// When it began to fire, Unix milliseconds.
    pub starts_at_ms: i64,
    /// When it ended, or when it counts as ended unless it is sent again.
    pub ends_at_ms: i64,
    /// The page that explains it; may be empty.
    pub generator_url: String,
    /// Its value, when the sender knows it.
    pub measured: Option<Measured>,
}

impl Alert {
    /// The name, or the empty string.
    #[must_use]
    pub fn name(&self) -> &str {
        self.labels.get(ALERT_NAME).unwrap_or("")
    }

    /// Whether it has ended by `now_ms`.
    #[must_use]
    pub fn is_resolved_at(&self, now_ms: i64) -> bool {
        self.ends_at_ms <= now_ms
    }
}
