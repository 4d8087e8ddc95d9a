//! Those who come to a house: what they do, what they are told, and whether that was theirs to hear.
//!
//! A visit is judged where it is said: what the hub's doors say on their sockets, at the moment when they say it, against
//! the book of that moment.

use super::{Event, World, actors::due};
use crate::{
    book::{Before, Expect, Fact},
    caller::{Act, Caller, Manner, Plan, Shows, Step},
    house::Means,
    proofs::{INSTANCE, Token},
    site, statutes,
    wires::{Client, Far, Message, Road, Way, WireId},
};
use riser_gate::Caller as From;
use riser_model::{
    Now, Time,
    door::{Credential, Door, Secret},
};
use riser_rooms::door::{Envelope, Lobby, Place, TicketSeed};
use riser_wire::entry::Kind;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

mod anew;
mod judged;

const DIAL_FOR: Duration = Duration::from_secs(10);
/// How long a ticket may be shown.
const TICKET_LASTS: Duration = Duration::from_secs(30);
/// A token holds for so much longer than it says.
const SKEW: Duration = Duration::from_secs(60);
/// What was shown may have been made so much earlier, in whole seconds: the network takes its time.
const ON_ITS_WAY: Duration = Duration::from_secs(12);
/// A first frame, and what is verified and asked at a gate before any room.
const FRONT_LASTS: Duration = Duration::from_secs(5 + 5 + 15 + 15);
/// An admin's two minutes, for each acceptor of a gate of three stages of three.
const GATE_LASTS: Duration = Duration::from_secs(9 * 120 + 30);

/// A caller and where it is.
#[derive(Debug)]
pub struct CallerSeat {
    /// The caller.
    pub caller: Caller,
    /// It was told all that it could be, after everything was made well.
    pub done: bool,
    pub(super) wire: Option<WireId>,
    pub(super) armed: Option<Time>,
    /// What it shows anew is drawn from.
    pub(super) anew: fastrand::Rng,
}

/// One connection to the hub of somebody who comes, and what is known of it.
#[derive(Clone, Debug)]
pub struct Visit {
    caller: usize,
    person: usize,
    host: usize,
    plan: Plan,
    /// What it has proven, and what the one proved who had its ticket made.
    tokens: BTreeSet<Token>,
    /// By which means it came.
    came: Vec<Means>,
    /// Until when what it has shown holds.
    until: Option<Time>,
    /// Its hello arrived.
    hello: Option<Time>,
    /// It is let into the lobby, or further.
    known: bool,
    /// Past these gates of the account.
    front: Vec<u32>,
    /// It asks to be let into the vault, since then.
    wants: Option<Time>,
    /// That was answered with no.
    over: bool,
    /// An admin said yes that has let it in nowhere yet: at which vault, or wherever it knocks.
    yes: Vec<Option<usize>>,
    /// It is in by one, since it asked at that time.
    admitted: Option<Time>,
    /// It is in its vault, past these gates of it.
    inside: Option<Vec<u32>>,
    /// Where it wants to go from there, or back to the lobby, since then.
    goes: Option<(Option<usize>, Time)>,
    /// What it had proven when it asked for that.
    proven: BTreeSet<Token>,
    /// What it shows anew, until that is answered.
    anew: Option<anew::Anew>,
    /// What it showed first, as it was said.
    pub(super) first: Value,
}

/// A ticket that somebody has.
#[derive(Clone, Debug)]
pub struct Issued {
    at: Time,
    life: u64,
    used: bool,
    of: Visit,
}

/// What there is of callers in a world.
#[derive(Debug, Default)]
pub struct Visits {
    /// Their connections.
    pub by_wire: BTreeMap<WireId, Visit>,
    tickets: BTreeMap<String, Issued>,
    decisions: u64,
}

