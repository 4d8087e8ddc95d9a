//! What a room has taken of its quota, and what is said when it takes no more.
//!
//! Publications are counted in spans, one after the other, from the first one on: what was refused, or could not be stored,
//! counts for nothing. What a link brings late is counted in the span in which it was made, so that a site that was cut off
//! brings its backlog without being over. How many are connected, subscribed and published in is what the room knows of
//! itself. A restart begins a new span.

use crate::{
    bus::Bus,
    graph::{Graph, RoomSlot},
    topics::{self, Reach},
};
use riser_model::{
    ConnectionId, Now, Quota, Route, SubscriptionId, Time, Wall,
    door::{Code, Refusal},
    event::{Scope, SystemEvent},
};
use std::{collections::BTreeMap, fmt, time::Duration};

/// Spans that are over and of which it is known what a room took: a week of minutes. What is older than that counts in the
/// span that runs, so that nobody gets around a quota by what its clock says.
const PAST_SPANS_MAX: i64 = 7 * 24 * 60;

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

/// A room is over one of its limits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Over {
    pub(crate) room: RoomSlot,
    limit: Limit,
    most: u64,
    /// The span in which that is counted, and how much of it is left: nothing of one that is over.
    span: Option<(Duration, Duration)>,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, most, span, .. } = self;
        write!(f, "the room's quota: {most} {}", limit.name())?;
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

    fn event(&self) -> SystemEvent {
        let left = self.span.map(|(_, left)| left).filter(|left| !left.is_zero());
        let again = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        SystemEvent::RoomQuota { limit: self.limit.name().to_owned(), most: self.most, again_ms: again }
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

    fn take(&mut self, other: Self) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }

    /// The limit that it is beyond, and how much that is.
    fn beyond(&self, quota: &Quota) -> Option<(Limit, u64)> {
        let messages = quota.messages.filter(|most| self.messages > *most);
        let bytes = quota.bytes.filter(|most| self.bytes > most.0);
        messages.map(|most| (Limit::Messages, most)).or(bytes.map(|most| (Limit::Bytes, most.0)))
    }
}

/// A span of a room's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Span {
    /// The one that began then, and runs or ran last.
    Running(Time),
    /// One that was over when what was made in it came: its number from the epoch on, by the wall clock.
    Past(i64),
}

/// What a room has taken in the span that runs, and in those before it of what came late.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    since: Option<Time>,
    running: Amount,
    past: BTreeMap<i64, Amount>,
}

impl Taken {
    /// `made`: when, if it was not at this moment.
    fn charge(
        &mut self,
        room: RoomSlot,
        quota: &Quota,
        bytes: u64,
        (now, made): (Now, Option<Wall>),
    ) -> Result<Span, Over> {
        let every = quota.span();
        let running = self.since.map(|since| (since, now.time.since(since))).filter(|(_, ran)| *ran < every);
        let (since, ran) = running.unwrap_or_else(|| {
            (self.since, self.running) = (Some(now.time), Amount::default());
            (now.time, Duration::ZERO)
        });
        let (span, left) = match made.and_then(|made| past_span(every, ran, now.wall, made)) {
            None => (Span::Running(since), every - ran),
            Some(number) => (Span::Past(number), Duration::ZERO),
        };
        let first = number_of(every, now.wall).saturating_sub(PAST_SPANS_MAX);
        while self.past.first_key_value().is_some_and(|(number, _)| *number <= first) {
            self.past.pop_first();
        }
        let taken = self.amount(span);
        let mut with = *taken;
        with.add(Amount { messages: 1, bytes });
        if let Some((limit, most)) = with.beyond(quota) {
            return Err(Over { room, limit, most, span: Some((every, left)) });
        }
        *taken = with;
        Ok(span)
    }

    fn amount(&mut self, span: Span) -> &mut Amount {
        match span {
            Span::Running(_) => &mut self.running,
            Span::Past(number) => self.past.entry(number).or_default(),
        }
    }

