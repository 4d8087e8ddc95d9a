//! The ledger: what publishers offered and got acknowledged, against what each reader was delivered.
//!
//! Owns the lines of a history (one JSON object each, written by the clients as it happens) and what they
//! add up to. It knows no counter of the product, and trusts none: a stream is a publisher's own numbering
//! from 1 upwards, carried in the payloads.

mod account;

use std::collections::{BTreeMap, BTreeSet};

pub use account::Account;
use serde::{Deserialize, Serialize};

/// One line of a history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// A publisher is about to send publication `n` of its stream; once for each time, where it says so.
    Offered {
        /// Whose numbering.
        stream: String,
        /// The number in it.
        n: u64,
        /// A digest of the payload's bytes.
        digest: String,
    },
    /// The publisher's protocol says that the publication is taken.
    Acked {
        /// Whose numbering.
        stream: String,
        /// The number in it.
        n: u64,
    },
    /// The publisher's protocol says that the publication is refused.
    Refused {
        /// Whose numbering.
        stream: String,
        /// The number in it.
        n: u64,
        /// The code it was given.
        code: String,
    },
    /// A reader was given a publication.
    Delivered {
        /// Which reader.
        reader: String,
        /// Whose numbering.
        stream: String,
        /// The number in it.
        n: u64,
        /// A digest of the payload's bytes as they arrived.
        digest: String,
        /// Its position, where the reader's protocol has positions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pos: Option<String>,
    },
    /// A reader was told that something is missing.
    Gap {
        /// Which reader.
        reader: String,
        /// Why.
        cause: String,
        /// How many.
        count: u64,
    },
    /// A reader was told elsewhere that something is missing from an edge's log: not at its place in a stream.
    Announced {
        /// Which reader.
        reader: String,
        /// Why.
        cause: String,
        /// How many.
        count: u64,
    },
    /// A client reached a point that a test waits for.
    Mark {
        /// Which.
        what: String,
    },
}

/// What one publisher did.
#[derive(Clone, Default, Debug)]
struct Stream {
    offered: BTreeMap<u64, String>,
    /// How often each was sent, where that was more than once.
    resent: BTreeMap<u64, u64>,
    acked: BTreeSet<u64>,
    refused: BTreeMap<u64, String>,
}

/// What one reader got of one stream.
#[derive(Clone, Default, Debug)]
struct Seen {
    /// The digest of each delivery, by number. They are compared at the end: publishers and readers write
    /// their lines from different processes, and a delivery's may come before its offer's.
    digests: BTreeMap<u64, Vec<String>>,
    /// How many gaps the reader had been told of when each came first.
    told: BTreeMap<u64, u64>,
    newest: u64,
    reordered: u64,
}

/// What one reader got in all.
#[derive(Clone, Default, Debug)]
struct Reader {
    streams: BTreeMap<String, Seen>,
    positions: BTreeMap<String, (String, u64)>,
    moved: u64,
    gaps: BTreeMap<String, u64>,
    /// How many times it was told of a gap.
    told: u64,
}

/// What a reader's deliveries add up to, over all streams.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Verdict {
    /// Publications that reached the reader, each counted once.
    pub delivered: u64,
    /// Acknowledged to the publisher, never delivered.
    pub lost: u64,
    /// Deliveries of something that had been delivered before.
    pub duplicated: u64,
    /// First deliveries after a later one of the same stream.
    pub reordered: u64,
    /// Delivered, but never offered.
    pub invented: u64,
    /// Delivered with other bytes than were offered.
    pub altered: u64,
    /// Positions that were read twice and held something else the second time.
    pub moved: u64,
}

impl Verdict {
    /// Whether everything that arrived did so once, in order, as it was offered: what a conflating reader is
    /// promised.
    pub fn is_clean_but_for_skipped(&self) -> bool {
        Self { lost: 0, ..*self }.is_clean()
    }

    /// Whether everything acknowledged arrived once, in order, as it was offered.
    pub fn is_clean(&self) -> bool {
        *self == Self { delivered: self.delivered, ..Self::default() }
    }

    /// Whether everything acknowledged arrived in order, as it was offered, resent ones perhaps twice: what
    /// MQTT promises of QoS 1 while connections are cut.
    pub fn is_clean_but_for_resent(&self) -> bool {
        Self { duplicated: 0, ..*self }.is_clean()
    }
}

/// A history, added up as it is written.
#[derive(Clone, Default, Debug)]
pub struct Ledger {
    streams: BTreeMap<String, Stream>,
    readers: BTreeMap<String, Reader>,
    /// What each reader was told elsewhere, by cause.
    announced: BTreeMap<String, BTreeMap<String, u64>>,
    marks: BTreeSet<String>,
}

