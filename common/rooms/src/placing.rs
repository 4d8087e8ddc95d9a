//! Entries on their way in from the layer above: the instance's own, and what links brought.

use crate::{
    bus::Bus,
    graph::{ChannelSlot, Way},
    input::{Append, Ingest},
    intake::Piece,
    output::{Output, Placed},
    quota::{Charge, Charged, Over},
};
use riser_model::{
    ClientId, CursorMove, Epoch, LogId, Now, Route, RouteNumber, Run, Seq, Wall,
    door::Code,
    event::{Scope, SystemEvent},
    time::Clock,
};
use riser_wire::entry::{Body, Frame, Kind, ORIGIN_BYTES, Origin, frames};
use std::{collections::BTreeMap, sync::Arc};

/// The quarantine's channel of what rooms took no more of when a link brought it.
const QUOTA: &str = "quota";

/// Routes of an account's quarantine, past which what rooms took no more of overflows: the routes of all are counted together.
const QUARANTINE_ROUTES_MAX: u32 = 1000;

/// Who stamped what came by a time that is further ahead of this end's clock than this was not right.
const AHEAD_MS: i64 = 10_000;

/// What the frames of one batch from above mean by their route numbers, in this log's terms.
struct Ways<'a> {
    routes: &'a [Route],
    known: Vec<Option<Way>>,
}

/// What quotas have to do with what is being placed.
#[derive(Debug, Default)]
struct Added {
    charged: Charged,
    /// Entries that went to quarantine, by their seqs at the link's other end.
    over: Vec<(Over, Seq)>,
}

