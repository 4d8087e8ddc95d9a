//! CONNECT: who is there, what it may do to us, and which session it wants.
//!
//! The protocol level picks the codec. What the codecs let pass (reserved bits, a second property of a kind, a
//! packet that goes on behind its end) is checked first, on the bytes.

use crate::{
    Config,
    fault::Fault,
    fields::{CUT, Fields},
    filters::head_v5,
    frame::Frame,
    peer::{Peer, Version},
    property::{self, AUTHENTICATION_DATA, AUTHENTICATION_METHOD, IN_CONNECT, IN_WILL, Travelling},
    topic,
};
use bytes::Bytes;
use riser_model::{
    AccountName,
    door::{Code, Credential, Method, Refusal, Secret, SessionRequest, Target, Will},
};
use rumqttc::v5::mqttbytes::v5::{self, ConnectReturnCode};
use std::time::Duration;

/// The longest MQTT client id. Identity comes from the credential; the id only names a session.
const CLIENT_ID_BYTES_MAX: usize = 256;
/// Levels of MQTT that are spoken here: 3.1, 3.1.1 and 5.
const LEVELS: [u8; 3] = [3, 4, 5];

/// A CONNECT that may be answered by the bus.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) peer: Peer,
    pub(crate) credential: Credential,
    pub(crate) session: SessionRequest,
    /// 1.5 times what counts; none if the client wants none.
    pub(crate) silence_max: Option<Duration>,
    /// For CONNACK, if it is not what the client asked for.
    pub(crate) keepalive_s: Option<u16>,
    /// For CONNACK, if it is not what the client asked for.
    pub(crate) expiry_s: Option<u32>,
    /// For CONNACK, if the client left it to us.
    pub(crate) assigned_id: Option<String>,
    /// How it will prove who it is, if that takes a conversation.
    pub(crate) method: Option<Method>,
}

/// Why a CONNECT goes no further.
#[derive(Debug)]
pub(crate) enum BadConnect {
    /// A level that is not spoken here.
    UnknownVersion(Refusal),
    /// Not MQTT: from a peer whose version is known, or not even that.
    Fault(Option<Peer>, Fault),
    /// Fine, but not here.
    Refused(Peer, ConnectReturnCode, Refusal),
}

/// Reads a CONNECT frame. `entropy` names a session whose client leaves that to us.
pub(crate) fn read(frame: &Frame<'_>, config: &Config, entropy: u64) -> Result<Connect, BadConnect> {
    let (version, old) = version(frame.body())?;
    let mut peer = Peer { old, ..Peer::new(version) };
    check(frame.body(), peer).map_err(|fault| BadConnect::Fault(Some(peer), fault))?;
    let offer = match version {
        Version::V4 => Offer::v4(frame.body()),
        Version::V5 => Offer::v5(frame, &mut peer),
    };
    let offer = offer.ok_or(Fault::malformed("the codec reads no CONNECT in it"));
    accept(offer.map_err(|fault| BadConnect::Fault(Some(peer), fault))?, peer, config, entropy)
}

/// Which MQTT; true for the oldest, 3.1.
fn version(body: &[u8]) -> Result<(Version, bool), BadConnect> {
    let mut fields = Fields::new(body);
    let name = fields.text().map_err(|fault| BadConnect::Fault(None, fault))?;
    match (name, fields.u8()) {
        ("MQIsdp", Some(3)) => Ok((Version::V4, true)),
        ("MQTT", Some(4)) => Ok((Version::V4, false)),
        ("MQTT", Some(5)) => Ok((Version::V5, false)),
        ("MQTT" | "MQIsdp", Some(_)) => Err(BadConnect::UnknownVersion(Refusal {
            code: Code::Malformed,
            what: "a protocol level that is not spoken here".to_owned(),
            want: format!("level {} (3.1), {} (3.1.1) or {} (5)", LEVELS[0], LEVELS[1], LEVELS[2]),
        })),
        _ => Err(BadConnect::Fault(None, Fault::malformed("the protocol is not MQTT"))),
    }
}

const NAME_AND_LEVEL_BYTES: usize = 7;
const CLEAN: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER: u8 = 0x80;

