//! A bus that says yes to everything, and looks at what a door asks of it. Where it is told to, its gate asks first, and what
//! somebody publishes comes back as it would to a subscription of its own.

use crate::outcome;
use bytes::Bytes;
use riser_model::{
    AccountId, ClientId, ConnectionId, Epoch, LogId, Now, Position, Principal, RoomId, Route, Seq,
    SubscriptionId, Time, Wall,
    door::{
        Ask, Code, Completeness, Content, Credential, Delivery, Door, Finished, Input, Intake, Output,
        Prompt, Push, Refusal, SessionState, Subscribed, Target, Tell,
    },
    look::Seen,
};
use riser_wire::entry::{Body, Kind, Publication, frames};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use uuid::Uuid;

const LOG: LogId = LogId(1);
const EPOCH: Epoch = Epoch(2);
/// Who is there.
pub const CLIENT: ClientId = ClientId(Uuid::from_u128(2));

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
    /// What the gate asks before it lets anybody in, and whether something of it is unanswered.
    questions: VecDeque<Prompt>,
    is_asked: bool,
    /// It is asked because it says anew who it is.
    renewing: bool,
    /// Answers that nobody asked for: a gate refuses them.
    pub unasked: u32,
    /// What comes back, if anything does.
    echo: Option<Echo>,
    /// Everything that was said to the peer.
    pub said: Vec<Said>,
    /// The payloads of everything that it published.
    pub published: Vec<Bytes>,
}

