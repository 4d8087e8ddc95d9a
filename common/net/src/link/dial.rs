//! Opening a link: from a URL to a connected WebSocket, each step in time.

use super::{EdgeEnd, Link};
use crate::{
    counters::Counters,
    site::LINK_PROTOCOL,
    stream::Stream,
    tcp::{TcpStream, lookup_host, tune},
};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, Response, StatusCode, Uri, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use riser_wire::{limits::FIRST_FRAME_DEADLINE, link::PATH};
use rustls_pki_types::ServerName;
use std::{fmt, io, net::SocketAddr, str::FromStr, sync::Arc};
use tokio::{task::JoinSet, time::timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

/// The link's port where a URL names none.
const PORT: u16 = 7420;

/// Where a hub takes links: `wss://host`, `wss://host:port`, or `ws://` without encryption.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkUrl {
    tls: bool,
    host: String,
    port: u16,
}

/// A text that is no link's URL.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "parse link url {0:?}: want wss://host, wss://host:port, or ws://... with insecure = true; the path is /link"
)]
pub struct NotALinkUrl(pub String);

impl FromStr for LinkUrl {
    type Err = NotALinkUrl;

    fn from_str(text: &str) -> Result<Self, NotALinkUrl> {
        parse(text).ok_or_else(|| NotALinkUrl(text.into()))
    }
}

fn parse(text: &str) -> Option<LinkUrl> {
    let uri: Uri = text.parse().ok()?;
    let tls = match uri.scheme_str()? {
        "wss" => true,
        "ws" => false,
        _ => return None,
    };
    let authority = uri.authority()?;
    let fits = matches!(uri.path(), "" | "/" | PATH) && uri.query().is_none();
    if !fits || authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    // A port that is there and cannot be read is not the default one.
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        None if authority.as_str() == authority.host() => PORT,
        None => return None,
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(LinkUrl { tls, host, port })
}

impl fmt::Display for LinkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{PATH}", self.authority())
    }
}

impl LinkUrl {
    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// Why there is no link. What a person can do is in the words.
#[derive(Debug, thiserror::Error)]
pub enum DialFailed {
    /// The name leads nowhere.
    #[error("find {url}: {source}")]
    Name {
        /// Where to.
        url: LinkUrl,
        /// Why not.
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("connect to {url} at {address}: {source}")]
    Connect {
        /// Where to.
        url: LinkUrl,
        /// The address that was tried last.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Unencrypted, and not to this machine.
    #[error(
        "connect to {url}: it is not encrypted and {address} is not this machine; use wss://, or insecure = true"
    )]
    Insecure {
        /// Where to.
        url: LinkUrl,
        /// Its address.
        address: SocketAddr,
    },
    /// No TLS: the certificate is not trusted, or the peer speaks none.
    #[error(
        "set up tls with {url}: {source}; the hub's certificate must be the pinned one or be vouched for by a given root"
    )]
    Tls {
        /// Where to.
        url: LinkUrl,
        /// Why not.
        source: io::Error,
    },
    /// The URL says TLS, and nobody said whom to trust.
    #[error("set up tls with {url}: nothing says whom to trust; configure root certificates or a pinned one")]
    NoTrust {
        /// Where to.
        url: LinkUrl,
    },
    /// The peer does not speak HTTP as it should.
    #[error("open a websocket at {url}: {source}")]
    Http {
        /// Where to.
        url: LinkUrl,
        /// Why not.
        source: hyper::Error,
    },
    /// The peer answered something else.
    #[error("open a websocket at {url}: the answer is {status}, want 101 and riser.link.v1")]
    NotALink {
        /// Where to.
        url: LinkUrl,
        /// What it answered.
        status: StatusCode,
    },
    /// A step took too long.
    #[error("{step} {url}: no answer within 5 s")]
    Late {
        /// Which.
        step: &'static str,
        /// Where to.
        url: LinkUrl,
    },
}

/// Opens a link. `tls` says whom to trust and is needed for `wss`; `insecure` allows `ws` to other machines. Each
/// of name, TCP, TLS and WebSocket takes at most 5 s.
pub async fn dial(
    url: &LinkUrl,
    tls: Option<&TlsConnector>,
    insecure: bool,
    counters: &Arc<Counters>,
) -> Result<Link<EdgeEnd>, DialFailed> {
    let tcp = connect(url, insecure).await?;
    let stream =
        if url.tls { Stream::Client(Box::new(secure(url, tls, tcp).await?)) } else { Stream::Plain(tcp) };
    let (stream, ahead) = in_time("open a websocket at", url, open(url, stream)).await?;
    Ok(Link::new(stream, ahead, Arc::clone(counters)).await)
}

