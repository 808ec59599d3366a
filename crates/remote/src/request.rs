//! Series dealt to shards and cut into requests.
//!
//! In from `read`; out to `driver`. Pure. All parts of a series go to one shard, in order, so that shards may send at the same time.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use wire::remote_write::{TimeSeries, compress, encode_v1, encode_v2};

use crate::config::WriteMessage;
use crate::shape::{Dropped, Shaper};

/// A request, to be sent as often as it takes.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) series: Vec<TimeSeries>,
    /// Encoded and compressed.
    pub(crate) body: Vec<u8>,
    message: WriteMessage,
}

/// How much a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) n_samples: u64,
    pub(crate) n_histograms: u64,
    pub(crate) n_exemplars: u64,
}

impl Request {
    pub(crate) fn new(message: WriteMessage, series: Vec<TimeSeries>) -> Self {
        let body = compress(&match message {
            WriteMessage::V1 => encode_v1(&series),
            WriteMessage::V2 => encode_v2(&series),
        });
        Self { series, body, message }
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for series in &self.series {
            counts.n_samples += series.samples.len() as u64;
            counts.n_histograms += series.histograms.len() as u64;
            counts.n_exemplars += series.exemplars.len() as u64;
        }
        counts
    }

    /// Without what has become too old while it waited.
    pub(crate) fn without_old(self, shaper: &Shaper, now_ms: i64, dropped: &mut Dropped) -> Self {
        let before = self.counts();
        let mut series = self.series;
        series.iter_mut().for_each(|one| shaper.drop_old(one, now_ms, dropped));
        series.retain(|one| size_of_series(one) + one.exemplars.len() > 0);
        let slim = Self { series, ..self };
        if slim.counts() == before { slim } else { Self::new(slim.message, slim.series) }
    }

    /// Its two halves: by series, or the one series by time; `None` when there is nothing to divide.
    pub(crate) fn halves(&self) -> Option<[Self; 2]> {
        if self.series.len() > 1 {
            let (a, b) = self.series.split_at(self.series.len() / 2);
            return Some([Self::new(self.message, a.to_vec()), Self::new(self.message, b.to_vec())]);
        }
        let only = self.series.first()?;
        if size_of_series(only) < 2 {
            return None;
        }
        let mut rest = only.clone();
        let first = cut(&mut rest, size_of_series(only) / 2);
        Some([Self::new(self.message, vec![first]), Self::new(self.message, vec![rest])])
    }
}

fn size_of_series(series: &TimeSeries) -> usize {
    series.samples.len() + series.histograms.len()
}

/// Takes the first `n` samples off; a series has floats or histograms here. Exemplars stay with the rest.
fn cut(series: &mut TimeSeries, n: usize) -> TimeSeries {
    let later_samples = series.samples.split_off(n.min(series.samples.len()));
    let later_histograms = series.histograms.split_off(n.min(series.histograms.len()));
    TimeSeries {
        labels: series.labels.clone(),
        samples: std::mem::replace(&mut series.samples, later_samples),
        histograms: std::mem::replace(&mut series.histograms, later_histograms),
        exemplars: Vec::new(),
        metadata: series.metadata.clone(),
    }
}

/// The requests of each shard, in order, of at most `samples_max` samples each; an exemplar counts as one.
pub(crate) fn deal(
    series: Vec<TimeSeries>,
    n_shards: usize,
    samples_max: usize,
    message: WriteMessage,
) -> Vec<Vec<Request>> {
    let mut open: Vec<(Vec<TimeSeries>, usize)> = vec![(Vec::new(), 0); n_shards.max(1)];
    let mut out: Vec<Vec<Request>> = vec![Vec::new(); open.len()];
    for mut one in series {
        let shard = shard_of(&one, open.len());
        let (batch, n_samples) = &mut open[shard];
        loop {
            let room = samples_max.saturating_sub(*n_samples);
            let size = size_of_series(&one);
            if size + one.exemplars.len() <= room || (size <= 1 && batch.is_empty()) {
                *n_samples += size + one.exemplars.len();
                batch.push(one);
                break;
            }
            if room > 0 && size > room {
                batch.push(cut(&mut one, room));
            }
            if batch.is_empty() {
                // More exemplars than a request may have samples: a receiver bears that.
                *n_samples += size + one.exemplars.len();
                batch.push(one);
                break;
            }
            out[shard].push(Request::new(message, std::mem::take(batch)));
            *n_samples = 0;
        }
    }
    for (shard, (batch, _)) in open.into_iter().enumerate() {
        if !batch.is_empty() {
            out[shard].push(Request::new(message, batch));
        }
    }
    out
}