impl Bus {
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
        let Append { token, routes, entries, said, counted, cursors } = append;
        // Where nothing is said, nothing is said of this either.
        let said = if self.config.events_burst == 0 { Vec::new() } else { said };
        let said: Vec<(Route, Vec<u8>)> =
            said.into_iter().map(|(scope, event)| self.event_of(scope, event)).collect();
        let bytes = entries.len() + said.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let mut ways = Ways { routes: &routes, known: vec![None; routes.len()] };
        let mut over = None;
        self.place(token, bytes, cursors, now, |bus, added| {
            for frame in frames(&entries) {
                let frame = frame.map_err(|_| Code::Malformed)?;
                let mut full = |full: Over| {
                    over = Some(full);
                    Code::QuotaExceeded
                };
                if let Some((beyond, _)) = bus.is_beyond(&ways, frame.route).filter(|_| counted) {
                    return Err(full(beyond));
                }
                let way = bus.way_of(&mut ways, frame.route)?;
                if counted && way.channel != ChannelSlot::NONE {
                    let room = bus.graph.channel(way.channel).room;
                    let charge = bus.graph.charge((room, None), frame.body.len(), (now, None));
                    added.charged.add(charge.map_err(full)?);
                }
                bus.line.add(&frame, way, None);
            }
            for (route, bytes) in &said {
                let (frame, _) = Frame::read(bytes, 0).map_err(|_| Code::Malformed)?;
                let way = bus.intern_beyond(route);
                bus.line.add(&frame, way, None);
            }
            Ok(())
        });
        if let Some(full) = over {
            self.was_over(&full, 1);
        }
    }

    /// Places what a link brought: this log's routes, and its number for where each entry came from.
    pub(crate) fn ingest(&mut self, ingest: Ingest, now: Now) {
        let Ingest { token, log, runs, routes, origins, elsewhere, overflow, counted, cursors, clock } =
            ingest;
        let elsewhere: BTreeMap<Seq, Route> = elsewhere.into_iter().collect();
        let origins: BTreeMap<u32, (LogId, Epoch)> = origins.into_iter().collect();
        let mut ways = Ways { routes: &routes, known: vec![None; routes.len()] };
        let size = runs.iter().map(|run| match run {
            Run::Entries { entries, count, .. } => entries.len() + ORIGIN_BYTES * *count as usize,
            Run::Gap(_) => 0,
        });
        let over = self.place(token, size.sum(), cursors, now, |bus, added| {
            for run in &runs {
                let Run::Entries { first, count, epoch, entries } = run else { continue };
                let mut seq = *first;
                for frame in frames(entries) {
                    let frame = frame.map_err(|_| Code::Malformed)?;
                    let origin = bus.origin_of(&frame, (log, *epoch), seq, (&origins, clock, now.wall))?;
                    let found = match elsewhere.get(&seq) {
                        Some(route) => bus.intern(route).ok_or(Code::TooMany),
                        None => match bus.is_beyond(&ways, frame.route).filter(|_| counted) {
                            Some((full, route)) => {
                                added.over.push((full, seq));
                                Ok(bus.in_quarantine(route, &overflow))
                            }
                            None => bus.way_of(&mut ways, frame.route),
                        },
                    };
                    let way = match found {
                        Err(Code::TooMany) => {
                            bus.counters.refuse(Code::TooMany, 1);
                            bus.intern_beyond(&overflow)
                        }
                        found => found?,
                    };
                    let charge = if counted { bus.charge(way, &frame, (now, origin.wall)) } else { Ok(None) };
                    let way = match charge {
                        Ok(charge) => {
                            charge.into_iter().for_each(|charge| added.charged.add(charge));
                            way
                        }
                        Err(full) => {
                            added.over.push((full, seq));
                            let meant = bus.routes.known(way.route).map(|known| Arc::clone(&known.route));
                            meant.map_or(way, |meant| bus.in_quarantine(&meant, &overflow))
                        }
                    };
                    bus.line.add(&frame, way, Some(origin));
                    seq = seq.next();
                }
                if seq != first.plus(u64::from(*count)) {
                    return Err(Code::Malformed);
                }
            }
            Ok(())
        });
        // Told when all of it is placed: what is told is an entry too.
        for (full, seq) in over {
            self.counters.refuse(Code::QuotaExceeded, 1);
            self.was_over(&full, 1);
            self.tell_quarantined(&full, overflow.client, seq);
        }
    }

    /// Whether a route of a link's makes a channel more than its room takes.
    fn is_beyond<'a>(&self, ways: &Ways<'a>, number: RouteNumber) -> Option<(Over, &'a Route)> {
        let place = number.0 as usize;
        let is_known = ways.known.get(place).is_none_or(Option::is_some);
        let route = ways.routes.get(place).filter(|_| !is_known)?;
        self.graph.is_beyond(route).map(|full| (full, route))
    }

    /// Counts what a link brought, if its room takes it: in the span in which it was made.
    fn charge(
        &mut self,
        way: Way,
        frame: &Frame<'_>,
        (now, made): (Now, Wall),
    ) -> Result<Option<Charge>, Over> {
        let is_publication = Body::read(frame.body).is_ok_and(|body| body.kind == Kind::Publication);
        if way.channel == ChannelSlot::NONE || !is_publication {
            return Ok(None);
        }
        let room = self.graph.channel(way.channel).room;
        self.graph.charge((room, None), frame.body.len(), (now, Some(made))).map(Some)
    }

    /// Where an entry goes whose room takes no more: it never waits, and stays whose it is.
    fn in_quarantine(&mut self, meant: &Route, overflow: &Route) -> Way {
        let Route { room, channel, client } = meant;
        let named =
            format!("{QUOTA}/{room}/{channel}").parse().or_else(|_| format!("{QUOTA}/{room}").parse());
        let route = named.ok().map(|channel| Route { room: overflow.room, channel, client: *client });
        // Not as many as somebody finds names for.
        let has_room = |route: &Route| {
            self.routes.number(route).is_some() || self.routes.count(route.room) < QUARANTINE_ROUTES_MAX
        };
        let route = route.filter(has_room);
        route.and_then(|route| self.intern(&route)).unwrap_or_else(|| self.intern_beyond(overflow))
    }

    fn tell_quarantined(&mut self, full: &Over, edge: ClientId, seq: Seq) {
        let declared = self.graph.room(full.room).declared.as_ref();
        let Some(account) = declared.map(|declared| declared.account) else { return };
        let (code, reason) = (QUOTA.to_owned(), full.to_string());
        self.event(Scope::Account(account), SystemEvent::Quarantined { edge, seq, code, reason });
    }

    /// An entry keeps the identity of the log that it was first appended to, and the time that was found for it first,
    /// by this end's clock: not later than it came, however far off the clock is that stamped it.
    fn origin_of(
        &mut self,
        frame: &Frame<'_>,
        from: (LogId, Epoch),
        seq: Seq,
        (origins, clock, now): (&BTreeMap<u32, (LogId, Epoch)>, Clock, Wall),
    ) -> Result<Origin, Code> {
        let origin = match frame.origin {
            Some(origin) => {
                let of = *origins.get(&origin.number).ok_or(Code::Malformed)?;
                let wall = clock.passed_on(origin.wall);
                Origin { number: self.routes.add_origin(of), wall, ..origin }
            }
            None => {
                let stamp = Body::read(frame.body).map_err(|_| Code::Malformed)?.stamp;
                let number = self.routes.add_origin(from);
                let found = clock.corrected(stamp);
                Origin { number, seq, wall: found.wall, uncertain: !found.anchored }
            }
        };
        let uncertain = origin.uncertain || origin.wall.0 > now.0.saturating_add(AHEAD_MS);
        Ok(Origin { wall: origin.wall.min(now), uncertain, ..origin })
    }

    /// Adds entries and cursors that belong into one batch: all of them or nothing. What of it rooms took no more of.
    fn place(
        &mut self,
        token: u64,
        bytes: usize,
        cursors: Vec<CursorMove>,
        now: Now,
        add: impl FnOnce(&mut Self, &mut Added) -> Result<(), Code>,
    ) -> Vec<(Over, Seq)> {
        if !self.line.fits(bytes, self.config.batch_bytes_max) {
            self.outputs.extend(self.line.seal(&mut self.routes));
        }
        let (mark, first) = (self.line.mark(), self.line.next());
        let mut added = Added::default();
        let result = add(self, &mut added);
        let Added { charged, over } = added;
        match result {
            Ok(()) => {
                // As many as fit into a batch.
                let (count, quarantined) = ((self.line.next().0 - first.0) as u32, over.len() as u32);
                let placed = Placed { epoch: self.chain.epoch, first, count, quarantined };
                self.line.await_open(Piece::Done { token, placed, charged }, now.time);
                self.line.move_cursors(cursors, now.time);
                over
            }
            Err(code) => {
                self.line.back(mark);
                self.graph.refund(charged);
                self.counters.refuse(code, 1);
                self.outputs.push_back(Output::Done { token, result: Err(code) });
                Vec::new()
            }
        }
    }
}
