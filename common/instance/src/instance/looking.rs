//! Looking at the instance as it is at the moment: rooms, and who is in them, here and behind edges.

use super::Instance;
use riser_gate::{Directory, Stand, sequence::Stage};
use riser_model::{
    AccountName, ClientId, LogId, Now, Principal, Right, RoomId, RoomName,
    door::{Code, Refusal},
    event::{Scope, SystemEvent},
    look::{Behind, Device, Look, Presence, Present, Seen, Waiting},
};
use riser_rooms::{
    Append, Input as BusInput,
    presence::{Change, Presences},
};
use riser_wire::departed::Departed;
use std::collections::{BTreeMap, BTreeSet};

/// Connections in one answer.
const PRESENT_MAX: usize = 1000;
/// Connections at a gate, in one answer.
const WAITING_MAX: usize = 200;
/// Of so many rooms behind logs below it is said in one part who is there: less than 1 MB where most are empty.
const ROLLS_MAX: usize = 4096;

/// What is known of an edge whose entries this instance has.
#[derive(Clone, Debug)]
pub(super) struct Site {
    name: AccountName,
    online: bool,
}

/// What whoever is above is told of who is behind logs below.
#[derive(Debug, Default)]
pub(super) struct Calling {
    /// The logs that are no more, while what says so is on its way to the disk, by its token.
    pub(super) departing: BTreeMap<u64, LogId>,
    under_way: Option<Calls>,
}

/// How far that is said.
#[derive(Debug, Default)]
struct Calls {
    /// Where somebody is, and that was said.
    peopled: BTreeSet<(LogId, RoomId)>,
    /// Of the others all up to here were.
    through: Option<(LogId, RoomId)>,
}

impl Calls {
    /// The next ones of which it is to be said, so many at most. None if all were.
    fn take(
        &mut self,
        presences: &Presences,
        linked: &BTreeSet<RoomId>,
        most: usize,
    ) -> Vec<(LogId, RoomId)> {
        let peopled = presences.logs().flat_map(|log| presences.rooms(log).map(move |room| (log, room)));
        let peopled = peopled.filter(|at| linked.contains(&at.1) && !self.peopled.contains(at));
        let mut part: Vec<_> = peopled.take(most).collect();
        self.peopled.extend(&part);
        let before = self.through.map(|(log, _)| log);
        let logs = presences.logs().filter(|log| Some(*log) >= before);
        let rest = logs.flat_map(|log| linked.iter().map(move |room| (log, *room)));
        let rest = rest.filter(|at| Some(*at) > self.through && !self.peopled.contains(at));
        let rest: Vec<_> = rest.take(most - part.len()).collect();
        self.through = rest.last().copied().or(self.through);
        part.extend(rest);
        part
    }
}

impl Instance {
    /// What somebody may see of what is looked at. What takes a while (the quarantine) is answered only to connections.
    pub fn look(&self, principal: &Principal, look: &Look, now: Now) -> Result<Seen, Refusal> {
        match look {
            Look::Presence { room, after } => {
                let id = self.bus.readable_room(principal, room)?;
                let behind = self.presences.present(id, |log| self.behind(log));
                let skipped = usize::try_from(*after).unwrap_or(usize::MAX);
                let mut rest = self.bus.present(id).chain(behind).skip(skipped);
                let present: Vec<Present> = rest.by_ref().take(PRESENT_MAX).collect();
                let more = rest.count() as u64;
                let next = (more > 0).then(|| after.saturating_add(present.len() as u64));
                let incomplete = self.presences.beyond() > 0;
                let (absent, kind) = (self.absent(id), self.bus.kind_of(id).unwrap_or_default());
                let administers = principal.grants.whole(Right::Admin, id);
                let of = Presence { absent, kind, administers, ..Presence::default() };
                Ok(Seen::Presence(Presence { present, more, next, incomplete, ..of }))
            }
            Look::Statistics(wanted) => {
                let traffic = self.bus.traffic(principal, wanted, now.time)?;
                Ok(Seen::Statistics(Box::new(traffic)))
            }
            Look::Quarantine(_) | Look::Past(_) | Look::Edit(_) | Look::Devices { .. } => {
                Err(super::refusal(
                    Code::WrongState,
                    "what takes a while, other than over a connection",
                    "its op on a WebSocket of sub-protocol riser.v1.json",
                ))
            }
        }
    }

    /// How many connections behind edges are there and not kept for want of room.
    pub fn beyond(&self) -> u64 {
        self.presences.beyond()
    }

