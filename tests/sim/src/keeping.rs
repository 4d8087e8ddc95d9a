//! What somebody with a kept session was told, held against the journal: everything from where it began, in order; at
//! QoS 2 exactly once, over whatever cuts and crashes there were; at QoS 1 at least once.

use crate::{
    guest::Identity,
    journal::{Journal, Logged},
    mqtt::Published,
    reading::may_hear,
    site,
};
use riser_model::Seq;

/// See the module.
#[derive(Debug, Default)]
pub struct Keeping {
    /// What was committed when it first asked.
    since: Option<Seq>,
    /// It may have begun behind these.
    began_by: Option<Seq>,
    /// The newest that it was told at QoS 1 and 2.
    at: [Seq; 2],
    /// Messages at QoS 2.
    pub exactly: u64,
}

impl Keeping {
    /// It asks. The core has heard of everything up to here.
    pub fn asks(&mut self, since: Seq) {
        if self.since.is_none() {
            self.since = Some(since);
            self.at = [since; 2];
        }
    }

    /// It was told that its session has the subscription.
    pub fn begins(&mut self, journal: &Journal) {
        self.began_by.get_or_insert(journal.next().prev());
    }

    /// It was told something; its host's log begins at `there`, on disk, of which its core may not have heard yet. Says what
    /// is wrong with it.
    pub fn told(
        &mut self,
        who: &Identity,
        published: &Published,
        journal: &Journal,
        there: Seq,
    ) -> Option<String> {
        let Published { topic, payload, qos, retain, .. } = published;
        if let Some((from, to)) = published.gap {
            if Seq(to) >= there {
                let what =
                    format!("{} was told that {from} to {to} are gone, and {} is there", who.id, there.0);
                return Some(what);
            }
            self.at = self.at.map(|at| at.max(Seq(to)));
        }
        // What a channel retains is shown again to who asks again with MQTT 3.1.1.
        let place = usize::from(*qos).checked_sub(1).filter(|_| !retain)?;
        self.exactly += u64::from(*qos == 2);
        let since = self.since?;
        let is_it = |entry: &Logged| {
            let channel = entry.channel.as_ref().map_or("", |channel| channel.as_str());
            *topic == format!("{}/{channel}", who.room)
                && entry.payload().is_some_and(|stored| stored == *payload)
        };
        let from = *self.at.get(place)?;
        let began_by = self.began_by.unwrap_or(Seq(u64::MAX));
        let (mut skipped, mut gone) = (None, None);
        for (seq, entry) in due(who, *qos, journal, from) {
            // Whom MQTT 3.1.1 cannot tell of a gap may have met one: where the same was published more than once and the
            // log let go of the first, it was told that, or a later one.
            if is_it(entry) && seq < there && !who.v5 {
                gone.get_or_insert(seq);
                continue;
            }
            if seq >= there
                && !is_it(entry)
                && let Some(gone) = gone
            {
                self.at[place] = gone;
                return None;
            }
            if is_it(entry) {
                // Of publications that are the same, byte for byte, one that was told may be told again.
                let mut told = due(who, *qos, journal, since).take_while(|(seq, _)| *seq <= from);
                if skipped.is_some() && *qos == 1 && told.any(|(_, entry)| is_it(entry)) {
                    return None;
                }
                self.at[place] = seq;
                let what = |(not, name)| {
                    format!("{} was told {} ({}) and not {not} ({name})", who.id, seq.0, named(entry))
                };
                return skipped.map(what);
            }
            if seq > began_by && (seq >= there || who.v5) {
                skipped.get_or_insert((seq.0, named(entry)));
            }
        }
        if let Some(gone) = gone {
            self.at[place] = gone;
            return None;
        }
        let before = due(who, *qos, journal, since).take_while(|(seq, _)| *seq <= from);
        match before.into_iter().find(|(_, entry)| is_it(entry)) {
            Some(_) if *qos == 1 => None,
            Some((seq, _)) => {
                Some(format!("{} was told {} ({topic}) at QoS 2 twice, is at {}", who.id, seq.0, from.0))
            }
            None => Some(format!("{} was told {topic} at QoS {qos}, which is not in the log", who.id)),
        }
    }

    /// The first that it should have been told by now and was not.
    pub fn owed(&self, who: &Identity, journal: &Journal, oldest: Seq) -> Option<Seq> {
        let began_by = self.began_by?;
        let owes = |(seq, _): &(Seq, &Logged)| *seq > began_by && *seq >= oldest;
        let owed = |qos: u8, at: Seq| due(who, qos, journal, at).find(owes).map(|(seq, _)| seq);
        owed(1, self.at[0]).or_else(|| owed(2, self.at[1]))
    }
}

fn named(entry: &Logged) -> String {
    let channel = entry.channel.as_ref().map_or("", |channel| channel.as_str());
    let payload = entry.payload().unwrap_or_default();
    format!("{:.15} in {channel}", String::from_utf8_lossy(&payload))
}

/// What is for it at that QoS, after a seq.
fn due<'a>(
    who: &'a Identity,
    qos: u8,
    journal: &'a Journal,
    after: Seq,
) -> impl Iterator<Item = (Seq, &'a Logged)> + 'a {
    let room = site::room(&who.room);
    let rest = journal.entries.range(after.next()..).filter(move |(_, entry)| entry.room == Some(room));
    rest.filter(move |(_, entry)| {
        entry.channel.as_ref().is_some_and(|channel| may_hear(&who.user, &who.filter, channel.as_str()))
            && entry.manner().is_some_and(|(published, _)| published.min(who.qos) == qos)
    })
    .map(|(seq, entry)| (*seq, entry))
}
