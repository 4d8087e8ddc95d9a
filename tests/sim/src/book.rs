//! The book of a house: who may what, what somebody proves itself with, and which gates there are, as admins had it
//! answered that it is so. The cores are judged by it, and never asked.
//!
//! What was asked for and not answered yet may be so or not. What ended may be told for [`GRACE`] still.

use crate::{
    house::{Annex, FRONT, House, Means, Person, Stages, Want},
    proofs::Token,
    statutes,
};
use riser_model::Time;
use std::{collections::BTreeMap, time::Duration};

/// A change is with the connections' own tasks within this; 5 s are promised.
pub const GRACE: Duration = Duration::from_millis(200);

/// Something that is so or not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fact {
    /// Somebody may read in a vault.
    Reads(usize, usize),
    /// Somebody is known.
    Lives(usize),
    /// A credential is somebody's.
    Holds(Token),
    /// A vault's gate, or the account's, is its n-th.
    Gate(usize, u32),
}

#[derive(Clone, Copy, Debug)]
struct State {
    holds: bool,
    since: Time,
    asked: Option<bool>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// The people.
    pub people: Vec<Person>,
    /// The vaults go down to an annex.
    pub goes_down: bool,
    facts: BTreeMap<Fact, State>,
    gates: BTreeMap<(usize, u32), Stages>,
}

/// Whether somebody gets in who does what is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// It does.
    In,
    /// It does once there is a seat.
    WithSeat,
    /// It does not.
    Out,
    /// It depends on the moment.
    Unsure,
}

/// What is known of somebody before a gate.
#[derive(Clone, Debug)]
pub struct Before<'a> {
    /// Who.
    pub person: usize,
    /// By which means it came.
    pub came: &'a [Means],
    /// The minutes of the day between which it stands there; none if nobody can say.
    pub minutes: Option<(u16, u16)>,
    /// When it came.
    pub since: Time,
    /// It is past the account's gate.
    pub known: bool,
}

impl Book {
    /// As a house begins.
    pub fn new(house: &House) -> Self {
        let mut book =
            Self { people: house.people.clone(), goes_down: house.annex.is_some(), ..Self::default() };
        for (n, person) in house.people.iter().enumerate() {
            book.set(Fact::Lives(n), true, Time(0));
            for means in &person.means {
                book.set(Fact::Holds(Token { person: n, means: *means, n: 0 }), true, Time(0));
            }
            for (vault, reads) in person.reads.iter().enumerate() {
                book.set(Fact::Reads(n, vault), *reads, Time(0));
            }
        }
        for (vault, stages) in house.gates.iter().enumerate().chain([(FRONT, &house.front)]) {
            book.gates.insert((vault, 0), stages.clone());
            book.set(Fact::Gate(vault, 0), true, Time(0));
        }
        book
    }

    /// That of the annex: as its file declares it, with its own gates.
    pub fn of_annex(house: &House, annex: &Annex) -> Self {
        Self::new(&statutes::of_annex(house, annex))
    }

    /// What somebody is let in by, or is known as, of which that is true.
    pub fn of(&self, is_it: impl Fn(Fact) -> bool) -> Vec<Fact> {
        self.facts.keys().copied().filter(|fact| is_it(*fact)).collect()
    }

    /// It was answered that it is so, or is not.
    pub fn set(&mut self, fact: Fact, holds: bool, now: Time) {
        let before = self.facts.get(&fact);
        let since = before.filter(|state| state.holds == holds).map_or(now, |state| state.since);
        self.facts.insert(fact, State { holds, since, asked: None });
    }

    /// Somebody asks for it.
    pub fn ask(&mut self, fact: Fact, holds: bool) {
        let never = State { holds: false, since: Time(0), asked: None };
        self.facts.entry(fact).or_insert(never).asked = Some(holds);
    }

    /// A gate that is to be.
    pub fn gate_of(&mut self, vault: usize, number: u32, stages: Stages) {
        self.gates.insert((vault, number), stages);
    }

    /// Whether it may be so at this moment.
    pub fn may(&self, fact: Fact, now: Time) -> bool {
        self.facts.get(&fact).is_some_and(|state| {
            state.holds
                || state.asked == Some(true)
                || state.since > Time(0) && now <= state.since.plus(GRACE)
        })
    }

    /// Whether it has been so since then, and nobody has asked for anything else.
    pub fn must(&self, fact: Fact, since: Time) -> bool {
        let is_so = |state: &State| state.holds && state.asked.is_none() && state.since <= since;
        self.facts.get(&fact).is_some_and(is_so)
    }

