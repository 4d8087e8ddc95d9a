//! The simulator's command line.

use anyhow::bail;
use clap::{Parser, Subcommand};
use riser_sim::{Report, run};
use std::io::Write;

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
    },
    /// Runs many seeds and prints what was counted.
    Swarm {
        /// How many.
        #[arg(long)]
        seeds: u64,
        /// The first.
        #[arg(long, default_value_t = 1)]
        from: u64,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run { seed } => one(seed),
        Command::Swarm { seeds, from } => swarm(from, seeds),
    }
}

fn one(seed: u64) -> anyhow::Result<()> {
    let report = run(seed, None, true);
    let mut out = std::io::stdout().lock();
    for line in &report.lines {
        writeln!(out, "{line}")?;
    }
    if report.wrong.is_empty() { Ok(()) } else { bail!("{} violations", report.wrong.len()) }
}

fn swarm(from: u64, seeds: u64) -> anyhow::Result<()> {
    let mut failed = 0;
    let mut counts = riser_sim::ledger::Counts::default();
    let mut hours = 0.0;
    for seed in from..from + seeds {
        let report = run(seed, None, false);
        hours += report.lasted.as_secs_f64() / 3600.0;
        let c = report.counts;
        counts.offered += c.offered;
        counts.acked += c.acked;
        counts.delivered += c.delivered;
        counts.cuts += c.cuts;
        counts.crashes += c.crashes;
        counts.others += c.others;
        counts.events += c.events;
        if !report.wrong.is_empty() {
            failed += 1;
            show(&report);
        }
    }
    println!("{seeds} seeds, {hours:.0} simulated hours, {failed} failed: {counts:?}");
    if failed == 0 { Ok(()) } else { bail!("{failed} seeds failed") }
}

fn show(report: &Report) {
    println!("seed {} fails; see it with: riser-sim run --seed {}", report.seed, report.seed);
    for (at, what) in report.wrong.iter().take(4) {
        println!("  {} {what}", riser_sim::trace::shown(*at));
    }
}
