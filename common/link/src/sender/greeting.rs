//! From a socket to a session: the hub's nonce, our Hello, its Welcome, and where that puts the cursor
//! (rules 7.1, 7.4, 7.5).

use super::{Down, Greeting, LinkEvent, Output, Proof, Sender, Session, State, Way, session::Check};
use crate::{
    chain::Link, equation::Equation, fork::Fork, handshake, packer::Defined, status::Progress, window::Window,
};
use riser_model::{
    Cause, CursorKey, CursorValue, Epoch, Gap, HubIdentity, Now, PublicKey, Seq, Stamp, time::Anchor,
};
use riser_wire::link::{
    Above, Bytes, CHAIN_MAX, EdgeFrame, HOPS_MAX, Hello, Nonce, Signature, Taken, Welcome, sign,
};
use std::{collections::BTreeMap, time::Duration};

/// A flapping link does not write an anchor per connection.
const ANCHOR_EVERY: Duration = Duration::from_secs(60);

/// Where a hub says that it stands, put on our chain.
pub(super) struct Standing {
    /// Everything up to here it has.
    pub(super) through: Seq,
    /// Of the entry there; 0 if unknown.
    crc: u32,
    /// The epoch that goes on from there.
    link: Link,
}

impl Proof {
    fn holds(&self, welcome: &Welcome, hello: &Hello, signature: Signature) -> bool {
        let bytes = sign::welcome_bytes(welcome, hello, self.hub_nonce, &self.binding);
        welcome.hub == self.hub && handshake::holds(self.key, &bytes, signature)
    }
}

impl Sender {
    pub(super) fn connected(&mut self, attempt: u64, binding: Bytes, nonce: Nonce, now: Now) {
        if attempt == self.attempt && matches!(self.state, State::Dialing { .. }) {
            self.heard(attempt, now);
            self.state = State::Listening { since: now.time, binding, nonce };
        }
    }

    /// The hub spoke first: say who we are.
    pub(super) fn nonce(&mut self, hub: HubIdentity, hub_nonce: Nonce, now: Now) {
        let State::Listening { binding, nonce, .. } = &self.state else {
            return self.fail(Down::Malformed, now);
        };
        let (binding, nonce) = (binding.clone(), *nonce);
        let Way::Up { key, hub: pinned } = &self.config.way else { return self.fail(Down::Malformed, now) };
        if hub.key != *pinned {
            return self.wrong_hub(hub.key, now);
        }
        let cursor = self.cursor.filter(|_| self.hub == Some(hub)).unwrap_or_default();
        let hello = self.hello_from(cursor, nonce, now);
        let signature = key.sign(&sign::hello_bytes(&hello, hub, hub_nonce, &binding));
        let proof = Some(Proof { key: *pinned, hub, hub_nonce, binding });
        self.greet(proof, hello, signature, now);
    }

    pub(super) fn greet(&mut self, proof: Option<Proof>, hello: Hello, signature: Signature, now: Now) {
        self.send(EdgeFrame::Hello(Box::new(hello.clone()), signature));
        self.state = State::Greeting(Box::new(Greeting { proof, hello, sent_at: now }));
    }

    pub(super) fn hello_from(&self, cursor: CursorValue, nonce: Nonce, now: Now) -> Hello {
        Hello {
            edge: self.config.edge,
            log: self.log,
            chain: self.chain.to_greet(cursor.through, self.greet_back),
            live: self.chain.live().epoch,
            last_added: self.chain.last(),
            cursor,
            boot: self.boot,
            clock: now.stamp(),
            nonce,
        }
    }

