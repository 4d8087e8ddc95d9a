//! The last word on a run: every publication that was promised is where it belongs, once, in order, or named as
//! gone with a cause that was really there (promises 1 to 3).

use crate::{
    host::Host,
    journal::{Key, Logged},
    ledger::{Claim, Ledger},
    mutant::Mutant,
    site,
    writer::FIRST_KEY,
};
use riser_log::OnFull;
use riser_model::{
    Cause, Epoch, LogId, Seq,
    event::{self, Scope},
};
use riser_wire::entry::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Where an entry was first appended.
type Place = (LogId, Epoch, Seq);

/// What is wrong with a run.
pub fn judge(hosts: &[Host], ledger: &mut Ledger) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some((hub, edges)) = hosts.split_first() else { return wrong };
    let delivered = delivered(hub, ledger, &mut wrong);
    for edge in edges {
        let Some(log) = edge.log else { continue };
        let truth = Truth::of(edge, log);
        let judged = Edge { hosts, edge, log, ledger, delivered: &delivered, truth: &truth };
        judged.came_from_there(&mut wrong);
        let (gapped, lost) = (judged.all_is_there(&mut wrong), edge.lost.len() as u64);
        ledger.counts.gapped += gapped;
        ledger.counts.disk_lost += lost;
    }
    acknowledged(edges, ledger, &mut wrong);
    wrong.extend(told_gone(hub, &delivered));
    wrong
}

/// What the hub tells its account is gone is not there.
fn told_gone(hub: &Host, delivered: &BTreeMap<Place, &Logged>) -> Vec<String> {
    let room = Scope::Account(site::account()).room();
    let is_one = |entry: &&Logged| {
        entry.room == Some(room)
            && entry.channel.as_ref().is_some_and(|channel| channel.as_str() == "link_gap")
    };
    let told = hub.journal.entries.values().filter(is_one).filter_map(|entry| gone(&entry.payload()?));
    told.filter_map(|(log, epoch, from, to)| {
        let (place, _) = delivered.range((log, epoch, from)..=(log, epoch, to)).next()?;
        Some(format!("the hub tells that {} to {} are gone, and has {}", from.0, to.0, at(place)))
    })
    .collect()
}

/// Which seqs an event says are gone.
fn gone(event: &[u8]) -> Option<(LogId, Epoch, Seq, Seq)> {
    let event: serde_json::Value = serde_json::from_slice(event).ok()?;
    let data = event.get("data")?;
    let id = |name| u64::from_str_radix(data.get(name)?.as_str()?, 16).ok();
    let seq = |name| data.get("gap")?.get(name)?.as_u64().map(Seq);
    Some((LogId(id("log")?), Epoch(id("epoch")?), seq("from")?, seq("to")?))
}

/// The hub's entries from links, by where they came from: nothing twice, everything in order.
fn delivered<'a>(hub: &'a Host, ledger: &mut Ledger, wrong: &mut Vec<String>) -> BTreeMap<Place, &'a Logged> {
    let mut all = BTreeMap::new();
    let mut newest: BTreeMap<(LogId, Epoch), Seq> = BTreeMap::new();
    for (at, entry) in &hub.journal.entries {
        if !entry.intact {
            wrong.push(format!("hub {}: the checksum does not hold", at.0));
        }
        if entry.kind == Kind::Passed {
            wrong.push(format!("hub {}: nobody is above who would want that", at.0));
        }
        let Some((log, epoch, seq)) = entry.origin else { continue };
        ledger.counts.hub_entries += 1;
        if all.insert((log, epoch, seq), entry).is_some() {
            wrong.push(format!("hub {}: {:x}.{:x}.{} is there twice", at.0, log.0, epoch.0, seq.0));
        }
        let last = newest.entry((log, epoch)).or_insert(Seq::ZERO);
        if seq <= *last {
            wrong.push(format!("hub {}: {:x}.{} comes after {}", at.0, epoch.0, seq.0, last.0));
        }
        *last = seq.max(*last);
    }
    all
}

/// All that an edge's log ever committed.
struct Truth<'a> {
    /// What is there.
    there: BTreeMap<Place, &'a Logged>,
    /// What went with a disk.
    lost: BTreeMap<Place, &'a Logged>,
}

