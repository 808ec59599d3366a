//! The table of functions: their names, and types of what they take and give.

use super::ast::ValueType;

/// A function's signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Types of its arguments.
    pub args: &'static [ValueType],
    /// 0: exactly `args`; n > 0: the last of `args` is optional and may occur up to n times; -1: any number of times.
    pub variadic: i32,
    /// Type of its result.
    pub returns: ValueType,
    /// Behind a feature flag in Prometheus.
    pub is_experimental: bool,
}

impl Function {
    /// Whether it looks at the step's own time, so that its value differs from step to step whatever `@` says.
    #[must_use]
    pub fn depends_on_time(&self) -> bool {
        TIME_DEPENDENT.contains(&self.name)
    }
}

const TIME_DEPENDENT: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
];

macro_rules! functions {
    ($($name:literal ($($arg:ident),*) $variadic:literal $returns:ident $experimental:literal;)*) => {
        /// Every function of Prometheus 3.14, sorted by name.
        pub static FUNCTIONS: &[Function] = &[$(Function {
            name: $name,
            args: &[$(ValueType::$arg),*],
            variadic: $variadic,
            returns: ValueType::$returns,
            is_experimental: $experimental,
        }),*];
    };
}

functions! {
    "abs" (Vector) 0 Vector false;
    "absent" (Vector) 0 Vector false;
    "absent_over_time" (Matrix) 0 Vector false;
    "acos" (Vector) 0 Vector false;
    "acosh" (Vector) 0 Vector false;
    "asin" (Vector) 0 Vector false;
    "asinh" (Vector) 0 Vector false;
    "atan" (Vector) 0 Vector false;
    "atanh" (Vector) 0 Vector false;
    "avg_over_time" (Matrix) 0 Vector false;
    "ceil" (Vector) 0 Vector false;
    "changes" (Matrix) 0 Vector false;
    "clamp" (Vector, Scalar, Scalar) 0 Vector false;
    "clamp_max" (Vector, Scalar) 0 Vector false;
    "clamp_min" (Vector, Scalar) 0 Vector false;
    "cos" (Vector) 0 Vector false;
    "cosh" (Vector) 0 Vector false;
    "count_over_time" (Matrix) 0 Vector false;
    "day_of_month" (Vector) 1 Vector false;
    "day_of_week" (Vector) 1 Vector false;
    "day_of_year" (Vector) 1 Vector false;
    "days_in_month" (Vector) 1 Vector false;
    "deg" (Vector) 0 Vector false;
    "delta" (Matrix) 0 Vector false;
    "deriv" (Matrix) 0 Vector false;
    "double_exponential_smoothing" (Matrix, Scalar, Scalar) 0 Vector true;
    "end" () 0 Scalar true;
    "exp" (Vector) 0 Vector false;
    "first_over_time" (Matrix) 0 Vector false;
    "floor" (Vector) 0 Vector false;
    "histogram_avg" (Vector) 0 Vector false;
    "histogram_count" (Vector) 0 Vector false;
    "histogram_fraction" (Scalar, Scalar, Vector) 0 Vector false;
    "histogram_quantile" (Scalar, Vector) 0 Vector false;
    "histogram_quantiles" (Vector, String, Scalar, Scalar) 9 Vector true;
    "histogram_stddev" (Vector) 0 Vector false;
    "histogram_stdvar" (Vector) 0 Vector false;
    "histogram_sum" (Vector) 0 Vector false;
    "hour" (Vector) 1 Vector false;
    "idelta" (Matrix) 0 Vector false;
    "increase" (Matrix) 0 Vector false;
    "info" (Vector, Vector) 1 Vector true;
    "irate" (Matrix) 0 Vector false;
    "label_join" (Vector, String, String, String) -1 Vector false;
    "label_replace" (Vector, String, String, String, String) 0 Vector false;
    "last_over_time" (Matrix) 0 Vector false;
    "ln" (Vector) 0 Vector false;
    "log10" (Vector) 0 Vector false;
    "log2" (Vector) 0 Vector false;
    "mad_over_time" (Matrix) 0 Vector true;
    "max_of" (Scalar, Scalar) 0 Scalar true;
    "max_over_time" (Matrix) 0 Vector false;
    "min_of" (Scalar, Scalar) 0 Scalar true;
    "min_over_time" (Matrix) 0 Vector false;
    "minute" (Vector) 1 Vector false;
    "month" (Vector) 1 Vector false;
    "pi" () 0 Scalar false;
    "predict_linear" (Matrix, Scalar) 0 Vector false;
    "present_over_time" (Matrix) 0 Vector false;
    "quantile_over_time" (Scalar, Matrix) 0 Vector false;
    "rad" (Vector) 0 Vector false;
    "range" () 0 Scalar true;
    "rate" (Matrix) 0 Vector false;
    "resets" (Matrix) 0 Vector false;
    "round" (Vector, Scalar) 1 Vector false;
    "scalar" (Vector) 0 Scalar false;
    "sgn" (Vector) 0 Vector false;
    "sin" (Vector) 0 Vector false;
    "sinh" (Vector) 0 Vector false;
    "sort" (Vector) 0 Vector false;
    "sort_by_label" (Vector, String) -1 Vector true;
    "sort_by_label_desc" (Vector, String) -1 Vector true;
    "sort_desc" (Vector) 0 Vector false;
    "sqrt" (Vector) 0 Vector false;
    "start" () 0 Scalar true;
    "start_timestamp" (Vector) 0 Vector true;
    "stddev_over_time" (Matrix) 0 Vector false;
    "stdvar_over_time" (Matrix) 0 Vector false;
    "step" () 0 Scalar true;
    "sum_over_time" (Matrix) 0 Vector false;
    "tan" (Vector) 0 Vector false;
    "tanh" (Vector) 0 Vector false;
    "time" () 0 Scalar false;
    "timestamp" (Vector) 0 Vector false;
    "ts_of_first_over_time" (Matrix) 0 Vector true;
    "ts_of_last_over_time" (Matrix) 0 Vector true;
    "ts_of_max_over_time" (Matrix) 0 Vector true;
    "ts_of_min_over_time" (Matrix) 0 Vector true;
    "vector" (Scalar) 0 Vector false;
    "year" (Vector) 1 Vector false;
}

/// The function called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|idx| &FUNCTIONS[idx])
}