    pub(super) fn welcome(&mut self, welcome: Welcome, signature: Signature, now: Now) {
        let State::Greeting(greeting) = &self.state else { return self.fail(Down::Malformed, now) };
        if greeting.proof.as_ref().is_some_and(|proof| !proof.holds(&welcome, &greeting.hello, signature)) {
            return self.wrong_hub(welcome.hub.key, now);
        }
        let (sent_at, clock) = (greeting.sent_at, greeting.hello.clock);
        let greeted: Vec<Epoch> = greeting.hello.chain.iter().map(|opening| opening.span.epoch).collect();
        self.meet(welcome.hub, now);
        if self.lost_before(&welcome, &greeted) {
            self.greet_back += CHAIN_MAX - 1;
            return self.greet_again(now);
        }
        self.greet_back = 0;
        let standing = self.standing(&welcome, &greeted);
        let (own, mark) = (self.own(), self.mark());
        let live = self.chain.live();
        if standing.link == live && (standing.through > live.last || differ(mark, &standing)) {
            return self.fork(own.through, now);
        }
        self.anchor(clock, sent_at, &welcome, now);
        let level = self.is_level(&standing, welcome.taken.is_empty());
        let taken = welcome.taken.iter().map(|taken| (taken.epoch, taken.cursor.through)).collect();
        let session = Session {
            limits: welcome.limits,
            taken: forward_only(taken, &standing),
            greeted_to: greeted.last().and_then(|epoch| self.chain.named(*epoch)).map(|link| link.epoch),
            defined: Defined::default(),
            window: Window::new(u64::from(welcome.limits.unconfirmed_bytes), now.time),
            next: if level { own.through.next() } else { standing.through.next() },
            held: Vec::new(),
            room: 0,
            regained: mark.through,
            check: None,
            reading: None,
            read_again_at: None,
            company_until: None,
            awaits: None,
            behind: standing.through < self.chain.last(),
        };
        self.state = State::Up(Box::new(session));
        self.former.welcomed();
        self.latest.restart(now.time);
        self.presents.restart();
        let backlog = self.chain.last().0.saturating_sub(standing.through.0);
        self.emit(LinkEvent::Up { hub: welcome.hub, backlog });
        if !self.is_downlink() {
            self.send(EdgeFrame::Above);
        }
        if level {
            return self.hold_untold(standing.through, now);
        }
        let known =
            standing.through == own.through || standing.crc == 0 || standing.through < self.chain.first();
        let check = Check { through: standing.through, crc: standing.crc };
        if known {
            self.adopt(check, now);
        } else if let State::Up(session) = &mut self.state {
            session.check = Some(check);
        }
    }

    /// Nobody is above itself, and no more than [`HOPS_MAX`] links lead from an edge to the topmost.
    pub(super) fn above(&mut self, above: Above, now: Now) {
        if self.is_downlink() || !matches!(self.state, State::Up(_)) {
            return self.fail(Down::Malformed, now);
        }
        if above.logs.contains(&self.log) {
            return self.fail(Down::Loop, now);
        }
        if above.hops >= HOPS_MAX {
            return self.fail(Down::TooDeep, now);
        }
        self.know_above(&above, now);
        self.emit(LinkEvent::Above(above));
    }

    /// The entry at the hub's cursor is ours, or nobody can tell: its cursor is ours from here on.
    pub(super) fn adopt(&mut self, check: Check, now: Now) {
        let own = self.own();
        let through = check.through;
        if through < own.through {
            self.emit(LinkEvent::Rewound { from: through.next(), to: own.through });
            self.equation.rewound(&self.chain, through);
            self.progress.rewound(through, self.chain.last());
        }
        let left = std::mem::take(&mut self.left);
        if through > own.through {
            let mut reached = own.through;
            for batch in left.iter().take_while(|batch| batch.last <= through) {
                let gaps: Vec<_> = batch.gaps.iter().map(|(from, to, _)| (*from, *to)).collect();
                self.equation.confirmed(&self.chain, batch.last, Some(&gaps));
                self.emit_gaps(batch.epoch, &batch.gaps);
                reached = batch.last;
            }
            if let Some(fork) = self.fork {
                let (from, to) = fork.lost(&self.chain, reached, through);
                self.lost_in_fork(from, to);
            }
            self.equation.confirmed(&self.chain, through, None);
            let count = through.0 - own.through.0;
            self.progress.synced(through, self.chain.last(), count, now.time);
            self.latest.synced(through, self.chain.last());
        }
        self.move_cursor(through, check.crc);
        self.greet_further(now);
    }

