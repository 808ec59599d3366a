//! `/write` and `/api/v2/write` over the reference store.

use api::{InfluxOptions, InfluxReceiver};

use super::*;

/// [`NOW_MS`] in seconds.
const NOW_SECS: i64 = NOW_MS / 1_000;

fn taking() -> Server {
    let server = Server::starting();
    let mut services = server.services();
    services.influx = Some(Arc::new(InfluxReceiver::new(InfluxOptions {
        store: server.store.clone(),
        clock: server.clock.clone(),
        registry: server.registry.clone(),
    })));
    server.shell.set_ready(services);
    server
}

impl Server {
    async fn lines(&self, path: &str, body: impl Into<Body>) -> (u16, String) {
        self.send(Request::post(path).body(body.into()).unwrap()).await
    }
}

#[tokio::test]
async fn each_number_becomes_a_series() {
    let server = taking();
    let body = format!(
        "hoge,index=cluster1,host=host1 mem=123,msg=\"text\",up=t {NOW_SECS}\nweather-1,loc\\ name=a\\,b value=-1.5\n"
    );
    assert_eq!(server.lines("/write?db=x&precision=s", body).await, (204, String::new()));
    server.check_found("hoge_mem", &["{__name__:hoge_mem,host:host1,index:cluster1} 123"]).await;
    server.check_found("hoge_up", &["{__name__:hoge_up,host:host1,index:cluster1} 1"]).await;
    server.check_found("hoge_msg", &[]).await;
    server.check_found("weather_1", &["{__name__:weather_1,loc_name:a,b} -1.5"]).await;
    let page = server.registry.render();
    assert!(page.contains("hinomi_influx_dropped_texts_total 1\n"), "{page}");
    assert!(page.contains("hinomi_influx_received_samples_total 3\n"), "{page}");
}

#[tokio::test]
async fn precisions_are_told_by_the_parameter() {
    for (precision, time) in [
        ("", NOW_MS * 1_000_000),
        ("?precision=ns", NOW_MS * 1_000_000),
        ("?precision=us", NOW_MS * 1_000),
        ("?precision=ms", NOW_MS),
        ("?precision=m", NOW_MS / 60_000),
    ] {
        let server = taking();
        let body = format!("m value=1 {time}");
        assert_eq!(server.lines(&format!("/api/v2/write{precision}"), body).await, (204, String::new()));
        server.check_found("m", &["{__name__:m} 1"]).await;
    }
}

#[tokio::test]
async fn bad_lines_are_named_and_the_others_stored() {
    let server = taking();
    let body = "a value=1\nb value=\n\nc,__name__=x value=1\nd value=2";
    let expected = "partial write: line 2: missing field name or field value\\nline 4: a tag must not be named __name__ dropped=2";
    let (status, text) = server.lines("/write", body).await;
    assert_eq!((status, text), (400, format!("{{\"error\":\"{expected}\"}}")));
    let (status, text) = server.lines("/api/v2/write", body).await;
    assert_eq!((status, text), (400, format!("{{\"code\":\"invalid\",\"message\":\"{expected}\"}}")));
    server.check_found("{__name__=~\"a|d\"}", &["{__name__:a} 1", "{__name__:d} 2"]).await;
    let (status, text) = server.lines("/write?precision=x", "a v=1").await;
    assert!(status == 400 && text.contains("precision is one of ns, us, ms, s, m, h"), "{text}");
    let (status, text) = Server::start().lines("/write", "").await;
    assert!(status == 404 && text.contains("--web.enable-influx-receiver"), "{text}");
    assert_eq!(server.get("/ping").await.0, 204);
}
