//! What the operating system says of a process and of a folder: CPU seconds, memory, bytes on disk.
//!
//! Nothing here asks the process itself, so every server is measured the same way.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// CPU seconds of a process so far: user and system, threads that ended and children that were waited for included.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    let ticks = ticks_in(&stat).with_context(|| format!("/proc/{pid}/stat: {stat:?}"))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// utime, stime, cutime and cstime: fields 14 to 17. The command's name may hold spaces and ends with the last `)`.
fn ticks_in(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// Most resident since the start, or since [`forget_peak`].
    pub peak: u64,
}

/// `VmRSS` and `VmHWM`.
pub fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let bytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).context("no such line")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{key}{line}"))?;
        anyhow::Ok(kib * 1_024)
    };
    Ok(Memory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

/// Sets the peak back to what is resident now.
pub fn forget_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("cannot reset the peak of memory")
}

/// Bytes of all files below a folder that `wanted` picks by their path below it. Holes and preallocated tails do not count.
pub fn disk_bytes(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> u64 {
    let mut total = 0;
    each_file(folder, &mut |path| {
        if wanted(path.strip_prefix(folder).unwrap_or(path)) {
            // A file may vanish between the listing and here: compaction goes on.
            total += fs::metadata(path).map_or(0, |meta| meta.len().min(meta.blocks() * 512));
        }
    });
    total
}

/// Drops the folder's files from the page cache, as after a boot. Dirty pages stay, so it syncs first.
pub fn drop_page_cache(folder: &Path) {
    each_file(folder, &mut |path| {
        if let Ok(file) = File::open(path) {
            let _ = file.sync_data();
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        }
    });
}

fn each_file(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => each_file(&entry.path(), visit),
            Ok(kind) if kind.is_file() => visit(&entry.path()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_move_the_fields() {
        let stat = "77 (a ) b) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 15 16";
        assert_eq!(ticks_in(stat), Some(127));
    }

    #[test]
    fn this_process_has_used_memory() {
        let memory = memory(std::process::id()).expect("we are here");
        assert!(memory.resident > 0 && memory.peak >= memory.resident);
        assert!(cpu_seconds(std::process::id()).is_ok());
    }
}
