//! Talkers: when they come, speak and go, and what they are told.

use super::{Event, World, actors::due};
use crate::{
    journal::Key,
    ledger::Offer,
    sessions::{Listening, Log},
    talker::{Act, Talker, Told},
    wires::{Client, Far, Message, Road, Way, WireId},
};
use bytes::Bytes;
use fastrand::Rng;
use riser_model::{ConnectionId, Epoch, SessionId, Time};
use std::{collections::BTreeSet, time::Duration};

const DIAL_FOR: Duration = Duration::from_secs(10);
/// Whoever was shown something of a session hears of its end within so long, on a road that is well.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// A talker and where it is.
#[derive(Debug)]
pub struct TalkerSeat {
    /// The talker.
    pub talker: Talker,
    pub(super) wire: Option<WireId>,
    pub(super) armed: Option<Time>,
    listening: Option<Listening>,
    rng: Rng,
}

impl TalkerSeat {
    /// One that has not come yet.
    pub fn new(talker: Talker, rng: Rng) -> Self {
        Self { talker, wire: None, armed: None, listening: None, rng }
    }
}

impl World {
    pub(super) fn talker_acts(&mut self, n: usize) {
        while let Some(act) = self.talkers[n].talker.poll() {
            let wire = self.talkers[n].wire;
            match act {
                Act::Dial => {
                    let host = self.talkers[n].talker.identity.host;
                    let id = self.dial(Client::Talker(n), host, Road::Talker(n), DIAL_FOR);
                    self.talkers[n].wire = Some(id);
                }
                Act::Say(text) => {
                    self.trace.line(self.now, || format!("talker {n} says {text:.160}"));
                    if let Some(id) = wire {
                        self.net.send(id, Way::Up, Message::Text(text), self.now);
                    }
                }
                Act::Hangup => {
                    self.talkers[n].wire = None;
                    if let Some(id) = wire {
                        self.end_client(id);
                    }
                }
                Act::Receipt(key) => self.is_bounded(n, key),
                Act::Full(asked_at) => self.is_full(n, asked_at),
                Act::Wrong(what) => self.wrong(format!("talker {n}: {what}")),
            }
        }
        self.talker_told(n);
        let seat = &mut self.talkers[n];
        if let Some(at) = due(seat.talker.wake_at(), &mut seat.armed, self.now) {
            self.queue.put(at, Event::Talker(n, at));
        }
    }

    fn talker_told(&mut self, n: usize) {
        let host = self.talkers[n].talker.identity.host;
        let at = &self.hosts[host];
        let cause = at.setup.log.trim_cause;
        let log = Log { journal: &at.journal, oldest: at.oldest_there(), cause };
        let refusing = self.refusing();
        let sessions = &mut self.sessions[host];
        sessions.look((log.journal, at.answered), &refusing, self.now);
        let seat = &mut self.talkers[n];
        for told in std::mem::take(&mut seat.talker.told) {
            let Some(listening) = &mut seat.listening else { continue };
            let before = (listening.replayed, listening.wiped);
            let wrong = listening.told(&told, sessions, &log);
            self.ledger.counts.heard += u64::from(matches!(told, Told::Message { .. }));
            self.ledger.counts.replayed += listening.replayed - before.0;
            self.ledger.counts.wiped += listening.wiped - before.1;
            if let Some(wrong) = wrong {
                self.trace.wrong(self.now, format!("talker {n} at host {host}: {wrong}"));
            }
        }
    }

    /// It is at the door: what it is told from here on is held against what there is.
    pub(super) fn talker_comes(&mut self, n: usize) {
        let host = self.talkers[n].talker.identity.host;
        self.talkers[n].listening = Some(Listening::new(self.hosts[host].answered, self.now));
        self.talkers[n].talker.connected(self.now);
        self.talker_acts(n);
    }

    pub(super) fn talker_gone(&mut self, n: usize) {
        self.talkers[n].wire = None;
        self.talkers[n].listening = None;
        self.talkers[n].talker.closed(self.now);
        self.talker_acts(n);
    }

    /// A host opened or ended the connection of a talker.
    pub(super) fn talker_session(&mut self, host: usize, connection: ConnectionId, lasts: bool) {
        let Some(epoch) = self.hosts[host].journal.epochs.last().copied() else { return };
        let session = SessionId { epoch, connection };
        if lasts {
            self.sessions[host].opened(session);
        } else {
            self.sessions[host].closed(session, self.now);
        }
    }

    /// The server's end of a talker's connection is about to be gone.
    pub(super) fn talker_left(&mut self, id: WireId) {
        let Some(wire) = self.net.wires.get(&id).filter(|wire| wire.server_open) else { return };
        if let (Client::Talker(_), Far::Door(connection), host) = (wire.client, wire.far, wire.server) {
            self.talker_session(host, connection, false);
        }
    }

