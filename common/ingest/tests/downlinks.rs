//! To which edges anything goes down.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use riser_gate::{AccountConfig, ClientConfig, Directory, Role, RoomConfig, key::KeyText};
use riser_ingest::{Downlinks, downlinks::opened};
use riser_link::Key;
use riser_model::{AccountId, ClientId, CursorKey, CursorValue, Epoch, EpochSpan, History, LogId, Now, Seq};
use uuid::Uuid;

fn client(number: u8) -> ClientId {
    ClientId(Uuid::from_bytes([number; 16]))
}

/// An account with a room that goes down and one that does not, and an edge of each role.
fn directory(down: bool) -> Directory {
    let mut config = AccountConfig::new("house".parse().unwrap(), AccountId(Uuid::from_bytes([9; 16])));
    let room =
        |name: &str, down| RoomConfig { down, ..RoomConfig::new(name.parse().unwrap(), History::None) };
    config.room = vec![room("orders", down), room("hall", false)];
    for (number, role) in [(1, Role::Member), (2, Role::Writer), (3, Role::Reader)] {
        let name = format!("edge-{number}").parse().unwrap();
        config.client.push(ClientConfig {
            id: Some(client(number)),
            key: Some(KeyText(Key::from_secret(&[number; 32]).public())),
            role: Some(role),
            ..ClientConfig::new(name)
        });
    }
    Directory::compile(&[config]).unwrap()
}

fn log(cursors: &[(CursorKey, CursorValue)]) -> riser_link::sender::Opened {
    let span = |epoch, first, last| EpochSpan { epoch: Epoch(epoch), first: Seq(first), last: Seq(last) };
    opened(LogId(1), &[span(1, 1, 50), span(2, 51, 50)], cursors, Vec::new())
}

fn edges(downlinks: &Downlinks) -> Vec<(ClientId, Seq)> {
    downlinks.statuses(Now::default()).map(|(edge, status)| (edge, status.last_synced)).collect()
}

#[test]
fn rooms_go_down_to_edges_that_may_read_them_from_where_each_was() {
    let saved = CursorValue { through: Seq(20), gapped: 20, ..CursorValue::default() };
    let opened = log(&[(CursorKey::Downlink(client(3)), saved)]);
    let downlinks = Downlinks::new(&directory(true), &opened, Now::default());
    assert_eq!(
        edges(&downlinks),
        [(client(1), Seq(50)), (client(3), Seq(20))],
        "a new one begins at the end"
    );
}

#[test]
fn a_cursor_that_nobody_has_any_more_holds_nothing() {
    let value = CursorValue { through: Seq(20), ..CursorValue::default() };
    let keys = [1, 2, 7].map(|number| CursorKey::Downlink(client(number)));
    let opened = log(&keys.map(|key| (key, value)));
    let downlinks = Downlinks::new(&directory(true), &opened, Now::default());
    assert_eq!(downlinks.orphans(&opened), keys[1..]);
    let none = Downlinks::new(&directory(false), &opened, Now::default());
    assert!(edges(&none).is_empty());
    assert_eq!(none.orphans(&opened), keys);
}
