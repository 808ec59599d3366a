//! What this system is: its kernel, its distribution, its clock.

use model::float;
use model::metadata::MetricType::Gauge;
use wire::exposition::Writer;

use crate::error::CollectError;
use crate::host::Host;
use crate::procfs;

pub(super) fn uname(_host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    page.family("node_uname_info", "Labeled system information as provided by the uname system call.", Gauge);
    page.sample(
        &[
            ("domainname", &text(uname.domainname())),
            ("machine", &text(uname.machine())),
            ("nodename", &text(uname.nodename())),
            ("release", &text(uname.release())),
            ("sysname", &text(uname.sysname())),
            ("version", &text(uname.version())),
        ],
        1.0,
    );
    Ok(())
}

/// The labels of `node_os_info`, with the variable of os-release that fills each.
const OS_LABELS: [(&str, &str); 12] = [
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
];

pub(super) fn os(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let rootfs = &host.config().rootfs;
    let text =
        host.read(&rootfs.join("etc/os-release")).or_else(|_| host.read(&rootfs.join("usr/lib/os-release")));
    let text = text.map_err(|_| CollectError::NoData("there is no os-release file"))?;
    let variables = procfs::os_release(&text);
    let variable = |key: &str| {
        let found = variables.iter().rev().find(|(name, _)| name == key);
        found.map_or("", |(_, value)| value)
    };
    let help = "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, name, \
                pretty_name, variant, variant_id, version, version_codename, version_id.";
    page.family("node_os_info", help, Gauge);
    page.sample(&OS_LABELS.map(|(label, key)| (label, variable(key))), 1.0);
    if let Some(version) = major_minor(variable("VERSION_ID")) {
        page.family("node_os_version", "Metric containing the major.minor part of the OS version.", Gauge);
        page.sample(
            &[("id", variable("ID")), ("id_like", variable("ID_LIKE")), ("name", variable("NAME"))],
            version,
        );
    }
    Ok(())
}

/// `22.04.1` is 22.04.
fn major_minor(version: &str) -> Option<f64> {
    let n_major = version.bytes().take_while(u8::is_ascii_digit).count();
    if n_major == 0 {
        return None;
    }
    let minor = version[n_major..].strip_prefix('.').unwrap_or("");
    let n_minor = minor.bytes().take_while(u8::is_ascii_digit).count();
    let end = if n_minor > 0 { n_major + 1 + n_minor } else { n_major };
    float::parse(&version[..end]).ok()
}

pub(super) fn time(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let now_ms = host.now_ms();
    let sources = host.sys("devices/system/clocksource");
    let devices = host.names(&sources, "clocksource");
    for (file, name, help) in [
        (
            "available_clocksource",
            "node_time_clocksource_available_info",
            "Available clocksources read from '/sys/devices/system/clocksource'.",
        ),
        (
            "current_clocksource",
            "node_time_clocksource_current_info",
            "Current clocksource read from '/sys/devices/system/clocksource'.",
        ),
    ] {
        if devices.is_empty() {
            break;
        }
        page.family(name, help, Gauge);
        for device in &devices {
            let number = device.trim_start_matches("clocksource");
            let names = host.read_optional(&sources.join(device).join(file)).unwrap_or_default();
            for source in names.split_ascii_whitespace() {
                page.sample(&[("clocksource", source), ("device", number)], 1.0);
            }
        }
    }
    page.single(
        "node_time_seconds",
        "System time in seconds since epoch (1970).",
        Gauge,
        now_ms as f64 / 1000.0,
    );
    if let Ok(now) = jiff::Timestamp::from_millisecond(now_ms) {
        let zone = jiff::tz::TimeZone::system();
        let info = zone.to_offset_info(now);
        page.family("node_time_zone_offset_seconds", "System time zone offset in seconds.", Gauge);
        page.sample(&[("time_zone", info.abbreviation())], f64::from(info.offset().seconds()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_cut_to_two_parts() {
        for (version, expected) in [
            ("12", Some(12.0)),
            ("22.04", Some(22.04)),
            ("3.19.1", Some(3.19)),
            ("9.", Some(9.0)),
            ("", None),
            ("sid", None),
        ] {
            assert_eq!(major_minor(version), expected, "{version}");
        }
    }
}
