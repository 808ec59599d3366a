//! Mounted file systems: their size, and whether they answer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use model::metadata::MetricType::Gauge;
use wire::exposition::Writer;

use crate::error::CollectError;
use crate::host::Host;
use crate::mounts::{FsSize, MountError};
use crate::procfs::{self, Mount};

/// Reads one value of a size.
type Value = fn(&FsSize) -> f64;

const FAMILIES: [(&str, &str, Value); 5] = [
    ("avail_bytes", "Filesystem space available to non-root users in bytes.", |size| size.available_bytes),
    ("files", "Filesystem total file nodes.", |size| size.n_files),
    ("files_free", "Filesystem total free file nodes.", |size| size.n_files_free),
    ("free_bytes", "Filesystem free space in bytes.", |size| size.free_bytes),
    ("size_bytes", "Filesystem size in bytes.", |size| size.size_bytes),
];

pub(super) fn filesystem(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let mounts = mounts(host)?;
    let mut sizes: Vec<(Mount, Result<FsSize, MountError>)> = Vec::with_capacity(mounts.len());
    for mount in mounts {
        let size = host.mounts.size(&path_of(host, &mount.mount_point));
        sizes.push((mount, size));
    }
    if sizes.is_empty() {
        return Ok(());
    }
    for (name, help, value) in FAMILIES {
        if sizes.iter().all(|(_, size)| size.is_err()) {
            break;
        }
        page.family(&format!("node_filesystem_{name}"), help, Gauge);
        for (mount, size) in &sizes {
            if let Ok(size) = size {
                page.sample(&labels(mount), value(size));
            }
        }
    }
    let help = "Whether an error occurred while getting statistics for the given device.";
    page.family("node_filesystem_device_error", help, Gauge);
    for (mount, size) in &sizes {
        let mut labels = labels(mount).to_vec();
        if let Err(err) = size {
            labels.insert(1, ("device_error", err.as_str()));
        }
        page.sample(&labels, f64::from(u8::from(size.is_err())));
    }
    page.family("node_filesystem_readonly", "Filesystem read-only status.", Gauge);
    for (mount, _) in &sizes {
        page.sample(&labels(mount), f64::from(u8::from(mount.is_read_only)));
    }
    Ok(())
}

fn labels(mount: &Mount) -> [(&'static str, &str); 3] {
    [("device", &mount.device), ("fstype", &mount.fs_type), ("mountpoint", &mount.mount_point)]
}

/// The mounts that count, each once, as the first process sees them: a service may see less.
fn mounts(host: &Host) -> Result<Vec<Mount>, CollectError> {
    let mounts = match host.parse("1/mounts", procfs::mounts) {
        Ok(mounts) => mounts,
        Err(CollectError::Read { .. }) => host.parse("self/mounts", procfs::mounts)?,
        Err(err) => return Err(err),
    };
    let mut seen = BTreeSet::new();
    let config = host.config();
    let mut kept = Vec::new();
    for mut mount in mounts {
        mount.mount_point = without_root(&config.rootfs, &mount.mount_point);
        let is_new = seen.insert((mount.device.clone(), mount.mount_point.clone(), mount.fs_type.clone()));
        if is_new && config.mount_points.passes(&mount.mount_point) && config.fs_types.passes(&mount.fs_type)
        {
            kept.push(mount);
        }
    }
    Ok(kept)
}

/// Where a mount point of the host is, seen from here.
fn path_of(host: &Host, mount_point: &str) -> PathBuf {
    host.config().rootfs.join(mount_point.trim_start_matches('/'))
}

/// The mount point as the host calls it.
fn without_root(rootfs: &Path, mount_point: &str) -> String {
    match Path::new(mount_point).strip_prefix(rootfs) {
        Ok(rest) => format!("/{}", rest.display()),
        Err(_) => mount_point.to_owned(),
    }
}
