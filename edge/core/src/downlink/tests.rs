//! A downlink, driven by hand: a hub that says one thing at a time.

use super::*;
use riser_link::Key;
use riser_model::{BootId, CursorValue, EpochSpan, Stamp, Wall};
use riser_wire::entry::{ContentType, Origin, Publication};
use riser_wire::link::{Batch, Hello, ItemsWriter, Nonce, Opening};

const EPOCH: Epoch = Epoch(5);

fn client(number: u8) -> ClientId {
    PublicKey([number; 32]).client()
}

fn edge() -> ClientId {
    client(3)
}

/// This edge's log.
const OWN: LogId = LogId(1);

fn here() -> RoomId {
    RoomId(client(1).0)
}

fn elsewhere() -> RoomId {
    RoomId(client(2).0)
}

fn at(ms: u64) -> Now {
    Now { time: Time(1_000_000_000 + ms * 1_000_000), wall: Wall(1_000_000) }
}

fn hello() -> Hello {
    let span = EpochSpan { epoch: EPOCH, first: Seq(1), last: Seq(3) };
    Hello {
        edge: edge(),
        log: LogId(7),
        chain: vec![Opening { span, anchor: None }],
        live: EPOCH,
        last_added: Seq(3),
        cursor: CursorValue::default(),
        boot: BootId(0),
        clock: Stamp { boot_us: 1, wall: Wall(500), uncertainty_ms: 0 },
        nonce: Nonce([0; 32]),
    }
}

/// Three publications: the second one for a room that is not here.
fn batch() -> Batch {
    let mut frames = Vec::new();
    for number in [0, 1, 0] {
        Publication::new(ContentType::Text, b"on").write_frame(
            &mut frames,
            RouteNumber(number),
            Stamp::default(),
        );
    }
    let mut items = ItemsWriter::default();
    items.entries(3, &frames);
    let route = |room| Route { room, channel: "lamp".parse().unwrap(), client: edge() };
    let routes = vec![(RouteNumber(0), route(here())), (RouteNumber(1), route(elsewhere()))];
    let definitions = Definitions { routes, ..Definitions::default() };
    Batch { epoch: EPOCH, first: Seq(1), last_added: Seq(3), definitions, items: items.finish() }
}

struct Hand {
    downlink: Downlink,
    rooms: BTreeSet<RoomId>,
}

impl Hand {
    fn new() -> Self {
        let hub = Key::from_secret(&[8; 32]).public();
        let receivers = Receivers::of_downlink(Key::from_secret(&[9; 32]), (OWN, 1 << 20), hub, []);
        Self { downlink: Downlink::new(receivers, hub, edge()), rooms: BTreeSet::from([here()]) }
    }

    fn input(&mut self, input: Input, now: Now) -> Vec<Output> {
        let is_here = |log, _, _| log == OWN;
        self.downlink.handle(input, (&self.rooms, &is_here), now);
        std::iter::from_fn(|| self.downlink.poll()).collect()
    }

    /// Up to the commit of the batch: its token.
    fn placing(&mut self) -> (u64, Ingest) {
        self.input(Input::LinkUp, at(0));
        self.input(Input::Frame(DownFrame::Hello(Box::new(hello()))), at(10));
        let outputs = self.input(Input::Frame(DownFrame::Batch(batch())), at(20));
        match outputs.into_iter().next() {
            Some(Output::Place(ingest)) => (ingest.token, *ingest),
            other => panic!("a commit is wanted, not {other:?}"),
        }
    }
}

