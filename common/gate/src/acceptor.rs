//! The acceptors of a gate, one file each.
//!
//! An acceptor is one state of a connection that stands at a gate. It looks at what the peer has shown and at where it
//! comes from, and answers at once or begins its *dance*: it says something and hears the answer, or has something done
//! elsewhere and awaits the verdict. A new one is its file, and a row of the table below; the crate's README shows how.
//!
//! All refusals of credentials are one and the same value, so that nothing can be told from them; why it really was is
//! for admins, in [`Refused::why`].

pub mod address;
pub mod anonymous;
pub mod certificate;
pub mod claim;
pub mod cookie;
pub mod jwt;
pub mod key;
pub mod knock;
pub mod origin;
pub mod password;
pub mod schedule;
pub mod seats;
pub mod secret;
pub mod signed;
pub mod ticket;
pub mod token;
pub mod tty;

use crate::{
    directory::{Directory, Member},
    gate::{Caller, Effect, Proof, Standing, Verdict},
    words::Words,
};
use address::Networks;
use anonymous::Anonymous;
use claim::AwaitProof;
use origin::Pages;
use riser_model::{
    Now, Principal, Wall,
    door::{Code, Credential, Prompt, Refusal, Secret},
};
use schedule::Schedule;
use serde::{Deserialize, Serialize};
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

