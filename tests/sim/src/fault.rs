//! What goes wrong: a closed list, drawn per seed before the run begins.

use crate::{knobs::Knobs, wires::Road};
use fastrand::Rng;
use riser_log::fault::Failure;
use riser_model::Time;
use std::time::Duration;

/// How a host dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Death {
    /// The power fails.
    Power,
    /// The process is killed, the machine lives.
    Kill,
}

/// One thing that goes wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A road is cut, one way or both, for so long.
    Cut {
        /// Which.
        road: Road,
        /// From the one who dials.
        up: bool,
        /// To the one who dials.
        down: bool,
        /// For so long.
        lasts: Duration,
    },
    /// The network forgets all connections of a road: half-open.
    Forget(Road),
    /// A host dies at once.
    Dies(usize, Death),
    /// A host's power fails at the n-th disk call from here.
    DiesAtCall(usize, u64),
    /// A host dies after so many more of its core's outputs.
    DiesAfter(usize, u64, Death),
    /// A process is stopped as an operator would, and started again.
    Restart(usize),
    /// Syncs take many times as long.
    SlowDisk(usize, u32, Duration),
    /// The next syncs fail.
    FailSyncs(usize, u32),
    /// The n-th disk call from here fails. No seed draws it: small worlds try each.
    FailsCall(usize, u64, Failure),
    /// The disk has only so many bytes left, for so long.
    FullDisk(usize, u64, Duration),
    /// The wall clock is stepped, milliseconds.
    Step(usize, i64),
    /// A backup of a host's disk is taken.
    Backup(usize),
    /// A host dies and comes back with its last backup, or with none.
    Restore(usize),
    /// A host dies and comes back with a bit flipped somewhere on its disk.
    Flip(usize),
    /// The hub's archive.
    Shelf(ShelfIll),
    /// A host dies and comes back with a bit flipped in the newest block of its log. No seed draws it.
    FlipNewest(usize),
}

/// What ails the disk of an archive, and no other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShelfIll {
    /// Nobody can read or write it, for so long.
    Shut(Duration),
    /// It has only so many bytes left, for so long.
    Full(u64, Duration),
}

/// A fault and when.
pub type Planned = (Time, Fault);

/// What a seed's run suffers. Every sixteenth suffers nothing.
pub fn plan(seed: u64, knobs: &Knobs, rng: &mut Rng) -> Vec<Planned> {
    if seed % 16 == 15 {
        return Vec::new();
    }
    let count = rng.usize(3..=16);
    let lasts_s = knobs.lasts.as_secs();
    let meddles = rng.u8(0..5) == 0;
    // Some seeds know only some kinds: what one fault hides another shows.
    let mut kinds: Vec<u8> = (0..10).filter(|_| rng.u8(0..3) > 0).collect();
    if kinds.is_empty() {
        kinds.push(0);
    }
    let mut all: Vec<Planned> = (0..count)
        .map(|_| {
            let at = Time(rng.u64(20_000..lasts_s * 1000) * 1_000_000);
            let kind = *rng.choice(&kinds).expect("there is at least one kind");
            (at, draw(kind, knobs, rng))
        })
        .collect();
    if meddles {
        meddle(knobs, rng, &mut all);
    }
    all.sort_by_key(|(at, _)| *at);
    all
}

/// Disks that are put back in time, or rot: some seeds' hosts only, since they excuse what nothing else does.
fn meddle(knobs: &Knobs, rng: &mut Rng, all: &mut Vec<Planned>) {
    let lasts_ms = knobs.lasts.as_millis() as u64;
    let host = rng.usize(0..=knobs.edges);
    for _ in 0..rng.u8(1..3) {
        let at = rng.u64(20_000..lasts_ms);
        if rng.bool() {
            all.push((Time(at * 1_000_000), Fault::Flip(host)));
        } else {
            all.push((Time(at / 2 * 1_000_000), Fault::Backup(host)));
            all.push((Time(at * 1_000_000), Fault::Restore(host)));
        }
    }
}

fn draw(kind: u8, knobs: &Knobs, rng: &mut Rng) -> Fault {
    let host = rng.usize(0..=knobs.edges);
    let edge = rng.usize(1..=knobs.edges);
    let death = if rng.bool() { Death::Power } else { Death::Kill };
    let road = match rng.u8(0..8) {
        0 => Road::Site(edge),
        1 => Road::Reader(rng.usize(0..knobs.readers.len().max(1))),
        _ => Road::Uplink(edge),
    };
    let long = Duration::from_millis(match rng.u8(0..3) {
        0 => rng.u64(100..5_000),
        1 => rng.u64(5_000..60_000),
        _ => rng.u64(60_000..900_000),
    });
    match kind {
        0 => Fault::Cut { road, up: true, down: true, lasts: long },
        1 => {
            let up = rng.bool();
            Fault::Cut { road, up, down: !up, lasts: long }
        }
        2 => Fault::Forget(road),
        3 => Fault::Dies(host, death),
        4 => Fault::DiesAtCall(host, rng.u64(0..60)),
        5 => Fault::DiesAfter(host, rng.u64(0..60), death),
        6 => Fault::Restart(host),
        7 => Fault::SlowDisk(host, rng.u32(3..60), long),
        8 => Fault::FailSyncs(host, rng.u32(1..4)),
        _ => match rng.u8(0..2) {
            0 => Fault::FullDisk(host, rng.u64(0..40_000), long.min(Duration::from_secs(200))),
            _ => Fault::Step(host, rng.i64(-100_000_000..400_000_000_000)),
        },
    }
}

