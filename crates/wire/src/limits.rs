//! What a series may be, whichever way it comes.

/// Longest label name or value, in bytes. Chosen: what `model::Labels` can hold with room to spare; Prometheus has no
/// limit unless `label_value_length_limit` is set.
pub const LABEL_BYTES_MAX: usize = 1 << 20;
/// Most labels of one series. Chosen: far above any real series; Prometheus has no limit unless `label_limit` is set.
pub const LABELS_MAX: usize = 4096;
