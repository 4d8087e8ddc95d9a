//! The technical channels: what the system says about rooms, accounts and itself, as entries of the log.
//!
//! Nobody waits for an event: it rides in the next commit, and is said again when that fails. Of one kind in one
//! channel so many may come at once, and then one every so often that stands for all that happened meanwhile; all
//! together are bounded the same way, so however long a storm lasts, the log grows by so many events a second and no
//! more.

use crate::{bus::Bus, config::Config, intake::Piece, statistics::Counters};
use riser_model::{
    ClientId, ConnectionId, LogId, RoomId, Route, RouteNumber, Time,
    door::{Code, Refusal},
    event::{self, Scope, SystemEvent},
};
use riser_wire::{
    cloud_event::{self, About},
    entry::{self, ContentType, Frame, Kind, Publication},
    membership::{self, Membership},
    roll::Roll,
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Of what waits for a log that fails; of events that come on top of it only the count is kept.
const AGAIN_MAX: usize = 1024;
/// What became of publications is each its own, and no other stands for it: more than may become known at once, of those
/// that wait at one instance for an outcome and those that its ways down have still to carry.
const OUTCOMES_AGAIN_MAX: usize = 16_384;
/// Of those that said of nobody to be there and did not reach the disk so many are kept.
const OF_NOBODY_MAX: usize = 16_384;
/// Who is there is said anew this often at most.
const NAME_EVERY: Duration = Duration::from_secs(1);

/// An event as it is said: how many of its kind it stands for, and when it happened.
#[derive(Clone, Debug)]
pub(crate) struct Spoken {
    scope: Scope,
    event: SystemEvent,
    count: u64,
}

/// What is written and nobody waits for.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// An event.
    Event(Spoken),
    /// A connection that came into a room that uplinks carry, or went.
    Member(Kind, Membership),
    /// Who is in a room behind a log below.
    Roll(Roll),
}

/// How many may come: a burst, and after it one every so often.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// When as many may come again as at first.
    full_at: Time,
}

impl Pace {
    /// Takes one, or says when one may be taken; never, without a burst.
    fn take(&mut self, burst: u32, every: Duration, now: Time) -> Result<(), Time> {
        let ahead = every.saturating_mul(burst.saturating_sub(1));
        let full_at = self.full_at.max(now);
        if burst == 0 {
            Err(Time(u64::MAX))
        } else if full_at.since(now) > ahead {
            let early = u64::try_from(ahead.as_nanos()).unwrap_or(u64::MAX);
            Err(Time(full_at.0.saturating_sub(early)))
        } else {
            self.full_at = full_at.plus(every);
            Ok(())
        }
    }
}

/// One kind in one channel.
#[derive(Debug, Default)]
struct Pacing {
    pace: Pace,
    /// What happened and was not said, and when it may be.
    held: Option<(Spoken, Time)>,
}

#[derive(Debug, Default)]
pub(crate) struct Technical {
    /// Events said in this epoch.
    said: u64,
    kinds: BTreeMap<(Scope, &'static str), Pacing>,
    all: Pace,
    /// What a batch that failed held.
    again: VecDeque<Spoken>,
    /// The same of what became of publications.
    outcomes_again: VecDeque<Spoken>,
    /// Something failed of who came and went: who is there is to be said anew, not before this. To say that alone again would
    /// say it after what was said meanwhile.
    members_lost: Option<Time>,
    /// The same of what was said of logs below.
    pub(crate) rolls_lost: bool,
    /// Those of it that said of nobody to be there, by log and room: of a log that is no more nobody knows later.
    pub(crate) of_nobody_lost: BTreeMap<(LogId, RoomId), Roll>,
    pub(crate) rolls_unstored: u64,
    /// When it was said last.
    named: Time,
    /// Events on their way to the disk.
    unstored: usize,
}

impl Technical {
    /// What is to be written now, if anything.
    fn say(&mut self, spoken: Spoken, config: &Config, now: Time, counters: &mut Counters) -> Option<Spoken> {
        let at = (spoken.scope, spoken.event.kind());
        let is_news = !matches!(spoken.event, SystemEvent::Statistics(_));
        let kind = self.kinds.entry(at).or_default();
        let before = kind.held.take().map_or(0, |(held, _)| held.count);
        let count = if is_news { before + spoken.count } else { 1 };
        let spoken = Spoken { count, ..spoken };
        let (mut pace, mut all) = (kind.pace, self.all);
        let taken = pace
            .take(config.events_burst, config.events_every(), now)
            .and_then(|()| all.take(config.events_together_burst, config.events_together_every(), now));
        match taken {
            Ok(()) => {
                (kind.pace, self.all) = (pace, all);
                Some(spoken)
            }
            Err(at) => {
                counters.coalesced += 1;
                kind.held = is_news.then_some((spoken, at));
                None
            }
        }
    }

