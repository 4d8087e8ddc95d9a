//! `gate = [...]`: the stages of an account's or a room's gate, as a person writes them.

pub use crate::acceptor::AcceptorConfig;

use crate::{
    acceptor::{Acceptor, Listed, One, Part},
    invalid::Invalid,
    sequence::{Sequence, Stage},
};
use serde::{Deserialize, Serialize};

/// An ordered gate: `["key", { any = ["knock", { address = ["192.0.2.0/24"] }] }, { seats = 20 }]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GateConfig(pub Vec<AcceptorConfig>);

impl GateConfig {
    /// Whether there is no gate.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many acceptors it has, an `any` and those in it each counted.
    pub(crate) fn size(&self) -> usize {
        size(&self.0)
    }

    /// The lists that stand in it.
    pub(crate) fn lists(&self) -> Vec<Listed> {
        ones(&self.0).into_iter().filter_map(|one| one.lists).collect()
    }

    /// The gate, or what is wrong with it; `key` names it. Seats are a room's.
    pub(crate) fn compile(&self, key: &str, of_room: bool) -> Result<Sequence, Vec<Invalid>> {
        let mut wrong = Vec::new();
        if !of_room && ones(&self.0).iter().any(|one| one.of_rooms) {
            wrong.push(Invalid::new(key, "an account has no seats", "seats in the gates of its rooms"));
        }
        let stages = self.0.iter().enumerate().map(|(index, stage)| {
            let mut any = Vec::new();
            compile(stage, &format!("{key}[{index}]"), &mut any, &mut wrong);
            Stage { any }
        });
        let stages = stages.collect();
        if wrong.is_empty() { Ok(Sequence { stages }) } else { Err(wrong) }
    }
}

fn size(stages: &[AcceptorConfig]) -> usize {
    let sizes = stages.iter().map(|stage| match stage.part() {
        Part::Any(stages) => 1 + size(stages),
        Part::One(_) => 1,
    });
    sizes.sum()
}

/// All acceptors, those of an `any` in its place.
fn ones(stages: &[AcceptorConfig]) -> Vec<One> {
    let each = stages.iter().flat_map(|stage| match stage.part() {
        Part::Any(stages) => ones(stages),
        Part::One(one) => vec![one],
    });
    each.collect()
}

fn compile(stage: &AcceptorConfig, key: &str, any: &mut Vec<Acceptor>, wrong: &mut Vec<Invalid>) {
    let mut nobody = |name: &str, want: &str| {
        wrong.push(Invalid::new(format!("{key}.{name}"), "nobody could pass", want));
    };
    match stage.part() {
        Part::Any([]) => nobody("any", "name at least one acceptor, or leave it out"),
        Part::Any(stages) => stages.iter().for_each(|stage| compile(stage, key, any, wrong)),
        Part::One(One { name, asked, .. }) => match asked {
            Ok(acceptor) => any.push(acceptor),
            Err(want) => nobody(name, want),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::acceptor::Kind;

    #[test]
    fn every_acceptor_is_written_by_the_name_that_events_have_and_no_listener_s_own_is() {
        let is_known = |kind: &Kind| {
            // One that wants something beside its name is known all the same.
            match serde_json::from_str::<AcceptorConfig>(&format!("\"{}\"", kind.name())) {
                Ok(one) => matches!(one.part(), Part::One(one) if one.name == kind.name()),
                Err(error) => !error.to_string().contains("unknown variant"),
            }
        };
        for kind in Kind::ALL {
            assert_eq!(is_known(kind), !matches!(kind, Kind::Anonymous | Kind::Tty), "{}", kind.name());
        }
        for word in ["address", "origin", "schedule"] {
            let stage: AcceptorConfig = serde_json::from_str(&format!("{{\"{word}\":[]}}")).unwrap();
            assert!(matches!(stage.part(), Part::One(One { name, asked: Err(_), .. }) if name == word));
        }
    }
}
