//! A scenario: what is built, what is published, and what happens when, read from a timeline file.
//!
//! It is data: the chaos runner plays it on real processes, the simulator in virtual time. What either has no part for is
//! that one's to say.
//!
//! A file is lines of words; `#` begins a remark. Facts first, then steps, one after the other. What a step
//! draws (`wait 0.5..1.5`) comes from the seed of the run. The README of `tests/chaos` has the list of words.
//!
//! Read [`Scenario`] first, then [`Step`].

pub mod shelf;
mod words;

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use words::{Words, seconds, share, span};

/// One of the programs of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Who {
    /// The hub.
    Hub,
    /// An edge, from 0.
    Edge(usize),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub => f.write_str("hub"),
            Self::Edge(n) => write!(f, "edge{}", n + 1),
        }
    }
}

/// What lies between hub and edges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    /// Loopback.
    Here,
    /// A cable between two namespaces.
    Cable,
    /// The same, and every packet goes through a program that may mangle it.
    Tun,
}

/// What publishers do, at each edge.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Load {
    /// Publishers.
    pub streams: usize,
    /// Publications per second and publisher.
    pub rate: u64,
    /// Unacknowledged at a time.
    pub window: usize,
    /// Bytes of a payload, about.
    pub size: usize,
    /// MQTT 4 (3.1.1) or 5.
    pub version: u8,
}

/// How packets are mangled, in both directions.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Mangle {
    /// Share of packets that are lost.
    pub loss: f64,
    /// Each packet's way takes at least this long, one way.
    pub delay: Duration,
    /// And up to this much longer; packets keep their order.
    pub jitter: Duration,
    /// Share of packets that are overtaken by those behind them.
    pub reorder: f64,
    /// Share of packets that arrive twice.
    pub duplicate: f64,
}

/// How a cable is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Nothing arrives anywhere, and nobody is told.
    Both,
    /// What edges send is swallowed.
    Up,
    /// What the hub sends is swallowed.
    Down,
    /// Every packet is answered with a reset.
    Reset,
    /// The carrier is gone.
    Unplug,
}

/// Something that happens.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// A pause between these two lengths.
    Wait(Duration, Duration),
    /// Until the reader has that many more publications than at the step's begin.
    UntilDelivered(u64),
    /// Until that program has ended by itself.
    UntilEnded(Who),
    /// SIGKILL.
    Kill(Who),
    /// SIGTERM.
    Stop(Who),
    /// Starts it, with a fault in one kind of system call if one is named (`fdatasync:error=EIO:when=20`).
    Start(Who, Option<String>),
    /// SIGSTOP.
    Freeze(Who),
    /// SIGCONT.
    Thaw(Who),
    /// Power loss: all threads stopped, file system shut down without a flush, killed, mounted again.
    PowerLoss(Who),
    /// Fills its disk until so many bytes are free.
    Fill(Who, u64),
    /// Takes that back.
    Clear(Who),
    /// Its wall clock is that many seconds off from here on.
    Clock(Who, i64),
    /// The cable is cut.
    Cut(Cut),
    /// The cable's packets are mangled.
    Mangle(Mangle),
    /// The cable is whole.
    Heal,
    /// These steps, so many times.
    Repeat(u32, Vec<Step>),
}

