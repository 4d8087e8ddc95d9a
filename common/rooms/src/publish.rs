//! Entries on their way in: from connections, from the instance itself, and from links.

use crate::{
    bus::Bus,
    config::Config,
    connection::{Alias, refuse_all},
    graph::{ChannelSlot, Graph, Way},
    input::{Append, Ingest},
    intake::{Line, Piece, failure},
    output::{Output, Placed},
    producers::id_of,
    quota::Over,
    retained::RetainedTable,
    topics,
};
use riser_model::{
    ClientId, ConnectionId, CursorMove, Epoch, LogId, Now, Principal, RoomId, Route, RouteNumber, Run,
    Schema, Seq,
    door::{Code, Intake, Refusal, Target},
    event::{Scope, SystemEvent},
    room::QUARANTINE,
    schema::Broken,
    time::Clock,
};
use riser_wire::entry::{Body, Frame, Kind, ORIGIN_BYTES, Origin, Publication, frames};
use std::{collections::BTreeMap, sync::Arc};

/// The quarantine's channel of what names no channel.
const BAD_NAME: &str = "bad-name";
/// That of what rooms took no more of when a link brought it.
const QUOTA: &str = "quota";

/// What the frames of one batch from above mean by their route numbers, in this log's terms.
struct Ways<'a> {
    routes: &'a [Route],
    known: Vec<Option<Way>>,
}

