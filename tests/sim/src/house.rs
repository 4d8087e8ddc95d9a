//! A house: rooms with gates at the hub, people who want to read in them, and accounts that change meanwhile. How it is,
//! all of it drawn from the seed before the run begins.

use crate::{dice::Dice, site};
use fastrand::Rng;
use riser_model::Time;
use std::{collections::BTreeSet, time::Duration};

/// The account's own gate, where vaults are numbered.
pub const FRONT: usize = site::VAULTS.len();

/// What somebody proves itself with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Means {
    /// A password that the hub has the hash of.
    Password,
    /// A password that a directory server knows.
    Directory,
    /// A bearer token.
    Token,
    /// A token that an issuer signs, whose keys it publishes.
    Jwt,
    /// A key that answers challenges.
    Key,
    /// A secret that answers challenges.
    Secret,
}

/// One acceptor of a gate, as whoever writes the configuration means it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// Who came by one of those means, or can answer the challenge of it.
    Shows(Means),
    /// Who comes from inside.
    Inside,
    /// Who comes in these minutes of the day on which runs begin.
    Between(u16, u16),
    /// That fewer are in the room.
    Seats(u32),
    /// That an admin says yes.
    Knock,
}

/// A gate: of each stage one has to let pass.
pub type Stages = Vec<Vec<Want>>;

/// Somebody who wants to read.
#[derive(Clone, Debug)]
pub struct Person {
    /// The name.
    pub name: String,
    /// What it has.
    pub means: BTreeSet<Means>,
    /// The vaults in which it may read at the beginning.
    pub reads: Vec<bool>,
    /// Whether it comes from inside.
    pub inside: bool,
    /// Whether the admin lets it in when it knocks.
    pub welcome: bool,
}

/// One change of the account. Vaults and people by number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Grants somebody to read in a vault, or takes that back.
    Grant {
        /// Who.
        person: usize,
        /// Where.
        vault: usize,
        /// Or takes it back.
        on: bool,
    },
    /// Revokes what somebody proves itself with, for ever.
    Revoke {
        /// Who.
        person: usize,
        /// Which.
        means: Means,
    },
    /// Gives somebody another one of these.
    Renew {
        /// Who.
        person: usize,
        /// Which.
        means: Means,
    },
    /// Removes somebody, for ever.
    Remove {
        /// Who.
        person: usize,
    },
    /// Gives a vault another gate, or the account ([`FRONT`]).
    Regate {
        /// Which.
        vault: usize,
        /// The gate.
        stages: Stages,
    },
}

/// See the module.
#[derive(Clone, Debug)]
pub struct House {
    /// The gates at the beginning.
    pub gates: Vec<Stages>,
    /// The gate of the account at the beginning: before its lobby and every vault. Who comes by a password passes it.
    pub front: Stages,
    /// The people.
    pub people: Vec<Person>,
    /// What changes, and when it is asked for.
    pub changes: Vec<(Time, Change)>,
    /// The edge with gates of its own, if there is one.
    pub annex: Option<Annex>,
}

/// An edge to which the vaults go down: its file knows the same people, and its gates are others. Who was revoked or removed it
/// hears from the hub.
#[derive(Clone, Debug)]
pub struct Annex {
    /// Which.
    pub host: usize,
    /// Its gates.
    pub gates: Vec<Stages>,
    /// It lets nobody in when it has not heard its hub for so long.
    pub max_age: Duration,
}

impl House {
    /// That of a seed, over so long.
    pub fn draw(dice: Dice, lasts: Duration) -> Self {
        let mut rng = dice.stream("house", 0);
        let gates: Vec<Stages> = site::VAULTS.iter().map(|_| stages(&mut rng)).collect();
        let people: Vec<Person> = (0..rng.usize(5..=9)).map(|n| person(&mut rng, n, gates.len())).collect();
        let count = rng.usize(4..=24);
        let mut changes: Vec<_> = (0..count)
            .map(|_| {
                let at = Time(rng.u64(30_000..lasts.as_millis() as u64) * 1_000_000);
                (at, change(&mut rng, people.len(), gates.len()))
            })
            .collect();
        let mut rng = dice.stream("front", 0);
        let front = if rng.u8(0..3) == 0 { front(&mut rng) } else { Stages::new() };
        if !front.is_empty() {
            changes.extend(refronted(&mut rng, Duration::from_secs(30), lasts));
        }
        changes.sort_by_key(|(at, _)| *at);
        Self { gates, front, people, changes, annex: None }
    }

