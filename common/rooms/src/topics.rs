//! From what a connection names to rooms and channels: bindings, topics, filters, and whether it may.
//!
//! A room that does not exist and a room that is denied look the same from outside (promise 8).

use crate::graph::{ChannelSlot, Graph, RoomSlot};
use riser_model::{
    Binding, ChannelName, ClientId, Filter, Principal, Right, RoomName,
    door::{Code, Refusal, Target, Technical, Want},
    event::{self, Scope},
};
use riser_wire::{
    cloud_event,
    entry::{Body, Publication},
};

/// What may be read.
pub(crate) enum Reach {
    /// One channel.
    Channel(RoomSlot, ChannelName),
    /// These channels of one room.
    Room(RoomSlot, Filter),
    /// These channels of every room that the principal reaches.
    Rooms(Filter),
    /// What the system says, of these kinds, in these technical channels.
    Technical(Vec<RoomSlot>, Filter),
    /// Single entries.
    Picked,
}

pub(crate) fn refuse(code: Code, what: impl Into<String>, want: &str) -> Refusal {
    Refusal { code, what: what.into(), want: want.into() }
}

/// Names from peers are quoted in refusals, but not at any length.
fn quote(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    format!("{short:?}{}", if short.len() < text.len() { "..." } else { "" })
}

fn bad_topic(topic: &str) -> Refusal {
    let want = "room/channel (the channel alone where the site has one room for all): a room of a-z, 0-9 and -, a \
                channel of 1 to 255 bytes in at most 16 levels, none of them \"..\"";
    refuse(Code::BadName, format!("topic {}", quote(topic)), want)
}

fn denied(verb: &str, name: &str) -> Refusal {
    let want = "a room and channel of this account in which this principal has that right";
    refuse(Code::Denied, format!("{verb} {}", quote(name)), want)
}

/// Where a publication goes, if the principal may publish there.
pub(crate) fn target(
    graph: &Graph,
    bindings: &[Binding],
    principal: &Principal,
    target: &Target,
) -> Result<(RoomSlot, ChannelName), Refusal> {
    let (room, channel) = match target {
        Target::Topic(topic) | Target::Device(topic) => place(bindings, principal, topic)?,
        Target::Channel(room, channel) => (room.clone(), channel.clone()),
    };
    let named = || denied("publish to", &format!("{room}/{channel}"));
    let slot = graph.room_named(principal.account, &room).ok_or_else(named)?;
    if !principal.grants.allow(Right::Publish, graph.room(slot).id, &channel) {
        return Err(named());
    }
    Ok((slot, channel))
}

/// The first binding that meets the topic decides; without one it is `{room}/{channel}`.
fn place(
    bindings: &[Binding],
    principal: &Principal,
    topic: &str,
) -> Result<(RoomName, ChannelName), Refusal> {
    let bad = || bad_topic(topic);
    let bound = bindings.iter().find(|binding| meets(binding.topics.as_str(), topic));
    let Some(binding) = bound else {
        let (room, channel) = topic.split_once('/').ok_or_else(bad)?;
        return Ok((room.parse().map_err(|_| bad())?, channel.parse().map_err(|_| bad())?));
    };
    let rest = topic.splitn(usize::from(binding.strip) + 1, '/').nth(usize::from(binding.strip));
    let prefix = binding.prefix.replace("{client}", principal.name.as_str());
    let prefix = prefix.trim_end_matches('/');
    let channel = match (prefix, rest.unwrap_or("")) {
        ("", rest) => rest.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, rest) => format!("{prefix}/{rest}"),
    };
    Ok((binding.room.clone(), channel.parse().map_err(|_| bad())?))
}

/// The room whose channels are MQTT's topics as they stand, if there is one.
pub(crate) fn root(bindings: &[Binding]) -> Option<&RoomName> {
    // Behind another one it is not: what that takes would be seen by nobody.
    bindings.first().filter(|binding| binding.is_root()).map(|binding| &binding.room)
}

