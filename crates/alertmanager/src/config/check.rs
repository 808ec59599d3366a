//! From the file as written to a checked configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::labels::is_legacy_label_name;
use model::yaml::YamlError;
use model::{Duration, MatchOp, Matcher};
use net::{HttpClientConfig, Secret, TlsConfig};

use super::own::RawOwn;
use super::raw::{At, RawConfig, RawGlobal, RawInhibitRule, RawInterval, RawNamedInterval, RawRoute};
use super::{Config, ConfigError, Receiver, shown};
use crate::inhibit::InhibitRuleConfig;
use crate::interval::{self, Interval};
use crate::matcher;
use crate::receiver::{RawReceiver, SLACK_APP_URL, Source, host_port, parse_url};
use crate::route::GroupBy;
use crate::route::RouteConfig;

/// Upstream's default of `resolve_timeout`.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(300);

/// What is wrong and, when known, where.
#[derive(Debug)]
pub(crate) struct Fault {
    place: Option<(u64, u64)>,
    what: String,
}

impl Fault {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { place: None, what: what.into() }
    }

    pub(crate) fn at<T>(at: &At<T>, what: impl Into<String>) -> Self {
        Self { place: Some((at.line, at.column)), what: what.into() }
    }

    /// Keeps its own place, else takes that of `at`.
    pub(crate) fn or_at<T>(self, at: &At<T>) -> Self {
        Self { place: self.place.or(Some((at.line, at.column))), ..self }
    }
}

/// What the checks of receivers need to know.
pub(crate) struct Checker<'a> {
    pub(crate) global: &'a RawGlobal,
    dir: &'a Path,
}

impl<'a> Checker<'a> {
    /// With file names relative to where the program runs.
    #[cfg(test)]
    pub(crate) fn here(global: &'a RawGlobal) -> Self {
        Self { global, dir: Path::new("") }
    }

    /// A receiver's own client settings take the place of the global ones as a whole.
    pub(crate) fn http(&self, own: Option<&HttpClientConfig>) -> HttpClientConfig {
        let mut http = own.or(self.global.http_config.as_ref()).cloned().unwrap_or_default();
        http.set_directory(self.dir);
        http
    }

    /// Files of it are relative to the configuration's.
    pub(crate) fn tls(&self, mut tls: TlsConfig) -> TlsConfig {
        tls.set_directory(self.dir);
        tls
    }

    /// A file's name relative to the configuration's.
    pub(crate) fn file(&self, path: &Path) -> PathBuf {
        self.dir.join(path)
    }

    /// A secret in place or in a file, not both.
    pub(crate) fn one_of(
        &self,
        inline: (&str, &Option<Secret>),
        file: (&str, &Option<PathBuf>),
    ) -> Result<Option<Source>, Fault> {
        let inline_value = inline.1.as_ref().filter(|secret| !secret.is_empty());
        let file_value = file.1.as_ref().filter(|path| !path.as_os_str().is_empty());
        match (inline_value, file_value) {
            (Some(_), Some(_)) => {
                Err(Fault::new(format!("at most one of {} & {} must be configured", inline.0, file.0)))
            }
            (Some(secret), None) => Ok(Some(Source::Inline(secret.clone()))),
            (None, Some(path)) => Ok(Some(Source::File(path.clone()))),
            (None, None) => Ok(None),
        }
    }

    /// As [`Checker::one_of`], and what stands under `global` where the receiver says neither.
    pub(crate) fn one_of_or_global(
        &self,
        inline: (&str, &Option<Secret>),
        file: (&str, &Option<PathBuf>),
        global: (&Option<Secret>, &Option<PathBuf>),
    ) -> Result<Option<Source>, Fault> {
        let own = self.one_of(inline, file)?;
        // Checked before: `global` has one of them at most.
        Ok(own.or(self.one_of((inline.0, global.0), (file.0, global.1))?))
    }
}

/// Stack of the thread that reads. The YAML reader stops at 64 levels, which overflow 2 MiB in a debug build (measured).
const STACK_BYTES: usize = 16 << 20;

