//! Upstream's Alertmanager files, good and bad, judged by `hinomi check alertmanager` as upstream's tests and `amtool` judge them.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test outside the product: it runs processes and reads real files"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What upstream's tests refuse, by parts of names; the others they load.
const BAD: &[&str] = &[
    "-both-",
    "-invalid",
    "-no-apikey",
    "-no-api-",
    "-no-bot-token",
    "-no-token",
    "-no-webhook-url",
    "conf.bad",
    "conf.nil-",
    "-old-team",
    "-update-message-and-webhook",
];

fn upstream() -> Option<PathBuf> {
    let beside =
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata/upstream-alertmanager");
    let path = std::env::var_os("HINOMI_UPSTREAM_ALERTMANAGER").map_or_else(beside, PathBuf::from);
    path.is_dir().then_some(path)
}

/// Whether it takes the file, and what it says.
fn judged(command: &mut Command, file: &Path) -> (bool, String) {
    let output = command.arg(file).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn upstreams_files_are_judged_as_upstream_and_amtool_judge_them() {
    let Some(upstream) = upstream() else {
        println!("skipped: set HINOMI_UPSTREAM_ALERTMANAGER to a checkout of Alertmanager's repository");
        return;
    };
    let amtool = Path::new("/usr/bin/amtool");
    let mut wrong: BTreeMap<String, String> = BTreeMap::new();
    let mut n_files = 0;
    for folder in ["config/testdata", "cli/testdata"] {
        for entry in std::fs::read_dir(upstream.join(folder)).unwrap() {
            let file = entry.unwrap().path();
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if !name.ends_with(".yml") {
                continue;
            }
            n_files += 1;
            let is_good = !BAD.iter().any(|part| name.contains(part));
            let (is_taken, said) =
                judged(Command::new(env!("CARGO_BIN_EXE_hinomi")).args(["check", "alertmanager"]), &file);
            if is_taken != is_good {
                wrong.insert(name.clone(), format!("good: {is_good}, taken: {is_taken}: {said}"));
            }
            // Debian's is older than some keys: what it refuses may be good.
            if amtool.exists() && judged(Command::new(amtool).arg("check-config"), &file).0 && !is_taken {
                wrong.insert(name, format!("amtool takes it: {said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(n_files > 40, "{n_files} files are not the corpus");
}
