//! A client of MQTT in as few bytes as a test needs: it says what it is told to, and shows what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::program::SOON;

/// Which MQTT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// 3.1.1.
    Four,
    /// 5.
    Five,
}

/// What comes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// Something was published: the topic, the payload, and whether it was retained.
    Publish(String, Vec<u8>, bool),
    /// Any other: its type and body.
    Other(u8, Vec<u8>),
}

/// One connection.
#[derive(Debug)]
pub struct Mqtt {
    socket: TcpStream,
    version: Version,
    /// The authentication method, where there is one.
    method: &'static str,
    /// The body of its CONNACK.
    pub welcome: Vec<u8>,
    /// What was published and not asked for yet.
    pub heard: Vec<(String, Vec<u8>, bool)>,
}

/// The property that names an authentication method.
fn named(method: &str) -> Vec<u8> {
    let mut property = vec![0x15];
    text(&mut property, method);
    property
}

/// A string with its length.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    out.extend(text.as_bytes());
}

impl Mqtt {
    /// Connects, or the code with which it is refused. `lasts` is how long the session outlives the connection, seconds.
    pub fn connect(
        port: u16,
        version: Version,
        id: &str,
        (user, password): (Option<&str>, &str),
        (clean, lasts): (bool, u32),
    ) -> Result<Self, u8> {
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        body.push(if version == Version::Five { 5 } else { 4 });
        body.push(0x40 | if user.is_some() { 0x80 } else { 0 } | if clean { 2 } else { 0 });
        body.extend(60u16.to_be_bytes());
        if version == Version::Five {
            body.push(5);
            body.push(0x11);
            body.extend(lasts.to_be_bytes());
        }
        text(&mut body, id);
        if let Some(user) = user {
            text(&mut body, user);
        }
        text(&mut body, password);
        Self::connect_as(port, version, &body)
    }

    /// Connects with this CONNECT, behind its length.
    pub fn connect_as(port: u16, version: Version, body: &[u8]) -> Result<Self, u8> {
        Self::begun(port, version, body).welcomed().map_err(|code| code.expect("CONNACK"))
    }

    /// The answer to CONNECT, or the code with which it is refused; none if it is closed without a word, to come back.
    pub fn welcomed(mut self) -> Result<Self, Option<u8>> {
        match self.packet() {
            Some(Packet::Other(0x20, body)) if body[1] == 0 => Ok(Self { welcome: body, ..self }),
            Some(Packet::Other(0x20, body)) => Err(Some(body[1])),
            None => Err(None),
            other => panic!("no CONNACK: {other:?}"),
        }
    }

    /// Connects to MQTT 5 as that user by a key, which signs what `prove` is given the nonce for.
    pub fn connect_by_key(port: u16, user: &str, prove: impl Fn(&str) -> Vec<u8>) -> Self {
        Self::connect_by("ed25519", port, user, prove).expect("it is let in")
    }

    /// The same by that method, or the code with which it is refused.
    pub fn connect_by(
        method: &'static str,
        port: u16,
        user: &str,
        prove: impl Fn(&str) -> Vec<u8>,
    ) -> Result<Self, u8> {
        let (mut body, named) = (Vec::new(), named(method));
        text(&mut body, "MQTT");
        body.extend([5, 0x82, 0, 60, u8::try_from(named.len()).unwrap()]);
        body.extend(named);
        text(&mut body, "by a proof");
        text(&mut body, user);
        let mut one = Self { method, ..Self::begun(port, Version::Five, &body) };
        let nonce = one.challenge();
        one.answers(&prove(&nonce));
        one.welcomed().map_err(|code| code.expect("CONNACK"))
    }

    /// Says anew who it is.
    pub fn authenticates_anew(&mut self) {
        let named = named(self.method);
        self.send(0xf0, &[&[0x19, u8::try_from(named.len()).unwrap()][..], &named].concat());
    }

    /// The nonce of the challenge that comes next.
    pub fn challenge(&mut self) -> String {
        let asked = self.awaits(0xf0).expect("a challenge");
        assert_eq!(asked[0], 0x18);
        String::from_utf8(asked[2 + named(self.method).len() + 3..].to_vec()).unwrap()
    }

    /// Answers it.
    pub fn answers(&mut self, proof: &[u8]) {
        let mut data = vec![0x16];
        data.extend(u16::try_from(proof.len()).unwrap().to_be_bytes());
        data.extend(proof);
        let named = named(self.method);
        let length = u8::try_from(named.len() + data.len()).unwrap();
        self.send(0xf0, &[&[0x18, length][..], &named, &data].concat());
    }

