//! HTTP and WebSocket on one port, over plain sockets.

use crate::house::{Client, House, SOON, door, limits, soon, storing_door};
use crate::patience::flooding_door;
use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::{Request, Response, StatusCode, body::Incoming};
use riser_model::{
    ConnectionId,
    door::{Code, Door, Input, Output, Refusal, Tell},
};
use riser_net::{
    Answer, Doorway, Knock, Limits, Listener, Operations, Origins, Peer, Proxies, Site, serve_http,
    serve_operations,
    site::{body, plain},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message, Utf8Bytes,
        client::IntoClientRequest,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

/// Remembers who knocked; refuses the room `closed`; answers every page with its path.
struct TestSite {
    knocks: Arc<Mutex<Vec<Knock>>>,
    origins: Origins,
    doors: fn() -> Box<dyn Door>,
    proxies: Proxies,
}

impl Site for TestSite {
    fn door(&self, knock: Knock) -> Result<Box<dyn Door>, Refusal> {
        let doorway = format!("{:?}", knock.doorway);
        self.knocks.lock().unwrap().push(knock);
        if doorway.contains("\"closed\"") {
            return Err(Refusal { code: Code::Denied, what: "no".into(), want: "another".into() });
        }
        Ok((self.doors)())
    }

    fn answer(&self, request: Request<Incoming>, _: Arc<Peer>, _: ConnectionId) -> Answer {
        Box::pin(async move {
            match request.uri().path() {
                "/large" => Response::new(body(vec![b'x'; 64 << 20])),
                "/never" => std::future::pending().await,
                path => plain(StatusCode::OK, "text/plain", path.to_owned()),
            }
        })
    }

    fn takes_cookies(&self) -> bool {
        false
    }

    fn origins(&self) -> &Origins {
        &self.origins
    }

    fn proxies(&self) -> &Proxies {
        &self.proxies
    }
}

pub struct Web {
    pub house: House,
    pub address: SocketAddr,
    pub knocks: Arc<Mutex<Vec<Knock>>>,
}

pub fn web(limits: Limits, doors: fn() -> Box<dyn Door>) -> Web {
    web_behind(Proxies::default(), limits, doors)
}

pub fn web_behind(proxies: Proxies, limits: Limits, doors: fn() -> Box<dyn Door>) -> Web {
    let house = House::new(limits);
    let listener = Listener::bind("web", "127.0.0.1:0".parse().unwrap(), None).unwrap();
    let address = listener.address().unwrap();
    let knocks = Arc::new(Mutex::new(Vec::new()));
    let origins = Origins::new(["https://dash.example"]).unwrap();
    let site = TestSite { knocks: Arc::clone(&knocks), origins, doors, proxies };
    tokio::spawn(serve_http(listener, Arc::clone(&house.entrance), Arc::new(site)));
    Web { house, address, knocks }
}

/// Says back what it hears, and refusals with their code.
pub fn echo_door() -> Box<dyn Door> {
    let mut entered = false;
    door(move |input, _, script| {
        if matches!(input, Input::Bytes(_) | Input::Text(_)) && !std::mem::replace(&mut entered, true) {
            script.enter();
        }
        match input {
            Input::Text(text) if text == "bye" => script.out.push_back(Output::Done),
            Input::Text(text) => script.out.push_back(Output::Text(text)),
            Input::Bytes(bytes) => script.say(bytes),
            Input::Tell(Tell::Refused(refusal)) => script.close(refusal),
            Input::Gone(cause) => script.leave(cause),
            Input::Tell(_) | Input::Room(_) | Input::Deadline | Input::Unheard => {}
        }
    })
}

pub type Socket = WebSocketStream<TcpStream>;

pub async fn connect(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Socket, Error> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let tcp = TcpStream::connect(address).await.unwrap();
    soon("the handshake", client_async(request, tcp)).await.map(|(socket, _)| socket)
}

pub const ENVELOPE: (&str, &str) = ("sec-websocket-protocol", "riser.v1.json");

pub async fn next(socket: &mut Socket) -> Message {
    soon("a message", socket.next()).await.expect("it is open").expect("it is sound")
}

/// Status and body of a refused handshake.
pub async fn refused(address: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
    match connect(address, path, headers).await {
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        other => panic!("{path}: {:?}", other.map(|_| "accepted")),
    }
}

#[tokio::test]
async fn text_and_binary_messages_are_themselves() {
    let mut web = web(limits(), echo_door);
    let mut socket = connect(web.address, "/acme/plant", &[ENVELOPE]).await.unwrap();
    for message in [
        Message::text("hällo"),
        Message::binary(vec![0, 1, 2]),
        Message::text(""),
        Message::binary(vec![7; 900_000]),
        Message::text("x".repeat(70_000)),
        Message::text("x".repeat(125)),
        Message::text("x".repeat(126)),
        Message::text("x".repeat(0xFFFF)),
        Message::text("x".repeat(0x1_0000)),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert!(next(&mut socket).await == message);
    }
    assert_eq!(
        web.knocks.lock().unwrap()[0].doorway,
        Doorway::Envelope { account: "acme".parse().unwrap(), room: "plant".parse().unwrap() }
    );
    socket.send(Message::text("bye")).await.unwrap();
    let Message::Close(Some(close)) = next(&mut socket).await else { panic!("a close frame") };
    assert_eq!(u16::from(close.code), 1000);
    assert!(soon("the end", socket.next()).await.is_none());
    web.house.hear_out().await;
}

#[tokio::test]
async fn fragments_pings_and_empty_continuations_are_taken_in_stride() {
    let web = web(limits(), echo_door);
    let mut socket = connect(web.address, "/acme/plant", &[ENVELOPE]).await.unwrap();
    let frame =
        |bytes: &[u8], data, last| Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(data), last));
    socket.send(frame(b"he", Data::Text, false)).await.unwrap();
    for _ in 0..2000 {
        socket.feed(frame(b"", Data::Continue, false)).await.unwrap();
    }
    socket.send(Message::Ping("p".into())).await.unwrap();
    socket.send(frame(b"llo", Data::Continue, true)).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("p".into()));
    assert_eq!(next(&mut socket).await, Message::text("hello"));
}

