//! What happens in a run: drawn from the seed, in virtual time.

use fastrand::Rng;
use std::time::Duration;

/// Edges of a run.
pub const EDGES: usize = 2;

/// Who it happens to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// The hub.
    Hub,
    /// The edge of that number, from 0.
    Edge(usize),
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing passes between an edge and the hub, in one direction or both.
    Cut {
        /// Which edge.
        edge: usize,
        /// What the edge says does not arrive.
        up: bool,
        /// What the hub says does not arrive.
        down: bool,
    },
    /// Everything on its way between them waits, and comes at once when this is over.
    Held {
        /// Which edge.
        edge: usize,
    },
    /// A process is gone with all that it had not synced, and starts again when this is over.
    Crash {
        /// Which.
        who: Who,
    },
}

/// One of them, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Happening {
    /// From the start of the run.
    pub at: Duration,
    /// For how long.
    pub lasts: Duration,
    /// What.
    pub fault: Fault,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// By which everything was drawn.
    pub seed: u64,
    /// Publications per second of each device.
    pub rate: u64,
    /// Unacknowledged at a time.
    pub window: usize,
    /// What a segment takes to pass the network at most.
    pub latency: Duration,
    /// How long devices publish.
    pub publishing: Duration,
    /// In the order in which they begin.
    pub happenings: Vec<Happening>,
}

impl Plan {
    /// Draws one.
    pub fn of(seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let publishing = Duration::from_secs(dice.u64(60..150));
        let mut happenings: Vec<Happening> =
            (0..dice.usize(3..9)).map(|_| happening(&mut dice, publishing)).collect();
        happenings.sort_by_key(|happening| happening.at);
        Self {
            seed,
            rate: dice.u64(5..40),
            window: dice.usize(1..64),
            latency: Duration::from_millis(dice.u64(2..120)),
            publishing,
            happenings,
        }
    }
}

fn happening(dice: &mut Rng, within: Duration) -> Happening {
    let at = Duration::from_millis(dice.u64(2_000..within.as_millis() as u64));
    // Some are over before anybody notices, some outlast every timeout.
    let lasts = Duration::from_millis(if dice.bool() { dice.u64(5..2_000) } else { dice.u64(2_000..30_000) });
    let edge = dice.usize(0..EDGES);
    let fault = match dice.u8(0..6) {
        0 => Fault::Cut { edge, up: true, down: true },
        1 => Fault::Cut { edge, up: true, down: false },
        2 => Fault::Cut { edge, up: false, down: true },
        3 => Fault::Held { edge },
        4 => Fault::Crash { who: Who::Hub },
        _ => Fault::Crash { who: Who::Edge(edge) },
    };
    Happening { at, lasts, fault }
}
