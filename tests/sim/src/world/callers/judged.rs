//! Whether what callers are told is theirs to hear: who is let in or turned away, and what they read, against the book of
//! that moment.

use super::{Issued, ON_ITS_WAY, TICKET_LASTS, Visit};
use crate::{
    book::{Before, Expect, Fact, GRACE, in_between, kind},
    caller::{ANEW, Manner, Shows},
    house::{FRONT, Means, Stages, Want},
    proofs::Token,
    site,
    wires::{Far, WireId},
    world::{Event, World},
};
use serde_json::Value;
use std::time::Duration;

impl World {
    /// The hub's door says something to a caller.
    pub(in crate::world) fn caller_told(&mut self, id: WireId, text: &str) {
        let Some(visit) = self.visits.by_wire.get(&id) else { return };
        let Ok(message) = serde_json::from_str::<Value>(text) else { return };
        if message["ev"] == "msg" {
            let wrong = self.not_to_hear(visit, &message).map(|wrong| self.of_visit(visit, &wrong));
            return wrong.into_iter().for_each(|wrong| self.wrong(wrong));
        }
        let visit = visit.clone();
        let wrong = match (message["ev"].as_str(), message["re"].as_u64()) {
            (Some("bye"), _) => self.turned_away(id, &visit, &message),
            (Some(_), _) => None,
            (None, Some(1 | 2)) if message["error"].is_object() => {
                let wrong = self.turned_away(id, &visit, &message["error"]);
                if let Some(visit) = self.visits.by_wire.get_mut(&id) {
                    visit.over = true;
                }
                wrong
            }
            (None, Some(re)) if re >= 100 => self.went(id, &visit, &message),
            (None, Some(ANEW)) => self.answered_anew(id, &visit, &message),
            (None, _) if message["error"].is_object() => None,
            (None, Some(1)) if visit.plan.lobby => self.let_in(id, &visit),
            (None, Some(1 | 2)) => self.let_in(id, &visit).or_else(|| self.entered(id)),
            (None, Some(4)) => {
                if let Some(ticket) = message["ok"]["ticket"].as_str() {
                    let issued = Issued {
                        at: self.now,
                        life: self.hosts[visit.host].life,
                        used: false,
                        of: visit.clone(),
                    };
                    self.visits.tickets.insert(ticket.to_owned(), issued);
                }
                None
            }
            (None, _) => None,
        };
        if let Some(wrong) = wrong {
            self.wrong(self.of_visit(&visit, &wrong));
        }
    }

    /// What is wrong with a visit, and whose it is.
    fn of_visit(&self, visit: &Visit, wrong: &str) -> String {
        let who = &self.book.people[visit.person].name;
        format!("{who} at {}: {wrong} ({:?})", site::VAULTS[visit.plan.vault], visit.plan.shows)
    }

    /// Whether what was shown is that person's, at this moment.
    pub(super) fn is_known(&self, visit: &Visit, holds: impl Fn(Fact) -> bool) -> bool {
        let own = match &visit.plan.shows {
            // Anybody may show anybody's.
            Shows::Own(token) if token.person != visit.person => false,
            Shows::Own(token) if matches!(token.means, Means::Key | Means::Secret) => {
                visit.tokens.iter().any(|one| one.means == token.means)
            }
            Shows::Own(_) => true,
            Shows::Directory { right } => {
                *right && self.book.people[visit.person].means.contains(&Means::Directory)
            }
            Shows::Jwt { right, lasts_s } => *right && *lasts_s > -60,
            Shows::Ticket(ticket) => self.visits.tickets.get(ticket).is_some_and(|issued| {
                let in_time = visit.hello.is_some_and(|at| at <= issued.at.plus(TICKET_LASTS + GRACE));
                (!issued.used || visit.known)
                    && in_time
                    && issued.life == self.hosts[visit.host].life
                    && issued.of.host == visit.host
            }),
            Shows::Wrong => false,
        };
        own && holds(Fact::Lives(visit.person)) && visit.tokens.iter().all(|token| holds(Fact::Holds(*token)))
    }