    /// Goes on with other changes, from then on and for so long.
    pub fn go_on(&mut self, dice: Dice, from: Duration, lasts: Duration) {
        let mut rng = dice.stream("later changes", 0);
        for _ in 0..rng.usize(4..=24) {
            let at = Time(0).plus(from + Duration::from_millis(rng.u64(0..lasts.as_millis() as u64)));
            self.changes.push((at, change(&mut rng, self.people.len(), self.gates.len())));
        }
        if !self.front.is_empty() {
            self.changes.extend(refronted(&mut dice.stream("later front", 0), from, from + lasts));
        }
        self.changes.sort_by_key(|(at, _)| *at);
    }

    /// The same with an annex at an edge, where no directory server is asked and no admin is there to be knocked for.
    #[must_use]
    pub fn with_annex(mut self, dice: Dice, host: usize) -> Self {
        let mut rng = dice.stream("annex", 0);
        for person in &mut self.people {
            if person.means.remove(&Means::Directory) {
                person.means.insert(Means::Password);
            }
        }
        let quiet = |want: Want| if want == Want::Knock { Want::Inside } else { want };
        let stages = |_: &Stages| -> Stages {
            let stages = stages(&mut rng).into_iter().take(2);
            stages.map(|stage| stage.into_iter().map(quiet).collect()).collect()
        };
        let gates = self.gates.iter().map(stages).collect();
        let max_age = Duration::from_secs(rng.u64(40..300));
        self.annex = Some(Annex { host, gates, max_age });
        self
    }
}

fn stages(rng: &mut Rng) -> Stages {
    (0..rng.usize(1..=3)).map(|_| (0..rng.usize(1..=3)).map(|_| want(rng)).collect()).collect()
}

/// Other gates of the account, between those times.
fn refronted(rng: &mut Rng, from: Duration, until: Duration) -> Vec<(Time, Change)> {
    let mut one = |_| {
        let at = Time(rng.u64(from.as_millis() as u64..until.as_millis() as u64) * 1_000_000);
        (at, Change::Regate { vault: FRONT, stages: front(rng) })
    };
    (0..2).map(&mut one).collect()
}

/// The operator and whoever has a password pass.
fn front(rng: &mut Rng) -> Stages {
    let count = rng.usize(1..=2);
    let stage = |_| {
        let mut stage: Vec<Want> = (0..rng.usize(0..=2)).map(|_| want(rng)).collect();
        stage.retain(|want| !matches!(want, Want::Seats(_) | Want::Knock));
        stage.insert(rng.usize(0..=stage.len()), Want::Shows(Means::Password));
        stage
    };
    (0..count).map(stage).collect()
}

fn want(rng: &mut Rng) -> Want {
    match rng.u8(0..12) {
        0 | 1 => Want::Shows(Means::Password),
        2 => Want::Shows(Means::Token),
        3 => Want::Shows(Means::Jwt),
        4 | 5 => Want::Shows(Means::Key),
        6 => Want::Shows(Means::Secret),
        7 => Want::Inside,
        8 => {
            let from = rng.u16(0..20);
            Want::Between(from, from + rng.u16(3..30))
        }
        9 => Want::Seats(rng.u32(1..4)),
        _ => Want::Knock,
    }
}

fn person(rng: &mut Rng, n: usize, vaults: usize) -> Person {
    // Whoever has a password of its own is nobody whom the directory server is asked about.
    let password = if rng.bool() { Means::Password } else { Means::Directory };
    let mut means = BTreeSet::from([password]);
    for one in [Means::Token, Means::Jwt, Means::Key, Means::Secret] {
        if rng.u8(0..3) > 0 {
            means.insert(one);
        }
    }
    Person {
        name: format!("guest-{n}"),
        means,
        reads: (0..vaults).map(|_| rng.u8(0..4) > 0).collect(),
        inside: rng.bool(),
        welcome: rng.u8(0..3) > 0,
    }
}

fn change(rng: &mut Rng, people: usize, vaults: usize) -> Change {
    let (person, vault) = (rng.usize(0..people), rng.usize(0..vaults));
    let means =
        rng.choice([Means::Password, Means::Token, Means::Key, Means::Secret]).expect("it is not empty");
    match rng.u8(0..10) {
        0..4 => Change::Grant { person, vault, on: rng.bool() },
        4 | 5 => Change::Revoke { person, means },
        6 | 7 => Change::Renew { person, means },
        8 => Change::Regate { vault, stages: stages(rng) },
        _ => Change::Remove { person },
    }
}