impl<'a> Truth<'a> {
    fn of(edge: &'a Host, log: LogId) -> Self {
        let there = edge.journal.entries.iter().map(|(seq, entry)| ((log, entry.epoch, *seq), entry));
        let lost = edge.lost.iter().map(|lost| ((log, lost.entry.epoch, lost.seq), &lost.entry));
        Self { there: there.collect(), lost: lost.collect() }
    }
}

struct Edge<'a> {
    hosts: &'a [Host],
    edge: &'a Host,
    log: LogId,
    ledger: &'a Ledger,
    delivered: &'a BTreeMap<Place, &'a Logged>,
    truth: &'a Truth<'a>,
}

impl Edge<'_> {
    fn name(&self) -> String {
        format!("edge {}", self.edge.setup.number)
    }

    /// What the hub has of this edge is what the edge had there, placed where it belongs.
    fn came_from_there(&self, wrong: &mut Vec<String>) {
        for (place, entry) in self.delivered.range((self.log, Epoch(0), Seq(0))..) {
            if place.0 != self.log {
                break;
            }
            let Some(source) = self.truth.there.get(place).or_else(|| self.truth.lost.get(place)) else {
                wrong.push(format!("{}: the hub has {}, which never was", self.name(), at(place)));
                continue;
            };
            if source.body != entry.body {
                wrong.push(format!("{}: {} changed on its way", self.name(), at(place)));
            }
            let quarantined = entry.room == Some(site::quarantine());
            let why =
                quarantined.then(|| entry.channel.as_ref().and_then(|name| name.as_str().split('/').next()));
            let (why, unplaceable) = (why.flatten(), self.unplaceable(source));
            let may_be_beyond = self.ledger.channels.is_some() && source.room == Some(site::room(site::YARD))
                || source.room == Some(site::room(site::MARKET));
            let is_beyond = why == Some("quota") && may_be_beyond && unplaceable.is_none();
            if unplaceable != why && !is_beyond {
                wrong.push(format!(
                    "{}: {} is in the wrong room: {:?} {:?} {:?}",
                    self.name(),
                    at(place),
                    source.kind,
                    source.channel,
                    entry.channel
                ));
            }
            if !quarantined && (source.room != entry.room || source.channel != entry.channel) {
                wrong.push(format!("{}: {} is in another channel", self.name(), at(place)));
            }
        }
    }

    /// Why the hub cannot place an entry, if it cannot.
    fn unplaceable(&self, entry: &Logged) -> Option<&'static str> {
        if forbidden(entry) {
            return Some("denied");
        }
        let in_yard = entry.room == Some(site::room(site::YARD));
        let payload = entry.payload().filter(|_| self.ledger.schema && in_yard)?;
        // Nothing, to stay, takes away what is there.
        let clears = payload.is_empty() && entry.manner().is_some_and(|(_, retain)| retain);
        (!clears && !site::fits(&payload)).then_some("schema")
    }

    /// What the edge has for the hub is there, or gone for a cause. Returns how many are gone.
    fn all_is_there(&self, wrong: &mut Vec<String>) -> u64 {
        let mut gapped = 0;
        for (place, entry) in &self.truth.there {
            let claim = self.ledger.claim(place.0, place.1, place.2);
            match (self.delivered.contains_key(place), carried(entry), claim) {
                (true, true, _) | (false, false, Some(Claim::Skip | Claim::Entry) | None) => {}
                (true, false, _) => {
                    wrong.push(format!("{}: {} is not for the hub: {entry:?}", self.name(), at(place)));
                }
                (false, true, Some(Claim::Entry)) if self.edge.setup.parent > 0 => {
                    gapped += 1;
                    if let Err(why) = self.was_lost_above(self.edge.setup.parent, place) {
                        wrong.push(format!("{}: {} is not at the hub, and {why}", self.name(), at(place)));
                    }
                }
                (false, _, Some(Claim::Gap(cause))) => {
                    gapped += 1;
                    if !self.may_be_gone(self.edge, cause) {
                        wrong.push(format!("{}: {} is gone for {}", self.name(), at(place), cause.name()));
                    }
                }
                (false, true, claim) => {
                    let through = self.hosts[0].journal.taken(place.0, place.1).unwrap_or_default().0;
                    wrong.push(format!(
                        "{}: {} is neither at the hub nor gone (claimed {claim:?}, hub is through {through})",
                        self.name(),
                        at(place)
                    ));
                }
            }
        }
        gapped
    }

    /// What reached an edge above and not the hub: lost there with its disk, said to be gone, for a cause that was there, or
    /// in quarantine there, for a quota that an edge may have; [`crate::market`] judges whether that was full.
    fn was_lost_above(&self, number: usize, place: &Place) -> Result<(), String> {
        let between = &self.hosts[number];
        let is_it = |entry: &Logged| entry.origin == Some(*place);
        let Some((seq, entry)) = between.journal.entries.iter().find(|(_, entry)| is_it(entry)) else {
            let lost = between.lost.iter().any(|lost| is_it(&lost.entry)) || between.damaged || between.stale;
            return if lost { Ok(()) } else { Err(format!("edge {number} never had it")) };
        };
        if is_beyond_quota(entry) {
            return Ok(());
        }
        let claim = between.log.and_then(|log| self.ledger.claim(log, entry.epoch, *seq));
        match claim {
            Some(Claim::Gap(cause)) if self.may_be_gone(between, cause) => Ok(()),
            Some(Claim::Entry) if between.setup.parent > 0 => {
                self.was_lost_above(between.setup.parent, place)
            }
            claim => Err(format!("edge {number} claimed {claim:?} of it")),
        }
    }

    fn may_be_gone(&self, edge: &Host, cause: Cause) -> bool {
        let (hurt, above) = (edge.damaged || edge.stale, &self.hosts[edge.setup.parent]);
        match cause {
            Cause::Quota => {
                let ring = edge.setup.log.on_full == OnFull::DropOldest;
                ring && edge.setup.mutant != Some(Mutant::RingInstead)
            }
            Cause::Damage | Cause::TailCut => edge.damaged,
            Cause::EdgeLost => hurt,
            Cause::ReceiverRewound => above.stale || above.damaged,
            Cause::Refused | Cause::TooLarge | Cause::RelayLost | Cause::HubQuota | Cause::Retention => false,
        }
    }
}