    fn let_in(&mut self, id: WireId, visit: &Visit) -> Option<String> {
        let known = self.is_known(visit, |fact| self.book_of(visit.host).may(fact, self.now));
        if let Shows::Ticket(ticket) = &visit.plan.shows
            && let Some(issued) = self.visits.tickets.get_mut(ticket)
        {
            issued.used = true;
        }
        let front = self.past_front(visit);
        let is_past = visit.known || !front.is_empty();
        if let Some(visit) = self.visits.by_wire.get_mut(&id).filter(|visit| !visit.known) {
            (visit.known, visit.front) = (true, front);
        }
        let stale = self.annex_is_stale(visit.host);
        let stale = stale.then(|| "it was let in by a word that is too old".to_owned());
        let shut_out = (!is_past).then(|| "no gate of the account lets it pass".to_owned());
        (!known).then(|| "it was let in by what is not its own".to_owned()).or(shut_out).or(stale)
    }

    /// The gates that the account may have at this moment and that let somebody pass.
    pub(super) fn past_front(&self, visit: &Visit) -> Vec<u32> {
        let gates = self.book_of(visit.host).gates(FRONT, self.now);
        gates.filter(|(_, stages)| self.passes(stages, visit)).map(|(number, _)| number).collect()
    }

    /// Somebody who was in goes into another vault, or back to the lobby, or may not.
    fn went(&mut self, id: WireId, visit: &Visit, answer: &Value) -> Option<String> {
        let (to, since) = visit.goes?;
        let is_well = answer["ok"].is_object();
        let there = match to {
            // It stands before that gate as who comes from outside does.
            Some(vault) => {
                let mut there = visit.clone();
                there.plan.vault = vault;
                (there.wants, there.over, there.inside, there.goes) = (Some(since), false, None, None);
                there
            }
            None => Visit { wants: None, over: true, inside: None, goes: None, ..visit.clone() },
        };
        self.ledger.counts.steps += u64::from(is_well);
        let in_lobby = visit.inside.is_none();
        let held = |token: &Token| self.book_of(visit.host).may(Fact::Holds(*token), self.now);
        // What it answered with may not have been taken: then it has proven nothing by it.
        let taken = visit.tokens.iter().filter(|token| visit.proven.contains(token) || held(token));
        let taken = taken.copied().collect();
        let before = self.visits.by_wire.get_mut(&id)?;
        match (to, is_well) {
            (Some(_), true) => {
                *before = there.clone();
                self.let_in(id, &there).or_else(|| self.entered(id))
            }
            (Some(_), false) => {
                (before.goes, before.over, before.tokens) = (None, before.over || in_lobby, taken);
                self.turned_away(id, &there, &answer["error"])
            }
            (None, true) => {
                let was = before.plan.vault;
                *before = there;
                self.after(Duration::from_millis(1), Event::Seated(visit.host, was));
                None
            }
            // Who is there already has nowhere to leave to.
            (None, false) => {
                before.goes = None;
                (!in_lobby).then(|| format!("it may not go back to the lobby: {answer}"))
            }
        }
    }

    fn entered(&mut self, id: WireId) -> Option<String> {
        self.ledger.counts.entries += 1;
        let visit = self.visits.by_wire.get(&id)?;
        let (vault, person, host) = (visit.plan.vault, visit.person, visit.host);
        let gates = self.book_of(host).gates(vault, self.now);
        let past: Vec<u32> = gates.filter(|(_, stages)| self.passes(stages, visit)).map(|(n, _)| n).collect();
        let wrong = if past.is_empty() {
            Some("no gate that is there lets it pass".to_owned())
        } else if !self.book_of(host).may(Fact::Reads(person, vault), self.now) {
            Some("it was let in and may do nothing there".to_owned())
        } else {
            None
        };
        let mut visit = visit.clone();
        self.spends_yes(&mut visit);
        visit.inside = Some(past);
        self.visits.by_wire.insert(id, visit);
        // Whoever leaves at this moment may be told so a moment later.
        self.after(Duration::from_millis(1), Event::Seated(host, vault));
        wrong
    }

