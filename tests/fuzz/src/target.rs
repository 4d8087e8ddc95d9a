//! What is attacked.

mod client;
mod configuration;
mod entries;
mod link;
mod mqtt;
mod names;
mod recovery;
mod site;

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

/// All of them.
pub const ALL: [Target; 7] = [
    Target { name: "mqtt", run: mqtt::run, seeds: mqtt::seeds },
    Target { name: "client", run: client::run, seeds: client::seeds },
    Target { name: "link", run: link::run, seeds: link::seeds },
    Target { name: "entries", run: entries::run, seeds: entries::seeds },
    Target { name: "recovery", run: recovery::run, seeds: recovery::seeds },
    Target { name: "names", run: names::run, seeds: names::seeds },
    Target { name: "configuration", run: configuration::run, seeds: configuration::seeds },
];

impl Target {
    /// By its name.
    pub fn named(name: &str) -> Option<&'static Self> {
        static TARGETS: [Target; 7] = ALL;
        TARGETS.iter().find(|target| target.name == name)
    }
}
