//! Handshakes of WebSockets: which doors they open, and what is said to the others.

use crate::house::{Client, limits, soon, storing_door};
use crate::web::{ENVELOPE, connect, echo_door, refused, web, web_behind};
use riser_model::door::Credential;
use riser_net::{Doorway, Limits, Proxies};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn wrong_handshakes_say_what_would_be_right() {
    let web = web(limits(), echo_door);
    let other = ("sec-websocket-protocol", "chat");
    let mqtt = ("sec-websocket-protocol", "mqtt");
    let elsewhere = ("origin", "https://evil.example");
    for (path, headers, status, words) in [
        ("/acme/plant", &[][..], 400, "riser.v1.json"),
        ("/acme/plant", &[other], 400, "riser.v1.json, mqtt, or none"),
        ("/acme/plant", &[mqtt], 400, "/mqtt"),
        ("/acme/plant/x", &[ENVELOPE], 400, "no sub-protocol"),
        ("/acme/closed", &[ENVELOPE], 403, "another"),
        ("/acme", &[ENVELOPE], 404, "/{account}/{room}"),
        ("/ACME/plant", &[ENVELOPE], 400, "a-z"),
        ("/mqtt", &[], 400, "Sec-WebSocket-Protocol: mqtt"),
        ("/link", &[], 404, "own listener"),
        ("/metrics", &[], 404, "/{account}/{room}"),
        ("/acme/plant", &[ENVELOPE, elsewhere], 403, "configured list"),
        ("/acme/plant/x", &[("authorization", "Basic !!")], 400, "Basic with base64"),
        ("/acme/plant", &[ENVELOPE, ("sec-websocket-version", "8")], 426, "Sec-WebSocket-Version: 13"),
        ("/acme/plant", &[ENVELOPE, ("sec-websocket-key", "c2hvcnQ=")], 400, "16 random bytes"),
        ("/acme/plant", &[ENVELOPE, ("connection", "close")], 400, "Connection: Upgrade"),
    ] {
        let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let has = |name: &str| headers.iter().any(|(found, _)| *found == name);
        let default = |name: &str, value: &str| {
            if has(name) { String::new() } else { format!("{name}: {value}\r\n") }
        };
        let mut client = Client::connect(web.address).await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n{}{}{}{head}\r\n",
            default("connection", "upgrade"),
            default("sec-websocket-version", "13"),
            default("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        );
        client.write(request.as_bytes()).await;
        client.0.shutdown().await.unwrap();
        let answer = String::from_utf8(client.read_out().await).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {headers:?}: {answer}");
        assert!(answer.contains(words), "{path} {headers:?}: {answer}");
        assert!(answer.contains("\"code\""), "{answer}");
    }
    assert_eq!(refused(web.address, "/acme/closed", &[ENVELOPE]).await.0, 403);
    assert_eq!(web.house.entrance.counters().origin_refused.read(), 1);
    connect(web.address, "/acme/plant", &[ENVELOPE, ("origin", "https://dash.example")]).await.unwrap();
}

#[tokio::test]
async fn nobody_is_taken_for_a_proxy_that_is_believed_and_names_no_address() {
    let proxies = Proxies::new(riser_model::Networks(vec!["127.0.0.1".parse().unwrap()]));
    let web = web_behind(proxies, limits(), storing_door);
    let asks = async |named: &[u8]| {
        let mut client = Client::connect(web.address).await;
        let mut request = b"GET /page HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-forwarded-for: ".to_vec();
        request.extend_from_slice(named);
        request.extend_from_slice(b"\r\n\r\n");
        client.write(&request).await;
        String::from_utf8(client.read_out().await).unwrap()
    };
    for named in [&b"198.51.100.7"[..], b"\xff, 198.51.100.7", b"unknown, 198.51.100.7:80"] {
        assert!(asks(named).await.starts_with("HTTP/1.1 200"), "{named:?}");
    }
    for (refused, named) in (1..).zip([&b"\xff"[..], b"unknown", b"198.51.100.7, \xff", b""]) {
        let answer = asks(named).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") && answer.contains("X-Forwarded-For"),
            "{named:?}: {answer}"
        );
        assert_eq!(web.house.entrance.counters().nobody_behind.read(), refused);
    }
}