impl World {
    pub(super) fn caller_acts(&mut self, n: usize) {
        while let Some(act) = self.callers[n].caller.poll() {
            let wire = self.callers[n].wire;
            match act {
                Act::Dial => self.caller_dials(n),
                Act::Say(text) => {
                    self.trace.line(self.now, || format!("caller {n} says {text:.200}"));
                    if let Some(id) = wire {
                        self.net.send(id, Way::Up, Message::Text(text), self.now);
                    }
                }
                Act::Proven(token) => {
                    if let Some(visit) = wire.and_then(|id| self.visits.by_wire.get_mut(&id)) {
                        visit.anew.as_mut().map_or(&mut visit.tokens, |anew| &mut anew.tokens).insert(token);
                    }
                }
                Act::Anew => {
                    let host = self.callers[n].caller.host;
                    let wall_s = self.hosts[host].now(self.now).wall.0.div_euclid(1000);
                    self.callers[n].caller.says_anew(wall_s);
                }
                Act::Ticket(_) => {}
                Act::Hangup => {
                    self.callers[n].wire = None;
                    if let Some(id) = wire {
                        self.end_client(id);
                    }
                }
            }
        }
        self.ledger.counts.heard = self.callers.iter().map(|seat| seat.caller.messages).sum();
        let seat = &mut self.callers[n];
        // Who is there still leaves when it wanted to.
        if seat.done && seat.wire.is_none() {
            return;
        }
        if let Some(at) = due(seat.caller.wake_at(), &mut seat.armed, self.now) {
            self.queue.put(at, Event::Caller(n, at));
        }
    }

    pub(super) fn wake_caller(&mut self, n: usize, armed: Time) {
        if self.callers[n].armed.take_if(|due| *due == armed).is_none() {
            return;
        }
        self.callers[n].caller.wake(self.now);
        self.caller_acts(n);
    }

    fn caller_dials(&mut self, n: usize) {
        let plan = self.plan_visit(n);
        let person = self.callers[n].caller.person;
        self.trace.line(self.now, || format!("caller {n} comes: {plan:?}"));
        let host = self.callers[n].caller.host;
        let id = self.dial(Client::Caller(n), host, Road::Caller(n), DIAL_FOR);
        let (tokens, came) = shown(&plan.shows);
        let (until, hello, wants, inside) = (None, None, None, None);
        let visit = Visit {
            caller: n,
            person,
            host,
            plan: plan.clone(),
            tokens,
            came,
            until,
            hello,
            known: false,
            front: Vec::new(),
            wants,
            over: false,
            yes: Vec::new(),
            admitted: None,
            inside,
            goes: None,
            proven: BTreeSet::new(),
            anew: None,
            first: Value::Null,
        };
        self.visits.by_wire.insert(id, visit);
        self.callers[n].caller.comes(plan);
        self.callers[n].wire = Some(id);
    }

    fn plan_visit(&mut self, n: usize) -> Plan {
        let caller = &mut self.callers[n].caller;
        let (person, vaults) = (caller.person, site::VAULTS.len());
        let host = caller.host;
        let book = if host == 0 { &self.book } else { &self.annex };
        let own: Vec<Means> = book.people[person].means.iter().copied().collect();
        let answers = [Means::Key, Means::Secret]
            .map(|means| own.contains(&means).then(|| book.newest(person, means)).flatten());
        let shows = |means: Means, lasts_s: i64| match means {
            Means::Directory => Shows::Directory { right: true },
            Means::Jwt => Shows::Jwt { lasts_s, right: true },
            Means::Password | Means::Token | Means::Key | Means::Secret => {
                book.newest(person, means).map_or(Shows::Wrong, Shows::Own)
            }
        };
        if caller.last {
            let (vault, lobby) = (n % vaults, caller.rng.bool());
            let best = self.best_means((host, person), vault, &own);
            let shows = shows(best.map_or(own[0], |(means, _)| means), 900);
            let (manner, stays) = (Manner::Honest, Duration::from_secs(60));
            let (anew, steps, asks_ticket) = (None, Vec::new(), false);
            return Plan { lobby, vault, shows, manner, stays, anew, steps, asks_ticket, answers };
        }
        let rng = &mut caller.rng;
        let means = *rng.choice(&own).expect("everybody has some means");
        let lasts_s = rng.i64(20..400);
        let ticket = caller.ticket.take_if(|_| rng.bool());
        let honest = shows(means, lasts_s);
        let shows = match (rng.u8(0..16), ticket) {
            (0..8, Some(ticket)) => Shows::Ticket(ticket),
            (0, None) => Shows::Wrong,
            (1, None) => Shows::Directory { right: false },
            (2, None) => Shows::Jwt { lasts_s, right: false },
            (3, None) => Shows::Jwt { lasts_s: -rng.i64(62..1000), right: true },
            (4, None) => match honest {
                Shows::Own(token) => Shows::Own(Token { n: token.n.saturating_sub(1), ..token }),
                other => other,
            },
            (..) => honest,
        };
        let lobby = rng.bool() && !matches!(shows, Shows::Ticket(_));
        let manner = match rng.u8(0..12) {
            0 => Manner::Wrong,
            1 => Manner::Silent,
            2 => Manner::Twice,
            _ => Manner::Honest,
        };
        let (vault, stays) = (rng.usize(0..vaults), Duration::from_millis(rng.u64(1_000..120_000)));
        let asks_ticket = rng.u8(0..3) == 0;
        let mut steps = Vec::new();
        // Only where there is an annex: what others draw is not moved by it.
        if self.knobs.house.as_ref().is_some_and(|house| house.annex.is_some()) {
            let step = |rng: &mut fastrand::Rng| match rng.u8(0..3) {
                0 => Step::Leaves,
                _ => Step::Into(rng.usize(0..vaults)),
            };
            steps.extend((0..rng.u8(0..5)).map(|_| step(rng)));
        }
        let anew = self.plan_anew(n);
        Plan { lobby, vault, shows, manner, stays, anew, steps, asks_ticket, answers }
    }

