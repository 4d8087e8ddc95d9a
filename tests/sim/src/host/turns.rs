//! A process's turns: storage, the core's task, and what a drained core wants done.

use super::{ARRIVALS_MAX, Arrival, Effect, FOR_LINK, Host, Later, SPINS_MAX};
use crate::{mutant::Mutant, proofs, site, table::SAVE_EVERY, tier::Output};
use riser_gate::{Proof, Verdict, VerifyingKey};
use riser_instance::{Input as InstanceInput, Output as InstanceOutput, core::Input};
use riser_model::{ConnectionId, Read, Time};
use std::{sync::Arc, time::Duration};

impl Host {
    pub(super) fn storage_soon(&mut self, at: Time) {
        let moment = self.moment();
        self.storage_at(at.plus(moment), at);
    }

    fn storage_at(&mut self, want: Time, at: Time) {
        let Some(process) = &mut self.process else { return };
        let want = want.max(process.busy_until).max(at);
        if process.storage_due.is_some_and(|(due, _)| due <= want) {
            return;
        }
        process.storage_turns += 1;
        let turn = process.storage_turns;
        process.storage_due = Some((want, turn));
        self.later(want, Later::Storage(turn));
    }

    pub(super) fn storage_turn(&mut self, turn: u64, at: Time) {
        let now = self.now(at);
        let Some(process) = &mut self.process else { return };
        if process.storage_due.is_none_or(|(_, due)| due != turn) {
            return;
        }
        process.storage_due = None;
        self.disk.take_cost();
        let segment = process.storage.segment();
        let turned = process.storage.turn(now, &mut self.journal);
        let sealed = process.storage.segment() != segment;
        if self.disk.is_down() {
            return self.effects.push_back(Effect::Crashed);
        }
        let over = at.plus(self.disk.take_cost());
        process.busy_until = over;
        let through = self.journal.next().prev();
        if self.commits.last().is_none_or(|(_, before)| *before < through) {
            self.commits.push((over, through));
        }
        let (bytes, _) = process.storage.size();
        // What is not archived yet may take half as much again.
        let more = if process.archive.is_some() { self.setup.quota / 2 } else { 0 };
        let (quota, used) = (self.setup.quota + more, self.disk.used());
        if bytes > quota || used > quota {
            self.wrong(format!("host {}: the log takes {used} of {quota} bytes", self.setup.number));
        }
        if !turned.answers.is_empty() {
            self.later(over, Later::Answers(turned.answers));
        }
        if let Some(refused) = turned.refused {
            self.note(format!("host {}: the log does not store: {refused}", self.setup.number));
        }
        if sealed {
            self.archive_soon(over);
        }
        if let Some(again_in) = turned.again_in {
            self.storage_at(over.plus(again_in.max(Duration::from_micros(1))), at);
        }
    }

    // The core's task.

    pub(super) fn wake(&mut self, armed: Time, at: Time) {
        let now = self.now(at);
        let Some(process) = &mut self.process else { return };
        if self.setup.mutant == Some(Mutant::WakeLost) && self.rng.u32(0..500) == 0 {
            return;
        }
        if process.wake_at.take_if(|wake_at| *wake_at == armed).is_none() {
            return;
        }
        if process.tier.poll_timeout().is_some_and(|time| time <= now.time) {
            process.spins += 1;
            if process.spins == SPINS_MAX {
                self.wrong(format!("host {}: the core's deadline does not move", self.setup.number));
                return;
            }
            self.input(Input::Deadline, now);
        }
        self.drain(at);
    }

    fn rearm(&mut self, at: Time) {
        let now = self.now(at).time;
        let Some(process) = &self.process else { return };
        let Some(due) = process.tier.poll_timeout() else { return };
        let late = due <= now;
        let want = if late { at.plus(Duration::from_micros(50)) } else { self.world_time(due, at) };
        let Some(process) = &mut self.process else { return };
        if !late {
            process.spins = 0;
        }
        if process.wake_at.is_none_or(|armed| want < armed) {
            process.wake_at = Some(want);
            self.later(want, Later::Wake(want));
        }
    }

    pub(super) fn inbox_soon(&mut self, at: Time) {
        let moment = self.moment();
        let Some(process) = &mut self.process else { return };
        if !std::mem::replace(&mut process.inbox_due, true) {
            self.later(at.plus(moment), Later::Inbox);
        }
    }

    pub(super) fn take_inbox(&mut self, at: Time) {
        let now = self.now(at);
        let policy = Arc::clone(&self.setup.policy);
        let Some(process) = &mut self.process else { return };
        process.inbox_due = false;
        for _ in 0..ARRIVALS_MAX {
            let Some(arrival) = process.inbox.pop_front() else { break };
            let input = match arrival {
                Arrival::Opened(connection, caller) => {
                    let policy = Arc::clone(&policy);
                    InstanceInput::Opened { connection, policy, caller: *caller }
                }
                Arrival::Asked(connection, ask) => InstanceInput::Ask { connection, ask },
                Arrival::Closed(connection) => {
                    process.doors.remove(&connection);
                    InstanceInput::Closed { connection }
                }
            };
            process.tier.handle(Input::Instance(input), now);
        }
        let more = !process.inbox.is_empty();
        self.drain(at);
        if more {
            self.inbox_soon(at);
        }
    }

