//! What somebody who comes late is shown of what channels retain, held against the journal: the newest of each channel
//! that may be read, or what came after; nothing that was cleared, nothing else.

use crate::{guest::Identity, journal::Journal, mqtt::Published, reading::may_hear, site};
use bytes::Bytes;
use riser_model::Seq;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

/// See the module.
#[derive(Debug, Default)]
pub struct Shown {
    /// Since it asked.
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    /// What was committed by then, and the core knew of.
    since: Seq,
    /// What was retained then.
    retained: BTreeMap<String, Bytes>,
    /// Channels of which the newest went unseen by the table: they have that or an older one.
    unsure: BTreeSet<String>,
    shown: BTreeSet<String>,
    judged: bool,
}

impl Shown {
    /// It asks. The core has heard of everything up to here; the table of what is retained never saw `missed`.
    pub fn asks(&mut self, who: &Identity, journal: &Journal, since: Seq, missed: &[RangeInclusive<Seq>]) {
        let mut newest = BTreeMap::new();
        for (seq, channel, payload) in between(who, journal, Seq(0), since) {
            newest.insert(channel, (seq, payload));
        }
        let is_missed = |seq: Seq| missed.iter().any(|missed| missed.contains(&seq));
        let (mut retained, mut unsure) = (BTreeMap::new(), BTreeSet::new());
        for (channel, (seq, payload)) in newest {
            if is_missed(seq) {
                unsure.insert(channel.to_owned());
            } else if !payload.is_empty() {
                retained.insert(channel.to_owned(), payload);
            }
        }
        self.asked = Some(Asked { since, retained, unsure, shown: BTreeSet::new(), judged: false });
    }

    /// It goes.
    pub fn leaves(&mut self) {
        self.asked = None;
    }

    /// It was told something. Says what is wrong with it, and whether it is known by now that all is right.
    pub fn told(
        &mut self,
        who: &Identity,
        published: &Published,
        journal: &Journal,
    ) -> (Option<String>, bool) {
        let Some(asked) = &mut self.asked else { return (None, false) };
        if !published.retain {
            // Whatever is retained comes before the first that is new.
            return self.has_seen(who, journal);
        }
        let Published { topic, payload, .. } = published;
        let Some(channel) = topic.strip_prefix(&format!("{}/", who.room)) else {
            return (Some(format!("{} was shown {topic}, which is in another room", who.id)), false);
        };
        if !may_hear(&who.user, &who.filter, channel) {
            return (Some(format!("{} was shown {topic}, which is not for it", who.id)), false);
        }
        if !asked.shown.insert(channel.to_owned()) {
            return (Some(format!("{} was shown what {topic} retains twice", who.id)), false);
        }
        let right = asked.retained.get(channel).is_some_and(|retained| retained == payload)
            || asked.unsure.contains(channel)
            || later(who, journal, asked.since)
                .any(|(name, value)| name == channel && value == *payload && !value.is_empty());
        let what = || {
            let (shown, retained) = (String::from_utf8_lossy(payload), asked.retained.get(channel));
            format!("{} was shown {shown:.20} of {topic}, which retains {retained:.20?}", who.id)
        };
        ((!right).then(what), false)
    }

    /// It must have been shown everything by now.
    pub fn has_seen(&mut self, who: &Identity, journal: &Journal) -> (Option<String>, bool) {
        let Some(asked) = self.asked.as_mut().filter(|asked| !asked.judged) else { return (None, false) };
        asked.judged = true;
        let unshown = asked.retained.keys().find(|channel| {
            !asked.shown.contains(*channel)
                && !later(who, journal, asked.since).any(|(name, _)| name == channel.as_str())
        });
        let wrong = unshown.map(|channel| {
            format!("{} was not shown what {channel} retains: {:.20?}", who.id, asked.retained.get(channel))
        });
        (wrong, true)
    }
}

/// What was published to stay after that.
fn later<'a>(
    who: &'a Identity,
    journal: &'a Journal,
    since: Seq,
) -> impl Iterator<Item = (&'a str, Bytes)> + 'a {
    let rest = between(who, journal, since.next(), Seq(u64::MAX));
    rest.map(|(_, channel, payload)| (channel, payload))
}

fn between<'a>(
    who: &'a Identity,
    journal: &'a Journal,
    from: Seq,
    to: Seq,
) -> impl Iterator<Item = (Seq, &'a str, Bytes)> + 'a {
    let room = site::room(&who.room);
    let here = journal.retained(from..=to).filter(move |(_, entry)| entry.room == Some(room));
    here.filter_map(|(seq, entry)| {
        let channel = entry.channel.as_ref()?.as_str();
        may_hear(&who.user, &who.filter, channel).then_some((seq, channel, entry.payload()?))
    })
}
