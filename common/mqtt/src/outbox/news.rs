//! What a session is to remember of deliveries, from when it is noted until it is stored.

use super::{
    Outbox,
    waiting::{Course, Stage},
};
use riser_model::{
    Position, SubscriptionId,
    door::{Loose, Showing},
};

/// What a session is to remember of its deliveries at QoS 2.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct News {
    /// Ids and what they stand for.
    pub(crate) sent: Vec<(u16, SubscriptionId, Position)>,
    /// Ids whose publication the peer has.
    pub(crate) released: Vec<u16>,
    /// What is in no subscription's course.
    pub(crate) loose: Vec<Loose>,
    /// Ids of what is over: no PUBREL is to be said for it.
    pub(crate) done: Vec<u16>,
    /// What is left of what channels retain.
    pub(crate) shown: Vec<(SubscriptionId, Showing)>,
}

/// What was said at QoS 1 and is not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Unacknowledged {
    /// Of subscriptions.
    pub(crate) left: Vec<(u16, SubscriptionId, Position)>,
    /// Of none.
    pub(crate) loose: Vec<Loose>,
}

/// What follows when news is stored.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Ids whose PUBREL may be said.
    pub(crate) say: Vec<u16>,
    /// What the peer has.
    pub(crate) has: Vec<(SubscriptionId, Position)>,
}

impl Outbox {
    /// Whether something is to be stored.
    pub(crate) fn has_news(&self) -> bool {
        self.news != News::default()
    }

    /// What is left of what channels retain is stored with the rest.
    pub(crate) fn note_shown(&mut self, shown: Vec<(SubscriptionId, Showing)>) {
        self.news.shown.extend(shown);
    }

    /// What is to be stored now, if anything; answered with this ticket.
    pub(crate) fn ask(&mut self, ticket: impl FnOnce() -> u64) -> Option<(u64, News)> {
        if !self.has_news() {
            return None;
        }
        let (ticket, news) = (ticket(), std::mem::take(&mut self.news));
        self.asked.push_back((ticket, news.clone()));
        Some((ticket, news))
    }

    /// Whether a ticket is of something that is being stored.
    pub(crate) fn is_asked(&self, ticket: u64) -> bool {
        self.asked.front().is_some_and(|(asked, _)| *asked == ticket)
    }

    /// It is stored. None if the ticket is another's.
    pub(crate) fn stored(&mut self, ticket: u64) -> Option<Stored> {
        let (_, news) = self.asked.pop_front_if(|(asked, _)| *asked == ticket)?;
        let sent = news.sent.iter().map(|(id, _, _)| *id);
        for id in sent.chain(news.loose.iter().map(|one| one.id)) {
            if self.by_id.get(&id).is_some_and(|waiting| waiting.stage == Stage::Numbering) {
                self.enter(id, Stage::Numbered { before: false });
            }
        }
        let (mut say, mut has) = (Vec::new(), Vec::new());
        for id in news.released {
            let Some(waiting) = self.by_id.get(&id).copied() else { continue };
            match waiting.stage {
                // Passed when PUBCOMP came: until then the id means something to the peer.
                Stage::Receiving => {
                    self.enter(id, Stage::Released);
                    say.push(id);
                }
                Stage::Over
                | Stage::Published
                | Stage::Numbering
                | Stage::Numbered { .. }
                | Stage::Sent
                | Stage::Released => {}
            }
        }
        for id in news.done {
            let Some(waiting) = self.by_id.get(&id).copied().filter(|one| one.stage == Stage::Over) else {
                continue;
            };
            has.extend(waiting.pos.map(|pos| (waiting.subscription, pos)));
            if waiting.course != Course::In {
                self.remove(id);
            }
        }
        Some(Stored { say, has })
    }
}
