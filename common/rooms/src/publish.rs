//! Publications on their way in from connections.

use crate::{
    bus::Bus,
    config::Config,
    connection::{Alias, Unplaced, refuse_all},
    graph::{Graph, RoomSlot, Way},
    intake::{Line, Piece, failure},
    producers::{Fate, id_of},
    quota::{Charged, Over},
    retained::RetainedTable,
    session::SessionHistory,
    topics,
};
use riser_model::{
    ChannelName, ClientId, ConnectionId, Now, Principal, RoomId, Route, Schema, Seq,
    door::{Code, Intake, Refusal, Target},
    event::{Scope, SystemEvent},
    room::QUARANTINE,
    schema::Broken,
};
use riser_wire::entry::{Body, Frame, Publication, PublishId, frames};
use std::{collections::BTreeMap, sync::Arc};

/// The quarantine's channel of what names no channel.
const BAD_NAME: &str = "bad-name";

impl Bus {
    pub(crate) fn publish(&mut self, connection: ConnectionId, intake: Intake, now: Now) {
        let Intake { ticket, seen, aliases, entries, count } = intake;
        for (number, target) in aliases {
            self.define(connection, number, target);
        }
        self.look_for_place(connection, &entries);
        let refusal = self.refusal(connection, (ticket, seen), entries.len());
        let Self { connections, line, routes, config, outputs, counters, graph, retained, producers, .. } =
            self;
        let Some(publisher) = connections.get_mut(&connection) else { return };
        let principal = Arc::clone(&publisher.principal);
        let (client, user) = (principal.client, principal.user());
        let mut refused: Vec<(u32, Refusal)> = Vec::new();
        let (mut resent, mut owned, mut unretained) = (Vec::new(), Vec::new(), 0);
        let (mut charged, mut unplaced) = (Charged::default(), Vec::new());
        let mut over: BTreeMap<Over, u64> = BTreeMap::new();
        let (mut index, mut from, mut bytes) = (0, 0, 0);
        let mut first = line.next();
        if let Some(refusal) = refusal {
            counters.refuse(refusal.code, u64::from(count));
            refuse_all(&mut refused, 0..count, &refusal);
            index = count;
        } else {
            for frame in frames(&entries) {
                let way = frame.map_err(|_| malformed()).and_then(|frame| {
                    let alias = publisher.aliases.get(frame.route.0 as usize);
                    match alias {
                        _ if frame.origin.is_some() => Err(malformed()),
                        Some(Alias::Way(way))
                            if is_too_much(&frame, (*way, client), graph, retained, config) =>
                        {
                            Err(too_much_retained(config.retained_bytes_max))
                        }
                        Some(Alias::Device(way))
                            if is_too_much(&frame, (*way, client), graph, retained, config) =>
                        {
                            unretained += 1;
                            Ok((frame, *way))
                        }
                        Some(Alias::Way(way) | Alias::Device(way)) => match breaks(&frame, *way, graph) {
                            Some(refusal) => Err(refusal),
                            None => Ok((frame, *way)),
                        },
                        Some(Alias::Quarantine(way, _)) => Ok((frame, *way)),
                        Some(Alias::Refused(refused) | Alias::Full(_, refused)) => Err(refused.1.clone()),
                        None => Err(malformed()),
                    }
                });
                match way {
                    Ok((frame, way)) => {
                        let mut replayed = None;
                        let id = id_of(&frame);
                        let is_new = |id: &PublishId| {
                            producers.fate(client, *id) == Fate::New && !line.carries(client, *id)
                        };
                        if let Some(id) = id.filter(|id| !is_new(id)) {
                            resent.push((index, client, id));
                            index += 1;
                            continue;
                        }
                        let room = graph.channel(way.channel).room;
                        if publisher.session
                            && let Some(session) = &mut graph.room_mut(room).session
                        {
                            if !session.reserve(config.session_max) {
                                counters.refuse(Code::SessionFull, 1);
                                refused.push((index, session_full(config.session_max)));
                                index += 1;
                                continue;
                            }
                            replayed = Some(room);
                        }
                        let charge = match graph.charge((room, Some(user)), frame.body.len(), (now, None)) {
                            Ok(charge) => charge,
                            Err(full) => {
                                let session = replayed.and_then(|room| graph.room_mut(room).session.as_mut());
                                session.into_iter().for_each(SessionHistory::release);
                                counters.refuse(Code::QuotaExceeded, 1);
                                refused.push((index, full.refusal()));
                                *over.entry(full).or_default() += 1;
                                index += 1;
                                continue;
                            }
                        };
                        let size = Line::size(&frame, None);
                        if !line.fits(size, config.batch_bytes_max) {
                            let refused = std::mem::take(&mut refused);
                            let resent = std::mem::take(&mut resent);
                            let owned = std::mem::take(&mut owned);
                            let unplaced = std::mem::take(&mut unplaced);
                            let charged = std::mem::take(&mut charged);
                            let part = std::mem::take(&mut bytes);
                            if index > from {
                                publisher.unstored += 1;
                                publisher.unstored_bytes += part;
                                let indexes = from..index;
                                let (last, bytes) = (false, part);
                                let piece = Piece::Intake {
                                    connection,
                                    ticket,
                                    first,
                                    indexes,
                                    refused,
                                    resent,
                                    owned,
                                    unplaced,
                                    bytes,
                                    charged,
                                    last,
                                };
                                line.await_open(piece, now.time);
                            }
                            outputs.extend(line.seal(routes));
                            (first, from) = (line.next(), index);
                        }
                        owned.extend(replayed.map(|_| (line.next(), way.channel)));
                        charged.add(charge);
                        if let Some(Alias::Quarantine(_, why)) = publisher.aliases.get(frame.route.0 as usize)
                        {
                            unplaced.push((line.next(), Arc::clone(why)));
                        }
                        line.add(&frame, way, None);
                        if let Some(id) = id {
                            line.identify(client, id);
                        }
                        bytes += size;
                    }
                    Err(refusal) => {
                        counters.refuse(refusal.code, 1);
                        refused.push((index, refusal));
                    }
                }
                index += 1;
            }
        }
        if index < count {
            counters.refuse(Code::Malformed, u64::from(count - index));
            refuse_all(&mut refused, index..count, &malformed());
            index = count;
        }
        counters.unretained += unretained;
        let tells = unretained > 0 && !publisher.unretained;
        publisher.unretained |= unretained > 0;
        // The answer to one that is on its way already is that one's.
        let under_way = resent.iter().any(|(_, client, id)| line.carries(*client, *id));
        let piece = Piece::Intake {
            connection,
            ticket,
            first,
            indexes: from..index,
            refused,
            resent,
            owned,
            unplaced,
            bytes,
            charged,
            last: true,
        };
        let nothing_waits = publisher.unstored == 0;
        publisher.unstored += 1;
        publisher.unstored_bytes += bytes;
        if bytes > 0 {
            line.await_open(piece, now.time);
        } else if nothing_waits && !under_way {
            self.complete(piece, Ok(()));
        } else {
            line.await_last(piece, now.time);
        }
        for (full, count) in over {
            self.was_over_by(&full, count, Some(&principal));
        }
        if tells {
            let reason = too_much_retained(self.config.retained_bytes_max).what;
            let event = SystemEvent::NotRetained { client, name: principal.name.clone(), reason };
            self.event(Scope::Account(principal.account), event);
        }
    }

