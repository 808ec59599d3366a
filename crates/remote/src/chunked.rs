//! Series out of frames of chunks, as other servers stream them to a reader.
//!
//! In from `reader`, messages one after the other; out: the samples in the range that was asked for. Chunks are those of Prometheus'
//! blocks, read by `promdata`. Holds the series so far, up to a limit.

use std::sync::Arc;

use model::{Labels, TimeRange};
use promdata::{Decoded, decode_chunk};
use storage::Series;
use wire::remote_write::decode_chunked_message;

/// Samples of an answer; one of a native histogram counts as one for each bucket. Chosen: about what the largest answer that is not
/// streamed holds.
const SAMPLES_MAX: usize = 16 << 20;

/// Gathers series.
#[derive(Debug)]
pub(crate) struct Collector {
    range: TimeRange,
    done: Vec<Series>,
    /// One series may go on in the next frame.
    open: Option<(Labels, Decoded)>,
    n_samples: usize,
}

impl Collector {
    /// For samples of `range`.
    pub(crate) fn new(range: TimeRange) -> Self {
        Self { range, done: Vec::new(), open: None, n_samples: 0 }
    }

    /// Takes one message.
    pub(crate) fn take(&mut self, message: &[u8]) -> Result<(), String> {
        for (labels, chunks) in decode_chunked_message(message).map_err(|err| err.to_string())? {
            if self.open.as_ref().is_none_or(|(open, _)| *open != labels) {
                self.close();
                self.open = Some((labels, Decoded::default()));
            }
            let (labels, decoded) = self.open.as_mut().expect("opened above");
            for chunk in chunks {
                if chunk.max_ms < self.range.start_ms || chunk.min_ms > self.range.end_ms {
                    continue;
                }
                let (n_floats, n_histograms) = (decoded.values.len(), decoded.histograms.len());
                decode_chunk(chunk.encoding, chunk.data, decoded)
                    .map_err(|err| format!("a chunk of {labels} cannot be read: {err}"))?;
                let buckets = decoded.histograms[n_histograms..].iter().map(|sample| {
                    1 + sample.histogram.positive_buckets.len() + sample.histogram.negative_buckets.len()
                });
                self.n_samples += decoded.values.len() - n_floats + buckets.sum::<usize>();
                if self.n_samples > SAMPLES_MAX {
                    return Err(format!(
                        "the answer has more than {SAMPLES_MAX} samples: ask for fewer series or a shorter time"
                    ));
                }
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        let Some((labels, decoded)) = self.open.take() else { return };
        let series = trimmed(decoded.into_series(labels), self.range);
        if !series.timestamps.is_empty() || !series.histograms.is_empty() {
            self.done.push(series);
        }
    }

    /// What was gathered.
    pub(crate) fn finish(mut self) -> Vec<Series> {
        self.close();
        self.done
    }
}

/// Chunks reach beyond what was asked for.
fn trimmed(mut series: Series, range: TimeRange) -> Series {
    let first = series.timestamps.partition_point(|t_ms| *t_ms < range.start_ms);
    let end = series.timestamps.partition_point(|t_ms| *t_ms <= range.end_ms).max(first);
    if end - first < series.timestamps.len() {
        series.timestamps = Arc::new(series.timestamps[first..end].to_vec());
        series.values = series.values[first..end].to_vec();
        if !series.starts.is_empty() {
            series.starts = series.starts[first..end].to_vec();
        }
    }
    series.histograms.retain(|sample| range.start_ms <= sample.t_ms && sample.t_ms <= range.end_ms);
    series
}

#[cfg(test)]
mod tests {
    use promdata::encode_chunks;
    use wire::remote_write::{ChunkRef, Frames, put_chunked_frame};

    use super::*;

    fn series(job: &str, times: std::ops::Range<i64>) -> Series {
        let times: Vec<i64> = times.collect();
        let values = times.iter().map(|t_ms| *t_ms as f64).collect();
        Series::floats(Labels::from_pairs([("__name__", "up"), ("job", job)]), Arc::new(times), values)
    }

    /// What a reader of `range` gets when each chunk comes in a frame of its own.
    fn read(sent: &[Series], range: TimeRange) -> Vec<Series> {
        let mut body = Vec::new();
        for series in sent {
            for chunk in encode_chunks(series) {
                let chunk = ChunkRef {
                    min_ms: chunk.min_ms,
                    max_ms: chunk.max_ms,
                    encoding: chunk.encoding,
                    data: &chunk.data,
                };
                put_chunked_frame(&mut body, 0, &series.labels, &[chunk]);
            }
        }
        let (mut frames, mut collector) = (Frames::new(1 << 20), Collector::new(range));
        frames.push(&body);
        while let Some(message) = frames.next().unwrap() {
            collector.take(message).unwrap();
        }
        collector.finish()
    }

    #[test]
    fn series_of_many_frames_come_whole_and_no_sample_beyond_the_range() {
        let sent = [series("a", 0..1_000), series("b", 500..600), series("c", 0..10)];
        let got = read(&sent, TimeRange::new(200, 549));
        let shown: Vec<_> = got
            .iter()
            .map(|series| (series.labels.get("job"), series.timestamps.first(), series.timestamps.len()))
            .collect();
        assert_eq!(shown, [(Some("a"), Some(&200), 350), (Some("b"), Some(&500), 50)]);
        let whole = read(&sent[2..], TimeRange::new(0, 9)).remove(0);
        assert_eq!(
            (&whole.labels, &whole.timestamps, &whole.values),
            (&sent[2].labels, &sent[2].timestamps, &sent[2].values)
        );
    }

    #[test]
    fn what_is_no_chunk_is_told_with_its_series() {
        let mut body = Vec::new();
        let chunk = ChunkRef { min_ms: 0, max_ms: 9, encoding: 77, data: &[1] };
        put_chunked_frame(&mut body, 0, &Labels::from_pairs([("__name__", "up")]), &[chunk]);
        let mut frames = Frames::new(1_000);
        frames.push(&body);
        let err = Collector::new(TimeRange::new(0, 9)).take(frames.next().unwrap().unwrap()).unwrap_err();
        assert_eq!(err, r#"a chunk of {__name__="up"} cannot be read: chunk encoding 77"#);
    }
}
