//! The grammar: what is read, how it is printed, what is refused and where.

use promql::parse;

/// `query` parses and prints as `expected`.
fn check(query: &str, expected: &str) {
    match parse(query) {
        Ok(expr) => assert_eq!(expr.to_string(), expected, "{query}"),
        Err(err) => panic!("{query}: {err}"),
    }
}

/// `query` prints as it is written.
fn same(query: &str) {
    check(query, query);
}

fn refuse(query: &str, expected: &str) {
    match parse(query) {
        Ok(expr) => panic!("{query} parsed as {expr}"),
        Err(err) => assert_eq!(err.to_string(), expected, "{query}"),
    }
}

#[test]
fn literals() {
    check("0x1F", "31");
    check("0755", "493");
    check("1_000_000.5", "1000000.5");
    check("1e3", "1000");
    check("iNf", "+Inf");
    check("- 5", "-5");
    check("90m", "1h30m");
    check("25h", "1d1h");
    check("-5m", "-5m");
    check("'it\\'s' # a comment", "\"it's\"");
    check("`raw\\n`", "\"raw\\\\n\"");
    check("\"\\x41\\101\\u0041\"", "\"AAA\"");
    refuse("1__0", "1:1: parse error: bad number or duration syntax: \"1__\"");
    refuse("1m1h", "1:1: parse error: not a valid duration string: \"1m1h\"");
    refuse("\"abc", "1:1: parse error: unterminated quoted string");
    refuse("\"\\q\"", "1:1: parse error: unknown escape sequence U+0071 'q'");
}

#[test]
fn precedence_and_signs() {
    let shape = |query: &str, op: &str| {
        let expr = parse(query).expect(query);
        match &expr.kind {
            promql::ExprKind::Binary { op: top, .. } => assert_eq!(top.as_str(), op, "{query}"),
            promql::ExprKind::Unary { .. } => assert_eq!("unary", op, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    };
    shape("1 + 2 * 3", "+");
    shape("1 * 2 ^ 3", "*");
    shape("2 ^ 3 ^ 2", "^");
    shape("-a ^ 2", "unary");
    shape("-a * 2", "*");
    shape("a or b and c", "or");
    shape("a and b > c", "and");
    shape("a > b + 1", ">");
    shape("a - b - c", "-");
    let power = parse("2 ^ 3 ^ 2").expect("valid");
    let promql::ExprKind::Binary { rhs, .. } = &power.kind else { panic!("a binary expression") };
    assert_eq!(rhs.to_string(), "3 ^ 2");
}

#[test]
fn selectors_and_modifiers() {
    check("{\"a.b\", c='d'}", "{__name__=\"a.b\",c=\"d\"}");
    check("a{c=\"d\",}", "a{c=\"d\"}");
    check("sum{a=\"b\"}", "sum{a=\"b\"}");
    same("fill + fill");
    same("a @ start() offset 5m");
    check("a offset 5m @ 12.3456", "a @ 12.346 offset 5m");
    same("a[5m] offset -1h");
    same("rate(a[5m:30s])");
    same("max_over_time(a[5m:] @ end() offset 1m)");
    same("rate(a[5m] smoothed)");
    same("a[step() + 1m]");
    same("a offset (5m / 2)");
    check("foo offset -2^2", "foo offset -2s ^ 2");
    check("a[5m + 1m * 2]", "a[5m + 1m * 2]");
    check("a offset --100", "a offset 1m40s");
    check("a offset -+100 + 20", "a offset -100 + 20");
    check("a offset +step()", "a offset step()");
    refuse("a offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times");
    refuse("a @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times");
    refuse("a @ inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf");
    refuse("(a + b)[5m]", "1:8: parse error: ranges only allowed for vector selectors");
    refuse("a offset 5m[1m]", "1:12: parse error: no offset modifiers allowed before range");
    refuse("a[0]", "1:3: parse error: duration must be greater than 0");
    refuse("a[5m/0]", "1:5: parse error: division by zero");
    let regex = parse("a{b=~\"(\"}").expect_err("no regex").to_string();
    assert!(regex.starts_with("1:3: parse error: error parsing regexp"), "{regex}");
    refuse("a{__name__=\"b\"}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\"");
    refuse("1[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead");
}

#[test]
fn aggregations_and_calls() {
    check("sum by (a, b) (x)", "sum by (a, b) (x)");
    check("sum(x) without (a,)", "sum without (a) (x)");
    check("SUM(x) BY (job)", "sum by (job) (x)");
    check("topk(2, x)", "topk(2, x)");
    check("sum by (\"a b\") (x)", "sum by (\"a b\") (x)");
    check("count_values('v', x)", "count_values(\"v\", x)");
    same("label_replace(a, \"b\", \"$1\", \"c\", \"(.*)\")");
    same("start() + step()");
    refuse("sum()", "1:1: parse error: no arguments for aggregate expression provided");
    refuse(
        "sum(1, x)",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
    );
    refuse("sum(1)", "1:5: parse error: expected type instant vector in aggregation expression, got scalar");
    refuse("rate(a[1m], 2)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2");
    refuse("round()", "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0");
    refuse("abs(a,)", "1:6: parse error: trailing commas not allowed in function call args");
    refuse("clamp(a, ==1)", "1:8: parse error: trailing commas not allowed in function call args");
    refuse("max_of(1, on)", "1:9: parse error: trailing commas not allowed in function call args");
    let no_vector = "expected type instant vector in call to function \"info\", got scalar";
    refuse("info(5, 3)", &format!("1:1: parse error: {no_vector}"));
    let no_conditions = "expected label selectors only, got vector selector instead";
    refuse("info(-1, a)", &format!("1:10: parse error: {no_conditions}"));
    refuse("sum by a (x)", "1:8: parse error: unexpected identifier \"a\" in grouping opts, expected \"(\"");
}

#[test]
fn vector_matching() {
    same("a + on (x) group_left (y) b");
    same("a * ignoring (x) group_right () b");
    same("a == bool on (x) b");
    same("a + fill (0) b");
    check("a + on (x) group_left -b", "a + on (x) group_left () -b");
    refuse(
        "a + on (x) group_left == b",
        "1:23: parse error: unexpected <op:==> in grouping opts, expected \"(\"",
    );
    same("a + on (x) fill_left (1) fill_right (-2) b");
    refuse("a and bool b", "1:3: parse error: bool modifier can only be used on comparison operators");
    refuse("a and on (x) group_left () b", "1:1: parse error: no grouping allowed for \"and\" operation");
    refuse("1 + on (x) a", "1:1: parse error: vector matching only allowed between instant vectors");
    refuse("a or 1", "1:1: parse error: set operator \"or\" not allowed in binary scalar expression");
    refuse(
        "a + on (x) group_left (x) b",
        "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once",
    );
    refuse(
        "a[1m] + 1",
        "1:1: parse error: binary expression must contain only scalar and instant vector types",
    );
}
