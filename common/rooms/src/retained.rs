//! Retained publications: for each channel the newest that was published to stay, until one without a payload takes it
//! away (MQTT 5, section 3.3.1.3). A view over the log: whatever is here was committed, and outlives its segment.
//!
//! It owns the table in memory, its bound, and how far it has seen the log. What changes is handed out as
//! [`Changes`] for whoever keeps the table on disk; a table that lags is rolled forward from the log.

use bytes::Bytes;
use riser_model::{ChannelName, ClientId, EpochSpan, LogId, Position, RoomId, Route, Seq, Wall};
use riser_wire::{
    entry::{Body, Frame, Publication},
    property,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    ops::Bound,
    sync::Arc,
};
use uuid::Uuid;

/// Which channel.
pub type RetainedKey = (RoomId, ChannelName);

/// What a channel shows to those who come later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retained {
    /// Who published it.
    pub client: ClientId,
    /// Where it is, or was.
    pub position: Position,
    /// When it was published, by the clock of this instance.
    pub wall: Wall,
    /// The entry's body.
    pub body: Bytes,
}

/// What the table on disk does not have yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// The table has seen everything up to here once it has these.
    pub through: Position,
    /// The newest of each channel, or `None` where there is none any more.
    pub changed: BTreeMap<RetainedKey, Option<Retained>>,
}

/// The table as it lies on disk: rows of bytes, in one transaction with how far it has seen the log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Saved {
    /// [`Changes::through_row`] of the newest transaction; none in a table that was just made.
    pub through: Option<Vec<u8>>,
    /// The rows, by key.
    pub rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A table on disk that cannot be believed: it is moved aside, and made again from what the log still has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("read the table of what channels retain: row {row} is damaged or from a newer version")]
pub struct BadTable {
    /// Which row, from 0; `rows` itself for how far it has seen the log.
    pub row: usize,
}

/// The version of rows that this build writes.
const ROW_VERSION: u8 = 1;

impl Changes {
    /// A row per change, to be put or taken away.
    pub fn rows(&self) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> + '_ {
        self.changed.iter().map(|((room, channel), retained)| {
            let key = [room.0.as_bytes(), channel.as_str().as_bytes()].concat();
            let value = retained.as_ref().map(|retained| {
                row(&(retained.client, retained.position, retained.wall, retained.body.as_ref()))
            });
            (key, value)
        })
    }

    /// How far the table has seen the log with these.
    pub fn through_row(&self) -> Vec<u8> {
        row(&self.through)
    }
}

/// Version, checksum, value.
fn row(value: &impl Serialize) -> Vec<u8> {
    let value = postcard::to_stdvec(value).expect("plain values serialize into memory");
    let mut row = vec![ROW_VERSION];
    row.extend(crc32c::crc32c(&value).to_le_bytes());
    row.extend(value);
    row
}

fn read_row<'a, T: Deserialize<'a>>(row: &'a [u8]) -> Option<T> {
    let (&ROW_VERSION, rest) = row.split_first()? else { return None };
    let (crc, value) = rest.split_first_chunk()?;
    let intact = crc32c::crc32c(value) == u32::from_le_bytes(*crc);
    postcard::from_bytes(value).ok().filter(|_| intact)
}

