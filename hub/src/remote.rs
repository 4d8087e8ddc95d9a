//! Asks the admin interface of a running hub: the command line's end.

use crate::config::HubConfig;
use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use riser_shell::{config::TlsConfig, keys};
use serde_json::Value;
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::net::TcpStream;

/// A hub that does not answer within this has another problem.
const WITHIN: Duration = Duration::from_secs(30);

/// A hub's admin interface, and the token of whoever asks: the operator's, or somebody's of an account.
pub(crate) struct Remote {
    address: SocketAddr,
    token: String,
}

impl Remote {
    /// That of the hub with this configuration; as whose token is in that file, or as who operates it.
    pub(crate) fn of(config: &HubConfig, token: Option<&Path>) -> anyhow::Result<Self> {
        let plain = config.listen.admin.0.iter().find(|listener| listener.tls == TlsConfig::Off);
        let Some(listener) = plain else {
            bail!(
                "the configuration has no admin listener that is reached without TLS: add listen.admin = \"127.0.0.1:9430\", \
                 and start the hub anew"
            );
        };
        if let Some(file) = token {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("read the token in {}", file.display()))?;
            return Ok(Self { address: listener.address, token: text.trim().to_owned() });
        }
        let file = config.token_file();
        let identity = keys::load(&file).with_context(|| {
            format!("read the operator's token, which the hub makes in {}", file.display())
        })?;
        Ok(Self { address: listener.address, token: identity.private_text() })
    }

    /// One request, and its answer; what the hub refuses is an error that says what would be right.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        tokio::time::timeout(WITHIN, self.asked(method, path, body))
            .await
            .context("the hub does not answer")?
    }

    async fn asked(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let Self { address, token } = self;
        let socket = TcpStream::connect(address)
            .await
            .with_context(|| format!("connect to the hub at {address}; is it running?"))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .context("speak HTTP with the hub")?;
        let connection = tokio::spawn(connection);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await.context("ask the hub")?;
        let status = response.status();
        let bytes = response.into_body().collect().await.context("read the hub's answer")?.to_bytes();
        drop(sender);
        connection.abort();
        let answer: Value = serde_json::from_slice(&bytes).context("read the hub's answer: not JSON")?;
        if status.is_success() {
            return Ok(answer);
        }
        let part = |name: &str| answer["error"][name].as_str().unwrap_or("?").to_owned();
        bail!("{}: {}; want: {}", part("code"), part("what"), part("want"))
    }
}
