//! What one connection publishes: channels as aliases, payloads as entries, tickets as receipts.
//!
//! Tickets rise by one and come back in order. Holds at most [`WAITING_MAX`] unanswered publishes and
//! remembers at most [`ALIASES_MAX`] channels; past that it numbers them anew.

use super::refusal;
use riser_model::{
    ChannelName, ConnectionId, Now, Position, RoomName, RouteNumber, Seq,
    door::{Ask, Code, Intake, Refusal, Target},
};
use riser_wire::{
    client::{Message, Receipt},
    entry::{ContentType, Publication},
    limits::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX},
    property,
};
use std::collections::{BTreeMap, VecDeque};

/// Publishes of one connection that wait for their commit.
const WAITING_MAX: usize = 4096;
/// Channels that a connection remembers; more than a batch can bring.
const ALIASES_MAX: usize = 2 * BATCH_ENTRIES_MAX;

/// A publish that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Waiting {
    /// The request to answer; raw publications have none.
    pub(super) request: Option<u64>,
    /// Whether it was a batch.
    pub(super) many: bool,
    ticket: u64,
    count: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Publisher {
    room: RoomName,
    aliases: BTreeMap<ChannelName, u32>,
    last_ticket: u64,
    /// The last that was answered.
    seen: u64,
    waiting: VecDeque<Waiting>,
    /// Whose session history what it publishes belongs to, if it asked for one.
    session: Option<ConnectionId>,
}

impl Publisher {
    /// For the channels of this room.
    pub(super) fn new(room: RoomName) -> Self {
        Self {
            room,
            aliases: BTreeMap::new(),
            last_ticket: 0,
            seen: 0,
            waiting: VecDeque::new(),
            session: None,
        }
    }

    /// What is published from here on belongs to that connection's session history, in rooms that have one.
    pub(super) fn keep_session(&mut self, connection: ConnectionId) {
        self.session = Some(connection);
    }

    /// From here on for the channels of another room, in which it has no session history yet.
    pub(super) fn move_to(&mut self, room: RoomName) {
        self.room = room;
        self.aliases.clear();
        self.session = None;
    }

    /// Whether nothing waits for its commit.
    pub(super) fn is_answered(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Encodes them into one batch. On a refusal nothing of it was published.
    pub(super) fn publish(
        &mut self,
        request: Option<u64>,
        many: bool,
        qos: u8,
        messages: &[Message<'_>],
        now: Now,
    ) -> Result<Ask, Refusal> {
        if self.waiting.len() >= WAITING_MAX {
            let what = format!("{WAITING_MAX} publishes wait for their commit");
            return Err(refusal(Code::TooMany, &what, "wait for receipts before publishing more"));
        }
        if self.aliases.len() + messages.len() > ALIASES_MAX {
            self.aliases.clear();
        }
        let mut entries = Vec::new();
        let mut defined: BTreeMap<ChannelName, u32> = BTreeMap::new();
        for message in messages {
            let alias = self.alias(&mut defined, &message.channel);
            let properties = message.expires_s.map(property::expiry);
            let publication = Publication {
                qos,
                publish_id: message.publish_id,
                session: self.session,
                properties: properties.as_ref().map_or(&[], |properties| properties),
                ..Publication::new(ContentType::named(&message.content_type), &message.payload)
            };
            publication.write_frame(&mut entries, RouteNumber(alias), now.stamp());
            if entries.len() > BATCH_BYTES_MAX {
                let want = format!("at most {BATCH_BYTES_MAX} bytes, some 50 per message included");
                return Err(refusal(Code::TooLarge, "a batch that does not fit into one commit", &want));
            }
        }
        let mut aliases: Vec<(u32, Target)> = defined
            .iter()
            .map(|(channel, alias)| (*alias, Target::Channel(self.room.clone(), channel.clone())))
            .collect();
        aliases.sort_unstable_by_key(|(alias, _)| *alias);
        self.aliases.append(&mut defined);
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        // A batch has at most 4096 messages.
        let count = messages.len() as u32;
        self.waiting.push_back(Waiting { request, many, ticket, count });
        Ok(Ask::Publish(Intake { ticket, seen: self.seen, aliases, entries: entries.into(), count }))
    }

    fn alias(&self, defined: &mut BTreeMap<ChannelName, u32>, channel: &ChannelName) -> u32 {
        if let Some(alias) = self.aliases.get(channel).or_else(|| defined.get(channel)) {
            return *alias;
        }
        // Below ALIASES_MAX.
        let alias = (self.aliases.len() + defined.len()) as u32;
        defined.insert(channel.clone(), alias);
        alias
    }

    /// The publish with this ticket is on disk: what to answer. `at` makes a position of a seq.
    pub(super) fn stored(
        &mut self,
        ticket: u64,
        first: Seq,
        refused: Vec<(u32, Refusal)>,
        at: impl Fn(Seq) -> Position,
    ) -> Option<(Waiting, Vec<Receipt>)> {
        self.seen = self.seen.max(ticket);
        let waiting = self.waiting.pop_front_if(|waiting| waiting.ticket == ticket)?;
        let mut refused = refused.into_iter().peekable();
        let mut seq = first;
        let receipts = (0..waiting.count)
            .map(|index| match refused.next_if(|(i, _)| *i == index) {
                Some((_, why)) => Receipt(Err(why)),
                None => {
                    let position = at(seq);
                    seq = seq.next();
                    Receipt(Ok(position))
                }
            })
            .collect();
        Some((waiting, receipts))
    }
}
