//! The WebSocket doors: many channels of a room in JSON ([`Envelope`]), one channel as bare bytes ([`Raw`]), and lines for
//! people at terminals ([`Tty`]); the main lobby for programs ([`Lobby`]).
//!
//! Each is the pure state machine of one connection: messages in, [`Ask`](riser_model::door::Ask)s out, and
//! what the bus tells back into messages. Always holds: nothing is asked of the bus before the peer is let in,
//! at most 16 KiB are taken until then, a receipt leaves only after the bus said `Stored`, pushes leave only
//! when the socket has room, and after a close nothing follows. Who may do what is the bus's business, who
//! somebody is the gate's, and the socket the listener's.
//!
//! Read [`envelope`] first.

mod envelope;
mod lobby;
mod looks;
mod publisher;
mod pull;
mod raw;
mod readers;
#[cfg(test)]
mod script;
mod tickets;
mod tty;
mod verbs;

pub use envelope::Envelope;
pub use lobby::Lobby;
pub use raw::Raw;
pub use tickets::TicketSeed;
pub use tty::Tty;

use riser_model::{
    AccountName, Principal, RoomName,
    door::{Ask, Code, Credential, Delivery, Refusal},
};

/// Where a connection came in, and what its handshake brought.
#[derive(Clone, Debug)]
pub struct Place {
    /// The account that the URL names, by its name or its UUID.
    pub account: AccountName,
    /// The room that the URL names, or whose channels are those of the lobby that it names.
    pub room: RoomName,
    /// From a ticket, a cookie or an `Authorization` header. `hello` may bring one instead.
    pub credential: Credential,
    /// Whether this listener lets in those who show nothing.
    pub anonymous: bool,
}

impl Place {
    /// The credential to enter with, if there is one that this listener takes.
    fn admit(&self, shown: Credential) -> Result<Credential, Refusal> {
        match shown {
            Credential::Anonymous if !self.anonymous => Err(refusal(
                Code::NotAuthorised,
                "no credential",
                "a user and password, or a token: this listener does not allow anonymous connections",
            )),
            Credential::Anonymous
            | Credential::Person
            | Credential::Password { .. }
            | Credential::Token(_)
            | Credential::Ticket(_)
            | Credential::Cookie(_)
            | Credential::Claim { .. } => Ok(shown),
        }
    }

    /// Whether this is an address of the principal's account. Another one's looks like a room that is not.
    fn holds(&self, principal: &Principal) -> Result<(), Refusal> {
        if names(&self.account, principal) {
            Ok(())
        } else {
            Err(refusal(Code::Denied, "no such room, or not for you", "a room of your account"))
        }
    }
}

/// What a visitor of somebody's lobby hears to everything but a few verbs, whether there is such an account or not.
fn visiting() -> Refusal {
    refusal(
        Code::Denied,
        "you are a visitor in this lobby",
        "whoami, help, what its account lets visitors read or publish, or the main lobby (/) for the rooms of your own account",
    )
}

/// Whose lobby somebody visits, if it is not its own account's.
fn visitor(of: Option<&AccountName>, principal: &Principal) -> Option<AccountName> {
    of.filter(|name| !names(name, principal)).cloned()
}

/// Whether that is what the principal's account is called: by its name or its UUID.
fn names(account: &AccountName, principal: &Principal) -> bool {
    *account == principal.account_name || account.as_str() == principal.account.0.as_hyphenated().to_string()
}

/// What is to be told of a delivery that was written to a socket: nobody acknowledges on a WebSocket.
fn reported_at(delivery: &Delivery) -> Option<Ask> {
    let at = delivery.pos.or(delivery.retained).filter(|_| delivery.reported)?;
    Some(Ask::Delivered { at: vec![at] })
}

fn refusal(code: Code, what: &str, want: &str) -> Refusal {
    Refusal { code, what: what.into(), want: want.into() }
}
