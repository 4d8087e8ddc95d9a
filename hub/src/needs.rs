//! What somebody has to administer to have a change made: one answer for every way in which changes are asked for.
//!
//! It is asked of the directory that is in force in the moment in which the change is made, under the registrar's lock: who
//! asked may have waited behind others, and a right that was taken meanwhile is gone.

use crate::owners;
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
    /// That account, and who its owners are.
    Owners(AccountId),
    /// That account, or that room of it.
    Room(AccountId, RoomId),
    /// The same, and who that room's owners are.
    RoomOwners(AccountId, RoomId),
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
                    all.fold(first, |one, other| one.and(other, *account))
                }
                _ if owners::touches(change, accounts.get(*account).map(AsRef::as_ref)) => match change {
                    AccountChange::Grant(_, grant) | AccountChange::Ungrant(_, grant)
                        if grant.to == Whom::Visitors =>
                    {
                        Self::Owners(*account)
                    }
                    AccountChange::Grant(Some(room), _)
                    | AccountChange::Ungrant(Some(room), _)
                    | AccountChange::SetRole(room, ..) => Self::RoomOwners(*account, *room),
                    AccountChange::SetRoom(room) => match room.id {
                        Some(id) if accounts.get(*account).is_some_and(|known| stays_within(known, room)) => {
                            Self::RoomOwners(*account, id)
                        }
                        Some(_) | None => Self::Owners(*account),
                    },
                    _ => Self::Owners(*account),
                },
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

    /// What is needed for both, where that is not the hub's.
    fn and(self, other: Self, account: AccountId) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Hub, _) | (_, Self::Hub) => Self::Hub,
            (
                Self::Room(_, room) | Self::RoomOwners(_, room),
                Self::Room(_, of) | Self::RoomOwners(_, of),
            ) if room == of => Self::RoomOwners(account, room),
            (Self::Owners(_) | Self::RoomOwners(..), _) | (_, Self::Owners(_) | Self::RoomOwners(..)) => {
                Self::Owners(account)
            }
            _ => Self::Account(account),
        }
    }

    /// Whether that one may, who came in by this evidence.
    pub(crate) fn met(self, directory: &Directory, who: &Principal, evidence: &Evidence) -> bool {
        let may = directory.known(who).is_some_and(|known| match self {
            Self::Hub => false,
            Self::Account(account) => known.account == account && known.grants.administer(),
            Self::Owners(account) => {
                known.account == account && known.grants.administer() && known.grants.owns(None)
            }
            Self::Room(account, room) => {
                known.account == account
                    && (known.grants.administer() || known.grants.whole(Right::Admin, room))
            }
            Self::RoomOwners(account, room) => {
                let administers = known.grants.administer() || known.grants.whole(Right::Admin, room);
                known.account == account && administers && known.grants.owns(Some(room))
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

    #[test]
    fn who_is_admin_does_what_owners_do_and_makes_and_unmakes_none() {
        use riser_gate::{
            CredentialConfig, accounts::MemberChange, config::ClientConfig, credential::Member,
        };
        let account = AccountId(Uuid::from_u128(1));
        let yard = RoomId(Uuid::from_u128(2));
        let [ann, kim, bob, meg, dot] = [4, 5, 6, 7, 8].map(|id| ClientId(Uuid::from_u128(id)));
        let user = |name: &str, id, role, groups: &[&str]| UserConfig {
            id: Some(id),
            role,
            groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
            ..UserConfig::new(name.parse().unwrap())
        };
        let named = |name: &str| Whom::Named(name.parse().unwrap());
        let bosses = || Whom::Group("bosses".parse().unwrap());
        let mut room =
            RoomConfig { id: Some(yard), ..RoomConfig::new("yard".parse().unwrap(), History::Log) };
        // An owner by a group, an owner and an admin of that room alone.
        room.roles =
            [(bosses(), Role::Owner), (named("meg"), Role::Owner), (named("dot"), Role::Admin)].into();
        let config = AccountConfig {
            user: vec![
                user("ann", ann, Some(Role::Owner), &[]),
                user("kim", kim, Some(Role::Admin), &[]),
                user("bob", bob, None, &[]),
                user("meg", meg, None, &[]),
                user("dot", dot, None, &[]),
                user("gus", ClientId(Uuid::from_u128(9)), None, &["bosses"]),
            ],
            room: vec![room.clone()],
            ..AccountConfig::new("acme".parse().unwrap(), account)
        };
        let gus = ClientId(Uuid::from_u128(9));
        let directory = Directory::compile(std::slice::from_ref(&config)).unwrap();
        let accounts = Accounts::of([Account::new(config)]);
        let may = |who: ClientId, change: &AccountChange| {
            let needs = Needs::of(&Change::Within(account, change.clone()), &accounts);
            needs.met(&directory, directory.principal(who).unwrap(), &Evidence::default())
        };
        let role = |role| MemberChange { role: Some(role), ..MemberChange::default() };
        let groups = |group: &str| MemberChange {
            groups: Some(vec![group.parse().unwrap()]),
            ..MemberChange::default()
        };
        let token = || CredentialConfig::Token(TokenHash::of(b"more"));
        let client = |role| {
            let config = ClientConfig { role, ..ClientConfig::new("new".parse().unwrap()) };
            AccountChange::CreateMember(Box::new(Member::Client(config)))
        };
        let administer = GrantConfig {
            to: named("bob"),
            right: Rights(vec![Right::Admin]),
            channels: Filter::all(),
            deny: false,
        };
        let read = GrantConfig { right: Rights(vec![Right::Subscribe]), ..administer.clone() };
        let with = |name: &str, role| {
            let mut other = room.clone();
            other.roles.insert(named(name), role);
            AccountChange::SetRoom(Box::new(other))
        };
        let den = RoomConfig {
            id: Some(RoomId(Uuid::from_u128(10))),
            ..RoomConfig::new("den".parse().unwrap(), History::Log)
        };
        // What is an admin's too: of the account, and of the room alone.
        let of_account = [
            client(Some(Role::Member)),
            AccountChange::SetMember(bob, role(Some(Role::Admin))),
            AccountChange::SetMember(bob, groups("readers")),
            AccountChange::AddCredential(bob, token()),
            AccountChange::AddCredential(kim, token()),
            AccountChange::RevokeAll(bob),
            AccountChange::RemoveMember(bob),
            AccountChange::CreateRoom(Box::new(den.clone())),
            AccountChange::Grant(None, read.clone()),
        ];
        let of_room = [
            AccountChange::SetRole(yard, named("bob"), Some(Role::Admin)),
            AccountChange::SetRole(yard, Whom::Everyone, Some(Role::Observer)),
            AccountChange::SetRole(yard, named("dot"), None),
            AccountChange::Grant(Some(yard), read),
            with("bob", Role::Member),
        ];
        // What is not.
        let owners_of_account = [
            client(Some(Role::Owner)),
            AccountChange::SetMember(bob, role(Some(Role::Owner))),
            AccountChange::SetMember(kim, role(Some(Role::Owner))),
            AccountChange::SetMember(bob, groups("bosses")),
            AccountChange::SetMember(ann, role(None)),
            AccountChange::SetMember(gus, groups("readers")),
            AccountChange::AddCredential(ann, token()),
            AccountChange::AddCredential(meg, token()),
            AccountChange::RevokeAll(ann),
            AccountChange::RemoveMember(gus),
            AccountChange::SetIssuers(vec![]),
            AccountChange::SetGate(riser_gate::GateConfig::default()),
            AccountChange::All(vec![
                AccountChange::CreateRoom(Box::new(den.clone())),
                AccountChange::SetRoom(Box::new(RoomConfig {
                    roles: [(named("kim"), Role::Owner)].into(),
                    ..den
                })),
            ]),
            AccountChange::RemoveRoom(yard),
            AccountChange::Grant(None, administer.clone()),
        ];
        let owners_of_room = [
            AccountChange::SetRole(yard, named("bob"), Some(Role::Owner)),
            AccountChange::SetRole(yard, named("meg"), Some(Role::Member)),
            AccountChange::SetRole(yard, bosses(), None),
            AccountChange::Grant(Some(yard), administer),
            with("bob", Role::Owner),
            with("meg", Role::Reader),
            AccountChange::All(vec![with("bob", Role::Owner), with("bob", Role::Member)]),
        ];
        for change in &of_account {
            assert!(may(ann, change) && may(kim, change) && !may(dot, change), "{change:?}");
        }
        for change in &of_room {
            assert!([ann, kim, meg, dot, gus].iter().all(|who| may(*who, change)), "{change:?}");
            assert!(!may(bob, change), "{change:?}");
        }
        for change in &owners_of_account {
            assert!(
                may(ann, change) && ![kim, meg, dot, gus].iter().any(|who| may(*who, change)),
                "{change:?}"
            );
        }
        for change in &owners_of_room {
            assert!([ann, meg, gus].iter().all(|who| may(*who, change)), "{change:?}");
            assert!(!may(kim, change) && !may(dot, change), "{change:?}");
        }
    }
}
