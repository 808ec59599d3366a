//! Scripts: text to commands.

use model::{Duration, Labels, Regex};

use promql::notation::{self as series, Place, number};

/// Why a script could not be read.
#[derive(Debug)]
pub struct ScriptError {
    /// Counted from one.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for ScriptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ScriptError {}

/// One command.
#[derive(Debug)]
pub enum Command {
    /// Forget all data.
    Clear,
    /// Add data.
    Load(Load),
    /// Ask and compare.
    Eval(Box<Eval>),
}

/// Series to add.
#[derive(Debug, Default)]
pub struct Load {
    pub(crate) line: usize,
    pub(crate) gap_ms: i64,
    pub(crate) with_nhcb: bool,
    pub(crate) series: Vec<LoadedSeries>,
}

#[derive(Debug)]
pub(crate) struct LoadedSeries {
    pub(crate) labels: Labels,
    pub(crate) places: Vec<Place>,
    /// How far start timestamps lie from their samples, in milliseconds; empty when none are given.
    pub(crate) start_offsets: Vec<Option<i64>>,
}

/// When a query is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    Instant { t_ms: i64 },
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

/// What a message must be.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    Any,
    Exactly(String),
    Regex(Regex),
}

impl Pattern {
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(expected) => expected == text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// One evaluation and what is expected of it.
#[derive(Debug)]
pub struct Eval {
    pub(crate) line: usize,
    pub(crate) query: String,
    pub(crate) when: When,
    pub(crate) ordered: bool,
    pub(crate) fail: Option<Pattern>,
    pub(crate) warns: Vec<Pattern>,
    pub(crate) infos: Vec<Pattern>,
    pub(crate) no_warn: bool,
    pub(crate) no_info: bool,
    /// Times of the samples of an instant query's range vector: first, and distance.
    pub(crate) range_vector: Option<(i64, i64)>,
    pub(crate) text: Option<String>,
    pub(crate) scalar: Option<f64>,
    pub(crate) series: Vec<(Labels, Vec<Place>)>,
}

/// Reads a script.
///
/// # Errors
/// At the first line that is not of the language.
pub fn parse(script: &str) -> Result<Vec<Command>, ScriptError> {
    let lines: Vec<&str> = script
        .lines()
        .map(|line| {
            let line = line.trim();
            if line.starts_with('#') { "" } else { line }
        })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let head = at;
        at += 1;
        if lines[head].is_empty() {
            continue;
        }
        let word = lines[head].split_whitespace().next().unwrap_or("").to_lowercase();
        if word == "clear" {
            commands.push(Command::Clear);
            continue;
        }
        while at < lines.len() && !lines[at].is_empty() {
            at += 1;
        }
        let body = &lines[head + 1..at];
        let fail = |message: String| ScriptError { line: head + 1, message };
        if word.starts_with("load") {
            commands.push(Command::Load(load(head + 1, lines[head], body).map_err(fail)?));
        } else if word.starts_with("eval") {
            commands.push(Command::Eval(Box::new(eval(head + 1, lines[head], body).map_err(fail)?)));
        } else {
            return Err(fail(format!("invalid command {:?}", lines[head])));
        }
    }
    Ok(commands)
}

fn duration_ms(text: &str) -> Result<i64, String> {
    text.parse::<Duration>().map(Duration::as_ms).map_err(|err| err.to_string())
}

fn load(line: usize, head: &str, body: &[&str]) -> Result<Load, String> {
    let (word, gap) = head.split_once(char::is_whitespace).ok_or("load needs a step")?;
    let with_nhcb = word == "load_with_nhcb";
    let mut load = Load { line, gap_ms: duration_ms(gap.trim())?, with_nhcb, series: Vec::new() };
    let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
    for line in body {
        let (text, glued, sequence) = series::split(line);
        let labels = series::labels(text)?;
        if glued == "@st" {
            if starts.is_some() {
                return Err("@st line has no following sample line".to_owned());
            }
            starts = Some((labels, series::start_offsets(sequence)?));
            continue;
        }
        let places = series::places(sequence)?;
        let start_offsets = match starts.take() {
            None => Vec::new(),
            Some((of, _)) if of != labels => {
                return Err("@st metric does not match the following sample line metric".to_owned());
            }
            Some((_, offsets)) if offsets.len() != places.len() => {
                let (n, m) = (offsets.len(), places.len());
                return Err(format!("@st line has {n} values but sample line has {m}"));
            }
            Some((_, offsets)) => offsets,
        };
        // Of lines for the same series the last one counts.
        load.series.retain(|s| s.labels != labels);
        load.series.push(LoadedSeries { labels, places, start_offsets });
    }
    if starts.is_some() {
        return Err("@st line has no following sample line".to_owned());
    }
    Ok(load)
}