/// The whole packet, field by field.
fn check(body: &[u8], peer: Peer) -> Result<(), Fault> {
    let version = peer.version;
    let mut fields = Fields::new(body);
    fields.text()?;
    fields.u8().ok_or(CUT)?;
    let flags = fields.u8().ok_or(CUT)?;
    let has = |flag| flags & flag != 0;
    fields.u16().ok_or(CUT)?;
    // What MQTT 3.1 does not use it does not forbid.
    let reserved = flags & 1 != 0 || !has(WILL) && has(WILL_QOS | WILL_RETAIN);
    if reserved && !peer.old || has(WILL) && flags & WILL_QOS == WILL_QOS {
        return Err(Fault::malformed("CONNECT's flags"));
    }
    if version == Version::V4 && has(PASSWORD) && !has(USER) {
        return Err(Fault::malformed("a password without a user name"));
    }
    if version == Version::V5 {
        let section = property::section(&mut fields, IN_CONNECT)?;
        let named = |id| property::each(section).any(|property| property.id == id);
        if named(AUTHENTICATION_DATA) && !named(AUTHENTICATION_METHOD) {
            return Err(Fault::protocol("authentication data without a method", "both or neither"));
        }
    }
    fields.text()?;
    if has(WILL) {
        if version == Version::V5 {
            property::section(&mut fields, IN_WILL)?;
        }
        if !topic::is_topic(fields.text()?) {
            return Err(Fault::malformed("the will's topic is not a topic"));
        }
        fields.binary().ok_or(CUT)?;
    }
    if has(USER) {
        fields.text()?;
    }
    if has(PASSWORD) {
        fields.binary().ok_or(CUT)?;
    }
    if fields.is_empty() { Ok(()) } else { Err(Fault::malformed("bytes behind the end of CONNECT")) }
}

/// What CONNECT says, in both versions.
struct Offer {
    id: String,
    clean: bool,
    expiry_s: u32,
    keepalive_s: u16,
    user: Option<String>,
    password: Option<Bytes>,
    method: Option<String>,
    will: Option<Will>,
}

impl Offer {
    /// By hand: the codec knows no MQTT 3.1.
    fn v4(body: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(body);
        fields.text().ok()?;
        fields.u8()?;
        let flags = fields.u8()?;
        let has = |flag| flags & flag != 0;
        let keepalive_s = fields.u16()?;
        let id = fields.text().ok()?.to_owned();
        let will = if has(WILL) {
            Some(Will {
                target: Target::Topic(fields.text().ok()?.to_owned()),
                retain: has(WILL_RETAIN),
                qos: (flags & WILL_QOS) >> 3,
                content_type: String::new(),
                properties: Bytes::new(),
                payload: Bytes::copy_from_slice(fields.binary()?),
                delay_s: 0,
            })
        } else {
            None
        };
        let user = if has(USER) { Some(fields.text().ok()?.to_owned()) } else { None };
        let password = if has(PASSWORD) { Some(Bytes::copy_from_slice(fields.binary()?)) } else { None };
        let clean = has(CLEAN);
        let expiry_s = if clean { 0 } else { u32::MAX };
        Some(Self { id, clean, expiry_s, keepalive_s, user, password, method: None, will })
    }

    fn v5(frame: &Frame<'_>, peer: &mut Peer) -> Option<Self> {
        let whole = Bytes::copy_from_slice(frame.whole);
        let (connect, will, user) = v5::Connect::read(head_v5(frame)?, whole).ok()?;
        let properties = connect.properties.unwrap_or_default();
        peer.receive_maximum = properties.receive_maximum.unwrap_or(u16::MAX);
        peer.packet_bytes_max = properties.max_packet_size.unwrap_or(u32::MAX);
        peer.topic_aliases_max = properties.topic_alias_max.unwrap_or(0);
        peer.problem_information = properties.request_problem_info != Some(0);
        let will = match will {
            Some(will) => Some(will_v5(frame, will)?),
            None => None,
        };
        let (user, password) = login(frame, user.map(|login| (login.username, login.password)));
        Some(Self {
            id: connect.client_id,
            clean: connect.clean_start,
            expiry_s: properties.session_expiry_interval.unwrap_or(0),
            keepalive_s: connect.keep_alive,
            user,
            password,
            method: properties.authentication_method,
            will,
        })
    }
}

/// The codecs do not tell an empty user name or password from none: the flags do.
fn login(frame: &Frame<'_>, login: Option<(String, String)>) -> (Option<String>, Option<Bytes>) {
    let flags = frame.body().get(NAME_AND_LEVEL_BYTES).copied().unwrap_or_default();
    let (user, password) = login.unwrap_or_default();
    ((flags & USER != 0).then_some(user), (flags & PASSWORD != 0).then(|| Bytes::from(password)))
}

