//! What the rooms say, and what a door is told of it.

use super::{Awaited, Instance, OWN_TOKENS, Output};
use riser_model::{
    ConnectionId, Now,
    door::{Ask, Tell},
};
use riser_rooms::{Input as BusInput, Output as BusOutput};

impl Instance {
    pub(super) fn said_by_rooms(&mut self, output: BusOutput, now: Now) {
        match output {
            BusOutput::Tell { connection, tell } => self.tell_from_rooms(connection, tell, now),
            BusOutput::Done { token, result } if token >= OWN_TOKENS => {
                // What follows is decided from what this very commit holds.
                self.fold(self.bus.committed(), now);
                self.tell_shares(now);
                if self.has_departed(token) {
                    return;
                }
                if self.broadcast_done(token, &result, now) {
                    return;
                }
                if let Some(settling) = self.settling.remove(&token) {
                    return self.care_done(settling, result);
                }
                if let Some(edited) = self.past.edits.remove(&token) {
                    return self.edited(edited, result);
                }
                if let Some((awaited, key)) = self.awaited.remove(&token) {
                    self.committed(awaited, &key, result.is_ok(), now);
                    self.changed(&key, now);
                }
            }
            BusOutput::Done { token, result } => self.outputs.push_back(Output::Done { token, result }),
            BusOutput::Committed { through } => {
                self.fold(through, now);
                self.tell_shares(now);
                self.outputs.push_back(Output::Committed { through });
            }
            // The rooms have said so on their technical channels.
            BusOutput::Joined { .. } | BusOutput::Left { .. } => self.readiness.is_due = true,
            BusOutput::Settled { connection } => self.settled(connection, now),
            BusOutput::Count(rooms) => self.outputs.push_back(Output::Count(rooms)),
            BusOutput::Archive(rooms) => self.outputs.push_back(Output::Archive(rooms)),
            BusOutput::Retained(changes) => self.outputs.push_back(Output::Retained(changes)),
            BusOutput::Persist { ticket, batch, connections } => {
                self.outputs.push_back(Output::Persist { ticket, batch, connections });
            }
            BusOutput::Read { ticket, read } => self.outputs.push_back(Output::Read { ticket, read }),
        }
    }

    pub(super) fn tell_from_rooms(&mut self, id: ConnectionId, tell: Tell, now: Now) {
        match tell {
            Tell::Stored { ticket, .. } => self.answer(id, ticket, tell),
            Tell::Subscribed { subscription, result: Ok(subscribed) } => {
                let told = |subscribed| Tell::Subscribed { subscription, result: Ok(subscribed) };
                match self.keep(id, subscription, &subscribed) {
                    Ok(records) if !records.is_empty() => {
                        let awaited = Awaited::Tell { connection: id, tell: told(subscribed) };
                        self.append_of(id, &records, awaited, now);
                    }
                    Ok(_) => {
                        self.filter_changed(id, subscription, now);
                        self.tell(id, told(subscribed));
                    }
                    Err(refusal) => {
                        self.filter_changed(id, subscription, now);
                        self.rooms(
                            BusInput::Ask { connection: id, ask: Ask::Unsubscribe { subscription } },
                            now,
                        );
                        self.tell(id, Tell::Subscribed { subscription, result: Err(refusal) });
                    }
                }
            }
            Tell::Subscribed { subscription, .. } => {
                self.filter_changed(id, subscription, now);
                self.tell(id, tell);
            }
            // The one of a session leaves when that is committed.
            Tell::Unsubscribed { subscription } if self.is_changing(id, subscription) => {}
            tell => self.tell(id, tell),
        }
    }

    pub(super) fn answer(&mut self, id: ConnectionId, ticket: u64, tell: Tell) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        for tell in connection.answer(ticket, tell) {
            self.tell(id, tell);
        }
    }

    pub(super) fn tell(&mut self, connection: ConnectionId, tell: Tell) {
        self.outputs.push_back(Output::Tell { connection, tell });
    }

    /// The answer to a ticket that stored no entry.
    pub(super) fn stored(&self, ticket: u64) -> Tell {
        let (log, epoch, first) = (self.bus.log(), self.bus.epoch(), self.bus.committed().next());
        Tell::Stored { ticket, log, epoch, first, refused: Vec::new() }
    }
}
