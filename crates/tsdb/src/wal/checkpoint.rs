//! Writes the head's state to a file that stands for all segments before it.

use std::path::Path;
use std::sync::Arc;

use model::Labels;
use stdx::Dir;

use super::frame::{FileHeader, FileKind, put_record};
use super::record::{encode_checkpoint_end, encode_checkpoint_series};
use super::{WAL_DIR, checkpoint_path};
use crate::error::TsdbError;

/// Bytes gathered before each write. Chosen: few system calls, little memory.
const BUFFER_BYTES: usize = 1 << 20;

/// One series of the head as it was when the segment began.
#[derive(Debug)]
pub(crate) struct CheckpointSeries {
    pub(crate) series: u64,
    pub(crate) labels: Labels,
    pub(crate) chunks: Vec<Arc<[u8]>>,
}

/// Writes checkpoint `number`; its return means that it is durable under its name.
pub(crate) fn write_checkpoint(
    dir: &dyn Dir,
    number: u64,
    series: &[CheckpointSeries],
    next_series: u64,
) -> Result<(), TsdbError> {
    let path = checkpoint_path(number);
    let mut tmp = path.clone().into_os_string();
    tmp.push(".tmp");
    let tmp = Path::new(&tmp);
    let mut file = dir.create(tmp).map_err(TsdbError::io("create", tmp))?;
    let header = FileHeader { kind: FileKind::Checkpoint, number, previous_bytes: 0 };
    let mut buffer = header.encode().to_vec();
    for one in series {
        let chunks = one.chunks.iter().map(|chunk| &chunk[..]);
        put_record(&mut buffer, &encode_checkpoint_series(one.series, &one.labels, chunks));
        if buffer.len() >= BUFFER_BYTES {
            file.append(&buffer).map_err(TsdbError::io("write", tmp))?;
            buffer.clear();
        }
    }
    put_record(&mut buffer, &encode_checkpoint_end(next_series, series.len() as u64));
    file.append(&buffer).map_err(TsdbError::io("write", tmp))?;
    file.sync().map_err(TsdbError::io("sync", tmp))?;
    dir.rename(tmp, &path).map_err(TsdbError::io("rename", tmp))?;
    dir.sync_dir(Path::new(WAL_DIR)).map_err(TsdbError::io("sync", Path::new(WAL_DIR)))
}
