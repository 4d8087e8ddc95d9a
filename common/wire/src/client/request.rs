//! What a client asks for, read from one text message.

use super::{
    REQUEST_ID_MAX, errand,
    looking::{self, Looking},
    object::{Object, shown, suggestion},
};
use crate::{
    entry::PublishId,
    limits::{BATCH_ENTRIES_MAX, PUBLICATION_BYTES_MAX, SUBSCRIPTIONS_MAX},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use riser_model::{
    ChannelName, Filter, Position, RoomName, SubscriptionId, Wall,
    door::{Code, Errand, Flow, From, Method, Refusal, Secret},
    room::PERSONAL,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, str::FromStr};

/// One request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// What its reply echoes. Only `credit` and `answer` may go without; they are not answered then.
    pub id: Option<u64>,
    /// What is asked.
    pub op: Op<'a>,
}

/// A message that is not a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// Its id, if that could be read.
    pub id: Option<u64>,
    /// Why.
    pub refusal: Refusal,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op<'a> {
    /// Let me in. First, and once.
    Hello(Hello),
    /// Start a subscription, or replace the one of that number.
    Subscribe(Subscribe),
    /// End a subscription.
    Unsubscribe {
        /// Which.
        sub: u32,
    },
    /// That many more messages may come for a subscription with a window.
    Credit {
        /// Which.
        sub: u32,
        /// How many.
        n: u32,
    },
    /// Store this, and say where.
    Publish(Publish<'a>),
    /// The answer to a challenge.
    Answer(Secret),
    /// I am who I was, by this.
    Renew(Shown),
    /// Let a connection in that knocks, or do not.
    Decide {
        /// Which.
        connection: u64,
        /// At which room, as it was told of: there and nowhere else. None: wherever it knocks.
        room: Option<RoomName>,
        /// Whether to let it in.
        admit: bool,
    },
    /// Make a ticket, with which one raw connection may enter as this client.
    Ticket,
    /// What is published here from now on is replayed to whoever joins, until this connection ends; in a room that
    /// offers session history.
    Session,
    /// Look at something as it is at the moment.
    Look(Looking),
    /// Which rooms are there?
    Rooms,
    /// Who am I, and where?
    Whoami,
    /// Move me into a room; out of the one that I am in, if I am in one.
    Move {
        /// Which.
        room: RoomName,
    },
    /// Out of the room that I am in, back into the lobby.
    Leave,
    /// Have this done with my account.
    Errand(Errand),
    /// What may I say in a lobby, and in a room beside what is said there?
    Help,
    /// Answer me.
    Ping,
}

/// The first request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// What the client shows, unless the handshake brought it.
    pub credential: Option<Shown>,
    /// Subscriptions to start with; answered in the reply to `hello`.
    pub subscriptions: Vec<Subscribe>,
    /// Whether what the system says comes without being asked for.
    pub events: bool,
}

/// A credential within an account that the URL names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    /// A user or device.
    Password {
        /// Its name.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// A bearer token.
    Token(Secret),
    /// A user or device that will answer a challenge.
    Claim {
        /// Its name, or its client's UUID.
        user: String,
        /// How.
        method: Method,
    },
}

/// A subscription as it is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscribe {
    /// The client's number for it.
    pub sub: u32,
    /// To what.
    pub channels: Channels,
    /// From where.
    pub from: From,
    /// How.
    pub flow: Flow,
    /// How many messages may come before the client says `credit`; none means the socket's pace.
    pub credit: Option<u32>,
}

/// What a subscription listens to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Channels {
    /// Channels of the room.
    Filter(Filter),
    /// What the system says.
    Technical(Technical),
}

/// Whose technical channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Technical {
    /// The room's.
    Room,
    /// The account's, and what the hub says of itself.
    Account,
    /// What the hub says of itself.
    Hub,
}

/// What is to be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Publish<'a> {
    /// One, answered by its position.
    One(Message<'a>),
    /// Several in one commit, answered by a receipt each.
    Many(Vec<Message<'a>>),
}

/// A publication as it is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    /// To which channel of the room.
    pub channel: ChannelName,
    /// What the payload is.
    pub content_type: Cow<'a, str>,
    /// The payload.
    pub payload: Cow<'a, [u8]>,
    /// The publisher's own name for it.
    pub publish_id: Option<PublishId>,
    /// After so many seconds it is of no use: no device gets it any more.
    pub expires_s: Option<u32>,
}

