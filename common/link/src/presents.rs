//! What edges below show beside a backlog of their own, for who is above (rule 7.7): the present goes as far as the past
//! will.
//!
//! It is no entry here yet, so its channel and its log need have no number in this log: they get numbers of the link's
//! beyond all of the log's. One value per log and channel, the newest; bounded in values and bytes, and what does not fit
//! is passed over. A value stays until it is an entry here, and is shown again to a hub that may know nothing.

use crate::packer::Defined;
use riser_model::{Epoch, LogId, Route, RouteNumber, Seq, Wall};
use riser_wire::entry::{Frame, Origin};
use riser_wire::link::{Bytes, Definitions};
use std::{collections::BTreeMap, sync::Arc};

/// The first number of a channel, and of a log, that is the link's and not the log's.
const NUMBERS_FROM: u32 = 1 << 31;
const VALUES_MAX: usize = 4096;
const BYTES_MAX: usize = 1024 * 1024;

/// A value that is newer than what its log has brought so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Present {
    /// The log that it was first appended to.
    pub log: LogId,
    /// Its epoch there.
    pub epoch: Epoch,
    /// Its seq there.
    pub seq: Seq,
    /// When it was published, as far as that is known here.
    pub wall: Wall,
    /// Its channel.
    pub route: Arc<Route>,
    /// The checksum of its body.
    pub crc: u32,
    /// Its body.
    pub body: Bytes,
}

type Place = (LogId, Epoch);

#[derive(Debug)]
struct Held {
    present: Present,
    route: RouteNumber,
    origin: u32,
    turn: u64,
}

/// All of them, and which this session has not shown.
#[derive(Debug, Default)]
pub(crate) struct Presents {
    newest: BTreeMap<(LogId, Arc<Route>), Held>,
    by_place: BTreeMap<Place, BTreeMap<Seq, Arc<Route>>>,
    bytes: usize,
    unshown: BTreeMap<u64, (LogId, Arc<Route>)>,
    numbers: BTreeMap<Place, u32>,
    numbered: u32,
    turns: u64,
}

impl Presents {
    /// An edge below shows this.
    pub(crate) fn show(&mut self, present: Present) {
        let key = (present.log, Arc::clone(&present.route));
        let before = self.newest.get(&key);
        let known = before.map(|held| (held.present.epoch, held.present.seq));
        if known.is_some_and(|(epoch, seq)| epoch == present.epoch && seq >= present.seq) {
            return;
        }
        let route = before.map(|held| held.route);
        self.remove(&key);
        let place = (present.log, present.epoch);
        let origin = self.number(place);
        let route = route.unwrap_or_else(|| RouteNumber(self.next_number()));
        self.turns += 1;
        self.bytes += present.body.len();
        self.by_place.entry(place).or_default().insert(present.seq, Arc::clone(&present.route));
        self.unshown.insert(self.turns, key.clone());
        self.newest.insert(key, Held { present, route, origin, turn: self.turns });
        while self.newest.len() > VALUES_MAX || self.bytes > BYTES_MAX {
            let oldest = self.newest.iter().min_by_key(|(_, held)| held.turn).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            self.remove(&oldest);
        }
    }

    /// Everything of this epoch up to here is an entry here.
    pub(crate) fn stored(&mut self, place: Place, through: Seq) {
        let Some(values) = self.by_place.get_mut(&place) else { return };
        let later = values.split_off(&through.next());
        let past = std::mem::replace(values, later);
        for route in past.into_values() {
            self.remove(&(place.0, route));
        }
        self.by_place.retain(|_, values| !values.is_empty());
        self.numbers.retain(|place, _| self.by_place.contains_key(place));
    }

