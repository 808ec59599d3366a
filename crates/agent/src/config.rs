//! What to observe, and where the kernel's files are.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use model::Regex;
use model::regex::RegexError;

use crate::collectors::Collector;

/// What to observe. `Default` observes this host as node_exporter does without flags.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the proc file system is mounted (`--path.procfs`).
    pub procfs: PathBuf,
    /// Where the sys file system is mounted (`--path.sysfs`).
    pub sysfs: PathBuf,
    /// Where the host's root is mounted (`--path.rootfs`).
    pub rootfs: PathBuf,
    /// Collectors that stay silent.
    pub disabled: BTreeSet<Collector>,
    /// Block devices (`--collector.diskstats.device-exclude`, `-include`).
    pub disk_devices: DeviceFilter,
    /// Network interfaces (`--collector.netdev.device-exclude`, `-include`), for all network collectors.
    pub net_devices: DeviceFilter,
    /// Mount points (`--collector.filesystem.mount-points-exclude`).
    pub mount_points: DeviceFilter,
    /// File system types (`--collector.filesystem.fs-types-exclude`).
    pub fs_types: DeviceFilter,
    /// How long one mount may take before it is passed over until it answers.
    pub mount_timeout: Duration,
    /// Fields of netstat (`--collector.netstat.fields`).
    pub netstat_fields: Regex,
    /// Fields of vmstat (`--collector.vmstat.fields`).
    pub vmstat_fields: Regex,
}

/// Which names count: all but those that `exclude` matches, and only those that `include` matches.
#[derive(Debug, Clone, Default)]
pub struct DeviceFilter {
    /// Left out when it matches.
    pub exclude: Option<Regex>,
    /// Left out when it does not match.
    pub include: Option<Regex>,
}

impl DeviceFilter {
    /// Leaves out what `pattern` matches somewhere, as Go's `MatchString` does.
    ///
    /// # Errors
    /// When the pattern is none.
    pub fn excluding(pattern: &str) -> Result<Self, RegexError> {
        Ok(Self { exclude: Some(unanchored(pattern)?), include: None })
    }

    /// Keeps only what `pattern` matches somewhere.
    ///
    /// # Errors
    /// When the pattern is none.
    pub fn including(pattern: &str) -> Result<Self, RegexError> {
        Ok(Self { exclude: None, include: Some(unanchored(pattern)?) })
    }

    /// Whether `name` counts.
    #[must_use]
    pub fn passes(&self, name: &str) -> bool {
        !self.exclude.as_ref().is_some_and(|exclude| exclude.is_match(name))
            && self.include.as_ref().is_none_or(|include| include.is_match(name))
    }
}

/// A pattern that may match anywhere, as node_exporter's flags do.
///
/// # Errors
/// When the pattern is none.
pub fn unanchored(pattern: &str) -> Result<Regex, RegexError> {
    Regex::new(&format!(".*(?:{pattern}).*"))
}

const DISK_EXCLUDE: &str = r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$";
const MOUNT_EXCLUDE: &str =
    r"^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
const FS_TYPE_EXCLUDE: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|\
    iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$";
const NETSTAT_FIELDS: &str = "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|\
    Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|\
    Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|\
    Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$";
const VMSTAT_FIELDS: &str = "^(oom_kill|pgpg|pswp|pg.*fault).*";

/// What node_exporter waits for a mount.
const MOUNT_TIMEOUT: Duration = Duration::from_secs(5);

impl Default for Config {
    fn default() -> Self {
        let excluding =
            |pattern| DeviceFilter::excluding(pattern).expect("a constant, compiled by every test");
        let fields = |pattern| unanchored(pattern).expect("a constant, compiled by every test");
        Self {
            procfs: PathBuf::from("/proc"),
            sysfs: PathBuf::from("/sys"),
            rootfs: PathBuf::from("/"),
            disabled: BTreeSet::new(),
            disk_devices: excluding(DISK_EXCLUDE),
            net_devices: DeviceFilter::default(),
            mount_points: excluding(MOUNT_EXCLUDE),
            fs_types: excluding(FS_TYPE_EXCLUDE),
            mount_timeout: MOUNT_TIMEOUT,
            netstat_fields: fields(NETSTAT_FIELDS),
            vmstat_fields: fields(VMSTAT_FIELDS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_node_exporter_s() {
        let config = Config::default();
        let passed = |filter: &DeviceFilter, names: &[&str]| -> Vec<String> {
            names.iter().filter(|name| filter.passes(name)).map(|name| (*name).to_owned()).collect()
        };
        let disks =
            ["sda", "sda1", "vdb", "xvda1", "nvme0n1", "nvme0n1p2", "loop3", "dm-0", "md127", "zram0"];
        assert_eq!(passed(&config.disk_devices, &disks), ["sda", "vdb", "nvme0n1", "dm-0", "md127", "zram0"]);
        let mounts =
            ["/", "/dev", "/dev/shm", "/developer", "/var/lib/docker/x", "/home", "/proc/x", "/system"];
        assert_eq!(passed(&config.mount_points, &mounts), ["/", "/developer", "/home", "/system"]);
        assert_eq!(
            passed(&config.fs_types, &["ext4", "cgroup2", "tmpfs", "proc", "nfs4"]),
            ["ext4", "tmpfs", "nfs4"]
        );
        assert!(
            config.vmstat_fields.is_match("pgmajfault") && !config.vmstat_fields.is_match("nr_free_pages")
        );
        assert!(config.netstat_fields.is_match("TcpExt_ListenDrops"));
        assert!(!config.netstat_fields.is_match("Tcp_MaxConn"));
    }

    #[test]
    fn include_and_exclude_match_anywhere() {
        let filter = DeviceFilter::including("eth").expect("valid");
        assert!(filter.passes("veth0") && !filter.passes("lo"));
        assert!(DeviceFilter::excluding("(").is_err());
    }
}
