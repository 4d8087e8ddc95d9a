//! The quarantine of an account: what lies there, and what becomes of it.
//!
//! It is a room of the log like any other, so a list is a read of it, as far back as the log reaches. An entry that is
//! released is placed in the commit that says so, or not at all: over any crash it is placed once, and what was settled
//! is never settled again. Who settled it and why is in that commit too, and so is what the technical channel says of it:
//! each is said by itself, however many there are.

use super::{Instance, OWN_READS, Output, log_failing, refusal};
use bytes::Bytes;
use riser_gate::QUARANTINE;
use riser_model::{
    AccountId, Chunk, ConnectionId, Deed, Filter, Interest, Now, Position, Principal, Read, RoomId, RoomName,
    Route, RouteNumber, Run, Selected, Selection, Seq, Stamp,
    door::{Code, Refusal, Target, Tell},
    event::{Destination, Scope},
    look::{Care, Detained, Quarantine, Seen},
};
use riser_rooms::{Append, Input as BusInput, Placed};
use riser_wire::{
    entry::{self, Body, Frame, Kind, Publication, frames},
    settlement::{By, Outcome, Settlement},
};
use std::sync::Arc;

/// One read of the log, bytes.
const READ_BYTES: u32 = 256 << 10;
/// Reads for one list: after that it ends with where to go on.
const READS_MAX: u32 = 64;
/// What is asked of the quarantine by all connections at once, and by those of one client.
const CARES_MAX: usize = 64;
const CARES_OF_CLIENT_MAX: usize = 8;

/// Somebody's question, until the log was read far enough.
#[derive(Debug)]
pub(super) struct Caring {
    connection: ConnectionId,
    /// To be echoed.
    id: u64,
    principal: Arc<Principal>,
    care: Care,
    /// For a list: what was found, and how often the log was read for it.
    found: Vec<Detained>,
    reads: u32,
}

/// What is being settled, until its commit.
#[derive(Debug)]
pub(super) struct Settling {
    connection: ConnectionId,
    id: u64,
    /// Which entry.
    seq: Seq,
    /// Whether it is placed; otherwise it is given up.
    released: bool,
    /// Where it is placed, and in which words: what is written down of it.
    room: Option<RoomName>,
    why: String,
}

fn not_for_you() -> Refusal {
    refusal(Code::Denied, "look into the quarantine", "the role of an owner of the account")
}

impl Instance {
    /// Somebody asks for the quarantine, or wants something of it to be settled.
    pub(super) fn care(&mut self, connection: ConnectionId, id: u64, principal: Arc<Principal>, care: Care) {
        let result = if !principal.grants.administer() {
            Err(not_for_you())
        } else if self.caring.len() >= CARES_MAX || self.caring_of(&principal) >= CARES_OF_CLIENT_MAX {
            Err(refusal(Code::TooMany, "the quarantine is being looked into already", "wait for answers"))
        } else {
            self.first_of(&care)
        };
        match result {
            Ok(from) => {
                let caring = Caring { connection, id, principal, care, found: Vec::new(), reads: 0 };
                self.read_for(caring, from);
            }
            Err(refusal) => self.tell(connection, Tell::Seen { id, result: Err(refusal) }),
        }
    }

    fn caring_of(&self, principal: &Principal) -> usize {
        self.caring.values().filter(|caring| caring.principal.client == principal.client).count()
    }

    /// Where the log is read first.
    fn first_of(&self, care: &Care) -> Result<Seq, Refusal> {
        let entry = match care {
            Care::List { after: None, .. } => return Ok(self.bus.oldest()),
            Care::List { after: Some(after), .. } => return Ok(after.seq.next().max(self.bus.oldest())),
            Care::Inspect { entry } | Care::Release { entry, .. } | Care::Drop { entry, .. } => entry,
        };
        let is_here = self.bus.position(entry.seq) == *entry && entry.seq <= self.bus.committed();
        if is_here && entry.seq >= self.bus.oldest() { Ok(entry.seq) } else { Err(unknown()) }
    }

    fn read_for(&mut self, caring: Caring, from: Seq) {
        self.next_care += 1;
        let ticket = OWN_READS | self.next_care;
        let read = match &caring.care {
            Care::List { .. } => {
                Read::Of { from, max_bytes: READ_BYTES, of: interest(caring.principal.account) }
            }
            Care::Inspect { .. } | Care::Release { .. } | Care::Drop { .. } => {
                Read::All { from, max_bytes: 1 }
            }
        };
        self.caring.insert(ticket, caring);
        self.outputs.push_back(Output::Read { ticket, read });
    }