    /// Why nothing of a connection's batch can be taken at this moment.
    fn refusal(
        &mut self,
        connection: ConnectionId,
        (ticket, seen): (u64, u64),
        bytes: usize,
    ) -> Option<Refusal> {
        let publisher = self.connections.get_mut(&connection)?;
        if let Some((_, code)) = publisher.failed.filter(|(failed, _)| *failed > seen) {
            // Not itself a failure: who publishes without a pause would be refused for ever.
            return Some(failure(code));
        }
        let own = publisher.unstored_bytes;
        let code = if self.closing {
            Code::ShuttingDown
        } else if self.line.bytes() + bytes > self.config.unstored_bytes_max
            || own + bytes > self.config.unstored_connection_bytes_max
        {
            Code::TooMany
        } else {
            return None;
        };
        publisher.failed = Some((ticket, code));
        Some(failure(code))
    }

    fn define(&mut self, connection: ConnectionId, number: u32, target: Target) {
        let Some(publisher) = self.connections.get(&connection) else { return };
        let (place, known) = (number as usize, publisher.aliases.len());
        if place > known || place >= self.config.aliases_max {
            // Entries that use it are refused as malformed: no meaning was given to their number.
            self.counters.strays += 1;
            return;
        }
        let principal = Arc::clone(&publisher.principal);
        let alias = self.meaning(connection, &principal, target);
        match &alias {
            Alias::Way(_) | Alias::Device(_) | Alias::Quarantine(..) => {}
            Alias::Refused(refused) | Alias::Full(_, refused) => self.denied(connection, &refused.1),
        }
        let Some(publisher) = self.connections.get_mut(&connection) else { return };
        match publisher.aliases.get_mut(place) {
            Some(slot) => *slot = alias,
            None => publisher.aliases.push(alias),
        }
    }

