//! One run: publish all the while, let it happen, make whole, drain, judge.

use crate::{
    plan::{EDGES, Fault, Plan, Who},
    site::{ACCOUNT, Node, ROOM, Site},
};
use anyhow::{Context, anyhow, ensure};
use riser_chaos::{history, publisher, reader};
use riser_integration::ledger::{Account, Ledger};
use std::{collections::VecDeque, net::IpAddr, path::Path, time::Duration};
use tokio::sync::watch;
use turmoil::{Builder, Sim};

/// The dashboard.
const BOARD: &str = "board";
/// The one that reads everything once more at the end.
const AUDITOR: &str = "auditor";
/// From when everything is whole until everything is where it belongs.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);
/// A run that lasts longer hangs.
const ENDS_WITHIN: Duration = Duration::from_secs(900);

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What became of what was accepted, by the dashboard.
    pub account: Account,
    /// Virtual time.
    pub took: Duration,
}

/// Runs a plan. An error is a violation, with the plan.
pub fn run(plan: &Plan) -> anyhow::Result<Outcome> {
    let mut builder = tempfile::Builder::new();
    let folder = builder.prefix("riser-turmoil-");
    // Disks are not what is tested, and a sync of a real one takes real time.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { folder.tempdir_in(memory) } else { folder.tempdir() };
    let folder = folder.context("make a folder")?;
    let site = Site::lay_out(folder.path())?;
    history::clear();
    let mut world = World::build(plan, site);
    let played = world.play(plan).with_context(|| format!("at {:?}", world.sim.elapsed()));
    let took = world.sim.elapsed();
    drop(world);
    played.map(|account| Outcome { account, took }).with_context(|| format!("{plan:#?}"))
}

struct World<'a> {
    sim: Sim<'a>,
    site: Site,
    end: watch::Sender<bool>,
    ledger: Ledger,
    /// What is to be undone, and when.
    open: VecDeque<(Duration, Fault)>,
}

