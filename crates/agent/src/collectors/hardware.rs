//! Sensors, processor frequencies, and the board's own description.

use std::collections::BTreeMap;
use std::path::Path;

use model::metadata::MetricType::Gauge;
use wire::exposition::Writer;

use crate::error::CollectError;
use crate::host::Host;

pub(super) fn thermal_zone(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let dir = host.sys("class/thermal");
    let zones: Vec<_> = host
        .names(&dir, "thermal_zone")
        .into_iter()
        .filter_map(|zone| {
            let kind = host.read_optional(&dir.join(&zone).join("type"))?;
            let temperature = host.number(&dir.join(&zone).join("temp"))?;
            Some((zone.trim_start_matches("thermal_zone").to_owned(), kind, temperature))
        })
        .collect();
    let devices: Vec<_> = host
        .names(&dir, "cooling_device")
        .into_iter()
        .filter_map(|device| {
            let path = dir.join(&device);
            let kind = host.read_optional(&path.join("type"))?;
            let (current, max) =
                (host.number(&path.join("cur_state"))?, host.number(&path.join("max_state"))?);
            Some((device.trim_start_matches("cooling_device").to_owned(), kind, current, max))
        })
        .collect();
    if !devices.is_empty() {
        page.family("node_cooling_device_cur_state", "Current throttle state of the cooling device", Gauge);
        for (name, kind, current, _) in &devices {
            page.sample(&[("name", name), ("type", kind)], *current);
        }
        page.family("node_cooling_device_max_state", "Maximum throttle state of the cooling device", Gauge);
        for (name, kind, _, max) in &devices {
            page.sample(&[("name", name), ("type", kind)], *max);
        }
    }
    if !zones.is_empty() {
        page.family("node_thermal_zone_temp", "Zone temperature in Celsius", Gauge);
        for (zone, kind, temperature) in &zones {
            page.sample(&[("type", kind), ("zone", zone)], temperature / 1000.0);
        }
    }
    Ok(())
}

/// Family, help, and the file of `cpufreq` with kilohertz.
const FREQUENCIES: [(&str, &str, &str); 6] = [
    ("node_cpu_frequency_hertz", "Current CPU thread frequency in hertz.", "cpuinfo_cur_freq"),
    ("node_cpu_frequency_max_hertz", "Maximum CPU thread frequency in hertz.", "cpuinfo_max_freq"),
    ("node_cpu_frequency_min_hertz", "Minimum CPU thread frequency in hertz.", "cpuinfo_min_freq"),
    ("node_cpu_scaling_frequency_hertz", "Current scaled CPU thread frequency in hertz.", "scaling_cur_freq"),
    (
        "node_cpu_scaling_frequency_max_hertz",
        "Maximum scaled CPU thread frequency in hertz.",
        "scaling_max_freq",
    ),
    (
        "node_cpu_scaling_frequency_min_hertz",
        "Minimum scaled CPU thread frequency in hertz.",
        "scaling_min_freq",
    ),
];

pub(super) fn cpufreq(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let dir = host.sys("devices/system/cpu");
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    let mut cpus = host.names(&dir, "cpu");
    cpus.retain(|cpu| is_number(&cpu["cpu".len()..]));
    let governed = |cpu: &str| dir.join(cpu).join("cpufreq");
    for (name, help, file) in FREQUENCIES {
        let values: Vec<_> = cpus
            .iter()
            .filter_map(|cpu| Some((&cpu["cpu".len()..], host.number(&governed(cpu).join(file))?)))
            .collect();
        if values.is_empty() {
            continue;
        }
        page.family(name, help, Gauge);
        for (cpu, kilohertz) in values {
            page.sample(&[("cpu", cpu)], kilohertz * 1000.0);
        }
    }
    let mut is_begun = false;
    for cpu in &cpus {
        let Some(current) = host.read_optional(&governed(cpu).join("scaling_governor")) else { continue };
        let available =
            host.read_optional(&governed(cpu).join("scaling_available_governors")).unwrap_or_default();
        if !is_begun {
            page.family("node_cpu_scaling_governor", "Current enabled CPU frequency governor.", Gauge);
            is_begun = true;
        }
        for governor in available.split_ascii_whitespace() {
            let is_current = f64::from(u8::from(governor == current));
            page.sample(&[("cpu", &cpu["cpu".len()..]), ("governor", governor)], is_current);
        }
    }
    Ok(())
}

/// Files of `/sys/class/dmi/id` and labels of `node_dmi_info`; the same names but for the vendor.
const DMI: [&str; 20] = [
    "bios_date",
    "bios_release",
    "bios_vendor",
    "bios_version",
    "board_asset_tag",
    "board_name",
    "board_serial",
    "board_vendor",
    "board_version",
    "chassis_asset_tag",
    "chassis_serial",
    "chassis_vendor",
    "chassis_version",
    "product_family",
    "product_name",
    "product_serial",
    "product_sku",
    "product_uuid",
    "product_version",
    "sys_vendor",
];

pub(super) fn dmi(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let dir = host.sys("class/dmi/id");
    let found: Vec<(&str, String)> = DMI
        .iter()
        .filter_map(|file| {
            let label = if *file == "sys_vendor" { "system_vendor" } else { file };
            Some((label, host.read_optional(&dir.join(file))?))
        })
        .collect();
    if found.is_empty() {
        return Err(CollectError::NoData("the firmware has no DMI tables"));
    }
    let help = "A metric with a constant '1' value labeled by bios_date, bios_release, bios_vendor, bios_version, \
                board_asset_tag, board_name, board_serial, board_vendor, board_version, chassis_asset_tag, \
                chassis_serial, chassis_vendor, chassis_version, product_family, product_name, product_serial, \
                product_sku, product_uuid, product_version, system_vendor if provided by DMI.";
    page.family("node_dmi_info", help, Gauge);
    let labels: Vec<(&str, &str)> = found.iter().map(|(label, value)| (*label, value.as_str())).collect();
    page.sample(&labels, 1.0);
    Ok(())
}

