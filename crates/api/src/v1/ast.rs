//! A query as a tree in JSON, for editors and explorers: `parse_query`.
//!
//! Names and order of keys as Prometheus writes them (`web/api/v1/translate_ast.go`; its encoder sorts keys).

use model::float::format_f;
use model::{MatchOp, Matcher};
use promql::{
    At, BinaryOp, Cardinality, DurationExpr, DurationOp, Expr, ExprKind, Function, Offset, SelectorExtension,
    UnaryOp, ValueType, VectorMatching, VectorSelector,
};

use crate::json::Json;

/// Writes `expr`.
pub(crate) fn push_expr(json: &mut Json, expr: &Expr) {
    json.object(|json| match &expr.kind {
        ExprKind::Number { value, .. } => {
            json.key("type").text("numberLiteral");
            json.key("val").text(&format_f(*value));
        }
        ExprKind::String(text) | ExprKind::InvalidString(text) => {
            json.key("type").text("stringLiteral");
            json.key("val").text(text);
        }
        ExprKind::Paren(inner) => {
            push_expr(json.key("expr"), inner);
            json.key("type").text("parenExpr");
        }
        ExprKind::Unary { op, expr } => {
            push_expr(json.key("expr"), expr);
            json.key("op").text(if *op == UnaryOp::Minus { "-" } else { "+" });
            json.key("type").text("unaryExpr");
        }
        ExprKind::Vector(selector) => push_selector(json, selector, None),
        ExprKind::Matrix { selector, range } => push_selector(json, selector, Some(range)),
        ExprKind::Subquery { expr, range, step, offset, at } => {
            push_expr(json.key("expr"), expr);
            push_length(json, ["offset", "offsetExpr"], offset.as_ref());
            push_length(json, ["range", "rangeExpr"], Some(range));
            push_edge(json, *at);
            push_length(json, ["step", "stepExpr"], step.as_ref());
            push_time(json, *at);
            json.key("type").text("subquery");
        }
        ExprKind::Call { func, args } => {
            json.key("args").array(|json| args.iter().for_each(|arg| push_expr(json, arg)));
            push_function(json.key("func"), func);
            json.key("type").text("call");
        }
        ExprKind::Aggregate { op, grouping, without, param, expr } => {
            push_expr(json.key("expr"), expr);
            json.key("grouping").texts(grouping);
            json.key("op").text(op.as_str());
            match param {
                Some(param) => push_expr(json.key("param"), param),
                None => json.key("param").null(),
            }
            json.key("type").text("aggregation");
            json.key("without").bool(*without);
        }
        ExprKind::Binary { op, lhs, rhs, return_bool, matching } => {
            json.key("bool").bool(*return_bool);
            push_expr(json.key("lhs"), lhs);
            push_matching(json.key("matching"), *op, matching.as_ref());
            json.key("op").text(op.as_str());
            push_expr(json.key("rhs"), rhs);
            json.key("type").text("binaryExpr");
        }
    });
}

fn push_selector(json: &mut Json, selector: &VectorSelector, range: Option<&Offset>) {
    let is = |extension| selector.extension == Some(extension);
    json.key("anchored").bool(is(SelectorExtension::Anchored));
    json.key("matchers").array(|json| selector.matchers.iter().for_each(|m| push_matcher(json, m)));
    json.key("name").text(&selector.name);
    push_length(json, ["offset", "offsetExpr"], selector.offset.as_ref());
    if range.is_some() {
        push_length(json, ["range", "rangeExpr"], range);
    }
    json.key("smoothed").bool(is(SelectorExtension::Smoothed));
    push_edge(json, selector.at);
    push_time(json, selector.at);
    json.key("type").text(if range.is_some() { "matrixSelector" } else { "vectorSelector" });
}

fn push_matcher(json: &mut Json, matcher: &Matcher) {
    let op = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    json.object(|json| {
        json.key("name").text(&matcher.name);
        json.key("type").text(op);
        json.key("value").text(&matcher.value);
    });
}