    /// By which of its means somebody gets into a vault now, if by any.
    fn best_means(
        &self,
        (host, person): (usize, usize),
        vault: usize,
        own: &[Means],
    ) -> Option<(Means, Expect)> {
        let holds = |means: Means| match means {
            Means::Directory | Means::Jwt => true,
            Means::Password | Means::Token | Means::Key | Means::Secret => {
                let newest = self.book_of(host).newest(person, means);
                newest.is_some_and(|token| self.book_of(host).must(Fact::Holds(token), self.now))
            }
        };
        let minutes = self.minutes(host, self.now);
        let expect = |means: Means| {
            let (since, known) = (self.now, false);
            let before = Before { person, came: &[means], minutes, since, known };
            (means, self.book_of(host).expect(vault, &before, self.now))
        };
        let mut all = own.iter().copied().filter(|means| holds(*means)).map(expect);
        all.find(|(_, expect)| matches!(expect, Expect::In | Expect::WithSeat))
    }

    /// The minutes of the day at a host from then until now.
    fn minutes(&self, host: usize, since: Time) -> Option<(u16, u16)> {
        let minute = |at: Time| {
            let ms = self.hosts[host].wall(at).0;
            u16::try_from(ms.div_euclid(60_000).rem_euclid(24 * 60)).unwrap_or_default()
        };
        (!self.hosts[host].stepped).then(|| (minute(since), minute(self.now)))
    }

    // At the hub's end.

    /// The door that a caller knocks at, and what is known of it there.
    pub(super) fn caller_door(&mut self, id: WireId, now: Now) -> Option<(Box<dyn Door>, From)> {
        let visit = self.visits.by_wire.get(&id)?;
        let inside = self.book.people[visit.person].inside;
        let address = if inside { [192, 0, 2, 7] } else { [198, 51, 100, 7] };
        let mut entropy = [0; 32];
        self.rng.fill(&mut entropy);
        let from = From {
            address: Some(address.into()),
            tls: true,
            entropy,
            instance: INSTANCE.into(),
            ..From::default()
        };
        let visit = self.visits.by_wire.get(&id)?;
        let seed = TicketSeed(entropy);
        let door: Box<dyn Door> = if visit.plan.lobby {
            Box::new(Lobby::new(None, None, false, seed, now))
        } else {
            let credential = match &visit.plan.shows {
                Shows::Ticket(ticket) => Credential::Ticket(Secret(ticket.clone().into())),
                Shows::Own(_) | Shows::Directory { .. } | Shows::Jwt { .. } | Shows::Wrong => {
                    Credential::Anonymous
                }
            };
            let (account, room) = (site::ACCOUNT.parse().ok()?, site::VAULTS[visit.plan.vault].parse().ok()?);
            Box::new(Envelope::new(Place { account, room, credential, anonymous: false }, seed, now))
        };
        self.after(FRONT_LASTS + GATE_LASTS, Event::GateDue(id));
        Some((door, from))
    }

