//! The WebSocket handshake (RFC 6455 section 4.2), checked header by header.

use crate::{
    address::{Address, BadAddress, Reserved},
    site::{Body, Doorway, ENVELOPE_PROTOCOL, LINK_PROTOCOL, MQTT_PROTOCOL, body, error},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    header::{self, HeaderName, HeaderValue},
};
use riser_model::{
    AccountName, RoomName,
    door::{Credential, Secret},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A handshake that is in order.
pub(crate) struct Handshake {
    accept: String,
    /// The sub-protocols that the peer offers, in its order.
    pub(crate) offered: Vec<String>,
}

/// Whether a request wants a WebSocket at all.
pub(crate) fn wants_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, &header::UPGRADE, "websocket")
}

/// Checks a handshake, or says what is wrong with it.
pub(crate) fn check<B>(request: &Request<B>) -> Result<Handshake, Box<Response<Body>>> {
    let headers = request.headers();
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err(bad("a WebSocket handshake is a GET of HTTP/1.1", "GET and HTTP/1.1"));
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(bad("the Connection header does not say Upgrade", "Connection: Upgrade"));
    }
    if single(headers, &header::SEC_WEBSOCKET_VERSION) != Some("13") {
        let what = "not the WebSocket version we speak";
        let mut response =
            error(StatusCode::UPGRADE_REQUIRED, "malformed", what, "Sec-WebSocket-Version: 13");
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(Box::new(response));
    }
    let key = single(headers, &header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
    let Some(key) = key else {
        return Err(bad("the Sec-WebSocket-Key is not one", "16 random bytes in base64, once"));
    };
    Ok(Handshake { accept: derive_accept_key(key.as_bytes()), offered: protocols(headers) })
}

fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

fn protocols(headers: &HeaderMap) -> Vec<String> {
    tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).map(Into::into).collect()
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn bad(what: &str, want: &str) -> Box<Response<Body>> {
    Box::new(error(StatusCode::BAD_REQUEST, "malformed", what, want))
}

impl Handshake {
    /// The answer that makes it a WebSocket.
    pub(crate) fn accept(&self, protocol: Option<&'static str>) -> Response<Body> {
        let mut response = Response::new(body(""));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        let accept = HeaderValue::from_str(&self.accept).expect("base64 is a header's value");
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        response
    }

    /// Which door the peer asks for, and the sub-protocol to speak there.
    pub(crate) fn doorway(&self, address: Address) -> Result<(Doorway, Option<&'static str>), BadAddress> {
        let wrong = |what, want| BadAddress { status: 400, what, want };
        let protocol = self.protocol()?;
        let doorway = match (address, protocol) {
            (Address::Reserved(Reserved::Mqtt), Some(MQTT_PROTOCOL)) => Doorway::Mqtt,
            (Address::Reserved(Reserved::Mqtt), _) => {
                return Err(wrong("MQTT over WebSocket has a sub-protocol", "Sec-WebSocket-Protocol: mqtt"));
            }
            (Address::Reserved(Reserved::Link), _) => {
                return Err(BadAddress {
                    status: 404,
                    what: "no link here",
                    want: "the link's own listener",
                });
            }
            (Address::Reserved(_), _) => {
                let want = "/{account}/{room} or /{account}/{room}/{channel}";
                return Err(BadAddress { status: 404, what: "nothing to connect to", want });
            }
            (_, Some(MQTT_PROTOCOL)) => return Err(wrong("MQTT is spoken elsewhere", "/mqtt")),
            (Address::Lobby, None) => Doorway::Lobby,
            (Address::Lobby, Some(_)) => Doorway::EnvelopeLobby,
            (Address::User(name), None) => Doorway::User(name),
            (Address::User(name), Some(_)) => Doorway::EnvelopeUser(name),
            (Address::Room { account, room }, Some(_)) => Doorway::Envelope { account, room },
            (Address::Room { .. }, None) => {
                let want = "Sec-WebSocket-Protocol: riser.v1.json, or /{account}/{room}/{channel}";
                return Err(wrong("a room needs a sub-protocol", want));
            }
            (Address::Channel { account, room, channel }, None) => {
                Doorway::Raw { account, room, client: None, channel }
            }
            (Address::Client { account, room, client, channel: Some(channel) }, None) => {
                Doorway::Raw { account, room, client: Some(client), channel }
            }
            (Address::Client { account, room, client, channel: None }, None) => {
                Doorway::Client { account, room, client }
            }
            (Address::Channel { .. } | Address::Client { .. }, Some(_)) => {
                let want = "/{account}/{room}, or no sub-protocol";
                return Err(wrong("a channel's address is raw and has no sub-protocol", want));
            }
        };
        Ok((doorway, protocol))
    }

    /// The first of the offered sub-protocols that doors speak; none if none is offered.
    fn protocol(&self) -> Result<Option<&'static str>, BadAddress> {
        let known = [ENVELOPE_PROTOCOL, MQTT_PROTOCOL];
        let found = self.offered.iter().find_map(|offered| known.into_iter().find(|known| known == offered));
        if found.is_none() && !self.offered.is_empty() {
            let want = "riser.v1.json, mqtt, or none";
            return Err(BadAddress { status: 400, what: "none of the sub-protocols is known here", want });
        }
        Ok(found)
    }

    /// Whether the peer speaks the link's protocol.
    pub(crate) fn is_link(&self) -> bool {
        self.offered.iter().any(|offered| offered == LINK_PROTOCOL)
    }
}

/// What the `Authorization` header shows. `account` is the one in the address.
pub(crate) fn credential(
    headers: &HeaderMap,
    account: Option<&AccountName>,
) -> Result<Option<Credential>, Box<Response<Body>>> {
    if !headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    let want = "Authorization: Basic with base64 of user:password, or Bearer with a token";
    let wrong = || bad("the Authorization header cannot be read", want);
    let value = single(headers, &header::AUTHORIZATION).ok_or_else(wrong)?;
    let (scheme, rest) = value.split_once(' ').ok_or_else(wrong)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Credential::Token(Secret(rest.trim().to_owned().into()))));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(wrong());
    }
    let text = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(wrong)?;
    let (user, password) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Some(Credential::Password {
        account: account.cloned(),
        user: user.into(),
        password: Secret(password.to_owned().into()),
    }))
}

/// The ticket in a query. It is URL-safe as we hand it out, so there is nothing to decode.
pub(crate) fn ticket(query: Option<&str>) -> Option<Secret> {
    let ticket = query?.split('&').find_map(|pair| pair.strip_prefix("ticket="))?;
    Some(Secret(ticket.to_owned().into()))
}

impl Doorway {
    /// The account that a name without one is of, by the address. In lobbies the gate says: who visits is of another one.
    pub(crate) fn account(&self) -> Option<&AccountName> {
        match self {
            Self::Raw { room, .. } | Self::Client { room, .. } if *room == RoomName::lobby() => None,
            Self::Envelope { account, .. } | Self::Raw { account, .. } | Self::Client { account, .. } => {
                Some(account)
            }
            Self::Lobby | Self::EnvelopeLobby | Self::User(_) | Self::EnvelopeUser(_) | Self::Mqtt => None,
        }
    }
}
