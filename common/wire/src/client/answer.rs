//! What a server says: replies, which echo a request's id, and pushes, which have none.

use crate::close::{after_ms, close_code};
use riser_model::{
    AccountName, ClientId, ConnectionId, Gap, Position, RoomName,
    door::{Completeness, Prompt, Refusal},
    event::Scope,
};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The reply to a request that was done.
pub fn ok(id: Option<u64>, done: &Done<'_>) -> String {
    #[derive(Serialize)]
    struct Reply<'a> {
        re: Option<u64>,
        ok: &'a Done<'a>,
    }
    text(&Reply { re: id, ok: done })
}

/// The reply to a request that was not done. Without an id it answers what had none.
pub fn error(id: Option<u64>, refusal: &Refusal) -> String {
    #[derive(Serialize)]
    struct Reply<'a> {
        re: Option<u64>,
        error: Problem<'a>,
    }
    text(&Reply { re: id, error: refusal.into() })
}

fn text(message: &impl Serialize) -> String {
    serde_json::to_string(message)
        .expect("the protocol's types have string keys and serialize without errors")
}

/// What a reply says was done.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Done<'a> {
    /// `hello`.
    Entered(Entered<'a>),
    /// `subscribe`.
    Subscribed(Started),
    /// `publish` of one.
    Stored(Receipt),
    /// `publish` of several, in their order.
    StoredMany {
        /// One each.
        receipts: Vec<Receipt>,
    },
    /// `ticket`.
    Ticket {
        /// To be shown once, as `?ticket=` behind the address of a channel.
        ticket: &'a str,
        /// For so long, seconds.
        expires_s: u32,
    },
    /// `presence`, `statistics`, `quarantine`: what was seen.
    Seen(serde_json::Value),
    /// `hello` in a lobby, and `whoami` anywhere.
    Lobby(InLobby<'a>),
    /// `rooms`.
    Rooms {
        /// By name.
        rooms: Vec<ShownRoom<'a>>,
    },
    /// `unsubscribe`, `credit`, `session`, `renew`, `ping`: nothing to say.
    Plain {},
}

/// Who the client is, and where.
#[derive(Clone, Debug, Serialize)]
pub struct InLobby<'a> {
    /// The account's name.
    pub account: &'a AccountName,
    /// The lasting participant.
    pub client: ClientId,
    /// The user or device.
    pub name: &'a AccountName,
    /// This connection.
    pub connection: ConnectionId,
    /// The room that it is in, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<&'a RoomName>,
    /// Whose lobby it visits, if that is not its own account's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visits: Option<&'a AccountName>,
    /// Whether the account is its to administer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub administers: bool,
    /// The answers to the subscriptions that came with `hello`, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<Started>,
}

/// A room as a lobby shows it.
#[derive(Clone, Debug, Serialize)]
pub struct ShownRoom<'a> {
    /// Its name.
    pub name: &'a RoomName,
    /// Whether it has a gate of its own.
    pub gated: bool,
    /// How many connections are in it here.
    pub members: u32,
    /// What it is for.
    pub kind: &'static str,
    /// Who is missing of those without whom it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absent: Option<&'a [AccountName]>,
}

/// Who and where the client is.
#[derive(Clone, Debug, Serialize)]
pub struct Entered<'a> {
    /// The account's name.
    pub account: &'a AccountName,
    /// The room of every channel here.
    pub room: &'a RoomName,
    /// The lasting participant.
    pub client: ClientId,
    /// The user or device.
    pub name: &'a AccountName,
    /// This connection.
    pub connection: ConnectionId,
    /// How often the server pings, seconds.
    pub ping_s: u64,
    /// The answers to the subscriptions that came with `hello`, in their order.
    pub subscriptions: Vec<Started>,
}

/// How a subscription started, or why it did not.
#[derive(Clone, Debug)]
pub struct Started {
    /// The client's number for it.
    pub sub: u32,
    /// How it went.
    pub result: Result<riser_model::door::Subscribed, Refusal>,
}

impl Serialize for Started {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Form<'a> {
            Good {
                sub: u32,
                complete: &'static str,
                gaps: Vec<Hole>,
                #[serde(serialize_with = "shown")]
                pos: Position,
                #[serde(skip_serializing_if = "Option::is_none")]
                floor: Option<String>,
                #[serde(skip_serializing_if = "Option::is_none")]
                until: Option<String>,
            },
            Bad {
                sub: u32,
                error: Problem<'a>,
            },
        }
        let sub = self.sub;
        match &self.result {
            Ok(good) => Form::Good {
                sub,
                complete: match good.completeness {
                    Completeness::Full => "full",
                    Completeness::Partial => "partial",
                    Completeness::None => "none",
                },
                gaps: good.gaps.iter().copied().map(Hole::from).collect(),
                pos: good.at,
                floor: good.floor.map(|floor| floor.to_string()),
                until: good.until.map(|until| until.to_string()),
            },
            Err(refusal) => Form::Bad { sub, error: refusal.into() },
        }
        .serialize(serializer)
    }
}

