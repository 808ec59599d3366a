//! A row of a group on its way through log and head, and the two ways in which groups take rows.

/// How samples come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupKind {
    /// By rows that name what changed; the rest follows.
    Following,
    /// One by one; a column has the rows it was given.
    Explicit,
}

/// A row that was judged and is to be logged and applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Row {
    pub(crate) t_ms: i64,
    /// Begins a page: names every column that has a value.
    pub(crate) full: bool,
    /// Adds to this row of the page instead of making a new one.
    pub(crate) join: Option<u32>,
    /// Columns and bits, by rising column.
    pub(crate) changes: Vec<(u32, u64)>,
    /// The columns of `changes` as a set.
    pub(crate) mask: Vec<u64>,
}
