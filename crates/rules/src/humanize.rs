//! Numbers for people: `humanize` and its kin, as Prometheus' templates print them; and times.

use gotemplate::{Value, sprintf};

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];
const BINARY: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];

/// `%.4g`
fn short(value: f64) -> String {
    sprintf("%.4g", &[Value::Float(value)])
}

/// With a metric prefix: `1.234M`.
pub(crate) fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return short(value);
    }
    let mut value = value;
    let mut prefix = "";
    if value.abs() >= 1.0 {
        for name in LARGE {
            if value.abs() < 1_000.0 {
                break;
            }
            prefix = name;
            value /= 1_000.0;
        }
    } else {
        for name in SMALL {
            if value.abs() >= 1.0 {
                break;
            }
            prefix = name;
            value *= 1_000.0;
        }
    }
    format!("{}{prefix}", short(value))
}

/// With a binary prefix: `1.5Mi`.
pub(crate) fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return short(value);
    }
    let mut value = value;
    let mut prefix = "";
    for name in BINARY {
        if value.abs() < 1_024.0 {
            break;
        }
        prefix = name;
        value /= 1_024.0;
    }
    format!("{}{prefix}", short(value))
}

/// Seconds as `1d 2h 3m 4s`; under a minute with four digits, under a second with a prefix.
pub(crate) fn humanize_duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return short(seconds);
    }
    if seconds == 0.0 {
        return format!("{}s", short(seconds));
    }
    if seconds.abs() < 1.0 {
        let mut value = seconds;
        let mut prefix = "";
        for name in SMALL {
            if value.abs() >= 1.0 {
                break;
            }
            prefix = name;
            value *= 1_000.0;
        }
        return format!("{}{prefix}s", short(value));
    }
    let (sign, seconds) = if seconds < 0.0 { ("-", -seconds) } else { ("", seconds) };
    let whole = seconds as i64;
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", short(seconds)),
        (0, 0, _) => format!("{sign}{minutes}m {rest}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {rest}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {rest}s"),
    }
}

/// A ratio as `12.34%`.
pub(crate) fn humanize_percentage(ratio: f64) -> String {
    format!("{}%", short(ratio * 100.0))
}

/// Unix seconds as text, in UTC.
pub(crate) fn humanize_timestamp(seconds: f64) -> Result<String, String> {
    if !seconds.is_finite() {
        return Ok(short(seconds));
    }
    Ok(to_time(seconds)?.to_string())
}

/// Unix seconds as a moment.
pub(crate) fn to_time(seconds: f64) -> Result<Value, String> {
    let ns = seconds * 1e9;
    if !ns.is_finite() || ns.abs() > i64::MAX as f64 {
        return Err(format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            short(seconds)
        ));
    }
    // Prometheus keeps milliseconds.
    Ok(Value::time_ms((seconds * 1_000.0) as i64))
}

/// `2025-01-01T00:00:00.000Z`
pub(crate) fn rfc3339(unix_ms: i64) -> String {
    let held = unix_ms.clamp(jiff::Timestamp::MIN.as_millisecond(), jiff::Timestamp::MAX.as_millisecond());
    jiff::Timestamp::from_millisecond(held).map(|time| format!("{time:.3}")).unwrap_or_default()
}
