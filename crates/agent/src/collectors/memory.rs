//! Memory: meminfo and vmstat.

use model::metadata::MetricType::{Counter, Gauge, Unknown};
use wire::exposition::Writer;

use crate::error::CollectError;
use crate::host::Host;
use crate::procfs;

pub(super) fn meminfo(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    for (field, value) in host.parse("meminfo", procfs::meminfo)? {
        let metric_type = if field.ends_with("_total") { Counter } else { Gauge };
        page.single(
            &format!("node_memory_{field}"),
            &format!("Memory information field {field}."),
            metric_type,
            value,
        );
    }
    Ok(())
}

pub(super) fn vmstat(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    for (field, value) in host.parse("vmstat", procfs::pairs)? {
        if host.config().vmstat_fields.is_match(&field) {
            let help = format!("/proc/vmstat information field {field}.");
            page.single(&format!("node_vmstat_{field}"), &help, Unknown, value);
        }
    }
    Ok(())
}