    /// When something that was held may be said.
    pub(crate) fn due(&self, log_fails: bool) -> Option<Time> {
        let held = self.kinds.values().filter_map(|kind| kind.held.as_ref());
        let held = held.map(|(_, at)| *at).filter(|at| *at < Time(u64::MAX));
        held.chain(self.members_lost.filter(|_| !log_fails)).min()
    }

    fn take_due(&mut self, now: Time) -> Vec<Spoken> {
        let due = self.kinds.values_mut().filter_map(|kind| kind.held.take_if(|(_, at)| *at <= now));
        due.map(|(spoken, _)| spoken).collect()
    }

    /// Its batch failed.
    fn failed(&mut self, said: Said, counters: &mut Counters) {
        let spoken = match said {
            Said::Event(spoken) => spoken,
            Said::Member(..) => {
                self.members_lost.get_or_insert(self.named.plus(NAME_EVERY));
                return;
            }
            Said::Roll(roll) => {
                self.rolls_lost = true;
                let at = (roll.log, roll.room);
                let has_place = self.of_nobody_lost.len() < OF_NOBODY_MAX;
                if roll.present.is_empty() && (has_place || self.of_nobody_lost.contains_key(&at)) {
                    self.of_nobody_lost.insert(at, roll);
                }
                return;
            }
        };
        if event::is_outcome(&spoken.event.channel()) {
            match self.outcomes_again.len() < OUTCOMES_AGAIN_MAX {
                true => self.outcomes_again.push_back(spoken),
                false => counters.unsaid += 1,
            }
            return;
        }
        if self.again.len() < AGAIN_MAX {
            return self.again.push_back(spoken);
        }
        let same =
            |last: &&mut Spoken| last.scope == spoken.scope && last.event.kind() == spoken.event.kind();
        match self.again.iter_mut().rev().find(same) {
            Some(last) => *last = Spoken { count: last.count + spoken.count, ..spoken },
            None => counters.unsaid += spoken.count,
        }
    }
}

impl Bus {
    /// The system speaks. Nothing that names anybody is said on the instance's own channel.
    pub(crate) fn event(&mut self, scope: Scope, event: SystemEvent) {
        if scope == Scope::Instance && !event.names_nobody() {
            self.counters.strays += 1;
            return;
        }
        self.events(scope, event, 1);
    }

    /// The same, for so many of which this is the newest.
    fn events(&mut self, scope: Scope, event: SystemEvent, count: u64) {
        let spoken = Spoken { scope, event, count };
        let now = self.now.time;
        // There is one for each publication at most, and its id is what it is for.
        if event::is_outcome(&spoken.event.channel()) {
            self.counters.outcomes += 1;
            return self.write_event(spoken);
        }
        if let Some(spoken) = self.technical.say(spoken, &self.config, now, &mut self.counters) {
            self.write_event(spoken);
        }
    }

    /// A connection was refused something that it has no right to.
    pub(crate) fn denied(&mut self, connection: ConnectionId, refusal: &Refusal) {
        if refusal.code == Code::Denied {
            self.say_refused(connection, refusal, 1);
        }
    }

    /// A connection's door gave up publications that nobody else hears of. Of what it has no right to was told when it
    /// named the channel.
    pub(crate) fn dropped(&mut self, connection: ConnectionId, refusal: &Refusal, count: u32) {
        if refusal.code != Code::Denied {
            self.say_refused(connection, refusal, u64::from(count));
        }
    }

    fn say_refused(&mut self, connection: ConnectionId, refusal: &Refusal, count: u64) {
        let Some(one) = self.connections.get(&connection) else { return };
        // Strangers write into nobody's log what they may not do, and nobody learns by it which accounts there are.
        if one.principal.home.is_some() {
            self.counters.visitors_refused += count;
            return;
        }
        let (client, name) = (Some(one.principal.client), Some(one.principal.name.clone()));
        let scope = Scope::Account(one.principal.account);
        let (code, what) = (refusal.code.name().into(), refusal.what.clone());
        self.events(scope, SystemEvent::Refused { code, what, client, name, connection }, count);
    }

