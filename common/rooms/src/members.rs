//! Who is in which room: a connection is in those that it reads or has published in.
//!
//! Coming and going is said on the room's technical channel. In a room that uplinks carry it is an entry of the room as
//! well, in order with what its connections publish, so that hubs know who is here.

use crate::{bus::Bus, connection::Member, graph::RoomSlot, output::Output, technical::Said};
use riser_model::{ConnectionId, Principal, RoomId, event::SystemEvent};
use riser_wire::{entry::Kind, membership::Membership};

impl Bus {
    /// A connection has to do with a room.
    pub(crate) fn join(&mut self, connection: ConnectionId, slot: RoomSlot, with: impl FnOnce(&mut Member)) {
        let Some(one) = self.connections.get_mut(&connection) else { return };
        let before = one.members.len();
        let since = self.now.wall;
        with(one.members.entry(slot).or_insert_with(|| Member { since, ..Member::default() }));
        if one.members.len() == before {
            return;
        }
        let principal = std::sync::Arc::clone(&one.principal);
        let room = self.graph.room_mut(slot);
        room.members += 1;
        self.outputs.push_back(Output::Joined { connection, room: room.id });
        self.carry(Kind::Opened, slot, connection, &principal, "");
        let (client, name) = (principal.client, principal.name.clone());
        self.event(self.room_scope(slot), SystemEvent::Joined { client, name, connection, behind: None });
    }

    /// One subscription less holds a connection in a room.
    pub(crate) fn part(&mut self, connection: ConnectionId, slot: RoomSlot) {
        let Some(one) = self.connections.get_mut(&connection) else { return };
        let Some(member) = one.members.get_mut(&slot) else { return };
        member.subscriptions = member.subscriptions.saturating_sub(1);
        if member.subscriptions == 0 && !member.published {
            one.members.remove(&slot);
            self.left_room(connection, slot, "unsubscribed");
        }
    }

    pub(crate) fn left_room(&mut self, connection: ConnectionId, slot: RoomSlot, cause: &str) {
        let Some(one) = self.connections.get(&connection) else { return };
        let principal = std::sync::Arc::clone(&one.principal);
        let room = self.graph.room_mut(slot);
        room.members = room.members.saturating_sub(1);
        self.outputs.push_back(Output::Left { connection, room: room.id, cause: cause.into() });
        self.carry(Kind::Closed, slot, connection, &principal, cause);
        let (client, name) = (principal.client, principal.name.clone());
        let event = SystemEvent::Left { client, name, connection, behind: None, cause: cause.into() };
        self.event(self.room_scope(slot), event);
    }

    /// What uplinks carry knows who is in it.
    fn carry(
        &mut self,
        kind: Kind,
        slot: RoomSlot,
        connection: ConnectionId,
        principal: &Principal,
        cause: &str,
    ) {
        let room = self.graph.room(slot);
        if !room.declared.as_ref().is_some_and(|declared| declared.linked) {
            return;
        }
        let membership = Membership {
            log: self.chain.log,
            epoch: self.chain.epoch,
            room: room.id,
            connection,
            client: principal.client,
            name: principal.name.clone(),
            cause: cause.to_owned(),
        };
        self.write_said(Said::Member(kind, membership));
    }

    /// An instance that begins says so in every room that uplinks carry: whoever was there before is not any more.
    pub fn began(&mut self, now: riser_model::Now) {
        self.now = now;
        let linked = |room: &crate::graph::Room| {
            let declared = room.declared.as_ref().filter(|declared| declared.linked)?;
            Some((room.id, declared.account_name.clone()))
        };
        let rooms: Vec<(RoomId, _)> = self.graph.rooms().iter().filter_map(linked).collect();
        for (room, name) in rooms {
            let membership = Membership {
                log: self.chain.log,
                epoch: self.chain.epoch,
                room,
                connection: ConnectionId(0),
                client: riser_model::ClientId::SYSTEM,
                name,
                cause: "restart".to_owned(),
            };
            self.write_said(Said::Member(Kind::Closed, membership));
        }
    }
}
