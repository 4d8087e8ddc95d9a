//! How long the gates may be that changes make.

use super::*;
use crate::GateConfig;

fn gate(text: &str) -> GateConfig {
    serde_json::from_str(text).unwrap()
}

/// A gate with that many hours in one schedule.
fn of_hours(count: usize) -> GateConfig {
    let hours: Vec<String> =
        (0..count).map(|n| format!("\"mon {:02}:{:02}-24:00\"", n / 60 % 24, n % 60)).collect();
    gate(&format!("[{{\"schedule\":[{}]}}]", hours.join(",")))
}

/// A gate of as many acceptors, all but one of them in its `any`, in an `any` of that.
fn of_any(count: usize) -> GateConfig {
    let knocks = vec!["\"knock\""; count - 2].join(",");
    gate(&format!("[{{\"any\":[{{\"any\":[{knocks}]}}]}}]"))
}

/// A gate with that many networks in one address, in an `any`.
fn of_networks(count: usize) -> GateConfig {
    let networks: Vec<String> = (0..count).map(|n| format!("\"10.{}.{}.0/24\"", n / 256, n % 256)).collect();
    gate(&format!("[{{\"any\":[\"knock\",{{\"address\":[{}]}}]}}]", networks.join(",")))
}

/// A gate with that many pages in one origin.
fn of_pages(count: usize) -> GateConfig {
    let pages: Vec<String> = (0..count).map(|n| format!("\"https://p{n}.example\"")).collect();
    gate(&format!("[\"knock\",{{\"origin\":[{}]}}]", pages.join(",")))
}

#[test]
fn list_in_a_gate_that_is_too_long_is_refused_with_how_long_it_is_and_may_be() {
    let accounts = imported();
    for (gate, what, want) in [
        (of_networks(257), "257 networks in one address", "at most 256"),
        (of_pages(300), "300 pages in one origin", "at most 256"),
        (of_hours(65), "65 hours in one schedule", "at most 64"),
        (of_any(65), "65 acceptors", "at most 64"),
    ] {
        let refused = accounts.apply(within(AccountChange::SetGate(gate))).unwrap_err();
        assert_eq!((refused.what.as_str(), refused.want.as_str()), (what, want));
    }
}

fn set_room(accounts: &Accounts, with: impl Fn(&mut RoomConfig)) -> AccountChange {
    let account = accounts.get(ACME).unwrap();
    let mut room = account.config.room.iter().find(|room| room.id == Some(hall())).cloned().unwrap();
    with(&mut room);
    AccountChange::SetRoom(Box::new(room))
}

#[test]
fn changes_make_no_gate_of_more_hours_networks_pages_or_acceptors_than_a_pass_looks_at_in_no_time() {
    let mut accounts = imported();
    for (most, more) in [
        (of_hours(64), of_hours(65)),
        (of_any(64), of_any(65)),
        (of_networks(256), of_networks(257)),
        (of_pages(256), of_pages(257)),
    ] {
        change(&mut accounts, AccountChange::SetGate(most.clone())).unwrap();
        assert_eq!(change(&mut accounts, AccountChange::SetGate(more.clone())).unwrap_err(), Why::TooMany);
        let with = |gate: &GateConfig| {
            let gate = gate.clone();
            set_room(&accounts, move |room| room.gate = gate.clone())
        };
        let (few, many) = (with(&most), with(&more));
        change(&mut accounts, few).unwrap();
        assert_eq!(change(&mut accounts, many).unwrap_err(), Why::TooMany);
        let den = RoomConfig { gate: more, ..RoomConfig::new("den".parse().unwrap(), History::Log) };
        let make = AccountChange::CreateRoom(Box::new(den));
        assert_eq!(change(&mut accounts, make).unwrap_err(), Why::TooMany);
    }
}

#[test]
fn gate_that_has_more_since_before_there_was_a_bound_stays_and_so_does_what_else_is_said_of_its_room() {
    let accounts = imported();
    let mut account = Account::clone(accounts.get(ACME).unwrap());
    account.config.gate = of_hours(13_000);
    account.config.room.iter_mut().for_each(|room| room.gate = of_hours(13_000));
    let mut accounts = Accounts::of([row::read(&row::write(&account)).unwrap()]);
    accounts.compile().unwrap();
    let other = set_room(&accounts, |room| room.down = true);
    change(&mut accounts, other).unwrap();
    let longer = set_room(&accounts, |room| room.gate = of_hours(12_999));
    assert_eq!(change(&mut accounts, longer).unwrap_err(), Why::TooMany);
    change(&mut accounts, AccountChange::SetGate(of_hours(64))).unwrap();
}
