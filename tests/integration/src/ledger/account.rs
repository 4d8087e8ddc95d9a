//! The account of one reader: what publishers hold a receipt for, and where each of those is.
//!
//! It is stricter than a verdict where publishers say every time they send: what was sent once must come once,
//! and what is missing must lie between two deliveries between which the reader was told of a gap, or be covered
//! by what was announced elsewhere.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Ledger, Reader, Seen, Stream};

/// What became of everything that was acknowledged, as one reader saw it.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Account {
    /// Acknowledged to the publishers.
    pub accepted: u64,
    /// Different publications that reached the reader.
    pub delivered: u64,
    /// Deliveries beyond the first of what its publisher had sent again, at most as often as it did: what MQTT
    /// allows of QoS 1.
    pub resent: u64,
    /// Deliveries beyond the number of times that the publisher sent it.
    pub duplicates: u64,
    /// Acknowledged, missing, and the reader was told of a gap in that place, or somebody was told elsewhere.
    pub announced: u64,
    /// Acknowledged, missing, and nobody said so.
    pub silent: u64,
    /// First deliveries after a later one of the same stream.
    pub reordered: u64,
    /// Delivered although the publisher was told that it was refused.
    pub undead: u64,
    /// Delivered, but never sent.
    pub invented: u64,
    /// Delivered with other bytes than were sent.
    pub altered: u64,
    /// Positions that were read twice and held something else the second time.
    pub moved: u64,
    /// What the reader was told in its stream is gone, and what anybody was told elsewhere, by cause.
    pub causes: BTreeMap<String, u64>,
    /// The first few faults, each in a few words.
    pub examples: Vec<String>,
}

/// How many faults are told one by one.
const EXAMPLES_MAX: usize = 8;
const NOWHERE: &str = "was acknowledged and is nowhere";

impl Account {
    /// Whether nothing is missing without a word, doubled, reordered or altered.
    pub fn is_clean(&self) -> bool {
        let faults = [
            self.duplicates,
            self.silent,
            self.reordered,
            self.undead,
            self.invented,
            self.altered,
            self.moved,
        ];
        faults.iter().sum::<u64>() == 0
    }

    fn fault(&mut self, what: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(what());
        }
    }

    fn judge(&mut self, name: &str, stream: &Stream, seen: &Seen, told_in_all: u64) {
        self.reordered += seen.reordered;
        for (n, digests) in &seen.digests {
            self.delivered += 1;
            let Some(offered) = stream.offered.get(n) else {
                self.invented += 1;
                self.fault(|| format!("{name} {n} was delivered and never sent"));
                continue;
            };
            let (came, sent) = (digests.len() as u64, stream.resent.get(n).copied().unwrap_or(1));
            self.resent += came.min(sent) - 1;
            if came > sent {
                self.duplicates += came - sent;
                self.fault(|| format!("{name} {n} was sent {sent} times and came {came} times"));
            }
            if digests.iter().any(|digest| digest != offered) {
                self.altered += 1;
                self.fault(|| format!("{name} {n} came with other bytes"));
            }
            if stream.refused.contains_key(n) {
                self.undead += 1;
                self.fault(|| format!("{name} {n} was refused and came"));
            }
        }
        self.accepted += stream.acked.len() as u64;
        for n in stream.acked.iter().filter(|n| !seen.digests.contains_key(n)) {
            let before = seen.told.range(..n).next_back().map_or(0, |(_, told)| *told);
            let after = seen.told.range(n..).next().map_or(told_in_all, |(_, told)| *told);
            if after > before {
                self.announced += 1;
            } else {
                self.silent += 1;
                self.fault(|| format!("{name} {n} {NOWHERE}"));
            }
        }
    }
}

impl Ledger {
    /// The account of a reader.
    pub fn account(&self, reader: &str) -> Account {
        let nobody = Reader::default();
        let reader = self.readers.get(reader).unwrap_or(&nobody);
        let mut account = Account { causes: reader.gaps.clone(), moved: reader.moved, ..Account::default() };
        let (unheard, unsent) = (Seen::default(), Stream::default());
        for (name, stream) in &self.streams {
            account.judge(name, stream, reader.streams.get(name).unwrap_or(&unheard), reader.told);
        }
        for (name, seen) in reader.streams.iter().filter(|(name, _)| !self.streams.contains_key(*name)) {
            account.judge(name, &unsent, seen, reader.told);
        }
        // A gap covers no more than it says.
        let said = reader.gaps.values().sum();
        if account.announced > said {
            let more = account.announced - said;
            account.silent += more;
            account.announced = said;
            account.fault(|| format!("{more} more are missing than the gaps cover"));
        }
        self.excuse(&mut account);
        account
    }

    /// What was announced elsewhere is not silent. Readers are told the same, so who was told most knows.
    fn excuse(&self, account: &mut Account) {
        let mut most: BTreeMap<&String, u64> = BTreeMap::new();
        for (cause, count) in self.announced.values().flatten() {
            let known = most.entry(cause).or_default();
            *known = (*known).max(*count);
        }
        let excused = account.silent.min(most.values().sum());
        account.silent -= excused;
        account.announced += excused;
        if account.silent == 0 {
            account.examples.retain(|example| !example.ends_with(NOWHERE));
        }
        for (cause, count) in most {
            *account.causes.entry(cause.clone()).or_default() += count;
        }
    }