fn at(place: &Place) -> String {
    format!("{:x}.{}", place.1.0, place.2.0)
}

/// Whether it is in quarantine since the market took no more.
fn is_beyond_quota(entry: &Logged) -> bool {
    let beyond = format!("quota/{}/", site::room(site::MARKET));
    entry.room == Some(site::quarantine())
        && entry.channel.as_ref().is_some_and(|channel| channel.as_str().starts_with(&beyond))
}

/// Whether a link carries it.
fn carried(entry: &Logged) -> bool {
    let linked = [site::PLANT, site::YARD, site::LOUNGE, site::ATTIC, site::MARKET, site::CHRONICLE]
        .into_iter()
        .chain(site::VAULTS)
        .map(site::room);
    let of_room = || entry.room.is_some_and(|room| linked.clone().any(|one| one == room));
    // What edges say of publications that came down.
    let is_outcome = || {
        let mut spoken = linked.clone().map(site::events_of);
        let channel = entry.channel.as_ref();
        entry.room.is_some_and(|room| spoken.any(|one| one == room)) && channel.is_some_and(event::is_outcome)
    };
    (of_room() || is_outcome())
        // What came down does not go up again.
        && entry.origin.is_none()
        && match entry.kind {
            Kind::Publication | Kind::Opened | Kind::Closed | Kind::Roll => true,
            Kind::Release
            | Kind::Session
            | Kind::Canary
            | Kind::Anchor
            | Kind::Quarantined
            | Kind::Settled
            | Kind::Passed
            | Kind::Departed
            | Kind::Other(_) => false,
        }
}

fn forbidden(entry: &Logged) -> bool {
    entry.room == Some(site::room(site::PLANT))
        && entry.channel.as_ref().is_some_and(|channel| channel.as_str().starts_with(site::FORBIDDEN))
}