/// Reads and checks; `dir` is what relative names in `http_config` are relative to.
///
/// Routes nest and are read by recursion, so that a thread with stack for it reads.
pub(super) fn parse(file_name: &str, text: &str, dir: &Path) -> Result<Config, ConfigError> {
    let fail = |message: String| YamlError { file: file_name.to_owned(), line: 0, column: 0, message };
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK_BYTES);
        let reader = reader.spawn_scoped(scope, || parse_here(file_name, text, dir));
        let reader = reader.map_err(|err| fail(format!("no thread to read the file: {err}")))?;
        reader
            .join()
            .unwrap_or_else(|_| Err(fail("reading the file broke off; please report this".to_owned()).into()))
    })
}

fn parse_here(file_name: &str, text: &str, dir: &Path) -> Result<Config, ConfigError> {
    let mut raw: RawConfig = model::yaml::parse(file_name, text)?;
    check(&mut raw, dir).map_err(|fault| {
        let (line, column) = fault.place.unwrap_or((0, 0));
        ConfigError::Yaml(YamlError { file: file_name.to_owned(), line, column, message: fault.what })
    })
}

fn check(raw: &mut RawConfig, dir: &Path) -> Result<Config, Fault> {
    let global = raw.global.get_or_insert_default();
    global.resolve_timeout.get_or_insert(RESOLVE_TIMEOUT);
    global.smtp_hello.get_or_insert_with(|| "localhost".to_owned());
    global.smtp_require_tls.get_or_insert(true);
    let global = raw.global.as_ref().expect("put there above");
    let checker = Checker { global, dir };
    check_global(&checker)?;
    let receivers = check_receivers(raw.receivers.as_deref().unwrap_or_default(), &checker)?;
    let intervals = check_intervals(raw)?;
    let root = raw.route.as_ref().ok_or_else(|| Fault::new("no route provided in config"))?;
    check_root(root)?;
    let route = RouteCheck { receivers: &receivers, intervals: &intervals }.check(root)?;
    check_escalations(&route)?;
    let own = raw.hinomi.as_ref();
    let hosts = own.map_or_else(|| RawOwn::default().hosts(&checker), |own| own.hosts(&checker))?;
    let windows = own.and_then(|own| own.maintenance.as_deref()).unwrap_or_default();
    let rules = raw.inhibit_rules.iter().flatten().flatten();
    let inhibit_rules = rules.map(check_inhibit_rule).collect::<Result<_, _>>()?;
    let mut tracing = raw.tracing.clone().map(|tracing| tracing.0);
    tracing.iter_mut().for_each(|config| config.set_directory(dir));
    Ok(Config {
        tracing,
        events: raw.event_recorder.as_ref().map(|raw| raw.check(&checker)).transpose()?.unwrap_or_default(),
        resolve_timeout_ms: global.resolve_timeout.unwrap_or(RESOLVE_TIMEOUT).as_ms(),
        route,
        inhibit_rules,
        receivers,
        intervals,
        templates: Vec::new(),
        template_globs: raw.templates.clone().unwrap_or_default(),
        dependencies: own.map(RawOwn::dependencies).transpose()?.unwrap_or_default(),
        topology: own.map(RawOwn::topology).transpose()?.unwrap_or_default(),
        ack_timeout_ms: own.map(RawOwn::ack_timeout_ms).transpose()?.flatten(),
        promises_resolves: own.and_then(|own| own.promised_resolves).unwrap_or(true),
        hosts,
        windows: super::maintenance::check(windows)?,
        original: shown::to_yaml(raw, dir),
    })
}

/// No secret may stand both in place and in a file, whether a receiver uses it or not.
fn check_global(checker: &Checker<'_>) -> Result<(), Fault> {
    let global = checker.global;
    let one_of = |inline: &str, value: &Option<Secret>, file: &Option<PathBuf>| {
        checker.one_of((inline, value), (&format!("{inline}_file"), file))
    };
    let slack_token = one_of("slack_app_token", &global.slack_app_token, &global.slack_app_token_file)?;
    let slack_url = one_of("slack_api_url", &global.slack_api_url, &global.slack_api_url_file)?;
    one_of("opsgenie_api_key", &global.opsgenie_api_key, &global.opsgenie_api_key_file)?;
    one_of("victorops_api_key", &global.victorops_api_key, &global.victorops_api_key_file)?;
    one_of("telegram_bot_token", &global.telegram_bot_token, &global.telegram_bot_token_file)?;
    one_of("smtp_auth_password", &global.smtp_auth_password, &global.smtp_auth_password_file)?;
    one_of("rocketchat_token", &global.rocketchat_token, &global.rocketchat_token_file)?;
    one_of("rocketchat_token_id", &global.rocketchat_token_id, &global.rocketchat_token_id_file)?;
    one_of("wechat_api_secret", &global.wechat_api_secret, &global.wechat_api_secret_file)?;
    one_of("mattermost_webhook_url", &global.mattermost_webhook_url, &global.mattermost_webhook_url_file)?;
    check_global_urls(global)?;
    // An app's address may stand as the webhook's, which is how it was done before there was a key for the token.
    let is_app_url = |url: &Source| {
        let app_url = global.slack_app_url.as_deref().filter(|url| !url.is_empty());
        matches!(url, Source::Inline(url) if url.expose() == app_url.unwrap_or(SLACK_APP_URL))
    };
    match slack_url {
        Some(url) if slack_token.is_some() && !is_app_url(&url) => Err(Fault::new(
            "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must be configured",
        )),
        _ => Ok(()),
    }
}

