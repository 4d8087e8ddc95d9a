//! The command line, and the rounds: every scenario once, then again.

use crate::{child, corpus, device::Device, page, pair::System, report::Report, riser, scenario::Scenario};
use anyhow::{Context, bail};
use clap::Parser;
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};
use tempfile::TempDir;

/// Measures Riser beside its peers and beside raw loops.
#[derive(Debug, Parser)]
#[command(name = "riser-bench", version, about)]
struct Arguments {
    /// How often every measurement is taken, the scenarios by turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only this scenario; may be given again.
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<Scenario>,
    /// Shorter floods and a smaller backlog: shows that it runs, not how fast.
    #[arg(long)]
    quick: bool,
    /// Entries of the backlog.
    #[arg(long, value_name = "ENTRIES", default_value_t = 500_000)]
    backlog: u64,
    /// Entries of the log that is replayed; five million are about a GiB.
    #[arg(long, value_name = "ENTRIES", default_value_t = 5_000_000)]
    log: u64,
    /// Write everything there as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write it as a page to look at.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Where servers keep their data; beside the program unless given. It must be on a real disk.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

/// What every scenario needs to know.
pub struct Bench {
    data: PathBuf,
    quick: bool,
    /// Entries of the backlog.
    pub backlog: u64,
    /// Entries of the log that is replayed.
    pub log: u64,
    /// Who takes part.
    pub systems: Vec<System>,
}

impl Bench {
    /// A new folder on the disk.
    pub fn folder(&self) -> anyhow::Result<TempDir> {
        TempDir::new_in(&self.data).context("make a data folder")
    }

    /// So many seconds, or a moment if it is to be quick.
    pub fn seconds(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(if self.quick { seconds / 4.0 } else { seconds })
    }

    /// So many, or a few if it is to be quick.
    pub fn count(&self, count: u64) -> u64 {
        if self.quick { count / 10 } else { count }
    }
}

/// The benchmark, or one of its servers.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = child::run(&arguments).unwrap_or_else(|| run(Arguments::parse()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("riser-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    riser::build()?;
    riser_shell::fdlimit::raise().context("raise the open-file limit")?;
    let data = data_folder(arguments.data)?;
    Device::under(&data)?;
    let mut report = Report { command: command(), machine: machine(), ..Report::default() };
    let systems = systems(&mut report)?;
    let backlog = if arguments.quick { arguments.backlog / 10 } else { arguments.backlog };
    let log = if arguments.quick { arguments.log / 10 } else { arguments.log };
    let bench = Bench { data, quick: arguments.quick, backlog, log, systems };
    let scenarios = if arguments.only.is_empty() { Scenario::ALL.to_vec() } else { arguments.only };
    corpus::prepared(0, 0);
    riser_host::setup::runtime(2)?.block_on(async {
        for round in 1..=arguments.rounds {
            for scenario in &scenarios {
                eprintln!("round {round} of {}: {}", arguments.rounds, scenario.name());
                scenario.round(&bench, &mut report).await.with_context(|| scenario.name())?;
            }
        }
        anyhow::Ok(())
    })?;
    report.claims = scenarios.iter().flat_map(|scenario| scenario.claims(&report)).collect();
    print!("{}", report.table());
    if let Some(file) = arguments.json {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(&file, json).with_context(|| format!("write {}", file.display()))?;
    }
    if let Some(file) = arguments.page {
        fs::write(&file, page::of(&report)).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

fn data_folder(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.join("bench-data"));
    let data = given.or_else(beside).context("find a folder for data; give one with --data")?;
    fs::create_dir_all(&data).with_context(|| format!("make {}", data.display()))?;
    data.canonicalize().with_context(|| format!("find {}", data.display()))
}

/// Whoever is installed. Where claims are checked, a peer that is left out would be a claim left out.
fn systems(report: &mut Report) -> anyhow::Result<Vec<System>> {
    report.versions.push(format!("riser {}{}", env!("CARGO_PKG_VERSION"), commit()));
    let mut systems = vec![];
    for system in System::ALL {
        match system.version() {
            Ok(version) => {
                report.versions.extend(version);
                systems.push(system);
            }
            Err(error) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => bail!(error),
            Err(error) => report.missing.push(format!("{error:#}: its figures, and claims beside it")),
        }
    }
    report.versions.push("rumqttd 0.20".into());
    Ok(systems)
}

/// As somebody would say it who wants the same.
fn command() -> String {
    let words = std::env::args().skip(1).map(|word| format!(" {word}"));
    format!("cargo run --release -p riser-bench --{}", words.collect::<String>())
}

/// Of which commit the sources are, where git knows.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let folder = env!("CARGO_MANIFEST_DIR");
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return String::new() };
    let is_clean =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| text.is_empty());
    format!(" at {commit}{}", if is_clean { "" } else { ", changed" })
}

/// The kind of machine, no more.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: Vec<&str> = kernel.trim().split('.').take(2).collect();
    let model = fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    format!("{cores} cores, {}, Linux {}", model.unwrap_or("unknown processor"), kernel.join("."))
}
