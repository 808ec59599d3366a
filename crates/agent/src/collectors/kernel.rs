//! What the kernel counts of itself: load, interrupts, forks, pressure, open files, randomness, scheduling.

use model::metadata::MetricType::{Counter, Gauge};
use wire::exposition::Writer;

use crate::error::CollectError;
use crate::host::Host;
use crate::procfs;

pub(super) fn loadavg(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let [one, five, fifteen] = host.parse("loadavg", procfs::loadavg)?;
    page.single("node_load1", "1m load average.", Gauge, one);
    page.single("node_load15", "15m load average.", Gauge, fifteen);
    page.single("node_load5", "5m load average.", Gauge, five);
    Ok(())
}

pub(super) fn stat(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let stat = host.parse("stat", procfs::stat)?;
    page.single("node_boot_time_seconds", "Node boot time, in unixtime.", Gauge, stat.boot_time_secs as f64);
    let help = "Total number of context switches.";
    page.single("node_context_switches_total", help, Counter, stat.context_switches as f64);
    page.single("node_forks_total", "Total number of forks.", Counter, stat.forks as f64);
    page.single("node_intr_total", "Total number of interrupts serviced.", Counter, stat.interrupts as f64);
    let help = "Number of processes blocked waiting for I/O to complete.";
    page.single("node_procs_blocked", help, Gauge, stat.procs_blocked as f64);
    page.single(
        "node_procs_running",
        "Number of processes in runnable state.",
        Gauge,
        stat.procs_running as f64,
    );
    Ok(())
}

pub(super) fn pressure(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let mut n_resources = 0;
    for (resource, waiting, stalled) in [
        ("cpu", Some("Total time in seconds that processes have waited for CPU time"), None),
        (
            "io",
            Some("Total time in seconds that processes have waited due to IO congestion"),
            Some("Total time in seconds no process could make progress due to IO congestion"),
        ),
        (
            "memory",
            Some("Total time in seconds that processes have waited for memory"),
            Some("Total time in seconds no process could make progress due to memory congestion"),
        ),
        ("irq", None, Some("Total time in seconds no process could make progress due to IRQ congestion")),
    ] {
        let Some(pressure) = host.parse_optional(&format!("pressure/{resource}"), procfs::pressure)? else {
            continue;
        };
        n_resources += 1;
        for (what, help, total_us) in
            [("waiting", waiting, pressure.some_us), ("stalled", stalled, pressure.full_us)]
        {
            if let (Some(help), Some(total_us)) = (help, total_us) {
                // Two divisions, as node_exporter does: the last digit differs from one.
                let seconds = total_us as f64 / 1000.0 / 1000.0;
                page.single(
                    &format!("node_pressure_{resource}_{what}_seconds_total"),
                    help,
                    Counter,
                    seconds,
                );
            }
        }
    }
    if n_resources == 0 {
        Err(CollectError::NoData("the kernel has no pressure stall information"))
    } else {
        Ok(())
    }
}

pub(super) fn filefd(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let numbers = host.parse("sys/fs/file-nr", |text| {
        let numbers: Vec<f64> = text.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
        let error = procfs::FieldError { line: 1, what: "three numbers" };
        numbers.first_chunk::<3>().copied().ok_or(error)
    })?;
    page.single("node_filefd_allocated", "File descriptor statistics: allocated.", Gauge, numbers[0]);
    page.single("node_filefd_maximum", "File descriptor statistics: maximum.", Gauge, numbers[2]);
    Ok(())
}

pub(super) fn entropy(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let dir = host.proc("sys/kernel/random");
    let available = host.number(&dir.join("entropy_avail"));
    let available =
        available.ok_or(CollectError::NoData("the kernel does not say how much entropy it has"))?;
    page.single("node_entropy_available_bits", "Bits of available entropy.", Gauge, available);
    if let Some(size) = host.number(&dir.join("poolsize")) {
        page.single("node_entropy_pool_size_bits", "Bits of entropy pool.", Gauge, size);
    }
    Ok(())
}

pub(super) fn schedstat(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let cpus = host.parse_optional("schedstat", procfs::schedstat)?;
    let cpus = cpus.ok_or(CollectError::NoData("the kernel keeps no scheduler statistics"))?;
    for (idx, name, help, unit) in [
        (0, "node_schedstat_running_seconds_total", "Number of seconds CPU spent running a process.", 1e9),
        (2, "node_schedstat_timeslices_total", "Number of timeslices executed by CPU.", 1.0),
        (
            1,
            "node_schedstat_waiting_seconds_total",
            "Number of seconds spent by processing waiting for this CPU.",
            1e9,
        ),
    ] {
        page.family(name, help, Counter);
        for (cpu, values) in &cpus {
            page.sample(&[("cpu", cpu)], values[idx] as f64 / unit);
        }
    }
    Ok(())
}
