//! HTTP over a socket of the file system, as Docker serves it.
//!
//! In from discovery; out to the socket. One connection for each request: such services are asked once a minute.

use std::path::Path;

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Uri};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::client::{AGENT, Limits, Request, Response, cause_of, exchange_error, read_body};
use crate::error::{Cause, HttpError, plain_io_error};

/// Sends over the socket at `path`; of the request's URL only path and query count. No redirects, no decompression.
///
/// # Errors
/// When there is no whole answer within the limits.
pub async fn send_over_unix(path: &Path, request: Request, limits: &Limits) -> Result<Response, HttpError> {
    let (method, url) = (request.method.clone(), request.url.clone());
    match tokio::time::timeout(limits.timeout, exchange(path, request, limits.body_bytes_max)).await {
        Ok(answer) => answer,
        Err(_) => Err(exchange_error(&method, &url, Cause::Timeout)),
    }
}

async fn exchange(path: &Path, request: Request, body_bytes_max: usize) -> Result<Response, HttpError> {
    let Request { method, url, mut headers, body } = request;
    let fail = |cause| exchange_error(&method, &url, cause);
    let stream = UnixStream::connect(path).await.map_err(|err| {
        fail(Cause::Connect { addr: path.display().to_string(), reason: plain_io_error(&err) })
    })?;
    let other = |err: hyper::Error| fail(cause_of(&err));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(other)?;
    headers.entry(HOST).or_insert(HeaderValue::from_static("localhost"));
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    let uri: Uri = url[url::Position::BeforePath..url::Position::AfterQuery]
        .parse()
        .map_err(|err| HttpError::Invalid(format!("{err}: {url}")))?;
    let mut sent = http::Request::new(Full::new(body));
    *sent.method_mut() = method.clone();
    *sent.uri_mut() = uri;
    *sent.headers_mut() = headers;
    let answer = async {
        let response = sender.send_request(sent).await.map_err(other)?;
        read_body(response, &method, &url, body_bytes_max).await
    };
    // The connection moves bytes only while it is polled; it ends with the answer.
    tokio::select! {
        answer = answer => answer,
        Err(err) = connection => Err(other(err)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use url::Url;

    #[tokio::test]
    async fn answers_come_over_a_socket_of_the_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            let n_bytes = stream.read(&mut asked).await.unwrap();
            assert!(asked[..n_bytes].starts_with(b"GET /a?b=c HTTP/1.1\r\n"));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
        });
        let limits =
            Limits { timeout: std::time::Duration::from_secs(5), body_bytes_max: 9, decoded_bytes_max: 9 };
        let request = || Request::get(Url::parse("http://localhost/a?b=c").unwrap());
        let answer = send_over_unix(&path, request(), &limits).await.unwrap();
        assert_eq!(answer.body, "hi");
        let missing = send_over_unix(&dir.path().join("none"), request(), &limits).await.unwrap_err();
        assert!(missing.to_string().ends_with("connect: no such file or directory"), "{missing}");
    }
}