    /// The log was read.
    pub(super) fn care_read(&mut self, ticket: u64, found: Selected, now: Now) {
        let chunk = found.chunk;
        let Some(mut caring) = self.caring.remove(&ticket) else { return };
        let Some(principal) = self.known_still(caring.connection, &caring.principal) else { return };
        if !principal.grants.administer() {
            return self.seen(&caring, Err(not_for_you()));
        }
        caring.principal = principal;
        if let Care::List { most, .. } = caring.care {
            self.listed(caring, most as usize, &chunk);
            return;
        }
        let (Care::Inspect { entry } | Care::Release { entry, .. } | Care::Drop { entry, .. }) = caring.care
        else {
            return;
        };
        let found = self.detained_in(&chunk, caring.principal.account).find(|(one, _)| one.entry == entry);
        match found {
            Some((one, body)) => self.attend(caring, one, body, now),
            None => self.seen(&caring, Err(unknown())),
        }
    }

    fn listed(&mut self, mut caring: Caring, most: usize, chunk: &Chunk) {
        let account = caring.principal.account;
        let found: Vec<Detained> = self.detained_in(chunk, account).map(|(one, _)| one).collect();
        caring.found.extend(found);
        caring.reads += 1;
        let is_full = caring.found.len() >= most;
        let is_over = chunk.next > self.bus.committed();
        if !is_full && !is_over && caring.reads < READS_MAX {
            return self.read_for(caring, chunk.next);
        }
        let more = caring.found.len() > most;
        caring.found.truncate(most);
        let last = caring.found.last().map(|one| one.entry);
        let next = match (more || !is_over, is_full) {
            (true, true) => last,
            (true, false) => Some(self.bus.position(chunk.next.prev())),
            (false, _) => None,
        };
        let detained = std::mem::take(&mut caring.found);
        self.seen(&caring, Ok(Seen::Quarantine(Quarantine { detained, next })));
    }

    /// What of a piece of the log lies in an account's quarantine and is not settled.
    fn detained_in(&self, chunk: &Chunk, account: AccountId) -> impl Iterator<Item = (Detained, Bytes)> {
        let room = RoomId::of(account, QUARANTINE);
        let mut all = Vec::new();
        for run in &chunk.runs {
            let Run::Entries { first, entries, .. } = run else { continue };
            for (n, frame) in frames(entries).map_while(Result::ok).enumerate() {
                let seq = first.plus(n as u64);
                let route = self.bus.route(frame.route).filter(|route| route.room == room);
                // Who came and went in a room that is not here is nothing to place.
                let says_who = Body::read(frame.body).is_ok_and(|body| body.kind.says_who());
                if let Some(route) = route.filter(|_| !self.settled.has(seq) && !says_who) {
                    all.push((self.detained(seq, route, &frame), entries.slice_ref(frame.body)));
                }
            }
        }
        all.into_iter()
    }

    /// The channel says why, and where it was meant to go: `{code}/{room id}/{channel}`.
    fn detained(&self, seq: Seq, route: &Route, frame: &Frame<'_>) -> Detained {
        let mut parts = route.channel.as_str().splitn(3, '/');
        let code = parts.next().unwrap_or_default().to_owned();
        let meant = parts.next().zip(parts.next()).and_then(|(room, channel)| {
            let room = self.bus.room_name(room.parse().ok().map(RoomId)?)?;
            Some((room.as_str().to_owned(), channel.parse().ok()?))
        });
        Detained {
            entry: self.bus.position(seq),
            code,
            meant,
            client: route.client,
            time: frame.wall(),
            // A body is bounded far below u32.
            bytes: u32::try_from(frame.body.len()).unwrap_or(u32::MAX),
        }
    }

    /// The entry that somebody asked for was found.
    fn attend(&mut self, caring: Caring, one: Detained, body: Bytes, now: Now) {
        let settled = match &caring.care {
            Care::List { .. } => return,
            Care::Inspect { .. } => return self.seen(&caring, Ok(Seen::Detained(Box::new(one), body))),
            Care::Release { reason, .. } => self.release(&caring.principal, &one, &body, reason, now),
            Care::Drop { reason, .. } => {
                let by = Some(by(&caring.principal, reason));
                Ok((Vec::new(), Vec::new(), Settlement { entry: one.entry, outcome: Outcome::Dropped, by }))
            }
        };
        let settled = settled.and_then(|settled| self.may_settle(one.entry.seq).map(|()| settled));
        match settled {
            Ok((routes, entries, settlement)) => self.settle(&caring, (routes, entries, settlement), now),
            Err(refusal) => self.seen(&caring, Err(refusal)),
        }
    }

    fn may_settle(&self, seq: Seq) -> Result<(), Refusal> {
        if self.settling.values().any(|settling| settling.seq == seq) {
            return Err(refusal(
                Code::WrongState,
                "it is being settled at this moment",
                "wait for the answer",
            ));
        }
        if self.settled.is_full() {
            let what = "more is settled than can be remembered until the log has let go of it";
            return Err(refusal(Code::TooMany, what, "a smaller quota, or time"));
        }
        Ok(())
    }