/// Addresses of `global` are checked though a receiver may not need them, as upstream has it.
fn check_global_urls(global: &RawGlobal) -> Result<(), Fault> {
    let plain = [
        ("slack_app_url", &global.slack_app_url),
        ("pagerduty_url", &global.pagerduty_url),
        ("opsgenie_api_url", &global.opsgenie_api_url),
        ("wechat_api_url", &global.wechat_api_url),
        ("victorops_api_url", &global.victorops_api_url),
        ("telegram_api_url", &global.telegram_api_url),
        ("webex_api_url", &global.webex_api_url),
        ("rocketchat_api_url", &global.rocketchat_api_url),
        ("jira_api_url", &global.jira_api_url),
    ];
    let secret = [
        ("slack_api_url", &global.slack_api_url),
        ("mattermost_webhook_url", &global.mattermost_webhook_url),
    ];
    let plain = plain.into_iter().filter_map(|(key, url)| Some((key, url.as_deref()?)));
    let secret = secret.into_iter().filter_map(|(key, url)| Some((key, url.as_ref()?.expose())));
    for (key, url) in plain.chain(secret.filter(|(_, url)| *url != "<secret>")) {
        parse_url(url).map_err(|fault| Fault { what: format!("{key}: {}", fault.what), ..fault })?;
    }
    match &global.smtp_smarthost {
        Some(at) if !at.value.is_empty() => {
            host_port(&at.value).map(drop).map_err(|what| Fault::at(at, what))
        }
        _ => Ok(()),
    }
}

fn check_receivers(raw: &[At<RawReceiver>], checker: &Checker<'_>) -> Result<Vec<Receiver>, Fault> {
    let mut receivers: Vec<Receiver> = Vec::new();
    for at in raw {
        let name = at.value.name.clone().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Fault::at(at, "missing name in receiver"))?;
        if receivers.iter().any(|known| known.name == name) {
            return Err(Fault::at(at, format!("notification config name {name:?} is not unique")));
        }
        let mut labels = at.value.labels.clone().unwrap_or_default();
        if labels.insert("name".to_owned(), name.clone()).is_some_and(|old| old != name) {
            return Err(Fault::at(at, "receiver label \"name\" must be the receiver's name"));
        }
        let integrations = at.value.check(&name, checker).map_err(|fault| fault.or_at(at))?;
        receivers.push(Receiver { name, labels, integrations });
    }
    Ok(receivers)
}

fn check_root(root: &At<RawRoute>) -> Result<(), Fault> {
    let route = &root.value;
    if route.receiver.as_ref().is_none_or(|name| name.value.is_empty()) {
        return Err(Fault::at(root, "root route must specify a default receiver"));
    }
    if route.equal.as_ref().is_some_and(|map| !map.is_empty())
        || route.match_re.as_ref().is_some_and(|map| !map.is_empty())
        || route.matchers.as_ref().is_some_and(|list| !list.is_empty())
    {
        return Err(Fault::at(root, "root route must not have any matchers"));
    }
    if route.mute_time_intervals.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(Fault::at(root, "root route must not have any mute time intervals"));
    }
    if route.active_time_intervals.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(Fault::at(root, "root route must not have any active time intervals"));
    }
    if route.is_continue == Some(true) {
        return Err(Fault::at(root, "cannot have continue in root route"));
    }
    Ok(())
}

