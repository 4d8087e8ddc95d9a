//! `audit`: what the audit log in a data folder says, of a program that runs or of one that does not. Changes nothing.

use super::{Asked, read};
use anyhow::Context;
use clap::Args;
use riser_model::{AccountId, AccountName};
use std::{
    io::{self, Write},
    path::Path,
};

/// Which lines, newest first; each is one line of JSON.
#[derive(Clone, Debug, Args)]
pub struct AuditArgs {
    /// An account, by name; all unless given.
    pub account: Option<AccountName>,
    #[command(flatten)]
    lines: LineArgs,
}

/// Which lines of those.
#[derive(Clone, Debug, Args)]
pub struct LineArgs {
    /// Lines before this one.
    #[arg(long)]
    pub before: Option<u64>,
    /// At most so many; 100 unless given, 1000 at most.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Lines that contain this, in whatever case.
    #[arg(long)]
    pub contains: Option<String>,
}

impl AuditArgs {
    /// Prints them; `account` is the one that was named.
    pub fn run(&self, folder: &Path, account: Option<AccountId>) -> anyhow::Result<()> {
        let LineArgs { before, limit, contains } = self.lines.clone();
        let mut out = io::stdout().lock();
        let asked = Asked { account, before, limit, contains };
        let lines = read(folder, &asked).with_context(|| {
            format!("read the audit log in {}; want its owner's rights, or root's", folder.display())
        })?;
        for line in lines {
            let text = serde_json::to_string(&line).context("word a line")?;
            match writeln!(out, "{text}") {
                // Whoever reads has gone: that is no failure of the log's.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                written => written.context("print a line")?,
            }
        }
        Ok(())
    }
}
