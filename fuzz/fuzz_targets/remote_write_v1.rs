//! Any body is a request of remote write 1.0 or is refused, whole or series by series.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::remote_write::{DecodeError, HashSecret, Item, RequestV1, decode_histogram};

fn walk(message: &[u8]) -> Result<(), DecodeError> {
    let secret = HashSecret::new(|| 7);
    let mut request = RequestV1::new(message);
    while let Some(item) = request.next()? {
        match item {
            Item::Metadata(metadata) => drop(metadata.decode()?),
            Item::Series(series) => {
                let _ = (series.hash(&secret), series.labels()?);
                let (mut samples, mut n_samples) = (series.samples(), 0);
                while samples.next()?.is_some() {
                    n_samples += 1;
                }
                assert_eq!(n_samples, series.parts().n_samples);
                series.histograms(|message| decode_histogram(message).map(drop))?;
                series.exemplars(drop)?;
            }
        }
    }
    Ok(())
}

fuzz_target!(|body: &[u8]| {
    let mut buffer = Vec::new();
    if let Ok(message) = wire::remote_write::decompress(body, &mut buffer) {
        let _ = walk(message);
    }
    let _ = walk(body);
});
