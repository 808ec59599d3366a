//! A request of version 2.0 as a whole: for those who read what they wrote themselves, and for tests.

use super::encode::TimeSeries;
use super::error::DecodeError;
use super::histogram;
use super::memo::HashSecret;
use super::v2::{RequestV2, SeriesV2};

/// Everything in `message`, which is decompressed. Series whose labels cannot be used, histograms that contradict themselves and
/// metadata without symbols are left out.
///
/// # Errors
/// When the bytes are no request.
pub fn decode_v2(message: &[u8], secret: &HashSecret) -> Result<Vec<TimeSeries>, DecodeError> {
    let request = RequestV2::new(message, secret)?;
    let (mut all, mut view) = (Vec::new(), SeriesV2::new());
    for idx in 0..request.n_series() {
        request.read(idx, &mut view)?;
        let Ok(labels) = request.labels(&view) else { continue };
        let metadata = request.metadata(&view).unwrap_or(None);
        let mut series = TimeSeries { labels, metadata, ..TimeSeries::default() };
        let mut samples = view.samples();
        while let Some(sample) = samples.next()? {
            series.samples.push(sample);
        }
        view.histograms(|message| {
            let decoded = histogram::decode(message)?;
            if let Ok(histogram) = decoded.histogram {
                series.histograms.push((decoded.t_ms, decoded.start_ms, histogram));
            }
            Ok::<_, DecodeError>(())
        })?;
        request.exemplars(&view, |exemplar| series.exemplars.extend(exemplar.ok()))?;
        all.push(series);
    }
    Ok(all)
}
