//! This process' own metrics, under the names of Prometheus' client libraries.

use std::path::Path;

use model::metadata::MetricType::{Counter, Gauge};
use stdx::{Dir, DiskDir};
use wire::exposition::Writer;

use crate::procfs;

/// Ticks of a second in the kernel's files; the same on all of Linux' architectures that matter.
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;

/// `process_cpu_seconds_total`, `process_resident_memory_bytes` and so on, as a page of the text format. What the
/// kernel does not say is left out; without `/proc` the page is empty.
#[must_use]
pub fn collect() -> String {
    collect_from(&DiskDir::anywhere(), Path::new("/proc"))
}

/// As [`collect`], from a proc file system elsewhere.
fn collect_from(dir: &dyn Dir, procfs: &Path) -> String {
    let read = |name: &str| {
        let bytes = dir.read(&procfs.join(name)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let mut page = Writer::new();
    if let Some(stat) = read("self/stat").and_then(|text| procfs::process_stat(&text).ok()) {
        let help = "Total user and system CPU time spent in seconds.";
        page.single("process_cpu_seconds_total", help, Counter, stat.cpu_ticks as f64 / TICKS_PER_SECOND);
        let resident_bytes = stat.resident_pages as f64 * rustix::param::page_size() as f64;
        let help = "Resident memory size in bytes.";
        page.single("process_resident_memory_bytes", help, Gauge, resident_bytes);
        let help = "Virtual memory size in bytes.";
        page.single("process_virtual_memory_bytes", help, Gauge, stat.virtual_bytes as f64);
        if let Some(kernel) = read("stat").and_then(|text| procfs::stat(&text).ok()) {
            let started = kernel.boot_time_secs as f64 + stat.start_ticks as f64 / TICKS_PER_SECOND;
            let help = "Start time of the process since unix epoch in seconds.";
            page.single("process_start_time_seconds", help, Gauge, started);
        }
    }
    if let Ok(fds) = dir.list(&procfs.join("self/fd")) {
        page.single("process_open_fds", "Number of open file descriptors.", Gauge, fds.len() as f64);
    }
    let limits = read("self/limits").unwrap_or_default();
    if let Some(fds_max) = procfs::soft_limit(&limits, "Max open files") {
        page.single("process_max_fds", "Maximum number of open file descriptors.", Gauge, fds_max);
    }
    if let Some(memory_max) = procfs::soft_limit(&limits, "Max address space") {
        // Go's client shows «unlimited» as the greatest number.
        let memory_max = if memory_max.is_finite() { memory_max } else { u64::MAX as f64 };
        let help = "Maximum amount of virtual memory available in bytes.";
        page.single("process_virtual_memory_max_bytes", help, Gauge, memory_max);
    }
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::exposition::{Entry, Format, Parser};

    #[test]
    fn this_process_has_all_of_them() {
        let page = collect();
        let mut parser = Parser::new(page.as_bytes(), Format::Text004);
        let mut names = Vec::new();
        while let Some(entry) = parser.next_entry().expect("a valid page") {
            if let Entry::Sample(sample) = entry {
                assert!(sample.value >= 0.0, "{}", sample.raw);
                names.push(sample.raw.to_owned());
            }
        }
        names.sort();
        let expected = [
            "process_cpu_seconds_total",
            "process_max_fds",
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_virtual_memory_bytes",
            "process_virtual_memory_max_bytes",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn without_proc_the_page_is_empty() {
        assert_eq!(collect_from(&stdx::MemDir::new(), Path::new("/proc")), "");
    }
}