    /// What a connection means by a target, the one check of the right to publish: where it may publish, it is in the room from here on.
    pub(crate) fn meaning(
        &mut self,
        connection: ConnectionId,
        principal: &Principal,
        target: Target,
    ) -> Alias {
        // Before it is given a route: who has no place takes no channel of the room's quota.
        let meant = topics::target(&self.graph, &self.bindings, principal, &target);
        if let Ok((room, _)) = &meant
            && let Err(full) = self.has_place(connection, *room)
        {
            self.was_over(&full, 1);
            if let Some(publisher) = self.connections.get_mut(&connection) {
                publisher.waits_for_place = true;
            }
            return Alias::Full(*room, Box::new((target, full.refusal())));
        }
        let alias = self.alias(connection, principal, target, meant);
        if let Alias::Way(way) | Alias::Device(way) = &alias {
            let room = self.graph.channel(way.channel).room;
            self.join(connection, room, |member| member.published = true);
        }
        alias
    }

    /// Who was refused for want of a place publishes again: somebody may have left.
    fn look_for_place(&mut self, connection: ConnectionId, entries: &[u8]) {
        let Some(publisher) = self.connections.get(&connection).filter(|one| one.waits_for_place) else {
            return;
        };
        let numbers = frames(entries).map_while(Result::ok).map(|frame| frame.route.0 as usize);
        let full = numbers.filter_map(|number| match publisher.aliases.get(number)? {
            Alias::Full(room, refused) => Some((number, *room, refused.0.clone())),
            Alias::Way(_) | Alias::Device(_) | Alias::Quarantine(..) | Alias::Refused(_) => None,
        });
        let principal = Arc::clone(&publisher.principal);
        for (number, room, target) in full.collect::<Vec<_>>() {
            if self.has_place(connection, room).is_err() {
                continue;
            }
            let alias = self.meaning(connection, &principal, target);
            let publisher = self.connections.get_mut(&connection);
            if let Some(slot) = publisher.and_then(|one| one.aliases.get_mut(number)) {
                *slot = alias;
            }
        }
    }

    fn alias(
        &mut self,
        connection: ConnectionId,
        principal: &Principal,
        target: Target,
        meant: Result<(RoomSlot, ChannelName), Refusal>,
    ) -> Alias {
        let is_device = matches!(target, Target::Device(_));
        match meant.and_then(|(room, channel)| self.way(principal, room, channel)) {
            Ok(way) if is_device => Alias::Device(way),
            Ok(way) => Alias::Way(way),
            Err(refusal) if is_device && refusal.code == Code::BadName => {
                self.quarantined(connection, principal, (target, refusal))
            }
            Err(refusal) => Alias::Refused(Box::new((target, refusal))),
        }
    }

    /// What a device says that names no channel is kept where who administers the account finds it.
    fn quarantined(
        &mut self,
        connection: ConnectionId,
        principal: &Principal,
        (target, why): (Target, Refusal),
    ) -> Alias {
        let Some(device) = self.connections.get(&connection).map(|one| Arc::clone(&one.principal)) else {
            return Alias::Refused(Box::new((target, why)));
        };
        let route = Route {
            room: RoomId::of(principal.account, QUARANTINE),
            channel: BAD_NAME.parse().expect("lower-case letters and a dash are a channel"),
            client: principal.client,
        };
        self.counters.quarantined += 1;
        Alias::Quarantine(self.intern_beyond(&route), Arc::new(Unplaced { device, target, why }))
    }

