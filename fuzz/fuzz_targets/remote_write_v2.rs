//! Any message is a request of remote write 2.0 or is refused, whole or series by series.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::remote_write::{DecodeError, HashSecret, RequestV2, SeriesV2, decode_histogram};

fn walk(message: &[u8]) -> Result<(), DecodeError> {
    let secret = HashSecret::new(|| 7);
    let request = RequestV2::new(message, &secret)?;
    let (mut series, mut scratch) = (SeriesV2::new(), Vec::new());
    for idx in 0..request.n_series() {
        request.read(idx, &mut series)?;
        let has_hash = request.hash(&series, &secret, &mut scratch).is_some();
        let (labels, metadata) = (request.labels(&series), request.metadata(&series));
        assert!(has_hash || labels.is_err() || metadata.is_err(), "a hash is there when all references lead somewhere");
        let (mut samples, mut n_samples) = (series.samples(), 0);
        while samples.next()?.is_some() {
            n_samples += 1;
        }
        assert_eq!(n_samples, series.parts().n_samples);
        series.histograms(|message| decode_histogram(message).map(drop))?;
        request.exemplars(&series, drop)?;
    }
    Ok(())
}

fuzz_target!(|message: &[u8]| {
    let whole = wire::remote_write::decode_v2(message, &HashSecret::new(|| 7));
    assert!(walk(message).is_err() || whole.is_ok());
});
