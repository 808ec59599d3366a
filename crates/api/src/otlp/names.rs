//! Names of OpenTelemetry as names of Prometheus.
//!
//! Method: the OpenTelemetry specification, «Prometheus and OpenMetrics compatibility», as Prometheus' otlptranslator applies it.

use super::config::OtlpConfig;

/// What ends a metric's name besides its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `_total`
    Counter,
    /// `_ratio` when the unit is 1.
    Gauge,
    /// Nothing.
    Other,
}

/// Units by themselves.
const UNITS: [(&str, &str); 25] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];
/// Units behind a slash.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// `By/s` as `bytes` and `per_second`; annotations in braces are no units.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let word = |unit: &str, words: &[(&str, &str)]| {
        let unit = unit.trim();
        if unit.contains(['{', '}']) {
            return String::new();
        }
        words.iter().find(|(known, _)| *known == unit).map_or(unit, |(_, word)| word).to_owned()
    };
    let main = if main.trim() == "1" { String::new() } else { word(main, &UNITS) };
    let per = word(per, &PER_UNITS);
    (main, if per.is_empty() { per } else { format!("per_{per}") })
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

/// Underscores for what no name may have, one for several.
fn clean_unit(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        let c = if is_plain(c) || c == ':' { c } else { '_' };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    out.strip_prefix('_').map(str::to_owned).unwrap_or(out)
}

/// The unit as metadata has it.
pub(super) fn unit(unit: &str) -> String {
    let (main, per) = unit_words(unit);
    let (main, per) = (clean_unit(&main), clean_unit(&per));
    let joined = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        _ => per,
    };
    let joined = joined.strip_prefix('_').unwrap_or(&joined);
    joined.strip_suffix('_').unwrap_or(joined).to_owned()
}

/// The name of a metric.
pub(super) fn metric(config: &OtlpConfig, name: &str, unit: &str, kind: Kind) -> Result<String, String> {
    let strategy = config.translation_strategy;
    if !strategy.escapes() {
        return Ok(if strategy.adds_suffixes() { with_suffixes(name, unit, kind) } else { name.to_owned() });
    }
    let made = if strategy.adds_suffixes() {
        escaped_with_suffixes(name, unit, kind)
    } else {
        let words =
            name.split(|c: char| !is_plain(c) && c != ':' && c != '_').filter(|word| !word.is_empty());
        not_a_digit_first(words.collect::<Vec<_>>().join("_"))
    };
    if made.is_empty() {
        return Err(format!("normalization for metric {name:?} resulted in empty name"));
    }
    if made != name && made.chars().all(|c| c == '_') {
        return Err(format!("normalization for metric {name:?} resulted in invalid name {made:?}"));
    }
    Ok(made)
}

fn not_a_digit_first(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn escaped_with_suffixes(name: &str, unit: &str, kind: Kind) -> String {
    let mut words: Vec<String> = name
        .split(|c: char| !is_plain(c) && c != ':')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let (main, per) = unit_words(unit);
    let (mut main, mut per) = (clean_unit(&main), clean_unit(&per));
    if words.contains(&main) {
        main.clear();
    }
    per = if per == "per_" { String::new() } else { per.strip_suffix('_').unwrap_or(&per).to_owned() };
    if words.contains(&per) {
        per.clear();
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(&main).to_owned();
    }
    words.extend([main, per].into_iter().filter(|word| !word.is_empty()));
    let last = match kind {
        Kind::Counter => Some("total"),
        Kind::Gauge if unit == "1" => Some("ratio"),
        Kind::Gauge | Kind::Other => None,
    };
    if let Some(last) = last {
        words.retain(|word| word != last);
        words.push(last.to_owned());
    }
    not_a_digit_first(words.join("_"))
}

/// Suffixes at the end of a name that stays as it is; one that is there already moves.
fn with_suffixes(name: &str, unit: &str, kind: Kind) -> String {
    let mut name = name.to_owned();
    // The suffix goes, and the character before it, whatever that is.
    let trim = |name: &mut String, suffix: &str| {
        if name.ends_with(suffix) && name.len() > suffix.len() + 1 {
            let mut end = name.len() - suffix.len() - 1;
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            name.truncate(end);
        }
    };
    let last = match kind {
        Kind::Counter => "total",
        Kind::Gauge if unit == "1" => "ratio",
        Kind::Gauge | Kind::Other => "",
    };
    let (main, per) = unit_words(unit);
    for suffix in [last, &per] {
        if !suffix.is_empty() {
            trim(&mut name, suffix);
        }
    }
    if !main.is_empty() && !name.ends_with(&main) {
        name = format!("{name}_{main}");
    }
    for suffix in [&per, last] {
        if !suffix.is_empty() {
            name = format!("{name}_{suffix}");
        }
    }
    name
}

/// The name of a label.
pub(super) fn label(config: &OtlpConfig, name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Err("label name is empty".to_owned());
    }
    if !config.translation_strategy.escapes() {
        return match name.chars().all(|c| c == '_') {
            true => Err(format!("label name {name:?} contains only underscores")),
            false => Ok(name.to_owned()),
        };
    }
    let mut made = escaped_label(name, config.label_name_preserve_multiple_underscores);
    if made.starts_with(|c: char| c.is_ascii_digit()) {
        made.insert_str(0, "key_");
    } else if config.label_name_underscore_sanitization && made.starts_with('_') && !made.starts_with("__") {
        made.insert_str(0, "key");
    }
    if made.chars().all(|c| c == '_') {
        return Err(format!("normalization for label name {name:?} resulted in invalid name {made:?}"));
    }
    Ok(made)
}

