//! A made-up host: what each collector writes, what a missing or broken file does, and that roots are honoured.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::{Collector, Config, Host};
use stdx::{Dir, MemDir, TestClock};

fn host(files: &[(&str, &str)]) -> Host {
    let dir = MemDir::new();
    for (path, text) in files {
        let path = Path::new(path);
        dir.create_dir_all(path.parent().expect("files are in directories")).expect("created");
        dir.create(path).expect("created").append(text.as_bytes()).expect("written");
    }
    let root = |name: &str| PathBuf::from("/host").join(name);
    let config = Config {
        procfs: root("proc"),
        sysfs: root("sys"),
        rootfs: root(""),
        disabled: BTreeSet::from([Collector::Uname]),
        ..Config::default()
    };
    Host::with_dir(config, Arc::new(dir), Arc::new(TestClock::new()))
}

/// All expected lines are there.
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let page = host(files).collect();
    for line in expected {
        assert!(page.lines().any(|found| found == *line), "no line {line} in\n{page}");
    }
}

#[test]
fn sensors_and_frequencies() {
    check(
        &[
            ("/host/sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n"),
            ("/host/sys/class/thermal/thermal_zone0/temp", "45500\n"),
            ("/host/sys/class/thermal/cooling_device1/type", "Processor\n"),
            ("/host/sys/class/thermal/cooling_device1/cur_state", "0\n"),
            ("/host/sys/class/thermal/cooling_device1/max_state", "3\n"),
            ("/host/sys/class/hwmon/hwmon0/name", "coretemp\n"),
            ("/host/sys/class/hwmon/hwmon0/temp1_input", "51000\n"),
            ("/host/sys/class/hwmon/hwmon0/temp1_crit", "100000\n"),
            ("/host/sys/class/hwmon/hwmon0/temp1_label", "Core 0\n"),
            ("/host/sys/class/hwmon/hwmon0/fan2_input", "1200\n"),
            ("/host/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1699981\n"),
            ("/host/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            (
                "/host/sys/devices/system/cpu/cpu0/cpufreq/scaling_available_governors",
                "performance powersave\n",
            ),
            ("/host/sys/class/dmi/id/sys_vendor", "Acme \"Inc\"\n"),
        ],
        &[
            r#"node_thermal_zone_temp{type="x86_pkg_temp",zone="0"} 45.5"#,
            r#"node_cooling_device_max_state{name="1",type="Processor"} 3"#,
            r#"node_hwmon_temp_celsius{chip="coretemp",sensor="temp1"} 51"#,
            r#"node_hwmon_temp_crit_celsius{chip="coretemp",sensor="temp1"} 100"#,
            r#"node_hwmon_sensor_label{chip="coretemp",label="Core 0",sensor="temp1"} 1"#,
            r#"node_hwmon_fan_rpm{chip="coretemp",sensor="fan2"} 1200"#,
            r#"node_cpu_scaling_frequency_hertz{cpu="0"} 1.699981e+09"#,
            r#"node_cpu_scaling_governor{cpu="0",governor="powersave"} 1"#,
            r#"node_cpu_scaling_governor{cpu="0",governor="performance"} 0"#,
            r#"node_dmi_info{system_vendor="Acme \"Inc\""} 1"#,
            r#"node_scrape_collector_success{collector="thermal_zone"} 1"#,
        ],
    );
}

#[test]
fn one_broken_file_spoils_only_its_collector() {
    check(
        &[
            ("/host/proc/meminfo", "MemTotal: lots\n"),
            ("/host/proc/loadavg", "0.5 1 2 1/1 1\n"),
            ("/host/proc/pressure/irq", "full avg10=0.00 avg60=0.00 avg300=0.00 total=14036781\n"),
            ("/host/etc/os-release", "ID=made-up\nVERSION_ID=1.2.3\n"),
        ],
        &[
            "node_load1 0.5",
            "node_pressure_irq_stalled_seconds_total 14.036781000000001",
            r#"node_os_version{id="made-up",id_like="",name=""} 1.2"#,
            "node_time_seconds 1.7356896e+09",
            r#"node_scrape_collector_success{collector="meminfo"} 0"#,
            r#"node_scrape_collector_success{collector="loadavg"} 1"#,
        ],
    );
    let page = host(&[("/host/proc/meminfo", "MemTotal: 1 kB\nMemFree: none\n")]).collect();
    assert!(!page.contains("node_memory_"), "half a collector is left out");
}

#[test]
fn switched_off_collectors_are_silent() {
    let page = host(&[]).collect();
    assert!(!page.contains("uname"));
    for collector in Collector::all().filter(|collector| *collector != Collector::Uname) {
        assert!(
            page.contains(&format!("node_scrape_collector_success{{collector=\"{}\"}}", collector.name()))
        );
        assert_eq!(Collector::from_name(collector.name()), Some(collector));
    }
}

#[test]
fn mounts_that_cannot_be_asked_are_named() {
    check(
        &[("/host/proc/1/mounts", "nas:/x /no/such/mount nfs4 ro 0 0\nnas:/x /no/such/mount nfs4 ro 0 0\n")],
        &[
            "node_filesystem_device_error{device=\"nas:/x\",device_error=\"statfs failed\",fstype=\"nfs4\",\
             mountpoint=\"/no/such/mount\"} 1",
            "node_filesystem_readonly{device=\"nas:/x\",fstype=\"nfs4\",mountpoint=\"/no/such/mount\"} 1",
        ],
    );
}
