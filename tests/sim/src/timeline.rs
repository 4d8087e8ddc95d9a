//! A timeline of the chaos runner, played here: the same steps, in virtual time, under this ledger.
//!
//! Rates and sizes of logs and disks are a tenth of what the timeline says, so that a second of it is no more work than it
//! is worth. What a timeline says and the simulator has no part for is in [`Played::left_out`], never passed over.

mod calls;

use crate::{
    Report,
    dice::Dice,
    disk::Injection,
    fault::{Death, Fault},
    knobs::{DeviceKnobs, Knobs, Theme},
    mutant::Mutant,
    run::{finish, settles},
    site::{self, Memory},
    subscriber::{Identity as Reader, Reads},
    trace::shown,
    wires::{Quality, Road},
    world::World,
};
use fastrand::Rng;
use riser_log::{Config as LogConfig, Holds, OnFull};
use riser_model::Time;
use riser_timeline::{Cut, Load, Mangle, Scenario, Step, Who};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What is a tenth of what the timeline says.
const SCALE: u64 = 10;
/// What must come does, within so long.
const EVENTUALLY: Duration = Duration::from_secs(120);
/// How often it is looked whether it has come.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What nothing spoils.
const CABLE: Quality =
    Quality { delay: Duration::from_micros(300), jitter: Duration::from_micros(100), rate: 50_000_000 };

/// What came of a timeline.
#[derive(Debug)]
pub struct Played {
    /// What came of the run.
    pub report: Report,
    /// What was done, and how often.
    pub done: BTreeMap<&'static str, u64>,
    /// What the timeline says, and was not done or not as it says.
    pub left_out: BTreeSet<String>,
}

impl Played {
    /// The one line that people read.
    pub fn line(&self, name: &str) -> String {
        let counts = &self.report.counts;
        let done: Vec<String> = self.done.iter().map(|(what, times)| format!("{what} {times}")).collect();
        let verdict = if self.report.wrong.is_empty() { "clean" } else { "VIOLATION" };
        format!(
            "{name:<16} seed {}: {} acknowledged, {} at the hub, {} delivered, {} under gaps, {} s; {}: {verdict}",
            self.report.seed,
            counts.acked,
            counts.hub_entries,
            counts.delivered,
            counts.gapped,
            self.report.lasted.as_secs(),
            done.join(", ")
        )
    }
}

/// Plays a timeline to its end, makes everything whole, and judges it.
pub fn play(scenario: &Scenario, seed: u64, mutant: Option<Mutant>, traced: bool) -> Played {
    let mut left_out = BTreeSet::new();
    let knobs = knobs(scenario, &mut left_out);
    let mut world = World::new(seed, knobs, mutant, traced);
    world.by_hand = true;
    world.seat(reader("ann"), Time(0), CABLE);
    let dice = Dice(seed).stream("timeline", 0);
    let mut player = Player {
        world,
        scenario,
        dice,
        done: BTreeMap::new(),
        left_out,
        full: BTreeSet::new(),
        injections: BTreeMap::new(),
    };
    player.until("flowing", |world| delivered(world) >= 10 && all_run(world));
    player.steps(&scenario.steps);
    player.make_whole();
    player.judge(seed)
}

struct Player<'a> {
    world: World,
    scenario: &'a Scenario,
    dice: Rng,
    done: BTreeMap<&'static str, u64>,
    left_out: BTreeSet<String>,
    /// Whose disks have no room: they need not start.
    full: BTreeSet<usize>,
    /// Faults in calls that must happen before the process is started anew.
    injections: BTreeMap<usize, Injection>,
}

