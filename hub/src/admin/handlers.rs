//! Accounts, rooms, grants, connections and the audit log: one function for each verb.

use super::{
    Admin, Asked, By, Failure, Place,
    answers::{AccountAnswer, AccountRow, AuditAnswer, ConnectionAnswer, Done, MadeAccount, RoomAnswer, tag},
    requests::{
        AuditQuery, Decision, GrantRequest, NewAccount, NewGate, NewIssuers, NewLdap, NewName, RoomFields,
    },
};
use crate::{
    asker::Asker,
    founding::{self, Founding},
    needs::{Needs, THE_ACCOUNTS},
};
use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use bytes::Bytes;
use riser_gate::{Account, Change, GrantConfig, IssuerConfig, RoomConfig, accounts::AccountChange};
use riser_instance::Connected;
use riser_model::{AccountId, ConnectionId, RoomId};
use riser_shell::entropy;
use serde::de::DeserializeOwned;
use serde_json::Value;

impl FromRequestParts<Admin> for Asked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Failure> {
        let asker = Asker::from_request_parts(parts, admin).await;
        let asker = asker.map_err(|_| Failure::unknown("nobody is there"))?;
        admin.enter(&asker).await
    }
}

/// What a request says, as JSON.
pub(super) struct Said<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Admin> for Said<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, admin: &Admin) -> Result<Self, Failure> {
        let too_large = |_| {
            let want = format!("at most {} bytes", super::BODY_BYTES_MAX);
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the request", want)
        };
        let bytes = Bytes::from_request(request, admin).await.map_err(too_large)?;
        // What serde says may quote what was sent, a password among it.
        let wrong = |error: serde_json::Error| {
            let at = format!("the request, at line {}, column {}", error.line(), error.column());
            Failure::invalid(at, "JSON as GET /openapi.json describes it for this path")
        };
        serde_json::from_slice(&bytes).map(Self).map_err(wrong)
    }
}

pub(super) type Answer<T> = Result<Json<T>, Failure>;

pub(super) async fn accounts(State(admin): State<Admin>, asked: Asked) -> Answer<Vec<AccountRow>> {
    let accounts = admin.registrar.accounts().await;
    let own = |id: AccountId| asked.by.administers(id);
    Ok(Json(accounts.iter().filter(|(id, _)| own(*id)).map(|(id, one)| AccountRow::of(id, one)).collect()))
}

pub(super) async fn create_account(
    State(admin): State<Admin>,
    asked: Asked,
    Said(said): Said<NewAccount>,
) -> Answer<MadeAccount> {
    Admin::operator(&asked)?;
    let NewAccount { name, id, user } = said;
    let founding = Founding::of(name.clone(), id.map(AccountId), user).await.ok_or_else(stopping)?;
    let Founding { config, id, user, client, password, token } = founding;
    let change = Change::CreateAccount(Box::new(config));
    admin.change(&asked, "account created", format!("account {name}"), change).await?;
    let (name, id, user, client) = (name.to_string(), id.to_string(), user.to_string(), client.to_string());
    Ok(Json(MadeAccount { name, id, user, client, password, token }))
}

/// Hashing takes long by design.
pub(super) async fn hashed(password: String) -> Result<riser_gate::PasswordHash, Failure> {
    founding::hashed(password).await.ok_or_else(stopping)
}

fn stopping() -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", "the hub goes down", "come back")
}

pub(super) async fn account(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
) -> Answer<AccountAnswer> {
    let (id, account) = admin.account(&asked, &account).await?;
    Ok(Json(AccountAnswer::of(id, &account)))
}

pub(super) async fn remove_account(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
) -> Answer<Done> {
    Admin::operator(&asked)?;
    let (id, account) = admin.account(&asked, &account).await?;
    let of = format!("account {}", account.config.name);
    done(id, &admin.change(&asked, "account removed", of, Change::RemoveAccount(id)).await?.1)
}