    /// What was held and may be said.
    pub(crate) fn say_held(&mut self) {
        let now = self.now.time;
        for spoken in self.technical.take_due(now) {
            if let Some(spoken) = self.technical.say(spoken, &self.config, now, &mut self.counters) {
                self.write_event(spoken);
            }
        }
        self.name_again();
    }

    /// What failed is said again, after a commit that did not.
    pub(crate) fn say_again(&mut self) {
        let outcomes = std::mem::take(&mut self.technical.outcomes_again);
        for spoken in std::mem::take(&mut self.technical.again).into_iter().chain(outcomes) {
            self.write_said(Said::Event(spoken));
        }
        self.name_again();
    }

    /// Says who is there, if something of that was lost, and the log takes it again.
    fn name_again(&mut self) {
        let now = self.now.time;
        if self.failing.is_none() && self.technical.members_lost.take_if(|at| *at <= now).is_some() {
            self.technical.named = now;
            self.name_members();
        }
    }

    fn write_event(&mut self, spoken: Spoken) {
        self.write_said(Said::Event(spoken));
    }

    /// Writes what nobody waits for.
    pub(crate) fn write_said(&mut self, said: Said) {
        if self.line.bytes() >= self.config.unstored_bytes_max {
            return self.technical.failed(said, &mut self.counters);
        }
        let (route, bytes) = match &said {
            Said::Event(spoken) => self.event_entry(spoken),
            Said::Member(kind, membership) => {
                self.member_entry(*kind, membership.room, |out| membership.write(out))
            }
            Said::Roll(roll) => self.member_entry(Kind::Roll, roll.room, |out| roll.write(out)),
        };
        let Ok((frame, _)) = Frame::read(&bytes, 0) else { return };
        if !self.line.fits(frame.size(), self.config.batch_bytes_max) {
            self.outputs.extend(self.line.seal(&mut self.routes));
        }
        // There are few kinds of events, and one channel of members in a room: their routes are not counted against the
        // bound of publishers'.
        let way = self.intern_beyond(&route);
        self.technical.unstored += 1;
        self.technical.rolls_unstored += u64::from(matches!(&said, Said::Roll(_)));
        self.line.add_unawaited(&frame, way);
        self.line.await_open(Piece::Said(Box::new(said)), self.now.time);
        if self.closing {
            self.line.hurry(self.now.time);
        }
    }

    /// An event by itself, as it is written.
    pub(crate) fn event_of(&mut self, scope: Scope, event: SystemEvent) -> (Route, Vec<u8>) {
        self.event_entry(&Spoken { scope, event, count: 1 })
    }

    fn event_entry(&mut self, spoken: &Spoken) -> (Route, Vec<u8>) {
        let Spoken { scope, event, count } = spoken;
        self.graph.add_technical(*scope);
        self.technical.said += 1;
        let about = About {
            log: self.chain.log,
            id: (self.chain.epoch, self.technical.said),
            scope: *scope,
            name: self.graph.subject(*scope),
            wall: self.now.wall,
            count: *count,
        };
        let payload = cloud_event::payload(about, event);
        let mut publication = Publication::new(ContentType::Other(cloud_event::CONTENT_TYPE), &payload);
        // Who reads by MQTT at QoS 1 gets it as such, over a cut too.
        publication.qos = 1;
        let mut bytes = Vec::new();
        publication.write_frame(&mut bytes, RouteNumber(0), self.now.stamp());
        (Route { room: scope.room(), channel: event.channel(), client: ClientId::SYSTEM }, bytes)
    }

    fn member_entry(&self, kind: Kind, room: RoomId, rest: impl FnOnce(&mut Vec<u8>)) -> (Route, Vec<u8>) {
        let mut bytes = Vec::new();
        entry::write_frame(&mut bytes, RouteNumber(0), kind, 0, self.now.stamp(), rest);
        let channel = membership::CHANNEL.parse().expect("letters are a channel");
        (Route { room, channel, client: ClientId::SYSTEM }, bytes)
    }

    /// The batch of what was said is on disk, or failed.
    pub(crate) fn said(&mut self, said: Said, durable: bool) {
        self.technical.unstored -= 1;
        self.technical.rolls_unstored -= u64::from(matches!(&said, Said::Roll(_)));
        if !durable {
            self.technical.failed(said, &mut self.counters);
        }
    }

    /// Whether every event that was said is on disk, or waits for a log that fails.
    pub(crate) fn events_are_stored(&self) -> bool {
        self.technical.unstored == 0
    }
}
