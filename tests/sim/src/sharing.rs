//! What the members of a shared subscription are told, held against the hub's log: each publication goes to one of them; at
//! QoS 2 once, over whatever cuts and crashes there were; at QoS 1 again only where whoever had it may not have said that it
//! has; and none is missing while a session of one is kept.

use crate::{
    guest::Identity,
    host::Host,
    journal::{Journal, Logged},
    mqtt::Published,
    site,
};
use riser_model::{Seq, Time};
use std::{collections::BTreeMap, time::Duration};

/// What a member was told, it has acknowledged within so long, or its connection is gone.
const SETTLES_WITHIN: Duration = Duration::from_secs(90);
/// What was acknowledged so long before the hub died does not come again: a second, and the roads and commits there are.
const NOTED_WITHIN: Duration = Duration::from_secs(12);

/// A publication, by its channel and payload.
type Name = (String, Vec<u8>);

#[derive(Clone, Copy, Debug)]
struct Telling {
    member: usize,
    visit: u32,
    at: Time,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Sharing {
    /// What was committed when the first one asked, and when one whose session is kept was told that it is a member.
    since: Option<Seq>,
    began_by: Option<Seq>,
    told: BTreeMap<Name, Vec<Telling>>,
    /// How often each member came, and when it left again.
    visits: BTreeMap<usize, u32>,
    left: BTreeMap<(usize, u32), Time>,
    /// Messages so far.
    pub messages: u64,
    /// Those that came again.
    pub again: u64,
}

impl Sharing {
    /// A member comes.
    pub fn comes(&mut self, member: usize) {
        *self.visits.entry(member).or_default() += 1;
    }

    /// It goes, or is left.
    pub fn leaves(&mut self, member: usize, now: Time) {
        let visit = self.visits.get(&member).copied().unwrap_or_default();
        self.left.entry((member, visit)).or_insert(now);
    }

    /// It asks. The core has heard of everything up to here.
    pub fn asks(&mut self, since: Seq) {
        self.since.get_or_insert(since);
    }

    /// A member whose session is kept was told that it is one.
    pub fn begins(&mut self, journal: &Journal) {
        self.began_by.get_or_insert(journal.next().prev());
    }

    /// A member was told something. Says what is wrong with it.
    pub fn told(
        &mut self,
        (member, who): (usize, &Identity),
        published: &Published,
        hub: &Host,
        now: Time,
    ) -> Option<String> {
        let Published { topic, payload, qos, retain, .. } = published;
        self.messages += 1;
        if *retain {
            return Some(format!("{} was shown what {topic} retains, as one of a group", who.id));
        }
        if *qos == 0 || payload.is_empty() {
            return None;
        }
        let channel = topic.strip_prefix(&format!("{}/", who.room)).unwrap_or_default().to_owned();
        let since = self.since.unwrap_or_default();
        let is_it = |entry: &Logged| {
            entry.channel.as_ref().is_some_and(|stored| stored.as_str() == channel)
                && entry.payload().is_some_and(|stored| stored == *payload)
                && entry.manner().is_some_and(|(published, _)| published.min(who.qos) == *qos)
        };
        let stored = in_room(who, &hub.journal, since).filter(|(_, entry)| is_it(entry)).count();
        if stored == 0 {
            return Some(format!("{} was told {topic} at QoS {qos}, which is not in the log", who.id));
        }
        let visit = self.visits.get(&member).copied().unwrap_or_default();
        let all = self.told.entry((channel, payload.clone())).or_default();
        all.push(Telling { member, visit, at: now });
        let over = all.len().checked_sub(stored).filter(|over| *over > 0)?;
        self.again += 1;
        let unsettled = |telling: &&Telling| {
            let left = self.left.get(&(telling.member, telling.visit));
            left.is_some_and(|left| left.since(telling.at) <= SETTLES_WITHIN)
                || hub.ended.iter().any(|died| *died >= telling.at && died.since(telling.at) <= NOTED_WITHIN)
        };
        let may_come_again = all.iter().filter(unsettled).count();
        let name = String::from_utf8_lossy(payload).into_owned();
        if *qos == 2 {
            return Some(format!(
                "{} was told {name:.15} at QoS 2, which one of its group has: {all:?}",
                who.id
            ));
        }
        (may_come_again < over).then(|| format!("{} was told {name:.15}, which one has: {all:?}", who.id))
    }

    /// The first that one of them should have been told by now and was not, of what the log still has.
    pub fn owed(&self, who: &Identity, journal: &Journal, oldest: Seq) -> Option<Seq> {
        let began_by = self.began_by?;
        let mut stored: BTreeMap<Name, (Seq, usize)> = BTreeMap::new();
        for (seq, entry) in in_room(who, journal, began_by) {
            let Some((channel, payload)) = entry.channel.as_ref().zip(entry.payload()) else { continue };
            let counts = entry.manner().is_some_and(|(published, _)| published.min(who.qos) > 0);
            if counts && !payload.is_empty() {
                stored.entry((channel.as_str().to_owned(), payload.to_vec())).or_insert((seq, 0)).1 += 1;
            }
        }
        let told = |name: &Name| self.told.get(name).map_or(0, Vec::len);
        let owes = |(name, (seq, count)): &(Name, (Seq, usize))| *seq >= oldest && told(name) < *count;
        stored.into_iter().find(owes).map(|(_, (seq, _))| seq)
    }
}

/// What was published in the room after a seq.
fn in_room<'a>(
    who: &Identity,
    journal: &'a Journal,
    after: Seq,
) -> impl Iterator<Item = (Seq, &'a Logged)> + 'a {
    let room = site::room(&who.room);
    let all = journal.entries.range(after.next()..).filter(move |(_, entry)| entry.room == Some(room));
    all.map(|(seq, entry)| (*seq, entry))
}