/// Where a publication is, after the commit, or why it was not stored.
#[derive(Clone, Debug)]
pub struct Receipt(pub Result<Position, Refusal>);

impl Serialize for Receipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Form<'a> {
            #[serde(serialize_with = "shown")]
            Pos(Position),
            Error(Problem<'a>),
        }
        match &self.0 {
            Ok(position) => Form::Pos(*position),
            Err(refusal) => Form::Error(refusal.into()),
        }
        .serialize(serializer)
    }
}

/// What the server says of itself.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "ev", rename_all = "snake_case")]
pub enum Push<'a> {
    /// A session ended of which this subscription was shown something when it joined: it is replayed no more.
    Wiped {
        /// For which subscription.
        sub: u32,
        /// Which, as its messages say.
        session: String,
    },
    /// Something is missing here.
    Gap {
        /// For which subscription.
        sub: u32,
        /// What is missing.
        #[serde(flatten)]
        hole: Hole,
        /// The subscription's position after it.
        #[serde(serialize_with = "shown")]
        pos: Position,
    },
    /// The system speaks.
    Event {
        /// For which subscription; none for what every connection is told unless it does not want it.
        #[serde(skip_serializing_if = "Option::is_none")]
        sub: Option<u32>,
        /// Where it is.
        #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
        pos: Option<Position>,
        /// The subscription's position before it.
        #[serde(serialize_with = "shown")]
        prev: Position,
        /// About what: `room`, `account` or `hub`.
        scope: &'static str,
        /// How many of its kind were passed over since the last one (`conflate`).
        #[serde(skip_serializing_if = "is_zero")]
        skipped: u64,
        /// The CloudEvent.
        event: &'a RawValue,
    },
    /// Everything up to these positions was pushed.
    Ping {
        /// By subscription.
        through: BTreeMap<u32, String>,
    },
    /// The gate asks who is there: to be answered by `answer`.
    Challenge {
        /// How: `ed25519` or `hmac-sha256`.
        method: &'static str,
        /// Good for one answer.
        nonce: &'a str,
    },
    /// An admin was asked, and decides.
    Knocked {},
    /// The gate says something.
    Words {
        /// What.
        text: &'a str,
    },
    /// The server ended a subscription.
    End {
        /// Which.
        sub: u32,
        /// Why.
        error: Problem<'a>,
    },
    /// The server will close.
    Bye {
        /// Why.
        #[serde(flatten)]
        problem: Problem<'a>,
        /// The close code that follows.
        close: u16,
        /// When to come back, if at all.
        #[serde(skip_serializing_if = "Option::is_none")]
        after_ms: Option<u32>,
    },
}

impl<'a> Push<'a> {
    /// The text message.
    pub fn text(&self) -> String {
        text(self)
    }

    /// What precedes a close.
    pub fn bye(refusal: &'a Refusal) -> Self {
        Self::Bye {
            problem: refusal.into(),
            close: close_code(refusal.code),
            after_ms: after_ms(refusal.code),
        }
    }

    /// What an acceptor says.
    pub fn prompt(prompt: &'a Prompt) -> Self {
        match prompt {
            Prompt::Challenge { method, nonce } => Self::Challenge { method: method.name(), nonce },
            Prompt::Knocked => Self::Knocked {},
            Prompt::Words(text) => Self::Words { text },
        }
    }
}

/// A technical channel, in one word.
pub fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Room(_) => "room",
        Scope::Account(_) => "account",
        Scope::Instance => "hub",
    }
}

/// A gap with its count.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Hole {
    from: u64,
    to: u64,
    count: u64,
    cause: &'static str,
}

impl From<Gap> for Hole {
    fn from(gap: Gap) -> Self {
        Self { from: gap.from.0, to: gap.to.0, count: gap.count(), cause: gap.cause.name() }
    }
}

/// A refusal in JSON.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Problem<'a> {
    code: &'static str,
    what: &'a str,
    want: &'a str,
}

impl<'a> From<&'a Refusal> for Problem<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        Self { code: refusal.code.name(), what: &refusal.what, want: &refusal.want }
    }
}

fn shown<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(position)
}

fn shown_if<S: Serializer>(position: &Option<Position>, serializer: S) -> Result<S::Ok, S::Error> {
    match position {
        Some(position) => serializer.collect_str(position),
        None => serializer.serialize_none(),
    }
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}
