//! Moments and durations as text, and back: Go's layouts and printed forms.
//!
//! In from values and callers' functions; never asks what time it is.

use std::fmt::Write as _;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

/// Go's `time.Time.String`.
const STRING_LAYOUT: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(crate) const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The moment in UTC, held within what a calendar can say.
pub(crate) fn utc_from_ms(unix_ms: i64) -> Zoned {
    let moment = Timestamp::from_millisecond(unix_ms);
    moment.unwrap_or(if unix_ms < 0 { Timestamp::MIN } else { Timestamp::MAX }).to_zoned(TimeZone::UTC)
}

pub(crate) fn time_to_text(time: &Zoned) -> String {
    format_time(time, STRING_LAYOUT)
}

/// One element of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    /// How many of hours, minutes, seconds; whether with colons; whether `Z` stands for UTC.
    Offset {
        parts: u8,
        colons: bool,
        z: bool,
    },
    /// So many digits; `trims` drops trailing zeros.
    Fraction {
        digits: usize,
        trims: bool,
        comma: bool,
    },
}

/// Elements that are plain text, longest first where one begins another.
const ELEMENTS: [(&str, Element); 33] = [
    ("January", Element::LongMonth),
    ("Jan", Element::Month),
    ("Monday", Element::LongWeekday),
    ("Mon", Element::Weekday),
    ("MST", Element::ZoneName),
    ("002", Element::ZeroYearDay),
    ("01", Element::ZeroMonth),
    ("02", Element::ZeroDay),
    ("03", Element::ZeroHour12),
    ("04", Element::ZeroMinute),
    ("05", Element::ZeroSecond),
    ("06", Element::Year),
    ("15", Element::Hour),
    ("1", Element::NumMonth),
    ("2006", Element::LongYear),
    ("2", Element::Day),
    ("__2", Element::UnderYearDay),
    ("_2", Element::UnderDay),
    ("3", Element::Hour12),
    ("4", Element::Minute),
    ("5", Element::Second),
    ("PM", Element::UpperPm),
    ("pm", Element::LowerPm),
    ("-07:00:00", Element::Offset { parts: 3, colons: true, z: false }),
    ("-070000", Element::Offset { parts: 3, colons: false, z: false }),
    ("-07:00", Element::Offset { parts: 2, colons: true, z: false }),
    ("-0700", Element::Offset { parts: 2, colons: false, z: false }),
    ("-07", Element::Offset { parts: 1, colons: false, z: false }),
    ("Z07:00:00", Element::Offset { parts: 3, colons: true, z: true }),
    ("Z070000", Element::Offset { parts: 3, colons: false, z: true }),
    ("Z07:00", Element::Offset { parts: 2, colons: true, z: true }),
    ("Z0700", Element::Offset { parts: 2, colons: false, z: true }),
    ("Z07", Element::Offset { parts: 1, colons: false, z: true }),
];

/// The element that `layout` begins with, and its length.
fn element_at(layout: &str) -> Option<(Element, usize)> {
    if layout.starts_with("_2006") {
        // The underscore is text here.
        return None;
    }
    if layout.starts_with(['.', ',']) {
        let digit = layout.as_bytes().get(1).copied().filter(|b| matches!(b, b'0' | b'9'))?;
        let n_digits = layout[1..].bytes().take_while(|b| *b == digit).count();
        if layout[1 + n_digits..].starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let comma = layout.starts_with(',');
        return Some((Element::Fraction { digits: n_digits, trims: digit == b'9', comma }, 1 + n_digits));
    }
    let (text, element) = ELEMENTS.iter().find(|(text, _)| layout.starts_with(text))?;
    let followed_by_lower = layout[text.len()..].starts_with(|c: char| c.is_ascii_lowercase());
    if matches!(element, Element::Month | Element::Weekday) && followed_by_lower {
        return None;
    }
    Some((*element, text.len()))
}

