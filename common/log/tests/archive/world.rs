//! A log, its archive, and what was acknowledged: what the tests of archives have in common.

pub use crate::support::{frame, now, route};
pub use riser_log::{
    Config, Entropy, OnFull, Writer,
    archive::{Archive, ArchiveFinding, ArchiveReader, ArchiveSurvey, Step},
    fault::{Failure, Fate, FaultDisk},
    pasts,
};
pub use riser_model::{
    AccountId, Batch, Cause, ClientId, EpochSpan, Filter, Gap, Grants, History, Interest, LogId, Read,
    Retention, Room, RoomId, Route, RouteNumber, Run, Selected, Selection, Seq,
};
pub use riser_wire::entry::frames;
pub use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub const SEGMENT: u64 = 16 << 10;

pub const QUOTA: u64 = 4 * SEGMENT;

pub fn config(segment_bytes: u64) -> Config {
    Config {
        segment_bytes,
        quota_bytes: 4 * segment_bytes,
        on_full: OnFull::DropOldest,
        trim_cause: Cause::HubQuota,
        ..Config::tiny()
    }
}

pub fn room(n: u32) -> RoomId {
    route(n).room
}

/// What lies at a seq: where it belongs, its checksum, its epoch.
pub type Entry = (Route, u32, u64);

pub struct World {
    pub log: FaultDisk,
    pub disk: FaultDisk,
    pub quota: u64,
    pub rng: fastrand::Rng,
    /// Who is archived says little.
    pub quiet: bool,
    pub segment: u64,
    pub opened: u64,
    pub wanted: BTreeMap<RoomId, Seq>,
    pub writer: Option<Writer<FaultDisk>>,
    pub archive: Option<Archive<FaultDisk>>,
    pub reader: Option<ArchiveReader<FaultDisk>>,
    pub findings: Vec<ArchiveFinding>,
    pub id: LogId,
    pub chain: Vec<EpochSpan>,
    /// What was acknowledged.
    pub acked: BTreeMap<u64, Entry>,
    /// What the log knows the numbers as.
    pub routes: BTreeMap<RouteNumber, Route>,
    /// What was tried and not acknowledged may be there or not.
    pub tried: BTreeMap<u64, BTreeSet<Entry>>,
}

impl World {
    pub fn new(wanted: &[u32]) -> Self {
        Self {
            log: FaultDisk::new(1),
            disk: FaultDisk::new(2),
            quota: 1 << 30,
            rng: fastrand::Rng::with_seed(7),
            quiet: false,
            segment: SEGMENT,
            opened: 0,
            wanted: wanted.iter().map(|n| (room(*n), Seq::ZERO)).collect(),
            writer: None,
            archive: None,
            reader: None,
            findings: Vec::new(),
            id: LogId(0),
            chain: Vec::new(),
            acked: BTreeMap::new(),
            routes: BTreeMap::new(),
            tried: BTreeMap::new(),
        }
    }

    /// False if a disk is down or fails.
    pub fn open(&mut self) -> bool {
        (self.writer, self.archive, self.reader) = (None, None, None);
        self.opened += 1;
        let opened = Writer::<_, ()>::open(
            self.log.clone(),
            config(self.segment),
            Entropy(self.opened),
            now(self.opened),
        );
        let Ok((writer, recovered)) = opened else { return false };
        self.routes = recovered.routes.into_iter().collect();
        (self.id, self.chain) = (recovered.log, recovered.chain);
        self.writer = Some(writer);
        if !self.open_archive() {
            self.writer = None;
            return false;
        }
        let (Some(writer), Some(archive)) = (&mut self.writer, &self.archive) else { return false };
        let through = archive.through(&writer.reader());
        writer.set_archived(through);
        true
    }

    /// These rooms are archived from here on.
    pub fn want(&mut self) {
        let (Some(writer), Some(archive)) = (&self.writer, &mut self.archive) else { return };
        archive.want(self.wanted.clone(), &writer.reader());
    }

    pub fn open_archive(&mut self) -> bool {
        if let (Some(writer), Some(span)) = (&self.writer, self.chain.last_mut()) {
            span.last = writer.reader().last();
        }
        let oldest = self.writer.as_ref().map_or(Seq(1), |writer| writer.reader().oldest());
        let opened = Archive::open(self.disk.clone(), self.id, &self.chain, oldest, self.quota);
        let Ok((archive, findings)) = opened else { return false };
        self.findings = findings;
        self.reader = Some(archive.reader());
        self.archive = Some(archive);
        self.want();
        true
    }

