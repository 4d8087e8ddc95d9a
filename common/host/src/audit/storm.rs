//! What gates do again and again, counted: the first of a kind is written at once, what follows every ten seconds.

use super::Line;
use riser_model::{AccountId, Deed};
use std::{collections::BTreeMap, net::IpAddr};

/// What is the same is told this often.
const EVERY_MS: i64 = 10_000;

/// What makes two lines the same.
pub(super) type Kind = (Deed, Option<AccountId>, String, Option<IpAddr>, String, String);

/// What comes again and again, counted.
#[derive(Debug)]
pub(super) struct Storm {
    /// So many different ones of a deed are counted apart; the others together.
    kinds_max: usize,
    kinds: BTreeMap<Kind, (Line, i64)>,
    /// Those beyond the bound.
    others: u64,
}

impl Storm {
    pub(super) fn new(kinds_max: usize) -> Self {
        Self { kinds_max, kinds: BTreeMap::new(), others: 0 }
    }

    /// One more. The line to write at once, if it is the first of its kind in a while.
    pub(super) fn one_more(&mut self, kind: Kind, line: Line, now: i64) -> Option<Line> {
        if let Some((told, _)) = self.kinds.get_mut(&kind) {
            told.count += 1;
            return None;
        }
        // Whoever is refused from many places does not push out who is let in.
        let same = self.kinds.keys().filter(|other| other.0 == kind.0).count();
        if same >= self.kinds_max {
            self.others += 1;
            return None;
        }
        self.kinds.insert(kind, (Line { count: 0, ..line.clone() }, now));
        Some(line)
    }

    /// The lines whose time has come.
    pub(super) fn due(&mut self, now: i64) -> Vec<Line> {
        let is_due = |since: i64| now.saturating_sub(since) >= EVERY_MS || now < since;
        let mut lines = Vec::new();
        self.kinds.retain(|_, (line, since)| {
            if !is_due(*since) {
                return true;
            }
            if line.count > 0 {
                lines.push(line.clone());
            }
            // One that goes on stays, and is told again.
            let goes_on = line.count > 0;
            (line.count, *since) = (0, now);
            goes_on
        });
        if self.others > 0 {
            let (what, result) =
                ("let in or refused".to_owned(), "of many more kinds, or from many more places".to_owned());
            lines.push(Line { what, result, count: std::mem::take(&mut self.others), ..Line::default() });
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: &str) -> Line {
        Line { what: what.to_owned(), count: 1, ..Line::default() }
    }

    #[test]
    fn a_storm_of_refusals_is_a_line_every_ten_seconds_and_counts_them_all() {
        const KINDS_MAX: usize = 1024;
        let mut storm = Storm::new(KINDS_MAX);
        let kind =
            |n: u64| (Deed::Refused, None, n.to_string(), None, String::new(), "a wrong password".to_owned());
        let mut told = 0;
        for at in 0..100_000 {
            told += storm.one_more(kind(0), line("refused"), at).map_or(0, |line| line.count);
            let due = storm.due(at);
            assert!(due.len() <= 1);
            told += due.iter().map(|line| line.count).sum::<u64>();
        }
        assert!(told > 90_000);
        told += storm.due(200_000).iter().map(|line| line.count).sum::<u64>();
        assert_eq!(told, 100_000);
        assert_eq!(storm.due(300_000), vec![]);
        assert!(storm.kinds.is_empty());
        for n in 0..2 * KINDS_MAX as u64 {
            storm.one_more(kind(n), line("refused"), 300_000);
        }
        assert!(storm.kinds.len() <= KINDS_MAX && storm.others > 0);
        // Who is let in meanwhile has lines of its own, one for each room.
        for room in ["hall", "vault"] {
            let entered =
                (Deed::Entered, None, "ann".to_owned(), None, format!("room {room}"), String::new());
            assert!(storm.one_more(entered, line("entered"), 300_000).is_some(), "{room}");
        }
    }
}
