//! Walks a tree over data and writes text.
//!
//! In from [`crate::TemplateSet::execute`]; out as one string. Every node visited counts against
//! [`STEPS_MAX`], every byte against [`OUTPUT_BYTES_MAX`], every level against [`EXEC_DEPTH_MAX`].

use std::fmt;

use crate::ast::{Branch, Command, Node, Operand, OperandKind, Pipe, Tree};
use crate::builtin;
use crate::error::ExecError;
use crate::functions::{Arity, TMPL};
use crate::html::Html;
use crate::limits::{EXEC_DEPTH_MAX, OUTPUT_BYTES_MAX, STEPS_MAX};
use crate::print::{items, push_text, quote};
use crate::set::TemplateSet;
use crate::time_methods::{call_duration, call_time};
use crate::value::{Items, Value};

/// Runs the template `name` of `set` over `data`.
pub(crate) fn execute(set: &TemplateSet, name: &str, data: &Value) -> Result<String, ExecError> {
    let no_template = || ExecError::NoTemplate { name: name.to_owned(), set: name.to_owned() };
    let tree = set.trees.get(name).ok_or_else(no_template)?;
    let mut exec = Exec {
        set,
        tree,
        at: At::Start,
        variables: vec![("$", data.clone())],
        out: String::new(),
        html: set.options.html.then(Html::new),
        n_steps: 0,
        depth: 0,
    };
    exec.list(data, &tree.root)?;
    if let Some(place) = exec.html.as_ref().and_then(Html::unfinished) {
        exec.at = At::Start;
        return exec.fail(format!("html template ends {place}"));
    }
    Ok(exec.out)
}

