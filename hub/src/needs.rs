//! What somebody has to administer to have a change made: one answer for every way in which changes are asked for.
//!
//! It is asked of the directory that is in force in the moment in which the change is made, under the registrar's lock: who
//! asked may have waited behind others, and a right that was taken meanwhile is gone.

use riser_gate::{
    Account, Accounts, Change, Directory, Evidence, GrantConfig, Holds, RoomConfig, accounts::AccountChange,
    config::Whom,
};
use riser_model::{AccountId, Principal, Right, RoomId};

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    /// The hub: nobody does who is in an account.
    Hub,
    /// That account.
    Account(AccountId),
    /// That account, or that room of it.
    Room(AccountId, RoomId),
    /// Some room of its account, or all of it.
    Something,
    /// Nothing: its own keys are its own business.
    Nothing,
}

impl Needs {
    /// Of a change of these accounts. What looks after a room only is named here; everything else is the account's.
    pub(crate) fn of(change: &Change, accounts: &Accounts) -> Self {
        match change {
            Change::CreateAccount(_) | Change::RemoveAccount(_) | Change::Unseal(_) => Self::Hub,
            Change::Within(account, change) => match change {
                AccountChange::All(all) => {
                    let needs =
                        |one: &AccountChange| Self::of(&Change::Within(*account, one.clone()), accounts);
                    let mut all = all.iter().map(needs);
                    let first = all.next().unwrap_or(Self::Account(*account));
                    all.fold(first, |one, other| match (one, other) {
                        (one, other) if one == other => one,
                        (Self::Hub, _) | (_, Self::Hub) => Self::Hub,
                        _ => Self::Account(*account),
                    })
                }
                // Where the hub looks, and with which of its files, is its operator's to say.
                AccountChange::Rename(_) | AccountChange::SetLdap(_) => Self::Hub,
                AccountChange::SetRoom(room) => match room.id {
                    Some(id) if accounts.get(*account).is_some_and(|known| stays_within(known, room)) => {
                        Self::Room(*account, id)
                    }
                    Some(_) | None => Self::Account(*account),
                },
                // Who is let in from elsewhere is the account's to say.
                AccountChange::Grant(_, grant) | AccountChange::Ungrant(_, grant)
                    if grant.to == Whom::Visitors =>
                {
                    Self::Account(*account)
                }
                AccountChange::Grant(Some(room), _)
                | AccountChange::Ungrant(Some(room), _)
                | AccountChange::SetRole(room, ..) => Self::Room(*account, *room),
                AccountChange::Grant(None, _)
                | AccountChange::Ungrant(None, _)
                | AccountChange::SetGate(_)
                | AccountChange::SetIssuers(_)
                | AccountChange::CreateMember(_)
                | AccountChange::RemoveMember(_)
                | AccountChange::SetMember(..)
                | AccountChange::AddCredential(..)
                | AccountChange::RevokeCredential(..)
                | AccountChange::RevokeAll(_)
                | AccountChange::Associate(..)
                | AccountChange::Part(_)
                | AccountChange::CreateRoom(_)
                | AccountChange::RemoveRoom(_) => Self::Account(*account),
            },
        }
    }

    /// Whether that one may, who came in by this evidence.
    pub(crate) fn met(self, directory: &Directory, who: &Principal, evidence: &Evidence) -> bool {
        let may = directory.known(who).is_some_and(|known| match self {
            Self::Hub => false,
            Self::Account(account) => known.account == account && known.grants.administer(),
            Self::Room(account, room) => {
                known.account == account
                    && (known.grants.administer() || known.grants.whole(Right::Admin, room))
            }
            Self::Something => known.grants.administers_some(),
            Self::Nothing => true,
        });
        may && directory.holds(who.client, evidence) == Holds::Yes
    }
}

/// What of a room touches more than the room: what else there is in the account, the hub's disk, the account's edges.
pub(crate) const THE_ACCOUNTS: [&str; 6] = ["name", "id", "quota", "archive", "linked", "down"];