/// Nobody is the next after themselves, whether a route names its receiver or the one above it does.
fn check_escalations(route: &RouteConfig) -> Result<(), Fault> {
    let tree = crate::route::RouteTree::new(route);
    let twice =
        |route: &&crate::route::Route| route.escalate.iter().any(|step| step.receiver == route.receiver);
    match tree.iter().find(twice) {
        None => Ok(()),
        Some(route) => Err(Fault::new(format!(
            "route {}: escalate names {:?}, which is the route's own receiver: name another one, or escalate: [] to switch off what the route above has",
            route.key, route.receiver
        ))),
    }
}

/// What a route may refer to.
struct RouteCheck<'a> {
    receivers: &'a [Receiver],
    intervals: &'a BTreeMap<String, Vec<Interval>>,
}

impl RouteCheck<'_> {
    fn check(&self, at: &At<RawRoute>) -> Result<RouteConfig, Fault> {
        let raw = &at.value;
        let receiver = raw.receiver.as_ref().filter(|name| !name.value.is_empty());
        if let Some(name) = receiver
            && !self.receivers.iter().any(|receiver| receiver.name == name.value)
        {
            return Err(Fault::at(name, format!("undefined receiver {:?} used in route", name.value)));
        }
        for (what, duration) in
            [("group_interval", raw.group_interval), ("repeat_interval", raw.repeat_interval)]
        {
            if duration.is_some_and(Duration::is_zero) {
                return Err(Fault::at(at, format!("{what} cannot be zero")));
            }
        }
        let is_bad = |name: &&String| !matcher::is_label_name(name);
        if let Some(name) = raw.labels.iter().flatten().map(|(name, _)| name).find(is_bad) {
            return Err(Fault::at(at, format!("invalid label name {name:?} in route labels")));
        }
        let routes = raw.routes.iter().flatten().map(|child| self.check(child));
        let ms = |duration: Option<Duration>| duration.map(Duration::as_ms);
        let has_receiver = |name: &str| self.receivers.iter().any(|receiver| receiver.name == name);
        Ok(RouteConfig {
            receiver: receiver.map(|name| name.value.clone()),
            group_by: raw.group_by.as_ref().map(check_group_by).transpose()?,
            matchers: check_matchers(&raw.equal, &raw.match_re, &raw.matchers)
                .map_err(|fault| fault.or_at(at))?,
            mute_intervals: self.interval_names(&raw.mute_time_intervals)?,
            active_intervals: self.interval_names(&raw.active_time_intervals)?,
            is_continue: raw.is_continue.unwrap_or(false),
            routes: routes.collect::<Result<_, _>>()?,
            group_wait_ms: ms(raw.group_wait),
            group_interval_ms: ms(raw.group_interval),
            repeat_interval_ms: ms(raw.repeat_interval),
            labels: raw.labels.clone().unwrap_or_default(),
            own: raw.hinomi.as_ref().map(|own| own.check(has_receiver)).transpose()?.unwrap_or_default(),
        })
    }

    fn interval_names(&self, names: &Option<Vec<At<String>>>) -> Result<Vec<String>, Fault> {
        let known = |name: &At<String>| {
            if self.intervals.contains_key(&name.value) {
                return Ok(name.value.clone());
            }
            Err(Fault::at(name, format!("undefined time interval {:?} used in route", name.value)))
        };
        names.iter().flatten().map(known).collect()
    }
}

fn check_group_by(at: &At<Vec<String>>) -> Result<GroupBy, Fault> {
    let has_all = at.value.iter().any(|name| name == "...");
    let mut names = BTreeSet::new();
    for name in at.value.iter().filter(|name| *name != "...") {
        if !matcher::is_label_name(name) {
            return Err(Fault::at(at, format!("invalid label name {name:?} in group_by list")));
        }
        if !names.insert(name.clone()) {
            return Err(Fault::at(at, format!("duplicated label {name:?} in group_by")));
        }
    }
    match (has_all, names.is_empty()) {
        (true, false) => {
            Err(Fault::at(at, "cannot have wildcard group_by (`...`) and other labels at the same time"))
        }
        (true, true) => Ok(GroupBy::All),
        (false, _) => Ok(GroupBy::Names(names)),
    }
}

