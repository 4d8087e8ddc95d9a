//! The wills that somebody left, visit by visit, held against the journal of its host: published once at most; when it
//! did not say goodbye, and did not come back before its time; never once it is back, or has said goodbye.

use crate::{
    guest::{Goes, Identity},
    host::Host,
    journal::{Journal, Logged},
    mqtt::Will,
};
use riser_model::{Seq, Time};
use riser_mqtt::Record;
use riser_wire::entry::{Body, Kind};
use std::time::Duration;

/// A message takes less than this, and a peer that is silent for this and its will's delay is gone.
const SOON: Duration = Duration::from_secs(5);
/// How long everything about a goodbye must have been quiet for it to be surely heard.
const QUIET: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Visit {
    will: Option<Will>,
    fresh: bool,
    entered_at: Option<Time>,
    /// When it last heard anything.
    heard_at: Time,
    left: Option<(Time, Goes)>,
    /// When it said goodbye its socket and road were well.
    heard_goodbye: bool,
    /// What the journal held when it was let in the next time.
    back_by: Option<Seq>,
}

impl Visit {
    fn delay(&self) -> Duration {
        // A session that ends with its connection waits for nothing.
        let delay_s = self.will.as_ref().filter(|_| !self.fresh).map_or(0, |will| will.delay_s);
        Duration::from_secs(u64::from(delay_s))
    }

