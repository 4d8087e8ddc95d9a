//! What a room takes that has a quota, held against what was really committed: no more in any span than it says, of who
//! publishes there; and nobody is refused, and nothing of an edge's is in quarantine for it, while the room has taken less.
//!
//! Nobody outside knows when a span begins. So many spans of it, less a moment, lie in one span more at most; and whoever is
//! refused is refused in a span that has taken all it takes. A restart begins a new span and knows of none before.

use crate::{
    floors::Moment,
    host::{Host, opening::Opening},
    site,
    wires::WireId,
};
use riser_model::{Quota, RoomId, Seq, Time};
use riser_wire::entry::Kind;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What is accepted is committed, and said, within so long.
const TAKES: Duration = Duration::from_secs(10);
/// The core hears of a connection's end within so long.
const HEARS_WITHIN: Duration = Duration::from_secs(2);
/// So many spans of the wall clock take one more together, of what is late.
const TOGETHER: u32 = 16;

#[derive(Clone, Copy, Debug)]
struct One {
    seq: Seq,
    at: Time,
    made: Time,
    bytes: u64,
    came_up: bool,
    stepped: bool,
    /// It was there after a crash: nobody knows since when.
    found: bool,
}

/// How much was taken.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    count: u64,
    bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Market {
    quota: Quota,
    /// Whether edges have the same one.
    at_edges: bool,
    /// Who was refused: at which host, and when that was said.
    refused: Vec<(usize, Moment, u64)>,
    /// Readers' connections that were let in, and those that ended since.
    inside: BTreeSet<WireId>,
    left: BTreeMap<WireId, Time>,
    /// Connections of anybody there that ended, whether they read or published.
    gone: BTreeMap<WireId, Time>,
}

impl Market {
    /// A room with that quota.
    pub fn new(quota: Quota, at_edges: bool) -> Self {
        Self {
            quota,
            at_edges,
            refused: Vec::new(),
            inside: BTreeSet::new(),
            left: BTreeMap::new(),
            gone: BTreeMap::new(),
        }
    }

    /// A writer heard that the room takes no more, which was said then; it has so many bytes.
    pub fn refuses(&mut self, host: usize, when: Moment, bytes: u64) {
        self.refused.push((host, when, bytes));
    }

    /// A door says to a reader that it is in. Says if that is one too many.
    pub fn lets_in(&mut self, wire: WireId) -> Option<String> {
        self.inside.insert(wire);
        let most = self.quota.subscriptions.into_iter().chain(self.quota.connections).min()?;
        let inside = self.inside.len();
        (inside > most as usize).then(|| format!("{inside} read in a room that takes {most}"))
    }

    /// Its connection is none any more.
    pub fn leaves(&mut self, wire: WireId, now: Time) {
        if self.inside.remove(&wire) {
            self.left.insert(wire, now);
        }
        self.gone.insert(wire, now);
    }

    /// A door says to a reader that there is no place. So many connections to the room are open.
    pub fn turns_away(&mut self, open: usize, now: Time) -> Option<String> {
        for ended in [&mut self.left, &mut self.gone] {
            ended.retain(|_, at| at.plus(HEARS_WITHIN) > now);
        }
        let reads = self.inside.len() + self.left.len();
        let full = self.quota.subscriptions.is_some_and(|most| reads >= most as usize)
            || self.quota.connections.is_some_and(|most| open + self.gone.len() > most as usize);
        (!full)
            .then(|| format!("one is turned away from a room in which {reads} read, of {open} connections"))
    }

    /// What is wrong with what was taken and what was not.
    pub fn judge(&self, hosts: &[Host]) -> Vec<String> {
        let (mut wrong, room) = (Vec::new(), site::room(site::MARKET));
        let beyond = format!("quota/{room}/");
        for (number, host) in hosts.iter().enumerate() {
            let not_taken = entries(host, hosts, (site::quarantine(), Some(&beyond)));
            if number > 0 && !self.at_edges {
                let undue = not_taken.first();
                wrong.extend(undue.map(|one| format!("host {number}: {} is beyond no quota", one.seq.0)));
                continue;
            }
            let taken = entries(host, hosts, (room, None));
            for (n, opening) in host.openings.iter().enumerate() {
                let next = host.openings.get(n + 1).map_or(Seq(u64::MAX), |next| next.next);
                let of_life = |all: &[One]| -> Vec<One> {
                    all.iter().filter(|one| one.seq >= opening.next && one.seq < next).copied().collect()
                };
                let taken = of_life(&taken);
                let what = |what: String| format!("host {}: {what}", host.setup.number);
                wrong.extend(self.too_much(&taken).map(what));
                let quarantined = of_life(&not_taken);
                wrong.extend(quarantined.iter().filter_map(|one| self.too_little(one, &taken)).map(what));
                let of = |(number, when, _): &&(usize, Moment, u64)| {
                    *number == host.setup.number && when.life == opening.life && !host.troubled
                };
                let refused = self.refused.iter().filter(of);
                wrong.extend(refused.filter_map(|one| self.unduly(one, &taken, opening)).map(what));
            }
        }
        wrong
    }

