//! What a reader was told, held against the hub's journal as it is told: a contiguous slice from where it began,
//! with every hole named.

use crate::{
    floors::{Floors, Moment},
    held::Held,
    host::Host,
    journal::{Journal, Key, Logged},
    post, site,
    subscriber::{Identity, Reads, Told},
};
use riser_model::{Cause, Position, Seq};
use riser_wire::entry::Kind;
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Default)]
pub struct Reading {
    /// Up to here it was told everything.
    at: Option<Seq>,
    /// With `conflate`: what was shown of each channel.
    shown: BTreeMap<String, Seq>,
    /// What was shown of each channel since then, beside a backlog: what clears one has no name.
    beside: BTreeMap<String, Option<Key>>,
    /// Up to here it may have seen what came after and is no more.
    went_back_to: Seq,
    /// Ranges that it was told are gone.
    excused: Vec<(u64, u64, String)>,
    /// Messages so far.
    pub messages: u64,
    /// Times that it was told that the room keeps no more of its past.
    pub floors: u64,
}

/// How the hub's log is.
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    /// Its disk was meddled with: then it may go back.
    pub meddled: bool,
    /// Everything below this may be gone: its disk was full.
    pub let_go: Seq,
    /// What of it is archived and can be read.
    pub held: Option<&'a Held>,
}

/// What a room that keeps only so much may show and hide, when something was said.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    /// Of that room.
    pub floors: &'a Floors,
    /// At the hub.
    pub hub: &'a Host,
    /// Said then.
    pub when: Moment,
}