    /// The hub took other entries under these names: ours stay undelivered, and that is said.
    pub(super) fn lost_in_fork(&mut self, from: Seq, to: Seq) {
        let lost: Vec<_> = self.chain.split(from, to).collect();
        for (epoch, from, to) in lost {
            self.equation.lost(&self.chain, from, to);
            self.emit_gaps(epoch, &[(from, to, Cause::EdgeLost)]);
        }
    }

    pub(super) fn emit_gaps(&mut self, epoch: Epoch, gaps: &[(Seq, Seq, Cause)]) {
        for (from, to, cause) in gaps {
            let gap = Gap { from: *from, to: *to, cause: *cause };
            self.emit(LinkEvent::Gap { epoch, gap });
        }
    }

    pub(super) fn move_cursor(&mut self, through: Seq, crc: u32) {
        self.fork = self.fork.filter(|fork| !fork.is_passed(through));
        let gapped = if self.is_downlink() { through.0 } else { u64::from(self.topmost) };
        self.save_cursor(CursorValue { through, crc, gapped, ..CursorValue::default() }, false);
    }

    pub(super) fn save_cursor(&mut self, value: CursorValue, at_once: bool) {
        let value = Fork::save(self.fork, value);
        let known = self.hub.is_some() || self.is_downlink();
        if known && self.cursor.replace(value) != Some(value) {
            self.moved(at_once);
        }
    }

    pub(super) fn moved(&mut self, at_once: bool) {
        if let Some((key, value)) = self.cursor() {
            self.outputs.push_back(Output::Moved { key, value, at_once });
        }
    }

    /// The hub said it at once, before any Welcome: it may be one that was not met yet.
    pub(super) fn fork_refused(&mut self, now: Now) {
        if let State::Greeting(greeting) = &self.state
            && let Some(proof) = &greeting.proof
        {
            self.meet(proof.hub, now);
        }
        self.fork(self.through(), now);
    }

    /// What this hub does not have under the live epoch's name it may have as other entries too.
    pub(super) fn forked_elsewhere(&mut self) {
        self.remember_fork(self.through());
    }

    fn remember_fork(&mut self, delivered: Seq) {
        self.fork = Some(Fork::found(self.fork, &self.chain, delivered));
        self.save_cursor(self.own(), true);
    }

    /// The live epoch's name belongs to other entries at the hub: nothing goes before there is a new one.
    pub(super) fn fork(&mut self, delivered: Seq, now: Now) {
        let live = self.chain.live();
        // What closed epochs still hold goes under their names.
        let (from, epoch) = (delivered.next().max(live.first), live.epoch);
        self.remember_fork(delivered);
        self.close();
        self.down(Down::Forked, Duration::ZERO, now);
        self.emit(LinkEvent::Forked { epoch, at: delivered });
        self.state = State::Forked { asked_at: now.time, from };
        self.outputs.push_back(Output::NewEpoch { from });
    }

    pub(super) fn fail(&mut self, why: Down, now: Now) {
        self.close();
        self.down(why, Duration::ZERO, now);
    }

    /// Greets anew at once: the next Hello names other epochs.
    pub(super) fn greet_again(&mut self, now: Now) {
        if self.is_downlink() {
            return self.ready(self.attempt, now);
        }
        self.fail(Down::Greeting, now);
        self.state = State::Down { retry_at: now.time };
    }

    /// Whether the hub may have lost epochs that the Hello did not name: it takes epochs in order, so if it has
    /// nothing of the first one named, it may not have all of those before.
    fn lost_before(&self, welcome: &Welcome, greeted: &[Epoch]) -> bool {
        let Some(first) = greeted.first().and_then(|epoch| self.chain.named(*epoch)) else { return false };
        let known = |taken: &Taken| taken.epoch == first.epoch && taken.cursor.through >= first.first;
        let confirmed = !self.is_downlink() || self.mark().through > Seq::ZERO;
        confirmed && first.first > self.chain.first() && !welcome.taken.iter().any(known)
    }

