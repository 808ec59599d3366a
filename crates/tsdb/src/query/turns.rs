//! Which parts of the store follow each other in time, and which overlap and have to be told apart sample by sample.
//!
//! In the time ranges of blocks and head, out for each the turn that it is of. What is alone in its turn may stand as summaries of its pages; a last
//! block and the head nearly always share one, since groups are sealed up to different rows.

use std::sync::Arc;

use model::TimeRange;

use crate::block::Block;

/// The parts of an answer by turn; of one turn in the order in which their samples stay.
#[derive(Debug)]
pub(super) struct Turns<T> {
    /// Turn and part, by rising turn.
    pub(super) parts: Vec<(usize, T)>,
    /// The head's.
    pub(super) head: usize,
}

impl Turns<Arc<Block>> {
    /// Of blocks, beside a head that holds samples from `head_ms` on, if any.
    pub(super) fn of_blocks(blocks: Vec<Arc<Block>>, head_ms: Option<i64>) -> Self {
        Turns::of(blocks, |block| block.range(), head_ms)
    }
}

impl<T> Turns<T> {
    /// Where nothing is known to follow anything.
    pub(super) fn one(parts: Vec<T>) -> Self {
        Self { parts: parts.into_iter().map(|part| (0, part)).collect(), head: 0 }
    }

    fn of(parts: Vec<T>, range: impl Fn(&T) -> TimeRange, head_ms: Option<i64>) -> Self {
        let mut ranges: Vec<TimeRange> = parts.iter().map(&range).collect();
        ranges.extend(head_ms.map(|start_ms| TimeRange::new(start_ms, i64::MAX)));
        ranges.sort_by_key(|range| range.start_ms);
        // When each turn ends.
        let mut ends: Vec<i64> = Vec::new();
        for range in ranges {
            match ends.last_mut() {
                Some(end_ms) if range.start_ms <= *end_ms => *end_ms = range.end_ms.max(*end_ms),
                _ => ends.push(range.end_ms),
            }
        }
        let turn_at = |t_ms: i64| ends.partition_point(|end_ms| *end_ms < t_ms);
        let head = turn_at(head_ms.unwrap_or(i64::MAX));
        let mut parts: Vec<(usize, T)> =
            parts.into_iter().map(|part| (turn_at(range(&part).start_ms), part)).collect();
        parts.sort_by_key(|(turn, _)| *turn);
        Self { parts, head }
    }

    /// Whether nothing else is of the turn.
    pub(super) fn is_alone(&self, turn: usize) -> bool {
        let n_parts = self.parts.iter().filter(|(of, _)| *of == turn).count();
        n_parts + usize::from(self.head == turn) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The turns of ranges in their order, and of the head; `*` where something is alone.
    fn check(ranges: &[(i64, i64)], head_ms: Option<i64>, expected: &str) {
        let parts = ranges.iter().map(|(from, to)| TimeRange::new(*from, *to)).collect();
        let turns = Turns::of(parts, |range| *range, head_ms);
        let alone = |turn: usize| if turns.is_alone(turn) { "*" } else { "" };
        let mut said: Vec<String> = turns
            .parts
            .iter()
            .map(|(turn, range)| format!("{}-{}:{turn}{}", range.start_ms, range.end_ms, alone(*turn)))
            .collect();
        said.push(format!("head:{}{}", turns.head, alone(turns.head)));
        assert_eq!(said.join(" "), expected);
    }

    #[test]
    fn what_overlaps_is_of_one_turn() {
        check(&[], None, "head:0*");
        check(&[(0, 9), (10, 19)], None, "0-9:0* 10-19:1* head:2*");
        check(&[(0, 9), (10, 19)], Some(20), "0-9:0* 10-19:1* head:2*");
        check(&[(0, 9), (10, 19)], Some(19), "0-9:0* 10-19:1 head:1");
        check(&[(10, 19), (0, 9)], Some(30), "0-9:0* 10-19:1* head:2*");
        // A block of late samples takes what it reaches into, in the order of before.
        check(&[(5, 12), (0, 9), (10, 19), (20, 29)], Some(30), "5-12:0 0-9:0 10-19:0 20-29:1* head:2*");
        check(&[(0, 9), (10, 19)], Some(i64::MIN), "0-9:0 10-19:0 head:0");
    }
}