const OPS: [&str; 30] = [
    "hello",
    "answer",
    "renew",
    "subscribe",
    "unsubscribe",
    "credit",
    "publish",
    "decide",
    "session",
    "ticket",
    "presence",
    "statistics",
    "quarantine",
    "past",
    "edit",
    "devices",
    "rooms",
    "whoami",
    "move",
    "enter",
    "leave",
    "create",
    "invite",
    "role",
    "keys",
    "admin",
    "accounts",
    "remove",
    "help",
    "ping",
];
const WANT_CREDENTIAL: &str =
    "user and password, user and method (ed25519 or hmac-sha256), or token, as strings";
const WANT_SUB: &str = "sub, the number of a subscription, 0 to 4294967294";
const WANT_TECHNICAL: &str = "room, account or hub";
const WANT_CHANNEL: &str =
    "a channel: 1 to 255 bytes, at most 16 levels, no control characters, +, #, .. or leading $";
const WANT_FILTER: &str = "a channel in which a whole level may be + and the last level may be #";
/// What a content type is, in a refusal's words: see [`is_content_type`].
pub const WANT_TYPE: &str = "a content type of 1 to 255 visible ASCII characters";

impl<'a> Request<'a> {
    /// Reads one text message.
    pub fn read(text: &'a str) -> Result<Self, Wrong> {
        let mut object = Object::read(text, "message").map_err(|refusal| Wrong { id: None, refusal })?;
        let id = match object.optional::<u64>("id", WANT_ID) {
            Ok(id) if id.is_none_or(|id| id <= REQUEST_ID_MAX) => id,
            Ok(_) => return Err(Wrong { id: None, refusal: object.wrong("id", WANT_ID) }),
            Err(refusal) => return Err(Wrong { id: None, refusal }),
        };
        let op = read_op(&mut object, id).map_err(|refusal| Wrong { id, refusal })?;
        Ok(Self { id, op })
    }
}

const WANT_ID: &str = "id, a number from 0 to 9007199254740991, that the reply will echo";

fn read_op<'a>(object: &mut Object<'a>, id: Option<u64>) -> Result<Op<'a>, Refusal> {
    let want = "op, one of: hello, answer, renew, subscribe, unsubscribe, credit, publish, decide, session, ticket, presence, statistics, quarantine, past, edit, devices, rooms, whoami, move, enter, leave, create, invite, role, keys, admin, accounts, remove, help, ping";
    let name: Cow<'a, str> = object.required::<Text<'a>>("op", want)?.0;
    if id.is_none() && name != "credit" && name != "answer" {
        return Err(object.missing("id", WANT_ID));
    }
    object.rename(shown(&name));
    let op = match &*name {
        "hello" => Op::Hello(read_hello(object)?),
        "subscribe" => Op::Subscribe(read_subscribe(object)?),
        "unsubscribe" => Op::Unsubscribe { sub: object.required("sub", WANT_SUB)? },
        "credit" => Op::Credit {
            sub: object.required("sub", WANT_SUB)?,
            n: object.required("n", "n, how many more messages may come, 0 to 4294967295")?,
        },
        "publish" => Op::Publish(read_publish(object)?),
        "answer" => {
            let want = "proof, base64 of a signature or an HMAC over the challenge";
            Op::Answer(Secret(object.required::<String>("proof", want)?.into()))
        }
        "renew" => {
            let raw =
                object.raw("credential").ok_or_else(|| object.missing("credential", WANT_CREDENTIAL))?;
            Op::Renew(read_credential(raw.get())?)
        }
        "decide" => Op::Decide {
            connection: object.required("connection", "connection, the number of one that knocks")?,
            room: parsed(object, "room", "room, the name of the one it knocks at")?,
            admit: object.required("admit", "admit, true or false")?,
        },
        "ticket" => Op::Ticket,
        "session" => Op::Session,
        "presence" | "statistics" | "quarantine" | "past" | "edit" | "devices" => {
            Op::Look(looking::read(object, &name)?)
        }
        "rooms" => Op::Rooms,
        "whoami" => Op::Whoami,
        "create" | "invite" | "role" | "keys" | "admin" | "accounts" | "remove" => {
            Op::Errand(errand::read(object, &name)?)
        }
        "help" => Op::Help,
        "leave" => Op::Leave,
        "move" | "enter" => {
            let want = "room, a room's name: 1 to 64 characters of a-z, 0-9 and -";
            let room = parsed::<RoomName>(object, "room", want)?;
            let personal = || (name == "enter").then(|| PERSONAL.parse().ok()).flatten();
            Op::Move { room: room.or_else(personal).ok_or_else(|| object.missing("room", want))? }
        }
        "ping" => Op::Ping,
        unknown => {
            let what = format!("unknown op {:?}", shown(unknown));
            return Err(object.refuse(what, &suggestion(unknown, &OPS)));
        }
    };
    object.finish()?;
    Ok(op)
}

