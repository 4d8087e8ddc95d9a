//! One door, its client and its bus, on one virtual clock.

use bytes::{Bytes, BytesMut};
use riser_model::{
    AccountId, ClientId, ConnectionId, Epoch, LogId, Now, Position, Principal, RoomId, Route, RouteNumber,
    Seq, SubscriptionId, Time, Wall,
    door::{
        Ask, Code, Completeness, Content, Delivery, Door, Input, Intake, Output, Push, Refusal, SessionState,
        Subscribed, Target, Tell,
    },
};
use riser_mqtt::{Config, Counters, MqttDoor};
use riser_wire::entry::{self, Body, ContentType, Publication};
use rumqttc::{mqttbytes::v4, v5::mqttbytes::v5};
use std::{sync::Arc, time::Duration};

/// When everything happens that does not say otherwise.
pub const WALL: Wall = Wall(1_700_000_000_000);
pub const LOG: LogId = LogId(9);
pub const EPOCH: Epoch = Epoch(1);
pub const BOTH: [u8; 2] = [4, 5];

pub struct Bench {
    pub door: MqttDoor,
    pub counters: Arc<Counters>,
    pub level: u8,
    pub now: Now,
    /// Not looked at yet.
    pub asks: Vec<Ask>,
    /// What the client got and did not read yet.
    pub bytes: BytesMut,
    pub closed: Option<Result<(), Refusal>>,
    /// The next seq of the log.
    pub seq: u64,
}

impl Bench {
    pub fn new(level: u8) -> Self {
        Self::with(level, Config::default())
    }

    pub fn with(level: u8, config: Config) -> Self {
        let now = Now { time: Time(1_000_000_000), wall: WALL };
        let counters = Arc::new(Counters::default());
        let door = MqttDoor::new(Arc::new(config), Arc::clone(&counters), 0xabc, now);
        Self { door, counters, level, now, asks: vec![], bytes: BytesMut::new(), closed: None, seq: 1 }
    }

    /// Connected, without a session that outlives it.
    pub fn open(level: u8) -> Self {
        Self::open_with(level, Config::default(), SessionState::default())
    }

    /// Connected, without a session that outlives it, and wanting no sentences beside reason codes.
    pub fn open_terse(level: u8) -> Self {
        if level == 4 {
            return Self::open(4);
        }
        let mut bench = Self::new(level);
        let fields: [&[u8]; 3] = [&string("pump-1"), &string("acme/pump"), &string("secret")];
        bench.send(&connect_of(level, 0xc2, &[23, 0], &fields));
        bench.asks();
        bench.tell(entered(SessionState::default()));
        bench.got();
        bench
    }

    /// Connected, with a session as the bus has it.
    pub fn open_with(level: u8, config: Config, session: SessionState) -> Self {
        let mut bench = Self::with(level, config);
        let kept = session.number != 0;
        bench.send(&connect(level, !kept, if kept { 3600 } else { 0 }, 0));
        assert!(matches!(bench.asks.remove(0), Ask::Enter { .. }));
        bench.tell(entered(session));
        let connack = bench.bytes.split_to(2 + usize::from(bench.bytes[1]));
        assert_eq!((connack[0], connack[3]), (0x20, 0));
        bench
    }

    pub fn input(&mut self, input: Input) {
        self.door.handle(input, self.now);
        while let Some(output) = self.door.poll() {
            assert!(self.closed.is_none(), "{output:?} after the end");
            match output {
                Output::Bytes(bytes) => self.bytes.extend_from_slice(&bytes),
                Output::Ask(ask) => self.asks.push(ask),
                Output::Close(refusal) => self.closed = Some(Err(refusal)),
                Output::Done => self.closed = Some(Ok(())),
                Output::Text(_) | Output::Texts(_) => panic!("{output:?}"),
            }
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.input(Input::Bytes(Bytes::copy_from_slice(bytes)));
    }

    pub fn tell(&mut self, tell: Tell) {
        self.input(Input::Tell(tell));
    }

    /// Time passes; a deadline that comes is said.
    pub fn pass(&mut self, after: Duration) {
        self.now.time = self.now.time.plus(after);
        if self.door.poll_timeout().is_some_and(|deadline| deadline <= self.now.time) {
            self.input(Input::Deadline);
        }
    }

    pub fn asks(&mut self) -> Vec<Ask> {
        std::mem::take(&mut self.asks)
    }

    /// The one batch that is asked for.
    pub fn intake(&mut self) -> Intake {
        let mut asks = self.asks();
        match (asks.pop(), asks.as_slice()) {
            (Some(Ask::Publish(intake)), []) => intake,
            other => panic!("want one batch: {other:?}"),
        }
    }

    /// The log has this batch, except these.
    pub fn store(&mut self, ticket: u64, count: u32, refused: &[(u32, Code)]) {
        let first = Seq(self.seq);
        self.seq += u64::from(count).saturating_sub(refused.len() as u64);
        let refused = refused.iter().map(|(index, code)| (*index, refusal(*code))).collect();
        self.tell(Tell::Stored { ticket, log: LOG, epoch: EPOCH, first, refused });
    }

    /// The bytes that the client got, and none are left.
    pub fn got(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes).to_vec()
    }