/// Go's `time.Time.Format`: `layout` is the reference time `Mon Jan 2 15:04:05 MST 2006` in the wanted form.
#[must_use]
pub fn format_time(time: &Zoned, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some((element, n_bytes)) = element_at(rest) {
            push_element(&mut out, time, element);
            rest = &rest[n_bytes..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn push_element(out: &mut String, time: &Zoned, element: Element) {
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let month = MONTHS[usize::from(time.month().unsigned_abs()).clamp(1, 12) - 1];
    let weekday = WEEKDAYS[usize::from(time.weekday().to_sunday_zero_offset().unsigned_abs()) % 7];
    let _ = match element {
        Element::LongMonth => write!(out, "{month}"),
        Element::Month => write!(out, "{}", &month[..3]),
        Element::NumMonth => write!(out, "{}", time.month()),
        Element::ZeroMonth => write!(out, "{:02}", time.month()),
        Element::LongWeekday => write!(out, "{weekday}"),
        Element::Weekday => write!(out, "{}", &weekday[..3]),
        Element::Day => write!(out, "{}", time.day()),
        Element::UnderDay => write!(out, "{:2}", time.day()),
        Element::ZeroDay => write!(out, "{:02}", time.day()),
        Element::UnderYearDay => write!(out, "{:3}", time.day_of_year()),
        Element::ZeroYearDay => write!(out, "{:03}", time.day_of_year()),
        Element::Hour => write!(out, "{:02}", time.hour()),
        Element::Hour12 => write!(out, "{hour12}"),
        Element::ZeroHour12 => write!(out, "{hour12:02}"),
        Element::Minute => write!(out, "{}", time.minute()),
        Element::ZeroMinute => write!(out, "{:02}", time.minute()),
        Element::Second => write!(out, "{}", time.second()),
        Element::ZeroSecond => write!(out, "{:02}", time.second()),
        Element::LongYear => write!(out, "{:04}", time.year()),
        Element::Year => write!(out, "{:02}", time.year().rem_euclid(100)),
        Element::UpperPm => write!(out, "{}", if time.hour() < 12 { "AM" } else { "PM" }),
        Element::LowerPm => write!(out, "{}", if time.hour() < 12 { "am" } else { "pm" }),
        Element::ZoneName => write!(out, "{}", zone_name(time)),
        Element::Offset { parts, colons, z } => {
            push_offset(out, time.offset().seconds(), parts, colons, z);
            Ok(())
        }
        Element::Fraction { digits, trims, comma } => {
            push_fraction(out, time.subsec_nanosecond().unsigned_abs(), digits, trims, comma);
            Ok(())
        }
    };
}

fn zone_name(time: &Zoned) -> String {
    let info = time.time_zone().to_offset_info(time.timestamp());
    let name = info.abbreviation();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return name.to_owned();
    }
    // Go prints a zone without a name as `-0700`, without the zeros of whole hours when the database has such a name.
    let seconds = time.offset().seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    let is_named = time.time_zone().iana_name().is_some();
    if is_named && minutes % 60 == 0 {
        return format!("{sign}{:02}", minutes / 60);
    }
    format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
}

fn push_offset(out: &mut String, seconds: i32, parts: u8, colons: bool, z: bool) {
    if z && seconds == 0 {
        out.push('Z');
        return;
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let colon = if colons { ":" } else { "" };
    let _ = write!(out, "{sign}{:02}", seconds / 3_600);
    if parts > 1 {
        let _ = write!(out, "{colon}{:02}", seconds / 60 % 60);
    }
    if parts > 2 {
        let _ = write!(out, "{colon}{:02}", seconds % 60);
    }
}

fn push_fraction(out: &mut String, nanos: u32, digits: usize, trims: bool, comma: bool) {
    let mut text = format!("{nanos:09}");
    text.truncate(digits.min(9));
    if trims {
        text.truncate(text.trim_end_matches('0').len());
        if text.is_empty() {
            return;
        }
    }
    let point = if comma { ',' } else { '.' };
    let _ = write!(out, "{point}{text:0<digits$}", digits = if trims { 0 } else { digits.min(32) });
}

/// Go's `time.Duration.String`: `1h2m3.5s`, `1.5ms`, `0s`.
#[must_use]
pub fn format_duration(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    let with_fraction = |unit_ns: u64| {
        let text = format!("{}.{:0width$}", ns / unit_ns, ns % unit_ns, width = unit_ns.ilog10() as usize);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    if ns < 1_000 {
        return format!("{sign}{ns}ns");
    }
    if ns < 1_000_000 {
        return format!("{sign}{}µs", with_fraction(1_000));
    }
    if ns < 1_000_000_000 {
        return format!("{sign}{}ms", with_fraction(1_000_000));
    }
    let minutes = ns / 60_000_000_000;
    let seconds = format!("{}.{:09}", ns / 1_000_000_000 % 60, ns % 1_000_000_000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// What was read by a layout so far.
#[derive(Debug, Default)]
struct Read {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    is_pm: Option<bool>,
    offset_seconds: Option<i32>,
}

/// Go's `time.Parse`: reads `text` by `layout`. Without a zone it is UTC. Zone names other than UTC are refused.
///
/// # Errors
/// A text in Go's words, when `text` is not of the layout or no moment.
pub fn parse_time(layout: &str, text: &str) -> Result<Zoned, String> {
    let quote = crate::print::quote;
    let mut read = Read::default();
    let (mut rest_layout, mut rest) = (layout, text);
    while let Some(c) = rest_layout.chars().next() {
        let fail = |part: &str| {
            format!(
                "parsing time {} as {}: cannot parse {} as {}",
                quote(text),
                quote(layout),
                quote(rest),
                quote(part)
            )
        };
        if let Some((element, n_bytes)) = element_at(rest_layout) {
            let part = &rest_layout[..n_bytes];
            rest = read_element(&mut read, element, rest).ok_or_else(|| fail(part))?;
            rest_layout = &rest_layout[n_bytes..];
            // Go takes a fraction after seconds even where the layout has none.
            let seconds = matches!(element, Element::Second | Element::ZeroSecond);
            if seconds && !matches!(element_at(rest_layout), Some((Element::Fraction { .. }, _))) {
                rest = read_fraction(&mut read, rest, None).unwrap_or(rest);
            }
        } else {
            rest = rest.strip_prefix(c).ok_or_else(|| fail(&c.to_string()))?;
            rest_layout = &rest_layout[c.len_utf8()..];
        }
    }
    if !rest.is_empty() {
        return Err(format!("parsing time {}: extra text: {}", quote(text), quote(rest)));
    }
    moment(&read).ok_or_else(|| format!("parsing time {}: day out of range", quote(text)))
}

fn moment(read: &Read) -> Option<Zoned> {
    let hour = match read.is_pm {
        Some(true) if read.hour < 12 => read.hour + 12,
        Some(false) if read.hour == 12 => 0,
        _ => read.hour,
    };
    let (month, day) = (read.month.unwrap_or(1), read.day.unwrap_or(1));
    let mut civil = DateTime::new(read.year, month, day, hour, read.minute, read.second, read.nanos).ok()?;
    if let Some(year_day) = read.year_day {
        civil = civil.with().day_of_year(year_day).build().ok()?;
    }
    let zone = match read.offset_seconds {
        None | Some(0) => TimeZone::UTC,
        Some(seconds) => TimeZone::fixed(Offset::from_seconds(seconds).ok()?),
    };
    civil.to_zoned(zone).ok()
}

/// Up to `max` digits, at least `min`.
fn read_digits(text: &str, min: usize, max: usize) -> Option<(i32, &str)> {
    let n_digits = text.bytes().take(max).take_while(u8::is_ascii_digit).count();
    if n_digits < min {
        return None;
    }
    Some((text[..n_digits].parse().ok()?, &text[n_digits..]))
}

fn read_name<'a>(names: &[&str], len: Option<usize>, text: &'a str) -> Option<(usize, &'a str)> {
    names.iter().enumerate().find_map(|(idx, name)| {
        let name = &name[..len.unwrap_or(name.len())];
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then(|| (idx, &text[name.len()..]))
    })
}

fn read_element<'a>(read: &mut Read, element: Element, text: &'a str) -> Option<&'a str> {
    let small = |field: &mut i8, range: std::ops::RangeInclusive<i32>| {
        let (n, rest) = read_digits(text, 1, 2)?;
        *field = range.contains(&n).then_some(n as i8)?;
        Some(rest)
    };
    match element {
        Element::LongMonth | Element::Month => {
            let len = (element == Element::Month).then_some(3);
            let (idx, rest) = read_name(&MONTHS, len, text)?;
            read.month = Some(idx as i8 + 1);
            Some(rest)
        }
        Element::LongWeekday => Some(read_name(&WEEKDAYS, None, text)?.1),
        Element::Weekday => Some(read_name(&WEEKDAYS, Some(3), text)?.1),
        Element::NumMonth | Element::ZeroMonth => {
            let (n, rest) = read_digits(text, if element == Element::NumMonth { 1 } else { 2 }, 2)?;
            read.month = Some((1..=12).contains(&n).then_some(n as i8)?);
            Some(rest)
        }
        Element::Day | Element::UnderDay | Element::ZeroDay => {
            let text =
                if element == Element::UnderDay { text.strip_prefix(' ').unwrap_or(text) } else { text };
            let (n, rest) = read_digits(text, if element == Element::ZeroDay { 2 } else { 1 }, 2)?;
            read.day = Some((1..=31).contains(&n).then_some(n as i8)?);
            Some(rest)
        }
        Element::UnderYearDay | Element::ZeroYearDay => {
            let (n, rest) = read_digits(text.trim_start_matches(' '), 1, 3)?;
            read.year_day = Some(n as i16);
            Some(rest)
        }
        Element::Hour => small(&mut read.hour, 0..=23),
        Element::Hour12 | Element::ZeroHour12 => small(&mut read.hour, 0..=12),
        Element::Minute | Element::ZeroMinute => small(&mut read.minute, 0..=59),
        Element::Second | Element::ZeroSecond => small(&mut read.second, 0..=59),
        Element::LongYear => {
            let (n, rest) = read_digits(text, 4, 4)?;
            read.year = n as i16;
            Some(rest)
        }
        Element::Year => {
            let (n, rest) = read_digits(text, 2, 2)?;
            read.year = n as i16 + if n >= 69 { 1900 } else { 2000 };
            Some(rest)
        }
        Element::UpperPm | Element::LowerPm => {
            let words = if element == Element::UpperPm { ["AM", "PM"] } else { ["am", "pm"] };
            let idx = words.iter().position(|word| text.starts_with(word))?;
            read.is_pm = Some(idx == 1);
            Some(&text[2..])
        }
        Element::ZoneName => {
            let rest = text.strip_prefix("UTC").or_else(|| text.strip_prefix("GMT"))?;
            read.offset_seconds = Some(0);
            Some(rest)
        }
        Element::Offset { parts, colons, z } => read_offset(read, text, parts, colons, z),
        Element::Fraction { digits, trims, .. } => {
            let rest = read_fraction(read, text, (!trims).then_some(digits));
            if trims { Some(rest.unwrap_or(text)) } else { rest }
        }
    }
}

fn read_fraction<'a>(read: &mut Read, text: &'a str, digits: Option<usize>) -> Option<&'a str> {
    let inner = text.strip_prefix(['.', ','])?;
    let n_digits = inner.bytes().take_while(u8::is_ascii_digit).count();
    if n_digits == 0 || digits.is_some_and(|digits| digits != n_digits) {
        return None;
    }
    let nine = format!("{:0<9}", &inner[..n_digits.min(9)]);
    read.nanos = nine.parse().ok()?;
    Some(&inner[n_digits..])
}

fn read_offset<'a>(read: &mut Read, text: &'a str, parts: u8, colons: bool, z: bool) -> Option<&'a str> {
    if let (true, Some(rest)) = (z, text.strip_prefix('Z')) {
        read.offset_seconds = Some(0);
        return Some(rest);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut rest = &text[1..];
    let mut seconds = 0;
    for (idx, unit) in [3_600, 60, 1].iter().enumerate().take(usize::from(parts)) {
        if idx > 0 && colons {
            rest = rest.strip_prefix(':')?;
        }
        let n;
        (n, rest) = read_digits(rest, 2, 2)?;
        seconds += n * unit;
    }
    read.offset_seconds = Some(sign * seconds);
    Some(rest)
}
