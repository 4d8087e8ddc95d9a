//! Who is in which room: a connection is in those that it reads or has published in.
//!
//! Coming and going is said on the room's technical channel. In a room that uplinks carry it is an entry of the room as
//! well, in order with what its connections publish, so that hubs know who is here.

use crate::{
    bus::Bus,
    connection::Member,
    graph::{Room, RoomSlot},
    output::Output,
    technical::Said,
};
use riser_model::{AccountName, ClientId, ConnectionId, Principal, RoomId, event::SystemEvent};
use riser_wire::{
    entry::Kind,
    membership::{ALL, ANEW, Membership, NOBODY, RESTART},
    roll::Roll,
};
use std::sync::Arc;

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
        let principal = Arc::clone(&one.principal);
        let room = self.graph.room_mut(slot);
        room.members += 1;
        self.outputs.push_back(Output::Joined { connection, room: room.id });
        self.carry(Kind::Opened, slot, connection, &principal, "");
        let (client, name) = (principal.client, principal.name.clone());
        let account = principal.visits_from().cloned();
        let event = SystemEvent::Joined { client, name, account, connection, behind: None };
        self.event(self.room_scope(slot), event);
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

    /// A connection has gone out of its room, and is in none any more: what it read has ended, what it published as a session
    /// is replayed no more, and its aliases mean nothing.
    pub(crate) fn part_all(&mut self, connection: ConnectionId) {
        let Some(one) = self.connections.get_mut(&connection) else { return };
        one.aliases.clear();
        one.waits_for_place = false;
        let members = std::mem::take(&mut one.members);
        if std::mem::take(&mut one.session) {
            self.end_session(self.session_id(connection));
        }
        for slot in members.into_keys() {
            self.left_room(connection, slot, "left");
        }
        self.end_subscriptions(connection);
    }

    pub(crate) fn left_room(&mut self, connection: ConnectionId, slot: RoomSlot, cause: &str) {
        let Some(one) = self.connections.get(&connection) else { return };
        let principal = Arc::clone(&one.principal);
        let room = self.graph.room_mut(slot);
        room.members = room.members.saturating_sub(1);
        self.outputs.push_back(Output::Left { connection, room: room.id, cause: cause.into() });
        self.carry(Kind::Closed, slot, connection, &principal, cause);
        let (client, name) = (principal.client, principal.name.clone());
        let (account, cause) = (principal.visits_from().cloned(), cause.into());
        let event = SystemEvent::Left { client, name, account, connection, behind: None, cause };
        self.event(self.room_scope(slot), event);
    }

    /// What uplinks carry knows who is in it: not who only visits, whose name alone, there, would be that of a member.
    fn carry(
        &mut self,
        kind: Kind,
        slot: RoomSlot,
        connection: ConnectionId,
        principal: &Principal,
        cause: &str,
    ) {
        let room = self.graph.room(slot);
        let is_linked = room.declared.as_ref().is_some_and(|declared| declared.linked);
        if !is_linked || principal.home.is_some() {
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
        for (slot, account) in self.linked_rooms() {
            self.of_nobody(slot, &account, RESTART);
        }
    }

    /// Some of what was said of who comes and goes may be lost: everybody who is in a room that uplinks carry is named.
    pub(crate) fn name_members(&mut self) {
        let rooms = self.linked_rooms();
        rooms.iter().for_each(|(slot, account)| self.of_nobody(*slot, account, ANEW));
        for connection in self.connections.ids() {
            let Some(one) = self.connections.get(&connection) else { continue };
            let principal = Arc::clone(&one.principal);
            for slot in one.members.keys().copied().collect::<Vec<_>>() {
                self.carry(Kind::Opened, slot, connection, &principal, "");
            }
        }
        rooms.iter().for_each(|(slot, account)| self.of_nobody(*slot, account, ALL));
    }

    /// Says upwards who is in rooms behind logs below.
    pub(crate) fn call_rolls(&mut self, rolls: Vec<Roll>) {
        for roll in rolls {
            self.write_said(Said::Roll(roll));
        }
    }

    /// The rooms that uplinks carry.
    pub fn linked(&self) -> Vec<RoomId> {
        self.linked_rooms().into_iter().map(|(slot, _)| self.graph.room(slot).id).collect()
    }

    /// Whether some of what was said of who is behind logs below did not reach the disk, since this was asked last.
    pub fn take_lost_rolls(&mut self) -> bool {
        std::mem::take(&mut self.technical.rolls_lost)
    }

    /// Those of it that said of nobody to be there, by log and room.
    pub fn take_lost_of_nobody(&mut self) -> Vec<Roll> {
        std::mem::take(&mut self.technical.of_nobody_lost).into_values().collect()
    }

    /// Whether something that says who is behind logs below is on its way to the disk.
    pub fn has_rolls_unstored(&self) -> bool {
        self.technical.rolls_unstored > 0
    }

    fn linked_rooms(&self) -> Vec<(RoomSlot, AccountName)> {
        let linked = |room: &Room| {
            let declared = room.declared.as_ref().filter(|declared| declared.linked)?;
            Some((self.graph.room_of(room.id)?, declared.account_name.clone()))
        };
        self.graph.rooms().iter().filter_map(linked).collect()
    }

    /// What is said of a room as a whole.
    fn of_nobody(&mut self, slot: RoomSlot, account: &AccountName, cause: &str) {
        let membership = Membership {
            log: self.chain.log,
            epoch: self.chain.epoch,
            room: self.graph.room(slot).id,
            connection: NOBODY,
            client: ClientId::SYSTEM,
            name: account.clone(),
            cause: cause.to_owned(),
        };
        self.write_said(Said::Member(Kind::Closed, membership));
    }
}