pub(super) async fn unseal(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
) -> Answer<Done> {
    Admin::operator(&asked)?;
    let (id, account) = admin.account(&asked, &account).await?;
    let of = format!("account {}", account.config.name);
    done(id, &admin.change(&asked, "account unsealed", of, Change::Unseal(id)).await?.1)
}

pub(super) fn done(id: impl ToString, account: &Account) -> Answer<Done> {
    Ok(Json(Done { id: id.to_string(), revision: account.revision, still: Vec::new() }))
}

pub(super) async fn rename_account(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
    Said(NewName { name }): Said<NewName>,
) -> Answer<Done> {
    Admin::operator(&asked)?;
    let (id, account) = admin.account(&asked, &account).await?;
    let of = format!("account {} to {name}", account.config.name);
    let change = Change::Within(id, AccountChange::Rename(name));
    done(id, &admin.change(&asked, "account renamed", of, change).await?.1)
}

pub(super) async fn set_gate(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
    Said(NewGate { gate }): Said<NewGate>,
) -> Answer<Done> {
    let (id, _) = admin.account(&asked, &account).await?;
    let change = Change::Within(id, AccountChange::SetGate(gate));
    done(id, &admin.change(&asked, "gate set", "account", change).await?.1)
}

pub(super) async fn set_issuers(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
    Said(NewIssuers { issuer }): Said<NewIssuers>,
) -> Answer<Done> {
    let (id, known) = admin.account(&asked, &account).await?;
    if issuer.iter().any(|one| reaches_out(one) && !known.config.issuer.contains(one)) {
        Admin::operator(&asked)?;
    }
    let change = Change::Within(id, AccountChange::SetIssuers(issuer));
    done(id, &admin.change_of(&asked, "issuers set", "account", change, Some(known.revision)).await?.1)
}

/// The hub asks that server, and reads files of its own for it: that is its operator's to say.
pub(super) async fn set_ldap(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
    Said(NewLdap { ldap }): Said<NewLdap>,
) -> Answer<Done> {
    Admin::operator(&asked)?;
    let (id, known) = admin.account(&asked, &account).await?;
    let of = if ldap.is_some() { "account" } else { "account: none" };
    let change = Change::Within(id, AccountChange::SetLdap(ldap.map(Box::new)));
    done(id, &admin.change_of(&asked, "directory server set", of, change, Some(known.revision)).await?.1)
}

/// Whether the hub fetches from an address, reads a file, or sends people where the issuer names: those lie in the hub's own
/// network and on its own disk, which an account's admins have no say over, and people go where it sends them.
fn reaches_out(issuer: &IssuerConfig) -> bool {
    issuer.key_set.is_some() || issuer.discover || issuer.ca.is_some() || issuer.page.is_some()
}

// Rooms.

/// The room of that name or id.
pub(super) fn find_room(account: &Account, text: &str) -> Result<RoomConfig, Failure> {
    let mut rooms = account.config.room.iter();
    let is_it =
        |room: &&RoomConfig| room.name.as_str() == text || room.id.is_some_and(|id| id.to_string() == text);
    rooms.find(is_it).cloned().ok_or_else(|| Failure::unknown("no such room"))
}

pub(super) fn room_id(room: &RoomConfig) -> Result<RoomId, Failure> {
    room.id.ok_or_else(|| Failure::unknown("no such room"))
}

/// What was said of a room, over what it is.
fn merged(mut before: Value, said: RoomFields) -> Result<RoomConfig, Failure> {
    let schema = said.0.get("schema").cloned();
    merge(&mut before, Value::Object(said.0));
    if let (Value::Object(all), Some(schema)) = (&mut before, schema.filter(|schema| !schema.is_null())) {
        // One value, and not what is said over the former one.
        all.insert("schema".to_owned(), schema);
    }
    serde_json::from_value(before).map_err(|error| {
        Failure::invalid(format!("the room: {error}"), "the fields of [[account.room]] in the configuration")
    })
}

