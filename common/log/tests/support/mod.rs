//! A log beside a reference that remembers everything, and what tests do to both.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use riser_log::{
    Committed, Config, Entropy, Fold, Holds, OpenError, Reader, Recovered, Refused, Writer, fault::FaultDisk,
};
use riser_model::{
    Batch, Cause, ClientId, CursorKey, CursorValue, Filter, Gap, Grants, HubIdentity, Interest, LogId, Now,
    PublicKey, Right, RoomId, Route, RouteNumber, Run, Selected, Selection, Seq, Stamp, Time, Wall,
    principal::Rule,
};
use riser_wire::entry::{ContentType, Frame, Publication, frames};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use uuid::Uuid;

/// A fold whose value depends on every entry and its place, and not on how they came in blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Digest(pub u64);

impl Digest {
    pub fn of(seq: Seq, crc: u32) -> u64 {
        (seq.0 ^ u64::from(crc) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
    }
}

impl Fold for Digest {
    fn apply(&mut self, seq: Seq, frame: &Frame<'_>, _: Option<&Route>) {
        self.0 = self.0.wrapping_add(Self::of(seq, frame.crc));
    }

    fn save(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }

    fn load(bytes: &[u8]) -> Option<Self> {
        Some(Self(u64::from_le_bytes(bytes.try_into().ok()?)))
    }
}

pub fn now(n: u64) -> Now {
    Now { time: Time(n * 1_000_000), wall: Wall(n as i64) }
}

pub fn uplink(n: u8) -> CursorKey {
    CursorKey::Uplink(HubIdentity { key: PublicKey([n; 32]), log: LogId(u64::from(n)) })
}

pub fn through(seq: u64) -> CursorValue {
    CursorValue { through: Seq(seq), ..CursorValue::default() }
}

pub fn route(n: u32) -> Route {
    Route {
        room: RoomId(Uuid::from_u128(u128::from(n % 3))),
        channel: format!("c/{n}").parse().unwrap(),
        client: ClientId(Uuid::from_u128(7)),
    }
}

/// The frame of an entry, and what tells it from every other.
pub fn frame(out: &mut Vec<u8>, route: u32, payload: &[u8]) {
    let stamp = Stamp { boot_us: 1, wall: Wall(2), uncertainty_ms: 3 };
    Publication::new(ContentType::Octets, payload).write_frame(out, RouteNumber(route), stamp);
}

/// What lies at a seq: (route, crc, epoch).
pub type Entry = (u32, u32, u64);

/// Everything readable from `from` on, seq by seq, read in pieces of that size; panics where runs do not follow
/// on one another.
pub fn read_all(reader: &mut Reader<FaultDisk>, from: u64, piece: usize) -> (BTreeMap<u64, Entry>, Vec<Gap>) {
    let (mut entries, mut gaps): (BTreeMap<u64, Entry>, Vec<Gap>) = Default::default();
    let mut at = Seq(from);
    loop {
        let chunk = reader.read(at, piece).unwrap();
        for run in &chunk.runs {
            match run {
                Run::Entries { first, count, epoch, entries: bytes } => {
                    assert_eq!(*first, at, "runs follow on one another");
                    let all: Vec<_> = frames(bytes).map(Result::unwrap).collect();
                    assert_eq!(all.len(), *count as usize);
                    assert!(*count > 0);
                    for frame in all {
                        assert!(frame.intact());
                        entries.insert(at.0, (frame.route.0, frame.crc, epoch.0));
                        at = at.next();
                    }
                }
                Run::Gap(gap) => {
                    assert_eq!(gap.from, at);
                    assert!(gap.from <= gap.to);
                    at = gap.to.next();
                    gaps.push(*gap);
                }
            }
        }
        assert_eq!(chunk.next, at);
        if chunk.runs.is_empty() {
            return (entries, gaps);
        }
    }
}

/// What was tried to be stored at a seq: (route, crc, epoch).
type Body = Entry;

/// A log on a faulty disk, and the memory of everything that was asked of it.
pub struct Model {
    pub disk: FaultDisk,
    pub config: Config,
    pub rng: fastrand::Rng,
    pub writer: Option<Writer<FaultDisk, Digest>>,
    pub reader: Option<Reader<FaultDisk>>,
    /// Acknowledged.
    pub acked: BTreeMap<u64, Body>,
    /// Staged at that seq at some time, and not acknowledged.
    pub tried: BTreeMap<u64, BTreeSet<Body>>,
    /// Cursors that a returned commit held.
    pub cursors: BTreeMap<CursorKey, CursorValue>,
    /// Cursors that were set since the last commit.
    pub moved: BTreeMap<CursorKey, CursorValue>,
    /// Cursors that were set at any time.
    pub cursors_tried: BTreeMap<CursorKey, BTreeSet<u64>>,
    /// The highest seq that anyone confirmed.
    pub confirmed: u64,
    /// What was reported as dropped.
    pub dropped: Vec<(u64, u64)>,
    pub staged: Vec<(u64, Body)>,
    pub routes: BTreeMap<u32, Route>,
    pub next_route: u32,
    pub epochs: BTreeSet<u64>,
    pub opened: u64,
    pub clock: u64,
    /// Plans the faults of this run: again after each opening, whose checks are not part of the run.
    pub plan: Box<dyn Fn(&FaultDisk)>,
    /// The calls that only checked.
    pub checks: Vec<std::ops::RangeInclusive<u64>>,
}

impl Model {
    pub fn new(seed: u64, config: Config) -> Self {
        Self {
            disk: FaultDisk::new(seed),
            config,
            rng: fastrand::Rng::with_seed(seed ^ 0x5555),
            writer: None,
            reader: None,
            acked: BTreeMap::new(),
            tried: BTreeMap::new(),
            cursors: BTreeMap::new(),
            moved: BTreeMap::new(),
            cursors_tried: BTreeMap::new(),
            confirmed: 0,
            dropped: Vec::new(),
            staged: Vec::new(),
            routes: BTreeMap::new(),
            next_route: 0,
            epochs: BTreeSet::new(),
            opened: 0,
            clock: 0,
            plan: Box::new(|_| {}),
            checks: Vec::new(),
        }
    }

