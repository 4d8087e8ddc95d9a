//! A gate before one connection: credentials and answers in, a standing or a refusal out.
//!
//! It is one stage after another, and one acceptor in each of them. State 0 is a connection that has shown nothing.
//! Whatever the current acceptor does not await closes the connection; every wait has a deadline and a budget of
//! answers. It ends exactly once: after [`Output::Pass`] or [`Output::Refuse`] it is over.
//!
//! There are gates before the account ([`Gate::front`], behind which somebody is known) and before a room
//! ([`Gate::inner`]). What somebody has proven once stands: an acceptor that says who it is is `finished` for who has
//! passed it.

mod effect;
mod standing;

pub use effect::{Effect, Proof, Verdict};
pub use standing::{Caller, Standing};

use crate::{
    acceptor::{
        Acceptor, Awaits, Given, Hears, Kind, Refused, Step,
        cookie::{CookieId, Statement},
        jwt, not_authorised,
        ticket::Redeemed,
    },
    directory::Directory,
    policy::Policy,
    sequence::Sequence,
};
use bytes::Bytes;
use riser_model::{
    AccountName, ClientId, Now, Principal, Time, Wall,
    door::{Code, Credential, Prompt, Refusal, Secret},
    event::GateStep,
};
use std::{
    collections::{BTreeMap, VecDeque},
    ops::RangeBounds,
    sync::Arc,
};

/// What happens to a gate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// The peer showed this.
    Shown(Credential),
    /// The peer showed a ticket, which is out no more: this is what it stood for, if it was.
    Redeemed(Option<Redeemed>),
    /// The peer answered a prompt.
    Answered(Secret),
    /// The answer to [`Output::Do`].
    Done {
        /// Its ticket.
        ticket: u64,
        /// The answer.
        verdict: Verdict,
    },
    /// The time that [`Gate::poll_timeout`] named has come.
    Deadline,
    /// What it said last can be said to nobody: the next acceptor of the stage has its turn.
    Unasked,
}

/// What a gate wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Let it in.
    Pass,
    /// Say this to the peer.
    Say(Prompt),
    /// Do this and answer with [`Input::Done`].
    Do {
        /// To be echoed. No other gate of this connection has the same.
        ticket: u64,
        /// What.
        effect: Effect,
    },
    /// Tell the account's admins where it stands.
    Tell {
        /// At which stage, counted from none: it may be further by the time that this is told.
        stage: usize,
        /// Which acceptor.
        acceptor: Kind,
        /// What it did.
        step: GateStep,
        /// Why, where it refused.
        why: &'static str,
    },
    /// Say so and close.
    Refuse(Refusal),
}

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stand {
    /// State 0: it was accepted and has shown nothing.
    Arrived,
    /// This acceptor hears it.
    Hears(Kind),
    /// This acceptor awaits a verdict.
    Awaits(Kind),
    /// It has passed.
    Finished,
    /// It was refused.
    Refused,
}

/// The gate before one connection.
#[derive(Debug)]
pub struct Gate {
    directory: Arc<Directory>,
    sequence: Arc<Sequence>,
    caller: Caller,
    credential: Credential,
    /// It gave a name alone where that means somebody of the account that its address names: whoever comes there may mean
    /// another one.
    is_bare: bool,
    redeemed: Option<Redeemed>,
    standing: Standing,
    /// So many stages are the listener's. To whatever is behind them nothing was shown: who has passed them is known there, and
    /// is asked.
    of_listener: usize,
    /// Nobody else passes: it is in already, and says anew who it is.
    only: Option<ClientId>,
    /// Somebody else, whose credential it showed where nobody else passes.
    other: Option<Arc<Principal>>,
    state: State,
    /// The stage, and the alternative of it, whose turn it is.
    at: (usize, usize),
    /// Why the current stage's alternatives did not let it pass.
    refused: Option<(Kind, Refused)>,
    /// When the hours end by which it passed stages, by the stage.
    hours: BTreeMap<usize, Wall>,
    /// A person's credential was judged wrong.
    offended: bool,
    /// The name that a person gave.
    name: Option<String>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Arrived { deadline: Time },
    Hears { hears: Hears, deadline: Time, heard: u32 },
    Awaits { awaits: Box<Awaits>, deadline: Time, ticket: u64 },
    Finished,
    Refused,
}

