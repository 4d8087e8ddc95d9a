//! The admin interface: accounts, users, clients, credentials, rooms, grants, connections, knocks and the audit log, as JSON
//! on a listener of its own.
//!
//! Two kinds of people are let in: the **operator** of this hub, who shows the token that lies in `admin.token` of its data
//! folder (mode 0600), and who administers an **account**, with that one's user and password or token, who sees that account
//! and nothing else. What a request may say is in [`requests`]; `GET /openapi.json` is made of the same types and the same
//! table of routes ([`routes`]). A secret is in an answer once: in that of the request that made it.

use crate::{
    accounts::{NotChanged, Registrar, Told, Wanted},
    api,
    audit::Audit,
    verifier::Verifier,
};
use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use riser_gate::{Account, Change, Directory, Evidence, Holds, Policy, TokenHash, accounts::Why};
use riser_host::{HostHandle, Policies};
use riser_hub_core::HubCore;
use riser_model::{
    AccountId, Principal,
    door::{Credential, Refusal},
};
use riser_net::{Origins, entrance::Peer};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::watch;

mod answers;
mod handlers;
mod members;
mod openapi;
mod pace;
pub mod requests;
pub mod routes;

pub use pace::Pace;
use pace::Whose;

/// The longest request.
const BODY_BYTES_MAX: usize = 256 << 10;

/// What the interface needs.
#[derive(Clone)]
pub struct Admin {
    pub(crate) registrar: Registrar,
    pub(crate) audit: Audit,
    pub(crate) core: HostHandle<HubCore>,
    pub(crate) policies: watch::Receiver<Policies>,
    /// The listener's name.
    pub(crate) listener: Arc<str>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) origins: Arc<Origins>,
    /// The operator's.
    pub(crate) token: TokenHash,
    pub(crate) pace: Arc<Pace>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum By {
    /// Who operates the hub.
    Operator,
    /// Who administers an account, and by which credentials it came in.
    Account(Arc<Principal>, Evidence),
}

impl By {
    /// Whether that one may administer, by a directory.
    fn may(&self, directory: &Directory) -> bool {
        match self {
            Self::Operator => true,
            Self::Account(principal, evidence) => {
                let known = directory.principal(principal.client);
                known.is_some_and(|known| known.account == principal.account && known.grants.administer())
                    && directory.holds(principal.client, evidence) == Holds::Yes
            }
        }
    }

    /// As it is written down.
    fn name(&self) -> String {
        match self {
            Self::Operator => "operator".to_owned(),
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
    fn policy(&self) -> Option<Arc<Policy>> {
        self.policies.borrow().get(&self.listener).cloned()
    }

    /// Who asks, if it may.
    pub(crate) async fn enter(&self, peer: &Peer, headers: &HeaderMap) -> Result<Asked, Failure> {
        let from = peer.address.ip().to_string();
        let shown = api::credential(headers).ok_or_else(api::not_authorised)?;
        if let Credential::Token(token) = &shown
            && TokenHash::of(&token.0).same(&self.token)
        {
            return Ok(Asked { by: By::Operator, from });
        }
        if !self.pace.take(Whose::Address(peer.address.ip().to_canonical())) {
            return Err(too_many());
        }
        if shown == Credential::Anonymous {
            return Err(api::not_authorised().into());
        }
        let policy = self.policy().ok_or_else(api::not_authorised)?;
        let (verifier, mut tells) = (self.verifier.as_ref(), Vec::new());
        let entered = api::entered(&policy, verifier, &self.origins, peer, headers, &mut tells).await;
        // What was revoked while it was verified counts no more.
        let admin = entered.map(|(principal, evidence)| By::Account(principal, evidence));
        match admin.and_then(|by| self.still_may(&by).then_some(by).ok_or_else(api::not_authorised)) {
            Ok(by) => {
                if let By::Account(principal, _) = &by
                    && !self.pace.take(Whose::Client(principal.client))
                {
                    return Err(too_many());
                }
                Ok(Asked { by, from })
            }
            Err(refusal) => {
                let result = refusal.code.name().to_owned();
                self.audit.refused_admin(&from, result).await;
                Err(refusal.into())
            }
        }
    }

    /// The account that is meant, if it is the business of whoever asks.
    pub(crate) async fn account(
        &self,
        asked: &Asked,
        text: &str,
    ) -> Result<(AccountId, Arc<Account>), Failure> {
        let accounts = self.registrar.accounts().await;
        let found = accounts.named(text).map(|(id, account)| (id, Arc::clone(account)));
        let own = |id: AccountId| match &asked.by {
            By::Operator => true,
            By::Account(principal, _) => principal.account == id,
        };
        found.filter(|(id, _)| own(*id)).ok_or_else(|| Failure::unknown("no such account, or not yours"))
    }

    /// Only who operates the hub.
    pub(crate) fn operator(asked: &Asked) -> Result<(), Failure> {
        match &asked.by {
            By::Operator => Ok(()),
            By::Account(..) => Err(Failure::new(
                StatusCode::FORBIDDEN,
                "denied",
                "that is for who operates this hub",
                "the token in admin.token of the hub's data folder",
            )),
        }
    }

    /// Whether who asks still may, by what it showed: a request's body may come long after its head.
    fn still_may(&self, by: &By) -> bool {
        self.policy().is_some_and(|policy| by.may(&policy.directory))
    }

    /// The same, as a request hears it.
    pub(crate) fn still(&self, asked: &Asked) -> Result<(), Failure> {
        if self.still_may(&asked.by) { Ok(()) } else { Err(api::not_authorised().into()) }
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
        let wanted = Wanted { change, revision, may: Box::new(move |directory| by.may(directory)) };
        Ok(self.registrar.change(told, wanted).await?)
    }
}

fn too_many() -> Failure {
    let (what, want) = ("too many requests", "come back in a second");
    Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many", what, want)
}
