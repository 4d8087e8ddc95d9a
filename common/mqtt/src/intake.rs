//! The batch that one read becomes: publications encoded as log entries, back to back.
//!
//! It owns the connection's aliases. A topic gets a number when its first entry is added; when there are too
//! many, the next batch begins to number anew. Tickets rise by one and are shared with releases.

use crate::{fault::Fault, fields, publish::Publish, topic};
use bytes::Bytes;
use riser_model::{
    RouteNumber, Stamp,
    door::{Code, Intake, Refusal, Target},
};
use riser_wire::{
    entry::{ContentType, PacketId, Publication, Publisher},
    limits::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, PUBLICATION_BYTES_MAX},
};
use rumqttc::v5::mqttbytes::v5::DisconnectReasonCode;
use std::collections::BTreeMap;

/// Topics that are remembered by number.
const ALIASES_MAX: usize = 1024;
/// What an entry takes beside payload, topic alias and properties, about.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// A number that a batch's entry has: the batch's ticket, and the entry's place in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) ticket: u64,
    pub(crate) index: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Batch {
    aliases: BTreeMap<Box<[u8]>, u32>,
    /// The topic of the last publication: most sensors have one.
    last: Option<(Box<[u8]>, u32)>,
    fresh: Vec<(u32, Target)>,
    entries: Vec<u8>,
    count: u32,
    /// The last ticket given.
    ticket: u64,
    /// The last that was answered.
    seen: u64,
    /// Its client has no word for a refusal.
    unheard: bool,
    author: Author,
}

/// Who publishes, for the case that it does not want it back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Author {
    /// Its MQTT session.
    pub(crate) publisher: Publisher,
    /// It may come to want that: each of its entries says whose it is. Else those alone that are retained do.
    pub(crate) always: bool,
}

impl Batch {
    /// `unheard`: its client has no word for a refusal (MQTT 3.1.1).
    pub(crate) fn new(unheard: bool, author: Author) -> Self {
        Self {
            aliases: BTreeMap::new(),
            last: None,
            fresh: Vec::new(),
            entries: Vec::new(),
            count: 0,
            ticket: 0,
            seen: 0,
            unheard,
            author,
        }
    }

    /// The number that a topic has in this batch; an entry must follow. Wrong topics end the connection; long ones are refused.
    pub(crate) fn alias(&mut self, name: &[u8]) -> Result<Result<u32, Refusal>, Fault> {
        if let Some((last, alias)) = &self.last
            && **last == *name
        {
            return Ok(Ok(*alias));
        }
        // What is longer is no name whatever follows, and shares the number of what begins alike.
        let key = name.get(..=topic::TOPIC_BYTES_MAX).unwrap_or(name);
        let alias = match self.aliases.get(key).filter(|_| key.len() == name.len()) {
            Some(alias) => *alias,
            None => match self.new_alias(name, key)? {
                Ok(alias) => alias,
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        self.last = (key.len() == name.len()).then(|| (name.into(), alias));
        Ok(Ok(alias))
    }

    fn new_alias(&mut self, name: &[u8], key: &[u8]) -> Result<Result<u32, Refusal>, Fault> {
        if name.len() > topic::TOPIC_BYTES_MAX && !self.unheard {
            return Ok(Err(Refusal {
                code: Code::BadName,
                what: "a topic that is too long".to_owned(),
                want: format!("at most {} bytes", topic::TOPIC_BYTES_MAX),
            }));
        }
        let text = fields::text(name)?;
        if text.is_empty() {
            return Err(Fault {
                reason: DisconnectReasonCode::ProtocolError,
                ..Fault::malformed("neither a topic nor an alias")
            });
        }
        if !topic::is_topic(text) {
            return Err(Fault {
                reason: DisconnectReasonCode::TopicNameInvalid,
                ..Fault::malformed("the topic has wildcards")
            });
        }
        if let Some(alias) = self.aliases.get(key) {
            return Ok(Ok(*alias));
        }
        let text = text.get(..text.floor_char_boundary(key.len())).unwrap_or(text);
        let alias = self.aliases.len() as u32;
        self.aliases.insert(key.into(), alias);
        let target = if self.unheard { Target::Device } else { Target::Topic };
        self.fresh.push((alias, target(text.to_owned())));
        Ok(Ok(alias))
    }

    /// Whether a publication of that size has a place beside the others.
    pub(crate) fn fits(&self, publish: &Publish<'_>) -> bool {
        let size = ENTRY_OVERHEAD_BYTES
            + publish.payload.len()
            + publish.travelling.properties.len()
            + publish.travelling.content_type.len();
        self.count == 0
            || (self.count as usize) < BATCH_ENTRIES_MAX && self.entries.len() + size <= BATCH_BYTES_MAX
    }

    /// Why a publication can be in no batch at all.
    pub(crate) fn too_large(publish: &Publish<'_>) -> Option<Refusal> {
        let properties = publish.travelling.properties.len();
        let (what, most) = if publish.payload.len() > PUBLICATION_BYTES_MAX {
            (format!("a payload of {} bytes", publish.payload.len()), PUBLICATION_BYTES_MAX)
        } else if properties > usize::from(u16::MAX) {
            (format!("properties of {properties} bytes"), usize::from(u16::MAX))
        } else {
            return None;
        };
        Some(Refusal { code: Code::TooLarge, what, want: format!("at most {most}") })
    }

    /// Adds an entry. `expected` is how many bytes of input the batch may be made of.
    pub(crate) fn add(
        &mut self,
        alias: u32,
        publish: &Publish<'_>,
        packet_id: Option<PacketId>,
        stamp: Stamp,
        expected: usize,
    ) -> Place {
        if self.entries.capacity() == 0 {
            self.entries.reserve(ENTRY_OVERHEAD_BYTES + (expected + expected / 2).min(BATCH_BYTES_MAX));
        }
        let publication = Publication {
            retain: publish.retain,
            qos: publish.qos,
            content_type: ContentType::named(publish.travelling.content_type),
            publish_id: None,
            packet_id,
            publisher: (self.author.always || publish.retain).then_some(self.author.publisher),
            session: None,
            replaces: None,
            properties: &publish.travelling.properties,
            payload: publish.payload,
        };
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
            entries: Bytes::from(std::mem::take(&mut self.entries)),
            count: std::mem::take(&mut self.count),
        };
        if self.aliases.len() >= ALIASES_MAX {
            self.aliases.clear();
            self.last = None;
        }
        Some(intake)
    }
}
