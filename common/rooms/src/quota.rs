//! What a room has taken of its quota, and what is said when it takes no more.
//!
//! Publications are counted in spans, one after the other, from the first one on: what was refused, or could not be stored,
//! counts for nothing. What a link brings late is counted where it was made, in spans of the wall clock, beside what was
//! taken then. The spans of who took it first began at another moment, so that a site that kept to its quota may have
//! twice that in one of them, and one span's worth more than the spans in sixteen: that much is taken. An edge is believed
//! when it made something: what a room did not take in spans that are over may be brought once. What one user may publish of
//! that is counted where it publishes, in the span that runs: what comes over a link was counted there, by the file of
//! whoever brings it. How many are connected,
//! subscribed and published in is what the room knows of itself. A restart begins a new span, and knows of none before.

use crate::{
    bus::Bus,
    graph::{Graph, RoomSlot},
    topics::{self, Reach},
};
use riser_model::{
    ClientId, ConnectionId, Now, Principal, Quota, Route, SubscriptionId, Time, Wall,
    door::{Code, Refusal},
    event::{Scope, SystemEvent},
    size::ByteSize,
};
use riser_wire::membership;
use std::{collections::BTreeMap, fmt, time::Duration};

/// Spans of the wall clock of which it is known what a room took: a week of minutes. What is older than that counts in the
/// span that runs.
const PAST_SPANS_MAX: i64 = 7 * 24 * 60;

/// So many spans of the wall clock together take one span's worth more: who is late in each of them for ever brings no
/// more than that.
const PAST_TOGETHER: i64 = 16;

/// Which of a room's limits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Limit {
    Messages,
    Bytes,
    Connections,
    Channels,
    Subscriptions,
}

impl Limit {
    fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Bytes => "bytes",
            Self::Connections => "connections",
            Self::Channels => "channels",
            Self::Subscriptions => "subscriptions",
        }
    }
}

/// A room is over one of its limits, or over what it takes of somebody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Over {
    pub(crate) room: RoomSlot,
    /// Whose own limit it is; none for everybody's.
    of: Option<ClientId>,
    limit: Limit,
    most: u64,
    /// The span in which that is counted, and how much of it is left: nothing of one that is over.
    span: Option<(Duration, Duration)>,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, most, span, of, .. } = self;
        let whose = if of.is_some() { " of one user" } else { "" };
        write!(f, "the room's quota{whose}: {most} {}", limit.name())?;
        match span {
            Some((every, _)) => write!(f, " in {}", riser_model::duration::Duration(*every)),
            None => Ok(()),
        }
    }
}

impl Over {
    /// As who asked hears it.
    pub(crate) fn refusal(&self) -> Refusal {
        let want = match (self.span, self.limit) {
            (Some((_, left)), _) => format!("come back in {} s", left.as_secs() + 1),
            (None, Limit::Channels) => "a channel that there is, or a larger quota".to_owned(),
            (None, _) => "come back when somebody has left".to_owned(),
        };
        topics::refuse(Code::QuotaExceeded, self.to_string(), &want)
    }

    /// `by`: whose own limit it is.
    fn event(&self, by: Option<&Principal>) -> SystemEvent {
        let by = by.filter(|by| self.of == Some(by.user()));
        let whose = if self.of.is_some() { "user_" } else { "" };
        let left = self.span.map(|(_, left)| left).filter(|left| !left.is_zero());
        let again = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        SystemEvent::RoomQuota {
            limit: format!("{whose}{}", self.limit.name()),
            most: self.most,
            again_ms: again,
            client: by.map(Principal::user),
            name: by.map(|by| by.name.clone()),
        }
    }
}

/// Publications, and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Amount {
    messages: u64,
    bytes: u64,
}

impl Amount {
    fn add(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn and(mut self, other: Self) -> Self {
        self.add(other);
        self
    }

    fn take(&mut self, other: Self) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }

    /// The limit of a room that it is beyond in so many spans, and how much that is in one.
    fn beyond(&self, quota: &Quota, spans: u64) -> Option<(Limit, u64)> {
        self.beyond_either((quota.messages, quota.bytes), spans)
    }

    /// The limit of one user that it is beyond.
    fn beyond_own(&self, quota: &Quota) -> Option<(Limit, u64)> {
        self.beyond_either((quota.user_messages, quota.user_bytes), 1)
    }

