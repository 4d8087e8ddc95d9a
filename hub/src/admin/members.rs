//! Users and clients, and their credentials: one function for each verb.

use super::{
    Admin, Asked, Failure, Place,
    answers::{Done, Invited, MadeCredential, MemberAnswer, MembersAnswer, tag},
    handlers::{Answer, Said, done, hashed, looked_at, unchanged},
    requests::{
        CredentialKind, MemberChange, MembersQuery, NewCredential, NewInvitation, NewMember, Replacement,
        RoomRole,
    },
};
use crate::{errands::role_set, founding::secret, invitation::Invitation};
use axum::{
    Json,
    extract::{Path, Query, State},
    http::HeaderMap,
};
use riser_gate::{
    Account, Change, ClientConfig, CredentialConfig, Fingerprint, TokenHash, UserConfig,
    accounts::{self, AccountChange},
    config::Whom,
    credential::Member,
};
use riser_model::{AccountId, ClientId};
use riser_shell::entropy;

/// The user or client of that name or id.
fn find(account: &Account, text: &str) -> Result<(ClientId, String, Member), Failure> {
    let found = account.members().find_map(|member| {
        let id = match &member {
            Member::User(user) => user.id?,
            Member::Client(client) => client.id?,
        };
        let name = member.name().to_string();
        (name == text || id.to_string() == text).then_some((id, name, member))
    });
    found.ok_or_else(|| Failure::unknown("no such user or client"))
}

/// Those in one answer.
const SHOWN_MAX: usize = 1000;

/// The users and clients of a room's account, for who looks after the room: their credentials are the account's business.
pub(super) async fn members(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, room)): Path<(String, String)>,
    Query(query): Query<MembersQuery>,
) -> Answer<MembersAnswer> {
    let place = admin.room(&asked, &account, &room).await?;
    let administers = asked.by.administers(place.account);
    let of = |member: &Member| match administers {
        true => MemberAnswer::of(&place.known, member).in_room(&place.room),
        false => MemberAnswer::without_credentials(member).in_room(&place.room),
    };
    let (contains, most) = (query.contains.unwrap_or_default(), query.limit.unwrap_or(100).min(SHOWN_MAX));
    let meant = place.known.members().filter(|member| member.name().as_str().contains(&contains));
    let mut meant: Vec<Member> = meant.collect();
    let more = meant.len().saturating_sub(most);
    meant.truncate(most);
    Ok(Json(MembersAnswer { members: meant.iter().map(of).collect(), more }))
}

pub(super) async fn set_room_role(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, room)): Path<(String, String)>,
    headers: HeaderMap,
    Said(RoomRole { to, role }): Said<RoomRole>,
) -> Answer<Done> {
    let Place { account, known, room, id } = admin.room(&asked, &account, &room).await?;
    unchanged(&headers, &tag(&room), "room")?;
    // By the id as well: a name may be somebody else's by the time in which it is said.
    let to = match &to {
        Whom::Named(text) => Whom::Named(find(&known, text.as_str())?.2.name().clone()),
        Whom::Group(_) | Whom::Everyone | Whom::Visitors => to,
    };
    let of = role_set(&to, &room.name, role);
    let change = Change::Within(account, AccountChange::SetRole(id, to, role));
    done(id, &admin.change_of(&asked, "role set", of, change, Some(known.revision)).await?.1)
}

/// Who looks after a room only invites who is there: whether a new name is somebody's is the account's business.
pub(super) async fn invite(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, room)): Path<(String, String)>,
    Said(NewInvitation { name, right }): Said<NewInvitation>,
) -> Answer<Invited> {
    let Place { account, known, room, id } = admin.room(&asked, &account, &room).await?;
    if !asked.by.administers(account) && !known.members().any(|one| one.name() == &name) {
        return Err(Failure::unknown("no such user or client"));
    }
    let invitation = Invitation::of((account, &known), (id, &room.name), &name, &right.0);
    let Invitation { change, told: (what, told), token } = invitation;
    admin.change(&asked, what, told, change).await?;
    let token = token.map(|token| String::from_utf8_lossy(&token.0).into_owned());
    Ok(Json(Invited { name: name.to_string(), room: room.name.to_string(), token }))
}

pub(super) async fn create_user(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
    Said(said): Said<NewMember>,
) -> Answer<Done> {
    let NewMember { name, id, role, groups, relays } = said;
    if relays {
        return Err(Failure::invalid("a user is no edge", "a client"));
    }
    let (chosen, id) = (id.is_some(), ClientId(id.unwrap_or_else(entropy::uuid)));
    let user = UserConfig { id: Some(id), role, groups, ..UserConfig::new(name.clone()) };
    create(&admin, &asked, &account, (id, chosen), format!("user {name}"), Member::User(user)).await
}

pub(super) async fn create_client(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
    Said(said): Said<NewMember>,
) -> Answer<Done> {
    let NewMember { name, id, role, groups, relays } = said;
    let (chosen, id) = (id.is_some(), ClientId(id.unwrap_or_else(entropy::uuid)));
    let client = ClientConfig { id: Some(id), role, groups, relays, ..ClientConfig::new(name.clone()) };
    create(&admin, &asked, &account, (id, chosen), format!("client {name}"), Member::Client(client)).await
}

