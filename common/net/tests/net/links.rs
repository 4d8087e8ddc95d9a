//! Links: dialed and taken over real sockets, with TLS and without.

use crate::house::{Client, House, limits, soon};
use riser_model::{BootId, ClientId, Epoch, HubIdentity, LogId, PublicKey, Seq, Stamp, Wall};
use riser_net::{
    Limits, Listener,
    link::{
        DialFailed, EdgeEnd, End, Heard, HubEnd, Link, LinkTaker, LinkUrl, Order, accept::check, dial,
        run_link, serve_links,
    },
    tls::{self, Trust},
};
use riser_wire::link::{Batch, Definitions, EdgeFrame, Hello, HubFrame, Nonce, Signature, Welcome};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
};
use tokio_rustls::TlsAcceptor;

struct Hub {
    house: House,
    address: SocketAddr,
    links: mpsc::UnboundedReceiver<Link<HubEnd>>,
}

/// Takes links and hands them to the test.
fn hub(limits: Limits, tls: Option<TlsAcceptor>) -> Hub {
    let house = House::new(limits);
    let listener = Listener::bind("link", "127.0.0.1:0".parse().unwrap(), tls).unwrap();
    let address = listener.address().unwrap();
    let (sender, links) = mpsc::unbounded_channel();
    let taker: LinkTaker = Arc::new(move |link, _visitor| {
        let _ = sender.send(link);
        Box::pin(std::future::ready(()))
    });
    tokio::spawn(serve_links(listener, house.entrance.apart(100), false, taker));
    Hub { house, address, links }
}

impl Hub {
    fn url(&self, scheme: &str) -> LinkUrl {
        format!("{scheme}://localhost:{}", self.address.port()).parse().unwrap()
    }

    async fn dial(&mut self) -> (Link<EdgeEnd>, Link<HubEnd>) {
        let url: LinkUrl = format!("ws://{}", self.address).parse().unwrap();
        let counters = self.house.entrance.counters();
        let edge = soon("dialing", dial(&url, None, false, counters)).await.unwrap();
        (edge, soon("a link", self.links.recv()).await.unwrap())
    }
}

fn batch(bytes: usize) -> EdgeFrame {
    // Neither constant nor random: it shrinks, within the allowed ratio.
    let items: Vec<u8> =
        (0..bytes).map(|i| if i % 8 == 0 { (i * i / 64 % 251) as u8 } else { b'x' }).collect();
    EdgeFrame::Batch(Batch {
        epoch: Epoch(1),
        first: Seq(1),
        last_added: Seq(2),
        definitions: Definitions::default(),
        items: items.into(),
    })
}

fn nonce() -> HubFrame {
    let hub = HubIdentity { key: PublicKey([1; 32]), log: LogId(1) };
    HubFrame::Nonce { hub, nonce: Nonce([2; 32]) }
}

fn welcome() -> HubFrame {
    let welcome = Welcome {
        hub: HubIdentity { key: PublicKey([1; 32]), log: LogId(1) },
        chain: vec![],
        taken: vec![],
        limits: riser_wire::link::Limits {
            batch_bytes: 1 << 20,
            batch_entries: 4096,
            body_bytes: 1 << 18,
            unconfirmed_bytes: 1 << 20,
        },
        clock: Wall(0),
    };
    HubFrame::Welcome(Box::new(welcome), Signature::from_bytes(&[0; 64]))
}

fn hello() -> EdgeFrame {
    let hello = Hello {
        edge: ClientId::SYSTEM,
        log: LogId(1),
        chain: vec![],
        live: Epoch(1),
        last_added: Seq(1),
        cursor: Default::default(),
        boot: BootId(1),
        clock: Stamp::default(),
        nonce: Nonce([3; 32]),
    };
    EdgeFrame::Hello(Box::new(hello), Signature::from_bytes(&[0; 64]))
}

/// The next frame, while the other end writes what it has to.
async fn frame<A: End, B: End>(hears: &mut Link<A>, says: &mut Link<B>) -> Result<A::Hears, String> {
    let hearing = async {
        loop {
            tokio::select! {
                biased;
                heard = hears.next(true) => match heard {
                    Heard::Frame(frame) => return Ok(frame),
                    Heard::Life => {}
                    Heard::Bad(bad) => return Err(bad.to_string()),
                    Heard::Gone(cause) => return Err(cause.into()),
                },
                _ = says.next(false) => {}
            }
        }
    };
    soon("a frame", hearing).await
}

