//! Interfaces, protocols, sockets, connection tracking.

use model::metadata::MetricType::{self, Counter, Gauge, Unknown};
use wire::exposition::Writer;

use crate::error::CollectError;
use crate::host::Host;
use crate::procfs;

/// Name after `node_network_` and before `_total`, and the column of `/proc/net/dev`.
const NETDEV: [(&str, usize); 16] = [
    ("receive_bytes", 0),
    ("receive_compressed", 6),
    ("receive_drop", 3),
    ("receive_errs", 2),
    ("receive_fifo", 4),
    ("receive_frame", 5),
    ("receive_multicast", 7),
    ("receive_packets", 1),
    ("transmit_bytes", 8),
    ("transmit_carrier", 14),
    ("transmit_colls", 13),
    ("transmit_compressed", 15),
    ("transmit_drop", 11),
    ("transmit_errs", 10),
    ("transmit_fifo", 12),
    ("transmit_packets", 9),
];

pub(super) fn netdev(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let mut devices = host.parse("net/dev", procfs::net_dev)?;
    devices.retain(|(device, _)| host.config().net_devices.passes(device));
    if devices.is_empty() {
        return Ok(());
    }
    for (name, idx) in NETDEV {
        let help = format!("Network device statistic {name}.");
        page.family(&format!("node_network_{name}_total"), &help, Counter);
        for (device, counters) in &devices {
            page.sample(&[("device", device)], counters[idx] as f64);
        }
    }
    let no_handler: Vec<_> = devices
        .iter()
        .filter_map(|(device, _)| {
            let path = host.sys("class/net").join(device).join("statistics/rx_nohandler");
            Some((device, host.number(&path)?))
        })
        .collect();
    if !no_handler.is_empty() {
        let help = "Network device statistic receive_nohandler.";
        page.family("node_network_receive_nohandler_total", help, Counter);
        for (device, count) in no_handler {
            page.sample(&[("device", device)], count);
        }
    }
    Ok(())
}

/// Name after `node_network_`, type, and the file of `/sys/class/net/<interface>` that holds the number.
const NETCLASS: [(&str, MetricType, &str); 17] = [
    ("address_assign_type", Gauge, "addr_assign_type"),
    ("carrier", Gauge, "carrier"),
    ("carrier_changes_total", Counter, "carrier_changes"),
    ("carrier_down_changes_total", Counter, "carrier_down_count"),
    ("carrier_up_changes_total", Counter, "carrier_up_count"),
    ("device_id", Gauge, "dev_id"),
    ("dormant", Gauge, "dormant"),
    ("flags", Gauge, "flags"),
    ("iface_id", Gauge, "ifindex"),
    ("iface_link", Gauge, "iflink"),
    ("iface_link_mode", Gauge, "link_mode"),
    ("mtu_bytes", Gauge, "mtu"),
    ("name_assign_type", Gauge, "name_assign_type"),
    ("net_dev_group", Gauge, "netdev_group"),
    ("protocol_type", Gauge, "type"),
    ("speed_bytes", Gauge, "speed"),
    ("transmit_queue_length", Gauge, "tx_queue_len"),
];
/// Megabits to bytes.
const MBIT_BYTES: f64 = 1000.0 * 1000.0 / 8.0;

