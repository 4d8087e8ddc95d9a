//! What is wanted in a lobby to be done with the account: how it is asked for, in JSON and in plain words, and what is said of it.
//!
//! ```text
//! -> {"op":"create","id":5,"room":"plant","kind":"bus","history":"log"}
//! <- {"re":5,"ok":{"room":"plant","id":"..."}}
//! -> {"op":"invite","id":6,"name":"bob","room":"plant","as":"member"}
//! <- {"re":6,"ok":{"name":"bob","room":"plant","token":"..."}}
//! -> {"op":"role","id":10,"name":"@ops","room":"plant","role":"owner"}
//! <- {"re":10,"ok":{"name":"@ops","room":"plant","role":"owner"}}
//! -> {"op":"keys","id":7}
//! <- {"re":7,"ok":{"keys":[{"kind":"token","fingerprint":"5b1f0c6e2a9d8f34"}]}}
//! -> {"op":"keys","id":8,"make":"token"}
//! <- {"re":8,"ok":{"kind":"token","fingerprint":"...","token":"..."}}
//! -> {"op":"keys","id":9,"revoke":"5b1f0c6e2a9d8f34"}
//! <- {"re":9,"ok":{"fingerprint":"5b1f0c6e2a9d8f34"}}
//! ```
//!
//! `role` gives a user or client, a group (`@ops`) or everybody (`*`) a role in that room; `none` takes it away.
//!
//! Who operates the instance goes into the admin lobby by its token, or without one where the configuration names it, and
//! there:
//!
//! ```text
//! -> {"op":"admin","id":10,"token":"..."}
//! <- {"re":10,"ok":{"admin":true}}
//! -> {"op":"accounts","id":11}
//! <- {"re":11,"ok":{"accounts":[{"name":"acme","id":"...","users":3,"rooms":4,"sealed":false}]}}
//! -> {"op":"create","id":12,"account":"foo","user":"ann"}
//! <- {"re":12,"ok":{"name":"foo","id":"...","user":"ann","client":"...","password":"...","token":"..."}}
//! -> {"op":"remove","id":13,"account":"foo"}
//! <- {"re":13,"ok":{"name":"foo"}}
//! ```
//!
//! A token is in an answer once: in that of the request that made it. `invite` makes a user where the account has nobody of
//! that name, and then its answer has a token for it.

use super::{
    object::Object,
    request::{Text, parsed},
};
use riser_model::{
    AccountName, History, Right, Role, RoomKind, RoomName, Whom,
    door::{AccountInfo, Errand, Finished, KeyInfo, Refusal, Secret},
};
use serde_json::{Value, json};
use std::borrow::Cow;

const WANT_ROOM: &str = "room, a room's name: 1 to 64 characters of a-z, 0-9 and -";
const WANT_NAME: &str = "name, a user's or client's name: 1 to 64 characters of a-z, 0-9 and -";
const WANT_ACCOUNT: &str = "account, an account's name: 1 to 64 characters of a-z, 0-9 and -";
const WANT_USER: &str = "user, the first user's name: 1 to 64 characters of a-z, 0-9 and -";
const WANT_AS: &str = "member, reader or writer";
const WANT_WHOM: &str = "name, a user's or client's name, @ and a group's, or * for everybody";
const WANT_ROLE: &str = "role, one of owner, admin, member, reader, observer, writer, device and none";
const WANT_REVOKE: &str = "revoke, the fingerprint of one of your keys";

/// One verb of a lobby: how programs say it, how people do, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// The `op` of programs.
    pub op: &'static str,
    /// What a person types.
    pub line: &'static str,
    /// What it does, and for whom.
    pub what: &'static str,
}

