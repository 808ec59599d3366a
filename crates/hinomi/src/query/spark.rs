//! A series as one line of blocks.

/// From low to high.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Longest line, in characters. Chosen: leaves room for labels on a usual terminal.
pub(super) const WIDTH_MAX: usize = 40;

/// `points` are seconds and value; the line goes from `start` to `end`. A place without points stays blank; of several points
/// the mean counts.
pub(super) fn line(points: &[(f64, f64)], start: f64, end: f64, n_steps: usize) -> String {
    let width = n_steps.clamp(1, WIDTH_MAX);
    let span = (end - start).max(f64::MIN_POSITIVE);
    let mut places = vec![(0.0, 0usize); width];
    for (at, value) in points.iter().filter(|(_, value)| value.is_finite()) {
        let place = (((at - start) / span * width as f64) as usize).min(width - 1);
        places[place].0 += value;
        places[place].1 += 1;
    }
    let means: Vec<Option<f64>> =
        places.into_iter().map(|(sum, n)| (n > 0).then(|| sum / n as f64)).collect();
    let low = means.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let block = |value: &f64| {
        if high <= low {
            return BLOCKS[3];
        }
        BLOCKS[(((value - low) / (high - low)) * 7.0).round() as usize]
    };
    means.iter().map(|mean| mean.as_ref().map_or(' ', block)).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_rise_with_values_and_have_gaps() {
        let at = |values: &[f64]| -> Vec<(f64, f64)> {
            values.iter().enumerate().map(|(idx, value)| (idx as f64, *value)).collect()
        };
        assert_eq!(line(&at(&[0.0, 1.0, 2.0, 7.0]), 0.0, 3.0, 4), "▁▂▃█");
        assert_eq!(line(&at(&[5.0, 5.0]), 0.0, 1.0, 2), "▄▄");
        assert_eq!(line(&at(&[1.0, f64::NAN, 2.0]), 0.0, 2.0, 3), "▁ █");
        assert_eq!(line(&[], 0.0, 2.0, 3), "");
        assert_eq!(line(&at(&[1.0; 400]), 0.0, 399.0, 400).chars().count(), WIDTH_MAX);
    }
}
