//! `printf`: Go's verbs, flags, widths, precisions, argument indexes and error marks.
//!
//! In from the builtin and from callers' functions; out as text. Never fails: mistakes show in the text, as in Go.

use crate::limits::{OUTPUT_BYTES_MAX, PRINTF_WIDTH_MAX};
use crate::print::{items, push_text, quote_with, to_text};
use crate::value::{Items, Object, Value};

/// How a float is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FloatFormat {
    /// One of `e f g x`, or upper case for an upper-case exponent.
    pub(crate) verb: char,
    /// Digits after the point, or significant ones for `g`; `None` is as many as needed.
    pub(crate) precision: Option<usize>,
    /// Keep the point and, for `g`, trailing zeros.
    pub(crate) sharp: bool,
}

impl FloatFormat {
    /// `%v`.
    pub(crate) const SHORTEST: Self = Self { verb: 'g', precision: None, sharp: false };
}

/// A float as Go's `strconv.FormatFloat` writes it, with `+Inf`, `-Inf` and `NaN`.
pub(crate) fn format_float(value: f64, format: FloatFormat) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = match format.verb.to_ascii_lowercase() {
        'f' => match format.precision {
            Some(precision) => format!("{value:.precision$}"),
            None => model::float::format_f(value),
        },
        'e' => exponent_form(value, format.precision),
        'x' => hex_float(value, format.precision),
        _ => match format.precision {
            Some(precision) => general_form(value, precision),
            None => model::float::format_g(value),
        },
    };
    let text = if format.sharp { with_point(&text, format) } else { text };
    if format.verb.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text }
}

/// The `#` flag: always a point, and for `g` the trailing zeros (six digits when no precision is given).
fn with_point(text: &str, format: FloatFormat) -> String {
    let (mantissa, exponent) = text.split_at(text.find('e').unwrap_or(text.len()));
    let point = if mantissa.contains('.') { "" } else { "." };
    let digits = mantissa.trim_start_matches(['-', '0', '.']);
    let n_digits = digits.bytes().filter(u8::is_ascii_digit).count();
    let n_wanted = if matches!(format.verb, 'g' | 'G') { format.precision.unwrap_or(6) } else { 0 };
    format!("{mantissa}{point}{}{exponent}", "0".repeat(n_wanted.saturating_sub(n_digits)))
}

/// `1.5e-07`: at least two digits of exponent.
fn exponent_form(value: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{value:.precision$e}"),
        None => format!("{value:e}"),
    };
    let (digits, exponent) = text.split_once('e').expect("LowerExp always writes an exponent");
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// `%g` with so many significant digits: the exponent form when the exponent is below -4 or at least that many;
/// trailing zeros are cut.
fn general_form(value: f64, precision: usize) -> String {
    let significant = precision.max(1);
    let scientific = exponent_form(value, Some(significant - 1));
    let (digits, exponent_text) =
        scientific.split_once('e').expect("exponent_form always writes an exponent");
    let exponent: i64 = exponent_text.parse().expect("exponent_form writes a decimal exponent");
    if exponent < -4 || exponent >= significant as i64 {
        return format!("{}e{exponent_text}", trim_zeros(digits));
    }
    let n_after = usize::try_from(significant as i64 - 1 - exponent).unwrap_or(0);
    trim_zeros(&format!("{value:.n_after$}")).to_owned()
}

