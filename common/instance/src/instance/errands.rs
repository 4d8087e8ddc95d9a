//! What somebody wants done with its account: whether it may have that done, and that it hears what became of it.
//!
//! In the admin lobby is who has shown the operator's token, or is named as one, on that connection, until it goes into a room.
//!
//! Always holds: an errand leaves for whoever keeps accounts only when the rights that its principal has of its own say so,
//! and a connection has one on its way at most. What is refused here is written down, as every refusal is.

use super::{Instance, Output, entering::no_such_room, refusal};
use crate::connection::Connection;
use riser_gate::{Evidence, Standing, acceptor::Kind};
use riser_model::{
    ConnectionId, Deed, Principal, Right, RoomName,
    door::{Code, Errand, Finished, Refusal, Tell},
};
use std::{net::IpAddr, sync::Arc};

/// An errand that may be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// By whom.
    pub by: Arc<Principal>,
    /// By what it has shown.
    pub evidence: Evidence,
    /// From where, if over a network.
    pub from: Option<IpAddr>,
    /// What.
    pub errand: Errand,
}

impl Instance {
    pub(super) fn run(&mut self, id: ConnectionId, errand: Errand) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (from, evidence) = (connection.caller.address, connection.standing.evidence.clone());
        let permitted = if connection.running {
            Err(refusal(Code::WrongState, "one errand at a time", "wait for its answer"))
        } else {
            self.permit(connection, &errand)
        };
        match permitted {
            Ok(by) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.running = true;
                    connection.operating = matches!(errand, Errand::Operate { .. });
                }
                let wanted = Box::new(Wanted { by, evidence, from, errand });
                self.outputs.push_back(Output::Run { connection: id, wanted });
            }
            Err(why) => {
                self.audit(
                    id,
                    Deed::Refused,
                    room_of(&errand).cloned(),
                    format!("{}: {}", errand.name(), why.what),
                );
                self.tell(id, Tell::Finished(Err(why)));
            }
        }
    }

    /// What became of it.
    pub(super) fn ran(&mut self, id: ConnectionId, result: Result<Finished, Refusal>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if std::mem::take(&mut connection.running) {
            let asked = std::mem::take(&mut connection.operating);
            let result = match result {
                // Who went into a room meanwhile is there, or has been; and what it came by may count no more.
                Ok(Finished::Operates) if !asked => Err(refusal(
                    Code::WrongState,
                    "you went into a room meanwhile, or said anew who you are",
                    "to ask for the admin lobby again, in a lobby",
                )),
                result => result,
            };
            connection.operates |= matches!(result, Ok(Finished::Operates));
            self.tell(id, Tell::Finished(result));
        }
    }

    /// Whose errand it is, if that one may have it done.
    fn permit(&self, connection: &Connection, errand: &Errand) -> Result<Arc<Principal>, Refusal> {
        let standing = &connection.standing;
        let by = standing.principal.as_ref().ok_or_else(no_such_room)?;
        match errand {
            Errand::CreateRoom { .. } if by.grants.administer() => {}
            Errand::CreateRoom { .. } => {
                return Err(refusal(Code::Denied, "not for you", "somebody who administers the account"));
            }
            Errand::Invite { room, .. } | Errand::SetRole { room, .. } => {
                let room = self.bus.reached(by, room).ok_or_else(no_such_room)?;
                if !by.grants.administer() && !by.grants.whole(Right::Admin, room) {
                    let want = "somebody who administers the room, or the account";
                    return Err(refusal(Code::Denied, "not for you", want));
                }
            }
            Errand::Keys | Errand::RevokeKey { .. } if !is_known(standing) => return Err(nobody()),
            Errand::MakeKey if !is_known(standing) => return Err(nobody()),
            // What ends by itself does not make what lasts.
            Errand::MakeKey if !standing.is_lasting() => {
                return Err(ends("to come in with a password, token or key of your own"));
            }
            Errand::Keys | Errand::RevokeKey { .. } | Errand::MakeKey => {}
            Errand::Operate { .. } if !is_known(standing) => return Err(nobody()),
            Errand::Operate { .. } if connection.room.is_some() => {
                return Err(refusal(Code::WrongState, "you are in a room", "to ask for that in a lobby"));
            }
            // Nor does it operate: who operates makes what lasts. The token is shown each time.
            Errand::Operate { token: None } if !standing.is_lasting() => {
                return Err(ends(
                    "the operator's token, or to come in with a password, token or key of your own",
                ));
            }
            Errand::Operate { .. } => {}
            Errand::Accounts | Errand::CreateAccount { .. } | Errand::RemoveAccount { .. } => {
                if !connection.operates {
                    return Err(refusal(
                        Code::Denied,
                        "not for you",
                        "the admin lobby, where its token lets in, or a name in its configuration",
                    ));
                }
            }
        }
        Ok(Arc::clone(by))
    }
}

/// Whether it has said who it is: nobody owns what a listener lends to those who show nothing.
pub(super) fn is_known(standing: &Standing) -> bool {
    !standing.passed.contains(&Kind::Anonymous)
}

pub(super) fn nobody() -> Refusal {
    refusal(Code::Denied, "you have not said who you are", "to come in with a credential of your own")
}

fn ends(want: &str) -> Refusal {
    refusal(Code::Denied, "what you have shown ends by itself, or is known elsewhere", want)
}

fn room_of(errand: &Errand) -> Option<&RoomName> {
    match errand {
        Errand::CreateRoom { room, .. } | Errand::Invite { room, .. } | Errand::SetRole { room, .. } => {
            Some(room)
        }
        Errand::Keys
        | Errand::MakeKey
        | Errand::RevokeKey { .. }
        | Errand::Operate { .. }
        | Errand::Accounts
        | Errand::CreateAccount { .. }
        | Errand::RemoveAccount { .. } => None,
    }
}
