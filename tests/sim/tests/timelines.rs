//! The timelines of the chaos runner, in virtual time.
#![allow(clippy::panic, reason = "tests")]

use riser_sim::{
    mutant::Mutant,
    timeline::{Played, play},
};
use riser_timeline::{Scenario, shelf};

/// What no part here stands for. Nothing else may be left out of a timeline that is shipped.
const LEFT_OUT: [(&str, &str); 4] = [
    ("bad-link", "mangle duplicate: a connection here hides it"),
    ("partition", "cut unplug: no carrier is as cut both"),
    ("thin-link", "mangle duplicate: a connection here hides it"),
    ("thin-link", "mangle reorder: a connection here hides it"),
];

fn played(text: &str) -> Played {
    play(&Scenario::parse("here", text).expect("it is a timeline"), 1, None, false)
}

#[test]
fn every_timeline_holds_here_too_and_what_is_left_out_of_it_is_known() {
    let scenarios = shelf::all().unwrap();
    let mut violated = Vec::new();
    for scenario in scenarios.iter().filter(|scenario| !scenario.long) {
        let played = play(scenario, 1, None, false);
        println!("{}", played.line(&scenario.name));
        if !played.report.wrong.is_empty() {
            violated.push((scenario.name.clone(), played.report.wrong.clone()));
        }
        assert!(played.report.counts.delivered >= 20, "{}: {:?}", scenario.name, played.report.counts);
        let known = |what: &str| LEFT_OUT.iter().any(|known| *known == (&scenario.name, what));
        let unknown: Vec<&String> = played.left_out.iter().filter(|what| !known(what)).collect();
        assert!(unknown.is_empty(), "{} leaves out {unknown:?}", scenario.name);
    }
    assert!(
        violated.is_empty(),
        "see one with: cargo run --release -p riser-sim -- timeline NAME --trace\n{violated:#?}"
    );
}

#[test]
fn what_a_timeline_says_and_nothing_here_does_is_named() {
    let played = played(
        "about x\nset hub limits.connections = 5\nuntil delivered 50\nstop edge\nstart edge with openat:error=EMFILE:when=3\n\
         until delivered 50",
    );
    assert!(played.report.wrong.is_empty(), "{:?}", played.report.wrong);
    let left_out: Vec<&String> = played.left_out.iter().collect();
    assert_eq!(left_out, ["set hub limits.connections = 5", "start edge1 with openat:error=EMFILE:when=3"]);
}

#[test]
fn wrong_variants_do_not_get_through_a_timeline() {
    for (name, mutant) in [
        ("power-edge", Mutant::AckBeforeSync),
        ("power-hub", Mutant::NoSync),
        ("partition", Mutant::DeliveryDropped),
        ("kill-storm", Mutant::DedupeInMemoryOnly),
    ] {
        let played = play(&shelf::find(name).unwrap(), 1, Some(mutant), false);
        assert!(!played.report.wrong.is_empty(), "{mutant} survived {name}");
    }
}

#[test]
fn timelines_that_come_to_nothing_are_violated() {
    for (text, named) in [
        // Nobody starts the edge, and nobody waits for it.
        ("about x\nkill edge\nkill edge", "does not run"),
        ("about x\nnetwork cable\ncut both\nuntil delivered 10", "not delivered"),
        ("about x\nstop edge\nstart edge with fdatasync:error=EIO:when=90000\nwait 1", "never happened"),
        ("about x\nexpect loss\nuntil delivered 10", "nothing was seen to be lost"),
        // What is gone is announced, and nobody said that it may be.
        (
            "about x\nnetwork cable\nset edge quota.bytes = \"8 MiB\"\nset edge quota.segment = \"2 MiB\"\n\
             set edge quota.policy = \"drop_oldest\"\nload rate=300 size=4000\nwait 1\ncut both\nwait 10\nheal",
            "gone for quota",
        ),
    ] {
        let wrong = played(text).report.wrong;
        assert!(wrong.iter().any(|(_, what)| what.contains(named)), "{text:?} says {wrong:?}, not {named:?}");
    }
}