    /// What named no channel is on disk, there.
    pub(crate) fn tell_unplaced(&mut self, unplaced: Vec<(Seq, Arc<Unplaced>)>) {
        for (seq, one) in unplaced {
            let Unplaced { device, why, .. } = &*one;
            let event = SystemEvent::Quarantined {
                edge: device.client,
                seq,
                code: why.code.name().to_owned(),
                reason: format!("{}; right would be {}", why.what, why.want),
            };
            self.event(Scope::Account(device.account), event);
        }
    }

    /// The route of a connection's target.
    fn way(&mut self, principal: &Principal, room: RoomSlot, channel: ChannelName) -> Result<Way, Refusal> {
        let route = Route { room: self.graph.room(room).id, channel, client: principal.client };
        if let Some(full) = self.graph.is_beyond(&route) {
            self.was_over(&full, 1);
            return Err(full.refusal());
        }
        self.intern(&route).ok_or_else(|| {
            let want = "publish in channels that exist, or raise the bound of routes";
            topics::refuse(Code::TooMany, "the log has as many routes as it may", want)
        })
    }

    pub(crate) fn intern(&mut self, route: &Route) -> Option<Way> {
        if let Some(number) = self.routes.number(route) {
            return Some(Way { route: number, channel: self.routes.known(number)?.channel });
        }
        (self.routes.len() < self.config.routes_max).then(|| self.intern_beyond(route))
    }

    /// A route's number, whatever the bound.
    pub(crate) fn intern_beyond(&mut self, route: &Route) -> Way {
        if let Some(number) = self.routes.number(route)
            && let Some(known) = self.routes.known(number)
        {
            return Way { route: number, channel: known.channel };
        }
        let channel = self.graph.add_routed(route);
        Way { route: self.routes.add(route.clone(), channel), channel }
    }
}

/// Whether it is to be retained where there is no room for one more.
fn is_too_much(
    frame: &Frame<'_>,
    (way, client): (Way, ClientId),
    graph: &Graph,
    retained: &RetainedTable,
    config: &Config,
) -> bool {
    if !Publication::is_retained(frame.body) {
        return false;
    }
    let channel = graph.channel(way.channel);
    let room = graph.room(channel.room).id;
    let clears = || {
        let publication = Body::read(frame.body).and_then(|body| Publication::read(&body));
        publication.is_ok_and(|publication| publication.payload.is_empty())
    };
    let bytes = frame.body.len();
    !retained.has_room((room, &channel.name), client, bytes, config.retained_bytes_max) && !clears()
}

/// Why the schema of its room refuses a publication.
fn breaks(frame: &Frame<'_>, way: Way, graph: &Graph) -> Option<Refusal> {
    let schema = graph.room(graph.channel(way.channel).room).declared.as_ref()?.schema.as_ref()?;
    let body = Body::read(frame.body).ok()?;
    let publication = Publication::read(&body).ok()?;
    // Nothing, retained, takes away what is: it is no value.
    let clears = publication.payload.is_empty() && Publication::is_retained(frame.body);
    if clears { None } else { against(schema, publication.payload).err() }
}

/// Whether a payload is what a schema says.
pub(crate) fn against(schema: &Schema, payload: &[u8]) -> Result<(), Refusal> {
    schema.check(payload).map_err(|Broken { path, rule }| {
        let at = if path.is_empty() { "the payload".to_owned() } else { format!("{path} of the payload") };
        topics::refuse(
            Code::Malformed,
            format!("{at} breaks the room's schema"),
            &format!("what {rule} says"),
        )
    })
}

fn session_full(most: usize) -> Refusal {
    let what = format!("a room replays at most {most} publications of sessions");
    topics::refuse(
        Code::SessionFull,
        &what,
        "publish again when a session has ended, or from a connection without one",
    )
}

fn too_much_retained(bytes_max: usize) -> Refusal {
    let what = format!(
        "the channels of this instance retain their {bytes_max} bytes already, or this client its share"
    );
    topics::refuse(
        Code::QuotaExceeded,
        what,
        "publish it without retain, or clear others by an empty payload",
    )
}

fn malformed() -> Refusal {
    topics::refuse(Code::Malformed, "an entry that cannot be read", "entries with aliases that were defined")
}