impl Gate {
    /// The gate of a listener, before a connection that was accepted now.
    pub fn front(policy: &Policy, caller: Caller, now: Now) -> Self {
        let (directory, sequence) = (Arc::clone(&policy.directory), Arc::clone(&policy.front));
        let state = State::Arrived { deadline: now.time.plus(policy.deadline) };
        Self::new(directory, sequence, Standing::default(), caller, state)
    }

    /// The gate of an account or room, before a connection that stands like this. It begins at once.
    pub fn inner(
        directory: Arc<Directory>,
        sequence: Arc<Sequence>,
        standing: Standing,
        caller: Caller,
        now: Now,
    ) -> Self {
        let mut gate = Self::new(directory, sequence, standing, caller, State::Finished);
        gate.advance(now);
        gate
    }

    /// The gates before somebody who is in and stands like this, and says anew who it is: the listener's and whatever else is in
    /// the sequence. Nothing that it has proven before counts, and nobody but that very one passes.
    pub fn anew(
        policy: &Policy,
        sequence: Arc<Sequence>,
        standing: &Standing,
        caller: Caller,
        now: Now,
    ) -> Self {
        let state = State::Arrived { deadline: now.time.plus(policy.deadline) };
        let only = standing.principal.as_ref().map(|principal| principal.client);
        // What is drawn for a connection is drawn once.
        let standing = Standing { drawn: standing.drawn, ..Standing::default() };
        let of_listener = policy.front.stages.len();
        Self {
            only,
            of_listener,
            ..Self::new(Arc::clone(&policy.directory), sequence, standing, caller, state)
        }
    }

    fn new(
        directory: Arc<Directory>,
        sequence: Arc<Sequence>,
        standing: Standing,
        caller: Caller,
        state: State,
    ) -> Self {
        Self {
            directory,
            sequence,
            caller,
            credential: Credential::Anonymous,
            is_bare: false,
            redeemed: None,
            standing,
            of_listener: usize::MAX,
            only: None,
            other: None,
            state,
            at: (0, 0),
            refused: None,
            hours: BTreeMap::new(),
            offended: false,
            name: None,
            outputs: VecDeque::new(),
        }
    }

    /// Accounts changed: whoever has shown nothing yet is asked by its listener as that is by now. Who has is judged by the
    /// accounts as they were when it did, and what that proves is looked at again when it passes: between the two, the
    /// new password is not what an old one was verified as.
    pub fn renew(&mut self, policy: &Policy) {
        if let State::Arrived { .. } = self.state {
            (self.directory, self.sequence) = (Arc::clone(&policy.directory), Arc::clone(&policy.front));
        }
    }