    fn beyond_either(
        &self,
        (messages, bytes): (Option<u64>, Option<ByteSize>),
        spans: u64,
    ) -> Option<(Limit, u64)> {
        let messages = messages.filter(|most| self.messages > most.saturating_mul(spans));
        let bytes = bytes.filter(|most| self.bytes > most.0.saturating_mul(spans));
        messages.map(|most| (Limit::Messages, most)).or(bytes.map(|most| (Limit::Bytes, most.0)))
    }
}

/// Where something was counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Span {
    /// The span that began then, and runs or ran last; none for what came late.
    running: Option<Time>,
    /// The number of the wall clock's span, from the epoch on.
    wall: i64,
    /// Whose it counts as in the span that runs, where that is counted.
    user: Option<ClientId>,
}

/// What a room has taken in the span that runs, and in spans of the wall clock.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    since: Option<Time>,
    running: Amount,
    /// What of that each user published, where that is counted.
    users: BTreeMap<ClientId, Amount>,
    /// How long the wall clock's spans are that are counted.
    every: Duration,
    /// All that was taken, by when it was made.
    made: BTreeMap<i64, Amount>,
}

impl Taken {
    /// `by`: who publishes it here. `made`: when, if it was not at this moment.
    fn charge(
        &mut self,
        (room, by): (RoomSlot, Option<ClientId>),
        quota: &Quota,
        bytes: u64,
        (now, made): (Now, Option<Wall>),
    ) -> Result<Span, Over> {
        let every = quota.span();
        let running = self.since.map(|since| (since, now.time.since(since))).filter(|(_, ran)| *ran < every);
        let (since, ran) = running.unwrap_or_else(|| {
            (self.since, self.running) = (Some(now.time), Amount::default());
            self.users.clear();
            (now.time, Duration::ZERO)
        });
        self.forget(every, now.wall);
        let amount = Amount { messages: 1, bytes };
        let user = by.filter(|_| quota.user_messages.is_some() || quota.user_bytes.is_some());
        let own = user.map(|user| self.users.get(&user).copied().unwrap_or_default().and(amount));
        if let Some((limit, most)) = own.and_then(|own| own.beyond_own(quota)) {
            return Err(Over { room, of: user, limit, most, span: Some((every, every - ran)) });
        }
        let late = made.and_then(|made| past_span(every, ran, now.wall, made));
        let (beyond, left) = match late {
            None => (self.running.and(amount).beyond(quota, 1), every - ran),
            Some(number) => {
                (self.beyond_late(quota, number, (number_of(every, now.wall), amount)), Duration::ZERO)
            }
        };
        if let Some((limit, most)) = beyond {
            return Err(Over { room, of: None, limit, most, span: Some((every, left)) });
        }
        self.users.extend(user.zip(own));
        if late.is_none() {
            self.running.add(amount);
        }
        let wall = late.unwrap_or_else(|| number_of(every, now.wall));
        self.made.entry(wall).or_default().add(amount);
        Ok(Span { running: late.is_none().then_some(since), wall, user })
    }

    /// Spans of another length say nothing of these, nor do those that are long over, or yet to come since the wall clock was
    /// set back.
    fn forget(&mut self, every: Duration, now: Wall) {
        if self.every != every {
            self.every = every;
            self.made.clear();
        }
        let now = number_of(every, now);
        let is_old = |number: i64| number <= now.saturating_sub(PAST_SPANS_MAX);
        while self.made.first_key_value().is_some_and(|(number, _)| is_old(*number)) {
            self.made.pop_first();
        }
        while self.made.last_key_value().is_some_and(|(number, _)| *number > now) {
            self.made.pop_last();
        }
    }

    /// The limit that something late is beyond. Spans that do not begin where the wall clock's do meet one of these twice,
    /// and so many together once more than they are. Those that are yet to come take nothing for these.
    fn beyond_late(&self, quota: &Quota, number: i64, (now, amount): (i64, Amount)) -> Option<(Limit, u64)> {
        let first = number.saturating_sub(number.rem_euclid(PAST_TOGETHER));
        let begun = now.saturating_sub(first).saturating_add(1).clamp(1, PAST_TOGETHER);
        let mut together = amount;
        self.made.range(first..first.saturating_add(begun)).for_each(|(_, taken)| together.add(*taken));
        let alone = self.made.get(&number).copied().unwrap_or_default().and(amount);
        alone.beyond(quota, 2).or_else(|| together.beyond(quota, begun.unsigned_abs() + 1))
    }

