//! `/api/v1/admin/tsdb/…` over the real store.

use stdx::{Dir as _, MemDir};
use storage::Queryable as _;

use super::*;

const DISABLED: &str = r#"{"status":"error","errorType":"unavailable","error":"admin APIs disabled"}"#;

/// Two series with a sample each, three seconds apart.
fn store(dir: &Arc<MemDir>) -> Arc<tsdb::Db> {
    let (db, _) = tsdb::Db::open(dir.clone(), tsdb::Options::default(), NOW_MS).unwrap();
    let mut batch = db.appender(NOW_MS);
    for (name, ago_ms) in [("a", 3_000), ("b", 0)] {
        let labels = Labels::from_pairs([("__name__", name)]);
        batch.append(None, &labels, NOW_MS - ago_ms, 1.0).unwrap();
    }
    batch.commit().unwrap();
    Arc::new(db)
}

fn names(db: &tsdb::Db) -> Vec<String> {
    let (matchers, hints) =
        (promql::metric_selector("{__name__!=\"\"}").unwrap(), storage::SelectHints::default());
    let mut set = db.select(&matchers, model::TimeRange::ALL, &hints).unwrap();
    let mut names = Vec::new();
    while let Some(series) = set.next().unwrap() {
        if !series.is_empty() {
            names.push(series.labels.metric_name().to_owned());
        }
    }
    names
}

impl Server {
    async fn admin(&self, method: &str, path: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(format!("/api/v1/admin/tsdb/{path}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

#[tokio::test]
async fn without_the_flag_nothing_is_done() {
    let server = Server::start();
    for path in ["delete_series?match[]=a", "clean_tombstones", "snapshot"] {
        assert_eq!(server.admin("POST", path).await, (500, DISABLED.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn series_are_deleted_cleaned_and_copied() {
    let dir = Arc::new(MemDir::new());
    let db = store(&dir);
    let server = Server::starting();
    let mut services = server.services();
    services.admin = Some(db.clone());
    server.shell.set_ready(services);

    assert_eq!(
        server.admin("POST", "delete_series").await.1,
        r#"{"status":"error","errorType":"bad_data","error":"no match[] parameter provided"}"#
    );
    assert_eq!(server.admin("POST", "delete_series?match[]=%7B").await.0, 400);
    assert_eq!(server.admin("GET", "snapshot").await.0, 405);
    assert_eq!(server.admin("PUT", "snapshot?skip_head=x").await.0, 400);

    let (status, body) = server.admin("POST", "snapshot").await;
    assert_eq!(status, 200, "{body}");
    let name = body.strip_prefix(r#"{"status":"success","data":{"name":""#).unwrap();
    let name = name.strip_suffix(r#""}}"#).unwrap();
    assert!(name.starts_with("20150701T201030Z-") && name.len() == 33, "{name}");
    let copied = dir.list(&std::path::Path::new("snapshots").join(name)).unwrap();
    assert!(!copied.is_empty(), "a block is in the snapshot");

    assert_eq!(names(&db), ["a", "b"]);
    let end = (NOW_MS - 1_000) / 1_000;
    assert_eq!(
        server.admin("PUT", &format!("delete_series?match[]=a&match[]=b&end={end}")).await,
        (204, String::new())
    );
    assert_eq!(names(&db), ["b"]);
    assert_eq!(server.admin("POST", "clean_tombstones").await, (204, String::new()));
    assert_eq!(names(&db), ["b"]);
}