    /// Says this CONNECT, behind its length.
    pub fn begun(port: u16, version: Version, connect: &[u8]) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let mut one = Self { socket, version, method: "", welcome: Vec::new(), heard: Vec::new() };
        one.send(0x10, connect);
        one
    }

    /// Says a packet of that first byte.
    pub fn send(&mut self, head: u8, body: &[u8]) {
        let mut packet = vec![head];
        let mut rest = body.len();
        loop {
            let digit = u8::try_from(rest % 128).unwrap();
            rest /= 128;
            packet.push(if rest > 0 { digit | 0x80 } else { digit });
            if rest == 0 {
                break;
            }
        }
        packet.extend(body);
        // Who was sent away finds out by reading.
        drop(self.socket.write_all(&packet));
    }

    /// The next packet; none when the other end has closed. What is to be acknowledged is.
    fn packet(&mut self) -> Option<Packet> {
        let mut head = [0];
        match self.socket.read(&mut head) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("nothing came: {error}"),
        }
        let (mut length, mut shift) = (0, 0);
        loop {
            let mut byte = [0];
            self.socket.read_exact(&mut byte).ok()?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).ok()?;
        if head[0] >> 4 != 3 {
            return Some(Packet::Other(head[0] & 0xf0, body));
        }
        let topic_ends = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..topic_ends].to_vec()).unwrap();
        let mut at = topic_ends;
        if head[0] & 6 != 0 {
            let id = body[at..at + 2].to_vec();
            at += 2;
            self.send(0x40, &id);
        }
        if self.version == Version::Five {
            // No test has properties of 128 bytes.
            at += 1 + usize::from(body[at]);
        }
        Some(Packet::Publish(topic, body[at..].to_vec(), head[0] & 1 != 0))
    }

    /// The body of the next packet of that type, keeping what is published meanwhile; none when it closes before.
    pub fn awaits(&mut self, head: u8) -> Option<Vec<u8>> {
        loop {
            match self.packet()? {
                Packet::Publish(topic, payload, retained) => self.heard.push((topic, payload, retained)),
                Packet::Other(of, body) if of == head => return Some(body),
                Packet::Other(..) => {}
            }
        }
    }

    /// Subscribes at QoS 1, to one filter after the other; to what is retained there too, or not.
    pub fn subscribe(&mut self, filters: &[String], retained: bool) {
        for (n, filter) in (1u16..).zip(filters) {
            let mut body = n.to_be_bytes().to_vec();
            if self.version == Version::Five {
                body.push(0);
            }
            text(&mut body, filter);
            body.push(if retained { 1 } else { 0x21 });
            self.send(0x82, &body);
            self.awaits(0x90).expect("SUBACK");
        }
    }

    /// Publishes at QoS 1, and waits for the answer: its reason in MQTT 5. None when it closes instead.
    pub fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) -> Option<u8> {
        self.publish_answered(topic, payload, retain).map(|(reason, _)| reason)
    }

    /// The same, with what MQTT 5 says of the reason in words.
    pub fn publish_answered(&mut self, topic: &str, payload: &[u8], retain: bool) -> Option<(u8, String)> {
        let mut body = Vec::new();
        text(&mut body, topic);
        body.extend(7u16.to_be_bytes());
        if self.version == Version::Five {
            body.push(0);
        }
        body.extend(payload);
        self.send(if retain { 0x33 } else { 0x32 }, &body);
        let body = self.awaits(0x40)?;
        // The length of the properties takes two bytes from 128 on; this one comes first (2.2.2.2).
        let properties = body.get(if body.get(3).is_some_and(|length| *length > 127) { 5 } else { 4 }..);
        let words = properties.and_then(|rest| rest.strip_prefix(&[0x1f])).and_then(|rest| {
            let (length, text) = rest.split_first_chunk::<2>()?;
            text.get(..usize::from(u16::from_be_bytes(*length)))
        });
        let words = String::from_utf8_lossy(words.unwrap_or_default()).into_owned();
        Some((body.get(2).copied().unwrap_or(0), words))
    }

    /// Reads until all of these came, and then what comes before an answer to a ping.
    pub fn hears(&mut self, all: &[(String, Vec<u8>, bool)]) {
        while !all.iter().all(|one| self.heard.contains(one)) {
            match self.packet() {
                Some(Packet::Publish(topic, payload, retained)) => {
                    self.heard.push((topic, payload, retained))
                }
                Some(Packet::Other(..)) => {}
                None => panic!("it closed before {all:?} came: {:?}", self.heard),
            }
        }
        self.send(0xc0, &[]);
        self.awaits(0xd0);
    }

    /// Says goodbye; its session stays.
    pub fn disconnect(mut self) {
        self.send(0xe0, &[]);
    }
}
