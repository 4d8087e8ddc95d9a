//! Accounts that change while the process runs: saved, then in force, then answered.

use super::{Effect, Host, Later};
use crate::{mutant::Mutant, registrar::Taken, site};
use riser_gate::accounts::Change;
use riser_instance::core::Input;
use riser_model::Time;
use std::sync::Arc;

impl Host {
    /// An admin asks for a change of accounts. None if nobody is there to be asked.
    pub fn take_change(&mut self, change: Change, at: Time) -> Option<Taken> {
        self.process.as_ref().filter(|process| !process.stopping)?;
        let taken = self.registrar.as_mut()?.take(change);
        if taken == Taken::Saving {
            let takes = self.disk.sync_takes() + self.moment();
            self.later(at.plus(takes), Later::AccountsSaved);
        }
        Some(taken)
    }

    pub(super) fn accounts_saved(&mut self, at: Time) {
        let (fails, mutant) = (self.disk.is_failing(), self.setup.mutant);
        let forgets = mutant == Some(Mutant::AccountsForgotten);
        let Some(directory) = self.registrar.as_mut().and_then(|one| one.done(fails, forgets)) else {
            return;
        };
        self.setup.policy = site::policy(&directory);
        self.setup.directory = Arc::clone(&directory);
        if mutant != Some(Mutant::ChangeUntold) {
            let (rooms, now) = (site::hub_rooms(&directory), self.now(at));
            self.input(Input::Changed { directory, rooms }, now);
        }
        self.effects.push_back(Effect::Changed);
        self.drain(at);
    }
}
