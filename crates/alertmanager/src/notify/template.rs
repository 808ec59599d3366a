//! The templates of one configuration: our defaults under upstream's names, then the user's files.

use std::collections::BTreeSet;
use std::path::PathBuf;

use gotemplate::{ExecError, Options, TemplateSet};

use super::data::Data;
use super::{functions, template_error};
use crate::config::{Config, ConfigError};

/// Texts of our own under the names that users know.
const DEFAULTS: &str = include_str!("default.tmpl");
const EMAIL: &str = include_str!("email.tmpl");

/// One set of definitions, run as text or as HTML.
#[derive(Debug)]
pub(super) struct Templates {
    text: TemplateSet,
    html: TemplateSet,
}

impl Templates {
    /// Parses defaults and the user's files; a later definition takes the place of an earlier one.
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        let functions = functions::functions(0, &Default::default(), &BTreeSet::new());
        let mut text = TemplateSet::new(&functions, Options { missing_key_zero: true, html: false });
        let mut add = |path: PathBuf, name: &str, content: &str| {
            text.add(name, content).map_err(|err| template_error(path, &err))
        };
        add(PathBuf::from("built-in templates"), "default.tmpl", DEFAULTS)?;
        add(PathBuf::from("built-in templates"), "email.tmpl", EMAIL)?;
        for (path, content) in &config.templates {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            add(path.clone(), &name, content)?;
        }
        let html = text.with_options(Options { missing_key_zero: true, html: true });
        Ok(Self { text, html })
    }

    /// `text` with the data filled in; text without actions is given back as it is.
    pub(super) fn text(&self, text: &str, data: &Data, now_ms: i64) -> Result<String, ExecError> {
        run(&self.text, text, data, &BTreeSet::new(), now_ms)
    }

    /// As [`Templates::text`], values escaped for the place in the HTML they come to stand at.
    pub(super) fn html(&self, text: &str, data: &Data, now_ms: i64) -> Result<String, ExecError> {
        run(&self.html, text, data, &BTreeSet::new(), now_ms)
    }

    /// Fills in the route's own labels, which may refer to each other by `routeLabels`.
    pub(super) fn fill_route_labels(&self, data: &mut Data, now_ms: i64) -> Result<(), ExecError> {
        let mut waiting = std::mem::take(&mut data.route_labels);
        loop {
            let n_waiting = waiting.len();
            let mut awaited: BTreeSet<String> = waiting.keys().cloned().collect();
            let mut failure = None;
            for (name, text) in std::mem::take(&mut waiting) {
                match run(&self.text, &text, data, &awaited, now_ms) {
                    Ok(value) => {
                        awaited.remove(&name);
                        data.route_labels.insert(name, value);
                    }
                    Err(err) => {
                        failure = Some(err);
                        waiting.insert(name, text);
                    }
                }
            }
            match failure {
                None => return Ok(()),
                // No label more than before: what is missing waits for itself, or is wrong in another way.
                Some(err) if waiting.len() == n_waiting => return Err(err),
                Some(_) => {}
            }
        }
    }
}

/// Whether a text of the file can be read as a template.
pub(crate) fn is_template(text: &str) -> bool {
    let functions = functions::functions(0, &Default::default(), &BTreeSet::new());
    TemplateSet::new(&functions, Options { missing_key_zero: true, html: false }).add("text", text).is_ok()
}

fn run(
    set: &TemplateSet,
    text: &str,
    data: &Data,
    awaited: &BTreeSet<String>,
    now_ms: i64,
) -> Result<String, ExecError> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let functions = functions::functions(now_ms, &data.route_labels, awaited);
    set.with_functions(functions).execute_text(text, &data.to_value())
}
