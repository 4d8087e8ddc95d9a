//! What makes or unmakes owners: the one thing in which the role `admin` is less than `owner`.
//!
//! An owner, of the account or of a room, is who has that role or is granted to administer: by its name or by a
//! group; a person whose groups a directory server names may be one by any of those. Where everybody is one, that makes nobody
//! special, but to give or take it does make and unmake owners. Whoever could give an owner a credential, or take its place, would be one: that is for owners too, and so are the
//! issuers by whose word people are let in, the gate of the account, which could let owners in no more, and the end of a room.

use riser_gate::{
    Account, AccountConfig, GrantConfig, RoomConfig,
    accounts::{AccountChange, MemberChange},
    config::{Role, Whom},
    credential::Member,
};
use riser_model::{AccountName, ClientId, Right};

/// Whether a change of that account touches who its owners are, or those of a room, and so is not for who is `admin` alone.
pub(crate) fn touches(change: &AccountChange, known: Option<&Account>) -> bool {
    let Some(known) = known else { return false };
    let owns = |id: &ClientId| known.member(*id).is_some_and(|member| is_owner(&known.config, &member));
    match change {
        // Each by itself.
        AccountChange::All(_) => false,
        AccountChange::RemoveRoom(_) | AccountChange::SetIssuers(_) | AccountChange::SetGate(_) => true,
        // Whom a directory server makes an owner once it comes is nobody yet whose place could be taken, and what is made here
        // with it says nothing of groups there.
        AccountChange::CreateMember(member) => is_declared_owner(&known.config, member),
        AccountChange::RemoveMember(id)
        | AccountChange::AddCredential(id, _)
        | AccountChange::RevokeCredential(id, _)
        | AccountChange::RevokeAll(id) => owns(id),
        AccountChange::SetMember(id, change) => owns(id) || makes_owner(&known.config, change),
        AccountChange::CreateRoom(room) => room.roles.values().any(is_own) || room.grant.iter().any(is_grant),
        AccountChange::SetRoom(room) => {
            let before = known.config.room.iter().find(|one| one.id == room.id);
            // One that is made by the same request is not there yet: it has no owners.
            before.map(owning).unwrap_or_default() != owning(room)
        }
        AccountChange::SetRole(room, whom, role) => {
            let room = known.config.room.iter().find(|one| one.id == Some(*room));
            let before = room.and_then(|room| room.roles.get(whom));
            before.is_some_and(is_own) || role.as_ref().is_some_and(is_own)
        }
        AccountChange::Grant(_, grant) | AccountChange::Ungrant(_, grant) => {
            grant.right.0.contains(&Right::Admin)
        }
        AccountChange::Rename(_) | AccountChange::SetLdap(_) | AccountChange::Associate(..) => false,
        AccountChange::Part(client) => known.associated.get(client).is_some_and(owns),
    }
}

/// Where somebody is `admin` and nobody an owner: the account, or rooms of it. There is no owner there to do what an admin may
/// not, and to make one is the operator's.
pub(crate) fn lacking(config: &AccountConfig) -> Vec<String> {
    let users = config.user.iter().map(|user| &user.role);
    let roles = || users.clone().chain(config.client.iter().map(|client| &client.role)).flatten();
    if roles().any(is_own) || config.grant.iter().any(is_grant) {
        return Vec::new();
    }
    let account = roles().any(is_admin).then(|| "account".to_owned());
    let rooms =
        config.room.iter().filter(|room| room.roles.values().any(is_admin) && owning(room).0.is_empty());
    account.into_iter().chain(rooms.map(|room| format!("room {}", room.name))).collect()
}

/// Whether somebody is an owner of the account, or of a room of it, of whom not everybody is one, or may be one by what a
/// directory server says.
fn is_owner(config: &AccountConfig, member: &Member) -> bool {
    is_declared_owner(config, member)
        || (is_vouched(config, member) && vouched(config).any(|group| owns(config, group)))
}