    pub fn tick(&mut self) -> Now {
        self.clock += 1;
        now(self.clock)
    }

    pub fn writer(&mut self) -> &mut Writer<FaultDisk, Digest> {
        self.writer.as_mut().unwrap()
    }

    /// Opens the log, which must work unless the machine crashes meanwhile, and compares all of it.
    pub fn open(&mut self) -> Option<Recovered<Digest>> {
        match self.try_open() {
            Ok(recovered) => recovered,
            Err(error) => panic!("the disk works, so the log opens: {error}"),
        }
    }

    /// The same, on a disk that may refuse to be asked.
    pub fn try_open(&mut self) -> Result<Option<Recovered<Digest>>, OpenError> {
        self.staged.clear();
        self.moved.clear();
        self.opened += 1;
        (self.plan)(&self.disk);
        let entropy = Entropy(self.rng.u64(..));
        let now = self.tick();
        // Until its hub has a cursor, everything is held.
        let holds = Holds { custodians: 1, views: None, ..Holds::default() };
        let config = Config { holds, ..self.config.clone() };
        let opened = Writer::open(self.disk.clone(), config, entropy, now);
        if !self.disk.is_up() {
            return Ok(None);
        }
        self.disk.calm();
        let checked_from = self.disk.counts().calls + 1;
        let (writer, recovered) = opened?;
        self.reader = Some(writer.reader());
        self.writer = Some(writer);
        self.check_recovered(&recovered);
        if !recovered.cursors.iter().any(|(key, _)| *key == uplink(1)) {
            self.cursors_tried.entry(uplink(1)).or_default().insert(0);
            self.moved.insert(uplink(1), through(0));
            self.writer().set_cursor(uplink(1), through(0));
        }
        self.writer().set_holds(Holds::default());
        self.checks.push(checked_from..=self.disk.counts().calls);
        (self.plan)(&self.disk);
        Ok(Some(recovered))
    }

