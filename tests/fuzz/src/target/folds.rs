//! What an instance folds from its log, and the checkpoint of it: a fold that was saved and loaded goes on as one that was not,
//! whatever the entries are; and whatever a checkpoint says, it is refused, or read and written as it was, and goes on.
//!
//! Input: where the checkpoint is taken (of 255 parts), or 255 for a checkpoint itself; then entries back to back, or its
//! bytes.

use crate::outcome;
use riser_instance::LogFold;
use riser_log::Fold;
use riser_model::{
    AccountId, AccountName, BootId, ClientId, ConnectionId, Epoch, LogId, Position, RoomId, Route,
    RouteNumber, Seq, Stamp, Wall,
    event::{Destination, PublishedAs, Scope, SystemEvent},
    time::Anchor,
};
use riser_mqtt::{Record, SessionKey};
use riser_wire::{
    cloud_event::{About, payload},
    departed::Departed,
    entry::{
        Body, ContentType, Frame, Kind, Origin, PacketId, Publication, PublishId, Publisher, frames,
        write_frame,
    },
    membership::Membership,
    passed::Passed,
    roll::{Named, Roll},
    settlement::{By, Outcome, Settlement},
};
use uuid::Uuid;

const ROOM: RoomId = RoomId(Uuid::from_u128(1));
const CLIENT: ClientId = ClientId(Uuid::from_u128(2));
const CHECKPOINT: u8 = 255;

pub fn run(input: &[u8]) {
    let [how, bytes @ ..] = input else { return };
    if *how == CHECKPOINT {
        let Some(mut fold) = LogFold::load(bytes) else { return outcome::note("refused") };
        outcome::note("taken");
        same(&fold);
        go_on(&mut fold, 1 << 40, &good());
        same(&fold);
        return;
    }
    let count = frames(bytes).map_while(Result::ok).count();
    let saved_at = count * usize::from(*how) / 254;
    let mut fold = LogFold::default();
    let mut other = None;
    for (n, frame) in frames(bytes).map_while(Result::ok).enumerate() {
        if n == saved_at {
            other = Some(same(&fold));
        }
        let seq = Seq(n as u64 + 1);
        apply(&mut fold, seq, &frame);
        if let Some(other) = &mut other {
            apply(other, seq, &frame);
        }
    }
    let saved = same(&fold).save();
    assert_eq!(
        other.map_or(saved.clone(), |other| other.save()),
        saved,
        "it goes on as if nothing had been saved"
    );
}

/// What is saved is loaded, and the same.
fn same(fold: &LogFold) -> LogFold {
    let saved = fold.save();
    let loaded = LogFold::load(&saved).expect("what it saved it loads");
    assert!(loaded.save() == saved, "a checkpoint is read as it was written");
    loaded
}

fn go_on(fold: &mut LogFold, from: u64, entries: &[u8]) {
    for (n, frame) in (from..).zip(frames(entries).map_while(Result::ok)) {
        apply(fold, Seq(n), &frame);
    }
}

fn apply(fold: &mut LogFold, seq: Seq, frame: &Frame<'_>) {
    if let Ok(body) = Body::read(frame.body) {
        outcome::note((body.kind.number(), frame.origin.is_some()));
    }
    fold.apply(seq, frame, route(frame.route).as_ref());
}

/// What a log knows a number as: a device's, an edge's word on who is there, what the system says.
fn route(number: RouteNumber) -> Option<Route> {
    let (room, channel, client) = match number.0 {
        0 => (ROOM, "a/b", CLIENT),
        1 => (ROOM, "members", ClientId::SYSTEM),
        2 => (Scope::Room(ROOM).room(), "delivered", ClientId::SYSTEM),
        3 => (ROOM, "a/b", ClientId(Uuid::from_u128(9))),
        _ => return None,
    };
    Some(Route { room, channel: channel.parse().expect("letters are a channel"), client })
}