fn will_v5(frame: &Frame<'_>, will: v5::LastWill) -> Option<Will> {
    let sent = Travelling::of(will_section(frame.body())?);
    Some(Will {
        target: Target::Topic(String::from_utf8(will.topic.to_vec()).ok()?),
        retain: will.retain,
        qos: will.qos as u8,
        content_type: sent.content_type.to_owned(),
        properties: Bytes::copy_from_slice(&sent.properties),
        payload: will.message,
        delay_s: will.properties.and_then(|p| p.delay_interval).unwrap_or(0),
    })
}

fn will_section(body: &[u8]) -> Option<&[u8]> {
    let mut fields = Fields::new(body);
    fields.take(NAME_AND_LEVEL_BYTES + 3)?;
    property::section(&mut fields, IN_CONNECT).ok()?;
    fields.text().ok()?;
    property::section(&mut fields, IN_WILL).ok()
}

fn accept(offer: Offer, peer: Peer, config: &Config, entropy: u64) -> Result<Connect, BadConnect> {
    let refuse = |reason, code, what: &str, want: &str| {
        Err(BadConnect::Refused(peer, reason, Refusal { code, what: what.to_owned(), want: want.to_owned() }))
    };
    let method = offer.method.as_deref().map(|name| Method::named(name).filter(|_| offer.password.is_none()));
    if let Some(None) = method {
        return refuse(
            ConnectReturnCode::BadAuthenticationMethod,
            Code::NotAuthorised,
            "an authentication method",
            "ed25519 or hmac-sha256 without a password, or a password",
        );
    }
    let method = method.flatten();
    let bad_id = ConnectReturnCode::ClientIdentifierNotValid;
    if offer.id.len() > CLIENT_ID_BYTES_MAX {
        return refuse(bad_id, Code::BadName, "a long client id", "at most 256 bytes");
    }
    if offer.id.is_empty() && peer.version == Version::V4 && (!offer.clean || peer.old) {
        return refuse(
            bad_id,
            Code::BadName,
            "no client id, in MQTT 3.1 or for a session that is kept",
            "a client id",
        );
    }
    let credential = match (method, offer.user, offer.password) {
        (Some(method), user, _) => {
            let (account, name) = named(user.as_deref().unwrap_or_default());
            Credential::Claim { account, name, method }
        }
        (None, Some(user), password) => {
            let (account, user) = named(&user);
            Credential::Password { account, user, password: Secret(password.unwrap_or_default()) }
        }
        (None, None, Some(token)) => Credential::Token(Secret(token)),
        (None, None, None) if config.allow_anonymous => Credential::Anonymous,
        (None, None, None) => {
            let reason = ConnectReturnCode::NotAuthorized;
            return refuse(reason, Code::Denied, "no credential", "a user name and password");
        }
    };
    let assigned_id = offer.id.is_empty().then(|| format!("riser-{entropy:016x}"));
    let expiry_s = offer.expiry_s.min(config.session_expiry_s_max);
    let keepalive_s = keepalive(offer.keepalive_s, peer.version, config);
    Ok(Connect {
        peer,
        credential,
        session: SessionRequest {
            id: assigned_id.clone().unwrap_or(offer.id),
            clean: offer.clean,
            expiry_s,
            will: offer.will,
        },
        silence_max: (keepalive_s != 0).then(|| Duration::from_millis(u64::from(keepalive_s) * 1500)),
        keepalive_s: (keepalive_s != offer.keepalive_s).then_some(keepalive_s),
        expiry_s: (expiry_s != offer.expiry_s).then_some(expiry_s),
        assigned_id,
        method,
    })
}

/// Seconds. A client of MQTT 3.1.1 cannot be told another one than its own.
fn keepalive(asked: u16, version: Version, config: &Config) -> u16 {
    match (version, config.keepalive_s_max) {
        (Version::V4, _) | (_, 0) => asked,
        (Version::V5, most) if asked == 0 || asked > most => most,
        (Version::V5, _) => asked,
    }
}

/// `account/user`, or a user alone. What is no account's name is a user that nobody knows.
fn named(text: &str) -> (Option<AccountName>, String) {
    let named = text.split_once('/').and_then(|(account, user)| Some((account.parse().ok()?, user)));
    match named {
        Some((account, user)) => (Some(account), user.to_owned()),
        None => (None, text.to_owned()),
    }
}
