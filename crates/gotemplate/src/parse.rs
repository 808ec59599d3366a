//! Tokens to trees, by recursive descent.
//!
//! In from [`crate::TemplateSet::add`]; out, the text's own tree last and those it defines before it.
//! Variables and functions are checked here, so that a template that parses can only fail over its data.

use std::sync::Arc;

use crate::ast::{Branch, Command, Node, Operand, OperandKind, Pipe, Tree};
use crate::builtin;
use crate::error::ParseError;
use crate::functions::Functions;
use crate::lex::{Kind, Token, lex};
use crate::limits::{PARSE_DEPTH_MAX, TEXT_BYTES_MAX};
use crate::print::quote;

/// The trees of `text`: those it defines, then its own.
pub(crate) fn parse(name: &str, text: &str, functions: &Functions) -> Result<Vec<Tree>, ParseError> {
    let refuse = |line: usize, message: String| ParseError { name: name.to_owned(), line, message };
    if text.len() > TEXT_BYTES_MAX {
        return Err(refuse(1, format!("text of {} bytes is longer than {TEXT_BYTES_MAX}", text.len())));
    }
    let mut parser = Parser {
        name,
        text: Arc::from(text),
        functions,
        tokens: lex(text),
        idx: 0,
        line: 1,
        action_line: 0,
        scope: Scope::new(),
        depth: 0,
        trees: Vec::new(),
    };
    match parser.top_level() {
        Ok(root) => {
            let own = parser.tree(name.to_owned(), root);
            parser.add(own).map_err(|message| refuse(parser.line, message))?;
            Ok(parser.trees)
        }
        Err(message) => Err(refuse(parser.line, message)),
    }
}

/// Variables that may be used, and loops that may be broken out of.
struct Scope {
    variables: Vec<String>,
    range_depth: usize,
}

impl Scope {
    fn new() -> Self {
        Self { variables: vec!["$".to_owned()], range_depth: 0 }
    }
}

struct Parser<'a> {
    name: &'a str,
    text: Arc<str>,
    functions: &'a Functions,
    tokens: Vec<Token>,
    idx: usize,
    /// Line of the token read last.
    line: usize,
    /// Line where the action began; 0 outside.
    action_line: usize,
    scope: Scope,
    depth: usize,
    trees: Vec<Tree>,
}

/// What ended a list of nodes.
enum End {
    End,
    Else { chained: bool },
}

type Parsed<T> = Result<T, String>;

