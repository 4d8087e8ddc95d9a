//! How a run is: all of it drawn from its seed, before it begins.

use crate::{
    dice::Dice,
    fault::{self, Planned},
    guest::{Comes, Identity as Guest},
    house::House,
    site::{self, Memory},
    subscriber::{Identity as Reader, Reads},
    talker::Identity as Talker,
    wires::Quality,
    writer::Identity as Writer,
};
use fastrand::Rng;
use riser_log::{Config as LogConfig, Holds, OnFull};
use riser_model::{Quota, Retention, Time, duration::Duration as Span, size::ByteSize};
use std::{ops::Range, time::Duration};

mod post;
mod second;

pub use second::Later;

/// So much an archive takes that is not to be full: more than a run has.
pub const ROOMY_BYTES: u64 = 256 << 20;

/// What a run is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Theme {
    /// Custody and delivery over many kinds of connections and faults.
    #[default]
    Site,
    /// Gates, and accounts that change.
    House,
    /// What rooms keep for those who come.
    Rooms,
    /// Rooms that keep or take only so much, are archived, or are heard together.
    Limits,
    /// Publications that are addressed to one client.
    Post,
    /// A house with an annex: gates at an edge, which hears from its hub who was revoked.
    Annex,
}

impl Theme {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Site, Self::House, Self::Rooms, Self::Limits, Self::Post, Self::Annex];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::House => "house",
            Self::Rooms => "rooms",
            Self::Limits => "limits",
            Self::Post => "post",
            Self::Annex => "annex",
        }
    }
}

/// What a device does over a run.
#[derive(Clone, Debug)]
pub struct DeviceKnobs {
    /// Which host it publishes to.
    pub edge: usize,
    /// 3.1.1 or 5.
    pub v5: bool,
    /// Fresh sessions.
    pub clean: bool,
    /// How many under way.
    pub window: usize,
    /// How many publications.
    pub publications: u32,
    /// How much beside the name.
    pub padding: usize,
    /// How many at once.
    pub burst: u32,
    /// One each time that so much has passed, while fewer than its window are under way and until all is mended. None: so
    /// many, over the run.
    pub every: Option<Duration>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// How long faults happen.
    pub lasts: Duration,
    /// What of that is a second act.
    pub second: Option<Later>,
    /// How many edges.
    pub edges: usize,
    /// The host that each edge's link leads to: 0 is the hub, others are edges.
    pub parents: Vec<usize>,
    /// The devices.
    pub devices: Vec<DeviceKnobs>,
    /// The dashboards.
    pub readers: Vec<Reader>,
    /// Who comes and goes.
    pub guests: Vec<Guest>,
    /// Who publishes over WebSockets.
    pub writers: Vec<Writer>,
    /// Who is in the room with session history.
    pub talkers: Vec<Talker>,
    /// The yard has a schema at the hub, and somebody at an edge hears what goes down there.
    pub yard: bool,
    /// The yard takes so many channels at the hub.
    pub channels: Option<u32>,
    /// Some of what goes down is of use for so long only.
    pub expires: bool,
    /// There is a room that is archived, at a hub whose log keeps little.
    pub chronicle: bool,
    /// An archive takes so much.
    pub archive_bytes: u64,
    /// There are lamps, to which one may write.
    pub post: bool,
    /// What the market takes, if there is one, and whether edges take no more either.
    pub market: Option<(Quota, bool)>,
    /// What the attic keeps, if there is one.
    pub attic: Option<Retention>,
    /// The gates and people of a house, if it is one.
    pub house: Option<House>,
    /// The edges' logs.
    pub edge_log: LogConfig,
    /// The hub's log.
    pub hub_log: LogConfig,
    /// Memory of rooms.
    pub memory: Memory,
    /// A sync takes so long.
    pub sync: Duration,
    /// Between edges and the hub.
    pub uplink: Quality,
    /// On site.
    pub site: Quality,
    /// What goes wrong, and when.
    pub faults: Vec<Planned>,
}