/// `eval[_mode] instant at T QUERY` or `eval[_mode] range from A to B step S QUERY`.
fn head_of(head: &str) -> Result<(String, When, String), String> {
    let mut words = Words { rest: head };
    let command = words.next().to_lowercase();
    let mode = command.strip_prefix("eval").unwrap_or("").trim_start_matches('_').to_owned();
    match words.next() {
        "instant" => {
            if words.next() != "at" {
                return Err("expected «at»".to_owned());
            }
            let t_ms = duration_ms(words.next())?;
            Ok((mode, When::Instant { t_ms }, words.rest.trim().to_owned()))
        }
        "range" => {
            let mut times = [0; 3];
            for (slot, keyword) in times.iter_mut().zip(["from", "to", "step"]) {
                if words.next() != keyword {
                    return Err(format!("expected «{keyword}»"));
                }
                *slot = duration_ms(words.next())?;
            }
            let [start_ms, end_ms, step_ms] = times;
            Ok((mode, When::Range { start_ms, end_ms, step_ms }, words.rest.trim().to_owned()))
        }
        other => Err(format!("expected «instant» or «range», got {other:?}")),
    }
}

struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        let rest = self.rest.trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        self.rest = tail;
        word
    }
}

fn eval(line: usize, head: &str, body: &[&str]) -> Result<Eval, String> {
    let (mode, when, query) = head_of(head)?;
    let mut eval = Eval {
        line,
        query,
        when,
        ordered: mode == "ordered",
        fail: (mode == "fail").then_some(Pattern::Any),
        warns: Vec::new(),
        infos: Vec::new(),
        no_warn: false,
        no_info: false,
        range_vector: None,
        text: None,
        scalar: None,
        series: Vec::new(),
    };
    match mode.as_str() {
        "warn" => eval.warns.push(Pattern::Any),
        "info" => eval.infos.push(Pattern::Any),
        _ => {}
    }
    for line in body {
        eval.read_line(line)?;
    }
    Ok(eval)
}

/// A regex that may match anywhere in the text.
fn anywhere(pattern: &str) -> Result<Pattern, String> {
    Regex::new(&format!(".*(?:{pattern}).*")).map(Pattern::Regex).map_err(|err| err.to_string())
}

impl Eval {
    fn read_line(&mut self, line: &str) -> Result<(), String> {
        if let Some(message) = line.strip_prefix("expected_fail_message") {
            self.fail = Some(Pattern::Exactly(message.trim().to_owned()));
        } else if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
            self.fail = Some(anywhere(pattern.trim())?);
        } else if let Some(times) = line.strip_prefix("expect range vector") {
            self.read_range_vector(times)?;
        } else if let Some(text) = line.strip_prefix("expect string") {
            let parsed = promql::parse(text.trim()).map_err(|err| err.to_string())?;
            let promql::ExprKind::String(text) = parsed.kind else {
                return Err("expected a quoted string".to_owned());
            };
            self.text = Some(text);
        } else if line.split(' ').next() == Some("expect") {
            self.read_expectation(line["expect".len()..].trim())?;
        } else if let Some(value) = number(line) {
            self.scalar = Some(value);
        } else {
            let (text, _, sequence) = series::split(line);
            let labels = series::labels(text)?;
            self.series.retain(|(known, _)| *known != labels);
            self.series.push((labels, series::places(sequence)?));
        }
        Ok(())
    }

    fn read_range_vector(&mut self, times: &str) -> Result<(), String> {
        let words: Vec<_> = times.split_whitespace().collect();
        let ["from", from, "to", to, "step", step] = words[..] else {
            return Err(format!("invalid range vector definition {times:?}"));
        };
        self.range_vector = Some((duration_ms(from)?, duration_ms(step)?));
        self.when = When::Instant { t_ms: duration_ms(to)? };
        Ok(())
    }

    fn read_expectation(&mut self, text: &str) -> Result<(), String> {
        let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let pattern = if let Some(message) = rest.strip_prefix("msg:") {
            Pattern::Exactly(message.trim().to_owned())
        } else if let Some(pattern) = rest.strip_prefix("regex:") {
            anywhere(pattern.trim())?
        } else {
            Pattern::Any
        };
        match kind {
            "ordered" => self.ordered = true,
            "fail" => self.fail = Some(pattern),
            "warn" => self.warns.push(pattern),
            "info" => self.infos.push(pattern),
            "no_warn" => self.no_warn = true,
            "no_info" => self.no_info = true,
            other => return Err(format!("invalid expected error/annotation type {other}")),
        }
        Ok(())
    }
}
