//! A real SMTP server (aiosmtpd) with STARTTLS and authentication, whose messages the test reads.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Process, free_port, output, wait_for};

pub const USER: &str = "hinomi";
pub const PASSWORD: &str = "fire-lookout";

/// The server; messages are files in its folder, in order of arrival.
pub struct MailServer {
    _process: Process,
    pub port: u16,
    pub ca_file: PathBuf,
    inbox: PathBuf,
}

impl MailServer {
    pub fn start(folder: &Path) -> Self {
        let (cert, key) = (folder.join("mail.crt"), folder.join("mail.key"));
        let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
        let (code, _, err) = output(
            Command::new("openssl")
                .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
                .args(subject)
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .arg("-keyout")
                .arg(&key)
                .arg("-out")
                .arg(&cert),
        );
        assert_eq!(code, 0, "openssl: {err}");
        let inbox = folder.join("inbox");
        std::fs::create_dir_all(&inbox).unwrap();
        let port = free_port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/harness/smtp_server.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).arg(port.to_string()).arg(&cert).arg(&key).arg(&inbox).args([USER, PASSWORD]);
        let process = Process::start(&mut command, &folder.join("smtp.log"));
        wait_for("SMTP server", Duration::from_secs(15), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { _process: process, port, ca_file: cert, inbox }
    }

    /// All messages so far, whole, oldest first.
    pub fn messages(&self) -> Vec<String> {
        let mut paths: Vec<_> =
            std::fs::read_dir(&self.inbox).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ext| ext == "eml"));
        paths.sort();
        paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }
}
