//! The acceptors of a gate, one file each.
//!
//! An acceptor is one state of a connection that stands at a gate. It looks at what the peer has shown and at where it
//! comes from, and answers at once or begins its *dance*: it says something and hears the answer, or has something done
//! elsewhere and awaits the verdict. To make a new one, write its file, and name it in [`Acceptor`] and [`Kind`].
//!
//! All refusals of credentials are one and the same value, so that nothing can be told from them; why it really was is
//! for admins, in [`Refused::why`].

pub mod address;
pub mod anonymous;
pub mod certificate;
pub mod claim;
pub mod cookie;
pub mod jwt;
pub mod knock;
pub mod origin;
pub mod password;
pub mod schedule;
pub mod seats;
pub mod signed;
pub mod ticket;
pub mod token;
pub mod tty;

use crate::{
    directory::Directory,
    gate::{Caller, Effect, Proof, Standing, Verdict},
    words::Words,
};
use address::Networks;
use anonymous::Anonymous;
use claim::AwaitProof;
use origin::Pages;
use riser_model::{
    Now, Principal, Wall,
    door::{Code, Credential, Method, Prompt, Refusal, Secret},
};
use schedule::Week;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use ticket::Redeemed;
use tty::Chat;

/// How long an acceptor waits for its peer, unless it says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// Verifiers are few and their queue is bounded; this covers a full one on a slow machine.
pub(crate) const VERDICT_DEADLINE: Duration = DEADLINE.saturating_mul(3);

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Acceptor {
    /// Nothing shown at all, where a listener allows that by name.
    Anonymous(Anonymous),
    /// A user or device and its password.
    Password,
    /// A bearer token that the directory knows by its hash.
    Token,
    /// A token that an issuer of the account has signed.
    Jwt,
    /// A ticket that a connection had made for this one.
    Ticket,
    /// What a browser was given at sign-in.
    Cookie,
    /// The certificate that TLS was begun with.
    Certificate,
    /// A password that was signed with a key, where nobody can be asked.
    Signed,
    /// A challenge, answered with a key or a shared secret.
    Claim(Method),
    /// Where the peer comes from.
    Address(Networks),
    /// Of which page's browser it is.
    Origin(Pages),
    /// When it comes.
    Schedule(Week),
    /// That the room has a free seat.
    Seats(u32),
    /// That an admin says yes.
    Knock,
    /// A person at a terminal, in words.
    Tty(Arc<Words>),
}

/// Which acceptor it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// [`Acceptor::Anonymous`].
    Anonymous,
    /// [`Acceptor::Password`].
    Password,
    /// [`Acceptor::Token`].
    Token,
    /// [`Acceptor::Jwt`].
    Jwt,
    /// [`Acceptor::Ticket`].
    Ticket,
    /// [`Acceptor::Cookie`].
    Cookie,
    /// [`Acceptor::Certificate`].
    Certificate,
    /// [`Acceptor::Claim`] by key.
    Key,
    /// [`Acceptor::Claim`] by shared secret.
    Secret,
    /// [`Acceptor::Address`].
    Address,
    /// [`Acceptor::Origin`].
    Origin,
    /// [`Acceptor::Schedule`].
    Schedule,
    /// [`Acceptor::Seats`].
    Seats,
    /// [`Acceptor::Knock`].
    Knock,
    /// [`Acceptor::Tty`].
    Tty,
}

impl Kind {
    /// Its name in configuration and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Password => "password",
            Self::Token => "token",
            Self::Jwt => "jwt",
            Self::Ticket => "ticket",
            Self::Cookie => "cookie",
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::Secret => "secret",
            Self::Address => "address",
            Self::Origin => "origin",
            Self::Schedule => "schedule",
            Self::Seats => "seats",
            Self::Knock => "knock",
            Self::Tty => "tty",
        }
    }

    /// One that says who somebody is, by its name.
    pub(crate) fn proving(name: &str) -> Option<Self> {
        let all = [
            Self::Anonymous,
            Self::Password,
            Self::Token,
            Self::Jwt,
            Self::Ticket,
            Self::Cookie,
            Self::Certificate,
            Self::Key,
            Self::Secret,
            Self::Tty,
        ];
        all.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether who has passed it once has passed it for good: who somebody is does not change with the room, where and
    /// when it comes may.
    pub(crate) fn identifies(self) -> bool {
        match self {
            Self::Anonymous
            | Self::Password
            | Self::Token
            | Self::Ticket
            | Self::Cookie
            | Self::Certificate
            | Self::Jwt
            | Self::Key
            | Self::Secret
            | Self::Tty => true,
            Self::Address | Self::Origin | Self::Schedule | Self::Seats | Self::Knock => false,
        }
    }

    /// Whether it lets pass by a credential that the directory knows, or by somebody whom it names.
    pub(crate) fn is_backed(self) -> bool {
        match self {
            Self::Password
            | Self::Token
            | Self::Certificate
            | Self::Jwt
            | Self::Key
            | Self::Secret
            | Self::Tty => true,
            Self::Anonymous
            | Self::Ticket
            | Self::Cookie
            | Self::Address
            | Self::Origin
            | Self::Schedule
            | Self::Seats
            | Self::Knock => false,
        }
    }
}

