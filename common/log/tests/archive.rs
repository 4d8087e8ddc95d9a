//! Archived rooms, replayed beyond what their log keeps: over crashes at every call of either disk, over damage
//! anywhere, over failures, and after either disk went back to an older image.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "support/mod.rs"]
mod support;

use riser_log::{
    Config, Entropy, OnFull, Writer,
    archive::{Archive, ArchiveFinding, ArchiveReader, Step},
    fault::{Failure, Fate, FaultDisk},
    pasts,
};
use riser_model::{
    AccountId, Batch, Cause, EpochSpan, Filter, Gap, Grants, History, Interest, LogId, Read, Retention, Room,
    RoomId, Route, RouteNumber, Run, Selected, Selection, Seq,
};
use riser_wire::entry::frames;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use support::{frame, now, route};

const SEGMENT: u64 = 16 << 10;
const QUOTA: u64 = 4 * SEGMENT;

fn config() -> Config {
    Config {
        segment_bytes: SEGMENT,
        quota_bytes: QUOTA,
        on_full: OnFull::DropOldest,
        trim_cause: Cause::HubQuota,
        ..Config::tiny()
    }
}

fn room(n: u32) -> RoomId {
    route(n).room
}

/// What lies at a seq: where it belongs, its checksum, its epoch.
type Entry = (Route, u32, u64);

struct World {
    log: FaultDisk,
    disk: FaultDisk,
    quota: u64,
    rng: fastrand::Rng,
    opened: u64,
    wanted: BTreeMap<RoomId, Seq>,
    writer: Option<Writer<FaultDisk>>,
    archive: Option<Archive<FaultDisk>>,
    reader: Option<ArchiveReader<FaultDisk>>,
    findings: Vec<ArchiveFinding>,
    id: LogId,
    chain: Vec<EpochSpan>,
    /// What was acknowledged.
    acked: BTreeMap<u64, Entry>,
    /// What the log knows the numbers as.
    routes: BTreeMap<RouteNumber, Route>,
    /// What was tried and not acknowledged may be there or not.
    tried: BTreeMap<u64, BTreeSet<Entry>>,
}