/// How the files of one kind of sensor become metrics.
struct Sensor {
    /// The file's name before its number.
    prefix: &'static str,
    /// Between `node_hwmon_<prefix>` and the property: `temp_crit` and so on end in this unit.
    unit: &'static str,
    /// What the kernel's number is divided by.
    divisor: f64,
}

const SENSORS: [Sensor; 6] = [
    Sensor { prefix: "temp", unit: "celsius", divisor: 1000.0 },
    Sensor { prefix: "fan", unit: "rpm", divisor: 1.0 },
    Sensor { prefix: "in", unit: "volts", divisor: 1000.0 },
    Sensor { prefix: "curr", unit: "amps", divisor: 1000.0 },
    Sensor { prefix: "power", unit: "watt", divisor: 1_000_000.0 },
    Sensor { prefix: "humidity", unit: "percent", divisor: 1000.0 },
];

/// The properties of a sensor that are numbers in its unit; the rest (alarms, types) are left out.
const SENSOR_PROPERTIES: [&str; 7] = ["input", "max", "min", "crit", "lcrit", "average", "emergency"];

/// Family to its samples of chip, sensor and value.
type SensorFamilies = BTreeMap<String, Vec<(String, String, f64)>>;

pub(super) fn hwmon(host: &Host, page: &mut Writer) -> Result<(), CollectError> {
    let dir = host.sys("class/hwmon");
    let chips = host.names(&dir, "hwmon");
    if chips.is_empty() {
        return Err(CollectError::NoData("there are no hardware sensors"));
    }
    let mut families = SensorFamilies::new();
    let mut names = Vec::new();
    let mut labels = Vec::new();
    for chip in &chips {
        let path = dir.join(chip);
        let chip_label = chip_label(host, &path, chip);
        if let Some(name) = host.read_optional(&path.join("name")) {
            names.push((chip_label.clone(), clean(&name)));
        }
        for file in host.names(&path, "") {
            let Some((sensor, property)) = file.split_once('_') else { continue };
            if property == "label" {
                let label = host.read_optional(&path.join(&file)).unwrap_or_default();
                labels.push((chip_label.clone(), sensor.to_owned(), label));
            } else if let Some((family, value)) = sensor_value(host, &path, &file, sensor, property) {
                families.entry(family).or_default().push((chip_label.clone(), sensor.to_owned(), value));
            }
        }
    }
    let help = "Annotation metric for human-readable chip names";
    if !names.is_empty() {
        page.family("node_hwmon_chip_names", help, Gauge);
        for (chip, name) in &names {
            page.sample(&[("chip", chip), ("chip_name", name)], 1.0);
        }
    }
    if !labels.is_empty() {
        page.family("node_hwmon_sensor_label", "Label for given chip and sensor", Gauge);
        for (chip, sensor, label) in &labels {
            page.sample(&[("chip", chip), ("label", label), ("sensor", sensor)], 1.0);
        }
    }
    for (family, samples) in &families {
        page.family(family, &hwmon_help(family), Gauge);
        for (chip, sensor, value) in samples {
            page.sample(&[("chip", chip), ("sensor", sensor)], *value);
        }
    }
    Ok(())
}

fn sensor_value(host: &Host, chip: &Path, file: &str, sensor: &str, property: &str) -> Option<(String, f64)> {
    let kind = sensor.trim_end_matches(|c: char| c.is_ascii_digit());
    let known = SENSORS.iter().find(|known| known.prefix == kind && kind != sensor)?;
    if !SENSOR_PROPERTIES.contains(&property) {
        return None;
    }
    // A sensor that cannot be read now is left out, as its file gives an error.
    let value = host.number(&chip.join(file))? / known.divisor;
    let middle = if property == "input" { String::new() } else { format!("{property}_") };
    Some((format!("node_hwmon_{kind}_{middle}{}", known.unit), value))
}

fn hwmon_help(family: &str) -> String {
    let rest = family.trim_start_matches("node_hwmon_");
    let words: Vec<&str> = rest.split('_').collect();
    let kind = match words[0] {
        "temp" => "temperature",
        "curr" => "current",
        "in" => "voltage",
        other => other,
    };
    let property = if words.len() > 2 { words[1] } else { "input" };
    format!("Hardware monitor for {kind} ({property})")
}

/// The chip by the device behind it, such as `platform_coretemp_0`; by its own name where that cannot be told.
fn chip_label(host: &Host, path: &Path, chip: &str) -> String {
    let device = std::fs::canonicalize(path.join("device")).ok();
    let names = device.as_deref().and_then(|device| {
        let name = clean(device.file_name()?.to_str()?);
        let kind = clean(device.parent()?.file_name()?.to_str()?);
        (!name.is_empty() && !kind.is_empty()).then(|| format!("{kind}_{name}"))
    });
    let by_name =
        || host.read_optional(&path.join("name")).map(|name| clean(&name)).filter(|name| !name.is_empty());
    names.or_else(by_name).unwrap_or_else(|| chip.to_owned())
}

/// Lower case, anything but letters, digits and colons an underscore, none at the ends.
fn clean(name: &str) -> String {
    let name: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' })
        .collect();
    name.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_chips_and_helps() {
        assert_eq!(clean("Core-Temp.0 "), "core_temp_0");
        assert_eq!(hwmon_help("node_hwmon_temp_celsius"), "Hardware monitor for temperature (input)");
        assert_eq!(hwmon_help("node_hwmon_temp_crit_celsius"), "Hardware monitor for temperature (crit)");
    }
}
