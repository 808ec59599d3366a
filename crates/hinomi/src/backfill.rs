//! `hinomi backfill`: recording rules over stored history, in a running server.
//!
//! In: the command line; out to the admin API and the terminal. The work is the server's (`rules::Backfills`).

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;
use stdx::{Dir as _, DiskDir};

use crate::admin::{Admin, block_on};
use crate::http::{self, Access};
use crate::say;
use crate::terminal::{duration, number};

const START: &str = "admin/rules/backfill";
const STATUS: &str = "status/backfill";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    url: String,
    access: Access,
    what: What,
}

#[derive(Debug)]
enum What {
    Rules {
        /// Parameters of the API call.
        form: Vec<(&'static str, String)>,
        /// A rule file, instead of the rules that are loaded.
        file: Option<PathBuf>,
        is_detached: bool,
    },
    Status,
    Cancel,
}

/// `hinomi backfill` for clap.
pub(crate) fn command() -> Command {
    let value = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let sub = |name: &'static str, about: &'static str| {
        let url = value("url", "URL", "Server to ask; it needs --web.enable-admin-api");
        Command::new(name)
            .about(about)
            .arg(url.default_value("http://localhost:9090"))
            .args([http::config_file_arg(), http::header_arg()])
    };
    Command::new("backfill")
        .about("Evaluates recording rules over stored history, in a running server")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            sub(
                "rules",
                "Writes what rules would have written had they been there then; what is there stays as it is",
            )
            .args([
                value("start", "TIME", "From when on, RFC 3339 or Unix seconds").required(true),
                value("end", "TIME", "To when; now by default"),
                value("group", "NAME", "Only this group, repeatable; all that are loaded by default")
                    .action(ArgAction::Append),
                value("rule", "NAME", "Only rules that record this, repeatable").action(ArgAction::Append),
                value(
                    "eval-interval",
                    "DURATION",
                    "For groups of FILE that name no interval; the server's evaluation_interval by default",
                )
                .requires("file"),
                Arg::new("detach").long("detach").action(ArgAction::SetTrue).help("Do not wait for the end"),
                Arg::new("file")
                    .value_name("FILE")
                    .help("A rule file; without it the rules that the server has loaded")
                    .value_parser(clap::value_parser!(PathBuf)),
            ]),
        )
        .subcommand(sub("status", "Shows how far the newest backfill is"))
        .subcommand(sub("cancel", "Ends the backfill that runs; what it wrote stays"))
}

/// What clap found.
pub(crate) fn parse(sub: &ArgMatches) -> Args {
    let (name, matches) = sub.subcommand().expect("clap demands a subcommand");
    let what = match name {
        "status" => What::Status,
        "cancel" => What::Cancel,
        _ => {
            let mut form = Vec::new();
            for (flag, parameter) in [
                ("start", "start"),
                ("end", "end"),
                ("eval-interval", "interval"),
                ("group", "group[]"),
                ("rule", "rule[]"),
            ] {
                let values = matches.get_many::<String>(flag).into_iter().flatten();
                form.extend(values.map(|value| (parameter, value.clone())));
            }
            let file = matches.get_one::<PathBuf>("file").cloned();
            What::Rules { form, file, is_detached: matches.get_flag("detach") }
        }
    };
    let url = matches.get_one::<String>("url").cloned().unwrap_or_default();
    Args { url, access: Access::from_matches(matches), what }
}

/// Does it.
///
/// # Errors
/// When the server cannot be asked or refuses, or the backfill does not come to its end.
pub(crate) fn run(args: &Args) -> Result<()> {
    let admin = Admin::new(&args.url, &args.access)?;
    match &args.what {
        What::Rules { form, file, is_detached } => {
            let mut form = form.clone();
            if let Some(path) = file {
                let shown = path.display();
                let text = DiskDir::anywhere().read(path).with_context(|| format!("cannot read {shown}"))?;
                let text = String::from_utf8(text).with_context(|| format!("{shown} is not UTF-8 text"))?;
                form.extend([("rules", text), ("file", shown.to_string())]);
            }
            block_on(start(&admin, &form, *is_detached))
        }
        What::Status => {
            let status = block_on(admin.get(STATUS))?;
            say(&summary(&status));
            Ok(())
        }
        What::Cancel => {
            let status = block_on(admin.delete(START))?;
            match status["state"].as_str() {
                Some("running") => say("told to end; what was written stays"),
                _ => say(&summary(&status)),
            }
            Ok(())
        }
    }
}

async fn start(admin: &Admin, form: &[(&'static str, String)], is_detached: bool) -> Result<()> {
    let started = admin.post(START, form).await?;
    let n_alerting = started["alertingRulesLeftOut"].as_u64().unwrap_or(0);
    if n_alerting > 0 {
        eprintln!("{n_alerting} alerting rules are left out: alerts are of their time");
    }
    if is_detached {
        say("begun; hinomi backfill status shows how far it is");
        return Ok(());
    }
    eprintln!("the server evaluates; Ctrl-C ends watching, not the backfill");
    let status = admin.watch(STATUS, started, summary).await?;
    if let Some(error) = status["error"].as_str() {
        eprintln!("{error}");
    }
    match status["state"].as_str() {
        Some("done") => {
            say(&summary(&status));
            Ok(())
        }
        Some("cancelled") => bail!("the backfill was cancelled; what was written stays"),
        _ => bail!("the backfill did not come to its end; begun again it passes over what is there"),
    }
}

/// One line.
fn summary(status: &Value) -> String {
    let n = |key: &str| status[key].as_u64().unwrap_or(0);
    let mut line = format!(
        "{}: {} of {} evaluations, {} samples written",
        status["state"].as_str().unwrap_or("unknown"),
        number(n("done")),
        number(n("evaluations")),
        number(n("samples"))
    );
    for (key, words) in
        [("here", "were there already"), ("failed", "evaluations failed"), ("refused", "samples refused")]
    {
        if n(key) > 0 {
            line += &format!(", {} {words}", number(n(key)));
        }
    }
    if let Some(secs) = status["etaSeconds"].as_i64() {
        line += &format!(", {} left", duration(secs * 1000));
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_what_counts() {
        let check = |status: Value, expected: &str| assert_eq!(summary(&status), expected);
        check(
            json!({"state": "running", "done": 5, "evaluations": 10, "samples": 7, "etaSeconds": 3}),
            "running: 5 of 10 evaluations, 7 samples written, 3s left",
        );
        check(
            json!({"state": "done", "done": 2, "evaluations": 2, "samples": 0, "here": 9, "failed": 1}),
            "done: 2 of 2 evaluations, 0 samples written, 9 were there already, 1 evaluations failed",
        );
    }
}
