//! Those who are in and say anew who they are: what they show, and what it comes to.
//!
//! Until it is answered, what somebody had shown before is what it is judged by; from then on what it has shown anew is, and
//! nothing else.

use super::{FRONT_LASTS, GATE_LASTS, Visit, ends, judged::is_over, shown};
use crate::{
    book::Fact,
    caller::Shows,
    house::Means,
    proofs::Token,
    wires::WireId,
    world::{Event, World},
};
use riser_model::Time;
use serde_json::Value;
use std::collections::BTreeSet;

/// What somebody shows who is in.
#[derive(Clone, Debug)]
pub(super) struct Anew {
    shows: Shows,
    /// It arrived then.
    pub(super) since: Time,
    /// What it has proven since.
    pub(super) tokens: BTreeSet<Token>,
    came: Vec<Means>,
    until: Option<Time>,
}

impl World {
    /// What a visit is to show anew, if anything: in the second half of a run only, and drawn apart, so that the first half is
    /// as it was when nobody did.
    pub(super) fn plan_anew(&mut self, n: usize) -> Option<Shows> {
        let half = self.knobs.second.map_or(self.knobs.lasts / 2, |_| self.knobs.first_act());
        let seat = &mut self.callers[n];
        if self.now < Time(0).plus(half) || seat.anew.bool() {
            return None;
        }
        let (person, rng) = (seat.caller.person, &mut seat.anew);
        let book = if seat.caller.host == 0 { &self.book } else { &self.annex };
        let means = rng.choice(&book.people[person].means).copied()?;
        let (lasts_s, right) = (rng.i64(20..400), true);
        let of = |person: usize, means: Means| match means {
            Means::Directory => Some(Shows::Directory { right }),
            Means::Jwt => Some(Shows::Jwt { lasts_s, right }),
            Means::Password | Means::Token | Means::Key | Means::Secret => {
                book.newest(person, means).map(Shows::Own)
            }
        };
        let other = (person + 1) % book.people.len();
        match rng.u8(0..12) {
            0 => Some(Shows::Wrong),
            // Somebody else's, which is right.
            1 => of(other, Means::Token).filter(|shows| matches!(shows, Shows::Own(_))),
            2 => Some(Shows::Jwt { lasts_s, right: false }),
            3 => match of(person, means)? {
                Shows::Own(token) => Some(Shows::Own(Token { n: token.n.saturating_sub(1), ..token })),
                shows => Some(shows),
            },
            _ => of(person, means),
        }
    }

    /// It says anew who it is.
    pub(super) fn hears_anew(&mut self, id: WireId) {
        let now = self.now;
        let Some(visit) = self.visits.by_wire.get_mut(&id) else { return };
        let Some(shows) = visit.plan.anew.clone() else { return };
        let (tokens, came) = shown(&shows);
        let until = ends(&shows, now);
        visit.anew = Some(Anew { shows, since: now, tokens, came, until });
        self.after(FRONT_LASTS + GATE_LASTS, Event::GateDue(id));
    }

    /// That is taken, or not.
    pub(super) fn answered_anew(&mut self, id: WireId, visit: &Visit, answer: &Value) -> Option<String> {
        let Some(Anew { shows, since, tokens, came, until }) = visit.anew.clone() else {
            return Some(format!("it said nothing anew, and is told {answer}"));
        };
        // It stands before all gates as who comes from outside does.
        let mut there = Visit { tokens, came, until, anew: None, ..visit.clone() };
        (there.plan.shows, there.hello) = (shows, Some(since));
        there.wants = visit.inside.as_ref().map(|_| since);
        if !answer["ok"].is_object() {
            let before = self.visits.by_wire.get_mut(&id)?;
            before.anew = None;
            let before = before.clone();
            // What it had shown before may have ended meanwhile, and the connection with that.
            if let Some(wrong) = self.turned_away(id, &before, &answer["error"]) {
                return Some(wrong);
            }
            if is_over(&answer["error"])
                || !self.is_known(&before, |fact| self.book_of(before.host).must(fact, since))
            {
                return None;
            }
            (there.over, there.inside, there.known) = (false, None, false);
            let wrong = self.turned_away(id, &there, &answer["error"]);
            return wrong.map(|wrong| format!("{wrong}, which is {:?}", there.plan.shows));
        }
        self.ledger.counts.renewed += 1;
        there.front = self.past_front(&there);
        let vault = there.plan.vault;
        let book = self.book_of(there.host);
        let holds = |fact: Fact| book.may(fact, self.now);
        let wrong = if !self.is_known(&there, holds) {
            Some("what it has shown anew is not its own, and was taken")
        } else if there.front.is_empty() {
            Some("no gate of the account lets it pass by what it has shown anew")
        } else if there.inside.is_none() {
            None
        } else if !holds(Fact::Reads(there.person, vault)) {
            Some("it may do nothing there, and what it has shown anew was taken")
        } else {
            let past = book.gates(vault, self.now).filter(|(_, stages)| self.passes(stages, &there));
            let past: Vec<u32> = past.map(|(number, _)| number).collect();
            let is_past = !past.is_empty();
            self.spends_yes(&mut there);
            there.inside = Some(past);
            (!is_past).then_some("no gate that is there lets it pass by what it has shown anew")
        };
        self.visits.by_wire.insert(id, there);
        let stale = self.annex_is_stale(visit.host);
        let stale = stale.then(|| "what it has shown anew was taken by a word that is too old".to_owned());
        wrong.map(str::to_owned).or(stale)
    }
}