impl Acceptor {
    /// Which one it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Anonymous(_) => Kind::Anonymous,
            Self::Password => Kind::Password,
            Self::Token => Kind::Token,
            Self::Jwt => Kind::Jwt,
            Self::Ticket => Kind::Ticket,
            Self::Cookie => Kind::Cookie,
            Self::Certificate => Kind::Certificate,
            Self::Signed | Self::Claim(Method::Key) => Kind::Key,
            Self::Claim(Method::Secret) => Kind::Secret,
            Self::Address(_) => Kind::Address,
            Self::Origin(_) => Kind::Origin,
            Self::Schedule(_) => Kind::Schedule,
            Self::Seats(_) => Kind::Seats,
            Self::Knock => Kind::Knock,
            Self::Tty(_) => Kind::Tty,
        }
    }

    pub(crate) fn begin(&self, given: &Given<'_>) -> Step {
        match self {
            Self::Anonymous(anonymous) => anonymous.begin(given),
            Self::Password => password::begin(given),
            Self::Token => token::begin(given),
            Self::Jwt => jwt::begin(given),
            Self::Ticket => ticket::begin(given),
            Self::Cookie => cookie::begin(given),
            Self::Certificate => certificate::begin(given),
            Self::Signed => signed::begin(given),
            Self::Claim(method) => claim::begin(*method, given),
            Self::Address(networks) => address::begin(networks, given),
            Self::Origin(pages) => pages.begin(given),
            Self::Schedule(week) => week.begin(given),
            Self::Seats(most) => seats::begin(*most),
            Self::Knock => knock::begin(),
            Self::Tty(words) => tty::begin(words, given),
        }
    }
}

/// What an acceptor may look at.
pub(crate) struct Given<'a> {
    pub(crate) credential: &'a Credential,
    /// It is the password of a name without an account, where that means somebody of the account whose lobby it came to.
    pub(crate) is_bare: bool,
    pub(crate) directory: &'a Directory,
    pub(crate) caller: &'a Caller,
    pub(crate) standing: &'a Standing,
    /// It is in already, and says anew who it is.
    pub(crate) is_anew: bool,
    /// Whose the ticket is that was shown, if it was out.
    pub(crate) redeemed: Option<&'a Redeemed>,
    pub(crate) now: Now,
}

/// What an acceptor decided.
#[derive(Debug)]
pub(crate) enum Step {
    /// It does not take what was shown, or its condition is not met: another one of the stage may.
    Next(Option<Refused>),
    /// Let it pass: as this principal, if it is one that says who somebody is, and no longer than until then.
    Pass(Option<Arc<Principal>>, Option<Wall>),
    /// Let it pass as this principal, who has proven all this before, no longer than until then.
    Proven(Arc<Principal>, BTreeSet<Kind>, Option<Wall>),
    /// Say this and hear the answer.
    Say(Prompt, Hears),
    /// Have this done and await the verdict, perhaps saying so.
    Do(Effect, Option<Prompt>, Box<Awaits>),
    /// Do not.
    Refuse(Refused),
}

impl Step {
    /// Have this done, perhaps saying so.
    pub(crate) fn have(effect: Effect, prompt: Option<Prompt>, awaits: Awaits) -> Self {
        Self::Do(effect, prompt, Box::new(awaits))
    }
}

/// Why somebody does not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// What the peer is told.
    pub refusal: Refusal,
    /// What the admins of the account are told.
    pub why: &'static str,
    /// Last words for a person.
    pub words: Option<String>,
}

/// An acceptor that has said something and hears the answer.
#[derive(Debug)]
pub(crate) enum Hears {
    Proof(AwaitProof),
    Chat(Chat),
}

impl Hears {
    pub(crate) fn hear(self, answer: &Secret, given: &Given<'_>) -> Step {
        match self {
            Self::Proof(proof) => proof.hear(answer),
            Self::Chat(chat) => chat.hear(answer, given),
        }
    }

    /// How long it waits for each answer.
    pub(crate) fn deadline(&self) -> Duration {
        match self {
            Self::Proof(_) => DEADLINE,
            Self::Chat(chat) => chat.deadline(),
        }
    }

    /// How many answers it takes at most.
    pub(crate) fn frames_max(&self) -> u32 {
        match self {
            Self::Proof(_) => 1,
            // A name and a password.
            Self::Chat(_) => 2,
        }
    }
}

