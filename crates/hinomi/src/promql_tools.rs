//! `hinomi promql`: formats queries and edits their label matchers; promtool's commands. Asks nobody.

use anyhow::{Result, anyhow};
use clap::{Arg, ArgAction, ArgMatches, Command};
use model::{MatchOp, Matcher};
use promql::Expr;

use crate::say;

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Args {
    /// Print it as it should be written.
    Format { query: String },
    /// Set a label matcher in every selector.
    Set { query: String, op: MatchOp, name: String, value: String },
    /// Take a label's matchers out of every selector.
    Delete { query: String, name: String },
}

fn word(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    // A query may begin with a minus sign.
    Arg::new(name).value_name(value).help(help).required(true).allow_hyphen_values(true)
}

/// `hinomi promql` for clap.
pub(crate) fn command() -> Command {
    let query = || word("query", "QUERY", "PromQL expression");
    Command::new("promql")
        .about("Formats queries and edits their label matchers")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            // promtool's switch for commands of its own that may change, such as these.
            Arg::new("experimental").long("experimental").action(ArgAction::SetTrue).global(true).hide(true),
        )
        .subcommand(
            Command::new("format").about("Prints a query over several lines, in canonical form").arg(query()),
        )
        .subcommand(
            Command::new("label-matchers")
                .about("Edits the label matchers of a query")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(
                    Command::new("set").about("Sets a label matcher in every selector of a query").args([
                        Arg::new("type")
                            .short('t')
                            .long("type")
                            .value_name("TYPE")
                            .help("=, !=, =~ or !~")
                            .default_value("=")
                            .value_parser(["=", "!=", "=~", "!~"]),
                        query(),
                        word("name", "NAME", "Label"),
                        word("value", "VALUE", "Value, or regular expression"),
                    ]),
                )
                .subcommand(
                    Command::new("delete")
                        .about("Takes the matchers of a label out of every selector of a query")
                        .args([query(), word("name", "NAME", "Label")]),
                ),
        )
}

/// What clap found.
pub(crate) fn parse(sub: &ArgMatches) -> Args {
    let (name, sub) = sub.subcommand().expect("clap demands a subcommand");
    let text = |sub: &ArgMatches, name: &str| sub.get_one::<String>(name).cloned().unwrap_or_default();
    if name == "format" {
        return Args::Format { query: text(sub, "query") };
    }
    let (name, sub) = sub.subcommand().expect("clap demands a subcommand");
    let (query, label) = (text(sub, "query"), text(sub, "name"));
    if name == "delete" {
        return Args::Delete { query, name: label };
    }
    let op = match text(sub, "type").as_str() {
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        _ => MatchOp::Equal,
    };
    Args::Set { query, op, name: label, value: text(sub, "value") }
}

/// Prints the query.
///
/// # Errors
/// When it is none, or would be none afterwards.
pub(crate) fn run(args: &Args) -> Result<()> {
    say(&edited(args)?);
    Ok(())
}

fn edited(args: &Args) -> Result<String> {
    let query = match args {
        Args::Format { query } => return Ok(read(query)?.pretty()),
        Args::Set { query, .. } | Args::Delete { query, .. } => query,
    };
    let mut expr = read(query)?;
    match args {
        Args::Set { op, name, value, .. } => {
            let matcher = Matcher::new(*op, name, value).map_err(|why| anyhow!("{value:?}: {why}"))?;
            expr.change_selectors(&mut |selector| selector.set_matcher(matcher.clone()));
        }
        Args::Delete { name, .. } => {
            expr.change_selectors(&mut |selector| selector.remove_matchers(name));
        }
        Args::Format { .. } => {}
    }
    let text = expr.pretty();
    // A selector needs something that not every series has.
    promql::parse(&text).map_err(|why| anyhow!("what is left is no query: {text}: {why}"))?;
    Ok(text)
}

fn read(query: &str) -> Result<Expr> {
    promql::parse(query).map_err(|why| anyhow!("{why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &[&str], expected: Result<&str, &str>) {
        let matches = command().try_get_matches_from([&["promql"], line].concat()).unwrap();
        let got = edited(&parse(&matches)).map_err(|err| err.to_string());
        match (&got, expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{line:?}"),
            (Err(why), Err(part)) => assert!(why.contains(part), "{line:?}: {why}"),
            _ => panic!("{line:?}: {got:?}"),
        }
    }

    #[test]
    fn queries_are_formatted_and_edited() {
        check(&["format", "sum(x{a=\"b\"})by(c)"], Ok("sum by (c) (x{a=\"b\"})"));
        check(&["--experimental", "format", "-x"], Ok("-x"));
        check(&["format", "sum("], Err("parse error"));
        check(
            &["label-matchers", "set", "-t", "=~", "a / b{n=\"1\"}", "n", "x|y"],
            Ok("a{n=~\"x|y\"} / b{n=~\"x|y\"}"),
        );
        check(&["label-matchers", "set", "--type=!=", "a", "n", "-1"], Ok("a{n!=\"-1\"}"));
        check(&["label-matchers", "set", "-t", "=~", "a", "n", "("], Err("\"(\": "));
        check(&["label-matchers", "delete", "a{n=\"1\",m=\"2\"}", "n"], Ok("a{m=\"2\"}"));
        check(&["label-matchers", "delete", "{n=\"1\"}", "n"], Err("what is left is no query: {}"));
    }
}
