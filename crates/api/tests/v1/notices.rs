//! Notices over HTTP: the list and the live stream.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::Server;

/// The text of the next event.
async fn next(body: &mut Body) -> Option<String> {
    let frame = body.frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn notices_are_listed_and_streamed_from_start_to_stop() {
    let server = Server::starting();
    let (status, body) = server.get("/api/v1/notifications").await;
    let starting = r#"{"text":"Hinomi is starting and replaying its log.","date":"2015-07-01T20:10:30.781Z","active":true}"#;
    assert_eq!((status, body), (200, format!(r#"{{"status":"success","data":[{starting}]}}"#)));

    let live = || Request::get("/api/v1/notifications/live").body(Body::empty()).unwrap();
    let response = server.router.clone().oneshot(live()).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let mut events = response.into_body();
    assert_eq!(next(&mut events).await.unwrap(), ": live\n\n");
    assert_eq!(next(&mut events).await.unwrap(), format!("data: {starting}\n\n"));
    assert_eq!(server.send(live()).await.0, 204, "one may listen, and one does");

    server.shell.set_ready(server.services());
    assert!(next(&mut events).await.unwrap().ends_with("\"active\":false}\n\n"));
    server.check("/api/v1/notifications", 200, r#"{"status":"success","data":[]}"#).await;
    server.shell.notices().raise("x");
    assert!(next(&mut events).await.unwrap().starts_with(r#"data: {"text":"x","#));
    server.shell.set_stopping();
    assert!(next(&mut events).await.unwrap().contains("shutting down"));
    assert_eq!(next(&mut events).await, None, "a stop does not wait for listeners");
    assert!(server.get("/api/v1/notifications").await.1.contains("shutting down"));
}
