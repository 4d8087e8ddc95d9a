//! What makes or unmakes owners: the one thing in which the role `admin` is less than `owner`.
//!
//! An owner, of the account or of a room, is who has that role or is granted to administer: by its name, by a group, or with
//! everybody. Whoever could give an owner a credential, or take its place, would be one: that is for owners too, and so are the
//! issuers by whose word people are let in, and the end of a room.

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
        AccountChange::RemoveRoom(_) | AccountChange::SetIssuers(_) => true,
        AccountChange::CreateMember(member) => is_owner(&known.config, member),
        AccountChange::RemoveMember(id)
        | AccountChange::AddCredential(id, _)
        | AccountChange::RevokeCredential(id, _)
        | AccountChange::RevokeAll(id) => owns(id),
        AccountChange::SetMember(id, change) => owns(id) || makes_owner(&known.config, change),
        AccountChange::CreateRoom(room) => room.roles.values().any(is_own) || room.grant.iter().any(is_grant),
        AccountChange::SetRoom(room) => {
            let before = known.config.room.iter().find(|one| one.id == room.id);
            before.is_some_and(|before| owning(before) != owning(room))
        }
        AccountChange::SetRole(room, whom, role) => {
            let room = known.config.room.iter().find(|one| one.id == Some(*room));
            let before = room.and_then(|room| room.roles.get(whom));
            before.is_some_and(is_own) || role.as_ref().is_some_and(is_own)
        }
        AccountChange::Grant(_, grant) | AccountChange::Ungrant(_, grant) => {
            grant.right.0.contains(&Right::Admin)
        }
        AccountChange::Rename(_)
        | AccountChange::SetGate(_)
        | AccountChange::SetLdap(_)
        | AccountChange::Associate(..)
        | AccountChange::Part(_) => false,
    }
}

/// Whether somebody is an owner of the account, or of a room of it.
fn is_owner(config: &AccountConfig, member: &Member) -> bool {
    let (role, groups) = match member {
        Member::User(user) => (&user.role, &user.groups),
        Member::Client(client) => (&client.role, &client.groups),
    };
    let is_meant = |whom: &Whom| match whom {
        Whom::Everyone => true,
        Whom::Group(group) => groups.contains(group),
        Whom::Named(name) => name == member.name(),
        Whom::Visitors => false,
    };
    role.as_ref().is_some_and(is_own) || owners_in(config).any(is_meant)
}

/// Whether what is said of a member from now on makes an owner of it.
fn makes_owner(config: &AccountConfig, change: &MemberChange) -> bool {
    let owns = |group: &AccountName| owners_in(config).any(|whom| *whom == Whom::Group(group.clone()));
    change.role.flatten().as_ref().is_some_and(is_own) || change.groups.iter().flatten().any(owns)
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

/// Whether it is a grant of the right to administer.
fn is_grant(grant: &GrantConfig) -> bool {
    grant.right.0.contains(&Right::Admin) && !grant.deny
}
