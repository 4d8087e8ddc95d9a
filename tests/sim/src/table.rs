//! The table of what channels retain, as a host has it on disk: written with a lag, in whole transactions, by a thread
//! that dies with its process.
//!
//! What always holds (but for the wrong variants): after a crash the table is what some transaction left, with how far
//! that one had seen the log; what was not begun by then is in the log only.

use crate::mutant::Mutant;
use fastrand::Rng;
use riser_instance::LogFold;
use riser_log::{Disk, Reader, Recovered};
use riser_model::{Position, Route, RouteNumber, Run, Seq};
use riser_rooms::{Changes, Config as RoomsConfig, RetainedTable, retained::Saved};
use riser_wire::entry::frames;
use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

/// How often it is written at most, as in the program.
pub const SAVE_EVERY: Duration = Duration::from_secs(1);
/// One read of the log at the start, bytes, as in the program.
const READ_BYTES: usize = 1 << 20;

#[derive(Clone, Debug)]
struct Change {
    through: Vec<u8>,
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Table {
    saved: Saved,
    /// Ordered, and not begun.
    waiting: Option<Change>,
    /// Being written.
    writing: Option<Change>,
    /// Changes that were ordered and are not durable, and of those how many are being written.
    unsaved: (usize, usize),
    /// What the log had let go of at a start, and the table had not seen: it could not be written for longer than the log waits.
    pub missed: Vec<RangeInclusive<Seq>>,
    mutant: Option<Mutant>,
    rng: Rng,
}

impl Table {
    /// An empty one.
    pub fn new(rng: Rng, mutant: Option<Mutant>) -> Self {
        Self {
            saved: Saved::default(),
            waiting: None,
            writing: None,
            unsaved: (0, 0),
            missed: Vec::new(),
            mutant,
            rng,
        }
    }

    /// Orders a change. The seq after which the log must keep everything, if that is new; and whether a save is to
    /// begin within [`SAVE_EVERY`].
    pub fn change(&mut self, changes: &Changes) -> (Option<Seq>, bool) {
        let first = changes.changed.values().flatten().map(|one| one.position.seq).min();
        let hold = (self.unsaved.0 == 0).then(|| first.unwrap_or(changes.through.seq).prev());
        self.unsaved.0 += 1;
        let mut rows: BTreeMap<_, _> = changes.rows().collect();
        if self.mutant == Some(Mutant::ClearIgnored) {
            rows.retain(|_, row| row.is_some());
        }
        let begin = self.waiting.is_none() && self.writing.is_none();
        let change = Change { through: changes.through_row(), rows };
        match &mut self.waiting {
            Some(waiting) => waiting.then(change),
            None => self.waiting = Some(change),
        }
        (hold, begin)
    }

    /// What waits begins to be written.
    pub fn begin(&mut self) {
        self.writing = self.waiting.take();
        self.unsaved.1 = self.unsaved.0;
    }

    /// The write is over. Whether nothing is unsaved from here on, and whether the next save is to be begun within
    /// [`SAVE_EVERY`].
    pub fn end(&mut self, fails: bool) -> (bool, bool) {
        if fails {
            if let Some(mut writing) = self.writing.take() {
                if let Some(waiting) = self.waiting.take() {
                    writing.then(waiting);
                }
                self.waiting = Some(writing);
            }
        } else {
            self.write();
            self.unsaved.0 -= self.unsaved.1;
        }
        self.unsaved.1 = 0;
        (self.unsaved.0 == 0, self.waiting.is_some())
    }

    fn write(&mut self) {
        let Some(Change { through, rows }) = self.writing.take() else { return };
        self.saved.through = Some(through);
        for (key, row) in rows {
            match row {
                Some(row) => drop(self.saved.rows.insert(key, row)),
                None => drop(self.saved.rows.remove(&key)),
            }
        }
    }

    /// The process is gone: what was being written is there, or not, as a whole.
    pub fn die(&mut self) {
        if self.rng.bool() {
            self.write();
        } else if let Some(writing) = &self.writing
            && self.mutant == Some(Mutant::TableTorn)
        {
            self.saved.through = Some(writing.through.clone());
        }
        (self.writing, self.waiting, self.unsaved) = (None, None, (0, 0));
    }

    /// The process goes down on purpose: what waits is written.
    pub fn finish(&mut self) {
        self.write();
        self.begin();
        self.write();
        self.unsaved = (0, 0);
    }

    /// What a backup would take.
    pub fn image(&self) -> Saved {
        self.saved.clone()
    }

    /// Puts a backup back.
    pub fn restore(&mut self, image: &Saved) {
        self.saved = image.clone();
    }

    /// Flips a bit in a row, if there is one.
    pub fn flip_somewhere(&mut self, rng: &mut Rng) {
        let rows = self.saved.rows.len();
        if rows > 0
            && let Some(row) = self.saved.rows.values_mut().nth(rng.usize(0..rows))
        {
            let at = rng.usize(0..row.len());
            row.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << rng.u8(0..8));
        }
    }

    /// What channels retain at a start: as it was saved, and rolled forward from the log, as the program does it.
    pub fn recover<D: Disk>(
        &mut self,
        recovered: &Recovered<LogFold>,
        mut reader: Reader<D>,
    ) -> RetainedTable {
        let newest = recovered.fold.newest_retained;
        if newest == Seq::ZERO && self.saved == Saved::default() {
            return RetainedTable::default();
        }
        let read = RetainedTable::read(&self.saved);
        if read.is_err() {
            // It is moved aside.
            self.saved = Saved::default();
        }
        let (mut retained, through) = read.unwrap_or_default();
        let seen = through.filter(|through| through.log == recovered.log).map(|through| through.seq.next());
        self.missed
            .extend(seen.filter(|seen| *seen < recovered.oldest).map(|seen| seen..=recovered.oldest.prev()));
        let mut from = retained.align(through, recovered.log, &recovered.chain, recovered.oldest);
        if self.mutant == Some(Mutant::RollForwardSkipped) {
            return retained;
        }
        let routes: BTreeMap<RouteNumber, &Route> =
            recovered.routes.iter().map(|(number, route)| (*number, route)).collect();
        let bytes_max = RoomsConfig::default().retained_bytes_max;
        while from <= newest {
            let Ok(chunk) = reader.read(from, READ_BYTES) else { break };
            for run in &chunk.runs {
                let Run::Entries { first, epoch, entries, .. } = run else { continue };
                for (n, frame) in frames(entries).map_while(Result::ok).enumerate() {
                    let (log, seq) = (recovered.log, first.plus(n as u64));
                    if let Some(route) = routes.get(&frame.route) {
                        retained.apply(&frame, Position { log, epoch: *epoch, seq }, route, bytes_max);
                    }
                }
            }
            if chunk.next <= from {
                break;
            }
            from = chunk.next;
        }
        retained
    }
}

impl Change {
    fn then(&mut self, later: Self) {
        self.through = later.through;
        self.rows.extend(later.rows);
    }
}