async fn create(
    admin: &Admin,
    asked: &Asked,
    account: &str,
    (id, chosen): (ClientId, bool),
    of: String,
    member: Member,
) -> Answer<Done> {
    let (account, _) = admin.account(asked, account).await?;
    if chosen {
        Admin::operator(asked)?;
    }
    let change = Change::Within(account, AccountChange::CreateMember(Box::new(member)));
    done(id, &admin.change(asked, "created", of, change).await?.1)
}

pub(super) async fn change(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, member)): Path<(String, String)>,
    headers: HeaderMap,
    Said(said): Said<MemberChange>,
) -> Answer<Done> {
    let (account, known) = admin.account(&asked, &account).await?;
    let (id, name, member) = find(&known, &member)?;
    unchanged(&headers, MemberAnswer::without_credentials(&member).tag(), "user or client")?;
    let MemberChange { name: another, role, groups } = said;
    let named = [(role.is_some(), "role"), (groups.is_some(), "groups"), (another.is_some(), "name")];
    let fields: Vec<&str> = named.into_iter().filter_map(|(is, field)| is.then_some(field)).collect();
    let what = match fields[..] {
        [] => return done(id, &known),
        ["role"] => "role set",
        ["groups"] => "groups set",
        ["name"] => "renamed",
        [..] => "set",
    };
    let of = if what == "set" { format!("{name}: {}", fields.join(", ")) } else { name };
    let change = accounts::MemberChange { name: another, role, groups };
    let change = Change::Within(account, AccountChange::SetMember(id, change));
    let revision = looked_at(&headers, &known);
    done(id, &admin.change_of(&asked, what, of, change, revision).await?.1)
}

pub(super) async fn remove(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, member)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<Done> {
    let (account, known) = admin.account(&asked, &account).await?;
    let (id, name, member) = find(&known, &member)?;
    unchanged(&headers, MemberAnswer::without_credentials(&member).tag(), "user or client")?;
    let change = Change::Within(account, AccountChange::RemoveMember(id));
    let revision = looked_at(&headers, &known);
    done(id, &admin.change_of(&asked, "removed", name, change, revision).await?.1)
}

/// A browser or program by which a user comes is one of its own no more.
pub(super) async fn part(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, member, client)): Path<(String, String, String)>,
) -> Answer<Done> {
    let (account, known) = admin.account(&asked, &account).await?;
    let (id, name, _) = find(&known, &member)?;
    let own = known.clients_of(id).find(|one| one.to_string() == client);
    let own = own.ok_or_else(|| Failure::unknown("no such browser or program of this user"))?;
    let change = Change::Within(account, AccountChange::Part(own));
    done(own, &admin.change(&asked, "client removed", format!("{name}: {own}"), change).await?.1)
}

/// The credential that a request asks for, and its secret where it is made here.
async fn made(
    kind: CredentialKind,
    value: Option<String>,
) -> Result<(CredentialConfig, Option<String>), Failure> {
    let wrong = |what: &str| Failure::invalid(format!("not {what}"), format!("value: {what}"));
    let none = || Failure::invalid("a value", "no value: it is made here");
    Ok(match (kind, value) {
        (CredentialKind::Password, Some(password)) if password.is_empty() => {
            return Err(wrong("a password, or nothing to have one made"));
        }
        (CredentialKind::Password, Some(password)) => {
            (CredentialConfig::Password(hashed(password).await?), None)
        }
        (CredentialKind::Password, None) => {
            let password = secret();
            (CredentialConfig::Password(hashed(password.clone()).await?), Some(password))
        }
        (CredentialKind::Token, None) => {
            let token = secret();
            (CredentialConfig::Token(TokenHash::of(token.as_bytes())), Some(token))
        }
        (CredentialKind::Secret, None) => {
            let shared = secret();
            let config = shared.parse().map_err(|_| wrong("a secret"))?;
            (CredentialConfig::Secret(config), Some(shared))
        }
        (CredentialKind::Token | CredentialKind::Secret, Some(_)) => return Err(none()),
        (CredentialKind::Key, value) => {
            let what = "an ed25519 public key: ssh-ed25519 AAAA...";
            let key = value.and_then(|value| value.parse().ok()).ok_or_else(|| wrong(what))?;
            (CredentialConfig::Key(key), None)
        }
        (CredentialKind::Certificate, value) => {
            let what = "a name in its certificates, to the letter";
            let name = value.filter(|name| !name.is_empty()).ok_or_else(|| wrong(what))?;
            (CredentialConfig::Certificate(name), None)
        }
        (CredentialKind::EdgeKey, value) => {
            let what = "the 43 characters that `riser-edge key show` prints";
            let key = value.and_then(|value| value.parse().ok()).ok_or_else(|| wrong(what))?;
            (CredentialConfig::EdgeKey(key), None)
        }
    })
}

