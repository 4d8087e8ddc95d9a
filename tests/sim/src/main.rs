//! The simulator's command line.

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use riser_sim::{
    Report,
    knobs::Theme,
    mutant::Mutant,
    run::run_theme,
    swarm::{self, Total},
    timeline,
};
use riser_timeline::shelf;
use std::{
    fs::File,
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
    process::Command as Process,
    time::{Duration, Instant},
};

/// A run is made of small allocations that live shortly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// So many seeds are run between two lines of a night.
const PIECE_SEEDS: u64 = 50;

#[derive(Parser)]
#[command(about = "Whole edges and hubs in virtual time, on a network, disks and clocks that fail")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one seed and prints what happens.
    Run {
        /// Which.
        #[arg(long)]
        seed: u64,
        /// With this wrong variant.
        #[arg(long)]
        mutant: Option<String>,
        /// What it is about: site, house, rooms or limits.
        #[arg(long, default_value = "site")]
        theme: String,
    },
    /// Runs many seeds and prints what was counted.
    Swarm {
        /// How many.
        #[arg(long, required_unless_present = "minutes")]
        seeds: Option<u64>,
        /// For so long instead: a piece of them after the other, with a line after each that says what there was so far.
        #[arg(long, conflicts_with = "seeds")]
        minutes: Option<u64>,
        /// The first.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// With `--minutes`: the lines go to this file too, each on disk before the next piece begins.
        #[arg(long, requires = "minutes")]
        log: Option<PathBuf>,
        /// What they are about, each seed in turn: site, house, rooms, limits, or all of them unless given.
        #[arg(long)]
        theme: Option<String>,
        /// How many at once: one for each processor unless given.
        #[arg(long)]
        jobs: Option<usize>,
    },
    /// Plays timelines of the chaos runner, and names what was left out of them.
    Timeline {
        /// Those of these names, or in these files: all but the long ones unless given.
        names: Vec<String>,
        /// The seed of what they draw.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Prints what happens.
        #[arg(long)]
        trace: bool,
    },
    /// Runs a seed in two processes: the traces must be the same, byte for byte.
    Meta {
        /// Which.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// What it is about: site, house, rooms or limits.
        #[arg(long, default_value = "site")]
        theme: String,
    },
    /// Runs every wrong variant until a seed catches it. One that no seed catches fails.
    Mutants {
        /// How many seeds each may take.
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        /// How many at once: one for each processor unless given.
        #[arg(long)]
        jobs: Option<usize>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run { seed, mutant, theme } => one(theme_of(&theme)?, seed, mutant.as_deref()),
        Command::Swarm { seeds, minutes, from, log, theme, jobs } => {
            let one = theme.as_deref().map(theme_of).transpose()?;
            let themes = one.map_or(Theme::ALL.to_vec(), |one| vec![one]);
            match minutes {
                Some(minutes) => {
                    let until = Instant::now() + Duration::from_secs(minutes * 60);
                    night(&themes, from, at_once(jobs), until, log.as_deref())
                }
                None => many(&themes, from..from + seeds.unwrap_or_default(), at_once(jobs)),
            }
        }
        Command::Timeline { names, seed, trace } => timelines(&names, seed, trace),
        Command::Meta { seed, theme } => meta(theme_of(&theme)?, seed),
        Command::Mutants { seeds, jobs } => mutants(seeds, at_once(jobs)),
    }
}

fn theme_of(name: &str) -> anyhow::Result<Theme> {
    Theme::ALL
        .into_iter()
        .find(|theme| theme.name() == name)
        .context("no such theme: want site, house, rooms, limits, post or annex")
}

