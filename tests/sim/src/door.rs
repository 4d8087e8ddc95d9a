//! A door on its socket: what the connection's own task does in the program.
//!
//! The core hears `Opened` first and `Closed` last, with a `Leave` before it if there was an `Enter`; after a close
//! nothing is said.

use crate::host::DoorSays;
use riser_model::{
    Now, Time,
    door::{Ask, Door, Input, Output, Tell},
};
use std::collections::VecDeque;

/// What a socket takes into memory.
pub const WRITE_BYTES_MAX: u32 = 64 * 1024;

/// See the module.
pub struct DoorEnd {
    /// The socket it is on.
    pub socket: usize,
    /// What it was told and has not heard.
    pub tells: VecDeque<Tell>,
    /// Whether a turn is due that has it hear them.
    pub tells_due: bool,
    /// When it is woken.
    pub armed: Option<Time>,
    door: Box<dyn Door>,
    entered: bool,
    left: bool,
    closed: bool,
    finished: bool,
}

impl DoorEnd {
    /// A door that stands open.
    pub fn new(socket: usize, door: Box<dyn Door>) -> Self {
        Self {
            socket,
            tells: VecDeque::new(),
            tells_due: false,
            armed: None,
            door,
            entered: false,
            left: false,
            closed: false,
            finished: false,
        }
    }

    /// What it asks and says because of an input.
    pub fn handle(&mut self, input: Input, now: Now) -> (Vec<Ask>, Vec<DoorSays>) {
        let (mut asks, mut says) = (Vec::new(), Vec::new());
        if self.closed {
            return (asks, says);
        }
        let gone = matches!(input, Input::Gone(_));
        self.door.handle(input, now);
        while let Some(output) = self.door.poll() {
            match output {
                Output::Ask(ask) => {
                    match &ask {
                        Ask::Enter { .. } => self.entered = true,
                        Ask::Leave { .. } if self.left => continue,
                        Ask::Leave { .. } => self.left = true,
                        Ask::Answer(_)
                        | Ask::Renew(_)
                        | Ask::Move { .. }
                        | Ask::Part
                        | Ask::Visit { .. }
                        | Ask::Rooms
                        | Ask::KeepSession
                        | Ask::Delivered { .. }
                        | Ask::Dropped { .. }
                        | Ask::Decide { .. }
                        | Ask::Run(_)
                        | Ask::Look { .. }
                        | Ask::Publish(_)
                        | Ask::Release { .. }
                        | Ask::HandOver { .. }
                        | Ask::Settle { .. }
                        | Ask::Subscribe { .. }
                        | Ask::Unsubscribe { .. }
                        | Ask::Pause { .. }
                        | Ask::Pull { .. }
                        | Ask::Ticket { .. }
                        | Ask::Confirm { .. } => {}
                    }
                    asks.push(ask);
                }
                Output::Bytes(bytes) if !self.closed && !gone => says.push(DoorSays::Bytes(bytes)),
                Output::Text(text) if !self.closed && !gone => says.push(DoorSays::Text(text)),
                Output::Texts(texts) if !self.closed && !gone => {
                    says.extend(texts.iter().map(|text| DoorSays::Text(text.to_owned())));
                }
                Output::Close(_) | Output::Done if !self.closed => {
                    self.closed = true;
                    says.push(DoorSays::End);
                }
                Output::Bytes(_) | Output::Text(_) | Output::Texts(_) | Output::Close(_) | Output::Done => {}
            }
        }
        self.closed |= gone;
        (asks, says)
    }

    /// Said once, when it is over: the leave that the core is still owed.
    pub fn take_gone(&mut self) -> Option<Option<Ask>> {
        if !self.closed || std::mem::replace(&mut self.finished, true) {
            return None;
        }
        let owed = self.entered && !self.left;
        Some(owed.then(|| Ask::Leave { cause: "cut".into(), expiry_s: None }))
    }

    /// Whether its deadline has come.
    pub fn is_due(&self, now: Time) -> bool {
        !self.closed && self.door.poll_timeout().is_some_and(|time| time <= now)
    }

    /// When it must be woken, if that is earlier than it will be.
    pub fn arm(&mut self, now: Time) -> Option<Time> {
        let due = self.door.poll_timeout().filter(|_| !self.closed)?.max(now);
        if self.armed.is_some_and(|armed| armed <= due) {
            return None;
        }
        self.armed = Some(due);
        Some(due)
    }
}