impl Knobs {
    /// Those of a seed.
    pub fn draw(seed: u64) -> Self {
        let dice = Dice(seed);
        let mut rng = dice.stream("knobs", 0);
        let lasts = Duration::from_secs(rng.u64(30..=40) * 60);
        let edges = rng.usize(1..=3);
        let mut devices = Vec::new();
        let target = rng.u32(1_100..=2_000);
        let count = edges * rng.usize(1..=3);
        for number in 0..count {
            devices.push(device(&mut rng, number % edges + 1, target / count as u32 + 1));
        }
        let parents = parents(&mut dice.stream("tiers", 0), edges);
        // Who takes links takes at most a sixteenth of a segment at once.
        let pages = if parents.iter().any(|parent| *parent > 0) { 16..=24 } else { 4..=8 };
        let segment = 4096 * rng.u64(pages);
        let quota = segment * rng.u64(5..=16);
        let drop_oldest = rng.u8(0..4) == 0;
        // A ring is so small that an outage of minutes overruns it.
        let quota = if drop_oldest { segment * dice.stream("ring", 0).u64(4..=6) } else { quota };
        let edge_log = LogConfig {
            segment_bytes: segment,
            quota_bytes: quota,
            on_full: if drop_oldest { OnFull::DropOldest } else { OnFull::Reject },
            holds: Holds { custodians: 1, downlinks_as_views: true, ..Holds::default() },
            ..LogConfig::tiny()
        };
        let hub_segment = 4096 * rng.u64(4..=32);
        let hub_log =
            LogConfig { segment_bytes: hub_segment, quota_bytes: hub_segment * 4096, ..LogConfig::hub() };
        let tail_bytes = rng.usize(2_000..200_000);
        let mut knobs = Self {
            lasts,
            second: None,
            edges,
            parents,
            devices,
            readers: readers(),
            writers: writers(dice.stream("writers", 0).usize(1..=edges)),
            talkers: Vec::new(),
            guests: guests(&mut dice.stream("guests", 0), edges, Time(0).plus(lasts)),
            yard: false,
            channels: None,
            attic: None,
            chronicle: false,
            archive_bytes: ROOMY_BYTES,
            expires: false,
            post: false,
            market: None,
            house: None,
            edge_log,
            hub_log,
            memory: Memory { tail_bytes, read_bytes: rng.u32(1_000..40_000), session_max: 16_384 },
            sync: Duration::from_micros(rng.u64(200..20_000)),
            uplink: quality(&mut rng, 5..400, 20_000..2_000_000),
            site: quality(&mut rng, 1..20, 100_000..10_000_000),
            faults: Vec::new(),
        };
        knobs.faults = fault::plan(seed, &knobs, &mut dice.stream("faults", 0));
        knobs.faults.extend(fault::guests(seed, &knobs, &mut dice.stream("guest faults", 0)));
        knobs.faults.extend(fault::writers(seed, &knobs, &mut dice.stream("writer faults", 0)));
        let mut rng = dice.stream("yard", 0);
        knobs.yard = rng.u8(0..3) == 0;
        if knobs.yard {
            knobs.guests.push(listener(&mut rng, &knobs));
            knobs.channels = rng.bool().then(|| rng.u32(3..12));
            let of_yard = knobs.writers.iter_mut().filter(|writer| writer.room == site::YARD);
            of_yard.for_each(|writer| writer.bounded = knobs.channels.is_some());
        }
        knobs
    }

    /// Those of a house: less traffic, and no disk that was meddled with.
    pub fn draw_house(seed: u64) -> Self {
        let mut knobs = Self::draw_first_house(seed);
        knobs.go_on(seed, Dice(seed), 420);
        knobs
    }

