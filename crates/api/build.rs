//! Builds the web page with npm and turns it into a table of files for `src/ui.rs`, each also packed with gzip.
//!
//! `HINOMI_SKIP_UI=1` embeds a page of one sentence instead, for checks and tests that do not look at it.

#![allow(clippy::disallowed_methods, reason = "a build script works on real files, before any seam is built")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Oldest Node.js that the page's tools run on.
const NODE_MAJOR_MIN: u32 = 20;

/// Files smaller than this many bytes are not packed: the header would eat the gain.
const PACK_FROM_BYTES: usize = 512;

const NO_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Hinomi</title>\
                       <p>This build was made without the web page (HINOMI_SKIP_UI). The API is at /api/v1.</p></html>";

fn main() {
    println!("cargo:rerun-if-env-changed=HINOMI_SKIP_UI");
    let out_dir = PathBuf::from(env("OUT_DIR"));
    let ui_dir = PathBuf::from(env("CARGO_MANIFEST_DIR")).join("../../ui");
    let dist = out_dir.join("ui");
    let _ = fs::remove_dir_all(&dist);
    fs::create_dir_all(&dist).unwrap_or_else(|err| fail(&format!("cannot create {}: {err}", dist.display())));
    if std::env::var_os("HINOMI_SKIP_UI").is_some_and(|value| !value.is_empty() && value != "0") {
        write(&dist.join("index.html"), NO_PAGE.as_bytes());
    } else {
        watch(&ui_dir);
        build_page(&ui_dir, &dist);
    }
    let app = ui_dir.join("src/app.tsx");
    println!("cargo:rerun-if-changed={}", app.display());
    let source = table(&dist, &out_dir.join("ui-gzip")) + &pages(&app);
    write(&out_dir.join("assets.rs"), source.as_bytes());
}

/// Cargo looks at these to know whether the page must be built anew; a folder stands for all it holds.
fn watch(ui_dir: &Path) {
    for name in [
        "src",
        "public",
        "index.html",
        "package.json",
        "package-lock.json",
        "vite.config.ts",
        "tsconfig.json",
    ] {
        let path = ui_dir.join(name);
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
}

fn build_page(ui_dir: &Path, dist: &Path) {
    check_node();
    let lock = fs::read(ui_dir.join("package-lock.json")).unwrap_or_default();
    let stamp_path = ui_dir.join("node_modules/.hinomi-lock");
    let stamp = fs::read(&stamp_path).unwrap_or_default();
    if stamp != lock {
        npm(ui_dir, &["ci", "--no-audit", "--no-fund", "--prefer-offline"]);
        write(&stamp_path, &lock);
    }
    let dist = dist.display().to_string();
    npm(
        ui_dir,
        &["run", "--silent", "build", "--", "--outDir", &dist, "--emptyOutDir", "--logLevel", "warn"],
    );
}

fn check_node() {
    let hint = |found: &str| -> ! {
        fail(&format!(
            "building the web page needs Node.js {NODE_MAJOR_MIN} or newer with npm, {found}; install them from \
             nodejs.org, or on Debian 13, Ubuntu 25.04 and newer: apt-get install nodejs npm"
        ))
    };
    let Ok(version) = Command::new("node").arg("--version").output() else { hint("and there is no node") };
    let text = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let major = text.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < NODE_MAJOR_MIN) {
        hint(&format!("and node is {text}"));
    }
    if !Command::new("npm").arg("--version").output().is_ok_and(|out| out.status.success()) {
        hint("and there is no npm");
    }
}

fn npm(ui_dir: &Path, args: &[&str]) {
    let output = Command::new("npm").args(args).current_dir(ui_dir).output();
    let output = output.unwrap_or_else(|err| fail(&format!("cannot run npm: {err}")));
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        eprintln!("{}", String::from_utf8_lossy(&text));
        fail(&format!("npm {} failed in {}; its messages are above", args.join(" "), ui_dir.display()));
    }
}

/// The source of `static PAGES`: the paths that the page's own table of routes has.
fn pages(app: &Path) -> String {
    let text =
        fs::read_to_string(app).unwrap_or_else(|err| fail(&format!("cannot read {}: {err}", app.display())));
    let paths = text.split("<Route path=\"/").skip(1).filter_map(|rest| rest.split('"').next());
    let list: Vec<String> = paths.map(|path| format!("{path:?}")).collect();
    if list.len() < 5 {
        fail(&format!("{}: no table of routes", app.display()));
    }
    format!("static PAGES: &[&str] = &[{}];\n", list.join(", "))
}

/// The source of `static ASSETS`.
fn table(dist: &Path, gzip_dir: &Path) -> String {
    let _ = fs::remove_dir_all(gzip_dir);
    fs::create_dir_all(gzip_dir)
        .unwrap_or_else(|err| fail(&format!("cannot create {}: {err}", gzip_dir.display())));
    let mut files = Vec::new();
    collect(dist, &mut files);
    files.sort();
    let mut source = String::from("static ASSETS: &[Asset] = &[\n");
    for (idx, file) in files.iter().enumerate() {
        let name = file.strip_prefix(dist).unwrap_or(file).to_string_lossy().replace('\\', "/");
        let plain =
            fs::read(file).unwrap_or_else(|err| fail(&format!("cannot read {}: {err}", file.display())));
        let packed = gzip(&plain);
        let packs = plain.len() >= PACK_FROM_BYTES && packed.len() < plain.len() * 9 / 10;
        let gzip_file = gzip_dir.join(format!("{idx}.gz"));
        write(&gzip_file, if packs { &packed } else { b"" });
        let _ = writeln!(
            source,
            "    Asset {{ path: {name:?}, content_type: {:?}, etag: {:?}, plain: include_bytes!({:?}), gzip: include_bytes!({:?}) }},",
            content_type(&name),
            format!("\"{:016x}\"", fnv1a(&plain)),
            file.display().to_string(),
            gzip_file.display().to_string(),
        );
    }
    source + "];\n"
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => collect(&path, files),
            // Source maps are for developers; they would double the binary's page.
            false if path.extension().is_some_and(|ext| ext == "map") => {}
            false => files.push(path),
        }
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let written = encoder.write_all(plain).and_then(|()| encoder.finish());
    written.unwrap_or_else(|err| fail(&format!("cannot pack a file of the web page: {err}")))
}

/// FNV-1a, 64 bits: tells versions of a file apart; not for security.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|err| fail(&format!("cannot write {}: {err}", path.display())));
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| fail(&format!("{name} is not set: run through cargo")))
}

/// Ends the build with one line.
fn fail(message: &str) -> ! {
    println!("cargo:warning={message}");
    eprintln!("error: {message}");
    std::process::exit(1);
}
