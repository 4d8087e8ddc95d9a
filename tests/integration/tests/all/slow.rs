//! Peers that take their time, on every layer: each is ended by its limit and counted, and who is beside it is served.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::bad_input::{Bystander, connect};
use crate::needs::{Need, needs};
use crate::program::SOON;
use crate::site::{ACCOUNT, Node, PASSWORD, Plan, READER, Site};
use crate::tls::certificate;

/// Nobody holds a place for longer without saying who it is: 5 s for what is awaited, and a closing connection lingers.
const FREED_WITHIN: Duration = Duration::from_secs(10);
/// Far below it, so that dribbling is not what takes long.
const DRIP: Duration = Duration::from_millis(150);

/// One way to be slow.
struct Slow {
    what: &'static str,
    port: u16,
    /// Said at once.
    first: Vec<u8>,
    /// Said byte by byte, over and over.
    drips: Vec<u8>,
}

/// Whether the far side has closed.
fn is_closed(socket: &mut TcpStream) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match socket.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(_) => return true,
        }
    }
}

impl Slow {
    /// Until the far side closes; panics if it takes too long.
    fn until_closed(&self, node: &Node) {
        let mut socket = TcpStream::connect((node.place.address(), self.port)).expect("the port is open");
        socket.set_read_timeout(Some(DRIP)).expect("a timeout can be set");
        let began = Instant::now();
        let _ = socket.write_all(&self.first);
        let mut drips = self.drips.iter().cycle();
        while !is_closed(&mut socket) {
            assert!(
                began.elapsed() < FREED_WITHIN,
                "{} is still there after {:?}",
                self.what,
                began.elapsed()
            );
            if let Some(byte) = drips.next() {
                let _ = socket.write_all(&[*byte]);
            }
        }
    }
}

fn closed(node: &Node, reason: &str) -> f64 {
    node.metric("riser_connections_closed", &format!("reason=\"{reason}\"")).expect("the node counts")
}

/// `GET` of a WebSocket, as a browser asks for it.
fn upgrade(port: u16) -> Vec<u8> {
    format!(
        "GET /{ACCOUNT}/hall HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: riser.v1.json\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn who_is_slow_to_say_who_it_is_is_freed_in_time_on_every_layer_and_counted() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::laid_out(Plan::default());
    // The bystander comes through the edge and listens at the hub's WebSocket.
    let (cert, key) = certificate(site.folder.path(), "own");
    let port = site.hub.mqtt;
    let text = fs::read_to_string(&site.hub.config).expect("it was just written");
    let plain = format!("mqtt = \"127.0.0.1:{port}\"");
    assert!(text.contains(&plain), "{text}");
    let text = text.replace(&plain, &format!("mqtt = {{ address = \"127.0.0.1:{port}\", tls = true }}"));
    site.hub.write_config(
        &text.replace("[listen]", &format!("[tls]\ncert = {cert:?}\nkey = {key:?}\n\n[listen]")),
    );
    site.hub.start();
    site.edge.start();
    let bystander = Bystander::start(&site, 400);
    let slow = |what, port, first: &[u8], drips: &[u8]| Slow {
        what,
        port,
        first: first.into(),
        drips: drips.into(),
    };
    let whole = connect(5, READER, PASSWORD);
    let (hub, edge) = (&site.hub, &site.edge);
    // A ClientHello of 512 bytes, as far as its header says.
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    let attacks = [
        (hub, slow("silence under TLS", hub.mqtt, b"", b""), "tls"),
        (hub, slow("a ClientHello in drops", hub.mqtt, &hello, &[0]), "tls"),
        (hub, slow("a request in drops", hub.http, b"GET / HTTP/1.1\r\n", b"a: b\r\n"), "first_frame"),
        (hub, slow("a WebSocket without a word", hub.http, &upgrade(hub.http), b""), "first_frame"),
        (edge, slow("silence", edge.mqtt, b"", b""), "first_frame"),
        (edge, slow("CONNECT in drops", edge.mqtt, &[0x10, 0xff, 0x3f], &whole[2..]), "first_frame"),
        (edge, slow("CONNECT of 256 MiB", edge.mqtt, &[0x10, 0xff, 0xff, 0xff, 0x7f], &[0]), "too_large"),
    ];
    let reasons = [(hub, "tls"), (hub, "first_frame"), (edge, "first_frame"), (edge, "too_large")];
    let before = reasons.map(|(node, reason)| closed(node, reason));
    std::thread::scope(|scope| {
        for (node, slow, _) in &attacks {
            scope.spawn(|| slow.until_closed(node));
        }
    });
    for ((node, reason), before) in reasons.into_iter().zip(before) {
        let of = |(of, _, why): &&(&Node, Slow, &str)| std::ptr::eq(*of, node) && *why == reason;
        let want = attacks.iter().filter(of).count() as f64;
        let counted = closed(node, reason) - before;
        let name = node.config.display();
        assert!((counted - want).abs() < 0.5, "{counted} of {want} were counted for {reason} by {name}");
    }
    bystander.must_be_undisturbed(&site);
}

#[test]
fn who_never_reads_its_answers_is_ended_when_it_has_taken_nothing_for_too_long() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let plan = Plan { edge_top: "limits.stall = \"2s\"\n".to_owned(), ..Plan::default() };
    let site = Site::planned(plan);
    let bystander = Bystander::start(&site, 400);
    let mut socket =
        TcpStream::connect((site.edge.place.address(), site.edge.mqtt)).expect("the port is open");
    socket.set_write_timeout(Some(DRIP)).expect("a timeout can be set");
    socket.write_all(&connect(4, crate::site::SENSOR, PASSWORD)).expect("it is taken");
    // PINGREQ, as many as the buffers on the way take: nothing is read from whom nothing is taken.
    let (pings, began) = ([0xc0, 0].repeat(32 * 1024), Instant::now());
    let mut at = 0;
    loop {
        match socket.write(&pings[at..]) {
            Ok(wrote) => at = (at + wrote) % pings.len(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        assert!(began.elapsed() < 3 * SOON, "it is still there");
    }
    assert!(closed(&site.edge, "stalled") >= 1.0);
    bystander.must_be_undisturbed(&site);
}
