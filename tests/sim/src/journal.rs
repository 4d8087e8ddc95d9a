//! What each log really holds: written beside it from what was staged and committed, never from what it says.
//!
//! A journal follows its log through crashes (what was durable and not answered is read once, at the opening) and
//! through backups (the journal of that moment comes back with the image). An entry that a commit gave and that is
//! not there after an opening was lost: allowed only where damage or an old backup was injected.

use bytes::Bytes;
use riser_model::{
    ChannelName, ClientId, ConnectionId, CursorKey, CursorMove, CursorValue, Epoch, LogId, RoomId, Route,
    RouteNumber, Run, Seq,
};
use riser_wire::entry::{Body, Frame, Kind, Publication, frames};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

/// A publication's name: who sent it, and its number there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    /// The device.
    pub device: u32,
    /// Its number.
    pub n: u32,
}

impl Key {
    /// The payload begins with the name: `{device}:{n}:`.
    pub fn of(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        let mut parts = text.splitn(3, ':');
        Some(Self { device: parts.next()?.parse().ok()?, n: parts.next()?.parse().ok()? })
    }
}

/// One entry of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logged {
    /// The epoch that gave it.
    pub epoch: Epoch,
    /// Where it was first appended, if that was another log.
    pub origin: Option<(LogId, Epoch, Seq)>,
    /// Its room.
    pub room: Option<RoomId>,
    /// Its channel.
    pub channel: Option<ChannelName>,
    /// Its source.
    pub client: Option<ClientId>,
    /// What it is.
    pub kind: Kind,
    /// The body, and whether its checksum held.
    pub body: Bytes,
    /// See `body`.
    pub intact: bool,
    /// What it says, if it is a publication: everybody who judges asks for it.
    said: Option<Said>,
}

/// What a publication says.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Said {
    payload: Bytes,
    manner: (u8, bool),
    key: Option<Key>,
    session: Option<ConnectionId>,
}

impl Said {
    fn of(bytes: &Bytes) -> Option<Self> {
        let body = Body::read(bytes).ok().filter(|body| body.kind == Kind::Publication)?;
        let publication = Publication::read(&body).ok()?;
        Some(Self {
            payload: bytes.slice_ref(publication.payload),
            manner: (publication.qos, publication.retain),
            key: Key::of(publication.payload),
            session: publication.session,
        })
    }
}

impl Logged {
    /// An entry with that body, as its log numbered it.
    pub fn of(
        (epoch, origin): (Epoch, Option<(LogId, Epoch, Seq)>),
        route: Option<&Route>,
        (body, intact): (Bytes, bool),
    ) -> Self {
        Self {
            epoch,
            origin,
            room: route.map(|route| route.room),
            channel: route.map(|route| route.channel.clone()),
            client: route.map(|route| route.client),
            kind: Body::read(&body).map_or(Kind::Other(0), |body| body.kind),
            said: Said::of(&body),
            body,
            intact,
        }
    }

    /// Its payload, if it is a publication.
    pub fn payload(&self) -> Option<Bytes> {
        self.said.as_ref().map(|said| said.payload.clone())
    }

    /// How it was published: its QoS, and whether it is to stay. None if it is no publication.
    pub fn manner(&self) -> Option<(u8, bool)> {
        self.said.as_ref().map(|said| said.manner)
    }

    /// The connection that it is kept for.
    pub fn session(&self) -> Option<ConnectionId> {
        self.said.as_ref()?.session
    }

    /// The publication's name.
    pub fn key(&self) -> Option<Key> {
        self.said.as_ref()?.key
    }
}

/// The numbers of one opening.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// Routes.
    pub routes: BTreeMap<RouteNumber, Route>,
    /// Origins.
    pub origins: BTreeMap<u32, (LogId, Epoch)>,
}

impl Numbers {
    /// Entries as they lie in a block.
    pub fn read(&self, epoch: Epoch, entries: &Bytes) -> Vec<Logged> {
        frames(entries).map_while(Result::ok).map(|frame| self.logged(epoch, entries, &frame)).collect()
    }

    fn logged(&self, epoch: Epoch, entries: &Bytes, frame: &Frame<'_>) -> Logged {
        let route = self.routes.get(&frame.route);
        let origin = frame.origin.and_then(|origin| {
            let (log, epoch) = self.origins.get(&origin.number)?;
            Some((*log, *epoch, origin.seq))
        });
        Logged::of((epoch, origin), route, (entries.slice_ref(frame.body), frame.intact()))
    }
}

