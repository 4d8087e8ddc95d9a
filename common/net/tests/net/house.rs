//! A house to test the entrance of: a scripted door, a fake core, and a client with a deadline on everything.

use riser_model::{
    ConnectionId, Epoch, LogId, Now, Seq, Time, Wall,
    door::{Ask, Credential, Door, Input, Intake, Output, Refusal, SessionState, Tell},
    principal::{Grants, Principal},
};
use riser_net::{Arrival, Asked, CoreHandle, CoreInbox, Entrance, Limits, Listener, TellOutbox, core_inbox};
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

/// What no step of a test may take longer than.
pub const SOON: Duration = Duration::from_secs(10);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not happen in time"))
}

/// A door made of a function.
pub struct Scripted<F> {
    react: F,
    script: Script,
}

#[derive(Default)]
pub struct Script {
    pub out: VecDeque<Output>,
    pub deadline: Option<Time>,
    pub tickets: u64,
}

impl Script {
    pub fn enter(&mut self) {
        let credential = Credential::Anonymous;
        self.out.push_back(Output::Ask(Ask::Enter { credential, session: None, room: None }));
    }

    pub fn publish(&mut self, entries: bytes::Bytes) {
        self.tickets += 1;
        let intake =
            Intake { ticket: self.tickets, seen: self.tickets - 1, aliases: vec![], entries, count: 1 };
        self.out.push_back(Output::Ask(Ask::Publish(intake)));
    }

    pub fn say(&mut self, bytes: impl Into<bytes::Bytes>) {
        self.out.push_back(Output::Bytes(bytes.into()));
    }

    pub fn leave(&mut self, cause: &str) {
        self.out.push_back(Output::Ask(Ask::Leave { cause: cause.into(), expiry_s: None }));
    }

    pub fn close(&mut self, refusal: Refusal) {
        self.leave(refusal.code.name());
        self.out.push_back(Output::Close(refusal));
    }
}

pub fn door(react: impl FnMut(Input, Now, &mut Script) + Send + 'static) -> Box<dyn Door> {
    Box::new(Scripted { react, script: Script::default() })
}

impl<F: FnMut(Input, Now, &mut Script) + Send> Door for Scripted<F> {
    fn handle(&mut self, input: Input, now: Now) {
        (self.react)(input, now, &mut self.script);
    }

    fn poll(&mut self) -> Option<Output> {
        self.script.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.script.deadline
    }
}

/// Enters with its first byte, publishes what it hears, says `ok` and the ticket for what was stored, and words
/// refusals with their code.
pub fn storing_door() -> Box<dyn Door> {
    let mut entered = false;
    door(move |input, _, script| match input {
        Input::Bytes(bytes) => {
            if !std::mem::replace(&mut entered, true) {
                script.enter();
            }
            script.publish(bytes);
        }
        Input::Text(text) => {
            if !std::mem::replace(&mut entered, true) {
                script.enter();
            }
            script.publish(text.into());
        }
        Input::Tell(Tell::Stored { ticket, .. }) => script.say(format!("ok {ticket}\n")),
        Input::Tell(Tell::Refused(refusal)) => {
            script.say(format!("{}\n", refusal.code.name()));
            script.close(refusal);
        }
        Input::Gone(cause) => script.leave(cause),
        Input::Tell(_) | Input::Room(_) | Input::Deadline | Input::Unheard => {}
    })
}

/// What the fake core heard.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Opened(ConnectionId),
    Entered(ConnectionId),
    Published(ConnectionId, bytes::Bytes),
    Left(ConnectionId, String),
    Closed(ConnectionId),
}

/// A core that lets everyone in and stores everything, as long as it is open.
pub struct House {
    pub entrance: Arc<Entrance>,
    pub core: CoreHandle,
    pub heard: mpsc::UnboundedReceiver<Heard>,
    pub open: watch::Sender<bool>,
    pub doors: watch::Receiver<BTreeMap<ConnectionId, TellOutbox>>,
}

pub fn clock() -> riser_net::Clock {
    let start = Instant::now();
    Arc::new(move || Now { time: Time(start.elapsed().as_nanos() as u64), wall: Wall(0) })
}

impl House {
    pub fn new(limits: Limits) -> Self {
        Self::with_inbox(limits, 1 << 20)
    }

    pub fn with_inbox(limits: Limits, bytes_max: u32) -> Self {
        let (core, inbox) = core_inbox(bytes_max);
        let entrance = Entrance::new(limits, core.clone(), clock(), Arc::new(AtomicU64::new(1)));
        let (open, opened) = watch::channel(true);
        let (told, doors) = watch::channel(BTreeMap::new());
        let (says, heard) = mpsc::unbounded_channel();
        tokio::spawn(run(inbox, opened, told, says));
        Self { entrance, core, heard, open, doors }
    }

