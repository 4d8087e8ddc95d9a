//! A dashboard at the hub: reads the room from its start, resumes from its own position after every cut, and
//! says what it was given and what it was told is gone.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use riser_integration::ledger::Line;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::history::say;
use crate::payload;
use crate::socket::TcpStream;

/// The hub pings every 25 s: whoever is silent for longer is gone.
const PATIENCE: Duration = Duration::from_secs(40);
/// From one attempt to the next at least: who was connected for longer comes back at once.
const ATTEMPTS_EVERY: Duration = Duration::from_millis(100);

/// What a reader is asked to do.
#[derive(Clone, Serialize, Deserialize)]
pub struct Asked {
    /// The hub's HTTP door.
    pub server: SocketAddr,
    /// The account.
    pub account: String,
    /// The room.
    pub room: String,
    /// The reader's name in the history.
    pub reader: String,
}

/// The mark of a push that did not continue where the last one ended.
pub fn torn(reader: &str) -> String {
    format!("{reader} torn")
}

/// The mark of a publication that is no publisher's.
pub fn stranger(reader: &str) -> String {
    format!("{reader} stranger")
}

/// Reads for ever.
pub async fn run(asked: Asked) -> anyhow::Result<()> {
    let mut reader = Reader { asked, position: None };
    loop {
        let next_attempt = Instant::now() + ATTEMPTS_EVERY;
        if let Err(error) = reader.session().await {
            eprintln!("{error:#}; again from {:?}", reader.position);
        }
        sleep_until(next_attempt).await;
    }
}

struct Reader {
    asked: Asked,
    position: Option<String>,
}

impl Reader {
    async fn session(&mut self) -> anyhow::Result<()> {
        let Asked { server, account, room, .. } = &self.asked;
        let mut request = format!("ws://{server}/{account}/{room}").into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("riser.v1.json"));
        let socket = timeout(PATIENCE, TcpStream::connect(*server)).await.context("wait for the hub")?;
        let socket = socket.context("connect to the hub")?;
        let open = timeout(PATIENCE, client_async(request, socket)).await;
        let (mut socket, _) = open.context("wait for the WebSocket")?.context("open the WebSocket")?;
        let from = self.position.as_ref().map_or(json!("start"), |after| json!({ "after": after }));
        let hello = json!({
            "op": "hello", "id": 1,
            "subscriptions": [
                { "sub": 1, "channels": "#", "from": from, "flow": "credit" },
                // Where hubs say what an edge's log has lost.
                { "sub": 2, "technical": "account" },
            ],
        });
        socket.send(Message::text(hello.to_string())).await?;
        while let Some(message) = timeout(PATIENCE, socket.next()).await.context("wait for a push")? {
            if let Message::Text(text) = message? {
                self.hear(&serde_json::from_str(&text).context("parse a push")?)?;
            }
        }
        bail!("the hub closed")
    }

    fn hear(&mut self, frame: &Value) -> anyhow::Result<()> {
        ensure!(frame["error"].is_null(), "the hub refused: {frame}");
        match frame["ev"].as_str() {
            Some("msg") => {
                if self.position.as_deref() != frame["prev"].as_str() {
                    eprintln!("at {:?}, pushed {frame}", self.position);
                    say(&Line::Mark { what: torn(&self.asked.reader) });
                }
                self.position = text(&frame["pos"]);
                self.deliver(frame)?;
            }
            Some("gap") => {
                self.gap(frame);
                self.position = text(&frame["pos"]);
            }
            // Others' entries in the log move a subscription too.
            Some("ping") => self.position = text(&frame["through"]["1"]).or(self.position.take()),
            Some("event") if frame["event"]["type"] == "riser.link_gap" => {
                self.announced(&frame["event"]["data"]["gap"]);
            }
            Some("bye") => bail!("the hub said {frame}"),
            Some(_) => {}
            None => self.begin(frame)?,
        }
        Ok(())
    }

    /// The answer to hello.
    fn begin(&mut self, frame: &Value) -> anyhow::Result<()> {
        let begun = &frame["ok"]["subscriptions"][0];
        ensure!(begun["error"].is_null() && begun["pos"].is_string(), "the hub refused: {frame}");
        ensure!(frame["ok"]["subscriptions"][1]["error"].is_null(), "the hub refused: {frame}");
        for gap in begun["gaps"].as_array().into_iter().flatten() {
            self.gap(gap);
        }
        if self.position.is_none() {
            self.position = text(&begun["pos"]);
        }
        say(&Line::Mark { what: format!("{} ready", self.asked.reader) });
        Ok(())
    }

    fn gap(&self, gap: &Value) {
        eprintln!("gap: {gap}");
        let cause = gap["cause"].as_str().unwrap_or("unnamed").to_owned();
        let count = gap["count"].as_u64().unwrap_or(0);
        say(&Line::Gap { reader: self.asked.reader.clone(), cause, count });
    }

    fn announced(&self, gap: &Value) {
        eprintln!("link gap: {gap}");
        let cause = gap["cause"].as_str().unwrap_or("unnamed").to_owned();
        let (from, to) = (gap["from"].as_u64().unwrap_or(1), gap["to"].as_u64().unwrap_or(0));
        let count = (to + 1).saturating_sub(from);
        say(&Line::Announced { reader: self.asked.reader.clone(), cause, count });
    }

    fn deliver(&self, frame: &Value) -> anyhow::Result<()> {
        // A device of MQTT 3.1.1 cannot say what it sends, so the hub passes on its bytes.
        let bytes = match (frame["data_b64"].as_str(), frame["data"].as_str()) {
            (Some(encoded), _) => STANDARD.decode(encoded).context("decode data_b64")?,
            (None, Some(data)) => data.as_bytes().to_vec(),
            (None, None) => serde_json::to_vec(&frame["data"])?,
        };
        let reader = self.asked.reader.clone();
        say(&match payload::read(&bytes) {
            Some((stream, n)) => Line::Delivered {
                reader,
                stream,
                n,
                digest: payload::digest(&bytes),
                pos: text(&frame["pos"]),
            },
            None => Line::Mark { what: stranger(&reader) },
        });
        Ok(())
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
