//! The power fails, or the process is killed, between every two calls of the disk.

use crate::{
    script::{COMMITS, calls, confirmed, goes_on, more, play, ring, roomy},
    support::Model,
};
use riser_log::{
    Config,
    fault::{Fate, FaultDisk},
};

const FATES: [Fate; 3] = [Fate::Lost, Fate::Kept, Fate::Dice];

fn crashed(config: &Config, seed: u64, fate: Fate, plan: impl Fn(&FaultDisk) + 'static) -> Model {
    let mut model = Model::new(1, config.clone());
    // Another seed only for the dice: the run is the same.
    model.disk = FaultDisk::new(seed);
    model.disk.set_fate(fate);
    model.plan = Box::new(plan);
    play(&mut model, COMMITS);
    assert!(!model.disk.is_up(), "it crashed");
    model
}

fn between_every_two_calls(config: &Config) {
    for call in calls(config) {
        let dice = (0..more()).map(|_| Fate::Dice);
        for (seed, fate) in (call..).zip(FATES.into_iter().chain(dice)) {
            let mut model = crashed(config, seed, fate, move |disk| disk.crash_at(call));
            goes_on(&mut model);
        }
    }
}

#[test]
fn power_loss_between_every_two_calls_loses_nothing_acknowledged() {
    between_every_two_calls(&roomy());
}

#[test]
fn power_loss_between_every_two_calls_of_a_ring_loses_only_what_it_says() {
    between_every_two_calls(&ring());
}

#[test]
fn power_loss_between_every_two_calls_while_confirmed_segments_are_recycled_loses_nothing() {
    between_every_two_calls(&confirmed());
}

#[test]
fn kill_between_every_two_calls_loses_nothing_even_if_the_power_fails_afterwards() {
    for config in [roomy(), ring()] {
        for call in calls(&config) {
            let mut model = crashed(&config, call, Fate::Lost, move |disk| disk.kill_at(call));
            model.plan = Box::new(|_| {});
            // What the killed process left unsynced is there to be read; the opening makes it durable or not.
            model.disk.restart();
            model.open().unwrap();
            model.disk.crash();
            goes_on(&mut model);
        }
    }
}

#[test]
fn kill_between_every_two_calls_and_a_failing_opening_lose_nothing_even_if_the_power_fails_afterwards() {
    let config = roomy();
    for call in calls(&config) {
        let mut model = crashed(&config, call, Fate::Lost, move |disk| disk.kill_at(call));
        model.disk.restart();
        // The opening gives the segment up that the killed process wrote to: nobody syncs it for the opening's sake.
        let write = model.disk.counts().writes + 1;
        model.plan = Box::new(move |disk| disk.fail_write(write));
        model.open().unwrap();
        model.disk.crash();
        goes_on(&mut model);
    }
}

#[test]
fn power_loss_between_every_two_calls_of_an_opening_after_a_crash_loses_nothing() {
    for config in [roomy(), ring()] {
        for (n, call) in calls(&config).into_iter().step_by(9).enumerate() {
            let first = [Fate::Kept, Fate::Dice][n % 2];
            for opening in 1.. {
                let mut model = crashed(&config, call, first, move |disk| disk.crash_at(call));
                model.disk.restart();
                model.disk.set_fate([Fate::Lost, Fate::Dice][opening as usize % 2]);
                let before = model.disk.counts().calls;
                model.plan = Box::new(move |disk| disk.crash_at(before + opening));
                let opened = model.open().is_some();
                goes_on(&mut model);
                if opened {
                    break;
                }
            }
        }
    }
}
