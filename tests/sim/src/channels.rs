//! Which channels a room takes that may have so many: the first that were published in. What an edge brings of others is in
//! quarantine, and nothing else is for that.

use crate::{host::Host, journal::Journal, ledger::Ledger, site};
use riser_model::Seq;
use riser_wire::entry::Kind;
use std::collections::BTreeSet;

/// The channels of the yard in which something was published before a seq.
pub fn are_there(journal: &Journal, before: Seq) -> BTreeSet<&str> {
    let yard = site::room(site::YARD);
    let all = journal.entries.range(..before).map(|(_, entry)| entry);
    let all = all.filter(|entry| entry.room == Some(yard) && entry.kind == Kind::Publication);
    all.filter_map(|entry| Some(entry.channel.as_ref()?.as_str())).collect()
}

/// What is wrong with the yard's channels at the hub.
pub fn judge(hub: &Host, ledger: &Ledger) -> Vec<String> {
    let (mut wrong, mut there) = (Vec::new(), BTreeSet::new());
    let Some(most) = ledger.channels.map(|most| most as usize) else { return wrong };
    let (yard, meant) = (site::room(site::YARD), format!("quota/{}/", site::room(site::YARD)));
    // A channel counts that was named for what could not be stored, or broke the room's schema.
    let exact = !hub.refused && !hub.troubled && !hub.damaged && !hub.stale && ledger.counts.broken == 0;
    // One of which the log has nothing any more is forgotten with a restart.
    let remembers = hub.oldest_there() <= Seq(1);
    for (seq, entry) in hub.journal.entries.iter().filter(|(_, entry)| entry.kind == Kind::Publication) {
        let Some(channel) = entry.channel.as_ref().map(|channel| channel.as_str()) else { continue };
        if entry.room == Some(yard) && there.insert(channel) && remembers && there.len() > most {
            wrong.push(format!("hub {}: {channel} is one channel more than {most}", seq.0));
        }
        let beyond = channel.strip_prefix(&meant).filter(|_| entry.room == Some(site::quarantine()));
        if let Some(channel) = beyond
            && (remembers && there.contains(channel) || exact && there.len() < most)
        {
            let what = format!("hub {}: {channel} is in quarantine for the room's quota", seq.0);
            wrong.push(format!("{what}, and of {most} channels there are {there:?}"));
        }
    }
    wrong
}