impl Reading {
    /// Takes what was told. Says what is wrong with it. Only a log whose disk was meddled with may go back; only a room
    /// that keeps no more than so much has a window.
    pub fn told(
        &mut self,
        who: &Identity,
        told: &Told,
        (journal, log): (&Journal, Log<'_>),
        window: Option<Window<'_>>,
    ) -> Option<String> {
        match told {
            Told::Starts { at, after, full, gaps, floor } => {
                let floor = match floor {
                    Some(floor) if after.is_none() && who.from_start => Some(*floor),
                    Some(_) | None => None,
                };
                let begins = floor.map(|floor| self.begins(who, floor, (journal, log), window));
                let gaps_wrong = gaps.iter().find_map(|gap| self.gone(who, gap, (journal, log), window));
                let from = floor.map_or(Seq::ZERO, |floor| floor.seq);
                let wrong = self.starts(who, *at, (*after, from), *full, gaps, journal);
                let back = after.is_some_and(|after| at.seq < after.seq) && !log.meddled;
                let back = back.then(|| format!("{} was sent back to {at}", who.user));
                begins.flatten().or(gaps_wrong).or(wrong).or(back)
            }
            Told::Message { at: Some(at), channel, payload, .. } => {
                self.messages += 1;
                let hidden =
                    window.and_then(|window| window.floors.is_too_low(at.seq, window.when, window.hub));
                let hidden = hidden.map(|what| format!("{}: {what}", who.user));
                hidden.or_else(|| self.message(who, *at, channel, payload, journal))
            }
            Told::Message { at: None, channel, key, .. } => {
                self.messages += 1;
                self.beside.insert(channel.clone(), *key);
                let complete = who.reads != Reads::Conflate;
                complete.then(|| format!("{channel} came without a position"))
            }
            Told::Gap { from, to, cause, at } => {
                let gap = (*from, *to, cause.clone());
                let wrong = self.gone(who, &gap, (journal, log), window);
                self.excused.push(gap);
                self.walk(who, at.seq, journal).or(wrong)
            }
            Told::Through(at) => self.walk(who, at.seq, journal),
            Told::Event(_) => None,
        }
    }

    /// It is told that the past that it asked for begins there.
    fn begins(
        &mut self,
        who: &Identity,
        floor: Position,
        (journal, log): (&Journal, Log<'_>),
        window: Option<Window<'_>>,
    ) -> Option<String> {
        self.floors += 1;
        let wrong = match window {
            _ if floor.seq < log.let_go => log.holds(who, (Seq(1), floor.seq), journal),
            Some(window) => window.floors.is_too_high(floor.seq, window.when, window.hub),
            None => (!log.meddled).then(|| format!("the past begins at {floor}, and the room keeps all")),
        };
        wrong.map(|what| format!("{}: {what}", who.user))
    }

    /// It is told that something is gone: the log let go of it, it is below a floor, or it was damaged.
    fn gone(
        &mut self,
        who: &Identity,
        (from, to, cause): &(u64, u64, String),
        (journal, log): (&Journal, Log<'_>),
        window: Option<Window<'_>>,
    ) -> Option<String> {
        let wrong = match window.filter(|_| cause == Cause::Retention.name()) {
            _ if Seq(*to) < log.let_go => log.holds(who, (Seq(*from), Seq(*to)), journal),
            Some(window) => {
                self.floors += 1;
                window.floors.is_too_high(Seq(*to), window.when, window.hub)
            }
            None => (!log.meddled).then(|| format!("{from} to {to} are gone for {cause}")),
        };
        wrong.map(|what| format!("{}: {what}", who.user))
    }

    fn starts(
        &mut self,
        who: &Identity,
        at: Position,
        (after, from): (Option<Position>, Seq),
        full: bool,
        gaps: &[(u64, u64, String)],
        journal: &Journal,
    ) -> Option<String> {
        self.excused.extend(gaps.iter().cloned());
        match after {
            None if who.from_start => {
                self.at = Some(from);
                self.walk(who, at.seq, journal)
            }
            // Of an epoch that an old backup knows nothing of nobody knows what is missing, and no seq says how much.
            Some(after) if at.seq >= after.seq && journal.epochs.contains(&after.epoch) => {
                self.walk(who, at.seq, journal)
            }
            Some(after) => {
                self.at = Some(at.seq);
                full.then(|| format!("went back from {after} to {at} and calls that full"))
            }
            None => {
                self.at = Some(at.seq);
                None
            }
        }
    }

    fn message(
        &mut self,
        who: &Identity,
        at: Position,
        channel: &str,
        payload: &str,
        journal: &Journal,
    ) -> Option<String> {
        let Some(entry) = journal.entries.get(&at.seq) else {
            return Some(format!("{at} was delivered and is not in the log"));
        };
        let stored = entry.payload().unwrap_or_default();
        if entry.epoch != at.epoch || stored != payload.as_bytes() {
            return Some(format!("{at} is not what was delivered: {payload:.40}"));
        }
        if entry.channel.as_ref().is_none_or(|stored| stored.as_str() != channel) || !wanted(who, entry) {
            return Some(format!("{at} in {channel} is not for {}", who.user));
        }
        if who.reads == Reads::Conflate {
            return self.newest(who, at, channel);
        }
        if self.at.is_some_and(|last| at.seq <= last) {
            return Some(format!("{}: {at} after {}", who.user, self.at.unwrap_or_default()));
        }
        let missing =
            if who.reads == Reads::Conflate { None } else { self.walk(who, at.seq.prev(), journal) };
        self.at = Some(at.seq);
        missing
    }

    /// The present of a channel never steps back.
    fn newest(&mut self, who: &Identity, at: Position, channel: &str) -> Option<String> {
        self.beside.remove(channel);
        let last = self.shown.insert(channel.to_owned(), at.seq).unwrap_or_default();
        (at.seq < last).then(|| format!("{}: {channel} steps back from {} to {at}", who.user, last.0))
    }

    /// It was told everything up to here. What lies between and was not is missing.
    fn walk(&mut self, who: &Identity, to: Seq, journal: &Journal) -> Option<String> {
        let from = self.at?;
        if to <= from {
            return None;
        }
        self.at = Some(to);
        if who.reads == Reads::Conflate {
            return None;
        }
        let missing = self.missing(who, from, to, journal);
        self.excused.retain(|(_, last, _)| *last > to.0);
        missing.map(|seq| format!("{} was not delivered to {}", seq.0, who.user))
    }

    fn missing(&self, who: &Identity, from: Seq, to: Seq, journal: &Journal) -> Option<Seq> {
        let excused = |seq: Seq| self.excused.iter().any(|(a, b, _)| (*a..=*b).contains(&seq.0));
        let mut between = journal.entries.range(from.next()..=to);
        between.find(|(seq, entry)| wanted(who, entry) && !excused(**seq)).map(|(seq, _)| *seq)
    }

    /// The first that it has not been told, if it should have been told everything by now.
    pub fn owed(&self, who: &Identity, journal: &Journal) -> Option<Seq> {
        if who.reads == Reads::Conflate {
            return self.present_owed(who, journal);
        }
        let last = journal.next().prev();
        let from = self.at.unwrap_or(Seq::ZERO);
        if from >= last { None } else { self.missing(who, from, last, journal) }
    }

    /// A channel whose present is not what was shown last.
    fn present_owed(&self, who: &Identity, journal: &Journal) -> Option<Seq> {
        let mut newest: BTreeMap<&str, Seq> = BTreeMap::new();
        for (seq, entry) in journal.entries.iter().filter(|(_, entry)| wanted(who, entry)) {
            newest.insert(entry.channel.as_ref()?.as_str(), *seq);
        }
        newest.retain(|_, seq| *seq > self.went_back_to);
        newest.retain(|channel, seq| !self.is_past(channel, *seq, journal));
        newest.into_iter().find(|(channel, seq)| self.shown.get(*channel) != Some(seq)).map(|(_, seq)| seq)
    }

    /// Whether it was shown what is newer than that entry and never came: its edge let go of it in a full spool.
    fn is_past(&self, channel: &str, seq: Seq, journal: &Journal) -> bool {
        let key_of = |seq: &Seq| journal.entries.get(seq).and_then(Logged::key);
        let Some(shown) = self.beside.get(channel) else { return false };
        let (Some(shown), Some(stored)) = (shown, key_of(&seq)) else { return shown.is_none() };
        let came = || journal.entries.values().any(|entry| entry.key() == Some(*shown));
        shown.device == stored.device && shown.n > stored.n && !came()
    }

    /// The log went back to an old backup: from here on other rules hold.
    pub fn log_went_back(&mut self, journal: &Journal) {
        let last = journal.next().prev();
        self.at = self.at.map(|at| at.min(last));
        self.shown.clear();
        self.went_back_to = last;
    }
}

impl Log<'_> {
    /// What is wrong with saying that this is gone: something of it is archived.
    fn holds(&self, who: &Identity, (from, to): (Seq, Seq), journal: &Journal) -> Option<String> {
        let held = self.held?;
        let mut told = journal.entries.range(from..=to.max(from));
        let (seq, _) = told.find(|(seq, entry)| wanted(who, entry) && held.has(**seq))?;
        Some(format!("{} to {} is told as gone, and {} is archived", from.0, to.0, seq.0))
    }
}

/// Whether an entry is one that this reader should be told.
pub fn wanted(who: &Identity, entry: &Logged) -> bool {
    let Some(channel) = &entry.channel else { return false };
    entry.kind == Kind::Publication
        && entry.room == Some(site::room(&who.room))
        && may_hear(&who.user, &who.filter, channel.as_str())
}

/// Whether a channel is one that this user may read, and asked for by this filter.
pub fn may_hear(user: &str, filter: &str, channel: &str) -> bool {
    post::hears(user, channel)
        && holds(filter, channel)
        && !(user == site::LIMITED && holds(&format!("{}/#", site::SECRET), channel))
}

/// Whether a filter of names, `+` and a last `#` holds a channel.
fn holds(filter: &str, channel: &str) -> bool {
    let mut levels = channel.split('/');
    for part in filter.split('/') {
        if part == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if part == "+" || part == level => {}
            Some(_) | None => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn filters_hold_what_mqtt_says() {
        for (filter, channel, held) in [
            ("#", "a/b", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a", "a/b", false),
        ] {
            assert_eq!(holds(filter, channel), held, "{filter} {channel}");
        }
    }
}
