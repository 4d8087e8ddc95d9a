//! An edge that was moved: what only its former parent can still bring is waited for (see [`former`](crate::former)).
//!
//! The reading stands still in front of the gap. Every few seconds the hub is asked how far that epoch was taken, by it or
//! by anybody above it; once that is far enough the edge greets anew, and goes on from where the hub then stands.

use super::{EdgeFrame, LinkEvent, Output, Sender, Session, State, Wake, session::trim_to};
use riser_model::{Chunk, CursorValue, Epoch, LogId, Now, Seq, Time};
use riser_wire::link::Above;
use std::time::Duration;

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Awaits {
    from: Seq,
    to: Seq,
    /// It is known what lies above, and people were told.
    said: bool,
    ask_at: Time,
}

impl Sender {
    pub(super) fn awaits(&self) -> Option<Seq> {
        let State::Up(session) = &self.state else { return None };
        session.awaits.filter(|awaits| awaits.said).map(|awaits| awaits.to)
    }

    pub(super) fn former_due(&self, session: &Session) -> Option<(Time, Wake)> {
        session.awaits.filter(|_| self.former.knows_above()).map(|awaits| (awaits.ask_at, Wake::Former))
    }

    /// Cuts off what begins with something that only a former parent can still bring. Whether nothing is left.
    pub(super) fn leave_to_former(&mut self, chunk: &mut Chunk, now: Now) -> bool {
        let downlink = self.is_downlink();
        let State::Up(session) = &mut self.state else { return false };
        let due = self.former.due(chunk, session.next).filter(|_| !downlink);
        let Some((from, to)) = due else { return false };
        trim_to(chunk, from.prev());
        if from > session.next {
            return false;
        }
        session.awaits = Some(Awaits { from, to, said: false, ask_at: now.time });
        true
    }

    /// Whether nothing is read because something is waited for; asks how far it came.
    pub(super) fn stands_waiting(&mut self, now: Now) -> bool {
        let State::Up(session) = &mut self.state else { return false };
        let Some(awaits) = &mut session.awaits else { return false };
        if !self.former.knows_above() || now.time < awaits.ask_at {
            return true;
        }
        let (waits, said) = (self.former.waits(), std::mem::replace(&mut awaits.said, true));
        awaits.ask_at = now.time.plus(ASK_EVERY);
        let Awaits { from, to, .. } = *awaits;
        if !waits {
            session.awaits = None;
            self.former.give(to);
        }
        if !said {
            self.emit(LinkEvent::Awaits { from, to, waits });
        }
        if waits {
            let epoch = self.chain.at(to).epoch;
            self.send(EdgeFrame::Reached { log: self.log, epoch });
        }
        waits
    }

    /// An edge below asks.
    pub(super) fn ask_above(&mut self, log: LogId, epoch: Epoch) {
        if matches!(self.state, State::Up(_)) && !self.is_downlink() {
            self.send(EdgeFrame::Reached { log, epoch });
        }
    }

    /// The hub, or somebody above it, says how far it is with an epoch of a log.
    pub(super) fn reached(&mut self, (log, epoch): (LogId, Epoch), through: Seq, now: Now) {
        if self.is_downlink() {
            return;
        }
        if log != self.log {
            self.outputs.push_back(Output::Reached { log, epoch, through });
            return;
        }
        let State::Up(session) = &self.state else { return };
        let Some(Awaits { to, .. }) = session.awaits else { return };
        if self.chain.at(to).epoch == epoch && through >= to {
            self.former.give(to);
            // The hub itself may stand elsewhere by now.
            self.greet_again(now);
        }
    }

    /// The hub said what lies above it: who is above it is not waited for.
    pub(super) fn know_above(&mut self, above: &Above, now: Now) {
        self.former.above(&above.logs);
        if let State::Up(session) = &mut self.state
            && session.awaits.take().is_some()
        {
            // It is looked at again.
            session.read_again_at = Some(now.time);
        }
        self.topmost = above.hops == 0;
        if self.hub.is_some() {
            let value = CursorValue { gapped: u64::from(self.topmost), ..self.own() };
            self.save_cursor(value, false);
        }
    }
}