/// The node that is being executed, for errors.
#[derive(Clone, Copy)]
enum At<'t> {
    Start,
    Action(usize, &'t Pipe),
    Template(usize, &'t Node),
    Pipe(&'t Pipe),
    Command(&'t Command),
    Operand(&'t Operand),
}

impl At<'_> {
    fn pos(&self) -> usize {
        match self {
            Self::Start => 0,
            Self::Action(pos, _) | Self::Template(pos, _) => *pos,
            Self::Pipe(pipe) => pipe.pos,
            Self::Command(command) => command.pos,
            Self::Operand(operand) => operand.pos,
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => Ok(()),
            Self::Action(_, pipe) => write!(f, "{{{{{pipe}}}}}"),
            Self::Pipe(pipe) => write!(f, "{pipe}"),
            Self::Command(command) => write!(f, "{command}"),
            Self::Operand(operand) => write!(f, "{operand}"),
            Self::Template(_, Node::Template { quoted, pipe, .. }) => match pipe {
                Some(pipe) => write!(f, "{{{{template {quoted} {pipe}}}}}"),
                None => write!(f, "{{{{template {quoted}}}}}"),
            },
            Self::Template(..) => Ok(()),
        }
    }
}

/// How a list of nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Exec<'t> {
    set: &'t TemplateSet,
    tree: &'t Tree,
    at: At<'t>,
    /// Innermost last. The first is `$`.
    variables: Vec<(&'t str, Value)>,
    out: String,
    html: Option<Html>,
    n_steps: u64,
    depth: usize,
}

type Done<T> = Result<T, ExecError>;

/// The value before the pipe symbol, for the first command none.
type Final = Option<Value>;

impl<'t> Exec<'t> {
    #[cold]
    fn fail<T>(&self, message: impl Into<String>) -> Done<T> {
        let text = &self.tree.text;
        let pos =
            (0..=self.at.pos().min(text.len())).rev().find(|pos| text.is_char_boundary(*pos)).unwrap_or(0);
        let before = &text[..pos];
        Err(ExecError::Failed {
            parse_name: self.tree.parse_name.clone(),
            line: 1 + before.matches('\n').count(),
            column: before.rfind('\n').map_or(pos, |newline| pos - newline - 1),
            template: self.tree.name.clone(),
            context: self.at.to_string(),
            message: message.into(),
        })
    }

    fn step(&mut self, n: u64) -> Done<()> {
        self.n_steps += n;
        if self.n_steps > STEPS_MAX {
            return self.fail(format!("exceeded maximum number of steps ({STEPS_MAX})"));
        }
        Ok(())
    }

    fn enter(&mut self) -> Done<()> {
        self.depth += 1;
        if self.depth > EXEC_DEPTH_MAX {
            return self.fail(format!("exceeded maximum template depth ({EXEC_DEPTH_MAX})"));
        }
        self.step(1)
    }

    fn check_output(&self) -> Done<()> {
        if self.out.len() > OUTPUT_BYTES_MAX {
            return self.fail(format!("exceeded maximum output ({OUTPUT_BYTES_MAX} bytes)"));
        }
        Ok(())
    }

    fn list(&mut self, dot: &Value, nodes: &'t [Node]) -> Done<Flow> {
        self.enter()?;
        for node in nodes {
            let flow = self.node(dot, node)?;
            if flow != Flow::Next {
                self.depth -= 1;
                return Ok(flow);
            }
        }
        self.depth -= 1;
        Ok(Flow::Next)
    }

    fn node(&mut self, dot: &Value, node: &'t Node) -> Done<Flow> {
        self.step(1)?;
        match node {
            Node::Text(text) => {
                match &mut self.html {
                    Some(html) => html.feed(text, &mut self.out),
                    None => self.out.push_str(text),
                }
                self.check_output()?;
            }
            Node::Action { pos, pipe } => {
                self.at = At::Action(*pos, pipe);
                let value = self.pipeline(dot, pipe)?;
                if pipe.decl.is_empty() {
                    self.at = At::Action(*pos, pipe);
                    self.print(&value)?;
                }
            }
            Node::Branch { pos, kind, pipe, list, else_list } => {
                self.at = At::Action(*pos, pipe);
                let mark = self.variables.len();
                let flow = match kind {
                    Branch::Range => self.range(dot, pipe, list, else_list.as_deref()),
                    _ => self.if_or_with(dot, *kind, pipe, list, else_list.as_deref()),
                };
                self.variables.truncate(mark);
                return flow;
            }
            Node::Template { pos, name, pipe, .. } => {
                self.at = At::Template(*pos, node);
                self.template(dot, name, pipe.as_ref())?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Value) -> Done<()> {
        match &mut self.html {
            Some(html) => {
                if let Err(message) = html.write(value, &mut self.out) {
                    return self.fail(message);
                }
            }
            None if matches!(value, Value::Nil) => self.out.push_str("<no value>"),
            None => push_text(&mut self.out, value),
        }
        self.check_output()
    }

    fn if_or_with(
        &mut self,
        dot: &Value,
        kind: Branch,
        pipe: &'t Pipe,
        list: &'t [Node],
        else_list: Option<&'t [Node]>,
    ) -> Done<Flow> {
        let value = self.pipeline(dot, pipe)?;
        if value.is_true() {
            let dot = if kind == Branch::With { &value } else { dot };
            return self.list(dot, list);
        }
        else_list.map_or(Ok(Flow::Next), |list| self.list(dot, list))
    }

    fn range(
        &mut self,
        dot: &Value,
        pipe: &'t Pipe,
        list: &'t [Node],
        else_list: Option<&'t [Node]>,
    ) -> Done<Flow> {
        let value = self.pipeline(dot, pipe)?;
        let mut ran = false;
        match &value {
            Value::Nil => {}
            Value::Int(n) => {
                if pipe.decl.len() > 1 {
                    return self.fail(format!("can't use {n} to iterate over more than one variable"));
                }
                for idx in 0..(*n).max(0) {
                    ran = true;
                    if self.iteration(pipe, list, Value::Nil, Value::Int(idx))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::List(elements) => {
                for (idx, element) in elements.iter().enumerate() {
                    ran = true;
                    let idx = Value::Int(i64::try_from(idx).unwrap_or(i64::MAX));
                    if self.iteration(pipe, list, idx, element.clone())? == Flow::Break {
                        break;
                    }
                }
            }
            other => {
                let pairs = match items(other) {
                    None => return self.fail(format!("range can't iterate over {other}")),
                    Some(Items::Map(pairs)) => pairs,
                    Some(Items::List(list)) => (0..).map(Value::Int).zip(list).collect(),
                };
                for (key, element) in pairs {
                    ran = true;
                    if self.iteration(pipe, list, key, element)? == Flow::Break {
                        break;
                    }
                }
            }
        }
        match else_list {
            Some(else_list) if !ran => self.list(dot, else_list),
            _ => Ok(Flow::Next),
        }
    }

    /// One turn of a loop: sets its variables and runs its body.
    fn iteration(&mut self, pipe: &'t Pipe, list: &'t [Node], key: Value, element: Value) -> Done<Flow> {
        let mark = self.variables.len();
        match pipe.decl.as_slice() {
            [] => {}
            [one] if pipe.is_assign => self.assign(one, element.clone())?,
            [first, second] if pipe.is_assign => {
                self.assign(first, key)?;
                self.assign(second, element.clone())?;
            }
            [_] => self.variables[mark - 1].1 = element.clone(),
            _ => {
                self.variables[mark - 1].1 = element.clone();
                self.variables[mark - 2].1 = key;
            }
        }
        let flow = self.list(&element, list)?;
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn assign(&mut self, name: &str, value: Value) -> Done<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => return self.fail(format!("undefined variable: {name}")),
        }
        Ok(())
    }

    fn template(&mut self, dot: &Value, name: &str, pipe: Option<&'t Pipe>) -> Done<()> {
        let Some(tree) = self.set.trees.get(name) else {
            return self.fail(format!("template {} not defined", quote(name)));
        };
        self.enter()?;
        let data = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Nil,
        };
        let outer_tree = std::mem::replace(&mut self.tree, tree);
        let outer_variables = std::mem::replace(&mut self.variables, vec![("$", data.clone())]);
        self.list(&data, &tree.root)?;
        self.tree = outer_tree;
        self.variables = outer_variables;
        self.depth -= 1;
        Ok(())
    }

    fn pipeline(&mut self, dot: &Value, pipe: &'t Pipe) -> Done<Value> {
        self.enter()?;
        self.at = At::Pipe(pipe);
        let mut value: Final = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or_default();
        for name in &pipe.decl {
            if pipe.is_assign {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        self.depth -= 1;
        Ok(value)
    }

    fn command(&mut self, dot: &Value, command: &'t Command, last: Final) -> Done<Value> {
        let first = &command.args[0];
        let args = &command.args[1..];
        match &first.kind {
            OperandKind::Field(names) => {
                self.at = At::Operand(first);
                return self.fields(dot, dot.clone(), first, names, args, last);
            }
            OperandKind::Chain(node, names) => {
                self.at = At::Operand(first);
                let receiver = self.chained(dot, first, node)?;
                return self.fields(dot, receiver, first, names, args, last);
            }
            OperandKind::Variable(name, names) if !names.is_empty() => {
                self.at = At::Operand(first);
                let receiver = self.variable(name)?;
                return self.fields(dot, receiver, first, names, args, last);
            }
            OperandKind::Function(name) => {
                self.at = At::Operand(first);
                return self.function(dot, name, At::Command(command), args, last);
            }
            _ => {}
        }
        if !matches!(first.kind, OperandKind::Pipe(_)) {
            self.at = At::Operand(first);
        }
        if !args.is_empty() || last.is_some() {
            return self.fail(format!("can't give argument to non-function {first}"));
        }
        if matches!(first.kind, OperandKind::Nil) {
            return self.fail("nil is not a command");
        }
        self.operand(dot, first)
    }

    fn chained(&mut self, dot: &Value, chain: &'t Operand, node: &'t Operand) -> Done<Value> {
        if matches!(node.kind, OperandKind::Nil) {
            return self.fail(format!("indirection through explicit nil in {chain}"));
        }
        self.operand(dot, node)
    }

    /// An operand on its own: an argument, or the only word of a command.
    fn operand(&mut self, dot: &Value, operand: &'t Operand) -> Done<Value> {
        self.step(1)?;
        self.at = At::Operand(operand);
        match &operand.kind {
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => Ok(Value::Nil),
            OperandKind::Bool(value) => Ok(Value::Bool(*value)),
            OperandKind::Str { text, .. } => Ok(Value::Str(text.clone())),
            OperandKind::Number { int: Some(int), .. } => Ok(Value::Int(*int)),
            OperandKind::Number { text, float, .. } => {
                let is_hex = text.contains(['x', 'X']);
                if is_hex || !text.contains(['.', 'e', 'E']) {
                    return self.fail(format!("{text} overflows int"));
                }
                Ok(Value::Float(*float))
            }
            OperandKind::Field(names) => self.fields(dot, dot.clone(), operand, names, &[], None),
            OperandKind::Variable(name, names) => {
                let receiver = self.variable(name)?;
                self.fields(dot, receiver, operand, names, &[], None)
            }
            OperandKind::Chain(node, names) => {
                let receiver = self.chained(dot, operand, node)?;
                self.fields(dot, receiver, operand, names, &[], None)
            }
            OperandKind::Function(name) => self.function(dot, name, At::Operand(operand), &[], None),
            OperandKind::Pipe(pipe) => self.pipeline(dot, pipe),
        }
    }

    fn variable(&self, name: &str) -> Done<Value> {
        match self.variables.iter().rev().find(|(known, _)| *known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    /// `receiver.a.b.c`: the last name takes the arguments.
    fn fields(
        &mut self,
        dot: &Value,
        receiver: Value,
        operand: &'t Operand,
        names: &'t [String],
        args: &'t [Operand],
        last: Final,
    ) -> Done<Value> {
        let Some((final_name, names)) = names.split_last() else { return Ok(receiver) };
        let mut receiver = receiver;
        for name in names {
            receiver = self.field(&receiver, operand, name, None)?;
        }
        let has_args = !args.is_empty() || last.is_some();
        let mut values = Vec::with_capacity(args.len() + 1);
        for arg in args {
            values.push(self.operand(dot, arg)?);
        }
        values.extend(last);
        if has_args {
            self.at = At::Operand(operand);
        }
        self.field(&receiver, operand, final_name, has_args.then_some(&values))
    }

    fn field(
        &mut self,
        receiver: &Value,
        operand: &'t Operand,
        name: &str,
        args: Option<&Vec<Value>>,
    ) -> Done<Value> {
        self.step(1)?;
        let values: &[Value] = args.map_or(&[], Vec::as_slice);
        let called = match receiver {
            Value::Nil if self.set.options.missing_key_zero => {
                return self.fail(format!("nil pointer evaluating interface {{}}.{name}"));
            }
            Value::Nil => return Ok(Value::Nil),
            Value::Time(time) => call_time(time, name, values),
            Value::Duration(ns) => call_duration(*ns, name, values),
            Value::Object(object) => object.call(name, values),
            _ => None,
        };
        if let Some(result) = called {
            return match result {
                Ok(value) => self.checked(value),
                Err(message) => {
                    self.at = At::Operand(operand);
                    self.fail(format!("error calling {name}: {message}"))
                }
            };
        }
        let found = match receiver {
            Value::Map(map) if args.is_none() => {
                let zero = if self.set.options.missing_key_zero { map.zero.as_ref() } else { None };
                return Ok(map.entries.get(name).or(zero).cloned().unwrap_or_default());
            }
            Value::Map(_) => return self.fail(format!("{name} is not a method but has arguments")),
            Value::Object(object) => object.field(name),
            _ => None,
        };
        match found {
            Some(_) if args.is_some() => {
                self.fail(format!("{name} has arguments but cannot be invoked as function"))
            }
            Some(value) => Ok(value),
            None => self.fail(format!("can't evaluate field {name} in type {}", receiver.type_name())),
        }
    }

    fn function(
        &mut self,
        dot: &Value,
        name: &'t str,
        whole: At<'t>,
        args: &'t [Operand],
        last: Final,
    ) -> Done<Value> {
        self.enter()?;
        if self.set.functions.is_tmpl(name) {
            let value = self.tmpl(dot, whole, args, last)?;
            self.depth -= 1;
            return Ok(value);
        }
        // The caller's functions come first, as in Go, where they may even replace a builtin.
        let own = self.set.functions.get(name).cloned();
        let arity = match &own {
            Some(function) => Some(function.arity),
            None => builtin::arity(name),
        };
        let Some(arity) = arity else {
            return self.fail(format!("{} is not a defined function", quote(name)));
        };
        self.check_arity(name, arity, args.len(), last.is_some())?;
        if own.is_none() && (name == "and" || name == "or") {
            let value = self.short_circuit(dot, name, args, last);
            self.depth -= 1;
            return value;
        }
        let mut values = Vec::with_capacity(args.len() + 1);
        for arg in args {
            values.push(self.operand(dot, arg)?);
        }
        values.extend(last);
        let result = match own {
            Some(function) => (function.call)(&values),
            None => builtin::call(name, &values, self.html.is_some()),
        };
        self.depth -= 1;
        match result {
            Ok(value) => self.checked(value),
            Err(message) if message.starts_with("wrong type for value;") => self.fail(message),
            Err(message) => {
                self.at = whole;
                self.fail(format!("error calling {name}: {message}"))
            }
        }
    }

    /// `tmpl NAME DATA`: what the template writes, begun in element content, as a value.
    fn tmpl(&mut self, dot: &Value, whole: At<'t>, args: &'t [Operand], last: Final) -> Done<Value> {
        self.check_arity(TMPL, 2.into(), args.len(), last.is_some())?;
        let mut values = Vec::with_capacity(2);
        for arg in args {
            values.push(self.operand(dot, arg)?);
        }
        values.extend(last);
        let data = values.pop().unwrap_or_default();
        let name = values.pop().unwrap_or_default();
        let Some(name) = name.as_str() else {
            return self.fail(format!("wrong type for value; expected string; got {}", name.type_name()));
        };
        let Some(tree) = self.set.trees.get(name) else {
            self.at = whole;
            return self.fail(format!("error calling {TMPL}: template {} not defined", quote(name)));
        };
        let outer_tree = std::mem::replace(&mut self.tree, tree);
        let outer_variables = std::mem::replace(&mut self.variables, vec![("$", data.clone())]);
        let outer_out = std::mem::take(&mut self.out);
        let outer_html = std::mem::replace(&mut self.html, self.set.options.html.then(Html::new));
        self.list(&data, &tree.root)?;
        if let Some(place) = self.html.as_ref().and_then(Html::unfinished) {
            return self.fail(format!("html template ends {place}"));
        }
        self.tree = outer_tree;
        self.variables = outer_variables;
        self.html = outer_html;
        let text = std::mem::replace(&mut self.out, outer_out);
        Ok(if self.html.is_some() { Value::Html(text.into()) } else { Value::from(text) })
    }

    fn check_arity(&self, name: &str, arity: Arity, n_args: usize, has_last: bool) -> Done<()> {
        let n = n_args + usize::from(has_last);
        if arity.variadic && n < arity.min {
            return self
                .fail(format!("wrong number of args for {name}: want at least {} got {n_args}", arity.min));
        }
        if !arity.variadic && n != arity.min {
            return self.fail(format!("wrong number of args for {name}: want {} got {n}", arity.min));
        }
        Ok(())
    }

    fn short_circuit(&mut self, dot: &Value, name: &str, args: &'t [Operand], last: Final) -> Done<Value> {
        let mut value = Value::Nil;
        for arg in args {
            value = self.operand(dot, arg)?;
            if value.is_true() == (name == "or") {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    /// What functions make may not outgrow the limits either: long texts, deep or endless nesting.
    fn checked(&mut self, value: Value) -> Done<Value> {
        let mut n_steps = 0;
        let room = STEPS_MAX.saturating_sub(self.n_steps);
        if !within(&value, 0, &mut n_steps, room) {
            return self.fail(format!(
                "value is larger than {OUTPUT_BYTES_MAX} bytes, or nested deeper than {EXEC_DEPTH_MAX}, or has too many parts"
            ));
        }
        self.step(n_steps)?;
        Ok(value)
    }
}

fn within(value: &Value, depth: usize, n_steps: &mut u64, room: u64) -> bool {
    let mut inside = |value: &Value| {
        *n_steps += 1;
        *n_steps <= room && depth < EXEC_DEPTH_MAX && within(value, depth + 1, n_steps, room)
    };
    match value {
        Value::Str(text) | Value::Html(text) | Value::Url(text) => text.len() <= OUTPUT_BYTES_MAX,
        Value::List(list) => list.iter().all(inside),
        Value::Map(map) => map.entries.values().all(&mut inside),
        _ => true,
    }
}