/// Both ends up to where the edge may send items.
async fn welcomed(edge: &mut Link<EdgeEnd>, hub: &mut Link<HubEnd>) {
    hub.say(&nonce());
    assert_eq!(frame(edge, hub).await.unwrap(), nonce());
    edge.say(&hello());
    assert_eq!(frame(hub, edge).await.unwrap(), hello());
    hub.say(&welcome());
    assert_eq!(frame(edge, hub).await.unwrap(), welcome());
}

#[tokio::test]
async fn frames_cross_compressed_and_counted() {
    let mut hub = hub(limits(), None);
    let (mut edge, mut end) = hub.dial().await;
    assert_eq!((edge.binding(), end.binding()), (None, None));
    welcomed(&mut edge, &mut end).await;
    let counters = Arc::clone(hub.house.entrance.counters());
    for bytes in [0, 10, 300, 5_000, 1_000_000] {
        let (plain, packed) = (counters.link_plain_bytes.read(), counters.link_packed_bytes.read());
        edge.say(&batch(bytes));
        assert!(frame(&mut end, &mut edge).await.unwrap() == batch(bytes), "{bytes}");
        // Both ends count here.
        let (plain, packed) =
            (counters.link_plain_bytes.read() - plain, counters.link_packed_bytes.read() - packed);
        assert!(plain as usize >= 2 * bytes && packed <= plain, "{bytes}: {plain} {packed}");
        assert!(bytes < 5_000 || packed * 2 < plain, "{bytes}: {plain} {packed}");
    }
    edge.close(4000, "enough").await;
    assert!(matches!(soon("the end", end.next(true)).await, Heard::Gone("peer_closed")));
}

#[tokio::test]
async fn nothing_large_or_compressed_is_taken_before_the_peer_is_known() {
    let mut hub = hub(limits(), None);
    // A batch before Welcome: it is compressed.
    let (mut edge, mut end) = hub.dial().await;
    end.say(&nonce());
    edge.say(&batch(5_000));
    assert!(frame(&mut end, &mut edge).await.unwrap_err().contains("compressed before authentication"));
    // More than 16 KiB of small ones.
    let (mut edge, mut end) = hub.dial().await;
    let mut count = 0;
    let refused = loop {
        edge.say(&EdgeFrame::Ping(count));
        match frame(&mut end, &mut edge).await {
            Ok(_) => count += 1,
            Err(refused) => break refused,
        }
        assert!(count < 16 * 1024);
    };
    assert!(refused.contains("before authentication"), "{refused}");
}

#[tokio::test]
async fn too_large_a_message_is_bad_whoever_sends_it() {
    let mut hub = hub(limits(), None);
    let (mut edge, mut end) = hub.dial().await;
    welcomed(&mut edge, &mut end).await;
    edge.say(&batch(2 << 20));
    let refused = frame(&mut end, &mut edge).await.unwrap_err();
    assert!(refused.contains("bytes"), "{refused}");
    // What is said after that still arrives.
    end.say(&nonce());
    assert_eq!(frame(&mut edge, &mut end).await.unwrap(), nonce());
}

