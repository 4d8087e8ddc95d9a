//! The ways down: what each wants, what it reads, and what it hears of the log.

use super::{Below, LinkOutput, emit, rooms};
use crate::{
    downlinks::{self, Wish},
    owed::One,
    refused::Refused,
};
use riser_instance::{Instance, core::Output};
use riser_link::{
    receivers::Input as ReceiversInput,
    sender::{Input as SenderInput, Output as SenderOutput},
};
use riser_model::{
    Cause, Chunk, ClientId, ConnectionId, Gap, Now, Seq,
    event::{Scope, SystemEvent},
};
use riser_rooms::Input as RoomsInput;
use riser_wire::link::{DownFrame, HubFrame};

/// Why what the log let go of failed, in the event.
const GONE: &str = "gone";

/// Whether the log has no more what a gap of that cause stands for.
fn is_let_go(cause: Cause) -> bool {
    match cause {
        Cause::Quota | Cause::Damage | Cause::TailCut | Cause::HubQuota | Cause::Retention => true,
        Cause::EdgeLost | Cause::ReceiverRewound | Cause::Refused | Cause::TooLarge | Cause::RelayLost => {
            false
        }
    }
}

impl Below {
    pub(super) fn downlink(&mut self, edge: ClientId, input: SenderInput, instance: &mut Instance, now: Now) {
        self.downlinks.handle(edge, input, (instance.bus(), &self.receivers), now);
        self.wishes(instance, now);
    }

    /// What the ways down want.
    pub(super) fn wishes(&mut self, instance: &mut Instance, now: Now) {
        while let Some(Wish { edge, output }) = self.downlinks.poll() {
            match output {
                SenderOutput::Send { attempt, frame } => {
                    let connection = ConnectionId(attempt);
                    if let Some(frame) = DownFrame::of(frame) {
                        self.out(LinkOutput::Send { connection, frame: HubFrame::Down(frame) });
                    }
                }
                SenderOutput::Close { attempt } => {
                    let (connection, why) = (ConnectionId(attempt), "no answer, or none that goes on");
                    self.tell(ReceiversInput::Mute { connection, why }, instance, now);
                }
                SenderOutput::Read { number, from, bytes_max } => {
                    self.read(edge, number, from, bytes_max, instance, now)
                }
                SenderOutput::Moved { key, value, at_once } => {
                    rooms(RoomsInput::Cursor { key, value, at_once }, instance, now);
                }
                SenderOutput::NewEpoch { .. } => self.out(LinkOutput::Reopen { edge }),
                SenderOutput::Emit(event) => {
                    if let Some(gap) = downlinks::missing(&event)
                        && let Some((account, name)) = self.downlinks.account(edge)
                    {
                        let event = SystemEvent::DownlinkGap { edge, name: name.clone(), gap };
                        emit(account, event, instance, now);
                        if gap.cause == Cause::Refused {
                            self.look_at_refused(Refused { edge, gap, reads: 0 }, instance, now);
                        } else if is_let_go(gap.cause) {
                            self.tell_gone(edge, gap, instance, now);
                        }
                    }
                    self.out(LinkOutput::Down { edge, event });
                }
                // It neither dials, nor proves its flow, nor has a clock of its own to tie, and asks nobody.
                SenderOutput::Connect { .. }
                | SenderOutput::AppendCanary
                | SenderOutput::AppendAnchor(_)
                | SenderOutput::Reached { .. } => {}
            }
        }
    }

    /// Who published what an edge will never have, as the log let go of it, hears that.
    fn tell_gone(&mut self, edge: ClientId, gap: Gap, instance: &mut Instance, now: Now) {
        for one in self.downlinks.lose(edge, gap) {
            let One { room, client, entry, publish_id, .. } = one;
            let event = SystemEvent::Failed { entry, client, publish_id, code: GONE.to_owned() };
            rooms(RoomsInput::Event { scope: Scope::Room(room), event }, instance, now);
        }
    }

    /// From memory where that reaches, else from the disk.
    fn read(
        &mut self,
        edge: ClientId,
        number: u64,
        from: Seq,
        bytes_max: u32,
        instance: &mut Instance,
        now: Now,
    ) {
        match instance.bus().tail(from, bytes_max as usize) {
            Some(chunk) => {
                let known = (instance.bus(), &self.receivers);
                self.downlinks.handle(edge, SenderInput::Read { number, chunk }, known, now);
            }
            None => {
                let ticket = self.downlinks.ticket(edge, number);
                self.outputs.push_back(Output::ReadForLink { ticket, from, max_bytes: bytes_max });
            }
        }
    }

    pub(crate) fn read_refused(&mut self, refused: Refused, from: Seq, max_bytes: u32) {
        let ticket = self.downlinks.other_ticket();
        self.refused.insert(ticket, refused);
        self.outputs.push_back(Output::ReadForLink { ticket, from, max_bytes });
    }

    /// The log was read for a way down.
    pub fn read_for_link(&mut self, ticket: u64, chunk: Chunk, instance: &mut Instance, now: Now) {
        if let Some(refused) = self.refused.remove(&ticket) {
            return self.tell_refused(refused, &chunk, instance, now);
        }
        self.downlinks.read(ticket, chunk, (instance.bus(), &self.receivers), now);
        self.wishes(instance, now);
    }

    /// The log let these go.
    pub fn lost(&mut self, gaps: &[Gap], instance: &mut Instance, now: Now) {
        self.downlinks.lost(gaps, (instance.bus(), &self.receivers), now);
        self.wishes(instance, now);
    }

    /// A commit returned: the ways down learn what it holds.
    pub fn committed(&mut self, through: Seq, instance: &mut Instance, now: Now) {
        self.downlinks.committed(through, (instance.bus(), &self.receivers), now);
        self.wishes(instance, now);
        self.rolls_due |= self.passes_on && instance.take_lost_rolls();
        self.call_due(instance, now);
    }
}