fn trim_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// `%x` of a float: `0x1.8p+00`.
fn hex_float(value: f64, precision: Option<usize>) -> String {
    let bits = value.to_bits();
    let sign = if bits >> 63 == 1 { "-" } else { "" };
    let mut fraction = bits & ((1 << 52) - 1);
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    if value == 0.0 {
        exponent = 0;
    } else if exponent == -1023 {
        // A subnormal number: shift until its leading bit is the hidden one.
        let shift = fraction.leading_zeros() - 11;
        fraction = (fraction << shift) & ((1 << 52) - 1);
        exponent = -1022 - i64::from(shift);
    }
    let mut lead = u64::from(value != 0.0);
    let digits = match precision {
        None => format!("{fraction:013x}").trim_end_matches('0').to_owned(),
        Some(n) if n >= 13 => format!("{fraction:013x}{}", "0".repeat(n - 13)),
        Some(n) => {
            let n_dropped = 52 - 4 * n as u32;
            let (kept, dropped) = (fraction >> n_dropped, fraction & ((1 << n_dropped) - 1));
            let half = 1u64 << (n_dropped - 1);
            let odd = if n == 0 { lead & 1 } else { kept & 1 };
            let rounded = kept + u64::from(dropped > half || (dropped == half && odd == 1));
            lead += rounded >> (4 * n);
            let kept = rounded & ((1 << (4 * n)) - 1);
            if n == 0 { String::new() } else { format!("{kept:0n$x}") }
        }
    };
    let point = if digits.is_empty() { "" } else { "." };
    format!("{sign}0x{lead:x}{point}{digits}p{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

#[derive(Debug, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `fmt.Sprintf`.
pub(crate) fn sprintf(format: &str, args: &[Value]) -> String {
    let mut printer = Printer { args, arg_idx: 0, reordered: false, out: String::new() };
    let mut rest = format;
    while let Some(idx) = rest.find('%') {
        if printer.out.len() > OUTPUT_BYTES_MAX {
            // The executor refuses a text of this length.
            return printer.out;
        }
        printer.out.push_str(&rest[..idx]);
        rest = printer.directive(&rest[idx + 1..]);
    }
    printer.out.push_str(rest);
    if !printer.reordered && printer.arg_idx < args.len() {
        printer.out.push_str("%!(EXTRA ");
        for (idx, arg) in args[printer.arg_idx..].iter().enumerate() {
            printer.out.push_str(if idx > 0 { ", " } else { "" });
            printer.out.push_str(&arg.type_name());
            if !matches!(arg, Value::Nil) {
                printer.out.push('=');
                push_text(&mut printer.out, arg);
            }
        }
        printer.out.push(')');
    }
    printer.out
}

struct Printer<'a> {
    args: &'a [Value],
    arg_idx: usize,
    /// An explicit index was used; then unused arguments are no mistake.
    reordered: bool,
    out: String,
}

impl<'a> Printer<'a> {
    /// Writes one directive; `rest` begins after its `%`. Returns what follows it.
    fn directive(&mut self, mut rest: &'a str) -> &'a str {
        let mut flags = Flags::default();
        loop {
            match rest.as_bytes().first() {
                Some(b'+') => flags.plus = true,
                Some(b'-') => flags.minus = true,
                Some(b'#') => flags.sharp = true,
                Some(b' ') => flags.space = true,
                Some(b'0') => flags.zero = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        let mut index_ok = true;
        rest = self.arg_index(rest, &mut index_ok);
        (flags.width, rest) = self.number(rest, "%!(BADWIDTH)", Some(&mut flags.minus));
        if let Some(after) = rest.strip_prefix('.') {
            rest = self.arg_index(after, &mut index_ok);
            let precision;
            (precision, rest) = self.number(rest, "%!(BADPREC)", None);
            flags.precision = Some(precision.unwrap_or(0));
        }
        rest = self.arg_index(rest, &mut index_ok);
        let Some(verb) = rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return "";
        };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            self.out.push('%');
        } else if !index_ok {
            self.out.push_str(&format!("%!{verb}(BADINDEX)"));
        } else if let Some(arg) = self.args.get(self.arg_idx) {
            self.arg_idx += 1;
            // `%+v` means «with field names», not «with a sign».
            flags.plus &= verb != 'v';
            push_verb(&mut self.out, arg, verb, &flags);
        } else {
            self.out.push_str(&format!("%!{verb}(MISSING)"));
        }
        rest
    }

    /// `[3]`: from here on arguments count from the third.
    fn arg_index(&mut self, rest: &'a str, ok: &mut bool) -> &'a str {
        let Some(inner) = rest.strip_prefix('[') else { return rest };
        self.reordered = true;
        let Some(end) = inner.find(']') else {
            *ok = false;
            return inner;
        };
        match inner[..end].parse::<usize>() {
            Ok(n) if n >= 1 && n <= self.args.len() => self.arg_idx = n - 1,
            _ => *ok = false,
        }
        &inner[end + 1..]
    }

    /// A width or precision: digits, or `*` for the next argument. A negative width from an argument means «left».
    fn number(&mut self, rest: &'a str, bad: &str, minus: Option<&mut bool>) -> (Option<usize>, &'a str) {
        if let Some(after) = rest.strip_prefix('*') {
            let arg = self.args.get(self.arg_idx);
            self.arg_idx += usize::from(arg.is_some());
            let is_width = minus.is_some();
            let n = match arg {
                Some(Value::Int(n))
                    if n.unsigned_abs() <= PRINTF_WIDTH_MAX.unsigned_abs() && (*n >= 0 || is_width) =>
                {
                    *n
                }
                _ => {
                    self.out.push_str(bad);
                    return (None, after);
                }
            };
            if let (Some(minus), true) = (minus, n < 0) {
                *minus = true;
            }
            return (usize::try_from(n.unsigned_abs()).ok(), after);
        }
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if n_digits == 0 {
            return (None, rest);
        }
        let n = rest[..n_digits].parse().ok().filter(|n: &i64| *n <= PRINTF_WIDTH_MAX);
        if n.is_none() {
            self.out.push_str(bad);
        }
        (n.and_then(|n| usize::try_from(n).ok()), &rest[n_digits..])
    }
}

/// Appends `text` padded to the width; zeros go after the sign.
fn push_padded(out: &mut String, text: &str, flags: &Flags, zeros: bool) {
    let n_pad = flags.width.unwrap_or(0).saturating_sub(text.chars().count());
    if flags.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', n_pad));
    } else if zeros && flags.zero {
        let n_sign = usize::from(text.starts_with(['+', '-', ' ']));
        out.push_str(&text[..n_sign]);
        out.extend(std::iter::repeat_n('0', n_pad));
        out.push_str(&text[n_sign..]);
    } else {
        out.extend(std::iter::repeat_n(' ', n_pad));
        out.push_str(text);
    }
}

fn push_verb(out: &mut String, arg: &Value, verb: char, flags: &Flags) {
    if out.len() > OUTPUT_BYTES_MAX {
        return;
    }
    match (verb, arg) {
        ('T', _) => push_padded(out, &arg.type_name(), flags, false),
        ('v', Value::Nil) => push_padded(out, "<nil>", flags, false),
        (_, Value::Nil) => push_bad(out, arg, verb, flags),
        ('v' | 't', Value::Bool(value)) => push_padded(out, &value.to_string(), flags, false),
        (_, Value::Object(object)) if !says_itself(object.as_ref(), verb) => {
            push_items(out, arg, verb, flags);
        }
        ('v' | 's' | 'q' | 'x' | 'X', Value::Time(_) | Value::Object(_)) => {
            push_str_verb(out, arg, verb, flags);
        }
        ('v' | 's' | 'q', Value::Duration(_)) => push_str_verb(out, arg, verb, flags),
        (_, Value::Int(value) | Value::Duration(value)) => push_int(out, *value, arg, verb, flags),
        ('v' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'x' | 'X', Value::Float(value)) => {
            push_float(out, *value, verb, flags);
        }
        ('v' | 's' | 'q' | 'x' | 'X', Value::Str(_) | Value::Html(_) | Value::Url(_)) => {
            push_str_verb(out, arg, verb, flags);
        }
        (_, Value::List(_) | Value::Map(_)) => push_items(out, arg, verb, flags),
        _ => push_bad(out, arg, verb, flags),
    }
}

/// `%!d(string=hi)`.
fn push_bad(out: &mut String, arg: &Value, verb: char, flags: &Flags) {
    out.push_str("%!");
    out.push(verb);
    out.push('(');
    out.push_str(&arg.type_name());
    if !matches!(arg, Value::Nil) {
        out.push('=');
        // As Go: with the flags of the verb that is bad.
        push_verb(out, arg, 'v', flags);
    }
    out.push(')');
}

/// Whether an object is printed as its text: where the verb is one for texts and it has one of its own, or it holds nothing.
fn says_itself(object: &dyn Object, verb: char) -> bool {
    let has_text = || object.call("String", &[]).is_some();
    object.items().is_none() || verb == 'v' || matches!(verb, 's' | 'q' | 'x' | 'X') && has_text()
}

/// The verb applied to every element, as Go does for slices and maps.
fn push_items(out: &mut String, arg: &Value, verb: char, flags: &Flags) {
    match items(arg) {
        Some(Items::List(list)) => {
            out.push('[');
            for (idx, value) in list.iter().enumerate() {
                out.push_str(if idx > 0 { " " } else { "" });
                push_verb(out, value, verb, flags);
            }
            out.push(']');
        }
        Some(Items::Map(pairs)) => {
            out.push_str("map[");
            for (idx, (key, value)) in pairs.iter().enumerate() {
                out.push_str(if idx > 0 { " " } else { "" });
                push_verb(out, key, verb, flags);
                out.push(':');
                push_verb(out, value, verb, flags);
            }
            out.push(']');
        }
        None => push_bad(out, arg, verb, flags),
    }
}

fn push_str_verb(out: &mut String, arg: &Value, verb: char, flags: &Flags) {
    let full = to_text(arg);
    let text = match flags.precision {
        Some(n) => full.chars().take(n).collect(),
        None => full,
    };
    let text = match verb {
        'q' if flags.sharp
            && !text.contains('`')
            && !text.contains(|c: char| c.is_control() && c != '\t') =>
        {
            format!("`{text}`")
        }
        'q' => quote_with(&text, '"', flags.plus),
        'v' if flags.sharp => quote_with(&text, '"', false),
        'x' | 'X' => hex_text(&text, verb, flags),
        _ => text,
    };
    push_padded(out, &text, flags, true);
}

fn hex_text(text: &str, verb: char, flags: &Flags) -> String {
    let digits = text.bytes().map(|b| if verb == 'X' { format!("{b:02X}") } else { format!("{b:02x}") });
    let prefix = match (flags.sharp, verb) {
        (false, _) => "",
        (true, 'X') => "0X",
        (true, _) => "0x",
    };
    if flags.space {
        return digits.map(|digits| format!("{prefix}{digits}")).collect::<Vec<_>>().join(" ");
    }
    if text.is_empty() { String::new() } else { format!("{prefix}{}", digits.collect::<String>()) }
}

fn push_int(out: &mut String, value: i64, arg: &Value, verb: char, flags: &Flags) {
    let magnitude = value.unsigned_abs();
    let (digits, prefix) = match verb {
        'v' | 'd' => (magnitude.to_string(), ""),
        'b' => (format!("{magnitude:b}"), "0b"),
        'o' => (format!("{magnitude:o}"), "0"),
        'O' => (format!("{magnitude:o}"), "0o"),
        'x' => (format!("{magnitude:x}"), "0x"),
        'X' => (format!("{magnitude:X}"), "0X"),
        'c' | 'q' | 'U' => return push_char(out, value, verb, flags),
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 's' | 't' => return push_bad(out, arg, verb, flags),
        _ => return push_bad(out, arg, verb, flags),
    };
    let sign = match (value < 0, flags.plus, flags.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    };
    let prefix = if (flags.sharp && !matches!(verb, 'v' | 'd')) || verb == 'O' { prefix } else { "" };
    let mut digits = digits;
    if let Some(precision) = flags.precision {
        if precision == 0 && value == 0 {
            digits.clear();
        }
        digits = format!("{digits:0>precision$}");
    } else if let (Some(width), true, false) = (flags.width, flags.zero, flags.minus) {
        // Zeros fill the number itself, before any prefix, as precision does.
        let n_digits = width.saturating_sub(sign.len());
        digits = format!("{digits:0>n_digits$}");
    }
    push_padded(out, &format!("{sign}{prefix}{digits}"), flags, false);
}

fn push_char(out: &mut String, value: i64, verb: char, flags: &Flags) {
    let c = u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    let text = match verb {
        'c' => c.to_string(),
        'q' => quote_with(&c.to_string(), '\'', flags.plus),
        _ if flags.sharp && crate::print::is_printable(c) => format!("U+{value:04X} '{c}'"),
        _ => format!("U+{value:04X}"),
    };
    push_padded(out, &text, flags, false);
}

fn push_float(out: &mut String, value: f64, verb: char, flags: &Flags) {
    let (go_verb, default_precision) = match verb {
        'v' => ('g', None),
        'e' | 'E' | 'f' => (verb, Some(6)),
        'F' => ('f', Some(6)),
        _ => (verb, None),
    };
    let format = FloatFormat {
        verb: go_verb,
        precision: flags.precision.or(default_precision),
        sharp: flags.sharp && verb != 'v',
    };
    let mut text = format_float(value, format);
    if value.is_nan() || !text.starts_with(['+', '-']) {
        let sign = if flags.plus {
            "+"
        } else if flags.space {
            " "
        } else {
            ""
        };
        text.insert_str(0, sign);
    } else if !flags.plus && text.starts_with('+') {
        // Only infinity comes with its sign; Go keeps it but for the space flag.
        if flags.space {
            text.replace_range(..1, " ");
        }
    }
    push_padded(out, &text, flags, value.is_finite());
}