    pub(super) fn own(&self) -> CursorValue {
        CursorValue { through: self.through(), ..self.cursor.unwrap_or_default() }
    }

    fn wrong_hub(&mut self, presented: PublicKey, now: Now) {
        self.emit(LinkEvent::WrongHub { presented });
        self.fail(Down::WrongHub, now);
    }

    /// Another hub than before has an equation of its own, and no cursor until it says where it stands.
    fn meet(&mut self, hub: HubIdentity, now: Now) {
        if self.is_downlink() {
            // An edge with another log goes on where the one before was: see `is_level`.
            self.hub = Some(hub);
        }
        if self.hub == Some(hub) {
            return;
        }
        if self.hub.is_some() {
            self.emit(LinkEvent::OtherHub { before: self.hub, now: hub });
            // It was another hub that found the fork.
            self.fork = None;
        }
        self.hub = Some(hub);
        self.cursor = None;
        self.topmost = false;
        self.left.clear();
        self.equation = Equation::new(&self.chain, self.through(), []);
        self.progress = Progress::new(self.through(), self.chain.last(), now.time);
    }

    fn standing(&self, welcome: &Welcome, greeted: &[Epoch]) -> Standing {
        let live = self.chain.live();
        let mut standing = None;
        for link in greeted.iter().filter_map(|epoch| self.chain.named(*epoch)) {
            let taken =
                welcome.taken.iter().find(|taken| taken.epoch == link.epoch).map(|taken| taken.cursor);
            let before = link.first.prev();
            let through = taken.map_or(before, |cursor| cursor.through.max(before));
            let crc = taken.filter(|cursor| cursor.through == through).map_or(0, |cursor| cursor.crc);
            if link.epoch == live.epoch || through < link.last {
                return Standing { through, crc, link };
            }
            standing = Some(Standing { through: link.last, crc: 0, link });
        }
        standing.unwrap_or(Standing { through: self.through(), crc: 0, link: live })
    }

    fn anchor(&mut self, clock: Stamp, sent_at: Now, welcome: &Welcome, now: Now) {
        if self.is_downlink() || self.anchored_at.is_some_and(|at| now.time.since(at) < ANCHOR_EVERY) {
            return;
        }
        let half = now.time.since(sent_at.time) / 2;
        let anchor = Anchor {
            boot: self.boot,
            boot_us: clock.boot_us.saturating_add(u64::try_from(half.as_micros()).unwrap_or(u64::MAX)),
            hub: Some(welcome.clock),
            error_ms: u32::try_from(half.as_millis()).unwrap_or(u32::MAX).saturating_add(1),
        };
        self.anchored_at = Some(now.time);
        self.chain.anchored(anchor);
        self.outputs.push_back(Output::AppendAnchor(anchor));
    }
}

/// Of the hubs with the pinned key, the one that has most.
pub(super) fn cursor(
    cursors: Vec<(CursorKey, CursorValue)>,
    pinned: PublicKey,
) -> (Option<HubIdentity>, Option<CursorValue>) {
    let of_pinned = |(key, value)| match key {
        CursorKey::Uplink(hub) if hub.key == pinned => Some((hub, value)),
        CursorKey::Uplink(_)
        | CursorKey::Downlink(_)
        | CursorKey::Ingest(..)
        | CursorKey::Relayed(..)
        | CursorKey::Former(_) => None,
    };
    cursors.into_iter().filter_map(of_pinned).max_by_key(|(_, value)| value.through).unzip()
}

/// Whether the two have different entries at the same place.
pub(super) fn differ(own: CursorValue, standing: &Standing) -> bool {
    own.through == standing.through && own.crc != 0 && standing.crc != 0 && own.crc != standing.crc
}

/// What was taken of epochs after the one that goes on.
fn forward_only(mut taken: BTreeMap<Epoch, Seq>, standing: &Standing) -> BTreeMap<Epoch, Seq> {
    taken.retain(|epoch, through| *epoch != standing.link.epoch && *through > standing.through);
    taken
}
