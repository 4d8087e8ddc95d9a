//! What an edge may put where.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use riser_gate::{
    AccountConfig, ClientConfig, Directory, GrantConfig, QUARANTINE, Role, RoomConfig,
    config::{Rights, Whom},
};
use riser_ingest::placing::{Place, Reason, Table};
use riser_model::{
    AccountId, ClientId, ConnectionId, Epoch, History, LogId, Position, Right, RoomId, Route, RouteNumber,
    Run, Seq, Stamp, Wall,
    event::{PublishedAs, Scope, SystemEvent},
};
use riser_wire::{
    cloud_event::{About, payload},
    entry::{ContentType, Kind, Publication, frames, write_frame},
    link::{Definitions, Item},
    membership::Membership,
    roll::Roll,
};
use std::collections::BTreeSet;
use uuid::Uuid;

const GATEWAY: ClientId = ClientId(Uuid::from_u128(7));

fn account(n: u128) -> AccountId {
    AccountId(Uuid::from_u128(n))
}

/// Two tenants with a room each; the first has an edge that may do everything there.
fn directory() -> Directory {
    let tenant = |name: &str, n: u128, room: &str| {
        let mut config = AccountConfig::new(name.parse().unwrap(), account(n));
        config.room = vec![RoomConfig::new(room.parse().unwrap(), History::Log)];
        config
    };
    let mut first = tenant("first", 1, "hall");
    // It may do everything but publish in one.
    let mut cellar = RoomConfig::new("cellar".parse().unwrap(), History::Log);
    cellar.grant = vec![GrantConfig {
        to: Whom::Named("gateway".parse().unwrap()),
        right: Rights(vec![Right::Publish]),
        channels: "#".parse().unwrap(),
        deny: true,
    }];
    first.room.push(cellar);
    let gateway = ClientConfig::new("gateway".parse().unwrap());
    first.client = vec![ClientConfig { id: Some(GATEWAY), role: Some(Role::Owner), ..gateway }];
    Directory::compile(&[first, tenant("second", 2, "vault")]).unwrap()
}

fn placed_in(room: RoomId) -> Result<(), Reason> {
    let mut bytes = Vec::new();
    let publication = Publication::new(ContentType::Text, b"x");
    publication.write_frame(&mut bytes, RouteNumber(1), Stamp::default());
    placed(room, &bytes)
}

fn place(may_call: &dyn Fn(LogId) -> bool) -> Place<'_> {
    Place { from: (LogId(1), Epoch(1)), account: account(1), edge: GATEWAY, may_call }
}

/// Whether the edge's frame, which names the room by 1, is placed there.
fn placed(room: RoomId, bytes: &[u8]) -> Result<(), Reason> {
    let mut table = Table::default();
    let route = Route { room, channel: "a/b".parse().unwrap(), client: GATEWAY };
    let definitions =
        Definitions { forget: false, routes: vec![(RouteNumber(1), route)], origins: Vec::new() };
    table.define(definitions, GATEWAY, &directory());
    let frame = frames(bytes).next().unwrap().unwrap();
    table.route(&frame).map(|_| ())
}

#[test]
fn edge_places_in_declared_rooms_of_its_own_account_only() {
    assert_eq!(placed_in(RoomId::of(account(1), "hall")), Ok(()));
    assert_eq!(placed_in(RoomId::of(account(1), "attic")), Err(Reason::Denied), "not declared at the hub");
    assert_eq!(placed_in(RoomId::of(account(2), "vault")), Err(Reason::Denied), "another tenant's");
    assert_eq!(placed_in(RoomId::of(account(1), QUARANTINE)), Ok(()), "what it could not place itself");
    assert_eq!(
        placed_in(RoomId::of(account(2), QUARANTINE)),
        Err(Reason::Denied),
        "another tenant's quarantine"
    );
}

/// A hub that is older than its edge stores what it does not understand, for those who do.
#[test]
fn entry_of_a_kind_that_only_newer_edges_know_is_placed_like_a_publication() {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, RouteNumber(1), Kind::Other(200), 0, Stamp::default(), |out| out.push(1));
    assert_eq!(placed(RoomId::of(account(1), "hall"), &bytes), Ok(()));
    assert_eq!(placed(RoomId::of(account(2), "vault"), &bytes), Err(Reason::Denied), "under the same rights");
}

#[test]
fn an_entry_of_another_accounts_log_goes_to_quarantine_with_its_reason_and_the_others_to_their_room() {
    let mut table = Table::default();
    let room = RoomId::of(account(1), "hall");
    let route = Route { room, channel: "a/b".parse().unwrap(), client: GATEWAY };
    let routes = vec![(RouteNumber(1), route)];
    table.define(Definitions { routes, ..Definitions::default() }, GATEWAY, &directory());
    let mut bytes = Vec::new();
    for payload in [b"1", b"2"] {
        let publication = Publication::new(ContentType::Text, payload);
        publication.write_frame(&mut bytes, RouteNumber(1), Stamp::default());
    }
    let items = vec![Item::Entries { first: Seq(5), count: 2, frames: bytes.into() }];
    let foreign = BTreeSet::from([Seq(6)]);
    let placed = table.place((items, &foreign), place(&|_| false));
    assert_eq!(placed.quarantined, [(Seq(6), Reason::Foreign)]);
    let (seq, route) = &placed.elsewhere[0];
    assert_eq!((*seq, route.room), (Seq(6), RoomId::of(account(1), QUARANTINE)));
    assert_eq!(route.channel.as_str(), format!("foreign/{room}/a/b"));
    assert_eq!(placed.routes.len(), 1, "what is its own stays where it was meant to go");
}