    /// Takes one input. Drain [`Self::poll`] before the next.
    pub fn handle(&mut self, input: Input, now: Now) {
        let state = std::mem::replace(&mut self.state, State::Refused);
        match (state, input) {
            (State::Arrived { .. }, Input::Shown(credential)) => {
                let home = self.caller.home.as_ref();
                self.is_bare = home.is_some() && is_bare(&credential);
                self.credential = self.directory.at_home(credential, home);
                self.advance(now);
            }
            (State::Arrived { .. }, Input::Redeemed(redeemed)) => {
                self.credential = Credential::Ticket(Secret(Bytes::new()));
                self.redeemed = redeemed;
                self.advance(now);
            }
            (State::Hears { hears, heard, .. }, Input::Answered(answer)) => {
                if heard >= hears.frames_max() {
                    return self.refuse(out_of_turn("more answers than were asked for"));
                }
                if self.name.is_none() && matches!(hears, Hears::Chat(_)) {
                    self.name = std::str::from_utf8(&answer.0).ok().map(|name| name.trim().to_owned());
                }
                let step = hears.hear(&answer, &self.given(now));
                self.take(step, heard + 1, now);
            }
            (State::Awaits { awaits, ticket, .. }, Input::Done { ticket: of, verdict }) if of == ticket => {
                let step = awaits.judge(verdict, &self.directory);
                let was_judged = !matches!(verdict, Verdict::Busy | Verdict::Away);
                let is_wrong = was_judged && matches!(step, Step::Refuse(_));
                self.offended = is_wrong && self.current() == Some(Kind::Tty);
                self.take(step, 0, now);
            }
            (State::Hears { .. } | State::Awaits { .. }, Input::Deadline) => {
                if let Some(kind) = self.current() {
                    self.tell(kind, GateStep::Refused, "no answer in time");
                }
                self.refuse(too_late());
            }
            (State::Hears { .. }, Input::Unasked) => {
                let nobody = not_authorised("an acceptor that asks, where nobody can be asked");
                self.take(Step::Next(Some(nobody)), 0, now);
            }
            (state, Input::Unasked) => self.state = state,
            (State::Arrived { .. }, Input::Deadline) => self.refuse(too_late()),
            (State::Hears { .. } | State::Awaits { .. }, Input::Shown(_) | Input::Redeemed(_)) => {
                self.refuse(out_of_turn("a second credential"));
            }
            (State::Arrived { .. } | State::Awaits { .. }, Input::Answered(_)) => {
                self.refuse(out_of_turn("an answer to nothing that was asked"));
            }
            // Of an acceptor that is past.
            (state, Input::Done { .. }) => self.state = state,
            (
                state @ (State::Finished | State::Refused),
                Input::Shown(_) | Input::Redeemed(_) | Input::Answered(_) | Input::Deadline,
            ) => self.state = state,
        }
    }

    /// What it wants done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When it wants [`Input::Deadline`].
    pub fn poll_timeout(&self) -> Option<Time> {
        match &self.state {
            State::Arrived { deadline } | State::Hears { deadline, .. } | State::Awaits { deadline, .. } => {
                Some(*deadline)
            }
            State::Finished | State::Refused => None,
        }
    }

    /// The stage that it is at, counted from none.
    pub fn stage(&self) -> usize {
        self.at.0
    }

    /// Whether it awaits the answer to that [`Output::Do`]. What was answered, or came too late, is awaited no more.
    pub fn awaits(&self, of: u64) -> bool {
        matches!(&self.state, State::Awaits { ticket, .. } if *ticket == of)
    }

    /// Where the connection stands.
    pub fn stand(&self) -> Stand {
        match &self.state {
            State::Arrived { .. } => Stand::Arrived,
            State::Hears { .. } => self.current().map_or(Stand::Refused, Stand::Hears),
            State::Awaits { .. } => self.current().map_or(Stand::Refused, Stand::Awaits),
            State::Finished => Stand::Finished,
            State::Refused => Stand::Refused,
        }
    }

    /// What it is made of.
    pub fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    /// What is known of the connection before it says anything.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// It has come to the address of that account's lobby, whether there is one or not.
    pub fn comes_to(&mut self, home: AccountName) {
        self.caller.home = Some(home);
    }

    /// What it has proven so far.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// When the first of the hours end by which it passed some of these stages, counted from none.
    pub fn hours(&self, stages: impl RangeBounds<usize>) -> Option<Wall> {
        self.hours.range(stages).map(|(_, until)| *until).min()
    }

    /// Whether a person's credential was judged wrong: that is remembered. To be slow, or to come while nobody has time
    /// to look, is no offence.
    pub fn is_offended(&self) -> bool {
        self.offended
    }

