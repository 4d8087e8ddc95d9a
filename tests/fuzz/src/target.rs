//! What is attacked.

mod addresses;
mod archive;
mod broker;
mod client;
mod configuration;
mod entries;
mod folds;
mod lines;
mod link;
mod lobby;
mod mqtt;
mod names;
mod proofs;
mod raw;
mod recovery;
mod retained;
mod site;
mod tokens;
mod tty;

/// One parser: what it must hold, and good inputs to begin with.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name on the command line, and of its folder.
    pub name: &'static str,
    /// Panics if what it guards does not hold.
    pub run: fn(&[u8]),
    /// Good inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// How many there are.
const COUNT: usize = 18;

/// All of them.
pub const ALL: [Target; COUNT] = [
    Target { name: "mqtt", run: mqtt::run, seeds: mqtt::seeds },
    Target { name: "client", run: client::run, seeds: client::seeds },
    Target { name: "link", run: link::run, seeds: link::seeds },
    Target { name: "entries", run: entries::run, seeds: entries::seeds },
    Target { name: "recovery", run: recovery::run, seeds: recovery::seeds },
    Target { name: "names", run: names::run, seeds: names::seeds },
    Target { name: "configuration", run: configuration::run, seeds: configuration::seeds },
    Target { name: "tty", run: tty::run, seeds: tty::seeds },
    Target { name: "raw", run: raw::run, seeds: raw::seeds },
    Target { name: "lobby", run: lobby::run, seeds: lobby::seeds },
    Target { name: "broker", run: broker::run, seeds: broker::seeds },
    Target { name: "lines", run: lines::run, seeds: lines::seeds },
    Target { name: "addresses", run: addresses::run, seeds: addresses::seeds },
    Target { name: "tokens", run: tokens::run, seeds: tokens::seeds },
    Target { name: "proofs", run: proofs::run, seeds: proofs::seeds },
    Target { name: "folds", run: folds::run, seeds: folds::seeds },
    Target { name: "archive", run: archive::run, seeds: archive::seeds },
    Target { name: "retained", run: retained::run, seeds: retained::seeds },
];

impl Target {
    /// By its name.
    pub fn named(name: &str) -> Option<&'static Self> {
        static TARGETS: [Target; COUNT] = ALL;
        TARGETS.iter().find(|target| target.name == name)
    }
}
