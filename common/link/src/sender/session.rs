//! A welcomed connection: reading on, sending, and what a confirmation means.

use super::{Down, LinkEvent, Output, Sender, State, Wake, moving::Awaits};
use crate::{
    latest::BEHIND_AFTER,
    packer::{Defined, Packing},
    window::Window,
};
use riser_model::{Chunk, Epoch, Gap, Now, Run, Seq, Time};
use riser_wire::entry::Frame;
use riser_wire::link::{EdgeFrame, Limits};
use std::{collections::BTreeMap, time::Duration};

/// A log that had nothing where it should is asked again.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// A few entries wait for the confirmation of what is under way: alone they would cost the link more in frames than
/// they are worth. But no longer than this,
const COMPANY_WITHIN: Duration = Duration::from_millis(2);
/// and so many do not wait.
const COMPANY: u64 = 16;
/// A downlink looks at least this far at once.
const SCAN_BYTES: u64 = 64 * 1024;
/// What Latest may take of a link before anything was measured.
const UNMEASURED_BYTES_PER_S: u64 = 64 * 1024;

/// What one connection holds.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) limits: Limits,
    pub(super) taken: BTreeMap<Epoch, Seq>,
    /// The last epoch that the Hello named.
    pub(super) greeted_to: Option<Epoch>,
    pub(super) defined: Defined,
    pub(super) window: Window,
    /// The next seq to send.
    pub(super) next: Seq,
    /// On a downlink: what lies before `next`, is not meant for the edge, and it was not told, oldest first.
    pub(super) held: Vec<(Epoch, Seq, Seq)>,
    /// How many bytes of entries the last read was for.
    pub(super) room: u64,
    /// Everything up to here the hub once confirmed.
    pub(super) regained: Seq,
    /// The hub's cursor, until the entry there was compared.
    pub(super) check: Option<Check>,
    pub(super) reading: Option<u64>,
    pub(super) read_again_at: Option<Time>,
    /// Until then a few entries wait for more.
    pub(super) company_until: Option<Time>,
    /// What only a former parent can still bring.
    pub(super) awaits: Option<Awaits>,
    /// Latest is on, and CaughtUp will end it.
    pub(super) behind: bool,
}

/// What the hub says is at its cursor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Check {
    pub(super) through: Seq,
    pub(super) crc: u32,
}

impl Sender {
    pub(super) fn latest_due(&self, session: &Session) -> Option<(Time, Wake)> {
        // A value of an epoch that the Hello did not name is nothing that the hub takes.
        let named = session.greeted_to == Some(self.chain.live().epoch);
        let due = [self.own_latest_due(), self.presents.is_due().then(|| self.latest.next_at())];
        let due = due.into_iter().flatten().min();
        due.filter(|_| named && session.check.is_none()).map(|due| (due, Wake::Latest))
    }

    /// When the newest values of this log are due: while its oldest entry waits.
    fn own_latest_due(&self) -> Option<Time> {
        let waited = self.progress.waited(BEHIND_AFTER)?;
        self.latest.due().map(|due| due.max(waited))
    }

    pub(super) fn read_due(&self, session: &Session) -> Option<(Time, Wake)> {
        session.read_again_at.map(|at| (at, Wake::Read))
    }

    pub(super) fn company_due(&self, session: &Session) -> Option<(Time, Wake)> {
        session.company_until.map(|at| (at, Wake::Company))
    }

    /// Sends and reads as much as is due.
    pub(super) fn pump(&mut self, now: Now) {
        self.latest(now);
        self.hurry_held(now);
        if self.stands_waiting(now) {
            return;
        }
        let last = self.greeted_last();
        let downlink = self.is_downlink();
        let State::Up(session) = &mut self.state else { return };
        if session.read_again_at.is_some_and(|at| now.time >= at) {
            session.read_again_at = None;
        }
        if session.reading.is_some() || session.read_again_at.is_some() {
            return;
        }
        let from = match session.check {
            Some(check) => check.through,
            None if session.next <= last => session.next,
            None => return,
        };
        let waiting = last.next().0.saturating_sub(from.0);
        let until = session.window.newest().map(|at| at.plus(COMPANY_WITHIN));
        session.company_until = until.filter(|until| waiting < COMPANY && now.time < *until);
        if session.company_until.is_some() {
            return;
        }
        let Some(room) = session.window.room(now.time) else { return };
        self.reads += 1;
        session.reading = Some(self.reads);
        session.room = room;
        // Most of what a downlink reads goes nowhere.
        let room = if downlink { room.max(SCAN_BYTES) } else { room };
        let bytes_max = u32::try_from(room).unwrap_or(u32::MAX).min(session.limits.batch_bytes);
        self.outputs.push_back(Output::Read { number: self.reads, from, bytes_max });
    }

