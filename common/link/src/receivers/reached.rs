//! How far a log was taken, here and above: for an edge that was moved, and waits for what its former parent has.

use super::{ConnectionId, Epoch, HubFrame, LogId, Others, Output, Receivers, Seq};

/// So many questions of one connection are remembered for answers from above, of which there may be several; whoever asks
/// more asks again.
const ASKED_MAX: usize = 64;

impl Receivers {
    /// Says how far it is here, and asks above. What is not the edge's to know looks as if nothing were known.
    pub(super) fn asked_reached(&mut self, connection: ConnectionId, (log, epoch): (LogId, Epoch)) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let Some(known) = state.phase.known() else { return };
        let is_below = log == known.hello.log || known.edge.relays;
        let may = is_below && self.registry.may_bring(log, known.edge.account);
        if may && self.config.others == Others::Relayed {
            if state.asked.len() >= ASKED_MAX {
                state.asked.clear();
            }
            state.asked.insert((log, epoch));
            self.outputs.push_back(Output::Ask { log, epoch });
        }
        let taken = self.registry.cursor(log, epoch).filter(|_| may);
        let through = taken.map_or(Seq::ZERO, |value| value.through);
        self.send(connection, HubFrame::Reached { log, epoch, through });
    }

    /// Somebody above said how far it is there.
    pub(super) fn reached(&mut self, place: (LogId, Epoch), through: Seq) {
        let (log, epoch) = place;
        let asked =
            self.connections.iter().filter(|(_, state)| state.asked.contains(&place)).map(|(id, _)| *id);
        for connection in asked.collect::<Vec<_>>() {
            self.send(connection, HubFrame::Reached { log, epoch, through });
        }
    }
}