    /// What could not be stored is given back to where it was counted, if that is still known.
    fn refund(&mut self, Span { running, wall, user }: Span, amount: Amount) {
        if running.is_some() && self.since == running {
            self.running.take(amount);
            let own = user.and_then(|user| self.users.get_mut(&user));
            own.into_iter().for_each(|own| own.take(amount));
        }
        if let Some(taken) = self.made.get_mut(&wall) {
            taken.take(amount);
        }
    }
}

/// The number of the span in which something was made, if that was before the one that runs, and not too long ago.
fn past_span(every: Duration, ran: Duration, now: Wall, made: Wall) -> Option<i64> {
    let age = now.0.saturating_sub(made.0);
    let is_before = u64::try_from(age).is_ok_and(|age| Duration::from_millis(age) > ran);
    let number = number_of(every, made);
    (is_before && number_of(every, now).saturating_sub(number) < PAST_SPANS_MAX).then_some(number)
}

fn number_of(every: Duration, wall: Wall) -> i64 {
    // A span is a second at least.
    wall.0.div_euclid(i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1))
}

/// What a batch was charged: given back if it is not stored.
#[derive(Debug, Default)]
pub(crate) struct Charged(BTreeMap<(RoomSlot, Span), Amount>);

/// What one publication was charged; nothing in a room without a quota.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge(Option<(RoomSlot, Span, Amount)>);

impl Charged {
    pub(crate) fn add(&mut self, Charge(charge): Charge) {
        if let Some((room, span, amount)) = charge {
            self.0.entry((room, span)).or_default().add(amount);
        }
    }
}

/// Whether it is the route on which the system tells who came and went.
pub(crate) fn is_of_members(route: &Route) -> bool {
    route.client == ClientId::SYSTEM && route.channel.as_str() == membership::CHANNEL
}

impl Graph {
    fn quota(&self, room: RoomSlot) -> Option<Quota> {
        self.room(room).declared.as_ref().map(|declared| declared.quota).filter(|quota| !quota.is_empty())
    }

    /// Counts one publication more, if the room takes it. `by`: which user publishes it here, if one does. `made`: when, if
    /// it was not at this moment.
    pub(crate) fn charge(
        &mut self,
        (room, by): (RoomSlot, Option<ClientId>),
        bytes: usize,
        (now, made): (Now, Option<Wall>),
    ) -> Result<Charge, Over> {
        let of_all = |quota: &Quota| quota.messages.is_some() || quota.bytes.is_some();
        let of_one = |quota: &Quota| quota.user_messages.is_some() || quota.user_bytes.is_some();
        let counts = |quota: &Quota| of_all(quota) || by.is_some() && of_one(quota);
        let Some(quota) = self.quota(room).filter(counts) else { return Ok(Charge(None)) };
        let amount = Amount { messages: 1, bytes: bytes as u64 };
        let span = self.room_mut(room).taken.charge((room, by), &quota, amount.bytes, (now, made))?;
        Ok(Charge(Some((room, span, amount))))
    }

    /// What was charged is not stored.
    pub(crate) fn refund(&mut self, Charged(charged): Charged) {
        for ((room, span), amount) in charged {
            self.room_mut(room).taken.refund(span, amount);
        }
    }

    /// Whether what is published on this route makes a channel more than the room takes.
    pub(crate) fn is_beyond(&self, route: &Route) -> Option<Over> {
        let room = self.room_of(route.room)?;
        let most = self.quota(room)?.channels?;
        // Who came and went is told in a channel of the system's.
        let is_more = !is_of_members(route)
            && self.room(room).published >= most
            && !self.is_published(room, &route.channel);
        is_more.then_some(Over { room, of: None, limit: Limit::Channels, most: u64::from(most), span: None })
    }
}

