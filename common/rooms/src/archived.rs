//! Rooms whose past reaches beyond the log: what the archive has of them, and what it is told.
//!
//! Where a room's past begins is a question of the room: in the archive if it is archived, else in the log. A
//! subscription over several rooms reads the archive from where all of them are in it.

use crate::{
    bus::Bus,
    output::Output,
    topics::{self, Reach},
};
use riser_model::{Archived, EpochSpan, Mark, Principal, Room, RoomId, Route, RouteNumber, Seq, door::Want};
use std::collections::BTreeMap;

impl Bus {
    /// Where what is there of all that is wanted begins. Who shares a place in the log has no other.
    pub(crate) fn past_of(&self, principal: &Principal, reach: &Reach, want: &Want) -> Archived {
        let youngest = match reach {
            _ if matches!(want, Want::Shared(_)) => None,
            Reach::Channel(room, _) | Reach::Room(room, _) => Some(self.graph.past(*room, &self.chain)),
            Reach::Rooms(_) => {
                let rooms = self.graph.rooms_of(principal.account);
                let reached = rooms.filter(|room| topics::reaches(&self.graph, principal, *room));
                reached.map(|room| self.graph.past(room, &self.chain)).max_by_key(|past| past.oldest)
            }
            Reach::Picked | Reach::Technical(..) => None,
        };
        youngest.unwrap_or_else(|| self.chain.past(None))
    }

    /// What is archived beside these was not until now. The archive says the same of it as soon as it has heard of it.
    pub(crate) fn archive_anew(&mut self, before: &BTreeMap<RoomId, Seq>) {
        let rooms = self.graph.archived().into_keys().filter(|room| !before.contains_key(room));
        self.graph.archive_anew(rooms, self.chain.past(None));
    }

    /// The archive could not be opened at the start, and now is.
    pub(crate) fn archive_opened(&mut self, spans: Vec<EpochSpan>) {
        self.chain.learn(spans);
        let declared = self.graph.rooms().iter().filter_map(|room| room.declared.as_ref());
        let uncounted = declared.filter(|room| room.is_archived() && !room.retention.is_empty());
        let uncounted: Vec<Room> = uncounted.cloned().collect();
        if !uncounted.is_empty() {
            self.outputs.push_back(Output::Count(uncounted));
        }
    }

    /// How much of rooms was there whose retention is new: what they do not keep is hidden from here on.
    pub(crate) fn recall(&mut self, pasts: Vec<(RoomId, Vec<Mark>)>) {
        self.graph.recall(pasts);
        self.say_archived();
    }

    /// The archive has other things than before.
    pub(crate) fn archived(&mut self, rooms: &BTreeMap<RoomId, Archived>) {
        self.graph.set_archived(rooms);
        self.say_archived();
    }

    /// What numbers mean in the answer that comes next. What nobody holds of the answer before is forgotten.
    pub(crate) fn know_archived(&mut self, routes: Vec<(RouteNumber, Route)>) {
        let before = std::mem::take(&mut self.archived_routes);
        self.forget_archived(before);
        for (number, route) in routes {
            let channel = self.graph.lend_channel(&route);
            self.archived_routes.push(number);
            if let Some(before) = self.routes.know_archived(number, route, channel) {
                self.graph.take_back_channel(before);
            }
        }
    }

    /// What was held with these numbers is held no more.
    pub(crate) fn forget_archived(&mut self, numbers: Vec<RouteNumber>) {
        for number in numbers {
            if let Some(channel) = self.routes.forget_archived(number) {
                self.graph.take_back_channel(channel);
            }
        }
    }

    /// Says which rooms are archived and what they still show, where that is news.
    pub(crate) fn say_archived(&mut self) {
        self.graph.advance_floors(self.now);
        let rooms = self.graph.archived();
        if rooms != self.archived_said {
            self.archived_said.clone_from(&rooms);
            self.outputs.push_back(Output::Archive(rooms));
        }
    }
}