impl World {
    fn new(wanted: &[u32]) -> Self {
        Self {
            log: FaultDisk::new(1),
            disk: FaultDisk::new(2),
            quota: 1 << 30,
            rng: fastrand::Rng::with_seed(7),
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
    fn open(&mut self) -> bool {
        (self.writer, self.archive, self.reader) = (None, None, None);
        self.opened += 1;
        let opened =
            Writer::<_, ()>::open(self.log.clone(), config(), Entropy(self.opened), now(self.opened));
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
    fn want(&mut self) {
        let (Some(writer), Some(archive)) = (&self.writer, &mut self.archive) else { return };
        archive.want(self.wanted.clone(), &writer.reader());
    }

    fn open_archive(&mut self) -> bool {
        if let (Some(writer), Some(span)) = (&self.writer, self.chain.last_mut()) {
            span.last = writer.reader().last();
        }
        let opened = Archive::open(self.disk.clone(), self.id, &self.chain, self.quota);
        let Ok((archive, findings)) = opened else { return false };
        self.findings = findings;
        self.reader = Some(archive.reader());
        self.archive = Some(archive);
        self.want();
        true
    }

    fn publish(&mut self) -> bool {
        let Some(writer) = &mut self.writer else { return false };
        let (mut entries, mut routes, mut these) = (Vec::new(), Vec::new(), Vec::new());
        let first = writer.next();
        for n in 0..self.rng.u32(1..4) {
            let number = self.rng.u32(0..9);
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

    /// Archives everything that there is to archive. False if that failed.
    fn archive(&mut self) -> bool {
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

    fn run(&mut self, publications: u32) {
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

    fn of(rooms: impl IntoIterator<Item = RoomId>) -> Arc<Interest> {
        let all = || vec![Selection { channels: Filter::all(), since: None }];
        let rooms: BTreeMap<RoomId, Vec<Selection>> = rooms.into_iter().map(|room| (room, all())).collect();
        let open = rooms.keys().copied().collect();
        Arc::new(Interest { rooms, grants: Arc::new(Grants::new(Vec::new())), open })
    }

    fn perform(&mut self, read: &Read) -> Selected {
        let mut log = self.writer.as_ref().unwrap().reader();
        self.reader.as_mut().unwrap().perform(&mut log, read, &mut ()).unwrap()
    }

    fn take(&mut self, found: &Selected, rooms: &BTreeSet<RoomId>, into: &mut BTreeMap<u64, Entry>) {
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
    fn replay(&mut self, from: u64, rooms: &[u32]) -> (BTreeMap<u64, Entry>, Vec<Gap>) {
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
    fn backwards(&mut self, rooms: &[u32]) -> BTreeMap<u64, Entry> {
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

    fn expected(&self, from: u64, rooms: &[u32]) -> BTreeMap<u64, Entry> {
        let rooms: BTreeSet<RoomId> = rooms.iter().map(|n| room(*n)).collect();
        let of_rooms = |(seq, entry): (&u64, &Entry)| {
            (*seq >= from && rooms.contains(&entry.0.room)).then(|| (*seq, entry.clone()))
        };
        self.acked.iter().filter_map(of_rooms).collect()
    }

    /// Whatever was acknowledged of archived rooms is there, and nothing that was never tried.
    fn check(&mut self) {
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

    fn oldest(&self) -> u64 {
        self.writer.as_ref().unwrap().reader().oldest().0
    }

    fn volumes(&self) -> Vec<String> {
        let names = self.disk.snapshot().into_keys();
        let mut names: Vec<String> = names.filter(|name| name.starts_with("volume")).collect();
        names.sort();
        names
    }
}

#[test]
fn archived_rooms_are_replayed_over_the_seam_without_hole_or_double_and_others_are_told_what_is_gone() {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(120);
    assert!(world.open());
    world.run(80);
    assert!(world.oldest() > 100, "the log has let go of most: {}", world.oldest());
    world.check();
    for from in 1..world.oldest() + 5 {
        let (found, gaps) = world.replay(from, &[1]);
        assert_eq!((found, gaps), (world.expected(from, &[1]), vec![]), "from {from}");
    }
    // A room that is not archived has what the log has.
    let oldest = world.oldest();
    let (found, gaps) = world.replay(1, &[2]);
    assert_eq!(gaps.iter().map(Gap::count).sum::<u64>(), oldest - 1);
    assert!(gaps.iter().all(|gap| gap.cause == Cause::HubQuota));
    assert_eq!(found, world.expected(oldest, &[2]));
}

fn calls(log: bool) -> u64 {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(60);
    assert!(world.open());
    world.run(30);
    if log { world.log.counts().calls } else { world.disk.counts().calls }
}

fn crashed(call: u64, log: bool, fate: Fate) {
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

#[test]
fn power_loss_between_every_two_calls_of_the_archives_disk_loses_and_doubles_nothing() {
    for call in 1..=calls(false) {
        for fate in [Fate::Lost, Fate::Kept, Fate::Dice] {
            crashed(call, false, fate);
        }
    }
}

#[test]
fn power_loss_between_two_calls_of_the_logs_disk_loses_and_doubles_nothing() {
    for call in (1..=calls(true)).step_by(7) {
        crashed(call, true, [Fate::Lost, Fate::Kept, Fate::Dice][call as usize % 3]);
    }
}

/// A world whose log has let go of most, its volumes, and what is archived.
fn filled() -> World {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(120);
    assert!(world.volumes().len() > 4 && world.oldest() > 60);
    world
}

/// What is wrong with one volume costs no more than that volume says, is told in place, and nothing of it is wrong.
fn damaged(world: &mut World, name: &str) -> u64 {
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

#[test]
fn every_flipped_bit_of_a_volume_is_a_gap_in_place_at_most_and_nothing_is_deleted() {
    let mut world = filled();
    let name = world.volumes()[1].clone();
    let image = world.disk.snapshot();
    let length = image.iter().find(|(file, _)| **file == name).unwrap().1.len() as u64;
    let mut lost = 0;
    for offset in 0..length {
        assert!(world.disk.flip(&name, offset, (offset % 8) as u8));
        lost += damaged(&mut world, &name);
        assert!(world.volumes().contains(&name));
        assert!(world.disk.flip(&name, offset, (offset % 8) as u8));
    }
    assert!(lost > 0, "damage of what is stored is seen");
    assert_eq!(damaged(&mut world, &name), 0);
}

#[test]
fn a_volume_that_ends_anywhere_is_a_gap_in_place_from_there() {
    let mut world = filled();
    let name = world.volumes()[1].clone();
    let image = world.disk.snapshot();
    let length = image.iter().find(|(file, _)| **file == name).unwrap().1.len();
    for end in (0..length).rev().step_by(3) {
        let mut cut = image.clone();
        for (file, bytes) in &mut cut {
            if *file == name {
                bytes.truncate(end);
            }
        }
        world.disk.restore(&cut);
        damaged(&mut world, &name);
        assert!(world.volumes().contains(&name));
    }
}

#[test]
fn an_archive_that_cannot_be_written_holds_the_log_within_a_bound_and_what_is_lost_then_is_a_gap() {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(30);
    // Some more than the quota is held, and nothing is lost by it.
    world.disk.set_capacity(Some(world.disk.used() + 600));
    let mut most = 0;
    for _ in 0..40 {
        world.publish();
        assert!(!world.archive() || most == 0);
        let status = world.writer.as_ref().unwrap().status();
        most = most.max(status.bytes);
        assert!(!status.failing);
    }
    assert!(most > QUOTA && most <= QUOTA + QUOTA / 2, "{most}");
    world.disk.set_capacity(None);
    assert!(world.archive());
    world.check();
    for _ in 0..20 {
        world.writer.as_mut().unwrap().prepare(now(9)).unwrap();
    }
    assert!(world.writer.as_ref().unwrap().status().bytes <= QUOTA, "what was taken is given back");
    world.run(20);
    world.check();
    // Beyond the bound the log goes on, and says what that costs.
    world.disk.set_capacity(Some(world.disk.used() + 600));
    for _ in 0..200 {
        assert!(world.publish(), "nobody is refused");
        world.archive();
    }
    assert!(world.writer.as_ref().unwrap().status().bytes <= QUOTA + QUOTA / 2);
    world.disk.set_capacity(None);
    assert!(world.archive());
    let (found, gaps) = world.replay(1, &[0, 1]);
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap.cause == Cause::HubQuota), "{gaps:?}");
    let is_gone = |seq: &u64| gaps.iter().any(|gap| (gap.from.0..=gap.to.0).contains(seq));
    let mut expected = world.expected(1, &[0, 1]);
    expected.retain(|seq, _| !is_gone(seq));
    assert_eq!(found, expected);
}

#[test]
fn a_log_that_went_back_does_not_know_what_the_archive_has_of_its_lost_future() {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(60);
    let (image, acked) = (world.log.snapshot(), world.acked.clone());
    world.run(60);
    world.log.restore(&image);
    world.acked = acked;
    // What came of the lost future is not matched by its number.
    world.tried = world.acked.iter().map(|(seq, entry)| (*seq, [entry.clone()].into())).collect();
    assert!(world.open());
    let aside = |finding: &ArchiveFinding| matches!(finding, ArchiveFinding::SetAside { .. });
    assert!(world.findings.iter().any(aside), "{:?}", world.findings);
    world.run(60);
    world.check();
    assert!(world.open());
    assert_eq!(world.findings, []);
    world.check();
}

#[test]
fn an_archive_that_went_back_is_a_gap_from_there_to_what_the_log_has() {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(60);
    let image = world.disk.snapshot();
    world.run(150);
    world.disk.restore(&image);
    assert!(world.open());
    world.archive();
    let (found, gaps) = world.replay(1, &[0, 1]);
    assert_eq!((gaps.len(), gaps[0].cause), (1, Cause::HubQuota));
    let mut expected = world.expected(1, &[0, 1]);
    expected.retain(|seq, _| !(gaps[0].from.0..=gaps[0].to.0).contains(seq));
    assert_eq!(found, expected);
}

#[test]
fn a_room_is_archived_from_what_the_log_has_when_that_is_wanted_and_begins_anew_after_a_time_without() {
    let mut world = World::new(&[0]);
    assert!(world.open());
    world.run(80);
    let begins = world.oldest();
    world.wanted.insert(room(1), Seq::ZERO);
    world.want();
    world.run(80);
    assert!(world.oldest() > begins + 20);
    let rooms = world.archive.as_ref().unwrap().rooms();
    assert_eq!((rooms[&room(0)].oldest, rooms[&room(1)].oldest), (Seq(1), Seq(begins)));
    assert_eq!(world.replay(1, &[0]), (world.expected(1, &[0]), vec![]));
    assert_eq!(world.replay(begins, &[1]), (world.expected(begins, &[1]), vec![]));
    // Not any more, and again: what it had in between is gone.
    world.wanted.remove(&room(1));
    world.want();
    world.run(150);
    let again = world.oldest();
    world.wanted.insert(room(1), Seq::ZERO);
    world.want();
    world.run(80);
    assert_eq!(world.archive.as_ref().unwrap().rooms()[&room(1)].oldest, Seq(again));
    assert_eq!(world.replay(again, &[1]), (world.expected(again, &[1]), vec![]));
    assert_eq!(world.replay(1, &[0]), (world.expected(1, &[0]), vec![]));
}

fn begins(world: &World, n: u32) -> Option<u64> {
    world.archive.as_ref().unwrap().rooms().get(&room(n)).map(|archived| archived.oldest.0)
}

/// The only room is not archived for a time in which the log lets go of nothing, and then is again.
fn not_for_a_time(world: &mut World) {
    let wanted = std::mem::take(&mut world.wanted);
    world.want();
    world.archive();
    world.wanted = wanted;
    world.want();
}

#[test]
fn the_only_archived_room_that_was_not_for_a_time_shows_nothing_of_what_was_archived_before() {
    let mut world = World::new(&[1]);
    assert!(world.open());
    world.run(120);
    assert_eq!(begins(&world, 1), Some(1));
    let anew = world.oldest();
    assert!(anew > 60);
    not_for_a_time(&mut world);
    assert!(begins(&world, 1).is_none_or(|oldest| oldest == anew), "before anything else is done");
    world.run(80);
    assert_eq!(begins(&world, 1), Some(anew));
    assert_eq!(world.replay(anew, &[1]), (world.expected(anew, &[1]), vec![]));
    let (found, gaps) = world.replay(1, &[1]);
    assert_eq!(found, world.expected(world.oldest(), &[1]), "nothing archived is shown to who asks before");
    assert!(gaps.iter().all(|gap| gap.cause == Cause::HubQuota), "{gaps:?}");
    // After a restart, and one in which it is not archived.
    assert!(world.open());
    assert_eq!(begins(&world, 1), Some(anew));
    let later = world.oldest();
    let wanted = std::mem::take(&mut world.wanted);
    assert!(world.open());
    world.archive();
    world.wanted = wanted;
    assert!(world.open());
    world.run(80);
    assert_eq!(begins(&world, 1), Some(later));
}

#[test]
fn since_when_a_room_is_archived_survives_power_loss_at_every_call() {
    let files = |world: &World| -> Vec<String> {
        world.disk.snapshot().into_keys().filter(|file| file.starts_with("rooms-")).collect()
    };
    for call in 1.. {
        let mut world = World::new(&[1]);
        assert!(world.open());
        world.run(60);
        let anew = world.oldest();
        world.disk.set_fate(Fate::Dice);
        let before = world.disk.counts().calls;
        world.disk.crash_at(before + call);
        not_for_a_time(&mut world);
        world.archive();
        let done = world.disk.is_up();
        world.log.crash();
        world.disk.crash();
        world.log.restart();
        world.disk.restart();
        assert!(world.open());
        assert_eq!(world.findings, []);
        world.archive();
        let begins = begins(&world, 1);
        assert!(begins == Some(anew) || (!done && begins == Some(1)), "call {call}: {begins:?}");
        // One that a crash brought back goes with the next change.
        assert!(files(&world).len() <= 2, "{:?}", files(&world));
        if done {
            return;
        }
    }
}

#[test]
fn damage_of_what_says_since_when_rooms_are_archived_and_of_the_accounts_hides_nothing() {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(120);
    let file = world.disk.snapshot().into_keys().find(|file| file.starts_with("rooms-")).unwrap();
    assert!(world.disk.flip(&file, 9, 3));
    assert!(world.open());
    assert_eq!(world.findings, [ArchiveFinding::RoomsLost { file }]);
    world.run(20);
    world.check();
    assert!(world.open());
    assert_eq!((world.findings.len(), begins(&world, 1)), (0, Some(1)));
    // Who says which rooms there are cannot read all of them, and later not even that it could not.
    let wanted = world.wanted.clone();
    world.archive.as_mut().unwrap().expect_misses();
    world.wanted.remove(&room(1));
    world.want();
    world.archive();
    for _ in 0..2 {
        assert!(world.open());
        world.archive();
    }
    world.wanted = wanted;
    world.want();
    world.run(20);
    world.check();
}

#[test]
fn a_log_that_went_back_before_a_room_was_archived_anew_shows_it_from_where_the_log_begins() {
    let mut world = World::new(&[1]);
    assert!(world.open());
    world.run(60);
    let (image, oldest) = (world.log.snapshot(), world.oldest());
    world.run(80);
    not_for_a_time(&mut world);
    world.archive();
    world.log.restore(&image);
    assert!(world.open());
    world.run(60);
    assert_eq!(begins(&world, 1), Some(oldest));
}

/// Room `n` with that retention, archived or not.
fn declared(n: u32, archive: bool, retention: Retention) -> Room {
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

#[test]
fn a_past_is_counted_over_the_seam_and_no_further_than_a_room_keeps() {
    let mut world = filled();
    let count = |world: &mut World, n, archive, most: u64| -> (u64, u64) {
        let rooms = [declared(n, archive, Retention { count: Some(most), ..Retention::default() })];
        let reader = world.writer.as_ref().unwrap().reader();
        let before = world.disk.counts().calls;
        let found = pasts(&rooms, &reader, world.reader.as_mut());
        let sum = found[0].1.iter().map(|mark| mark.count).sum();
        let last = found[0].1.last().unwrap().last;
        // What is written to says what it held a while ago.
        let footer = reader.footers().next().unwrap().unwrap();
        assert!(last <= footer.last);
        (sum, world.disk.counts().calls - before)
    };
    let (all, calls) = count(&mut world, 0, true, u64::MAX);
    let held = world.expected(1, &[0]).len() as u64;
    assert!(all <= held && held - all < 20, "{all} of {held}");
    let (some, fewer) = count(&mut world, 0, true, held / 2);
    assert!(some >= held / 2 && some < all, "{some} of {all}");
    assert!(fewer < calls, "{fewer} calls, {calls} for all");
    let (log, none) = count(&mut world, 0, false, u64::MAX);
    let oldest = world.oldest();
    assert!(log <= world.expected(oldest, &[0]).len() as u64 && none == 0);
}

#[test]
fn the_quota_costs_the_oldest_volumes_and_a_floor_what_nobody_shows() {
    let mut world = World::new(&[0, 1]);
    world.quota = 40_000;
    assert!(world.open());
    world.run(300);
    assert!(world.disk.used() <= 40_000, "{}", world.disk.used());
    let oldest = world.archive.as_ref().unwrap().rooms()[&room(0)].oldest.0;
    assert!(oldest > 1 && oldest < world.oldest());
    assert_eq!(world.replay(oldest, &[0, 1]), (world.expected(oldest, &[0, 1]), vec![]));
    // A room that still shows all keeps what another does not show any more.
    let floor = world.oldest() - 1;
    world.wanted.insert(room(0), Seq(floor));
    world.want();
    world.archive();
    assert_eq!(world.archive.as_ref().unwrap().rooms()[&room(1)].oldest.0, oldest);
    world.wanted.insert(room(1), Seq(floor));
    world.want();
    world.archive();
    assert!(world.archive.as_ref().unwrap().rooms()[&room(1)].oldest.0 > floor - 100);
    assert!(world.archive.as_ref().unwrap().rooms()[&room(1)].oldest.0 > oldest);
    // A room that is archived no more loses nothing by that: a directory that cannot be read must not cost a past.
    let before = world.volumes();
    world.wanted.clear();
    world.want();
    world.archive();
    assert_eq!(world.volumes(), before);
}

#[test]
fn what_a_log_that_was_lost_has_archived_is_set_aside_and_never_deleted() {
    let mut world = filled();
    let volumes = world.volumes();
    // The folder of the log is not there any more, and another one begins.
    world.log = FaultDisk::new(3);
    (world.acked, world.tried) = Default::default();
    assert!(world.open());
    assert_eq!((world.volumes(), world.findings.len()), (vec![], volumes.len()));
    world.run(120);
    world.check();
    let files = world.disk.snapshot();
    assert!(volumes.iter().all(|volume| files.contains_key(&format!("aside-0-{volume}"))), "{files:?}");
    let status = world.archive.as_ref().unwrap().status();
    let volumes = files.iter().filter(|(file, _)| !file.starts_with("rooms-"));
    let used: usize = volumes.map(|(_, bytes)| bytes.len()).sum();
    assert!(status.aside > 0 && status.bytes + status.aside == used as u64);
}

#[test]
fn what_was_set_aside_costs_nothing_that_can_be_read() {
    let mut world = filled();
    world.log = FaultDisk::new(3);
    (world.acked, world.tried) = Default::default();
    world.quota = world.disk.used() / 2;
    assert!(world.open());
    world.run(30);
    assert!(world.volumes().len() > 1 && world.archive.as_ref().unwrap().status().aside > world.quota);
    world.check();
}

/// A world whose log has a sealed segment that is not archived, and that segment's file.
fn sealed(wanted: &[u32]) -> (World, String) {
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

#[test]
fn what_the_log_had_lost_when_it_was_copied_is_told_to_who_has_nothing_beside_it() {
    // Room 7 is archived and nobody publishes there.
    let quiet = RoomId(uuid::Uuid::from_u128(7));
    let (mut world, segment) = sealed(&[0]);
    world.wanted.insert(quiet, Seq::ZERO);
    world.want();
    assert!(world.log.flip(&segment, SEGMENT / 2, 3));
    world.run(100);
    let (of, mut gaps) = (World::of([quiet]), Vec::new());
    let mut at = Seq(1);
    while at.0 < world.oldest() {
        let part = world.perform(&Read::Of { from: at, max_bytes: 1 << 20, of: of.clone() });
        gaps.extend(part.chunk.runs.iter().filter_map(|run| match run {
            Run::Gap(gap) => Some(*gap),
            Run::Entries { .. } => None,
        }));
        at = part.chunk.next;
    }
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap.cause == Cause::Damage), "{gaps:?}");
}

#[test]
fn what_the_medium_cannot_read_for_a_time_is_archived_when_it_can() {
    let (mut world, segment) = sealed(&[0, 1]);
    let image = world.log.snapshot();
    world.log.make_unreadable(&segment, SEGMENT / 2..SEGMENT / 2 + 4096);
    assert!(!world.archive() && !world.archive());
    world.log.restore(&image);
    assert!(world.open());
    world.run(100);
    world.check();
}

#[test]
fn what_the_medium_can_never_read_is_a_gap_and_the_rest_is_archived() {
    let (mut world, segment) = sealed(&[0, 1]);
    world.log.make_unreadable(&segment, SEGMENT / 2..SEGMENT / 2 + 4096);
    let tries = (0..100).take_while(|_| !world.archive()).count();
    assert!(tries > 1 && tries < 100, "{tries}");
    world.run(100);
    let (found, gaps) = world.replay(1, &[0, 1]);
    // The log uses the file again, with what is wrong with it: of what came after the first gap nothing is said here.
    assert!(gaps[0].cause == Cause::Damage && gaps[0].count() < 20, "{gaps:?}");
    let around = |seq: &u64| (gaps[0].from.0 - 10..gaps[0].to.0 + 10).contains(seq);
    let mut expected = world.expected(1, &[0, 1]);
    expected.retain(|seq, _| around(seq) && !(gaps[0].from.0..=gaps[0].to.0).contains(seq));
    assert!(expected.iter().all(|(seq, entry)| found.get(seq) == Some(entry)));
}

#[test]
fn an_older_volume_that_is_whole_is_read_where_nothing_is_known_of_the_newer_one() {
    let mut world = filled();
    let name = world.volumes()[1].clone();
    let mut image = world.disk.snapshot();
    let (_, bytes) = image.iter().find(|(file, _)| **file == name).unwrap();
    let cut = bytes[..40].to_vec();
    let mut parts: Vec<&str> = name.split('-').collect();
    parts[3] = "000fffff";
    let newer = parts.join("-");
    image.insert(newer.clone(), cut);
    world.disk.restore(&image);
    assert_eq!(damaged(&mut world, &name), 0);
    let volumes = world.volumes();
    assert!(volumes.contains(&name) && !volumes.contains(&newer));
}

#[test]
fn a_volume_that_somebody_removed_is_a_gap_in_place() {
    let mut world = filled();
    let name = world.volumes()[1].clone();
    let mut image = world.disk.snapshot();
    image.remove(&name);
    world.disk.restore(&image);
    let (found, gaps) = world.replay(1, &[0, 1]);
    assert!(gaps.len() == 1 && gaps[0].cause == Cause::Damage, "{gaps:?}");
    let mut expected = world.expected(1, &[0, 1]);
    expected.retain(|seq, _| !(gaps[0].from.0..=gaps[0].to.0).contains(seq));
    assert_eq!(found, expected);
    assert_eq!(world.backwards(&[0, 1]), expected);
}

#[test]
fn what_keeps_one_file_from_being_opened_costs_that_file_alone() {
    let mut world = filled();
    let before = world.disk.counts().calls;
    assert!(world.open_archive());
    let calls = world.disk.counts().calls - before;
    let volumes = world.volumes();
    // The first three are the list of the folder, and since when which room is archived: what is to be shown of it.
    for call in 4..=calls {
        let next = world.disk.counts().calls + call;
        world.disk.fail_call(next, Failure::Full);
        assert!(world.open_archive(), "call {call}");
        assert_eq!(world.volumes(), volumes);
        assert!(world.findings.len() <= 1);
        world.disk.calm();
    }
    assert!(world.open_archive());
    world.check();
}

#[test]
fn a_log_that_took_more_for_an_archive_gives_it_back_without_one() {
    let mut world = filled();
    world.disk.set_capacity(Some(world.disk.used() + 600));
    (0..40).for_each(|_| {
        assert!(world.publish());
        world.archive();
    });
    let mut writer = world.writer.take().unwrap();
    assert!(writer.status().bytes > QUOTA);
    writer.set_archived(None);
    while writer.prepare(now(9)).unwrap() {}
    assert!(writer.status().bytes <= QUOTA, "{}", writer.status().bytes);
}