    /// Somebody is in: a yes without which it would not be has let it in, and does not again.
    pub(super) fn spends_yes(&self, visit: &mut Visit) {
        let vault = visit.plan.vault;
        let (yes, since) = (std::mem::take(&mut visit.yes), visit.wants.or(visit.hello));
        let mut gates = self.book_of(visit.host).gates(vault, self.now);
        let passes = gates.any(|(_, stages)| self.passes(stages, visit));
        visit.yes = yes;
        if let Some(spent) = visit.yes.iter().position(|at| *at == Some(vault)).filter(|_| !passes) {
            visit.yes.remove(spent);
            visit.admitted = since;
        }
    }

    /// Whether all that a gate wants is there.
    pub(super) fn passes(&self, stages: &Stages, visit: &Visit) -> bool {
        let since = visit.wants.unwrap_or(visit.hello.unwrap_or_default());
        let came = |means: Means| {
            let proven = visit.tokens.iter().map(|token| token.means);
            visit.came.iter().copied().chain(proven).any(|one| kind(one) == kind(means))
        };
        let is_met = |want: &Want| match want {
            Want::Shows(means) => came(*means),
            Want::Inside => self.book.people[visit.person].inside,
            Want::Between(from, until) => self.minutes(visit.host, since).is_none_or(|(first, last)| {
                in_between(*from, *until, first) || in_between(*from, *until, last)
            }),
            Want::Seats(_) => true,
            Want::Knock => {
                let is_here = |at: &Option<usize>| at.is_none_or(|vault| vault == visit.plan.vault);
                visit.admitted == Some(since) || visit.yes.iter().any(is_here)
            }
        };
        stages.iter().all(|stage| stage.iter().any(is_met))
    }

    /// A vault has this gate from here on: who is inside and is asked nothing by it is past that one too.
    pub(in crate::world) fn regated(&mut self, vault: usize, gate: u32) {
        let Some((_, stages)) = self.book.gates(vault, self.now).find(|(number, _)| *number == gate) else {
            return;
        };
        let is_there = |visit: &Visit| match vault {
            FRONT => visit.known,
            _ => visit.plan.vault == vault && visit.inside.is_some(),
        };
        let stands = |visit: &Visit| visit.host == 0 && is_there(visit);
        let past =
            self.visits.by_wire.iter().filter(|(_, visit)| stands(visit) && self.passes(stages, visit));
        let past: Vec<WireId> = past.map(|(id, _)| *id).collect();
        for id in past {
            let Some(visit) = self.visits.by_wire.get_mut(&id) else { continue };
            let gates = if vault == FRONT { Some(&mut visit.front) } else { visit.inside.as_mut() };
            gates.into_iter().for_each(|gates| gates.push(gate));
        }
    }

    /// No more sit in a vault than its gate has seats, where nothing else lets anybody pass.
    pub(in crate::world) fn seated(&mut self, host: usize, vault: usize) {
        let book = self.book_of(host);
        let newest = book.newest_gate(vault);
        let Some((_, stages)) = book.gates(vault, self.now).find(|(n, _)| *n == newest) else { return };
        let most = stages.iter().filter_map(|stage| match &stage[..] {
            [Want::Seats(most)] => Some(*most),
            _ => None,
        });
        let Some(most) = most.min() else { return };
        let sits = |(id, visit): &(&WireId, &Visit)| {
            let past = visit.inside.as_ref().is_some_and(|past| past.contains(&newest));
            // Who may do nothing there has no seat, and keeps its connection.
            past && visit.host == host
                && book.must(Fact::Reads(visit.person, vault), self.now)
                && visit.plan.vault == vault
                && self.net.wires.get(id).is_some_and(|wire| wire.server_open)
        };
        let sit = self.visits.by_wire.iter().filter(sits).count();
        if sit > most as usize {
            self.wrong(format!("{sit} sit in {} and there are {most} seats", site::VAULTS[vault]));
        }
    }

