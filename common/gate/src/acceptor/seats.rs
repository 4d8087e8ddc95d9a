//! Asks whether the room has a free seat: at most so many connections are in it at the same time.

use super::{Awaits, No, Refused, Step, VERDICT_DEADLINE, Whom};
use crate::gate::Effect;
use riser_model::door::{Code, Refusal};

pub(crate) fn begin(most: u32) -> Step {
    let refusal = Refusal {
        code: Code::TooMany,
        what: "the room is full".to_owned(),
        want: "come back when somebody has left".to_owned(),
    };
    let full = Refused { refusal, why: "no free seat", words: None };
    let awaits = Awaits { whom: Whom::Anybody, no: No::Next(full), deadline: VERDICT_DEADLINE };
    Step::have(Effect::Seat { most }, None, awaits)
}
