//! The parsed template. Nodes print as Go's do, since errors quote them.

use std::fmt;
use std::sync::Arc;

/// One named template.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) name: String,
    /// The name of the text it stands in.
    pub(crate) parse_name: String,
    pub(crate) text: Arc<str>,
    pub(crate) root: Vec<Node>,
}

impl Tree {
    /// Whether it would print nothing but spaces whatever the data.
    pub(crate) fn is_blank(&self) -> bool {
        self.root.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
    }
}

#[derive(Debug)]
pub(crate) enum Node {
    Text(Arc<str>),
    Action { pos: usize, pipe: Pipe },
    Branch { pos: usize, kind: Branch, pipe: Pipe, list: Vec<Node>, else_list: Option<Vec<Node>> },
    Template { pos: usize, name: String, quoted: String, pipe: Option<Pipe> },
    Break,
    Continue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Branch {
    If,
    With,
    Range,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) pos: usize,
    pub(crate) decl: Vec<String>,
    pub(crate) is_assign: bool,
    pub(crate) commands: Vec<Command>,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) pos: usize,
    pub(crate) args: Vec<Operand>,
}

#[derive(Debug)]
pub(crate) struct Operand {
    pub(crate) pos: usize,
    pub(crate) kind: OperandKind,
}

#[derive(Debug)]
pub(crate) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number { text: String, int: Option<i64>, float: f64 },
    Str { quoted: String, text: Arc<str> },
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Function(String),
    Chain(Box<Operand>, Vec<String>),
    Pipe(Box<Pipe>),
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.decl.is_empty() {
            write!(f, "{}{}", self.decl.join(", "), if self.is_assign { " = " } else { " := " })?;
        }
        for (idx, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if idx > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, arg) in self.args.iter().enumerate() {
            f.write_str(if idx > 0 { " " } else { "" })?;
            match &arg.kind {
                OperandKind::Pipe(pipe) => write!(f, "({pipe})")?,
                _ => write!(f, "{arg}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |f: &mut fmt::Formatter<'_>, names: &[String]| {
            names.iter().try_for_each(|name| write!(f, ".{name}"))
        };
        match &self.kind {
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Bool(value) => write!(f, "{value}"),
            OperandKind::Number { text, .. } => f.write_str(text),
            OperandKind::Str { quoted, .. } => f.write_str(quoted),
            OperandKind::Function(name) => f.write_str(name),
            OperandKind::Field(names) => fields(f, names),
            OperandKind::Variable(name, names) => {
                f.write_str(name)?;
                fields(f, names)
            }
            OperandKind::Chain(node, names) => {
                match &node.kind {
                    OperandKind::Pipe(pipe) => write!(f, "({pipe})")?,
                    _ => write!(f, "{node}")?,
                }
                fields(f, names)
            }
            OperandKind::Pipe(pipe) => write!(f, "{pipe}"),
        }
    }
}