    /// What could not be stored is given back to the span that it was charged to, if that is still known.
    fn refund(&mut self, span: Span, amount: Amount) {
        let taken = match span {
            Span::Running(since) => Some(&mut self.running).filter(|_| self.since == Some(since)),
            Span::Past(number) => self.past.get_mut(&number),
        };
        if let Some(taken) = taken {
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

impl Graph {
    fn quota(&self, room: RoomSlot) -> Option<Quota> {
        self.room(room).declared.as_ref().map(|declared| declared.quota).filter(|quota| !quota.is_empty())
    }

    /// Counts one publication more, if the room takes it. `made`: when, if it was not at this moment.
    pub(crate) fn charge(
        &mut self,
        room: RoomSlot,
        bytes: usize,
        (now, made): (Now, Option<Wall>),
    ) -> Result<Charge, Over> {
        let Some(quota) = self.quota(room) else { return Ok(Charge(None)) };
        let amount = Amount { messages: 1, bytes: bytes as u64 };
        let span = self.room_mut(room).taken.charge(room, &quota, amount.bytes, (now, made))?;
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
        let is_more =
            self.room(room).channels.len() >= most as usize && !self.is_routed(room, &route.channel);
        is_more.then_some(Over { room, limit: Limit::Channels, most: u64::from(most), span: None })
    }
}

impl Bus {
    /// Whether a room takes a connection more, if this is one.
    pub(crate) fn has_place(&self, connection: ConnectionId, room: RoomSlot) -> Result<(), Over> {
        let most = self.graph.quota(room).and_then(|quota| quota.connections);
        let is_in = || self.connections.get(&connection).is_some_and(|one| one.members.contains_key(&room));
        match most {
            Some(most) if self.graph.room(room).members >= most && !is_in() => {
                Err(Over { room, limit: Limit::Connections, most: u64::from(most), span: None })
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
                Some(most) => {
                    Err(Over { room, limit: Limit::Subscriptions, most: u64::from(most), span: None })
                }
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
        self.counters.over_quota += count;
        let room = self.graph.room(over.room).id;
        self.event(Scope::Room(room), over.event());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_counted_in_spans_and_what_is_refused_is_not() {
        let quota = Quota {
            messages: Some(2),
            bytes: Some(riser_model::size::ByteSize(10)),
            every: Some(riser_model::duration::Duration::seconds(10)),
            ..Quota::default()
        };
        let mut taken = Taken::default();
        let mut charge = |bytes, s| {
            let charged = taken.charge(RoomSlot(0), &quota, bytes, (at(s), None));
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

    #[test]
    fn what_comes_late_counts_in_the_span_in_which_it_was_made_for_a_week_of_minutes() {
        let every = Some(riser_model::duration::Duration::seconds(10));
        let quota = Quota { messages: Some(2), every, ..Quota::default() };
        let mut taken = Taken::default();
        let now = 10 * PAST_SPANS_MAX as u64 + 1000;
        let mut late = |made: u64| {
            let charged = taken.charge(
                RoomSlot(0),
                &quota,
                1,
                (at(now), Some(Wall(i64::try_from(made * 1000).unwrap()))),
            );
            charged.map(drop).map_err(|over| over.event())
        };
        let mut all = (now - 900..now - 800).filter(|made| made % 5 == 0);
        assert!(all.all(|made| late(made).is_ok()), "as many in each span as there may be");
        let over = |again_ms| Err(SystemEvent::RoomQuota { limit: "messages".to_owned(), most: 2, again_ms });
        assert_eq!(late(now - 850), over(None), "that one is over, and its quota used up");
        assert_eq!((late(now), late(now + 50)), (Ok(()), Ok(())), "what was made now, or says it will be");
        assert_eq!(late(0), over(Some(10_000)), "what is very old counts as what is made now");
        assert!((late(1010), late(now - 700)) == (Ok(()), Ok(())));
        assert!(taken.past.len() as i64 <= PAST_SPANS_MAX, "{}", taken.past.len());
    }

    #[test]
    fn what_is_given_back_may_be_taken_again() {
        let quota = Quota { messages: Some(1), ..Quota::default() };
        let mut taken = Taken::default();
        let mut charge = |made| taken.charge(RoomSlot(0), &quota, 1, (at(1000), made)).unwrap();
        let (running, past) = (charge(None), charge(Some(Wall(500_000))));
        for (span, made) in [(running, None), (past, Some(Wall(500_000)))] {
            taken.refund(span, Amount { messages: 1, bytes: 1 });
            assert!(taken.charge(RoomSlot(0), &quota, 1, (at(1000), made)).is_ok());
            assert!(taken.charge(RoomSlot(0), &quota, 1, (at(1000), made)).is_err());
        }
        taken.refund(Span::Running(Time(7)), Amount { messages: 1, bytes: 1 });
        assert!(taken.charge(RoomSlot(0), &quota, 1, (at(1000), None)).is_err(), "another span's");
    }

    fn at(s: u64) -> Now {
        let wall = Wall(i64::try_from(s * 1000).unwrap());
        Now { time: Time(0).plus(Duration::from_secs(s)), wall }
    }
}