    /// The packets that the client got, as its codec reads them.
    pub fn got_v4(&mut self) -> Vec<v4::Packet> {
        let mut packets = Vec::new();
        while !self.bytes.is_empty() {
            packets.push(v4::Packet::read(&mut self.bytes, 1 << 20).unwrap());
        }
        packets
    }

    /// As [`Self::got_v4`].
    pub fn got_v5(&mut self) -> Vec<v5::Packet> {
        let mut packets = Vec::new();
        while !self.bytes.is_empty() {
            packets.push(v5::Packet::read(&mut self.bytes, None).unwrap());
        }
        packets
    }

    /// Packet type and packet id of each acknowledgement that the client got, and its reason.
    pub fn acks(&mut self) -> Vec<(u8, u16, u8)> {
        let mut acks = Vec::new();
        while !self.bytes.is_empty() {
            let packet = self.bytes.split_to(2 + usize::from(self.bytes[1]));
            let id = u16::from_be_bytes([packet[2], packet[3]]);
            acks.push((packet[0], id, packet.get(4).copied().unwrap_or(0)));
        }
        acks
    }

    pub fn subscribed(&mut self, subscription: u32, at: u64) {
        let subscribed = Subscribed {
            completeness: Completeness::Full,
            gaps: vec![],
            at: position(at),
            floor: None,
            until: None,
        };
        self.tell(Tell::Subscribed { subscription: SubscriptionId(subscription), result: Ok(subscribed) });
    }

    pub fn code(&self) -> Option<Code> {
        self.closed.as_ref().and_then(|end| end.as_ref().err()).map(|refusal| refusal.code)
    }
}

pub fn refusal(code: Code) -> Refusal {
    Refusal { code, what: "it".to_owned(), want: "that".to_owned() }
}

pub fn position(seq: u64) -> Position {
    Position { log: LOG, epoch: EPOCH, seq: Seq(seq) }
}

pub fn entered(session: SessionState) -> Tell {
    let principal = Principal {
        account: AccountId(uuid::Uuid::from_u128(1)),
        account_name: "acme".parse().unwrap(),
        client: ClientId(uuid::Uuid::from_u128(2)),
        name: "pump".parse().unwrap(),
        grants: Arc::default(),
        home: None,
    };
    Tell::Entered { principal: Arc::new(principal), connection: ConnectionId(1), session, room: None }
}

pub fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

/// A packet of this first byte.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        bytes.push((left % 128) as u8 | if left > 127 { 0x80 } else { 0 });
        left /= 128;
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// CONNECT of the device `acme/pump`.
pub fn connect(level: u8, clean: bool, expiry_s: u32, keepalive_s: u16) -> Vec<u8> {
    let mut body = string("MQTT");
    body.extend([level, 0xc0 | if clean { 2 } else { 0 }]);
    body.extend(keepalive_s.to_be_bytes());
    if level == 5 {
        body.extend([5, 17]);
        body.extend(expiry_s.to_be_bytes());
    }
    body.extend([string("pump-1"), string("acme/pump"), string("secret")].concat());
    packet(0x10, &body)
}

