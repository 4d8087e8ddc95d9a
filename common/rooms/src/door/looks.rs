//! Looks at the instance that are under way on one connection, and which request waits for each.

use super::refusal;
use riser_model::{
    RoomName,
    door::{Ask, Code, Refusal},
    look::{Edit, Look, PastWanted},
};
use riser_wire::client::Looking;
use std::collections::BTreeMap;

/// At once, on one connection: each may cost a walk over a room.
const LOOKS_MAX: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Looks {
    last: u64,
    /// The request of each.
    waiting: BTreeMap<u64, Option<u64>>,
}

impl Looks {
    /// Asks the instance, if not too much is asked already.
    pub(super) fn ask(
        &mut self,
        request: Option<u64>,
        looking: Looking,
        room: &RoomName,
    ) -> Result<Ask, Refusal> {
        if self.waiting.len() >= LOOKS_MAX {
            let want = format!("at most {LOOKS_MAX} at once: wait for answers");
            return Err(refusal(Code::TooMany, "very many looks at once", &want));
        }
        self.last += 1;
        let id = self.last;
        self.waiting.insert(id, request);
        let room = room.clone();
        let look = match looking {
            Looking::Presence => Look::Presence { room },
            Looking::Statistics(channels) => Look::Statistics { room, channels },
            Looking::Quarantine(care) => Look::Quarantine(care),
            Looking::Past { channels, before, most } => {
                Look::Past(PastWanted { room, channels, before, most })
            }
            Looking::Edit { entry, content_type, payload } => {
                Look::Edit(Edit { room, entry, content_type, payload })
            }
            Looking::Devices => Look::Devices { room },
        };
        Ok(Ask::Look { id, look: Box::new(look) })
    }

    /// The instance answered: which request that was.
    pub(super) fn answered(&mut self, id: u64) -> Option<u64> {
        self.waiting.remove(&id).flatten()
    }
}
