//! `query_exemplars` over the real store.

use model::Exemplar;
use stdx::MemDir;

use super::*;

fn exemplar(trace: &str, value: f64, t_ms: i64) -> Exemplar {
    Exemplar { labels: Labels::from_pairs([("trace_id", trace)]), value, t_ms }
}

#[tokio::test]
async fn exemplars_of_all_selectors_are_answered_once_and_in_order() {
    let (db, _) = tsdb::Db::open(Arc::new(MemDir::new()), tsdb::Options::default(), NOW_MS).unwrap();
    let db = Arc::new(db);
    let mut batch = db.appender(NOW_MS);
    for (name, job, exemplars) in [
        ("b_total", "x", vec![exemplar("t3", f64::INFINITY, NOW_MS - 1)]),
        ("a_total", "x", vec![exemplar("t1", 0.5, NOW_MS - 5_000), exemplar("<t2>", 2.0, NOW_MS - 781)]),
        ("a_total", "y", vec![exemplar("t4", 1.0, NOW_MS)]),
        ("c_total", "x", vec![]),
    ] {
        let labels = Labels::from_pairs([("__name__", name), ("job", job)]);
        let series = batch.append(None, &labels, NOW_MS, 1.0).unwrap();
        for exemplar in exemplars {
            batch.append_exemplar(Some(series), &labels, &exemplar).unwrap();
        }
    }
    batch.commit().unwrap();
    let server = Server::starting();
    let mut services = server.services();
    services.exemplars = Arc::new(move |matchers, range| db.exemplars(matchers, range));
    server.shell.set_ready(services);

    let a_x = r#"{"seriesLabels":{"__name__":"a_total","job":"x"},"exemplars":[{"labels":{"trace_id":"t1"},"value":"0.5","timestamp":1435781425.781},{"labels":{"trace_id":"<t2>"},"value":"2","timestamp":1435781430}]}"#;
    let a_y = r#"{"seriesLabels":{"__name__":"a_total","job":"y"},"exemplars":[{"labels":{"trace_id":"t4"},"value":"1","timestamp":1435781430.781}]}"#;
    let b_x = r#"{"seriesLabels":{"__name__":"b_total","job":"x"},"exemplars":[{"labels":{"trace_id":"t3"},"value":"+Inf","timestamp":1435781430.780}]}"#;
    let a_x_late = r#"{"seriesLabels":{"__name__":"a_total","job":"x"},"exemplars":[{"labels":{"trace_id":"<t2>"},"value":"2","timestamp":1435781430}]}"#;
    let cases = [
        ("rate(a_total[5m])", "", format!("[{a_x},{a_y}]")),
        ("a_total%7Bjob%3D%22x%22%7D offset 1h", "", format!("[{a_x}]")),
        ("b_total / ignoring(a) (a_total + a_total)", "", format!("[{a_x},{a_y},{b_x}]")),
        ("%7Bjob%3D%22x%22%7D", "&start=1435781430&end=1435781430.5", format!("[{a_x_late}]")),
        ("c_total", "", "[]".to_owned()),
        ("a_total", "&end=1435781420", "[]".to_owned()),
    ];
    for (query, range, expected) in cases {
        let query = query.replace(' ', "%20").replace('+', "%2B");
        let url = format!("/api/v1/query_exemplars?query={query}{range}");
        let request = Request::builder().uri(&url).body(Body::empty()).unwrap();
        let (status, body) = server.send(request).await;
        assert_eq!((status, body), (200, format!(r#"{{"status":"success","data":{expected}}}"#)), "{url}");
    }
    let ask =
        |query: &str| Request::builder().uri(format!("/api/v1/query_exemplars?{query}")).body(Body::empty());
    assert_eq!(server.send(ask("query=1").unwrap()).await.0, 204);
    assert_eq!(server.send(ask("query=a(").unwrap()).await.0, 400);
    assert_eq!(server.send(ask("query=a&start=5&end=4").unwrap()).await.0, 400);
}
