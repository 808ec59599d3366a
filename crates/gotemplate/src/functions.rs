//! The functions a template may call, besides the builtins.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeFrom;
use std::sync::Arc;

use crate::value::Value;

/// How many arguments a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arity {
    /// At least so many.
    pub min: usize,
    /// Whether more may follow.
    pub variadic: bool,
}

impl From<usize> for Arity {
    fn from(n: usize) -> Self {
        Self { min: n, variadic: false }
    }
}

impl From<RangeFrom<usize>> for Arity {
    fn from(range: RangeFrom<usize>) -> Self {
        Self { min: range.start, variadic: true }
    }
}

/// What a function does: arguments in, value or error text out.
pub(crate) type Call = dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) arity: Arity,
    pub(crate) call: Arc<Call>,
}

/// Functions by name. Cheap enough to clone and extend for one execution.
#[derive(Clone, Default)]
pub struct Functions {
    by_name: BTreeMap<&'static str, Function>,
    /// Whether [`TMPL`] is among them.
    has_tmpl: bool,
}

/// The function that runs a template of the set by a name worked out in the template.
pub(crate) const TMPL: &str = "tmpl";

impl Functions {
    /// No functions but the builtins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function, or takes the place of one with this name. `arity` is `2` for exactly two arguments, `1..` for
    /// one or more. An error is reported as `error calling name: text`.
    #[must_use]
    pub fn add(
        mut self,
        name: &'static str,
        arity: impl Into<Arity>,
        call: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        self.by_name.insert(name, Function { arity: arity.into(), call: Arc::new(call) });
        self
    }

    /// Adds `tmpl NAME DATA` of Prometheus' consoles: as `template`, but the name may be a value, and so may be the result, which is HTML.
    #[must_use]
    pub fn with_tmpl(mut self) -> Self {
        self.has_tmpl = true;
        self
    }

    /// Whether `name` is the function of [`Functions::with_tmpl`].
    pub(crate) fn is_tmpl(&self, name: &str) -> bool {
        self.has_tmpl && name == TMPL
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Function> {
        self.by_name.get(name)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.by_name.keys().copied()
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
