//! The numbers that this log gives to routes and origins.
//!
//! A number is defined in the batch in which it is first used. When that batch fails the definition goes with
//! it, and the next batch makes it again under the same number.

use crate::graph::ChannelSlot;
use riser_model::{Epoch, LogId, RoomId, Route, RouteNumber};
use std::{collections::BTreeMap, sync::Arc};

/// A route and the channel it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) route: Arc<Route>,
    pub(crate) channel: ChannelSlot,
}

/// How far definitions went when a batch was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    routes: usize,
    origins: usize,
}

/// What a batch has to define.
#[derive(Default)]
pub(crate) struct Definitions {
    pub(crate) routes: Vec<(RouteNumber, Route)>,
    pub(crate) origins: Vec<(u32, (LogId, Epoch))>,
}

#[derive(Debug, Default)]
pub(crate) struct Routes {
    known: Vec<Option<Known>>,
    numbers: BTreeMap<Arc<Route>, RouteNumber>,
    /// How many each room has.
    counts: BTreeMap<RoomId, u32>,
    /// What the numbers mean under which an archive's reader hands out routes, while something is held that has them.
    archived: BTreeMap<RouteNumber, Known>,
    origins: Vec<Option<(LogId, Epoch)>>,
    origin_numbers: BTreeMap<(LogId, Epoch), u32>,
    written: Written,
}

fn put<T>(list: &mut Vec<Option<T>>, place: usize, value: T) {
    if list.len() <= place {
        list.resize_with(place + 1, || None);
    }
    if let Some(slot) = list.get_mut(place) {
        *slot = Some(value);
    }
}

impl Routes {
    /// Takes a route that the log already has.
    pub(crate) fn restore(&mut self, number: RouteNumber, route: Route, channel: ChannelSlot) {
        let route = Arc::new(route);
        put(&mut self.known, number.0 as usize, Known { route: Arc::clone(&route), channel });
        *self.counts.entry(route.room).or_default() += 1;
        self.numbers.insert(route, number);
        self.written.routes = self.known.len();
    }

    /// Takes an origin that the log already has.
    pub(crate) fn restore_origin(&mut self, number: u32, origin: (LogId, Epoch)) {
        let Some(place) = number.checked_sub(1) else { return };
        put(&mut self.origins, place as usize, origin);
        self.origin_numbers.insert(origin, number);
        self.written.origins = self.origins.len();
    }

    /// Takes an origin of which the log has nothing any more, and that somebody still names by its number. The next batch
    /// defines it again. What the number or the origin stands for by now, it goes on standing for.
    pub(crate) fn recall_origin(&mut self, number: u32, origin: (LogId, Epoch)) {
        let Some(place) = number.checked_sub(1) else { return };
        if self.origin(number).is_some() || self.origin_number(origin).is_some() {
            return;
        }
        put(&mut self.origins, place as usize, origin);
        self.origin_numbers.insert(origin, number);
        self.written.origins = self.written.origins.min(place as usize);
    }

    pub(crate) fn number(&self, route: &Route) -> Option<RouteNumber> {
        self.numbers.get(route).copied()
    }

    /// How many a room has.
    pub(crate) fn count(&self, room: RoomId) -> u32 {
        self.counts.get(&room).copied().unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    pub(crate) fn known(&self, number: RouteNumber) -> Option<&Known> {
        match number.0 & RouteNumber::ARCHIVED {
            0 => self.known.get(number.0 as usize)?.as_ref(),
            _ => self.archived.get(&number),
        }
    }

    /// Takes a route that an archive's reader hands out. The channel of what had the number before, if it was given.
    pub(crate) fn know_archived(
        &mut self,
        number: RouteNumber,
        route: Route,
        channel: ChannelSlot,
    ) -> Option<ChannelSlot> {
        let known = Known { route: Arc::new(route), channel };
        self.archived.insert(number, known).map(|before| before.channel)
    }

    /// Nothing is held any more that has this number. Its channel.
    pub(crate) fn forget_archived(&mut self, number: RouteNumber) -> Option<ChannelSlot> {
        self.archived.remove(&number).map(|known| known.channel)
    }

    /// How many there are that an archive's reader has handed out.
    #[cfg(test)]
    pub(crate) fn archived(&self) -> usize {
        self.archived.len()
    }

    /// Gives a new route its number.
    pub(crate) fn add(&mut self, route: Route, channel: ChannelSlot) -> RouteNumber {
        // `routes_max` keeps the list far below u32.
        let number = RouteNumber(self.known.len() as u32);
        let route = Arc::new(route);
        self.known.push(Some(Known { route: Arc::clone(&route), channel }));
        *self.counts.entry(route.room).or_default() += 1;
        self.numbers.insert(route, number);
        number
    }

    pub(crate) fn origin(&self, number: u32) -> Option<(LogId, Epoch)> {
        *self.origins.get(number.checked_sub(1)? as usize)?
    }

    /// One past the highest origin number.
    pub(crate) fn origins_end(&self) -> u32 {
        self.origins.len() as u32 + 1
    }

    pub(crate) fn origin_number(&self, origin: (LogId, Epoch)) -> Option<u32> {
        self.origin_numbers.get(&origin).copied()
    }

    /// The number of an origin, a new one if it has none: above all that the log's entries have, and all that were recalled.
    /// After a restart that may be one that an origin had whose last entry the log has let go of. Nobody goes by such a
    /// number: what came down waits for its outcome no longer than its entry is there ([`crate::Outcomes::start`]), sessions
    /// behind edges recall theirs or lose them to who gets it ([`crate::EdgeSessions`]), links are told all numbers anew, and
    /// an archived entry's means nothing.
    pub(crate) fn add_origin(&mut self, origin: (LogId, Epoch)) -> u32 {
        if let Some(number) = self.origin_number(origin) {
            return number;
        }
        self.origins.push(Some(origin));
        let number = self.origins.len() as u32;
        self.origin_numbers.insert(origin, number);
        number
    }

    /// What the batch that is made now has to define, and how far definitions went before it.
    pub(crate) fn define(&mut self) -> (Definitions, Written) {
        let before = self.written;
        let routes = self.known.iter().enumerate().skip(before.routes);
        let origins = self.origins.iter().enumerate().skip(before.origins);
        let definitions = Definitions {
            routes: routes
                .filter_map(|(n, known)| Some((RouteNumber(n as u32), (*known.as_ref()?.route).clone())))
                .collect(),
            origins: origins.filter_map(|(n, origin)| Some((n as u32 + 1, (*origin)?))).collect(),
        };
        self.written = Written { routes: self.known.len(), origins: self.origins.len() };
        (definitions, before)
    }

    /// As [`Routes::define`], for a batch that uses no numbers.
    pub(crate) fn define_nothing(&self) -> (Definitions, Written) {
        (Definitions::default(), self.written)
    }

    /// The batch that was made when definitions went so far has failed.
    pub(crate) fn undefine(&mut self, before: Written) {
        self.written = before;
    }
}