/// An acceptor that awaits a verdict.
#[derive(Debug)]
pub(crate) struct Awaits {
    /// Whom the verdict lets pass.
    pub(crate) whom: Whom,
    /// What follows from a no.
    pub(crate) no: No,
    pub(crate) deadline: Duration,
}

/// Whom a yes lets pass.
#[derive(Debug)]
pub(crate) enum Whom {
    /// This one.
    Known(Arc<Principal>),
    /// This one, if what it has shown was not shown before.
    Once(Arc<Principal>, [u8; 32]),
    /// This one, no longer than until then.
    Until(Arc<Principal>, Wall),
    /// This one, who has proven all this before, no longer than until then.
    Proven(Arc<Principal>, BTreeSet<Kind>, Option<Wall>),
    /// Nobody: a stand-in was verified, so that the answer costs what a real one costs.
    Nobody,
    /// Whoever it is.
    Anybody,
}

/// What follows from a no.
#[derive(Debug)]
pub(crate) enum No {
    Refuse(Refused),
    Next(Refused),
    /// One of these may let it pass instead, in this order; refused if none does.
    Another {
        others: VecDeque<(Proof, Whom)>,
        refused: Refused,
    },
}

impl Awaits {
    /// Awaits the verdict on a credential.
    pub(crate) fn credential(whom: Whom, why: &'static str) -> Self {
        Self { whom, no: No::Refuse(not_authorised(why)), deadline: VERDICT_DEADLINE }
    }

    pub(crate) fn judge(self, verdict: Verdict, directory: &Directory) -> Step {
        let memberships = verdict.memberships();
        match (verdict, self.whom) {
            (Verdict::Matches | Verdict::MatchesIn(_), Whom::Known(principal)) => {
                Step::Pass(Some(principal), None)
            }
            // Only a directory server names groups with its yes.
            (Verdict::Matches | Verdict::MatchesIn(_), Whom::Until(principal, until)) => {
                let known = directory.principal_in(principal.client, memberships);
                Step::Pass(Some(known.unwrap_or(principal)), Some(until))
            }
            (Verdict::Matches | Verdict::MatchesIn(_), Whom::Proven(principal, passed, until)) => {
                Step::Proven(principal, passed, until)
            }
            (Verdict::Matches | Verdict::MatchesIn(_), Whom::Once(principal, digest)) => {
                signed::once(principal, digest)
            }
            (Verdict::Matches | Verdict::MatchesIn(_), Whom::Anybody) => Step::Pass(None, None),
            (Verdict::Matches | Verdict::MatchesIn(_), Whom::Nobody) | (Verdict::Differs, _) => match self.no
            {
                No::Refuse(refused) => Step::Refuse(refused),
                No::Next(refused) => Step::Next(Some(refused)),
                No::Another { others, refused } => another(others, refused),
            },
            (Verdict::Busy, _) => Step::Refuse(busy()),
            (Verdict::Away, _) => match self.no {
                No::Another { others, .. } => another(others, away()),
                No::Refuse(_) | No::Next(_) => Step::Refuse(away()),
            },
        }
    }
}

fn another(mut others: VecDeque<(Proof, Whom)>, refused: Refused) -> Step {
    match others.pop_front() {
        Some((proof, whom)) => {
            let awaits = Awaits { whom, no: No::Another { others, refused }, deadline: VERDICT_DEADLINE };
            Step::have(Effect::Verify(proof), None, awaits)
        }
        None => Step::Refuse(refused),
    }
}

/// The one answer to a credential that is not accepted, whatever the reason.
pub(crate) fn not_authorised(why: &'static str) -> Refused {
    let refusal = Refusal {
        code: Code::NotAuthorised,
        what: "the credential was not accepted".to_owned(),
        want: "a user and password, or a token, that this instance knows".to_owned(),
    };
    Refused { refusal, why, words: None }
}

/// The one answer to who is known and may not pass here now.
pub(crate) fn not_here(why: &'static str) -> Refused {
    let refusal = Refusal {
        code: Code::Denied,
        what: "no such room, or not for you".to_owned(),
        want: "a room of your account in which you have a right, and whose gate lets you pass".to_owned(),
    };
    Refused { refusal, why, words: None }
}

fn away() -> Refused {
    let refusal = Refusal {
        code: Code::Timeout,
        what: "who vouches for this credential does not answer".to_owned(),
        want: "come back in a moment, or show another one".to_owned(),
    };
    Refused { refusal, why: "who vouches for it does not answer", words: None }
}

fn busy() -> Refused {
    let refusal = Refusal {
        code: Code::TooMany,
        what: "too many credentials are being verified".to_owned(),
        want: "come back in a moment".to_owned(),
    };
    Refused { refusal, why: "too many are being verified", words: None }
}