impl Player<'_> {
    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            let at = self.world.now;
            self.world.trace.line(at, || format!("step {step:?}"));
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(least, most) => {
                let share = self.dice.f64();
                self.passes(*least + (*most - *least).mul_f64(share));
            }
            Step::Repeat(times, steps) => (0..*times).for_each(|_| self.steps(steps)),
            Step::UntilDelivered(more) => {
                let want = delivered(&self.world) + more / SCALE;
                self.until("delivered", |world| delivered(world) >= want);
            }
            Step::UntilEnded(who) => {
                let n = number(*who);
                self.until("ended", |world| !world.hosts[n].is_up());
                self.count("ended in a call");
            }
            Step::Kill(who) => self.dies(*who, Death::Kill, "kills"),
            Step::PowerLoss(who) => self.dies(*who, Death::Power, "power losses"),
            Step::Stop(who) => {
                let n = self.running(*who);
                self.world.suffer(Fault::Restart(n));
                self.until("stopped", |world| !world.hosts[n].is_up());
                self.count("stops");
            }
            Step::Start(who, fault) => self.start(*who, fault.as_deref()),
            Step::Freeze(who) => {
                let n = self.running(*who);
                self.world.freeze(n);
                self.count("freezes");
            }
            Step::Thaw(who) => self.world.thaw(number(*who)),
            Step::Fill(who, free) => {
                let n = number(*who);
                self.full.insert(n);
                self.world.hosts[n].troubled = true;
                self.world.hosts[n].disk.set_free(Some(free / SCALE));
                self.count("full disks");
            }
            Step::Clear(who) => {
                self.full.remove(&number(*who));
                self.world.hosts[number(*who)].disk.set_free(None);
            }
            Step::Clock(who, seconds) => {
                let n = number(*who);
                let by_ms = seconds.saturating_mul(1000).saturating_sub(self.world.hosts[n].skew_ms);
                self.world.suffer(Fault::Step(n, by_ms));
                self.count("clock jumps");
            }
            Step::Cut(cut) => self.cut(*cut),
            Step::Mangle(mangle) => self.mangle(mangle),
            Step::Heal => self.heal(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn wrong(&mut self, what: String) {
        let at = self.world.now;
        self.world.trace.wrong(at, what);
    }

    fn passes(&mut self, time: Duration) {
        let until = self.world.now.plus(time);
        self.world.run_until(until);
    }

    fn until(&mut self, what: &str, holds: impl Fn(&World) -> bool) {
        let deadline = self.world.now.plus(EVENTUALLY);
        while !holds(&self.world) {
            if self.world.now > deadline {
                return self.wrong(format!("not {what} within {} s", EVENTUALLY.as_secs()));
            }
            self.passes(LOOK_EVERY);
        }
    }

    /// The host of that name. Nobody has ended who was not ended.
    fn running(&mut self, who: Who) -> usize {
        let n = number(who);
        if !self.world.hosts[n].is_up() {
            self.wrong(format!("{who} does not run"));
        }
        n
    }

    fn dies(&mut self, who: Who, death: Death, what: &'static str) {
        let n = self.running(who);
        self.world.die(n, death);
        self.count(what);
    }

    fn start(&mut self, who: Who, fault: Option<&str>) {
        let n = number(who);
        let injection = fault.and_then(|fault| {
            let injection = calls::injection(fault);
            if injection.is_none() {
                self.left_out.insert(format!("start {who} with {fault}"));
            }
            injection
        });
        let may_end = injection.as_ref().is_some_and(calls::ends);
        self.injects(n, injection);
        self.world.boot(n);
        // What a process does before it is ready takes a while.
        let takes = Duration::from_millis(self.dice.u64(5..200));
        self.passes(takes);
        if !may_end && !self.full.contains(&n) {
            self.until("started", |world| world.hosts[n].is_up());
        }
    }

    /// What was ordered before must have happened: a run whose faults did not shows nothing.
    fn injects(&mut self, n: usize, injection: Option<Injection>) {
        let before = self.injections.remove(&n);
        if let Some(before) = before.filter(|_| self.world.hosts[n].disk.injected() == 0) {
            self.wrong(format!("host {n}: {before:?} never happened"));
        }
        if let Some(injection) = &injection {
            self.injections.insert(n, injection.clone());
            self.count("injections");
        }
        self.world.inject(n, injection);
    }

    fn roads(&self) -> impl Iterator<Item = Road> + use<> {
        (1..=self.scenario.edges).map(Road::Uplink)
    }

    fn cut(&mut self, cut: Cut) {
        for road in self.roads() {
            let (up, down) = match cut {
                Cut::Both | Cut::Unplug => (true, true),
                Cut::Up => (true, false),
                Cut::Down => (false, true),
                Cut::Reset => {
                    self.world.net.set_resets(road, true);
                    self.world.reset(road);
                    continue;
                }
            };
            let now = self.world.now;
            self.world.net.cut(road, up, down, now);
        }
        if cut == Cut::Unplug {
            self.left_out.insert("cut unplug: no carrier is as cut both".to_owned());
        }
        self.count("cuts");
    }

    fn mangle(&mut self, mangle: &Mangle) {
        let quality = Quality {
            delay: CABLE.delay + mangle.delay,
            jitter: CABLE.jitter + mangle.jitter,
            rate: CABLE.rate,
        };
        for road in self.roads() {
            self.world.net.spoil(road, quality, mangle.loss);
        }
        for (what, share) in [("reorder", mangle.reorder), ("duplicate", mangle.duplicate)] {
            if share > 0.0 {
                self.left_out.insert(format!("mangle {what}: a connection here hides it"));
            }
        }
        self.count("mangled");
    }

    fn heal(&mut self) {
        for road in self.roads() {
            let now = self.world.now;
            self.world.net.set_resets(road, false);
            self.world.net.cut(road, false, false, now);
            self.world.net.spoil(road, CABLE, 0.0);
        }
    }

    /// Whatever the timeline left broken is whole after it, and everybody runs.
    fn make_whole(&mut self) {
        self.heal();
        self.full.clear();
        for n in 0..self.world.hosts.len() {
            self.world.thaw(n);
            self.world.hosts[n].disk.set_free(None);
            self.injects(n, None);
            self.world.boot(n);
        }
        self.until("started", all_run);
        self.world.heal();
    }

    fn judge(mut self, seed: u64) -> Played {
        settles(&mut self.world, self.scenario.drain);
        // Whoever comes last reads everything once more.
        let now = self.world.now;
        self.world.seat(reader("cleo"), now, CABLE);
        settles(&mut self.world, self.scenario.drain);
        self.only_allowed_gaps();
        let mut report = finish((Theme::Site, seed), self.world);
        if self.scenario.expects_loss {
            expects_loss(&mut report);
        }
        Played { report, done: self.done, left_out: self.left_out }
    }

    fn only_allowed_gaps(&mut self) {
        let allowed = |cause: &str| self.scenario.allowed.iter().any(|one| one == cause);
        let causes: BTreeSet<&str> = self.world.ledger.causes().filter(|cause| !allowed(cause)).collect();
        for cause in causes {
            self.wrong(format!("something is gone for {cause}, which nothing here explains"));
        }
    }
}

