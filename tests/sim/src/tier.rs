//! The two cores behind one face: what a host does is the same for both, but for their links.

use riser_edge_core::{EdgeCore, LinkInput as EdgeInput, LinkOutput as EdgeLink};
use riser_hub_core::{HubCore, LinkInput as HubInput};
use riser_ingest::{Below, LinkInput as FromEdge, LinkOutput as HubLink};
use riser_instance::{
    Core, Instance, Output as InstanceOutput,
    core::{Input, Output as CoreOutput},
};
use riser_model::{Now, Seq, Time};
use std::convert::Infallible;

/// One of the cores.
pub enum Tier {
    /// An edge's.
    Edge(Box<EdgeCore>),
    /// A hub's.
    Hub(Box<HubCore>),
}

/// What a core wants done.
#[derive(Debug)]
pub enum Output {
    /// Something of the instance.
    Instance(InstanceOutput),
    /// Read the log for a link.
    ReadForLink {
        /// To be echoed.
        ticket: u64,
        /// From here.
        from: Seq,
        /// About so much.
        max_bytes: u32,
    },
    /// Something for an uplink's socket.
    Edge(EdgeLink),
    /// Something for a link's socket at the hub.
    Hub(HubLink),
}

impl Tier {
    /// Takes an input that is no link's.
    pub fn handle(&mut self, input: Input<Infallible>, now: Now) {
        match self {
            Self::Edge(core) => core.handle(widened(input), now),
            Self::Hub(core) => core.handle(widened(input), now),
        }
    }

    /// Takes what an uplink's socket brings.
    pub fn edge_link(&mut self, input: EdgeInput, now: Now) {
        match self {
            Self::Edge(core) => core.handle(Input::Link(input), now),
            Self::Hub(_) => {}
        }
    }

    /// Takes what a link's socket brings from below.
    pub fn hub_link(&mut self, input: FromEdge, now: Now) {
        match self {
            Self::Hub(core) => core.handle(Input::Link(HubInput::Below(input)), now),
            Self::Edge(core) => core.handle(Input::Link(EdgeInput::Below(input)), now),
        }
    }

    /// The wall clock was stepped.
    pub fn clock_stepped(&mut self, by_ms: i64, now: Now) {
        match self {
            Self::Edge(core) => core.handle(Input::Link(EdgeInput::ClockStepped(by_ms)), now),
            Self::Hub(core) => core.handle(Input::Link(HubInput::ClockStepped(by_ms)), now),
        }
    }

    /// What it wants done next.
    pub fn poll(&mut self, now: Now) -> Option<Output> {
        match self {
            Self::Edge(core) => core.poll(now).map(|output| narrowed(output, Output::Edge)),
            Self::Hub(core) => core.poll(now).map(|output| narrowed(output, Output::Hub)),
        }
    }

    /// When it wants its deadline.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Edge(core) => core.poll_timeout(),
            Self::Hub(core) => core.poll_timeout(),
        }
    }

    /// Whether a shutdown is done.
    pub fn is_drained(&self) -> bool {
        match self {
            Self::Edge(core) => core.is_drained(),
            Self::Hub(core) => core.is_drained(),
        }
    }

    /// The instance, to look at.
    pub fn instance(&self) -> &Instance {
        match self {
            Self::Edge(core) => core.instance(),
            Self::Hub(core) => core.instance(),
        }
    }

    fn below(&self) -> &Below {
        match self {
            Self::Edge(core) => core.below(),
            Self::Hub(core) => core.below(),
        }
    }

    /// An equation that does not hold.
    pub fn broken_equation(&self) -> Option<String> {
        let up = match self {
            Self::Edge(core) => Some(core.uplinks().flat_map(|(_, uplink)| uplink.sender.tallies())),
            Self::Hub(_) => None,
        };
        let down = self.below().downlinks().tallies().map(|(_, epoch, tally)| (epoch, tally));
        let mut broken = up.into_iter().flatten().chain(down).filter(|(_, tally)| !tally.holds());
        broken.next().map(|(epoch, tally)| format!("epoch {:x}: {tally:?}", epoch.0))
    }

    /// A way down that has not passed everything.
    pub fn behind_downwards(&self, now: Now) -> Option<String> {
        let mut behind =
            self.below().downlinks().statuses(now).filter(|(_, status)| !status.welcomed || status.lag() > 0);
        behind.next().map(|(edge, status)| format!("the way down to {edge} is behind: {status:?}"))
    }

    /// Whether an edge's hub has confirmed everything.
    pub fn is_synced(&self, now: Now) -> bool {
        match self {
            Self::Edge(core) => core.uplinks().all(|(_, uplink)| uplink.sender.status(now).lag() == 0),
            Self::Hub(_) => true,
        }
    }
}

fn widened<L>(input: Input<Infallible>) -> Input<L> {
    match input {
        Input::Instance(input) => Input::Instance(input),
        Input::Link(never) => match never {},
        Input::ReadForLink { ticket, chunk } => Input::ReadForLink { ticket, chunk },
        Input::Lost(gaps) => Input::Lost(gaps),
        Input::Changed { directory, rooms } => Input::Changed { directory, rooms },
        Input::Deadline => Input::Deadline,
        Input::Shutdown => Input::Shutdown,
    }
}

fn narrowed<E>(output: CoreOutput<E>, link: impl FnOnce(E) -> Output) -> Output {
    match output {
        CoreOutput::Instance(output) => Output::Instance(output),
        CoreOutput::ReadForLink { ticket, from, max_bytes } => {
            Output::ReadForLink { ticket, from, max_bytes }
        }
        CoreOutput::Link(output) => link(output),
    }
}
