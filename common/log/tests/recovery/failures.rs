//! Every call of the disk fails once, with each error, and then all goes well again, or the power fails.

use crate::{
    layout::{CHECKPOINT, blocks},
    script::{COMMITS, calls, confirmed, goes_on, more, play, ring, roomy},
    support::Model,
};
use riser_log::{
    Config,
    fault::{Counts, Failure, Fate, FaultDisk},
};
use riser_model::Seq;

/// A full disk is not met by all calls, but one that says so at the wrong place must do no harm either.
const FAILURES: [Failure; 2] = [Failure::Io, Failure::Full];

fn play_with(config: &Config, seed: u64, fate: Fate, plan: impl Fn(&FaultDisk) + 'static) -> Model {
    let mut model = Model::new(1, config.clone());
    model.disk = FaultDisk::new(seed);
    model.disk.set_fate(fate);
    model.plan = Box::new(plan);
    play(&mut model, COMMITS);
    model
}

fn failing_once(config: &Config) {
    for call in calls(config) {
        // Of what a failed write or sync was to store all, nothing or a part is there.
        let dice = (0..more()).map(|n| (Fate::Dice, FAILURES[n as usize % 2]));
        let fates = [(Fate::Kept, Failure::Io), (Fate::Lost, Failure::Full)];
        let part = call.is_multiple_of(2).then_some((Fate::Dice, Failure::Io));
        for (seed, (fate, failure)) in (call..).zip(fates.into_iter().chain(part).chain(dice)) {
            let mut model = play_with(config, seed, fate, move |disk| disk.fail_call(call, failure));
            goes_on(&mut model);
        }
    }
}

#[test]
fn one_failure_at_every_call_loses_nothing_acknowledged() {
    failing_once(&roomy());
}

#[test]
fn one_failure_at_every_call_of_a_ring_loses_only_what_it_says() {
    failing_once(&ring());
}

#[test]
fn one_failure_at_every_call_while_confirmed_segments_are_recycled_loses_nothing() {
    failing_once(&confirmed());
}

#[test]
fn after_a_failed_write_or_sync_the_block_is_the_first_of_the_next_segment() {
    let write = |disk: &FaultDisk, counts: Counts| disk.fail_write(counts.writes + 1);
    let sync = |disk: &FaultDisk, counts: Counts| disk.fail_sync(counts.syncs + 1);
    for fail in [write as fn(&FaultDisk, Counts), sync] {
        let mut model = Model::new(1, roomy());
        model.open().unwrap();
        model.stage(2, 300);
        model.commit();
        let counts = model.disk.counts();
        fail(&model.disk, counts);
        model.stage(2, 300);
        let now = model.tick();
        let committed = model.writer().commit(now).unwrap();
        assert!(committed.gave_up.is_some() && committed.last == Seq(4));
        let blocks = blocks(&model.disk.snapshot());
        let last = blocks.iter().rfind(|block| block.count > 0).unwrap();
        assert_eq!((last.at, last.first, last.segment_first, last.kind), (0, 3, 3, CHECKPOINT));
        assert_ne!(last.file, blocks[0].file);
        // Nothing goes to the other one any more, whatever it holds.
        let given_up = model.disk.snapshot()[&*blocks[0].file].clone();
        model.stage(2, 300);
        let now = model.tick();
        model.writer().commit(now).unwrap();
        assert_eq!(model.disk.snapshot()[&*blocks[0].file], given_up);
    }
}

#[test]
fn one_failure_at_every_call_and_then_power_loss_loses_nothing_acknowledged() {
    for config in [roomy(), ring()] {
        for call in calls(&config) {
            for later in [1, 4] {
                let (failure, fate) =
                    (FAILURES[(call + later) as usize % 2], [Fate::Lost, Fate::Dice][later as usize % 2]);
                let plan = move |disk: &FaultDisk| {
                    disk.fail_call(call, failure);
                    disk.crash_at(call + later);
                };
                let mut model = play_with(&config, call * later, fate, plan);
                goes_on(&mut model);
            }
        }
    }
}

#[test]
fn one_failure_at_every_call_of_an_opening_does_not_keep_the_log_from_opening() {
    for config in [roomy(), ring()] {
        let written = play_with(&config, 1, Fate::Dice, |_| {}).disk.snapshot();
        for failure in FAILURES {
            for call in 1.. {
                let mut model = play_with(&config, 1, Fate::Dice, |_| {});
                model.disk.restore(&written);
                let at = model.disk.counts().calls + call;
                model.plan = Box::new(move |disk| disk.fail_call(at, failure));
                let opened = model.try_open();
                let asked = model.disk.counts().calls >= at;
                assert!(opened.is_ok() || asked, "{opened:?}");
                if opened.is_err() {
                    model.open().unwrap();
                }
                goes_on(&mut model);
                if model.checks.iter().any(|check| check.contains(&at)) {
                    break;
                }
            }
        }
    }
}

#[test]
fn leftover_that_cannot_be_removed_does_not_keep_the_log_from_opening_or_writing() {
    let mut model = play_with(&roomy(), 1, Fate::Dice, |_| {});
    let mut image = model.disk.snapshot();
    // Of the names that the next new files would get.
    let last = image.last_key_value().unwrap().0.strip_prefix("segment-").unwrap();
    let last = u64::from_str_radix(last, 16).unwrap();
    (1..9).for_each(|n| drop(image.insert(format!("fresh-{:016x}", last + n), vec![0; 9])));
    model.disk.restore(&image);
    // The first call lists, then each is removed.
    let calls = model.disk.counts().calls;
    (2..10).for_each(|call| model.disk.fail_call(calls + call, Failure::Io));
    model.open().unwrap();
    assert!(model.disk.snapshot().keys().any(|name| name.starts_with("fresh-")));
    for n in 0..30 {
        assert!(model.stage(3, 900) && model.commit(), "{n}");
    }
    goes_on(&mut model);
    assert!(!model.disk.snapshot().keys().any(|name| name.starts_with("fresh-")));
}

#[test]
fn full_disk_at_every_size_refuses_and_loses_nothing_and_takes_more_when_there_is_room() {
    let config = roomy();
    let used = play_with(&config, 1, Fate::Dice, |_| {}).disk.used();
    for capacity in (0..=used).step_by(2048) {
        let mut model = play_with(&config, 1, Fate::Dice, move |disk| disk.set_capacity(Some(capacity)));
        // Also after a restart while it is still full.
        model.disk.crash();
        model.disk.restart();
        model.open().unwrap();
        model.check_all();
        model.plan = Box::new(|_| {});
        model.disk.set_capacity(None);
        goes_on(&mut model);
    }
}

#[test]
fn disk_that_never_syncs_again_acknowledges_nothing_more_and_loses_nothing() {
    for config in [roomy(), ring()] {
        let syncs = play_with(&config, 1, Fate::Dice, |_| {}).disk.counts().syncs;
        for from in 1..=syncs {
            let plan = move |disk: &FaultDisk| (from..from + 200).for_each(|sync| disk.fail_sync(sync));
            let mut model = play_with(&config, from, Fate::Dice, plan);
            goes_on(&mut model);
        }
    }
}