/// Where something must be lost: that it is seen is what is shown.
fn expects_loss(report: &mut Report) {
    let losses = ["without injected damage", "of its log at an opening", "is nowhere"];
    let is_loss = |what: &str| losses.iter().any(|loss| what.contains(loss));
    if report.wrong.iter().any(|(_, what)| is_loss(what)) {
        for (at, what) in report.wrong.drain(..) {
            report.lines.push(format!("{} as it must be: {what}", shown(at)));
        }
    } else {
        let at = Time(0).plus(report.lasted);
        report.wrong.push((at, "nothing was seen to be lost".to_owned()));
    }
}

fn number(who: Who) -> usize {
    match who {
        Who::Hub => 0,
        Who::Edge(n) => n + 1,
    }
}

fn all_run(world: &World) -> bool {
    world.hosts.iter().all(|host| host.is_up())
}

fn delivered(world: &World) -> u64 {
    world.subscribers.first().map_or(0, |seat| seat.reading.messages)
}

fn reader(user: &str) -> Reader {
    Reader {
        user: user.to_owned(),
        password: site::password(user),
        room: site::PLANT.to_owned(),
        filter: "#".to_owned(),
        reads: Reads::Credit,
        from_start: true,
        forgets: false,
        visits: None,
        settles_at: Time(u64::MAX),
    }
}

/// How the run of a scenario is.
fn knobs(scenario: &Scenario, left_out: &mut BTreeSet<String>) -> Knobs {
    let edge_log = LogConfig {
        holds: Holds { custodians: 1, downlinks_as_views: true, ..Holds::default() },
        ..tenth(LogConfig::edge())
    };
    let (mut edge_log, mut hub_log) = (edge_log, tenth(LogConfig::hub()));
    for (who, line) in &scenario.settings {
        let log = if *who == Who::Hub { &mut hub_log } else { &mut edge_log };
        if set(log, line).is_none() {
            left_out.insert(format!("set {who} {line}"));
        }
    }
    let devices = (1..=scenario.edges)
        .flat_map(|edge| (0..scenario.load.streams).map(move |_| device(edge, &scenario.load)));
    Knobs {
        // Nothing here looks at it: a timeline ends when its steps do.
        lasts: Duration::ZERO,
        second: None,
        edges: scenario.edges,
        parents: vec![0; scenario.edges],
        devices: devices.collect(),
        readers: Vec::new(),
        guests: Vec::new(),
        writers: Vec::new(),
        talkers: Vec::new(),
        yard: false,
        channels: None,
        attic: None,
        chronicle: false,
        archive_bytes: 0,
        expires: false,
        post: false,
        market: None,
        house: None,
        edge_log,
        hub_log,
        memory: Memory { tail_bytes: 400_000, read_bytes: 100_000, session_max: 16_384 },
        sync: Duration::from_millis(2),
        uplink: CABLE,
        site: CABLE,
        faults: Vec::new(),
    }
}

fn device(edge: usize, load: &Load) -> DeviceKnobs {
    DeviceKnobs {
        edge,
        v5: load.version == 5,
        clean: false,
        window: load.window,
        publications: u32::MAX,
        padding: load.size,
        burst: 1,
        every: Some(Duration::from_secs(1) * SCALE as u32 / load.rate.clamp(1, 1_000_000) as u32),
    }
}

fn tenth(log: LogConfig) -> LogConfig {
    LogConfig {
        segment_bytes: segment(log.segment_bytes),
        quota_bytes: log.quota_bytes / SCALE,
        view_bytes_max: log.view_bytes_max / SCALE,
        ..log
    }
}

/// A tenth of that, in whole pages.
fn segment(bytes: u64) -> u64 {
    let tenth = bytes / SCALE;
    tenth - tenth % 4096
}

/// A line of a configuration file, if there is a part here that it is about.
fn set(log: &mut LogConfig, line: &str) -> Option<()> {
    let (key, value) = line.split_once('=')?;
    let value = value.trim().trim_matches('"');
    let mebibytes = || value.strip_suffix("MiB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 20);
    match key.trim() {
        "quota.bytes" => log.quota_bytes = mebibytes()? / SCALE,
        "quota.segment" => log.segment_bytes = segment(mebibytes()?),
        "quota.policy" if value == "drop_oldest" => log.on_full = OnFull::DropOldest,
        "quota.policy" if value == "reject" => log.on_full = OnFull::Reject,
        _ => return None,
    }
    Some(())
}