impl Ledger {
    /// Enters one line.
    pub fn enter(&mut self, line: Line) {
        match line {
            Line::Offered { stream, n, digest } => {
                let stream = self.streams.entry(stream).or_default();
                if stream.offered.insert(n, digest).is_some() {
                    *stream.resent.entry(n).or_insert(1) += 1;
                }
            }
            Line::Acked { stream, n } => {
                self.streams.entry(stream).or_default().acked.insert(n);
            }
            Line::Refused { stream, n, code } => {
                self.streams.entry(stream).or_default().refused.insert(n, code);
            }
            Line::Delivered { reader, stream, n, digest, pos } => {
                self.readers.entry(reader).or_default().deliver(stream, n, digest, pos);
            }
            Line::Gap { reader, cause, count } => {
                let reader = self.readers.entry(reader).or_default();
                *reader.gaps.entry(cause).or_default() += count;
                reader.told += 1;
            }
            Line::Announced { reader, cause, count } => {
                *self.announced.entry(reader).or_default().entry(cause).or_default() += count;
            }
            Line::Mark { what } => {
                self.marks.insert(what);
            }
        }
    }

    /// How many publications the stream offered.
    pub fn offered(&self, stream: &str) -> u64 {
        self.streams.get(stream).map_or(0, |stream| stream.offered.len() as u64)
    }

    /// How many of the stream's publications were acknowledged.
    pub fn acked(&self, stream: &str) -> u64 {
        self.streams.get(stream).map_or(0, |stream| stream.acked.len() as u64)
    }

    /// The stream's refused publications with their codes.
    pub fn refused(&self, stream: &str) -> BTreeMap<u64, String> {
        self.streams.get(stream).map(|stream| stream.refused.clone()).unwrap_or_default()
    }

    /// How many publications of all streams reached the reader, each counted once.
    pub fn delivered(&self, reader: &str) -> u64 {
        self.verdict(reader).delivered
    }

    /// The same, without a look at what was offered: cheap enough to be asked often.
    pub fn seen(&self, reader: &str) -> u64 {
        let streams = self.readers.get(reader).map(|reader| reader.streams.values());
        streams.into_iter().flatten().map(|seen| seen.digests.len() as u64).sum()
    }

    /// What the reader was told is missing, by cause.
    pub fn gaps(&self, reader: &str) -> BTreeMap<String, u64> {
        self.readers.get(reader).map(|reader| reader.gaps.clone()).unwrap_or_default()
    }

    /// What clients said on their ways.
    pub fn marks(&self) -> impl Iterator<Item = &str> {
        self.marks.iter().map(String::as_str)
    }

    /// The marks that begin so, without their beginning.
    pub fn marks_of(&self, beginning: &str) -> Vec<&str> {
        self.marks.iter().filter_map(|mark| mark.strip_prefix(beginning)).collect()
    }

    /// Whether a client reached that point.
    pub fn has_mark(&self, what: &str) -> bool {
        self.marks.contains(what)
    }

    /// Where every stream and reader stands, for whoever reads a failed run.
    pub fn summary(&self) -> String {
        let mut lines = Vec::new();
        for (name, stream) in &self.streams {
            let (offered, acked, refused) = (stream.offered.len(), stream.acked.len(), stream.refused.len());
            lines.push(format!("stream {name}: {offered} offered, {acked} acknowledged, {refused} refused"));
        }
        for (name, reader) in &self.readers {
            lines.push(format!("reader {name}: {:?}, gaps {:?}", self.verdict(name), reader.gaps));
        }
        lines.push(format!("marks: {:?}", self.marks));
        lines.join("\n")
    }

    /// The newest publication of a stream that reached the reader; 0 before the first.
    pub fn newest(&self, reader: &str, stream: &str) -> u64 {
        let seen = self.readers.get(reader).and_then(|reader| reader.streams.get(stream));
        seen.and_then(|seen| seen.digests.keys().next_back().copied()).unwrap_or(0)
    }