    /// The epochs of logs of which there is something.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.by_place.keys().copied()
    }

    /// A hub that may know nothing listens.
    pub(crate) fn restart(&mut self) {
        self.unshown = self.newest.iter().map(|(key, held)| (held.turn, key.clone())).collect();
    }

    /// Whether there is something that was not shown.
    pub(crate) fn is_due(&self) -> bool {
        !self.unshown.is_empty()
    }

    /// What to show now, oldest first: frames, and what their numbers mean. As much as there is credit for, no more than
    /// so many and none with a larger body; nothing of the log of the hub itself.
    pub(crate) fn take(
        &mut self,
        credit: &mut i64,
        (entries_max, body_max): (u32, u32),
        hub: LogId,
        defined: &mut Defined,
    ) -> Option<(u32, Vec<u8>, Definitions)> {
        let (mut count, mut frames, mut definitions) = (0, Vec::new(), Definitions::default());
        while *credit > 0 && count < entries_max {
            let Some((_, key)) = self.unshown.pop_first() else { break };
            let Some(Held { present, route, origin, .. }) = self.newest.get(&key) else { continue };
            if present.log == hub || present.body.len() > body_max as usize {
                continue;
            }
            if defined.route(*route) {
                definitions.routes.push((*route, Route::clone(&present.route)));
            }
            if defined.origin(*origin) {
                definitions.origins.push((*origin, (present.log, present.epoch)));
            }
            let before = frames.len();
            let origin =
                Some(Origin { number: *origin, seq: present.seq, wall: present.wall, uncertain: false });
            Frame { route: *route, origin, crc: present.crc, body: &present.body }.write(&mut frames);
            *credit -= i64::try_from(frames.len() - before).unwrap_or(i64::MAX);
            count += 1;
        }
        (count > 0).then_some((count, frames, definitions))
    }

    fn remove(&mut self, key: &(LogId, Arc<Route>)) {
        let Some(gone) = self.newest.remove(key) else { return };
        self.bytes -= gone.present.body.len();
        self.unshown.remove(&gone.turn);
        let place = (gone.present.log, gone.present.epoch);
        if let Some(values) = self.by_place.get_mut(&place) {
            values.remove(&gone.present.seq);
            if values.is_empty() {
                self.by_place.remove(&place);
            }
        }
    }

    fn number(&mut self, place: Place) -> u32 {
        if let Some(number) = self.numbers.get(&place) {
            return *number;
        }
        let number = self.next_number();
        self.numbers.insert(place, number);
        number
    }

    fn next_number(&mut self) -> u32 {
        self.numbered = self.numbered.wrapping_add(1) % (NUMBERS_FROM - 1);
        NUMBERS_FROM + self.numbered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{ClientId, RoomId};
    use riser_wire::entry::frames;

    fn present(log: u64, channel: &str, seq: u64, size: usize) -> Present {
        let channel = channel.parse().expect("letters are a channel");
        let route = Route { room: RoomId(Default::default()), channel, client: ClientId::SYSTEM };
        let body = Bytes::from(vec![0; size]);
        Present {
            log: LogId(log),
            epoch: Epoch(1),
            seq: Seq(seq),
            wall: Wall(0),
            route: Arc::new(route),
            crc: 0,
            body,
        }
    }

    fn take(presents: &mut Presents, defined: &mut Defined, mut credit: i64) -> (Vec<u64>, usize) {
        let taken = presents.take(&mut credit, (100, 1000), LogId(99), defined);
        let Some((_, bytes, definitions)) = taken else { return (Vec::new(), 0) };
        let seqs = frames(&bytes).map(|frame| frame.unwrap().origin.unwrap().seq.0).collect();
        (seqs, definitions.routes.len() + definitions.origins.len())
    }

    #[test]
    fn newest_value_per_log_and_channel_is_shown_once_per_session_until_it_is_an_entry() {
        let mut presents = Presents::default();
        for (log, channel, seq) in [(1, "a", 5), (1, "b", 6), (2, "a", 3), (1, "a", 9), (1, "b", 4)] {
            presents.show(present(log, channel, seq, 100));
        }
        presents.show(present(99, "a", 1, 100));
        presents.show(present(1, "c", 12, 2000));
        let mut defined = Defined::default();
        assert_eq!(take(&mut presents, &mut defined, 100_000), (vec![6, 3, 9], 3 + 2));
        assert_eq!(take(&mut presents, &mut defined, 100_000), (vec![], 0));
        presents.restart();
        let mut defined = Defined::default();
        presents.stored((LogId(1), Epoch(1)), Seq(6));
        assert_eq!(take(&mut presents, &mut defined, 1), (vec![3], 2));
        assert_eq!(take(&mut presents, &mut defined, 1), (vec![9], 2));
        presents.stored((LogId(1), Epoch(1)), Seq(12));
        presents.stored((LogId(2), Epoch(1)), Seq(3));
        presents.stored((LogId(99), Epoch(1)), Seq(3));
        assert_eq!((presents.bytes, presents.newest.len(), presents.numbers.len()), (0, 0, 0));
        assert!(presents.unshown.is_empty() && presents.by_place.is_empty());
    }

    #[test]
    fn it_is_bounded_in_values_and_bytes() {
        let mut presents = Presents::default();
        for n in 0..3000u64 {
            presents.show(present(1, &format!("c{n}"), n + 1, 1000));
        }
        assert!(presents.bytes <= BYTES_MAX);
        for n in 0..6000u64 {
            presents.show(present(1, &format!("d{n}"), 10_000 + n, 10));
        }
        assert!(presents.newest.len() <= VALUES_MAX && presents.unshown.len() == presents.newest.len());
        assert_eq!(presents.by_place.values().map(BTreeMap::len).sum::<usize>(), presents.newest.len());
    }
}
