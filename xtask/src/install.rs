//! What the tests need from others: real peers, a real browser and a real mail server from Debian, real senders from PyPI.

use std::process::Command;

use anyhow::{Result, bail};

use crate::run;

/// Package, and a file that shows it is there.
const PACKAGES: &[(&str, &str)] = &[
    ("prometheus", "/usr/bin/prometheus"),
    ("prometheus-alertmanager", "/usr/bin/amtool"),
    ("prometheus-node-exporter", "/usr/bin/prometheus-node-exporter"),
    ("prometheus-blackbox-exporter", "/usr/bin/prometheus-blackbox-exporter"),
    ("python3-aiosmtpd", "/usr/lib/python3/dist-packages/aiosmtpd/__init__.py"),
    ("python3-venv", "/usr/bin/python3"),
    ("openssl", "/usr/bin/openssl"),
    ("strace", "/usr/bin/strace"),
    ("faketime", "/usr/bin/faketime"),
    ("default-jre-headless", "/usr/bin/java"),
    ("libzookeeper-java", "/usr/share/java/zookeeper.jar"),
    ("chromium", "/usr/bin/chromium"),
    ("fonts-noto-cjk", "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
    ("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
];

/// Installs what is missing when run as root; otherwise says the exact command. True when all is there.
pub fn debian_packages() -> Result<bool> {
    let missing: Vec<&str> = (PACKAGES.iter())
        .filter(|(_, file)| !std::path::Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(true);
    }
    let install =
        format!("apt-get update && apt-get install -y --no-install-recommends {}", missing.join(" "));
    if !is_root() || !run::exists("apt-get") {
        bail!("the tests need Debian packages that are not installed; run as root:\n  {install}");
    }
    println!("$ {install}");
    // policy-rc.d would be cleaner, but the packages' services do no harm and may not exist in a container.
    let status =
        Command::new("sh").args(["-c", &install]).env("DEBIAN_FRONTEND", "noninteractive").status()?;
    if !status.success() {
        bail!("installing packages failed ({status}); run by hand:\n  {install}");
    }
    Ok(true)
}

/// Senders that are not in Debian, in a virtual environment below `target`; pinned, so that a test that fails failed by our change.
const PYTHON_PACKAGES: &[&str] = &[
    "opentelemetry-sdk==1.45.2",
    "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
    "opentelemetry-exporter-otlp-proto-http==1.45.2",
    "confluent-kafka==2.16.1",
    "influxdb==5.3.2",
    "influxdb-client==1.50.0",
];

/// Installs them, unless they are there.
pub fn python_packages() -> Result<()> {
    let folder = run::root().join("target/test-python");
    let list = folder.join("installed");
    let wanted = PYTHON_PACKAGES.join("\n");
    if std::fs::read_to_string(&list).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status()?;
    if !made.success() {
        bail!("python3 cannot make a virtual environment in {}", folder.display());
    }
    let installed =
        Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(PYTHON_PACKAGES).status()?;
    if !installed.success() {
        bail!("pip cannot install {}", PYTHON_PACKAGES.join(" "));
    }
    Ok(std::fs::write(list, wanted)?)
}

/// Whether Node.js and npm are there; the web page is built with them.
pub fn check_node() -> Result<()> {
    if run::exists("node") && run::exists("npm") {
        return Ok(());
    }
    bail!(
        "building the web page needs Node.js 20 or newer with npm: nodejs.org, or on Debian 13: apt-get install nodejs npm"
    );
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n")
}