    fn draw_first_house(seed: u64) -> Self {
        let dice = Dice(seed);
        let mut rng = dice.stream("house knobs", 0);
        let mut knobs = Self::draw(seed);
        knobs.lasts = Duration::from_secs(rng.u64(12..=20) * 60);
        knobs.edges = 1;
        knobs.parents = vec![0];
        knobs.edge_log = LogConfig { on_full: OnFull::Reject, ..knobs.edge_log };
        knobs.devices = (0..2).map(|_| device(&mut rng, 1, 120)).collect();
        knobs.readers = vec![reader(site::OPERATOR, site::PLANT, "nothing", Reads::Technical, false)];
        (knobs.writers, knobs.guests, knobs.yard) = (Vec::new(), Vec::new(), false);
        knobs.channels = None;
        knobs.house = Some(House::draw(dice, knobs.lasts));
        knobs.faults = fault::plan(seed, &knobs, &mut dice.stream("house faults", 0));
        knobs.faults.retain(|(_, fault)| {
            !matches!(fault, fault::Fault::Flip(_) | fault::Fault::Backup(_) | fault::Fault::Restore(_))
        });
        knobs.faults.extend(fault::callers(seed, &knobs, &mut dice.stream("caller faults", 0)));
        knobs
    }

    /// Those of a house with an annex at a second edge, longer and with more traffic.
    pub fn draw_annex(seed: u64) -> Self {
        let dice = Dice(seed);
        let mut rng = dice.stream("annex knobs", 0);
        let mut knobs = Self::draw_first_house(seed);
        knobs.lasts = Duration::from_secs(rng.u64(30..=36) * 60);
        (knobs.edges, knobs.parents) = (2, vec![0, 0]);
        knobs.devices = (0..2).map(|_| device(&mut rng, 1, 550)).collect();
        knobs.house = Some(House::draw(dice, knobs.lasts).with_annex(dice, 2));
        knobs.faults = fault::plan(seed, &knobs, &mut dice.stream("annex faults", 0));
        knobs.faults.retain(|(_, fault)| {
            !matches!(fault, fault::Fault::Flip(_) | fault::Fault::Backup(_) | fault::Fault::Restore(_))
        });
        knobs.faults.extend(fault::callers(seed, &knobs, &mut dice.stream("caller faults", 0)));
        knobs
    }

    /// Those of rooms that keep something: with little traffic beside, and no disk that was meddled with.
    pub fn draw_rooms(seed: u64) -> Self {
        let dice = Dice(seed);
        let mut rng = dice.stream("rooms knobs", 0);
        let mut knobs = Self::draw(seed);
        knobs.lasts = Duration::from_secs(rng.u64(8..=15) * 60);
        knobs.edge_log = LogConfig { on_full: OnFull::Reject, ..knobs.edge_log };
        knobs.devices = (1..=knobs.edges).map(|edge| device(&mut rng, edge, 60)).collect();
        knobs.readers = vec![reader(site::OPERATOR, site::PLANT, "nothing", Reads::Technical, false)];
        (knobs.writers, knobs.guests, knobs.yard) = (Vec::new(), Vec::new(), false);
        knobs.channels = None;
        knobs.memory.session_max = if rng.bool() { rng.usize(4..40) } else { 16_384 };
        knobs.talkers = talkers(&mut rng, knobs.edges);
        knobs.faults = fault::plan(seed, &knobs, &mut dice.stream("rooms faults", 0));
        knobs.faults.retain(|(_, fault)| {
            !matches!(fault, fault::Fault::Flip(_) | fault::Fault::Backup(_) | fault::Fault::Restore(_))
        });
        knobs.faults.extend(fault::talkers(seed, &knobs, &mut dice.stream("talker faults", 0)));
        knobs.go_on(seed, dice, 120);
        knobs
    }

