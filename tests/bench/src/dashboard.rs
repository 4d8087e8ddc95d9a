//! WebSocket connections: a dashboard that shows the present of one channel, and ones that only stand open.

use crate::{
    corpus,
    riser::{ACCOUNT, ROOM},
};
use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Instant};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};

/// Opens a WebSocket in envelope mode and says hello.
pub async fn open(server: SocketAddr, subscriptions: Value) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let mut request = format!("ws://{server}/{ACCOUNT}/{ROOM}").into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("riser.v1.json"));
    let socket = TcpStream::connect(server).await.context("connect the WebSocket")?;
    socket.set_nodelay(true)?;
    // Small buffers: thousands of these are open in this process.
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
    let (mut socket, _) =
        client_async_with_config(request, socket, Some(config)).await.context("open the WebSocket")?;
    let hello = json!({ "op": "hello", "id": 1, "subscriptions": subscriptions });
    socket.send(Message::text(hello.to_string())).await?;
    let answer = socket.next().await.context("the hub said nothing")??;
    let answer: Value = serde_json::from_str(answer.to_text()?)?;
    ensure!(answer["ok"].is_object(), "hello was refused: {answer}");
    Ok(socket)
}

/// Reads until a payload comes whose number `is_live`, and says when that was.
pub fn first_live(
    mut socket: WebSocketStream<TcpStream>,
    is_live: impl Fn(u64) -> bool + Send + 'static,
) -> JoinHandle<anyhow::Result<Instant>> {
    tokio::spawn(async move {
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            let push: Value = serde_json::from_str(&text)?;
            // A device of MQTT 3.1.1 cannot say that it sends JSON, so the hub passes on its bytes.
            let payload = push["data_b64"].as_str().and_then(|text| STANDARD.decode(text).ok());
            if payload.and_then(|payload| corpus::number(&payload)).is_some_and(&is_live) {
                return Ok(Instant::now());
            }
        }
        anyhow::bail!("the hub closed the dashboard")
    })
}