async fn in_time<T>(
    step: &'static str,
    url: &LinkUrl,
    future: impl Future<Output = Result<T, DialFailed>>,
) -> Result<T, DialFailed> {
    let late = |_| DialFailed::Late { step, url: url.clone() };
    timeout(FIRST_FRAME_DEADLINE, future).await.map_err(late)?
}

/// Tries the name's addresses in turn, all of them in time.
async fn connect(url: &LinkUrl, insecure: bool) -> Result<TcpStream, DialFailed> {
    let named = |source| DialFailed::Name { url: url.clone(), source };
    let find = async { lookup_host(&url.host, url.port).await.map_err(named) };
    let addresses: Vec<SocketAddr> = in_time("find", url, find).await?.collect();
    if let Some(address) = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback())
        && !url.tls
        && !insecure
    {
        return Err(DialFailed::Insecure { url: url.clone(), address: *address });
    }
    in_time("connect to", url, async {
        let mut failed = named(io::ErrorKind::NotFound.into());
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(tcp) => {
                    // A socket that refuses an option is as good without.
                    let _ = tune(&tcp);
                    return Ok(tcp);
                }
                Err(source) => failed = DialFailed::Connect { url: url.clone(), address, source },
            }
        }
        Err(failed)
    })
    .await
}

async fn secure(
    url: &LinkUrl,
    tls: Option<&TlsConnector>,
    tcp: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, DialFailed> {
    let tls = tls.ok_or_else(|| DialFailed::NoTrust { url: url.clone() })?;
    let failed = |source| DialFailed::Tls { url: url.clone(), source };
    let name = ServerName::try_from(url.host.clone()).map_err(|error| failed(io::Error::other(error)))?;
    in_time("set up tls with", url, async { tls.connect(name, tcp).await.map_err(failed) }).await
}

/// The WebSocket handshake (RFC 6455 section 4.1).
async fn open(url: &LinkUrl, stream: Stream) -> Result<(Stream, Bytes), DialFailed> {
    let failed = |source| DialFailed::Http { url: url.clone(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Aborted when this returns early.
    let mut driver = JoinSet::new();
    driver.spawn(connection.with_upgrades());
    let key = generate_key();
    let request = Request::get(PATH)
        .header(header::HOST, url.authority())
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "Upgrade")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, LINK_PROTOCOL)
        .body(Empty::<Bytes>::new())
        .expect("a host that was parsed out of a URL is a header's value");
    let response = sender.send_request(request).await.map_err(failed)?;
    if !is_link(&response, &key) {
        return Err(DialFailed::NotALink { url: url.clone(), status: response.status() });
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(failed)?;
    let parts = upgraded.downcast::<TokioIo<Stream>>().expect("hyper gives back the stream it was given");
    Ok((parts.io.into_inner(), Bytes::copy_from_slice(&parts.read_buf)))
}

fn is_link(response: &Response<Incoming>, key: &str) -> bool {
    let is = |name, value: &str| response.headers().get(name).is_some_and(|found| found == value);
    response.status() == StatusCode::SWITCHING_PROTOCOLS
        && is(header::SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes()))
        && is(header::SEC_WEBSOCKET_PROTOCOL, LINK_PROTOCOL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused() {
        for (text, shown) in [
            ("wss://hub", "wss://hub:7420/link"),
            ("wss://hub.example.com/", "wss://hub.example.com:7420/link"),
            ("wss://hub:443/link", "wss://hub:443/link"),
            ("ws://127.0.0.1:7420", "ws://127.0.0.1:7420/link"),
            ("wss://[::1]:9", "wss://[::1]:9/link"),
        ] {
            assert_eq!(text.parse::<LinkUrl>().map(|url| url.to_string()), Ok(shown.into()));
        }
        for text in [
            "hub",
            "https://hub",
            "wss://",
            "wss://hub/other",
            "wss://hub/link?x",
            "wss://user@hub",
            "wss://hub:",
            "wss://hub:99999",
        ] {
            assert!(text.parse::<LinkUrl>().is_err(), "{text}");
        }
    }
}
