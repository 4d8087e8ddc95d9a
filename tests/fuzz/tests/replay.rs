//! Every kept input, every good one, and some fresh hostile ones, on every target.
#![allow(clippy::unwrap_used, reason = "tests")]

use fastrand::Rng;
use riser_fuzz::{corpus, mutation, target::ALL};

/// Fresh inputs per target. Fixed seeds: a check that fails must fail again.
const FRESH: u64 = 1_500;

#[test]
fn nothing_hostile_breaks_what_holds() {
    for target in ALL {
        let mut seeds = (target.seeds)();
        seeds.iter().for_each(|seed| (target.run)(seed));
        for (name, bytes) in corpus::kept(target.name).unwrap() {
            println!("{}: {name}", target.name);
            (target.run)(&bytes);
            seeds.push(bytes);
        }
        let mut rng = Rng::with_seed(20);
        for n in 0..FRESH {
            let bytes = mutation::mutated(&mut rng, &seeds);
            println!("{}: {n} {:02x?}", target.name, bytes.get(..200.min(bytes.len())).unwrap());
            (target.run)(&bytes);
        }
    }
}