    /// What somebody sees of a room's gate who looks after it, and who stands at the gates of what is its to look after.
    /// By its own rights, not by those of the room that it is in.
    pub(super) fn see_gate(&self, directory: &Directory, who: &Principal, room: RoomId, seen: &mut Presence) {
        let names = |stage: &Stage| stage.any.iter().map(|one| one.kind().name()).collect();
        let gate = directory.room_gate(room).filter(|_| who.grants.whole(Right::Admin, room));
        seen.gate = gate.map(|gate| gate.stages.iter().map(names).collect()).unwrap_or_default();
        let standing = self.connections.iter().filter_map(|(id, one)| Some((id, one.at.as_ref()?)));
        let waiting = standing.filter_map(|(connection, at)| {
            let (Stand::Hears(acceptor) | Stand::Awaits(acceptor)) = at.gate.stand() else { return None };
            let principal = at.gate.standing().principal.as_ref()?;
            let before = at.before.room();
            self.looks_after(who, at).then(|| Waiting {
                connection: *connection,
                name: Some(principal.name.clone()),
                account: (at.owner != Some(principal.account)).then(|| principal.account_name.clone()),
                acceptor: acceptor.name(),
                knocks: at.knocks().is_some(),
                room: before.map(|(_, name)| name.clone()),
            })
        });
        seen.waiting = waiting.take(WAITING_MAX).collect();
    }

    /// The devices that a broadcast in a room reaches, for who looks after it.
    pub(super) fn devices(
        &self,
        directory: &Directory,
        who: &Principal,
        (room, after): (&RoomName, u64),
    ) -> Result<Seen, Refusal> {
        let id = self.bus.readable_room(who, room)?;
        if !who.grants.whole(Right::Admin, id) {
            let want = "the right to administer the room";
            return Err(super::refusal(Code::Denied, "look for the devices of a room", want));
        }
        let behind = self.presences.present(id, |log| self.behind(log));
        let all: Vec<ClientId> = self.bus.present(id).chain(behind).map(|one| one.client).collect();
        let skipped = usize::try_from(after).unwrap_or(usize::MAX);
        let mut rest = self.devices_of(directory, (who.account, id)).skip(skipped);
        let shown = rest.by_ref().take(PRESENT_MAX).map(|device| {
            let connections = all.iter().filter(|client| **client == device.client).count();
            let connections = u32::try_from(connections).unwrap_or(u32::MAX);
            Device { client: device.client, name: device.name.clone(), connections }
        });
        let devices: Vec<Device> = shown.collect();
        let more = rest.count() as u64;
        let next = (more > 0).then(|| after.saturating_add(devices.len() as u64));
        Ok(Seen::Devices { devices, more, next })
    }

    /// An edge with that log is known by this name, and its link is up, or not.
    pub fn know_site(&mut self, log: LogId, name: &AccountName, online: bool) {
        self.readiness.is_due = true;
        if self.sites.insert(log, Site { name: name.clone(), online }).is_none() {
            // The log's fold does not know which logs are below.
            let bus = &self.bus;
            let from = |origin: u32| bus.origin(origin).is_some_and(|(from, _)| from == log);
            self.outcomes.retain(|one| !one.origin().is_some_and(from));
        }
    }

    /// An edge's log is no more, so nobody is behind it: it is written down, if anybody was.
    pub fn end_site(&mut self, log: LogId, cause: &str, now: Now) {
        self.sites.remove(&log);
        let is_known = self.presences.knows(log) || self.edge_sessions.knows(log);
        if !is_known || self.calling.departing.values().any(|one| *one == log) {
            return;
        }
        let of_nobody = |room| self.presences.roll_of_nobody(log, room, cause);
        let rolls = self.bus.linked().into_iter().filter_map(of_nobody).collect();
        let mut entries = Vec::new();
        Departed { log, cause: cause.to_owned() }.write_frame(&mut entries, now.stamp());
        // Whoever is above is told first: when this log forgets it, that is on the disk.
        self.rooms(BusInput::Rolls(rolls), now);
        let token = self.next_token;
        self.next_token += 1;
        self.calling.departing.insert(token, log);
        // If it fails it is written when the edge comes again, or the process begins.
        self.rooms(BusInput::Append(Append::new(token, Vec::new(), entries)), now);
    }

    /// Whoever is above is told who is behind the logs below, as this log has it, in the rooms that uplinks carry: those
    /// first behind which somebody is. It takes parts of [`ROLLS_MAX`] at most ([`Instance::go_on_calling`]).
    ///
    /// Nothing that says who comes or goes may be on its way to the disk ([`Instance::may_call`]): it would be taken back.
    pub fn call_rolls(&mut self, now: Now) {
        let lost = self.bus.take_lost_of_nobody();
        // Of a log that is still known the others say it.
        let of_nobody = lost.into_iter().filter(|roll| !self.presences.logs().any(|log| log == roll.log));
        let of_nobody = of_nobody.collect();
        self.rooms(BusInput::Rolls(of_nobody), now);
        self.calling.under_way = Some(Calls::default());
        self.go_on_calling(now);
    }

