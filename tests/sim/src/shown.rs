//! What somebody who comes late is shown of what channels retain, held against the journal: the newest of each channel
//! that may be read, or what came after; nothing that was cleared, nothing else.

use crate::{guest::Identity, journal::Journal, mqtt::Published, reading::may_hear, site};
use bytes::Bytes;
use riser_model::Seq;
use std::collections::{BTreeMap, BTreeSet};

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
    shown: BTreeSet<String>,
    judged: bool,
}

impl Shown {
    /// It asks. The core has heard of everything up to here.
    pub fn asks(&mut self, who: &Identity, journal: &Journal, since: Seq) {
        let retained = retained(who, journal, since);
        self.asked = Some(Asked { since, retained, shown: BTreeSet::new(), judged: false });
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

/// What channels that it may read retained once this much was committed.
fn retained(who: &Identity, journal: &Journal, through: Seq) -> BTreeMap<String, Bytes> {
    let mut retained = BTreeMap::new();
    for (channel, payload) in between(who, journal, Seq(0), through) {
        if payload.is_empty() {
            retained.remove(channel);
        } else {
            retained.insert(channel.to_owned(), payload);
        }
    }
    retained
}

/// What was published to stay after that.
fn later<'a>(
    who: &'a Identity,
    journal: &'a Journal,
    since: Seq,
) -> impl Iterator<Item = (&'a str, Bytes)> + 'a {
    between(who, journal, since.next(), Seq(u64::MAX))
}

fn between<'a>(
    who: &'a Identity,
    journal: &'a Journal,
    from: Seq,
    to: Seq,
) -> impl Iterator<Item = (&'a str, Bytes)> + 'a {
    let room = site::room(&who.room);
    let here = journal.entries.range(from..=to).filter(move |(_, entry)| entry.room == Some(room));
    here.filter_map(|(_, entry)| {
        let channel = entry.channel.as_ref()?.as_str();
        let (_, retain) = entry.manner()?;
        let payload = if retain { entry.payload()? } else { return None };
        may_hear(&who.user, &who.filter, channel).then_some((channel, payload))
    })
}
