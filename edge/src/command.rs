//! The command line of riser-edge.

use crate::{
    config::EdgeConfig,
    edge::{Edge, invalid},
    sources::Receipt,
};
use anyhow::Context;
use clap::{Parser, Subcommand};
use riser_host::{audit::AuditArgs, log_command::LogCommand};
use riser_shell::{
    Loaded, Signal, Signals,
    command::{Common, ConfigArgs},
    config::{Program, Sources},
};
use std::process::ExitCode;

/// Takes custody of what a site's devices publish and delivers it to a hub.
#[derive(Debug, Parser)]
#[command(name = "riser-edge", version, about)]
struct Arguments {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until told to stop.
    Serve,
    /// Run, publish each line of standard input (a topic, a tab, the payload), and end when all of them are on disk.
    ///
    /// The last line of standard output says as one JSON object what became of them; the exit code is 0 only if every
    /// line is on disk. As whom the lines are published says the [[source]] with stdin = true.
    Pipe,
    /// Look into the log of an edge, whether it runs or not, or into a copy. Changes nothing.
    #[command(subcommand)]
    Log(LogCommand),
    /// The audit log of an edge, whether it runs or not: who was let in, who was not, who was sent away; newest first.
    Audit(AuditArgs),
    #[command(flatten)]
    Common(Common),
}

/// The program. Errors go to standard error, in words that say what to do.
pub fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("riser-edge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Serve => serve(&arguments.config)?,
        Command::Pipe => return pipe(&arguments.config),
        Command::Log(command) => command.run(|| {
            let loaded = Loaded::<EdgeConfig>::or_last_good(&arguments.config.sources())?;
            Ok((loaded.config.data().join("log"), loaded.config.quota.log()))
        })?,
        Command::Audit(audit) => {
            let config = Loaded::<EdgeConfig>::or_last_good(&arguments.config.sources())?.config;
            let known = |name| {
                let directory = config.directory().map_err(invalid)?;
                directory.account(name).with_context(|| format!("no account is called {name}"))
            };
            audit.run(config.data(), audit.account.as_ref().map(known).transpose()?)?;
        }
        Command::Common(command) => command.run::<EdgeConfig>(&arguments.config)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn serve(arguments: &ConfigArgs) -> anyhow::Result<()> {
    let loaded = Loaded::<EdgeConfig>::or_last_good(&arguments.sources())?;
    riser_shell::log::start(&loaded.config.log);
    riser_host::setup::runtime(2)?.block_on(serve_loaded(loaded, &arguments.sources()))
}

/// Runs an edge until a signal says otherwise. A log that a hub has found forked is opened anew. Where a signal says so, the
/// sources are read again, and accounts are what they say.
pub async fn serve_loaded(mut loaded: Loaded<EdgeConfig>, sources: &Sources) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("take over signals")?;
    loop {
        let refused = loaded.refused.as_ref().map(ToString::to_string);
        let mut edge = Edge::start(&loaded.config, refused).await?;
        loaded.keep().unwrap_or_else(
            |error| tracing::warn!(%error, "the configuration could not be kept as last good"),
        );
        let reopen = loop {
            let signal = tokio::select! {
                () = edge.forked() => break true,
                signal = signals.next() => signal,
            };
            match signal {
                Signal::Stop => break false,
                Signal::Reload => edge.reload(&mut loaded, Loaded::strictly(sources)).await,
            }
        };
        edge.stop().await;
        if !reopen {
            return Ok(());
        }
    }
}

fn pipe(arguments: &ConfigArgs) -> anyhow::Result<ExitCode> {
    // Not the last good configuration: a script is told at once what is wrong.
    let loaded = Loaded::<EdgeConfig>::strictly(&arguments.sources())?;
    riser_shell::log::start(&loaded.config.log);
    let runtime = riser_host::setup::runtime(2)?;
    let receipt = runtime.block_on(pipe_loaded(&loaded));
    // A thread may still wait for a line that nobody wants any more.
    runtime.shutdown_background();
    let receipt = receipt?;
    for (line, refusal) in &receipt.faults {
        eprintln!("riser-edge: line {line}: {}; want {}", refusal.what, refusal.want);
    }
    if let Some(stopped) = &receipt.stopped {
        eprintln!(
            "riser-edge: stopped after line {}: {}; want {}",
            receipt.lines, stopped.what, stopped.want
        );
    }
    println!("{}", receipt.json());
    Ok(if receipt.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs an edge until its standard input ends and every line of it is on disk, or a signal says otherwise.
async fn pipe_loaded(loaded: &Loaded<EdgeConfig>) -> anyhow::Result<Receipt> {
    if !loaded.config.source.iter().any(|source| source.stdin) {
        anyhow::bail!(
            "read standard input: no source is configured for it; add [[source]] with stdin = true"
        );
    }
    let mut signals = Signals::new().context("take over signals")?;
    let edge = Edge::start(&loaded.config, None).await.context(
        "start an edge for these lines (one that runs already takes them over MQTT: mosquitto_pub -l -q 1)",
    )?;
    let receipt = {
        let mut reading = std::pin::pin!(edge.read_lines(tokio::io::stdin()));
        tokio::select! {
            receipt = &mut reading => receipt,
            _ = signals.next() => {
                edge.stop_sources();
                reading.await
            }
        }
    };
    edge.stop().await;
    Ok(receipt.expect("a source for standard input was found above"))
}
