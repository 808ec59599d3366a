//! The command line of `hinomi maintenance`.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use crate::http::{self, Access};
use crate::manager_api;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For eyes.
    Table,
    /// The API's answer.
    Json,
}

/// Fields of a window, as the API has them; those that were given.
type Fields = Map<String, Value>;

/// What to do; a window is named by its id or its name.
#[derive(Debug)]
pub(super) enum What {
    List,
    Show(String),
    Add(Fields),
    Change(String, Fields),
    Preview(Fields),
    PreviewOf(String),
    End(String),
    Delete(String),
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    pub(super) url: String,
    pub(super) access: Access,
    pub(super) format: Format,
    pub(super) what: What,
}

/// Flag, key of the API, whether it may be repeated.
const FIELDS: [(&str, &str, bool); 9] = [
    ("name", "name", false),
    ("matcher", "matchers", true),
    ("start", "start", false),
    ("duration", "duration", false),
    ("recurrence", "recurrence", false),
    ("except", "except", true),
    ("time-zone", "timeZone", false),
    ("owner", "owner", false),
    ("reason", "reason", false),
];

/// Where flags that all commands have stand in the help: behind a command's own, which are counted from 0.
const GLOBAL_ORDER: usize = 100;

/// `hinomi maintenance` for clap.
pub(crate) fn command() -> Command {
    let window = || Arg::new("window").value_name("WINDOW").help("Id, or a name that only one has");
    let format = Arg::new("format")
        .long("format")
        .short('o')
        .value_name("FORMAT")
        .help("table or json")
        .value_parser(["table", "json"])
        .default_value("table");
    Command::new("maintenance")
        .about("Plans quiet: maintenance windows of a running server or Alertmanager")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(
            // What a command is about comes first in its help.
            [manager_api::url_arg(), format, http::config_file_arg(), http::header_arg()]
                .map(|arg| arg.global(true).display_order(GLOBAL_ORDER)),
        )
        .subcommand(Command::new("add").about("Makes a window").args(fields(true)).after_help(EXAMPLES))
        .subcommand(
            Command::new("change")
                .about("Changes what is given of a window, and leaves the rest")
                .arg(window().required(true))
                .args(fields(false)),
        )
        .subcommand(Command::new("list").about("Shows all windows, with the next run of each"))
        .subcommand(
            Command::new("show")
                .about("Shows one window, its next five runs and what it hides")
                .arg(window().required(true)),
        )
        .subcommand(
            Command::new("preview")
                .about("Shows what a window would hide now and its next five runs; keeps nothing")
                .arg(window().conflicts_with_all(FIELDS.map(|(flag, ..)| flag)))
                .args(fields(false)),
        )
        .subcommand(
            Command::new("end")
                .about("Ends what runs of a window now; the next run comes as planned")
                .arg(window().required(true)),
        )
        .subcommand(
            Command::new("delete")
                .about("Deletes a window, and ends what runs of it")
                .arg(window().required(true)),
        )
}

const EXAMPLES: &str = "Examples:\n  hinomi maintenance add --name 'db backup' --matcher 'job=\"db\"' --start 2026-11-22T02:00 \\\n    --duration 90m --recurrence FREQ=DAILY --time-zone Asia/Tokyo --reason 'disk copy'\n  --recurrence 'FREQ=WEEKLY;BYDAY=SA,SU'   weekends\n  --recurrence 'FREQ=MONTHLY;BYDAY=2TU'    the second Tuesday of each month";

/// The flags of a window. What it cannot be without is demanded when it is made.
fn fields(is_new: bool) -> Vec<Arg> {
    let value = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    vec![
        value("name", "NAME", "What others see").required(is_new),
        value("matcher", "MATCHER", "What it hides, as job=\"db\"; repeatable: all must match")
            .action(ArgAction::Append)
            .required(is_new),
        value("start", "TIME", "When it begins on the clock of the zone, as 2026-11-22T02:00")
            .required(is_new),
        value("duration", "DURATION", "How long a run is, as 1h30m; at most 31d").required(is_new),
        value(
            "recurrence",
            "RRULE",
            "When it comes again, as FREQ=WEEKLY;BYDAY=SU (RFC 5545); once without it",
        ),
        value("except", "TIME", "Run that does not take place, or a day without runs; repeatable")
            .action(ArgAction::Append),
        value("time-zone", "ZONE", "As Asia/Tokyo; UTC without it"),
        value("owner", "WHO", "Who answers for it; who you are logged in as without it"),
        value("reason", "TEXT", "Why").required(is_new),
    ]
}

