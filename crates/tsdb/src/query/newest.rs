//! The newest sample of each series: of a block, of the head, or of all of them that a lookback reaches.
//!
//! Mostly all samples of a lookback are in one of them. Where the range reaches into roll-ups there is no quicker way than to join series.

mod head;
mod merge;

use storage::{NewestAsk, NewestSet, QueryError};

use super::{blocks_in, head_overlaps};
use crate::db::Db;
use crate::newest::Pairs;
use head::NewestOfHead;
use merge::{Merged, Source};

/// See `storage::Queryable::newest`.
pub(super) fn newest<'a>(
    db: &'a Db,
    ask: &NewestAsk<'_>,
) -> Result<Option<Box<dyn NewestSet + 'a>>, QueryError> {
    if ask.range.start_ms > ask.range.end_ms {
        return Ok(None);
    }
    let mut pairs = (!blocks_in(db, ask.range).is_empty()).then(Pairs::default);
    let head = head_overlaps(db, ask.range).then(|| NewestOfHead::capture(db.head(), ask, pairs.as_mut()));
    // What left the head meanwhile is in a block by now.
    let blocks = blocks_in(db, ask.range);
    if ask.range.start_ms < db.rolled_up_floor_ms() || head.is_some() && pairs.is_none() && !blocks.is_empty()
    {
        return Ok(None);
    }
    let mut sources = Vec::with_capacity(blocks.len() + 1);
    for block in &blocks {
        let Some(set) = block.newest(ask)? else { return Ok(None) };
        sources.push(Source::Block(set));
    }
    sources.extend(head.map(Source::Head));
    Ok(match sources.len() {
        0 => None,
        1 => sources.pop().map(Source::into_set),
        _ => Some(Box::new(Merged::new(sources, pairs.unwrap_or_default()))),
    })
}