impl Bus {
    /// Whether a room takes a connection more, if this is one.
    pub(crate) fn has_place(&self, connection: ConnectionId, room: RoomSlot) -> Result<(), Over> {
        let most = self.graph.quota(room).and_then(|quota| quota.connections);
        let is_in = || self.connections.get(&connection).is_some_and(|one| one.members.contains_key(&room));
        match most {
            Some(most) if self.graph.room(room).members >= most && !is_in() => {
                Err(Over { room, of: None, limit: Limit::Connections, most: u64::from(most), span: None })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether all that a subscription reaches takes it. One in the place of another is no more where that one read too.
    pub(crate) fn may_subscribe(
        &self,
        connection: ConnectionId,
        id: SubscriptionId,
        reach: &Reach,
    ) -> Result<(), Over> {
        let reader = self.connections.get(&connection);
        let replaced = reader.and_then(|reader| reader.subscriptions.get(&id));
        let replaced = replaced.map(|one| self.rooms_in(&one.scope)).unwrap_or_default();
        let fits = |room: RoomSlot| {
            let replaces = replaced.contains(&room);
            self.has_place(connection, room)?;
            let most = self.graph.quota(room).and_then(|quota| quota.subscriptions);
            match most.filter(|most| !replaces && self.graph.room(room).subscribers >= *most) {
                Some(most) => Err(Over {
                    room,
                    of: None,
                    limit: Limit::Subscriptions,
                    most: u64::from(most),
                    span: None,
                }),
                None => Ok(()),
            }
        };
        match reach {
            Reach::Channel(room, _) | Reach::Room(room, _) => fits(*room),
            Reach::Rooms(_) => {
                let Some(reader) = reader else { return Ok(()) };
                let mut rooms = self.graph.rooms_of(reader.principal.account);
                rooms.try_for_each(|room| {
                    if topics::reaches(&self.graph, &reader.principal, room) { fits(room) } else { Ok(()) }
                })
            }
            Reach::Picked | Reach::Technical(..) => Ok(()),
        }
    }

    /// So many times something was not taken for that: it is counted, and told in the room.
    pub(crate) fn was_over(&mut self, over: &Over, count: u64) {
        self.was_over_by(over, count, None);
    }

    /// The same of what somebody published.
    pub(crate) fn was_over_by(&mut self, over: &Over, count: u64, by: Option<&Principal>) {
        self.counters.over_quota += count;
        let room = self.graph.room(over.room).id;
        self.event(Scope::Room(room), over.event(by));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_counted_in_spans_and_what_is_refused_is_not() {
        let quota = Quota {
            messages: Some(2),
            bytes: Some(ByteSize(10)),
            every: Some(riser_model::duration::Duration::seconds(10)),
            ..Quota::default()
        };
        let mut taken = Taken::default();
        let mut charge = |bytes, s| {
            let charged = taken.charge((RoomSlot(0), None), &quota, bytes, (at(s), None));
            charged.map(drop).map_err(|over| over.refusal())
        };
        assert_eq!(charge(4, 100), Ok(()));
        let refused = charge(7, 104).unwrap_err();
        assert_eq!(
            (refused.code, refused.what.as_str()),
            (Code::QuotaExceeded, "the room's quota: 10 bytes in 10s")
        );
        assert_eq!(charge(6, 104), Ok(()), "what was refused counts for nothing");
        let refused = charge(0, 107).unwrap_err();
        assert_eq!(refused.what, "the room's quota: 2 messages in 10s");
        assert_eq!(refused.want, "come back in 4 s");
        assert_eq!(charge(10, 110), Ok(()), "another span");
    }

    fn late(s: u64) -> Option<Wall> {
        Some(Wall(i64::try_from(s * 1000).unwrap()))
    }

    fn in_ten_seconds(messages: u64) -> Quota {
        let every = Some(riser_model::duration::Duration::seconds(10));
        Quota { messages: Some(messages), every, ..Quota::default() }
    }

    #[test]
    fn what_comes_late_counts_where_it_was_made_for_a_week_of_minutes() {
        let quota = in_ten_seconds(2);
        let mut taken = Taken::default();
        let now = 10 * PAST_SPANS_MAX as u64 + 1000;
        let mut charge = |made: u64| {
            let charged = taken.charge((RoomSlot(0), None), &quota, 1, (at(now), late(made)));
            charged.map(drop).map_err(|over| Box::new(over.event(None)))
        };
        let mut all = (now - 900..now - 800).filter(|made| made % 5 == 0);
        assert!(all.all(|made| charge(made).is_ok()), "as many in each span as there may be");
        let over = |again_ms| {
            let limit = "messages".to_owned();
            Err(Box::new(SystemEvent::RoomQuota { limit, most: 2, again_ms, client: None, name: None }))
        };
        assert_eq!((charge(now - 850), charge(now - 850)), (Ok(()), Ok(())), "spans that began elsewhere");
        assert_eq!(charge(now - 850), over(None), "more than two of them can hold");
        assert_eq!(
            (charge(now), charge(now + 50)),
            (Ok(()), Ok(())),
            "what was made now, or says it will be"
        );
        assert_eq!(charge(0), over(Some(10_000)), "what is very old counts as what is made now");
        assert!((charge(1010), charge(now - 700)) == (Ok(()), Ok(())));
        assert!(taken.made.len() as i64 <= PAST_SPANS_MAX, "{}", taken.made.len());
    }

    #[test]
    fn who_kept_to_a_quota_in_spans_that_began_at_any_moment_is_not_over_it_when_it_comes_late() {
        for offset in 0..10 {
            let (quota, mut kept, mut taken) = (in_ten_seconds(3), Taken::default(), Taken::default());
            // Bursts at the end of one span and the beginning of the next.
            let bursts = (0..100).flat_map(|n| [(n * 20, 1), (n * 20 + 9, 9), (n * 20 + 10, 9)]);
            let tried = bursts.flat_map(|(s, count)| (0..count).map(move |_| 1000 + offset + s));
            let all: Vec<u64> = tried
                .filter(|s| kept.charge((RoomSlot(0), None), &quota, 1, (at(*s), None)).is_ok())
                .collect();
            assert_eq!(all.len(), 600, "as much as there may be");
            let brings = |s: &u64| taken.charge((RoomSlot(0), None), &quota, 1, (at(9000), late(*s))).is_ok();
            assert!(all.iter().all(brings), "{offset}");
        }
    }

    #[test]
    fn who_is_late_in_every_span_brings_a_sixteenth_more_and_not_as_much_again() {
        let (quota, mut taken, mut count) = (in_ten_seconds(10), Taken::default(), 0);
        for s in (100_000..101_600).step_by(10) {
            let mut charge = |made| taken.charge((RoomSlot(0), None), &quota, 1, (at(s), made)).is_ok();
            count +=
                (0..30).filter(|_| charge(None)).count() + (0..30).filter(|_| charge(late(s - 10))).count();
        }
        assert!((1600..=1720).contains(&count), "{count} in 160 spans of 10, and in the one before");
    }

    #[test]
    fn what_is_known_of_spans_is_of_those_that_are_and_of_what_was_taken() {
        let (quota, mut taken) = (in_ten_seconds(0), Taken::default());
        assert!(taken.charge((RoomSlot(0), None), &quota, 1, (at(1000), late(900))).is_err());
        assert!(taken.made.is_empty(), "what was refused is not counted");
        let quota = in_ten_seconds(9);
        taken.charge((RoomSlot(0), None), &quota, 1, (at(1000), None)).unwrap();
        taken.charge((RoomSlot(0), None), &quota, 1, (at(500), None)).unwrap();
        assert_eq!(taken.made.keys().collect::<Vec<_>>(), [&50], "the clock was set back");
        let every = Some(riser_model::duration::Duration::seconds(1));
        taken.charge((RoomSlot(0), None), &Quota { every, ..quota }, 1, (at(600), None)).unwrap();
        assert_eq!(taken.made.keys().collect::<Vec<_>>(), [&600], "spans of another length");
    }

    #[test]
    fn what_is_given_back_may_be_taken_again() {
        let quota = Quota { messages: Some(1), ..Quota::default() };
        let mut taken = Taken::default();
        let mut charge = |made| taken.charge((RoomSlot(0), None), &quota, 1, (at(1000), made)).unwrap();
        let spans = [charge(None), charge(late(500)), charge(late(500))];
        for (span, made) in [(spans[0], None), (spans[1], late(500))] {
            taken.refund(span, Amount { messages: 1, bytes: 1 });
            assert!(taken.charge((RoomSlot(0), None), &quota, 1, (at(1000), made)).is_ok());
            assert!(taken.charge((RoomSlot(0), None), &quota, 1, (at(1000), made)).is_err());
        }
        taken.refund(Span { running: Some(Time(7)), wall: 7, user: None }, Amount { messages: 1, bytes: 1 });
        assert!(taken.charge((RoomSlot(0), None), &quota, 1, (at(1000), None)).is_err(), "another span's");
    }

    fn at(s: u64) -> Now {
        let wall = Wall(i64::try_from(s * 1000).unwrap());
        Now { time: Time(0).plus(Duration::from_secs(s)), wall }
    }
}
