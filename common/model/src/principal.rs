//! Who authenticated on a connection, and what that principal may do. Default deny; deny wins.

use crate::{
    id::{AccountId, ClientId, RoomId},
    name::{AccountName, ChannelName, Filter},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A right on a channel filter of a room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// May publish there.
    Publish,
    /// May read there: live, retained, replayed, queued.
    Subscribe,
    /// May change the room and see why others were refused.
    Admin,
    /// May say who else does all that, and undo it. Given by the role `owner`, and by a grant of the right to administer.
    #[serde(skip)]
    Own,
}

/// One rule: grants or denies a right on the channels of a room that the filter meets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The room; none means every room of the account.
    pub room: Option<RoomId>,
    /// Which channels.
    pub channels: Filter,
    /// The right.
    pub right: Right,
    /// A deny wins over every grant.
    pub deny: bool,
}

/// In which of the groups somebody is that a directory server names for an account: a bit for each, by its place in the
/// account's list of them. It says nothing without the list that it was made by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Memberships(pub u64);

impl Memberships {
    /// So many groups a list may have.
    pub const GROUPS_MAX: usize = 64;

    /// In those at these places.
    pub fn of(places: impl IntoIterator<Item = usize>) -> Self {
        let bit = |place: usize| u32::try_from(place).ok().and_then(|place| 1u64.checked_shl(place));
        Self(places.into_iter().filter_map(bit).fold(0, |all, bit| all | bit))
    }

    /// Whether it is in the one at that place.
    pub fn has(self, place: usize) -> bool {
        self.0 & Self::of([place]).0 != 0
    }

    /// Whether it is in none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The compiled rights of one principal. The one check on every delivery path (promise 8).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Grants {
    rules: Vec<Rule>,
    /// The groups of a directory server that some of the rules are by.
    memberships: Memberships,
    /// Whose they are.
    own: Option<ClientId>,
    /// The client of that one by which it came, where that is one of several.
    through: Option<ClientId>,
    /// It carries what others address.
    carries: bool,
}

impl Grants {
    /// Rights made of rules, in any order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, memberships: Memberships::default(), own: None, through: None, carries: false }
    }

    /// The same as this client's, which reads what is addressed to it wherever it may read anything.
    #[must_use]
    pub fn of(self, client: ClientId) -> Self {
        Self { own: Some(client), ..self }
    }

    /// The same for one of several clients of whoever has them: it also reads what is addressed to that one.
    #[must_use]
    pub fn through(self, client: ClientId) -> Self {
        Self { through: Some(client), ..self }
    }

    /// The same, some of them by these groups of a directory server.
    #[must_use]
    pub fn by(self, memberships: Memberships) -> Self {
        Self { memberships, ..self }
    }

    /// The groups of a directory server that some of them are by.
    pub fn memberships(&self) -> Memberships {
        self.memberships
    }

    /// The same as an edge's, which carries what is addressed to whoever is behind it.
    #[must_use]
    pub fn carrying(self) -> Self {
        Self { carries: true, ..self }
    }

    /// Whether the right holds on that channel of that room. A channel that is a client's address
    /// ([`ChannelName::addressee`]) is met by no wildcard: it is that client's, an admin's of the room, and theirs to whom
    /// a rule names it.
    pub fn allow(&self, right: Right, room: RoomId, channel: &ChannelName) -> bool {
        let addressee = channel.addressee();
        let mut granted = addressee.is_some_and(|client| {
            let own = self.own == Some(client) || self.through == Some(client);
            own && self.reach(right, room) || self.reach(Right::Admin, room)
        });
        for rule in self.rules.iter().filter(|r| r.right == right && r.room.is_none_or(|id| id == room)) {
            if rule.channels.matches(channel) {
                if rule.deny {
                    return false;
                }
                granted |= addressee.is_none() || self.carries || rule.channels.names_first();
            }
        }
        granted
    }

    /// Whether any channel of that room could be allowed: decides if the room exists for this principal.
    pub fn reach(&self, right: Right, room: RoomId) -> bool {
        let mut rules = self.rules.iter().filter(|r| r.right == right && r.room.is_none_or(|id| id == room));
        let denied = rules.clone().any(|r| r.deny && r.channels == Filter::all());
        !denied && rules.any(|r| !r.deny)
    }

    /// Whether all of the account is its to administer.
    pub fn administer(&self) -> bool {
        let mut rules = self.rules.iter().filter(|r| r.right == Right::Admin && r.room.is_none());
        let denied = rules.clone().any(|r| r.deny);
        !denied && rules.any(|r| r.channels == Filter::all())
    }

    /// Whether there may be a room that is its to administer. Which one, [`Self::whole`] says.
    pub fn administers_some(&self) -> bool {
        let mut rules = self.rules.iter().filter(|r| r.right == Right::Admin);
        rules.any(|r| !r.deny && r.channels == Filter::all())
    }

    /// Whether what makes and unmakes owners is its to say: of that room, or of all of the account. It is for who administers that.
    pub fn owns(&self, room: Option<RoomId>) -> bool {
        let about =
            |r: &&Rule| r.right == Right::Own && (r.room.is_none() || room.is_some() && r.room == room);
        self.rules.iter().filter(about).any(|r| !r.deny && r.channels == Filter::all())
    }

    /// These rights, and none in those rooms.
    #[must_use]
    pub fn without(&self, rooms: impl IntoIterator<Item = RoomId>) -> Self {
        let rights = [Right::Publish, Right::Subscribe, Right::Admin];
        let denied = rooms.into_iter().flat_map(|room| {
            rights.map(|right| Rule { room: Some(room), channels: Filter::all(), right, deny: true })
        });
        Self { rules: self.rules.iter().cloned().chain(denied).collect(), ..self.clone() }
    }

    /// Whether the right holds on every channel of that room that is nobody's address.
    pub fn whole(&self, right: Right, room: RoomId) -> bool {
        let about = |r: &&Rule| r.right == right && r.room.is_none_or(|id| id == room);
        let mut rules = self.rules.iter().filter(about);
        rules.clone().all(|r| !r.deny) && rules.any(|r| r.channels == Filter::all())
    }
}

