//! What came down: every publication of a room that goes down is at each edge that did not bring it itself, once, in
//! the order of the hub, unchanged; and nothing else of the hub's log is there.

use crate::{
    host::Host,
    journal::{Journal, Logged},
    site,
};
use riser_model::{Epoch, LogId, Seq};
use riser_wire::entry::Kind;
use std::collections::BTreeMap;

/// Where an entry was first appended.
type Place = (LogId, Epoch, Seq);

/// What is wrong with what came down, and how many entries did.
pub fn judge(hub: &Host, edges: &[&Host]) -> (Vec<String>, u64) {
    let (mut wrong, mut count) = (Vec::new(), 0);
    let Some(hub_log) = hub.log else { return (wrong, count) };
    let there = places(&hub.journal, hub_log);
    for edge in edges {
        let name = format!("edge {}", edge.setup.number);
        let Some(own) = edge.log else { continue };
        let hurt = hub.stale || hub.damaged || edge.stale || edge.damaged;
        let mut here: BTreeMap<Place, Seq> = BTreeMap::new();
        let mut newest = Seq::ZERO;
        for (seq, entry) in &edge.journal.entries {
            let Some(place) = entry.origin else { continue };
            count += 1;
            // What a hub forgot, edges bring it again, and it goes down to the others again.
            if here.insert(place, *seq).is_some() && !(hub.stale && place.0 != hub_log) {
                wrong.push(format!("{name}: {place:?} came down twice"));
            }
            if place.0 == own {
                wrong.push(format!("{name}: {place:?} came up from there and came down again"));
            }
            if !goes_down(entry) {
                wrong.push(format!("{name}: {place:?} is not for an edge: {entry:?}"));
            }
            match there.get(&place) {
                Some((at, _)) if *at <= newest && !hurt => {
                    wrong.push(format!("{name}: {place:?} came after what follows it at the hub"));
                }
                Some((_, source)) if source.body != entry.body || source.channel != entry.channel => {
                    wrong.push(format!("{name}: {place:?} changed on its way down"));
                }
                Some((at, _)) => newest = *at,
                None if !hurt => wrong.push(format!("{name}: {place:?} came down and never was at the hub")),
                None => {}
            }
        }
        let missing = there
            .iter()
            .filter(|(place, (_, entry))| place.0 != own && goes_down(entry) && !here.contains_key(*place));
        if !hurt {
            wrong.extend(missing.map(|(place, (at, _))| {
                format!("{name}: {place:?}, {} at the hub, did not come down", at.0)
            }));
        }
    }
    (wrong, count)
}

/// A log's entries by where they were first appended.
fn places(journal: &Journal, log: LogId) -> BTreeMap<Place, (Seq, &Logged)> {
    let place = |seq: &Seq, entry: &Logged| entry.origin.unwrap_or((log, entry.epoch, *seq));
    journal.entries.iter().map(|(seq, entry)| (place(seq, entry), (*seq, entry))).collect()
}

/// Whether an edge is to have it.
pub fn goes_down(entry: &Logged) -> bool {
    entry.room == Some(site::room(site::YARD)) && entry.kind == Kind::Publication
}