/// What devices were told is safe was on disk, once if they were promised that, in the order they sent it.
fn acknowledged(edges: &[Host], ledger: &Ledger, wrong: &mut Vec<String>) {
    let mut stored: BTreeMap<Key, u32> = BTreeMap::new();
    for edge in edges {
        let mut newest: BTreeMap<u32, u32> = BTreeMap::new();
        let there = edge.journal.entries.values().filter(|entry| entry.origin.is_none());
        for entry in there.filter(|entry| entry.kind == Kind::Publication) {
            let Some(key) = entry.key() else { continue };
            let seen = stored.entry(key).or_default();
            *seen += 1;
            match ledger.offers.get(&key) {
                None => wrong.push(format!("{key:?} was never offered")),
                Some(offer) if Some(&offer.payload) != entry.payload().as_ref() => {
                    wrong.push(format!("{key:?} is not what was offered"));
                }
                Some(offer) if entry.manner() != Some((offer.qos, offer.retain)) => {
                    wrong.push(format!("{key:?} is stored otherwise than it was published"));
                }
                Some(offer)
                    if offer.qos == 2
                        && *seen > 1
                        && !hurt(edge, key, ledger)
                        && !ledger.fleeting.contains(&key.device) =>
                {
                    wrong.push(format!("{key:?} of QoS 2 is there {seen} times"));
                }
                Some(_) => {}
            }
            // What goes at QoS 0 is not sent again, and so may be there before what was sent before it; a writer says
            // again later what alone was refused.
            if ledger.offers.get(&key).is_none_or(|offer| offer.qos == 0) || key.device >= FIRST_KEY {
                continue;
            }
            let last = newest.entry(key.device).or_default();
            if *seen == 1 && key.n < *last && !hurt(edge, key, ledger) {
                wrong.push(format!("{key:?} comes after {last} for the first time"));
            }
            *last = key.n.max(*last);
        }
    }
    let lost: BTreeSet<Key> =
        edges.iter().flat_map(|edge| &edge.lost).filter_map(|lost| lost.entry.key()).collect();
    for key in &ledger.acked {
        // Where a release was damaged, or a backup knows an id as open that was released since, that id swallows
        // what bears it next: MQTT gives no way to tell, since not every client says DUP.
        let home = edges.iter().find(|edge| ledger.homes.get(&key.device) == Some(&edge.setup.number));
        let swallowed = ledger.offers.get(key).is_some_and(|offer| offer.qos == 2)
            && home.is_some_and(|edge| edge.damaged || edge.stale);
        if swallowed || ledger.offers.get(key).is_some_and(|offer| offer.payload.is_empty()) {
            continue;
        }
        if !stored.contains_key(key) && !lost.contains(key) {
            wrong.push(format!("{key:?} was acknowledged and is nowhere"));
        }
    }
}

/// What writers have a receipt for is in the log of the host that they write to, and nothing of theirs is there twice:
/// what is sent again bears the same publish id.
pub fn written(hosts: &[Host], ledger: &Ledger) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut stored: BTreeMap<Key, u32> = BTreeMap::new();
    for host in hosts {
        let own = host.journal.entries.values().filter(|entry| entry.origin.is_none());
        for key in own.filter_map(Logged::key).filter(|key| key.device >= FIRST_KEY) {
            let seen = stored.entry(key).or_default();
            *seen += 1;
            if *seen > 1 && !host.stale && !host.damaged {
                wrong.push(format!("{key:?} is there {seen} times, whatever its publish id says"));
            }
        }
    }
    for key in &ledger.receipts {
        let home = ledger.homes.get(&key.device).and_then(|host| hosts.get(*host));
        let hurt = home.is_some_and(|host| host.stale || host.damaged);
        if !hurt && !stored.contains_key(key) {
            wrong.push(format!("{key:?} has a receipt and is nowhere"));
        }
    }
    wrong
}

/// Whether a disk that went back, or a session that was lost, lets a device's promise lapse.
fn hurt(edge: &Host, key: Key, ledger: &Ledger) -> bool {
    edge.stale || edge.damaged || ledger.sessions_lost.iter().any(|(_, device)| *device == key.device)
}