/// What was published and not shown yet, to the one subscription that there is.
#[derive(Default)]
struct Echo {
    targets: BTreeMap<u32, Target>,
    subscription: Option<SubscriptionId>,
    pushes: Vec<Push>,
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
        Self {
            door,
            session,
            entered: false,
            closed: false,
            next_ticket: 0,
            seq: 1,
            questions: VecDeque::new(),
            is_asked: false,
            renewing: false,
            unasked: 0,
            echo: None,
            said: Vec::new(),
            published: Vec::new(),
        }
    }

    /// Its gate asks these, one after the other.
    pub fn with_gate(self, questions: impl IntoIterator<Item = Prompt>) -> Self {
        Self { questions: questions.into_iter().collect(), ..self }
    }

    /// What is published comes back.
    pub fn with_echo(self) -> Self {
        Self { echo: Some(Echo::default()), ..self }
    }

    /// The door.
    pub fn door(&self) -> &D {
        &self.door
    }

    /// Whether the door has closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The gate goes on by itself: an admin let somebody in.
    pub fn go_on(&mut self) {
        let tell = self.ask_or_enter();
        self.input(Input::Tell(tell));
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
                    Output::Bytes(_) | Output::Text(_) | Output::Texts(_) | Output::Done => {}
                }
                match output {
                    Output::Ask(ask) => inputs.extend(self.answer(ask).into_iter().map(Input::Tell)),
                    Output::Bytes(bytes) => self.say(Said::Bytes(bytes)),
                    Output::Text(text) => self.say(Said::Text(text)),
                    Output::Texts(texts) => {
                        texts.iter().for_each(|text| self.say(Said::Text(text.to_owned())));
                    }
                    Output::Close(_) | Output::Done => self.closed = true,
                }
            }
        }
    }

    fn say(&mut self, said: Said) {
        assert!(!self.closed, "something was said after the close");
        self.said.push(said);
    }

    /// The gate's next question; without one it lets in.
    fn ask_or_enter(&mut self) -> Tell {
        if let Some(question) = self.questions.pop_front() {
            self.is_asked = true;
            return Tell::Prompt(question);
        }
        assert!(!std::mem::replace(&mut self.entered, true), "entered twice");
        let (session, connection) = (self.session.clone(), ConnectionId(1));
        Tell::Entered { principal: principal(), connection, session, room: None }
    }

    /// Who claims to be somebody is asked, and everybody else believed.
    fn renew(&mut self, credential: &Credential) -> Tell {
        assert!(!std::mem::replace(&mut self.renewing, true), "renewed twice at once");
        match credential {
            Credential::Claim { method, .. } => {
                self.is_asked = true;
                Tell::Prompt(Prompt::Challenge { method: *method, nonce: "nonce".to_owned() })
            }
            Credential::Anonymous
            | Credential::Person
            | Credential::Password { .. }
            | Credential::Token(_)
            | Credential::Ticket(_)
            | Credential::Cookie(_) => self.renewed(),
        }
    }

    fn renewed(&mut self) -> Tell {
        self.renewing = false;
        Tell::Renewed { principal: principal() }
    }

    fn answer(&mut self, ask: Ask) -> Vec<Tell> {
        assert!(
            self.entered
                || matches!(ask, Ask::Visit { .. } | Ask::Enter { .. } | Ask::Leave { .. } | Ask::Answer(_)),
            "{ask:?} before entering"
        );
        assert!(
            !self.entered || !matches!(ask, Ask::Visit { .. }),
            "whose lobby it is, is said before entering"
        );
        let tell = match ask {
            Ask::Enter { .. } => Some(self.ask_or_enter()),
            Ask::Answer(_) if std::mem::take(&mut self.is_asked) => Some(match self.renewing {
                true => self.renewed(),
                false => self.ask_or_enter(),
            }),
            Ask::Answer(_) => {
                self.unasked += 1;
                Some(Tell::Refused(Refusal {
                    code: Code::WrongState,
                    what: "an answer that nobody asked for".to_owned(),
                    want: "a question first".to_owned(),
                }))
            }
            Ask::Renew(credential) => Some(self.renew(&credential)),
            Ask::Publish(intake) => {
                let mut tells = vec![self.stored(&intake)];
                tells.extend(self.echo.as_ref().filter(|echo| !echo.pushes.is_empty()).map(|_| Tell::Ready));
                return tells;
            }
            Ask::Release { ticket, .. } | Ask::HandOver { ticket, .. } => Some(self.ticket(ticket, 0)),
            Ask::Subscribe { subscription, .. } => {
                if let Some(echo) = &mut self.echo {
                    echo.subscription = Some(subscription);
                }
                let at = Position { log: LOG, epoch: EPOCH, seq: Seq(self.seq) };
                let result = Ok(Subscribed {
                    completeness: Completeness::Full,
                    gaps: Vec::new(),
                    at,
                    floor: None,
                    until: None,
                });
                Some(Tell::Subscribed { subscription, result })
            }
            Ask::Unsubscribe { subscription } => {
                if let Some(echo) = &mut self.echo {
                    (echo.subscription, echo.pushes) = (None, Vec::new());
                }
                Some(Tell::Unsubscribed { subscription })
            }
            Ask::Pull { .. } => {
                let pushes = self.echo.as_mut().map(|echo| std::mem::take(&mut echo.pushes));
                Some(Tell::Deliver { pushes: pushes.unwrap_or_default(), more: false })
            }
            Ask::Move { room } => Some(Tell::Moved { room, result: Ok(()) }),
            Ask::Rooms => Some(Tell::Rooms(Vec::new())),
            Ask::Decide { connection, .. } => Some(Tell::Decided { connection, result: Ok(()) }),
            Ask::Run(_) => Some(Tell::Finished(Ok(Finished::Keys(Vec::new())))),
            Ask::Ticket { .. } => Some(Tell::Ticketed(Ok(30))),
            Ask::Look { id, .. } => Some(Tell::Seen { id, result: Ok(Seen::Dropped) }),
            Ask::KeepSession
            | Ask::Delivered { .. }
            | Ask::Dropped { .. }
            | Ask::Pause { .. }
            | Ask::Confirm { .. }
            | Ask::Settle { .. }
            | Ask::Part
            | Ask::Visit { .. }
            | Ask::Leave { .. } => None,
        };
        tell.into_iter().collect()
    }

    /// What is to be stored is whole entries, each a publication with a checksum that holds.
    fn stored(&mut self, intake: &Intake) -> Tell {
        let mut count = 0;
        for frame in frames(&intake.entries) {
            let frame = frame.expect("a door stores whole frames");
            assert!(frame.intact(), "a door stores what it checksummed");
            let body = Body::read(frame.body).expect("a door stores whole bodies");
            assert_eq!(body.kind, Kind::Publication);
            let publication = Publication::read(&body).expect("a door stores whole publications");
            self.published.push(Bytes::copy_from_slice(publication.payload));
            let at = Position { log: LOG, epoch: EPOCH, seq: Seq(self.seq + u64::from(count)) };
            if let Some(echo) = &mut self.echo {
                echo.publish(intake, frame.route.0, frame.body, at);
            }
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

impl Echo {
    fn publish(&mut self, intake: &Intake, alias: u32, body: &[u8], at: Position) {
        self.targets.extend(intake.aliases.iter().cloned());
        let Some(Target::Channel(room, channel)) = self.targets.get(&alias).cloned() else { return };
        let Some(subscription) = self.subscription else { return };
        let route = Route { room: RoomId(Uuid::from_u128(3)), channel, client: CLIENT };
        let content = Content {
            route: Arc::new(route),
            room,
            body: Bytes::copy_from_slice(body),
            wall: now().wall,
            born_ms: 0,
            uncertain: false,
            rooted: false,
            technical: None,
            wording: None,
        };
        self.pushes.push(Push::Publication(Delivery {
            subscription,
            pos: Some(at),
            prev: Position { seq: at.seq.prev(), ..at },
            content: Arc::new(content),
            skipped: 0,
            retained: None,
            session: None,
            reported: false,
        }));
    }
}

fn principal() -> Arc<Principal> {
    Arc::new(Principal {
        home: None,
        account: AccountId(Uuid::from_u128(1)),
        account_name: "acme".parse().expect("letters are a name"),
        client: CLIENT,
        name: "pump".parse().expect("letters are a name"),
        grants: Arc::default(),
    })
}