    /// The next part of it, if there is one and the part before is on the disk.
    pub fn go_on_calling(&mut self, now: Now) {
        if self.bus.has_rolls_unstored() {
            return;
        }
        let Some(calls) = &mut self.calling.under_way else { return };
        let linked: BTreeSet<RoomId> = self.bus.linked().into_iter().collect();
        let part = calls.take(&self.presences, &linked, ROLLS_MAX);
        if part.is_empty() {
            self.calling.under_way = None;
            return;
        }
        let rolls = part.into_iter().flat_map(|(log, room)| self.presences.rolls(log, room)).collect();
        self.rooms(BusInput::Rolls(rolls), now);
    }

    /// Whether nothing that this instance says of who is behind a log that is no more is on its way to the disk.
    pub fn may_call(&self) -> bool {
        self.calling.departing.is_empty()
    }

    /// Whether some of what was said of who is behind logs below did not reach the disk, since this was asked last.
    pub fn take_lost_rolls(&mut self) -> bool {
        self.bus.take_lost_rolls()
    }

    /// Whether an awaited commit was that of a log that is no more.
    pub(super) fn has_departed(&mut self, token: u64) -> bool {
        self.calling.departing.remove(&token).is_some()
    }

    pub(super) fn behind(&self, log: LogId) -> Behind {
        let site = self.sites.get(&log);
        Behind {
            edge: site.map(|site| site.name.clone()),
            log,
            cut_off: !site.is_some_and(|site| site.online),
        }
    }

    /// Somebody came into a room behind an edge, or went.
    pub(super) fn say_change(&mut self, change: Change, now: Now) {
        let Change { log, room, client, name, connection, left } = change;
        self.readiness.is_due = true;
        if left.is_none() {
            self.came.insert(client);
        }
        let behind = self.sites.get(&log).map(|site| site.name.clone());
        let event = match left {
            None => SystemEvent::Joined { client, name, account: None, connection, behind },
            Some(cause) => SystemEvent::Left { client, name, account: None, connection, behind, cause },
        };
        self.say(Scope::Room(room), event, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{Epoch, RouteNumber, Seq, Stamp, Wall};
    use riser_wire::entry::{Frame, Kind, Origin, write_frame};
    use riser_wire::membership::Membership;
    use uuid::Uuid;

    fn room(n: u128) -> RoomId {
        RoomId(Uuid::from_u128(n))
    }

    fn opens(presences: &mut Presences, log: LogId, room: RoomId) {
        let (connection, client) = (riser_model::ConnectionId(3), ClientId(Uuid::nil()));
        let (epoch, name, cause) = (Epoch(1), "ann".parse().unwrap(), String::new());
        let one = Membership { log, epoch, room, connection, client, name, cause };
        let mut bytes = Vec::new();
        write_frame(&mut bytes, RouteNumber(0), Kind::Opened, 0, Stamp::default(), |out| one.write(out));
        let (frame, _) = Frame::read(&bytes, 0).unwrap();
        let origin = Some(Origin { number: 1, seq: Seq(1), wall: Wall(0), uncertain: false });
        presences.apply(&Frame { origin, ..frame });
    }

    #[test]
    fn of_all_rooms_behind_all_logs_it_is_said_in_parts_who_is_there_and_first_where_somebody_is() {
        let mut presences = Presences::default();
        opens(&mut presences, LogId(1), room(9));
        opens(&mut presences, LogId(2), room(2));
        opens(&mut presences, LogId(3), room(3));
        let linked: BTreeSet<RoomId> = (1..=3).map(room).collect();
        let mut calls = Calls::default();
        let mut next = |presences: &Presences| {
            let part = calls.take(presences, &linked, 3);
            part.into_iter().map(|(log, room)| (log.0, room.0.as_u128())).collect::<Vec<_>>()
        };
        assert_eq!(next(&presences), [(2, 2), (3, 3), (1, 1)]);
        assert_eq!(next(&presences), [(1, 2), (1, 3), (2, 1)]);
        // Somebody came where nobody was said to be, and where that was not said yet.
        opens(&mut presences, LogId(1), room(1));
        opens(&mut presences, LogId(3), room(2));
        assert_eq!(next(&presences), [(1, 1), (3, 2), (2, 3)]);
        assert_eq!(next(&presences), [(3, 1)]);
        assert_eq!(next(&presences), []);
    }
}
