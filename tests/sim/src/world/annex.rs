//! The annex: an edge with gates of its own, and what it must know of whom its hub gave up, and when.
//!
//! It is judged by a book of its own. What the hub gave up is so there too as soon as it was told, 5 s after it is so at the hub
//! while the link is well all the time, and as old as its hub's word may be in any case.

use super::{Event, World};
use crate::{
    book::{Book, Fact},
    dice::Dice,
    host::{Role, Vouched},
    house::{Annex, House},
    mutant::Mutant,
    site::{self, EdgeIdentity},
    statutes,
    wires::{Client, Road, Way, WireId},
};
use riser_gate::AccountConfig;
use riser_model::Time;
use riser_wire::link;
use std::{collections::BTreeMap, time::Duration};

/// Promised of a link that is well.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);
/// What was told has its effect.
const IN_FORCE: Duration = Duration::from_secs(1);
/// What was said before something was given up is on its way for so long at most: a link that says nothing is left after 12 s
/// at either end.
const ON_ITS_WAY: Duration = Duration::from_secs(30);
/// An edge looks every second whether its hub was heard.
const LOOKS: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub struct Vouching {
    /// Which host it is, and for how long its hub's word holds.
    annex: Option<(usize, Duration)>,
    /// When it was told all of it last, and in which life.
    heard: Option<(Time, u64)>,
    /// What is given up at the hub, since when, and since when the link is well with that.
    due: BTreeMap<Fact, (Time, Option<(WireId, Time)>)>,
}

impl World {
    pub(super) fn add_annex(
        &mut self,
        (dice, identity, parent): (Dice, &EdgeIdentity, usize),
        account: AccountConfig,
        (house, annex): (&House, &Annex),
    ) {
        let mut account = statutes::annex(
            AccountConfig {
                room: account.room.into_iter().filter(|room| !is_vault(room)).collect(),
                ..account
            },
            house,
            annex,
        );
        if self.mutant == Some(Mutant::AnnexOpen) {
            account.room.iter_mut().for_each(|room| room.gate = Default::default());
        }
        let host = self.hosts.len();
        self.add(dice, Role::Edge(identity.clone()), site::directory(account.clone()), parent);
        self.hosts[host].vouched = Some(Vouched::new(account, annex.max_age));
        self.annex = Book::of_annex(house, annex);
        self.vouching.annex = Some((host, annex.max_age));
        self.queue.put(Time(0).plus(LOOK_EVERY), Event::AnnexDue);
    }

    /// The book by which a host is judged.
    pub(super) fn book_of(&self, host: usize) -> &Book {
        if host == 0 { &self.book } else { &self.annex }
    }

    /// Somebody wants that to be so no more, at the hub: from here on it may not be so at the annex.
    pub(super) fn annex_may_lose(&mut self, fact: Fact) {
        if self.vouching.annex.is_some() && is_given_up(fact) && self.annex.may(fact, self.now) {
            self.annex.ask(fact, false);
        }
    }

    /// It is so no more at the hub.
    pub(super) fn annex_must_lose(&mut self, fact: Fact) {
        if self.vouching.annex.is_some() && is_given_up(fact) && self.annex.may(fact, self.now) {
            self.vouching.due.entry(fact).or_insert((self.now, None));
        }
    }

    /// The annex is told what was given up.
    pub(super) fn annex_hears(&mut self, host: usize, said: &link::GivenUp) {
        if self.vouching.annex.is_none_or(|(annex, _)| annex != host) {
            return;
        }
        if !said.more {
            self.vouching.heard = Some((self.now, self.hosts[host].life));
        }
        let is_said = |fact: Fact| match fact {
            Fact::Holds(token) => {
                token.credential().is_some_and(|credential| said.credentials.contains(&credential.digest()))
            }
            Fact::Lives(person) => said.ids.contains(&statutes::client(person).0.into_bytes()),
            Fact::Reads(..) | Fact::Gate(..) => false,
        };
        for fact in self.annex.of(is_said) {
            self.after(IN_FORCE, Event::AnnexKnows(fact));
        }
    }

    /// It was told that some time ago: nobody gets in by it any more, ever.
    pub(super) fn annex_knows(&mut self, fact: Fact) {
        self.vouching.due.remove(&fact);
        if self.annex.may(fact, self.now) {
            self.trace.line(self.now, || format!("the annex knows that {fact:?} is no more"));
            self.annex.set(fact, false, self.now);
            self.ledger.counts.given_up += 1;
        }
    }

    pub(super) fn annex_due(&mut self) {
        self.after(LOOK_EVERY, Event::AnnexDue);
        let Some((host, max_age)) = self.vouching.annex else { return };
        let (now, well) = (self.now, self.well_link(host));
        let mut known = Vec::new();
        for (fact, (since, well_since)) in &mut self.vouching.due {
            *well_since = match (*well_since, well) {
                (Some((before, since)), Some(wire)) if before == wire => Some((wire, since)),
                (_, wire) => wire.map(|wire| (wire, now)),
            };
            let is_told = well_since.is_some_and(|(_, since)| now >= since.plus(KNOWN_WITHIN));
            let is_old = now >= since.plus(max_age + ON_ITS_WAY) && !self.hosts[host].stepped;
            known.extend((is_told || is_old).then_some(*fact));
        }
        known.into_iter().for_each(|fact| self.annex_knows(fact));
    }

    /// A host's link, if nothing keeps it from saying all there is.
    fn well_link(&self, host: usize) -> Option<WireId> {
        let runs = |n: usize| self.hosts[n].process.as_ref().is_some_and(|process| !process.stopping);
        let (_, id) = self.uplinks.get(&host)?;
        let wire = self.net.wires.get(id).filter(|wire| matches!(wire.client, Client::Edge { .. }))?;
        let is_open = wire.trusted && wire.client_open && wire.server_open && !wire.forgotten;
        let road = Road::Uplink(host);
        let is_cut = self.net.is_cut(road, Way::Up) || self.net.is_cut(road, Way::Down);
        (is_open && !is_cut && runs(host) && runs(0)).then_some(*id)
    }

    /// Whether the annex must have heard of its hub lately enough to let people in.
    pub(super) fn annex_is_fresh(&self, host: usize, since: Time) -> bool {
        let Some((_, max_age)) = self.vouching.annex.filter(|(annex, _)| *annex == host) else { return true };
        let heard = self.vouching.heard.filter(|(_, life)| *life == self.hosts[host].life);
        heard.is_some_and(|(at, _)| at.plus(IN_FORCE) < since && self.now.plus(LOOKS) < at.plus(max_age))
    }

    /// Whether the annex must let nobody in, since it has not heard its hub for so long.
    pub(super) fn annex_is_stale(&self, host: usize) -> bool {
        let Some((_, max_age)) = self.vouching.annex.filter(|(annex, _)| *annex == host) else {
            return false;
        };
        let is_old = |(at, _): (Time, u64)| self.now > at.plus(max_age + LOOKS);
        self.vouching.heard.is_none_or(is_old) && !self.hosts[host].stepped
    }
}

fn is_given_up(fact: Fact) -> bool {
    matches!(fact, Fact::Holds(_) | Fact::Lives(_))
}

fn is_vault(room: &riser_gate::RoomConfig) -> bool {
    site::VAULTS.contains(&room.name.as_str())
}
