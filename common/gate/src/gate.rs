//! The gate before one connection: a credential in, a principal or a refusal out.
//!
//! It is one acceptor after another. Whatever the current one does not await closes the connection; every
//! wait has a deadline. It answers exactly once: after [`Output::Pass`] or [`Output::Refuse`] it is over.

use crate::{
    acceptor::{Policy, Step, password::AwaitVerdict},
    hidden::PasswordHash,
};
use riser_model::{
    Now, Principal, Time,
    door::{Code, Credential, Refusal, Secret},
};
use std::{collections::VecDeque, sync::Arc};

/// What a verifier found out about a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is the one.
    Matches,
    /// It is not.
    Differs,
    /// Too many are waiting to be verified; nobody looked.
    Busy,
}

/// What happens to a gate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// The peer showed this.
    Shown(Credential),
    /// The answer to [`Output::Verify`].
    Verified {
        /// Its ticket.
        ticket: u64,
        /// The answer.
        verdict: Verdict,
    },
    /// The time that [`Gate::poll_timeout`] named has come.
    Deadline,
}

/// What a gate wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Let it in, as this principal.
    Pass(Arc<Principal>),
    /// Verify this password, elsewhere, and answer with [`Input::Verified`].
    Verify {
        /// To be echoed. Counts from 0 within this gate.
        ticket: u64,
        /// What it must match.
        hash: PasswordHash,
        /// What was shown.
        password: Secret,
    },
    /// Say so and close.
    Refuse(Refusal),
}

/// What a gate's deadline is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// Nothing was shown in time.
    Credential,
    /// The verifier did not answer in time.
    Verdict,
}

/// The gate before one connection.
#[derive(Debug)]
pub struct Gate {
    state: State,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Credential(AwaitCredential),
    Verdict(AwaitVerdict),
    Over,
}

/// Awaits the one credential.
#[derive(Debug)]
struct AwaitCredential {
    policy: Arc<Policy>,
    deadline: Time,
}

impl Gate {
    /// The gate of a listener's policy, before a connection that was accepted now.
    pub fn new(policy: Arc<Policy>, now: Now) -> Self {
        let deadline = now.time.plus(policy.deadline);
        Self { state: State::Credential(AwaitCredential { policy, deadline }), outputs: VecDeque::new() }
    }

    /// Takes one input. Drain [`Self::poll`] before the next.
    pub fn handle(&mut self, input: Input, now: Now) {
        let state = std::mem::replace(&mut self.state, State::Over);
        let step = match (state, input) {
            (State::Credential(state), Input::Shown(credential)) => state.policy.accept(&credential, now),
            (State::Verdict(state), Input::Verified { ticket, verdict }) if ticket == state.ticket => {
                state.judge(verdict)
            }
            (State::Credential(_) | State::Verdict(_), Input::Deadline) => Step::Refuse(too_late()),
            (State::Verdict(_), Input::Shown(_)) => Step::Refuse(second_credential()),
            (state @ (State::Credential(_) | State::Verdict(_)), Input::Verified { .. }) => {
                self.state = state;
                return;
            }
            (State::Over, Input::Shown(_) | Input::Verified { .. } | Input::Deadline) => return,
        };
        self.enter(step);
    }

    /// What it wants done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When it wants [`Input::Deadline`], and why.
    pub fn poll_timeout(&self) -> Option<(Time, Wake)> {
        match &self.state {
            State::Credential(state) => Some((state.deadline, Wake::Credential)),
            State::Verdict(state) => Some((state.deadline, Wake::Verdict)),
            State::Over => None,
        }
    }

    fn enter(&mut self, step: Step) {
        self.outputs.push_back(match step {
            Step::Pass(principal) => Output::Pass(principal),
            Step::Refuse(refusal) => Output::Refuse(refusal),
            Step::Verify(next, hash, password) => {
                let ticket = next.ticket;
                self.state = State::Verdict(next);
                Output::Verify { ticket, hash, password }
            }
        });
    }
}

fn too_late() -> Refusal {
    Refusal {
        code: Code::Timeout,
        what: "the credential was not accepted in time".to_owned(),
        want: "come back and show it at once".to_owned(),
    }
}

fn second_credential() -> Refusal {
    Refusal {
        code: Code::WrongState,
        what: "a second credential while the first is being verified".to_owned(),
        want: "show one and wait for the answer".to_owned(),
    }
}

#[cfg(test)]
mod tests;
