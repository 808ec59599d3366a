//! A page read by its difference to the page before.
//!
//! In: a whole body, and the [`Page`] that remembers the last one; out: a [`Draft`] that names the samples whose text changed and
//! the runs of lines that came or went, which [`Page::accept`] makes the page's new state. Four fifths of a page's samples and all
//! of its comments repeat; comparing them is some ten times cheaper than parsing them.
//!
//! Exact: the same bytes at the beginning of a line lead the parser to the same place, so text that compares equal need not be
//! parsed, and all other text is given to [`Parser`] itself. What it refuses is refused here, with the same words and place.
//! Never holds a page's body: keys and comments are in [`Blocks`], shared by all targets; per sample a page holds its tail
//! (value, timestamp, exemplar) as text, and one byte.

mod block;

use std::ops::Range;
use std::sync::Arc;

use model::metadata::MetricType;

use super::error::{Fail, ParseError};
use super::{Entry, Exemplar, Format, Parser};
use block::{Block, BlockBuilder};

pub use block::Blocks;

/// How many blocks ahead a page is searched for the place where it goes on as before. Chosen: as many as a collector of
/// node_exporter has families.
const RESYNC_BLOCKS_MAX: usize = 64;
/// Longest tail that is remembered, in bytes; longer ones are parsed each time. From the width of a length.
const TAIL_BYTES_MAX: usize = 254;
/// In place of a length: this tail is not remembered.
const NOT_KEPT: u8 = 255;

/// What one target's last good page looked like.
#[derive(Debug, Default)]
pub struct Page {
    format: Option<Format>,
    blocks: Vec<Arc<Block>>,
    /// The tails one after another, each with its line end.
    tails: Vec<u8>,
    lens: Vec<u8>,
}

/// What is new in a page. Kept by the caller so that its memory is used again.
#[derive(Debug, Default)]
pub struct Draft {
    format: Option<Format>,
    /// Samples whose tail changed or is new, by rising line.
    pub changed: Vec<Changed>,
    /// Lines that came or went, by rising line.
    pub edits: Vec<Edit>,
    tails: Vec<u8>,
    lens: Vec<u8>,
    builder: BlockBuilder,
}

/// A sample whose text changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Changed {
    /// The how-many-th sample of the page, from 0.
    pub line: u32,
    /// Where its tail begins in the body.
    pub tail_at: u32,
    /// Its value, as in [`super::SampleEntry`].
    pub value: f64,
    /// Unix milliseconds, when the page says.
    pub t_ms: Option<i64>,
    /// Whether it has one; see [`exemplar_at`].
    pub has_exemplar: bool,
}

/// Lines of the last page that gave way to lines of this one. Other lines only move.
#[derive(Debug)]
pub struct Edit {
    /// Samples of the last page.
    pub old_lines: Range<u32>,
    /// Samples of this page.
    pub new_lines: Range<u32>,
    old_blocks: Range<usize>,
    new_blocks: Vec<Arc<Block>>,
    /// As the lines before it leave it, in this page.
    metric_type: MetricType,
}

impl Edit {
    /// Name and labels as written, and the type, of each of `new_lines`.
    pub fn new_keys(&self) -> impl Iterator<Item = (&str, MetricType)> {
        keys(&self.new_blocks, self.metric_type)
    }
}

/// Keys of `blocks`, each with the type its sample has.
fn keys(blocks: &[Arc<Block>], before: MetricType) -> impl Iterator<Item = (&str, MetricType)> {
    let mut metric_type = before;
    blocks.iter().flat_map(move |block| {
        metric_type = block.metric_type(metric_type);
        let metric_type = metric_type;
        block.keys().map(move |key| (key, metric_type))
    })
}

impl Draft {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many samples the page has.
    #[must_use]
    pub fn n_lines(&self) -> usize {
        self.lens.len()
    }

    fn clear(&mut self, format: Format) {
        self.format = Some(format);
        self.changed.clear();
        self.edits.clear();
        self.tails.clear();
        self.lens.clear();
    }
}

impl Page {
    /// One that remembers nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads `body` into `draft`. The page stays as it is until [`Page::accept`].
    ///
    /// # Errors
    /// Exactly where [`Parser`] refuses the body.
    pub fn read(
        &self,
        body: &[u8],
        format: Format,
        blocks: &Blocks,
        draft: &mut Draft,
    ) -> Result<(), ParseError> {
        draft.clear(format);
        let mut walk = Walk {
            page: self,
            is_known: self.format == Some(format),
            body,
            parser: Parser::lazy(body, format),
            blocks,
            draft,
            pos: 0,
            metric_type: MetricType::Unknown,
            old: Cursor::default(),
            copied: Cursor::default(),
        };
        walk.run().map_err(|fail| fail.place(body))
    }

