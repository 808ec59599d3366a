//! Methods of Go's `time.Time` and `time.Duration`, as templates call them.
//!
//! In from the executor; pure, but for `Local`, which asks for the machine's zone.

use std::sync::Arc;

use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::time::{MONTHS, WEEKDAYS, format_duration, format_time, time_to_text};
use crate::value::Value;

fn int_arg(args: &[Value], idx: usize) -> Result<i64, String> {
    match args.get(idx) {
        Some(Value::Int(n) | Value::Duration(n)) => Ok(*n),
        // An integral constant such as 28800e9 is an integer to Go.
        Some(Value::Float(value)) if value.fract() == 0.0 && value.abs() < 9.2e18 => Ok(*value as i64),
        Some(other) => Err(format!("wrong type for value; expected int; got {}", other.type_name())),
        None => Err(format!("wrong number of args: want at least {} got {}", idx + 1, args.len())),
    }
}

fn time_arg(args: &[Value], idx: usize) -> Result<&Zoned, String> {
    match args.get(idx) {
        Some(Value::Time(time)) => Ok(time),
        Some(other) => Err(format!("wrong type for value; expected time.Time; got {}", other.type_name())),
        None => Err(format!("wrong number of args: want at least {} got {}", idx + 1, args.len())),
    }
}

fn zoned(time: Zoned) -> Value {
    Value::Time(Arc::new(time))
}

fn saturated_ns(ns: i128) -> i64 {
    i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
}

fn shifted(time: &Zoned, ns: i64) -> Zoned {
    let moment = time.timestamp().saturating_add(jiff::SignedDuration::from_nanos(ns));
    moment.unwrap_or(time.timestamp()).to_zoned(time.time_zone().clone())
}

/// The instant of Go's zero time, 0001-01-01T00:00:00Z.
const ZERO_SECOND: i64 = -62_135_596_800;

/// Calls a method of Go's `time.Time`; `None` when there is none of this name.
pub(crate) fn call_time(time: &Zoned, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
    let moment = time.timestamp();
    let ns = |other: &Zoned| moment.as_nanosecond() - other.timestamp().as_nanosecond();
    let wanted = match method {
        "Format" | "Add" | "Sub" | "Before" | "After" | "Equal" | "Compare" | "Truncate" | "Round" => 1,
        "AddDate" => 3,
        _ => 0,
    };
    let value = match method {
        _ if args.len() != wanted && is_time_method(method) => {
            return Some(Err(format!("wrong number of args for {method}: want {wanted} got {}", args.len())));
        }
        "Format" => match args[0].as_str() {
            Some(layout) => Value::from(format_time(time, layout)),
            None => {
                let got = args[0].type_name();
                return Some(Err(format!("wrong type for value; expected string; got {got}")));
            }
        },
        "String" => Value::from(time_to_text(time)),
        "Unix" => Value::Int(moment.as_nanosecond().div_euclid(1_000_000_000) as i64),
        "UnixMilli" => Value::Int(moment.as_nanosecond().div_euclid(1_000_000) as i64),
        "UnixMicro" => Value::Int(moment.as_nanosecond().div_euclid(1_000) as i64),
        "UnixNano" => Value::Int(saturated_ns(moment.as_nanosecond())),
        "UTC" => zoned(moment.to_zoned(TimeZone::UTC)),
        "Local" => zoned(moment.to_zoned(TimeZone::system())),
        "Year" => Value::Int(time.year().into()),
        // Month and Weekday have a String method in Go, so they print as names.
        "Month" => Value::str(MONTHS[usize::from(time.month().unsigned_abs()).clamp(1, 12) - 1]),
        "Weekday" => {
            Value::str(WEEKDAYS[usize::from(time.weekday().to_sunday_zero_offset().unsigned_abs()) % 7])
        }
        "Day" => Value::Int(time.day().into()),
        "YearDay" => Value::Int(time.day_of_year().into()),
        "Hour" => Value::Int(time.hour().into()),
        "Minute" => Value::Int(time.minute().into()),
        "Second" => Value::Int(time.second().into()),
        "Nanosecond" => Value::Int(time.subsec_nanosecond().into()),
        "IsZero" => Value::Bool(moment.as_second() == ZERO_SECOND && moment.subsec_nanosecond() == 0),
        "Location" => Value::str(time.time_zone().iana_name().unwrap_or("")),
        "Add" => match int_arg(args, 0) {
            Ok(ns) => zoned(shifted(time, ns)),
            Err(err) => return Some(Err(err)),
        },
        "AddDate" => match add_date(time, args) {
            Ok(time) => zoned(time),
            Err(err) => return Some(Err(err)),
        },
        "Truncate" | "Round" => match int_arg(args, 0) {
            Ok(step) => zoned(rounded(time, step, method == "Round")),
            Err(err) => return Some(Err(err)),
        },
        "Sub" | "Before" | "After" | "Equal" | "Compare" => match time_arg(args, 0) {
            Err(err) => return Some(Err(err)),
            Ok(other) => match (method, ns(other)) {
                ("Sub", ns) => Value::Duration(saturated_ns(ns)),
                ("Before", ns) => Value::Bool(ns < 0),
                ("After", ns) => Value::Bool(ns > 0),
                ("Equal", ns) => Value::Bool(ns == 0),
                (_, ns) => Value::Int(ns.signum() as i64),
            },
        },
        _ => return None,
    };
    Some(Ok(value))
}

