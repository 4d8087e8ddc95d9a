//! The log against a reference that remembers everything, under random operations and faults.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use riser_log::{Config, OnFull};
use support::{Model, uplink};

/// How many times as many seeds as in a quick run.
fn long() -> u64 {
    std::env::var("RISER_LONG").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Where to start, to see a run again.
fn first_seed() -> u64 {
    std::env::var("RISER_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[derive(Clone, Copy)]
struct Faults {
    crash: bool,
    failed_writes: bool,
    full_disk: bool,
}

fn run(seed: u64, config: &Config, steps: u32, faults: Faults) {
    let mut model = Model::new(seed, config.clone());
    model.open().unwrap();
    for _ in 0..steps {
        step(&mut model, faults);
        model.check_quota();
    }
    // However it went, everything is there after the faults are over.
    model.disk.set_capacity(None);
    model.disk.kill();
    model.open().unwrap();
    model.check_all();
}

fn step(model: &mut Model, faults: Faults) {
    let counts = model.disk.counts();
    match model.rng.u8(0..40) {
        0..12 => {
            let count = model.rng.u32(0..12);
            model.stage(count, 300);
        }
        12..24 => {
            model.commit();
        }
        24..28 => model.confirm(uplink(1)),
        28..31 => model.check_all(),
        31..34 => {
            let now = model.tick();
            let _ = model.writer().prepare(now);
        }
        34 => {
            let now = model.tick();
            let _ = model.writer().retry(now);
        }
        35 if faults.crash => {
            model.disk.crash_at(counts.calls + model.rng.u64(1..12));
            for _ in 0..6 {
                model.stage(3, 600);
                model.commit();
            }
            restart(model);
        }
        36 if faults.crash => {
            model.disk.kill();
            model.open().unwrap();
        }
        37 if faults.failed_writes => model.disk.fail_sync(counts.syncs + model.rng.u64(1..4)),
        38 if faults.failed_writes => model.disk.fail_write(counts.writes + model.rng.u64(1..4)),
        39 if faults.full_disk => {
            let more = model.rng.u64(0..40_000);
            let full = model.rng.bool();
            model.disk.set_capacity(full.then(|| model.disk.used() + more));
        }
        _ => {}
    }
}

fn restart(model: &mut Model) {
    model.disk.crash();
    loop {
        model.disk.restart();
        if model.rng.u8(0..4) == 0 {
            // And again, while it is being opened.
            model.disk.crash_at(model.disk.counts().calls + model.rng.u64(1..40));
        }
        if model.open().is_some() {
            return;
        }
    }
}

fn seeds(name: &str, config: &Config, faults: Faults) {
    for seed in first_seed()..first_seed() + 12 * long() {
        let run = std::panic::catch_unwind(|| run(seed, config, 150, faults));
        assert!(run.is_ok(), "{name}: seed {seed}");
    }
}

#[test]
fn nothing_acknowledged_is_lost_without_faults() {
    seeds("calm", &Config::tiny(), Faults { crash: false, failed_writes: false, full_disk: false });
}

#[test]
fn nothing_acknowledged_is_lost_over_crashes() {
    seeds("crash", &Config::tiny(), Faults { crash: true, failed_writes: false, full_disk: false });
}

#[test]
fn nothing_acknowledged_is_lost_over_failed_writes_and_syncs() {
    seeds("fail", &Config::tiny(), Faults { crash: false, failed_writes: true, full_disk: false });
}

#[test]
fn nothing_acknowledged_is_lost_under_all_faults() {
    seeds("all", &Config::tiny(), Faults { crash: true, failed_writes: true, full_disk: true });
}

#[test]
fn a_ring_drops_the_oldest_and_says_exactly_what() {
    let config = Config { on_full: OnFull::DropOldest, ..Config::tiny() };
    seeds("ring", &config, Faults { crash: true, failed_writes: false, full_disk: true });
}
