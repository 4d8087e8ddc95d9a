//! Several uplinks of one log.

use riser_edge_core::{Downlink, EdgeCore, LinkInput, LinkOutput, Uplink, UplinkNumber};
use riser_gate::Directory;
use riser_ingest::{Below, downlinks};
use riser_instance::{
    Core, Instance, LogFold, Output as InstanceOutput,
    core::{Input, Output},
};
use riser_link::{
    Key, Receivers, Sender,
    receivers::{Config as ReceiversConfig, LIMITS, Others},
    sender::{Config, Opened, Way},
};
use riser_model::{
    BootId, Cause, ClientId, ConnectionId, CursorKey, CursorValue, Epoch, EpochSpan, HubIdentity, LogId, Now,
    RoomId, RouteNumber, Seq, Stamp, Time, Wall,
};
use riser_rooms::{Bus, Config as RoomsConfig, RetainedTable, Start};
use riser_wire::{
    entry::{Body, Frame, Kind, Origin, frames, write_frame},
    link::{Bytes, HubFrame, Nonce, Opening, Refused, RefusedCode},
    membership::Membership,
};
use std::{collections::BTreeSet, sync::Arc};

const LOG: LogId = LogId(7);
/// The live epoch: 41 to 100.
const LIVE: EpochSpan = EpochSpan { epoch: Epoch(2), first: Seq(41), last: Seq(100) };

fn now() -> Now {
    Now { time: Time(1_000_000), wall: Wall(1_700_000_000_000) }
}

fn hub(number: u8) -> HubIdentity {
    HubIdentity { key: Key::from_secret(&[number; 32]).public(), log: LogId(u64::from(number)) }
}

fn chain() -> Vec<EpochSpan> {
    vec![EpochSpan { epoch: Epoch(1), first: Seq(1), last: Seq(40) }, LIVE]
}

/// An edge with one uplink per cursor: the seq up to which its hub confirmed.
fn edge(through: &[u64]) -> EdgeCore {
    saying(0, through)
}

/// The same, which says so many of its events one by one.
fn saying(events_burst: u32, through: &[u64]) -> EdgeCore {
    over(LogFold::default(), events_burst, (through, []))
}

/// The same over what its log folded to, with cursors of logs below.
fn over(
    fold: LogFold,
    events_burst: u32,
    (through, below): (&[u64], impl IntoIterator<Item = (CursorKey, CursorValue)>),
) -> EdgeCore {
    let start = Start {
        log: LOG,
        epoch: LIVE.epoch,
        chain: chain(),
        next: LIVE.last.next(),
        oldest: Seq(1),
        oldest_at: Wall(0),
        pasts: Vec::new(),
        archived: Default::default(),
        gaps: Vec::new(),
        trim_cause: Cause::Retention,
        routes: Vec::new(),
        origins: Vec::new(),
        rooms: Vec::new(),
        bindings: Vec::new(),
        retained: RetainedTable::default(),
        producers: Default::default(),
    };
    let bus = Bus::new(RoomsConfig { events_burst, ..RoomsConfig::default() }, start);
    let mut instance = Instance::new(bus, fold, now());
    let cursors: Vec<_> = (1..)
        .zip(through)
        .map(|(number, through)| {
            (
                CursorKey::Uplink(hub(number)),
                CursorValue { through: Seq(*through), crc: 5, ..CursorValue::default() },
            )
        })
        .collect();
    let uplinks = cursors.iter().map(|(key, _)| {
        let opened = Opened {
            log: LOG,
            boot: BootId(3),
            chain: chain().into_iter().map(|span| Opening { span, anchor: None }).collect(),
            cursors: cursors.clone(),
            gaps: Vec::new(),
        };
        let edge = ClientId("00000000-0000-0000-0000-000000000009".parse().expect("it is one"));
        let CursorKey::Uplink(HubIdentity { key: hub, .. }) = *key else { panic!("made above") };
        let key = Key::from_secret(&[9; 32]);
        let downlink = Downlink::new(Receivers::of_downlink(key.clone(), (LOG, 1 << 20), hub, []), hub, edge);
        let config = Config { edge, way: Way::Up { key, hub }, seed: 1, waits: true };
        let name = "up".parse().expect("it is a name");
        Uplink::new(name, Sender::new(config, opened, now()), downlink, BTreeSet::new())
    });
    let config = ReceiversConfig {
        key: Key::from_secret(&[9; 32]),
        log: LOG,
        chain: Vec::new(),
        limits: LIMITS,
        others: Others::All,
        cursors_max: usize::MAX,
    };
    let nobody = Arc::new(Directory::compile(&[]).expect("an empty directory is one"));
    let opened = downlinks::opened(LOG, &[], &[], Vec::new());
    let below = Below::new(Receivers::new(config, below), nobody, &opened, &mut instance, now());
    EdgeCore::new(instance, uplinks, below)
}

fn outputs(edge: &mut EdgeCore) -> Vec<Output<LinkOutput>> {
    std::iter::from_fn(|| edge.poll(now())).collect()
}