/// What the roads of guests suffer beside.
pub fn guests(seed: u64, knobs: &Knobs, rng: &mut Rng) -> Vec<Planned> {
    let count = rng.usize(0..24);
    let roads: Vec<Road> = (0..knobs.guests.len()).map(Road::Guest).collect();
    of_roads(seed, knobs, rng, (count, &roads))
}

/// What the roads of writers suffer beside. Before their hosts die, receipts are often lost: what is sent again then
/// meets a host that knows of it only what it had on disk.
pub fn writers(seed: u64, knobs: &Knobs, rng: &mut Rng) -> Vec<Planned> {
    let count = rng.usize(0..24);
    let roads: Vec<Road> = (0..knobs.writers.len()).map(Road::Writer).collect();
    let mut all = of_roads(seed, knobs, rng, (count, &roads));
    for (at, fault) in &knobs.faults {
        let host = match fault {
            Fault::Dies(host, _)
            | Fault::DiesAtCall(host, _)
            | Fault::DiesAfter(host, ..)
            | Fault::Restart(host) => *host,
            Fault::Cut { .. }
            | Fault::Forget(_)
            | Fault::SlowDisk(..)
            | Fault::FailSyncs(..)
            | Fault::FailsCall(..)
            | Fault::FullDisk(..)
            | Fault::Step(..)
            | Fault::Backup(_)
            | Fault::Restore(_)
            | Fault::Flip(_)
            | Fault::Shelf(_)
            | Fault::FlipNewest(_) => continue,
        };
        for writer in knobs.writers.iter().filter(|writer| writer.host == host) {
            let road = Road::Writer(writer.number as usize);
            let before = Time(at.0.saturating_sub(rng.u64(1_000..20_000) * 1_000_000));
            let lasts = Duration::from_millis(rng.u64(20_000..50_000));
            all.push((before, Fault::Cut { road, up: false, down: true, lasts }));
        }
    }
    all
}

/// What the roads of those suffer who come to a house.
pub fn callers(seed: u64, knobs: &Knobs, rng: &mut Rng) -> Vec<Planned> {
    let count = rng.usize(0..16);
    let people = knobs.house.as_ref().map_or(0, |house| house.people.len());
    let annex = knobs.house.as_ref().and_then(|house| house.annex.as_ref());
    let callers = if annex.is_some() { 2 * people } else { people };
    let roads: Vec<Road> = (0..callers).map(Road::Caller).collect();
    if roads.is_empty() { Vec::new() } else { of_roads(seed, knobs, rng, (count, &roads)) }
}

/// What the roads of those suffer who are in a room with session history.
pub fn talkers(seed: u64, knobs: &Knobs, rng: &mut Rng) -> Vec<Planned> {
    let count = rng.usize(0..10);
    let roads: Vec<Road> = (0..knobs.talkers.len()).map(Road::Talker).collect();
    of_roads(seed, knobs, rng, (count, &roads))
}

/// What the roads of dashboards suffer beside.
pub fn readers(seed: u64, knobs: &Knobs, rng: &mut Rng) -> Vec<Planned> {
    let count = rng.usize(0..8);
    let roads: Vec<Road> = (0..knobs.readers.len()).map(Road::Reader).collect();
    of_roads(seed, knobs, rng, (count, &roads))
}

/// What an archive suffers from a time on. While nobody can open it, its hub mostly starts anew.
pub fn shelf(from: Duration, knobs: &Knobs, rng: &mut Rng) -> Vec<Planned> {
    let mut all = Vec::new();
    for _ in 0..rng.usize(1..4) {
        let at = Time(rng.u64(from.as_millis() as u64..knobs.lasts.as_millis() as u64) * 1_000_000);
        let lasts_ms = if rng.bool() { rng.u64(1_000..60_000) } else { rng.u64(60_000..900_000) };
        let lasts = Duration::from_millis(lasts_ms);
        if rng.u8(0..3) == 0 {
            all.push((at, Fault::Shelf(ShelfIll::Full(rng.u64(0..60_000), lasts))));
            continue;
        }
        all.push((at, Fault::Shelf(ShelfIll::Shut(lasts))));
        let then = at.plus(Duration::from_millis(rng.u64(0..lasts_ms)));
        match rng.u8(0..4) {
            0 => all.push((then, Fault::Dies(0, Death::Kill))),
            1 => all.push((then, Fault::Dies(0, Death::Power))),
            2 => all.push((then, Fault::Restart(0))),
            _ => {}
        }
    }
    all
}

fn of_roads(seed: u64, knobs: &Knobs, rng: &mut Rng, (count, roads): (usize, &[Road])) -> Vec<Planned> {
    if seed % 16 == 15 || roads.is_empty() {
        return Vec::new();
    }
    let lasts_ms = knobs.lasts.as_millis() as u64;
    let one = |_| {
        let road = roads[rng.usize(0..roads.len())];
        let lasts = Duration::from_millis(rng.u64(100..60_000));
        let fault = match rng.u8(0..4) {
            0 => Fault::Cut { road, up: true, down: true, lasts },
            1 => Fault::Cut { road, up: true, down: false, lasts },
            2 => Fault::Cut { road, up: false, down: true, lasts },
            _ => Fault::Forget(road),
        };
        (Time(rng.u64(20_000..lasts_ms) * 1_000_000), fault)
    };
    (0..count).map(one).collect()
}