/// Makes of the table below all that has one line for each acceptor: the enums of them, their names, and how each begins.
/// A row is the acceptor's file, which is its name in configuration and events too, and what is written beside that name.
/// What a file lacks does not compile.
macro_rules! acceptors {
    (
        written { $( $(#[$doc:meta])* $file:ident $Written:ident $(($beside:ident: $text:ty))?; )* }
        brought { $( $(#[$b_doc:meta])* $b_file:ident $Brought:ident ($with:ident: $what:ty); )* }
        besides { $( $(#[$o_doc:meta])* $o_file:ident $Other:ident as $Same:ident; )* }
    ) => {
        /// One of them.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Acceptor {
            $( $(#[$doc])* $Written $((<$text as Written>::Asked))?, )*
            $( $(#[$b_doc])* $Brought($what), )*
            $( $(#[$o_doc])* $Other, )*
        }

        /// Which acceptor it is.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Kind {
            $( $(#[$doc])* $Written, )*
            $( $(#[$b_doc])* $Brought, )*
        }

        /// One stage of a gate, as a person writes it.
        #[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum AcceptorConfig {
            $( $(#[$doc])* $Written $(($text))?, )*
            /// The first of these that takes what was shown, or whose condition is met, decides.
            Any(Vec<Self>),
        }

        impl Kind {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$( Self::$Written, )* $( Self::$Brought, )*];

            /// Its name in configuration and events.
            pub fn name(self) -> &'static str {
                match self {
                    $( Self::$Written => stringify!($file), )*
                    $( Self::$Brought => stringify!($b_file), )*
                }
            }

            /// What it means to have passed it.
            pub(crate) fn sort(self) -> Sort {
                match self {
                    $( Self::$Written => $file::SORT, )*
                    $( Self::$Brought => $b_file::SORT, )*
                }
            }
        }

        impl Acceptor {
            /// Which one it is.
            pub fn kind(&self) -> Kind {
                match self {
                    $( Self::$Written { .. } => Kind::$Written, )*
                    $( Self::$Brought(_) => Kind::$Brought, )*
                    $( Self::$Other => Kind::$Same, )*
                }
            }

            pub(crate) fn begin(&self, given: &Given<'_>) -> Step {
                match self {
                    $( Self::$Written $(($beside))? => $file::begin($($beside,)? given), )*
                    $( Self::$Brought($with) => $b_file::begin($with, given), )*
                    $( Self::$Other => $o_file::begin(given), )*
                }
            }
        }

        impl AcceptorConfig {
            /// What it says.
            pub(crate) fn part(&self) -> Part<'_> {
                match self {
                    $( Self::$Written $(($beside))? => Part::One(One {
                        name: stringify!($file),
                        lists: None $( .or($beside.lists()) )?,
                        of_rooms: [$( <$text as Written>::OF_ROOMS )?].contains(&true),
                        asked: asked!($Written $($beside)?),
                    }), )*
                    Self::Any(stages) => Part::Any(stages),
                }
            }
        }
    };
}

/// What a row is asked by.
macro_rules! asked {
    ($Written:ident) => {
        Ok(Acceptor::$Written)
    };
    ($Written:ident $beside:ident) => {
        $beside.asked().map(Acceptor::$Written)
    };
}

acceptors! {
    // What a `gate = [...]` names.
    written {
        /// A user or device and its password.
        password Password;
        /// A bearer token that the directory knows by its hash.
        token Token;
        /// A token that an issuer of the account has signed (JWT).
        jwt Jwt;
        /// A ticket that another connection had made for this one.
        ticket Ticket;
        /// What a browser was given at sign-in, also where a ticket stands for that.
        cookie Cookie;
        /// The certificate that TLS was begun with, at a listener that asks for one.
        certificate Certificate;
        /// A challenge, signed with a key of the user or client.
        key Key;
        /// A challenge, proven with the secret that the user or client shares with this instance.
        secret Secret;
        /// Only from these networks.
        address Address(networks: Networks);
        /// Only browsers that act for these pages, as their `Origin` says. MQTT and native clients name none.
        origin Origin(pages: Pages);
        /// Only at these hours, in UTC.
        schedule Schedule(hours: Schedule);
        /// At most so many connections in the room at the same time.
        seats Seats(most: u32);
        /// Only if an admin of the account says yes.
        knock Knock;
    }
    // What a listener has besides.
    brought {
        /// Nothing shown at all, where a listener allows that by name.
        anonymous Anonymous(anonymous: Anonymous);
        /// A person at a terminal, in words.
        tty Tty(words: Arc<Words>);
    }
    // Another way to show what one of those takes.
    besides {
        /// A password that was signed with a key, where nobody can be asked.
        signed Signed as Key;
    }
}

/// What is written beside an acceptor's name.
pub trait Written {
    /// What it is asked by.
    type Asked;
    /// Whether it looks at the room: accounts have no such gate.
    const OF_ROOMS: bool = false;

    /// What of it every pass looks at, where that is a list.
    fn lists(&self) -> Option<Listed>;

    /// What it is asked by; where nobody could pass, what would be right.
    fn asked(&self) -> Result<Self::Asked, &'static str>;
}

/// A list beside an acceptor's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listed {
    /// So many things.
    pub count: usize,
    /// A change makes no longer one.
    pub most: usize,
    /// Of what.
    pub of: &'static str,
}

/// What a stage says, or a part of it.
pub(crate) enum Part<'a> {
    Any(&'a [AcceptorConfig]),
    One(One),
}

/// An acceptor, as it is written.
pub(crate) struct One {
    pub(crate) name: &'static str,
    pub(crate) lists: Option<Listed>,
    pub(crate) of_rooms: bool,
    pub(crate) asked: Result<Acceptor, &'static str>,
}

/// What it means to have passed an acceptor.
#[derive(Clone, Copy)]
pub(crate) enum Sort {
    /// It came from there, or then: it is asked anew before each room.
    Condition,
    /// It is somebody, by what stands for what was proven elsewhere, or by nothing: that has its own evidence, or none.
    Lent,
    /// It is somebody, by what the directory has of it.
    Known(Known),
}

/// What a directory has of somebody, for one acceptor.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    /// The digests of those that it may have shown.
    pub(crate) of: fn(&Directory, &Member) -> BTreeSet<[u8; 32]>,
    /// There may be several, and it is not known which it was.
    pub(crate) is_one_of_several: bool,
}

impl Kind {
    /// One that says who somebody is, by its name.
    pub(crate) fn proving(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.identifies() && kind.name() == name)
    }

    /// Whether who has passed it once has passed it for good: who somebody is does not change with the room, where and
    /// when it comes may.
    pub(crate) fn identifies(self) -> bool {
        !matches!(self.sort(), Sort::Condition)
    }

    /// Whether it lets pass by a credential that the directory knows, or by somebody whom it names.
    pub(crate) fn is_backed(self) -> bool {
        matches!(self.sort(), Sort::Known(_))
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