    /// The newest of a kind that somebody was given.
    pub fn newest(&self, person: usize, means: Means) -> Option<Token> {
        let (first, last) = (Token { person, means, n: 0 }, Token { person, means, n: u32::MAX });
        let mut own = self.facts.range(Fact::Holds(first)..=Fact::Holds(last)).rev();
        own.find_map(|(fact, _)| match fact {
            Fact::Holds(token) => Some(*token),
            Fact::Reads(..) | Fact::Lives(_) | Fact::Gate(..) => None,
        })
    }

    /// The newest number that a vault's gate was given.
    pub fn newest_gate(&self, vault: usize) -> u32 {
        self.gates.range((vault, 0)..=(vault, u32::MAX)).next_back().map_or(0, |((_, number), _)| *number)
    }

    /// What a vault's gate of that number wants.
    pub fn stages(&self, vault: usize, number: u32) -> Option<&Stages> {
        self.gates.get(&(vault, number))
    }

    /// The gates that a vault may have at this moment.
    pub fn gates(&self, vault: usize, now: Time) -> impl Iterator<Item = (u32, &Stages)> {
        let of = self.gates.range((vault, 0)..=(vault, u32::MAX));
        of.filter(move |((vault, number), _)| self.may(Fact::Gate(*vault, *number), now))
            .map(|((_, number), stages)| (*number, stages))
    }

    /// Whether somebody gets into a vault, if nothing has changed since then.
    pub fn expect(&self, vault: usize, before: &Before<'_>, since: Time) -> Expect {
        let person = before.person;
        let settled = |fact| self.must(fact, since);
        let newest = self.newest_gate(vault);
        if !settled(Fact::Gate(vault, newest)) {
            return Expect::Unsure;
        }
        if !settled(Fact::Lives(person)) || !settled(Fact::Reads(person, vault)) {
            return if self.may(Fact::Reads(person, vault), since) { Expect::Unsure } else { Expect::Out };
        }
        let Some(stages) = self.gates.get(&(vault, newest)) else { return Expect::Unsure };
        let mut all = self.front(before, since);
        if matches!(all, Expect::Out | Expect::Unsure) {
            return all;
        }
        for stage in stages {
            match self.stage(stage, before, since) {
                Expect::In => {}
                Expect::WithSeat => all = Expect::WithSeat,
                other @ (Expect::Out | Expect::Unsure) => return other,
            }
        }
        all
    }

    /// Whether somebody gets past the account's gate, or stays past it, if nothing has changed since then.
    pub fn front(&self, before: &Before<'_>, since: Time) -> Expect {
        let newest = self.newest_gate(FRONT);
        if !self.must(Fact::Gate(FRONT, newest), before.since.min(since)) {
            return Expect::Unsure;
        }
        let stages = self.gates.get(&(FRONT, newest)).filter(|_| !before.known);
        let stages = stages.into_iter().flatten().map(|stage| self.stage(stage, before, since));
        stages.fold(Expect::In, |all, one| if all == Expect::In { one } else { all })
    }

    /// The first that takes what was shown, or whose condition is met, decides.
    fn stage(&self, stage: &[Want], before: &Before<'_>, since: Time) -> Expect {
        let is_same = |a: Means, b: Means| kind(a) == kind(b);
        let came = |means: Means| before.came.iter().any(|one| is_same(*one, means));
        if stage.iter().any(|want| matches!(want, Want::Shows(means) if came(*means))) {
            return Expect::In;
        }
        for want in stage {
            match want {
                // It is asked for a proof of it, whatever it came by.
                Want::Shows(means @ (Means::Key | Means::Secret)) => {
                    let has = self.newest(before.person, *means);
                    return match has {
                        Some(token) if self.must(Fact::Holds(token), since) => Expect::In,
                        Some(token) if self.may(Fact::Holds(token), since) => Expect::Unsure,
                        Some(_) | None => Expect::Out,
                    };
                }
                Want::Shows(Means::Password | Means::Directory | Means::Token | Means::Jwt) => {}
                Want::Inside if self.people[before.person].inside => return Expect::In,
                Want::Inside => {}
                Want::Between(from, until) => match before.minutes {
                    Some((first, last)) => {
                        match (in_between(*from, *until, first), in_between(*from, *until, last)) {
                            (true, true) => return Expect::In,
                            (false, false) => {}
                            _ => return Expect::Unsure,
                        }
                    }
                    None => return Expect::Unsure,
                },
                Want::Seats(_) => return Expect::WithSeat,
                Want::Knock => {
                    return if self.people[before.person].welcome { Expect::In } else { Expect::Out };
                }
            }
        }
        Expect::Out
    }
}

/// Whether a minute of the day is one of these.
pub fn in_between(from: u16, until: u16, minute: u16) -> bool {
    (from..until).contains(&minute)
}

/// What a gate sees: a password is a password, whoever knows it.
pub fn kind(means: Means) -> Means {
    match means {
        Means::Directory => Means::Password,
        other @ (Means::Password | Means::Token | Means::Jwt | Means::Key | Means::Secret) => other,
    }
}