/// The verbs of a lobby.
pub const VERBS: [Verb; 17] = [
    verb("rooms", "rooms", "which rooms there are"),
    verb("whoami", "whoami", "who you are, and where"),
    verb(
        "enter",
        "connect to room <name>",
        "go there; also: enter <name>, or enter alone for your personal room",
    ),
    verb("leave", "leave", "out of the room that you are in, back to the lobby"),
    verb(
        "create",
        "create room <name> [board] [history none|session|log]",
        "for who administers the account",
    ),
    verb(
        "invite",
        "invite <name> to <room> [as member|reader|writer]",
        "for who administers the room; for who administers the account a new user too",
    ),
    verb(
        "role",
        "role <name>|@<group>|* in <room> <role>|none",
        "for who administers the room: owner, admin, member, reader, observer, writer or device there, and nowhere else",
    ),
    verb("keys", "keys", "what you prove yourself with"),
    verb("keys", "keys make", "a new token for you, shown once"),
    verb("keys", "keys revoke <fingerprint>", "one of yours, for ever"),
    verb("admin", MOVE_TO_ADMIN, "for who operates this hub, whose token is asked for"),
    verb("admin", MOVE_TO_ADMIN_BY_NAME, "for whom the configuration of this hub names"),
    verb("accounts", "accounts", "in the admin lobby: which there are"),
    verb(
        "create",
        "create account <name> [user <name>]",
        "in the admin lobby: its first user's password and token are shown once",
    ),
    verb("remove", "remove account <name>", "in the admin lobby: with all that it has, for ever"),
    verb("help", "help", "this"),
    verb("ping", "quit", "an answer; for people: goodbye"),
];

/// What a person types to go into the admin lobby.
pub const MOVE_TO_ADMIN: &str = "move to admin lobby";

/// The same for who is named as an operator, and shows no token.
pub const MOVE_TO_ADMIN_BY_NAME: &str = "move to admin lobby by name";

const fn verb(op: &'static str, line: &'static str, what: &'static str) -> Verb {
    Verb { op, line, what }
}

/// The verbs, as `help` is answered.
pub fn help() -> Value {
    let verb = |Verb { op, line, what }| json!({ "op": op, "line": line, "what": what });
    json!({ "verbs": VERBS.map(verb) })
}

pub(super) fn read(object: &mut Object<'_>, name: &str) -> Result<Errand, Refusal> {
    match name {
        "create" if object.has("account") => {
            let name = account(object)?;
            let user = parsed::<AccountName>(object, "user", WANT_USER)?;
            Ok(Errand::CreateAccount { name, user })
        }
        "remove" => Ok(Errand::RemoveAccount { account: account(object)? }),
        "accounts" => Ok(Errand::Accounts),
        "admin" => {
            let want = "token, the operator's, as it lies in admin.token of the hub's data folder";
            let token: Option<String> = object.optional("token", want)?;
            Ok(Errand::Operate { token: token.map(|token| Secret(token.into())) })
        }
        "create" => {
            let room = parsed::<RoomName>(object, "room", WANT_ROOM)?
                .ok_or_else(|| object.missing("room", WANT_ROOM))?;
            let kind = object.optional::<RoomKind>("kind", "bus or board")?.unwrap_or_default();
            let history = object.optional::<History>("history", "none, session or log")?;
            let history = history.unwrap_or_else(|| usual(kind));
            Ok(Errand::CreateRoom { room, kind, history })
        }
        "invite" => {
            let name = parsed::<AccountName>(object, "name", WANT_NAME)?
                .ok_or_else(|| object.missing("name", WANT_NAME))?;
            let room = parsed::<RoomName>(object, "room", WANT_ROOM)?
                .ok_or_else(|| object.missing("room", WANT_ROOM))?;
            let word: Option<Text<'_>> = object.optional("as", WANT_AS)?;
            let word = word.map_or(Cow::Borrowed("member"), Text::into_inner);
            let rights = invited_as(&word).ok_or_else(|| object.wrong("as", WANT_AS))?;
            Ok(Errand::Invite { name, room, rights })
        }
        "role" => {
            let whom = parsed::<Whom>(object, "name", WANT_WHOM)?
                .ok_or_else(|| object.missing("name", WANT_WHOM))?;
            let room = parsed::<RoomName>(object, "room", WANT_ROOM)?
                .ok_or_else(|| object.missing("room", WANT_ROOM))?;
            let word: Text<'_> = object.required("role", WANT_ROLE)?;
            let role = role_of(&word.into_inner()).ok_or_else(|| object.wrong("role", WANT_ROLE))?;
            Ok(Errand::SetRole { whom, room, role })
        }
        _ => {
            let make: Option<Text<'_>> = object.optional("make", "token")?;
            let revoke: Option<String> = object.optional("revoke", WANT_REVOKE)?;
            match (make.map(Text::into_inner).as_deref(), revoke) {
                (None, None) => Ok(Errand::Keys),
                (Some("token"), None) => Ok(Errand::MakeKey),
                (None, Some(fingerprint)) => Ok(Errand::RevokeKey { fingerprint }),
                (Some(_), None) => Err(object.wrong("make", "token")),
                (Some(_), Some(_)) => Err(object.wrong("revoke", "either make or revoke")),
            }
        }
    }
}