/// Milliseconds (0 where they must be computed), and what they are computed from.
fn push_length(json: &mut Json, keys: [&'static str; 2], length: Option<&Offset>) {
    let (ms, expr) = match length {
        None => (0, None),
        Some(Offset::Ms(ms)) => (*ms, None),
        Some(Offset::Expr(expr)) => (0, Some(expr)),
    };
    json.key(keys[0]).int(ms);
    match expr {
        Some(expr) => push_duration(json.key(keys[1]), expr, false),
        None => json.key(keys[1]).null(),
    }
}

fn push_edge(json: &mut Json, at: Option<At>) {
    match at {
        Some(At::Start) => json.key("startOrEnd").text("start"),
        Some(At::End) => json.key("startOrEnd").text("end"),
        _ => json.key("startOrEnd").null(),
    }
}

fn push_time(json: &mut Json, at: Option<At>) {
    match at {
        Some(At::Ms(ms)) => json.key("timestamp").int(ms),
        _ => json.key("timestamp").null(),
    }
}

fn push_duration(json: &mut Json, expr: &DurationExpr, wrapped: bool) {
    let (op, lhs, rhs): (_, Option<&DurationExpr>, Option<&DurationExpr>) = match expr {
        DurationExpr::Paren(inner, _) if !matches!(**inner, DurationExpr::Number { .. }) => {
            return push_duration(json, inner, true);
        }
        DurationExpr::Number { value, is_duration, .. } if !wrapped => {
            json.object(|json| {
                json.key("duration").bool(*is_duration);
                json.key("type").text("numberLiteral");
                json.key("val").text(&format_f(*value));
            });
            return;
        }
        // A number in parentheses is a sum of itself.
        DurationExpr::Paren(inner, _) => return push_operation(json, "+", None, Some(inner), true),
        DurationExpr::Number { .. } => return push_operation(json, "+", None, Some(expr), true),
        DurationExpr::Step(_) => ("step", None, None),
        DurationExpr::Range(_) => ("range", None, None),
        DurationExpr::Neg(inner, _) => ("-", None, Some(inner)),
        DurationExpr::Plus(inner, _) => ("+", None, Some(inner)),
        DurationExpr::Binary { op, lhs, rhs, .. } => (duration_op(*op), Some(lhs), Some(rhs)),
    };
    push_operation(json, op, lhs, rhs, wrapped);
}

fn push_operation(
    json: &mut Json,
    op: &str,
    lhs: Option<&DurationExpr>,
    rhs: Option<&DurationExpr>,
    wrapped: bool,
) {
    let push_side = |json: &mut Json, side: Option<&DurationExpr>| match side {
        Some(side) => push_duration(json, side, false),
        None => json.null(),
    };
    json.object(|json| {
        push_side(json.key("lhs"), lhs);
        json.key("op").text(op);
        push_side(json.key("rhs"), rhs);
        json.key("type").text("durationExpr");
        json.key("wrapped").bool(wrapped);
    });
}

fn duration_op(op: DurationOp) -> &'static str {
    match op {
        DurationOp::Add => "+",
        DurationOp::Sub => "-",
        DurationOp::Mul => "*",
        DurationOp::Div => "/",
        DurationOp::Mod => "%",
        DurationOp::Pow => "^",
        DurationOp::MinOf => "min_of",
        DurationOp::MaxOf => "max_of",
    }
}

fn push_function(json: &mut Json, func: &Function) {
    json.object(|json| {
        json.key("argTypes").texts(func.args.iter().map(|arg| type_name(*arg)));
        json.key("name").text(func.name);
        json.key("returnType").text(type_name(func.returns));
        json.key("variadic").int(func.variadic);
    });
}

fn type_name(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
    }
}

fn push_matching(json: &mut Json, op: BinaryOp, matching: Option<&VectorMatching>) {
    let Some(matching) = matching else {
        json.null();
        return;
    };
    let card = match matching.cardinality {
        _ if op.is_set() => "many-to-many",
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    let push_fill = |json: &mut Json, fill: Option<f64>| match fill {
        Some(value) => json.number(value),
        None => json.null(),
    };
    json.object(|json| {
        json.key("card").text(card);
        json.key("fillValues").object(|json| {
            push_fill(json.key("lhs"), matching.fill.lhs);
            push_fill(json.key("rhs"), matching.fill.rhs);
        });
        json.key("include").texts(&matching.include);
        json.key("labels").texts(&matching.labels);
        json.key("on").bool(matching.on);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: &str) {
        let mut json = Json::new();
        push_expr(&mut json, &promql::parse(query).expect("a valid query"));
        assert_eq!(json.finish(), expected, "{query}");
    }

    #[test]
    fn every_kind_of_node_has_its_keys_in_order() {
        let x = r#"{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"x"}],"name":"x","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"}"#;
        check("1e3", r#"{"type":"numberLiteral","val":"1000"}"#);
        check("x", x);
        check(
            "-(x)",
            &format!(r#"{{"expr":{{"expr":{x},"type":"parenExpr"}},"op":"-","type":"unaryExpr"}}"#),
        );
        check(
            "x / on (a) group_left (b) x",
            &format!(
                r#"{{"bool":false,"lhs":{x},"matching":{{"card":"many-to-one","fillValues":{{"lhs":null,"rhs":null}},"include":["b"],"labels":["a"],"on":true}},"op":"/","rhs":{x},"type":"binaryExpr"}}"#
            ),
        );
        check(
            "sum without (a) (x)",
            &format!(
                r#"{{"expr":{x},"grouping":["a"],"op":"sum","param":null,"type":"aggregation","without":true}}"#
            ),
        );
        check(
            "rate(x{a!~\"b\"}[5m] @ start() offset -1m)",
            r#"{"args":[{"anchored":false,"matchers":[{"name":"a","type":"!~","value":"b"},{"name":"__name__","type":"=","value":"x"}],"name":"x","offset":-60000,"offsetExpr":null,"range":300000,"rangeExpr":null,"smoothed":false,"startOrEnd":"start","timestamp":null,"type":"matrixSelector"}],"func":{"argTypes":["matrix"],"name":"rate","returnType":"vector","variadic":0},"type":"call"}"#,
        );
        check(
            "x[1h:step() * 2] @ 3",
            &format!(
                r#"{{"expr":{x},"offset":0,"offsetExpr":null,"range":3600000,"rangeExpr":null,"startOrEnd":null,"step":0,"stepExpr":{{"lhs":{{"lhs":null,"op":"step","rhs":null,"type":"durationExpr","wrapped":false}},"op":"*","rhs":{{"duration":false,"type":"numberLiteral","val":"2"}},"type":"durationExpr","wrapped":false}},"timestamp":3000,"type":"subquery"}}"#
            ),
        );
    }
}
