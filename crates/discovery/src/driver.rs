//! Runs one configuration: asks again at its interval, keeps the last good answer, publishes what changed.
//!
//! In from [`crate::hub`]; out to those who subscribed. Kinds that are asked again and again implement [`Provider`] and
//! are run by [`refreshing`]; kinds that are told of changes (a watch, a blocking query) are a [`Task`] of their own that
//! calls [`Context::publish`]. A task ends when it is dropped, which the hub does when nobody is subscribed any more.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use model::Duration;
use stdx::clock::Clock;
use stdx::dir::Dir;
use tokio::sync::watch;

use crate::SdError;
use crate::group::{Groups, TargetGroup};
use crate::health::SdHealth;
use crate::metrics::SdMetrics;

/// First pause after a failure; doubles up to the interval. Chosen: a service that was down at start is found soon.
const RETRY_MIN: StdDuration = StdDuration::from_secs(5);

/// What runs one configuration.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A kind that is asked again at every `refresh_interval`.
pub trait Provider: Send + std::fmt::Debug + 'static {
    /// All targets there are now.
    ///
    /// # Errors
    /// When the service did not say, or not all; the targets of the last good answer stay then.
    fn refresh(&mut self) -> impl Future<Output = Result<Vec<TargetGroup>, SdError>> + Send;
}

/// Who wants targets; labels of the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// `scrape` or `notify`.
    pub name: &'static str,
    /// The job.
    pub config: String,
}

/// What a running configuration has at hand.
#[derive(Debug, Clone)]
pub struct Context {
    /// `http`, `consul` and so on.
    pub mechanism: &'static str,
    /// Who wants the targets.
    pub owner: Owner,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Reads files.
    pub dir: Arc<dyn Dir>,
    /// What is counted.
    pub metrics: Arc<SdMetrics>,
    pub(crate) sender: watch::Sender<Option<Groups>>,
    pub(crate) health: SdHealth,
}

impl Context {
    /// Passes all targets of this configuration on, unless they are the same as before.
    pub fn publish(&self, groups: Vec<TargetGroup>) {
        self.health.recovered();
        self.metrics.received_updates.with(&[self.owner.name]).inc();
        let has_changed = self.sender.send_if_modified(|known| {
            let has_changed = known.as_deref() != Some(&groups);
            if has_changed {
                *known = Some(groups.into());
            }
            has_changed
        });
        if has_changed {
            self.metrics.sent_updates.with(&[self.owner.name]).inc();
            self.metrics.last_update.with(&[self.owner.name]).set(self.clock.now_ms() as f64 / 1_000.0);
        }
    }

    /// Counts and logs a look that failed.
    pub fn failed(&self, error: &SdError) {
        self.metrics.refresh_failures.with(&[self.mechanism, &self.owner.config]).inc();
        let kinds = &self.metrics.kinds;
        match self.mechanism {
            "azure" => kinds.azure_failures.inc(),
            "http" => kinds.http_failures.inc(),
            "linode" => kinds.linode_failures.inc(),
            "nomad" => kinds.nomad_failures.inc(),
            _ => {}
        }
        self.health.failed(error, self.clock.now_ms());
        tracing::error!(
            mechanism = self.mechanism,
            config = self.owner.config,
            error = %error,
            "service discovery failed; the targets found before stay"
        );
    }

    /// Asks once, and counts how it went.
    async fn refresh<P: Provider>(&self, provider: &mut P) -> bool {
        let started = self.clock.monotonic();
        let answer = provider.refresh().await;
        let taken = self.clock.monotonic().saturating_sub(started).as_secs_f64();
        self.metrics.refresh_duration.with(&[self.mechanism, &self.owner.config]).observe(taken);
        match answer {
            Ok(groups) => {
                self.publish(groups);
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }
}

/// The task of a kind that asks again every `interval`; sooner after a failure.
#[must_use]
pub fn refreshing<P: Provider>(context: Context, interval: Duration, mut provider: P) -> Task {
    Box::pin(async move {
        // Zeros from the start, so that rate() sees the first failure.
        context.metrics.refresh_failures.with(&[context.mechanism, &context.owner.config]);
        let mut backoff = Backoff::new(interval.as_std());
        loop {
            let started = context.clock.monotonic();
            let is_good = context.refresh(&mut provider).await;
            let taken = context.clock.monotonic().saturating_sub(started);
            // From start to start, as a ticker does; a look that takes longer is followed by the next.
            tokio::time::sleep(backoff.pause(is_good).saturating_sub(taken)).await;
        }
    })
}

/// How long to pause: the interval when all is well, less after a failure.
#[derive(Debug)]
pub struct Backoff {
    interval: StdDuration,
    retry: StdDuration,
    n_asked: u32,
}

impl Backoff {
    /// For a kind with this interval.
    #[must_use]
    pub fn new(interval: StdDuration) -> Self {
        let interval = interval.max(StdDuration::from_millis(1));
        Self { interval, retry: RETRY_MIN.min(interval), n_asked: 0 }
    }

    /// The pause after a look that went well or not. Between 95 and 100 % of it, so that servers that were started
    /// together do not ask together for ever.
    pub fn pause(&mut self, is_good: bool) -> StdDuration {
        self.n_asked = self.n_asked.wrapping_add(1);
        let pause = if is_good {
            self.retry = RETRY_MIN.min(self.interval);
            self.interval
        } else {
            let pause = self.retry;
            self.retry = (self.retry * 2).min(self.interval);
            pause
        };
        // Knuth's multiplicative hash of a count and of this process: no clock, no generator.
        let mixed = (self.n_asked ^ std::process::id()).wrapping_mul(2_654_435_761);
        pause.mul_f64(0.95 + 0.05 * f64::from(mixed) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_the_interval_but_shorter_after_failures() {
        let mut backoff = Backoff::new(StdDuration::from_secs(60));
        for (is_good, expected_secs) in [
            (true, 60.0),
            (false, 5.0),
            (false, 10.0),
            (false, 20.0),
            (false, 40.0),
            (false, 60.0),
            (false, 60.0),
            (true, 60.0),
            (false, 5.0),
        ] {
            let secs = backoff.pause(is_good).as_secs_f64();
            assert!(secs <= expected_secs && secs >= expected_secs * 0.95, "{secs} for {expected_secs}");
        }
        assert!(Backoff::new(StdDuration::from_secs(2)).pause(false) <= StdDuration::from_secs(2));
    }
}