fn shard_of(series: &TimeSeries, n_shards: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    series.labels.hash(&mut hasher);
    (hasher.finish() % n_shards as u64) as usize
}

#[cfg(test)]
mod tests {
    use model::{Exemplar, Labels};
    use proptest::prelude::*;
    use wire::remote_write::Sample;

    use super::*;

    fn series(name: usize, n_samples: usize, n_exemplars: usize) -> TimeSeries {
        let labels = Labels::from_pairs([("__name__", format!("m{name}"))]);
        let sample = |t_ms: usize| Sample { t_ms: t_ms as i64, start_ms: 0, value: 1.0 };
        let exemplar = |t_ms: usize| Exemplar { labels: Labels::empty(), value: 1.0, t_ms: t_ms as i64 };
        TimeSeries {
            labels,
            samples: (0..n_samples).map(sample).collect(),
            exemplars: (0..n_exemplars).map(exemplar).collect(),
            ..TimeSeries::default()
        }
    }

    fn samples(requests: &[Request]) -> Vec<(Labels, i64)> {
        let all = requests.iter().flat_map(|request| &request.series);
        all.flat_map(|one| one.samples.iter().map(|sample| (one.labels.clone(), sample.t_ms))).collect()
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_changes_its_order(
            sizes in proptest::collection::vec((0usize..9, 0usize..3), 0..30),
            n_shards in 1usize..5,
            max in 1usize..7,
        ) {
            let all: Vec<_> = sizes.iter().enumerate().map(|(name, (n, e))| series(name, *n, *e)).collect();
            let dealt = deal(all.clone(), n_shards, max, WriteMessage::V1);
            prop_assert_eq!(dealt.len(), n_shards);
            let mut seen = Vec::new();
            for shard in &dealt {
                for request in shard {
                    let counts = request.counts();
                    prop_assert!(counts.n_samples as usize <= max);
                }
                let of_shard = samples(shard);
                for pair in of_shard.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
                    prop_assert!(pair[0].1 < pair[1].1);
                }
                seen.extend(of_shard);
            }
            let expected: Vec<_> = all.iter().flat_map(|one| one.samples.iter().map(|sample| (one.labels.clone(), sample.t_ms))).collect();
            let (mut seen, mut expected) = (seen, expected);
            seen.sort();
            expected.sort();
            prop_assert_eq!(seen, expected);
            let n_exemplars: u64 = dealt.iter().flatten().map(|request| request.counts().n_exemplars).sum();
            prop_assert_eq!(n_exemplars as usize, sizes.iter().map(|(_, e)| e).sum::<usize>());
        }
    }

    #[test]
    fn halves_end_at_single_samples() {
        let mut open = vec![Request::new(WriteMessage::V1, vec![series(0, 3, 1), series(1, 2, 0)])];
        let mut leaves = Vec::new();
        while let Some(request) = open.pop() {
            match request.halves() {
                Some(halves) => open.extend(halves),
                None => leaves.push(request),
            }
        }
        assert_eq!(leaves.len(), 5);
        assert!(leaves.iter().all(|leaf| leaf.counts().n_samples == 1));
        assert_eq!(leaves.iter().map(|leaf| leaf.counts().n_exemplars).sum::<u64>(), 1);
    }
}
