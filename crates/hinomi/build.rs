//! Tells the binary which commit it is built from. Outside a checkout these are `unknown`.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=../../.git/HEAD");
    println!("cargo:rerun-if-changed=../../.git/refs/heads");
    println!("cargo:rerun-if-changed=build.rs");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let facts = [
        ("HINOMI_BRANCH", run("git", &["rev-parse", "--abbrev-ref", "HEAD"])),
        ("HINOMI_REVISION", run("git", &["rev-parse", "HEAD"])),
        // The commit's day, not the build's: the same source gives the same binary.
        ("HINOMI_DATE", run("git", &["log", "-1", "--format=%cd", "--date=format:%Y%m%d-%H:%M:%S"])),
        ("HINOMI_COMPILER", run(&rustc, &["--version"])),
    ];
    for (name, value) in facts {
        println!("cargo:rustc-env={name}={}", value.as_deref().unwrap_or("unknown"));
    }
}

fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
