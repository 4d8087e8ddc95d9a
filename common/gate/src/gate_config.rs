//! `gate = [...]`: the stages of an account's or a room's gate, as a person writes them.

use crate::{
    acceptor::{Acceptor, address::Networks, origin::Pages, schedule::Schedule},
    invalid::Invalid,
    sequence::{Sequence, Stage},
};
use riser_model::door::Method;
use serde::{Deserialize, Serialize};

/// An ordered gate: `["key", { any = ["knock", { address = ["192.0.2.0/24"] }] }, { seats = 20 }]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GateConfig(pub Vec<AcceptorConfig>);

/// One stage of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptorConfig {
    /// A user or device and its password.
    Password,
    /// A bearer token.
    Token,
    /// A token that an issuer of the account has signed (JWT).
    Jwt,
    /// What a browser was given at sign-in, also where a ticket stands for that.
    Cookie,
    /// A ticket that another connection had made for this one.
    Ticket,
    /// A certificate that TLS was begun with, at a listener that asks for one.
    Certificate,
    /// A challenge, signed with a key of the user or client.
    Key,
    /// A challenge, proven with the secret that the user or client shares with this instance.
    Secret,
    /// Only from these networks.
    Address(Networks),
    /// Only browsers that act for these pages, as their `Origin` says. MQTT and native clients name none.
    Origin(Pages),
    /// Only at these hours, in UTC.
    Schedule(Schedule),
    /// At most so many connections in the room at the same time.
    Seats(u32),
    /// Only if an admin of the account says yes.
    Knock,
    /// The first of these that takes what was shown, or whose condition is met, decides.
    Any(Vec<Self>),
}

impl GateConfig {
    /// Whether there is no gate.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many acceptors it has, those of an `any` each counted, and how many hours the longest schedule has.
    pub(crate) fn size(&self) -> (usize, usize) {
        let sizes = self.0.iter().map(AcceptorConfig::size);
        sizes.fold((0, 0), |(acceptors, hours), (more, of)| (acceptors + more, hours.max(of)))
    }

    /// The gate, or what is wrong with it; `key` names it. Seats are a room's.
    pub(crate) fn compile(&self, key: &str, of_room: bool) -> Result<Sequence, Vec<Invalid>> {
        let mut wrong = Vec::new();
        if !of_room && self.0.iter().any(AcceptorConfig::counts) {
            wrong.push(Invalid::new(key, "an account has no seats", "seats in the gates of its rooms"));
        }
        let stages = self.0.iter().enumerate().map(|(index, stage)| {
            let mut any = Vec::new();
            stage.compile(&format!("{key}[{index}]"), &mut any, &mut wrong);
            Stage { any }
        });
        let stages = stages.collect();
        if wrong.is_empty() { Ok(Sequence { stages }) } else { Err(wrong) }
    }
}

impl AcceptorConfig {
    /// As [`GateConfig::size`].
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Any(stages) => {
                let sizes = stages.iter().map(Self::size);
                sizes.fold((1, 0), |(acceptors, hours), (more, of)| (acceptors + more, hours.max(of)))
            }
            Self::Schedule(schedule) => (1, schedule.0.len()),
            Self::Password
            | Self::Token
            | Self::Jwt
            | Self::Cookie
            | Self::Ticket
            | Self::Certificate
            | Self::Key
            | Self::Secret
            | Self::Address(_)
            | Self::Origin(_)
            | Self::Seats(_)
            | Self::Knock => (1, 0),
        }
    }

    /// Whether it looks at how many are in the room.
    fn counts(&self) -> bool {
        match self {
            Self::Seats(_) => true,
            Self::Any(stages) => stages.iter().any(Self::counts),
            Self::Password
            | Self::Token
            | Self::Jwt
            | Self::Cookie
            | Self::Ticket
            | Self::Certificate
            | Self::Key
            | Self::Secret
            | Self::Address(_)
            | Self::Origin(_)
            | Self::Schedule(_)
            | Self::Knock => false,
        }
    }

    fn compile(&self, key: &str, any: &mut Vec<Acceptor>, wrong: &mut Vec<Invalid>) {
        let mut nobody = |name: &str, want: &str| {
            wrong.push(Invalid::new(format!("{key}.{name}"), "nobody could pass", want));
        };
        any.push(match self {
            Self::Password => Acceptor::Password,
            Self::Token => Acceptor::Token,
            Self::Jwt => Acceptor::Jwt,
            Self::Cookie => Acceptor::Cookie,
            Self::Ticket => Acceptor::Ticket,
            Self::Certificate => Acceptor::Certificate,
            Self::Key => Acceptor::Claim(Method::Key),
            Self::Secret => Acceptor::Claim(Method::Secret),
            Self::Address(networks) if networks.0.is_empty() => {
                return nobody("address", "name at least one network, or leave it out");
            }
            Self::Address(networks) => Acceptor::Address(networks.clone()),
            Self::Origin(pages) if pages.0.is_empty() => {
                return nobody("origin", "name at least one page, or leave it out");
            }
            Self::Origin(pages) => Acceptor::Origin(pages.clone()),
            Self::Schedule(schedule) if schedule.0.is_empty() => {
                return nobody("schedule", "name at least some hours, or leave it out");
            }
            Self::Schedule(schedule) => Acceptor::Schedule(schedule.week()),
            Self::Seats(0) => return nobody("seats", "at least 1, or leave it out"),
            Self::Seats(most) => Acceptor::Seats(*most),
            Self::Knock => Acceptor::Knock,
            Self::Any(stages) if stages.is_empty() => {
                return nobody("any", "name at least one acceptor, or leave it out");
            }
            Self::Any(stages) => {
                return stages.iter().for_each(|stage| stage.compile(key, any, wrong));
            }
        });
    }
}
