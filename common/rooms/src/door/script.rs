//! A scripted bus for the doors' tests: says what a bus would say, and reads what a door wants.

use super::{Place, TicketSeed};
use bytes::Bytes;
use riser_model::{
    AccountId, Cause, ClientId, ConnectionId, Epoch, Gap, LogId, Now, Position, Principal, RoomId, RoomName,
    Route, RouteNumber, Seq, SubscriptionId, Time, Wall,
    door::{
        Ask, Code, Completeness, Content, Credential, Delivery, Door, Input, Output, Push, Refusal,
        Subscribed, Tell,
    },
};
use riser_wire::entry::{self, ContentType, Publication};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Nobody draws tickets from it but tests.
pub(super) const SEED: TicketSeed = TicketSeed([7; 32]);

/// A moment of the script, milliseconds from its beginning.
pub(super) fn at(ms: u64) -> Now {
    Now { time: Time(0).plus(Duration::from_millis(ms)), wall: Wall(1_700_000_000_000) }
}

pub(super) fn place(credential: Credential, anonymous: bool) -> Place {
    Place { account: "acme".parse().unwrap(), room: "plant".parse().unwrap(), credential, anonymous }
}

/// The room of that place.
pub(super) fn plant() -> Option<RoomName> {
    Some("plant".parse().unwrap())
}

pub(super) fn position(seq: u64) -> Position {
    Position { log: LogId(1), epoch: Epoch(2), seq: Seq(seq) }
}

pub(super) fn no(code: Code) -> Refusal {
    Refusal { code, what: "no".into(), want: "yes".into() }
}

/// One input, and everything the door then wants.
pub(super) fn turn(door: &mut impl Door, input: Input, ms: u64) -> Vec<Output> {
    door.handle(input, at(ms));
    std::iter::from_fn(|| door.poll()).collect()
}

pub(super) fn text(door: &mut impl Door, text: &str) -> Vec<Output> {
    turn(door, Input::Text(text.into()), 1)
}

pub(super) fn tell(door: &mut impl Door, tell: Tell) -> Vec<Output> {
    turn(door, Input::Tell(tell), 1)
}

pub(super) fn entered(account: &str) -> Tell {
    let principal = Principal {
        account: AccountId(Uuid::from_u128(7)),
        account_name: account.parse().unwrap(),
        client: ClientId(Uuid::from_u128(8)),
        name: "ann".parse().unwrap(),
        grants: Arc::default(),
        home: None,
    };
    Tell::Entered {
        principal: Arc::new(principal),
        connection: ConnectionId(3),
        session: Default::default(),
        room: None,
    }
}

pub(super) fn subscribed(sub: u32, seq: u64) -> Tell {
    let good = Subscribed {
        completeness: Completeness::Full,
        gaps: vec![],
        at: position(seq),
        floor: None,
        until: None,
    };
    Tell::Subscribed { subscription: SubscriptionId(sub), result: Ok(good) }
}

pub(super) fn subscribed_after_gap(sub: u32, from: u64, to: u64) -> Tell {
    let gap = Gap { from: Seq(from), to: Seq(to), cause: Cause::Retention };
    let good = Subscribed {
        completeness: Completeness::Partial,
        gaps: vec![gap],
        at: position(to),
        floor: None,
        until: None,
    };
    Tell::Subscribed { subscription: SubscriptionId(sub), result: Ok(good) }
}

pub(super) fn not_subscribed(sub: u32, code: Code) -> Tell {
    Tell::Subscribed { subscription: SubscriptionId(sub), result: Err(no(code)) }
}

pub(super) fn stored(ticket: u64, first: u64, refused: Vec<(u32, Refusal)>) -> Tell {
    Tell::Stored { ticket, log: LogId(1), epoch: Epoch(2), first: Seq(first), refused }
}

pub(super) fn deliver(pushes: Vec<Push>) -> Tell {
    Tell::Deliver { pushes, more: false }
}