/// JSON Merge Patch (RFC 7396): what is not named stays, and null takes away.
fn merge(before: &mut Value, said: Value) {
    let Value::Object(said) = said else {
        *before = said;
        return;
    };
    if !before.is_object() {
        *before = Value::Object(Default::default());
    }
    let Value::Object(all) = before else { return };
    for (key, value) in said {
        match value {
            Value::Null => drop(all.remove(&key)),
            value => merge(all.entry(key).or_insert(Value::Null), value),
        }
    }
}

pub(super) async fn create_room(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
    Said(said): Said<RoomFields>,
) -> Answer<Done> {
    let (account, known) = admin.account(&asked, &account).await?;
    let mut room = merged(Value::Object(Default::default()), said)?;
    if room.id.is_some() {
        Admin::operator(&asked)?;
    }
    let derived = RoomId::of(account, room.name.as_str());
    let taken = known.gone.contains(&derived.0);
    let id = *room.id.get_or_insert(if taken { RoomId(entropy::uuid()) } else { derived });
    let of = format!("room {}", room.name);
    let change = Change::Within(account, AccountChange::CreateRoom(Box::new(room)));
    done(id, &admin.change(&asked, "room created", of, change).await?.1)
}

pub(super) async fn room(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, room)): Path<(String, String)>,
) -> Answer<RoomAnswer> {
    let place = admin.room(&asked, &account, &room).await?;
    Ok(Json(RoomAnswer::of(&place, asked.by.administers(place.account))))
}

pub(super) async fn set_room(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, room)): Path<(String, String)>,
    headers: HeaderMap,
    Said(said): Said<RoomFields>,
) -> Answer<Done> {
    let Place { account, known, room: before, id } = admin.room(&asked, &account, &room).await?;
    if !asked.by.administers(account)
        && let Some(field) = said.0.keys().find(|field| THE_ACCOUNTS.contains(&field.as_str()))
    {
        let what = format!("{field} is for who administers the account");
        let want = format!("a change without {}", THE_ACCOUNTS.join(", "));
        return Err(Failure::new(StatusCode::FORBIDDEN, "denied", what, want));
    }
    unchanged(&headers, &tag(&before), "room")?;
    let before = serde_json::to_value(&before).unwrap_or_default();
    let room = RoomConfig { id: Some(id), ..merged(before, said)? };
    let of = format!("room {}", room.name);
    let change = Change::Within(account, AccountChange::SetRoom(Box::new(room)));
    done(id, &admin.change_of(&asked, "room set", of, change, Some(known.revision)).await?.1)
}

/// Whether something is what it was when who asks looked at it, if it says what that was (`If-Match`, RFC 9110 13.1.1).
pub(super) fn unchanged(headers: &HeaderMap, tag: &str, what: &str) -> Result<(), Failure> {
    let mut shown = headers.get_all(header::IF_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_it = |value: &str| value == "*" || value.split(',').any(|one| one.trim().trim_matches('"') == tag);
    if !headers.contains_key(header::IF_MATCH) || shown.any(is_it) {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::PRECONDITION_FAILED,
        "taken",
        format!("somebody else changed this {what} meanwhile"),
        "to look at it again, and ask again",
    ))
}

/// Who looked at something first is told of what came between; who did not look changes what there is.
pub(super) fn looked_at(headers: &HeaderMap, known: &Account) -> Option<u64> {
    headers.contains_key(header::IF_MATCH).then_some(known.revision)
}

pub(super) async fn remove_room(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, room)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<Done> {
    let (account, known) = admin.account(&asked, &account).await?;
    let room = find_room(&known, &room)?;
    let id = room_id(&room)?;
    unchanged(&headers, &tag(&room), "room")?;
    let (change, of) =
        (Change::Within(account, AccountChange::RemoveRoom(id)), format!("room {}", room.name));
    done(id, &admin.change_of(&asked, "room removed", of, change, looked_at(&headers, &known)).await?.1)
}