#[test]
fn nobody_is_left_behind_a_log_that_came_through_an_edge_which_is_none_any_more() {
    let (log, via) =
        (LogId(77), ClientId("00000000-0000-0000-0000-000000000007".parse().expect("it is one")));
    let membership = Membership {
        log,
        epoch: Epoch(5),
        room: RoomId("00000000-0000-0000-0000-000000000008".parse().expect("it is one")),
        connection: ConnectionId(3),
        client: via,
        name: "ann".parse().expect("it is a name"),
        cause: String::new(),
    };
    let mut bytes = Vec::new();
    write_frame(&mut bytes, RouteNumber(0), Kind::Opened, 0, Stamp::default(), |out| membership.write(out));
    let (frame, _) = Frame::read(&bytes, 0).expect("it was just written");
    let origin = Some(Origin { number: 1, seq: Seq(1), wall: Wall(0), uncertain: false });
    let mut fold = LogFold::default();
    fold.presences.apply(&Frame { origin, ..frame });
    let cursor =
        (CursorKey::Relayed(via, log, Epoch(5)), CursorValue { through: Seq(1), ..CursorValue::default() });
    let mut edge = over(fold, 0, (&[], [cursor]));
    let departs = |edge: &mut EdgeCore, s: u64| {
        let later = Now { time: now().time.plus(std::time::Duration::from_secs(s)), ..now() };
        edge.handle(Input::Deadline, later);
        let outputs: Vec<_> = std::iter::from_fn(|| edge.poll(later)).collect();
        let entries = outputs.into_iter().filter_map(|output| match output {
            Output::Instance(InstanceOutput::Persist { batch, .. }) => Some(batch.entries),
            _ => None,
        });
        let departed = |entries: Bytes| {
            let kind = |frame: Frame<'_>| Body::read(frame.body).map(|body| body.kind);
            frames(&entries).map_while(Result::ok).any(|frame| kind(frame) == Ok(Kind::Departed))
        };
        entries.map(departed).filter(|departed| *departed).count()
    };
    assert_eq!(departs(&mut edge, 200), 0, "it may come another way");
    assert_eq!(departs(&mut edge, 301), 1);
    assert_eq!(departs(&mut edge, 900), 0, "once");
}

/// What it has for its log at that moment, as text.
fn written_down(edge: &mut EdgeCore, now: Now) -> String {
    let entries = std::iter::from_fn(|| edge.poll(now)).filter_map(|output| match output {
        Output::Instance(InstanceOutput::Persist { batch, .. }) => Some(batch.entries),
        _ => None,
    });
    entries.map(|entries| String::from_utf8_lossy(&entries).into_owned()).collect()
}

#[test]
fn a_step_of_the_wall_clock_is_an_entry_of_the_log() {
    let mut edge = saying(16, &[]);
    edge.handle(Input::Link(LinkInput::ClockStepped(-5000)), now());
    let later = Now { time: now().time.plus(std::time::Duration::from_secs(1)), ..now() };
    edge.handle(Input::Deadline, later);
    let said = written_down(&mut edge, later);
    assert!(said.contains("riser.clock_stepped") && said.contains("\"by_ms\":-5000"), "{said}");
}

#[test]
fn a_shutdown_says_how_far_each_uplink_drained() {
    let mut edge = saying(16, &[30]);
    outputs(&mut edge);
    let queued = edge.uplinks().next().expect("it has one").1.sender.status(now()).lag();
    assert!(queued > 0);
    edge.handle(Input::Shutdown, now());
    let later = Now { time: now().time.plus(std::time::Duration::from_secs(10)), ..now() };
    edge.handle(Input::Deadline, later);
    let said = written_down(&mut edge, later);
    assert!(said.contains("riser.uplink_down") && said.contains("\"cause\":\"stopped\""), "{said}");
    assert!(said.contains(&format!("\"queued\":{queued}")), "{said}");
}

/// One hub finds the fork while another is away: both cursors say on disk what is not theirs, before anybody is asked
/// to open the log anew.
#[test]
fn a_fork_that_one_hub_found_is_committed_with_every_uplinks_cursor() {
    let mut edge = edge(&[90, 30]);
    edge.handle(Input::Deadline, now());
    let dials = outputs(&mut edge);
    let dialled = |output: &Output<LinkOutput>| match output {
        Output::Link(LinkOutput::Connect { uplink, attempt }) if *uplink == UplinkNumber(0) => Some(*attempt),
        _ => None,
    };
    let attempt = dials.iter().find_map(dialled).expect("an uplink is dialled at once");
    let uplink = UplinkNumber(0);
    let nonce = Nonce([1; 32]);
    edge.handle(Input::Link(LinkInput::Connected { uplink, attempt, binding: Bytes::new(), nonce }), now());
    let frame = HubFrame::Nonce { hub: hub(1), nonce };
    edge.handle(Input::Link(LinkInput::Frame { uplink, attempt, frame }), now());
    outputs(&mut edge);
    let refused = Refused {
        code: RefusedCode::Forked,
        what: "other entries".into(),
        want: "a new epoch".into(),
        after_ms: None,
    };
    let frame = HubFrame::Refused(refused);
    edge.handle(Input::Link(LinkInput::Frame { uplink, attempt, frame }), now());
    let said = outputs(&mut edge);
    let committed: Vec<_> = said
        .iter()
        .filter_map(|output| match output {
            Output::Instance(InstanceOutput::Persist { batch, .. }) => Some(batch.cursors.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    let fork = |through, from| {
        let (through, from) = (Seq(through), Seq(from));
        Some(CursorValue { through, crc: 5, first: from, heard: from, gapped: 0 })
    };
    let want = [
        (CursorKey::Uplink(hub(1)), fork(90, 91)),
        // Of an earlier epoch it may still get everything: only the live one's name is taken.
        (CursorKey::Uplink(hub(2)), fork(30, 41)),
    ];
    let mut got = committed;
    got.sort_by_key(|(key, _)| key != &want[0].0);
    assert_eq!(got, want, "{said:?}");
    let reopen = said.iter().any(|output| matches!(output, Output::Link(LinkOutput::Reopen { .. })));
    assert!(reopen, "{said:?}");
}
