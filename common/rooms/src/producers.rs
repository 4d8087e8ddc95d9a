//! Publish ids: which publications of which producers are in the log, so that one that is sent again after a cut is not
//! stored again (section 8).
//!
//! A view folded from the log; a snapshot of it rides in every checkpoint, and a restart rolls it forward. It owns its
//! bounds, which are the *window*: the last [`PRODUCERS_MAX`] producers to publish (of one client the last
//! [`OF_CLIENT_MAX`]), and of each the newest [`RUNS_MAX`] runs of consecutive n. Within it the answer is exact. Of an n
//! below the runs it is not known whether it was stored or refused ([`Fate::Forgotten`]): to take it for stored would be a
//! receipt for what a quota or a schema kept out. A producer that was forgotten counts as new. What came over a link does
//! not count: that has its identity already.

use riser_model::{ClientId, Seq};
use riser_wire::entry::{Body, Frame, Publication, PublishId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Producers that are remembered. With the bounds below at most 1 MiB in a checkpoint.
pub const PRODUCERS_MAX: usize = 8192;
/// Producers of one client that are remembered.
pub const OF_CLIENT_MAX: usize = 32;
/// Runs of consecutive n that are remembered of one producer.
pub const RUNS_MAX: usize = 4;

const SAVED_VERSION: u8 = 1;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Producers {
    known: BTreeMap<Key, Known>,
    /// By their newest publications.
    by_age: BTreeSet<(Seq, Key)>,
}

/// A producer's number means something within its client only: nobody else can use it up.
type Key = (ClientId, u64);

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Known {
    newest: Seq,
    /// Up to here n is not remembered one by one.
    below: Option<u64>,
    /// First and last n of each run, rising, with holes between them.
    runs: VecDeque<(u64, u64)>,
}

/// What is known of a publication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is in the log, or was.
    Stored,
    /// It is not.
    New,
    /// It is older than what is remembered of its producer.
    Forgotten,
}

/// The publish id of an entry that was published here.
pub(crate) fn id_of(frame: &Frame<'_>) -> Option<PublishId> {
    if frame.origin.is_some() || !Publication::has_publish_id(frame.body) {
        return None;
    }
    Publication::read(&Body::read(frame.body).ok()?).ok()?.publish_id
}

impl Producers {
    /// Takes one committed entry, which that client published.
    pub fn apply(&mut self, seq: Seq, frame: &Frame<'_>, client: ClientId) {
        if let Some(id) = id_of(frame) {
            self.note(seq, client, id);
        }
    }

    /// What became of a publication.
    pub fn fate(&self, client: ClientId, id: PublishId) -> Fate {
        self.known.get(&(client, id.producer)).map_or(Fate::New, |known| known.fate(id.n))
    }

    pub(crate) fn note(&mut self, seq: Seq, client: ClientId, id: PublishId) {
        let key = (client, id.producer);
        match self.known.get_mut(&key) {
            Some(known) => {
                self.by_age.remove(&(known.newest, key));
                known.newest = seq;
                known.add(id.n);
            }
            None => {
                self.make_room(client);
                let runs = VecDeque::from([(id.n, id.n)]);
                self.known.insert(key, Known { newest: seq, below: None, runs });
            }
        }
        self.by_age.insert((seq, key));
    }

    /// Forgets the one that was silent the longest, of this client if it has very many.
    fn make_room(&mut self, client: ClientId) {
        let own = self.known.range((client, 0)..=(client, u64::MAX));
        let own: Vec<(Seq, Key)> = own.map(|(key, known)| (known.newest, *key)).collect();
        let oldest = if own.len() >= OF_CLIENT_MAX {
            own.into_iter().min()
        } else if self.known.len() >= PRODUCERS_MAX {
            self.by_age.first().copied()
        } else {
            None
        };
        if let Some(oldest) = oldest {
            self.by_age.remove(&oldest);
            self.known.remove(&oldest.1);
        }
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Its bytes for a checkpoint.
    pub fn save(&self) -> Vec<u8> {
        let bytes = postcard::to_extend(&self.known, vec![SAVED_VERSION]);
        bytes.expect("plain values serialize into memory")
    }

    /// What `save` wrote; none if it cannot be read.
    pub fn load(bytes: &[u8]) -> Option<Self> {
        let (&SAVED_VERSION, rest) = bytes.split_first()? else { return None };
        let known: BTreeMap<Key, Known> = postcard::from_bytes(rest).ok()?;
        let by_age = known.iter().map(|(key, known)| (known.newest, *key)).collect();
        Some(Self { known, by_age })
    }
}

impl Known {
    fn fate(&self, n: u64) -> Fate {
        let at = self.runs.partition_point(|(_, last)| *last < n);
        if self.below.is_some_and(|below| n <= below) {
            Fate::Forgotten
        } else if self.runs.get(at).is_some_and(|(first, _)| *first <= n) {
            Fate::Stored
        } else {
            Fate::New
        }
    }