/// CONNECT from its parts: a keepalive of 60 s.
pub fn connect_of(level: u8, flags: u8, properties: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    let mut body = string("MQTT");
    body.extend([level, flags, 0, 60]);
    if level == 5 {
        body.push(properties.len() as u8);
        body.extend_from_slice(properties);
    }
    fields.iter().for_each(|field| body.extend_from_slice(field));
    packet(0x10, &body)
}

/// PUBLISH without properties.
pub fn publish(level: u8, topic: &str, qos: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    publish_with(level, topic, qos << 1, id, &[], payload)
}

/// PUBLISH with the flags of its first byte and MQTT 5's properties.
pub fn publish_with(
    level: u8,
    topic: &str,
    flags: u8,
    id: u16,
    properties: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let mut body = string(topic);
    if flags & 6 != 0 {
        body.extend(id.to_be_bytes());
    }
    if level == 5 {
        body.push(u8::try_from(properties.len()).unwrap());
        body.extend_from_slice(properties);
    }
    body.extend_from_slice(payload);
    packet(0x30 | flags, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
pub fn ack(first: u8, id: u16) -> Vec<u8> {
    packet(first, &id.to_be_bytes())
}

pub fn subscribe(level: u8, id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if level == 5 {
        body.push(0);
    }
    for (filter, options) in filters {
        body.extend(string(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

pub fn unsubscribe(level: u8, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if level == 5 {
        body.push(0);
    }
    filters.iter().for_each(|filter| body.extend(string(filter)));
    packet(0xa2, &body)
}

/// One entry of a batch, as the log would have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub topic: String,
    pub retain: bool,
    pub qos: u8,
    pub content_type: String,
    pub packet_id: Option<(u64, u16)>,
    pub properties: Vec<u8>,
    pub payload: Vec<u8>,
}

/// What a batch says, with aliases as the bus would know them.
pub fn entries(intake: &Intake, aliases: &mut Vec<String>) -> Vec<Entry> {
    for (alias, target) in &intake.aliases {
        let (Target::Topic(topic) | Target::Device(topic)) = target else {
            panic!("{target:?}");
        };
        assert!(*alias as usize <= aliases.len(), "aliases are dense");
        aliases.truncate(aliases.len().max(*alias as usize));
        if aliases.len() == *alias as usize {
            aliases.push(topic.clone());
        } else {
            aliases[*alias as usize] = topic.clone();
        }
    }
    let frames: Vec<_> = entry::frames(&intake.entries).map(Result::unwrap).collect();
    assert_eq!(frames.len(), intake.count as usize);
    let read = frames.iter().map(|frame| {
        assert!(frame.intact());
        let body = Body::read(frame.body).unwrap();
        let publication = Publication::read(&body).unwrap();
        Entry {
            topic: aliases[frame.route.0 as usize].clone(),
            retain: publication.retain,
            qos: publication.qos,
            content_type: publication.content_type.name().to_owned(),
            packet_id: publication.packet_id.map(|id| (id.session, id.id)),
            properties: publication.properties.to_vec(),
            payload: publication.payload.to_vec(),
        }
    });
    read.collect()
}

/// A delivery of this publication in room `hall`.
pub fn delivery(subscription: u32, seq: u64, channel: &str, publication: Publication<'_>) -> Push {
    let mut frame = Vec::new();
    publication.write_frame(&mut frame, RouteNumber(0), Now::default().stamp());
    let (read, _) = entry::Frame::read(&frame, 0).unwrap();
    Push::Publication(Delivery {
        subscription: SubscriptionId(subscription),
        pos: Some(position(seq)),
        prev: position(seq - 1),
        content: Arc::new(Content {
            route: Arc::new(Route {
                room: RoomId(uuid::Uuid::from_u128(3)),
                channel: channel.parse().unwrap(),
                client: ClientId(uuid::Uuid::from_u128(4)),
            }),
            room: "hall".parse().unwrap(),
            body: Bytes::copy_from_slice(read.body),
            wall: WALL,
            // As old as the bench.
            born_ms: 1_000,
            uncertain: false,
            rooted: false,
            technical: None,
            wording: None,
        }),
        skipped: 0,
        session: None,
        retained: None,
        reported: false,
    })
}

pub fn plain(qos: u8, payload: &[u8]) -> Publication<'_> {
    Publication { qos, ..Publication::new(ContentType::Octets, payload) }
}
