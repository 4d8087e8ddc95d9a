//! The sessions as a checkpoint holds them. Every version that was ever written stays readable.

use super::{Delivered, Held, OpenIds, SESSIONS_MAX, Session, Sessions, Shares, Wills};
use crate::record::SessionKey;
use riser_model::{Position, Wall};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const VERSION: u8 = 5;
/// Without what the wall clock was stepped.
const UNSTEPPED: u8 = 4;
/// Without what is left of what channels retain.
const UNSHOWN: u8 = 3;
/// Without shared subscriptions.
const UNSHARED: u8 = 2;
/// Without wills and deliveries too.
const UNWILLED: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Saved {
    next: u64,
    sessions: BTreeMap<u64, Session>,
    unreadable: u64,
    wills: Wills,
    shares: Shares,
    ahead_ms: i64,
    seen: Option<Wall>,
}

#[derive(Deserialize)]
struct Unstepped {
    next: u64,
    sessions: BTreeMap<u64, Session>,
    unreadable: u64,
    wills: Wills,
    shares: Shares,
}

impl From<Unstepped> for Saved {
    fn from(former: Unstepped) -> Self {
        let Unstepped { next, sessions, unreadable, wills, shares } = former;
        Self { next, sessions, unreadable, wills, shares, ahead_ms: 0, seen: None }
    }
}

#[derive(Deserialize)]
struct Unshown {
    next: u64,
    sessions: BTreeMap<u64, UnshownSession>,
    unreadable: u64,
    wills: Wills,
    shares: Shares,
}

#[derive(Deserialize)]
struct UnshownSession {
    key: SessionKey,
    expiry_s: u32,
    left: Option<Wall>,
    open_ids: BTreeSet<u16>,
    held: Vec<UnshownHeld>,
    deliveries: BTreeMap<u16, Delivered>,
    last_id: u16,
}

#[derive(Deserialize)]
struct UnshownHeld {
    filter: String,
    options: u8,
    identifier: u32,
    through: Option<Position>,
}

#[derive(Deserialize)]
struct Unshared {
    next: u64,
    sessions: BTreeMap<u64, UnsharedSession>,
    unreadable: u64,
    wills: Wills,
}

#[derive(Deserialize)]
struct UnsharedSession {
    key: SessionKey,
    expiry_s: u32,
    left: Option<Wall>,
    open_ids: BTreeSet<u16>,
    held: Vec<UnshownHeld>,
    deliveries: BTreeMap<u16, UnsharedDelivered>,
    last_id: u16,
}

#[derive(Deserialize)]
struct UnsharedDelivered {
    filter: String,
    position: Position,
    released: bool,
}

#[derive(Deserialize)]
struct UnwilledSession {
    key: SessionKey,
    expiry_s: u32,
    left: Option<Wall>,
    open_ids: BTreeSet<u16>,
    held: Vec<UnshownHeld>,
}

impl From<UnshownSession> for Session {
    fn from(former: UnshownSession) -> Self {
        let UnshownSession { key, expiry_s, left, open_ids, held, deliveries, last_id } = former;
        let held = held.into_iter().map(|one| {
            let UnshownHeld { filter, options, identifier, through } = one;
            (filter, Held::new((options, identifier), through))
        });
        Self { key, expiry_s, left, open_ids, held: held.collect(), deliveries, last_id }
    }
}

impl From<UnsharedSession> for Session {
    fn from(former: UnsharedSession) -> Self {
        let UnsharedSession { key, expiry_s, left, open_ids, held, deliveries, last_id } = former;
        let deliveries = deliveries.into_iter().map(|(id, one)| {
            let UnsharedDelivered { filter, position, released } = one;
            (id, Delivered { filter, position, released, over: false, at_least_once: false })
        });
        let deliveries = deliveries.collect();
        UnshownSession { key, expiry_s, left, open_ids, held, deliveries, last_id }.into()
    }
}

impl From<UnwilledSession> for Session {
    fn from(former: UnwilledSession) -> Self {
        let UnwilledSession { key, expiry_s, left, open_ids, held } = former;
        let (deliveries, last_id) = (BTreeMap::new(), 0);
        UnsharedSession { key, expiry_s, left, open_ids, held, deliveries, last_id }.into()
    }
}

fn all<T: Into<Session>>(sessions: BTreeMap<u64, T>) -> BTreeMap<u64, Session> {
    sessions.into_iter().map(|(number, session)| (number, session.into())).collect()
}

impl Saved {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let shares = Shares::default();
        let (saved, rest) = match *version {
            VERSION => postcard::take_from_bytes::<Self>(rest).ok()?,
            UNSTEPPED => {
                let (former, rest) = postcard::take_from_bytes::<Unstepped>(rest).ok()?;
                (former.into(), rest)
            }
            UNSHOWN => {
                let (former, rest) = postcard::take_from_bytes::<Unshown>(rest).ok()?;
                let Unshown { next, sessions, unreadable, wills, shares } = former;
                (Unstepped { next, sessions: all(sessions), unreadable, wills, shares }.into(), rest)
            }
            UNSHARED => {
                let (former, rest) = postcard::take_from_bytes::<Unshared>(rest).ok()?;
                let Unshared { next, sessions, unreadable, wills } = former;
                (Unstepped { next, sessions: all(sessions), unreadable, wills, shares }.into(), rest)
            }
            UNWILLED => {
                let ((next, sessions, unreadable), rest) =
                    postcard::take_from_bytes::<(u64, BTreeMap<u64, UnwilledSession>, u64)>(rest).ok()?;
                let (sessions, wills) = (all(sessions), Wills::default());
                (Unstepped { next, sessions, unreadable, wills, shares }.into(), rest)
            }
            _ => return None,
        };
        rest.is_empty().then_some(saved)
    }
}

impl Sessions {
    /// All of it, for a checkpoint.
    pub fn save(&self) -> Vec<u8> {
        let (sessions, wills, shares) = (self.by_number.clone(), self.wills.clone(), self.shares.clone());
        let (next, unreadable, ahead_ms, seen) = (self.next, self.unreadable, self.ahead_ms, self.seen);
        let saved = Saved { next, sessions, unreadable, wills, shares, ahead_ms, seen };
        let bytes = postcard::to_extend(&saved, vec![VERSION]);
        bytes.expect("plain values serialize into memory")
    }

    /// What [`Sessions::save`] made. None if it is damaged or from a newer version.
    pub fn load(bytes: &[u8]) -> Option<Self> {
        let saved = Saved::read(bytes)?;
        if saved.sessions.len() > 2 * SESSIONS_MAX {
            return None;
        }
        let mut by_client = BTreeMap::<_, BTreeMap<_, _>>::new();
        let (mut once, mut open) = (true, OpenIds::default());
        for (number, Session { key, open_ids, .. }) in &saved.sessions {
            open.add(key, open_ids.len());
            let client = by_client.entry((key.account, key.client)).or_default();
            once &= client.insert(key.id.clone(), *number).is_none();
        }
        let numbered = saved.sessions.last_key_value().is_none_or(|(last, _)| *last < saved.next);
        let sound = once && numbered && saved.next > 0 && saved.shares.is_sound();
        sound.then_some(Self {
            next: saved.next,
            by_number: saved.sessions,
            by_client,
            unreadable: saved.unreadable,
            wills: saved.wills.counted(),
            shares: saved.shares,
            open,
            unfinished: BTreeMap::new(),
            ahead_ms: saved.ahead_ms,
            seen: saved.seen,
        })
    }
}