pub(super) fn through(sub: u32, seq: u64) -> Push {
    Push::Through { subscription: SubscriptionId(sub), pos: position(seq) }
}

pub(super) fn gap(sub: u32, from: u64, to: u64) -> Push {
    let gap = Gap { from: Seq(from), to: Seq(to), cause: Cause::Quota };
    Push::Gap { subscription: SubscriptionId(sub), gap, pos: position(to) }
}

/// A publication at `seq` for a subscription that was at `prev`; at 0 it is Latest.
pub(super) fn publication(
    sub: u32,
    prev: u64,
    seq: u64,
    content_type: ContentType<'_>,
    payload: &[u8],
) -> Push {
    let mut frame = Vec::new();
    Publication::new(content_type, payload).write_frame(&mut frame, RouteNumber(0), at(0).stamp());
    let body = Bytes::from(frame).slice(entry::FRAME_HEADER_BYTES..);
    delivery(sub, prev, seq, body)
}

pub(super) fn delivery(sub: u32, prev: u64, seq: u64, body: Bytes) -> Push {
    let route = Route {
        room: RoomId(Uuid::from_u128(9)),
        channel: "a/b".parse().unwrap(),
        client: ClientId(Uuid::from_u128(8)),
    };
    Push::Publication(Delivery {
        subscription: SubscriptionId(sub),
        pos: (seq > 0).then(|| position(seq)),
        prev: position(prev),
        content: Arc::new(Content {
            route: Arc::new(route),
            room: "plant".parse().unwrap(),
            body,
            wall: Wall(0),
            born_ms: 0,
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

/// A short publication whose payload is its seq.
pub(super) fn msg(sub: u32, prev: u64, seq: u64) -> Push {
    publication(sub, prev, seq, ContentType::Json, seq.to_string().as_bytes())
}

pub(super) fn texts(outputs: &[Output]) -> Vec<serde_json::Value> {
    let json = |text: &str| serde_json::from_str(text).unwrap();
    let all = |output: &Output| match output {
        Output::Text(text) => vec![json(text)],
        Output::Texts(texts) => texts.iter().map(json).collect(),
        Output::Bytes(_) | Output::Ask(_) | Output::Close(_) | Output::Done => Vec::new(),
    };
    outputs.iter().flat_map(all).collect()
}

pub(super) fn asks(outputs: &[Output]) -> Vec<&Ask> {
    fn ask(output: &Output) -> Option<&Ask> {
        match output {
            Output::Ask(ask) => Some(ask),
            Output::Text(_) | Output::Texts(_) | Output::Bytes(_) | Output::Close(_) | Output::Done => None,
        }
    }
    outputs.iter().filter_map(ask).collect()
}

/// The code with which the door closed, with nothing after it.
pub(super) fn closed(outputs: &[Output]) -> Option<Code> {
    match outputs.last() {
        Some(Output::Close(why)) => {
            assert!(!why.what.is_empty() && !why.want.is_empty());
            Some(why.code)
        }
        Some(Output::Text(_) | Output::Texts(_) | Output::Bytes(_) | Output::Ask(_) | Output::Done)
        | None => None,
    }
}

/// An entry of an intake: alias, QoS, content type, payload, producer.
type Entry = (u32, u8, String, Vec<u8>, Option<u64>);

pub(super) fn entries(ask: &Ask) -> Vec<Entry> {
    let Ask::Publish(intake) = ask else { panic!("not a publish: {ask:?}") };
    let read: Vec<_> = entry::frames(&intake.entries)
        .map(|frame| {
            let frame = frame.unwrap();
            assert!(frame.intact());
            let body = entry::Body::read(frame.body).unwrap();
            let publication = Publication::read(&body).unwrap();
            let content_type = publication.content_type.name().to_owned();
            let producer = publication.publish_id.map(|id| id.producer);
            (frame.route.0, publication.qos, content_type, publication.payload.to_vec(), producer)
        })
        .collect();
    assert_eq!(read.len(), intake.count as usize);
    read
}
