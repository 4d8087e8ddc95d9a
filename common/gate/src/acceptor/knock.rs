//! Knocks: an admin of the account is asked, and says yes or no.

use super::{Awaits, Given, No, Sort, Step, Whom, not_here};
use crate::gate::Effect;
use riser_model::door::Prompt;
use std::time::Duration;

/// How long a connection waits for somebody to open.
pub const KNOCK_DEADLINE: Duration = Duration::from_secs(120);

pub(crate) const SORT: Sort = Sort::Condition;

pub(crate) fn begin(_: &Given<'_>) -> Step {
    let no = No::Refuse(not_here("an admin said no"));
    let awaits = Awaits { whom: Whom::Anybody, no, deadline: KNOCK_DEADLINE };
    Step::have(Effect::Knock, Some(Prompt::Knocked), awaits)
}