pub(super) fn netclass(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let dir = host.sys("class/net");
    let mut devices = host.names(&dir, "");
    // `bonding_masters` is a file among the interfaces.
    devices.retain(|device| device != "bonding_masters" && host.config().net_devices.passes(device));
    if devices.is_empty() {
        return Err(CollectError::NoData("the sys file system lists no network interface"));
    }
    for (name, metric_type, file) in NETCLASS {
        let values: Vec<_> = devices
            .iter()
            .filter_map(|device| {
                Some((device, sys_integer(&host.read_optional(&dir.join(device).join(file))?)?))
            })
            .collect();
        if values.is_empty() {
            continue;
        }
        let help = format!("Network device property: {name}");
        page.family(&format!("node_network_{name}"), &help, metric_type);
        for (device, value) in values {
            page.sample(&[("device", device)], if file == "speed" { value * MBIT_BYTES } else { value });
        }
    }
    let text =
        |device: &str, file: &str| host.read_optional(&dir.join(device).join(file)).unwrap_or_default();
    let states: Vec<String> = devices.iter().map(|device| text(device, "operstate")).collect();
    let help = "Non-numeric data from /sys/class/net/<iface>, value is always 1.";
    page.family("node_network_info", help, Gauge);
    for (device, state) in devices.iter().zip(&states) {
        page.sample(
            &[
                ("address", &text(device, "address")),
                ("broadcast", &text(device, "broadcast")),
                ("device", device),
                ("duplex", &text(device, "duplex")),
                ("ifalias", &text(device, "ifalias")),
                ("operstate", state),
            ],
            1.0,
        );
    }
    page.family("node_network_up", "Value is 1 if operstate is 'up', 0 otherwise.", Gauge);
    for (device, state) in devices.iter().zip(&states) {
        page.sample(&[("device", device)], f64::from(u8::from(state == "up")));
    }
    Ok(())
}

/// Decimal, or hexadecimal with `0x`.
fn sys_integer(text: &str) -> Option<f64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|value| value as f64),
        None => text.parse::<i64>().ok().map(|value| value as f64),
    }
}

pub(super) fn netstat(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let mut fields = host.parse("net/netstat", procfs::netstat)?;
    fields.extend(host.parse("net/snmp", procfs::netstat)?);
    // Without IPv6 there is no such file.
    fields.extend(host.parse_optional("net/snmp6", procfs::snmp6)?.unwrap_or_default());
    fields.retain(|(key, _)| host.config().netstat_fields.is_match(key));
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields.dedup_by(|a, b| a.0 == b.0);
    for (key, value) in fields {
        let help = format!("Statistic {}.", key.replacen('_', "", 1));
        page.single(&format!("node_netstat_{key}"), &help, Unknown, value);
    }
    Ok(())
}

pub(super) fn sockstat(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let page_bytes = rustix::param::page_size() as f64;
    let v4 = host.parse_optional("net/sockstat", procfs::sockstat)?;
    let v6 = host.parse_optional("net/sockstat6", procfs::sockstat)?;
    if v4.is_none() && v6.is_none() {
        return Err(CollectError::NoData("the kernel has no socket statistics"));
    }
    for (protocol, fields) in v4.into_iter().chain(v6).flatten() {
        for (field, value) in fields {
            if protocol == "sockets" {
                let help = "Number of IPv4 sockets in use.";
                page.single(&format!("node_sockstat_sockets_{field}"), help, Gauge, value);
                continue;
            }
            let mut write = |field: &str, value: f64| {
                let help = format!("Number of {protocol} sockets in state {field}.");
                page.single(&format!("node_sockstat_{protocol}_{field}"), &help, Gauge, value);
            };
            write(&field, value);
            // In pages; those of FRAG are called memory and are bytes already.
            if field == "mem" {
                write("mem_bytes", value * page_bytes);
            }
        }
    }
    Ok(())
}