    fn check_recovered(&mut self, recovered: &Recovered<Digest>) {
        assert!(self.epochs.insert(recovered.epoch.0), "an epoch is new");
        assert_eq!(recovered.chain.last().map(|s| s.epoch), Some(recovered.epoch));
        let end = recovered.next.0 - 1;
        let acked = self.acked.last_key_value().map_or(0, |(seq, _)| *seq);
        assert!(end >= acked, "acknowledged up to {acked}, recovered up to {end}: {:?}", recovered.findings);
        let mut reader = self.reader.clone().unwrap();
        let (entries, gaps) = read_all(&mut reader, 1, 1 << 20);
        let known = recovered.gaps.iter().filter(|record| record.gap.cause == Cause::Quota);
        self.dropped.extend(known.map(|record| (record.gap.from.0, record.gap.to.0)));
        // What was tried and is there now counts: it was submitted, and no answer was given.
        for seq in acked + 1..=end {
            let body = entries.get(&seq).unwrap_or_else(|| panic!("{seq} of {end} is there, gaps {gaps:?}"));
            let tried = self.tried.get(&seq).is_some_and(|tried| tried.contains(body));
            assert!(tried, "{seq} is something that was submitted");
            self.acked.insert(seq, *body);
        }
        self.tried.clear();
        self.check_entries(&entries, &gaps);
        let digest =
            self.acked.iter().fold(0u64, |d, (seq, (_, crc, _))| d.wrapping_add(Digest::of(Seq(*seq), *crc)));
        assert_eq!(recovered.fold, Digest(digest), "the fold knows every entry {:?}", recovered);
        for (key, value) in &recovered.cursors {
            let tried = self.cursors_tried.get(key).is_some_and(|tried| tried.contains(&value.through.0));
            assert!(tried, "a cursor is where someone set it");
        }
        let recovered_cursors: BTreeMap<_, _> = recovered.cursors.iter().copied().collect();
        for (key, value) in &self.cursors {
            let now = recovered_cursors.get(key).map(|v| v.through);
            assert!(now >= Some(value.through), "committed cursor {key:?} at {value:?}, recovered {now:?}");
        }
        self.cursors = recovered_cursors;
        let routes: BTreeMap<u32, Route> = recovered.routes.iter().map(|(n, r)| (n.0, r.clone())).collect();
        for (seq, (number, _, epoch)) in &entries {
            let span = recovered.chain.iter().find(|span| span.epoch.0 == *epoch);
            let spans = span.is_some_and(|span| (span.first.0..=span.last.0).contains(seq));
            assert!(spans, "the chain knows the epoch of {seq}: {epoch} in {:?}", recovered.chain);
            assert_eq!(routes.get(number), self.routes.get(number), "the route of {seq} is known");
        }
        assert!(recovered.next_route.0 <= self.next_route);
        self.routes.retain(|number, _| routes.contains_key(number));
        self.next_route = recovered.next_route.0;
    }

    /// Compares everything readable with what was acknowledged.
    pub fn check_all(&mut self) {
        // What was dropped since the last commit is reported by the next.
        self.commit();
        let piece = [1, 300, 5000, 1 << 20][self.rng.usize(0..4)];
        let mut reader = self.reader.take().unwrap();
        let (entries, gaps) = read_all(&mut reader, 1, piece);
        self.check_entries(&entries, &gaps);
        self.check_selected(&mut reader, &entries, piece);
        self.reader = Some(reader);
    }