/// One entry of every kind that is folded.
fn good() -> Vec<u8> {
    let stamp = Stamp { boot_us: 1, wall: Wall(5), uncertainty_ms: 3 };
    let mut out = Vec::new();
    let position = |seq: u64| Position { log: LogId(1), epoch: Epoch(1), seq: Seq(seq) };
    let name = || "kim".parse::<AccountName>().expect("letters are a name");
    let key = SessionKey { account: AccountId(Uuid::from_u128(5)), client: CLIENT, id: "pump".to_owned() };
    let filter = || "hall/#".to_owned();
    let records = [
        Record::Opened { number: 1, key: key.clone(), expiry_s: 60 },
        Record::Subscribed {
            number: 1,
            filter: filter(),
            options: 1,
            identifier: 0,
            through: Some(position(1)),
        },
        Record::Confirmed { number: 1, through: vec![(filter(), position(2))] },
        Record::HandedOver { number: 1, sent: vec![(7, filter(), position(3))], released: vec![] },
        Record::Released { number: 1, ids: vec![7] },
        Record::Left { number: 1, at: Wall(9), expiry_s: 60 },
        Record::Unsubscribed { number: 1, filter: filter() },
        Record::Unwilled { key },
        Record::Ended { number: 1 },
    ];
    records.iter().for_each(|record| record.write_frame(&mut out, RouteNumber::NONE, stamp));
    let publication = Publication {
        retain: true,
        qos: 2,
        publish_id: Some(PublishId { producer: 3, n: 4 }),
        packet_id: Some(PacketId { session: 1, id: 6 }),
        publisher: Some(Publisher(7)),
        session: Some(ConnectionId(8)),
        ..Publication::new(ContentType::Text, b"21.5")
    };
    publication.write_frame(&mut out, RouteNumber(0), stamp);
    let anchor = Anchor { boot: BootId(6), boot_us: 1, hub: Some(Wall(1)), error_ms: 2 };
    let rest = postcard::to_stdvec(&anchor).expect("plain values serialize into memory");
    write_frame(&mut out, RouteNumber::NONE, Kind::Anchor, 0, stamp, |out| out.extend(rest));
    let settlement = Settlement {
        entry: position(3),
        outcome: Outcome::Released(Destination {
            room: "hall".parse().expect("letters are a name"),
            channel: "a/b".parse().expect("letters are a channel"),
        }),
        by: Some(By { name: name(), reason: "the room was made".to_owned() }),
    };
    write_frame(&mut out, RouteNumber::NONE, Kind::Settled, 0, stamp, |out| settlement.write(out));
    let member = |connection, cause: &str| Membership {
        log: LogId(4),
        epoch: Epoch(1),
        room: ROOM,
        connection,
        client: CLIENT,
        name: name(),
        cause: cause.to_owned(),
    };
    for (kind, one) in [
        (Kind::Opened, member(ConnectionId(8), "")),
        (Kind::Closed, member(ConnectionId(0), "anew")),
        (Kind::Opened, member(ConnectionId(9), "")),
        (Kind::Closed, member(ConnectionId(0), "all")),
        (Kind::Closed, member(ConnectionId(9), "normal")),
    ] {
        write_frame(&mut out, RouteNumber(1), kind, 0, stamp, |out| one.write(out));
    }
    let named = Named { connection: ConnectionId(8), client: CLIENT, name: name(), since: Wall(5) };
    let roll = Roll {
        log: LogId(4),
        epoch: Epoch(1),
        room: ROOM,
        from: ConnectionId(0),
        to: ConnectionId(u64::MAX),
        present: vec![named],
        cause: "unsaid".to_owned(),
    };
    write_frame(&mut out, RouteNumber(1), Kind::Roll, 0, stamp, |out| roll.write(out));
    let publish_id = PublishedAs { producer: 3, n: 4 };
    let event = SystemEvent::Delivered { entry: position(10), client: CLIENT, publish_id, to: name() };
    let about = About {
        log: LogId(1),
        id: (Epoch(1), 1),
        scope: Scope::Room(ROOM),
        name: Some("hall"),
        wall: Wall(5),
        count: 1,
    };
    let said = payload(about, &event);
    Publication::new(ContentType::Json, &said).write_frame(&mut out, RouteNumber(2), stamp);
    Passed { from: Seq(3), first: Seq(1), cause: None }.write(stamp, &mut out);
    Departed { log: LogId(4), cause: "removed".to_owned() }.write_frame(&mut out, stamp);
    out
}

/// The same, as they come from a log below.
fn relayed() -> Vec<u8> {
    let mut out = Vec::new();
    for (n, frame) in (1..).zip(frames(&good()).map_while(Result::ok)) {
        let origin = Some(Origin { number: 3, seq: Seq(n), wall: Wall(1), uncertain: false });
        Frame { origin, ..frame }.write(&mut out);
    }
    out
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (here, below) = (good(), relayed());
    let both = [below.clone(), here.clone()].concat();
    let mut fold = LogFold::default();
    // Up to where a session, a connection and an outcome are open.
    let open = frames(&here).map_while(Result::ok).take(5).map(|frame| frame.size()).sum::<usize>();
    go_on(&mut fold, 1, here.get(..open).unwrap_or_default());
    go_on(&mut fold, 20, &below);
    vec![
        [&[0][..], &here].concat(),
        [&[100][..], &both].concat(),
        [&[200][..], &below].concat(),
        [&[CHECKPOINT][..], &fold.save()].concat(),
        [&[CHECKPOINT][..], &LogFold::default().save()].concat(),
    ]
}