    pub(super) fn read(&mut self, number: u64, mut chunk: Chunk, now: Now) {
        let last = self.greeted_last();
        let downlink = self.is_downlink();
        let State::Up(session) = &mut self.state else { return };
        if session.reading != Some(number) {
            return;
        }
        session.reading = None;
        if let Some(check) = session.check.take() {
            if chunk.next <= check.through {
                session.check = Some(check);
                session.read_again_at = Some(now.time.plus(READ_AGAIN_AFTER));
                return;
            }
            match same(check, &chunk) {
                Some(true) => self.fork = self.fork.filter(|fork| !fork.is_passed(check.through)),
                Some(false) => return self.other_entry(check, now),
                None => {}
            }
            self.adopt(check, now);
        }
        if self.leave_to_former(&mut chunk, now) {
            return;
        }
        let State::Up(session) = &mut self.state else { return };
        trim_to(&mut chunk, last);
        if downlink && let Some(end) = self.table.fills(&chunk, session.next, session.room) {
            trim_to(&mut chunk, end);
        }
        let before = session.next;
        let packing = Packing {
            chain: &self.chain,
            table: &self.table,
            hub: self.hub.map(|hub| hub.log).unwrap_or_default(),
            limits: session.limits,
            taken: &session.taken,
            regained: session.regained,
            down: downlink,
        };
        let packed = packing.pack(&mut session.defined, &mut session.next, &chunk);
        if session.next == before && before <= last && chunk.next > before {
            // What was read does not go on from where it was asked: nothing good comes of asking again soon.
            return self.fail(Down::Unread, now);
        }
        if session.next == before && before <= last {
            session.read_again_at = Some(now.time.plus(READ_AGAIN_AFTER));
        }
        let starved = session.next > last;
        let attempt = self.attempt;
        for (batch, unconfirmed) in packed {
            if downlink && unconfirmed.skips_only {
                session.hold(unconfirmed.epoch, batch.first, unconfirmed.last);
                continue;
            }
            for (batch, unconfirmed) in
                session.tell_held(self.chain.last()).into_iter().chain([(batch, unconfirmed)])
            {
                session.window.sent(unconfirmed, starved, now.time);
                self.outputs.push_back(Output::Send { attempt, frame: EdgeFrame::Batch(batch) });
            }
        }
        self.pass_held(now);
    }

    pub(super) fn synced(&mut self, epoch: Epoch, through: Seq, refused: &[Gap], now: Now) {
        let before = self.through();
        let State::Up(session) = &mut self.state else { return self.fail(Down::Malformed, now) };
        let Some(done) = session.window.confirmed(epoch, through, now.time) else {
            return self.fail(Down::Malformed, now);
        };
        let in_order = refused.is_sorted_by(|a, b| a.to < b.from);
        if !in_order || refused.iter().any(|gap| gap.from > gap.to || gap.from <= before || gap.to > through)
        {
            return self.fail(Down::Malformed, now);
        }
        let crc = done.last().map_or(0, |batch| batch.crc);
        let mut gaps = Vec::new();
        for batch in &done {
            gaps.extend(batch.gaps.iter().map(|(from, to, _)| (*from, *to)));
            self.emit_gaps(batch.epoch, &batch.gaps);
        }
        gaps.extend(refused.iter().map(|gap| (gap.from, gap.to)));
        for gap in refused {
            self.emit(LinkEvent::Gap { epoch, gap: *gap });
        }
        self.equation.confirmed(&self.chain, through, Some(&gaps));
        self.progress.synced(through, self.chain.last(), through.0.saturating_sub(before.0), now.time);
        self.latest.synced(through, self.chain.last());
        self.backoff.succeeded();
        self.move_cursor(through, crc);
        self.pass_held(now);
        self.caught_up(now);
        self.greet_further(now);
    }