    pub fn publish(&mut self) -> bool {
        let Some(writer) = &mut self.writer else { return false };
        let (mut entries, mut routes, mut these) = (Vec::new(), Vec::new(), Vec::new());
        let first = writer.next();
        for n in 0..self.rng.u32(1..4) {
            // Room 2 alone, and now and then another one.
            let number = match self.quiet && self.rng.u32(0..20) > 0 {
                true => 2,
                false => self.rng.u32(0..9),
            };
            if self.routes.insert(RouteNumber(number), route(number)).is_none() {
                routes.push((RouteNumber(number), route(number)));
            }
            let payload: Vec<u8> = (0..self.rng.usize(20..900)).map(|_| self.rng.u8(..)).collect();
            let at = entries.len();
            frame(&mut entries, number, &payload);
            let crc = frames(&entries[at..]).next().unwrap().unwrap().crc;
            these.push((first.0 + u64::from(n), (route(number), crc, writer.epoch().0)));
        }
        let count = these.len() as u32;
        for (seq, entry) in &these {
            self.tried.entry(*seq).or_default().insert(entry.clone());
        }
        let batch = Batch { first, entries: entries.into(), count, routes, ..Batch::default() };
        if writer.stage(batch).is_err() {
            let _ = writer.commit(now(self.opened));
            let _ = writer.retry(now(self.opened));
            return false;
        }
        let done = writer.commit(now(self.opened)).is_ok();
        if done {
            self.acked.extend(these);
        }
        let _ = writer.prepare(now(self.opened));
        done
    }

    /// Publishes once on a route of that number, which is no other's.
    pub fn publish_on(&mut self, number: u32, route: Route) {
        let is_new = self.routes.insert(RouteNumber(number), route.clone()).is_none();
        let routes = is_new.then(|| (RouteNumber(number), route.clone())).into_iter().collect();
        let writer = self.writer.as_mut().unwrap();
        let (first, epoch) = (writer.next(), writer.epoch().0);
        let mut entries = Vec::new();
        frame(&mut entries, number, &[0; 200]);
        let entry = (route, frames(&entries).next().unwrap().unwrap().crc, epoch);
        let batch = Batch { first, entries: entries.into(), count: 1, routes, ..Batch::default() };
        writer.stage(batch).unwrap();
        writer.commit(now(self.opened)).unwrap();
        let _ = writer.prepare(now(self.opened));
        self.tried.entry(first.0).or_default().insert(entry.clone());
        self.acked.insert(first.0, entry);
    }