fn account(object: &mut Object<'_>) -> Result<AccountName, Refusal> {
    parsed::<AccountName>(object, "account", WANT_ACCOUNT)?
        .ok_or_else(|| object.missing("account", WANT_ACCOUNT))
}

/// What a person types, without the words that it begins with: `create`, `invite`, `keys`. What would be right instead.
pub fn from_words(verb: &str, rest: &str) -> Result<Errand, &'static str> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let usage = |start: &str| {
        let of = VERBS.iter().find(|one| one.line.starts_with(start));
        of.map_or("help", |one| one.line)
    };
    match (verb, words.as_slice()) {
        ("create", ["room", name, options @ ..]) => {
            let room = name.parse().map_err(|_| usage("create"))?;
            let (kind, options) = match options {
                ["board", rest @ ..] => (RoomKind::Board, rest),
                rest => (RoomKind::Bus, rest),
            };
            let history = match options {
                [] => usual(kind),
                ["history", "none"] => History::None,
                ["history", "session"] => History::Session,
                ["history", "log"] => History::Log,
                _ => return Err(usage("create")),
            };
            Ok(Errand::CreateRoom { room, kind, history })
        }
        ("invite", [name, "to", rest @ ..]) => {
            let rest = if let ["room", rest @ ..] = rest { rest } else { rest };
            let (room, word) = match rest {
                [room] => (room, "member"),
                [room, "as", word] => (room, *word),
                _ => return Err(usage("invite")),
            };
            match (name.parse(), room.parse(), invited_as(word)) {
                (Ok(name), Ok(room), Some(rights)) => Ok(Errand::Invite { name, room, rights }),
                _ => Err(usage("invite")),
            }
        }
        ("role", [whom, "in", rest @ ..]) => {
            let rest = if let ["room", rest @ ..] = rest { rest } else { rest };
            let [room, word] = rest else { return Err(usage("role")) };
            match (whom.parse(), room.parse(), role_of(word)) {
                (Ok(whom), Ok(room), Some(role)) => Ok(Errand::SetRole { whom, room, role }),
                _ => Err(usage("role")),
            }
        }
        ("accounts", []) => Ok(Errand::Accounts),
        ("create", ["account", name, user @ ..]) => match (name.parse(), user) {
            (Ok(name), []) => Ok(Errand::CreateAccount { name, user: None }),
            (Ok(name), ["user", user]) => {
                let user = user.parse().map_err(|_| usage("create account"))?;
                Ok(Errand::CreateAccount { name, user: Some(user) })
            }
            _ => Err(usage("create account")),
        },
        ("remove", ["account", name]) => match name.parse() {
            Ok(account) => Ok(Errand::RemoveAccount { account }),
            Err(_) => Err(usage("remove")),
        },
        ("keys", []) => Ok(Errand::Keys),
        ("keys", ["make"]) => Ok(Errand::MakeKey),
        ("keys", ["revoke", fingerprint]) => Ok(Errand::RevokeKey { fingerprint: (*fingerprint).to_owned() }),
        ("accounts", _) => Err(usage("accounts")),
        ("remove", _) => Err(usage("remove")),
        ("create", _) => Err(usage("create")),
        ("invite", _) => Err(usage("invite")),
        ("role", _) => Err(usage("role")),
        _ => Err(usage("keys revoke")),
    }
}

/// A board is nothing without a past.
fn usual(kind: RoomKind) -> History {
    match kind {
        RoomKind::Bus => History::None,
        RoomKind::Board => History::Log,
    }
}

