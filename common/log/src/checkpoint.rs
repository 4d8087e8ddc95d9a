//! What blocks carry beside entries: what changed, or all of the log's state (rules 6.3 and 6.6).

use crate::gaps::{GapRecord, GapTable};
use riser_model::{CursorKey, CursorValue, Epoch, EpochSpan, LogId, Route, Seq};
use serde::{Deserialize, Serialize};

/// What changed with a block. Empty ones take no bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// Cursors that moved; none for one that is forgotten.
    pub cursors: Vec<(CursorKey, Option<CursorValue>)>,
    /// Routes defined here, or in the block before.
    pub routes: Vec<(u32, Route)>,
    /// Origins defined here, or in the block before.
    pub origins: Vec<(u32, (LogId, Epoch))>,
    /// Gaps that were made, since the block before it.
    pub gaps: Vec<GapRecord>,
    /// What lies before this is trimmed.
    pub floor: Option<Seq>,
}

impl Changes {
    pub fn save(&self) -> Vec<u8> {
        if *self == Self::default() { Vec::new() } else { save(self) }
    }

    pub fn load(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() { Some(Self::default()) } else { postcard::from_bytes(bytes).ok() }
    }
}

/// What was counted since the log was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Entries that were committed.
    pub entries: u64,
    /// Their bytes.
    pub entry_bytes: u64,
    /// Commits.
    pub commits: u64,
}

/// All of a log's state as it is before the entries of the block that carries it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub chain: Vec<EpochSpan>,
    pub floor: Seq,
    pub cursors: Vec<(CursorKey, CursorValue)>,
    /// Number, route, the last seq that uses it.
    pub routes: Vec<(u32, Route, Seq)>,
    pub next_route: u32,
    /// Number, origin, the last seq that uses it.
    pub origins: Vec<(u32, (LogId, Epoch), Seq)>,
    pub next_origin: u32,
    pub gaps: GapTable,
    pub counters: Counters,
    pub fold: Vec<u8>,
}

impl Checkpoint {
    pub fn save(&self) -> Vec<u8> {
        save(self)
    }

    pub fn load(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

fn save(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value)
        .expect("types of plain fields and known lengths, which postcard always encodes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{Cause, ClientId, Gap, RoomId, Wall};
    use uuid::Uuid;

    fn route() -> Route {
        Route {
            room: RoomId(Uuid::from_u128(1)),
            channel: "a/b".parse().unwrap(),
            client: ClientId(Uuid::from_u128(2)),
        }
    }

    fn record() -> GapRecord {
        let gap = Gap { from: Seq(1), to: Seq(2), cause: Cause::Quota };
        GapRecord { gap, when: Wall(-1), bytes: Some(3), rooms: vec![(RoomId(Uuid::from_u128(1)), 2)] }
    }

    const ROUTE: &[u8] = &[
        16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, b'a', b'/', b'b', 16, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 2,
    ];
    const EDGE: &[u8] = &[16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3];
    const RECORD: &[u8] = &[1, 2, 0, 1, 1, 3, 1, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2];

    #[test]
    fn changes_are_golden() {
        let changes = Changes {
            cursors: vec![
                (
                    CursorKey::Ingest(ClientId(Uuid::from_u128(3)), LogId(7), Epoch(8)),
                    Some(CursorValue { through: Seq(9), heard: Seq(10), crc: 11, first: Seq(2), gapped: 3 }),
                ),
                (CursorKey::Downlink(ClientId(Uuid::from_u128(2))), None),
            ],
            routes: vec![(5, route())],
            origins: vec![(6, (LogId(7), Epoch(8)))],
            gaps: vec![record()],
            floor: Some(Seq(3)),
        };
        let mut golden = vec![2, 2];
        golden.extend_from_slice(EDGE);
        golden.extend_from_slice(&[7, 8, 1, 9, 10, 11, 2, 3, 1, 16]);
        golden.extend_from_slice(&[0; 15]);
        golden.extend_from_slice(&[2, 0]);
        golden.extend_from_slice(&[1, 5]);
        golden.extend_from_slice(ROUTE);
        golden.extend_from_slice(&[1, 6, 7, 8, 1]);
        golden.extend_from_slice(RECORD);
        golden.extend_from_slice(&[1, 3]);
        assert_eq!(changes.save(), golden);
        assert_eq!(Changes::load(&golden), Some(changes));
        assert!(Changes::default().save().is_empty());
        assert_eq!(Changes::load(&[]), Some(Changes::default()));
        assert!((1..golden.len()).all(|cut| Changes::load(&golden[..cut]).is_none()));
    }

    #[test]
    fn checkpoint_is_golden() {
        let mut gaps = GapTable::default();
        gaps.insert(record());
        let checkpoint = Checkpoint {
            chain: vec![EpochSpan { epoch: Epoch(8), first: Seq(1), last: Seq(300) }],
            floor: Seq(3),
            cursors: vec![(
                CursorKey::Ingest(ClientId(Uuid::from_u128(3)), LogId(7), Epoch(8)),
                CursorValue::default(),
            )],
            routes: vec![(5, route(), Seq(4))],
            next_route: 6,
            origins: vec![(1, (LogId(7), Epoch(8)), Seq(2))],
            next_origin: 2,
            gaps,
            counters: Counters { entries: 1, entry_bytes: 2, commits: 3 },
            fold: vec![255],
        };
        let mut golden = vec![1, 8, 1, 172, 2, 3, 1, 2];
        golden.extend_from_slice(EDGE);
        golden.extend_from_slice(&[7, 8, 0, 0, 0, 0, 0, 1, 5]);
        golden.extend_from_slice(ROUTE);
        golden.extend_from_slice(&[4, 6, 1, 1, 7, 8, 2, 2, 1]);
        golden.extend_from_slice(RECORD);
        golden.extend_from_slice(&[1, 2, 3, 1, 255]);
        assert_eq!(checkpoint.save(), golden);
        assert_eq!(Checkpoint::load(&golden), Some(checkpoint));
        assert!((0..golden.len()).all(|cut| Checkpoint::load(&golden[..cut]).is_none()));
    }
}
