//! Small worlds: one edge, a hub and a few publications, broken at every place there is, or where that once broke the
//! design. What must hold is what holds in every run.
#![allow(clippy::panic, reason = "tests")]

use riser_log::fault::Failure;
use riser_model::Time;
use riser_sim::{
    Report,
    fault::{Death, Fault},
    guest::Comes,
    knobs::{DeviceKnobs, Knobs, Theme},
    mutant::Mutant,
    run::conclude,
    wires::Road,
    world::World,
};
use std::time::Duration;

/// A seed without faults: what goes wrong is said by each test.
const SEED: u64 = 15;
const HUB: usize = 0;
const EDGE: usize = 1;
const TEN_YEARS_MS: i64 = 315_576_000_000;

fn ms(n: u64) -> Time {
    Time(n * 1_000_000)
}

/// The hub, one edge with one device, somebody whose session is kept, a dashboard and a writer over 20 seconds.
fn small(publications: u32) -> Knobs {
    let mut knobs = Knobs::draw(SEED);
    knobs.lasts = Duration::from_secs(20);
    knobs.edges = 1;
    knobs.devices = vec![DeviceKnobs {
        edge: EDGE,
        v5: false,
        clean: false,
        window: 4,
        publications,
        padding: 30,
        burst: 4,
        every: None,
    }];
    knobs.readers.truncate(1);
    knobs.guests.retain(|guest| guest.comes == Comes::ToKeep && guest.host == HUB);
    knobs.guests.iter_mut().for_each(|guest| guest.settles_at = Time(0));
    knobs.writers.clear();
    knobs
}

fn play(knobs: Knobs, mutant: Option<Mutant>) -> Report {
    let until = knobs.heals_at();
    let mut world = World::new(SEED, knobs, mutant, false);
    world.run_until(until);
    conclude((Theme::Site, SEED), world)
}

fn suffers(fault: &Fault, at: Time, mutant: Option<Mutant>) -> Report {
    let mut knobs = small(8);
    knobs.faults = vec![(at, fault.clone())];
    play(knobs, mutant)
}

/// Breaks one thing of a small world at every place, until nobody dies there any more. How many places there were.
fn dies_everywhere(at: Time, fault: impl Fn(u64) -> Fault) -> u64 {
    for place in 0..10_000 {
        let fault = fault(place);
        let report = suffers(&fault, at, None);
        assert!(report.wrong.is_empty(), "{fault:?}: {:#?}", report.wrong);
        if report.counts.crashes == 0 {
            return place;
        }
    }
    panic!("a small world has fewer places")
}

/// The disk calls of a host in a small world in which nothing goes wrong.
fn calls(host: usize) -> u64 {
    let mut world = World::new(SEED, small(8), None, false);
    let until = world.knobs.heals_at();
    world.run_until(until);
    world.hosts[host].disk.calls()
}

#[test]
fn power_fails_at_every_disk_call_of_either_host() {
    for host in [EDGE, HUB] {
        let places = dies_everywhere(Time(0), |n| Fault::DiesAtCall(host, n));
        assert!(places > 30, "{places}");
    }
}

#[test]
fn process_dies_between_any_two_outputs_of_either_core() {
    for host in [EDGE, HUB] {
        for death in [Death::Power, Death::Kill] {
            // Both processes run by then, and nobody has said anything.
            let places = dies_everywhere(ms(2_010), |n| Fault::DiesAfter(host, n, death));
            assert!(places > 30, "{places}");
        }
    }
}

#[test]
fn connections_are_forgotten_at_any_time_on_every_road() {
    for road in [Road::Uplink(EDGE), Road::Site(EDGE), Road::Reader(0), Road::Guest(0)] {
        for at in (100..20_000).step_by(499) {
            let report = suffers(&Fault::Forget(road), ms(at), None);
            assert!(report.wrong.is_empty(), "{road:?} at {at} ms: {:#?}", report.wrong);
        }
    }
}

