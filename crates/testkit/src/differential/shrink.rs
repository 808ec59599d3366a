//! Makes an expression smaller as long as it still shows the difference.

use super::expr::Expr;

/// How many smaller expressions are tried for one failure. Chosen: some seconds against a local server.
const TRIES_MAX: usize = 300;

/// The smallest expression found for which `fails` still holds.
pub fn shrink(expr: &Expr, fails: &mut dyn FnMut(&Expr) -> bool) -> Expr {
    let mut best = expr.clone();
    let mut n_tries = 0;
    'again: loop {
        for smaller in candidates(&best) {
            n_tries += 1;
            if n_tries > TRIES_MAX {
                return best;
            }
            if fails(&smaller) {
                best = smaller;
                continue 'again;
            }
        }
        return best;
    }
}

/// Expressions of the same kind with less in them, the smallest first.
fn candidates(expr: &Expr) -> Vec<Expr> {
    let mut out = Vec::new();
    same_kind_below(expr, expr, &mut out);
    match expr {
        Expr::Selector { text, suffix } if !suffix.is_empty() => {
            out.push(Expr::Selector { text: text.clone(), suffix: String::new() });
        }
        Expr::Range { text, range, suffix } if !suffix.is_empty() => {
            out.push(Expr::Range { text: text.clone(), range: range.clone(), suffix: String::new() });
        }
        Expr::Subquery { inner, range, suffix } if !suffix.is_empty() => {
            out.push(Expr::Subquery { inner: inner.clone(), range: range.clone(), suffix: String::new() });
        }
        Expr::Aggregate { op, grouping, param, inner } if !grouping.is_empty() => out.push(Expr::Aggregate {
            op: op.clone(),
            grouping: String::new(),
            param: param.clone(),
            inner: inner.clone(),
        }),
        _ => {}
    }
    for (idx, child) in expr.children().into_iter().enumerate() {
        out.extend(candidates(child).into_iter().map(|smaller| expr.with_child(idx, smaller)));
    }
    out
}

fn same_kind_below(top: &Expr, expr: &Expr, out: &mut Vec<Expr>) {
    for child in expr.children() {
        if child.kind() == top.kind() {
            out.push(child.clone());
        }
        same_kind_below(top, child, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::expr::Kind;
    use super::*;

    #[test]
    fn what_does_not_matter_goes() {
        let selector = |text: &str| Expr::Selector { text: text.to_owned(), suffix: " offset 5m".to_owned() };
        let call =
            |name: &str, arg| Expr::Call { name: name.to_owned(), args: vec![arg], kind: Kind::Vector };
        let binary = Expr::Binary {
            left: Box::new(call("abs", selector("a"))),
            op: "+".to_owned(),
            right: Box::new(call("ceil", call("floor", selector("b")))),
            kind: Kind::Vector,
        };
        let small = shrink(&binary, &mut |expr| expr.to_string().contains("floor"));
        assert!(["floor(b)", "floor(a)"].contains(&small.to_string().as_str()), "{small}");
    }
}
