//! What a template may use at most. Each limit is an error that names it.

/// Bytes one execution may write. Chosen: far above any mail body, far below harm.
pub const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// Nodes one execution may visit. Chosen: a second or so of work; a template over 10,000 alerts takes a tenth of it.
pub const STEPS_MAX: u64 = 2_000_000;

/// How deep template calls, blocks and parentheses may nest while executing. Chosen so that a thread with 2 MiB of
/// stack holds it in a debug build; Go's is 100,000, on a stack that grows.
pub const EXEC_DEPTH_MAX: usize = 120;

/// How deep blocks and parentheses may nest in the text. Chosen, for the same reason.
pub const PARSE_DEPTH_MAX: usize = 100;

/// Bytes of one template's text. Chosen.
pub const TEXT_BYTES_MAX: usize = 4 << 20;

/// Width and precision of a `printf` verb, as in Go's fmt.
pub const PRINTF_WIDTH_MAX: i64 = 1_000_000;