    fn add(&mut self, n: u64) {
        if self.fate(n) != Fate::New {
            return;
        }
        let at = self.runs.partition_point(|(_, last)| *last < n);
        let joins = |run: Option<&(u64, u64)>| {
            run.map(|(first, last)| (n.checked_sub(1) == Some(*last), n.checked_add(1) == Some(*first)))
        };
        let before =
            at.checked_sub(1).filter(|at| joins(self.runs.get(*at)).is_some_and(|(follows, _)| follows));
        let after = joins(self.runs.get(at)).is_some_and(|(_, precedes)| precedes);
        match (before, after) {
            (Some(before), true) => {
                let end = self.runs.remove(at).map(|(_, last)| last);
                if let (Some(run), Some(end)) = (self.runs.get_mut(before), end) {
                    run.1 = end;
                }
            }
            (Some(before), false) => self.runs.get_mut(before).into_iter().for_each(|run| run.1 = n),
            (None, true) => self.runs.get_mut(at).into_iter().for_each(|run| run.0 = n),
            (None, false) => self.runs.insert(at, (n, n)),
        }
        if self.runs.len() > RUNS_MAX {
            self.below = self.runs.pop_front().map(|(_, last)| last);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use riser_model::{RouteNumber, Stamp, Wall};
    use riser_wire::entry::{ContentType, Origin};
    use std::collections::BTreeSet;
    use uuid::Uuid;

    fn client(n: u128) -> ClientId {
        ClientId(Uuid::from_u128(n))
    }

    fn id(producer: u64, n: u64) -> PublishId {
        PublishId { producer, n }
    }

    #[test]
    fn within_the_window_the_answer_is_exact_whatever_the_order() {
        for seed in 0..200u64 {
            let mut rng = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut producers = Producers::default();
            let mut stored = BTreeSet::new();
            for seq in 1..60 {
                rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let n = rng >> 60;
                producers.note(Seq(seq), client(1), id(7, n));
                stored.insert(n);
                let known = producers.known.get(&(client(1), 7)).unwrap();
                assert!(known.runs.len() <= RUNS_MAX);
                for n in 0..20 {
                    let fate = producers.fate(client(1), id(7, n));
                    let exact = known.below.is_none_or(|below| n > below);
                    let right = match stored.contains(&n) {
                        _ if !exact => Fate::Forgotten,
                        true => Fate::Stored,
                        false => Fate::New,
                    };
                    assert_eq!(fate, right, "{n} of {stored:?}: {known:?}");
                }
            }
        }
    }

    #[test]
    fn ends_of_the_numbers_are_numbers_too() {
        let mut producers = Producers::default();
        for (seq, n) in [u64::MAX, 0, u64::MAX - 1, 1].into_iter().enumerate() {
            assert_eq!(producers.fate(client(1), id(0, n)), Fate::New);
            producers.note(Seq(seq as u64), client(1), id(0, n));
            assert_eq!(producers.fate(client(1), id(0, n)), Fate::Stored);
        }
        assert!(producers.fate(client(1), id(0, 2)) == Fate::New);
    }

    #[test]
    fn another_clients_producer_of_the_same_number_is_another() {
        let mut producers = Producers::default();
        producers.note(Seq(1), client(1), id(7, 9));
        assert!(
            producers.fate(client(1), id(7, 9)) == Fate::Stored
                && producers.fate(client(2), id(7, 9)) == Fate::New
        );
        assert!(producers.fate(client(1), id(7, 8)) == Fate::New, "it was not stored: it may still come");
    }

    #[test]
    fn who_was_silent_the_longest_is_forgotten_first_and_one_client_cannot_push_out_others() {
        let mut producers = Producers::default();
        producers.note(Seq(1), client(1), id(1, 1));
        for n in 0..100_000 {
            producers.note(Seq(2 + n), client(2), id(n, 1));
        }
        assert_eq!(producers.len(), 1 + OF_CLIENT_MAX);
        assert!(
            producers.fate(client(1), id(1, 1)) == Fate::Stored
                && producers.fate(client(2), id(99_999, 1)) == Fate::Stored
        );
        for n in 0..PRODUCERS_MAX as u64 {
            producers.note(Seq(200_000 + n), client(u128::from(n) + 10), id(u64::MAX, u64::MAX));
        }
        assert_eq!(producers.len(), PRODUCERS_MAX);
        assert!(producers.fate(client(1), id(1, 1)) == Fate::New);
        assert_eq!(producers.by_age.len(), PRODUCERS_MAX);
    }

    #[test]
    fn snapshot_is_bounded_and_damage_is_not_taken_for_one() {
        let mut producers = Producers::default();
        let mut seq = 1 << 40;
        for n in 0..PRODUCERS_MAX as u128 {
            for run in 0..8 {
                seq += 1;
                producers.note(Seq(seq), client(u128::MAX - n), id(u64::MAX, u64::MAX - 100 + 2 * run));
            }
        }
        let saved = producers.save();
        assert!(saved.len() <= 1 << 20, "{}", saved.len());
        assert_eq!(Producers::load(&saved), Some(producers));
        for cut in (0..saved.len()).step_by(9973) {
            assert_eq!(Producers::load(&saved[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn what_came_over_a_link_does_not_count() {
        let mut bytes = Vec::new();
        let publication =
            Publication { publish_id: Some(id(3, 4)), ..Publication::new(ContentType::Octets, b"x") };
        publication.write_frame(&mut bytes, RouteNumber(0), Stamp::default());
        let (frame, _) = Frame::read(&bytes, 0).unwrap();
        let origin = Some(Origin { number: 1, seq: Seq(1), wall: Wall(0), uncertain: false });
        let mut producers = Producers::default();
        producers.apply(Seq(1), &Frame { origin, ..frame }, client(1));
        assert!(producers.is_empty());
        producers.apply(Seq(1), &frame, client(1));
        assert!(producers.fate(client(1), id(3, 4)) == Fate::Stored);
    }

    #[test]
    fn saved_bytes_are_golden() {
        let mut producers = Producers::default();
        producers.note(Seq(5), client(1), id(2, 3));
        producers.note(Seq(6), client(1), id(2, 4));
        let mut golden = vec![SAVED_VERSION, 1, 16];
        golden.extend(Uuid::from_u128(1).as_bytes());
        golden.extend([2, 6, 0, 1, 3, 4]);
        assert_eq!(producers.save(), golden);
    }
}
