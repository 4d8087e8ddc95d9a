//! Looking at the instance as it is at the moment: rooms, and who is in them, here and behind edges.

use super::Instance;
use riser_model::{
    AccountName, LogId, Now, Principal,
    door::{Code, Refusal},
    event::{Scope, SystemEvent},
    look::{Behind, Look, Presence, Present, Seen},
};
use riser_rooms::presence::Change;

/// Connections in one answer.
const PRESENT_MAX: usize = 1000;

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
            Look::Presence { room } => {
                let id = self.bus.readable_room(principal, room)?;
                let behind = self.presences.present(id, |log| self.behind(log));
                let all: Vec<Present> = self.bus.present(id).chain(behind).collect();
                let more = all.len().saturating_sub(PRESENT_MAX) as u64;
                let present = all.into_iter().take(PRESENT_MAX).collect();
                Ok(Seen::Presence(Presence { present, more }))
            }
            Look::Statistics { room, channels } => {
                let traffic = self.bus.traffic(principal, room, channels, now.time)?;
                Ok(Seen::Statistics(Box::new(traffic)))
            }
            Look::Quarantine(_) => Err(super::refusal(
                Code::WrongState,
                "the quarantine, other than over a connection",
                "op quarantine on a WebSocket of sub-protocol riser.v1.json",
            )),
        }
    }

    /// An edge with that log is known by this name, and its link is up, or not.
    pub fn know_site(&mut self, log: LogId, name: &AccountName, online: bool) {
        if self.sites.insert(log, Site { name: name.clone(), online }).is_none() {
            // The log's fold does not know which logs are below.
            let bus = &self.bus;
            self.outcomes.retain(|one| bus.origin(one.origin).is_none_or(|(from, _)| from != log));
        }
    }

    fn behind(&self, log: LogId) -> Behind {
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
        let behind = self.sites.get(&log).map(|site| site.name.clone());
        let event = match left {
            None => SystemEvent::Joined { client, name, connection, behind },
            Some(cause) => SystemEvent::Left { client, name, connection, behind, cause },
        };
        self.say(Scope::Room(room), event, now);
    }
}