    /// Who reads only what concerns it misses none of that.
    fn check_selected(&mut self, reader: &mut Reader<FaultDisk>, all: &BTreeMap<u64, Body>, piece: usize) {
        let room = route(self.rng.u32(0..3)).room;
        let one = format!("c/{}", self.rng.u32(0..self.next_route.max(1)));
        let channels: Filter = ["#", "c/+", &one][self.rng.usize(0..3)].parse().unwrap();
        let right = Rule { room: None, channels: Filter::all(), right: Right::Subscribe, deny: false };
        let grants = Arc::new(Grants::new(vec![right]));
        let of = Interest {
            rooms: [(room, vec![Selection { channels: channels.clone(), since: None }])].into(),
            grants,
            open: Default::default(),
        };
        let meets = |entry: &Body| {
            let route = route(entry.0);
            route.room == room && channels.matches(&route.channel)
        };
        let meant: BTreeMap<u64, Body> =
            all.iter().filter(|(_, entry)| meets(entry)).map(|(seq, entry)| (*seq, *entry)).collect();
        for mut read in read_selected(reader, &of, piece) {
            read.retain(|_, entry| meets(entry));
            assert_eq!(read, meant, "{channels} of room {room:?}");
        }
    }

    fn check_entries(&self, entries: &BTreeMap<u64, Body>, gaps: &[Gap]) {
        for (seq, body) in entries {
            assert_eq!(self.acked.get(seq), Some(body), "what is read at {seq} was acknowledged");
        }
        for (seq, _) in self.acked.iter().filter(|(seq, _)| !entries.contains_key(seq)) {
            let gap = gaps.iter().find(|gap| (gap.from.0..=gap.to.0).contains(seq));
            let gap = gap.unwrap_or_else(|| panic!("{seq} is an entry or a gap"));
            let dropped = self.dropped.iter().any(|(from, to)| (*from..=*to).contains(seq));
            match gap.cause {
                Cause::Retention => assert!(
                    *seq <= self.confirmed && !dropped,
                    "{seq} was not confirmed: {:?} {gaps:?}",
                    self.dropped
                ),
                Cause::Quota => {
                    assert!(dropped, "{seq} was not reported as dropped: {:?} {gaps:?}", self.dropped)
                }
                other => panic!("nothing was damaged, but {seq} is gone by {other:?}"),
            }
        }
    }

    /// Stages a batch; true if it was taken.
    pub fn stage(&mut self, count: u32, bytes_max: usize) -> bool {
        let (first, epoch) = (self.writer().next(), self.writer().epoch().0);
        let (mut entries, mut bodies, mut defined) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..count {
            let number = if self.routes.is_empty() || self.rng.u8(0..12) == 0 {
                let number = self.next_route;
                self.next_route += 1;
                self.routes.insert(number, route(number));
                defined.push((RouteNumber(number), route(number)));
                number
            } else {
                *self.routes.keys().nth(self.rng.usize(0..self.routes.len())).unwrap_or(&0)
            };
            let mut payload = self.rng.u64(..).to_le_bytes().to_vec();
            payload.resize(self.rng.usize(8..=bytes_max.max(8)), 0xaa);
            let at = entries.len();
            frame(&mut entries, number, &payload);
            let crc = Frame::read(&entries, at).unwrap().0.crc;
            bodies.push((first.0 + u64::from(n), (number, crc, epoch)));
        }
        let batch =
            Batch { first, entries: entries.into(), count, routes: defined.clone(), ..Batch::default() };
        let staged = self.writer().stage(batch);
        match staged {
            Ok(()) => {
                for (seq, body) in &bodies {
                    self.tried.entry(*seq).or_default().insert(*body);
                }
                self.staged.extend(bodies);
                true
            }
            Err(refused) => {
                for (number, _) in defined {
                    self.routes.remove(&number.0);
                }
                let expected = matches!(
                    refused,
                    Refused::Quota { .. }
                        | Refused::NoSpace
                        | Refused::DrainOnly
                        | Refused::Failing { .. }
                        | Refused::CommitFirst
                );
                assert!(expected, "{refused}");
                false
            }
        }
    }

