//! The fan-out of the pure core: a bus, and a door for each who listens, without sockets, disk and clock. What it costs is
//! counted in instructions, which nothing else on the machine changes.

use crate::{
    corpus,
    riser::{ACCOUNT, ROOM},
};
use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use riser_model::{
    AccountId, Cause, ClientId, ConnectionId, Epoch, Filter, Grants, History, LogId, Now, Principal, Right,
    Room, RoomId, RouteNumber, Seq, Time, Wall,
    door::{
        Ask, Credential, Door, Input as DoorInput, Intake, Output as DoorOutput, SessionState, Target, Tell,
    },
    principal::Rule,
};
use riser_rooms::{
    Bus, Config, Input, Output, Producers, RetainedTable, Start,
    door::{Envelope, Place, TicketSeed},
};
use riser_wire::entry::{ContentType, Publication};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use uuid::Uuid;

/// Who listens, each to all channels of the room.
pub const LISTENERS: u64 = 100;
/// Channels that are published in by turns.
const CHANNELS: u32 = 10;
/// The connection of whom that publishes.
const PUBLISHER: ConnectionId = ConnectionId(LISTENERS);
/// What a door's socket takes at once.
const ROOM_BYTES: u32 = 256 * 1024;

const ACCOUNT_ID: AccountId = AccountId(Uuid::from_u128(1));

/// What those who listen may read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Rights {
    /// Everything in every room, by one rule: nothing can be checked with less.
    All,
    /// The channels of this room that a dozen rules let them, which deny some.
    Rules,
}

impl Rights {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Rules => "rules",
        }
    }

    fn rules(self) -> anyhow::Result<Vec<Rule>> {
        let rule = |room: Option<RoomId>, channels: &str, deny| {
            let channels: Filter = channels.parse().context("parse a filter")?;
            anyhow::Ok(Rule { room, channels, right: Right::Subscribe, deny })
        };
        match self {
            Self::All => Ok(vec![rule(None, "#", false)?]),
            Self::Rules => {
                let (room, other) = (Some(room_id()), Some(RoomId::of(ACCOUNT_ID, "other")));
                let mut rules = vec![rule(room, "secret/#", true)?, rule(room, "+/private", true)?];
                for n in 0..CHANNELS {
                    rules.push(rule(room, &format!("+/{n}"), false)?);
                }
                rules.push(rule(other, "#", false)?);
                Ok(rules)
            }
        }
    }
}

/// Fans so many messages out to everybody.
pub fn run(rights: Rights, messages: u64) -> anyhow::Result<()> {
    let mut site = Site::new(rights)?;
    for n in 0..messages {
        site.publish(n)?;
    }
    let wanted = messages * LISTENERS;
    ensure!(site.said == wanted, "{} messages were said, and not {wanted}", site.said);
    Ok(())
}

fn room_id() -> RoomId {
    RoomId::of(ACCOUNT_ID, ROOM)
}

struct Site {
    bus: Bus,
    doors: Vec<Envelope>,
    /// As whom those behind the doors are let in.
    principals: Vec<Arc<Principal>>,
    now: Now,
    /// Messages that left the doors.
    said: u64,
    published: u64,
}

impl Site {
    fn new(rights: Rights) -> anyhow::Result<Self> {
        let now = Now { time: Time(1 << 40), wall: Wall(1 << 40) };
        let place = Place {
            account: ACCOUNT.parse().context("name the account")?,
            room: ROOM.parse().context("name the room")?,
            credential: Credential::Anonymous,
            anonymous: true,
        };
        let rules = rights.rules()?;
        let principal = |n: u64, rules: Vec<Rule>| {
            let (client, name) = (ClientId(Uuid::from_u128(n.into())), format!("client-{n}"));
            anyhow::Ok(Arc::new(Principal {
                account: ACCOUNT_ID,
                account_name: ACCOUNT.parse().context("name the account")?,
                client,
                name: name.parse().context("name a client")?,
                grants: Arc::new(Grants::new(rules).of(client)),
                home: None,
            }))
        };
        let mut site = Self {
            bus: Bus::new(config(), start()?),
            doors: Vec::new(),
            principals: Vec::new(),
            now,
            said: 0,
            published: 0,
        };
        for n in 0..LISTENERS {
            site.principals.push(principal(n, rules.clone())?);
            site.doors.push(Envelope::new(place.clone(), TicketSeed([7; 32]), now));
            let hello =
                r##"{"op":"hello","id":1,"events":false,"subscriptions":[{"sub":1,"channels":"#"}]}"##;
            site.hear(ConnectionId(n), DoorInput::Room(ROOM_BYTES));
            site.hear(ConnectionId(n), DoorInput::Text(hello.into()));
        }
        let all = Rule { room: None, channels: Filter::all(), right: Right::Publish, deny: false };
        site.tell_bus(Input::Open { connection: PUBLISHER, principal: principal(LISTENERS, vec![all])? });
        let aliases =
            (0..CHANNELS).map(|n| Ok((n, Target::Channel(ROOM.parse()?, format!("fan/{n}").parse()?))));
        let aliases = aliases.collect::<anyhow::Result<_>>().context("name the channels")?;
        site.ask_of_publisher(aliases, Vec::new(), 0);
        site.said = 0;
        Ok(site)
    }

