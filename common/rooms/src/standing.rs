//! What may go on when the configuration or somebody's rights are others: rooms, filters over all of them, and what connections
//! named.

use crate::{
    bus::Bus,
    connection::{self, Alias},
    graph::RoomSlot,
    output::Output,
    subscription::{RoomScope, Scope, State},
    topics,
};
use riser_model::{
    Binding, ConnectionId, Principal, Room, SubscriptionId,
    door::Code,
    event::{self, SystemEvent},
};
use std::{collections::BTreeMap, sync::Arc};

impl Bus {
    /// Takes a new configuration: rights are looked up again, and filters over all rooms meet the new ones.
    pub(crate) fn reconfigure(&mut self, rooms: Vec<Room>, bindings: Vec<Binding>) {
        let before = self.graph.archived();
        let uncounted = self.graph.declare(rooms, self.chain.committed.next());
        if !uncounted.is_empty() {
            self.outputs.push_back(Output::Count(uncounted));
        }
        self.archive_anew(&before);
        self.bindings = bindings;
        self.say_archived();
        self.shelf.clear();
        for connection in self.connections.ids() {
            self.check(connection);
        }
        self.event(event::Scope::Instance, SystemEvent::ConfigurationChanged);
    }

    pub(crate) fn change_principal(&mut self, connection: ConnectionId, principal: Arc<Principal>) {
        if let Some(one) = self.connections.get_mut(&connection) {
            one.principal = principal;
            self.check(connection);
        }
    }

    /// Whether a connection may still do what it does.
    fn check(&mut self, connection: ConnectionId) {
        self.check_aliases(connection);
        let one = self.connections.get(&connection);
        let ids = one.into_iter().flat_map(|one| one.subscriptions.keys()).copied();
        for id in ids.collect::<Vec<_>>() {
            self.check_subscription(connection, id);
        }
        self.let_go(connection);
        self.ask_disk(connection);
    }

    fn check_aliases(&mut self, connection: ConnectionId) {
        let Some(one) = self.connections.get_mut(&connection) else { return };
        let principal = Arc::clone(&one.principal);
        let aliases = std::mem::take(&mut one.aliases);
        let mut checked = Vec::with_capacity(aliases.len());
        for alias in aliases {
            let is_device = matches!(alias, Alias::Device(_));
            let again = match alias {
                Alias::Way(way) | Alias::Device(way) => {
                    let channel = self.graph.channel(way.channel);
                    let room = self.graph.room(channel.room);
                    // By its id: the meaning of a topic is fixed when it is first used.
                    let named = room.declared.as_ref().map(|declared| declared.name.clone());
                    let target =
                        named.map(|room| riser_model::door::Target::Channel(room, channel.name.clone()));
                    match target {
                        Some(target) => self.meaning(connection, &principal, target),
                        None => {
                            let target = riser_model::door::Target::Topic(channel.name.as_str().into());
                            let refusal = topics::refuse(
                                Code::Denied,
                                "publish to a room that is gone",
                                "another room",
                            );
                            Alias::Refused(Box::new((target, refusal)))
                        }
                    }
                }
                Alias::Refused(refused) | Alias::Full(_, refused) => {
                    self.meaning(connection, &principal, refused.0)
                }
                Alias::Quarantine(_, unplaced) => {
                    self.meaning(connection, &principal, unplaced.target.clone())
                }
            };
            checked.push(match again {
                Alias::Way(way) if is_device => Alias::Device(way),
                again => again,
            });
        }
        if let Some(one) = self.connections.get_mut(&connection) {
            one.aliases = checked;
        }
    }

    fn check_subscription(&mut self, connection: ConnectionId, id: SubscriptionId) {
        let Some(one) = self.connections.get_mut(&connection) else { return };
        let principal = Arc::clone(&one.principal);
        let Some(mut subscription) = one.subscriptions.remove(&id) else { return };
        let key = (connection, id);
        connection::stop(&mut self.graph, &subscription, key);
        let before = self.rooms_in(&subscription.scope);
        self.recheck(&principal, &mut subscription.scope);
        let after = self.rooms_in(&subscription.scope);
        for room in after.iter().filter(|room| !before.contains(room)) {
            self.graph.gain_reader(*room);
            self.join(connection, *room, |member| member.subscriptions += 1);
        }
        for room in before.iter().filter(|room| !after.contains(room)) {
            self.graph.lose_reader(*room);
            self.part(connection, *room);
        }
        if subscription.state == State::Idle {
            connection::wait(&mut self.graph, &subscription, key);
        }
        if let Some(one) = self.connections.get_mut(&connection) {
            one.subscriptions.insert(id, subscription);
            // A chunk was selected by what it might read when that was asked for: it may read more now.
            one.replay.read_anew(id);
        }
    }

    fn recheck(&mut self, principal: &Principal, scope: &mut Scope) {
        let nothing = || Scope::Rooms { rooms: BTreeMap::new(), every: None };
        match scope {
            Scope::Channel(slot) => {
                let channel = self.graph.channel(*slot);
                if !topics::readable(&self.graph, principal, channel.room, &channel.name) {
                    self.graph.release_channel(*slot);
                    *scope = nothing();
                }
            }
            Scope::Rooms { rooms, every } => {
                rooms.retain(|room, _| topics::reaches(&self.graph, principal, *room));
                rooms.values_mut().for_each(RoomScope::recheck);
                let Some(filter) = every else { return };
                let all: Vec<RoomSlot> = self.graph.rooms_of(principal.account).collect();
                for room in all {
                    if topics::reaches(&self.graph, principal, room) {
                        let (committed, turn) = (self.chain.committed, self.graph.turn);
                        let later = || RoomScope::new(filter.clone(), committed, turn);
                        rooms.entry(room).or_insert_with(later);
                    }
                }
            }
        }
    }
}
