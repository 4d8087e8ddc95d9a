//! The admin interface: accounts, users, clients, credentials, rooms, grants, connections, knocks and the audit log, as JSON
//! on a listener of its own; and what of it the page of a hub needs, below `/api/admin` of its listeners of HTTP.
//!
//! Three kinds of people are let in: the **operator** of this hub, who shows the token that lies in `admin.token` of its data
//! folder (mode 0600), and not by way of the page, or is a user whom the configuration names; who administers an **account**, with that one's user and password or token,
//! who sees that account and nothing else; and who administers a **room**, who sees that room and who could be in it, and
//! changes what is that room's alone ([`Needs`]). By way of the page a cookie counts as well, beside an Origin that may connect
//! there. What a request may say is in [`requests`]; `GET /openapi.json` is made of the same types and the same
//! table of routes ([`routes`]). A secret is in an answer once: in that of the request that made it.

use crate::{
    accounts::{NotChanged, Registrar, Told, Wanted},
    api::{self, Api, Entered},
    asker::Asker,
    needs::Needs,
    operators::Operators,
};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use riser_gate::{Account, Accounts, Change, Directory, Evidence, RoomConfig, TokenHash, accounts::Why};
use riser_host::Audit;
use riser_model::{
    AccountId, Principal, Right, RoomId,
    door::{Code, Credential, Refusal},
};
use serde_json::json;
use std::sync::Arc;

mod answers;
mod broadcasts;
mod handlers;
mod members;
mod openapi;
mod pace;
pub mod requests;
pub mod routes;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod verbs;

pub use pace::Pace;
use pace::Whose;

/// The longest request.
const BODY_BYTES_MAX: usize = 256 << 10;

/// What the interface needs.
#[derive(Clone)]
pub struct Admin {
    pub(crate) registrar: Registrar,
    pub(crate) audit: Audit,
    /// Of the listener.
    pub(crate) api: Api,
    /// The operator's; none where pages ask: it is shown to no request of theirs.
    pub(crate) token: Option<TokenHash>,
    pub(crate) operators: Arc<Operators>,
    pub(crate) pace: Arc<Pace>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum By {
    /// Who operates the hub: by its token, or by name.
    Operator(Option<ByName>),
    /// Who administers an account or a room of it, with the rights that gates leave it, and by which credentials it came in.
    Account(Arc<Principal>, Evidence),
}

/// Who operates the hub because the configuration names it.
#[derive(Clone, Debug)]
pub(crate) struct ByName {
    principal: Arc<Principal>,
    evidence: Evidence,
    operators: Arc<Operators>,
}

impl By {
    /// Whether that one may do what needs this, by a directory.
    fn may(&self, needs: Needs, directory: &Directory) -> bool {
        match self {
            Self::Operator(None) => true,
            Self::Operator(Some(ByName { principal, evidence, operators })) => {
                operators.names(directory, principal) && Needs::Nothing.met(directory, principal, evidence)
            }
            Self::Account(principal, evidence) => needs.met(directory, principal, evidence),
        }
    }

    /// Whether all of that account is its to administer.
    fn administers(&self, account: AccountId) -> bool {
        match self {
            Self::Operator(_) => true,
            Self::Account(principal, _) => principal.account == account && principal.grants.administer(),
        }
    }

    /// The same of a room. Who is not let in there by the room's own gate looks after all of the account, or not after it.
    fn looks_after(&self, account: AccountId, room: RoomId) -> bool {
        self.administers(account)
            || matches!(self, Self::Account(principal, _)
                if principal.account == account && principal.grants.whole(Right::Admin, room))
    }

    /// As it is written down.
    fn name(&self) -> String {
        match self {
            Self::Operator(None) => "operator".to_owned(),
            Self::Operator(Some(ByName { principal, .. })) => {
                format!("operator, as {}/{}", principal.account_name, principal.name)
            }
            Self::Account(principal, _) => format!("{}/{}", principal.account_name, principal.name),
        }
    }
}

/// One request: who asks, from where.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) by: By,
    from: String,
}

/// A room that is the business of whoever asks.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) account: AccountId,
    pub(crate) known: Arc<Account>,
    pub(crate) room: RoomConfig,
    pub(crate) id: RoomId,
}

/// Why a request was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    what: String,
    want: String,
}

