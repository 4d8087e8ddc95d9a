//! The fold: what each committed entry changes.

use super::{Held, Session, Sessions, is_loose, shares};
use crate::record::{Record, SessionKey};
use riser_model::Seq;
use riser_wire::entry::{Body, Frame, Kind, Publication};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

impl Sessions {
    /// Takes one committed entry. Entries of other kinds, of sessions that ended, and of other logs, which speak
    /// of those logs' sessions, change nothing.
    pub fn apply(&mut self, _seq: Seq, frame: &Frame<'_>) {
        if frame.origin.is_some() {
            return;
        }
        let Ok(body) = Body::read(frame.body) else {
            return;
        };
        match body.kind {
            Kind::Publication if Publication::has_packet_id(&body) => self.received(&body),
            Kind::Session | Kind::Release => match Record::read(&body) {
                Some(record) => self.change(record),
                None => self.unreadable += 1,
            },
            Kind::Publication
            | Kind::Canary
            | Kind::Anchor
            | Kind::Opened
            | Kind::Closed
            | Kind::Quarantined
            | Kind::Settled
            | Kind::Passed
            | Kind::Departed
            | Kind::Roll
            | Kind::Other(_) => {}
        }
    }

    fn received(&mut self, body: &Body<'_>) {
        let id = Publication::read(body).ok().and_then(|p| p.packet_id);
        if let Some(id) = id
            && let Some(session) = self.by_number.get_mut(&id.session)
            && session.open_ids.insert(id.id)
        {
            self.open.add(&session.key, 1);
        }
    }

    fn change(&mut self, record: Record) {
        match record {
            Record::Opened { number, key, expiry_s } => self.opened(number, key, expiry_s),
            Record::Left { number, at, expiry_s } => {
                self.seen = self.seen.max(Some(at));
                if let Some(session) = self.by_number.get_mut(&number) {
                    session.left = Some(at);
                    session.expiry_s = expiry_s;
                }
            }
            Record::Ended { number } => self.remove(number),
            Record::Subscribed { number, filter, options, identifier, through } => {
                if let Some(session) = self.by_number.get_mut(&number)
                    && session.hold(filter.clone(), Held::new((options, identifier), through))
                {
                    self.shares.hold(session.key.account, &filter, through);
                }
            }
            Record::Unsubscribed { number, filter } => {
                if let Some(session) = self.by_number.get_mut(&number) {
                    let dropped = session.deliveries.extract_if(.., |_, one| one.filter == filter);
                    // What was said is in no subscription's course by now. The rest is for the others of its group.
                    for (_, one) in dropped.filter(|(_, one)| !one.released && !one.over) {
                        self.shares.returned(session.key.account, one.filter, one.position.seq);
                    }
                    if session.held.remove(&filter).is_some() {
                        self.shares.let_go(session.key.account, &filter);
                    }
                }
            }
            Record::Confirmed { number, through } => {
                let Some(session) = self.by_number.get_mut(&number) else {
                    return;
                };
                for (filter, position) in through {
                    // What the session has passed needs no number any more. What it has of a group comes in no order:
                    // each is over by itself.
                    if !shares::is_shared(&filter) {
                        session.deliveries.retain(|_, delivered| {
                            delivered.filter != filter || delivered.position.seq > position.seq
                        });
                    }
                    if let Some(held) = session.held.get_mut(&filter) {
                        held.through = Some(position);
                    }
                }
            }
            Record::HandedOver { number, sent, released } => {
                if let Some(session) = self.by_number.get_mut(&number) {
                    session.remember(sent, false, &mut self.shares);
                    for id in released {
                        if let Some(delivered) = session.deliveries.get_mut(&id) {
                            delivered.released = true;
                        }
                    }
                }
            }
            Record::Willed { key, will } => self.wills.set(key, *will),
            Record::WillDue { key, at } => self.wills.due(&key, at),
            Record::Unwilled { key } => self.wills.remove(&key),
            Record::LeftOver { number, sent } => {
                if let Some(session) = self.by_number.get_mut(&number) {
                    session.remember(sent, true, &mut self.shares);
                }
            }
            Record::Over { number, ids } => {
                if let Some(session) = self.by_number.get_mut(&number) {
                    for id in ids {
                        match session.deliveries.get_mut(&id) {
                            Some(one) if is_loose(&one.filter) || shares::is_shared(&one.filter) => {
                                session.deliveries.remove(&id);
                            }
                            Some(delivered) => delivered.over = true,
                            None => {}
                        }
                    }
                }
            }
            Record::Shown { number, filter, left } => {
                let session = self.by_number.get_mut(&number);
                let held = session.and_then(|one| one.held.get_mut(&filter));
                if let Some(held) = held {
                    held.showing = left;
                }
            }
            Record::Stepped { at, ahead_ms } => {
                self.ahead_ms = ahead_ms;
                self.seen = self.seen.max(Some(at));
            }
            Record::Shared { key, cursor, open } => self.shares.set(&key, cursor, open),
            Record::Released { number, ids } => {
                if let Some(session) = self.by_number.get_mut(&number) {
                    let before = session.open_ids.len();
                    session.open_ids.retain(|id| !ids.contains(id));
                    self.open.take(&session.key, before - session.open_ids.len());
                }
            }
        }
    }

    fn opened(&mut self, number: u64, key: SessionKey, expiry_s: u32) {
        self.next = self.next.max(number.saturating_add(1));
        if let Some(session) = self.by_number.get_mut(&number) {
            session.expiry_s = expiry_s;
            session.left = None;
            return;
        }
        if let Some(former) = self.find(&key) {
            self.remove(former);
        }
        self.by_client.entry((key.account, key.client)).or_default().insert(key.id.clone(), number);
        let session = Session {
            key,
            expiry_s,
            left: None,
            open_ids: BTreeSet::new(),
            held: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            last_id: 0,
        };
        self.by_number.insert(number, session);
    }

    fn remove(&mut self, number: u64) {
        let Some(Session { key, held, deliveries, open_ids, .. }) = self.by_number.remove(&number) else {
            return;
        };
        self.open.take(&key, open_ids.len());
        for one in deliveries.into_values() {
            if one.at_least_once {
                self.shares.returned(key.account, one.filter, one.position.seq);
            } else if shares::is_shared(&one.filter) && !one.released && !one.over {
                // What was begun at QoS 2 is for nobody else (MQTT 5, section 4.8.2): it is counted.
                *self.unfinished.entry(key.account).or_default() += 1;
            }
        }
        for filter in held.keys() {
            self.shares.let_go(key.account, filter);
        }
        if let Entry::Occupied(mut client) = self.by_client.entry((key.account, key.client)) {
            client.get_mut().remove(&key.id);
            if client.get().is_empty() {
                client.remove();
            }
        }
    }
}