/// Entries that were committed and are not in the log any more.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Where it was.
    pub seq: Seq,
    /// What it was.
    pub entry: Logged,
    /// Whether that was allowed: a backup or damage was injected.
    pub allowed: bool,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// What the log holds or held on its present line, by seq.
    pub entries: BTreeMap<Seq, Logged>,
    /// Those of them that are publications which are to stay: who comes late is judged by them alone.
    retained: BTreeSet<Seq>,
    /// Staged and not answered, by seq.
    pending: BTreeMap<Seq, Logged>,
    /// The log's cursors as committed.
    pub cursors: BTreeMap<CursorKey, CursorValue>,
    /// Cursors that were staged, with the first seq of their batch.
    moving: Vec<(Seq, CursorMove)>,
    /// The order in which epochs were opened.
    pub epochs: Vec<Epoch>,
    /// Those in which the log refused something.
    pub refusing: BTreeSet<Epoch>,
}

impl Journal {
    /// The seq after the last committed one.
    pub fn next(&self) -> Seq {
        self.entries.last_key_value().map_or(Seq(1), |(seq, _)| seq.next())
    }

    /// How far an epoch of another log was taken.
    pub fn taken(&self, log: LogId, epoch: Epoch) -> Option<Seq> {
        let of = |key: &CursorKey| match key {
            CursorKey::Ingest(_, l, e) | CursorKey::Relayed(_, l, e) => (*l, *e) == (log, epoch),
            CursorKey::Uplink(_) | CursorKey::Downlink(_) | CursorKey::Former(_) => false,
        };
        self.cursors.iter().find(|(key, _)| of(key)).map(|(_, value)| value.through)
    }

    /// These are in the next commit.
    pub fn stage(&mut self, first: Seq, entries: Vec<Logged>, cursors: &[CursorMove]) {
        self.moving.extend(cursors.iter().map(|moved| (first, *moved)));
        for (n, entry) in entries.into_iter().enumerate() {
            self.pending.insert(first.plus(n as u64), entry);
        }
    }

    /// A commit returned.
    pub fn committed(&mut self, first: Seq, last: Seq) {
        for (at, (key, value)) in std::mem::take(&mut self.moving) {
            match value {
                _ if at > last.next() => self.moving.push((at, (key, value))),
                Some(value) => drop(self.cursors.insert(key, value)),
                None => drop(self.cursors.remove(&key)),
            }
        }
        while let Some(entry) = self.pending.first_entry() {
            let seq = *entry.key();
            if seq > last {
                break;
            }
            let entry = entry.remove();
            if seq >= first {
                self.take(seq, entry);
            }
        }
    }

    /// What is staged will not be stored.
    pub fn refused(&mut self) {
        self.pending.clear();
        self.moving.clear();
    }

    /// The log was opened and goes on at `next`. What it has beyond the journal was durable and not answered: `found`.
    /// Returns what was committed and is gone.
    pub fn opened(
        &mut self,
        epoch: Epoch,
        next: Seq,
        found: Vec<(Seq, Logged)>,
        cursors: &[(CursorKey, CursorValue)],
    ) -> Vec<(Seq, Logged)> {
        self.pending.clear();
        self.moving.clear();
        self.cursors = cursors.iter().copied().collect();
        found.into_iter().for_each(|(seq, entry)| self.take(seq, entry));
        self.epochs.push(epoch);
        self.retained.split_off(&next);
        self.entries.split_off(&next).into_iter().collect()
    }

    fn take(&mut self, seq: Seq, entry: Logged) {
        match entry.manner() {
            Some((_, true)) => self.retained.insert(seq),
            _ => self.retained.remove(&seq),
        };
        self.entries.insert(seq, entry);
    }

    /// The publications that are to stay, in order.
    pub fn retained(&self, between: RangeInclusive<Seq>) -> impl Iterator<Item = (Seq, &Logged)> {
        self.retained.range(between).filter_map(|seq| Some((*seq, self.entries.get(seq)?)))
    }
}

/// The entries of what a reader brought.
pub fn of_runs(numbers: &Numbers, runs: &[Run]) -> Vec<(Seq, Logged)> {
    let mut all = Vec::new();
    for run in runs {
        match run {
            Run::Entries { first, epoch, entries, .. } => {
                let read = numbers.read(*epoch, entries).into_iter().enumerate();
                all.extend(read.map(|(n, entry)| (first.plus(n as u64), entry)));
            }
            Run::Gap(_) => {}
        }
    }
    all
}
