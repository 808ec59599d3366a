//! What an answer, or the lack of one, means for a request.
//!
//! In from `driver`; out to it. Pure. Which statuses are final is Prometheus' and the specification's.

use crate::config::WriteMessage;

/// Bytes of an answer that the log shows. From Prometheus.
const SHOWN_BYTES_MAX: usize = 1_024;

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was taken.
    Taken,
    /// Send it again, not before so many milliseconds if the receiver said so.
    Again { after_ms: Option<i64>, why: String },
    /// Some of it is out of order and the receiver took nothing for that: send its parts.
    Divide { why: String },
    /// It was refused and would be again.
    Refused { why: String },
}

/// What came back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) reason: &'a str,
    pub(crate) retry_after: &'a str,
    pub(crate) body: &'a [u8],
}

pub(crate) fn judge(answer: Answer<'_>, message: WriteMessage, retry_on_429: bool, now_ms: i64) -> Verdict {
    let Answer { status, reason, body, .. } = answer;
    if (200..300).contains(&status) {
        return Verdict::Taken;
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES_MAX)]);
    let why = format!("server returned HTTP status {status} {reason}: {}", text.trim());
    if (500..600).contains(&status) || (status == 429 && retry_on_429) {
        return Verdict::Again { after_ms: retry_after_ms(answer.retry_after, now_ms), why };
    }
    // Receivers of 2.0 take what they can.
    if status == 400 && message == WriteMessage::V1 && speaks_of_order(&text.to_ascii_lowercase()) {
        return Verdict::Divide { why };
    }
    Verdict::Refused { why }
}

/// Words of Prometheus and those built on it, for samples that come too late.
fn speaks_of_order(text: &str) -> bool {
    ["out of order", "out-of-order", "duplicate", "out of bounds", "too old", "too-old", "sample-too-far"]
        .iter()
        .any(|words| text.contains(words))
}

/// `Retry-After`: seconds or a date.
fn retry_after_ms(text: &str, now_ms: i64) -> Option<i64> {
    let text = text.trim();
    if let Ok(secs) = text.parse::<i64>() {
        return Some(secs.clamp(0, RETRY_AFTER_SECS_MAX) * 1_000);
    }
    let time = jiff::fmt::rfc2822::parse(text).ok()?;
    Some((time.timestamp().as_millisecond() - now_ms).clamp(0, RETRY_AFTER_SECS_MAX * 1_000))
}

/// A longer wait is cut to this. Chosen: a receiver that says a day by mistake loses an hour.
const RETRY_AFTER_SECS_MAX: i64 = 3_600;

/// The wait after so many failures in a row.
pub(crate) fn backoff_ms(n_failures: u32, min_ms: i64, max_ms: i64) -> i64 {
    min_ms.max(1).saturating_mul(1 << n_failures.saturating_sub(1).min(30)).min(max_ms.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_prometheus_takes_them_for() {
        fn check(status: u16, body: &str, retry_after: &str, expected: &str) {
            let answer = Answer { status, reason: "R", retry_after, body: body.as_bytes() };
            let got = match judge(answer, WriteMessage::V1, false, 0) {
                Verdict::Taken => "taken".to_owned(),
                Verdict::Again { after_ms, .. } => format!("again {after_ms:?}"),
                Verdict::Divide { .. } => "divide".to_owned(),
                Verdict::Refused { why } => why,
            };
            assert_eq!(got, expected, "{status} {body}");
        }
        check(204, "", "", "taken");
        check(500, "", "", "again None");
        check(503, "", "7", "again Some(7000)");
        check(503, "", "Thu, 01 Jan 1970 00:00:09 GMT", "again Some(9000)");
        check(503, "", "99999999999", "again Some(3600000)");
        check(503, "", "soon", "again None");
        check(429, "slow\n", "7", "server returned HTTP status 429 R: slow");
        check(400, "out of order sample", "", "divide");
        check(
            400,
            "label name is not unique",
            "",
            "server returned HTTP status 400 R: label name is not unique",
        );
        check(404, "out of order sample", "", "server returned HTTP status 404 R: out of order sample");
        let answer = Answer { status: 429, reason: "", retry_after: "", body: b"" };
        assert!(matches!(judge(answer, WriteMessage::V1, true, 0), Verdict::Again { .. }));
        let answer = Answer { status: 400, reason: "", retry_after: "", body: b"out of order" };
        assert!(matches!(judge(answer, WriteMessage::V2, true, 0), Verdict::Refused { .. }));
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<i64> = (1..6).map(|n| backoff_ms(n, 30, 200)).collect();
        assert_eq!(waits, [30, 60, 120, 200, 200]);
        assert_eq!(backoff_ms(4_000_000, 30, 5_000), 5_000);
        assert_eq!(backoff_ms(1, 0, 0), 1);
    }
}