#[tokio::test]
async fn who_is_behind_a_proxy_is_one_handshake_and_one_connection_until_it_asks_for_another_one() {
    let proxies = Proxies::new(riser_model::Networks(vec!["127.0.0.1".parse().unwrap()]));
    // Each new one counts as a handshake; of those an address has a second's worth at once.
    let limits = Limits { handshakes_per_s: 1, per_address_max: 1, ..limits() };
    let web = web_behind(proxies, limits, storing_door);
    let mut proxy = Client::connect(web.address).await;
    let asks = async |proxy: &mut Client, named: &str| {
        let request = format!("GET /page HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {named}\r\n\r\n");
        proxy.write(request.as_bytes()).await;
        let head = proxy.read_until("\r\n\r\n").await;
        let is_answered = head.starts_with("HTTP/1.1 200");
        proxy.read_until(if is_answered { "/page" } else { "}}" }).await;
        is_answered
    };
    for n in 0..20 {
        assert!(asks(&mut proxy, "198.51.100.7").await, "request {n}");
    }
    let counters = web.house.entrance.counters();
    assert_eq!((counters.refused_knocks.read(), counters.refused_address.read()), (0, 0));
    // It is one connection of that address for as long as the proxy asks for it.
    let mut other = Client::connect(web.address).await;
    assert!(!asks(&mut other, "198.51.100.7").await);
    // Another one is a handshake of its own, and the former one's place is free.
    assert!(asks(&mut proxy, "198.51.100.8").await);
    assert!(!asks(&mut other, "198.51.100.8").await);
    drop(proxy);
    drop(other);
    soon("emptying", web.house.entrance.emptied()).await;
    let mut third = Client::connect(web.address).await;
    assert!(asks(&mut third, "198.51.100.9").await);
}

#[tokio::test]
async fn a_full_house_answers_503() {
    let web = web(Limits { connections_max: 0, ..limits() }, echo_door);
    let mut client = Client::connect(web.address).await;
    let answer = String::from_utf8(client.read_out().await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 503") && head.contains(&format!("content-length: {}", body.len())),
        "{answer}"
    );
}

#[tokio::test]
async fn the_raw_door_gets_its_channel_and_its_credential() {
    let web = web(limits(), echo_door);
    let basic = ("authorization", "Basic YW5uOnM6M2NyZXQ=");
    connect(web.address, "/acme/plant/line/1", &[basic]).await.unwrap();
    let path = "/acme/plant/6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a11/x?ticket=abc-_1&y=2";
    connect(web.address, path, &[("authorization", "bearer t0ken")]).await.unwrap();
    let knocks = web.knocks.lock().unwrap();
    let Doorway::Raw { account, channel, client: None, .. } = &knocks[0].doorway else { panic!("raw") };
    assert_eq!((account.as_str(), channel.as_str()), ("acme", "line/1"));
    let Some(Credential::Password { account: Some(account), user, password }) = &knocks[0].credential else {
        panic!("a password")
    };
    assert_eq!((account.as_str(), user.as_str(), &password.0[..]), ("acme", "ann", &b"s:3cret"[..]));
    assert!(knocks[0].ticket.is_none());
    assert!(matches!(&knocks[1].doorway, Doorway::Raw { client: Some(_), .. }));
    assert!(matches!(&knocks[1].credential, Some(Credential::Token(token)) if &token.0[..] == b"t0ken"));
    assert_eq!(&knocks[1].ticket.as_ref().unwrap().0[..], b"abc-_1");
}

#[tokio::test]
async fn a_handshake_truncated_at_every_byte_opens_nothing() {
    let web = web(Limits { linger_ms: 10, ..limits() }, storing_door);
    let head = "GET /acme/plant/line/1 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    for end in 0..head.len() {
        let mut stream = TcpStream::connect(web.address).await.unwrap();
        stream.write_all(&head.as_bytes()[..end]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut got = Vec::new();
        soon("it is closed", stream.read_to_end(&mut got)).await.ok();
        assert!(!got.starts_with(b"HTTP/1.1 101"), "{end}");
    }
    assert!(web.knocks.lock().unwrap().is_empty());
    soon("emptying", web.house.entrance.emptied()).await;
}