/// What clap found.
///
/// # Errors
/// What is missing.
pub(crate) fn parse(sub: &ArgMatches) -> Result<Args, String> {
    let (name, matches) = sub.subcommand().expect("clap demands a subcommand");
    let window = || matches.get_one::<String>("window").cloned();
    let named = || window().expect("clap demands it");
    let what = match name {
        "list" => What::List,
        "show" => What::Show(named()),
        "end" => What::End(named()),
        "delete" => What::Delete(named()),
        "add" => {
            let mut fields = given(matches);
            if !fields.contains_key("owner") {
                let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
                let user = user.filter(|user| !user.is_empty());
                fields
                    .insert("owner".to_owned(), json!(user.ok_or("--owner is needed: who answers for it")?));
            }
            What::Add(fields)
        }
        "change" => {
            let fields = given(matches);
            if fields.is_empty() {
                return Err(
                    "nothing to change: give --start, --duration or what else should be different".into()
                );
            }
            What::Change(named(), fields)
        }
        _ => match window() {
            Some(window) => What::PreviewOf(window),
            None => {
                let fields = given(matches);
                let missing =
                    ["matcher", "start", "duration"].into_iter().find(|flag| !matches.contains_id(flag));
                match missing {
                    Some(flag) => return Err(format!("preview needs --{flag}, or the name of a window")),
                    None => What::Preview(fields),
                }
            }
        },
    };
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    Ok(Args {
        url: text("alertmanager.url"),
        access: Access::from_matches(matches),
        format: if text("format") == "json" { Format::Json } else { Format::Table },
        what,
    })
}

fn given(matches: &ArgMatches) -> Fields {
    let mut fields = Fields::new();
    for (flag, key, is_list) in FIELDS {
        let values: Vec<&String> = matches.get_many::<String>(flag).into_iter().flatten().collect();
        let value = match (values.first(), is_list) {
            (None, _) => continue,
            (Some(_), true) => json!(values),
            (Some(value), false) => json!(value),
        };
        fields.insert(key.to_owned(), value);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_fields() {
        let check = |line: &str, expected: Result<&str, &str>| {
            let args = line.split_whitespace().map(|word| word.replace('+', " "));
            let matches = command().try_get_matches_from(args).unwrap_or_else(|err| panic!("{line}: {err}"));
            let got = parse(&matches).map(|args| format!("{:?} {:?}", args.format, args.what));
            let got = got.as_deref().map_err(String::as_str);
            match expected {
                Ok(part) => assert!(got.is_ok_and(|got| got.contains(part)), "{line}: {got:?}"),
                Err(part) => assert!(got.is_err_and(|got| got.contains(part)), "{line}: {got:?}"),
            }
        };
        check("m list", Ok("Table List"));
        check("m list -o json", Ok("Json List"));
        check("m --format json show a+b", Ok("Json Show(\"a b\")"));
        check(
            "m preview --matcher a=b --matcher c=d --start 2026-01-01T02:00 --duration 1h --time-zone UTC",
            Ok(
                "\"matchers\": Array [String(\"a=b\"), String(\"c=d\")], \"start\": String(\"2026-01-01T02:00\"), \"timeZone\"",
            ),
        );
        check("m preview w", Ok("PreviewOf(\"w\")"));
        check("m preview", Err("preview needs --matcher"));
        check("m preview --matcher a=b --start x", Err("preview needs --duration"));
        check("m change w --reason x", Ok("Change(\"w\", {\"reason\": String(\"x\")})"));
        check("m change w", Err("nothing to change"));
        check("m add --name n --matcher a=b --start s --duration d --reason r --owner o", Ok("Add("));
    }
}