    /// Whom its credential speaks of, if that is somebody: for admins, before it is proven.
    pub fn claimed(&self) -> Option<Arc<Principal>> {
        let known = self.other.as_ref().or(self.standing.principal.as_ref());
        known.cloned().or_else(|| match &self.credential {
            Credential::Password { account, user: name, .. } | Credential::Claim { account, name, .. } => {
                self.directory.claimed(account.as_ref(), name).map(|member| Arc::clone(member.principal))
            }
            Credential::Token(shown) | Credential::Cookie(shown) if Statement::shown(shown).is_some() => {
                Statement::shown(shown)
                    .and_then(|statement| self.directory.principal(statement.client).cloned())
            }
            Credential::Token(token) => jwt::claimed(&self.directory, &token.0),
            Credential::Cookie(_) => None,
            Credential::Person => {
                let name = self.name.as_ref()?;
                self.directory.claimed(None, name).map(|member| Arc::clone(member.principal))
            }
            Credential::Anonymous | Credential::Ticket(_) => None,
        })
    }

    /// The cookie that was shown here, whether or not it holds.
    pub fn shown_cookie(&self) -> Option<CookieId> {
        match &self.credential {
            Credential::Cookie(shown) | Credential::Token(shown) => CookieId::of(shown),
            Credential::Anonymous
            | Credential::Person
            | Credential::Password { .. }
            | Credential::Ticket(_)
            | Credential::Claim { .. } => None,
        }
    }

    /// What the current stage is shown.
    fn shown(&self) -> &Credential {
        static NOTHING: Credential = Credential::Anonymous;
        if self.at.0 < self.of_listener { &self.credential } else { &NOTHING }
    }