impl World<'_> {
    fn build(plan: &Plan, site: Site) -> Self {
        let mut sim = Builder::new()
            .rng_seed(plan.seed)
            .simulation_duration(ENDS_WITHIN)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(plan.latency)
            .tcp_capacity(4096)
            .enable_random_order()
            .build();
        let hub = site.hub.clone();
        sim.host(hub.address, move || hub.clone().run_hub());
        for edge in &site.edges {
            let edge = edge.clone();
            sim.host(edge.address, move || edge.clone().run_edge());
        }
        let end = watch::Sender::new(false);
        for (number, edge) in site.edges.iter().enumerate() {
            let asked = asked(plan, edge, format!("edge{number}-s"), None);
            let told = end.subscribe();
            sim.client(format!("device{number}"), async move { Ok(publisher::run(asked, told).await?) });
        }
        let mut world = Self { sim, site, end, ledger: Ledger::default(), open: VecDeque::new() };
        world.read(BOARD);
        world
    }

    fn read(&mut self, name: &'static str) {
        let server = self.site.hub.http();
        self.sim.host(name, move || async move {
            let (account, room) = (ACCOUNT.to_owned(), ROOM.to_owned());
            Ok(reader::run(reader::Asked { server, account, room, reader: name.to_owned() }).await?)
        });
    }

    fn play(&mut self, plan: &Plan) -> anyhow::Result<Account> {
        let mut coming: VecDeque<_> = plan.happenings.iter().copied().collect();
        while self.sim.elapsed() < plan.publishing || !coming.is_empty() || !self.open.is_empty() {
            while let Some(happening) = coming.pop_front_if(|next| next.at <= self.sim.elapsed()) {
                self.begin(happening.fault);
                self.open.push_back((self.sim.elapsed() + happening.lasts, happening.fault));
            }
            let now = self.sim.elapsed();
            let over: Vec<Fault> =
                self.open.iter().filter(|(until, _)| *until <= now).map(|(_, fault)| *fault).collect();
            self.open.retain(|(until, _)| *until > now);
            // Others of the same kind may still last: what is over is mended, and those are begun again.
            over.into_iter().for_each(|fault| self.mend(fault));
            let lasting: Vec<Fault> = self.open.iter().map(|(_, fault)| *fault).collect();
            lasting.into_iter().for_each(|fault| self.keep(fault));
            self.step()?;
        }
        // Devices send what they still hold, and end.
        self.end.send_replace(true);
        self.until("every device has its acknowledgements", |world, finished| {
            finished && world.ledger.seen(BOARD) > 0
        })?;
        // One more of each edge: whatever it had before lies in the hub's log before that.
        for (number, edge) in self.site.edges.iter().enumerate() {
            let asked = asked(plan, edge, format!("edge{number}-last"), Some(1));
            let told = self.end.subscribe();
            self.end.send_replace(false);
            self.sim.client(format!("last{number}"), async move { Ok(publisher::run(asked, told).await?) });
        }
        self.until("the last ones have theirs", |_, finished| finished)?;
        self.until("everything has arrived", |world, _| world.ledger.account(BOARD).silent == 0)?;
        self.read(AUDITOR);
        self.until("everything is read once more", |world, _| {
            world.ledger.seen(AUDITOR) >= world.ledger.seen(BOARD)
                && world.ledger.account(AUDITOR).silent == 0
        })?;
        self.judge()
    }

    /// One tick.
    fn step(&mut self) -> anyhow::Result<bool> {
        let finished = self.sim.step().map_err(|error| anyhow!("a host ended: {error}"))?;
        history::take().into_iter().for_each(|line| self.ledger.enter(line));
        Ok(finished)
    }

    fn until(&mut self, what: &str, mut is: impl FnMut(&Self, bool) -> bool) -> anyhow::Result<()> {
        let deadline = self.sim.elapsed() + DRAINED_WITHIN;
        loop {
            let finished = self.step()?;
            // The ledger's sums cost more than a tick.
            if self.sim.elapsed().as_millis().is_multiple_of(250) && is(self, finished) {
                return Ok(());
            }
            ensure!(
                self.sim.elapsed() < deadline,
                "not within {DRAINED_WITHIN:?}: {what}; {:?}",
                self.ledger.account(BOARD)
            );
        }
    }

    fn judge(&self) -> anyhow::Result<Account> {
        for reader in [BOARD, AUDITOR] {
            let account = self.ledger.account(reader);
            ensure!(account.accepted > 0 && account.delivered > 0, "{reader}: nothing was shown");
            ensure!(account.is_clean(), "{reader}: {account:?}");
            ensure!(
                account.causes.is_empty(),
                "{reader} was told of a loss that nothing explains: {account:?}"
            );
            for mark in [reader::torn(reader), reader::stranger(reader)] {
                ensure!(!self.ledger.has_mark(&mark), "{mark}");
            }
        }
        let differences = self.ledger.differences(BOARD, AUDITOR);
        ensure!(differences.is_empty(), "{}", differences.join("\n"));
        Ok(self.ledger.account(BOARD))
    }

    fn ends(&self, edge: usize) -> (IpAddr, IpAddr) {
        (self.site.edges[edge].address, self.site.hub.address)
    }

    fn address(&self, who: Who) -> IpAddr {
        match who {
            Who::Hub => self.site.hub.address,
            Who::Edge(edge) => self.site.edges[edge % EDGES].address,
        }
    }

    fn begin(&mut self, fault: Fault) {
        tracing::info!(?fault, at = ?self.sim.elapsed(), "begins");
        match fault {
            Fault::Crash { who } => self.sim.crash(self.address(who)),
            Fault::Cut { .. } | Fault::Held { .. } => self.keep(fault),
        }
    }

    /// Of the network only: a process that crashed stays down by itself.
    fn keep(&mut self, fault: Fault) {
        match fault {
            Fault::Cut { edge, up, down } => {
                let (edge, hub) = self.ends(edge);
                if up {
                    self.sim.partition_oneway(edge, hub);
                }
                if down {
                    self.sim.partition_oneway(hub, edge);
                }
            }
            Fault::Held { edge } => {
                let (edge, hub) = self.ends(edge);
                self.sim.hold(edge, hub);
            }
            Fault::Crash { .. } => {}
        }
    }

    fn mend(&mut self, fault: Fault) {
        tracing::info!(?fault, at = ?self.sim.elapsed(), "is over");
        match fault {
            Fault::Cut { edge, .. } | Fault::Held { edge } => {
                let (edge, hub) = self.ends(edge);
                self.sim.release(edge, hub);
                self.sim.repair(edge, hub);
            }
            Fault::Crash { who } => {
                // Another crash of the same may still last: whichever is over first starts it.
                let address = self.address(who);
                if !self.sim.is_host_running(address) {
                    self.sim.bounce(address);
                }
            }
        }
    }
}

fn asked(plan: &Plan, edge: &Node, stream: String, count: Option<u64>) -> publisher::Asked {
    publisher::Asked {
        server: edge.mqtt(),
        stream,
        room: ROOM.to_owned(),
        rate: plan.rate,
        window: plan.window,
        size: 120,
        version: if plan.seed.is_multiple_of(2) { 5 } else { 4 },
        count,
    }
}