impl Failure {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        what: impl Into<String>,
        want: impl Into<String>,
    ) -> Self {
        Self { status, code, what: what.into(), want: want.into() }
    }

    /// What was asked for is not there, or not for whoever asks: they look the same.
    pub(crate) fn unknown(what: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown",
            what,
            "the name or id of one that there is, and that is yours",
        )
    }

    pub(crate) fn invalid(what: impl Into<String>, want: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", what, want)
    }
}

impl From<NotChanged> for Failure {
    fn from(not: NotChanged) -> Self {
        let (code, what, want) = not.words();
        let status = match not {
            NotChanged::Refused(refused) => match refused.why {
                Why::Unknown => StatusCode::NOT_FOUND,
                Why::Taken => StatusCode::CONFLICT,
                Why::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
                Why::TooMany => StatusCode::TOO_MANY_REQUESTS,
            },
            NotChanged::MayNot => StatusCode::UNAUTHORIZED,
            NotChanged::NotSaved | NotChanged::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, code, what, want)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = riser_net::site::status(refusal.code).as_u16();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
        Self::new(status, refusal.code.name(), refusal.what, refusal.want)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { status, code, what, want } = self;
        let error = json!({ "error": { "code": code, "what": what, "want": want } });
        let mut response = (status, Json(error)).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl Admin {
    /// Who asks, if there is something here that it may ask.
    pub(crate) async fn enter(&self, asker: &Asker) -> Result<Asked, Failure> {
        let Asker { peer, headers, .. } = asker;
        let from = peer.address.ip().to_string();
        let entered = match &self.token {
            Some(own) => {
                let shown = api::credential(headers).ok_or_else(api::not_authorised)?;
                if matches!(&shown, Credential::Token(token) if TokenHash::of(&token.0).same(own)) {
                    return Ok(Asked { by: By::Operator(None), from });
                }
                if !self.pace.take(Whose::Address(peer.address.ip().to_canonical())) {
                    return Err(too_many());
                }
                if shown == Credential::Anonymous {
                    return Err(api::not_authorised().into());
                }
                let (policy, verifier) = (self.api.policy(), self.api.verifier.as_ref());
                let entered =
                    api::entered(&policy, verifier, &self.api.origins, peer, headers, &mut Vec::new()).await;
                if let Ok(Entered { principal, .. }) = &entered {
                    self.api.came(principal.client).await;
                }
                entered
            }
            None => self.enter_by_page(asker).await,
        };
        // What was shown here and is not accepted is written down with what is shown elsewhere; who shows nothing is nobody's
        // business, and takes no place in the audit log.
        let is_told = self.token.is_some() || entered.is_ok();
        let admin = entered.map(|entered| self.by(entered));
        // What was revoked while it was verified counts no more.
        let may = |by: By| self.may(&by, Needs::Something).then_some(by).ok_or_else(api::not_authorised);
        match admin.and_then(may) {
            Ok(by) => {
                if let By::Account(principal, _) | By::Operator(Some(ByName { principal, .. })) = &by
                    && !self.pace.take(Whose::Client(principal.user()))
                {
                    return Err(too_many());
                }
                Ok(Asked { by, from })
            }
            Err(refusal) => {
                if is_told {
                    self.audit.refused_admin(&from, refusal.code.name().to_owned()).await;
                }
                Err(refusal.into())
            }
        }
    }

    /// As what somebody asks who was let in. What ends by itself, or is known elsewhere, operates nothing: who operates makes
    /// what lasts.
    fn by(&self, Entered { principal, evidence, is_lasting }: Entered) -> By {
        if is_lasting && self.operators.names(&self.api.policy().directory, &principal) {
            By::Operator(Some(ByName { principal, evidence, operators: Arc::clone(&self.operators) }))
        } else {
            By::Account(principal, evidence)
        }
    }

    /// Who asks by way of the page: with a cookie, or with what it would show a room. What a listener lends to those who show
    /// nothing administers nothing.
    async fn enter_by_page(&self, asker: &Asker) -> Result<Entered, Refusal> {
        let Asker { peer, headers, .. } = asker;
        api::unheard(peer)?;
        if !self.api.origins.allow(headers) {
            return Err(Refusal {
                code: Code::Denied,
                what: "no Origin that may ask here".to_owned(),
                want: "a page from here, or its origin in the configured list".to_owned(),
            });
        }
        let shows_nothing = api::credential(headers) == Some(Credential::Anonymous);
        if shows_nothing && api::cookie_of(&self.api.origins, headers).is_none() {
            return Err(api::not_authorised());
        }
        self.api.entered(asker).await
    }

    /// The account that is meant, if all of it is the business of whoever asks.
    pub(crate) async fn account(
        &self,
        asked: &Asked,
        text: &str,
    ) -> Result<(AccountId, Arc<Account>), Failure> {
        let found = self.find(text).await.filter(|(id, _)| asked.by.administers(*id));
        found.ok_or_else(not_yours)
    }

    /// The room that is meant, if it is the business of whoever asks. To who looks after rooms only, those of others look like
    /// none.
    pub(crate) async fn room(&self, asked: &Asked, account: &str, room: &str) -> Result<Place, Failure> {
        let (account, known) = self.find(account).await.ok_or_else(not_yours)?;
        let found = handlers::find_room(&known, room);
        let place = found.and_then(|room| Ok((handlers::room_id(&room)?, room)));
        match place {
            Ok((id, room)) if asked.by.looks_after(account, id) => Ok(Place { account, known, room, id }),
            Err(failure) if asked.by.administers(account) => Err(failure),
            Ok(_) | Err(_) => Err(not_yours()),
        }
    }

    /// The room whose own gate is meant, if who knocks there is the business of whoever asks: by its own rights, as from a
    /// connection of its own, and not by those that this gate would leave it. Who looks after a room that is knocked at could
    /// never be let in by a request.
    pub(crate) async fn gate(&self, asked: &Asked, account: &str, room: &str) -> Result<Place, Failure> {
        let (account, known) = self.find(account).await.ok_or_else(not_yours)?;
        let found = handlers::find_room(&known, room);
        let place = found.and_then(|room| Ok((handlers::room_id(&room)?, room)));
        match place {
            Ok((id, room)) if self.may(&asked.by, Needs::Room(account, id)) => {
                Ok(Place { account, known, room, id })
            }
            Err(failure) if asked.by.administers(account) => Err(failure),
            Ok(_) | Err(_) => Err(not_yours()),
        }
    }

    async fn find(&self, text: &str) -> Option<(AccountId, Arc<Account>)> {
        let accounts = self.registrar.accounts().await;
        accounts.named(text).map(|(id, account)| (id, Arc::clone(account)))
    }

    /// Only who operates the hub.
    pub(crate) fn operator(asked: &Asked) -> Result<(), Failure> {
        match &asked.by {
            By::Operator(_) => Ok(()),
            By::Account(..) => Err(Failure::new(
                StatusCode::FORBIDDEN,
                "denied",
                "that is for who operates this hub",
                "the token in admin.token of the hub's data folder, or a user whom its configuration names",
            )),
        }
    }

    /// Whether who asks may do what needs this, by the directory in force.
    fn may(&self, by: &By, needs: Needs) -> bool {
        by.may(needs, &self.api.policy().directory)
    }

    /// Whether who asks still may do what needs this: a request's body may come long after its head.
    pub(crate) fn still(&self, asked: &Asked, needs: Needs) -> Result<(), Failure> {
        let may = self.may(&asked.by, needs);
        if may { Ok(()) } else { Err(api::not_authorised().into()) }
    }

    pub(crate) async fn change(
        &self,
        asked: &Asked,
        what: &'static str,
        of: impl Into<String>,
        change: Change,
    ) -> Result<(AccountId, Arc<Account>), Failure> {
        self.change_of(asked, what, of, change, None).await
    }

    /// A change that was made of an account as it was at that revision.
    pub(crate) async fn change_of(
        &self,
        asked: &Asked,
        what: &'static str,
        of: impl Into<String>,
        change: Change,
        revision: Option<u64>,
    ) -> Result<(AccountId, Arc<Account>), Failure> {
        let told = Told { what, of: of.into(), by: asked.by.name(), from: asked.from.clone() };
        let by = asked.by.clone();
        let may = move |change: &Change, accounts: &Accounts, directory: &Directory| {
            by.may(Needs::of(change, accounts), directory)
        };
        let wanted = Wanted { change, revision, may: Box::new(may) };
        Ok(self.registrar.change(told, wanted).await?)
    }
}

fn not_yours() -> Failure {
    Failure::unknown("no such account, or not yours")
}

fn too_many() -> Failure {
    let (what, want) = ("too many requests", "come back in a second");
    Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many", what, want)
}