impl Parser<'_> {
    fn tree(&self, name: String, root: Vec<Node>) -> Tree {
        Tree { name, parse_name: self.name.to_owned(), text: self.text.clone(), root }
    }

    /// Adds a definition. Within one text a name may be defined twice only when one of the two is blank.
    fn add(&mut self, tree: Tree) -> Parsed<()> {
        match self.trees.iter_mut().find(|known| known.name == tree.name) {
            None => self.trees.push(tree),
            Some(known) if known.is_blank() => *known = tree,
            Some(_) if tree.is_blank() => {}
            Some(_) => {
                return Err(format!("template: multiple definition of template {}", quote(&tree.name)));
            }
        }
        Ok(())
    }

    /// The next token; the last one, `Eof` or `Error`, comes again and again.
    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.line = token.line;
        self.idx = (self.idx + 1).min(self.tokens.len());
        token
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.idx).or(self.tokens.last()).expect("the lexer ends every list with a token")
    }

    fn skip_spaces(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next();
        }
    }

    fn next_non_space(&mut self) -> Token {
        self.skip_spaces();
        self.next()
    }

    fn peek_non_space(&mut self) -> &Token {
        self.skip_spaces();
        self.peek()
    }

    fn unexpected<T>(&mut self, token: &Token, context: &str) -> Parsed<T> {
        self.line = token.line;
        if token.kind != Kind::Error {
            return Err(format!("unexpected {token} in {context}"));
        }
        if self.action_line == 0 || self.action_line == token.line {
            return Err(token.text.clone());
        }
        let place = format!("started at {}:{}", self.name, self.action_line);
        let joint = if token.text.ends_with(" action") { "" } else { " in action" };
        Err(format!("{}{joint} {place}", token.text))
    }

    fn is_keyword(token: &Token, word: &str) -> bool {
        token.kind == Kind::Keyword && token.text == word
    }

    fn expect_right_delim(&mut self, context: &str) -> Parsed<()> {
        let token = self.next_non_space();
        if token.kind == Kind::RightDelim { Ok(()) } else { self.unexpected(&token, context) }
    }

    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > PARSE_DEPTH_MAX {
            return Err(format!("max expression depth exceeded ({PARSE_DEPTH_MAX})"));
        }
        Ok(())
    }

    fn top_level(&mut self) -> Parsed<Vec<Node>> {
        let mut root = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let start = self.idx;
                self.next();
                if Self::is_keyword(&self.next_non_space(), "define") {
                    self.definition()?;
                    continue;
                }
                self.idx = start;
            }
            match self.text_or_action()? {
                Ok(node) => root.push(node),
                Err(End::End) => return Err("unexpected {{end}}".to_owned()),
                Err(End::Else { .. }) => return Err("unexpected {{else}}".to_owned()),
            }
        }
        Ok(root)
    }

    /// `{{define "name"}} … {{end}}`; the keyword is past.
    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let token = self.next_non_space();
        let (name, _) = self.template_name(&token, CONTEXT)?;
        self.expect_right_delim(CONTEXT)?;
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let root = self.closed_list(CONTEXT)?;
        self.scope = outer;
        let tree = self.tree(name, root);
        self.add(tree)
    }

    fn closed_list(&mut self, context: &str) -> Parsed<Vec<Node>> {
        match self.list()? {
            (root, End::End) => Ok(root),
            (_, End::Else { .. }) => Err(format!("unexpected {{{{else}}}} in {context}")),
        }
    }

    /// Nodes up to `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Parsed<(Vec<Node>, End)> {
        self.enter()?;
        let mut nodes = Vec::new();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Ok(node) => nodes.push(node),
                Err(end) => {
                    self.depth -= 1;
                    return Ok((nodes, end));
                }
            }
        }
        self.next();
        Err("unexpected EOF".to_owned())
    }

    fn text_or_action(&mut self) -> Parsed<Result<Node, End>> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Ok(Node::Text(Arc::from(token.text)))),
            Kind::LeftDelim => {
                self.action_line = token.line;
                let node = self.action();
                self.action_line = 0;
                node
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Result<Node, End>> {
        self.skip_spaces();
        let start = self.idx;
        let token = self.next();
        if token.kind == Kind::Keyword {
            match token.text.as_str() {
                "if" => return self.branch(Branch::If).map(Ok),
                "with" => return self.branch(Branch::With).map(Ok),
                "range" => return self.branch(Branch::Range).map(Ok),
                "template" => return self.template_call().map(Ok),
                "block" => return self.block().map(Ok),
                "break" => return self.jump("break", Node::Break).map(Ok),
                "continue" => return self.jump("continue", Node::Continue).map(Ok),
                "end" => return self.expect_right_delim("end").map(|()| Err(End::End)),
                "else" => {
                    let next = self.peek_non_space();
                    let chained = Self::is_keyword(next, "if") || Self::is_keyword(next, "with");
                    if !chained {
                        self.expect_right_delim("else")?;
                    }
                    return Ok(Err(End::Else { chained }));
                }
                _ => {}
            }
        }
        self.idx = start;
        let pipe = self.pipeline("command", Kind::RightDelim)?;
        Ok(Ok(Node::Action { pos: token.pos, pipe }))
    }

    fn jump(&mut self, word: &str, node: Node) -> Parsed<Node> {
        self.expect_right_delim(&format!("{{{{{word}}}}}"))?;
        if self.scope.range_depth == 0 {
            return Err(format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    fn branch(&mut self, kind: Branch) -> Parsed<Node> {
        let context = match kind {
            Branch::If => "if",
            Branch::With => "with",
            Branch::Range => "range",
        };
        let n_variables = self.scope.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let in_range = usize::from(kind == Branch::Range);
        self.scope.range_depth += in_range;
        let (list, end) = self.list()?;
        self.scope.range_depth -= in_range;
        let else_list = match end {
            End::End => None,
            End::Else { chained: true }
                if kind != Branch::Range && Self::is_keyword(self.peek(), context) =>
            {
                self.next();
                self.enter()?;
                let chained = self.branch(kind)?;
                self.depth -= 1;
                Some(vec![chained])
            }
            End::Else { .. } => match self.list()? {
                (list, End::End) => Some(list),
                (_, End::Else { .. }) => return Err("expected end; found {{else}}".to_owned()),
            },
        };
        self.scope.variables.truncate(n_variables);
        Ok(Node::Branch { pos: pipe.pos, kind, pipe, list, else_list })
    }

    /// `{{template "name" pipeline}}`; the keyword is past.
    fn template_call(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let (name, quoted) = self.template_name(&token, CONTEXT)?;
        let pipe = if self.peek_non_space().kind == Kind::RightDelim {
            self.next();
            None
        } else {
            Some(self.pipeline(CONTEXT, Kind::RightDelim)?)
        };
        Ok(Node::Template { pos: token.pos, name, quoted, pipe })
    }

    /// `{{block "name" pipeline}} … {{end}}`: a definition and a call at once; the keyword is past.
    fn block(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let (name, quoted) = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let root = self.closed_list(CONTEXT)?;
        self.scope = outer;
        let tree = self.tree(name.clone(), root);
        self.add(tree)?;
        Ok(Node::Template { pos: token.pos, name, quoted, pipe: Some(pipe) })
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Parsed<(String, String)> {
        if !matches!(token.kind, Kind::Str | Kind::RawString) {
            return self.unexpected(token, context);
        }
        let name = unquote(&token.text).ok_or("invalid syntax")?;
        let quoted = quote(&name);
        Ok((name, quoted))
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let pos = self.peek_non_space().pos;
        let mut pipe = Pipe { pos, decl: Vec::new(), is_assign: false, commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            self.skip_spaces();
            let token = self.peek().clone();
            match token.kind {
                kind if kind == end => {
                    self.next();
                    check_pipeline(&pipe, context)?;
                    return Ok(pipe);
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::Str
                | Kind::Variable
                | Kind::LeftParen => {
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        while self.peek_non_space().kind == Kind::Variable {
            let start = self.idx;
            let variable = self.next();
            let next = self.next_non_space();
            let is_comma = next.kind == Kind::Char && next.text == ",";
            if !is_comma && !matches!(next.kind, Kind::Assign | Kind::Declare) {
                self.idx = start;
                return Ok(());
            }
            self.scope.variables.push(variable.text.clone());
            pipe.decl.push(variable.text);
            if !is_comma {
                pipe.is_assign = next.kind == Kind::Assign;
                return Ok(());
            }
            if context != "range" || pipe.decl.len() > 1 {
                return Err(format!("too many declarations in {context}"));
            }
            if !matches!(self.peek_non_space().kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                return Err("range can only initialize variables".to_owned());
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        let pos = self.peek_non_space().pos;
        let mut args = Vec::new();
        loop {
            self.skip_spaces();
            if let Some(operand) = self.operand()? {
                args.push(operand);
            }
            match self.peek().kind {
                Kind::Space => {
                    self.next();
                }
                Kind::RightDelim | Kind::RightParen => break,
                Kind::Pipe => {
                    self.next();
                    break;
                }
                _ => {
                    let token = self.next();
                    return self.unexpected(&token, "operand");
                }
            }
        }
        if args.is_empty() {
            return Err("empty command".to_owned());
        }
        Ok(Command { pos, args })
    }

    /// A term and the fields after it.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(mut node) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(node));
        }
        let pos = self.peek().pos;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.next().text[1..].to_owned());
        }
        match &mut node.kind {
            OperandKind::Field(names) | OperandKind::Variable(_, names) => {
                names.append(&mut fields);
                node.pos = pos;
                Ok(Some(node))
            }
            OperandKind::Function(_) | OperandKind::Pipe(_) | OperandKind::Chain(..) => {
                Ok(Some(Operand { pos, kind: OperandKind::Chain(Box::new(node), fields) }))
            }
            _ => Err(format!("unexpected . after term {}", quote(&node.to_string()))),
        }
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        self.skip_spaces();
        let start = self.idx;
        let token = self.next();
        let kind = match token.kind {
            Kind::Identifier => {
                let is_known = builtin::exists(&token.text)
                    || self.functions.get(&token.text).is_some()
                    || self.functions.is_tmpl(&token.text);
                if !is_known {
                    return Err(format!("function {} not defined", quote(&token.text)));
                }
                OperandKind::Function(token.text)
            }
            Kind::Dot => OperandKind::Dot,
            Kind::Nil => OperandKind::Nil,
            Kind::Variable => {
                if !self.scope.variables.contains(&token.text) {
                    return Err(format!("undefined variable {}", quote(&token.text)));
                }
                OperandKind::Variable(token.text, Vec::new())
            }
            Kind::Field => OperandKind::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => OperandKind::Bool(token.text == "true"),
            Kind::Number | Kind::CharConstant => number(&token)?,
            Kind::LeftParen => {
                self.enter()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                OperandKind::Pipe(Box::new(pipe))
            }
            Kind::Str | Kind::RawString => {
                let text = unquote(&token.text).ok_or("invalid syntax")?;
                OperandKind::Str { quoted: token.text, text: Arc::from(text) }
            }
            _ => {
                self.idx = start;
                return Ok(None);
            }
        };
        // A parenthesised pipeline stands where its first command does.
        let pos = if let OperandKind::Pipe(pipe) = &kind { pipe.pos } else { token.pos };
        Ok(Some(Operand { pos, kind }))
    }
}

fn check_pipeline(pipe: &Pipe, context: &str) -> Parsed<()> {
    if pipe.commands.is_empty() {
        return Err(format!("missing value for {context}"));
    }
    for (idx, command) in pipe.commands.iter().enumerate().skip(1) {
        use OperandKind::{Bool, Dot, Nil, Number, Str};
        if matches!(command.args[0].kind, Bool(_) | Dot | Nil | Number { .. } | Str { .. }) {
            return Err(format!("non executable command in pipeline stage {}", idx + 1));
        }
    }
    Ok(())
}

fn number(token: &Token) -> Parsed<OperandKind> {
    let text = token.text.clone();
    if token.kind == Kind::CharConstant {
        let malformed = || format!("malformed character constant: {text}");
        let inner = unquote(&text).ok_or_else(malformed)?;
        let mut chars = inner.chars();
        let (Some(c), None) = (chars.next(), chars.next()) else { return Err(malformed()) };
        return Ok(OperandKind::Number { int: Some(i64::from(c as u32)), float: f64::from(c as u32), text });
    }
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text.as_str()),
    };
    let plain = digits.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    let whole = match lower.get(..2) {
        Some("0x") => i128::from_str_radix(&lower[2..], 16).ok(),
        Some("0o") => i128::from_str_radix(&lower[2..], 8).ok(),
        Some("0b") => i128::from_str_radix(&lower[2..], 2).ok(),
        _ if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|b| b.is_ascii_digit()) => {
            i128::from_str_radix(&lower, 8).ok()
        }
        _ => lower.parse().ok(),
    };
    let sign = if negative { -1 } else { 1 };
    if let Some(whole) = whole {
        let overflow = |_| format!("integer overflow: {}", quote(&text));
        let int = i64::try_from(sign * whole).map_err(overflow)?;
        return Ok(OperandKind::Number { int: Some(int), float: int as f64, text });
    }
    let is_decimal = lower.bytes().all(|b| b.is_ascii_digit() || b".e+-".contains(&b));
    match lower.parse::<f64>() {
        Ok(float) if is_decimal && float.is_finite() => {
            let float = f64::from(sign as i8) * float;
            Ok(OperandKind::Number { text, int: None, float })
        }
        _ => Err(format!("illegal number syntax: {}", quote(&text))),
    }
}

/// What a Go string, raw string or character constant stands for.
fn unquote(quoted: &str) -> Option<String> {
    let quote = quoted.chars().next()?;
    let inner = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if quote == '`' {
        return Some(inner.replace('\r', ""));
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = chars.next()?;
        let plain = match escape {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            '\\' => b'\\',
            '\'' | '"' if escape == quote => escape as u8,
            'x' | 'u' | 'U' => {
                let n_digits = match escape {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let digits = chars.as_str().get(..n_digits)?;
                let code = u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
                chars = chars.as_str()[n_digits..].chars();
                if escape == 'x' && quote == '"' {
                    out.push(u8::try_from(code).ok()?);
                } else {
                    out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
                }
                continue;
            }
            '0'..='7' => {
                let more = chars.as_str().get(..2)?;
                let code = u32::from_str_radix(&format!("{escape}{more}"), 8).ok()?;
                chars = chars.as_str()[2..].chars();
                u8::try_from(code).ok()?
            }
            _ => return None,
        };
        out.push(plain);
    }
    Some(String::from_utf8(out).unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned()))
}