    /// Those of rooms with limits: with little traffic beside, and no disk that was meddled with. Every third
    /// seed is about another kind of them.
    pub fn draw_limits(seed: u64) -> Self {
        let dice = Dice(seed);
        let mut rng = dice.stream("limits knobs", 0);
        let mut knobs = Self::draw(seed);
        knobs.lasts = Duration::from_secs(rng.u64(6..=12) * 60);
        knobs.edge_log = LogConfig { on_full: OnFull::Reject, ..knobs.edge_log };
        knobs.devices = (1..=knobs.edges).map(|edge| device(&mut rng, edge, 40)).collect();
        (knobs.readers, knobs.writers, knobs.guests) = (Vec::new(), Vec::new(), Vec::new());
        (knobs.yard, knobs.channels) = (false, None);
        match seed % 3 {
            0 => knobs.add_attic(&mut dice.stream("attic", 0)),
            1 => knobs.add_archive(&mut dice.stream("archive", 0)),
            _ => knobs.add_market(&mut dice.stream("market", 0)),
        }
        knobs.faults = fault::plan(seed, &knobs, &mut dice.stream("limits faults", 0));
        knobs.faults.retain(|(_, fault)| {
            !matches!(fault, fault::Fault::Flip(_) | fault::Fault::Backup(_) | fault::Fault::Restore(_))
        });
        knobs.faults.extend(fault::writers(seed, &knobs, &mut dice.stream("writer faults", 0)));
        knobs.faults.extend(fault::guests(seed, &knobs, &mut dice.stream("guest faults", 0)));
        knobs.faults.extend(fault::readers(seed, &knobs, &mut dice.stream("reader faults", 0)));
        // Few edges have few devices, and each run is to have a thousand messages.
        knobs.go_on(seed, dice, 60 + 660 / knobs.edges as u32);
        if knobs.chronicle && seed % 16 != 15 {
            knobs.ail_archive(&mut dice.stream("shelf", 0));
        }
        knobs
    }

    /// An archive that is so small that it is full, or whose disk is or cannot be read, in the second act.
    fn ail_archive(&mut self, rng: &mut Rng) {
        if rng.u8(0..3) == 0 {
            self.archive_bytes = 4096 * rng.u64(8..40);
        }
        if rng.u8(0..3) > 0 {
            let ills = fault::shelf(self.first_act(), self, rng);
            self.faults.extend(ills);
        }
    }

    /// A room that keeps only so much, and three who share a subscription.
    fn add_attic(&mut self, rng: &mut Rng) {
        self.attic = Some(retention(rng));
        self.readers.extend(attic_readers(rng));
        self.writers = writers_of(&[(0, site::ATTIC), (rng.usize(1..=self.edges), site::ATTIC)]);
        self.guests = crew(rng, self.heals_at());
    }

    /// A room that takes only so much, and one that goes down with what is of use for so long only.
    fn add_market(&mut self, rng: &mut Rng) {
        self.market = Some((quota(rng), rng.bool()));
        self.readers.extend(market_readers(rng));
        let edge = rng.usize(1..=self.edges);
        self.writers = writers_of(&[(0, site::MARKET), (edge, site::MARKET), (0, site::YARD)]);
        self.expires = true;
        let listener = listener(rng, self);
        self.guests.push(listener);
    }

    /// A hub that keeps only so much but for one room, of which all is archived.
    fn add_archive(&mut self, rng: &mut Rng) {
        (self.devices, self.chronicle) = (Vec::new(), true);
        // What a link brings at once is to fit in a part of it.
        let segment = 4096 * rng.u64(12..20);
        let quota = segment * rng.u64(5..8);
        self.hub_log = LogConfig { segment_bytes: segment, quota_bytes: quota, ..self.hub_log.clone() };
        let mut draw = |most: u64| Duration::from_secs(rng.u64(5..most));
        let visits = [Some((draw(120), draw(200))), Some((draw(120), draw(200)))];
        let anew = reader("ann", site::CHRONICLE, "#", Reads::Credit, true);
        let slow = reader("cleo", site::CHRONICLE, "#", Reads::Window(rng.u32(2..20)), true);
        self.readers = vec![
            Reader { visits: visits[0], forgets: true, settles_at: self.heals_at(), ..anew },
            Reader { visits: visits[1], settles_at: self.heals_at(), ..slow },
        ];
        let edge = rng.usize(1..=self.edges);
        self.writers = writers_of(&[(0, site::CHRONICLE), (edge, site::CHRONICLE), (0, site::PLANT)]);
    }

    /// Which rooms there are.
    pub fn rooms(&self) -> site::Rooms {
        site::Rooms {
            schema: self.yard,
            channels: self.channels,
            vaults: self.house.is_some(),
            lounge: !self.talkers.is_empty(),
            attic: self.attic,
            chronicle: self.chronicle,
            market: self.market,
            post: self.post,
        }
    }

    /// When the last fault has happened and all is made well.
    pub fn heals_at(&self) -> Time {
        Time(0).plus(self.lasts)
    }
}

