//! The kinds of pages that a block has.

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PageKind {
    /// Values.
    Floats = 0,
    /// Start timestamps of the page before it; rows are the same.
    Starts = 1,
    /// Native histograms.
    Histograms = 2,
    /// Columns of roll-ups, whose last values are `Floats`: docs/formats/rollup.md.
    First = 3,
    Count = 4,
    Sum = 5,
    Min = 6,
    Max = 7,
    Correction = 8,
}

impl PageKind {
    /// How many there are.
    pub(crate) const N: usize = 9;
    const ALL: [Self; Self::N] = [
        Self::Floats,
        Self::Starts,
        Self::Histograms,
        Self::First,
        Self::Count,
        Self::Sum,
        Self::Min,
        Self::Max,
        Self::Correction,
    ];

    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        Self::ALL.get(usize::from(bits)).copied()
    }

    /// Whether its rows count as samples of the block.
    pub(crate) fn is_counted(self) -> bool {
        matches!(self, Self::Floats | Self::Histograms)
    }
}
