//! Accounts that change: an admin asks, one change after another, until it is answered.

use super::{Event, World};
use crate::{book::Fact, house::Change, registrar::Taken, statutes};
use std::time::Duration;

/// Whoever has no answer asks again.
const AGAIN: Duration = Duration::from_millis(700);

/// A change on its way.
#[derive(Debug)]
pub struct Changing {
    change: riser_gate::accounts::Change,
    facts: Vec<(Fact, bool)>,
}

impl World {
    pub(super) fn change_is_due(&mut self, n: usize) {
        let change = self.knobs.house.as_ref().and_then(|house| house.changes.get(n));
        self.changes_asked.extend(change.map(|(_, change)| change.clone()));
        self.next_change();
    }

    fn next_change(&mut self) {
        while self.changing.is_none() {
            let Some(change) = self.changes_asked.pop_front() else { return };
            let change: Change = change;
            if let Some((asked, facts)) = statutes::asked(&change, &mut self.book) {
                self.trace.line(self.now, || format!("an admin asks: {change:?}"));
                for (fact, _) in facts.iter().filter(|(_, holds)| !holds) {
                    self.annex_may_lose(*fact);
                }
                self.changing = Some(Changing { change: asked, facts });
                self.ask_for_change();
            }
        }
    }

    pub(super) fn ask_for_change(&mut self) {
        let Some(changing) = &self.changing else { return };
        let change = changing.change.clone();
        match self.hosts[0].take_change(change, self.now) {
            Some(Taken::Pointless) => return self.change_answered(),
            Some(Taken::Saving | Taken::Busy) | None => {}
        }
        self.after(AGAIN, Event::AskForChange);
        self.settle(0);
    }

    /// It is so.
    pub(super) fn change_answered(&mut self) {
        let Some(Changing { change: _, facts }) = self.changing.take() else { return };
        self.trace.line(self.now, || format!("it is so: {facts:?}"));
        self.ledger.counts.changes += 1;
        for (fact, holds) in facts {
            self.book.set(fact, holds, self.now);
            if !holds {
                self.annex_must_lose(fact);
            }
            if let (Fact::Gate(vault, gate), true) = (fact, holds) {
                self.regated(vault, gate);
            }
        }
        self.next_change();
    }
}