    /// More than there may be of what was published there, in so many spans.
    fn too_much(&self, taken: &[One]) -> Option<String> {
        let own: Vec<One> = taken.iter().filter(|one| !one.came_up && !one.found).copied().collect();
        (1..=TOGETHER).find_map(|spans| {
            let window = (self.quota.span() * spans).checked_sub(TAKES)?;
            own.iter().find_map(|first| {
                let amount = sum(&own, |one| one.at >= first.at && one.at < first.at.plus(window));
                self.is_beyond(amount, u64::from(spans) + 1, false).then(|| {
                    let s = window.as_secs();
                    format!("{amount:?} were taken in {s} s from {} on, of {:?}", first.seq.0, self.quota)
                })
            })
        })
    }

    /// That is in quarantine, and the room had taken less than it takes: in the span that ran, and when it was made.
    fn too_little(&self, one: &One, taken: &[One]) -> Option<String> {
        let span = self.quota.span();
        let running = sum(taken, |other| {
            other.found || is_within(other.at, one.at, span + TAKES) && other.at <= one.at
        });
        let own = |amount: Amount| Amount { count: amount.count + 1, bytes: amount.bytes + one.bytes };
        let late = (1..=TOGETHER).any(|spans| {
            let then =
                sum(taken, |other| other.found || is_within(other.made, one.made, span * spans + TAKES));
            self.is_beyond(own(then), u64::from(spans) + 1, true)
        });
        let over = one.stepped || one.found || late || self.is_beyond(own(running), 1, true);
        (!over).then(|| format!("{} is in quarantine for the quota, after {running:?}", one.seq.0))
    }

    /// Somebody was refused, and the room had taken less than it takes.
    fn unduly(
        &self,
        (_, when, bytes): &(usize, Moment, u64),
        taken: &[One],
        opening: &Opening,
    ) -> Option<String> {
        let from = Time(when.at.0.saturating_sub((self.quota.span() + TAKES).as_nanos() as u64));
        let running =
            sum(taken, |one| one.found || one.at >= from.max(opening.at) && one.at <= when.at.plus(TAKES));
        let with = Amount { count: running.count + 1, bytes: running.bytes + bytes };
        let s = when.at.0 / 1_000_000_000;
        (!self.is_beyond(with, 1, true))
            .then(|| format!("somebody is refused at {s} s, after {running:?} of {:?}", self.quota))
    }

    /// Whether it is more than so many spans take. What names no limit on publications has none; `or_refused`: places are a
    /// reason too, of which it is not known here who had them.
    fn is_beyond(&self, amount: Amount, spans: u64, or_refused: bool) -> bool {
        self.quota.messages.is_some_and(|most| amount.count > most * spans)
            || self.quota.bytes.is_some_and(|most| amount.bytes > most.0 * spans)
            || or_refused && self.quota.messages.is_none() && self.quota.bytes.is_none()
    }
}

fn is_within(at: Time, of: Time, within: Duration) -> bool {
    at <= of.plus(within) && of <= at.plus(within)
}

fn sum(all: &[One], is_one: impl Fn(&One) -> bool) -> Amount {
    let all = all.iter().filter(|one| is_one(one));
    all.fold(Amount::default(), |sum, one| Amount { count: sum.count + 1, bytes: sum.bytes + one.bytes })
}

/// The publications of a room at a host, or of a room's channels there that begin so, with when they were made.
fn entries(host: &Host, hosts: &[Host], (room, channels): (RoomId, Option<&str>)) -> Vec<One> {
    let is_one = |entry: &crate::journal::Logged| {
        let channel = entry.channel.as_ref().map_or("", |channel| channel.as_str());
        entry.room == Some(room)
            && entry.kind == Kind::Publication
            && channels.is_none_or(|channels| channel.starts_with(channels))
    };
    let all = host.journal.entries.iter().filter(|(_, entry)| is_one(entry));
    all.map(|(seq, entry)| {
        let (at, stepped) = (host.committed_at(*seq), host.stepped);
        let origin = entry.origin.and_then(|(log, _, seq)| {
            let edge = hosts.iter().find(|host| host.log == Some(log))?;
            Some((edge.committed_at(seq), edge.stepped, edge.was_found(seq)))
        });
        let (made, edge_stepped, edge_found) = origin.unwrap_or((at, false, false));
        let found = edge_found || host.was_found(*seq);
        let bytes = entry.body.len() as u64;
        let came_up = entry.origin.is_some();
        One { seq: *seq, at, made, bytes, came_up, stepped: stepped || edge_stepped, found }
    })
    .collect()
}