/// A whole timeline.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Its file's name.
    pub name: String,
    /// What it shows.
    pub about: String,
    /// What lies between hub and edges.
    pub network: Network,
    /// How many edges.
    pub edges: usize,
    /// Who has a file system of its own.
    pub disks: Vec<Who>,
    /// Who runs on a clock that can jump.
    pub clocks: Vec<Who>,
    /// Lines for configuration files.
    pub settings: Vec<(Who, String)>,
    /// What publishers do.
    pub load: Load,
    /// Causes of gaps that may be announced. Any other gap is a violation.
    pub allowed: Vec<String>,
    /// How long the backlog may take after everything is whole again.
    pub drain: Duration,
    /// Whether something must be lost silently: the run shows that the ledger sees it.
    pub expects_loss: bool,
    /// Whether a soak leaves it out.
    pub long: bool,
    /// What happens.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Reads a timeline.
    pub fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let mut scenario = Self {
            name: name.to_owned(),
            about: String::new(),
            network: Network::Here,
            edges: 1,
            disks: vec![],
            clocks: vec![],
            settings: vec![],
            load: Load { streams: 2, rate: 200, window: 20, size: 150, version: 4 },
            allowed: vec![],
            drain: Duration::from_secs(120),
            expects_loss: false,
            long: false,
            steps: vec![],
        };
        // The steps of the repetitions that are open, outermost first.
        let mut open: Vec<(u32, Vec<Step>)> = vec![];
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let place = || format!("{name}, line {}: {line:?}", index + 1);
            scenario.line(line, &mut open).with_context(place)?;
        }
        ensure!(open.is_empty(), "{name}: a `repeat` has no `end`");
        ensure!(!scenario.about.is_empty(), "{name}: there is no `about`");
        ensure!(!scenario.steps.is_empty(), "{name}: nothing happens");
        scenario.check(&scenario.steps).with_context(|| name.to_owned())?;
        Ok(scenario)
    }

    fn line(&mut self, line: &str, open: &mut Vec<(u32, Vec<Step>)>) -> anyhow::Result<()> {
        let mut words = Words::of(line);
        let Some(first) = words.next() else { return Ok(()) };
        match first {
            "about" => self.about = words.rest(),
            "network" => self.network = network(words.need("a network")?)?,
            "edges" => self.edges = words.number("a number of edges")?,
            "disk" => self.disks.push(words.who()?),
            "clocked" => self.clocks.push(words.who()?),
            "set" => self.settings.push((words.who()?, words.rest())),
            "load" => self.load = load(self.load, &mut words)?,
            "allow" => self.allowed.push(words.need("a cause")?.to_owned()),
            "drain" => self.drain = Duration::from_secs(words.number("seconds")?),
            "expect" => match words.need("loss")? {
                "loss" => self.expects_loss = true,
                other => bail!("nobody expects {other}: want loss"),
            },
            "long" => self.long = true,
            "repeat" => open.push((words.number("a number of times")?, vec![])),
            "end" => {
                let (times, steps) = open.pop().context("there is no `repeat` to end")?;
                self.push(open, Step::Repeat(times, steps));
            }
            verb => {
                let step = step(verb, &mut words)?;
                self.push(open, step);
            }
        }
        words.end()
    }

    fn push(&mut self, open: &mut [(u32, Vec<Step>)], step: Step) {
        open.last_mut().map_or(&mut self.steps, |(_, steps)| steps).push(step);
    }

    /// Whether every step finds what it needs.
    fn check(&self, steps: &[Step]) -> anyhow::Result<()> {
        let exists = |who: &Who| match who {
            Who::Hub => true,
            Who::Edge(n) => *n < self.edges,
        };
        for who in self.disks.iter().chain(&self.clocks).chain(self.settings.iter().map(|(who, _)| who)) {
            ensure!(exists(who), "there is no {who}");
        }
        ensure!(
            self.disks.is_empty() || self.network == Network::Here,
            "a disk of its own and a network of its own do not go together: a namespace keeps mounts busy"
        );
        for step in steps {
            match step {
                Step::Repeat(_, inner) => self.check(inner)?,
                Step::PowerLoss(who) | Step::Fill(who, _) | Step::Clear(who) => {
                    ensure!(self.disks.contains(who), "{who} has no disk of its own: say `disk {who}`");
                }
                Step::Clock(who, _) => {
                    ensure!(self.clocks.contains(who), "{who} has no clock of its own: say `clocked {who}`");
                }
                Step::Cut(_) => ensure!(self.network != Network::Here, "there is no cable to cut"),
                Step::Mangle(_) => ensure!(self.network == Network::Tun, "say `network tun` to mangle"),
                Step::UntilEnded(who)
                | Step::Kill(who)
                | Step::Stop(who)
                | Step::Start(who, _)
                | Step::Freeze(who)
                | Step::Thaw(who) => ensure!(exists(who), "there is no {who}"),
                Step::Wait(..) | Step::UntilDelivered(_) | Step::Heal => {}
            }
        }
        Ok(())
    }

    /// Whether a step, at any depth, is one of those.
    pub fn has(&self, is: &dyn Fn(&Step) -> bool) -> bool {
        fn any(steps: &[Step], is: &dyn Fn(&Step) -> bool) -> bool {
            steps.iter().any(|step| match step {
                Step::Repeat(_, inner) => any(inner, is),
                other => is(other),
            })
        }
        any(&self.steps, is)
    }
}

fn network(word: &str) -> anyhow::Result<Network> {
    Ok(match word {
        "here" => Network::Here,
        "cable" => Network::Cable,
        "tun" => Network::Tun,
        other => bail!("there is no network {other}: want here, cable or tun"),
    })
}

fn load(mut load: Load, words: &mut Words) -> anyhow::Result<Load> {
    while let Some((key, value)) = words.pair()? {
        match key {
            "streams" => load.streams = value.parse()?,
            "rate" => load.rate = value.parse()?,
            "window" => load.window = value.parse()?,
            "size" => load.size = value.parse()?,
            "version" => load.version = value.parse()?,
            other => bail!("a load has no {other}"),
        }
    }
    ensure!(load.version == 4 || load.version == 5, "MQTT is 4 (3.1.1) or 5");
    ensure!(load.rate > 0 && load.streams > 0 && (1..=100).contains(&load.window), "a load of nothing");
    Ok(load)
}

fn mangle(words: &mut Words) -> anyhow::Result<Mangle> {
    let mut mangle = Mangle::default();
    while let Some((key, value)) = words.pair()? {
        match key {
            "loss" => mangle.loss = share(value)?,
            "reorder" => mangle.reorder = share(value)?,
            "duplicate" => mangle.duplicate = share(value)?,
            "delay" => mangle.delay = seconds(value)?,
            "jitter" => mangle.jitter = seconds(value)?,
            other => bail!("packets have no {other}"),
        }
    }
    Ok(mangle)
}

