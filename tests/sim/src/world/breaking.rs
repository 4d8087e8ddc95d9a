//! What breaks, and how it is made well again.

use super::{Event, World};
use crate::{
    disk::{Ill, Injection},
    fault::{Death, Fault, ShelfIll},
    host::Later,
    journal::Lost,
    wires::{Road, Way},
};
use std::time::Duration;

/// A WebSocket of which nothing is heard is pinged after 25 s, and left 12 s later.
const SILENT_AFTER: Duration = Duration::from_secs(25 + 12);

impl World {
    pub(super) fn break_something(&mut self, fault: Fault) {
        match fault {
            Fault::Cut { road, up, down, lasts } => {
                self.ledger.counts.cuts += 1;
                self.broken.push((self.now, road));
                self.net.cut(road, up, down, self.now);
                self.after(lasts, Event::Mend(road));
            }
            Fault::Forget(road) => {
                self.ledger.counts.cuts += 1;
                self.broken.push((self.now, road));
                let mut left = Vec::new();
                for (id, wire) in self.net.wires.iter_mut().filter(|(_, wire)| wire.road == road) {
                    wire.forgotten = true;
                    left.extend(wire.client.is_pinged().then_some(*id));
                }
                left.into_iter().for_each(|id| self.after(SILENT_AFTER, Event::Silent(id)));
            }
            Fault::Dies(n, death) => self.die(n, death),
            // Where there is an archive it is as often a call of that.
            Fault::DiesAtCall(0, calls) if self.knobs.chronicle && calls % 2 == 0 => {
                self.hosts[0].archive_disk.crash_in(calls / 2);
            }
            Fault::DiesAtCall(n, calls) => self.hosts[n].disk.crash_in(calls),
            Fault::DiesAfter(n, outputs, death) => {
                self.machines[n].dies = Some(death);
                self.hosts[n].die_after(outputs);
            }
            Fault::Restart(n) => {
                self.ledger.counts.others += 1;
                if self.hosts[n].process.as_ref().is_some_and(|process| !process.stopping) {
                    self.hosts[n].shut_down(self.now);
                    self.settle(n);
                }
            }
            Fault::SlowDisk(n, times, lasts) => {
                self.ledger.counts.others += 1;
                self.hosts[n].disk.slow_down(times);
                self.hosts[n].archive_disk.slow_down(times);
                self.after(lasts, Event::MendDisk(n));
            }
            Fault::FailSyncs(n, syncs) => {
                self.ledger.counts.others += 1;
                self.hosts[n].troubled = true;
                self.hosts[n].disk.fail_syncs(syncs);
            }
            Fault::FailsCall(n, calls, failure) => {
                self.ledger.counts.others += 1;
                self.hosts[n].troubled = true;
                self.hosts[n].disk.fail_in(calls, failure);
            }
            Fault::FullDisk(n, free, lasts) => {
                self.ledger.counts.others += 1;
                self.hosts[n].troubled = true;
                self.hosts[n].disk.set_free(Some(free));
                self.hosts[n].archive_disk.set_free(Some(free));
                self.after(lasts, Event::MendDisk(n));
            }
            Fault::Shelf(ill) => self.ail_shelf(ill),
            Fault::Backup(n) => {
                let host = &self.hosts[n];
                self.machines[n].backup = Some((host.disk.image(), host.journal.clone(), host.table.image()));
            }
            Fault::Restore(n) => self.restore(n),
            Fault::Flip(n) => self.flip(n),
            Fault::FlipNewest(n) => {
                self.ledger.counts.others += 1;
                self.die(n, Death::Power);
                self.hosts[n].damaged = true;
                if let Some((file, at)) = self.hosts[n].disk.flip_newest() {
                    self.trace.line(self.now, || format!("host {n}: a bit of {file} at {at} is flipped"));
                }
            }
            Fault::Step(n, by_ms) => {
                self.ledger.counts.others += 1;
                self.hosts[n].skew_ms += by_ms;
                self.hosts[n].stepped = true;
                let life = self.hosts[n].life;
                let noticed = Duration::from_millis(self.rng.u64(1..500));
                self.after(noticed, Event::Host(n, life, Later::ClockStepped(by_ms)));
            }
        }
    }

