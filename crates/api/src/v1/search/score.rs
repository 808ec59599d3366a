//! How much a text is like what is searched for: from 0 (not at all) to 1 (it is, or begins with it).
//!
//! Pure. Methods and numbers of Prometheus 3.14's search API: subsequences as its web page scores them, or a part of the text
//! or else Jaro–Winkler similarity (Winkler 1990).

/// What a subsequence that is not the whole text scores at most. From Prometheus.
const NOT_WHOLE: f64 = 0.999;
/// Of what is found at the very end of a text. From Prometheus.
const AT_END: f64 = 0.1;
/// What each equal character at the start adds to Jaro's similarity, and how many count. Winkler's.
const PREFIX_SHARE: f64 = 0.1;
const PREFIX_MAX: usize = 4;

/// How texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// All characters, in order.
    Subsequence,
    /// A part of it, or similar to it.
    JaroWinkler,
}

/// What is searched for: any of some terms.
#[derive(Debug)]
pub(super) struct Terms {
    terms: Vec<Vec<char>>,
    /// From 0 to 1.
    threshold: f64,
    algorithm: Algorithm,
    is_case_sensitive: bool,
}

impl Terms {
    /// Empty terms are left out.
    pub(super) fn new(terms: &[&str], threshold: f64, algorithm: Algorithm, is_case_sensitive: bool) -> Self {
        let chars = |term: &&str| match is_case_sensitive {
            true => term.chars().collect(),
            false => term.to_lowercase().chars().collect::<Vec<char>>(),
        };
        let terms = terms.iter().filter(|term| !term.is_empty()).map(chars).collect();
        Self { terms, threshold, algorithm, is_case_sensitive }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The best score of any term; `None` when the text is like none of them.
    pub(super) fn score(&self, text: &str) -> Option<f64> {
        if self.terms.is_empty() {
            return Some(1.0);
        }
        let text: Vec<char> = match self.is_case_sensitive {
            true => text.chars().collect(),
            false => text.to_lowercase().chars().collect(),
        };
        let scores = self.terms.iter().filter_map(|term| self.score_of(term, &text));
        scores.max_by(f64::total_cmp)
    }

    fn score_of(&self, term: &[char], text: &[char]) -> Option<f64> {
        match self.algorithm {
            Algorithm::Subsequence if text.starts_with(term) => Some(1.0),
            Algorithm::Subsequence => {
                Some(subsequence(term, text)).filter(|score| *score > 0.0 && *score >= self.threshold)
            }
            Algorithm::JaroWinkler => part(term, text).or_else(|| {
                let is_wanted = self.threshold > 0.0;
                is_wanted.then(|| jaro_winkler(term, text)).filter(|score| *score >= self.threshold)
            }),
        }
    }
}

/// The earlier it is found, the better.
fn part(term: &[char], text: &[char]) -> Option<f64> {
    let at = text.windows(term.len()).position(|window| window == term)?;
    let last = text.len() - term.len();
    Some(if at == 0 { 1.0 } else { 1.0 - (1.0 - AT_END) * at as f64 / last as f64 })
}

/// Runs count by their squares, gaps against them; the best of all places to begin.
fn subsequence(term: &[char], text: &[char]) -> f64 {
    let Some(last_start) = text.len().checked_sub(term.len()) else { return 0.0 };
    let mut best = -1.0f64;
    for start in (0..=last_start).filter(|start| text[*start] == term[0]) {
        // What cannot be completed from here cannot from anywhere behind.
        let Some(score) = subsequence_from(start, term, text) else { break };
        best = best.max(score);
    }
    if best < 0.0 { 0.0 } else { best / (term.len() * term.len()) as f64 * NOT_WHOLE }
}

fn subsequence_from(start: usize, term: &[char], text: &[char]) -> Option<f64> {
    let share = 1.0 / text.len() as f64;
    let (mut score, mut at, mut n_found, mut end) = (0.0, start, 0, 0);
    while n_found < term.len() {
        let from = at + text[at..].iter().position(|c| *c == term[n_found])?;
        let rest = text[from..].iter().zip(&term[n_found..]);
        let n = rest.take_while(|(a, b)| a == b).count();
        if from > end {
            score -= (from - end) as f64 * share;
        }
        score += (n * n) as f64;
        (at, end) = (from + n, from + n);
        n_found += n;
    }
    Some(score - (text.len() - end) as f64 * share * 0.5)
}

fn jaro_winkler(a: &[char], b: &[char]) -> f64 {
    if a == b {
        return 1.0;
    }
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    let reach = (long.len() / 2).saturating_sub(1);
    let mut is_taken = vec![false; long.len()];
    let mut matched = Vec::new();
    for (idx, c) in short.iter().enumerate() {
        let window = idx.saturating_sub(reach)..(idx + reach + 1).min(long.len());
        if let Some(at) = window.into_iter().find(|at| !is_taken[*at] && long[*at] == *c) {
            is_taken[at] = true;
            matched.push(*c);
        }
    }
    if matched.is_empty() {
        return 0.0;
    }
    let others = long.iter().zip(&is_taken).filter(|(_, taken)| **taken).map(|(c, _)| c);
    let n_moved = matched.iter().zip(others).filter(|(a, b)| a != b).count() as f64;
    let n = matched.len() as f64;
    let jaro = (n / short.len() as f64 + n / long.len() as f64 + (n - n_moved * 0.5) / n) / 3.0;
    let n_prefix = short.iter().zip(long).take(PREFIX_MAX).take_while(|(a, b)| a == b).count() as f64;
    jaro + n_prefix * PREFIX_SHARE * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(terms: &[&str], threshold: f64, algorithm: Algorithm, text: &str, expected: Option<f64>) {
        let got = Terms::new(terms, threshold, algorithm, true).score(text);
        let rounded = got.map(|score| (score * 1e6).round() / 1e6);
        assert_eq!(rounded, expected, "{terms:?} in {text}");
    }

    #[test]
    fn subsequences_score_by_runs_and_gaps() {
        let check = |term, text, expected| check(&[term], 0.0, Algorithm::Subsequence, text, expected);
        check("http", "http_requests", Some(1.0));
        check("up", "up", Some(1.0));
        check("xyz", "abc", None);
        check("pu", "up", None);
        // One run of two, one character before it and none behind: (4 - 1/3) / 4.
        check("bc", "abc", Some((0.999f64 * (4.0 - 1.0 / 3.0) / 4.0 * 1e6).round() / 1e6));
        // Two runs of one, a gap of one between: (1 + 1 - 1/3) / 4.
        check("ac", "abc", Some((0.999f64 * (2.0 - 1.0 / 3.0) / 4.0 * 1e6).round() / 1e6));
        check("", "abc", Some(1.0));
    }

    #[test]
    fn parts_and_similar_texts() {
        let check = |terms: &[&str], threshold, text, expected| {
            check(terms, threshold, Algorithm::JaroWinkler, text, expected);
        };
        check(&["b"], 0.0, "ab", Some(0.1));
        check(&["martha"], 0.0, "marhta", None);
        // The values of Winkler's paper.
        check(&["martha"], 0.5, "marhta", Some(0.961111));
        check(&["dixon"], 0.5, "dicksonx", Some(0.813333));
        check(&["x", "b"], 0.0, "ab", Some(0.1));
    }

    #[test]
    fn case_counts_unless_it_does_not() {
        assert_eq!(Terms::new(&["UP"], 0.0, Algorithm::Subsequence, true).score("up"), None);
        assert_eq!(Terms::new(&["UP"], 0.0, Algorithm::Subsequence, false).score("Up"), Some(1.0));
    }
}
