//! Guests: what they do, what they were told, and when they are woken.

use super::{Event, World, actors::due};
use crate::{
    guest::{Act, Comes, Goes, Guest, Identity},
    journal::Key,
    keeping::Keeping,
    mqtt,
    mutant::Mutant,
    shown::Shown,
    site,
    wills::Wills,
    wires::{Client, Message, Road, Way, WireId},
};
use bytes::Bytes;
use riser_model::Time;
use std::time::Duration;

const DIAL_FOR: Duration = Duration::from_secs(10);

/// A guest, where it is, and what is held against it.
#[derive(Debug)]
pub struct GuestSeat {
    /// The guest.
    pub guest: Guest,
    /// How it gets to its host.
    pub road: Road,
    /// What it is shown of what is retained.
    pub shown: Shown,
    /// What its session is told.
    pub keeping: Keeping,
    /// The wills it leaves.
    pub wills: Wills,
    pub(super) wire: Option<WireId>,
    pub(super) armed: Option<Time>,
}

impl GuestSeat {
    /// One that has not come yet.
    pub fn new(guest: Guest, road: Road) -> Self {
        Self {
            guest,
            road,
            shown: Shown::default(),
            keeping: Keeping::default(),
            wills: Wills::default(),
            wire: None,
            armed: None,
        }
    }
}

impl World {
    pub(super) fn guest_acts(&mut self, n: usize) {
        while let Some(act) = self.guests[n].guest.poll() {
            self.guest_act(n, act);
        }
        let seat = &mut self.guests[n];
        if let Some(at) = due(seat.guest.wake_at(), &mut seat.armed, self.now) {
            self.queue.put(at, Event::Guest(n, at));
        }
    }

    fn guest_act(&mut self, n: usize, act: Act) {
        let (now, wire, road) = (self.now, self.guests[n].wire, self.guests[n].road);
        match &act {
            Act::Heard | Act::Send(_) => {}
            act => self.trace.line(now, || format!("guest {n} {act:?}")),
        }
        match act {
            Act::Dial => {
                let host = self.guests[n].guest.identity.host;
                let id = self.dial(Client::Guest(n), host, road, DIAL_FOR);
                self.guests[n].wire = Some(id);
            }
            Act::Send(bytes) => {
                if let (Some(Mutant::PubrelEarly), [0x50, _, high, low]) = (self.mutant, &bytes[..]) {
                    let release = mqtt::release(u16::from_be_bytes([*high, *low]));
                    self.guests[n].guest.heard(&release, now);
                }
                if let Some(id) = wire {
                    self.net.send(id, Way::Up, Message::Bytes(Bytes::from(bytes)), now);
                }
            }
            Act::Hangup => {
                self.guests[n].wire = None;
                if let Some(id) = wire {
                    self.end_client(id);
                }
            }
            Act::Leaves(goes) => {
                let well = self.is_well(n);
                let seat = &mut self.guests[n];
                seat.shown.leaves();
                self.sharing.leaves(n, now);
                wire.into_iter().for_each(|id| self.post.leaves(id, now));
                seat.wills.leaves(goes, well && goes == Goes::Goodbye, now);
            }
            told @ (Act::Knocks { .. }
            | Act::Entered { .. }
            | Act::Heard
            | Act::Subscribes
            | Act::Subscribed(_)
            | Act::Told(_)
            | Act::HasSeen) => self.guest_told(n, told),
        }
    }

    /// Whether what a guest says now arrives at a host that can do something about it.
    fn is_well(&self, n: usize) -> bool {
        let (seat, host) = (&self.guests[n], &self.hosts[self.guests[n].guest.identity.host]);
        let wire = seat.wire.and_then(|id| self.net.wires.get(&id));
        wire.is_some_and(|wire| wire.server_open && !wire.forgotten)
            && !self.net.is_cut(seat.road, Way::Up)
            && host.process.as_ref().is_some_and(|process| !process.stopping)
    }