fn read_key(key: &[u8]) -> Option<RetainedKey> {
    let (room, channel) = key.split_first_chunk()?;
    Some((RoomId(Uuid::from_bytes(*room)), std::str::from_utf8(channel).ok()?.parse().ok()?))
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct RetainedTable {
    by_room: BTreeMap<RoomId, BTreeMap<ChannelName, Held>>,
    count: usize,
    expiring: BTreeSet<(Wall, RetainedKey)>,
    /// The same of those from before the process began.
    expiring_before: BTreeSet<(Wall, RetainedKey)>,
    bytes: usize,
    /// Of each client.
    by_client: BTreeMap<ClientId, usize>,
    changed: BTreeMap<RetainedKey, Option<Retained>>,
    discarded: u64,
}

#[derive(Clone, Debug)]
struct Held {
    route: Arc<Route>,
    expires: Option<Wall>,
    retained: Retained,
}

/// What one costs beside its body and its channel's name.
const PLACE_BYTES: usize = 160;

impl RetainedTable {
    /// As it was saved, and how far it has seen the log.
    pub fn read(saved: &Saved) -> Result<(Self, Option<Position>), BadTable> {
        let mut table = Self::default();
        for (row, (key, value)) in saved.rows.iter().enumerate() {
            let read = read_row(value).and_then(|(client, position, wall, body): (_, _, _, &[u8])| {
                let body = Bytes::copy_from_slice(body);
                Some((read_key(key)?, Retained { client, position, wall, body }))
            });
            let (key, retained) = read.ok_or(BadTable { row })?;
            table.set(key, retained, None);
        }
        let through =
            saved.through.as_ref().map(|row| read_row(row).ok_or(BadTable { row: saved.rows.len() }));
        Ok((table, through.transpose()?))
    }

    /// Fits a saved table to the log as it was opened, and says from which seq on its entries are to be applied. Of
    /// another line of that log (one of the two was restored from an image) only what the log cannot say better is
    /// kept, of another log nothing.
    pub fn align(&mut self, through: Option<Position>, log: LogId, chain: &[EpochSpan], oldest: Seq) -> Seq {
        let Some(through) = through.filter(|through| through.log == log) else {
            let gone: Vec<RetainedKey> = self.iter().map(|(key, _)| key).collect();
            *self = Self::default();
            self.changed.extend(gone.into_iter().map(|key| (key, None)));
            return oldest;
        };
        let here = |span: &EpochSpan| span.epoch == through.epoch && through.seq <= span.last;
        if through.seq < oldest || chain.iter().any(here) {
            return through.seq.next().max(oldest);
        }
        let fits = |retained: &Retained| retained.position.seq < oldest;
        let gone: Vec<RetainedKey> =
            self.iter().filter(|(_, retained)| !fits(retained)).map(|(key, _)| key).collect();
        for key in gone {
            self.remove(&key);
            self.changed.insert(key, None);
        }
        oldest
    }

    /// Takes one committed entry of this log. Beyond `bytes_max` a channel that has none gets none, and that is
    /// counted.
    pub fn apply(&mut self, frame: &Frame<'_>, position: Position, route: &Route, bytes_max: usize) {
        self.keep(frame, (position, None), route, bytes_max);
    }

    /// The same, stamped by a clock to which so many milliseconds are to be added to have the one of [`RetainedTable::expire`];
    /// none before the process began.
    pub(crate) fn keep(
        &mut self,
        frame: &Frame<'_>,
        (position, by_ms): (Position, Option<i64>),
        route: &Route,
        bytes_max: usize,
    ) {
        if !Publication::is_retained(frame.body) {
            return;
        }
        let publication = Body::read(frame.body).and_then(|body| Publication::read(&body));
        let Ok(publication) = publication else { return };
        let key = (route.room, route.channel.clone());
        if publication.payload.is_empty() {
            // Said even where there was none: the table on disk has seen it then, and no start looks for it again.
            self.remove(&key);
            self.changed.insert(key, None);
            return;
        }
        if !self.has_room((key.0, &key.1), route.client, frame.body.len(), bytes_max) {
            // The former value is not the newest any more: better none than a wrong one.
            self.discarded += 1;
            if self.remove(&key) {
                self.changed.insert(key, None);
            }
            return;
        }
        // A copy: a slice would keep the whole batch that it came in.
        let body = Bytes::copy_from_slice(frame.body);
        let retained = Retained { client: route.client, position, wall: frame.wall(), body };
        self.changed.insert(key.clone(), Some(retained.clone()));
        self.set(key, retained, by_ms);
    }

    fn set(&mut self, key: RetainedKey, retained: Retained, by_ms: Option<i64>) {
        self.remove(&key);
        let expires = expires(&retained).map(|at| Wall(at.0.saturating_add(by_ms.unwrap_or_default())));
        let expiring = if by_ms.is_some() { &mut self.expiring } else { &mut self.expiring_before };
        expiring.extend(expires.map(|at| (at, key.clone())));
        self.bytes += size(&key.1, &retained);
        *self.by_client.entry(retained.client).or_default() += size(&key.1, &retained);
        self.count += 1;
        let route = Arc::new(Route { room: key.0, channel: key.1.clone(), client: retained.client });
        self.by_room.entry(key.0).or_default().insert(key.1, Held { route, expires, retained });
    }

    fn remove(&mut self, key: &RetainedKey) -> bool {
        let Entry::Occupied(mut room) = self.by_room.entry(key.0) else { return false };
        let Some(held) = room.get_mut().remove(&key.1) else { return false };
        if room.get().is_empty() {
            room.remove();
        }
        self.count -= 1;
        let size = size(&key.1, &held.retained);
        self.bytes -= size;
        if let Entry::Occupied(mut own) = self.by_client.entry(held.retained.client) {
            *own.get_mut() -= size;
            if *own.get() == 0 {
                own.remove();
            }
        }
        if let Some(at) = held.expires {
            let expiring = (at, key.clone());
            let _ = self.expiring.remove(&expiring) || self.expiring_before.remove(&expiring);
        }
        true
    }

    /// Lets go of what has expired by then, by a clock that is not stepped; of what is from before the process began, by
    /// `latest`.
    pub(crate) fn expire(&mut self, now: Wall, latest: Wall) {
        let is_over = |by: Wall| move |(at, _): &&(Wall, RetainedKey)| *at <= by;
        while let Some((_, key)) = (self.expiring.first().filter(is_over(now)))
            .or_else(|| self.expiring_before.first().filter(is_over(latest)))
            .cloned()
        {
            self.remove(&key);
            self.changed.insert(key, None);
        }
    }

    /// The next one of a room behind `after`, by the channels' names.
    pub(crate) fn next_in(
        &self,
        room: RoomId,
        after: Option<&ChannelName>,
    ) -> Option<(&Arc<Route>, &Retained)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (_, held) = self.by_room.get(&room)?.range::<ChannelName, _>((from, Bound::Unbounded)).next()?;
        Some((&held.route, &held.retained))
    }

    /// The next room in which something is retained; the first one without a former one.
    pub(crate) fn room_after(&self, room: Option<RoomId>) -> Option<RoomId> {
        let from = room.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_room.range((from, Bound::Unbounded)).next().map(|(room, _)| *room)
    }

    /// The one of a channel.
    pub(crate) fn get(&self, room: RoomId, channel: &ChannelName) -> Option<(&Arc<Route>, &Retained)> {
        let held = self.by_room.get(&room)?.get(channel)?;
        Some((&held.route, &held.retained))
    }

    /// What was published there, if its channel still retains it.
    pub(crate) fn published_at(&self, log: LogId, seq: Seq) -> Option<(&Arc<Route>, &Retained)> {
        let held = self.by_room.values().flat_map(BTreeMap::values);
        let mut there =
            held.filter(|held| (held.retained.position.log, held.retained.position.seq) == (log, seq));
        there.next().map(|held| (&held.route, &held.retained))
    }

    /// Whether a channel may be given one of that size by that client, which has three quarters of the room at most.
    pub(crate) fn has_room(
        &self,
        (room, channel): (RoomId, &ChannelName),
        client: ClientId,
        body_bytes: usize,
        bytes_max: usize,
    ) -> bool {
        let former = self.get(room, channel).map(|(_, retained)| (retained.client, size(channel, retained)));
        let freed = former.map_or(0, |(_, size)| size);
        let freed_own = former.filter(|(of, _)| *of == client).map_or(0, |(_, size)| size);
        let new = PLACE_BYTES + channel.as_str().len() + body_bytes;
        let own = self.by_client.get(&client).copied().unwrap_or_default();
        let fits =
            |taken: usize, freed: usize, most: usize| taken.saturating_sub(freed).saturating_add(new) <= most;
        // One participant's credentials never take all the room.
        fits(self.bytes, freed, bytes_max) && fits(own, freed_own, bytes_max - bytes_max / 4)
    }

    /// What changed since the last time.
    pub fn take_changes(&mut self) -> BTreeMap<RetainedKey, Option<Retained>> {
        std::mem::take(&mut self.changed)
    }

    /// Whether something changed since then.
    pub(crate) fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// How many there are in a room.
    pub(crate) fn count_of(&self, room: RoomId) -> usize {
        self.by_room.get(&room).map_or(0, BTreeMap::len)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What they take, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many were not retained because the table was full.
    pub fn discarded(&self) -> u64 {
        self.discarded
    }

    /// All of them, by room and channel.
    pub fn iter(&self) -> impl Iterator<Item = (RetainedKey, &Retained)> {
        self.by_room.iter().flat_map(|(room, channels)| {
            channels.iter().map(|(channel, held)| ((*room, channel.clone()), &held.retained))
        })
    }
}

/// When it is no use any more, if its publisher said so.
pub(crate) fn expires(retained: &Retained) -> Option<Wall> {
    let body = Body::read(&retained.body).ok()?;
    let publication = Publication::read(&body).ok()?;
    property::expiry_s(publication.properties).map(|seconds| retained.wall.plus_s(seconds))
}

fn size(channel: &ChannelName, retained: &Retained) -> usize {
    PLACE_BYTES + channel.as_str().len() + retained.body.len()
}