    /// One message, and all that comes of it.
    fn publish(&mut self, n: u64) -> anyhow::Result<()> {
        let mut entries = Vec::new();
        let payload = corpus::prepared(0, n);
        Publication::new(ContentType::Json, payload).write_frame(
            &mut entries,
            RouteNumber(n as u32 % CHANNELS),
            self.now.stamp(),
        );
        let before = self.said;
        self.ask_of_publisher(Vec::new(), entries, 1);
        // Those of a wide fan-out hear of it in the next round.
        while self.said < before + LISTENERS {
            let Some((at, _)) = self.bus.poll_timeout() else {
                bail!("{} of {LISTENERS} heard message {n}", self.said - before)
            };
            self.now.time = self.now.time.max(at);
            self.tell_bus(Input::Deadline);
        }
        self.now.time = self.now.time.plus(Duration::from_secs(1));
        Ok(())
    }

    fn ask_of_publisher(&mut self, aliases: Vec<(u32, Target)>, entries: Vec<u8>, count: u32) {
        self.published += 1;
        let ticket = self.published;
        let intake = Intake { ticket, seen: ticket - 1, aliases, entries: entries.into(), count };
        self.tell_bus(Input::Ask { connection: PUBLISHER, ask: Ask::Publish(intake) });
    }

    fn tell_bus(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.bus.handle(input, self.now);
            while let Some(output) = self.bus.poll() {
                match output {
                    Output::Tell { connection, tell } => self.told(connection, tell, &mut inputs),
                    Output::Persist { ticket, .. } => inputs.push_back(Input::Persisted { ticket }),
                    Output::Read { .. }
                    | Output::Done { .. }
                    | Output::Retained(_)
                    | Output::Committed { .. }
                    | Output::Archive(_)
                    | Output::Count(_)
                    | Output::Joined { .. }
                    | Output::Left { .. }
                    | Output::Settled { .. } => {}
                }
            }
        }
    }

    fn told(&mut self, connection: ConnectionId, tell: Tell, inputs: &mut VecDeque<Input>) {
        let asks = self.through_door(connection, DoorInput::Tell(tell));
        inputs.extend(asks.into_iter().map(|ask| Input::Ask { connection, ask }));
    }

    fn hear(&mut self, connection: ConnectionId, input: DoorInput) {
        for ask in self.through_door(connection, input) {
            self.tell_bus(Input::Ask { connection, ask });
        }
    }

    /// What the door asks of the bus. What it says is written at once.
    fn through_door(&mut self, connection: ConnectionId, input: DoorInput) -> Vec<Ask> {
        let place = connection.0 as usize;
        let (mut inputs, mut asks) = (VecDeque::from([input]), Vec::new());
        while let Some(input) = inputs.pop_front() {
            let Some(door) = self.doors.get_mut(place) else { break };
            door.handle(input, self.now);
            let mut wrote = false;
            while let Some(output) = door.poll() {
                match output {
                    DoorOutput::Ask(Ask::Enter { .. }) => {
                        let Some(principal) = self.principals.get(place).map(Arc::clone) else { continue };
                        let open = Input::Open { connection, principal: Arc::clone(&principal) };
                        self.bus.handle(open, self.now);
                        let session = SessionState::default();
                        let entered = Tell::Entered { principal, connection, session, room: None };
                        inputs.push_back(DoorInput::Tell(entered));
                    }
                    DoorOutput::Ask(ask) => asks.push(ask),
                    DoorOutput::Texts(texts) => {
                        self.said += texts.count() as u64;
                        wrote = true;
                    }
                    DoorOutput::Bytes(_) | DoorOutput::Text(_) => wrote = true,
                    DoorOutput::Close(_) | DoorOutput::Done => {}
                }
            }
            if wrote {
                inputs.push_back(DoorInput::Room(ROOM_BYTES));
            }
        }
        asks
    }
}

fn config() -> Config {
    // The system says nothing: each entry is a publication.
    Config { events_burst: 0, ..Config::default() }
}

fn start() -> anyhow::Result<Start> {
    let room = Room {
        id: room_id(),
        account: ACCOUNT_ID,
        account_name: ACCOUNT.parse().context("name the account")?,
        name: ROOM.parse().context("name the room")?,
        kind: Default::default(),
        ready: Vec::new(),
        history: History::Log,
        retention: Default::default(),
        quota: Default::default(),
        linked: false,
        down: false,
        archive: false,
        schema: None,
    };
    Ok(Start {
        log: LogId(1),
        epoch: Epoch(1),
        chain: Vec::new(),
        next: Seq(1),
        oldest: Seq(1),
        oldest_at: Wall(0),
        gaps: Vec::new(),
        trim_cause: Cause::Quota,
        routes: Vec::new(),
        origins: Vec::new(),
        archived: Default::default(),
        pasts: Vec::new(),
        rooms: vec![room],
        bindings: Vec::new(),
        retained: RetainedTable::default(),
        producers: Producers::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_hears_everything_whatever_their_rights_are_made_of() {
        for rights in [Rights::All, Rights::Rules] {
            run(rights, 30).unwrap();
        }
    }
}