    /// Something of a caller's arrives at the hub.
    pub(super) fn caller_said(&mut self, id: WireId, text: &str) {
        let now = self.now;
        let Some(visit) = self.visits.by_wire.get_mut(&id) else { return };
        let Ok(message) = serde_json::from_str::<Value>(text) else { return };
        let life = self.hosts[visit.host].life;
        match message["op"].as_str() {
            Some("hello") => {
                visit.hello = Some(now);
                visit.first = message["credential"].clone();
                visit.wants = (!visit.plan.lobby).then_some(now);
                visit.until = ends(&visit.plan.shows, now);
                if let Shows::Ticket(ticket) = &visit.plan.shows
                    && let Some(issued) = self
                        .visits
                        .tickets
                        .get(ticket)
                        .filter(|one| one.life == life && one.of.host == visit.host)
                {
                    visit.tokens.clone_from(&issued.of.tokens);
                    visit.came.clone_from(&issued.of.came);
                    visit.until = issued.of.until;
                }
            }
            Some("move") => (visit.wants, visit.over) = (Some(now), false),
            Some("leave") => visit.goes = Some((None, now)),
            Some("renew") => self.hears_anew(id),
            Some("enter") => {
                let named = |name: &str| message["room"] == *name;
                let vault = site::VAULTS.iter().position(|name| named(name));
                visit.goes = Some((vault, now));
                visit.proven.clone_from(&visit.tokens);
                self.after(GATE_LASTS, Event::GateDue(id));
            }
            Some(_) | None => {}
        }
    }

    /// Every gate ends.
    pub(super) fn gate_due(&mut self, id: WireId) {
        let open = self.net.wires.get(&id).is_some_and(|wire| wire.server_open);
        let Some(visit) = self.visits.by_wire.get(&id).filter(|_| open) else {
            self.visits.by_wire.remove(&id);
            return;
        };
        let stands = visit.goes.is_some_and(|(_, since)| since.plus(GATE_LASTS) <= self.now)
            || visit.anew.as_ref().is_some_and(|anew| anew.since.plus(FRONT_LASTS + GATE_LASTS) <= self.now);
        // In a lobby that has let it in one may stay.
        if stands || visit.inside.is_none() && !(visit.known && (visit.over || visit.wants.is_none())) {
            let what = format!("caller {} stands at a gate for ever: {:?}", visit.caller, visit.plan);
            self.wrong(what);
        }
    }

    // Who looks after the account.

    /// The operator hears that somebody knocks, and answers after a while.
    pub(super) fn heard_of(&mut self, event: &Value) {
        let data = &event["data"];
        if event["type"].as_str().is_none_or(|kind| !kind.ends_with("knock")) {
            return;
        }
        let named = |name: &str| self.book.people.iter().find(|person| person.name == name);
        let (Some(connection), Some(person)) =
            (data["connection"].as_u64(), data["name"].as_str().and_then(named))
        else {
            return;
        };
        let admit = person.welcome;
        let most = if self.healed { 3_000 } else { 130_000 };
        let pause = Duration::from_millis(self.rng.u64(50..most));
        let named = |room: &str| site::VAULTS.iter().position(|vault| *vault == room);
        let vault = data["room"].as_str().and_then(named);
        self.after(pause, Event::Decide(connection, vault, admit));
    }

    pub(super) fn decide(&mut self, connection: u64, vault: Option<usize>, admit: bool) {
        let operator = self.subscribers.first().filter(|seat| seat.subscriber.is_welcome());
        let Some(id) = operator.and_then(|seat| seat.wire) else { return };
        self.visits.decisions += 1;
        let number = 100 + self.visits.decisions;
        let said = admit || self.mutant == Some(crate::mutant::Mutant::DecisionsTurned);
        let mut text =
            serde_json::json!({"op": "decide", "id": number, "connection": connection, "admit": said});
        if let Some(vault) = vault {
            text["room"] = site::VAULTS[vault].into();
        }
        self.trace.line(self.now, || format!("the operator says {text}"));
        self.net.send(id, Way::Up, Message::Text(text.to_string()), self.now);
        if admit {
            let is_it = |id: &WireId| {
                let far = self.net.wires.get(id).map(|wire| wire.far);
                matches!(far, Some(Far::Door(one)) if one.0 == connection)
            };
            if let Some((_, visit)) =
                self.visits.by_wire.iter_mut().find(|(id, visit)| visit.host == 0 && is_it(id))
            {
                visit.yes.push(vault);
            }
        }
    }

