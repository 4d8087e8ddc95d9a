//! What goes through rooms and their channels, and who reads them, counted in the channel graph.
//!
//! What goes through a room is counted once with what is addressed to single clients and once without.

use crate::{
    graph::{ChannelSlot, Graph, RoomSlot},
    rates::Rates,
};
use riser_model::{Now, Seq, Time, Wall, event::Scope};
use riser_wire::entry::FRAME_HEADER_BYTES;

/// Of so many channels is asked at once whether they need their rates no more.
const ASKED_FOR_PLACE: usize = 8;

impl Graph {
    /// A subscription more reads a room.
    pub(crate) fn gain_reader(&mut self, slot: RoomSlot) {
        let room = self.room_mut(slot);
        room.subscribers += 1;
        let listens = matches!(room.speaks, Some(Scope::Room(_)));
        self.listeners += u32::from(listens);
        self.moved = true;
    }

    /// One less reads it.
    pub(crate) fn lose_reader(&mut self, slot: RoomSlot) {
        let room = self.room_mut(slot);
        room.subscribers = room.subscribers.saturating_sub(1);
        let listens = matches!(room.speaks, Some(Scope::Room(_)));
        self.listeners = self.listeners.saturating_sub(u32::from(listens));
        self.moved = true;
    }

    /// A batch is about to bring publications of a channel: its rates and its room's know what there was before.
    pub(crate) fn roll(&mut self, slot: ChannelSlot, tracked_max: usize, now: Time) {
        let channel = self.channel(slot);
        let (room, addressed, has_none) = (channel.room, channel.addressed, channel.rates.is_none());
        let tracks = has_none && self.has_place_for_rates(room, tracked_max, now);
        let room = self.room_mut(room);
        room.rates.roll(&room.traffic, now);
        if !addressed {
            room.open_rates.roll(&room.open, now);
        }
        if tracks {
            room.tracked.push_back(slot);
        }
        let channel = self.channel_mut(slot);
        if tracks {
            channel.rates = Some(Box::new(Rates::since(&channel.traffic, now)));
        }
        if let Some(rates) = &mut channel.rates {
            rates.roll(&channel.traffic, now);
        }
    }

    /// Whether one more channel of a room may have rates. One that was quiet for as long as they reach back gives up its
    /// own: they would say nothing.
    fn has_place_for_rates(&mut self, room: RoomSlot, tracked_max: usize, now: Time) -> bool {
        if self.room(room).tracked.len() < tracked_max {
            return true;
        }
        for _ in 0..ASKED_FOR_PLACE {
            let Some(first) = self.room_mut(room).tracked.pop_front() else { return false };
            let rates = &mut self.channel_mut(first).rates;
            if rates.take_if(|rates| rates.is_quiet(now)).is_some() {
                return true;
            }
            self.room_mut(room).tracked.push_back(first);
        }
        false
    }

    /// What was there at the start was published then.
    pub(crate) fn learn_last(&mut self, slot: ChannelSlot, wall: Wall) {
        let channel = self.channel_mut(slot);
        channel.traffic.last = channel.traffic.last.max(Some(wall));
        let (room, addressed) = (channel.room, channel.addressed);
        let room = self.room_mut(room);
        room.traffic.last = room.traffic.last.max(Some(wall));
        if !addressed {
            room.open.last = room.open.last.max(Some(wall));
        }
    }

    /// Notes one publication.
    pub(crate) fn note(&mut self, slot: ChannelSlot, seq: Seq, bytes: u64, now: Now) {
        let wall = now.wall;
        let channel = self.channel_mut(slot);
        channel.index.push_back(seq);
        channel.total += 1;
        channel.traffic.add(bytes, wall);
        let (room, addressed) = (channel.room, channel.addressed);
        let room = self.room_mut(room);
        room.index.push_back((seq, slot));
        room.traffic.add(bytes, wall);
        if !addressed {
            room.open.add(bytes, wall);
        }
        if let Some(depth) = &mut room.depth {
            // As the log's files count it, by which the past is counted at a start.
            depth.add(seq, bytes + FRAME_HEADER_BYTES as u64, wall, now);
        }
    }
}
