//! The world of one run: programs, disks, clocks and the cable between them, and everything that can happen to
//! them.
//!
//! It does what a timeline says, and counts it. It decides nothing about what the programs made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use riser_integration::client::History;
use riser_integration::place::{Cable, Place};
use riser_integration::program::{EVENTUALLY, SOON};
use riser_timeline::{Cut, Mangle, Network, Scenario, Step, Who};
use rustix::process::Signal;

use crate::clock::Clock;
use crate::disk::{Disk, stop_all_threads};
use crate::mangler::Mangler;
use crate::site::Site;

/// The reader that is there from the beginning.
pub const BOARD: &str = "board";
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What there is. Programs go before the disks and the cable that they use.
pub struct World {
    /// The programs.
    pub site: Site,
    /// What the clients saw.
    pub history: History,
    /// How often each kind of thing was done.
    pub done: BTreeMap<&'static str, u64>,
    dice: fastrand::Rng,
    disks: BTreeMap<Who, Disk>,
    clocks: BTreeMap<Who, Clock>,
    frozen: BTreeSet<Who>,
    /// Whose disks have no room: they start, and are not ready to take anything.
    full: BTreeSet<Who>,
    /// Where strace says what it injected.
    injections: Vec<PathBuf>,
    mangler: Option<Mangler>,
    cable: Option<Cable>,
    folder: PathBuf,
}

impl World {
    /// Builds everything and starts the programs.
    pub fn build(scenario: &Scenario, seed: u64, folder: &Path) -> anyhow::Result<Self> {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mangler = match scenario.network {
            Network::Tun => Some(Mangler::start(dice.u64(..))?),
            Network::Here | Network::Cable => None,
        };
        let cable = match (scenario.network, &mangler) {
            (Network::Here, _) => None,
            (_, Some(mangler)) => Some(Cable::lay_between(&mangler.ends[0], &mangler.ends[1])),
            (_, None) => Some(Cable::lay()),
        };
        let mut disks = BTreeMap::new();
        for who in &scenario.disks {
            disks.insert(*who, Disk::make(&folder.join(who.to_string()))?);
        }
        let places = cable.as_ref().map(|cable| (cable.a.clone(), cable.b.clone()));
        let (hub_place, edge_place) = places.unwrap_or((Place::Here, Place::Here));
        let mut site = Site::lay_out(scenario, folder, hub_place, edge_place)?;
        disks.values().try_for_each(Disk::sync)?;
        let mut clocks = BTreeMap::new();
        for who in &scenario.clocks {
            let clock = Clock::make(&who.to_string(), folder)?;
            site.node(*who)?.environment = clock.environment();
            clocks.insert(*who, clock);
        }
        site.hub.start();
        site.edges.iter_mut().for_each(|edge| edge.start());
        Ok(Self {
            site,
            history: History::default(),
            done: BTreeMap::new(),
            dice,
            disks,
            clocks,
            frozen: BTreeSet::new(),
            full: BTreeSet::new(),
            injections: vec![],
            mangler,
            cable,
            folder: folder.to_owned(),
        })
    }

    /// Does these steps, one after the other.
    pub fn play(&mut self, steps: &[Step]) -> anyhow::Result<()> {
        for step in steps {
            self.step(step).with_context(|| format!("{step:?}"))?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Wait(least, most) => {
                let share = self.dice.f64();
                std::thread::sleep(*least + (*most - *least).mul_f64(share));
                Ok(())
            }
            Step::Repeat(times, steps) => (0..*times).try_for_each(|_| self.play(steps)),
            Step::UntilDelivered(more) => {
                let want = self.history.ledger().seen(BOARD) + more;
                self.wait("delivered", EVENTUALLY, |history| history.ledger().seen(BOARD) >= want)
            }
            Step::UntilEnded(who) => {
                self.site.node(*who)?.ended(EVENTUALLY);
                self.count("ended in a call")
            }
            Step::Kill(who) => {
                self.running(*who)?;
                self.site.node(*who)?.kill();
                self.frozen.remove(who);
                self.count("kills")
            }
            Step::Stop(who) => {
                self.running(*who)?;
                self.site.node(*who)?.stop();
                self.count("stops")
            }
            Step::Start(who, fault) => self.start(*who, fault.as_deref()),
            Step::Freeze(who) => {
                self.running(*who)?;
                stop_all_threads(self.site.node(*who)?.process().id())?;
                self.frozen.insert(*who);
                self.count("freezes")
            }
            Step::Thaw(who) => self.thaw(*who),
            Step::PowerLoss(who) => self.lose_power(*who),
            Step::Fill(who, free) => {
                self.disk(*who)?.fill(*free)?;
                self.full.insert(*who);
                self.count("full disks")
            }
            Step::Clear(who) => {
                self.full.remove(who);
                self.disk(*who)?.clear()
            }
            Step::Clock(who, seconds) => {
                self.clocks.get(who).with_context(|| format!("{who} has no clock"))?.set(*seconds)?;
                self.count("clock jumps")
            }
            Step::Cut(cut) => self.cut(*cut),
            Step::Mangle(mangle) => {
                self.mangler.as_ref().context("nothing mangles")?.set(*mangle);
                self.count("mangled")
            }
            Step::Heal => self.heal(),
        }
    }