    /// What the reader's deliveries add up to.
    pub fn verdict(&self, reader: &str) -> Verdict {
        let nobody = Reader::default();
        let reader = self.readers.get(reader).unwrap_or(&nobody);
        let mut verdict = Verdict { moved: reader.moved, ..Verdict::default() };
        for (name, stream) in &self.streams {
            let seen = reader.streams.get(name).map(|seen| &seen.digests);
            let is_missing = |n: &&u64| seen.is_none_or(|seen| !seen.contains_key(n));
            verdict.lost += stream.acked.iter().filter(is_missing).count() as u64;
        }
        for (name, seen) in &reader.streams {
            verdict.delivered += seen.digests.len() as u64;
            verdict.reordered += seen.reordered;
            for (n, digests) in &seen.digests {
                verdict.duplicated += digests.len() as u64 - 1;
                match self.streams.get(name).and_then(|stream| stream.offered.get(n)) {
                    None => verdict.invented += 1,
                    Some(offered) => {
                        verdict.altered += u64::from(digests.iter().any(|digest| digest != offered))
                    }
                }
            }
        }
        verdict
    }
}

impl Reader {
    fn deliver(&mut self, stream: String, n: u64, digest: String, pos: Option<String>) {
        if let Some(pos) = pos {
            let held = self.positions.entry(pos).or_insert_with(|| (stream.clone(), n));
            self.moved += u64::from(*held != (stream.clone(), n));
        }
        let seen = self.streams.entry(stream).or_default();
        let digests = seen.digests.entry(n).or_default();
        digests.push(digest);
        if digests.len() == 1 {
            seen.reordered += u64::from(n < seen.newest);
            seen.told.insert(n, self.told);
        }
        seen.newest = seen.newest.max(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(lines: &[&str]) -> Ledger {
        let mut ledger = Ledger::default();
        for line in lines {
            ledger.enter(serde_json::from_str(line).unwrap());
        }
        ledger
    }

    fn offer(ledger: &mut Ledger, upto: u64) {
        for n in 1..=upto {
            ledger.enter(Line::Offered { stream: "s".into(), n, digest: n.to_string() });
            ledger.enter(Line::Acked { stream: "s".into(), n });
        }
    }

    fn deliver(ledger: &mut Ledger, n: u64, digest: &str, pos: Option<&str>) {
        let pos = pos.map(str::to_owned);
        ledger.enter(Line::Delivered {
            reader: "r".into(),
            stream: "s".into(),
            n,
            digest: digest.into(),
            pos,
        });
    }

    #[test]
    fn clean_run_is_clean() {
        let mut ledger = Ledger::default();
        offer(&mut ledger, 3);
        (1..=3).for_each(|n| deliver(&mut ledger, n, &n.to_string(), None));
        assert_eq!(ledger.verdict("r"), Verdict { delivered: 3, ..Verdict::default() });
        assert!(ledger.verdict("r").is_clean());
    }

    #[test]
    fn each_fault_is_told_from_the_others() {
        let mut ledger = Ledger::default();
        offer(&mut ledger, 5);
        deliver(&mut ledger, 1, "1", Some("p1"));
        deliver(&mut ledger, 3, "3", Some("p3"));
        deliver(&mut ledger, 2, "2", Some("p2"));
        deliver(&mut ledger, 3, "3", Some("p1"));
        deliver(&mut ledger, 4, "other", None);
        deliver(&mut ledger, 9, "9", None);
        let want =
            Verdict { delivered: 5, lost: 1, duplicated: 1, reordered: 1, invented: 1, altered: 1, moved: 1 };
        assert_eq!(ledger.verdict("r"), want);
        assert!(!want.is_clean() && !want.is_clean_but_for_resent());
        assert!(Verdict { duplicated: 2, ..Verdict::default() }.is_clean_but_for_resent());
    }

    #[test]
    fn reader_that_got_nothing_lost_everything_acknowledged() {
        let mut ledger = Ledger::default();
        offer(&mut ledger, 4);
        ledger.enter(Line::Offered { stream: "s".into(), n: 5, digest: "5".into() });
        assert_eq!(ledger.verdict("r"), Verdict { lost: 4, ..Verdict::default() });
    }

    #[test]
    fn lines_are_read_as_clients_write_them() {
        let ledger = ledger(&[
            r#"{"ev":"offered","stream":"s","n":1,"digest":"ab"}"#,
            r#"{"ev":"refused","stream":"s","n":1,"code":"quota"}"#,
            r#"{"ev":"delivered","reader":"r","stream":"s","n":1,"digest":"ab","pos":"x"}"#,
            r#"{"ev":"gap","reader":"r","cause":"retention","count":3}"#,
            r#"{"ev":"mark","what":"r ready"}"#,
        ]);
        assert_eq!((ledger.offered("s"), ledger.acked("s"), ledger.delivered("r")), (1, 0, 1));
        assert_eq!(ledger.refused("s"), BTreeMap::from([(1, "quota".to_owned())]));
        assert_eq!(ledger.gaps("r"), BTreeMap::from([("retention".to_owned(), 3)]));
        assert!(ledger.has_mark("r ready"));
    }
}
