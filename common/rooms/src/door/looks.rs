//! Looks at the instance that are under way on one connection, and which request waits for each.
//!
//! An answer may have a MiB. So those that show something are asked one after the other, each when the socket has taken the
//! answer before it: whoever does not read has one answer waiting for it, and no more.

use super::refusal;
use riser_model::{
    RoomName,
    door::{Ask, Code, Refusal},
    look::{Edit, Look, PastWanted, RowsWanted},
};
use riser_wire::client::Looking;
use std::collections::{BTreeMap, VecDeque};

/// At once, on one connection: each may cost a walk over a room. Most of them wait for their turn.
const LOOKS_MAX: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Looks {
    last: u64,
    /// The request of each.
    waiting: BTreeMap<u64, Option<u64>>,
    /// Those whose turn has not come.
    queued: VecDeque<Ask>,
    /// The one whose answer is awaited, or is not yet taken by the socket.
    showing: Option<u64>,
    /// It was answered.
    is_answered: bool,
}

impl Looks {
    /// Asks the instance, now or when its turn comes, if not too much is asked already.
    pub(super) fn ask(
        &mut self,
        request: Option<u64>,
        looking: Looking,
        room: &RoomName,
    ) -> Result<Option<Ask>, Refusal> {
        if self.waiting.len() >= LOOKS_MAX {
            let want = format!("at most {LOOKS_MAX} at once: wait for answers");
            return Err(refusal(Code::TooMany, "very many looks at once", &want));
        }
        self.last += 1;
        let id = self.last;
        self.waiting.insert(id, request);
        let room = room.clone();
        let look = match looking {
            Looking::Presence { after } => Look::Presence { room, after },
            Looking::Statistics { channels, after, most } => {
                Look::Statistics(RowsWanted { room, channels, after, most })
            }
            Looking::Quarantine(care) => Look::Quarantine(care),
            Looking::Past { channels, before, most } => {
                Look::Past(PastWanted { room, channels, before, most })
            }
            Looking::Edit { entry, content_type, payload } => {
                Look::Edit(Edit { room, entry, content_type, payload })
            }
            Looking::Devices { after } => Look::Devices { room, after },
        };
        let shows = !matches!(look, Look::Edit(_));
        let ask = Ask::Look { id, look: Box::new(look) };
        if !shows {
            return Ok(Some(ask));
        }
        if self.showing.is_some() {
            self.queued.push_back(ask);
            return Ok(None);
        }
        self.showing = Some(id);
        Ok(Some(ask))
    }

    /// Whether nothing is asked that is not answered.
    pub(super) fn is_answered(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The instance answered: which request that was.
    pub(super) fn answered(&mut self, id: u64) -> Option<u64> {
        self.is_answered |= self.showing == Some(id);
        self.waiting.remove(&id).flatten()
    }

    /// The socket has taken all that was said: what to ask next.
    pub(super) fn taken(&mut self) -> Option<Ask> {
        if !std::mem::take(&mut self.is_answered) {
            return None;
        }
        let next = self.queued.pop_front();
        self.showing = match &next {
            Some(Ask::Look { id, .. }) => Some(*id),
            Some(_) | None => None,
        };
        next
    }
}