fn escaped_label(name: &str, keeps_several: bool) -> String {
    if keeps_several {
        return name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    }
    let reserved = (name.len() >= 4).then(|| name.strip_prefix("__")?.strip_suffix("__")).flatten();
    let mut out = String::with_capacity(name.len());
    for c in reserved.unwrap_or(name).chars() {
        let c = if is_plain(c) { c } else { '_' };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    if reserved.is_some() { format!("__{out}__") } else { out }
}

#[cfg(test)]
mod tests {
    use super::super::config::Strategy;
    use super::*;

    fn config(translation_strategy: Strategy) -> OtlpConfig {
        OtlpConfig { translation_strategy, ..OtlpConfig::default() }
    }

    #[test]
    fn metric_names_follow_the_strategy() {
        let check = |name: &str, unit: &str, kind: Kind, expected: [&str; 4]| {
            let strategies = [
                Strategy::UnderscoreEscapingWithSuffixes,
                Strategy::UnderscoreEscapingWithoutSuffixes,
                Strategy::NoUTF8EscapingWithSuffixes,
                Strategy::NoTranslation,
            ];
            let got = strategies
                .map(|it| metric(&config(it), name, unit, kind).unwrap_or_else(|_| "error".to_owned()));
            assert_eq!(got, expected, "{name} {unit}");
        };
        check(
            "http.server.duration",
            "s",
            Kind::Other,
            [
                "http_server_duration_seconds",
                "http_server_duration",
                "http.server.duration_seconds",
                "http.server.duration",
            ],
        );
        check("requests", "1", Kind::Counter, ["requests_total", "requests", "requests_total", "requests"]);
        check(
            "a.total.b",
            "By",
            Kind::Counter,
            ["a_b_bytes_total", "a_total_b", "a.total.b_bytes_total", "a.total.b"],
        );
        check("load", "1", Kind::Gauge, ["load_ratio", "load", "load_ratio", "load"]);
        check("x.bytes", "By", Kind::Gauge, ["x_bytes", "x_bytes", "x.bytes", "x.bytes"]);
        check("io", "By/s", Kind::Gauge, ["io_bytes_per_second", "io", "io_bytes_per_second", "io"]);
        check("io", "{packet}/s", Kind::Gauge, ["io_per_second", "io", "io_per_second", "io"]);
        check(
            "2xx..rate__a",
            "",
            Kind::Gauge,
            ["_2xx_rate_a", "_2xx_rate__a", "2xx..rate__a", "2xx..rate__a"],
        );
        check("..", "", Kind::Gauge, ["error", "error", "..", ".."]);
        check("t", "°C/x", Kind::Gauge, ["t_C_per_x", "t", "t_°C_per_x", "t"]);
    }

    #[test]
    fn label_names_are_escaped_as_the_keys_say() {
        let check = |name: &str, expected: [&str; 3]| {
            let collapsing = OtlpConfig {
                label_name_preserve_multiple_underscores: false,
                label_name_underscore_sanitization: false,
                ..OtlpConfig::default()
            };
            let configs = [OtlpConfig::default(), collapsing, config(Strategy::NoTranslation)];
            let got = configs.map(|config| label(&config, name).unwrap_or_else(|_| "error".to_owned()));
            assert_eq!(got, expected, "{name}");
        };
        check("http.method", ["http_method", "http_method", "http.method"]);
        check("a..b", ["a__b", "a_b", "a..b"]);
        check("_a", ["key_a", "_a", "_a"]);
        check("__a..b__", ["__a__b__", "__a_b__", "__a..b__"]);
        check("1a", ["key_1a", "key_1a", "1a"]);
        check("日本", ["error", "error", "日本"]);
        check("", ["error", "error", "error"]);
    }

    #[test]
    fn units_of_metadata_are_words() {
        let got = ["s", "By/s", "1", "{a}", "%", "1/s", ""].map(unit);
        assert_eq!(got, ["seconds", "bytes_per_second", "", "", "percent", "per_second", ""]);
    }
}
