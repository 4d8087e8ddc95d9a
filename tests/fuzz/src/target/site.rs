//! A bus that says yes to everything, and looks at what a door asks of it.

use crate::outcome;
use bytes::Bytes;
use riser_model::{
    AccountId, ClientId, ConnectionId, Epoch, LogId, Now, Position, Principal, Seq, Time, Wall,
    door::{Ask, Completeness, Door, Finished, Input, Intake, Output, SessionState, Subscribed, Tell},
    look::Seen,
};
use riser_wire::entry::{Body, Kind, Publication, frames};
use std::{collections::VecDeque, sync::Arc};
use uuid::Uuid;

const LOG: LogId = LogId(1);
const EPOCH: Epoch = Epoch(2);

/// The moment at which everything happens.
pub fn now() -> Now {
    Now { time: Time(1_000_000_000), wall: Wall(1_700_000_000_000) }
}

/// One connection's way through its door.
pub struct Site<D> {
    door: D,
    session: SessionState,
    entered: bool,
    closed: bool,
    next_ticket: u64,
    seq: u64,
    /// Everything that was said to the peer.
    pub said: Vec<Said>,
}

/// What a door says to its peer.
pub enum Said {
    /// Bytes.
    Bytes(Bytes),
    /// A text message.
    Text(String),
}

impl<D: Door> Site<D> {
    /// A door that stands open, with the session that its client is to find.
    pub fn new(door: D, session: SessionState) -> Self {
        Self { door, session, entered: false, closed: false, next_ticket: 0, seq: 1, said: Vec::new() }
    }

    /// One input, and whatever follows from it.
    pub fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.door.handle(input, now());
            while let Some(output) = self.door.poll() {
                match &output {
                    Output::Ask(ask) => outcome::note(std::mem::discriminant(ask)),
                    Output::Close(why) => outcome::note(why.code),
                    Output::Bytes(_) | Output::Text(_) | Output::Done => {}
                }
                match output {
                    Output::Ask(ask) => inputs.extend(self.answer(ask).map(Input::Tell)),
                    Output::Bytes(bytes) => self.say(Said::Bytes(bytes)),
                    Output::Text(text) => self.say(Said::Text(text)),
                    Output::Close(_) | Output::Done => self.closed = true,
                }
            }
        }
    }

    fn say(&mut self, said: Said) {
        assert!(!self.closed, "something was said after the close");
        self.said.push(said);
    }

    fn answer(&mut self, ask: Ask) -> Option<Tell> {
        assert!(
            self.entered || matches!(ask, Ask::Enter { .. } | Ask::Leave { .. }),
            "{ask:?} before entering"
        );
        match ask {
            Ask::Enter { .. } => {
                assert!(!std::mem::replace(&mut self.entered, true), "entered twice");
                let principal = Principal {
                    account: AccountId(Uuid::from_u128(1)),
                    account_name: "acme".parse().expect("letters are a name"),
                    client: ClientId(Uuid::from_u128(2)),
                    name: "pump".parse().expect("letters are a name"),
                    grants: Arc::default(),
                };
                let session = self.session.clone();
                Some(Tell::Entered {
                    principal: Arc::new(principal),
                    connection: ConnectionId(1),
                    session,
                    room: None,
                })
            }
            Ask::Publish(intake) => Some(self.stored(&intake)),
            Ask::Release { ticket, .. } | Ask::HandOver { ticket, .. } => Some(self.ticket(ticket, 0)),
            Ask::Subscribe { subscription, .. } => {
                let at = Position { log: LOG, epoch: EPOCH, seq: Seq(self.seq) };
                let result =
                    Ok(Subscribed { completeness: Completeness::Full, gaps: Vec::new(), at, floor: None });
                Some(Tell::Subscribed { subscription, result })
            }
            Ask::Unsubscribe { subscription } => Some(Tell::Unsubscribed { subscription }),
            Ask::Pull { .. } => Some(Tell::Deliver { pushes: Vec::new(), more: false }),
            Ask::Move { room } => Some(Tell::Moved { room, result: Ok(()) }),
            Ask::Rooms => Some(Tell::Rooms(Vec::new())),
            Ask::Decide { connection, .. } => Some(Tell::Decided { connection, result: Ok(()) }),
            Ask::Run(_) => Some(Tell::Finished(Ok(Finished::Keys(Vec::new())))),
            Ask::Ticket { .. } => Some(Tell::Ticketed(Ok(30))),
            Ask::Look { id, .. } => Some(Tell::Seen { id, result: Ok(Seen::Dropped) }),
            Ask::Answer(_)
            | Ask::KeepSession
            | Ask::Delivered { .. }
            | Ask::Dropped { .. }
            | Ask::Pause { .. }
            | Ask::Confirm { .. }
            | Ask::Settle { .. }
            | Ask::Part
            | Ask::Leave { .. } => None,
        }
    }

    /// What is to be stored is whole entries, each a publication with a checksum that holds.
    fn stored(&mut self, intake: &Intake) -> Tell {
        let mut count = 0;
        for frame in frames(&intake.entries) {
            let frame = frame.expect("a door stores whole frames");
            assert!(frame.intact(), "a door stores what it checksummed");
            let body = Body::read(frame.body).expect("a door stores whole bodies");
            assert_eq!(body.kind, Kind::Publication);
            let _ = Publication::read(&body).expect("a door stores whole publications");
            count += 1;
        }
        assert_eq!(count, intake.count, "as many as it says");
        self.ticket(intake.ticket, count)
    }

    fn ticket(&mut self, ticket: u64, count: u32) -> Tell {
        assert!(ticket >= self.next_ticket, "tickets rise");
        self.next_ticket = ticket + 1;
        let first = Seq(self.seq);
        self.seq += u64::from(count);
        Tell::Stored { ticket, log: LOG, epoch: EPOCH, first, refused: Vec::new() }
    }
}
