//! Which keys a section is shown with: in Alertmanager's order, with its defaults, empty ones left out or not.
//!
//! In: [`super`] reads these tables. Facts: the structures of Alertmanager 0.34 and of Prometheus' common client settings.

/// One key.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) default: Default,
    pub(super) shown: Shown,
    /// Whether Debian's `amtool`, 0.25, does not know it. It reads what is shown strictly, and so the key is left out where it says no more
    /// than the default.
    pub(super) is_newer: bool,
}

/// What stands behind a key.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// As it was written; mappings by name.
    Plain,
    /// A file, from the configuration's directory on. Also several.
    Path,
    Section(&'static [Key]),
    Sections(&'static [Key]),
    /// A section behind each name.
    Each(&'static [Key]),
    /// Routes below a route.
    Routes,
    /// In their canonical form and order.
    Matchers,
    /// Ranges on one line, brought to the shortest form.
    Ranges(Names),
    /// Of mails: names in the form of MIME.
    Headers,
    /// A template, or a section with one.
    Templated(&'static [Key]),
}

/// What the ends of ranges are called.
#[derive(Clone, Copy)]
pub(super) enum Names {
    Weekdays,
    Months,
    Numbers,
}

/// What counts where the file says nothing.
#[derive(Clone, Copy)]
pub(super) enum Default {
    None,
    Text(&'static str),
    Switch(bool),
    Zero,
    Empty,
}

/// When a key is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// When it is not empty.
    Filled,
    /// When the file has it, or a default.
    Given,
    Always,
}

pub(super) const fn key(name: &'static str) -> Key {
    Key { name, form: Form::Plain, default: Default::None, shown: Shown::Filled, is_newer: false }
}

pub(super) const fn text(name: &'static str, default: &'static str) -> Key {
    Key { default: Default::Text(default), ..key(name) }
}

pub(super) const fn switch(name: &'static str, default: bool) -> Key {
    Key { default: Default::Switch(default), shown: Shown::Always, ..key(name) }
}

pub(super) const fn section(name: &'static str, keys: &'static [Key]) -> Key {
    Key { form: Form::Section(keys), ..key(name) }
}

pub(super) const fn sections(name: &'static str, keys: &'static [Key]) -> Key {
    Key { form: Form::Sections(keys), ..key(name) }
}

impl Key {
    pub(super) const fn given(self) -> Self {
        Self { shown: Shown::Given, ..self }
    }

    pub(super) const fn always(self) -> Self {
        Self { shown: Shown::Always, ..self }
    }

    pub(super) const fn newer(self) -> Self {
        Self { is_newer: true, ..self }
    }

    pub(super) const fn of(self, form: Form) -> Self {
        Self { form, ..self }
    }

    pub(super) const fn or(self, default: Default) -> Self {
        Self { default, ..self }
    }
}

const fn path(name: &'static str) -> Key {
    key(name).of(Form::Path)
}

pub(super) const TLS: &[Key] = &[
    key("ca"),
    key("cert"),
    key("key"),
    path("ca_file"),
    path("cert_file"),
    path("key_file"),
    key("server_name"),
    switch("insecure_skip_verify", false),
    key("min_version"),
    key("max_version"),
];

/// The same, of mails: their files are not taken from the configuration's directory.
pub(super) const MAIL_TLS: &[Key] = &[
    key("ca"),
    key("cert"),
    key("key"),
    key("ca_file"),
    key("cert_file"),
    key("key_file"),
    key("server_name"),
    switch("insecure_skip_verify", false),
    key("min_version"),
    key("max_version"),
];

pub(super) const HTTP: &[Key] = &[
    section("basic_auth", &[key("username"), path("username_file"), key("password"), path("password_file")])
        .given(),
    section("authorization", &[text("type", "Bearer"), key("credentials"), path("credentials_file")]).given(),
    section(
        "oauth2",
        &[
            key("client_id"),
            key("client_secret"),
            path("client_secret_file"),
            key("client_certificate_key_id"),
            key("client_certificate_key"),
            path("client_certificate_key_file"),
            key("grant_type"),
            key("signature_algorithm"),
            key("iss"),
            key("audience"),
            key("claims"),
            key("scopes"),
            key("token_url"),
            key("endpoint_params"),
            section("tls_config", TLS),
            key("proxy_url"),
            key("no_proxy"),
            key("proxy_from_environment"),
            key("proxy_connect_header"),
        ],
    )
    .given(),
    section("tls_config", TLS),
    switch("follow_redirects", true),
    switch("enable_http2", true),
    key("proxy_url"),
    key("no_proxy"),
    key("proxy_from_environment"),
    key("proxy_connect_header"),
    key("http_headers").of(Form::Each(&[key("values"), key("secrets"), path("files")])),
];

pub(super) const HTTP_CONFIG: Key = section("http_config", HTTP).or(Default::Empty).given();

const SLACK_APP_URL: Key = text("slack_app_url", crate::receiver::SLACK_APP_URL).newer();

const GLOBAL: &[Key] = &[
    text("resolve_timeout", "5m").always(),
    HTTP_CONFIG,
    key("jira_api_url").given(),
    key("smtp_from"),
    text("smtp_hello", "localhost"),
    key("smtp_smarthost"),
    key("smtp_auth_username"),
    key("smtp_auth_password"),
    key("smtp_auth_password_file"),
    key("smtp_auth_secret"),
    key("smtp_auth_secret_file"),
    key("smtp_auth_identity"),
    switch("smtp_require_tls", true),
    section("smtp_tls_config", MAIL_TLS).or(Default::Empty).given().newer(),
    key("smtp_force_implicit_tls").given(),
    key("slack_api_url"),
    key("slack_api_url_file"),
    key("slack_app_token"),
    key("slack_app_token_file"),
    SLACK_APP_URL,
    text("pagerduty_url", "https://events.pagerduty.com/v2/enqueue"),
    text("opsgenie_api_url", "https://api.opsgenie.com/"),
    key("opsgenie_api_key"),
    key("opsgenie_api_key_file"),
    text("wechat_api_url", "https://qyapi.weixin.qq.com/cgi-bin/"),
    key("wechat_api_secret"),
    key("wechat_api_secret_file"),
    key("wechat_api_corp_id"),
    text("victorops_api_url", "https://alert.victorops.com/integrations/generic/20131114/alert/"),
    key("victorops_api_key"),
    key("victorops_api_key_file"),
    text("telegram_api_url", "https://api.telegram.org"),
    key("telegram_bot_token"),
    key("telegram_bot_token_file"),
    text("webex_api_url", "https://webexapis.com/v1/messages"),
    text("rocketchat_api_url", "https://open.rocket.chat/").newer(),
    key("rocketchat_token"),
    key("rocketchat_token_file"),
    key("rocketchat_token_id"),
    key("rocketchat_token_id_file"),
    key("mattermost_webhook_url"),
    key("mattermost_webhook_url_file"),
];

pub(super) const ROUTE: &[Key] = &[
    key("receiver"),
    key("group_by"),
    key("match"),
    key("match_re"),
    key("matchers").of(Form::Matchers),
    key("mute_time_intervals"),
    key("active_time_intervals"),
    switch("continue", false),
    key("routes").of(Form::Routes),
    key("group_wait").given(),
    key("group_interval").given(),
    key("repeat_interval").given(),
    key("labels"),
    key("hinomi").given(),
];

const INHIBIT_RULE: &[Key] = &[
    key("name"),
    key("source_match"),
    key("source_match_re"),
    key("source_matchers").of(Form::Matchers),
    key("target_match"),
    key("target_match_re"),
    key("target_matchers").of(Form::Matchers),
    key("equal"),
];

const INTERVALS: &[Key] = &[
    key("name").always().or(Default::Text("")),
    sections(
        "time_intervals",
        &[
            sections("times", &[key("start_time"), key("end_time")]),
            key("weekdays").of(Form::Ranges(Names::Weekdays)),
            key("days_of_month").of(Form::Ranges(Names::Numbers)),
            key("months").of(Form::Ranges(Names::Months)),
            key("years").of(Form::Ranges(Names::Numbers)),
            key("location"),
        ],
    )
    .or(Default::Empty)
    .always(),
];

const TRACING: &[Key] = &[
    text("client_type", "grpc"),
    key("endpoint"),
    key("sampling_fraction"),
    key("insecure"),
    section("tls_config", TLS).given(),
    key("headers").of(Form::Each(&[key("values"), key("secrets"), path("files")])),
    key("compression"),
    key("timeout"),
];

const EVENTS: &[Key] = &[
    sections("file_outputs", &[path("path")]),
    sections(
        "webhook_outputs",
        &[
            key("url"),
            section("http_config", HTTP).given(),
            key("timeout"),
            key("workers"),
            key("max_retries"),
            key("retry_backoff"),
            key("batch"),
            key("batch_max_events"),
            key("batch_max_bytes"),
            key("batch_flush_interval"),
        ],
    ),
    sections(
        "kafka_outputs",
        &[
            key("brokers"),
            key("topic"),
            key("client_id"),
            key("format"),
            key("acks"),
            key("compression"),
            key("buffer_size"),
            section("tls_config", TLS).given(),
        ],
    ),
    key("stdout_outputs"),
];

/// The whole file; ours last.
pub(super) const CONFIG: &[Key] = &[
    section("global", GLOBAL).or(Default::Empty).given(),
    section("route", ROUTE),
    sections("inhibit_rules", INHIBIT_RULE),
    sections("receivers", super::receivers::RECEIVER),
    path("templates").or(Default::Empty).always(),
    sections("mute_time_intervals", INTERVALS),
    sections("time_intervals", INTERVALS),
    section("tracing", TRACING),
    section("event_recorder", EVENTS),
    key("hinomi").given(),
];