    /// From here on calls of a host's disk go wrong as that says, or none any more.
    pub fn inject(&mut self, n: usize, injection: Option<Injection>) {
        let ill = injection.as_ref().map(|injection| injection.ill);
        self.machines[n].dies = (ill == Some(Ill::Dies)).then_some(Death::Kill);
        self.hosts[n].troubled |= matches!(ill, Some(Ill::Fails(_)));
        self.hosts[n].disk.inject(injection);
    }

    /// The hub's archive cannot be read, or is full.
    fn ail_shelf(&mut self, ill: ShelfIll) {
        self.ledger.counts.others += 1;
        let host = &mut self.hosts[0];
        host.shelf_troubled = true;
        let lasts = match ill {
            ShelfIll::Shut(lasts) => {
                host.archive_disk.shut(true);
                host.held.closes(self.now, self.now.plus(lasts));
                lasts
            }
            ShelfIll::Full(free, lasts) => {
                host.archive_disk.set_free(Some(free));
                lasts
            }
        };
        self.after(lasts, Event::MendShelf);
    }

    pub(super) fn mend_shelf(&mut self) {
        self.hosts[0].archive_disk.shut(false);
        self.hosts[0].archive_disk.set_free(None);
    }

    /// A machine comes back as it was at its last backup. What it has committed since is gone with the disk.
    fn restore(&mut self, n: usize) {
        let Some((image, journal, table)) = self.machines[n].backup.clone() else { return };
        self.ledger.counts.others += 1;
        self.die(n, Death::Power);
        let host = &mut self.hosts[n];
        host.stale = true;
        // What was on its way from it speaks of what is no more.
        self.net.wires.values_mut().filter(|wire| wire.server == n).for_each(|wire| wire.forgotten = true);
        host.disk.restore(&image);
        // Sometimes the table beside the log is from another time.
        if self.rng.u8(0..4) > 0 {
            host.table.restore(&table);
        }
        // The backup may be of a disk that lost its end at the next start: other entries had those seqs since.
        let former = std::mem::replace(&mut host.journal, journal);
        let there = &host.journal.entries;
        let gone = former.entries.into_iter().filter(|(seq, entry)| there.get(seq) != Some(entry));
        host.lost.extend(gone.map(|(seq, entry)| Lost { seq, entry, allowed: true }));
        if n == 0 {
            for seat in &mut self.subscribers {
                seat.reading.log_went_back(&self.hosts[0].journal);
            }
        }
    }

    fn flip(&mut self, n: usize) {
        self.ledger.counts.others += 1;
        self.die(n, Death::Power);
        self.hosts[n].damaged = true;
        if self.rng.bool() {
            self.hosts[n].table.flip_somewhere(&mut self.rng);
        }
        if let Some((file, at)) = self.hosts[n].disk.flip_somewhere(&mut self.rng) {
            self.trace.line(self.now, || format!("host {n}: a bit of {file} at {at} is flipped"));
        }
    }

    pub(super) fn mend(&mut self, road: Road) {
        if self.net.is_cut(road, Way::Up) || self.net.is_cut(road, Way::Down) {
            self.mended.insert(road, self.now);
            self.trace.line(self.now, || format!("{road:?} is mended"));
        }
        self.net.cut(road, false, false, self.now);
    }

    pub(super) fn mend_disk(&mut self, n: usize) {
        self.hosts[n].disk.slow_down(1);
        self.hosts[n].archive_disk.slow_down(1);
        self.hosts[n].disk.set_free(None);
        self.hosts[n].disk.fail_syncs(0);
        self.hosts[n].disk.calm();
        self.hosts[n].archive_disk.set_free(None);
    }

    /// Everything that is broken is made well, for good.
    pub fn heal(&mut self) {
        self.trace.line(self.now, || "everything is mended".to_owned());
        self.healed = true;
        self.mend_shelf();
        for n in 0..self.hosts.len() {
            self.mend_disk(n);
            self.mend(Road::Site(n));
            self.mend(Road::Uplink(n));
        }
        for n in 0..self.subscribers.len() {
            self.mend(Road::Reader(n));
        }
        for n in 0..self.guests.len() {
            self.mend(Road::Guest(n));
        }
        for n in 0..self.writers.len() {
            self.mend(Road::Writer(n));
        }
        for n in 0..self.callers.len() {
            self.mend(Road::Caller(n));
        }
        for n in 0..self.talkers.len() {
            self.mend(Road::Talker(n));
        }
        self.hosts.iter_mut().for_each(|host| host.outside_is_well = true);
        self.last_visits();
    }
}
