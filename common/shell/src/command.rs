//! The commands that both programs have beside `serve`: `config`, `account`, `key`, `id`.
//!
//! Results go to standard output, alone, so that they can be piped; what is said about them goes to standard
//! error. A secret is read from standard input, never from the command line.

use crate::{
    config::{ConfigError, Loaded, Program, Sources},
    entropy,
    keys::{self, KeyError},
    passwords,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, Subcommand};
use riser_gate::TokenHash;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
};

/// Which configuration: the arguments of every command that needs one.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigArgs {
    /// The configuration file, instead of the one in /etc/riser.
    #[arg(long, short, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The data folder, instead of the one that the configuration names.
    #[arg(long, value_name = "FOLDER", global = true)]
    pub data: Option<String>,
    /// One value on top of file and environment: --set log.level=debug. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, global = true)]
    pub set: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("want KEY=VALUE, such as log.level=debug")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl ConfigArgs {
    /// Where the configuration comes from.
    pub fn sources(&self) -> Sources {
        let data = self.data.iter().map(|data| ("data".to_owned(), data.clone()));
        Sources::of_process(self.config.clone(), self.set.iter().cloned().chain(data).collect())
    }
}

/// The commands that both programs have.
#[derive(Clone, Debug, Subcommand)]
pub enum Common {
    /// Look at the configuration without running it.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make what accounts need.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Make and show the keys that edges and hubs prove themselves with.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make ids.
    #[command(subcommand)]
    Id(IdCommand),
}

/// `config`
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the configuration would be accepted, and if not, everything that is wrong with it.
    Check,
    /// Print the whole configuration with its defaults, without secrets.
    Print,
}

/// `account`
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum AccountCommand {
    /// Print the hash of the password that standard input gives, for `password = "..."`.
    Hash,
    /// Print a new bearer token and, below it, its hash for `tokens = ["..."]`.
    Token,
}

/// `key`
#[derive(Clone, Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key file and print its public key.
    New {
        /// The file; it must not exist.
        file: PathBuf,
    },
    /// Print the public key of a key file.
    Show {
        /// The file.
        file: PathBuf,
    },
}

/// `id`
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum IdCommand {
    /// Print a new UUID.
    New,
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key file could not be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Standard input or output failed.
    #[error("read or write: {0}")]
    Io(#[from] io::Error),
    /// No password was given.
    #[error("read the password: there is none; type it, or give it as the one line of standard input")]
    NoPassword,
    /// Two different ones were typed.
    #[error("read the password: the two are not the same; try again")]
    NotTheSame,
}

impl Common {
    /// Does it, on the process's standard input and output.
    pub fn run<P: Program>(&self, args: &ConfigArgs) -> Result<(), CommandError> {
        let mut output = io::stdout().lock();
        match self {
            Self::Account(AccountCommand::Hash) => {
                let password =
                    if io::stdin().is_terminal() { typed()? } else { line(&mut io::stdin().lock())? };
                writeln!(output, "{}", passwords::hash(password.as_bytes()).expose())?;
                Ok(())
            }
            Self::Config(_) | Self::Account(AccountCommand::Token) | Self::Key(_) | Self::Id(_) => {
                self.run_to::<P>(&args.sources(), &mut output)
            }
        }
    }

    fn run_to<P: Program>(&self, sources: &Sources, output: &mut impl Write) -> Result<(), CommandError> {
        match self {
            Self::Config(ConfigCommand::Check) => {
                let loaded = Loaded::<P>::strictly(sources)?;
                writeln!(output, "{}: ok", loaded.file.display())?;
            }
            Self::Config(ConfigCommand::Print) => {
                write!(output, "{}", Loaded::<P>::strictly(sources)?.print())?;
            }
            Self::Account(AccountCommand::Hash) => return Err(CommandError::NoPassword),
            Self::Account(AccountCommand::Token) => {
                let token = URL_SAFE_NO_PAD.encode(entropy::bytes::<32>());
                writeln!(output, "{token}\n{}", TokenHash::of(token.as_bytes()).text())?;
            }
            Self::Key(KeyCommand::New { file }) => writeln!(output, "{}", keys::create(file)?.public_text())?,
            Self::Key(KeyCommand::Show { file }) => writeln!(output, "{}", keys::load(file)?.public_text())?,
            Self::Id(IdCommand::New) => writeln!(output, "{}", entropy::uuid())?,
        }
        Ok(())
    }
}

/// One line, without its end.
fn line(input: &mut impl BufRead) -> Result<String, CommandError> {
    let mut text = String::new();
    input.read_line(&mut text)?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err(CommandError::NoPassword) } else { Ok(text.to_owned()) }
}

/// A password from a terminal, twice, unseen.
fn typed() -> Result<String, CommandError> {
    let ask = |prompt: &str| {
        eprint!("{prompt}: ");
        let unseen = Unseen::begin()?;
        let password = line(&mut io::stdin().lock());
        drop(unseen);
        eprintln!();
        password
    };
    let password = ask("password")?;
    if ask("the same again")? == password { Ok(password) } else { Err(CommandError::NotTheSame) }
}

/// The terminal does not show what is typed until this is dropped.
struct Unseen {
    before: Termios,
}

impl Unseen {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &unseen)?;
        Ok(Self { before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(io::stdin(), OptionalActions::Now, &self.before) {
            tracing::warn!(%error, "the terminal could not be set back");
        }
    }
}

#[cfg(test)]
mod tests;
