//! Samples come in while the server serves: scrapes go on, a kill in the middle costs nothing, nothing comes twice.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Hinomi, binary, now_secs, output, wait_for};

const CONFIG: &str = "
global: {scrape_interval: 250ms}
scrape_configs:
- job_name: self
  static_configs: [{targets: ['127.0.0.1:1']}]
";

/// Five days, a sample a minute.
const STEPS: usize = 5 * 24 * 60;
const SERIES: usize = 40;
const START_SECS: usize = 1_700_000_000;

fn page() -> String {
    let mut text = "# TYPE load gauge\n".to_owned();
    for series in 0..SERIES {
        for step in 0..STEPS {
            let _ =
                writeln!(text, "load{{s=\"{series}\"}} {} {}", step * series % 977, START_SECS + step * 60);
        }
    }
    text + "# EOF\n"
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn status(server: &Hinomi) -> Value {
    let answer = server.get("/api/v1/admin/tsdb/import");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["data"].clone()
}

/// Samples as they are stored: twice where two blocks have one.
fn n_stored(folder: &Path) -> u64 {
    let data = format!("--storage.tsdb.path={}", folder.join("data").display());
    let (code, out, err) =
        output(binary().args(["tsdb", "analyze", "--match", "load", "--format", "json", &data]));
    assert_eq!(code, 0, "{err}");
    serde_json::from_str::<Value>(&out).unwrap()["nSamples"].as_u64().unwrap()
}

#[test]
fn an_import_that_is_killed_goes_on_and_every_sample_is_there_once() {
    let work = tempfile::tempdir().unwrap();
    let (file, theirs) = (work.path().join("in.om"), work.path().join("theirs"));
    std::fs::write(&file, page()).unwrap();
    let promtool = ["tsdb", "create-blocks-from", "openmetrics", text(&file), text(&theirs)];
    let (code, _, err) = output(Command::new("promtool").args(promtool));
    assert_eq!(code, 0, "{err}");

    let mut server =
        Hinomi::start(Some(CONFIG), &["--web.enable-admin-api", "--storage.tsdb.retention.time=0"]);
    assert_eq!(server.get("/api/v1/admin/tsdb/import").status, 404);
    let form = format!("kind=prometheus&path={}", theirs.display());
    let answer = server.post("/api/v1/admin/tsdb/import", "application/x-www-form-urlencoded", &form);
    assert_eq!(answer.status, 200, "{}", answer.body);
    // A fast machine may be done before it is asked again, or told to stop.
    let twice = server.post("/api/v1/admin/tsdb/import", "application/x-www-form-urlencoded", &form);
    assert!(twice.status == 200 || twice.body.contains("is running"), "{}", twice.body);
    // What was done before it was cancelled is passed over afterwards.
    let form_type = "application/x-www-form-urlencoded";
    wait_for("a block", Duration::from_secs(60), || {
        (status(&server)["done"].as_u64() >= Some(1)).then_some(())
    });
    let url = format!("{}/api/v1/admin/tsdb/import", server.base);
    let cancelled = ureq::delete(&url).call().unwrap().into_body().read_to_string().unwrap();
    assert!(cancelled.contains("\"kind\":\"prometheus\""), "{cancelled}");
    wait_for("the end", Duration::from_secs(20), || (status(&server)["state"] != "running").then_some(()));
    // Scrapes have gone on.
    wait_for("a scrape of now", Duration::from_secs(10), || {
        server.number("max(timestamp(up))").filter(|newest| now_secs() - newest < 5.0)
    });
    assert_eq!(server.post("/api/v1/admin/tsdb/import", form_type, &form).status, 200);
    server.process.kill9();
    server.restart();
    let ended = wait_for("the end of the import", Duration::from_secs(120), || {
        Some(status(&server)).filter(|status| status["state"] != "running")
    });
    assert_eq!((&ended["state"], &ended["failed"]), (&"done".into(), &Value::Array(Vec::new())), "{ended}");
    assert!(ended["here"].as_u64() >= Some(2), "{ended}");
    assert_eq!(ended["bytes"], ended["bytesDone"], "{ended}");
    let at = (START_SECS + STEPS * 60) as f64;
    let counted = server.query("sum(count_over_time(load[6d]))", Some(at));
    assert_eq!(counted[0]["value"][1], (SERIES * STEPS).to_string());
    // Again: everything is here.
    let (code, out, err) =
        output(binary().args(["tsdb", "import", "prometheus", text(&theirs), "--server", &server.base]));
    assert_eq!((code, out.as_str()), (0, "0 samples imported\n"), "{err}");
    server.process.signal("TERM");
    assert_eq!(server.process.wait_exit(Duration::from_secs(10)), Some(0));
    assert_eq!(n_stored(server.folder.path()), (SERIES * STEPS) as u64);
}

#[test]
fn the_command_shows_a_servers_import_to_its_end() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("in.om");
    std::fs::write(&file, page()).unwrap();
    let server = Hinomi::start(Some(CONFIG), &["--web.enable-admin-api", "--storage.tsdb.retention.time=0"]);
    let import = |path: &Path| {
        output(binary().args(["tsdb", "import", "openmetrics", text(path), "--server", &server.base]))
    };
    let (code, out, err) = import(&file);
    assert_eq!((code, out), (0, format!("{} samples imported\n", SERIES * STEPS)), "{err}");
    let at = (START_SECS + STEPS * 60) as f64;
    let counted = server.query("sum(count_over_time(load[6d]))", Some(at));
    assert_eq!(counted[0]["value"][1], (SERIES * STEPS).to_string());
    let (code, out, _) = import(&file);
    assert_eq!((code, out.as_str()), (0, "0 samples imported\n"));

    std::fs::write(&file, "a 1\n# EOF\n").unwrap();
    let (code, _, err) = import(&file);
    assert!(code == 1 && err.contains("has no timestamp"), "{err}");
    let (code, _, err) = import(&work.path().join("nothing"));
    assert!(code == 1 && err.contains("cannot read"), "{err}");
    // Straight into the directory of a running server: no.
    let data = format!("--storage.tsdb.path={}", server.folder.path().join("data").display());
    let (code, _, err) = output(binary().args(["tsdb", "import", "openmetrics", text(&file), &data]));
    assert!(code == 1 && err.contains("--server URL"), "{err}");

    let answer =
        server.post("/api/v1/admin/tsdb/import", "application/x-www-form-urlencoded", "kind=x&path=/");
    assert!(
        answer.status == 400 && answer.body.contains("neither prometheus nor openmetrics"),
        "{}",
        answer.body
    );
    let answer = server.post(
        "/api/v1/admin/tsdb/import",
        "application/x-www-form-urlencoded",
        "kind=prometheus&path=a",
    );
    assert!(answer.status == 400 && answer.body.contains("is not absolute"), "{}", answer.body);
    let closed = Hinomi::start(Some(CONFIG), &[]);
    let (code, _, err) =
        output(binary().args(["tsdb", "import", "openmetrics", text(&file), "--server", &closed.base]));
    assert!(code == 1 && err.contains("--web.enable-admin-api"), "{err}");
}