#[test]
fn what_is_for_no_room_here_is_refused_and_the_hub_is_told_after_the_commit() {
    let mut hand = Hand::new();
    let (token, ingest) = hand.placing();
    let firsts: Vec<(Seq, u32)> = ingest
        .runs
        .iter()
        .filter_map(|run| match run {
            Run::Entries { first, count, .. } => Some((*first, *count)),
            Run::Gap(_) => None,
        })
        .collect();
    assert_eq!(firsts, [(Seq(1), 1), (Seq(3), 1)]);
    assert_eq!(ingest.routes.len(), 1);
    assert!(
        !ingest.counted,
        "a quota has counted it at the hub, and nobody here hears of what is beyond one"
    );
    assert_eq!(ingest.cursors.len(), 1, "the cursor is in the commit");
    let said = hand.input(Input::Placed { token, durable: true }, at(30));
    let refused = vec![Gap { from: Seq(2), to: Seq(2), cause: Cause::Refused }];
    let [Output::Say(DownAnswer::Synced { through: Seq(3), refused: told, .. })] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(*told, refused);
    assert_eq!(hand.downlink.counted(), Counted { entries: 2, refused: 1, ..Counted::default() });
}

#[test]
fn a_log_that_fails_stops_the_way_down_alone_and_it_is_opened_again() {
    let mut hand = Hand::new();
    let (token, _) = hand.placing();
    let said = hand.input(Input::Placed { token, durable: false }, at(30));
    assert!(
        matches!(&said[..], [Output::Say(DownAnswer::Refused(refused))] if refused.code == RefusedCode::LogFailing),
        "{said:?}"
    );
    // What was on its way is not taken.
    assert!(hand.input(Input::Frame(DownFrame::Batch(batch())), at(40)).is_empty());
    let due = hand.downlink.poll_timeout().expect("it tries again");
    assert_eq!(due.since(at(30).time), READY_AGAIN_AFTER);
    let said = hand.input(Input::Deadline, Now { time: due, wall: Wall(0) });
    assert!(matches!(&said[..], [Output::Say(DownAnswer::Ready)]), "{said:?}");
}

#[test]
fn nothing_is_taken_before_it_was_asked_for_or_for_somebody_else() {
    let mut hand = Hand::new();
    assert!(hand.input(Input::Frame(DownFrame::Hello(Box::new(hello()))), at(0)).is_empty());
    assert!(hand.input(Input::Frame(DownFrame::Batch(batch())), at(0)).is_empty());
    hand.input(Input::LinkUp, at(0));
    let other = Hello { edge: client(4), ..hello() };
    let said = hand.input(Input::Frame(DownFrame::Hello(Box::new(other))), at(10));
    assert!(
        matches!(&said[..], [Output::Say(DownAnswer::Refused(refused))] if refused.code == RefusedCode::NotAuthorised),
        "{said:?}"
    );
    assert!(hand.input(Input::Frame(DownFrame::Batch(batch())), at(20)).is_empty());
}

#[test]
fn what_is_its_own_is_dropped_and_counted_and_of_other_logs_a_part_is_no_loss() {
    let mut hand = Hand::new();
    hand.input(Input::LinkUp, at(0));
    hand.input(Input::Frame(DownFrame::Hello(Box::new(hello()))), at(10));
    let mut plain = Vec::new();
    Publication::new(ContentType::Text, b"on").write_frame(&mut plain, RouteNumber(0), Stamp::default());
    let (frame, _) = Frame::read(&plain, 0).unwrap();
    let mut frames = Vec::new();
    // Of its own log; of another, and much later there.
    for (number, seq) in [(1, 5), (2, 9), (2, 900)] {
        let origin = Origin { number, seq: Seq(seq), wall: Wall(1), uncertain: false };
        Frame { origin: Some(origin), ..frame }.write(&mut frames);
    }
    let mut items = ItemsWriter::default();
    items.entries(3, &frames);
    let mut batch = Batch { items: items.finish(), ..batch() };
    batch.definitions.origins = vec![(1, (OWN, Epoch(1))), (2, (LogId(60), Epoch(2)))];
    let outputs = hand.input(Input::Frame(DownFrame::Batch(batch)), at(20));
    let [Output::Place(ingest)] = &outputs[..] else { panic!("{outputs:?}") };
    assert!(matches!(ingest.runs[..], [Run::Entries { first: Seq(2), count: 2, .. }]), "{ingest:?}");
    assert_eq!(ingest.cursors.len(), 1, "{ingest:?}");
    assert_eq!(hand.downlink.counted(), Counted { entries: 2, returned: 1, ..Counted::default() });
}