async fn add(
    admin: &Admin,
    asked: &Asked,
    account: AccountId,
    (id, name, member): (ClientId, &str, &Member),
    (kind, value): (CredentialKind, Option<String>),
    in_place_of: Option<Fingerprint>,
) -> Result<MadeCredential, Failure> {
    let (credential, value) = made(kind, value).await?;
    // Whoever has one of these has one: the new one takes its place by itself.
    let only = credential.is_only().then(|| only_one(member, credential.kind())).flatten();
    if let CredentialConfig::EdgeKey(key) = &credential
        && !riser_shell::keys::is_public_key(&key.0)
    {
        return Err(Failure::invalid(
            "not a point of the curve",
            "what `riser-edge key show` prints at that edge",
        ));
    }
    let (kind, fingerprint) = (credential.kind(), credential.fingerprint().to_string());
    let of = format!("{name}: {kind} {fingerprint}");
    let (what, of) = match only.or(in_place_of) {
        None => ("credential added", of),
        Some(old) => ("credential rotated", format!("{of} in place of {old}, which is revoked")),
    };
    let add = AccountChange::AddCredential(id, credential);
    let change = match in_place_of.filter(|_| only.is_none()) {
        None => add,
        Some(old) => AccountChange::All(vec![add, AccountChange::RevokeCredential(id, old)]),
    };
    admin.change(asked, what, of, Change::Within(account, change)).await?;
    Ok(MadeCredential { kind, fingerprint, value })
}

pub(super) async fn add_credential(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, member)): Path<(String, String)>,
    Said(NewCredential { kind, value }): Said<NewCredential>,
) -> Answer<MadeCredential> {
    let (account, known) = admin.account(&asked, &account).await?;
    let (id, name, member) = find(&known, &member)?;
    Ok(Json(add(&admin, &asked, account, (id, &name, &member), (kind, value), None).await?))
}

/// The credential of a kind of which somebody has one at most.
fn only_one(member: &Member, kind: &str) -> Option<Fingerprint> {
    let mut own = member.credentials().into_iter();
    own.find(|one| one.kind() == kind).map(|one| one.fingerprint())
}

fn named(member: &Member, text: &str) -> Result<CredentialConfig, Failure> {
    let fingerprint: Option<Fingerprint> = text.parse().ok();
    let mut own = member.credentials().into_iter();
    let found = own.find(|one| Some(one.fingerprint()) == fingerprint);
    found.ok_or_else(|| Failure::unknown("no such credential"))
}

/// The new one comes and the old one goes in one change: a secret that is in force was shown to somebody.
pub(super) async fn rotate_credential(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, member, fingerprint)): Path<(String, String, String)>,
    Said(Replacement { value }): Said<Replacement>,
) -> Answer<MadeCredential> {
    let (account, known) = admin.account(&asked, &account).await?;
    let (id, name, member) = find(&known, &member)?;
    let old = named(&member, &fingerprint)?;
    let kind = match &old {
        CredentialConfig::Password(_) => CredentialKind::Password,
        CredentialConfig::Token(_) => CredentialKind::Token,
        CredentialConfig::Key(_) => CredentialKind::Key,
        CredentialConfig::Secret(_) => CredentialKind::Secret,
        CredentialConfig::EdgeKey(_) => CredentialKind::EdgeKey,
        CredentialConfig::Certificate(_) => CredentialKind::Certificate,
    };
    let old = Some(old.fingerprint());
    Ok(Json(add(&admin, &asked, account, (id, &name, &member), (kind, value), old).await?))
}

pub(super) async fn revoke_credential(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, member, fingerprint)): Path<(String, String, String)>,
) -> Answer<Done> {
    let (account, known) = admin.account(&asked, &account).await?;
    let (id, name, member) = find(&known, &member)?;
    let credential = named(&member, &fingerprint)?;
    let of = format!("{name}: {} {fingerprint}", credential.kind());
    let change = Change::Within(account, AccountChange::RevokeCredential(id, credential.fingerprint()));
    revoked(id, &admin.change(&asked, "credential revoked", of, change).await?.1)
}

/// By what else somebody is let in whose credentials were revoked.
fn revoked(id: ClientId, account: &Account) -> Answer<Done> {
    let Json(done) = done(id, account)?;
    let is_judged = matches!(account.member(id), Some(Member::User(user)) if user.password.is_none());
    let issuers = (!account.config.issuer.is_empty()).then_some("tokens of the account's issuers");
    let server = account.config.ldap.as_ref().filter(|_| is_judged);
    let server = server.map(|_| "its password at the account's directory server");
    Ok(Json(Done { still: issuers.into_iter().chain(server).collect(), ..done }))
}

pub(super) async fn revoke_all(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, member)): Path<(String, String)>,
) -> Answer<Done> {
    let (account, known) = admin.account(&asked, &account).await?;
    let (id, name, _) = find(&known, &member)?;
    let change = Change::Within(account, AccountChange::RevokeAll(id));
    revoked(id, &admin.change(&asked, "all credentials revoked", name, change).await?.1)
}