    /// No more publications of sessions have a place than there are.
    fn is_bounded(&mut self, n: usize, key: Key) {
        let host = self.talkers[n].talker.identity.host;
        self.ledger.receipts.insert(key);
        let most = self.knobs.memory.session_max;
        // Not even all that there is would be more.
        if self.hosts[host].journal.entries.len() <= most {
            return;
        }
        let (kept, _) = self.sessions[host].kept(&self.hosts[host].journal, self.now);
        if kept > most {
            self.wrong(format!(
                "host {host} keeps {kept} publications of sessions, and has places for {most}"
            ));
        }
    }

    /// Who is told that there is no place was told so when there was none: at some time since it asked.
    fn is_full(&mut self, n: usize, asked_at: Time) {
        let host = self.talkers[n].talker.identity.host;
        self.ledger.counts.full += 1;
        let refusing = self.refusing();
        let (journal, answered) = (&self.hosts[host].journal, self.hosts[host].answered);
        self.sessions[host].look((journal, answered), &refusing, self.now);
        let (_, kept) = self.sessions[host].kept(journal, asked_at);
        let here = self.talkers.iter().filter(|seat| seat.talker.identity.host == host);
        let under_way: usize = here.map(|seat| seat.talker.under_way(asked_at)).sum();
        let most = self.knobs.memory.session_max;
        if kept + under_way < most {
            self.wrong(format!(
                "talker {n} is told that {most} are kept, and only {kept} and {under_way} are"
            ));
        }
    }

    pub(super) fn wake_talker(&mut self, n: usize, armed: Time) {
        if self.talkers[n].armed.take_if(|due| *due == armed).is_none() {
            return;
        }
        let was_on = self.talkers[n].talker.is_in();
        self.talkers[n].talker.wake(self.now);
        if was_on && !self.talkers[n].talker.is_in() {
            self.talkers[n].listening = None;
        }
        self.talker_acts(n);
    }

    /// A talker says something, or goes.
    pub(super) fn talk(&mut self, n: usize) {
        if self.now >= self.knobs.heals_at() {
            return;
        }
        let pause = Duration::from_millis(self.talkers[n].rng.u64(50..6_000));
        self.after(pause, Event::Talk(n));
        if !self.talkers[n].talker.is_in() {
            return;
        }
        if self.talkers[n].rng.u8(0..8) == 0 {
            self.is_told_of_ends(n);
            let back = Duration::from_millis(self.talkers[n].rng.u64(10..40_000));
            self.talkers[n].listening = None;
            self.talkers[n].talker.leave(self.now, self.now.plus(back));
        } else {
            for _ in 0..self.talkers[n].rng.u8(1..4) {
                let (key, channel, payload) = self.talkers[n].talker.publish(self.now);
                let topic = format!("{}/{channel}", self.talkers[n].talker.identity.room);
                let offer = Offer { topic, payload: Bytes::from(payload), qos: 1, retain: false };
                self.ledger.offers.insert(key, offer);
                self.ledger.counts.offered += 1;
            }
        }
        self.talker_acts(n);
    }

    /// Who goes has heard that a session ended, if it ended a while ago and nothing was broken since. A cut keeps what is
    /// told for as long as it lasts: then it counts from when that was mended.
    fn is_told_of_ends(&mut self, n: usize) {
        let lately = |at: &Time| at.plus(2 * TOLD_WITHIN) > self.now;
        let host = self.talkers[n].talker.identity.host;
        let is_cut = self.net.is_cut(Road::Talker(n), Way::Down) || self.net.is_cut(Road::Talker(n), Way::Up);
        // Whose host died may not know of that yet.
        let wire = self.talkers[n].wire.and_then(|id| self.net.wires.get(&id));
        let troubled = is_cut
            || wire.is_none_or(|wire| !wire.server_open)
            || self.broken.iter().any(|(at, road)| *road == Road::Talker(n) && lately(at))
            || self.mended.get(&Road::Talker(n)).is_some_and(|at| at.plus(TOLD_WITHIN) > self.now);
        let Some(listening) = self.talkers[n].listening.as_ref().filter(|_| !troubled) else { return };
        if let Some(session) = listening.unwiped(&self.sessions[host], (self.now, TOLD_WITHIN)) {
            self.wrong(format!(
                "talker {n} was not told that {session} ended, of which it was shown something"
            ));
        }
    }

    /// The epochs in which somebody's log refused something.
    fn refusing(&self) -> BTreeSet<Epoch> {
        self.hosts.iter().flat_map(|host| host.journal.refusing.iter().copied()).collect()
    }

    /// What somebody who is there when all is well again was not told yet.
    pub(crate) fn talkers_owed(&mut self) -> Option<String> {
        for n in 0..self.talkers.len() {
            let host = self.talkers[n].talker.identity.host;
            let refusing = self.refusing();
            let (journal, answered) = (&self.hosts[host].journal, self.hosts[host].answered);
            self.sessions[host].look((journal, answered), &refusing, self.now);
            let seat = &self.talkers[n];
            let Some(listening) = seat.listening.as_ref().filter(|_| seat.talker.is_in()) else {
                return Some(format!("talker {n} is not in"));
            };
            let owed =
                listening.owed(&self.sessions[host], &self.hosts[host].journal, (self.now, Duration::ZERO));
            if let Some(owed) = owed {
                return Some(format!("talker {n} was not told {owed}"));
            }
        }
        None
    }
}
