//! Console templates: pages that an operator writes as Go templates, with the functions that alert templates have.
//!
//! In from `api`: the text of a page and of its libraries, and what was asked; out: HTML. Values are escaped for where they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotemplate::{Map, Options, TemplateSet, Value};
use model::Labels;
use promql::{CancelToken, Engine, QueryOrigin};
use stdx::Clock;
use storage::Queryable;

use crate::query::Querier;
use crate::template::{Scene, functions};

/// Stands before every page.
const DEFS: &str = "{{$rawParams := .RawParams }}{{$params := .Params}}{{$path := .Path}}\
    {{$externalLabels := .ExternalLabels}}";

/// A page that was asked for.
#[derive(Debug)]
pub struct Console<'a> {
    /// Its path below the folder of templates.
    pub path: &'a str,
    /// Its template.
    pub text: &'a str,
    /// Names and texts of files whose templates it may call.
    pub libraries: &'a [(String, String)],
    /// Parameters of the request, in their order.
    pub params: &'a [(String, String)],
    /// `global.external_labels`
    pub external_labels: &'a Labels,
}

/// What pages ask.
pub struct ConsoleEnv {
    /// The engine.
    pub engine: Engine,
    /// The store.
    pub queryable: Arc<dyn Queryable>,
    /// Time; queries are asked as of now.
    pub clock: Arc<dyn Clock>,
    /// Who asked, for the list of running queries.
    pub origin: QueryOrigin,
    /// How the server is reached from outside.
    pub external_url: Arc<str>,
}

impl std::fmt::Debug for ConsoleEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsoleEnv").finish_non_exhaustive()
    }
}

impl Console<'_> {
    /// The page.
    ///
    /// # Errors
    /// Prometheus' words, when a text is no template, or fails over its data: also by a query.
    pub fn render(&self, env: ConsoleEnv) -> Result<String, String> {
        let ConsoleEnv { engine, queryable, clock, origin, external_url } = env;
        let t_ms = clock.now_ms();
        let querier = Querier { engine, queryable, clock, cancel: CancelToken::default(), origin };
        let functions = functions(Some(&Scene { querier, t_ms, external_url })).with_tmpl();
        let mut set = TemplateSet::new(&functions, Options { missing_key_zero: false, html: true });
        let name = format!("__console_/{}", self.path);
        set.add(&name, &format!("{DEFS}{}", self.text))
            .map_err(|err| format!("error parsing template {name}: {err}"))?;
        for (file, text) in self.libraries {
            set.add(file, text).map_err(|err| format!("error parsing template files for {name}: {err}"))?;
        }
        set.execute(&name, &self.data()).map_err(|err| format!("error executing template {name}: {err}"))
    }

    /// What the template sees: `.RawParams .Params .Path .ExternalLabels`.
    fn data(&self) -> Value {
        let mut raw: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for (name, value) in self.params {
            raw.entry(name).or_default().push(Value::str(value));
        }
        let raw = raw.into_iter().map(|(name, values)| (Arc::from(name), Value::list(values)));
        let mut first: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in self.params {
            first.entry(name).or_insert(value);
        }
        Value::map([
            // As of url.Values, a parameter that is not there has no values.
            ("RawParams", Value::Map(Arc::new(Map { entries: raw.collect(), zero: Some(Value::list([])) }))),
            ("Params", Value::string_map(first)),
            ("Path", Value::str(self.path)),
            ("ExternalLabels", Value::string_map(self.external_labels)),
        ])
    }
}