    /// The entry as it is placed: what it says, in the channel that it was meant for, if who releases it may publish
    /// there. Ids by which a device or an edge counts its publications belong to other logs.
    fn release(
        &self,
        principal: &Principal,
        one: &Detained,
        body: &[u8],
        reason: &str,
        now: Now,
    ) -> Result<(Vec<Route>, Vec<u8>, Settlement), Refusal> {
        let Some((room, channel)) = &one.meant else {
            let what = "nobody knows any more where it was meant to go";
            return Err(refusal(Code::WrongState, what, "declare the room again, or drop it"));
        };
        let room = room.parse().map_err(|_| unknown())?;
        let target = Target::Channel(room, channel.clone());
        let route = Route { client: one.client, ..self.bus.route_to(principal, &target)? };
        let body = Body::read(body).map_err(|_| unknown())?;
        let Some(publication) = Publication::read(&body).ok().filter(|_| body.kind == Kind::Publication)
        else {
            let what = "it is no publication: an older hub cannot place it";
            return Err(refusal(Code::WrongState, what, "a newer hub, or drop it"));
        };
        let publication = Publication { publish_id: None, packet_id: None, ..publication };
        let stamp = Stamp { wall: one.time, ..now.stamp() };
        let mut entries = Vec::new();
        publication.write_frame(&mut entries, RouteNumber(0), stamp);
        let Target::Channel(room, channel) = target else { return Err(unknown()) };
        let outcome = Outcome::Released(Destination { room, channel });
        let settlement = Settlement { entry: one.entry, outcome, by: Some(by(principal, reason)) };
        Ok((vec![route], entries, settlement))
    }

    fn settle(
        &mut self,
        caring: &Caring,
        (routes, mut entries, settlement): (Vec<Route>, Vec<u8>, Settlement),
        now: Now,
    ) {
        let (none, stamp) = (RouteNumber::NONE, now.stamp());
        entry::write_frame(&mut entries, none, Kind::Settled, 0, stamp, |out| settlement.write(out));
        let token = self.next_token;
        self.next_token += 1;
        let scope = Scope::Account(caring.principal.account);
        let said = settlement.event().into_iter().map(|event| (scope, event)).collect();
        let Settlement { entry, outcome, by } = settlement;
        let (released, to) = match outcome {
            Outcome::Released(to) => (true, Some(to)),
            Outcome::Dropped | Outcome::ReleasedSomewhere => (false, None),
        };
        let where_to = to.as_ref().map(|to| format!(" to {}", to.channel)).unwrap_or_default();
        let reason = by.map(|by| by.reason).unwrap_or_default();
        let (why, room) = (format!("{entry}{where_to}: {reason}"), to.map(|to| to.room));
        let (connection, id) = (caring.connection, caring.id);
        self.settling.insert(token, Settling { connection, id, seq: entry.seq, released, room, why });
        let entries = Bytes::from(entries);
        self.rooms(BusInput::Append(Append { said, ..Append::new(token, routes, entries) }), now);
    }

    /// The commit that settles something returned, or failed.
    pub(super) fn care_done(&mut self, settling: Settling, result: Result<Placed, Code>) {
        let Settling { connection, id, seq: _, released, room, why } = settling;
        let result = match result {
            Ok(placed) => {
                let deed = if released { Deed::Released } else { Deed::Dropped };
                self.audit(connection, deed, room, why);
                let at = Position { log: self.bus.log(), epoch: placed.epoch, seq: placed.first };
                Ok(if released { Seen::Released(at) } else { Seen::Dropped })
            }
            Err(_) => Err(log_failing()),
        };
        self.tell(connection, Tell::Seen { id, result });
    }

    fn seen(&mut self, caring: &Caring, result: Result<Seen, Refusal>) {
        self.tell(caring.connection, Tell::Seen { id: caring.id, result });
    }
}

fn by(principal: &Principal, reason: &str) -> By {
    By { name: principal.name.clone(), reason: reason.to_owned() }
}

/// What is read for a list: the room of that name, and nothing else.
fn interest(account: AccountId) -> Arc<Interest> {
    let room = RoomId::of(account, QUARANTINE);
    let rooms = [(room, vec![Selection { channels: Filter::all(), since: None }])].into();
    // Who may look was asked before.
    Arc::new(Interest { rooms, grants: Arc::default(), open: [room].into() })
}

fn unknown() -> Refusal {
    refusal(
        Code::UnknownPosition,
        "no such entry in the quarantine, or it is settled",
        "a position from the list of what lies there",
    )
}
