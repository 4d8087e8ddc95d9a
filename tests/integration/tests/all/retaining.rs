//! What channels retain, shown to a session over real sockets that are cut, and a hub that is killed.

use crate::program::{EVENTUALLY, SOON};
use crate::site::{OWNER, PASSWORD, Site};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

const CHANNELS: u16 = 400;

/// A client of MQTT 3.1.1 that acknowledges only what it is told to.
struct Device {
    socket: TcpStream,
}

/// A PUBLISH as it came.
struct Publish {
    topic: String,
    retained: bool,
    id: u16,
}

impl Device {
    /// Connected; whether there was a session.
    fn connect(site: &Site, name: &str) -> (Self, bool) {
        let address = (site.hub.place.address(), site.hub.mqtt);
        let socket = TcpStream::connect(address).expect("the hub listens");
        socket.set_read_timeout(Some(EVENTUALLY)).expect("a timeout can be set");
        let mut device = Self { socket };
        // A session that stays, user and password; no keepalive.
        let body = [&text("MQTT")[..], &[4, 0xc0, 0, 0], &text(name), &text(OWNER), &text(PASSWORD)];
        device.send(0x10, &body.concat());
        let (first, connack) = device.packet();
        assert_eq!((first, connack[1]), (0x20, 0), "it is let in");
        (device, connack[0] == 1)
    }

    fn send(&mut self, first: u8, body: &[u8]) {
        let length = u16::try_from(body.len()).expect("packets of this test are short");
        let [low, high] = [(length % 128) as u8, (length / 128) as u8];
        let header = if high > 0 { vec![first, low | 0x80, high] } else { vec![first, low] };
        self.socket.write_all(&[&header[..], body].concat()).expect("the hub reads");
    }

    /// The next packet: its first byte, and the rest behind its length.
    fn packet(&mut self) -> (u8, Vec<u8>) {
        let mut byte = [0];
        let mut next = |socket: &mut TcpStream| {
            socket.read_exact(&mut byte).expect("the hub goes on");
            byte[0]
        };
        let first = next(&mut self.socket);
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = next(&mut self.socket);
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).expect("the hub goes on");
        (first, body)
    }

    /// The next PUBLISH at QoS 1.
    fn publish(&mut self) -> Publish {
        loop {
            let (first, body) = self.packet();
            if first & 0xf0 == 0x30 {
                assert_eq!(first & 0x06, 0x02, "at QoS 1");
                let end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                let topic = String::from_utf8(body[2..end].to_vec()).expect("a topic is text");
                let id = u16::from_be_bytes([body[end], body[end + 1]]);
                return Publish { topic, retained: first & 1 == 1, id };
            }
        }
    }

    /// Takes and acknowledges so many of what is retained.
    fn take(&mut self, count: usize, into: &mut BTreeSet<String>) {
        for _ in 0..count {
            let publish = self.publish();
            assert!(publish.retained, "{}", publish.topic);
            self.send(0x40, &publish.id.to_be_bytes());
            into.insert(publish.topic);
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short");
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}

#[test]
fn what_a_cut_keeps_from_being_shown_of_the_retained_is_shown_to_the_session_that_comes_back() {
    let mut site = Site::start();
    let (mut writer, _) = Device::connect(&site, "writer");
    for n in 0..CHANNELS {
        let body = [&text(&format!("hall/keep/{n:03}"))[..], &(n + 1).to_be_bytes(), b"kept"].concat();
        writer.send(0x33, &body);
    }
    for _ in 0..CHANNELS {
        assert_eq!(writer.packet().0, 0x40, "it is stored");
    }

    let mut had = BTreeSet::new();
    let (mut reader, present) = Device::connect(&site, "reader");
    assert!(!present);
    reader.send(0x82, &[&[0, 1][..], &text("hall/keep/#"), &[1]].concat());
    reader.take(30, &mut had);
    drop(reader);
    // It is the session's before anybody may come for it.
    let (mut reader, present) = Device::connect(&site, "reader");
    assert!(present);
    reader.take(150, &mut had);
    site.hub.kill();
    site.hub.start();
    drop(reader);

    let (mut reader, present) = Device::connect(&site, "reader");
    assert!(present);
    reader.socket.set_read_timeout(Some(SOON)).expect("a timeout can be set");
    while had.len() < usize::from(CHANNELS) {
        reader.take(1, &mut had);
    }
    let all: BTreeSet<String> = (0..CHANNELS).map(|n| format!("hall/keep/{n:03}")).collect();
    assert_eq!(had, all);
}
