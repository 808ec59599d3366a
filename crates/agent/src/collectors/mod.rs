//! The collectors: each reads a few of the kernel's files and writes its families.

pub(crate) mod cpu;
mod disk;
mod filesystem;
mod hardware;
mod kernel;
mod memory;
mod network;
mod system;

use wire::exposition::Writer;

use crate::error::CollectError;
use crate::host::Host;

/// Writes families; whatever it wrote is thrown away when it fails.
type Run = fn(&Host, &mut Writer) -> Result<(), CollectError>;

/// A part of the host that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named as node_exporter's collector")]
pub enum Collector {
    Arp,
    Conntrack,
    Cpu,
    CpuFreq,
    DiskStats,
    Dmi,
    Entropy,
    FileFd,
    FileSystem,
    HwMon,
    LoadAvg,
    MemInfo,
    NetClass,
    NetDev,
    NetStat,
    Os,
    Pressure,
    SchedStat,
    SockStat,
    SoftNet,
    Stat,
    ThermalZone,
    Time,
    UdpQueues,
    Uname,
    VmStat,
}

/// All of them, in the order of the page.
pub(crate) const ALL: &[(Collector, &str, Run)] = &[
    (Collector::Arp, "arp", network::arp),
    (Collector::Conntrack, "conntrack", network::conntrack),
    (Collector::Cpu, "cpu", cpu::cpu),
    (Collector::CpuFreq, "cpufreq", hardware::cpufreq),
    (Collector::DiskStats, "diskstats", disk::diskstats),
    (Collector::Dmi, "dmi", hardware::dmi),
    (Collector::Entropy, "entropy", kernel::entropy),
    (Collector::FileFd, "filefd", kernel::filefd),
    (Collector::FileSystem, "filesystem", filesystem::filesystem),
    (Collector::HwMon, "hwmon", hardware::hwmon),
    (Collector::LoadAvg, "loadavg", kernel::loadavg),
    (Collector::MemInfo, "meminfo", memory::meminfo),
    (Collector::NetClass, "netclass", network::netclass),
    (Collector::NetDev, "netdev", network::netdev),
    (Collector::NetStat, "netstat", network::netstat),
    (Collector::Os, "os", system::os),
    (Collector::Pressure, "pressure", kernel::pressure),
    (Collector::SchedStat, "schedstat", kernel::schedstat),
    (Collector::SockStat, "sockstat", network::sockstat),
    (Collector::SoftNet, "softnet", network::softnet),
    (Collector::Stat, "stat", kernel::stat),
    (Collector::ThermalZone, "thermal_zone", hardware::thermal_zone),
    (Collector::Time, "time", system::time),
    (Collector::UdpQueues, "udp_queues", network::udp_queues),
    (Collector::Uname, "uname", system::uname),
    (Collector::VmStat, "vmstat", memory::vmstat),
];

impl Collector {
    /// The name in flags and in the label `collector`.
    #[must_use]
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(collector, _, _)| *collector == self).map_or("", |(_, name, _)| name)
    }

    /// By the name in flags.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, known, _)| *known == name).map(|(collector, _, _)| *collector)
    }

    /// Every collector.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(collector, _, _)| *collector)
    }
}
