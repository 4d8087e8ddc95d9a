//! The tickets of one connection: drawn here, given to its client once, and known to everybody else by their hashes.

use super::refusal;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use riser_model::door::{Ask, Code, Refusal, TicketHash};
use riser_wire::client::{self, Done};
use sha2::{Digest, Sha256};
use std::{collections::VecDeque, fmt};

/// Tickets that may wait for an answer.
const WAITING_MAX: usize = 32;

/// Where a connection's tickets come from: 32 random bytes that nobody else has. Never printed.
#[derive(Clone)]
pub struct TicketSeed(pub [u8; 32]);

impl fmt::Debug for TicketSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSeed(redacted)")
    }
}

/// See the module.
pub(super) struct Tickets {
    seed: TicketSeed,
    drawn: u64,
    /// The request and its ticket, in order.
    waiting: VecDeque<(u64, String)>,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}

impl Tickets {
    pub(super) fn new(seed: TicketSeed) -> Self {
        Self { seed, drawn: 0, waiting: VecDeque::new() }
    }

    /// Draws one for a request.
    pub(super) fn draw(&mut self, request: u64) -> Result<Ask, Refusal> {
        if self.waiting.len() >= WAITING_MAX {
            let what = format!("{WAITING_MAX} tickets wait for an answer");
            return Err(refusal(Code::TooMany, &what, "wait for the answers"));
        }
        self.drawn += 1;
        let secret =
            Sha256::new().chain_update(self.seed.0).chain_update(self.drawn.to_le_bytes()).finalize();
        let text = URL_SAFE_NO_PAD.encode(secret);
        let hash = TicketHash(Sha256::digest(&text).into());
        self.waiting.push_back((request, text));
        Ok(Ask::Ticket { hash })
    }

    /// The next one in order was taken note of, or not: what to say.
    pub(super) fn ticketed(&mut self, result: Result<u32, Refusal>) -> Option<String> {
        let (request, ticket) = self.waiting.pop_front()?;
        Some(match result {
            Ok(expires_s) => client::ok(Some(request), &Done::Ticket { ticket: &ticket, expires_s }),
            Err(why) => client::error(Some(request), &why),
        })
    }
}
