//! The command line of riser-hub.

use crate::{
    administer::{
        AccountCommand, AuditArgs, ConnectionCommand, GrantArgs, KeyCommand, MemberCommand, RoleArgs,
        RoomCommand, Wish,
    },
    config::HubConfig,
    hub::Hub,
    remote::Remote,
};
use anyhow::Context;
use clap::{Parser, Subcommand};
use riser_host::log_command::LogCommand;
use riser_shell::{
    Loaded, Signal, Signals,
    command::{
        AccountCommand as ShellAccountCommand, Common, ConfigArgs, ConfigCommand, IdCommand,
        KeyCommand as ShellKeyCommand,
    },
    config::Program,
};
use std::{path::PathBuf, process::ExitCode};

/// Where edges deliver to, and rooms full of dashboards and devices listen and replay.
#[derive(Debug, Parser)]
#[command(name = "riser-hub", version, about)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgs,
    /// Answers of a running hub as one line of JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Ask a running hub as whose token is in this file, in place of who operates it.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Run until told to stop.
    Serve,
    /// Look into the log of a hub, whether it runs or not, or into a copy. Changes nothing.
    #[command(subcommand)]
    Log(LogCommand),
    /// Make what accounts need, and change the accounts of a running hub.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Users of a running hub.
    #[command(subcommand)]
    User(MemberCommand),
    /// Clients of a running hub: devices and edges.
    #[command(subcommand)]
    Client(MemberCommand),
    /// Key files, and the credentials of users and clients of a running hub.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Rooms of a running hub.
    #[command(subcommand)]
    Room(RoomCommand),
    /// Give somebody a role in one room of a running hub, or none.
    Role(RoleArgs),
    /// Grant a right, in a running hub.
    Grant(GrantArgs),
    /// Deny a right, in a running hub; it wins over every grant.
    Deny(GrantArgs),
    /// Take back a grant.
    Ungrant(GrantArgs),
    /// Take back a deny.
    Undeny(GrantArgs),
    /// Who is connected to a running hub, and who knocks.
    #[command(subcommand)]
    Connection(ConnectionCommand),
    /// The audit log of a running hub, newest first.
    Audit(AuditArgs),
    /// Look at the configuration without running it.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make ids.
    #[command(subcommand)]
    Id(IdCommand),
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
    match arguments.command.clone() {
        Command::Serve => serve(&arguments.config),
        Command::Log(command) => command.run(|| {
            let loaded = Loaded::<HubConfig>::or_last_good(&arguments.config.sources())?;
            Ok((loaded.config.data().join("log"), loaded.config.quota.log()))
        }),
        Command::Account(AccountCommand::Hash) => {
            common(&arguments.config, Common::Account(ShellAccountCommand::Hash))
        }
        Command::Account(AccountCommand::Token) => {
            common(&arguments.config, Common::Account(ShellAccountCommand::Token))
        }
        Command::Account(command) => match command.wish()? {
            Some(wish) => ask(&arguments, wish),
            None => Ok(()),
        },
        Command::User(command) => ask(&arguments, command.wish("users")?),
        Command::Client(command) => ask(&arguments, command.wish("clients")?),
        Command::Key(KeyCommand::New { file }) => {
            common(&arguments.config, Common::Key(ShellKeyCommand::New { file }))
        }
        Command::Key(KeyCommand::Show { file }) => {
            common(&arguments.config, Common::Key(ShellKeyCommand::Show { file }))
        }
        Command::Key(command) => match command.wish()? {
            Some(wish) => ask(&arguments, wish),
            None => Ok(()),
        },
        Command::Room(command) => ask(&arguments, command.wish()?),
        Command::Role(role) => ask(&arguments, role.wish()?),
        Command::Grant(grant) => ask(&arguments, grant.wish(false, false)?),
        Command::Deny(grant) => ask(&arguments, grant.wish(true, false)?),
        Command::Ungrant(grant) => ask(&arguments, grant.wish(false, true)?),
        Command::Undeny(grant) => ask(&arguments, grant.wish(true, true)?),
        Command::Connection(command) => ask(&arguments, command.wish()?),
        Command::Audit(audit) => ask(&arguments, audit.wish()?),
        Command::Config(command) => common(&arguments.config, Common::Config(command)),
        Command::Id(command) => common(&arguments.config, Common::Id(command)),
    }
}

fn common(arguments: &ConfigArgs, command: Common) -> anyhow::Result<()> {
    Ok(command.run::<HubConfig>(arguments)?)
}

/// Asks the hub that runs with this configuration.
fn ask(arguments: &Arguments, wish: Wish) -> anyhow::Result<()> {
    let loaded = Loaded::<HubConfig>::or_last_good(&arguments.config.sources())?;
    let remote = Remote::of(&loaded.config, arguments.token_file.as_deref())?;
    riser_host::setup::runtime(1)?.block_on(wish.perform(&remote, arguments.json))
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
