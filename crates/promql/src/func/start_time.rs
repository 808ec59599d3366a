//! What start timestamps tell about two neighbouring samples of a counter. Source of the rules: Prometheus 3.14.

use super::window::Stamp;

/// Whether the counter began anew between the two.
pub(crate) fn is_reset(previous: Stamp, current: Stamp) -> bool {
    // Not known, invalid, or OpenTelemetry's way to say «not known».
    if current.start_ms == 0 || current.start_ms >= current.t_ms {
        return false;
    }
    if current.start_ms != previous.t_ms {
        return current.start_ms > previous.t_ms;
    }
    // Deltas begin where the one before ended; so do counters whose first start is not known, and those were not reset.
    previous.start_ms <= previous.t_ms && previous.start_ms != 0 && previous.start_ms != previous.t_ms
}

/// Whether the two claim the same time without having begun together.
pub(crate) fn is_overlap(previous: Stamp, current: Stamp) -> bool {
    current.start_ms != 0 && current.start_ms < previous.t_ms && current.start_ms != previous.start_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(previous: (i64, i64), current: (i64, i64)) -> (Stamp, Stamp) {
        let stamp = |(start_ms, t_ms)| Stamp { t_ms, start_ms };
        (stamp(previous), stamp(current))
    }

    #[test]
    fn a_later_start_is_a_reset() {
        let check = |previous, current, expected| {
            let (previous, current) = stamps(previous, current);
            assert_eq!(is_reset(previous, current), expected, "{previous:?} {current:?}");
        };
        check((5, 10), (0, 20), false);
        check((5, 10), (20, 20), false);
        check((5, 10), (5, 20), false);
        check((5, 10), (11, 20), true);
        // Deltas.
        check((5, 10), (10, 20), true);
        check((0, 10), (10, 20), false);
        check((10, 10), (10, 20), false);
        check((12, 10), (10, 20), false);
    }

    #[test]
    fn deltas_and_counters_do_not_overlap() {
        let check = |previous, current, expected| {
            let (previous, current) = stamps(previous, current);
            assert_eq!(is_overlap(previous, current), expected, "{previous:?} {current:?}");
        };
        check((5, 10), (5, 20), false);
        check((5, 10), (10, 20), false);
        check((5, 10), (0, 20), false);
        check((5, 10), (7, 20), true);
    }
}
