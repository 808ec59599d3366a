//! Block devices: what they read and wrote, and what they are.

use model::metadata::MetricType::{self, Counter, Gauge};
use wire::exposition::Writer;

use crate::error::CollectError;
use crate::host::Host;
use crate::procfs::{self, DiskStats};

/// The kernel's sectors, whatever the device's own are.
const SECTOR_BYTES: f64 = 512.0;
/// Milliseconds to seconds, as node_exporter multiplies: dividing by 1000 differs in the last digit.
const MS: f64 = 0.001;

/// Name after `node_disk_`, help, type, field of the kernel's line, factor.
const FAMILIES: [(&str, &str, MetricType, usize, f64); 17] = [
    (
        "discard_time_seconds_total",
        "This is the total number of seconds spent by all discards.",
        Counter,
        14,
        MS,
    ),
    ("discarded_sectors_total", "The total number of sectors discarded successfully.", Counter, 13, 1.0),
    ("discards_completed_total", "The total number of discards completed successfully.", Counter, 11, 1.0),
    ("discards_merged_total", "The total number of discards merged.", Counter, 12, 1.0),
    (
        "flush_requests_time_seconds_total",
        "This is the total number of seconds spent by all flush requests.",
        Counter,
        16,
        MS,
    ),
    ("flush_requests_total", "The total number of flush requests completed successfully", Counter, 15, 1.0),
    ("io_now", "The number of I/Os currently in progress.", Gauge, 8, 1.0),
    ("io_time_seconds_total", "Total seconds spent doing I/Os.", Counter, 9, MS),
    ("io_time_weighted_seconds_total", "The weighted # of seconds spent doing I/Os.", Counter, 10, MS),
    ("read_bytes_total", "The total number of bytes read successfully.", Counter, 2, SECTOR_BYTES),
    ("read_time_seconds_total", "The total number of seconds spent by all reads.", Counter, 3, MS),
    ("reads_completed_total", "The total number of reads completed successfully.", Counter, 0, 1.0),
    ("reads_merged_total", "The total number of reads merged.", Counter, 1, 1.0),
    ("write_time_seconds_total", "This is the total number of seconds spent by all writes.", Counter, 7, MS),
    ("writes_completed_total", "The total number of writes completed successfully.", Counter, 4, 1.0),
    ("writes_merged_total", "The number of writes merged.", Counter, 5, 1.0),
    ("written_bytes_total", "The total number of bytes written successfully.", Counter, 6, SECTOR_BYTES),
];

/// A label, and the property in udev's database that fills it.
type Property = (&'static str, &'static str);

pub(super) fn diskstats(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let mut disks = host.parse("diskstats", procfs::diskstats)?;
    disks.retain(|disk| host.config().disk_devices.passes(&disk.device));
    let udev: Vec<_> = disks.iter().map(|disk| udev_properties(host, disk)).collect();
    for (name, help, metric_type, idx, factor) in FAMILIES {
        // Old kernels have fewer fields: a family without samples is left out.
        if !disks.iter().any(|disk| disk.fields.len() > idx) {
            continue;
        }
        page.family(&format!("node_disk_{name}"), help, metric_type);
        for disk in &disks {
            if let Some(value) = disk.fields.get(idx) {
                page.sample(&[("device", &disk.device)], *value as f64 * factor);
            }
        }
    }
    info(page, &disks, &udev);
    let properties: &[Property] = &[
        ("name", "DM_NAME"),
        ("uuid", "DM_UUID"),
        ("vg_name", "DM_VG_NAME"),
        ("lv_name", "DM_LV_NAME"),
        ("lv_layer", "DM_LV_LAYER"),
    ];
    let help = "Info about disk device mapper.";
    property_info(page, &disks, &udev, ("node_disk_device_mapper_info", help, "DM_NAME"), properties);
    let properties: &[Property] = &[
        ("type", "ID_FS_TYPE"),
        ("usage", "ID_FS_USAGE"),
        ("uuid", "ID_FS_UUID"),
        ("version", "ID_FS_VERSION"),
    ];
    let help = "Info about disk filesystem.";
    property_info(page, &disks, &udev, ("node_disk_filesystem_info", help, "ID_FS_TYPE"), properties);
    Ok(())
}

fn info(page: &mut Writer, disks: &[DiskStats], udev: &[Vec<(String, String)>]) {
    if disks.is_empty() {
        return;
    }
    page.family("node_disk_info", "Info of /sys/block/<block_device>.", Gauge);
    for (disk, properties) in disks.iter().zip(udev) {
        page.sample(
            &[
                ("device", &disk.device),
                ("major", &disk.major.to_string()),
                ("minor", &disk.minor.to_string()),
                ("model", property(properties, "ID_MODEL")),
                ("path", property(properties, "ID_PATH")),
                ("revision", property(properties, "ID_REVISION")),
                ("serial", property(properties, "ID_SERIAL_SHORT")),
                ("wwn", property(properties, "ID_WWN")),
            ],
            1.0,
        );
    }
}

/// A family for the disks of which udev knows the property `key`.
fn property_info(
    page: &mut Writer,
    disks: &[DiskStats],
    udev: &[Vec<(String, String)>],
    (name, help, key): (&str, &str, &str),
    labels: &[Property],
) {
    let mut is_begun = false;
    for (disk, properties) in disks.iter().zip(udev) {
        if property(properties, key).is_empty() {
            continue;
        }
        if !is_begun {
            page.family(name, help, Gauge);
            is_begun = true;
        }
        let mut pairs = vec![("device", disk.device.as_str())];
        pairs.extend(labels.iter().map(|(label, key)| (*label, property(properties, key))));
        page.sample(&pairs, 1.0);
    }
}

fn property<'a>(properties: &'a [(String, String)], key: &str) -> &'a str {
    properties.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
}

/// What udev knows of a device: the lines `E:NAME=value` of its database; nothing without udev.
fn udev_properties(host: &Host, disk: &DiskStats) -> Vec<(String, String)> {
    let path = host.config().rootfs.join(format!("run/udev/data/b{}:{}", disk.major, disk.minor));
    let Ok(text) = host.read(&path) else { return Vec::new() };
    let assignments = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
    assignments.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