/// Whether a room is changed in nothing that touches more than the room, which is [`THE_ACCOUNTS`].
fn stays_within(known: &Account, after: &RoomConfig) -> bool {
    let before = known.config.room.iter().find(|room| room.id == after.id);
    let visitors = |room: &RoomConfig| -> Vec<GrantConfig> {
        room.grant.iter().filter(|grant| grant.to == Whom::Visitors).cloned().collect()
    };
    before.is_some_and(|before| {
        visitors(before) == visitors(after)
            && before.name == after.name
            && before.quota == after.quota
            && (before.archive, before.linked, before.down) == (after.archive, after.linked, after.down)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use riser_gate::{AccountConfig, GrantConfig, TokenHash, UserConfig, config::Rights};
    use riser_model::{ClientId, Filter, History, Role, Whom};
    use uuid::Uuid;

    #[test]
    fn who_looks_after_a_room_has_changes_made_of_that_room_and_no_others() {
        let account = AccountId(Uuid::from_u128(1));
        let [own, other] = [RoomId(Uuid::from_u128(2)), RoomId(Uuid::from_u128(3))];
        let kim = ClientId(Uuid::from_u128(4));
        let room = |name: &str, id, grant| RoomConfig {
            id: Some(id),
            grant,
            ..RoomConfig::new(name.parse().unwrap(), History::Log)
        };
        let right = Rights(vec![Right::Admin]);
        let to = serde_json::from_str("\"kim\"").unwrap();
        let grant = GrantConfig { to, right, channels: Filter::all(), deny: false };
        let user = UserConfig {
            id: Some(kim),
            tokens: vec![TokenHash::of(b"of-kim")],
            ..UserConfig::new("kim".parse().unwrap())
        };
        let config = AccountConfig {
            user: vec![user],
            room: vec![room("own", own, vec![grant.clone()]), room("other", other, vec![])],
            ..AccountConfig::new("acme".parse().unwrap(), account)
        };
        let directory = Directory::compile(std::slice::from_ref(&config)).unwrap();
        let accounts = Accounts::of([Account::new(config)]);
        let who = directory.principal(kim).unwrap();
        let may = |change| {
            let needs = Needs::of(&Change::Within(account, change), &accounts);
            needs.met(&directory, who, &Evidence::default())
        };
        let set = |id| {
            let name = if id == own { "own" } else { "other" };
            AccountChange::SetRoom(Box::new(room(name, id, vec![])))
        };
        assert!(may(set(own)) && may(AccountChange::Grant(Some(own), grant.clone())));
        assert!(may(AccountChange::Ungrant(Some(own), grant.clone())));
        let role = |room| AccountChange::SetRole(room, Whom::Everyone, Some(Role::Owner));
        assert!(may(role(own)) && !may(role(other)));
        assert!(!may(set(other)) && !may(AccountChange::Grant(Some(other), grant.clone())));
        // Nothing of the room that touches more than the room, however it is asked for.
        let quota = riser_model::Quota { channels: Some(7), ..Default::default() };
        let plain = || room("own", own, vec![]);
        for more in [
            RoomConfig { name: "x".parse().unwrap(), ..plain() },
            RoomConfig { id: None, ..plain() },
            RoomConfig { id: Some(RoomId(Uuid::from_u128(5))), ..plain() },
            RoomConfig { quota, ..plain() },
            RoomConfig { archive: true, ..plain() },
            RoomConfig { linked: !plain().linked, ..plain() },
            RoomConfig { down: true, ..plain() },
        ] {
            assert!(!may(AccountChange::SetRoom(Box::new(more.clone()))), "{more:?}");
        }
        // Of several changes everything is needed that any of them needs.
        let open = GrantConfig { to: Whom::Visitors, ..grant.clone() };
        assert!(!may(AccountChange::Grant(Some(own), open.clone())), "who is let in from elsewhere");
        let opened = RoomConfig { grant: vec![open], ..plain() };
        assert!(!may(AccountChange::SetRoom(Box::new(opened))));
        let both = |one, other| AccountChange::All(vec![one, other]);
        assert!(may(both(set(own), AccountChange::Grant(Some(own), grant.clone()))));
        assert!(!may(both(set(own), set(other))) && !may(both(set(own), AccountChange::RevokeAll(kim))));
        assert!(!may(AccountChange::Grant(None, grant)) && !may(AccountChange::RemoveRoom(own)));
        assert!(!may(AccountChange::RevokeAll(kim)) && !may(AccountChange::Rename("foo".parse().unwrap())));
        assert!(Needs::Something.met(&directory, who, &Evidence::default()));
        assert!(!Needs::Hub.met(&directory, who, &Evidence::default()));
    }
}
