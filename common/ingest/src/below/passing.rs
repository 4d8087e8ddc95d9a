//! What passes between those above an instance and those below it: who is above, how far logs are there, and what is shown
//! beside backlogs.

use super::{Below, rooms};
use bytes::Bytes;
use riser_instance::Instance;
use riser_link::{Present, receivers::Input as ReceiversInput};
use riser_model::{ClientId, ConnectionId, Epoch, LogId, Now, Seq};
use riser_rooms::{Input as RoomsInput, Latest};
use riser_wire::{
    entry::{Body, Kind, frames},
    link::{Above, Definitions, Item},
};
use std::sync::Arc;

impl Below {
    /// The same with somebody above: what edges show beside their backlogs is to go on ([`Below::poll_present`]).
    #[must_use]
    pub fn passing_on(self) -> Self {
        // What was said before the process began may be lost.
        Self { passes_on: true, rolls_due: true, ..self }
    }

    /// Whoever is above is to be told anew who is behind the logs below, for something of it may be lost. It is said once
    /// nothing of the kind is on its way to the disk.
    pub fn call_rolls(&mut self, instance: &mut Instance, now: Now) {
        self.rolls_due = self.passes_on;
        self.call_due(instance, now);
    }

    pub(super) fn call_due(&mut self, instance: &mut Instance, now: Now) {
        if !instance.may_call() || self.outstanding.values().any(|one| one.says_who) {
            return;
        }
        if std::mem::take(&mut self.rolls_due) {
            instance.call_rolls(now);
        } else {
            instance.go_on_calling(now);
        }
    }

    /// This lies above the instance from here on, as its own uplinks say.
    pub fn above(&mut self, above: Above, instance: &mut Instance, now: Now) {
        self.tell(ReceiversInput::Above(above), instance, now);
    }

    /// An epoch of a log below: whoever is above is to be asked how far it was taken there.
    pub fn poll_asked(&mut self) -> Option<(LogId, Epoch)> {
        self.asked.pop_first()
    }

    /// What an edge shows beside its backlog, for whoever is above.
    pub fn poll_present(&mut self) -> Option<Present> {
        self.presents.pop_front()
    }

    /// Somebody above said so.
    pub fn reached(&mut self, (log, epoch): (LogId, Epoch), through: Seq, instance: &mut Instance, now: Now) {
        self.tell(ReceiversInput::Reached { log, epoch, through }, instance, now);
    }

    /// The logs that an edge has from below it are known from the moment on at which it says what its numbers mean: what comes
    /// from them is nobody's that came down. A frame with the present may say that first, and no batch says it again.
    pub(super) fn know_below(&self, edge: ClientId, definitions: &Definitions, instance: &mut Instance) {
        if definitions.origins.is_empty() {
            return;
        }
        let links = self.links();
        for (_, (below, _)) in &definitions.origins {
            // What another edge brings too is shown behind whoever brought it first.
            if self.receivers.owner(*below).is_none_or(|owner| owner == edge)
                && let Some((name, online)) = self.site(*below, edge, &links)
            {
                instance.know_site(*below, name, online);
            }
        }
    }

    pub(super) fn latest(
        &mut self,
        (connection, edge): (ConnectionId, ClientId),
        (log, epoch): (LogId, Epoch),
        items: &[Item],
        definitions: Definitions,
        instance: &mut Instance,
        now: Now,
    ) {
        self.know_below(edge, &definitions, instance);
        let table = self.tables.entry(connection).or_default();
        table.define(definitions, edge, &self.directory);
        let mut present = Vec::new();
        for item in items {
            let Item::Entries { first, frames: bytes, .. } = item else { continue };
            let mut seq = *first;
            for frame in frames(bytes).map_while(Result::ok) {
                let place = match frame.origin {
                    None => Some((log, epoch, seq)),
                    Some(origin) => table.origin(origin.number).map(|(log, epoch)| (log, epoch, origin.seq)),
                };
                if let (Ok(route), Some((log, epoch, seq))) = (table.route(&frame), place)
                    && !table.takes_outcomes(&frame)
                {
                    if self.passes_on && is_publication(frame.body) {
                        let wall = frame.origin.map_or(now.wall, |origin| origin.wall);
                        // A copy, so that one value does not hold a whole frame in memory.
                        let (crc, body) = (frame.crc, Bytes::copy_from_slice(frame.body));
                        let route = Arc::clone(route);
                        self.presents.push_back(Present { log, epoch, seq, wall, route, crc, body });
                    }
                    let (route, body) = (route.as_ref().clone(), bytes.slice_ref(frame.body));
                    present.push(Latest { log, epoch, seq, route, body });
                }
                seq = seq.next();
            }
        }
        for latest in present {
            rooms(RoomsInput::Latest(latest), instance, now);
        }
    }
}

fn is_publication(body: &[u8]) -> bool {
    Body::read(body).is_ok_and(|body| body.kind == Kind::Publication)
}
