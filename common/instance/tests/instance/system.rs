//! `$SYS`: to who administers the account, and to nobody else.

use crate::world::*;
use riser_model::{
    ConnectionId, SubscriptionId,
    door::{Ask, Code, Flow, From, Keep, SessionRequest, Showing, Tell, Want},
    tally::Tallied,
};
use std::collections::BTreeSet;

fn listen(world: &mut World, id: ConnectionId, keep: Option<Keep>) {
    let (subscription, want) = (SubscriptionId(7), Want::System("$SYS/#".to_owned()));
    let (from, flow) = (From::Live, Flow::Credit);
    world.ask(id, Ask::Subscribe { subscription, want, from, flow, keep, retained: Showing::All });
}

fn value(tells: &[Tell], topic: &str) -> Option<String> {
    let newest = tells.iter().rev().find_map(|tell| match tell {
        Tell::System { values } => Some(values.clone()),
        _ => None,
    })?;
    let found = newest.iter().find(|(of, _)| of.strip_prefix("$SYS/broker/") == Some(topic));
    found.map(|(_, value)| value.clone())
}

fn settle(world: &mut World) {
    while !world.waiting.is_empty() {
        world.commit();
    }
}

#[test]
fn who_administers_the_account_is_told_at_once_and_every_ten_seconds() {
    let mut world = World::new();
    world.enter(C1, Some(SessionRequest { id: "sensor".to_owned(), ..session() }), None);
    settle(&mut world);
    let entered = world.told(C1).into_iter().find_map(|tell| match tell {
        Tell::Entered { session, .. } => Some(session.tally),
        _ => None,
    });
    world.enter_with(
        C2,
        "boss",
        Some(SessionRequest { id: "board".to_owned(), expiry_s: 0, ..session() }),
        None,
    );
    settle(&mut world);
    listen(&mut world, C2, None);
    let told = world.told(C2);
    assert_eq!(value(&told, "clients/connected").as_deref(), Some("2"));
    assert_eq!(value(&told, "messages/received").as_deref(), Some("0"));
    entered.unwrap().add(&Tallied { packets_received: 60, ..Tallied::default() });
    world.wait(11);
    let told = world.told(C2);
    assert_eq!(value(&told, "messages/received").as_deref(), Some("60"));
    assert!(value(&told, "uptime").is_some_and(|uptime| uptime.ends_with(" seconds")));
    let load: f64 = value(&told, "load/messages/received/1min").unwrap().parse().unwrap();
    assert!(load > 10.0, "{load}");
    world.input(riser_instance::Input::Closed { connection: C1 });
    settle(&mut world);
    world.wait(11);
    let told = world.told(C2);
    assert_eq!(value(&told, "clients/connected").as_deref(), Some("1"));
    assert_eq!(value(&told, "clients/disconnected").as_deref(), Some("1"), "its session is kept");
    assert_eq!(value(&told, "clients/maximum").as_deref(), Some("2"));
    world.ask(C2, Ask::Unsubscribe { subscription: SubscriptionId(7) });
    assert_eq!(world.told(C2), [Tell::Unsubscribed { subscription: SubscriptionId(7) }]);
    world.wait(11);
    assert_eq!(world.told(C2), []);
}

#[test]
fn who_does_not_administer_the_account_is_told_nothing() {
    let mut world = World::new();
    world.enter(C1, Some(session()), None);
    settle(&mut world);
    world.told(C1);
    for keep in [None, Some(Keep { options: 0, identifier: 0 })] {
        listen(&mut world, C1, keep);
        settle(&mut world);
        let told = world.told(C1);
        let denied = |tell: &Tell| matches!(tell, Tell::Subscribed { result: Err(why), .. } if why.code == Code::Denied);
        assert!(matches!(&told[..], [one] if denied(one)), "{told:?}");
        world.wait(11);
        assert_eq!(world.told(C1), []);
    }
}

#[test]
fn a_kept_session_holds_it_and_is_told_when_it_comes_back() {
    let mut world = World::new();
    let asked = || Some(SessionRequest { id: "board".to_owned(), ..session() });
    world.enter_with(C1, "boss", asked(), None);
    settle(&mut world);
    listen(&mut world, C1, Some(Keep { options: 1, identifier: 0 }));
    settle(&mut world);
    world.restart();
    settle(&mut world);
    world.enter_with(C2, "boss", asked(), None);
    settle(&mut world);
    let held = world.told(C2).into_iter().find_map(|tell| match tell {
        Tell::Entered { session, .. } => Some(session.subscriptions),
        _ => None,
    });
    let held = held.expect("it enters");
    assert_eq!((held.len(), held[0].filter.as_str(), held[0].through), (1, "$SYS/#", None));
}

/// The topics that the table of `$SYS` says are here, below `$SYS/broker/`.
fn in_the_table() -> BTreeSet<String> {
    let page = include_str!("../../../mqtt/CONFORMANCE.md");
    let table = page.split("## `$SYS`").nth(1).expect("the page has that part");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let here = rows.filter(|(_, here)| here.starts_with("yes"));
    let names = here.flat_map(|(names, _)| names.trim_end_matches('`').split("` `"));
    let each = names.flat_map(|name| match name.strip_suffix('+') {
        Some(stem) => ["1min", "5min", "15min"].map(|over| format!("{stem}{over}")).to_vec(),
        None => vec![name.to_owned()],
    });
    each.collect()
}

#[test]
fn what_is_said_is_what_the_table_says() {
    let mut world = World::new();
    world.enter_with(C1, "boss", Some(session()), None);
    settle(&mut world);
    listen(&mut world, C1, None);
    let said = world.told(C1).into_iter().find_map(|tell| match tell {
        Tell::System { values } => Some(values),
        _ => None,
    });
    let said = said.expect("it is told");
    let names = said.iter().map(|(name, _)| name.strip_prefix("$SYS/broker/").unwrap().to_owned());
    assert_eq!(names.collect::<BTreeSet<_>>(), in_the_table());
}
