//! Templates by name, parsed once and executed often.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::Tree;
use crate::error::{ExecError, ParseError};
use crate::functions::Functions;
use crate::parse::parse;
use crate::value::Value;

/// How templates behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// A missing map key gives the zero value of the map's elements (Go's `missingkey=zero`) rather than `<no value>`.
    pub missing_key_zero: bool,
    /// As html/template: what actions write is escaped for the place it is written to.
    pub html: bool,
}

/// Several texts whose `define`d templates may call each other. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TemplateSet {
    pub(crate) trees: BTreeMap<String, Arc<Tree>>,
    pub(crate) functions: Functions,
    pub(crate) options: Options,
}

impl TemplateSet {
    /// An empty set.
    #[must_use]
    pub fn new(functions: &Functions, options: Options) -> Self {
        Self { trees: BTreeMap::new(), functions: functions.clone(), options }
    }

    /// Parses `text`; adds it under `name`, and what it defines under their names. A later definition takes the place
    /// of an earlier one, unless it is empty.
    ///
    /// # Errors
    /// When the text is no template; the set is then unchanged.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), ParseError> {
        for tree in parse(name, text, &self.functions)? {
            if tree.is_blank() && self.trees.contains_key(&tree.name) {
                continue;
            }
            self.trees.insert(tree.name.clone(), Arc::new(tree));
        }
        Ok(())
    }

    /// The same templates executed with other options, as alertmanager runs one set as text and as html.
    #[must_use]
    pub fn with_options(&self, options: Options) -> Self {
        Self { options, ..self.clone() }
    }

    /// The same templates executed with `functions`, which must have at least the names of those they were parsed with.
    #[must_use]
    pub fn with_functions(&self, functions: Functions) -> Self {
        Self { functions, ..self.clone() }
    }

    /// Whether a template has this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.trees.contains_key(name)
    }

    /// Names of the templates, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.trees.keys().map(String::as_str)
    }

    /// Runs the template `name` over `data`.
    ///
    /// # Errors
    /// When there is none of this name, a node fails, or a limit is reached.
    pub fn execute(&self, name: &str, data: &Value) -> Result<String, ExecError> {
        crate::exec::execute(self, name, data)
    }

    /// Parses `text` as a template without a name, which may call those of the set, and runs it over `data`.
    ///
    /// # Errors
    /// When the text is no template, a node fails, or a limit is reached.
    pub fn execute_text(&self, text: &str, data: &Value) -> Result<String, ExecError> {
        // Fast path: nothing to execute.
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        let mut with_text = self.clone();
        with_text.add("", text)?;
        with_text.execute("", data)
    }
}

/// One text, parsed.
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    set: TemplateSet,
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// When it is no template, or calls a function that is neither builtin nor in `functions`.
    pub fn parse(
        name: &str,
        text: &str,
        functions: &Functions,
        options: Options,
    ) -> Result<Self, ParseError> {
        let mut set = TemplateSet::new(functions, options);
        set.add(name, text)?;
        Ok(Self { name: name.to_owned(), set })
    }

    /// Runs it over `data`.
    ///
    /// # Errors
    /// When a node fails or a limit is reached.
    pub fn execute(&self, data: &Value) -> Result<String, ExecError> {
        self.set.execute(&self.name, data)
    }

    /// Runs it over `data` with `functions`, which must have at least the names of those it was parsed with.
    ///
    /// # Errors
    /// When a node fails or a limit is reached.
    pub fn execute_with(&self, functions: Functions, data: &Value) -> Result<String, ExecError> {
        self.set.with_functions(functions).execute(&self.name, data)
    }
}