    /// The newest value per changed channel, while the oldest unconfirmed entry waits for longer than a second; and what
    /// edges below show beside backlogs of theirs.
    fn latest(&mut self, now: Now) {
        let State::Up(session) = &self.state else { return };
        if self.latest_due(session).is_none_or(|(due, _)| now.time < due) {
            return;
        }
        let own = self.own_latest_due().is_some_and(|due| due <= now.time);
        let State::Up(session) = &mut self.state else { return };
        session.behind |= own;
        let rate = session.window.rate().unwrap_or(UNMEASURED_BYTES_PER_S);
        let values = if own { self.latest.take(rate, now.time) } else { Vec::new() };
        if !own {
            self.latest.earn(rate, now.time);
        }
        let hub = self.hub.map(|hub| hub.log).unwrap_or_default();
        let packing = Packing {
            chain: &self.chain,
            table: &self.table,
            hub,
            limits: session.limits,
            taken: &session.taken,
            regained: session.regained,
            down: false,
        };
        let mut batches = packing.pack_latest(&mut session.defined, &values);
        batches
            .extend(packing.pack_presents(&mut session.defined, (&mut self.presents, self.latest.credit())));
        for batch in batches {
            self.send(EdgeFrame::Latest(batch));
        }
    }

    fn caught_up(&mut self, now: Now) {
        let waits = self.progress.oldest_waits(now.time).unwrap_or_default();
        let through = self.through();
        let epoch = self.chain.at(through).epoch;
        let State::Up(session) = &mut self.state else { return };
        if session.behind && waits < BEHIND_AFTER {
            session.behind = false;
            if !self.is_downlink() {
                self.send(EdgeFrame::CaughtUp { epoch, through });
            }
            self.emit(LinkEvent::CaughtUp { through });
        }
    }

    /// Everything that the Hello named is confirmed and there are epochs that it did not name: greet again.
    pub(super) fn greet_further(&mut self, now: Now) {
        let last = self.greeted_last();
        if last < self.chain.last() && self.through() >= last && !self.owes_skips() {
            self.greet_again(now);
        }
    }

    /// The last seq of the epochs that the Hello named.
    pub(super) fn greeted_last(&self) -> Seq {
        let State::Up(session) = &self.state else { return self.chain.last() };
        session
            .greeted_to
            .and_then(|epoch| self.chain.named(epoch))
            .map_or(self.chain.last(), |link| link.last)
    }

    /// The entry at the hub's cursor is not ours. The live epoch gets a new name; a closed one keeps its own,
    /// and what cannot be delivered under it is lost, and said so.
    fn other_entry(&mut self, check: Check, now: Now) {
        let (own, link) = (self.through(), self.chain.at(check.through));
        if link == self.chain.live() {
            return self.fork(own, now);
        }
        self.emit(LinkEvent::Forked { epoch: link.epoch, at: check.through });
        self.lost_in_fork(own.next().max(link.first), check.through);
        self.fork = None;
        self.adopt(Check { crc: 0, ..check }, now);
    }
}

/// Whether the first entry read is the one that the hub has there, if both can be compared.
fn same(check: Check, chunk: &Chunk) -> Option<bool> {
    match chunk.runs.first()? {
        Run::Entries { first, entries, .. } if *first == check.through => {
            let (frame, _) = Frame::read(entries, 0).ok()?;
            Some(frame.crc == check.crc)
        }
        Run::Entries { .. } | Run::Gap(_) => None,
    }
}

/// Cuts off what lies behind `last`: it came into the log after the question, or belongs to epochs that were
/// not named yet.
pub(super) fn trim_to(chunk: &mut Chunk, last: Seq) {
    for run in &mut chunk.runs {
        match run {
            Run::Entries { first, count, .. } => {
                *count = u32::try_from(last.next().0.saturating_sub(first.0)).unwrap_or(u32::MAX).min(*count);
            }
            Run::Gap(gap) => gap.to = gap.to.min(last),
        }
    }
    chunk.runs.retain(|run| match run {
        Run::Entries { count, .. } => *count > 0,
        Run::Gap(gap) => gap.from <= gap.to,
    });
}
