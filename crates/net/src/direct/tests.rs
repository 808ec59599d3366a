//! Against real sockets, beside the pooled client: both must say the same.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;

const LIMITS: Limits =
    Limits { timeout: Duration::from_secs(20), body_bytes_max: 1_000, decoded_bytes_max: 1_000 };

/// Answers the n-th request of a connection with the n-th answer and closes behind the last. Returns how many connections there were.
async fn start(
    answers: &'static [&'static [u8]],
    n_connections: u32,
) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut asked = Vec::new();
        for _ in 0..n_connections {
            let (mut tcp, _) = listener.accept().await.unwrap();
            for answer in answers {
                let mut buf = [0; 4096];
                let n_bytes = tcp.read(&mut buf).await.unwrap();
                if n_bytes == 0 {
                    break;
                }
                asked.push(String::from_utf8_lossy(&buf[..n_bytes]).into_owned());
                tcp.write_all(answer).await.unwrap();
            }
        }
        asked
    });
    (addr, server)
}

fn client(yaml: &str) -> HttpClient {
    HttpClient::new(&model::yaml::parse("test.yml", yaml).unwrap()).unwrap()
}

async fn fetch(client: &HttpClient, url: &str, line: &mut Line) -> String {
    let request = Request::get(Url::parse(url).unwrap());
    match client.fetch(&mut request.into(), &LIMITS, line).await {
        Ok(fetched) => format!(
            "{} {} {:?}",
            fetched.status.as_u16(),
            fetched.content_type,
            String::from_utf8_lossy(&fetched.body)
        ),
        Err(err) => err.to_string(),
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nok";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";

#[tokio::test]
async fn a_connection_is_kept_and_replaced_when_it_was_closed() {
    let (addr, server) = start(&[OK, CHUNKED], 2).await;
    let (client, mut line) = (client("basic_auth: {username: a, password: b}"), Line::new(Arc::default()));
    let url = format!("http://{addr}/metrics?a=%20b#part");
    for _ in 0..2 {
        assert_eq!(fetch(&client, &url, &mut line).await, "200 a/b \"ok\"");
        assert_eq!(fetch(&client, &url, &mut line).await, "200  \"ok\"");
    }
    let asked = server.await.unwrap();
    assert_eq!(asked.len(), 4);
    let expected = format!(
        "GET /metrics?a=%20b HTTP/1.1\r\nhost: {addr}\r\nuser-agent: {AGENT}\r\nauthorization: Basic YTpi\r\n\r\n"
    );
    assert_eq!(asked, vec![expected; 4]);
}

#[tokio::test]
async fn memory_goes_back_to_where_it_came_from() {
    let (addr, _server) = start(&[OK, OK], 1).await;
    let (client, buffers) = (client(""), Arc::new(Buffers::default()));
    let mut line = Line::new(Arc::clone(&buffers));
    let url = format!("http://{addr}/");
    let request = || Request::get(Url::parse(&url).unwrap());
    let first = client.fetch(&mut request().into(), &LIMITS, &mut line).await.unwrap();
    assert_eq!(buffers.0.lock().len(), 0);
    drop(first);
    assert_eq!(buffers.0.lock().len(), 1);
    let second = client.fetch(&mut request().into(), &LIMITS, &mut line).await.unwrap();
    assert_eq!(&*second.body, b"ok");
    assert_eq!(buffers.0.lock().len(), 0);
}

/// A server whose answers have these lengths, one after another over any connection. Returns the connections' number at each request.
async fn start_long(lens: &'static [usize]) -> (String, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut n_connections = 0;
        while let Ok((mut tcp, _)) = listener.accept().await {
            n_connections += 1;
            while tcp.read(&mut [0; 4096]).await.is_ok_and(|n_bytes| n_bytes > 0) {
                let nth = asked.lock().len();
                let len = lens[nth];
                asked.lock().push(n_connections);
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{}", "x".repeat(len));
                tcp.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (url, seen)
}

#[tokio::test]
async fn long_answers_get_a_window_once_and_the_longest_are_left_to_the_system() {
    let lens: &[usize] = &[10, 100_000, 101_000, 100_000, 300_000, 300_000, 2 << 20, 10, 100_000, 10];
    let (url, seen) = start_long(lens).await;
    let (client, mut line) = (client(""), Line::new(Arc::default()));
    let limits = Limits { body_bytes_max: 4 << 20, ..LIMITS };
    let mut repeated = Repeated::from(Request::get(Url::parse(&url).unwrap()));
    for len in lens {
        let fetched = client.fetch(&mut repeated, &limits, &mut line).await.unwrap();
        assert_eq!(fetched.body.len(), *len);
    }
    assert_eq!(*seen.lock(), [1, 1, 2, 2, 2, 3, 3, 4, 4, 4]);
}

#[tokio::test]
async fn what_comes_unasked_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (tell, told) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        assert!(first.read(&mut [0; 4096]).await.unwrap() > 0);
        first.write_all(OK).await.unwrap();
        may_go_on.await.unwrap();
        first.write_all(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        first.shutdown().await.unwrap();
        tell.send(()).unwrap();
        let (mut second, _) = listener.accept().await.unwrap();
        assert!(second.read(&mut [0; 4096]).await.unwrap() > 0);
        second.write_all(OK).await.unwrap();
    });
    let (client, mut line) = (client(""), Line::new(Arc::default()));
    assert_eq!(fetch(&client, &url, &mut line).await, "200 a/b \"ok\"");
    assert!(line.idle.is_some());
    go_on.send(()).unwrap();
    told.await.unwrap();
    // Another answer, behind which the system has also told of the first connection.
    let (other, _server) = start(&[OK], 1).await;
    fetch(&client, &format!("http://{other}/"), &mut Line::new(Arc::default())).await;
    assert_eq!(fetch(&client, &url, &mut line).await, "200 a/b \"ok\"");
}

#[tokio::test]
async fn errors_are_those_of_the_pooled_client() {
    let answers: &[&'static [u8]] = &[
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nto the end",
    ];
    for answer in answers {
        let answer: &'static [&'static [u8]] = Box::leak(Box::new([*answer]));
        let (addr, _server) = start(answer, 3).await;
        let (client, url) = (client(""), format!("http://user:secret@{addr}/"));
        let direct = fetch(&client, &url, &mut Line::new(Arc::default())).await;
        let pooled = match client.send(Request::get(Url::parse(&url).unwrap()), &LIMITS).await {
            Ok(response) => {
                format!("{}  {:?}", response.status.as_u16(), String::from_utf8_lossy(&response.body))
            }
            Err(err) => err.to_string(),
        };
        assert_eq!(direct, pooled, "{:?}", String::from_utf8_lossy(answer[0]));
        assert!(!direct.contains("secret"));
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let err = fetch(&client(""), &format!("http://{closed}/"), &mut Line::new(Arc::default())).await;
    assert_eq!(err, format!("Get \"http://{closed}/\": dial tcp {closed}: connect: connection refused"));
}

#[tokio::test]
async fn redirects_are_followed_and_remembered() {
    let (to, _to_server) = start(&[OK, OK], 1).await;
    let moved =
        format!("HTTP/1.1 302 Found\r\nLocation: http://{to}/\r\nContent-Length: 0\r\n\r\n").into_bytes();
    let moved: &'static [u8] = Box::leak(moved.into_boxed_slice());
    let answers: &'static [&'static [u8]] = Box::leak(Box::new([moved, moved]));
    let (from, _server) = start(answers, 2).await;
    let (client, mut line) = (client(""), Line::new(Arc::default()));
    for _ in 0..2 {
        assert_eq!(fetch(&client, &format!("http://{from}/"), &mut line).await, "200 a/b \"ok\"");
    }
    assert!(line.redirects);
}

#[tokio::test]
async fn silence_ends_with_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let limits = Limits { timeout: Duration::from_millis(50), ..LIMITS };
    let request = Request::get(Url::parse(&url).unwrap());
    let err =
        client("").fetch(&mut request.into(), &limits, &mut Line::new(Arc::default())).await.unwrap_err();
    assert_eq!(err.to_string(), format!("Get \"{url}\": context deadline exceeded"));
}