fn read_hello(object: &mut Object<'_>) -> Result<Hello, Refusal> {
    let credential = object.raw("credential").map(|raw| read_credential(raw.get())).transpose()?;
    let want = "an array of at most 100 subscriptions, each with its own sub";
    let raws: Vec<&RawValue> = object.optional("subscriptions", want)?.unwrap_or_default();
    if raws.len() > SUBSCRIPTIONS_MAX {
        return Err(Refusal { code: Code::TooMany, ..object.wrong("subscriptions", want) });
    }
    let mut subscriptions: Vec<Subscribe> = Vec::with_capacity(raws.len());
    for (index, raw) in raws.into_iter().enumerate() {
        let mut item = Object::read(raw.get(), format!("subscriptions[{index}]"))?;
        let subscribe = read_subscribe(&mut item)?;
        item.finish()?;
        if subscriptions.iter().any(|other| other.sub == subscribe.sub) {
            return Err(item.wrong("sub", want));
        }
        subscriptions.push(subscribe);
    }
    let events = object.optional("events", "true or false")?.unwrap_or(true);
    Ok(Hello { credential, subscriptions, events })
}

fn read_credential(text: &str) -> Result<Shown, Refusal> {
    let mut object = Object::read(text, "credential")?;
    let want = WANT_CREDENTIAL;
    let secret = |text: String| Secret(text.into());
    let token: Option<String> = object.optional("token", want)?;
    let user: Option<String> = object.optional("user", want)?;
    let password: Option<String> = object.optional("password", want)?;
    let method: Option<Text<'_>> = object.optional("method", want)?;
    object.finish()?;
    if let Some(method) = method {
        let method = Method::named(&method.0).ok_or_else(|| object.wrong("method", want))?;
        return match (token, user, password) {
            (None, Some(user), None) => Ok(Shown::Claim { user, method }),
            _ => Err(object.refuse("credential has a method and no user, or more than that".into(), want)),
        };
    }
    match (token, user, password) {
        (Some(token), None, None) => Ok(Shown::Token(secret(token))),
        (None, Some(user), Some(password)) => Ok(Shown::Password { user, password: secret(password) }),
        (None, Some(_), None) => Err(object.missing("password", want)),
        (None, None, Some(_)) => Err(object.missing("user", want)),
        (None, None, None) => Err(object.missing("user and password", want)),
        (Some(_), _, _) => {
            Err(object.refuse("credential has both a token and a user or password".into(), want))
        }
    }
}

fn read_subscribe(object: &mut Object<'_>) -> Result<Subscribe, Refusal> {
    let sub = object.required("sub", WANT_SUB)?;
    if sub == SubscriptionId::UNASKED.0 {
        return Err(object.wrong("sub", WANT_SUB));
    }
    let filter = parsed::<Filter>(object, "channels", WANT_FILTER)?;
    let technical: Option<Text<'_>> = object.optional("technical", WANT_TECHNICAL)?;
    let channels = match (filter, technical.as_ref().map(|text| &*text.0)) {
        (Some(filter), None) => Channels::Filter(filter),
        (None, Some("room")) => Channels::Technical(Technical::Room),
        (None, Some("account")) => Channels::Technical(Technical::Account),
        (None, Some("hub")) => Channels::Technical(Technical::Hub),
        (None, Some(_)) => return Err(object.wrong("technical", WANT_TECHNICAL)),
        (None, None) => {
            let want = "channels (a filter) or technical (room, account or hub)";
            return Err(object.missing("channels", want));
        }
        (Some(_), Some(_)) => {
            return Err(object.wrong("technical", "either channels or technical: subscribe twice for both"));
        }
    };
    let from = match object.raw("from") {
        Some(raw) => read_from(raw.get())?,
        None => From::Live,
    };
    let flow: Option<Text<'_>> = object.optional("flow", "credit or conflate")?;
    let flow = match flow.as_ref().map(|text| &*text.0) {
        None | Some("credit") => Flow::Credit,
        Some("conflate") => Flow::Conflate,
        Some(_) => return Err(object.wrong("flow", "credit or conflate")),
    };
    let want = "a number of messages, with channels and flow credit only";
    let credit = object.optional("credit", want)?;
    if credit.is_some() && (flow == Flow::Conflate || matches!(channels, Channels::Technical(_))) {
        return Err(object.wrong("credit", want));
    }
    Ok(Subscribe { sub, channels, from, flow, credit })
}

