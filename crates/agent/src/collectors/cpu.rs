//! Processor time, which must never seem to go back.

use std::collections::HashMap;

use model::metadata::MetricType::Counter;
use wire::exposition::Writer;

use crate::error::CollectError;
use crate::host::Host;
use crate::process::TICKS_PER_SECOND;
use crate::procfs;

/// The modes of `node_cpu_seconds_total`, with their place in the kernel's line.
const MODES: [(&str, usize); 8] = [
    ("idle", 3),
    ("iowait", 4),
    ("irq", 5),
    ("nice", 1),
    ("softirq", 6),
    ("steal", 7),
    ("system", 2),
    ("user", 0),
];
const IDLE: usize = 3;
/// Those of `node_cpu_guest_seconds_total`, whose time is part of `user` and `nice` too.
const GUEST_MODES: [(&str, usize); 2] = [("nice", 9), ("user", 8)];

/// When idle time falls by this much the processor was off and on again: all its counters start anew. From
/// node_exporter.
const IDLE_JUMP_TICKS: u64 = 300;

/// The greatest ticks seen of each processor. The kernel's own values sometimes fall by a little, which would look
/// like a counter that began again.
#[derive(Debug, Default)]
pub(crate) struct CpuState {
    seen: HashMap<String, [u64; 10]>,
}

impl CpuState {
    fn update(&mut self, cpus: Vec<(String, [u64; 10])>) -> Vec<(String, [u64; 10])> {
        // Processors that went away are forgotten.
        let mut now = HashMap::with_capacity(cpus.len());
        let mut shown = Vec::with_capacity(cpus.len());
        for (cpu, ticks) in cpus {
            let mut ticks = ticks;
            if let Some(before) = self.seen.get(&cpu)
                && ticks[IDLE] + IDLE_JUMP_TICKS > before[IDLE]
            {
                for (tick, before) in ticks.iter_mut().zip(before) {
                    *tick = (*tick).max(*before);
                }
            }
            now.insert(cpu.clone(), ticks);
            shown.push((cpu, ticks));
        }
        self.seen = now;
        shown
    }
}

pub(super) fn cpu(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let cpus = host.cpu.lock().update(host.parse("stat", procfs::stat)?.cpus);
    throttles(host, page, &cpus);
    for (name, help, modes) in [
        (
            "node_cpu_guest_seconds_total",
            "Seconds the CPUs spent in guests (VMs) for each mode.",
            GUEST_MODES.as_slice(),
        ),
        ("node_cpu_seconds_total", "Seconds the CPUs spent in each mode.", MODES.as_slice()),
    ] {
        page.family(name, help, Counter);
        for (cpu, ticks) in &cpus {
            for (mode, idx) in modes {
                page.sample(&[("cpu", cpu), ("mode", mode)], ticks[*idx] as f64 / TICKS_PER_SECOND);
            }
        }
    }
    Ok(())
}

/// How often cores and packages were slowed down, where the kernel counts it.
fn throttles(host: &Host, page: &mut Writer, cpus: &[(String, [u64; 10])]) {
    let mut cores: Vec<(String, String, f64)> = Vec::new();
    let mut packages: Vec<(String, f64)> = Vec::new();
    for (cpu, _) in cpus {
        let dir = host.sys("devices/system/cpu").join(format!("cpu{cpu}"));
        let throttle = dir.join("thermal_throttle");
        let Some(core_count) = host.number(&throttle.join("core_throttle_count")) else { continue };
        let topology = dir.join("topology");
        let Some(package) = host.read_optional(&topology.join("physical_package_id")) else { continue };
        let Some(core) = host.read_optional(&topology.join("core_id")) else { continue };
        if !cores.iter().any(|(c, p, _)| (c, p) == (&core, &package)) {
            cores.push((core, package.clone(), core_count));
        }
        if let Some(count) = host.number(&throttle.join("package_throttle_count"))
            && !packages.iter().any(|(p, _)| *p == package)
        {
            packages.push((package, count));
        }
    }
    if !cores.is_empty() {
        let help = "Number of times this CPU core has been throttled.";
        page.family("node_cpu_core_throttles_total", help, Counter);
        for (core, package, count) in &cores {
            page.sample(&[("core", core), ("package", package)], *count);
        }
    }
    if !packages.is_empty() {
        let help = "Number of times this CPU package has been throttled.";
        page.family("node_cpu_package_throttles_total", help, Counter);
        for (package, count) in &packages {
            page.sample(&[("package", package)], *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_never_fall_but_when_the_processor_was_off() {
        let mut state = CpuState::default();
        let ticks = |user: u64, idle: u64| vec![("0".to_owned(), [user, 0, 0, idle, 0, 0, 0, 0, 0, 0])];
        assert_eq!(state.update(ticks(100, 1000)), ticks(100, 1000));
        // A little back in one mode: the old value stays, the others go on.
        assert_eq!(state.update(ticks(99, 1010)), ticks(100, 1010));
        assert_eq!(state.update(ticks(101, 1009)), ticks(101, 1010));
        // Three seconds of idle time back: it was off.
        assert_eq!(state.update(ticks(5, 710)), ticks(5, 710));
        assert_eq!(state.update(Vec::new()), Vec::new());
        assert_eq!(state.update(ticks(1, 1)), ticks(1, 1));
    }
}