/// Who authenticated on a connection. Identity comes from the credential, never from an id the peer chose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// The tenant.
    pub account: AccountId,
    /// The tenant's name.
    pub account_name: AccountName,
    /// The lasting participant behind the connection.
    pub client: ClientId,
    /// The user or device name, for people who read events.
    pub name: AccountName,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// Whose it is, where it visits the lobby of another account: then the account is that one's, if there is such an account.
    pub home: Option<Home>,
}

/// The account of a visitor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Home {
    /// Which.
    pub account: AccountId,
    /// Its name.
    pub name: AccountName,
}

impl Principal {
    /// The account that it is of, also where it visits another one.
    pub fn whose(&self) -> AccountId {
        self.home.as_ref().map_or(self.account, |home| home.account)
    }

    /// The name of that account where it visits another one: beside names of that one's members, its own says nothing.
    pub fn visits_from(&self) -> Option<&AccountName> {
        self.home.as_ref().map(|home| &home.name)
    }

    /// The user or device that it is, whichever of its clients it came by.
    pub fn user(&self) -> ClientId {
        self.grants.own.unwrap_or(self.client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_wins_and_silence_denies() {
        let room = RoomId::of(AccountId(uuid::Uuid::nil()), "a");
        let other = RoomId::of(AccountId(uuid::Uuid::nil()), "b");
        let rule = |channels: &str, deny| Rule {
            room: Some(room),
            channels: channels.parse().unwrap(),
            right: Right::Subscribe,
            deny,
        };
        let grants = Grants::new(vec![rule("#", false), rule("secret/#", true)]);
        let may = |room, channel: &str| grants.allow(Right::Subscribe, room, &channel.parse().unwrap());
        assert!(may(room, "open"));
        assert!(!may(room, "secret/x"));
        assert!(!may(other, "open"));
        assert!(!grants.allow(Right::Publish, room, &"open".parse().unwrap()));
        assert!(grants.reach(Right::Subscribe, room) && !grants.reach(Right::Subscribe, other));
        let outside = grants.without([room]);
        assert!(!outside.reach(Right::Subscribe, room), "a room that is denied as a whole is not there");
        assert!(!outside.allow(Right::Subscribe, room, &"open".parse().unwrap()));
    }

    #[test]
    fn a_client_s_address_is_met_by_no_wildcard() {
        let room = RoomId::of(AccountId(uuid::Uuid::nil()), "a");
        let rule = |channels: &str, right, deny| Rule {
            room: Some(room),
            channels: channels.parse().unwrap(),
            right,
            deny,
        };
        let lamp = ClientId(uuid::Uuid::from_u128(0xa1));
        let channel: ChannelName = format!("{}/on", lamp.0).parse().unwrap();
        assert_eq!(channel.addressee(), Some(lamp));
        for other in [
            &format!("{}x/on", lamp.0),
            "a",
            &lamp.0.simple().to_string(),
            &lamp.0.to_string().to_uppercase(),
        ] {
            assert_eq!(other.parse::<ChannelName>().unwrap().addressee(), None, "{other}");
        }
        let all = |right| vec![rule("#", right, false), rule("+/on", right, false)];
        for right in [Right::Publish, Right::Subscribe] {
            let grants = Grants::new(all(right));
            assert!(!grants.allow(right, room, &channel));
            assert!(grants.clone().of(lamp).allow(right, room, &channel), "its own");
            assert!(!grants.clone().of(ClientId(uuid::Uuid::nil())).allow(right, room, &channel));
            assert!(grants.carrying().allow(right, room, &channel), "an edge carries it");
            let named = format!("{}/#", lamp.0);
            assert!(Grants::new(vec![rule(&named, right, false)]).allow(right, room, &channel));
            let denied = vec![rule("#", right, false), rule(&named, right, true)];
            assert!(!Grants::new(denied).of(lamp).allow(right, room, &channel), "deny wins");
            assert!(!Grants::new(Vec::new()).of(lamp).allow(right, room, &channel), "silence denies");
            assert!(Grants::new(vec![rule("#", Right::Admin, false)]).allow(right, room, &channel));
            let (ann, other) = (ClientId(uuid::Uuid::from_u128(1)), ClientId(uuid::Uuid::from_u128(2)));
            let by_lamp = Grants::new(all(right)).of(ann).through(lamp);
            assert!(by_lamp.allow(right, room, &channel), "one of several clients of hers");
            assert!(by_lamp.allow(right, room, &format!("{}/on", ann.0).parse().unwrap()), "and herself");
            assert!(
                !by_lamp.allow(right, room, &format!("{}/on", other.0).parse().unwrap()),
                "not another of hers"
            );
        }
    }
}
