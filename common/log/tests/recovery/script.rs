//! The fixed run: two openings, commits of all sizes, cursors, idle work, and a log that goes on after failures.

use crate::support::{Model, uplink};
use riser_log::{Config, OnFull};

const SEGMENT: u64 = 16 << 10;
/// How many commits fill a few segments, and come round in a ring.
pub const COMMITS: u32 = 36;

/// How many more dice to throw than in a quick run.
pub fn more() -> u64 {
    std::env::var("RISER_LONG").ok().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// A log that keeps everything.
pub fn roomy() -> Config {
    Config { segment_bytes: SEGMENT, quota_bytes: 32 * SEGMENT, ..Config::tiny() }
}

/// A log that recycles its segments, confirmed or not.
pub fn ring() -> Config {
    Config { segment_bytes: SEGMENT, quota_bytes: 4 * SEGMENT, on_full: OnFull::DropOldest, ..Config::tiny() }
}

/// A log that recycles what is confirmed and refuses when it is full.
pub fn confirmed() -> Config {
    Config { segment_bytes: SEGMENT, quota_bytes: 5 * SEGMENT, ..Config::tiny() }
}

/// Plays the whole script, or what a fault leaves of it.
pub fn play(model: &mut Model, commits: u32) {
    for half in 0..2 {
        model.disk.kill();
        if !reopen(model) {
            return;
        }
        for n in 0..commits / 2 {
            step(model, n + half);
            if !model.disk.is_up() {
                return;
            }
        }
    }
}

/// The numbers of all calls of a run without faults, but for those that only check.
pub fn calls(config: &Config) -> Vec<u64> {
    let mut model = Model::new(1, config.clone());
    play(&mut model, COMMITS);
    let all = 1..=model.disk.counts().calls;
    all.filter(|call| !model.checks.iter().any(|check| check.contains(call))).collect()
}

fn step(model: &mut Model, n: u32) {
    model.stage(1 + n % 3, [30, 400, 900, 1800][n as usize % 4]);
    if n % 5 == 2 {
        model.stage(1, 30);
    }
    if n % 4 == 1 {
        model.confirm(uplink(1));
    }
    if !model.commit() {
        let now = model.tick();
        let _ = model.writer().retry(now);
    }
    if n.is_multiple_of(3) {
        let now = model.tick();
        let _ = model.writer().prepare(now);
    }
}

/// Opens the log; a call that fails is a reason to try again. False if the machine is down.
pub fn reopen(model: &mut Model) -> bool {
    let mut refused = None;
    for _ in 0..3 {
        match model.try_open() {
            Ok(recovered) => return recovered.is_some(),
            Err(error) => refused = Some(error),
        }
    }
    panic!("one failed call does not keep a log from opening for ever: {refused:?}")
}

/// The faults are over: everything is there, and the log takes more and keeps it.
pub fn goes_on(model: &mut Model) {
    model.plan = Box::new(|_| {});
    model.disk.calm();
    if !model.disk.is_up() {
        model.disk.restart();
        model.open().unwrap();
    }
    model.check_all();
    let end = model.acked.len();
    let more = (0..4).any(|_| {
        let now = model.tick();
        let _ = model.writer().retry(now);
        model.confirm(uplink(1));
        model.stage(3, 100) && model.commit()
    });
    let status = model.writer().status();
    assert!(more && model.acked.len() == end + 3, "the log takes more: {status:?}");
    model.check_all();
    model.disk.crash();
    model.disk.restart();
    model.open().unwrap();
}
