//! By which client somebody signs in: each browser and each program of a person is one of its own, with its own sessions and
//! its own place in presence.
//!
//! A browser keeps what it is called by in a cookie; a program says it. Neither proves anything: whose client it is, the
//! accounts say. One that is the person's own is taken, one that nobody has (it was not used for long, or never was) becomes a
//! new one, and one that is somebody else's is refused as a wrong password is, if it was said; a browser that several people use
//! just has one for each of them in turn.

use super::{Door, refusal};
use crate::{
    accounts::{NotChanged, Told, Wanted},
    asker::Asker,
};
use riser_gate::{
    Accounts, Change, Directory, Evidence, Holds,
    accounts::{AccountChange, Why},
};
use riser_model::{
    ClientId, Principal,
    door::{Code, Refusal},
};
use riser_net::{Vouched, cookie};
use riser_shell::entropy;
use uuid::Uuid;

/// Which client somebody wants to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// The user itself.
    Itself,
    /// A browser's: what it kept, or a new one; the user itself, where there are too many.
    Browser(Option<ClientId>),
    /// A new one.
    New,
    /// This one.
    This(ClientId),
}

impl Wish {
    /// What a browser's cookie says.
    pub(super) fn of_browser(asker: &Asker, page: Vouched) -> Self {
        let kept = cookie::client_shown(&asker.headers, page);
        let kept = kept.and_then(|kept| Uuid::try_parse(std::str::from_utf8(&kept.0).ok()?).ok());
        Self::Browser(kept.map(ClientId))
    }

    /// What a request says: `new`, or one that it has been.
    pub(super) fn said(text: &str) -> Option<Self> {
        match text {
            "new" => Some(Self::New),
            text => Uuid::try_parse(text).ok().map(|id| Self::This(ClientId(id))),
        }
    }

    /// The client that it is, of somebody who is known by now and by this evidence.
    pub(super) async fn choose(
        self,
        door: &Door,
        asker: &Asker,
        who: &Principal,
        evidence: &Evidence,
    ) -> Result<ClientId, Refusal> {
        let (user, directory) = (who.user(), std::sync::Arc::clone(&door.api.policy().directory));
        let (wanted, is_said) = match self {
            Self::Itself => return Ok(user),
            Self::New => (None, true),
            Self::Browser(kept) => (kept, false),
            Self::This(client) => (Some(client), true),
        };
        let known = wanted.and_then(|client| Some((client, directory.user_of(client)?)));
        match known {
            Some((client, of)) if of.client == user && directory.principal(client).is_some() => {
                return Ok(client);
            }
            Some((_, of)) if of.client != user && is_said => return Err(wrong()),
            // Gone, or somebody else's who used this browser.
            Some(_) | None => {}
        }
        if !directory.is_person(user) {
            return Ok(user);
        }
        match associate(door, asker, who, evidence).await {
            Ok(client) => Ok(client),
            Err(NotChanged::Refused(refused)) if refused.why == Why::TooMany && !is_said => {
                tracing::warn!(user = %who.name, what = refused.what, "a browser has no client of its own");
                Ok(user)
            }
            Err(not) => {
                let (_, what, want) = not.words();
                let code = match not {
                    NotChanged::Refused(_) => Code::TooMany,
                    NotChanged::MayNot => Code::Timeout,
                    NotChanged::NotSaved => Code::LogFailing,
                    NotChanged::Stopping => Code::ShuttingDown,
                };
                Err(refusal(code, &what, &want))
            }
        }
    }
}

/// In the very words of a gate to which something wrong was shown.
pub(super) fn wrong() -> Refusal {
    let want = "a user and password, or a token, that this instance knows";
    refusal(Code::NotAuthorised, "the credential was not accepted", want)
}

/// A new one.
async fn associate(
    door: &Door,
    asker: &Asker,
    who: &Principal,
    evidence: &Evidence,
) -> Result<ClientId, NotChanged> {
    let (client, user) = (ClientId(entropy::uuid()), who.user());
    let told = Told {
        what: "client added",
        of: format!("{}: {client}", who.name),
        by: format!("{}/{}", who.account_name, who.name),
        from: asker.peer.address.ip().to_string(),
    };
    let change = Change::Within(who.account, AccountChange::Associate(client, user));
    let evidence = evidence.clone();
    // What was revoked while it was verified gives nobody a client.
    let may =
        move |_: &Change, _: &Accounts, directory: &Directory| directory.holds(user, &evidence) == Holds::Yes;
    let wanted = Wanted { change, revision: None, may: Box::new(may) };
    door.registrar.change(told, wanted).await?;
    Ok(client)
}
