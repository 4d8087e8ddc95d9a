//! The command line: `run`, `soak`, `list`; and this program as one of its own clients.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use riser_timeline::{Scenario, shelf};
use tokio::sync::watch;

use crate::run::{Outcome, run};
use crate::{machine, publisher, reader, site};

/// Something was violated.
const VIOLATED: u8 = 1;
/// Nothing could be judged.
const COULD_NOT_RUN: u8 = 2;

#[derive(Parser)]
#[command(name = "riser-chaos", about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Verb,
    /// Take riser-hub and riser-edge as they lie beside this program, without building them
    #[arg(long, global = true)]
    as_built: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs scenarios, by name or by the path of a timeline
    Run {
        /// Which
        #[arg(required = true)]
        scenarios: Vec<String>,
        /// Where the draws begin; each further run has the next one
        #[arg(long)]
        seed: Option<u64>,
        /// How often each
        #[arg(long, default_value_t = 1)]
        times: u64,
        /// Keep the folders of clean runs too
        #[arg(long)]
        keep: bool,
    },
    /// Runs all scenarios but the long ones in turn, with fresh seeds, until the time is over
    Soak {
        /// How long
        #[arg(long)]
        minutes: u64,
        /// The first seed
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Shows the scenarios, and what this machine lacks for them
    List,
    /// Is a publisher of a run
    #[command(hide = true)]
    Publish { asked: String },
    /// Is a reader of a run
    #[command(hide = true)]
    Read { asked: String },
}

/// The program.
pub fn main() -> ExitCode {
    // What panics is caught, and told as a violation.
    std::panic::set_hook(Box::new(|_| {}));
    let Arguments { command, as_built } = Arguments::parse();
    let programs = || if as_built { Ok(()) } else { site::build() };
    let done = match command {
        Verb::Run { scenarios, seed, times, keep } => {
            programs().and_then(|()| several(&scenarios, seed, times, keep))
        }
        Verb::Soak { minutes, seed } => {
            programs().and_then(|()| soak(Duration::from_secs(minutes * 60), seed))
        }
        Verb::List => list(),
        Verb::Publish { asked } => publish(&asked),
        Verb::Read { asked } => read(&asked),
    };
    done.unwrap_or_else(|error| {
        eprintln!("riser-chaos: {error:#}");
        ExitCode::from(COULD_NOT_RUN)
    })
}

/// What all runs add up to.
#[derive(Default)]
struct Tally {
    clean: u64,
    violated: Vec<String>,
    not_run: BTreeMap<String, String>,
    accepted: u64,
    delivered: u64,
    resent: u64,
    announced: u64,
    silent: u64,
    duplicates: u64,
    done: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn one(&mut self, scenario: &Scenario, seed: u64, keep: bool) -> anyhow::Result<()> {
        if let Some(reason) = machine::lacks(scenario) {
            if self.not_run.insert(scenario.name.clone(), reason.clone()).is_none() {
                println!("{:<16} cannot run here: {reason}", scenario.name);
            }
            return Ok(());
        }
        let outcome = run(scenario, seed, keep)?;
        println!("{}", outcome.line());
        if let Some(folder) = &outcome.kept {
            println!("  everything lies in {}", folder.display());
        }
        self.enter(outcome);
        Ok(())
    }

    fn enter(&mut self, outcome: Outcome) {
        let Outcome { scenario, seed, account, done, violations, .. } = outcome;
        self.accepted += account.accepted;
        self.delivered += account.delivered;
        self.announced += account.announced;
        // What had to be lost is no loss.
        self.silent += if violations.is_empty() { 0 } else { account.silent };
        self.duplicates += account.duplicates;
        self.resent += account.resent;
        for (what, count) in done {
            *self.done.entry(what).or_default() += count;
        }
        if violations.is_empty() {
            self.clean += 1;
            return;
        }
        for violation in violations {
            println!("  {violation}");
        }
        let again = format!("riser-chaos run {scenario} --seed {seed}");
        println!("  again: {again}");
        self.violated.push(again);
    }

    fn verdict(&self) -> ExitCode {
        let Self { clean, violated, not_run, accepted, delivered, resent, done, .. } = self;
        let done: Vec<String> = done.iter().map(|(what, count)| format!("{what} {count}")).collect();
        println!(
            "{} runs, {clean} clean, {} violated, {} scenarios cannot run here; accepted {accepted}, delivered \
             {delivered}, duplicates {} (sent again by devices {resent}), announced lost {}, lost silently {}; {}",
            clean + violated.len() as u64,
            violated.len(),
            not_run.len(),
            self.duplicates,
            self.announced,
            self.silent,
            done.join(", ")
        );
        violated.iter().for_each(|again| println!("violated: {again}"));
        match (violated.is_empty(), *clean) {
            (false, _) => ExitCode::from(VIOLATED),
            (true, 0) => ExitCode::from(COULD_NOT_RUN),
            (true, _) => ExitCode::SUCCESS,
        }
    }
}

fn several(names: &[String], seed: Option<u64>, times: u64, keep: bool) -> anyhow::Result<ExitCode> {
    let scenarios: Vec<Scenario> = names.iter().map(|name| shelf::find(name)).collect::<Result<_, _>>()?;
    let seed = seed.unwrap_or_else(fresh_seed);
    let mut tally = Tally::default();
    for n in 0..times {
        for scenario in &scenarios {
            tally.one(scenario, seed.wrapping_add(n), keep)?;
        }
    }
    Ok(tally.verdict())
}

fn soak(time: Duration, seed: Option<u64>) -> anyhow::Result<ExitCode> {
    let mut scenarios = shelf::all()?;
    scenarios.retain(|scenario| !scenario.long);
    ensure!(!scenarios.is_empty(), "there are no scenarios");
    let (began, mut seed) = (Instant::now(), seed.unwrap_or_else(fresh_seed));
    let mut tally = Tally::default();
    while began.elapsed() < time {
        for scenario in &scenarios {
            if began.elapsed() >= time {
                break;
            }
            tally.one(scenario, seed, false)?;
        }
        ensure!(tally.not_run.len() < scenarios.len(), "no scenario can run here");
        seed = seed.wrapping_add(1);
    }
    Ok(tally.verdict())
}

fn list() -> anyhow::Result<ExitCode> {
    for scenario in shelf::all()? {
        let long = if scenario.long { " (long)" } else { "" };
        println!("{:<16} {}{long}", scenario.name, scenario.about);
        if let Some(reason) = machine::lacks(&scenario) {
            println!("{:<16} cannot run here: {reason}", "");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Small, so that people can type it.
fn fresh_seed() -> u64 {
    fastrand::u64(1..1_000_000)
}

fn publish(asked: &str) -> anyhow::Result<ExitCode> {
    let asked = serde_json::from_str(asked).context("read what is asked")?;
    let (tell, told) = watch::channel(false);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut vec![]);
        let _ = tell.send(true);
        // The receiver takes a sender that is gone for a fault.
        std::thread::park();
    });
    runtime()?.block_on(publisher::run(asked, told))?;
    Ok(ExitCode::SUCCESS)
}

fn read(asked: &str) -> anyhow::Result<ExitCode> {
    let asked = serde_json::from_str(asked).context("read what is asked")?;
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut vec![]);
        std::process::exit(0);
    });
    runtime()?.block_on(reader::run(asked))?;
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")
}
