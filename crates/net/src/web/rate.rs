//! A token bucket: `burst` requests at once, then one for each `interval`.

use std::time::Duration;

use super::config::Rate;

/// How many requests may still come.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// Set anew when the file says something else.
    rate: Option<Rate>,
    tokens: f64,
    /// When `tokens` held.
    at: Duration,
}

impl Bucket {
    /// Whether a request may come at `now`, a time that never goes back.
    pub(crate) fn take(&mut self, rate: Option<Rate>, now: Duration) -> bool {
        let Some(Rate { interval, burst }) = rate else { return true };
        if self.rate != rate {
            *self = Self { rate, tokens: f64::from(burst), at: now };
        }
        let gained = now.saturating_sub(self.at).as_secs_f64() / interval.as_secs_f64();
        self.tokens = (self.tokens + gained).min(f64::from(burst));
        self.at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_for_each_interval() {
        let rate = Some(Rate { interval: Duration::from_secs(10), burst: 2 });
        let mut bucket = Bucket::default();
        let times = [0, 0, 0, 9, 10, 11, 100, 100, 100];
        let got = times.map(|secs| bucket.take(rate, Duration::from_secs(secs)));
        assert_eq!(got, [true, true, false, false, true, false, true, true, false]);
        assert!(bucket.take(None, Duration::from_secs(100)));
    }
}