    /// Commits; true if it worked.
    pub fn commit(&mut self) -> bool {
        let now = self.tick();
        match self.writer().commit(now) {
            Ok(committed) => {
                self.committed(&committed);
                assert!(self.staged.is_empty(), "a commit commits everything");
                true
            }
            Err(error) => {
                if let Some(committed) = &error.committed {
                    self.committed(committed);
                }
                assert!(self.staged.first().is_none_or(|(seq, _)| *seq == error.refused.0));
                self.staged.clear();
                let next = self.writer().next();
                assert_eq!(next, error.refused, "refused seqs come again");
                false
            }
        }
    }

    fn committed(&mut self, committed: &Committed) {
        let durable: Vec<_> =
            self.staged.iter().take_while(|(seq, _)| *seq <= committed.last.0).copied().collect();
        self.staged.drain(..durable.len());
        for (seq, body) in durable {
            self.tried.remove(&seq);
            self.acked.insert(seq, body);
        }
        for record in &committed.gaps {
            assert_eq!(record.gap.cause, Cause::Quota);
            self.dropped.push((record.gap.from.0, record.gap.to.0));
        }
        if committed.bytes_written > 0 && committed.last >= committed.first {
            self.cursors.append(&mut self.moved);
        }
    }

    /// Confirms everything up to about there.
    pub fn confirm(&mut self, key: CursorKey) {
        let end = self.acked.last_key_value().map_or(0, |(seq, _)| *seq);
        let before = self.cursors_tried.get(&key).and_then(|tried| tried.last().copied()).unwrap_or(0);
        let to = self.rng.u64(before..=end.max(before));
        self.cursors_tried.entry(key).or_default().insert(to);
        self.moved.insert(key, through(to));
        self.writer().set_cursor(key, through(to));
        self.confirmed = self.confirmed.max(to);
    }

    pub fn check_quota(&self) {
        assert!(self.disk.used() <= self.config.quota_bytes, "{} bytes used", self.disk.used());
    }
}

/// What was read of the log for `of`: forwards in pieces of that size, and backwards. Panics where either leaves a
/// hole between what it read and what it passed over.
pub fn read_selected(
    reader: &mut Reader<FaultDisk>,
    of: &Interest,
    piece: usize,
) -> [BTreeMap<u64, Entry>; 2] {
    let (mut forwards, mut at) = (BTreeMap::new(), Seq(1));
    loop {
        let found = reader.read_of(at, piece, of, &mut ()).unwrap();
        let next = found.chunk.next;
        take(&found, at, &mut forwards);
        if next == at {
            break;
        }
        at = next;
    }
    let (mut backwards, mut before) = (BTreeMap::new(), at);
    while before > reader.oldest() {
        let found = reader.read_before(before, of, &mut ()).unwrap();
        let Some(run) = found.chunk.runs.first() else {
            assert!(found.chunk.next < before, "it looks on further down");
            before = found.chunk.next;
            continue;
        };
        let from = first_of(run);
        assert_eq!(found.chunk.next, before);
        take(&found, from, &mut backwards);
        before = from;
    }
    [forwards, backwards]
}

fn first_of(run: &Run) -> Seq {
    match run {
        Run::Entries { first, .. } => *first,
        Run::Gap(gap) => gap.from,
    }
}

fn take(found: &Selected, from: Seq, entries: &mut BTreeMap<u64, Entry>) {
    let (mut at, mut skips) = (from, found.skips.iter().peekable());
    for run in &found.chunk.runs {
        while let Some((_, to)) = skips.next_if(|(from, _)| *from == at) {
            at = to.next();
        }
        assert_eq!(first_of(run), at, "no hole between what was read and what was passed over");
        match run {
            Run::Gap(gap) => at = gap.to.next(),
            Run::Entries { epoch, entries: bytes, .. } => {
                for frame in frames(bytes).map(Result::unwrap) {
                    entries.insert(at.0, (frame.route.0, frame.crc, epoch.0));
                    at = at.next();
                }
            }
        }
    }
    while let Some((_, to)) = skips.next_if(|(from, _)| *from == at) {
        at = to.next();
    }
    assert_eq!((at, skips.next()), (found.chunk.next, None));
}