fn read_from(text: &str) -> Result<From, Refusal> {
    let want = r#""live", "start", {"after":position}, {"time":milliseconds since 1970}, {"after":position,"time":milliseconds,"until":position} or {"last":number}"#;
    if let Ok(word) = serde_json::from_str::<Text<'_>>(text) {
        return match &*word.0 {
            "live" => Ok(From::Live),
            "start" => Ok(From::Start),
            _ => Err(Refusal {
                code: Code::Malformed,
                what: "from is an unknown word".into(),
                want: want.into(),
            }),
        };
    }
    let mut object = Object::read(text, "from").map_err(|_| Refusal {
        code: Code::Malformed,
        what: "from has a wrong type".into(),
        want: want.into(),
    })?;
    let as_received = "a position exactly as it was received (log.epoch.seq)";
    let after = parsed::<Position>(&mut object, "after", as_received)?;
    let until = parsed::<Position>(&mut object, "until", as_received)?;
    let last = object.optional("last", "a number from 0 to 4294967295")?;
    let time = object.optional("time", "milliseconds since 1970 by the clock of this instance")?;
    object.finish()?;
    match (after, last, time.map(Wall), until) {
        (Some(position), None, None, None) => Ok(From::After(position)),
        (None, Some(n), None, None) => Ok(From::Last(n)),
        (None, None, Some(since), None) => Ok(From::Since(since)),
        (Some(after), None, Some(since), Some(until)) => Ok(From::Onward { after, since, until }),
        (None, None, None, _)
        | (_, Some(_), ..)
        | (Some(_), None, Some(_), None)
        | (Some(_), None, None, Some(_))
        | (None, None, Some(_), Some(_)) => Err(object.refuse("from is not one of its forms".into(), want)),
    }
}

fn read_publish<'a>(object: &mut Object<'a>) -> Result<Publish<'a>, Refusal> {
    let want = "an array of 1 to 4096 messages";
    let Some(raws) = object.optional::<Vec<&RawValue>>("messages", want)? else {
        return read_message(object).map(Publish::One);
    };
    if raws.is_empty() {
        return Err(object.wrong("messages", want));
    }
    if raws.len() > BATCH_ENTRIES_MAX {
        return Err(Refusal { code: Code::TooMany, ..object.wrong("messages", want) });
    }
    let read = |(index, raw): (usize, &'a RawValue)| {
        let mut item = Object::read(raw.get(), format!("messages[{index}]"))?;
        let message = read_message(&mut item)?;
        item.finish()?;
        Ok(message)
    };
    raws.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Publish::Many)
}

fn read_message<'a>(object: &mut Object<'a>) -> Result<Message<'a>, Refusal> {
    let channel = parsed::<ChannelName>(object, "channel", WANT_CHANNEL)?
        .ok_or_else(|| object.missing("channel", WANT_CHANNEL))?;
    let (content_type, payload) = read_payload(object)?;
    let publish_id = object.raw("publish_id").map(|raw| read_publish_id(raw.get())).transpose()?;
    let want = "expires_s, after how many seconds it is of no use, 1 to 4294967295";
    let expires_s: Option<u32> = object.optional("expires_s", want)?;
    if expires_s == Some(0) {
        return Err(object.wrong("expires_s", want));
    }
    Ok(Message { channel, content_type, payload, publish_id, expires_s })
}