    // The end.

    /// Everything is well: each comes once more, as it should, and stays until it was told everything.
    pub(super) fn last_visits(&mut self) {
        for seat in &mut self.callers {
            seat.caller.last = true;
        }
    }

    /// Whether somebody is not in who should be, or was not told everything.
    pub fn callers_owed(&mut self) -> Option<String> {
        if self.changing.is_some() || !self.changes_asked.is_empty() {
            return (!self.callers.is_empty()).then(|| "a change of accounts is not answered".to_owned());
        }
        let mut owed = None;
        for n in 0..self.callers.len() {
            if self.callers[n].done {
                continue;
            }
            let (person, vault) = (self.callers[n].caller.person, n % site::VAULTS.len());
            let host = self.callers[n].caller.host;
            let own: Vec<Means> = self.book_of(host).people[person].means.iter().copied().collect();
            let comes = self.best_means((host, person), vault, &own).is_some();
            let room = site::room(site::VAULTS[vault]);
            let caller = &self.callers[n].caller;
            let here = caller.is_in() && caller.plan.as_ref().is_some_and(|plan| plan.vault == vault);
            let mut all = self.hosts[host].journal.entries.range(self.hosts[host].oldest_there()..);
            let missing = all.find(|(seq, entry)| {
                entry.room == Some(room) && entry.kind == Kind::Publication && !caller.told.contains(&seq.0)
            });
            match missing.map(|(seq, _)| seq.0) {
                _ if !comes => self.callers[n].done = true,
                None if here => {
                    self.callers[n].done = true;
                    self.ledger.counts.whole += 1;
                    if let Some(id) = self.callers[n].wire.take() {
                        self.end_client(id);
                    }
                }
                missing => {
                    let sits = |(id, visit): (&WireId, &Visit)| {
                        let open = self.net.wires.get(id).is_some_and(|wire| wire.server_open);
                        (visit.host == host && visit.plan.vault == vault && visit.inside.is_some())
                            .then_some((*id, visit.caller, open))
                    };
                    let what = || {
                        let sit: Vec<_> = self.visits.by_wire.iter().filter_map(sits).collect();
                        format!(
                            "caller {n} is not told all of {}: {missing:?}, in: {here}; there sit {sit:?}",
                            site::VAULTS[vault]
                        )
                    };
                    owed = owed.or_else(|| Some(what()));
                }
            }
        }
        owed
    }
}

/// What that proves at once, and by which means somebody comes who shows it.
fn shown(shows: &Shows) -> (BTreeSet<Token>, Vec<Means>) {
    match shows {
        // What is shown at once needs no proof beyond itself.
        Shows::Own(token @ Token { means: means @ (Means::Password | Means::Token), .. }) => {
            (BTreeSet::from([*token]), vec![*means])
        }
        Shows::Own(token) => (BTreeSet::new(), vec![token.means]),
        Shows::Directory { .. } => (BTreeSet::new(), vec![Means::Directory]),
        Shows::Jwt { .. } => (BTreeSet::new(), vec![Means::Jwt]),
        Shows::Ticket(_) | Shows::Wrong => (BTreeSet::new(), Vec::new()),
    }
}

/// When what is shown at that time holds no more, if it ends by itself.
fn ends(shows: &Shows, at: Time) -> Option<Time> {
    match shows {
        Shows::Directory { .. } => Some(at.plus(Duration::from_secs(statutes::DIRECTORY_LASTS_S))),
        Shows::Jwt { lasts_s, .. } => {
            let lasts = Duration::from_secs(u64::try_from(*lasts_s).unwrap_or(0));
            Some(at.plus(lasts + SKEW))
        }
        Shows::Own(_) | Shows::Ticket(_) | Shows::Wrong => None,
    }
}
