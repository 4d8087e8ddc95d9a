//! What an instance folds from its own log; a snapshot of it rides in every checkpoint (rule 6.6).

use riser_log::Fold;
use riser_model::{ClientId, EpochSpan, Route, Seq, time::Anchor};
use riser_mqtt::Sessions;
use riser_rooms::{EdgeSessions, Outcomes, Presences, Producers, Settled};
use riser_wire::entry::{Body, Frame, Kind, Publication};
use serde::Deserialize;
use std::collections::BTreeMap;

const SAVED_VERSION: u8 = 6;
/// Without [`LogFold::edge_sessions`].
const VERSION_5: u8 = 5;
/// Without [`LogFold::outcomes`].
const VERSION_4: u8 = 4;
/// Without [`LogFold::presences`] and [`LogFold::settled`].
const VERSION_3: u8 = 3;
/// Without [`LogFold::producers`].
const VERSION_2: u8 = 2;
/// Without [`LogFold::newest_retained`] too.
const VERSION_1: u8 = 1;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct LogFold {
    /// MQTT sessions that outlive their connections.
    pub sessions: Sessions,
    /// How its boots' clocks relate to the hub's.
    pub anchors: Anchors,
    /// The newest publication that was published to be retained; 0 without. A table of those that has seen it has seen
    /// them all.
    pub newest_retained: Seq,
    /// Publish ids of what was published here.
    pub producers: Producers,
    /// Who is in rooms behind edges.
    pub presences: Presences,
    /// What became of entries in quarantine.
    pub settled: Settled,
    /// Whose publishers are to hear what became of them.
    pub outcomes: Outcomes,
    /// Session history of connections behind edges.
    pub edge_sessions: EdgeSessions,
}

/// The newest anchors of a log, by their seqs (rule 7.10).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Anchors(BTreeMap<Seq, Anchor>);

impl Anchors {
    /// The most that are kept: twice as many as a Hello has epochs.
    const MAX: usize = 512;

    fn apply(&mut self, seq: Seq, body: &Body<'_>) {
        if let Ok(anchor) = postcard::from_bytes(body.rest) {
            self.0.insert(seq, anchor);
        }
        if self.0.len() > Self::MAX {
            self.0.pop_first();
        }
    }

    /// The newest anchor of an epoch.
    pub fn of(&self, span: EpochSpan) -> Option<Anchor> {
        let mut of_epoch = self.0.iter().rev().skip_while(|(seq, _)| **seq > span.last);
        of_epoch.next().filter(|(seq, _)| **seq >= span.first).map(|(_, anchor)| *anchor)
    }
}

impl Fold for LogFold {
    fn apply(&mut self, seq: Seq, frame: &Frame<'_>, route: Option<&Route>) {
        // Nobody below has anything to learn of it. What the system says may be the outcome of something.
        if Publication::is_plain(frame.body) && route.is_some_and(|route| route.client != ClientId::SYSTEM) {
            return;
        }
        self.sessions.apply(seq, frame);
        self.presences.apply(frame);
        self.settled.apply(frame);
        self.edge_sessions.apply(seq, frame, route);
        if let Some(route) = route {
            self.producers.apply(seq, frame, route.client);
            self.outcomes.apply(seq, frame, route);
        }
        if Publication::is_retained(frame.body) {
            self.newest_retained = seq;
        }
        // An anchor of another log speaks of that host's boots.
        if frame.origin.is_none()
            && let Ok(body) = Body::read(frame.body)
            && body.kind == Kind::Anchor
        {
            self.anchors.apply(seq, &body);
        }
    }

    fn save(&self) -> Vec<u8> {
        let (producers, presences, settled) =
            (self.producers.save(), self.presences.save(), self.settled.save());
        let (anchors, sessions, outcomes) = (&self.anchors.0, self.sessions.save(), self.outcomes.save());
        let newest = self.newest_retained;
        let edges = self.edge_sessions.save();
        let saved = (anchors, sessions, newest, producers, presences, settled, outcomes, edges);
        let bytes = postcard::to_extend(&saved, vec![SAVED_VERSION]);
        bytes.expect("plain values serialize into memory")
    }