/// `match`, `match_re` and `matchers` together.
fn check_matchers(
    equal: &Option<BTreeMap<String, String>>,
    regex: &Option<BTreeMap<String, Option<String>>>,
    texts: &Option<Vec<At<String>>>,
) -> Result<Vec<Matcher>, Fault> {
    let mut matchers = Vec::new();
    for (name, value) in equal.iter().flatten() {
        matchers.push(Matcher::equal(legacy_name(name)?, value));
    }
    for (name, value) in regex.iter().flatten() {
        let missing = || Fault::new(format!("invalid regexp value for {}", model::labels::quoted(name)));
        let value = value.as_ref().ok_or_else(missing)?;
        // Upstream's anchored form, since route keys show it.
        let value = format!("^(?:{value})$");
        let matcher = Matcher::new(MatchOp::Regex, legacy_name(name)?, value);
        matchers.push(matcher.map_err(|err| Fault::new(err.to_string()))?);
    }
    matchers.extend(texts_to_matchers(texts)?);
    Ok(matchers)
}

/// A list of `matchers`, of which each text may hold several.
pub(super) fn texts_to_matchers(texts: &Option<Vec<At<String>>>) -> Result<Vec<Matcher>, Fault> {
    let mut matchers = Vec::new();
    for at in texts.iter().flatten() {
        matchers.extend(matcher::parse_matchers(&at.value).map_err(|err| Fault::at(at, err.to_string()))?);
    }
    Ok(matchers)
}

fn legacy_name(name: &str) -> Result<&str, Fault> {
    if is_legacy_label_name(name) {
        Ok(name)
    } else {
        Err(Fault::new(format!("invalid label name {name:?}")))
    }
}

fn check_inhibit_rule(raw: &RawInhibitRule) -> Result<InhibitRuleConfig, Fault> {
    let equal: BTreeSet<String> = raw.equal.iter().flatten().cloned().collect();
    if let Some(name) = equal.iter().find(|name| !matcher::is_label_name(name)) {
        return Err(Fault::new(format!("invalid label name {name:?} in equal list")));
    }
    Ok(InhibitRuleConfig {
        name: raw.name.clone().unwrap_or_default(),
        source: check_matchers(&raw.source_match, &raw.source_match_re, &raw.source_matchers)?,
        target: check_matchers(&raw.target_match, &raw.target_match_re, &raw.target_matchers)?,
        equal: equal.into_iter().collect(),
    })
}

fn check_intervals(raw: &RawConfig) -> Result<BTreeMap<String, Vec<Interval>>, Fault> {
    let mut intervals = BTreeMap::new();
    let muting = raw.mute_time_intervals.iter().flatten().map(|at| ("mute time interval", at));
    let named = raw.time_intervals.iter().flatten().map(|at| ("time interval", at));
    for (what, at) in muting.chain(named) {
        let RawNamedInterval { name, time_intervals } = &at.value;
        let name = name.clone().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Fault::at(at, format!("missing name in {what}")))?;
        let list =
            time_intervals.iter().flatten().map(|at| check_interval(at).map_err(|fault| fault.or_at(at)));
        if intervals.insert(name.clone(), list.collect::<Result<_, _>>()?).is_some() {
            return Err(Fault::at(at, format!("{what} {name:?} is not unique")));
        }
    }
    Ok(intervals)
}

fn check_interval(at: &At<RawInterval>) -> Result<Interval, Fault> {
    let raw = &at.value;
    let spans = |list: &Option<Vec<At<String>>>, read: fn(&str) -> Result<interval::Span, String>| {
        let read = |at: &At<String>| read(&at.value).map_err(|what| Fault::at(at, what));
        list.iter().flatten().map(read).collect::<Result<Vec<_>, _>>()
    };
    let times = raw.times.iter().flatten().map(|at| {
        let (start, end) = (at.value.start_time.as_deref(), at.value.end_time.as_deref());
        let (Some(start), Some(end)) = (start, end) else {
            return Err(Fault::at(at, "both start and end times must be provided"));
        };
        interval::time_span(start, end).map_err(|what| Fault::at(at, what))
    });
    let zone = match &raw.location {
        Some(at) => interval::zone_of(&at.value).map_err(|what| Fault::at(at, what))?,
        None => jiff::tz::TimeZone::UTC,
    };
    Ok(Interval {
        times: times.collect::<Result<_, _>>()?,
        weekdays: spans(&raw.weekdays, interval::weekday_span)?,
        days_of_month: spans(&raw.days_of_month, interval::day_span)?,
        months: spans(&raw.months, interval::month_span)?,
        years: spans(&raw.years, interval::year_span)?,
        zone,
    })
}
