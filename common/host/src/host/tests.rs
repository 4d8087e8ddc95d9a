//! The task that owns a core, with a core that only says what a test wants of it.

use super::*;
use crate::setup;
use riser_gate::{PasswordHash, Proof};
use riser_model::{
    ClientId, Epoch, LogId, Position, RoomId, Route, SubscriptionId, Time, Wall,
    door::{Content, Delivery, Secret},
};
use riser_net::{Entrance, Limits, core_inbox, entrance::Peer};
use riser_shell::proofs::Finding;
use tempfile::TempDir;

/// Wants whoever comes verified, and nothing else.
#[derive(Default)]
struct Asking {
    outputs: VecDeque<Output<()>>,
    stopping: bool,
}

impl Core for Asking {
    type LinkInput = ();
    type LinkOutput = ();

    fn handle(&mut self, input: Input<()>, _: Now) {
        match input {
            Input::Instance(InstanceInput::Opened { connection, .. }) => {
                let hash: PasswordHash = riser_shell::passwords::hash(b"x");
                let proof = Proof::Password { hash, password: Secret(b"x"[..].into()) };
                let verify = InstanceOutput::Verify { connection, ticket: 1, proof };
                self.outputs.push_back(Output::Instance(verify));
            }
            Input::Shutdown => self.stopping = true,
            _ => {}
        }
    }

    fn poll(&mut self, _: Now) -> Option<Output<()>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    fn is_drained(&self) -> bool {
        self.stopping
    }
}

struct Nothing;

impl Links<Asking> for Nothing {
    fn perform(&mut self, (): ()) {}
}

impl Watch for Nothing {
    fn stored(&mut self, _: &Answer) {}
    fn refused(&mut self, _: Code) {}
    fn audited(&mut self, _: Audited) {}
}

/// A verifier that never comes to an end; it says when it began and when it was let go of.
struct Endless(mpsc::UnboundedSender<&'static str>);

struct Begun(mpsc::UnboundedSender<&'static str>);

impl Drop for Begun {
    fn drop(&mut self) {
        let _ = self.0.send("let go of");
    }
}

impl Verify for Endless {
    fn verify(&self, _: Proof, _: Option<IpAddr>) -> Finding<'_> {
        let _ = self.0.send("begun");
        let begun = Begun(self.0.clone());
        Box::pin(async move {
            let _begun = begun;
            std::future::pending().await
        })
    }
}

/// A host that does not run, and where its doors come in.
fn host(
    folder: &TempDir,
    says: mpsc::UnboundedSender<&'static str>,
) -> (Host<Asking, Nothing, Nothing>, HostHandle<Asking>, Arc<Entrance>) {
    let config = riser_log::Config::edge();
    let (writer, _) = setup::open_log(&folder.path().join("log"), config, Clock.now()).unwrap();
    let (_, answers) = mpsc::unbounded_channel();
    let (_, link_inputs) = mpsc::channel(1);
    let (core, inbox) = core_inbox(1 << 20);
    let entrance = Entrance::new(Limits::default(), core, Arc::new(|| Clock.now()), Arc::default());
    let directory = Arc::new(Directory::compile(&[]).unwrap());
    let policy = Arc::new(Policy::new(&directory, None, "mqtt").unwrap());
    let path = folder.path().join("retained.redb");
    let table = riser_shell::tables::Table::open(&path).unwrap();
    let (host, handle) = Host::new(Parts {
        core: Asking::default(),
        inbox,
        policies: watch::Sender::new([("mqtt".into(), policy)].into()),
        storage: Storage::start(writer, Box::new(()), None, |_| {}).unwrap(),
        retained: Saver::start(path, Some(table), |_| {}).unwrap(),
        answers,
        link_inputs,
        links: Nothing,
        verifier: Arc::new(Endless(says)),
        errands: mpsc::channel(1).0,
        watch: Nothing,
        identity: "".into(),
        clock: Clock,
    });
    (host, handle, entrance)
}

fn peer() -> Peer {
    Peer {
        address: ([192, 0, 2, 1], 1).into(),
        listener: "mqtt".into(),
        proxy: false,
        origin: None,
        tls: false,
        certificate: None,
    }
}

#[tokio::test]
async fn who_closes_lets_go_of_the_verifier() {
    let folder = tempfile::tempdir().unwrap();
    let (says, mut said) = mpsc::unbounded_channel();
    let (host, handle, entrance) = host(&folder, says);
    let host = tokio::spawn(host.run());
    let mut seat = entrance.admit(peer()).unwrap().sit();
    seat.ask(Ask::Rooms);
    let next = async |said: &mut mpsc::UnboundedReceiver<_>| {
        tokio::time::timeout(Duration::from_secs(30), said.recv()).await.expect("it is said").unwrap()
    };
    assert_eq!(next(&mut said).await, "begun");
    drop(seat);
    assert_eq!(next(&mut said).await, "let go of");
    handle.shut_down();
    host.await.unwrap();
}

/// Publications of so many bytes each.
fn deliver(sizes: &[usize]) -> Tell {
    let room = RoomId(uuid::Uuid::from_u128(9));
    let client = ClientId(uuid::Uuid::from_u128(8));
    let at = |seq| Position { log: LogId(1), epoch: Epoch(1), seq: Seq(seq) };
    let push = |size: &usize| {
        let content = Content {
            route: Arc::new(Route { room, channel: "a".parse().unwrap(), client }),
            room: "plant".parse().unwrap(),
            body: vec![0; *size].into(),
            wall: Wall(0),
            born_ms: 0,
            uncertain: false,
            rooted: false,
            technical: None,
            wording: None,
        };
        Push::Publication(Delivery {
            subscription: SubscriptionId(1),
            pos: Some(at(2)),
            prev: at(1),
            content: Arc::new(content),
            skipped: 0,
            session: None,
            retained: None,
            reported: false,
        })
    };
    Tell::Deliver { pushes: sizes.iter().map(push).collect(), more: false }
}

#[tokio::test]
async fn who_reads_the_past_is_behind_while_the_disk_is_asked_for_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let (mut host, _handle, entrance) = host(&folder, mpsc::unbounded_channel().0);
    // What was large is worded by nobody here and keeps its permit.
    host.givings = Givings::new(3);
    let mut seat = entrance.admit(peer()).unwrap().sit();
    seat.ask(Ask::Rooms);
    let mut arrivals = Vec::new();
    host.parts.inbox.try_recv_many(&mut arrivals, ARRIVALS_MAX);
    arrivals.into_iter().for_each(|arrival| host.arrived(arrival, Clock.now()));
    let connection = *host.doors.keys().next().expect("it came");
    let mut is_behind = |given: &[usize]| {
        host.perform(InstanceOutput::Tell { connection, tell: deliver(given) });
        let ask = Ask::Pull { bytes: 1000, stands: false };
        host.arrived(Arrival::Asked(Asked { connection, ask }), Clock.now());
        let is_live = host.givings.next_live().is_some();
        let is_past = host.givings.next_past(Time(0)).is_some();
        host.givings.end(Time(0));
        assert_ne!(is_live, is_past, "it has one turn");
        is_past
    };
    assert!(!is_behind(&[10]));
    assert!(is_behind(&[LARGE_BYTES, 1]), "what follows a large part is of the past");
    assert!(is_behind(&[]), "nothing yet: the disk is asked");
    assert!(is_behind(&[]));
    assert!(!is_behind(&[10]), "it has come to the present");
    assert!(!is_behind(&[]));
}