/// Whether it is one by what is said of it here.
fn is_declared_owner(config: &AccountConfig, member: &Member) -> bool {
    let (role, groups) = match member {
        Member::User(user) => (&user.role, &user.groups),
        Member::Client(client) => (&client.role, &client.groups),
    };
    let is_meant = |whom: &Whom| match whom {
        Whom::Group(group) => groups.contains(group),
        Whom::Named(name) => name == member.name(),
        // What everybody has, whoever touches them has too.
        Whom::Everyone | Whom::Visitors => false,
    };
    role.as_ref().is_some_and(is_own) || owners_in(config).any(is_meant)
}

/// Whether a directory server says in which groups it is: who else it has there is not known here, so each may be an owner.
fn is_vouched(config: &AccountConfig, member: &Member) -> bool {
    config.ldap.is_some() && matches!(member, Member::User(user) if user.password.is_none())
}

/// The groups whose people a directory server names.
fn vouched(config: &AccountConfig) -> impl Iterator<Item = &AccountName> {
    config.ldap.iter().flat_map(|ldap| &ldap.groups_as).map(|group| &group.name)
}

/// Whether who is in a group is an owner by that.
fn owns(config: &AccountConfig, group: &AccountName) -> bool {
    owners_in(config).any(|whom| matches!(whom, Whom::Group(own) if own == group))
}

/// Whether what is said of a member from now on makes an owner of it.
fn makes_owner(config: &AccountConfig, change: &MemberChange) -> bool {
    change.role.flatten().as_ref().is_some_and(is_own)
        || change.groups.iter().flatten().any(|group| owns(config, group))
}

/// Who is an owner by what is said of rooms, or granted in all of them.
fn owners_in(config: &AccountConfig) -> impl Iterator<Item = &Whom> {
    let everywhere = config.grant.iter().filter(|grant| is_grant(grant)).map(|grant| &grant.to);
    everywhere.chain(config.room.iter().flat_map(|room| owning(room).0))
}

/// Who is an owner of a room by what is said there, and what is said of administering it.
fn owning(room: &RoomConfig) -> (Vec<&Whom>, Vec<&GrantConfig>) {
    let by_role = room.roles.iter().filter(|(_, role)| is_own(role)).map(|(whom, _)| whom);
    let granted: Vec<&GrantConfig> =
        room.grant.iter().filter(|grant| grant.right.0.contains(&Right::Admin)).collect();
    let by_grant = granted.iter().filter(|grant| is_grant(grant)).map(|grant| &grant.to);
    (by_role.chain(by_grant).collect(), granted)
}

fn is_own(role: &Role) -> bool {
    *role == Role::Owner
}

fn is_admin(role: &Role) -> bool {
    *role == Role::Admin
}