    fn given(&self, now: Now) -> Given<'_> {
        Given {
            credential: self.shown(),
            is_bare: self.is_bare,
            directory: &self.directory,
            caller: &self.caller,
            standing: &self.standing,
            is_anew: self.only.is_some(),
            redeemed: self.redeemed.as_ref(),
            now,
        }
    }

    fn current(&self) -> Option<Kind> {
        self.acceptor().map(Acceptor::kind)
    }

    fn acceptor(&self) -> Option<&Acceptor> {
        self.sequence.stages.get(self.at.0).and_then(|stage| stage.any.get(self.at.1))
    }

    /// Goes on with the current stage, until somebody has to be waited for.
    fn advance(&mut self, now: Now) {
        loop {
            let Some(stage) = self.sequence.stages.get(self.at.0) else {
                self.state = State::Finished;
                return self.outputs.push_back(Output::Pass);
            };
            let finished =
                |one: &Acceptor| one.kind().identifies() && self.standing.passed.contains(&one.kind());
            if self.at.1 == 0 && stage.any.iter().any(finished) {
                self.at = (self.at.0 + 1, 0);
                continue;
            }
            let Some(acceptor) = stage.any.get(self.at.1) else {
                let (kind, refused) = self.refused.take().unwrap_or_else(|| {
                    let kind = stage.any.first().map_or(Kind::Anonymous, Acceptor::kind);
                    (kind, not_authorised("nothing that this stage takes was shown"))
                });
                self.tell(kind, GateStep::Refused, refused.why);
                return self.send_away(refused);
            };
            let step = acceptor.begin(&self.given(now));
            if !self.follow(step, 0, now) {
                return;
            }
        }
    }

    fn take(&mut self, step: Step, heard: u32, now: Now) {
        if self.follow(step, heard, now) {
            self.advance(now);
        }
    }

    /// Does what an acceptor decided. Whether the next one has its turn at once.
    fn follow(&mut self, step: Step, heard: u32, now: Now) -> bool {
        let Some(kind) = self.current() else { return false };
        match step {
            Step::Next(refused) => {
                self.refused = refused.map(|refused| (kind, refused)).or(self.refused.take());
                self.at.1 += 1;
                true
            }
            Step::Pass(Some(other), _) | Step::Proven(other, ..)
                if self.only.is_some_and(|only| only != other.client) =>
            {
                self.other = Some(other);
                // The words of every other refusal: that it is right, and whose, is for that one's admins.
                let why = "a credential of somebody else than who is connected";
                self.follow(Step::Refuse(not_authorised(why)), heard, now)
            }
            // That is so here and now, and is nothing that was shown.
            Step::Pass(None, Some(until)) if kind == Kind::Schedule => {
                self.hours.insert(self.at.0, until);
                self.follow(Step::Pass(None, None), heard, now)
            }
            Step::Pass(principal, until) => {
                self.standing.until = self.standing.until.into_iter().chain(until).min();
                if let Some(principal) = principal {
                    let evidence = self.directory.evidence(kind, principal.client, self.shown());
                    self.standing.evidence.extend(evidence);
                    self.standing.principal = Some(principal);
                }
                if kind.identifies() {
                    self.standing.passed.insert(kind);
                }
                if kind == Kind::Tty {
                    // At a terminal it was asked for its password, and by nothing else.
                    self.standing.passed.insert(Kind::Password);
                }
                self.tell(kind, GateStep::Passed, "");
                self.refused = None;
                self.at = (self.at.0 + 1, 0);
                true
            }
            // What was proven when the ticket was made, or the cookie given, stands for this one too.
            Step::Proven(principal, passed, until) => {
                let evidence = match self.redeemed.take() {
                    Some(redeemed) => {
                        self.standing.cookie = redeemed.cookie;
                        redeemed.evidence
                    }
                    // A cookie holds only while all credentials are those that there were at sign-in.
                    None => {
                        let of = |kind: &Kind| {
                            self.directory.evidence(*kind, principal.client, &Credential::Anonymous)
                        };
                        self.standing.cookie = self.shown_cookie();
                        passed.iter().flat_map(of).collect()
                    }
                };
                self.standing.evidence.extend(evidence);
                self.standing.passed.extend(passed);
                self.follow(Step::Pass(Some(principal), until), heard, now)
            }
            Step::Say(prompt, hears) => {
                self.standing.drawn += 1;
                self.tell(kind, GateStep::Asked, "");
                self.outputs.push_back(Output::Say(prompt));
                self.state = State::Hears { deadline: now.time.plus(hears.deadline()), hears, heard };
                false
            }
            Step::Do(effect, prompt, awaits) => {
                let ticket = self.standing.drawn;
                self.standing.drawn += 1;
                if let Effect::Knock = effect {
                    self.tell(kind, GateStep::Waits, "");
                }
                self.outputs.extend(prompt.map(Output::Say));
                self.outputs.push_back(Output::Do { ticket, effect });
                self.state = State::Awaits { deadline: now.time.plus(awaits.deadline), awaits, ticket };
                false
            }
            Step::Refuse(refused) => {
                self.tell(kind, GateStep::Refused, refused.why);
                self.send_away(refused);
                false
            }
        }
    }

    fn tell(&mut self, acceptor: Kind, step: GateStep, why: &'static str) {
        self.outputs.push_back(Output::Tell { stage: self.at.0, acceptor, step, why });
    }

    fn send_away(&mut self, refused: Refused) {
        self.outputs.extend(refused.words.map(|words| Output::Say(Prompt::Words(words))));
        self.refuse(refused.refusal);
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.state = State::Refused;
        self.outputs.push_back(Output::Refuse(refusal));
    }
}

/// Whether it is a password of a name without an account.
fn is_bare(credential: &Credential) -> bool {
    match credential {
        Credential::Password { account, user, .. } => account.is_none() && !user.contains('/'),
        Credential::Anonymous
        | Credential::Person
        | Credential::Token(_)
        | Credential::Ticket(_)
        | Credential::Cookie(_)
        | Credential::Claim { .. } => false,
    }
}

fn too_late() -> Refusal {
    Refusal {
        code: Code::Timeout,
        what: "the credential was not accepted in time".to_owned(),
        want: "come back and show it at once".to_owned(),
    }
}

fn out_of_turn(what: &str) -> Refusal {
    Refusal {
        code: Code::WrongState,
        what: what.to_owned(),
        want: "one credential, then one answer for each question".to_owned(),
    }
}

#[cfg(test)]
mod tests;