fn device(rng: &mut Rng, edge: usize, publications: u32) -> DeviceKnobs {
    DeviceKnobs {
        edge,
        v5: rng.bool(),
        clean: rng.u8(0..4) == 0,
        window: rng.usize(1..=20),
        publications,
        padding: rng.usize(0..200),
        burst: rng.u32(1..=20),
        every: None,
    }
}

/// Every third run has tiers: each edge but the first links to one before it, or to the hub.
fn parents(rng: &mut Rng, edges: usize) -> Vec<usize> {
    let tiers = rng.u8(0..3) == 0;
    (1..=edges).map(|n| if tiers { rng.usize(0..n).max(usize::from(n == 2)) } else { 0 }).collect()
}

fn quality(rng: &mut Rng, delay_ms: Range<u64>, rate: Range<u64>) -> Quality {
    let delay = Duration::from_millis(rng.u64(delay_ms));
    Quality { delay, jitter: delay * rng.u32(0..3), rate: rng.u64(rate) }
}

fn reader(user: &str, room: &str, filter: &str, reads: Reads, from_start: bool) -> Reader {
    Reader {
        user: user.to_owned(),
        password: site::password(user),
        room: room.to_owned(),
        filter: filter.to_owned(),
        reads,
        from_start,
        forgets: false,
        visits: None,
        settles_at: Time(u64::MAX),
    }
}

fn readers() -> Vec<Reader> {
    vec![
        reader("ann", site::PLANT, "#", Reads::Credit, true),
        reader(site::LIMITED, site::PLANT, "#", Reads::Window(7), true),
        reader("eve", site::PLANT, "#", Reads::Conflate, false),
    ]
}

/// What is kept: so many, so many bytes, so long, or what each of several of these leaves.
fn retention(rng: &mut Rng) -> Retention {
    let kind = rng.u8(1..8);
    Retention {
        count: (kind & 1 > 0).then(|| rng.u64(10..60)),
        bytes: (kind & 2 > 0).then(|| ByteSize(rng.u64(500..4_000))),
        age: (kind & 4 > 0).then(|| Span::seconds(rng.u64(60..240))),
    }
}

/// So many publications in a span, perhaps so many bytes, and so many who read and are there.
fn quota(rng: &mut Rng) -> Quota {
    let span_s = rng.u64(20..40);
    let messages = rng.u64(span_s / 5..=span_s * 3 / 10);
    Quota {
        messages: Some(messages),
        bytes: rng.bool().then(|| ByteSize(messages * rng.u64(70..140))),
        every: Some(Span::seconds(span_s)),
        user_messages: None,
        user_bytes: None,
        connections: rng.bool().then_some(3),
        channels: None,
        subscriptions: rng.bool().then_some(2),
    }
}

/// Who comes and goes where not everybody has a place.
fn market_readers(rng: &mut Rng) -> Vec<Reader> {
    let mut one = |user: &str| {
        let mut draw =
            |seconds: Range<u64>| Duration::from_millis(rng.u64(seconds.start..seconds.end) * 1000);
        let visits = Some((draw(10..40), draw(5..40)));
        Reader { visits, ..reader(user, site::MARKET, "#", Reads::Credit, true) }
    };
    ["ann", "cleo", "eve"].map(&mut one).to_vec()
}

/// Who begins at the start again and again, who reads slowly, and who listens to what is said seldom and is away for longer
/// than it is there.
fn attic_readers(rng: &mut Rng) -> [Reader; 3] {
    let mut visits = |stays_s, away_s| {
        let mut draw =
            |seconds: Range<u64>| Duration::from_millis(rng.u64(seconds.start..seconds.end) * 1000);
        Some((draw(stays_s), draw(away_s)))
    };
    let anew = Reader {
        visits: visits(5..60, 1..60),
        forgets: true,
        ..reader("ann", site::ATTIC, "#", Reads::Credit, true)
    };
    let slow = Reader {
        visits: visits(30..200, 1..200),
        ..reader("cleo", site::ATTIC, "#", Reads::Window(3), true)
    };
    let seldom = Reader {
        visits: visits(30..60, 30..300),
        ..reader("dan", site::ATTIC, "rare/#", Reads::Credit, false)
    };
    [anew, slow, seldom]
}