    pub(super) fn drain(&mut self, at: Time) {
        let now = self.now(at);
        loop {
            let Some(process) = &mut self.process else { return };
            let Some(output) = process.tier.poll(now) else { break };
            if let Some(left) = &mut process.outputs_left {
                if *left == 0 {
                    process.outputs_left = None;
                    self.effects.push_back(Effect::Crashed);
                    return;
                }
                *left -= 1;
            }
            self.perform(output, at);
        }
        self.check(at);
        self.rearm(at);
    }

    /// What must hold whenever a core is drained.
    fn check(&mut self, _at: Time) {
        let Some(process) = &mut self.process else { return };
        let broken = process.tier.broken_equation();
        let stopped =
            process.stopping && !process.over && process.tier.is_drained() && process.storage.is_idle();
        if stopped {
            process.over = true;
        }
        if let Some(broken) = broken {
            self.wrong(format!("host {}: the equation does not hold: {broken}", self.setup.number));
        }
        if stopped {
            self.effects.push_back(Effect::Stopped);
        }
    }

    fn perform(&mut self, output: Output, at: Time) {
        match output {
            Output::Instance(output) => self.perform_instance(output, at),
            Output::ReadForLink { ticket, from, max_bytes } => {
                let moment = self.moment();
                self.later(at.plus(moment), Later::Read(ticket | FOR_LINK, Read::All { from, max_bytes }));
            }
            Output::Edge(output) => self.effects.push_back(Effect::Edge(output)),
            Output::Hub(output) => self.effects.push_back(Effect::Hub(output)),
        }
    }

    fn perform_instance(&mut self, output: InstanceOutput, at: Time) {
        match output {
            InstanceOutput::Tell { connection, tell } => {
                let moment = self.moment();
                let Some(process) = &mut self.process else { return };
                let Some(door) = process.doors.get_mut(&connection) else { return };
                if self.setup.mutant == Some(Mutant::TellLost) && moment < Duration::from_nanos(700) {
                    return;
                }
                door.tells.push_back(tell);
                if !std::mem::replace(&mut door.tells_due, true) {
                    self.later(at.plus(moment), Later::Tells(connection));
                }
            }
            InstanceOutput::Persist { ticket, batch, connections } => {
                let Some(process) = &mut self.process else { return };
                if let Some(answer) = process.storage.persist(ticket, batch, connections) {
                    self.later(at, Later::Answers(vec![answer]));
                }
                self.storage_soon(at);
            }
            InstanceOutput::Read { ticket, read } => {
                let moment = self.moment();
                self.later(at.plus(moment), Later::Read(ticket, read));
            }
            InstanceOutput::Verify { connection, ticket, proof } => {
                self.verify((connection, ticket), &proof, at);
            }
            InstanceOutput::Count(rooms) => {
                let moment = self.moment();
                self.later(at.plus(moment), Later::Count(rooms));
            }
            InstanceOutput::Archive(rooms) => self.archive(rooms, at),
            InstanceOutput::Retained(changes) => {
                let (hold, begin) = self.table.change(&changes);
                if let (Some(process), Some(_)) = (&mut self.process, hold) {
                    process.storage.hold_for_views(hold);
                }
                if begin {
                    self.later(at.plus(SAVE_EVERY), Later::SaveBegins);
                }
            }
            InstanceOutput::Refused { .. }
            | InstanceOutput::Audited(_)
            | InstanceOutput::Run { .. }
            | InstanceOutput::Done { .. }
            | InstanceOutput::Committed { .. } => {}
        }
    }

    /// Verifies a proof: here, or where somebody else knows, who may be slow, silent, or wrong.
    fn verify(&mut self, (connection, ticket): (ConnectionId, u64), proof: &Proof, at: Time) {
        let (matches, outside) = match proof {
            Proof::Password { hash, password } => {
                (site::hash(&String::from_utf8_lossy(&password.0)) == *hash, false)
            }
            Proof::Signature { keys, message, signature } => {
                let proves = |key: &VerifyingKey| match key {
                    VerifyingKey::Ed25519(key) => {
                        signature.len() == 64 && proofs::proves(key, message, signature)
                    }
                    VerifyingKey::Hmac(secret) => proofs::proves(secret.expose(), message, signature),
                    VerifyingKey::P256(_) | VerifyingKey::Rsa { .. } => false,
                };
                (keys.iter().any(proves), false)
            }
            Proof::Token { message, signature, .. } => (proofs::issuer_signed(message, signature), true),
            Proof::Ldap { user, password, .. } => {
                (proofs::directory_password(user).as_bytes() == &password.0[..], true)
            }
            // Nobody here has a browser.
            Proof::Cookie { .. } => (false, false),
            // A device here signs a password once.
            Proof::Once { .. } => (true, false),
        };
        let matches = matches || self.setup.mutant == Some(Mutant::EveryProofMatches);
        let mut verdict = if matches { Verdict::Matches } else { Verdict::Differs };
        let mut takes = Duration::from_millis(self.rng.u64(1..60));
        if outside && !self.outside_is_well {
            match self.rng.u8(0..12) {
                0 => return,
                1 => verdict = Verdict::Away,
                2 => {
                    verdict = Verdict::Differs;
                    self.misjudged.insert(connection);
                }
                3..6 => takes = Duration::from_millis(self.rng.u64(1_000..40_000)),
                _ => {}
            }
        }
        self.later(at.plus(takes), Later::Verified(connection, ticket, verdict));
    }
}
