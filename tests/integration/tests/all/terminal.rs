//! One end of a WebSocket, for a person or a program.

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::program::SOON;
use crate::site::Site;

/// One end of a WebSocket.
pub struct Terminal(WebSocketStream<TcpStream>);

impl Terminal {
    /// Opens one at a hub.
    pub async fn open(site: &Site, path: &str, protocol: Option<&str>) -> Self {
        Self::open_at(site.hub.http, path, protocol).await
    }

    /// Opens one at that port.
    pub async fn open_at(port: u16, path: &str, protocol: Option<&str>) -> Self {
        Self::with(port, path, protocol.map(|protocol| ("sec-websocket-protocol", protocol))).await
    }

    /// The same as a proxy does for who is behind it, or without saying who that is.
    pub async fn behind(port: u16, path: &str, client: Option<&str>) -> Self {
        Self::with(port, path, client.map(|client| ("x-forwarded-for", client))).await
    }

    async fn with(port: u16, path: &str, header: Option<(&'static str, &str)>) -> Self {
        let address = format!("127.0.0.1:{port}");
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let socket = TcpStream::connect(&address).await.unwrap();
        Self(client_async(request, socket).await.unwrap().0)
    }

    /// The same with a token in its header.
    pub async fn with_token(site: &Site, path: &str, token: &str) -> Self {
        Self::authorised(site, path, &format!("Bearer {token}")).await
    }

    /// The same with a user and its password.
    pub async fn with_header(site: &Site, path: &str, user: &str, password: &str) -> Self {
        let basic = STANDARD.encode(format!("{user}:{password}"));
        Self::authorised(site, path, &format!("Basic {basic}")).await
    }

    async fn authorised(site: &Site, path: &str, shown: &str) -> Self {
        let address = format!("127.0.0.1:{}", site.hub.http);
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        request.headers_mut().insert("authorization", shown.parse().unwrap());
        let socket = TcpStream::connect(&address).await.unwrap();
        Self(client_async(request, socket).await.unwrap().0)
    }

    /// Says something, if the other end is there yet.
    pub async fn tries(&mut self, message: Message) {
        drop(self.0.send(message).await);
    }

    /// What was said before the answer to a ping, or before it closed.
    pub async fn pong(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        self.tries(Message::Ping(Vec::new().into())).await;
        loop {
            match timeout(SOON, self.0.next()).await.expect("an answer to a ping") {
                Some(Ok(Message::Text(text))) => heard.push(text.to_string()),
                Some(Ok(Message::Binary(bytes))) => heard.push(String::from_utf8_lossy(&bytes).into_owned()),
                Some(Ok(Message::Ping(_))) => {}
                Some(Ok(Message::Pong(_) | Message::Close(_) | Message::Frame(_)) | Err(_)) | None => {
                    return heard;
                }
            }
        }
    }

    /// Says something.
    pub async fn say(&mut self, line: &str) {
        self.0.send(Message::text(line)).await.unwrap();
    }

    /// The next message; none when the other end has closed.
    pub async fn heard(&mut self) -> Option<String> {
        loop {
            let next = timeout(SOON, self.0.next()).await.expect("something is said, or it is closed");
            match next {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(bytes))) => {
                    return Some(String::from_utf8_lossy(&bytes).into_owned());
                }
                Some(Ok(Message::Close(_) | Message::Frame(_)) | Err(_)) | None => return None,
            }
        }
    }

    /// Waits for a message with these words.
    pub async fn hears(&mut self, part: &str) -> String {
        loop {
            let text = self.heard().await.unwrap_or_else(|| panic!("it closed before it said {part:?}"));
            if text.contains(part) {
                return text;
            }
        }
    }

    /// The code and reason with which it is closed, once it is; nothing else is said before.
    pub async fn closed(&mut self) -> Option<(u16, String)> {
        loop {
            match timeout(SOON, self.0.next()).await.expect("it is closed") {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    return frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Nothing more comes.
    pub async fn is_dropped(&mut self) {
        assert_eq!(self.heard().await, None);
    }

    /// The next message, as JSON.
    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.heard().await.expect("an answer")).unwrap()
    }
}

impl Terminal {
    /// A program in a lobby or a room, with this credential.
    pub async fn program(site: &Site, path: &str, credential: Value) -> Result<Self, Value> {
        Self::program_at(site.hub.http, path, credential).await
    }

    /// The same at that port.
    pub async fn program_at(port: u16, path: &str, credential: Value) -> Result<Self, Value> {
        let mut program = Self::open_at(port, path, Some("riser.v1.json")).await;
        let hello = json!({ "op": "hello", "id": 1, "credential": credential });
        program.say(&hello.to_string()).await;
        let answer = program.json().await;
        if answer["ok"].is_object() { Ok(program) } else { Err(answer["error"]["code"].clone()) }
    }

    /// A person in a lobby.
    pub async fn person(site: &Site, path: &str, user: &str, password: &str) -> Self {
        let mut person = Self::open(site, path, None).await;
        person.hears("name: ").await;
        person.say(user).await;
        person.hears("password: ").await;
        person.say(password).await;
        person.hears("welcome, ").await;
        person
    }

    /// The answer to a request.
    pub async fn asks(&mut self, request: Value) -> Value {
        let mut request = request;
        request["id"] = json!(7);
        self.say(&request.to_string()).await;
        loop {
            let answer = self.json().await;
            if answer["re"] == 7 {
                return answer;
            }
        }
    }

    /// What a line is answered with.
    pub async fn line(&mut self, line: &str) -> String {
        self.say(line).await;
        self.hears("> ").await
    }
}
