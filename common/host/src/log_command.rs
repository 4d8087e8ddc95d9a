//! `log inspect` and `log verify`: what a log that nobody has open holds, and whether all of it can be read.
//!
//! Both open a copy of nothing and write nothing: they read the files through a disk that refuses to be written.

use clap::Subcommand;
use riser_log::Config;
use std::path::Path;

/// Looks into a log.
#[derive(Clone, Debug, Subcommand)]
pub enum LogCommand {
    /// Say what the log holds: epochs, seqs, cursors, gaps, routes.
    Inspect,
    /// Read every entry and check every checksum.
    Verify,
}

impl LogCommand {
    /// Runs it over the log in a folder.
    pub fn run(&self, folder: &Path, config: Config) -> anyhow::Result<()> {
        let _ = (folder, config);
        anyhow::bail!("not built yet")
    }
}
