//! `hinomi maintenance`: windows of planned quiet, of a running manager.
//!
//! In from the command line; out to the manager's API, and as tables or the API's JSON to the terminal.

mod args;
mod show;

use anyhow::{Result, bail};
use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::admin::block_on;
use crate::manager_api::Manager;
use crate::say;

pub(crate) use args::{Args, command, parse};
use args::{Format, What};

/// Does it.
///
/// # Errors
/// When the manager cannot be asked, or refuses.
pub(crate) fn run(args: &Args) -> Result<()> {
    let manager = Manager::new(&args.url, &args.access)?;
    let answer = block_on(ask(&manager, args))?;
    match (args.format, &args.what) {
        (Format::Json, What::Delete(_)) => {}
        (Format::Json, _) => say(&serde_json::to_string_pretty(&answer)?),
        (Format::Table, What::List) => show::list(&answer),
        (Format::Table, What::Show(_)) => show::one(&answer),
        (Format::Table, What::Preview(fields)) => {
            show::preview(&answer, fields.get("timeZone").and_then(Value::as_str));
        }
        (Format::Table, What::PreviewOf(_)) => show::preview(&answer, answer["timeZone"].as_str()),
        (Format::Table, What::Delete(of)) => say(&format!("deleted {of}")),
        (Format::Table, What::End(_)) => show::done("ended what ran of", &answer),
        (Format::Table, What::Add(_)) => show::done("made", &answer),
        (Format::Table, What::Change(..)) => show::done("changed", &answer),
    }
    Ok(())
}

async fn ask(manager: &Manager, args: &Args) -> Result<Value> {
    match &args.what {
        What::List => manager.ask(Method::GET, "maintenance", None).await,
        What::Add(fields) => {
            manager.ask(Method::POST, "maintenance", Some(&Value::Object(fields.clone()))).await
        }
        What::Preview(fields) => {
            manager.ask(Method::POST, "maintenance/preview", Some(&Value::Object(fields.clone()))).await
        }
        What::PreviewOf(of) => {
            let (id, window) = find(manager, of).await?;
            let mut preview = manager.ask(Method::GET, &format!("maintenance/{id}/preview"), None).await?;
            preview["timeZone"] = window["timeZone"].clone();
            Ok(preview)
        }
        What::Change(of, fields) => {
            let (id, mut window) = find(manager, of).await?;
            window.extend(fields.clone());
            manager.ask(Method::PUT, &format!("maintenance/{id}"), Some(&Value::Object(window))).await
        }
        What::Show(of) => {
            let (id, mut window) = find(manager, of).await?;
            let preview = manager.ask(Method::GET, &format!("maintenance/{id}/preview"), None).await?;
            window.insert("alerts".to_owned(), preview["alerts"].clone());
            Ok(Value::Object(window))
        }
        What::End(of) => {
            let path = format!("maintenance/{}/end", find(manager, of).await?.0);
            manager.ask(Method::POST, &path, Some(&json!({}))).await
        }
        What::Delete(of) => {
            let path = format!("maintenance/{}", find(manager, of).await?.0);
            manager.ask(Method::DELETE, &path, None).await
        }
    }
}

/// The window with this id, or the only one with this name.
async fn find(manager: &Manager, of: &str) -> Result<(String, Map<String, Value>)> {
    let list = manager.ask(Method::GET, "maintenance", None).await?;
    let all = || list.as_array().into_iter().flatten().filter_map(Value::as_object);
    let id_of = |window: &Map<String, Value>| window["id"].as_str().unwrap_or_default().to_owned();
    if let Some(window) = all().find(|window| window["id"] == *of) {
        return Ok((id_of(window), window.clone()));
    }
    let named: Vec<_> = all().filter(|window| window["name"] == *of).collect();
    match named[..] {
        [window] => Ok((id_of(window), window.clone())),
        [] => {
            bail!("no maintenance window has the id or the name {of:?}; hinomi maintenance list shows them")
        }
        _ => {
            let ids: Vec<String> = named.into_iter().map(id_of).collect();
            bail!(
                "{} maintenance windows are called {of:?}: name one by its id: {}",
                ids.len(),
                ids.join(", ")
            )
        }
    }
}