    /// What it is told is not its to hear.
    fn not_to_hear(&self, visit: &Visit, message: &Value) -> Option<String> {
        // What it answers with before another vault counts once that is taken: until then it reads by what it came by.
        let by = match visit.goes {
            Some((Some(_), _)) => &Visit { tokens: visit.proven.clone(), ..visit.clone() },
            Some((None, _)) | None => visit,
        };
        let (now, vault, host) = (self.now, visit.plan.vault, visit.host);
        let seq = message["pos"].as_str()?.rsplit('.').next()?.parse().ok()?;
        let room = self.hosts[host].journal.entries.get(&riser_model::Seq(seq)).and_then(|entry| entry.room);
        let is_its = room == Some(site::room(site::VAULTS[vault]));
        let Some(past) = &visit.inside else { return Some("it hears something and is not in".to_owned()) };
        let expired = visit.until.is_some_and(|until| now > until.plus(GRACE)) && !self.hosts[host].stepped;
        let holds = |fact| self.book_of(host).may(fact, now);
        if !is_its {
            Some(format!("{seq} is of another room"))
        } else if !self.is_known(by, holds) {
            Some(format!("it hears {seq} by what is its own no more"))
        } else if !holds(Fact::Reads(visit.person, vault)) {
            Some(format!("it hears {seq} and may not any more"))
        } else if !past.iter().any(|number| holds(Fact::Gate(vault, *number))) {
            Some(format!("it hears {seq} past a gate that is no more"))
        } else if !visit.front.iter().any(|number| holds(Fact::Gate(FRONT, *number))) {
            Some(format!("it hears {seq} past a gate of the account that is no more"))
        } else if self.annex_is_stale(host) {
            Some(format!("it hears {seq} by a word that is too old"))
        } else if expired {
            Some(format!("it hears {seq} after what it has shown expired"))
        } else {
            None
        }
    }

    /// Somebody is refused, or told to go: wrong if all was as it should be.
    pub(super) fn turned_away(&mut self, id: WireId, visit: &Visit, refusal: &Value) -> Option<String> {
        self.ledger.counts.turned_away += 1;
        let code = refusal["code"].as_str().unwrap_or_default();
        let ends = visit.until.is_some_and(|until| self.now.plus(ON_ITS_WAY) >= until);
        if is_over(refusal) && !ends && !self.hosts[visit.host].stepped {
            return Some(format!(
                "what it has shown holds until {:?}, and is said to have expired",
                visit.until
            ));
        }
        let passing = ["timeout", "too_many", "shutting_down", "log_failing", "too_slow", "quota_exceeded"];
        let since = visit.wants.or(visit.hello)?;
        let is_door = |host: &crate::host::Host| match self.net.wires.get(&id).map(|wire| wire.far) {
            Some(Far::Door(connection)) => host.misjudged.contains(&connection),
            Some(Far::Dialing { .. } | Far::Link(_)) | None => false,
        };
        let excused = passing.contains(&code)
            || visit.plan.manner != Manner::Honest
            || matches!(visit.plan.shows, Shows::Ticket(_))
            || visit.until.is_some_and(|until| self.now.plus(ON_ITS_WAY) >= until)
            || self.hosts[visit.host].stepped && visit.until.is_some()
            || !self.annex_is_fresh(visit.host, since)
            || visit.inside.is_some()
            || is_door(&self.hosts[visit.host]);
        let book = self.book_of(visit.host);
        if visit.over || excused || !self.is_known(visit, |fact| book.must(fact, since)) {
            return None;
        }
        let before = Before {
            person: visit.person,
            came: &visit.came,
            minutes: self.minutes(visit.host, since),
            since: visit.hello.unwrap_or(since),
            known: visit.known,
        };
        if visit.wants.is_none() {
            let is_in = book.front(&before, since) == Expect::In;
            return is_in.then(|| format!("it is who it says and was not let in: {refusal}"));
        }
        let expect = book.expect(visit.plan.vault, &before, since);
        (expect == Expect::In).then(|| format!("all was as it should be, and it was refused: {refusal}"))
    }
}

/// Whether somebody is told that what it has shown has ended by itself.
pub(super) fn is_over(refusal: &Value) -> bool {
    refusal["what"].as_str().is_some_and(|what| what.ends_with("has expired"))
}