/// Whether somebody comes or goes by what an edge says of a log in a room, and what people are told of it.
fn believed(kind: Kind, said: (LogId, RoomId), lies_in: RoomId) -> (bool, Vec<Reason>) {
    let (log, room) = said;
    let mut table = Table::default();
    let route = Route { room: lies_in, channel: "members".parse().unwrap(), client: ClientId::SYSTEM };
    let routes = vec![(RouteNumber(1), route)];
    table.define(Definitions { routes, ..Definitions::default() }, GATEWAY, &directory());
    let (epoch, connection) = (Epoch(1), ConnectionId(3));
    let name = "ann".parse().unwrap();
    let one = Membership { log, epoch, room, connection, client: GATEWAY, name, cause: String::new() };
    let (from, to) = (ConnectionId(0), ConnectionId(9));
    let all = Roll { log, epoch, room, from, to, present: Vec::new(), cause: "cut".into() };
    let mut bytes = Vec::new();
    write_frame(&mut bytes, RouteNumber(1), kind, 0, Stamp::default(), |out| match kind {
        Kind::Roll => all.write(out),
        _ => one.write(out),
    });
    let items = vec![Item::Entries { first: Seq(5), count: 1, frames: bytes.into() }];
    let placed = table.place((items, &BTreeSet::new()), place(&|log| log == LogId(2)));
    assert!(placed.says_who);
    let [Run::Entries { entries, .. }] = &placed.runs[..] else { panic!("{:?}", placed.runs) };
    let frame = frames(entries).next().unwrap().unwrap();
    (frame.route != RouteNumber::NONE, placed.quarantined.into_iter().map(|(_, why)| why).collect())
}

#[test]
fn an_edge_is_believed_who_is_behind_its_own_log_and_behind_those_that_came_by_it_and_no_others() {
    let (hall, attic) = (RoomId::of(account(1), "hall"), RoomId::of(account(1), "attic"));
    for kind in [Kind::Opened, Kind::Closed] {
        assert_eq!(believed(kind, (LogId(1), hall), hall), (true, vec![]));
        assert_eq!(believed(kind, (LogId(2), hall), hall), (false, vec![Reason::Kind]), "another log");
        assert_eq!(believed(kind, (LogId(1), attic), hall), (false, vec![Reason::Kind]), "another room");
        // A room may be made here later: who is there is known then.
        assert_eq!(believed(kind, (LogId(1), attic), attic), (true, vec![Reason::Denied]));
    }
    assert_eq!(believed(Kind::Roll, (LogId(2), hall), hall), (true, vec![]));
    assert_eq!(believed(Kind::Roll, (LogId(3), hall), hall), (false, vec![]), "it came another way since");
    assert_eq!(believed(Kind::Roll, (LogId(2), attic), hall), (false, vec![]), "another room");
}

#[test]
fn nobody_comes_or_goes_in_a_room_where_the_edge_may_not_publish() {
    let cellar = RoomId::of(account(1), "cellar");
    assert_eq!(believed(Kind::Opened, (LogId(1), cellar), cellar), (false, vec![Reason::Denied]));
    assert_eq!(believed(Kind::Roll, (LogId(2), cellar), cellar), (false, vec![]));
}

#[test]
fn nobody_comes_or_goes_in_another_accounts_room_by_what_an_edge_says() {
    for other in [RoomId::of(account(2), "vault"), RoomId::of(account(2), QUARANTINE)] {
        assert_eq!(believed(Kind::Opened, (LogId(1), other), other), (false, vec![Reason::Denied]));
        assert_eq!(believed(Kind::Roll, (LogId(2), other), other), (false, vec![]));
    }
}

/// Whether an edge, whose log is 1, is believed there what became of an entry of that log.
fn hears(room: RoomId, of: LogId) -> Vec<Reason> {
    let scope = Scope::Room(room);
    let entry = Position { log: of, epoch: Epoch(1), seq: Seq(2) };
    let publish_id = PublishedAs { producer: 9, n: 1 };
    let to = "lamp".parse().unwrap();
    let event = SystemEvent::Delivered { entry, client: GATEWAY, publish_id, to };
    let about =
        About { log: LogId(1), id: (Epoch(1), 1), scope, name: Some("hall"), wall: Wall(0), count: 1 };
    let said = payload(about, &event);
    let mut bytes = Vec::new();
    let publication = Publication::new(ContentType::Json, &said);
    publication.write_frame(&mut bytes, RouteNumber(1), Stamp::default());
    let mut table = Table::default();
    let route = Route { room: scope.room(), channel: "delivered".parse().unwrap(), client: ClientId::SYSTEM };
    let routes = vec![(RouteNumber(1), route)];
    table.define(Definitions { routes, ..Definitions::default() }, GATEWAY, &directory());
    let items = vec![Item::Entries { first: Seq(5), count: 1, frames: bytes.into() }];
    let placed = table.place((items, &BTreeSet::new()), place(&|_| false));
    placed.quarantined.into_iter().map(|(_, why)| why).collect()
}

/// The hall goes down to nobody: what an edge tells there is of what somebody at it addressed to one client.
#[test]
fn an_edge_is_believed_what_became_of_its_own_where_nothing_goes_down_to_it_and_of_no_others() {
    let hall = RoomId::of(account(1), "hall");
    assert_eq!(hears(hall, LogId(1)), []);
    assert_eq!(hears(hall, LogId(2)), [Reason::Kind], "nothing of another log came to it");
    assert_eq!(
        hears(RoomId::of(account(1), "cellar"), LogId(1)),
        [Reason::Denied],
        "it may not publish there"
    );
    assert_eq!(hears(RoomId::of(account(2), "vault"), LogId(1)), [Reason::Denied], "another tenant's");
}