#[tokio::test]
async fn a_ping_alone_is_answered_at_once() {
    // No deadline comes to help.
    let web = web(Limits { first_frame_ms: 60_000, ..limits() }, echo_door);
    let mut socket = connect(web.address, "/acme/plant", &[ENVELOPE]).await.unwrap();
    socket.send(Message::Ping("1".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("1".into()));
}

#[tokio::test]
async fn a_message_sent_with_the_handshake_is_not_lost() {
    let web = web(limits(), echo_door);
    let mut client = Client::connect(web.address).await;
    let mut bytes =
        b"GET /acme/plant HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: other, riser.v1.json\r\n\r\n"
            .to_vec();
    bytes.extend_from_slice(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    client.write(&bytes).await;
    let head = client.read_until("\r\n\r\n").await.to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("sec-websocket-protocol: riser.v1.json"), "{head}");
    // The key and its answer are RFC 6455's own example.
    assert!(head.contains(&"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_lowercase()), "{head}");
    assert_eq!(client.read_bytes(4).await, [0x81, 2, b'h', b'i']);
}

#[tokio::test]
async fn too_large_a_message_is_refused_with_a_code_and_a_reason() {
    let web = web(limits(), echo_door);
    for fragmented in [false, true] {
        let mut socket = connect(web.address, "/acme/plant", &[ENVELOPE]).await.unwrap();
        socket.send(Message::text("in")).await.unwrap();
        next(&mut socket).await;
        let sending = async {
            if fragmented {
                for i in 0..20 {
                    let kind = if i == 0 { Data::Binary } else { Data::Continue };
                    let frame = Frame::message(vec![0; 64 << 10], OpCode::Data(kind), false);
                    if socket.send(Message::Frame(frame)).await.is_err() {
                        return;
                    }
                }
            } else {
                let _ = socket.send(Message::binary(vec![0; (1 << 20) + 1])).await;
            }
        };
        soon("sending", sending).await;
        let Message::Close(Some(close)) = next(&mut socket).await else { panic!("a close frame") };
        assert_eq!(u16::from(close.code), 1009);
        assert!(close.reason.starts_with("too_large"), "{}", close.reason);
    }
    assert_eq!(web.house.entrance.counters().too_large.read(), 2);
}

#[tokio::test]
async fn who_breaks_the_rules_of_websocket_is_closed_with_the_standards_code() {
    let web = web(limits(), echo_door);
    for broken in [&[0x81, 0x02, b'h', b'i'][..], &[0x83, 0x80, 0, 0, 0, 0], &[0xf1, 0x80, 0, 0, 0, 0]] {
        let mut socket = connect(web.address, "/acme/plant", &[ENVELOPE]).await.unwrap();
        socket.get_mut().write_all(broken).await.unwrap();
        let Message::Close(Some(close)) = next(&mut socket).await else { panic!("a close frame") };
        assert_eq!(u16::from(close.code), 1002, "{broken:?} {}", close.reason);
        assert!(close.reason.starts_with("malformed"), "{}", close.reason);
    }
    let mut socket = connect(web.address, "/acme/plant", &[ENVELOPE]).await.unwrap();
    // Text that is not UTF-8, masked with zeros.
    socket.get_mut().write_all(&[0x81, 0x81, 0, 0, 0, 0, 0xff]).await.unwrap();
    assert!(matches!(next(&mut socket).await, Message::Close(Some(close)) if u16::from(close.code) == 1007));
}

#[tokio::test]
async fn the_allowance_holds_on_websockets_too() {
    let mut web = web(limits(), storing_door);
    let mut socket = connect(web.address, "/acme/plant", &[ENVELOPE]).await.unwrap();
    // A first message that is too large to be a credential: refused before it is whole.
    let _ = socket.send(Message::binary(vec![0; 100_000])).await;
    loop {
        match next(&mut socket).await {
            Message::Close(Some(close)) => break assert_eq!(u16::from(close.code), 4105),
            Message::Binary(_) => {}
            other => panic!("{other:?}"),
        }
    }
    web.house.hear_out().await;
    assert!(web.house.entrance.counters().read_bytes.read() <= 16 * 1024 + 100_000);
}

#[tokio::test]
async fn who_opens_a_websocket_and_says_nothing_is_closed_in_time() {
    let web = web(Limits { first_frame_ms: 150, ..limits() }, echo_door);
    let mut socket = connect(web.address, "/acme/plant", &[ENVELOPE]).await.unwrap();
    let Message::Close(Some(close)) = next(&mut socket).await else { panic!("a close frame") };
    assert_eq!(u16::from(close.code), 4001);
    assert!(close.reason.contains("want the first frame within 150 ms"), "{}", close.reason);
}

#[tokio::test]
async fn mqtt_is_a_stream_inside_binary_messages() {
    let mut web = web(limits(), storing_door);
    let mqtt = ("sec-websocket-protocol", "mqtt");
    let mut socket = connect(web.address, "/mqtt", &[mqtt]).await.unwrap();
    for piece in [&b"ab"[..], b"", b"c"] {
        socket.send(Message::binary(piece.to_vec())).await.unwrap();
    }
    assert_eq!(next(&mut socket).await, Message::binary("ok 1\n"));
    assert_eq!(next(&mut socket).await, Message::binary("ok 2\n"));
    assert_eq!(web.knocks.lock().unwrap()[0].doorway, Doorway::Mqtt);
    socket.send(Message::text("x")).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::binary("malformed\n"));
    assert!(matches!(next(&mut socket).await, Message::Close(Some(close)) if u16::from(close.code) == 4100));
    assert_eq!(web.house.hear_out().await, (b"abc".to_vec(), "malformed".into()));
}

#[tokio::test]
async fn requests_without_upgrade_are_the_sites() {
    let web = web(limits(), echo_door);
    let mut client = Client::connect(web.address).await;
    for path in ["/", "/acme/plant", "/any/thing%"] {
        client.write(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
        let head = client.read_until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        client.read_until(path).await;
    }
}

#[tokio::test]
async fn slow_requests_and_idle_connections_are_closed_in_time() {
    let web = web(Limits { first_frame_ms: 200, ..limits() }, echo_door);
    // Nothing at all.
    let mut silent = Client::connect(web.address).await;
    silent.read_out().await;
    // A byte now and then.
    let mut drip = Client::connect(web.address).await;
    let mut every = tokio::time::interval(Duration::from_millis(20));
    let started = std::time::Instant::now();
    drip.write(b"GET / HTTP/1.1\r\nX: ").await;
    while drip.0.write_all(b"x").await.is_ok() {
        every.tick().await;
        assert!(started.elapsed() < SOON);
    }
    // One request, then nothing; or then a byte now and then.
    for rest in [&b""[..], b"GET / HT"] {
        let mut idle = Client::connect(web.address).await;
        idle.write(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n").await;
        idle.read_until("/first").await;
        idle.write(rest).await;
        idle.read_out().await;
    }
    soon("emptying", web.house.entrance.emptied()).await;
    assert!(web.house.entrance.counters().first_frame_late.read() >= 2);
}

#[tokio::test]
async fn answers_that_nobody_takes_or_makes_end_in_time() {
    let web = web(Limits { stall_ms: 150, answer_ms: 150, ..limits() }, echo_door);
    let mut slow = Client::connect(web.address).await;
    slow.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut never = Client::connect(web.address).await;
    never.write(b"GET /never HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let answer = String::from_utf8(never.read_out().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    soon("emptying", web.house.entrance.emptied()).await;
}

#[tokio::test]
async fn who_takes_nothing_of_a_websocket_is_closed_whatever_it_speaks() {
    const MQTT: (&str, &str) = ("sec-websocket-protocol", "mqtt");
    for (path, headers) in [("/acme/plant/line/1", &[][..]), ("/acme/plant", &[ENVELOPE]), ("/mqtt", &[MQTT])]
    {
        let limits = Limits { stall_ms: 150, ..limits() };
        let mut web = web(limits, || flooding_door(usize::MAX, Arc::default()));
        let mut slow = connect(web.address, path, headers).await.unwrap();
        slow.send(Message::binary(&b"x"[..])).await.unwrap();
        assert_eq!(web.house.hear_out().await.1, "stalled", "{path}");
        assert_eq!(web.house.entrance.counters().stalled.read(), 1, "{path}");
    }
}

#[tokio::test]
async fn stopping_ends_idle_http_connections_and_websockets() {
    let web = web(limits(), echo_door);
    let mut page = Client::connect(web.address).await;
    page.write(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n").await;
    page.read_until("/page").await;
    let mut socket = connect(web.address, "/acme/plant", &[ENVELOPE]).await.unwrap();
    socket.send(Message::text("in")).await.unwrap();
    next(&mut socket).await;
    web.house.entrance.stop();
    page.read_out().await;
    let Message::Close(Some(close)) = next(&mut socket).await else { panic!("a close frame") };
    assert_eq!(u16::from(close.code), 4000);
    assert_ne!(close.reason, Utf8Bytes::default());
    drop(socket);
    soon("emptying", web.house.entrance.emptied()).await;
}

#[tokio::test]
async fn operations_answer_while_the_house_is_full_and_while_it_stops() {
    let house = House::new(Limits { connections_max: 0, ..limits() });
    let listener = Listener::bind("operations", "127.0.0.1:0".parse().unwrap(), None).unwrap();
    let address = listener.address().unwrap();
    let operations = Operations {
        metrics: Arc::new(|| async { "riser_x 1\n# EOF\n".to_owned() }.boxed()),
        live: Arc::new(|| Ok(())),
        status: Some(Arc::new(|| "{}".to_owned())),
        ready: Arc::new(|| Err("the log cannot commit".into())),
    };
    let entrance = Arc::clone(&house.entrance);
    tokio::spawn(async move { serve_operations(listener, &entrance, operations).await });
    house.entrance.stop();
    for (request, status, words) in [
        ("GET /metrics", "200", "riser_x 1"),
        ("GET /livez", "200", "ok"),
        ("GET /status", "200", "{}"),
        ("GET /readyz", "503", "the log cannot commit"),
        ("GET /other", "404", "/readyz"),
        ("POST /livez", "405", "GET"),
    ] {
        let mut client = Client::connect(address).await;
        client.write(format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await;
        let answer = String::from_utf8(client.read_out().await).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(words), "{answer}");
    }
}

/// The handshake of a raw WebSocket, on a plain socket that answers nothing by itself.
async fn mute(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "GET /acme/plant/line/1 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(soon("the handshake", stream.read_u8()).await.unwrap());
    }
    stream
}

#[tokio::test]
async fn a_websocket_that_answers_no_ping_is_closed_and_one_that_does_stays() {
    let limits = Limits { ping_ms: 100, pong_ms: 200, ..limits() };
    let web = web(limits, storing_door);
    let mut alive = connect(web.address, "/acme/plant/line/1", &[]).await.unwrap();
    alive.send(Message::text("a")).await.unwrap();
    let mut dead = mute(web.address).await;
    // A masked text message, so that it is let in.
    dead.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x']).await.unwrap();
    let answers = async {
        // The library answers pings while it is read from.
        while let Some(Ok(_)) = alive.next().await {}
    };
    let closed = async {
        let mut got = Vec::new();
        soon("it is closed", dead.read_to_end(&mut got)).await.ok();
        got
    };
    tokio::select! {
        () = answers => panic!("who answers pings stays"),
        got = closed => assert!(got.ends_with(&[0x89, 0]), "a ping comes before: {got:x?}"),
    }
    assert_eq!(web.house.entrance.counters().silent.read(), 1);
}

#[tokio::test]
async fn a_million_empty_continuations_are_not_listened_to_for_ever() {
    let web = web(limits(), storing_door);
    let mut stream = mute(web.address).await;
    stream.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x']).await.unwrap();
    // The first fragment of a message that never ends.
    stream.write_all(&[0x01, 0x81, 0, 0, 0, 0, b'y']).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let flood = tokio::spawn(async move {
        let many: Vec<u8> = [0x00, 0x80, 0, 0, 0, 0].repeat(1_000);
        for _ in 0..1_000 {
            if write.write_all(&many).await.is_err() {
                return;
            }
        }
    });
    let mut got = Vec::new();
    soon("it is closed", read.read_to_end(&mut got)).await.ok();
    flood.await.unwrap();
    assert_eq!(web.house.entrance.counters().too_large.read(), 1);
    soon("emptying", web.house.entrance.emptied()).await;
}

#[tokio::test]
async fn a_message_truncated_at_every_byte_reaches_no_door() {
    let mut web = web(limits(), storing_door);
    let whole = [&[0x81, 0xfe, 0, 200, 1, 2, 3, 4][..], &[b'x'; 200]].concat();
    for end in 0..whole.len() {
        let mut stream = mute(web.address).await;
        stream.write_all(&whole[..end]).await.unwrap();
        stream.shutdown().await.unwrap();
        let (heard, cause) = web.house.hear_out().await;
        assert_eq!((heard.len(), cause.as_str()), (0, "peer_closed"), "{end}");
    }
}