    /// What a guest is told is judged at once, unless its host's disk was meddled with.
    fn guest_told(&mut self, n: usize, told: Act) {
        let seat = &mut self.guests[n];
        let who: &Identity = &seat.guest.identity;
        let wire = seat.wire.filter(|_| self.knobs.post);
        let host = &self.hosts[who.host];
        let meddled = host.stale || host.damaged;
        let wrong = match told {
            Act::Knocks { will, fresh } => {
                self.sharing.comes(n);
                wire.into_iter().for_each(|id| self.post.knocks(id, (who.host, &who.user), self.now));
                if who.comes == Comes::ToHear {
                    seat.keeping = Keeping::default();
                }
                seat.wills.knocks(will, fresh, self.now);
                None
            }
            Act::Entered { present, kept } => {
                seat.wills.enters(&host.journal, self.now);
                (kept && !present).then(|| format!("{}: its kept session was not there any more", who.id))
            }
            Act::Heard => {
                seat.wills.hears(self.now);
                None
            }
            Act::Subscribes => {
                match who.comes {
                    Comes::Late => seat.shown.asks(who, &host.journal, host.answered, &host.table.missed),
                    Comes::ToKeep | Comes::ToHear => seat.keeping.asks(host.answered),
                    Comes::ToShare { .. } => self.sharing.asks(host.answered),
                    Comes::ToLeave => {}
                }
                None
            }
            Act::Subscribed(code) => {
                if code < 3 {
                    wire.into_iter().for_each(|id| self.post.listens(id, self.now));
                    seat.keeping.begins(&host.journal);
                    if let Comes::ToShare { kept: true } = who.comes {
                        self.sharing.begins(&host.journal);
                    }
                } else {
                    seat.shown.leaves();
                }
                None
            }
            Act::Told(published) => {
                if (who.room == site::YARD || self.knobs.post)
                    && let Some(key) = Key::of(&published.payload)
                {
                    self.ledger.heard.entry((who.host, key)).or_insert(self.now);
                }
                match who.comes {
                    Comes::Late => {
                        let (wrong, whole) = seat.shown.told(who, &published, &host.journal);
                        self.ledger.counts.shows += u64::from(whole);
                        wrong
                    }
                    Comes::ToKeep | Comes::ToHear => {
                        self.ledger.counts.kept += u64::from(published.qos == 2 && !published.retain);
                        seat.keeping.told(who, &published, &host.journal, host.oldest_there())
                    }
                    Comes::ToShare { .. } => {
                        let wrong = self.sharing.told((n, who), &published, host, self.now);
                        (self.ledger.counts.shared, self.ledger.counts.shared_again) =
                            (self.sharing.messages, self.sharing.again);
                        wrong
                    }
                    Comes::ToLeave => None,
                }
            }
            Act::HasSeen => {
                let (wrong, whole) = seat.shown.has_seen(who, &host.journal);
                self.ledger.counts.shows += u64::from(whole);
                wrong
            }
            Act::Dial | Act::Send(_) | Act::Hangup | Act::Leaves(_) => None,
        };
        if let Some(wrong) = wrong.filter(|_| !meddled) {
            self.wrong(wrong);
        }
    }

    pub(super) fn wake_guest(&mut self, n: usize, armed: Time) {
        if self.guests[n].armed.take_if(|due| *due == armed).is_none() {
            return;
        }
        self.guests[n].guest.wake(self.now);
        self.guest_acts(n);
    }

    /// What is not where it belongs yet of what guests wait for.
    pub fn guests_owed(&self) -> Option<String> {
        self.guests.iter().find_map(|seat| {
            let who = &seat.guest.identity;
            let host = &self.hosts[who.host];
            if host.stale || host.damaged {
                return None;
            }
            if !seat.guest.is_settled() {
                return Some(format!("{} is still on its way", who.id));
            }
            match who.comes {
                Comes::Late => None,
                Comes::ToKeep | Comes::ToHear => {
                    let owed = seat.keeping.owed(who, &host.journal, host.oldest)?;
                    Some(format!("{} was not told {}", who.id, owed.0))
                }
                Comes::ToShare { .. } => {
                    let owed = self.sharing.owed(who, &host.journal, host.oldest)?;
                    Some(format!("none of those that share {} was told {}", who.room, owed.0))
                }
                Comes::ToLeave => seat.wills.owed(host).map(|will| format!("{will} was not published")),
            }
        })
    }

    /// What is wrong with what guests left.
    pub fn judge_guests(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for seat in &self.guests {
            let who = &seat.guest.identity;
            let host = &self.hosts[who.host];
            let broke = |from, to| {
                self.broken.iter().any(|(at, road)| *road == seat.road && *at >= from && *at <= to)
            };
            let (wrong, count) = seat.wills.judge(who, host, broke);
            self.ledger.counts.wills += count;
            if !host.stale && !host.damaged {
                all.extend(wrong);
            }
        }
        all
    }
}
