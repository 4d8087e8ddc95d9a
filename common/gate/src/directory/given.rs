//! What a grant, a deny or a role gives, before it is known to whom.

use riser_model::{ClientId, Filter, Right, Role, RoomId, principal::Rule};

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Given {
    /// The same to each who has it.
    Rule(Rule),
    /// To read what is addressed to oneself in that room, or in every one: what devices hear.
    Orders(Option<RoomId>),
}

impl Given {
    /// What a role gives in a room, or in every one.
    pub(super) fn by(role: Role, room: Option<RoomId>) -> impl Iterator<Item = Self> {
        let rule = move |right: &Right| Rule { room, channels: Filter::all(), right: *right, deny: false };
        let orders = role.hears_orders().then_some(Self::Orders(room));
        role.rights().iter().map(rule).map(Self::Rule).chain(orders)
    }

    /// The rule that it is for this client.
    pub(super) fn to(self, client: ClientId) -> Rule {
        match self {
            Self::Rule(rule) => rule,
            Self::Orders(room) => Rule {
                room,
                channels: format!("{}/#", client.0).parse().expect("an id is a level"),
                right: Right::Subscribe,
                deny: false,
            },
        }
    }

    /// Whether it takes something away.
    pub(super) fn denies(&self) -> bool {
        matches!(self, Self::Rule(rule) if rule.deny)
    }
}