pub(super) async fn grant(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
    headers: HeaderMap,
    Said(said): Said<GrantRequest>,
) -> Answer<Done> {
    let what = if said.deny { "denied" } else { "granted" };
    change_grants(&admin, &asked, (&account, &headers), &said, what, AccountChange::Grant).await
}

pub(super) async fn ungrant(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
    headers: HeaderMap,
    Said(said): Said<GrantRequest>,
) -> Answer<Done> {
    let what = if said.deny { "deny taken back" } else { "grant taken back" };
    change_grants(&admin, &asked, (&account, &headers), &said, what, AccountChange::Ungrant).await
}

async fn change_grants(
    admin: &Admin,
    asked: &Asked,
    (account, headers): (&str, &HeaderMap),
    said: &GrantRequest,
    what: &'static str,
    change: impl FnOnce(Option<RoomId>, GrantConfig) -> AccountChange,
) -> Answer<Done> {
    let (id, known, room, place) = match &said.room {
        Some(room) => {
            let Place { account, known, room, id } = admin.room(asked, account, room).await?;
            unchanged(headers, &tag(&room), "room")?;
            (account, known, Some(id), format!("room {}", room.name))
        }
        None => {
            let (account, known) = admin.account(asked, account).await?;
            unchanged(headers, &known.revision.to_string(), "account")?;
            (account, known, None, "every room".to_owned())
        }
    };
    let rights = serde_json::to_string(&said.right).unwrap_or_default();
    let to = serde_json::to_string(&said.to).unwrap_or_default();
    let of = format!("{rights} to {to} in {place}, channels {}", said.channels.as_str());
    let change = Change::Within(id, change(room, said.grant()));
    done(id, &admin.change_of(asked, what, of, change, looked_at(headers, &known)).await?.1)
}

// Who is there.

pub(super) async fn connections(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
) -> Answer<Vec<ConnectionAnswer>> {
    let (id, _) = admin.account(&asked, &account).await?;
    let seen =
        admin.api.core.ask(move |core, _| core.instance().connections_of(id)).await.unwrap_or_default();
    Ok(Json(seen.into_iter().map(connected).collect()))
}

fn connected(one: Connected) -> ConnectionAnswer {
    ConnectionAnswer {
        connection: one.connection.0,
        name: one.name.to_string(),
        account: one.account.map(|account| account.to_string()),
        client: one.client.to_string(),
        from: one.from.map(|from| from.to_string()),
        stands: one.stands.to_owned(),
        knocks: one.knocks,
        room: one.room.map(|room| room.to_string()),
    }
}

/// Who waits at the room's own gate: who is in the account's other rooms is the account's business.
pub(super) async fn waiting(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, room)): Path<(String, String)>,
) -> Answer<Vec<ConnectionAnswer>> {
    let Place { account, id, .. } = admin.gate(&asked, &account, &room).await?;
    let seen = admin.api.core.ask(move |core, _| core.instance().waiting_at(account, id)).await;
    // From where it comes is for those who administer the account.
    let of_room = |one| ConnectionAnswer { from: None, ..connected(one) };
    Ok(Json(seen.unwrap_or_default().into_iter().map(of_room).collect()))
}

pub(super) async fn decide_at_room(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, room, connection)): Path<(String, String, u64)>,
    Said(Decision { admit, room: named }): Said<Decision>,
) -> Answer<Done> {
    let Place { account, known, id, .. } = admin.gate(&asked, &account, &room).await?;
    admin.still(&asked, Needs::Room(account, id))?;
    let (knocker, by) = (ConnectionId(connection), asked.by.name());
    let (place, knocker) = ((account, Some(id)), (knocker, named));
    let decided = admin.api.core.ask(move |core, now| core.decide(place, knocker, admit, &by, now)).await;
    match decided {
        Some(true) => done(connection, &known),
        Some(false) | None => Err(Failure::unknown("nobody knocks at this room by that number")),
    }
}

