//! The batch that one read of a source becomes: publications encoded as log entries, back to back.
//!
//! It owns the numbers of the source's topics (aliases), which last until there are too many, and the tickets,
//! which rise by one.

use super::mapping::Mapping;
use riser_model::{
    RouteNumber, Stamp,
    door::{Intake, Refusal, Target},
};
use riser_wire::{
    entry::Publication,
    limits::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX},
};
use std::collections::BTreeMap;

/// Topics that are remembered by number.
const ALIASES_MAX: usize = 1024;
/// What an entry takes beside its payload, about.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// Where an entry is: the batch's ticket, and the entry's number in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) ticket: u64,
    pub(crate) index: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Batch {
    mapping: Mapping,
    aliases: BTreeMap<Box<str>, u32>,
    fresh: Vec<(u32, Target)>,
    entries: Vec<u8>,
    count: u32,
    /// The last ticket given.
    ticket: u64,
    /// The last that was answered.
    seen: u64,
}

impl Batch {
    /// Of a source whose topics mean this.
    pub(crate) fn new(mapping: Mapping) -> Self {
        Self {
            mapping,
            aliases: BTreeMap::new(),
            fresh: vec![],
            entries: vec![],
            count: 0,
            ticket: 0,
            seen: 0,
        }
    }

    /// The number that a topic has in this batch; an entry must follow.
    pub(crate) fn alias(&mut self, topic: &str) -> Result<u32, Refusal> {
        if let Some(alias) = self.aliases.get(topic) {
            return Ok(*alias);
        }
        let target = self.mapping.target(topic)?;
        // Between two batches there are at most ALIASES_MAX, and a batch brings at most BATCH_ENTRIES_MAX.
        let alias = self.aliases.len() as u32;
        self.aliases.insert(topic.into(), alias);
        self.fresh.push((alias, target));
        Ok(alias)
    }

    /// Whether a payload of that size has a place beside the others.
    pub(crate) fn fits(&self, payload_bytes: usize) -> bool {
        self.count == 0
            || (self.count as usize) < BATCH_ENTRIES_MAX
                && self.entries.len() + ENTRY_OVERHEAD_BYTES + payload_bytes <= BATCH_BYTES_MAX
    }

    /// What was added so far takes this much.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.len()
    }

    /// Adds an entry.
    pub(crate) fn add(&mut self, alias: u32, publication: &Publication<'_>, stamp: Stamp) -> Place {
        publication.write_frame(&mut self.entries, RouteNumber(alias), stamp);
        let place = Place { ticket: self.ticket + 1, index: self.count };
        self.count += 1;
        place
    }

    /// The next ticket, for something that is no batch. Only while the batch is empty.
    pub(crate) fn next_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }

    /// The bus answered a ticket.
    pub(crate) fn answered(&mut self, ticket: u64) {
        self.seen = self.seen.max(ticket);
    }

    /// What was added since the last time.
    pub(crate) fn take(&mut self) -> Option<Intake> {
        if self.count == 0 {
            return None;
        }
        let intake = Intake {
            ticket: self.next_ticket(),
            seen: self.seen,
            aliases: std::mem::take(&mut self.fresh),
            entries: std::mem::take(&mut self.entries).into(),
            count: std::mem::take(&mut self.count),
        };
        if self.aliases.len() >= ALIASES_MAX {
            self.aliases.clear();
        }
        Some(intake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_wire::entry::ContentType;

    fn add(batch: &mut Batch, topic: &str, payload: &[u8]) -> Place {
        let alias = batch.alias(topic).unwrap();
        batch.add(alias, &Publication::new(ContentType::Octets, payload), Stamp::default())
    }

    #[test]
    fn topics_are_said_once_until_there_are_too_many() {
        let mut batch = Batch::new(Mapping::anything());
        assert_eq!(add(&mut batch, "r/a", b"1"), Place { ticket: 1, index: 0 });
        add(&mut batch, "r/b", b"2");
        assert_eq!(add(&mut batch, "r/a", b"3"), Place { ticket: 1, index: 2 });
        let first = batch.take().unwrap();
        assert_eq!((first.ticket, first.count, first.aliases.len()), (1, 3, 2));
        assert!(batch.take().is_none());
        add(&mut batch, "r/a", b"4");
        assert!(batch.take().unwrap().aliases.is_empty());
        for n in 0..ALIASES_MAX {
            add(&mut batch, &format!("r/{n}"), b"");
        }
        batch.take();
        add(&mut batch, "r/a", b"5");
        assert_eq!(batch.take().unwrap().aliases, [(0, Target::Topic("r/a".to_owned()))]);
    }

    #[test]
    fn a_batch_stays_within_a_commits_bounds() {
        let mut batch = Batch::new(Mapping::anything());
        let payload = vec![0; 256 * 1024];
        let mut count = 0;
        while batch.fits(payload.len()) {
            add(&mut batch, "r/a", &payload);
            count += 1;
        }
        assert_eq!(count, 3);
        assert!(batch.take().unwrap().entries.len() <= BATCH_BYTES_MAX);
        while batch.fits(0) {
            add(&mut batch, "r/a", b"");
        }
        assert_eq!(batch.take().unwrap().count as usize, BATCH_ENTRIES_MAX);
    }
}