/// Whether it is a grant of the right to administer.
fn is_grant(grant: &GrantConfig) -> bool {
    grant.right.0.contains(&Right::Admin) && !grant.deny
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::invitation::Invitation;
    use riser_gate::{Change, ClientConfig, CredentialConfig, LdapConfig, TokenHash, UserConfig};
    use riser_model::{History, RoomId};
    use uuid::Uuid;

    const YARD: RoomId = RoomId(Uuid::from_u128(2));
    const GUS: ClientId = ClientId(Uuid::from_u128(3));
    const PUMP: ClientId = ClientId(Uuid::from_u128(4));
    const BROWSER: ClientId = ClientId(Uuid::from_u128(5));

    /// One in which gus is by a browser of his, a pump, and a room in which these are owners.
    fn acme(roles: &[&str]) -> Account {
        let whom = |text: &str| serde_json::from_str::<Whom>(&format!("\"{text}\"")).unwrap();
        let room = RoomConfig {
            id: Some(YARD),
            roles: roles.iter().map(|text| (whom(text), Role::Owner)).collect(),
            ..RoomConfig::new("yard".parse().unwrap(), History::Log)
        };
        let mut account = Account::new(AccountConfig {
            user: vec![UserConfig { id: Some(GUS), ..UserConfig::new("gus".parse().unwrap()) }],
            client: vec![ClientConfig { id: Some(PUMP), ..ClientConfig::new("pump".parse().unwrap()) }],
            room: vec![room],
            ..AccountConfig::new("acme".parse().unwrap(), riser_model::AccountId(Uuid::from_u128(1)))
        });
        account.associated.insert(BROWSER, GUS);
        account
    }

    /// What takes somebody's place, or comes in as it.
    fn of_member(id: ClientId) -> Vec<AccountChange> {
        let token = CredentialConfig::Token(TokenHash::of(b"more"));
        let fingerprint = token.fingerprint();
        let name = MemberChange { name: Some("other".parse().unwrap()), ..MemberChange::default() };
        vec![
            AccountChange::RemoveMember(id),
            AccountChange::SetMember(id, name),
            AccountChange::AddCredential(id, token),
            AccountChange::RevokeCredential(id, fingerprint),
            AccountChange::RevokeAll(id),
        ]
    }

    #[test]
    fn who_may_be_an_owner_by_a_group_of_a_directory_server_is_touched_by_no_admin() {
        let mut account = acme(&["@bosses"]);
        let is_touched = |account: &Account, id| {
            let touched: Vec<bool> =
                of_member(id).iter().map(|change| touches(change, Some(account))).collect();
            assert!(touched.iter().all(|one| *one == touched.contains(&true)), "{touched:?}");
            touched.contains(&true)
        };
        assert!(!is_touched(&account, GUS), "nobody says that he is in that group");
        let groups = |text: &str| -> Option<LdapConfig> { Some(serde_json::from_str(text).unwrap()) };
        account.config.ldap = groups(r#"{"preset":"yunohost","groups_as":["cooks"]}"#);
        assert!(!is_touched(&account, GUS), "nor that server");
        account.config.ldap =
            groups(r#"{"preset":"yunohost","groups_as":["cooks",{"group":"Bosses","as":"bosses"}]}"#);
        assert!(is_touched(&account, GUS) && !is_touched(&account, PUMP), "it names people");
        let [user] = account.config.user.as_mut_slice() else { panic!("one user") };
        user.password = Some(
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3".parse().unwrap(),
        );
        assert!(!is_touched(&account, GUS), "who has a password here is not asked about there");
    }

    #[test]
    fn who_may_be_an_owner_by_a_group_of_a_directory_server_is_made_and_invited_by_an_admin_and_no_owner_is()
    {
        let mut account = acme(&["@bosses", "eve"]);
        account.config.ldap = Some(
            serde_json::from_str(r#"{"preset":"yunohost","groups_as":[{"group":"Bosses","as":"bosses"}]}"#)
                .unwrap(),
        );
        let made = |name: &str, role: Option<Role>, groups: &[&str]| {
            let groups = groups.iter().map(|group| group.parse().unwrap()).collect();
            let user = UserConfig { role, groups, ..UserConfig::new(name.parse().unwrap()) };
            AccountChange::CreateMember(Box::new(Member::User(user)))
        };
        for role in [None, Some(Role::Member), Some(Role::Admin)] {
            assert!(!touches(&made("nina", role, &["cooks"]), Some(&account)), "{role:?}");
        }
        for owner in [
            made("nina", Some(Role::Owner), &[]),
            made("nina", None, &["bosses"]),
            // Somebody waits for the name.
            made("eve", None, &[]),
        ] {
            assert!(touches(&owner, Some(&account)), "{owner:?}");
        }

        let yard = (YARD, account.config.room.first().unwrap().name.clone());
        let invited = |rights: &[Right]| {
            let of = (account.config.id.unwrap(), &account);
            let change = Invitation::of(of, (yard.0, &yard.1), &"nina".parse().unwrap(), rights).change;
            let Change::Within(_, AccountChange::All(changes)) = change else { panic!("one for all") };
            changes.iter().any(|change| touches(change, Some(&account)))
        };
        assert!(!invited(&[Right::Publish, Right::Subscribe]));
        assert!(invited(&[Right::Subscribe, Right::Admin]), "to administer is an owner's to give");
    }

    #[test]
    fn gate_of_the_account_is_for_owners_and_that_of_a_room_is_not() {
        let gate = |text: &str| serde_json::from_str::<riser_gate::GateConfig>(text).unwrap();
        let account = acme(&["gus"]);
        let own = || gate(r#"[{"address":["192.0.2.1/32"]}]"#);
        assert!(touches(&AccountChange::SetGate(own()), Some(&account)));
        assert!(touches(&AccountChange::SetGate(gate("[]")), Some(&account)));
        let yard = account.config.room.first().unwrap().clone();
        let gated = RoomConfig { gate: own(), ..yard };
        assert!(!touches(&AccountChange::SetRoom(Box::new(gated)), Some(&account)));
    }

    #[test]
    fn room_that_is_made_by_the_same_request_has_no_owners_before() {
        let account = acme(&["gus"]);
        let set = |roles: &[&str]| {
            let room = acme(roles).config.room.remove(0);
            AccountChange::SetRoom(Box::new(RoomConfig { id: Some(RoomId(Uuid::from_u128(9))), ..room }))
        };
        assert!(touches(&set(&["gus"]), Some(&account)) && touches(&set(&["*"]), Some(&account)));
        assert!(!touches(&set(&[]), Some(&account)));
    }

    #[test]
    fn where_everybody_is_an_owner_nobody_is_special_but_everybody_is_made_one_by_owners_only() {
        let account = acme(&["*"]);
        for change in of_member(PUMP).iter().chain(&of_member(GUS)) {
            assert!(!touches(change, Some(&account)), "{change:?}");
        }
        let sensor = ClientConfig::new("sensor".parse().unwrap());
        let make = AccountChange::CreateMember(Box::new(Member::Client(sensor)));
        assert!(!touches(&make, Some(&account)) && !touches(&AccountChange::Part(BROWSER), Some(&account)));
        let everybody = |role| AccountChange::SetRole(YARD, Whom::Everyone, role);
        assert!(touches(&everybody(Some(Role::Owner)), Some(&acme(&[]))));
        assert!(touches(&everybody(None), Some(&account)));
        let closed = acme(&[]).config.room.remove(0);
        assert!(touches(&AccountChange::SetRoom(Box::new(closed)), Some(&account)));
    }

    #[test]
    fn account_and_room_that_have_admins_and_no_owner_are_told() {
        let with = |member, roles: &[(&str, Role)]| {
            let mut config = acme(&[]).config;
            config.user.iter_mut().for_each(|user| user.role = member);
            let whom = |text: &str| serde_json::from_str(&format!("\"{text}\"")).unwrap();
            let roles = roles.iter().map(|(text, role)| (whom(text), *role)).collect();
            config.room.iter_mut().for_each(|room| room.roles.clone_from(&roles));
            config
        };
        let [owner, admin] = [Role::Owner, Role::Admin];
        assert_eq!(lacking(&with(Some(admin), &[])), ["account"]);
        assert_eq!(lacking(&with(None, &[("gus", admin)])), ["room yard"]);
        assert_eq!(lacking(&with(Some(admin), &[("gus", admin)])), ["account", "room yard"]);
        assert_eq!(lacking(&with(Some(admin), &[("gus", owner)])), ["account"], "of that room alone");
        for config in [
            with(Some(owner), &[("pump", admin)]),
            with(None, &[("gus", owner), ("pump", admin)]),
            with(Some(Role::Member), &[("gus", Role::Reader)]),
            with(None, &[]),
        ] {
            assert_eq!(lacking(&config), [""; 0]);
        }
        let mut granted = with(Some(admin), &[]);
        granted.grant = vec![serde_json::from_str(r#"{"to":"gus","right":["admin"]}"#).unwrap()];
        assert_eq!(lacking(&granted), [""; 0]);
    }

    #[test]
    fn browser_of_an_owner_is_parted_by_owners_only() {
        let part = AccountChange::Part(BROWSER);
        assert!(touches(&part, Some(&acme(&["gus"]))));
        assert!(!touches(&part, Some(&acme(&["pump"]))));
        assert!(!touches(&AccountChange::Part(PUMP), Some(&acme(&["pump"]))), "it is nobody's browser");
    }
}