pub(super) async fn decide(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, connection)): Path<(String, u64)>,
    Said(Decision { admit, room }): Said<Decision>,
) -> Answer<Done> {
    let (id, known) = admin.account(&asked, &account).await?;
    admin.still(&asked, Needs::Account(id))?;
    let (knocker, by) = ((ConnectionId(connection), room), asked.by.name());
    let decided =
        admin.api.core.ask(move |core, now| core.decide((id, None), knocker, admit, &by, now)).await;
    match decided {
        Some(true) => done(connection, &known),
        Some(false) | None => Err(Failure::unknown("nobody knocks by that number, or not at that room")),
    }
}

pub(super) async fn send_away(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, connection)): Path<(String, u64)>,
) -> Answer<Done> {
    let (id, known) = admin.account(&asked, &account).await?;
    admin.still(&asked, Needs::Account(id))?;
    let (gone, by) = (ConnectionId(connection), asked.by.name());
    match admin.api.core.ask(move |core, now| core.send_away(id, gone, &by, now)).await {
        Some(true) => done(connection, &known),
        Some(false) | None => Err(Failure::unknown("no such connection")),
    }
}

// What was written down.

pub(super) async fn audit(
    State(admin): State<Admin>,
    asked: Asked,
    Query(query): Query<AuditQuery>,
) -> Answer<AuditAnswer> {
    Admin::operator(&asked)?;
    let lines = admin.audit.read(None, query.of(None)).await.unwrap_or_default();
    Ok(Json(AuditAnswer { lines }))
}

pub(super) async fn account_audit(
    State(admin): State<Admin>,
    asked: Asked,
    Path(account): Path<String>,
    Query(query): Query<AuditQuery>,
) -> Answer<AuditAnswer> {
    let (id, _) = admin.account(&asked, &account).await?;
    let client = match &asked.by {
        By::Operator(_) => None,
        By::Account(principal, _) => Some(principal.user()),
    };
    let lines = admin.audit.read(client, query.of(Some(id))).await.ok_or_else(super::too_many)?;
    Ok(Json(AuditAnswer { lines }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_that_make_the_hub_reach_out_are_for_its_operator() {
        let bare = serde_json::json!({ "issuer": "https://sso.example", "audience": "riser" });
        let with = |key: &str, value: Value| {
            let mut issuer = bare.clone();
            issuer[key] = value;
            reaches_out(&serde_json::from_value(issuer).unwrap())
        };
        assert!(!with("claim", "sub".into()), "keys of its own are an account's to set");
        assert!(with("key_set", "http://127.0.0.1:9420/metrics".into()));
        assert!(with("discover", true.into()));
        assert!(with("ca", "/etc/shadow".into()));
        let page =
            serde_json::json!({ "client_id": "riser", "redirect": "https://hub.example/api/login/back" });
        assert!(with("page", page), "the hub would give a file of its own to whom it names");
    }

    #[test]
    fn what_is_not_named_of_a_room_s_quota_and_retention_stays_and_null_takes_it_away() {
        let patched = |before: Value, said: Value| {
            let Value::Object(said) = said else { panic!("an object") };
            serde_json::to_value(merged(before, RoomFields(said)).unwrap()).unwrap()
        };
        let before = serde_json::json!({
            "name": "plant",
            "quota": { "messages": 10, "connections": 5 },
            "retention": { "count": 7, "age": "1h" },
            "schema": { "type": "object", "maxProperties": 1 },
        });
        let said = serde_json::json!({ "quota": { "messages": 1000 }, "retention": { "age": null } });
        let after = patched(before.clone(), said);
        assert_eq!(after["quota"], serde_json::json!({ "messages": 1000, "connections": 5 }));
        assert_eq!(after["retention"], serde_json::json!({ "count": 7 }));
        let after = patched(before, serde_json::json!({ "quota": null, "schema": { "type": "array" } }));
        assert_eq!(after.get("quota"), None);
        assert!(!after["schema"].to_string().contains("maxProperties"), "a schema is one value: {after}");
    }
}