    fn load(bytes: &[u8]) -> Option<Self> {
        let (version, mut rest) = bytes.split_first()?;
        let since = |first| *version >= first;
        if !(VERSION_1..=SAVED_VERSION).contains(version) {
            return None;
        }
        // A field for which the version is too old is as it is in a log that has nothing of the kind.
        let loaded = Self {
            anchors: Anchors(take(&mut rest)?),
            sessions: Sessions::load(take(&mut rest)?)?,
            newest_retained: if since(VERSION_2) { take(&mut rest)? } else { Seq::ZERO },
            producers: if since(VERSION_3) {
                Producers::load(take(&mut rest)?)?
            } else {
                Producers::default()
            },
            presences: if since(VERSION_4) {
                Presences::load(take(&mut rest)?)?
            } else {
                Presences::default()
            },
            settled: if since(VERSION_4) { Settled::load(take(&mut rest)?)? } else { Settled::default() },
            outcomes: if since(VERSION_5) { Outcomes::load(take(&mut rest)?)? } else { Outcomes::default() },
            edge_sessions: if since(SAVED_VERSION) {
                EdgeSessions::load(take(&mut rest)?)?
            } else {
                EdgeSessions::default()
            },
        };
        rest.is_empty().then_some(loaded)
    }
}

/// The next field of a snapshot: they lie one behind the other.
fn take<'a, T: Deserialize<'a>>(rest: &mut &'a [u8]) -> Option<T> {
    let (value, after) = postcard::take_from_bytes(rest).ok()?;
    *rest = after;
    Some(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use riser_model::{BootId, Epoch, RouteNumber, Stamp, Wall};
    use riser_wire::entry::{Origin, write_frame};

    fn anchor(n: u64) -> Anchor {
        Anchor { boot: BootId(n), boot_us: n, hub: Some(Wall(7)), error_ms: 1 }
    }

    fn span(first: u64, last: u64) -> EpochSpan {
        EpochSpan { epoch: Epoch(1), first: Seq(first), last: Seq(last) }
    }

    fn append(fold: &mut LogFold, seq: u64, origin: Option<Origin>) {
        let mut bytes = Vec::new();
        let rest = postcard::to_stdvec(&anchor(seq)).unwrap();
        write_frame(&mut bytes, RouteNumber::NONE, Kind::Anchor, 0, Stamp::default(), |out| out.extend(rest));
        let (frame, _) = Frame::read(&bytes, 0).unwrap();
        fold.apply(Seq(seq), &Frame { origin, ..frame }, None);
    }

    #[test]
    fn an_epoch_has_its_newest_anchor_after_a_restart_too() {
        let mut fold = LogFold::default();
        [3, 7, 9].into_iter().for_each(|seq| append(&mut fold, seq, None));
        append(&mut fold, 10, Some(Origin { number: 1, seq: Seq(1), wall: Wall(0), uncertain: false }));
        let fold = LogFold::load(&fold.save()).unwrap();
        assert_eq!(fold.anchors.of(span(1, 8)), Some(anchor(7)));
        assert_eq!(fold.anchors.of(span(8, 20)), Some(anchor(9)));
        assert_eq!(fold.anchors.of(span(4, 6)), None);
        assert_eq!(fold.anchors.of(span(11, 10)), None);
    }

    #[test]
    fn old_anchors_make_room_and_damage_is_not_taken_for_them() {
        let mut fold = LogFold::default();
        (1..=600).for_each(|seq| append(&mut fold, seq, None));
        assert_eq!(fold.anchors.0.len(), Anchors::MAX);
        assert_eq!(fold.anchors.of(span(1, 600)), Some(anchor(600)));
        let saved = fold.save();
        for cut in (0..saved.len()).step_by(7) {
            assert!(LogFold::load(&saved[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn snapshots_of_earlier_versions_are_read() {
        let mut fold = LogFold::default();
        append(&mut fold, 3, None);
        fold.newest_retained = Seq(9);
        let (anchors, sessions) = (&fold.anchors.0, fold.sessions.save());
        let first = postcard::to_extend(&(anchors, &sessions), vec![VERSION_1]).unwrap();
        let second = postcard::to_extend(&(anchors, &sessions, Seq(9)), vec![VERSION_2]).unwrap();
        for (saved, newest) in [(first, Seq::ZERO), (second, Seq(9)), (fold.save(), Seq(9))] {
            let fold = LogFold::load(&saved).unwrap();
            assert_eq!((fold.newest_retained, fold.anchors.of(span(1, 5))), (newest, Some(anchor(3))));
            assert!(fold.producers.is_empty());
        }
    }
}
