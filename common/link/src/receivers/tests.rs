//! The receivers, driven by hand: a hub that is asked one thing at a time.

use super::*;
use riser_model::{BootId, EpochSpan, Gap, RoomId, Route, RouteNumber, Stamp, Wall};
use riser_wire::entry::{ContentType, Kind, Publication, write_frame};
use riser_wire::limits::BATCH_BYTES_MAX;
use riser_wire::link::{Batch, ItemsWriter, Opening, sign};
use uuid::Uuid;

mod admission;
mod intake;
mod relay;
mod tree;

const HUB_LOG: LogId = LogId(77);
const C1: ConnectionId = ConnectionId(1);
const C2: ConnectionId = ConnectionId(2);

const EDGE: ClientId = ClientId(Uuid::from_bytes([1; 16]));

pub(crate) fn hello() -> Hello {
    let span = EpochSpan { epoch: Epoch(5), first: Seq(1), last: Seq(10) };
    Hello {
        edge: EDGE,
        log: LogId(1),
        chain: vec![Opening { span, anchor: None }],
        live: Epoch(5),
        last_added: Seq(10),
        cursor: CursorValue::default(),
        boot: BootId(6),
        clock: Stamp { boot_us: 1, wall: Wall(2), uncertainty_ms: 3 },
        nonce: Nonce([1; 32]),
    }
}

fn later(ms: u64) -> Now {
    Now { time: Time(1_000_000_000 + ms * 1_000_000), wall: Wall(1000 + ms as i64) }
}

fn edge_key() -> Key {
    Key::from_secret(&[1; 32])
}

fn registered() -> Registered {
    Registered {
        key: edge_key().public(),
        name: "gw".parse().unwrap(),
        account: AccountId(Uuid::from_bytes([9; 16])),
        relays: true,
    }
}

/// A hub, and what it said since it was last asked.
struct Hub {
    receivers: Receivers,
    outputs: Vec<Output>,
    now: Now,
}

impl Hub {
    fn new() -> Self {
        Self::over([])
    }

    fn over(cursors: impl IntoIterator<Item = (CursorKey, CursorValue)>) -> Self {
        let key = Key::from_secret(&[7; 32]);
        let config = Config {
            key,
            log: HUB_LOG,
            chain: Vec::new(),
            limits: LIMITS,
            others: Others::All,
            cursors_max: usize::MAX,
        };
        Self { receivers: Receivers::new(config, cursors), outputs: Vec::new(), now: later(0) }
    }

    fn input(&mut self, input: Input) -> &[Output] {
        self.receivers.handle(input, self.now);
        self.outputs = std::iter::from_fn(|| self.receivers.poll()).collect();
        &self.outputs
    }

    fn frame(&mut self, connection: ConnectionId, frame: EdgeFrame) -> &[Output] {
        self.input(Input::Frame { connection, frame })
    }

    fn open(&mut self, connection: ConnectionId) {
        let nonce = Nonce([connection.0 as u8; 32]);
        self.input(Input::Opened { connection, binding: Bytes::from_static(b"tls"), nonce });
    }

    fn signed(&self, connection: ConnectionId, hello: &Hello) -> EdgeFrame {
        let nonce = Nonce([connection.0 as u8; 32]);
        let bytes = sign::hello_bytes(hello, self.receivers.identity(), nonce, b"tls");
        EdgeFrame::Hello(Box::new(hello.clone()), edge_key().sign(&bytes))
    }

    /// Opens a connection and greets; the directory knows the edge.
    fn greet(&mut self, connection: ConnectionId, hello: &Hello) -> &[Output] {
        self.open(connection);
        let frame = self.signed(connection, hello);
        self.frame(connection, frame);
        self.found(connection)
    }

    fn found(&mut self, connection: ConnectionId) -> &[Output] {
        self.input(Input::Found { connection, edge: Some(registered()) })
    }

    fn deadline_in(&mut self, ms: u64) -> &[Output] {
        self.now = Now { time: Time(self.now.time.0 + ms * 1_000_000), ..self.now };
        self.input(Input::Deadline)
    }
}

fn welcomed(outputs: &[Output], on: ConnectionId) -> bool {
    outputs
        .iter()
        .any(|o| matches!(o, Output::Send { connection, frame: HubFrame::Welcome(..) } if *connection == on))
}

fn closed(outputs: &[Output], on: ConnectionId) -> Option<RefusedCode> {
    outputs.iter().find_map(|o| match o {
        Output::Close { connection, code } if *connection == on => Some(*code),
        _ => None,
    })
}

fn ingests(outputs: &[Output]) -> Vec<&Ingest> {
    outputs
        .iter()
        .filter_map(|o| match o {
            Output::Ingest(ingest) => Some(&**ingest),
            _ => None,
        })
        .collect()
}

fn synced(outputs: &[Output]) -> Vec<u64> {
    outputs
        .iter()
        .filter_map(|o| match o {
            Output::Send { frame: HubFrame::Synced { through, .. }, .. } => Some(through.0),
            _ => None,
        })
        .collect()
}

fn route() -> Route {
    Route {
        room: RoomId(Uuid::from_bytes([2; 16])),
        channel: "a".parse().unwrap(),
        client: ClientId(Uuid::from_bytes([3; 16])),
    }
}

fn entries(n: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for i in 0..n {
        Publication::new(ContentType::Octets, &i.to_le_bytes()).write_frame(
            &mut out,
            RouteNumber(0),
            Stamp::default(),
        );
    }
    out
}

/// A batch of entries of one route, defined in it.
fn batch(epoch: u64, first: u64, n: u32) -> Batch {
    let mut items = ItemsWriter::default();
    items.entries(n, &entries(n));
    Batch {
        epoch: Epoch(epoch),
        first: Seq(first),
        last_added: Seq(first + u64::from(n) - 1),
        definitions: Definitions { routes: vec![(RouteNumber(0), route())], ..Definitions::default() },
        items: items.finish(),
    }
}