fn one(theme: Theme, seed: u64, mutant: Option<&str>) -> anyhow::Result<()> {
    let mutant = mutant.map(|name| named(name).context("no wrong variant of that name")).transpose()?;
    // A wrong variant shows where it shows.
    let theme = mutant.map_or(theme, Mutant::theme);
    let report = run_theme(theme, seed, mutant, true);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in &report.lines {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    if report.wrong.is_empty() { Ok(()) } else { bail!("{} violations", report.wrong.len()) }
}

fn timelines(names: &[String], seed: u64, trace: bool) -> anyhow::Result<()> {
    let scenarios = if names.is_empty() {
        shelf::all()?.into_iter().filter(|scenario| !scenario.long).collect()
    } else {
        names.iter().map(|name| shelf::find(name)).collect::<Result<Vec<_>, _>>()?
    };
    let mut failed = Vec::new();
    for scenario in &scenarios {
        let played = timeline::play(scenario, seed, None, trace);
        for line in played.report.lines.iter().filter(|_| trace) {
            println!("{line}");
        }
        println!("{}", played.line(&scenario.name));
        for what in &played.left_out {
            println!("  LEFT OUT: {what}");
        }
        for (at, what) in played.report.wrong.iter().take(4) {
            println!("  {} {what}", riser_sim::trace::shown(*at));
        }
        failed.extend((!played.report.wrong.is_empty()).then_some(&scenario.name));
    }
    if failed.is_empty() { Ok(()) } else { bail!("violated: {failed:?}") }
}

fn named(name: &str) -> Option<Mutant> {
    Mutant::ALL.into_iter().find(|mutant| mutant.to_string() == name)
}

fn at_once(jobs: Option<usize>) -> usize {
    jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn many(themes: &[Theme], seeds: Range<u64>, jobs: usize) -> anyhow::Result<()> {
    let total = swarm::swarm(themes, seeds, jobs, show_wrong);
    println!("{total}");
    verdict(&total)
}

/// Runs seeds from one on until the time is over. What was counted after each piece is on disk before the next, so that
/// nothing but a piece is lost with a night that is ended.
fn night(themes: &[Theme], from: u64, jobs: usize, until: Instant, log: Option<&Path>) -> anyhow::Result<()> {
    let log = log.map(|path| {
        let opened = File::options().create(true).append(true).open(path);
        opened.with_context(|| format!("open {}", path.display()))
    });
    let log = log.transpose()?;
    let (mut total, mut next, began) = (Total::default(), from, Instant::now());
    while Instant::now() < until {
        let piece = next..next + PIECE_SEEDS;
        next = piece.end;
        total.add(swarm::swarm(themes, piece, jobs, show_wrong));
        let failed: Vec<String> =
            total.failed.iter().map(|(theme, seed)| format!("{} {seed}", theme.name())).collect();
        let line = format!(
            "seeds {from} to {} in {} s: {total}{}{}\n",
            next - 1,
            began.elapsed().as_secs(),
            if failed.is_empty() { "" } else { ": " },
            failed.join(", ")
        );
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes()).and_then(|()| out.flush()).context("write a line")?;
        if let Some(mut log) = log.as_ref() {
            log.write_all(line.as_bytes())
                .and_then(|()| log.sync_data())
                .context("write a line to the log")?;
        }
    }
    verdict(&total)
}

fn verdict(total: &Total) -> anyhow::Result<()> {
    if total.failed.is_empty() { Ok(()) } else { bail!("{} seeds failed", total.failed.len()) }
}

fn show_wrong(report: &Report) {
    if !report.wrong.is_empty() {
        show(report);
    }
}

fn show(report: &Report) {
    let (theme, seed) = (report.theme.name(), report.seed);
    println!("seed {seed} of a {theme} fails; see it with: riser-sim run --seed {seed} --theme {theme}");
    for (at, what) in report.wrong.iter().take(4) {
        println!("  {} {what}", riser_sim::trace::shown(*at));
    }
}

fn meta(theme: Theme, seed: u64) -> anyhow::Result<()> {
    let this = std::env::current_exe().context("find this program")?;
    let trace = || -> anyhow::Result<Vec<u8>> {
        let mut process = Process::new(&this);
        process.args(["run", "--seed", &seed.to_string(), "--theme", theme.name()]);
        Ok(process.output().context("run a seed in a process of its own")?.stdout)
    };
    let (first, second) = (trace()?, trace()?);
    if first.is_empty() || first != second {
        bail!("seed {seed} is not the same run twice");
    }
    println!("seed {seed}: two processes, {} bytes of trace, the same", first.len());
    Ok(())
}

fn mutants(seeds: u64, jobs: usize) -> anyhow::Result<()> {
    // What panics on its way is caught and counted: its backtrace is of no use here.
    std::panic::set_hook(Box::new(|_| {}));
    let mut survivors = Vec::new();
    swarm::hunt_all(seeds, jobs, |mutant, caught| match caught {
        Some((seed, what)) => println!("{mutant}: caught by seed {seed}: {what:.120}"),
        None => {
            println!("{mutant}: SURVIVED {seeds} seeds");
            survivors.push(mutant);
        }
    });
    println!("{} wrong variants, {} caught", Mutant::ALL.len(), Mutant::ALL.len() - survivors.len());
    if survivors.is_empty() { Ok(()) } else { bail!("survivors: {survivors:?}") }
}
