//! Looking at the instance as it is at the moment: rooms, and who is in them, here and behind edges.

use super::Instance;
use riser_gate::{Directory, Stand, sequence::Stage};
use riser_model::{
    AccountName, ClientId, LogId, Now, Principal, Right, RoomId, RoomName,
    door::{Code, Refusal},
    event::{Scope, SystemEvent},
    look::{Behind, Device, Look, Presence, Present, Seen, Waiting},
};
use riser_rooms::{Append, Input as BusInput, presence::Change};
use riser_wire::{departed::Departed, roll::Roll};

/// Connections in one answer.
const PRESENT_MAX: usize = 1000;
/// Connections at a gate, in one answer.
const WAITING_MAX: usize = 200;
/// Of so many rooms behind logs below it is said at once who is there: less than 1 MB where most are empty.
const ROLLS_MAX: usize = 4096;

/// What is known of an edge whose entries this instance has.
#[derive(Clone, Debug)]
pub(super) struct Site {
    name: AccountName,
    online: bool,
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
                acceptor: acceptor.name(),
                knocks: at.knocks.is_some(),
                room: before.map(|(_, name)| name.clone()),
            })
        });
        seen.waiting = waiting.take(WAITING_MAX).collect();
    }

    /// The devices of an account that listen in a room, for who looks after it.
    pub(super) fn devices(
        &self,
        directory: &Directory,
        who: &Principal,
        room: &RoomName,
    ) -> Result<Seen, Refusal> {
        let id = self.bus.readable_room(who, room)?;
        if !who.grants.whole(Right::Admin, id) {
            let want = "the right to administer the room";
            return Err(super::refusal(Code::Denied, "look for the devices of a room", want));
        }
        let behind = self.presences.present(id, |log| self.behind(log));
        let all: Vec<ClientId> = self.bus.present(id).chain(behind).map(|one| one.client).collect();
        let devices = directory.keyed(who.account).filter(|device| device.grants.reach(Right::Subscribe, id));
        let shown = devices.map(|device| {
            let connections = all.iter().filter(|client| **client == device.client).count();
            let connections = u32::try_from(connections).unwrap_or(u32::MAX);
            Device { client: device.client, name: device.name.clone(), connections }
        });
        Ok(Seen::Devices(shown.take(PRESENT_MAX).collect()))
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
        if !self.presences.knows(log) && !self.edge_sessions.knows(log) {
            return;
        }
        let of_nobody = |room| self.presences.roll_of_nobody(log, room, cause);
        let rolls = self.bus.linked().into_iter().filter_map(of_nobody).collect();
        let mut entries = Vec::new();
        Departed { log, cause: cause.to_owned() }.write_frame(&mut entries, now.stamp());
        // Nobody waits for it: if it fails it is written when the edge comes again, or the process begins.
        self.rooms(BusInput::Append(Append::unawaited(entries)), now);
        self.rooms(BusInput::Rolls(rolls), now);
    }

    /// Whoever is above is told who is behind the logs below, as this log has it, in the rooms that uplinks carry: those
    /// first behind which somebody is, and [`ROLLS_MAX`] at most.
    ///
    /// Nothing that says who comes or goes may be on its way to the disk: it would be taken back.
    pub fn call_rolls(&mut self, now: Now) {
        let rooms = self.bus.linked();
        let all = self.presences.logs().flat_map(|log| rooms.iter().map(move |room| (log, *room)));
        let mut rolls: Vec<Roll> = all.flat_map(|(log, room)| self.presences.rolls(log, room)).collect();
        rolls.sort_by_key(|roll| roll.present.is_empty());
        rolls.truncate(ROLLS_MAX);
        self.rooms(BusInput::Rolls(rolls), now);
    }

    /// Whether some of what was said of who is behind logs below did not reach the disk, since this was asked last.
    pub fn take_lost_rolls(&mut self) -> bool {
        self.bus.take_lost_rolls()
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
            None => SystemEvent::Joined { client, name, connection, behind },
            Some(cause) => SystemEvent::Left { client, name, connection, behind, cause },
        };
        self.say(Scope::Room(room), event, now);
    }
}