fn invited_as(word: &str) -> Option<Vec<Right>> {
    Some(match word {
        "member" => vec![Right::Publish, Right::Subscribe],
        "reader" => vec![Right::Subscribe],
        "writer" => vec![Right::Publish],
        _ => return None,
    })
}

/// The role that a word stands for, or none.
fn role_of(word: &str) -> Option<Option<Role>> {
    if word == "none" { Some(None) } else { Role::of(word).map(Some) }
}

/// What was done, as JSON.
pub fn finished(done: &Finished) -> Value {
    let key = |KeyInfo { kind, fingerprint }: &KeyInfo| json!({ "kind": kind, "fingerprint": fingerprint });
    match done {
        Finished::RoomCreated { room, id } => json!({ "room": room, "id": id }),
        Finished::Invited { name, room, token: None } => json!({ "name": name, "room": room }),
        Finished::Invited { name, room, token: Some(token) } => {
            json!({ "name": name, "room": room, "token": text(token) })
        }
        Finished::RoleSet { whom, room, role } => {
            json!({ "name": whom.to_string(), "room": room, "role": role.map_or("none", Role::name) })
        }
        Finished::Keys(keys) => json!({ "keys": keys.iter().map(key).collect::<Vec<_>>() }),
        Finished::KeyMade { key: KeyInfo { kind, fingerprint }, token } => {
            json!({ "kind": kind, "fingerprint": fingerprint, "token": text(token) })
        }
        Finished::KeyRevoked { fingerprint } => json!({ "fingerprint": fingerprint }),
        Finished::Operates => json!({ "admin": true }),
        Finished::Accounts(accounts) => {
            let one = |AccountInfo { name, id, users, rooms, sealed }: &AccountInfo| json!({ "name": name, "id": id, "users": users, "rooms": rooms, "sealed": sealed });
            json!({ "accounts": accounts.iter().map(one).collect::<Vec<_>>() })
        }
        Finished::AccountCreated { name, id, user, client, password, token } => json!({
            "name": name, "id": id, "user": user, "client": client,
            "password": text(password), "token": text(token),
        }),
        Finished::AccountRemoved { name } => json!({ "name": name }),
    }
}

/// What was done, in plain lines.
pub fn finished_lines(done: &Finished) -> Vec<String> {
    match done {
        Finished::RoomCreated { room, id: _ } => vec![format!("the room {room} is there")],
        Finished::Invited { name, room, token: None } => vec![format!("{name} may enter {room}")],
        Finished::Invited { name, room, token: Some(token) } => {
            let once = format!("this token is theirs, and is not shown again: {}", text(token));
            vec![format!("{name} is made, and may enter {room}"), once]
        }
        Finished::RoleSet { whom, room, role } => {
            vec![format!("{whom} has the role {} in {room}", role.map_or("none", Role::name))]
        }
        Finished::Keys(keys) if keys.is_empty() => vec!["none".to_owned()],
        Finished::Keys(keys) => keys.iter().map(|key| format!("{} {}", key.fingerprint, key.kind)).collect(),
        Finished::KeyMade { key, token } => {
            let once = format!("this token is yours, and is not shown again: {}", text(token));
            vec![format!("{} {} is made", key.fingerprint, key.kind), once]
        }
        Finished::KeyRevoked { fingerprint } => vec![format!("{fingerprint} is revoked")],
        Finished::Operates => vec!["you are in the admin lobby".to_owned()],
        Finished::Accounts(accounts) => accounts.iter().map(account_line).collect(),
        Finished::AccountCreated { name, id, user, client: _, password, token } => vec![
            format!("the account {name} is there ({})", id.0),
            format!("its first user is {name}/{user}; what follows is theirs, and is not shown again"),
            format!("password: {}", text(password)),
            format!("token: {}", text(token)),
        ],
        Finished::AccountRemoved { name } => vec![format!("{name} is there no more")],
    }
}

fn account_line(AccountInfo { name, id, users, rooms, sealed }: &AccountInfo) -> String {
    let sealed = if *sealed { ", sealed" } else { "" };
    format!("{name} {} ({users} users, {rooms} rooms{sealed})", id.0)
}

fn text(secret: &Secret) -> Cow<'_, str> {
    String::from_utf8_lossy(&secret.0)
}