    /// Positions that two readers read, and found different publications at.
    pub fn differences(&self, one: &str, other: &str) -> Vec<String> {
        let (Some(one), Some(other)) = (self.readers.get(one), self.readers.get(other)) else {
            return vec![];
        };
        let both =
            one.positions.iter().filter_map(|(pos, held)| Some((pos, held, other.positions.get(pos)?)));
        let differ = both.filter(|(_, held, found)| held != found);
        differ.map(|(pos, held, found)| format!("{pos} held {held:?}, and then {found:?}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Line;

    fn sent(ledger: &mut Ledger, n: u64) {
        ledger.enter(Line::Offered { stream: "s".into(), n, digest: n.to_string() });
    }

    fn accepted(upto: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for n in 1..=upto {
            sent(&mut ledger, n);
            ledger.enter(Line::Acked { stream: "s".into(), n });
        }
        ledger
    }

    fn come(ledger: &mut Ledger, reader: &str, numbers: impl IntoIterator<Item = u64>) {
        for n in numbers {
            let (reader, pos) = (reader.to_owned(), Some(format!("p{n}")));
            ledger.enter(Line::Delivered { reader, stream: "s".into(), n, digest: n.to_string(), pos });
        }
    }

    fn gap(ledger: &mut Ledger, count: u64) {
        ledger.enter(Line::Gap { reader: "r".into(), cause: "quota".into(), count });
    }

    #[test]
    fn everything_once_and_in_order_is_clean() {
        let mut ledger = accepted(5);
        come(&mut ledger, "r", 1..=5);
        let account = ledger.account("r");
        assert_eq!((account.accepted, account.delivered), (5, 5));
        assert!(account.is_clean(), "{account:?}");
    }

    #[test]
    fn lost_message_is_lost_silently_and_said() {
        let mut ledger = accepted(5);
        come(&mut ledger, "r", [1, 2, 4, 5]);
        let account = ledger.account("r");
        assert!(account.silent == 1 && !account.is_clean(), "{account:?}");
        assert_eq!(account.examples, ["s 3 was acknowledged and is nowhere"]);
    }

    #[test]
    fn doubled_message_is_a_fault_unless_it_was_sent_again() {
        let mut ledger = accepted(3);
        come(&mut ledger, "r", [1, 2, 2, 3]);
        assert!(ledger.account("r").duplicates == 1 && !ledger.account("r").is_clean());
        sent(&mut ledger, 2);
        let account = ledger.account("r");
        assert!(account.resent == 1 && account.is_clean(), "{account:?}");
        come(&mut ledger, "r", [2]);
        assert_eq!(ledger.account("r").duplicates, 1, "sent twice, came three times");
    }

    #[test]
    fn gap_accounts_for_what_is_missing_in_its_place_and_for_no_more_than_it_says() {
        let mut ledger = accepted(9);
        come(&mut ledger, "r", [1, 2]);
        gap(&mut ledger, 2);
        come(&mut ledger, "r", [5, 6]);
        come(&mut ledger, "r", [8, 9]);
        let account = ledger.account("r");
        // 3 and 4 lie where the gap was told, 7 does not.
        assert_eq!((account.announced, account.silent), (2, 1), "{account:?}");

        let mut ledger = accepted(4);
        come(&mut ledger, "r", [1]);
        gap(&mut ledger, 1);
        come(&mut ledger, "r", [4]);
        let account = ledger.account("r");
        assert_eq!((account.announced, account.silent), (1, 1), "{account:?}");
    }

    #[test]
    fn what_was_announced_elsewhere_excuses_as_much_as_it_says() {
        let mut ledger = accepted(5);
        come(&mut ledger, "r", [1, 5]);
        let announce = |ledger: &mut Ledger, count| {
            ledger.enter(Line::Announced { reader: "r".into(), cause: "quota".into(), count });
        };
        announce(&mut ledger, 2);
        assert_eq!((ledger.account("r").announced, ledger.account("r").silent), (2, 1));
        announce(&mut ledger, 2);
        let account = ledger.account("r");
        assert!(account.is_clean() && account.announced == 3 && account.examples.is_empty(), "{account:?}");
        assert_eq!(account.causes, BTreeMap::from([("quota".to_owned(), 4)]));
    }

    #[test]
    fn refused_altered_invented_and_reordered_are_told_apart() {
        let mut ledger = accepted(3);
        sent(&mut ledger, 4);
        ledger.enter(Line::Refused { stream: "s".into(), n: 4, code: "quota".into() });
        come(&mut ledger, "r", [2, 1, 4, 7]);
        let (reader, stream) = ("r".to_owned(), "s".to_owned());
        ledger.enter(Line::Delivered { reader, stream, n: 3, digest: "other".into(), pos: None });
        let account = ledger.account("r");
        let faults = (account.reordered, account.undead, account.invented, account.altered);
        // 3 came after 7 and 1 after 2.
        assert_eq!(faults, (2, 1, 1, 1), "{account:?}");
    }

    #[test]
    fn position_that_held_something_else_for_another_reader_is_found() {
        let mut ledger = accepted(2);
        come(&mut ledger, "r", 1..=2);
        come(&mut ledger, "auditor", 1..=2);
        assert!(ledger.differences("r", "auditor").is_empty());
        let (reader, stream) = ("auditor".to_owned(), "s".to_owned());
        ledger.enter(Line::Delivered { reader, stream, n: 1, digest: "1".into(), pos: Some("p2".into()) });
        ledger.enter(Line::Delivered {
            reader: "third".into(),
            stream: "s".into(),
            n: 1,
            digest: "1".into(),
            pos: Some("p2".into()),
        });
        assert_eq!(ledger.differences("r", "third").len(), 1);
        assert_eq!(ledger.account("auditor").moved, 1);
    }
}