    fn left_uncleanly(&self) -> bool {
        self.entered_at.is_some() && self.left.is_some_and(|(_, goes)| goes != Goes::Goodbye)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Wills {
    visits: Vec<Visit>,
}

impl Wills {
    /// It says CONNECT.
    pub fn knocks(&mut self, will: Option<Will>, fresh: bool, now: Time) {
        let visit = Visit {
            will,
            fresh,
            entered_at: None,
            heard_at: now,
            left: None,
            heard_goodbye: false,
            back_by: None,
        };
        self.visits.push(visit);
    }

    /// It was let in.
    pub fn enters(&mut self, journal: &Journal, now: Time) {
        let Some((this, before)) = self.visits.split_last_mut() else { return };
        this.entered_at = Some(now);
        for visit in before {
            visit.back_by.get_or_insert(journal.next().prev());
        }
    }

    /// It heard something.
    pub fn hears(&mut self, now: Time) {
        if let Some(visit) = self.visits.last_mut() {
            visit.heard_at = now;
        }
    }

    /// It goes; `well` if its socket and road were well.
    pub fn leaves(&mut self, goes: Goes, well: bool, now: Time) {
        if let Some(visit) = self.visits.last_mut() {
            visit.left = Some((now, goes));
            visit.heard_goodbye = goes == Goes::Goodbye && well;
        }
    }

    /// A will that must be published, or will have to be, and is not.
    pub fn owed(&self, host: &Host) -> Option<String> {
        let visit = self.visits.last().filter(|visit| visit.left_uncleanly())?;
        let will = visit.will.as_ref()?;
        let stepped = host.stepped && visit.delay() > Duration::ZERO;
        let owed = !stepped && published(will, &host.journal).next().is_none();
        owed.then(|| String::from_utf8_lossy(&will.payload).into_owned())
    }

    /// What is wrong with it all; and how many were published. `broke`: whether its road was broken between two times.
    pub fn judge(
        &self,
        who: &Identity,
        host: &Host,
        broke: impl Fn(Time, Time) -> bool,
    ) -> (Vec<String>, u64) {
        let (mut wrong, mut count) = (Vec::new(), 0);
        for (n, visit) in self.visits.iter().enumerate() {
            let Some(will) = &visit.will else { continue };
            let seqs: Vec<Seq> = published(will, &host.journal).map(|(seq, _)| seq).collect();
            count += seqs.len() as u64;
            let name = String::from_utf8_lossy(&will.payload).into_owned();
            if seqs.len() > 1 {
                wrong.push(format!("{name} was published {} times: {seqs:?}", seqs.len()));
            }
            let Some(seq) = seqs.first().copied() else {
                if let Some(why) = self.must(n, host) {
                    wrong.push(format!("{name} was not published, {why}"));
                }
                continue;
            };
            if let Some(why) = self.must_not(n, who, host, seq, &broke) {
                wrong.push(format!("{name} was published at {}, {why}", seq.0));
            }
            for (seq, entry) in published(will, &host.journal) {
                if entry.manner() != Some((will.qos, will.retain)) {
                    wrong.push(format!("{name} was published at {} otherwise than it was left", seq.0));
                }
            }
        }
        (wrong, count)
    }

    /// Why the will of a visit must have been published.
    fn must(&self, n: usize, host: &Host) -> Option<&'static str> {
        let visit = self.visits.get(n).filter(|visit| visit.left_uncleanly())?;
        match self.visits.get(n + 1) {
            None if host.stepped && visit.delay() > Duration::ZERO => None,
            None => Some("and nobody came back"),
            // Nobody knows what that one came to.
            Some(next) if next.entered_at.is_none() => None,
            Some(next) if next.fresh => Some("and its session was ended by who came back"),
            Some(_) if visit.delay() == Duration::ZERO => Some("and was to wait for nothing"),
            Some(_) => None,
        }
    }

    /// Why the will of a visit must not have been published there.
    fn must_not(
        &self,
        n: usize,
        who: &Identity,
        host: &Host,
        seq: Seq,
        broke: &impl Fn(Time, Time) -> bool,
    ) -> Option<&'static str> {
        let visit = self.visits.get(n)?;
        let next = self.visits.get(n + 1);
        // One that is owed whoever comes back may be late: the log was full.
        let goodbye = visit.left.is_some_and(|(_, goes)| goes == Goes::Goodbye);
        let owed = !goodbye && (visit.delay() == Duration::ZERO || next.is_some_and(|next| next.fresh));
        // So is one whose time had come before anybody was let in again.
        let over = visit.left.map(|(at, _)| at.plus(visit.delay()));
        let let_in = next.and_then(|next| next.entered_at);
        let owed = owed || !goodbye && over.is_some_and(|over| let_in.is_none_or(|at| at >= over));
        // A goodbye that the log had no room for is not committed.
        let owed = owed || goodbye && host.refused;
        if visit.back_by.is_some_and(|back_by| seq > back_by) && !owed {
            return Some("after its client was back");
        }
        let back_at = next.filter(|next| !next.fresh).and_then(|next| next.entered_at);
        let in_time = |at: Time| at.plus(SOON) < visit.heard_at.plus(visit.delay());
        if visit.entered_at.is_some() && back_at.is_some_and(in_time) && !host.stepped {
            return Some("though its client was back in time");
        }
        if unwilled(who, &host.journal, seq) {
            return Some("after the log said that it is not wanted");
        }
        let (at, _) = visit.left.filter(|_| visit.heard_goodbye && !host.troubled && !host.refused)?;
        let (from, to) = (at, at.plus(QUIET));
        let died = host.ended.iter().any(|ended| (from..=to).contains(ended));
        (!died && !broke(from, to)).then_some("though its client had said goodbye")
    }
}

fn published<'a>(will: &'a Will, journal: &'a Journal) -> impl Iterator<Item = (Seq, &'a Logged)> + 'a {
    let (_, channel) = will.topic.split_once('/').unwrap_or_default();
    let here = journal.entries.iter().filter(move |(_, entry)| {
        entry.kind == Kind::Publication
            && entry.channel.as_ref().is_some_and(|name| name.as_str() == channel)
            && entry.payload().is_some_and(|payload| payload == will.payload)
    });
    here.map(|(seq, entry)| (*seq, entry))
}

/// Whether the newest that the log said of that client's will before a seq is that there is none.
fn unwilled(who: &Identity, journal: &Journal, before: Seq) -> bool {
    let mut said = journal.entries.range(..before).rev().filter(|(_, entry)| entry.kind == Kind::Session);
    let newest = said.find_map(|(_, entry)| match Record::read(&Body::read(&entry.body).ok()?)? {
        Record::Willed { key, .. } | Record::WillDue { key, .. } if key.id == who.id => Some(false),
        Record::Unwilled { key } if key.id == who.id => Some(true),
        _ => None,
    });
    newest == Some(true)
}
