//! What can be wrong with a template, in Go's wording.

/// The text is no template. Displays as `template: name:line: message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: {name}:{line}: {message}")]
pub struct ParseError {
    /// The template's name.
    pub name: String,
    /// Line in its text, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// The template could not be executed to its end. Displays as Go does:
/// `template: name:line:col: executing "name" at <context>: message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The text given to [`crate::TemplateSet::execute_text`] is no template.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// No template has this name.
    #[error("template: no template {name:?} associated with template {set:?}")]
    NoTemplate {
        /// The name asked for.
        name: String,
        /// Where it was looked for.
        set: String,
    },
    /// A node failed.
    #[error("template: {parse_name}:{line}:{column}: executing {template:?} at <{context}>: {message}")]
    Failed {
        /// Name of the text the node stands in.
        parse_name: String,
        /// Its line, from 1.
        line: usize,
        /// Bytes before it on its line.
        column: usize,
        /// The template that was being executed.
        template: String,
        /// The node, printed.
        context: String,
        /// What went wrong.
        message: String,
    },
}
