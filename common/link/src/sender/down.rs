//! What is different on the way down: the edge brings the connection, and what is not meant for it is neither sent nor
//! confirmed.
//!
//! Most of a hub's log is not for any one edge. A range that is not is *held*: told, as a skip, in front of the next
//! thing that is. The cursor passes it all the same once nothing before it is under way. So the cursor has two ends:
//! `through`, up to which nothing is owed, and the mark (`gapped`, with the checksum there), up to which the edge itself
//! confirmed. An edge that comes back with less than the mark has lost something; one that has more than that and less
//! than `through` has not.

use super::{
    Down, Output, Sender, Session, State, Way,
    greeting::{Standing, differ},
};
use crate::packer::{Packed, skips};
use riser_model::{ClientId, CursorKey, CursorValue, Epoch, Now, Seq};
use riser_wire::link::{EdgeFrame, Nonce, Signature};
use std::time::Duration;

/// A cursor that only passed what is not the edge's is saved this often: it would otherwise be in every commit.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// The saved cursor of an edge.
pub(super) fn cursor(cursors: Vec<(CursorKey, CursorValue)>, edge: ClientId) -> Option<CursorValue> {
    cursors.into_iter().find(|(key, _)| *key == CursorKey::Downlink(edge)).map(|(_, value)| value)
}

impl Sender {
    pub(super) fn is_downlink(&self) -> bool {
        match self.config.way {
            Way::Up { .. } => false,
            Way::Down => true,
        }
    }

    /// The edge is there: say what there is.
    pub(super) fn ready(&mut self, attempt: u64, now: Now) {
        if self.connecting() {
            self.down(Down::Gone, Duration::ZERO, now);
        }
        if !self.is_downlink() || !matches!(self.state, State::Down { .. }) {
            return;
        }
        self.attempt = attempt;
        let mark = CursorValue { gapped: 0, ..self.mark() };
        let hello = self.hello_from(mark, Nonce([0; 32]), now);
        self.greet(None, hello, Signature::NONE, now);
    }

    /// The last seq that the far end confirmed itself, and the checksum there.
    pub(super) fn mark(&self) -> CursorValue {
        let own = self.own();
        match self.config.way {
            Way::Up { .. } => own,
            Way::Down => CursorValue { through: Seq(own.gapped), ..own },
        }
    }

    /// Whether the edge has everything that is owed it, although its cursor is not ours. One that took nothing yet, or
    /// lost its log, begins where the cursor is: what its log had of this hub is lost with it.
    pub(super) fn is_level(&self, standing: &Standing, took_nothing: bool) -> bool {
        let (own, mark) = (self.own(), self.mark());
        let between = mark.through <= standing.through && standing.through <= own.through;
        self.is_downlink() && (took_nothing || (between && !differ(mark, standing)))
    }

    /// The edge is to be told of what lies between its cursor and ours, when there is something to tell.
    pub(super) fn hold_untold(&mut self, told: Seq, now: Now) {
        let untold: Vec<_> = self.chain.split(told.next(), self.through()).collect();
        let State::Up(session) = &mut self.state else { return };
        let greeted = session.greeted_to;
        for (epoch, from, to) in untold {
            session.hold(epoch, from, to);
            if greeted == Some(epoch) {
                break;
            }
        }
        if let Some((_, _, to)) = session.held.last() {
            session.next = to.next();
        }
        self.greet_further(now);
    }

    /// A commit without anything for this edge.
    pub(super) fn passed(&mut self, first: Seq, last: Seq, now: Now) {
        self.chain.added(last);
        self.equation.added(&self.chain, first, last);
        let (through, live) = (self.through(), self.chain.live().epoch);
        match &mut self.state {
            State::Up(session) if session.is_idle_at(first) && session.greeted_to == Some(live) => {
                session.hold(live, first, last);
                session.next = last.next();
                self.pass_held(now);
            }
            State::Down { .. } if through == first.prev() => self.pass(last, now),
            State::Up(_)
            | State::Down { .. }
            | State::Dialing { .. }
            | State::Listening { .. }
            | State::Greeting(_)
            | State::Forked { .. }
            | State::Stopped => self.progress.added(first, now.time),
        }
    }

    /// What is held is passed once nothing before it is under way.
    pub(super) fn pass_held(&mut self, now: Now) {
        let State::Up(session) = &self.state else { return };
        if let Some((_, _, to)) = session.held.last()
            && session.window.is_empty()
            && *to > self.through()
        {
            self.pass(*to, now);
        }
    }

    fn pass(&mut self, through: Seq, now: Now) {
        let before = self.through();
        self.equation.confirmed(&self.chain, through, Some(&[]));
        self.progress.synced(through, self.chain.last(), through.0.saturating_sub(before.0), now.time);
        self.cursor = Some(CursorValue { through, ..self.own() });
        if now.time.since(self.saved_at) >= SAVE_EVERY {
            self.save(false, now);
        }
    }

    /// The cursor is to ride in a commit, or to have one of its own.
    pub(super) fn save(&mut self, at_once: bool, now: Now) {
        self.saved_at = now.time;
        self.moved(at_once);
    }

    /// Whether the edge still has to be told of what ends the epochs that the Hello named, before another can name more.
    pub(super) fn owes_skips(&self) -> bool {
        let State::Up(session) = &self.state else { return false };
        !session.held.is_empty() || (self.is_downlink() && !session.window.is_empty())
    }

    /// Tells it.
    pub(super) fn hurry_held(&mut self, now: Now) {
        let last = self.greeted_last();
        let (attempt, added) = (self.attempt, self.chain.last());
        let State::Up(session) = &mut self.state else { return };
        if last >= added || session.next <= last || !session.window.is_empty() {
            return;
        }
        for (batch, unconfirmed) in session.tell_held(added) {
            session.window.sent(unconfirmed, true, now.time);
            self.outputs.push_back(Output::Send { attempt, frame: EdgeFrame::Batch(batch) });
        }
    }
}

impl Session {
    /// Whether everything before `next` was looked at and nothing is being read.
    fn is_idle_at(&self, next: Seq) -> bool {
        self.check.is_none() && self.reading.is_none() && self.next == next
    }

    pub(super) fn hold(&mut self, epoch: Epoch, from: Seq, to: Seq) {
        match self.held.last_mut() {
            Some((of, _, end)) if *of == epoch && end.next() == from => *end = to,
            Some(_) | None => self.held.push((epoch, from, to)),
        }
    }

    /// What is held as batches: one for each epoch.
    pub(super) fn tell_held(&mut self, last_added: Seq) -> Vec<Packed> {
        let held = std::mem::take(&mut self.held).into_iter();
        held.map(|(epoch, first, last)| skips(epoch, first, last, last_added)).collect()
    }
}