#[tokio::test]
async fn a_message_on_its_way_is_a_sign_of_life() {
    let mut hub = hub(limits(), None);
    let (mut edge, mut end) = hub.dial().await;
    welcomed(&mut edge, &mut end).await;
    let big = EdgeFrame::Batch(Batch {
        epoch: Epoch(1),
        first: Seq(1),
        last_added: Seq(2),
        definitions: Definitions::default(),
        items: (0..900_000u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect::<Vec<_>>()
            .into(),
    });
    edge.say(&big);
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    tokio::time::resume();
    // The hub reads before the edge has written all of it: a write takes what fits into the sockets.
    let mut life = 0;
    loop {
        tokio::select! {
            biased;
            heard = end.next(true) => match heard {
                Heard::Life => life += 1,
                Heard::Frame(frame) => break assert!(frame == big),
                other => panic!("{other:?}"),
            },
            _ = edge.next(false) => {}
        }
    }
    assert!(life <= 2, "{life}");
}

#[tokio::test]
async fn both_ends_of_tls_have_the_same_binding_and_only_they() {
    let pem = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let chain = write("chain.pem", pem.cert.pem());
    let key = write("key.pem", pem.signing_key.serialize_pem());
    let stranger = write("stranger.pem", other.cert.pem());
    let mut hub = hub(limits(), Some(tls::server(&chain, &key).unwrap()));
    let counters = Arc::clone(hub.house.entrance.counters());
    let url = hub.url("wss");
    let mut bindings = vec![];
    for trust in [Trust::roots(&chain).unwrap(), Trust::pinned(&chain).unwrap()] {
        let client = tls::client(trust).unwrap();
        let mut edge = soon("dialing", dial(&url, Some(&client), false, &counters)).await.unwrap();
        let mut end = soon("a link", hub.links.recv()).await.unwrap();
        assert_eq!(edge.binding(), end.binding());
        bindings.push(edge.binding().expect("tls has one"));
        welcomed(&mut edge, &mut end).await;
        edge.say(&batch(900_000));
        assert!(frame(&mut end, &mut edge).await.unwrap() == batch(900_000));
    }
    assert_ne!(bindings[0], bindings[1]);
    for trust in [Trust::roots(&stranger).unwrap(), Trust::pinned(&stranger).unwrap()] {
        let client = tls::client(trust).unwrap();
        let failed = soon("dialing", dial(&url, Some(&client), false, &counters)).await.err().unwrap();
        assert!(matches!(failed, DialFailed::Tls { .. }), "{failed}");
        assert!(failed.to_string().contains("pinned"), "{failed}");
    }
    let failed = dial(&url, None, false, &counters).await.err().unwrap();
    assert!(matches!(failed, DialFailed::NoTrust { .. }), "{failed}");
    // Plain text to a TLS port, and silence, are closed in time and hurt nobody.
    let failed = dial(&hub.url("ws"), None, false, &counters).await.err().unwrap();
    assert!(matches!(failed, DialFailed::Http { .. }), "{failed}");
    // A certificate with another's key, and files that are none.
    let wrong = write("wrong.pem", other.signing_key.serialize_pem());
    assert!(tls::server(&chain, &wrong).is_err());
    let words = tls::server(&folder.path().join("none.pem"), &key).err().unwrap().to_string();
    assert!(words.contains("none.pem"), "{words}");
    let words = tls::server(&key, &key).err().unwrap().to_string();
    assert!(words.contains("CERTIFICATE"), "{words}");
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_go_on_is_closed_in_time() {
    let pem = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let acceptor =
        tls::server_from(vec![pem.cert.der().clone()], pem.signing_key.serialize_der().try_into().unwrap())
            .unwrap();
    let hub = hub(Limits { first_frame_ms: 150, ..limits() }, Some(acceptor));
    let mut silent = Client::connect(hub.address).await;
    silent.read_out().await;
    let mut begun = Client::connect(hub.address).await;
    begun.write(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
    begun.read_out().await;
    assert_eq!(hub.house.entrance.counters().tls_failed.read(), 2);
}

#[tokio::test]
async fn plain_links_to_or_from_other_machines_want_insecure_by_name() {
    let house = House::new(limits());
    let everywhere = Listener::bind("link", "0.0.0.0:0".parse().unwrap(), None).unwrap();
    let words = check(&everywhere, false).unwrap_err().to_string();
    assert!(words.contains("insecure = true"), "{words}");
    assert!(check(&everywhere, true).is_ok());
    // A documentation address: nobody is asked before it is refused.
    let url: LinkUrl = "ws://192.0.2.1".parse().unwrap();
    let failed = dial(&url, None, false, house.entrance.counters()).await.err().unwrap();
    assert!(matches!(failed, DialFailed::Insecure { .. }), "{failed}");
    assert!(failed.to_string().contains("wss://"), "{failed}");
}

#[tokio::test]
async fn only_links_are_taken() {
    let hub = hub(limits(), None);
    let handshake = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let link = "Sec-WebSocket-Protocol: riser.link.v1\r\n";
    for (path, head, status) in [
        ("/", String::new(), 404),
        ("/link", String::new(), 426),
        ("/link", handshake.to_owned(), 400),
        ("/link", format!("{handshake}Sec-WebSocket-Protocol: riser.v1.json\r\n"), 400),
        ("/link", format!("{handshake}{link}Origin: http://x\r\n"), 403),
        ("/link", format!("{handshake}{link}"), 101),
    ] {
        let mut client = Client::connect(hub.address).await;
        client.write(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n").as_bytes()).await;
        let answer = client.read_until("\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {head}: {answer}");
    }
    // And who is no hub is not taken for one.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: LinkUrl = format!("ws://{}", listener.local_addr().unwrap()).parse().unwrap();
    let answer = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut tcp, answer).await.unwrap();
        tcp
    });
    let failed = soon("dialing", dial(&url, None, false, hub.house.entrance.counters())).await.err().unwrap();
    assert!(matches!(failed, DialFailed::NotALink { .. }), "{failed}");
    drop(answer);
}

#[tokio::test]
async fn a_full_core_stops_a_link_and_loses_nothing() {
    const COUNT: u64 = 2_000;
    let mut hub = hub(limits(), None);
    let (edge, end) = hub.dial().await;
    let (edge_orders, orders) = mpsc::unbounded_channel();
    let (edge_news, _edge_inbox) = mpsc::channel(16);
    tokio::spawn(run_link(edge, orders, edge_news, |heard| heard));
    let (hub_orders, orders) = mpsc::unbounded_channel();
    let (hub_news, hub_inbox) = mpsc::channel(2);
    tokio::spawn(run_link(end, orders, hub_news, |heard| heard));
    hub_orders.send(Order::Say(welcome())).unwrap();
    for number in 0..COUNT {
        edge_orders.send(Order::Say(EdgeFrame::CaughtUp { epoch: Epoch(1), through: Seq(number) })).unwrap();
    }
    edge_orders.send(Order::Close { code: 1000, reason: String::new() }).unwrap();
    let inbox = Arc::new(Mutex::new(hub_inbox));
    let mut next = 0;
    let mut inbox = inbox.lock().await;
    loop {
        match soon("news", inbox.recv()).await.expect("the last news is the end") {
            Heard::Frame(EdgeFrame::CaughtUp { through, .. }) => {
                assert_eq!(through, Seq(next));
                next += 1;
            }
            Heard::Life => {}
            Heard::Gone(cause) => break assert_eq!(cause, "peer_closed"),
            other => panic!("{other:?}"),
        }
        // Orders are performed while nobody takes the news.
        if next == 1 {
            hub_orders.send(Order::Say(HubFrame::Ping(1))).unwrap();
        }
    }
    assert_eq!(next, COUNT);
}

#[tokio::test]
async fn an_edge_that_reads_nothing_is_not_listened_to_until_it_does() {
    let mut hub = hub(limits(), None);
    let (mut edge, mut end) = hub.dial().await;
    welcomed(&mut edge, &mut end).await;
    let trusted = EdgeFrame::CaughtUp { epoch: Epoch(1), through: Seq(1) };
    edge.say(&trusted);
    assert_eq!(frame(&mut end, &mut edge).await.unwrap(), trusted);
    // Until the kernel takes no more of it.
    while end.buffered() <= HubEnd::UNWRITTEN_MAX {
        while end.buffered() <= HubEnd::UNWRITTEN_MAX {
            end.say(&nonce());
        }
        tokio::select! { biased; _ = end.next(false) => {}, () = tokio::task::yield_now() => {} }
    }
    edge.say(&EdgeFrame::Ping(7));
    for _ in 0..100 {
        tokio::select! {
            biased;
            heard = end.next(true) => panic!("heard {heard:?}"),
            _ = edge.next(false) => {}
            () = tokio::task::yield_now() => {}
        }
    }
    let mut read = 0_u64;
    let heard = async {
        loop {
            tokio::select! {
                biased;
                heard = end.next(true) => break heard,
                _ = edge.next(true) => read += 1,
            }
        }
    };
    assert!(matches!(soon("the ping", heard).await, Heard::Frame(EdgeFrame::Ping(7))));
    assert!(read > 0);
}
