//! What the tests need from Debian's packages: real peers, a real browser, a real mail server.

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
    ("openssl", "/usr/bin/openssl"),
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