/// What is said, and as what: `data` or `data_b64`, with a `type` or without.
pub(super) fn read_payload<'a>(object: &mut Object<'a>) -> Result<(Cow<'a, str>, Cow<'a, [u8]>), Refusal> {
    let declared = object.optional::<Text<'a>>("type", WANT_TYPE)?.map(|text| text.0);
    if declared.as_ref().is_some_and(|name| !is_content_type(name)) {
        return Err(object.wrong("type", WANT_TYPE));
    }
    let data = object.raw("data");
    let data_b64 = object.optional::<Text<'a>>("data_b64", WANT_B64)?;
    let (content_type, payload) = match (data, data_b64) {
        (Some(data), None) => read_data(object, declared, data)?,
        (None, Some(text)) => {
            let payload = STANDARD.decode(&*text.0).map_err(|_| object.wrong("data_b64", WANT_B64))?;
            (declared.unwrap_or(Cow::Borrowed("application/octet-stream")), Cow::Owned(payload))
        }
        (None, None) => return Err(object.missing("data", "data (text or JSON) or data_b64 (anything)")),
        (Some(_), Some(_)) => return Err(object.wrong("data_b64", "either data or data_b64")),
    };
    if payload.len() > PUBLICATION_BYTES_MAX {
        return Err(Refusal {
            code: Code::TooLarge,
            what: format!("a payload of {} bytes", payload.len()),
            want: format!("at most {PUBLICATION_BYTES_MAX} bytes"),
        });
    }
    Ok((content_type, payload))
}

const WANT_B64: &str = "standard base64 with padding";

/// By its declared type, or by what it is: a string is text, anything else is JSON.
fn read_data<'a>(
    object: &Object<'a>,
    declared: Option<Cow<'a, str>>,
    data: &'a RawValue,
) -> Result<(Cow<'a, str>, Cow<'a, [u8]>), Refusal> {
    let is_text = data.get().starts_with('"');
    let declared = declared.unwrap_or(Cow::Borrowed(if is_text { "text/plain" } else { "application/json" }));
    if is_json(&declared) {
        return Ok((declared, Cow::Borrowed(data.get().as_bytes())));
    }
    let want = "a string, or type application/json, or data_b64";
    match serde_json::from_str::<Text<'a>>(data.get()) {
        Ok(Text(Cow::Borrowed(text))) => Ok((declared, Cow::Borrowed(text.as_bytes()))),
        Ok(Text(Cow::Owned(text))) => Ok((declared, Cow::Owned(text.into_bytes()))),
        Err(_) => Err(object.wrong("data", want)),
    }
}

/// Whether payloads of this content type are embedded as JSON.
pub(super) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim_end();
    essence == "application/json" || essence.ends_with("+json")
}

/// Whether a publication may be said to be of that type: every client can be told it, one of MQTT 5 too.
pub fn is_content_type(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

fn read_publish_id(text: &str) -> Result<PublishId, Refusal> {
    let mut object = Object::read(text, "publish_id")?;
    let want = "a number from 0 to 18446744073709551615, as a string where JavaScript would round it";
    let producer = object.required::<Whole>("producer", want)?.0;
    let n = object.required::<Whole>("n", want)?.0;
    object.finish()?;
    Ok(PublishId { producer, n })
}

/// A text field that parses into a name or a position.
pub(super) fn parsed<T: FromStr>(
    object: &mut Object<'_>,
    name: &'static str,
    want: &str,
) -> Result<Option<T>, Refusal> {
    let Some(text) = object.optional::<Text<'_>>(name, want)? else { return Ok(None) };
    let value = text.0.parse().map_err(|_| Refusal { code: Code::BadName, ..object.wrong(name, want) })?;
    Ok(Some(value))
}

/// A string, borrowed where it holds no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Text<'a> {
    pub(super) fn into_inner(self) -> Cow<'a, str> {
        self.0
    }
}

/// A u64, as a number or as a string of decimal digits.
#[derive(Clone, Copy)]
struct Whole(u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Digits(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(n) => Ok(Self(n)),
            Form::Digits(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().map(Self).map_err(serde::de::Error::custom)
            }
            Form::Digits(_) => Err(serde::de::Error::custom("not decimal digits")),
        }
    }
}