    /// Makes what [`Page::read`] found the page's state. `draft.changed` and `draft.edits` stay readable, but for the new keys.
    pub fn accept(&mut self, draft: &mut Draft) {
        self.format = draft.format;
        for edit in draft.edits.iter_mut().rev() {
            self.blocks.splice(edit.old_blocks.clone(), edit.new_blocks.drain(..));
        }
        replace(&mut self.tails, &draft.tails);
        replace(&mut self.lens, &draft.lens);
    }

    /// How many samples it has.
    #[must_use]
    pub fn n_lines(&self) -> usize {
        self.lens.len()
    }

    /// Name and labels as written, and the type, of each sample.
    pub fn keys(&self) -> impl Iterator<Item = (&str, MetricType)> {
        keys(&self.blocks, MetricType::Unknown)
    }

    /// As [`Page::keys`], of the lines an edit of `draft` has replaced; for use before [`Page::accept`].
    pub fn old_keys(&self, edit: &Edit) -> impl Iterator<Item = (&str, MetricType)> {
        let before = self.blocks[..edit.old_blocks.start].iter();
        let before = before.fold(MetricType::Unknown, |before, block| block.metric_type(before));
        keys(&self.blocks[edit.old_blocks.clone()], before)
    }

    /// Value and timestamp of each sample; `None` for one whose tail is too long to remember, which is therefore always
    /// among [`Draft::changed`].
    pub fn values(&self) -> impl Iterator<Item = Option<(f64, Option<i64>)>> {
        let parser = Parser::lazy(&self.tails, self.format.unwrap_or(Format::Text004));
        let mut pos = 0;
        self.lens.iter().map(move |len| {
            let start = pos;
            pos += kept(*len);
            let tail = (*len != NOT_KEPT).then(|| parser.tail(start).ok())??;
            Some((tail.value, tail.t_ms))
        })
    }

    /// Hands the metadata lines of the page to `see`, in their order.
    pub fn metadata(&self, mut see: impl FnMut(Entry<'_>)) {
        self.blocks.iter().for_each(|block| metadata(block, self.format, &mut see));
    }

    /// As [`Page::metadata`], of the lines an edit of `draft` has replaced; for use before [`Page::accept`].
    pub fn old_metadata(&self, edit: &Edit, mut see: impl FnMut(Entry<'_>)) {
        self.blocks[edit.old_blocks.clone()].iter().for_each(|block| metadata(block, self.format, &mut see));
    }

    /// Bytes of memory that are this page's alone.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Arc<Block>>() + self.tails.capacity() + self.lens.capacity()
    }
}

fn metadata(block: &Block, format: Option<Format>, see: &mut impl FnMut(Entry<'_>)) {
    let mut parser = Parser::lazy(block.comments(), format.unwrap_or(Format::Text004));
    // The comments alone are no whole page of OpenMetrics: then the end is an error, and the end all the same.
    while let Ok(Some(entry)) = parser.try_next() {
        see(entry);
    }
}

/// The exemplar of a sample in [`Draft::changed`].
#[must_use]
pub fn exemplar_at<'a>(body: &'a [u8], format: Format, changed: &Changed) -> Option<Exemplar<'a>> {
    Parser::lazy(body, format).tail(changed.tail_at as usize).ok()?.exemplar
}

/// How many bytes of tails a length stands for.
fn kept(len: u8) -> usize {
    if len == NOT_KEPT { 0 } else { usize::from(len) }
}

/// Copies, and gives memory back that a much larger page has left behind.
fn replace(target: &mut Vec<u8>, source: &[u8]) {
    target.clear();
    if target.capacity() > source.len() + source.len() / 4 {
        *target = Vec::new();
    }
    if target.capacity() < source.len() {
        // A little room, so that a value that grows by a digit does not move everything.
        target.reserve_exact(source.len() + source.len() / 16);
    }
    target.extend_from_slice(source);
}

/// A place in the last page.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    line: usize,
    tail: usize,
}

struct Walk<'a, 'b> {
    page: &'b Page,
    /// Whether the last page was in the same format; otherwise it is only good for its keys.
    is_known: bool,
    body: &'a [u8],
    parser: Parser<'a>,
    blocks: &'b Blocks,
    draft: &'b mut Draft,
    pos: usize,
    metric_type: MetricType,
    /// In the last page.
    old: Cursor,
    /// Up to where the last page's tails have been copied; behind it they are unchanged up to `old`.
    copied: Cursor,
}

