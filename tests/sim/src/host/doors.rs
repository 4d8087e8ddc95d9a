//! The doors of a process: sockets accepted, what happens on them, what they ask.

use super::{Arrival, DoorEnd, Effect, Host, Later};
use crate::mutant::Mutant;
use riser_gate::Caller;
use riser_model::{
    ConnectionId, Time,
    door::{Ask, Door, Input as DoorInput},
};
use std::time::Duration;

impl Host {
    /// A socket was accepted: its door's connection. None while the process goes down.
    pub fn open_door(
        &mut self,
        socket: usize,
        door: Box<dyn Door>,
        caller: Caller,
        at: Time,
    ) -> Option<ConnectionId> {
        let process = self.process.as_mut().filter(|process| !process.stopping)?;
        process.next_connection += 1;
        let connection = ConnectionId(process.next_connection);
        process.doors.insert(connection, DoorEnd::new(socket, door));
        process.inbox.push_back(Arrival::Opened(connection, Box::new(caller)));
        self.inbox_soon(at);
        self.door_input(connection, DoorInput::Room(crate::door::WRITE_BYTES_MAX), at);
        Some(connection)
    }

    /// Something happens to a door.
    pub fn door_input(&mut self, connection: ConnectionId, input: DoorInput, at: Time) {
        let now = self.now(at);
        let Some(process) = &mut self.process else { return };
        let Some(door) = process.doors.get_mut(&connection) else { return };
        let (asks, says) = door.handle(input, now);
        let (socket, gone, wake) = (door.socket, door.take_gone(), door.arm(now.time));
        let mutant = self.setup.mutant;
        let untold = mutant == Some(Mutant::LeaveUntold) && connection.0.is_multiple_of(3);
        for ask in asks {
            let unkept = mutant == Some(Mutant::SessionUnkept) && matches!(ask, Ask::KeepSession);
            if unkept || untold && matches!(ask, Ask::Leave { .. }) {
                continue;
            }
            process.inbox.push_back(Arrival::Asked(connection, ask));
        }
        if let Some(leave) = gone.filter(|_| !untold) {
            process.inbox.extend(leave.map(|ask| Arrival::Asked(connection, ask)));
            process.inbox.push_back(Arrival::Closed(connection));
        }
        self.effects.extend(says.into_iter().map(|says| Effect::Say(socket, says)));
        if let Some(wake) = wake {
            let at = self.world_time(wake, at.plus(Duration::from_micros(1)));
            self.later(at, Later::DoorWake(connection, wake));
        }
        if self.process.as_ref().is_some_and(|process| !process.inbox.is_empty()) {
            self.inbox_soon(at);
        }
    }

    pub(super) fn tells(&mut self, connection: ConnectionId, at: Time) {
        loop {
            let Some(process) = &mut self.process else { return };
            let Some(door) = process.doors.get_mut(&connection) else { return };
            door.tells_due = false;
            let Some(tell) = door.tells.pop_front() else { return };
            self.door_input(connection, DoorInput::Tell(tell), at);
        }
    }

    pub(super) fn door_wake(&mut self, connection: ConnectionId, armed: Time, at: Time) {
        let now = self.now(at).time;
        let Some(process) = &mut self.process else { return };
        let Some(door) = process.doors.get_mut(&connection) else { return };
        if door.armed.take_if(|due| *due == armed).is_none() {
            return;
        }
        if door.is_due(now) {
            self.door_input(connection, DoorInput::Deadline, at);
        } else if let Some(wake) = door.arm(now) {
            let at = self.world_time(wake, at.plus(Duration::from_micros(1)));
            self.later(at, Later::DoorWake(connection, wake));
        }
    }
}
