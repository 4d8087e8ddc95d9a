//! The checker's eyes: a `credit` subscriber at the hub, over the same WebSocket as any dashboard.
//!
//! It resumes from the last position that it saw and checks that every push continues where the last ended.

use crate::ledger::{Ledger, Stream};
use anyhow::{Context, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

/// What the subscriber needs to know.
pub struct Subscriber {
    /// The hub's HTTP door.
    pub hub: SocketAddr,
    /// `/{account}/{room}`.
    pub path: String,
    /// User name and password.
    pub credentials: (String, String),
}

impl Subscriber {
    /// Reads for ever, reconnecting when it must.
    pub async fn run(self, ledger: Arc<Ledger>) {
        let mut position = None;
        loop {
            if let Err(error) = self.read(&ledger, &mut position).await {
                eprintln!("checker: {error:#}; resuming");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    async fn read(&self, ledger: &Ledger, position: &mut Option<String>) -> anyhow::Result<()> {
        let mut request = format!("ws://{}{}", self.hub, self.path).into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("riser.v1.json"));
        let socket = tokio::net::TcpStream::connect(self.hub).await.context("connect to the hub")?;
        let (mut socket, _) = client_async(request, socket).await.context("open the WebSocket")?;
        let from = position.as_ref().map_or(json!("start"), |after| json!({ "after": after }));
        let hello = json!({
            "op": "hello", "id": 1,
            "credential": { "user": self.credentials.0, "password": self.credentials.1 },
            "subscriptions": [{ "sub": 1, "channels": "#", "from": from, "flow": "credit" }],
        });
        socket.send(Message::text(hello.to_string())).await?;
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            let frame: Value = serde_json::from_str(&text).context("parse a push")?;
            match frame["ev"].as_str() {
                Some("msg") => {
                    if let Some(last) = position.as_deref() {
                        ensure!(frame["prev"] == last, "push does not continue at {last}: {frame}");
                    }
                    *position = frame["pos"].as_str().map(str::to_owned);
                    count(ledger, &frame)?;
                }
                Some("gap") => *position = frame["pos"].as_str().map(str::to_owned),
                Some("bye") => bail!("the hub closed: {frame}"),
                _ => ensure!(frame["error"].is_null(), "the hub refused: {frame}"),
            }
        }
        bail!("the hub's socket ended")
    }
}

/// Channels are `{edge}/{sensor}`; other publications in the room are not the sensors'.
fn count(ledger: &Ledger, frame: &Value) -> anyhow::Result<()> {
    let channel = frame["channel"].as_str().context("a push without a channel")?;
    // A sensor of MQTT 3.1.1 cannot say that it sends JSON, so the hub passes on its bytes.
    let reading = match frame["data_b64"].as_str() {
        Some(text) => serde_json::from_slice(&STANDARD.decode(text).context("decode data_b64")?)?,
        None => frame["data"].clone(),
    };
    if let (Some((edge, sensor)), Some(n)) = (channel.split_once('/'), reading["n"].as_u64()) {
        ledger.delivered(&Stream { edge: edge.into(), sensor: sensor.into() }, n);
    }
    Ok(())
}
