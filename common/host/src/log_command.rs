//! `log inspect` and `log verify`: what a log holds, and whether all of it can be read; of a program that runs, of
//! one that does not, and of a copy.
//!
//! An archive in a folder `archive` beside it is looked into as well. Neither changes anything: no lock is taken, no epoch begins, nothing is written. What is printed is made in
//! `report`.

mod entries;
mod report;

use crate::setup::ARCHIVE;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use entries::Range;
use riser_log::{Config, Survey, archive::ArchiveSurvey, verify};
use riser_shell::RealDisk;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Looks into a log.
#[derive(Clone, Debug, Subcommand)]
pub enum LogCommand {
    /// Say what the log holds, and the archive beside it: epochs, seqs, segments, cursors, gaps, routes; changes nothing.
    Inspect {
        /// What both take.
        #[command(flatten)]
        common: CommonArgs,
        /// Also list the entries with these seqs; either end may be left out.
        #[arg(long, value_name = "FROM..TO")]
        entries: Option<Range>,
        /// Show payloads too.
        #[arg(long, requires = "entries")]
        payload: bool,
    },
    /// Read every block, and what is archived, and check every checksum; ends with 1 if there is damage. Changes nothing.
    Verify {
        /// What both take.
        #[command(flatten)]
        common: CommonArgs,
    },
}

/// What both take.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// The folder with the segments, if not the configured one's: a copy.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Print one JSON object; and one more on a line of its own for each entry that is asked for.
    #[arg(long)]
    json: bool,
}

impl LogCommand {
    /// Runs it over the log in a folder, or over the one that the configuration names.
    pub fn run(&self, configured: impl FnOnce() -> anyhow::Result<(PathBuf, Config)>) -> anyhow::Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let done = self.write(configured, &mut out);
        // Whoever reads has gone: that is no failure of the log's.
        match done.and_then(|failed| Ok(out.flush().map(|()| failed)?)) {
            Err(error) if is_broken_pipe(&error) => Ok(()),
            Ok(Some(failed)) => bail!(failed),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Prints, and says what makes the command end with a failure all the same.
    fn write(
        &self,
        configured: impl FnOnce() -> anyhow::Result<(PathBuf, Config)>,
        out: &mut impl Write,
    ) -> anyhow::Result<Option<String>> {
        match self {
            Self::Inspect { common, entries, payload } => {
                let (folder, disk, config) = common.open(configured)?;
                let mut survey = Survey::of(disk, &config).with_context(|| remedy(&folder))?;
                let archive = archive_of(&folder, false)?;
                if common.json {
                    writeln!(
                        out,
                        "{}",
                        report::with_archive(report::inspect_json(&survey), archive.as_ref())
                    )?;
                } else {
                    report::inspect_text(out, &folder, &survey)?;
                    archive.map(|archive| report::archive_text(out, &archive)).transpose()?;
                }
                if let Some(range) = entries {
                    entries::each(&mut survey, *range, *payload, |listed| {
                        report::listed(out, &listed, common.json)
                    })?;
                }
                Ok(None)
            }
            Self::Verify { common } => {
                let (folder, disk, config) = common.open(configured)?;
                let found = verify(disk, &config).with_context(|| remedy(&folder))?;
                let archive = archive_of(&folder, true)?;
                let damages = found.damages.len() + archive.as_ref().map_or(0, ArchiveSurvey::damages);
                if common.json {
                    writeln!(out, "{}", report::with_archive(report::verify_json(&found), archive.as_ref()))?;
                } else {
                    report::verify_text(out, &folder, &found)?;
                    archive.map(|archive| report::archive_text(out, &archive)).transpose()?;
                }
                Ok((damages > 0).then(|| {
                    format!("verify the log in {}: damage in {damages} places, see above", folder.display())
                }))
            }
        }
    }
}

impl CommonArgs {
    fn open(
        &self,
        configured: impl FnOnce() -> anyhow::Result<(PathBuf, Config)>,
    ) -> anyhow::Result<(PathBuf, RealDisk, Config)> {
        let (folder, config) = match &self.folder {
            Some(folder) => (folder.clone(), Config::edge()),
            None => configured()?,
        };
        let disk = RealDisk::open_to_look(&folder)?;
        Ok((folder, disk, config))
    }
}

/// The archive beside a log, if there is one; with `whole` it is read to its end.
fn archive_of(folder: &Path, whole: bool) -> anyhow::Result<Option<ArchiveSurvey>> {
    // Of one that is named by where it is (`.`) the name is asked for; a link's own place counts otherwise.
    let named = if folder.file_name().is_some() { folder.to_owned() } else { folder.canonicalize()? };
    let folder = named.with_file_name(ARCHIVE);
    if !folder.is_dir() {
        return Ok(None);
    }
    let looked = RealDisk::open_to_look(&folder).map_err(anyhow::Error::from);
    let survey = looked.and_then(|disk| Ok(ArchiveSurvey::of(&disk, whole)?));
    survey.map(Some).with_context(|| format!("look into the archive in {}", folder.display()))
}

/// What to do about a folder that is no log.
fn remedy(folder: &Path) -> String {
    let inner = folder.join("log");
    let shown = folder.display();
    if inner.is_dir() {
        format!("look into the log in {shown}; its segments may be in {}", inner.display())
    } else {
        format!("look into the log in {shown}")
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