    /// Serves byte doors on a port of its own.
    pub fn serve(&self, doors: impl Fn() -> Box<dyn Door> + Send + Sync + 'static) -> SocketAddr {
        let listener = Listener::bind("test", "127.0.0.1:0".parse().unwrap(), None).unwrap();
        let address = listener.address().unwrap();
        let doors = Arc::new(move |_, _: &_| doors());
        tokio::spawn(riser_net::serve_mqtt(listener, Arc::clone(&self.entrance), doors));
        address
    }

    pub async fn hear(&mut self) -> Heard {
        soon("hearing from the core", self.heard.recv()).await.expect("the core runs")
    }

    /// Everything up to the connection's end.
    pub async fn hear_out(&mut self) -> (Vec<u8>, String) {
        let (mut bytes, mut cause) = (Vec::new(), String::new());
        loop {
            match self.hear().await {
                Heard::Opened(_) | Heard::Entered(_) => {}
                Heard::Published(_, entries) => bytes.extend_from_slice(&entries),
                Heard::Left(_, why) => cause = why,
                Heard::Closed(_) => return (bytes, cause),
            }
        }
    }
}

async fn run(
    mut inbox: CoreInbox,
    mut open: watch::Receiver<bool>,
    told: watch::Sender<BTreeMap<ConnectionId, TellOutbox>>,
    says: mpsc::UnboundedSender<Heard>,
) {
    let mut arrivals = Vec::new();
    let mut seq = 0;
    loop {
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            _ = open.changed() => continue,
            count = inbox.recv_many(&mut arrivals, 1) => if count == 0 { return },
        }
        for arrival in arrivals.drain(..) {
            let heard = match arrival {
                Arrival::Opened { connection, tells, .. } => {
                    told.send_modify(|doors| drop(doors.insert(connection, tells)));
                    Heard::Opened(connection)
                }
                Arrival::Closed { connection } => {
                    told.send_modify(|doors| drop(doors.remove(&connection)));
                    Heard::Closed(connection)
                }
                Arrival::Asked(Asked { connection, ask }) => {
                    let tell = |tell| told.borrow().get(&connection).expect("it was opened").tell(tell);
                    match ask {
                        Ask::Enter { .. } => {
                            tell(entered(connection));
                            Heard::Entered(connection)
                        }
                        Ask::Publish(Intake { ticket, entries, .. }) => {
                            seq += 1;
                            tell(stored(ticket, seq));
                            Heard::Published(connection, entries)
                        }
                        Ask::Leave { cause, .. } => Heard::Left(connection, cause),
                        Ask::Pull { .. } => {
                            tell(Tell::Deliver { pushes: vec![], more: false });
                            continue;
                        }
                        Ask::Visit { .. }
                        | Ask::Answer(_)
                        | Ask::Renew(_)
                        | Ask::Move { .. }
                        | Ask::Rooms
                        | Ask::KeepSession
                        | Ask::Delivered { .. }
                        | Ask::Dropped { .. }
                        | Ask::Decide { .. }
                        | Ask::Run(_)
                        | Ask::Release { .. }
                        | Ask::HandOver { .. }
                        | Ask::Settle { .. }
                        | Ask::Subscribe { .. }
                        | Ask::Unsubscribe { .. }
                        | Ask::Pause { .. }
                        | Ask::Ticket { .. }
                        | Ask::Look { .. }
                        | Ask::Part
                        | Ask::Confirm { .. } => continue,
                    }
                }
            };
            let _ = says.send(heard);
        }
    }
}

pub fn entered(connection: ConnectionId) -> Tell {
    let principal = Principal {
        account: riser_model::AccountId(uuid::Uuid::nil()),
        account_name: "acme".parse().unwrap(),
        client: riser_model::ClientId(uuid::Uuid::nil()),
        name: "ann".parse().unwrap(),
        grants: Arc::new(Grants::default()),
        home: None,
    };
    Tell::Entered { principal: Arc::new(principal), connection, session: SessionState::default(), room: None }
}

pub fn stored(ticket: u64, seq: u64) -> Tell {
    Tell::Stored { ticket, log: LogId(1), epoch: Epoch(1), first: Seq(seq), refused: vec![] }
}

/// A plain client.
pub struct Client(pub TcpStream);

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(soon("connecting", TcpStream::connect(address)).await.unwrap())
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        soon("writing", self.0.write_all(bytes)).await.unwrap();
    }

    /// Reads until the text ends so.
    pub async fn read_until(&mut self, end: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            let mut byte = [0];
            let count = soon("reading", self.0.read(&mut byte)).await.unwrap();
            assert_ne!(count, 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
            bytes.push(byte[0]);
        }
        String::from_utf8(bytes).unwrap()
    }

    pub async fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        soon("reading", self.0.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    pub async fn read_line(&mut self) -> String {
        self.read_until("\n").await
    }

    /// Everything up to the end of the stream.
    pub async fn read_out(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        soon("the end of the stream", self.0.read_to_end(&mut bytes)).await.unwrap();
        bytes
    }
}

pub fn limits() -> Limits {
    Limits { linger_ms: 200, ..Limits::default() }
}

/// So many bytes, no two neighbours alike.
pub fn bytes_of(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 % 251) as u8).collect()
}
