//! How much of its past a room shows that keeps only so much, held against what was really committed: at least what its
//! retention names, and little more.
//!
//! Where the floor is, is for the hub to know. What is known here is what may be below it and what must be: whoever is
//! told that something is gone, or is shown something, is told that by some time, and of that time it is judged. What was
//! there when a process began is counted by the log's files, as a whole each.

use crate::host::{Host, opening::Opening};
use riser_model::{Retention, RoomId, Seq, Time};
use riser_wire::entry::{FRAME_HEADER_BYTES, Kind};
use std::time::Duration;

/// What was said may have been looked up so long before: whoever takes nothing for longer is left.
const SAID_WITHIN: Duration = Duration::from_secs(35);
/// The core hears of a commit, and looks at its floors, within so long.
const HEARS_WITHIN: Duration = Duration::from_secs(5);

/// When something was said, and by which process.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// When.
    pub at: Time,
    /// By which.
    pub life: u64,
}

#[derive(Clone, Copy, Debug)]
struct Publication {
    seq: Seq,
    /// The bytes of all up to it.
    bytes: u64,
    /// When it was on disk.
    at: Time,
    /// It came up a link, and was published before.
    came_up: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Floors {
    room: RoomId,
    retention: Retention,
    /// What was published in the room, oldest first.
    all: Vec<Publication>,
    through: Seq,
}

impl Floors {
    /// Of a room that keeps so much.
    pub fn new(room: RoomId, retention: Retention) -> Self {
        Self { room, retention, all: Vec::new(), through: Seq::ZERO }
    }

    /// Looks through what the hub's log has since the last time.
    pub fn look(&mut self, hub: &Host) {
        for (seq, entry) in hub.journal.entries.range(self.through.next()..) {
            self.through = *seq;
            if entry.room != Some(self.room) || entry.kind != Kind::Publication {
                continue;
            }
            let before = self.all.last().map_or(0, |last| last.bytes);
            self.all.push(Publication {
                seq: *seq,
                bytes: before + (FRAME_HEADER_BYTES + entry.body.len()) as u64,
                at: hub.committed_at(*seq),
                came_up: entry.origin.is_some(),
            });
        }
    }

    /// What is wrong with saying then that everything up to there is gone.
    pub fn is_too_high(&self, to: Seq, when: Moment, hub: &Host) -> Option<String> {
        let last = self.all.get(self.place(to.next()).checked_sub(1)?)?;
        let (count, bytes) = self.between(to.next(), Seq(u64::MAX), when.at);
        let opened = hub.openings.iter().find(|opening| opening.life == when.life);
        let is_old = |age: Duration| {
            // What was there at a start is as old as it was when it was published.
            let is_past = opened.is_some_and(|opening| last.seq < opening.next);
            let unknown = is_past && (last.came_up || hub.was_found(last.seq));
            hub.stepped || unknown || last.at.plus(age) <= when.at.plus(HEARS_WITHIN)
        };
        let goes = self.retention.count.is_some_and(|most| count >= most)
            || self.retention.bytes.is_some_and(|most| bytes >= most.0)
            || self.retention.age.is_some_and(|age| is_old(age.0));
        let what = || {
            let ago = when.at.since(last.at).as_secs();
            format!(
                "all up to {} is gone, {ago} s after its last, with {count} and {bytes} bytes after it, of {:?}",
                to.0, self.retention
            )
        };
        (!goes).then(what)
    }

    /// What is wrong with showing that then.
    pub fn is_too_low(&self, seq: Seq, when: Moment, hub: &Host) -> Option<String> {
        let opening = hub.openings.iter().find(|opening| opening.life == when.life)?;
        let by = Time(when.at.0.saturating_sub(SAID_WITHIN.as_nanos() as u64));
        let (counted, newest) = self.counted_after(seq, by, opening)?;
        let looked_at = hub.commits.partition_point(|(at, _)| *at <= by).checked_sub(1);
        let looked_at = looked_at.and_then(|commit| hub.commits.get(commit)).map_or(Time(0), |(at, _)| *at);
        let is_old =
            |age: Duration| !hub.stepped && newest.at.plus(age + age / 64 + HEARS_WITHIN) < looked_at;
        let is_gone = self.retention.count.is_some_and(|most| counted.0 > most + most / 16 + 4)
            || self.retention.bytes.is_some_and(|most| counted.1 > most.0 + most.0 / 16 + 2_000)
            || self.retention.age.is_some_and(|age| is_old(age.0));
        let what = || {
            let ago = when.at.since(newest.at).as_secs();
            format!(
                "{} is shown after {ago} s, with {} and {} bytes after it, of {:?}",
                seq.0, counted.0, counted.1, self.retention
            )
        };
        is_gone.then(what)
    }

    /// How much is counted that came after an entry, as count and bytes, and the newest that is let go of with it.
    fn counted_after(&self, seq: Seq, by: Time, opening: &Opening) -> Option<((u64, u64), Publication)> {
        let own = self.all.get(self.place(seq)).copied().filter(|one| one.seq == seq)?;
        if seq >= opening.next {
            return Some((self.between(seq.next(), Seq(u64::MAX), by), own));
        }
        let after = self.between(opening.next, Seq(u64::MAX), by);
        // Of the one that is written to nobody knows how much it has said.
        let files = opening.files.get(1..).unwrap_or_default();
        let Some((_, last)) = files.iter().find(|(first, last)| (*first..=*last).contains(&seq)) else {
            // One that does not say what it holds goes with the next that is counted.
            let next = self.all.get(self.place(opening.next)).copied()?;
            return Some((self.between(next.seq.next(), Seq(u64::MAX), by), next));
        };
        let newer = files.iter().filter(|(first, _)| first > last);
        let counted = newer.fold(after, |(count, bytes), (first, last)| {
            let more = self.between(*first, *last, Time(u64::MAX));
            (count + more.0, bytes + more.1)
        });
        Some((counted, self.all.get(self.place(last.next()).saturating_sub(1)).copied().unwrap_or(own)))
    }

    /// How many there are from one seq to another that were on disk by then, and their bytes.
    fn between(&self, from: Seq, to: Seq, by: Time) -> (u64, u64) {
        let first = self.place(from);
        let last = self.all.partition_point(|one| one.seq <= to && one.at <= by).max(first);
        let bytes = |end: usize| end.checked_sub(1).and_then(|n| self.all.get(n)).map_or(0, |one| one.bytes);
        ((last - first) as u64, bytes(last) - bytes(first))
    }

    fn place(&self, seq: Seq) -> usize {
        self.all.partition_point(|one| one.seq < seq)
    }
}