    /// Whatever the timeline left broken is whole after it: everybody runs, all disks have room, the cable carries.
    pub fn make_whole(&mut self) -> anyhow::Result<()> {
        self.heal()?;
        for who in self.frozen.clone() {
            self.thaw(who)?;
        }
        self.disks.values().try_for_each(Disk::clear)?;
        self.full.clear();
        for who in self.site.everybody() {
            let node = self.site.node(who)?;
            if !node.is_started() {
                node.launch();
            }
        }
        self.everybody_runs()?;
        for who in self.site.everybody() {
            self.site.node(who)?.wait_ready();
        }
        Ok(())
    }

    /// Fails when a program ended that nobody ended.
    pub fn everybody_runs(&mut self) -> anyhow::Result<()> {
        self.site.everybody().into_iter().try_for_each(|who| self.running(who))
    }

    /// Fails when a fault that was ordered from strace never happened: such a run shows nothing.
    pub fn injected_faults_happened(&self) -> anyhow::Result<()> {
        for path in &self.injections {
            let said = fs::read_to_string(path).unwrap_or_default();
            let happened = said.contains("INJECTED") || said.contains("DELAYED");
            ensure!(happened, "the fault of {} never happened", path.display());
        }
        Ok(())
    }

    /// How many packets the cable carried, and how many it lost, where it is a program.
    pub fn packets(&self) -> Option<(u64, u64)> {
        self.mangler.as_ref().map(Mangler::counts)
    }

    /// Waits until a condition of the history holds. An error if a program ends meanwhile that nobody ended.
    pub fn wait(
        &mut self,
        what: &str,
        within: Duration,
        mut holds: impl FnMut(&History) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = std::time::Instant::now() + within;
        while !holds(&self.history) {
            if std::time::Instant::now() > deadline {
                bail!("not {what} within {within:?}\n{}", self.history.ledger().summary());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn count(&mut self, what: &'static str) -> anyhow::Result<()> {
        *self.done.entry(what).or_default() += 1;
        Ok(())
    }

    fn running(&mut self, who: Who) -> anyhow::Result<()> {
        let node = self.site.node(who)?;
        ensure!(node.is_started(), "{who} does not run");
        match node.process().status() {
            None => Ok(()),
            Some(status) => bail!("{who} ended by itself: {status}"),
        }
    }

    fn disk(&self, who: Who) -> anyhow::Result<&Disk> {
        self.disks.get(&who).with_context(|| format!("{who} has no disk of its own"))
    }

    fn start(&mut self, who: Who, fault: Option<&str>) -> anyhow::Result<()> {
        let is_full = self.full.contains(&who);
        let output = self.folder.join(format!("{who}.{}.strace", self.injections.len()));
        let node = self.site.node(who)?;
        ensure!(!node.is_started(), "{who} runs already");
        let Some(fault) = fault else {
            node.launch();
            if is_full {
                node.wait_alive()
            } else {
                node.wait_ready()
            }
            return Ok(());
        };
        let call = fault.split(':').next().unwrap_or_default();
        let (trace, inject) = (format!("trace={call}"), format!("inject={fault}"));
        let output_text = output.display().to_string();
        // -D: the program stays our own child.
        let strace = ["strace", "-D", "-f", "-qq", "-o", &output_text, "-e", &trace, "-e", &inject];
        node.under = strace.map(str::to_owned).into();
        node.launch();
        node.under = vec![];
        if fault.contains("signal=") {
            // It may end before it is ready.
            return Ok(());
        }
        node.wait_ready();
        self.injections.push(output);
        self.count("injections")
    }

    fn thaw(&mut self, who: Who) -> anyhow::Result<()> {
        self.running(who)?;
        self.site.node(who)?.process().signal(Signal::CONT);
        self.frozen.remove(&who);
        Ok(())
    }

    fn lose_power(&mut self, who: Who) -> anyhow::Result<()> {
        self.running(who)?;
        stop_all_threads(self.site.node(who)?.process().id())?;
        self.disk(who)?.lose_power()?;
        self.site.node(who)?.kill();
        self.frozen.remove(&who);
        self.disk(who)?.restore_power()?;
        self.count("power losses")
    }

    fn cut(&mut self, cut: Cut) -> anyhow::Result<()> {
        // The hub is at the end a.
        let cable = self.cable.as_ref().context("there is no cable")?;
        match cut {
            Cut::Both => {
                cable.swallow_from_a();
                cable.swallow_from_b();
            }
            Cut::Up => cable.swallow_from_b(),
            Cut::Down => cable.swallow_from_a(),
            Cut::Reset => cable.reset_all(),
            Cut::Unplug => cable.cut(),
        }
        self.count("cuts")
    }

    fn heal(&mut self) -> anyhow::Result<()> {
        if let Some(cable) = &self.cable {
            cable.heal();
            cable.swallow_nothing();
        }
        if let Some(mangler) = &self.mangler {
            mangler.set(Mangle::default());
        }
        Ok(())
    }
}

/// How long a healthy site takes until it flows.
pub const FLOWS_WITHIN: Duration = SOON;