pub(super) fn softnet(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let cpus = host.parse("net/softnet_stat", procfs::softnet)?;
    for (name, help, metric_type, idx) in [
        ("backlog_len", "Softnet backlog status", Gauge, 11),
        (
            "cpu_collision_total",
            "Number of collision occur while obtaining device lock while transmitting",
            Counter,
            8,
        ),
        ("dropped_total", "Number of dropped packets", Counter, 1),
        ("flow_limit_count_total", "Number of times flow limit has been reached", Counter, 10),
        ("processed_total", "Number of processed packets", Counter, 0),
        ("received_rps_total", "Number of times cpu woken up received_rps", Counter, 9),
        ("times_squeezed_total", "Number of times processing packets ran out of quota", Counter, 2),
    ] {
        if !cpus.iter().any(|columns| columns.len() > idx) {
            continue;
        }
        page.family(&format!("node_softnet_{name}"), help, metric_type);
        for (i, columns) in cpus.iter().enumerate() {
            // The thirteenth column, where there is one, is the processor's number.
            let cpu = columns.get(12).copied().unwrap_or(i as u64);
            page.sample(&[("cpu", &cpu.to_string())], columns.get(idx).copied().unwrap_or(0) as f64);
        }
    }
    Ok(())
}

/// Name after `node_nf_conntrack_stat_`, and help.
const CONNTRACK: [(&str, &str); 8] = [
    ("drop", "Number of packets dropped due to conntrack failure."),
    (
        "early_drop",
        "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.",
    ),
    ("found", "Number of searched entries which were successful."),
    ("ignore", "Number of packets seen which are already connected to a conntrack entry."),
    ("insert", "Number of entries inserted into the list."),
    ("insert_failed", "Number of entries for which list insertion was attempted but failed."),
    ("invalid", "Number of packets seen which can not be tracked."),
    (
        "search_restart",
        "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
    ),
];

pub(super) fn conntrack(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let entries = host.number(&host.proc("sys/net/netfilter/nf_conntrack_count"));
    let entries = entries.ok_or(CollectError::NoData("connections are not tracked"))?;
    let help = "Number of currently allocated flow entries for connection tracking.";
    page.single("node_nf_conntrack_entries", help, Gauge, entries);
    if let Some(limit) = host.number(&host.proc("sys/net/netfilter/nf_conntrack_max")) {
        let help = "Maximum size of connection tracking table.";
        page.single("node_nf_conntrack_entries_limit", help, Gauge, limit);
    }
    if let Some(columns) = host.parse_optional("net/stat/nf_conntrack", procfs::conntrack_stat)? {
        for (name, help) in CONNTRACK {
            if let Some((_, sum)) = columns.iter().find(|(column, _)| column == name) {
                page.single(&format!("node_nf_conntrack_stat_{name}"), help, Gauge, *sum as f64);
            }
        }
    }
    Ok(())
}

pub(super) fn arp(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let mut counts: Vec<(String, u32)> = Vec::new();
    let text = host.read(&host.proc("net/arp"))?;
    for device in procfs::arp_devices(&text).filter(|device| host.config().net_devices.passes(device)) {
        match counts.iter_mut().find(|(known, _)| known == device) {
            Some((_, count)) => *count += 1,
            None => counts.push((device.to_owned(), 1)),
        }
    }
    if !counts.is_empty() {
        page.family("node_arp_entries", "ARP entries by device", Gauge);
        for (device, count) in &counts {
            page.sample(&[("device", device)], f64::from(*count));
        }
    }
    Ok(())
}

pub(super) fn udp_queues(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let help = "Number of allocated memory in the kernel for UDP datagrams in bytes.";
    let mut is_begun = false;
    for (file, ip) in [("net/udp", "v4"), ("net/udp6", "v6")] {
        let Some((sent, received)) = host.parse_optional(file, procfs::udp_queues)? else { continue };
        if !is_begun {
            page.family("node_udp_queues", help, Gauge);
            is_begun = true;
        }
        page.sample(&[("ip", ip), ("queue", "rx")], received as f64);
        page.sample(&[("ip", ip), ("queue", "tx")], sent as f64);
    }
    if is_begun { Ok(()) } else { Err(CollectError::NoData("the kernel has no UDP")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_sysfs() {
        for (text, expected) in
            [("0x1003", Some(4099.0)), ("-1", Some(-1.0)), ("65536", Some(65536.0)), ("up", None)]
        {
            assert_eq!(sys_integer(text), expected, "{text}");
        }
    }
}