fn step(verb: &str, words: &mut Words) -> anyhow::Result<Step> {
    Ok(match verb {
        "wait" => {
            let (least, most) = span(words.need("seconds")?)?;
            Step::Wait(least, most)
        }
        "until" => match words.need("delivered or ended")? {
            "delivered" => Step::UntilDelivered(words.number("a number")?),
            "ended" => Step::UntilEnded(words.who()?),
            other => bail!("nobody waits until {other}: want delivered or ended"),
        },
        "kill" => Step::Kill(words.who()?),
        "stop" => Step::Stop(words.who()?),
        "start" => {
            let who = words.who()?;
            match words.next() {
                None => Step::Start(who, None),
                Some("with") => Step::Start(who, Some(words.need("a fault")?.to_owned())),
                Some(other) => bail!("nothing starts {other}: want `with FAULT`"),
            }
        }
        "freeze" => Step::Freeze(words.who()?),
        "thaw" => Step::Thaw(words.who()?),
        "power-loss" => Step::PowerLoss(words.who()?),
        "fill" => Step::Fill(words.who()?, words.number("the bytes that stay free")?),
        "clear" => Step::Clear(words.who()?),
        "clock" => Step::Clock(words.who()?, words.number("seconds, with a sign")?),
        "cut" => Step::Cut(match words.need("a way")? {
            "both" => Cut::Both,
            "up" => Cut::Up,
            "down" => Cut::Down,
            "reset" => Cut::Reset,
            "unplug" => Cut::Unplug,
            other => bail!("nothing is cut {other}: want both, up, down, reset or unplug"),
        }),
        "mangle" => Step::Mangle(mangle(words)?),
        "heal" => Step::Heal,
        other => bail!("nobody knows how to {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn timeline_is_read_as_it_stands() {
        let text = "about it all # and a remark\n\nnetwork tun\nedges 2\nclocked edge2\nset hub [quota] x\n\
                    load streams=1 rate=50 version=5\nallow quota\ndrain 60\nlong\n\
                    wait 1..1.5\nrepeat 3\n  kill edge2\n  start edge2 with fdatasync:error=EIO:when=3\nend\n\
                    cut up\nmangle loss=0.5% delay=0.1\nclock edge2 -3600\nuntil delivered 10\nheal\n";
        let scenario = Scenario::parse("t", text).unwrap();
        assert_eq!((scenario.about.as_str(), scenario.network, scenario.edges), ("it all", Network::Tun, 2));
        let load = Load { streams: 1, rate: 50, window: 20, size: 150, version: 5 };
        assert_eq!((scenario.load, scenario.drain, scenario.long), (load, 60 * SECOND, true));
        assert_eq!(scenario.settings, [(Who::Hub, "[quota] x".to_owned())]);
        let fault = Some("fdatasync:error=EIO:when=3".to_owned());
        let want = [
            Step::Wait(SECOND, SECOND * 3 / 2),
            Step::Repeat(3, vec![Step::Kill(Who::Edge(1)), Step::Start(Who::Edge(1), fault)]),
            Step::Cut(Cut::Up),
            Step::Mangle(Mangle { loss: 0.005, delay: SECOND / 10, ..Mangle::default() }),
            Step::Clock(Who::Edge(1), -3600),
            Step::UntilDelivered(10),
            Step::Heal,
        ];
        assert_eq!(scenario.steps, want);
        assert!(
            scenario.has(&|step| matches!(step, Step::Kill(_)))
                && !scenario.has(&|step| *step == Step::Cut(Cut::Both))
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, named) in [
            ("about x\nexplode hub", "line 2"),
            ("about x\nexplode hub", "explode"),
            ("about x\nkill edge3", "edge3"),
            ("about x\nkill", "who"),
            ("about x\nkill hub now", "now"),
            ("about x\nwait 2..1", "2..1"),
            ("about x\nwait soon", "soon"),
            ("about x\ncut both", "cable"),
            ("about x\nnetwork cable\nmangle loss=1%", "tun"),
            ("about x\nnetwork cable\ndisk hub\nheal", "namespace"),
            ("about x\npower-loss edge", "disk edge1"),
            ("about x\nclock hub 5", "clocked hub"),
            ("about x\nrepeat 2\nheal", "end"),
            ("about x\nend", "repeat"),
            ("about x\nload speed=3", "speed"),
            ("about x\nexpect rain", "rain"),
            ("about x\nload rate=0\nheal", "nothing"),
            ("about x", "nothing happens"),
            ("heal", "about"),
        ] {
            let error = format!("{:#}", Scenario::parse("t", text).unwrap_err());
            assert!(error.contains(named), "{text:?} says {error:?}, not {named:?}");
        }
    }

    #[test]
    fn every_timeline_that_is_shipped_is_read() {
        let shipped = shelf::all().unwrap();
        assert!(shipped.len() >= 10, "{} timelines", shipped.len());
    }
}
