//! The checker's file: what sensors completed against what a subscriber got. It reads no counter of the product.

use std::{collections::BTreeMap, sync::Mutex};

/// One sensor at one edge. It numbers its publications from 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Stream {
    /// The edge it publishes to.
    pub edge: String,
    /// The sensor's name.
    pub sensor: String,
}

#[derive(Default)]
struct Lines {
    completed: u64,
    resent: u64,
    delivered: BTreeMap<u64, u64>,
    newest: u64,
    reordered: u64,
}

/// What happened, per stream.
#[derive(Default)]
pub struct Ledger {
    streams: Mutex<BTreeMap<Stream, Lines>>,
}

/// What it adds up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Publications that reached the subscriber, each counted once.
    pub delivered: u64,
    /// Publications that a sensor sent more than once.
    pub resent: u64,
    /// Completed by the sensor's protocol, never delivered.
    pub lost: u64,
    /// Delivered more than once.
    pub duplicated: u64,
    /// Delivered after a later one of the same stream.
    pub reordered: u64,
}

impl Ledger {
    /// The sensor's client saw publication `n` completed (PUBCOMP). They complete in order.
    pub fn completed(&self, stream: &Stream, n: u64) {
        self.with(stream, |lines| lines.completed = n);
    }

    /// The sensor's client sent a publication again.
    pub fn resent(&self, stream: &Stream) {
        self.with(stream, |lines| lines.resent += 1);
    }

    /// The subscriber got publication `n`.
    pub fn delivered(&self, stream: &Stream, n: u64) {
        self.with(stream, |lines| {
            let times = lines.delivered.entry(n).or_default();
            *times += 1;
            if *times == 1 && n < lines.newest {
                lines.reordered += 1;
            }
            lines.newest = lines.newest.max(n);
        });
    }

    /// Adds it all up.
    pub fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for lines in self.streams.lock().expect("no holder of the ledger panics").values() {
            verdict.delivered += lines.delivered.len() as u64;
            verdict.resent += lines.resent;
            verdict.lost += (1..=lines.completed).filter(|n| !lines.delivered.contains_key(n)).count() as u64;
            verdict.duplicated += lines.delivered.values().map(|times| times - 1).sum::<u64>();
            verdict.reordered += lines.reordered;
        }
        verdict
    }

    fn with(&self, stream: &Stream, change: impl FnOnce(&mut Lines)) {
        let mut streams = self.streams.lock().expect("no holder of the ledger panics");
        change(streams.entry(stream.clone()).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_repeats_and_disorder_are_each_seen() {
        let ledger = Ledger::default();
        let stream = Stream { edge: "a".into(), sensor: "load".into() };
        (1..=5).for_each(|n| ledger.completed(&stream, n));
        [1, 3, 2, 3, 6].into_iter().for_each(|n| ledger.delivered(&stream, n));
        let want = Verdict { delivered: 4, resent: 0, lost: 2, duplicated: 1, reordered: 1 };
        assert_eq!(ledger.verdict(), want);
    }
}