    /// Archives everything that there is to archive. False if that failed.
    pub fn archive(&mut self) -> bool {
        let (Some(writer), Some(archive)) = (&mut self.writer, &mut self.archive) else { return false };
        loop {
            let step = archive.step(&writer.reader());
            writer.set_archived(archive.through(&writer.reader()));
            match step {
                Ok(Step::Rests) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    pub fn run(&mut self, publications: u32) {
        for n in 0..publications {
            if !self.log.is_up() || !self.disk.is_up() {
                return;
            }
            self.publish();
            if n % 3 == 0 {
                self.archive();
            }
        }
        self.archive();
    }

    pub fn of(rooms: impl IntoIterator<Item = RoomId>) -> Arc<Interest> {
        let all = || vec![Selection { channels: Filter::all(), since: None }];
        let rooms: BTreeMap<RoomId, Vec<Selection>> = rooms.into_iter().map(|room| (room, all())).collect();
        let open = rooms.keys().copied().collect();
        Arc::new(Interest { rooms, grants: Arc::new(Grants::new(Vec::new())), open })
    }

    pub fn perform(&mut self, read: &Read) -> Selected {
        let mut log = self.writer.as_ref().unwrap().reader();
        self.reader.as_mut().unwrap().perform(&mut log, read, &mut ()).unwrap()
    }

    pub fn take(&mut self, found: &Selected, rooms: &BTreeSet<RoomId>, into: &mut BTreeMap<u64, Entry>) {
        self.routes.extend(self.reader.as_mut().unwrap().take_routes());
        for run in &found.chunk.runs {
            let Run::Entries { first, count, epoch, entries } = run else { continue };
            let all: Vec<_> = frames(entries).map(Result::unwrap).collect();
            assert_eq!(all.len(), *count as usize);
            for (n, frame) in all.iter().enumerate() {
                assert!(frame.intact());
                let Some(route) = self.routes.get(&frame.route) else {
                    assert_eq!(frame.route, RouteNumber::NONE);
                    continue;
                };
                if rooms.contains(&route.room) {
                    let before = into.insert(first.0 + n as u64, (route.clone(), frame.crc, epoch.0));
                    assert!(before.is_none(), "an entry comes once");
                }
            }
        }
    }

    /// Everything of those rooms from there on, and the gaps; all seqs are spoken of.
    pub fn replay(&mut self, from: u64, rooms: &[u32]) -> (BTreeMap<u64, Entry>, Vec<Gap>) {
        let rooms: BTreeSet<RoomId> = rooms.iter().map(|n| room(*n)).collect();
        let of = Self::of(rooms.iter().copied());
        let (mut found, mut gaps) = (BTreeMap::new(), Vec::new());
        let (mut at, last) = (Seq(from), self.writer.as_ref().unwrap().reader().last());
        while at <= last {
            let max_bytes = self.rng.u32(1..5000);
            let part = self.perform(&Read::Of { from: at, max_bytes, of: of.clone() });
            let mut pieces: Vec<(Seq, Seq)> = part.skips.clone();
            pieces.extend(part.chunk.runs.iter().map(|run| match run {
                Run::Entries { first, count, .. } => (*first, Seq(first.0 + u64::from(*count) - 1)),
                Run::Gap(gap) => (gap.from, gap.to),
            }));
            pieces.sort();
            for (first, end) in pieces {
                assert_eq!(first, at, "every seq is spoken of once");
                at = end.next();
            }
            assert_eq!(part.chunk.next, at);
            assert!(!part.chunk.runs.is_empty() || !part.skips.is_empty(), "it goes on at {at}");
            gaps.extend(part.chunk.runs.iter().filter_map(|run| match run {
                Run::Gap(gap) => Some(*gap),
                Run::Entries { .. } => None,
            }));
            self.take(&part, &rooms, &mut found);
        }
        (found, gaps)
    }

    /// The same, backwards, as pages are read.
    pub fn backwards(&mut self, rooms: &[u32]) -> BTreeMap<u64, Entry> {
        let rooms: BTreeSet<RoomId> = rooms.iter().map(|n| room(*n)).collect();
        let of = Self::of(rooms.iter().copied());
        let mut all = BTreeMap::new();
        let mut before = self.writer.as_ref().unwrap().reader().last().next();
        while before > Seq(1) {
            let part = self.perform(&Read::Before { before, of: of.clone() });
            let first = part.chunk.runs.first().map_or(part.chunk.next, Run::first);
            let mut found = BTreeMap::new();
            self.take(&part, &rooms, &mut found);
            all.extend(found.into_iter().filter(|(seq, _)| *seq < before.0));
            if first >= before {
                break;
            }
            before = first;
        }
        all
    }

    pub fn expected(&self, from: u64, rooms: &[u32]) -> BTreeMap<u64, Entry> {
        let rooms: BTreeSet<RoomId> = rooms.iter().map(|n| room(*n)).collect();
        let of_rooms = |(seq, entry): (&u64, &Entry)| {
            (*seq >= from && rooms.contains(&entry.0.room)).then(|| (*seq, entry.clone()))
        };
        self.acked.iter().filter_map(of_rooms).collect()
    }

    /// Whatever was acknowledged of archived rooms is there, and nothing that was never tried.
    pub fn check(&mut self) {
        let (found, gaps) = self.replay(1, &[0, 1]);
        assert_eq!(gaps, [], "nothing is missing");
        for (seq, entry) in self.expected(1, &[0, 1]) {
            assert_eq!(found.get(&seq), Some(&entry), "{seq}");
        }
        for (seq, entry) in &found {
            assert!(self.tried[seq].contains(entry), "{seq}");
        }
        assert_eq!(self.backwards(&[0, 1]), found);
    }

    pub fn oldest(&self) -> u64 {
        self.writer.as_ref().unwrap().reader().oldest().0
    }

    pub fn volumes(&self) -> Vec<String> {
        let names = self.disk.snapshot().into_keys();
        let mut names: Vec<String> = names.filter(|name| name.starts_with("volume")).collect();
        names.sort();
        names
    }
}

pub fn calls(log: bool) -> u64 {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(60);
    assert!(world.open());
    world.run(30);
    if log { world.log.counts().calls } else { world.disk.counts().calls }
}

pub fn crashed(call: u64, log: bool, fate: Fate) {
    let mut world = World::new(&[0, 1]);
    for disk in [&world.log, &world.disk] {
        disk.set_fate(fate);
    }
    if log {
        world.log.crash_at(call)
    } else {
        world.disk.crash_at(call)
    }
    for count in [60, 30] {
        if world.open() {
            world.run(count);
        }
    }
    world.log.crash();
    world.disk.crash();
    world.log.restart();
    world.disk.restart();
    assert!(world.open(), "it always starts");
    world.archive();
    world.check();
    world.run(20);
    world.check();
    assert!(world.findings.is_empty(), "{:?}", world.findings);
}

/// A world whose log has let go of most, its volumes, and what is archived.
pub fn filled() -> World {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(120);
    assert!(world.volumes().len() > 4 && world.oldest() > 60);
    world
}

/// What is wrong with one volume costs no more than that volume says, is told in place, and nothing of it is wrong.
pub fn damaged(world: &mut World, name: &str) -> u64 {
    assert!(world.open_archive());
    let (found, gaps) = world.replay(1, &[0, 1]);
    let range: Vec<u64> =
        name.split('-').skip(1).map(|part| u64::from_str_radix(part, 16).unwrap()).collect();
    let lost: u64 = gaps.iter().map(Gap::count).sum();
    for gap in &gaps {
        assert_eq!(gap.cause, Cause::Damage);
        assert!(range[0] <= gap.from.0 && gap.to.0 <= range[1], "{gap:?} in {range:?}");
    }
    let is_gone = |seq: &u64| gaps.iter().any(|gap| (gap.from.0..=gap.to.0).contains(seq));
    let mut expected = world.expected(1, &[0, 1]);
    expected.retain(|seq, _| !is_gone(seq));
    assert_eq!(found, expected);
    let _ = world.backwards(&[0, 1]);
    lost
}

/// As [`World::archive`], on a disk on which nothing can be done.
pub fn broken(world: &mut World) -> bool {
    let next = world.disk.counts().calls;
    (1..50).for_each(|call| world.disk.fail_call(next + call, Failure::Io));
    let done = world.archive();
    world.disk.calm();
    done
}

pub fn begins(world: &World, n: u32) -> Option<u64> {
    world.archive.as_ref().unwrap().rooms().get(&room(n)).map(|archived| archived.oldest.0)
}

/// The only room is not archived for a time in which the log lets go of nothing, and then is again.
pub fn not_for_a_time(world: &mut World) {
    let wanted = std::mem::take(&mut world.wanted);
    world.want();
    world.archive();
    world.wanted = wanted;
    world.want();
}

/// A world whose archived rooms say little, over so many publications.
pub fn quiet(publications: u32) -> World {
    let mut world = World::new(&[0, 1]);
    world.quiet = true;
    assert!(world.open());
    world.run(publications);
    world
}

/// Room `n` with that retention, archived or not.
pub fn declared(n: u32, archive: bool, retention: Retention) -> Room {
    Room {
        id: room(n),
        account: AccountId(uuid::Uuid::from_u128(1)),
        account_name: "acme".parse().unwrap(),
        name: "room".parse().unwrap(),
        kind: Default::default(),
        ready: Vec::new(),
        history: History::Log,
        retention,
        archive,
        quota: Default::default(),
        linked: false,
        down: false,
        schema: None,
    }
}

/// A world whose log has a sealed segment that is not archived, and that segment's file.
pub fn sealed(wanted: &[u32]) -> (World, String) {
    let mut world = World::new(wanted);
    assert!(world.open());
    while world.writer.as_ref().unwrap().segment() < Some(6) {
        world.publish();
    }
    let segments = world.log.snapshot().into_keys().filter(|name| name.starts_with("segment-"));
    let mut segments: Vec<String> = segments.collect();
    segments.sort();
    let name = segments[1].clone();
    (world, name)
}

/// The bytes of each volume.
pub fn sizes(world: &World) -> BTreeMap<String, u64> {
    let files = world.disk.snapshot().into_iter().filter(|(name, _)| name.starts_with("volume"));
    files.map(|(name, bytes)| (name, bytes.len() as u64)).collect()
}
