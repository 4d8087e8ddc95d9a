//! Gets a small document over HTTP or HTTPS, or gives a form for one, once and whole: no redirects, no cookies, no retries, all
//! of it within bounds.

use crate::{
    stream::Stream,
    tcp::TcpStream,
    tls::{self, TlsFailed, Trust},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode, Uri,
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::{fmt, io, path::Path, time::Duration};
use tokio::task::JoinSet;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum FetchFailed {
    /// The URL is none that can be fetched.
    #[error("want https://host/path, or http://host/path")]
    Url,
    /// Who is believed could not be read.
    #[error(transparent)]
    Trust(#[from] TlsFailed),
    /// Nobody answered, or TLS failed.
    #[error("connect: {0}")]
    Connect(#[from] io::Error),
    /// What was said is no HTTP.
    #[error("talk http: {0}")]
    Http(#[from] hyper::Error),
    /// It was answered with another status.
    #[error("want status 200, got {0}")]
    Status(StatusCode),
    /// It broke off, or is longer than was allowed.
    #[error("read the document: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("no answer in time")]
    Late,
}

/// Gets the document at `url`, at most `bytes_max` long, within `within`. HTTPS hosts are believed that one of the
/// authorities in the PEM file vouches for.
pub async fn fetch(
    url: &str,
    authorities: &Path,
    bytes_max: usize,
    within: Duration,
) -> Result<Bytes, FetchFailed> {
    let got = ask(url, None, authorities, bytes_max);
    tokio::time::timeout(within, got).await.unwrap_or(Err(FetchFailed::Late))
}

/// A form to be given. There may be secrets in it.
#[derive(Clone)]
pub struct Posted {
    /// As `application/x-www-form-urlencoded`.
    pub form: Bytes,
    /// What `Authorization` says, if anything.
    pub authorization: Option<HeaderValue>,
}

impl fmt::Debug for Posted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Posted(redacted)")
    }
}

/// Gives a form to `url`, and gets the document that answers it; as [`fetch`].
pub async fn post(
    url: &str,
    posted: Posted,
    authorities: &Path,
    bytes_max: usize,
    within: Duration,
) -> Result<Bytes, FetchFailed> {
    let got = ask(url, Some(posted), authorities, bytes_max);
    tokio::time::timeout(within, got).await.unwrap_or(Err(FetchFailed::Late))
}

async fn ask(
    url: &str,
    posted: Option<Posted>,
    authorities: &Path,
    bytes_max: usize,
) -> Result<Bytes, FetchFailed> {
    let url: Uri = url.parse().map_err(|_| FetchFailed::Url)?;
    let authority = url.authority().ok_or(FetchFailed::Url)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = match url.scheme_str() {
        Some("http") => Stream::Plain(TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?),
        Some("https") => {
            let tls = tls::client(Trust::roots(authorities)?)?;
            let name = ServerName::try_from(host.to_owned()).map_err(|_| FetchFailed::Url)?;
            let tcp = TcpStream::connect((host, authority.port_u16().unwrap_or(443))).await?;
            Stream::Client(Box::new(tls.connect(name, tcp).await?))
        }
        Some(_) | None => return Err(FetchFailed::Url),
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Aborted when this returns.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let method = if posted.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, authority.as_str())
        .header(header::ACCEPT, "application/json");
    if posted.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    if let Some(value) = posted.as_ref().and_then(|posted| posted.authorization.clone()) {
        request = request.header(header::AUTHORIZATION, value);
    }
    let body = Full::new(posted.map(|posted| posted.form).unwrap_or_default());
    let request = request.body(body).map_err(|_| FetchFailed::Url)?;
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(FetchFailed::Status(response.status()));
    }
    let body = Limited::new(response.into_body(), bytes_max).collect().await.map_err(FetchFailed::Body)?;
    Ok(body.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// What comes of asking who answers so.
    async fn asked(answer: &'static str, within: Duration) -> Result<Bytes, FetchFailed> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys?v=1", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let read = socket.read(&mut head).await.unwrap();
            assert!(head[..read].starts_with(b"GET /keys?v=1 HTTP/1.1\r\n"));
            socket.write_all(answer.as_bytes()).await.unwrap();
            // Held open: only the length says that it is over.
            let _ = socket.read(&mut head).await;
        });
        let result = fetch(&url, Path::new("/nowhere"), 8, within).await;
        server.abort();
        result
    }

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn document_is_taken_whole_and_within_its_bounds_or_not_at_all() {
        let whole = asked("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", SOON).await;
        assert_eq!(whole.unwrap(), "{}");
        let long = asked("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789", SOON).await;
        assert!(matches!(long, Err(FetchFailed::Body(_))), "{long:?}");
        let moved =
            asked("HTTP/1.1 302 Found\r\nlocation: http://192.0.2.1/\r\ncontent-length: 0\r\n\r\n", SOON)
                .await;
        assert!(matches!(moved, Err(FetchFailed::Status(StatusCode::FOUND))), "{moved:?}");
        let noise = asked("SSH-2.0-nothing\r\n\r\n", SOON).await;
        assert!(matches!(noise, Err(FetchFailed::Http(_))), "{noise:?}");
    }

    #[tokio::test]
    async fn who_answers_slowly_is_not_waited_for() {
        let began = Instant::now();
        let slow = asked("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12", Duration::from_millis(50)).await;
        assert!(matches!(slow, Err(FetchFailed::Late)) && began.elapsed() < SOON, "{slow:?}");
    }

    #[tokio::test]
    async fn what_is_no_url_is_not_asked() {
        for url in ["", "hub", "/path", "ftp://hub/", "https://", "file:///etc/passwd"] {
            let result = fetch(url, Path::new("/nowhere"), 8, SOON).await;
            assert!(matches!(result, Err(FetchFailed::Url)), "{url}: {result:?}");
        }
    }
}