#[test]
fn one_disk_call_of_either_host_fails_wherever_it_is_and_the_power_fails_later() {
    for host in [EDGE, HUB] {
        for call in 0..calls(host) {
            let failure = [Failure::Io, Failure::Full][call as usize % 2];
            let mut knobs = small(8);
            knobs.faults = vec![
                (Time(0), Fault::FailsCall(host, call, failure)),
                (ms(19_000), Fault::Dies(host, Death::Power)),
            ];
            let report = play(knobs, None);
            assert!(report.wrong.is_empty(), "{failure:?} at call {call} of {host}: {:#?}", report.wrong);
        }
    }
}

#[test]
fn disk_of_either_host_is_full_at_any_size_for_a_while() {
    for host in [EDGE, HUB] {
        for free in (0..60).map(|n| n * 1024) {
            let full = Fault::FullDisk(host, free, Duration::from_secs(15));
            let report = suffers(&full, ms(2_500), None);
            assert!(report.wrong.is_empty(), "{free} bytes free at {host}: {:#?}", report.wrong);
        }
    }
}

/// What a small world cannot tell from the right one is not tested by it.
#[test]
fn wrong_variants_do_not_get_through_a_small_world() {
    let dies = |host| move |n| Fault::DiesAtCall(host, n);
    for (mutant, host) in [
        (Mutant::AckBeforeSync, EDGE),
        (Mutant::NoSync, EDGE),
        (Mutant::NoDirectorySync, EDGE),
        (Mutant::DedupeInMemoryOnly, HUB),
        (Mutant::CursorInNextCommit, HUB),
    ] {
        let caught =
            (0..200).map(dies(host)).any(|fault| !suffers(&fault, Time(0), Some(mutant)).wrong.is_empty());
        assert!(caught, "{mutant} survived");
    }
}

/// A host's disk is put back as it was six seconds ago.
fn restored(host: usize) -> Knobs {
    let mut knobs = small(60);
    knobs.faults = vec![(ms(8_000), Fault::Backup(host)), (ms(14_000), Fault::Restore(host))];
    knobs
}

/// What a machine loses with its disk was at the hub, or is said to be lost, and what comes later is not taken for it.
#[test]
fn stale_spool_image_and_then_new_messages() {
    let report = play(restored(EDGE), None);
    assert!(report.wrong.is_empty(), "{:#?}", report.wrong);
    assert!(report.counts.disk_lost > 5, "{:?}", report.counts);
}

#[test]
fn stale_hub_image_and_then_everybody_resumes() {
    let report = play(restored(HUB), None);
    assert!(report.wrong.is_empty(), "{:#?}", report.wrong);
    assert_eq!(report.counts.gapped, 0, "the spool has all of it: {:?}", report.counts);
}

/// The newest block of the spool is gone, the hub has it, and the next message gets its numbers or other ones.
#[test]
fn bit_flip_in_the_tail_after_it_was_confirmed() {
    for at in (6_000..18_000).step_by(500) {
        let mut knobs = small(60);
        knobs.faults = vec![(ms(at), Fault::FlipNewest(EDGE))];
        let report = play(knobs, None);
        assert!(report.wrong.is_empty(), "{at} ms: {:#?}", report.wrong);
    }
}

#[test]
fn hub_is_ten_years_ahead_from_one_moment_to_the_next_and_over_a_restart() {
    let mut knobs = small(60);
    knobs.faults = vec![
        (ms(8_000), Fault::Step(HUB, TEN_YEARS_MS)),
        (ms(12_000), Fault::Dies(HUB, Death::Power)),
        (ms(16_000), Fault::Step(HUB, -TEN_YEARS_MS)),
    ];
    let report = play(knobs, None);
    assert!(report.wrong.is_empty(), "{:#?}", report.wrong);
    assert_eq!(report.counts.gapped, 0);
}
