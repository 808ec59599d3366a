//! A `.tar.gz` of a few small files, in memory.
//!
//! Format: POSIX.1-2001, "ustar Interchange Format": a header of 512 bytes, then the file filled up to 512.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Header and content come in pieces of this size.
const BLOCK_BYTES: usize = 512;
/// Longest name, without the format's second field for folders.
const NAME_BYTES_MAX: usize = 100;

/// The files so far, packed.
pub(super) struct Archive {
    out: GzEncoder<Vec<u8>>,
    modified_at_s: i64,
}

impl Archive {
    /// An empty one; `modified_at_s` is the time of all its files, in Unix seconds.
    pub(super) fn new(modified_at_s: i64) -> Self {
        Self { out: GzEncoder::new(Vec::new(), Compression::default()), modified_at_s }
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When the name is longer than the format holds.
    pub(super) fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        if name.len() > NAME_BYTES_MAX {
            return Err(io::Error::other(format!("name of more than {NAME_BYTES_MAX} bytes: {name}")));
        }
        self.out.write_all(&header(name, content.len(), self.modified_at_s))?;
        self.out.write_all(content)?;
        let rest = content.len() % BLOCK_BYTES;
        self.out.write_all(&[0; BLOCK_BYTES][..if rest == 0 { 0 } else { BLOCK_BYTES - rest }])
    }

    /// The archive.
    ///
    /// # Errors
    /// None in memory.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.out.write_all(&[0; 2 * BLOCK_BYTES])?;
        self.out.finish()
    }
}

fn header(name: &str, n_bytes: usize, modified_at_s: i64) -> [u8; BLOCK_BYTES] {
    let mut header = [0; BLOCK_BYTES];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{n_bytes:011o}\0"));
    put(136, &format!("{:011o}\0", modified_at_s.max(0)));
    // The sum is taken with blanks in its own place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\u{0}00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_types, reason = "what was packed a line above")]
    fn files_lie_behind_each_other_in_whole_blocks() {
        let mut archive = Archive::new(1_700_000_000);
        archive.add("a.txt", b"hello").unwrap();
        archive.add("empty", b"").unwrap();
        archive.add("full", &[b'x'; BLOCK_BYTES]).unwrap();
        assert!(archive.add(&"n".repeat(101), b"").is_err());
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(&archive.finish().unwrap()[..]).read_to_end(&mut tar).unwrap();
        assert_eq!(tar.len(), BLOCK_BYTES * (2 + 1 + 2 + 2));
        assert_eq!((&tar[..6], &tar[124..136]), (&b"a.txt\0"[..], &b"00000000005\0"[..]));
        assert_eq!((&tar[257..265], &tar[512..518]), (&b"ustar\x0000"[..], &b"hello\0"[..]));
        let sum: u32 =
            (0..BLOCK_BYTES).map(|at| if (148..156).contains(&at) { 32 } else { u32::from(tar[at]) }).sum();
        assert_eq!(std::str::from_utf8(&tar[148..154]).unwrap(), format!("{sum:06o}"));
        assert_eq!(&tar[1_536..1_541], b"full\0");
    }
}