fn is_time_method(method: &str) -> bool {
    const METHODS: [&str; 28] = [
        "Format",
        "String",
        "Unix",
        "UnixMilli",
        "UnixMicro",
        "UnixNano",
        "UTC",
        "Local",
        "Year",
        "Month",
        "Weekday",
        "Day",
        "YearDay",
        "Hour",
        "Minute",
        "Second",
        "Nanosecond",
        "IsZero",
        "Location",
        "Add",
        "AddDate",
        "Truncate",
        "Round",
        "Sub",
        "Before",
        "After",
        "Equal",
        "Compare",
    ];
    METHODS.contains(&method)
}

fn add_date(time: &Zoned, args: &[Value]) -> Result<Zoned, String> {
    let (years, months, days) = (int_arg(args, 0)?, int_arg(args, 1)?, int_arg(args, 2)?);
    let out_of_range = |_| "date out of range".to_owned();
    // Go normalises: 31 January plus one month is 2 or 3 March. So the days past the first are added as days.
    let first = time.with().day(1).build().map_err(out_of_range)?;
    let span =
        jiff::Span::new().try_years(years).and_then(|span| span.try_months(months)).map_err(out_of_range)?;
    let moved = first.checked_add(span).map_err(out_of_range)?;
    let n_days = days.saturating_add(i64::from(time.day()) - 1);
    let span = jiff::Span::new().try_days(n_days).map_err(out_of_range)?;
    moved.checked_add(span).map_err(out_of_range)
}

/// To a multiple of `step` nanoseconds since Go's zero time.
fn rounded(time: &Zoned, step: i64, half_up: bool) -> Zoned {
    if step <= 0 {
        return time.clone();
    }
    let since_zero = time.timestamp().as_nanosecond() - i128::from(ZERO_SECOND) * 1_000_000_000;
    let past = since_zero.rem_euclid(i128::from(step));
    let up = half_up && past * 2 >= i128::from(step);
    shifted(time, saturated_ns(if up { i128::from(step) - past } else { -past }))
}

/// Calls a method of Go's `time.Duration`; `None` when there is none of this name.
pub(crate) fn call_duration(ns: i64, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
    let units = |unit_ns: i64| Value::Float((ns / unit_ns) as f64 + (ns % unit_ns) as f64 / unit_ns as f64);
    let value = match method {
        "String" => Value::from(format_duration(ns)),
        "Seconds" => units(1_000_000_000),
        "Minutes" => units(60_000_000_000),
        "Hours" => units(3_600_000_000_000),
        "Milliseconds" => Value::Int(ns / 1_000_000),
        "Microseconds" => Value::Int(ns / 1_000),
        "Nanoseconds" => Value::Int(ns),
        "Abs" => Value::Duration(ns.saturating_abs()),
        "Truncate" | "Round" => match int_arg(args, 0) {
            Ok(step) if step <= 0 => Value::Duration(ns),
            Ok(step) => {
                let past = ns % step;
                let up = method == "Round" && past.unsigned_abs() * 2 >= step.unsigned_abs();
                let truncated = ns - past;
                Value::Duration(if up { truncated.saturating_add(step * ns.signum()) } else { truncated })
            }
            Err(err) => return Some(Err(err)),
        },
        _ => return None,
    };
    Some(Ok(value))
}
