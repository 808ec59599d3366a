//! `hinomi debug`: an archive of what helps others help, without secrets.

use std::process::Command;

use crate::harness::{Hinomi, binary, output};

/// The files of an archive, unpacked by the system's tar.
fn unpacked(archive: &std::path::Path) -> Vec<String> {
    let (code, listed, err) = output(Command::new("tar").arg("-tzf").arg(archive));
    assert_eq!(code, 0, "{err}");
    listed.lines().map(str::to_owned).collect()
}

#[test]
fn the_archive_has_metrics_status_and_no_secrets() {
    let config = "scrape_configs:\n- job_name: t\n  basic_auth: {username: u, password: hunter2}\n";
    let server = Hinomi::start(Some(config), &[]);
    let archive = server.folder.path().join("all.tar.gz");
    let (code, out, err) = output(binary().args(["debug", "all", &server.base, "--out"]).arg(&archive));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&format!("collecting: {}/metrics\n", server.base)), "{out}");
    assert!(out.contains("Compiling debug information complete, all files written in "), "{out}");
    let files = unpacked(&archive);
    for name in
        ["metrics.txt", "config.json", "targets.json", "queries.json", "tsdb.json", "alertmanager.json"]
    {
        assert!(files.iter().any(|file| file == name), "{name} in {files:?}");
    }
    assert!(!files.iter().any(|file| file == "missing.txt"), "{err}");
    let (_, text, _) = output(Command::new("tar").arg("-xzOf").arg(&archive));
    assert!(text.contains("prometheus_build_info") && text.contains("password: "));
    assert!(!text.contains("hunter2"));

    let (code, _, err) =
        output(binary().args(["debug", "metrics", &server.base]).current_dir(server.folder.path()));
    assert_eq!(code, 0, "{err}");
    assert_eq!(unpacked(&server.folder.path().join("debug.tar.gz")), ["metrics.txt"]);
}