/// MQTT's matching, over texts that need not be channels. A wildcard does not meet a leading `$`.
pub(crate) fn meets(filter: &str, topic: &str) -> bool {
    if topic.is_empty() || topic.starts_with('$') && !filter.starts_with('$') {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// What a subscription reads, if the principal may read any of it.
pub(crate) fn want(
    graph: &Graph,
    bindings: &[Binding],
    principal: &Principal,
    want: &Want,
) -> Result<Reach, Refusal> {
    match want {
        Want::Room(room, filter) => in_room(graph, principal, room, filter.clone()),
        Want::Topic(topic) => {
            if let Some(room) = root(bindings) {
                return in_room(graph, principal, room, topic.parse().map_err(|_| bad_topic(topic))?);
            }
            let bad = || bad_topic(topic);
            let (room, filter) = match topic.split_once('/') {
                Some((room, filter)) => (room, filter.parse().map_err(|_| bad())?),
                None if topic == "#" => ("+", Filter::all()),
                None => return Err(bad()),
            };
            if room == "+" {
                return Ok(Reach::Rooms(filter));
            }
            in_room(graph, principal, &room.parse().map_err(|_| bad())?, filter)
        }
        Want::Shared(shared) => self::want(graph, bindings, principal, &Want::Topic(shared.topic.clone())),
        Want::Positions(_) => Ok(Reach::Picked),
        // It is the layer above that speaks there.
        Want::System(filter) => Err(denied("read", filter)),
        Want::Technical(technical) => said(graph, principal, technical),
    }
}

fn said(graph: &Graph, principal: &Principal, technical: &Technical) -> Result<Reach, Refusal> {
    let Technical { room, account, hub, kinds } = technical;
    let mut scopes = Vec::new();
    if let Some(room) = room {
        let id = graph.room_named(principal.account, room).map(|slot| graph.room(slot).id);
        let scope = id.map(Scope::Room).filter(|scope| listens(graph, principal, *scope));
        scopes.push(scope.ok_or_else(|| denied("read", room.as_str()))?);
    }
    if *account {
        let scope = Scope::Account(principal.account);
        if hears(graph, principal, scope) {
            scopes.push(scope);
        } else if scopes.is_empty() {
            return Err(denied("read", "the account's technical channel"));
        }
    }
    if *hub {
        scopes.push(Scope::Instance);
    }
    let slots = scopes.into_iter().filter_map(|scope| graph.room_of(scope.room()));
    Ok(Reach::Technical(slots.collect(), kinds.clone()))
}

/// Whether what is said there is for this principal at all.
fn hears(graph: &Graph, principal: &Principal, scope: Scope) -> bool {
    match scope {
        Scope::Room(id) => graph.room_of(id).is_some_and(|slot| reaches(graph, principal, slot)),
        Scope::Account(id) => {
            id == principal.account && graph.rooms_of(id).any(|slot| reaches(graph, principal, slot))
        }
        Scope::Instance => true,
    }
}

/// Whether any of what is said there is: who publishes in a room hears what became of that, whatever it may read.
fn listens(graph: &Graph, principal: &Principal, scope: Scope) -> bool {
    let publishes = |id| graph.room_of(id).is_some_and(|slot| publishes(graph, principal, slot));
    hears(graph, principal, scope) || matches!(scope, Scope::Room(id) if publishes(id))
}

fn publishes(graph: &Graph, principal: &Principal, room: RoomSlot) -> bool {
    let room = graph.room(room);
    let own = room.declared.as_ref().is_some_and(|declared| declared.account == principal.account);
    own && principal.grants.reach(Right::Publish, room.id)
}

/// Whether it may hear what is for those only who look after the room or the account.
fn is_admin(principal: &Principal, scope: Scope) -> bool {
    match scope {
        Scope::Room(id) => principal.grants.whole(Right::Admin, id),
        Scope::Account(_) => principal.grants.administer(),
        Scope::Instance => false,
    }
}

/// Whether an entry of a channel that may be read is for this principal at all. What became of a publication is for the client
/// that published it, and for who looks after the room: it names who has it, at whose address others need not listen.
pub(crate) fn is_told(graph: &Graph, principal: &Principal, channel: ChannelSlot, body: &[u8]) -> bool {
    let channel = graph.channel(channel);
    let Some(scope) = graph.room(channel.room).speaks else { return true };
    !event::is_outcome(&channel.name)
        || is_admin(principal, scope)
        || publisher(body).is_some_and(|client| client == principal.client)
}

/// Whether what became of publications may be among what is asked for. That is told one by one, whatever the flow: each is
/// about another one.
pub(crate) fn hears_outcomes(want: &Want) -> bool {
    let Want::Technical(technical) = want else { return false };
    technical.room.is_some() && technical.kinds.exact().is_none_or(|kind| event::is_outcome(&kind))
}

/// Whose publication it is of which an entry says what became of it.
fn publisher(body: &[u8]) -> Option<ClientId> {
    let body = Body::read(body).ok()?;
    let publication = Publication::read(&body).ok()?;
    cloud_event::outcome(publication.payload).map(|outcome| outcome.client)
}

/// Whether it may read all of the room that is nobody's address.
fn reads_all(principal: &Principal, scope: Scope) -> bool {
    matches!(scope, Scope::Room(id) if principal.grants.whole(Right::Subscribe, id))
}

fn in_room(graph: &Graph, principal: &Principal, room: &RoomName, filter: Filter) -> Result<Reach, Refusal> {
    let named = || denied("read", &format!("{room}/{}", filter.as_str()));
    let slot = reached(graph, principal, room).ok_or_else(named)?;
    match filter.exact() {
        Some(channel) if readable(graph, principal, slot, &channel) => Ok(Reach::Channel(slot, channel)),
        Some(_) => Err(named()),
        None => Ok(Reach::Room(slot, filter)),
    }
}

fn reached(graph: &Graph, principal: &Principal, room: &RoomName) -> Option<RoomSlot> {
    let slot = graph.room_named(principal.account, room)?;
    reaches(graph, principal, slot).then_some(slot)
}

/// Whether the room is the principal's to read, in any channel. Rules without a room speak about the account's.
pub(crate) fn reaches(graph: &Graph, principal: &Principal, room: RoomSlot) -> bool {
    let room = graph.room(room);
    if let Some(scope) = room.speaks {
        return listens(graph, principal, scope);
    }
    let own = room.declared.as_ref().is_some_and(|declared| declared.account == principal.account);
    own && principal.grants.reach(Right::Subscribe, room.id)
}

/// The one check of every delivery path (promise 8).
pub(crate) fn readable(graph: &Graph, principal: &Principal, room: RoomSlot, channel: &ChannelName) -> bool {
    let room = graph.room(room);
    if let Some(scope) = room.speaks {
        if event::is_outcome(channel) {
            // Which of them, `is_told` says.
            return listens(graph, principal, scope);
        }
        return hears(graph, principal, scope)
            && (!event::is_for_admins(channel) || is_admin(principal, scope))
            && (!event::is_of_the_whole_room(channel) || reads_all(principal, scope));
    }
    let own = room.declared.as_ref().is_some_and(|declared| declared.account == principal.account);
    own && principal.grants.allow(Right::Subscribe, room.id, channel)
}
