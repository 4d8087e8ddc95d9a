//! What a room has taken of its quota, and what is said when it takes no more.
//!
//! Publications are counted in spans, one after the other, from the first one on: what was refused counts for nothing. How
//! many are connected, subscribed and published in is what the room knows of itself. A restart begins a new span.

use crate::{
    bus::Bus,
    graph::{Graph, RoomSlot},
    topics::{self, Reach},
};
use riser_model::{
    ConnectionId, Quota, Route, SubscriptionId, Time,
    door::{Code, Refusal},
    event::{Scope, SystemEvent},
};
use std::{fmt, time::Duration};

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
    /// The span in which that is counted, and how much of it is left.
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
        let again = self.span.map(|(_, left)| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        SystemEvent::RoomQuota { limit: self.limit.name().to_owned(), most: self.most, again_ms: again }
    }
}

/// What a room has taken in the span that runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    since: Option<Time>,
    messages: u64,
    bytes: u64,
}

impl Taken {
    fn charge(&mut self, room: RoomSlot, quota: &Quota, bytes: u64, now: Time) -> Result<(), Over> {
        let span = quota.span();
        let ran = self.since.map(|since| now.since(since)).filter(|ran| *ran < span);
        let ran = ran.unwrap_or_else(|| {
            *self = Self { since: Some(now), messages: 0, bytes: 0 };
            Duration::ZERO
        });
        let (messages, bytes) = (self.messages + 1, self.bytes.saturating_add(bytes));
        let over = |limit, most| Over { room, limit, most, span: Some((span, span - ran)) };
        if let Some(most) = quota.messages.filter(|most| messages > *most) {
            return Err(over(Limit::Messages, most));
        }
        if let Some(most) = quota.bytes.filter(|most| bytes > most.0) {
            return Err(over(Limit::Bytes, most.0));
        }
        (self.messages, self.bytes) = (messages, bytes);
        Ok(())
    }
}

impl Graph {
    fn quota(&self, room: RoomSlot) -> Option<Quota> {
        self.room(room).declared.as_ref().map(|declared| declared.quota).filter(|quota| !quota.is_empty())
    }

    /// Counts one publication more, if the room takes it.
    pub(crate) fn charge(&mut self, room: RoomSlot, bytes: usize, now: Time) -> Result<(), Over> {
        match self.quota(room) {
            None => Ok(()),
            Some(quota) => self.room_mut(room).taken.charge(room, &quota, bytes as u64, now),
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

    /// Whether all that a subscription reaches takes it. One in the place of another is no more than that was.
    pub(crate) fn may_subscribe(
        &self,
        connection: ConnectionId,
        id: SubscriptionId,
        reach: &Reach,
    ) -> Result<(), Over> {
        let reader = self.connections.get(&connection);
        let replaces = reader.is_some_and(|reader| reader.subscriptions.contains_key(&id));
        let fits = |room: RoomSlot| {
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
        let at = |s: u64| Time(0).plus(Duration::from_secs(s));
        let mut charge =
            |bytes, s| taken.charge(RoomSlot(0), &quota, bytes, at(s)).map_err(|over| over.refusal());
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
}