impl Bus {
    pub(crate) fn publish(&mut self, connection: ConnectionId, intake: Intake, now: Now) {
        let Intake { ticket, seen, aliases, entries, count } = intake;
        for (number, target) in aliases {
            self.define(connection, number, target);
        }
        let refusal = self.refusal(connection, (ticket, seen), entries.len());
        let Self { connections, line, routes, config, outputs, counters, graph, retained, producers, .. } =
            self;
        let Some(publisher) = connections.get_mut(&connection) else { return };
        let client = publisher.principal.client;
        let mut refused: Vec<(u32, Refusal)> = Vec::new();
        let (mut resent, mut owned, mut unretained) = (Vec::new(), Vec::new(), 0);
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
                        Some(Alias::Refused(refused)) => Err(refused.1.clone()),
                        None => Err(malformed()),
                    }
                });
                match way {
                    Ok((frame, way)) => {
                        let mut replayed = None;
                        let id = id_of(&frame);
                        if let Some(id) =
                            id.filter(|id| producers.has(client, *id) || line.carries(client, *id))
                        {
                            resent.push((index, client, id));
                            index += 1;
                            continue;
                        }
                        let room = graph.channel(way.channel).room;
                        if let Err(full) = graph.charge(room, frame.body.len(), now.time) {
                            counters.refuse(Code::QuotaExceeded, 1);
                            refused.push((index, full.refusal()));
                            *over.entry(full).or_default() += 1;
                            index += 1;
                            continue;
                        }
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
                        let size = Line::size(&frame, None);
                        if !line.fits(size, config.batch_bytes_max) {
                            let refused = std::mem::take(&mut refused);
                            let resent = std::mem::take(&mut resent);
                            let owned = std::mem::take(&mut owned);
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
                                    bytes,
                                    last,
                                };
                                line.await_open(piece, now.time);
                            }
                            outputs.extend(line.seal(routes));
                            (first, from) = (line.next(), index);
                        }
                        owned.extend(replayed.map(|room| (line.next(), room)));
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
        let tells = (unretained > 0 && !publisher.unretained).then(|| Arc::clone(&publisher.principal));
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
            bytes,
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
            self.was_over(&full, count);
        }
        if let Some(device) = tells {
            let reason = too_much_retained(self.config.retained_bytes_max).what;
            let event = SystemEvent::NotRetained { client: device.client, name: device.name.clone(), reason };
            self.event(Scope::Account(device.account), event);
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
        let named = target.clone();
        let mut alias = self.alias(&principal, target);
        if let Alias::Way(way) | Alias::Device(way) = &alias
            && let Err(full) = self.has_place(connection, self.graph.channel(way.channel).room)
        {
            self.was_over(&full, 1);
            alias = Alias::Refused(Box::new((named, full.refusal())));
        }
        match &alias {
            Alias::Way(way) | Alias::Device(way) => {
                let room = self.graph.channel(way.channel).room;
                self.join(connection, room, |member| member.published = true);
            }
            Alias::Quarantine(..) => {}
            Alias::Refused(refused) => self.denied(connection, &refused.1),
        }
        let Some(publisher) = self.connections.get_mut(&connection) else { return };
        match publisher.aliases.get_mut(place) {
            Some(slot) => *slot = alias,
            None => publisher.aliases.push(alias),
        }
    }

    pub(crate) fn alias(&mut self, principal: &Principal, target: Target) -> Alias {
        let is_device = matches!(target, Target::Device(_));
        match self.way(principal, &target) {
            Ok(way) if is_device => Alias::Device(way),
            Ok(way) => Alias::Way(way),
            Err(refusal) if is_device && refusal.code == Code::BadName => {
                self.quarantined(principal, target, &refusal)
            }
            Err(refusal) => Alias::Refused(Box::new((target, refusal))),
        }
    }

    /// What a device says that names no channel is kept where who administers the account finds it, and told.
    fn quarantined(&mut self, principal: &Principal, target: Target, refusal: &Refusal) -> Alias {
        let route = Route {
            room: RoomId::of(principal.account, QUARANTINE),
            channel: BAD_NAME.parse().expect("lower-case letters and a dash are a channel"),
            client: principal.client,
        };
        let event = SystemEvent::Quarantined {
            edge: principal.client,
            seq: self.line.next(),
            code: refusal.code.name().to_owned(),
            reason: format!("{}; right would be {}", refusal.what, refusal.want),
        };
        self.counters.quarantined += 1;
        self.event(Scope::Account(principal.account), event);
        Alias::Quarantine(self.intern_beyond(&route), Box::new(target))
    }

    /// The route of a connection's target: the one check of the right to publish.
    fn way(&mut self, principal: &Principal, target: &Target) -> Result<Way, Refusal> {
        let (room, channel) = topics::target(&self.graph, &self.bindings, principal, target)?;
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

    fn intern(&mut self, route: &Route) -> Option<Way> {
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
        let channel = self.graph.add_routed(route.room, &route.channel);
        Way { route: self.routes.add(route.clone(), channel), channel }
    }

    fn way_of(&mut self, ways: &mut Ways<'_>, number: RouteNumber) -> Result<Way, Code> {
        if number == RouteNumber::NONE {
            // What belongs to no channel (sessions, anchors) has no route either.
            return Ok(Way { route: RouteNumber::NONE, channel: ChannelSlot::NONE });
        }
        let place = number.0 as usize;
        let known = ways.known.get_mut(place).ok_or(Code::Malformed)?;
        if let Some(way) = known {
            return Ok(*way);
        }
        let route = ways.routes.get(place).ok_or(Code::Malformed)?;
        let way = self.intern(route).ok_or(Code::TooMany)?;
        *known = Some(way);
        Ok(way)
    }

    pub(crate) fn append(&mut self, append: Append, now: Now) {
        let Append { token, routes, entries, cursors } = append;
        let mut ways = Ways { routes: &routes, known: vec![None; routes.len()] };
        self.place(token, entries.len(), cursors, now, |bus| {
            for frame in frames(&entries) {
                let frame = frame.map_err(|_| Code::Malformed)?;
                let way = bus.way_of(&mut ways, frame.route)?;
                bus.line.add(&frame, way, None);
            }
            Ok(())
        });
    }

    /// Places what a link brought: this log's routes, and its number for where each entry came from.
    pub(crate) fn ingest(&mut self, ingest: Ingest, now: Now) {
        let Ingest { token, log, runs, routes, origins, elsewhere, overflow, cursors, clock } = ingest;
        let elsewhere: BTreeMap<Seq, Route> = elsewhere.into_iter().collect();
        let origins: BTreeMap<u32, (LogId, Epoch)> = origins.into_iter().collect();
        let mut ways = Ways { routes: &routes, known: vec![None; routes.len()] };
        // Told when all of it is placed: what is told is an entry too.
        let mut over = Vec::new();
        let size = runs.iter().map(|run| match run {
            Run::Entries { entries, count, .. } => entries.len() + ORIGIN_BYTES * *count as usize,
            Run::Gap(_) => 0,
        });
        self.place(token, size.sum(), cursors, now, |bus| {
            for run in &runs {
                let Run::Entries { first, count, epoch, entries } = run else { continue };
                let mut seq = *first;
                for frame in frames(entries) {
                    let frame = frame.map_err(|_| Code::Malformed)?;
                    let way = match elsewhere.get(&seq) {
                        Some(route) => bus.intern(route).ok_or(Code::TooMany),
                        None => match bus.is_beyond(&ways, frame.route) {
                            Some(full) => {
                                over.push((full, seq));
                                Err(Code::QuotaExceeded)
                            }
                            None => bus.way_of(&mut ways, frame.route),
                        },
                    };
                    let way = match way {
                        Err(code @ (Code::TooMany | Code::QuotaExceeded)) => {
                            bus.counters.refuse(code, 1);
                            bus.intern_beyond(&overflow)
                        }
                        way => {
                            let way = way?;
                            match bus.charge(way, &frame, now) {
                                Ok(()) => way,
                                Err(full) => {
                                    over.push((full, seq));
                                    bus.counters.refuse(Code::QuotaExceeded, 1);
                                    bus.in_quarantine(way, &overflow)
                                }
                            }
                        }
                    };
                    let origin = bus.origin_of(&frame, (log, *epoch), seq, (&origins, clock))?;
                    bus.line.add(&frame, way, Some(origin));
                    seq = seq.next();
                }
                if seq != first.plus(u64::from(*count)) {
                    return Err(Code::Malformed);
                }
            }
            Ok(())
        });
        for (full, seq) in over {
            self.was_over(&full, 1);
            self.tell_quarantined(&full, overflow.client, seq);
        }
    }

    /// Whether a route of a link's makes a channel more than its room takes.
    fn is_beyond(&self, ways: &Ways<'_>, number: RouteNumber) -> Option<Over> {
        let place = number.0 as usize;
        let is_known = ways.known.get(place).is_none_or(Option::is_some);
        ways.routes.get(place).filter(|_| !is_known).and_then(|route| self.graph.is_beyond(route))
    }

    /// Counts what a link brought, if its room takes it.
    fn charge(&mut self, way: Way, frame: &Frame<'_>, now: Now) -> Result<(), Over> {
        let is_publication = Body::read(frame.body).is_ok_and(|body| body.kind == Kind::Publication);
        if way.channel == ChannelSlot::NONE || !is_publication {
            return Ok(());
        }
        let room = self.graph.channel(way.channel).room;
        self.graph.charge(room, frame.body.len(), now.time)
    }

    /// Where an entry goes whose room takes no more: it never waits.
    fn in_quarantine(&mut self, way: Way, overflow: &Route) -> Way {
        let channel = self.graph.channel(way.channel);
        let (room, name) = (self.graph.room(channel.room).id, &channel.name);
        let meant = format!("{QUOTA}/{room}/{name}").parse().or_else(|_| format!("{QUOTA}/{room}").parse());
        let route = meant.ok().map(|channel| Route { channel, ..overflow.clone() });
        route.and_then(|route| self.intern(&route)).unwrap_or_else(|| self.intern_beyond(overflow))
    }

    fn tell_quarantined(&mut self, full: &Over, edge: ClientId, seq: Seq) {
        let declared = self.graph.room(full.room).declared.as_ref();
        let Some(account) = declared.map(|declared| declared.account) else { return };
        let (code, reason) = (QUOTA.to_owned(), full.to_string());
        self.event(Scope::Account(account), SystemEvent::Quarantined { edge, seq, code, reason });
    }

    /// An entry keeps the identity of the log that it was first appended to, and the time that was found for it first,
    /// by this end's clock.
    fn origin_of(
        &mut self,
        frame: &Frame<'_>,
        from: (LogId, Epoch),
        seq: Seq,
        (origins, clock): (&BTreeMap<u32, (LogId, Epoch)>, Clock),
    ) -> Result<Origin, Code> {
        match frame.origin {
            Some(origin) => {
                let of = *origins.get(&origin.number).ok_or(Code::Malformed)?;
                let wall = clock.passed_on(origin.wall);
                Ok(Origin { number: self.routes.add_origin(of), wall, ..origin })
            }
            None => {
                let stamp = Body::read(frame.body).map_err(|_| Code::Malformed)?.stamp;
                let number = self.routes.add_origin(from);
                Ok(Origin { number, seq, wall: clock.corrected(stamp).wall })
            }
        }
    }

    /// Adds entries and cursors that belong into one batch: all of them or nothing.
    fn place(
        &mut self,
        token: u64,
        bytes: usize,
        cursors: Vec<CursorMove>,
        now: Now,
        add: impl FnOnce(&mut Self) -> Result<(), Code>,
    ) {
        if !self.line.fits(bytes, self.config.batch_bytes_max) {
            self.outputs.extend(self.line.seal(&mut self.routes));
        }
        let (mark, first) = (self.line.mark(), self.line.next());
        match add(self) {
            Ok(()) => {
                // As many as fit into a batch.
                let count = (self.line.next().0 - first.0) as u32;
                let placed = Placed { epoch: self.chain.epoch, first, count };
                self.line.await_open(Piece::Done { token, placed }, now.time);
                self.line.move_cursors(cursors, now.time);
            }
            Err(code) => {
                self.line.back(mark);
                self.counters.refuse(code, 1);
                self.outputs.push_back(Output::Done { token, result: Err(code) });
            }
        }
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
