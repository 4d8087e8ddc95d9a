//! The command line: so many seconds of hostile bytes for each target, and what was counted.

use crate::{
    corpus, mutation, outcome,
    target::{ALL, Target},
};
use anyhow::{Context, bail};
use clap::Parser;
use fastrand::Rng;
use std::{
    collections::BTreeSet,
    fs, panic,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Throws hostile bytes at every parser.
#[derive(Debug, Parser)]
#[command(name = "riser-fuzz", version, about)]
struct Arguments {
    /// Only this target; may be given again.
    #[arg(long, value_name = "TARGET")]
    only: Vec<String>,
    /// How long each target is at it.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where the dice begin. Another one each time unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Keeps what comes to something new, cut down, as long as there are few.
    #[arg(long)]
    grow: bool,
    /// Runs one file on the target of --only, and nothing else.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// All of it.
pub fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("riser-fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut targets = Vec::new();
    for name in &arguments.only {
        let names = || ALL.map(|target| target.name).join(", ");
        targets
            .push(Target::named(name).with_context(|| format!("no target {name}: want one of {}", names()))?);
    }
    if let Some(file) = &arguments.input {
        let [target] = targets.as_slice() else { bail!("--input wants one target: give it with --only") };
        (target.run)(&fs::read(file).with_context(|| format!("read {}", file.display()))?);
        return Ok(());
    }
    if targets.is_empty() {
        targets.extend(&ALL);
    }
    let seed = arguments.seed.unwrap_or_else(|| Rng::new().u64(..));
    println!("seed {seed}");
    for target in targets {
        let within = Duration::from_secs(arguments.seconds);
        if arguments.grow {
            println!("{}: {} kept", target.name, grow(target, seed, within)?);
            continue;
        }
        let inputs = attack(target, seed, within)?;
        println!("{}: {inputs} inputs, nothing found", target.name);
    }
    Ok(())
}

/// Inputs that are kept for what they come to, of one target.
const KEPT_MAX: usize = 40;
/// Their size; larger ones are seldom about anything but their size.
const KEPT_BYTES_MAX: usize = 600;

/// Keeps inputs that come to something new; how many are kept then.
fn grow(target: &Target, seed: u64, within: Duration) -> anyhow::Result<usize> {
    let mut seeds = (target.seeds)();
    let kept = corpus::kept(target.name)?;
    let mut count = kept.len();
    seeds.extend(kept.into_iter().map(|(_, bytes)| bytes));
    let mut seen: BTreeSet<u64> = seeds.iter().map(|input| outcome::of(target.run, input)).collect();
    let mut rng = Rng::with_seed(seed);
    let began = Instant::now();
    while began.elapsed() < within && count < KEPT_MAX {
        let bytes = mutation::mutated(&mut rng, &seeds);
        let came_to = outcome::of(target.run, &bytes);
        if !seen.insert(came_to) {
            continue;
        }
        let bytes = corpus::minimised(target.run, &bytes);
        if bytes.len() <= KEPT_BYTES_MAX {
            corpus::keep(target.name, &format!("outcome-{came_to:016x}"), &bytes)?;
            seeds.push(bytes);
            count += 1;
        }
    }
    Ok(count)
}

/// Runs a target until the time is over; how many inputs that were.
fn attack(target: &Target, seed: u64, within: Duration) -> anyhow::Result<u64> {
    let mut seeds = (target.seeds)();
    seeds.extend(corpus::kept(target.name)?.into_iter().map(|(_, bytes)| bytes));
    let mut rng = Rng::with_seed(seed);
    let (began, mut inputs) = (Instant::now(), 0);
    while began.elapsed() < within {
        let bytes = mutation::mutated(&mut rng, &seeds);
        inputs += 1;
        if panic::catch_unwind(|| (target.run)(&bytes)).is_err() {
            let path = corpus::keep(target.name, &format!("found-{seed:016x}-{inputs}"), &bytes)?;
            let (name, path) = (target.name, path.display());
            bail!(
                "{name} found something; see it with: cargo run -p riser-fuzz -- --only {name} --input {path}"
            );
        }
    }
    Ok(inputs)
}
