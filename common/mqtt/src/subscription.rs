//! One subscription of the connection: what was asked, how far it was delivered, and how far the peer has it.

use crate::walking::Walking;
use riser_model::{
    Gap, Position,
    door::{Keep, Showing, Want},
};
use std::{collections::VecDeque, sync::Arc};

/// MQTT's subscription options.
pub(crate) mod options {
    pub(crate) const QOS: u8 = 0x03;
    pub(crate) const NO_LOCAL: u8 = 0x04;
    pub(crate) const RETAIN_AS_PUBLISHED: u8 = 0x08;
    pub(crate) const RETAIN_HANDLING: u8 = 0x30;
    pub(crate) const RESERVED: u8 = 0xc0;
}

/// Gaps that wait for the next delivery to be told; more are only counted.
const NOTED_GAPS_MAX: usize = 8;

/// When a SUBSCRIBE is followed by what the channels retain (MQTT 5, section 3.8.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RetainHandling {
    Always,
    WhenNew,
    Never,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) filter: Arc<str>,
    pub(crate) want: Want,
    pub(crate) keep: Keep,
    /// The session holds it.
    pub(crate) kept: bool,
    /// Subscribes asked and answered.
    pub(crate) asked: u32,
    pub(crate) answered: u32,
    /// What its channels retain was asked for, and is not answered.
    pub(crate) showing: bool,
    /// Of `$SYS`: it is to be shown all of it.
    pub(crate) fresh: bool,
    /// What its channels retain, as far as the session has to know.
    pub(crate) walking: Option<Walking>,
    /// The newest that came from the bus.
    received: Option<Position>,
    /// The newest that was written, or passed over.
    passed: Option<Position>,
    /// Written and not acknowledged: the position before each, and its own.
    unacknowledged: VecDeque<(Position, Position)>,
    confirmed: Option<Position>,
    gaps: Vec<Gap>,
}

impl Subscription {
    /// `through`: where a session that holds it left it.
    pub(crate) fn new(filter: String, want: Want, keep: Keep, kept: bool, through: Option<Position>) -> Self {
        Self {
            filter: filter.into(),
            want,
            keep,
            kept,
            asked: 0,
            answered: 0,
            showing: false,
            fresh: false,
            walking: None,
            received: through,
            passed: through,
            unacknowledged: VecDeque::new(),
            confirmed: through,
            gaps: Vec::new(),
        }
    }

    /// Whether the bus has answered it.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered > 0
    }

    /// The QoS that it is granted.
    pub(crate) fn qos(&self) -> u8 {
        (self.keep.options & options::QOS).min(2)
    }

    /// When it is shown what its channels retain.
    pub(crate) fn retain_handling(&self) -> RetainHandling {
        match self.keep.options & options::RETAIN_HANDLING {
            0x00 => RetainHandling::Always,
            0x10 => RetainHandling::WhenNew,
            _ => RetainHandling::Never,
        }
    }

    /// One of a group's: what it gets is in no order of its own, and each one is settled by itself.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.want, Want::Shared(_))
    }

    pub(crate) fn has(&self, option: u8) -> bool {
        self.keep.options & option != 0
    }

    /// Whether the session has to know how far it was shown what its channels retain.
    fn walks(&self) -> bool {
        let retains = match self.want {
            Want::Topic(_) | Want::Room(..) | Want::Technical(_) => true,
            Want::Shared(_) | Want::Positions(_) | Want::System(_) => false,
        };
        self.kept && retains
    }

    /// It is to be shown what its channels retain.
    pub(crate) fn show(&mut self, showing: &Showing) {
        match (&mut self.walking, showing) {
            (_, Showing::Nothing) => {}
            (Some(walking), Showing::All) => walking.begin_anew(),
            (Some(_), Showing::After(..)) => {}
            (None, Showing::All | Showing::After(..)) => {
                self.walking = self.walks().then(|| Walking::new(showing.clone()));
            }
        }
    }

    /// Where to go on reading, if it is asked for anew.
    pub(crate) fn received(&self) -> Option<Position> {
        self.received
    }

    /// The bus began to read here.
    pub(crate) fn begins(&mut self, at: Position) {
        if self.received.is_none() {
            self.received = Some(at);
            self.passed = Some(at);
            self.confirmed = Some(at);
        }
    }

    /// Takes note of what came from the bus. False if it came before.
    pub(crate) fn receive(&mut self, pos: Position) -> bool {
        let news = self.is_shared() || !reaches(self.received, pos);
        if news {
            self.received = Some(pos);
        }
        news
    }

    /// Everything up to here was written or passed over.
    pub(crate) fn pass(&mut self, pos: Position) {
        if !self.is_shared() || !reaches(self.passed, pos) {
            self.passed = Some(pos);
        }
    }

    /// All that its channels retain was written or passed over.
    pub(crate) fn pass_retained(&mut self, pos: Position) {
        if let Some(walking) = &mut self.walking {
            walking.pass_all();
        }
        // What came since it was asked for is past that place.
        if !reaches(self.passed, pos) {
            self.pass(pos);
        }
    }

    /// This one waits for an acknowledgement.
    pub(crate) fn await_ack(&mut self, prev: Position, pos: Position) {
        self.unacknowledged.push_back((prev, pos));
    }

    pub(crate) fn acknowledged(&mut self, pos: Position) {
        if let Some(walking) = &mut self.walking {
            walking.acknowledged(pos);
        }
        // Peers answer in order, as they have to; who does not is found all the same. A group's come in no order, and one
        // that was said before may wait twice.
        let in_order = self.unacknowledged.front().is_some_and(|(_, first)| *first == pos);
        if in_order && !self.is_shared() {
            self.unacknowledged.pop_front();
        } else {
            self.unacknowledged.retain(|(_, waiting)| *waiting != pos);
        }
    }

    /// How far the peer has it all, if that is news and somebody keeps it.
    pub(crate) fn confirm(&mut self) -> Option<Position> {
        if !self.kept {
            return None;
        }
        let through = if self.is_shared() {
            let first = self.unacknowledged.iter().map(|(_, pos)| *pos).min_by_key(|pos| pos.seq);
            first.map_or(self.passed, |pos| Some(Position { seq: pos.seq.prev(), ..pos }))?
        } else {
            self.unacknowledged.front().map_or(self.passed, |(prev, _)| Some(*prev))?
        };
        if reaches(self.confirmed, through) {
            return None;
        }
        self.confirmed = Some(through);
        Some(through)
    }

    pub(crate) fn note_gap(&mut self, gap: Gap) {
        if self.gaps.len() < NOTED_GAPS_MAX {
            self.gaps.push(gap);
        }
    }

    pub(crate) fn noted_gaps(&self) -> &[Gap] {
        &self.gaps
    }

    pub(crate) fn forget_gaps(&mut self) {
        self.gaps.clear();
    }
}

/// Whether a place is at or past a position. Seqs of one log go on across epochs.
fn reaches(place: Option<Position>, pos: Position) -> bool {
    place.is_some_and(|place| place.log == pos.log && place.seq >= pos.seq)
}
