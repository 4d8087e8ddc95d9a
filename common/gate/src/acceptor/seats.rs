//! Asks whether the room has a free seat: at most so many connections are in it at the same time.

use super::{Awaits, Given, Listed, No, Refused, Sort, Step, VERDICT_DEADLINE, Whom, Written};
use crate::gate::Effect;
use riser_model::door::{Code, Refusal};

/// At most so many, and at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seats(u32);

pub(crate) const SORT: Sort = Sort::Condition;

impl Written for u32 {
    type Asked = Seats;
    const OF_ROOMS: bool = true;

    fn lists(&self) -> Option<Listed> {
        None
    }

    fn asked(&self) -> Result<Seats, &'static str> {
        if *self == 0 { Err("at least 1, or leave it out") } else { Ok(Seats(*self)) }
    }
}

pub(crate) fn begin(Seats(most): &Seats, _: &Given<'_>) -> Step {
    let refusal = Refusal {
        code: Code::TooMany,
        what: "the room is full".to_owned(),
        want: "come back when somebody has left".to_owned(),
    };
    let full = Refused { refusal, why: "no free seat", words: None };
    let awaits = Awaits { whom: Whom::Anybody, no: No::Next(full), deadline: VERDICT_DEADLINE };
    Step::have(Effect::Seat { most: *most }, None, awaits)
}
