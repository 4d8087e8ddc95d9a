//! Which entries in quarantine are settled: a fold over the entries that say so.

use riser_model::Seq;
use riser_wire::{
    entry::{Body, Frame, Kind},
    settlement::Settlement,
};
use std::collections::BTreeSet;

const SAVED_VERSION: u8 = 1;
/// So many are remembered. Nothing more is settled before the oldest of them are out of the log.
pub const SETTLED_MAX: usize = 65_536;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settled(BTreeSet<Seq>);

impl Settled {
    /// Takes an entry of this log. Another log's settlements speak of its own quarantine.
    pub fn apply(&mut self, frame: &Frame<'_>) {
        if frame.origin.is_some() || frame.body.get(1) != Some(&Kind::Settled.number()) {
            return;
        }
        let Ok(settlement) = Body::read(frame.body).and_then(|body| Settlement::read(&body)) else { return };
        self.0.insert(settlement.entry.seq);
        if self.0.len() > SETTLED_MAX {
            self.0.pop_first();
        }
    }

    /// Whether what became of the entry at that seq is known.
    pub fn has(&self, seq: Seq) -> bool {
        self.0.contains(&seq)
    }

    /// Whether no more can be remembered.
    pub fn is_full(&self) -> bool {
        self.0.len() >= SETTLED_MAX
    }

    /// What is out of the log needs no memory.
    pub fn trim(&mut self, oldest: Seq) {
        self.0 = self.0.split_off(&oldest);
    }

    /// As it is kept beside the log.
    pub fn save(&self) -> Vec<u8> {
        let bytes = postcard::to_extend(&self.0, vec![SAVED_VERSION]);
        bytes.expect("plain values serialize into memory")
    }

    /// As it was kept; none of another version, or damaged.
    pub fn load(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        postcard::from_bytes(rest).ok().filter(|_| *version == SAVED_VERSION).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{Epoch, LogId, Position, RouteNumber, Stamp};
    use riser_wire::{
        entry::{Origin, write_frame},
        settlement::Outcome,
    };

    fn settle(settled: &mut Settled, seq: u64, origin: Option<Origin>) {
        let entry = Position { log: LogId(1), epoch: Epoch(1), seq: Seq(seq) };
        let mut bytes = Vec::new();
        write_frame(&mut bytes, RouteNumber::NONE, Kind::Settled, 0, Stamp::default(), |out| {
            Settlement { entry, outcome: Outcome::Dropped, by: None }.write(out);
        });
        let (frame, _) = Frame::read(&bytes, 0).unwrap();
        settled.apply(&Frame { origin, ..frame });
    }

    #[test]
    fn what_is_settled_stays_so_over_a_restart_until_it_is_out_of_the_log() {
        let mut settled = Settled::default();
        settle(&mut settled, 5, None);
        settle(&mut settled, 9, None);
        let other = Origin { number: 1, seq: Seq(1), wall: riser_model::Wall(0), uncertain: false };
        settle(&mut settled, 7, Some(other));
        let mut loaded = Settled::load(&settled.save()).unwrap();
        assert_eq!([5, 7, 9].map(|seq| loaded.has(Seq(seq))), [true, false, true]);
        loaded.trim(Seq(6));
        assert_eq!([5, 9].map(|seq| loaded.has(Seq(seq))), [false, true]);
        assert!(Settled::load(&[9]).is_none() && !loaded.is_full());
    }
}
