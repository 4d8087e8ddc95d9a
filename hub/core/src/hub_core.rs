//! The machine: what comes to a hub, and what it does about it.

use riser_gate::{CookieId, Directory};
use riser_ingest::{Below, EdgeStatus, LinkOutput};
use riser_instance::{
    Broadcast, Core, Input as InstanceInput, Instance, Output as InstanceOutput,
    core::{Input, Output},
};
use riser_link::{Receivers, sender::Opened};
use riser_model::{
    AccountId, Audited, ClientId, ConnectionId, Now, Principal, RoomId, RoomName, Time,
    door::{Finished, Refusal},
    event::{Scope, SystemEvent},
    look::{Look, Seen},
};
use riser_rooms::Input as RoomsInput;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// What the world brings beside doors and storage.
#[derive(Debug)]
pub enum LinkInput {
    /// Of an edge's link.
    Below(riser_ingest::LinkInput),
    /// The wall clock was stepped by so many milliseconds.
    ClockStepped(i64),
}

/// A hub.
#[derive(Debug)]
pub struct HubCore {
    instance: Instance,
    below: Below,
    stopping: bool,
}

impl HubCore {
    /// A hub over an instance and its log as it was opened, for the edges of a directory.
    pub fn new(
        mut instance: Instance,
        receivers: Receivers,
        directory: Arc<Directory>,
        opened: &Opened,
        now: Now,
    ) -> Self {
        let below = Below::new(receivers, directory, opened, &mut instance, now);
        Self { instance, below, stopping: false }
    }

    /// The edges below it, to look at.
    pub fn below(&self) -> &Below {
        &self.below
    }

    /// The instance, to look at.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// What a principal may see of what is looked at.
    pub fn look(&self, principal: &Principal, look: &Look, now: Now) -> Result<Seen, Refusal> {
        self.instance.look(principal, look, now)
    }

    /// An admin of that account, or of that room of it, says yes or no to somebody who knocks, at the room of that name if one is
    /// said. False if nobody does by that number, or not there.
    pub fn decide(
        &mut self,
        place: (AccountId, Option<RoomId>),
        knocker: (ConnectionId, Option<RoomName>),
        admit: bool,
        by: &str,
        now: Now,
    ) -> bool {
        self.instance.decide_for(place, knocker, admit, by, now)
    }

    /// An admin of that account closes a connection of it. False if there is none by that number.
    pub fn send_away(&mut self, account: AccountId, connection: ConnectionId, by: &str, now: Now) -> bool {
        self.instance.send_away(account, connection, by, now)
    }

    /// Says something to all devices of a room. How many they are.
    pub fn broadcast(&mut self, directory: &Directory, said: Broadcast, now: Now) -> Result<usize, Refusal> {
        self.instance.broadcast(directory, said, now)
    }

    /// Whoever came by that cookie has signed out.
    pub fn end_cookie(&mut self, cookie: CookieId, now: Now) {
        self.instance.end_cookie(cookie, now);
    }

    /// Who was let in since this was asked for, is connected, or is behind an edge.
    pub fn used(&mut self) -> BTreeSet<ClientId> {
        self.instance.used()
    }

    /// Whether that one was let in since who was used was asked for, or is connected.
    pub fn has_come(&self, client: ClientId) -> bool {
        self.instance.has_come(client)
    }

    /// Somebody was let in without a connection, as by a request.
    pub fn came(&mut self, client: ClientId) {
        self.instance.came(client);
    }

    /// What became of an errand of that connection's.
    pub fn ran(&mut self, connection: ConnectionId, result: Result<Finished, Refusal>, now: Now) {
        self.instance.handle(InstanceInput::Ran { connection, result }, now);
    }

    /// The edges of the directory, connected or not.
    pub fn edges(&self) -> impl Iterator<Item = EdgeStatus> {
        self.below.edges()
    }

    /// Whether whoever comes from there was sent away several times lately.
    pub fn knows_offender(&self, address: IpAddr, now: Now) -> bool {
        self.instance.knows_offender(address, now)
    }

    /// Somebody was let in by a request or not: it is written down, and a wrong guess is remembered.
    pub fn asked_elsewhere(&mut self, audited: Audited, is_wrong_guess: bool, now: Now) {
        self.instance.asked_elsewhere(audited, is_wrong_guess, now);
    }

    /// The system speaks on a technical channel.
    pub fn say(&mut self, scope: Scope, event: SystemEvent, now: Now) {
        self.rooms(RoomsInput::Event { scope, event }, now);
    }

    fn rooms(&mut self, input: RoomsInput, now: Now) {
        self.instance.handle(InstanceInput::Rooms(input), now);
    }
}

impl Core for HubCore {
    type LinkInput = LinkInput;
    type LinkOutput = LinkOutput;

    fn handle(&mut self, input: Input<LinkInput>, now: Now) {
        let Self { instance, below, .. } = self;
        match input {
            Input::Instance(input) => instance.handle(input, now),
            Input::Link(LinkInput::Below(input)) => below.handle(input, instance, now),
            Input::Link(LinkInput::ClockStepped(by_ms)) => {
                self.say(Scope::Instance, SystemEvent::ClockStepped { by_ms }, now);
            }
            Input::Changed { directory, rooms } => {
                let changed = InstanceInput::Changed { directory: Arc::clone(&directory), rooms };
                instance.handle(changed, now);
                below.changed(directory, instance, now);
            }
            Input::ReadForLink { ticket, chunk } => below.read_for_link(ticket, chunk, instance, now),
            Input::Lost(gaps) => below.lost(&gaps, instance, now),
            Input::Deadline => {
                instance.handle(InstanceInput::Deadline, now);
                below.deadline(instance, now);
            }
            Input::Shutdown => {
                self.stopping = true;
                below.stop(instance, now);
                instance.handle(InstanceInput::Rooms(RoomsInput::Shutdown), now);
                below.farewell(instance, now);
            }
        }
    }

    fn poll(&mut self, now: Now) -> Option<Output<LinkOutput>> {
        let Self { instance, below, .. } = self;
        loop {
            if let Some(output) = below.poll() {
                return Some(output);
            }
            match instance.poll(now)? {
                InstanceOutput::Done { token, result } => below.placed(token, result, instance, now),
                InstanceOutput::Committed { through } => below.committed(through, instance, now),
                output => return Some(Output::Instance(output)),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        let instance = self.instance.poll_timeout().map(|(time, _)| time);
        [instance, self.below.poll_timeout()].into_iter().flatten().min()
    }

    fn is_drained(&self) -> bool {
        self.stopping && self.instance.is_settled() && self.below.is_settled()
    }
}
