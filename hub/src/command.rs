//! The command line of riser-hub.

use crate::{config::HubConfig, hub::Hub};
use anyhow::Context;
use clap::{Parser, Subcommand};
use riser_host::log_command::LogCommand;
use riser_shell::{
    Loaded, Signal, Signals,
    command::{Common, ConfigArgs},
    config::Program,
};
use std::process::ExitCode;

/// Where edges deliver to, and rooms full of dashboards and devices listen and replay.
#[derive(Debug, Parser)]
#[command(name = "riser-hub", version, about)]
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
    /// Look into the log of a hub, whether it runs or not, or into a copy. Changes nothing.
    #[command(subcommand)]
    Log(LogCommand),
    #[command(flatten)]
    Common(Common),
}

/// The program. Errors go to standard error, in words that say what to do.
pub fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("riser-hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Serve => serve(&arguments.config),
        Command::Log(command) => command.run(|| {
            let loaded = Loaded::<HubConfig>::or_last_good(&arguments.config.sources())?;
            Ok((loaded.config.data().join("log"), loaded.config.quota.log()))
        }),
        Command::Common(command) => Ok(command.run::<HubConfig>(&arguments.config)?),
    }
}

fn serve(arguments: &ConfigArgs) -> anyhow::Result<()> {
    let loaded = Loaded::<HubConfig>::or_last_good(&arguments.sources())?;
    riser_shell::log::start(&loaded.config.log);
    riser_host::setup::runtime(2)?.block_on(serve_loaded(loaded))
}

/// Runs a hub until a signal says otherwise. A log that an edge has found forked is opened anew, once: every tenant is cut
/// off meanwhile, and an edge's word is not enough for doing that again and again.
pub async fn serve_loaded(loaded: Loaded<HubConfig>) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("take over signals")?;
    let mut reopened = false;
    loop {
        let refused = loaded.refused.as_ref().map(ToString::to_string);
        let mut hub = Hub::start(&loaded.config, refused, None).await?;
        loaded.keep().unwrap_or_else(
            |error| tracing::warn!(%error, "the configuration could not be kept as last good"),
        );
        let reopen = tokio::select! {
            () = hub.forked(), if !reopened => true,
            () = async { while signals.next().await == Signal::Reload {
                tracing::warn!("reloading is not supported yet: restart to apply a new configuration");
            }} => false,
        };
        hub.stop().await;
        if !reopen {
            return Ok(());
        }
        reopened = true;
    }
}