/// One at the hub, and one at an edge.
fn writers(edge: usize) -> Vec<Writer> {
    writers_of(&[(0, site::PLANT), (edge, site::PLANT), (0, site::YARD)])
}

fn writers_of(all: &[(usize, &str)]) -> Vec<Writer> {
    let writer = |(number, (host, room)): (u32, &(usize, &str))| Writer {
        number,
        user: site::SCRIBE.to_owned(),
        password: site::password(site::SCRIBE),
        room: (*room).to_owned(),
        host: *host,
        bounded: false,
    };
    (0..).zip(all).map(writer).collect()
}

/// Most at the hub, some at edges; most want what they say replayed.
fn talkers(rng: &mut Rng, edges: usize) -> Vec<Talker> {
    let talker = |number: u32| Talker {
        number,
        user: site::SCRIBE.to_owned(),
        password: site::password(site::SCRIBE),
        room: site::LOUNGE.to_owned(),
        host: if number < 2 || rng.bool() { 0 } else { rng.usize(1..=edges) },
        keeps: number != 1 && rng.u8(0..4) > 0,
    };
    (0..5).map(talker).collect()
}

/// Who acknowledges at an edge what goes down to it.
fn listener(rng: &mut Rng, knobs: &Knobs) -> Guest {
    Guest {
        id: format!("guest-{}", knobs.guests.len()),
        user: site::VIEWER.to_owned(),
        password: site::password(site::VIEWER),
        host: rng.usize(1..=knobs.edges),
        comes: Comes::Late,
        v5: rng.bool(),
        room: site::YARD.to_owned(),
        filter: "#".to_owned(),
        group: None,
        qos: rng.u8(1..3),
        receive_max: rng.u16(1..30),
        settles_at: knobs.heals_at(),
    }
}

/// Three at the hub who share a subscription. Where they hear at QoS 1 at most, one keeps no session.
fn crew(rng: &mut Rng, ends_at: Time) -> Vec<Guest> {
    let qos = rng.u8(1..3);
    let mut member = |n: usize| Guest {
        id: format!("crew-{n}"),
        user: site::CREW.to_owned(),
        password: site::password(site::CREW),
        host: 0,
        comes: Comes::ToShare { kept: n < 2 || qos == 2 },
        v5: rng.bool(),
        room: site::PLANT.to_owned(),
        filter: "#".to_owned(),
        group: Some("crew".to_owned()),
        qos,
        receive_max: rng.u16(1..30),
        settles_at: Time(ends_at.0 - rng.u64(0..120_000_000_000)),
    };
    (0..3).map(&mut member).collect()
}

fn guests(rng: &mut Rng, edges: usize, ends_at: Time) -> Vec<Guest> {
    let mut all = Vec::new();
    for (comes, at_hub) in [Comes::Late, Comes::ToKeep, Comes::ToLeave]
        .into_iter()
        .flat_map(|comes| [(comes, true), (comes, false)])
    {
        let host = if at_hub { 0 } else { rng.usize(1..=edges) };
        let user = match (comes, at_hub) {
            (Comes::ToLeave, _) => site::MOURNER,
            (_, false) => site::VIEWER,
            (Comes::Late, true) => rng.choice([site::LIMITED, "cleo"]).expect("it is not empty"),
            (Comes::ToKeep | Comes::ToHear | Comes::ToShare { .. }, true) => "dan",
        };
        let settles_at = Time(ends_at.0 - rng.u64(0..120_000_000_000));
        all.push(Guest {
            id: format!("guest-{}", all.len()),
            user: user.to_owned(),
            password: site::password(user),
            host,
            comes,
            v5: rng.bool(),
            room: site::PLANT.to_owned(),
            filter: "#".to_owned(),
            group: None,
            qos: if comes == Comes::ToKeep { 2 } else { rng.u8(0..3) },
            receive_max: rng.u16(1..30),
            settles_at,
        });
    }
    all
}