/// What a block that did not match has to take back.
struct Mark {
    pos: usize,
    old: Cursor,
    copied: Cursor,
    n_changed: usize,
    n_tails: usize,
    n_lens: usize,
}

impl<'b> Walk<'_, 'b> {
    fn run(&mut self) -> Result<(), Fail> {
        let old_blocks: &'b [Arc<Block>] = if self.is_known { &self.page.blocks } else { &[] };
        let mut k = 0;
        loop {
            // Fast path: the block is the same but for values.
            while let Some(block) = old_blocks.get(k) {
                let mark = self.mark();
                if !self.same_block(block) {
                    self.take_back(&mark);
                    break;
                }
                self.metric_type = block.metric_type(self.metric_type);
                k += 1;
            }
            let is_over = k == old_blocks.len() && k > 0 && self.pos == self.body.len();
            if is_over {
                self.copy_unchanged();
                return Ok(());
            }
            // Slow path: read on until a block of the last page begins.
            match self.relearn(old_blocks, k)? {
                Some(next) => k = next,
                None => return Ok(()),
            }
        }
    }

    fn mark(&self) -> Mark {
        Mark {
            pos: self.pos,
            old: self.old,
            copied: self.copied,
            n_changed: self.draft.changed.len(),
            n_tails: self.draft.tails.len(),
            n_lens: self.draft.lens.len(),
        }
    }

    fn take_back(&mut self, mark: &Mark) {
        (self.pos, self.old, self.copied) = (mark.pos, mark.old, mark.copied);
        self.draft.changed.truncate(mark.n_changed);
        self.draft.tails.truncate(mark.n_tails);
        self.draft.lens.truncate(mark.n_lens);
    }

    /// Walks over a block; `false` where the page is another.
    #[inline]
    fn same_block(&mut self, block: &Block) -> bool {
        if block.is_volatile() {
            return false;
        }
        let (text, mut start) = (block.text(), 0);
        for end in block.ends() {
            let Some(rest) = self.body.get(self.pos..).and_then(|rest| rest.strip_prefix(&text[start..end]))
            else {
                return false;
            };
            self.pos += end - start;
            start = end;
            let len = self.page.lens[self.old.line];
            if len != NOT_KEPT && has_prefix(rest, &self.page.tails[self.old.tail..], usize::from(len)) {
                self.pos += usize::from(len);
                self.old = Cursor { line: self.old.line + 1, tail: self.old.tail + usize::from(len) };
            } else if !self.changed_tail(len) {
                return false;
            }
        }
        if start < text.len() {
            if self.body[self.pos..] != text[start..] {
                return false;
            }
            self.pos = self.body.len();
        }
        true
    }

    /// Parses the tail at `pos`. Any refusal is left to [`Walk::relearn`], which knows where the line begins.
    fn changed_tail(&mut self, old_len: u8) -> bool {
        let start = self.pos;
        let Ok(tail) = self.parser.tail(start) else { return false };
        self.copy_unchanged();
        self.push_tail(start, &tail);
        self.old = Cursor { line: self.old.line + 1, tail: self.old.tail + kept(old_len) };
        self.copied = self.old;
        true
    }

    fn copy_unchanged(&mut self) {
        let (page, from, to) = (self.page, self.copied, self.old);
        self.draft.tails.extend_from_slice(&page.tails[from.tail..to.tail]);
        self.draft.lens.extend_from_slice(&page.lens[from.line..to.line]);
        self.copied = to;
    }

    /// Adds a sample to the draft, and goes to the next line.
    fn push_tail(&mut self, start: usize, tail: &super::parser::Tail<'_>) {
        let place = |n: usize| u32::try_from(n).expect("a page is far under four gigabytes");
        // A last line without its end is not kept: with an end it would be the same sample, but other text.
        let end = tail.end + 1;
        let kept = self.body.get(start..end).filter(|kept| kept.len() <= TAIL_BYTES_MAX);
        self.draft.changed.push(Changed {
            line: place(self.draft.lens.len()),
            tail_at: place(start),
            value: tail.value,
            t_ms: tail.t_ms,
            has_exemplar: tail.exemplar.is_some(),
        });
        self.draft.tails.extend_from_slice(kept.unwrap_or_default());
        self.draft
            .lens
            .push(kept.map_or(NOT_KEPT, |kept| u8::try_from(kept.len()).expect("filtered to fit")));
        self.pos = end.min(self.body.len());
    }

    /// Reads blocks of the page anew from `pos` on, in place of the last page's from number `k` on, up to the
    /// block where both go on alike, whose number is returned; `None` at the page's end.
    fn relearn(&mut self, old_blocks: &[Arc<Block>], k: usize) -> Result<Option<usize>, Fail> {
        self.copy_unchanged();
        let place = |n: usize| u32::try_from(n).expect("a page is far under four gigabytes");
        let (old_start, new_start) = (self.old.line, self.draft.lens.len());
        let type_before = self.metric_type;
        let mut new_blocks = Vec::new();
        // Whole blocks that are gone cost no parsing.
        let next = match self.resync(old_blocks, k + 1) {
            Some(next) => Some(next),
            None => {
                self.parser.seek(self.pos, type_before);
                self.read_blocks(old_blocks, k, &mut new_blocks)?
            }
        };
        let old_end = next.unwrap_or(if self.is_known { old_blocks.len() } else { self.page.blocks.len() });
        for block in &self.page.blocks[k..old_end] {
            for _ in 0..block.n_lines() {
                self.old.tail += kept(self.page.lens[self.old.line]);
                self.old.line += 1;
            }
        }
        self.copied = self.old;
        self.draft.edits.push(Edit {
            old_lines: place(old_start)..place(self.old.line),
            new_lines: place(new_start)..place(self.draft.lens.len()),
            old_blocks: k..old_end,
            new_blocks,
            metric_type: type_before,
        });
        Ok(next)
    }

    /// The first block from number `from` on that may begin at `pos`.
    fn resync(&self, old_blocks: &[Arc<Block>], from: usize) -> Option<usize> {
        let window = old_blocks.get(from..old_blocks.len().min(from + RESYNC_BLOCKS_MAX))?;
        window.iter().position(|block| block.begins(&self.body[self.pos..])).map(|ahead| from + ahead)
    }

    fn read_blocks(
        &mut self,
        old_blocks: &[Arc<Block>],
        k: usize,
        new_blocks: &mut Vec<Arc<Block>>,
    ) -> Result<Option<usize>, Fail> {
        let mut builder = std::mem::take(&mut self.draft.builder);
        // Text before the next sample's tail, of which the builder knows nothing yet.
        let mut text_start = self.pos;
        let result = loop {
            let entry_start = self.parser.pos();
            let entry = self.parser.try_next()?;
            let is_boundary = match entry {
                Some(Entry::Sample(_)) => builder.ends_here() && entry_start == text_start,
                _ => builder.n_lines() > 0,
            };
            if is_boundary && entry_start == text_start && !builder.is_empty() {
                self.finish(&mut builder, new_blocks);
                self.pos = entry_start;
                if let Some(next) = self.resync(old_blocks, k) {
                    break Some(next);
                }
            }
            match entry {
                Some(Entry::Sample(sample)) => {
                    let key = self.parser.key();
                    let is_blank = matches!(self.body.get(key.end), Some(b' ' | b'\t'));
                    let text_end = key.end + usize::from(is_blank);
                    builder.push_line(&self.body[text_start..text_end], key.start - text_start);
                    let tail = self.parser.tail(text_end)?;
                    debug_assert_eq!(tail.value.to_bits(), sample.value.to_bits());
                    self.push_tail(text_end, &tail);
                    text_start = self.pos;
                }
                Some(Entry::Type { metric_type, .. }) => builder.set_type(metric_type),
                Some(_) => {}
                None => {
                    builder.push_rest(&self.body[text_start..]);
                    if !builder.is_empty() {
                        self.finish(&mut builder, new_blocks);
                    }
                    self.pos = self.body.len();
                    break None;
                }
            }
        };
        self.draft.builder = builder;
        Ok(result)
    }

    fn finish(&mut self, builder: &mut BlockBuilder, new_blocks: &mut Vec<Arc<Block>>) {
        let block = builder.finish(self.blocks);
        self.metric_type = block.metric_type(self.metric_type);
        new_blocks.push(block);
    }
}

/// Whether the first `len` bytes of both are equal. Most tails are short, and a call to memcmp costs more than they do.
#[inline]
fn has_prefix(a: &[u8], b: &[u8], len: usize) -> bool {
    if len <= 8
        && let (Some(a), Some(b)) = (a.first_chunk::<8>(), b.first_chunk::<8>())
    {
        // Little-endian: the first bytes are the low ones. A tail has its line end, so `len` is never 0.
        let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        return differing.trailing_zeros() as usize >= 8 * len;
    }
    a.len() >= len && b.len() >= len && a[..len] == b[..len]
}

#[cfg(test)]
mod tests;
