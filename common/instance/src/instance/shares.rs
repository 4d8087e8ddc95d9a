//! Groups that share a subscription, as far as sessions hold them: what the log is told of them, and what it says.

use super::{Awaited, Instance, Record, log_failing};
use riser_model::{ConnectionId, Now, Seq, ShareChange, ShareKey, door::Tell, tally::Tallied};
use riser_mqtt::{HandOver, SessionKey};
use riser_rooms::Input as BusInput;
use std::{collections::BTreeMap, time::Duration};

/// The log is told how far groups are this often: what their members acknowledged at QoS 1 since then may come again
/// after a crash.
const SHARES_EVERY: Duration = Duration::from_secs(1);

impl Instance {
    /// What the log says of groups when an instance starts.
    pub(super) fn restore_shares(&mut self, now: Now) {
        // Said while the log was folded, and part of what follows.
        let _ = self.sessions.take_share_changes();
        let _ = self.sessions.take_unfinished();
        for change in self.sessions.shares() {
            self.rooms(BusInput::Share(change), now);
        }
    }

    /// The sessions changed: the rooms hear what it means for groups.
    pub(super) fn tell_shares(&mut self, now: Now) {
        for change in self.sessions.take_share_changes() {
            self.rooms(BusInput::Share(change), now);
        }
        for (account, count) in self.sessions.take_unfinished().collect::<Vec<_>>() {
            self.unfinished += count;
            let dropped = Tallied { publications_dropped: count, ..Tallied::default() };
            self.system(account).tally.add(&dropped);
        }
    }

    /// What a session must know of its deliveries before they go on. One answer for all.
    pub(super) fn hand_over(&mut self, id: ConnectionId, ticket: u64, news: HandOver, now: Now) {
        let Some(connection) = self.connections.get(&id) else { return };
        let Some(account) = connection.principal.as_ref().map(|principal| principal.account) else { return };
        let shared =
            news.sent.iter().chain(&news.left).filter(|(_, filter, _)| filter.starts_with("$share/"));
        let taken: Vec<(ShareKey, Seq)> = shared
            .map(|(_, filter, position)| (ShareKey { account, filter: filter.clone() }, position.seq))
            .collect();
        let records = self.sessions.hand_over(connection.session_number(), news);
        if records.is_empty() {
            return self.answer(id, ticket, self.stored(ticket));
        }
        // From here on they are the session's, whoever leaves before that is on disk.
        for (key, seqs) in by_key(&taken) {
            self.rooms(BusInput::Share(ShareChange::Taken { key, seqs }), now);
        }
        self.append_of(id, &records, Awaited::HandedOver { connection: id, ticket, taken }, now);
    }

    pub(super) fn handed_over(
        &mut self,
        id: ConnectionId,
        ticket: u64,
        taken: Vec<(ShareKey, Seq)>,
        durable: bool,
        now: Now,
    ) {
        let mut stored = self.stored(ticket);
        if !durable {
            for (key, seqs) in by_key(&taken) {
                self.rooms(BusInput::Share(ShareChange::Returned { key, seqs }), now);
            }
            if let Tell::Stored { refused, .. } = &mut stored {
                refused.push((0, log_failing()));
            }
        }
        self.answer(id, ticket, stored);
    }

    /// Groups may have got on: the log is told in a while, or at once when a connection ended.
    pub(super) fn look_at_shares(&mut self, now: Now) {
        if self.shares_due.is_none() && self.bus.has_share_news() {
            self.shares_due = Some(now.time.plus(SHARES_EVERY));
        }
    }

    pub(super) fn note_shares_due(&mut self, now: Now) {
        if self.shares_due.is_some_and(|due| due <= now.time) {
            self.note_shares(now);
        }
    }

    /// Tells the log how far groups are.
    pub(super) fn note_shares(&mut self, now: Now) {
        self.shares_due = None;
        for state in self.bus.take_share_news() {
            let key = state.key;
            // A group is nobody's session.
            let nobody = SessionKey::of_nobody(key.account, &key.filter);
            let record = Record::Shared { key: key.clone(), cursor: state.cursor, open: state.open };
            self.append(nobody, &[record], Awaited::Share { key }, now);
        }
    }

    /// It is noted, or the log could not: then it is tried again.
    pub(super) fn share_noted(&mut self, key: ShareKey, durable: bool, now: Now) {
        if !durable {
            self.rooms(BusInput::Share(ShareChange::Returned { key, seqs: Vec::new() }), now);
        }
    }
}

fn by_key(taken: &[(ShareKey, Seq)]) -> BTreeMap<ShareKey, Vec<Seq>> {
    let mut by_key = BTreeMap::<ShareKey, Vec<Seq>>::new();
    for (key, seq) in taken {
        by_key.entry(key.clone()).or_default().push(*seq);
    }
    by_key
}
