//! What came down: every publication of a room that goes down is at each edge that did not bring it, once, in the order of
//! whoever is above, unchanged; and nothing else of the log above is there.

use crate::{
    host::Host,
    journal::{Journal, Logged},
    ledger::Ledger,
    site,
};
use riser_model::{Epoch, LogId, Seq};
use riser_wire::entry::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Where an entry was first appended.
type Place = (LogId, Epoch, Seq);

/// What is wrong with what came down, link by link, and how many entries did.
pub fn judge(hosts: &[Host], ledger: &Ledger) -> (Vec<String>, u64) {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for edge in hosts.iter().skip(1) {
        let hub = &hosts[edge.setup.parent];
        let (Some(hub_log), Some(own)) = (hub.log, edge.log) else { continue };
        let name = format!("edge {}", edge.setup.number);
        let there = places(&hub.journal, hub_log);
        let hurt = hub.stale || hub.damaged || edge.stale || edge.damaged;
        let below = logs_below(hosts, edge.setup.number);
        let missing = ledger.missing.get(&edge.setup.number).map_or(&[][..], Vec::as_slice);
        let mut here: BTreeMap<Place, Seq> = BTreeMap::new();
        let mut newest = Seq::ZERO;
        for (seq, entry) in &edge.journal.entries {
            let Some(place) = entry.origin else { continue };
            // What a hub forgot, edges bring it again, and it goes down to the others again.
            let again = hosts.iter().any(|above| above.stale && above.log != Some(place.0));
            if here.insert(place, *seq).is_some() && !again {
                wrong.push(format!("{name}: {place:?} came there twice"));
            }
            if place.0 == own {
                wrong.push(format!("{name}: {place:?} came up from there and came down again"));
            }
            if below.contains(&place.0) {
                continue;
            }
            count += 1;
            if !goes_down(entry, ledger) {
                wrong.push(format!("{name}: {place:?} is not for an edge: {entry:?}"));
            }
            let above = there.get(&place).map_or(&[][..], Vec::as_slice);
            let next = above.iter().find(|(at, _)| *at > newest);
            match next.or(above.last()) {
                Some(_) if next.is_none() && !hurt => {
                    wrong.push(format!("{name}: {place:?} came after what follows it above"));
                }
                Some((_, source)) if source.body != entry.body || source.channel != entry.channel => {
                    wrong.push(format!("{name}: {place:?} changed on its way down"));
                }
                Some((at, _)) => newest = *at,
                None if !hurt => wrong.push(format!("{name}: {place:?} came down and never was above")),
                None => {}
            }
        }
        let is_told = |at: Seq| missing.iter().any(|gap| gap.from <= at && at <= gap.to);
        let due = there
            .iter()
            .filter(|(place, _)| place.0 != own && !below.contains(&place.0) && !here.contains_key(*place));
        let due = due.flat_map(|(place, all)| all.iter().map(move |(at, entry)| (place, *at, *entry)));
        // Who lets go of what one below does not have yet says so; a hub does of what is no more in its log.
        let gone = |at: Seq| is_told(at) && (edge.setup.parent != 0 || at < hub.oldest_there());
        let owed = due.filter(|(_, at, entry)| goes_down(entry, ledger) && !gone(*at));
        if !hurt {
            wrong.extend(
                owed.map(|(place, at, _)| format!("{name}: {place:?}, {} above, did not come down", at.0)),
            );
        }
    }
    (wrong, count)
}

/// The logs of all edges below a host.
pub fn logs_below(hosts: &[Host], number: usize) -> BTreeSet<LogId> {
    let mut below = BTreeSet::new();
    for edge in hosts.iter().skip(1).filter(|edge| edge.setup.parent == number) {
        below.extend(edge.log);
        below.extend(logs_below(hosts, edge.setup.number));
    }
    below
}

/// A log's entries by where they were first appended. What a hub forgot may be there again.
fn places(journal: &Journal, log: LogId) -> BTreeMap<Place, Vec<(Seq, &Logged)>> {
    let mut places: BTreeMap<Place, Vec<(Seq, &Logged)>> = BTreeMap::new();
    for (seq, entry) in &journal.entries {
        places.entry(entry.origin.unwrap_or((log, entry.epoch, *seq))).or_default().push((*seq, entry));
    }
    places
}

/// Whether an edge is to have it.
pub fn goes_down(entry: &Logged, ledger: &Ledger) -> bool {
    let vaults = site::VAULTS.into_iter().filter(|_| ledger.vaults_down);
    let mut rooms = vaults.chain([site::YARD]).map(site::room);
    entry.kind == Kind::Publication && entry.room.is_some_and(|room| rooms.any(|one| one == room))
}
