//! `last-good.toml`: the configuration that a program last came up with, kept beside its data.
//!
//! It holds what file, environment and flags said together, secrets included, so it is readable by its owner
//! only, and it is replaced in one step: there is always a whole one.

use super::{
    Program,
    sources::{Sources, parse},
};
use figment::value::Dict;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Where it is in a data folder.
pub fn path(data: &Path) -> PathBuf {
    data.join("last-good.toml")
}

const HEADER: &str = "\
# The configuration that this program last came up with: file, environment and flags together.
# It is used, and that is said, when the given configuration is refused. Do not edit it.

";

/// Replaces it.
pub(super) fn write(data: &Path, said: &Dict) -> io::Result<()> {
    let text = toml::to_string(said).map_err(io::Error::other)?;
    let (new, kept) = (data.join("last-good.toml.new"), path(data));
    // A rest of an earlier attempt may have another mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(HEADER.as_bytes())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, &kept)?;
    File::open(data)?.sync_all()
}

/// The data folder of a configuration that may be wrong everywhere: what can be found of it.
pub(super) fn data_folder<P: Program>(sources: &Sources) -> PathBuf {
    let file = sources.file.clone().unwrap_or_else(P::standard_file);
    let whole = sources.figment(&file).ok();
    // Of a file that is not TOML, the one line that matters may still be.
    let line = || {
        let text = fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut top = text.lines().take_while(|line| !line.trim_start().starts_with('['));
        let line = top.find_map(|line| parse(line.trim()).ok().filter(|line| line.contains_key("data")));
        sources.over(&file, line.unwrap_or_default())
    };
    let figment = whole.unwrap_or_else(line);
    figment.extract_inner("data").unwrap_or_else(|_| P::standard_data())
}
