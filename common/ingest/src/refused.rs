//! What an edge refused of what went down to it, for those whose publications it was: `failed`, by publish id.
//!
//! The entries are in the hub's log, where they are looked at again: few are refused, and nothing is kept for the others.

use crate::below::Below;
use riser_instance::{Input as InstanceInput, Instance};
use riser_model::{
    Chunk, ClientId, Gap, Now, Position, Run, Seq,
    event::{PublishedAs, Scope, SystemEvent},
};
use riser_rooms::{Bus, Input as RoomsInput};
use riser_wire::entry::{Body, Frame, Publication, frames};

/// One read of the log, bytes.
const READ_BYTES: u32 = 1 << 20;
/// Reads for one gap: what lies beyond is not told one by one.
const READS_MAX: u32 = 64;
/// Why it failed, in the event.
const CODE: &str = "refused";

/// Seqs of the hub's log, all of one answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) edge: ClientId,
    pub(crate) gap: Gap,
    /// How often the log was read for it.
    pub(crate) reads: u32,
}

impl Below {
    /// From memory where that reaches, else from the disk.
    pub(crate) fn look_at_refused(&mut self, refused: Refused, instance: &mut Instance, now: Now) {
        let from = refused.gap.from;
        match instance.bus().tail(from, READ_BYTES as usize) {
            Some(chunk) => self.tell_refused(refused, &chunk, instance, now),
            None => self.read_refused(refused, from, READ_BYTES),
        }
    }

    /// What was read of it.
    pub(crate) fn tell_refused(
        &mut self,
        refused: Refused,
        chunk: &Chunk,
        instance: &mut Instance,
        now: Now,
    ) {
        let Refused { edge, gap, reads } = refused;
        let mut events = Vec::new();
        for run in &chunk.runs {
            let Run::Entries { first, entries, .. } = run else { continue };
            for (n, frame) in frames(entries).map_while(Result::ok).enumerate() {
                let seq = first.plus(n as u64);
                let is_one = gap.from <= seq && seq <= gap.to && Publication::has_publish_id(frame.body);
                if !is_one || !self.downlinks().carries(edge, frame.route) {
                    continue;
                }
                events.extend(failed(seq, &frame, instance.bus()));
            }
        }
        for (scope, event) in events {
            instance.handle(InstanceInput::Rooms(RoomsInput::Event { scope, event }), now);
        }
        if chunk.next > gap.from && chunk.next <= gap.to && reads < READS_MAX {
            let gap = Gap { from: chunk.next, ..gap };
            self.look_at_refused(Refused { edge, gap, reads: reads + 1 }, instance, now);
        }
    }
}

fn failed(seq: Seq, frame: &Frame<'_>, bus: &Bus) -> Option<(Scope, SystemEvent)> {
    let route = bus.route(frame.route)?;
    let id = Publication::read(&Body::read(frame.body).ok()?).ok()?.publish_id?;
    let entry = match frame.origin {
        Some(origin) => {
            let (log, epoch) = bus.origin(origin.number)?;
            Position { log, epoch, seq: origin.seq }
        }
        None => bus.position(seq),
    };
    let publish_id = PublishedAs { producer: id.producer, n: id.n };
    let (client, code) = (route.client, CODE.to_owned());
    Some((Scope::Room(route.room), SystemEvent::Failed { entry, client, publish_id, code }))
}
