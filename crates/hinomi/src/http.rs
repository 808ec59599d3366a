//! `--http.config.file` and `--header`: how the commands that ask a server say who they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches};
use net::config::{HeaderConfig, HttpClientConfig, HttpClientKeys};
use net::{HttpClient, Secret};
use stdx::{Dir as _, DiskDir};

/// How to reach a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Access {
    /// TLS, user and proxy, in the keys of `http_config`.
    pub config_file: Option<PathBuf>,
    /// `NAME=VALUE`
    pub headers: Vec<String>,
}

/// `--http.config.file` for clap.
pub(crate) fn config_file_arg() -> Arg {
    Arg::new("http.config.file")
        .long("http.config.file")
        .value_name("FILE")
        .help("TLS, user and proxy to reach the server with; the keys of http_config in a configuration file")
        .value_parser(clap::value_parser!(PathBuf))
}

/// `--header` for clap.
pub(crate) fn header_arg() -> Arg {
    Arg::new("header")
        .long("header")
        .value_name("NAME=VALUE")
        .help("Header to send, repeatable")
        .action(ArgAction::Append)
}

impl Access {
    /// What clap found; a command may have only one of the flags.
    pub(crate) fn from_matches(matches: &ArgMatches) -> Self {
        let headers = matches.try_get_many::<String>("header").ok().flatten();
        Self {
            config_file: matches.try_get_one::<PathBuf>("http.config.file").ok().flatten().cloned(),
            headers: headers.into_iter().flatten().cloned().collect(),
        }
    }

    /// The client.
    ///
    /// # Errors
    /// When the file or a header cannot be used.
    pub(crate) fn client(&self) -> Result<HttpClient> {
        let mut config = match &self.config_file {
            Some(path) => read(path)?,
            None => HttpClientConfig::default(),
        };
        let mut headers: BTreeMap<String, HeaderConfig> = config.http_headers.clone();
        for header in &self.headers {
            let Some((name, value)) = header.split_once('=') else {
                bail!("--header: {header:?} is not of the form NAME=VALUE");
            };
            headers.entry(name.to_owned()).or_default().secrets.push(Secret::new(value));
        }
        let keys = HttpClientKeys { http_headers: Some(headers), ..HttpClientKeys::default() };
        let checked = HttpClientConfig::try_from(keys).map_err(|why| anyhow::anyhow!("--header: {why}"))?;
        config.http_headers = checked.http_headers;
        HttpClient::new(&config).context("--http.config.file")
    }
}

fn read(path: &Path) -> Result<HttpClientConfig> {
    let shown = path.display().to_string();
    let bytes = DiskDir::anywhere().read(path).with_context(|| format!("--http.config.file: {shown}"))?;
    let text =
        String::from_utf8(bytes).with_context(|| format!("--http.config.file: {shown} is not UTF-8 text"))?;
    let mut config: HttpClientConfig = model::yaml::parse(&shown, &text).context("--http.config.file")?;
    config.set_directory(path.parent().unwrap_or(Path::new("")));
    Ok(config)
}
