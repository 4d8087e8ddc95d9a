//! The verbs of a lobby as a program says them, in a lobby or in a room: which of them are under way, and what they are
//! answered. Who may say which is the instance's to judge.

use super::refusal;
use riser_model::{
    AccountName, RoomName,
    door::{Ask, Code, Credential, Errand, Finished, Refusal, RoomInfo, Secret},
};
use riser_wire::client::{self, Done, Shown, ShownRoom};
use std::collections::VecDeque;

/// Requests for the rooms that the bus has not answered.
const ASKED_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Verbs {
    /// `rooms` that are not answered.
    asked: VecDeque<u64>,
    /// The `move` that is not answered.
    moving: Option<u64>,
    /// The `renew` that is not answered.
    renewing: Option<u64>,
    /// The errand that is not done yet.
    running: Option<u64>,
}

impl Verbs {
    /// `rooms`.
    pub(super) fn rooms(&mut self, id: u64) -> Result<Ask, Refusal> {
        if self.asked.len() >= ASKED_MAX {
            return Err(refusal(Code::TooMany, "too many requests at once", "wait for their replies"));
        }
        self.asked.push_back(id);
        Ok(Ask::Rooms)
    }

    /// `create`, `invite`, `keys` and the like.
    pub(super) fn run(&mut self, id: u64, errand: Errand) -> Result<Ask, Refusal> {
        if self.running.is_some() {
            return Err(refusal(Code::WrongState, "one errand at a time", "wait for its reply"));
        }
        self.running = Some(id);
        Ok(Ask::Run(Box::new(errand)))
    }

    /// `enter` and `move`.
    pub(super) fn go(&mut self, id: u64, room: RoomName) -> Result<Ask, Refusal> {
        self.is_at_no_gate()?;
        self.moving = Some(id);
        Ok(Ask::Move { room })
    }

    /// `leave`: on the way to the lobby, which asks nothing.
    pub(super) fn leave(&mut self, id: u64) -> Result<(), Refusal> {
        self.is_at_no_gate()?;
        self.moving = Some(id);
        Ok(())
    }

    /// `renew`: whoever gives a name without an account is of its own.
    pub(super) fn renew(&mut self, id: u64, shown: Shown, own: &AccountName) -> Result<Ask, Refusal> {
        self.is_at_no_gate()?;
        self.renewing = Some(id);
        let account = |name: &str| (!name.contains('/')).then(|| own.clone());
        Ok(Ask::Renew(match shown {
            Shown::Token(token) => Credential::Token(token),
            Shown::Password { user, password } => {
                Credential::Password { account: account(&user), user, password }
            }
            Shown::Claim { user: name, method } => {
                Credential::Claim { account: account(&name), name, method }
            }
        }))
    }

    /// It is who it says: which request that answers.
    pub(super) fn renewed(&mut self) -> Option<u64> {
        self.renewing.take()
    }

    fn is_at_no_gate(&self) -> Result<(), Refusal> {
        match (self.moving, self.renewing) {
            (None, None) => Ok(()),
            (Some(_), _) => {
                Err(refusal(Code::WrongState, "one room at a time", "wait for the reply to move"))
            }
            (None, Some(_)) => {
                Err(refusal(Code::WrongState, "one gate at a time", "wait for the reply to renew"))
            }
        }
    }

    /// `answer`, to the gate that it stands at.
    pub(super) fn answer(&self, proof: Secret) -> Result<Ask, Refusal> {
        if self.is_at_no_gate().is_err() {
            Ok(Ask::Answer(proof))
        } else {
            Err(refusal(Code::WrongState, "an answer to nothing", "an answer when it is asked"))
        }
    }

    /// Whether it is on its way to a room.
    pub(super) fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// It has arrived, or was not let in: which request that answers.
    pub(super) fn arrived(&mut self) -> Option<u64> {
        self.moving.take()
    }

    /// The rooms, as they are said.
    pub(super) fn listed(&mut self, rooms: &[RoomInfo]) -> String {
        let rooms = rooms.iter().map(|RoomInfo { name, gated, members, kind, absent }| ShownRoom {
            name,
            gated: *gated,
            members: *members,
            kind: kind.name(),
            absent: absent.as_deref(),
        });
        client::ok(self.asked.pop_front(), &Done::Rooms { rooms: rooms.collect() })
    }

    /// What became of the errand, as it is said.
    pub(super) fn finished(&mut self, result: Result<Finished, Refusal>) -> String {
        let id = self.running.take();
        match result {
            Ok(done) => client::ok(id, &Done::Seen(client::finished(&done))),
            Err(why) => client::error(id, &why),
        }
    }
}
