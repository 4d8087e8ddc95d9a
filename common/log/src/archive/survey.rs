//! What an archive's folder holds, and whether all of it can be read: of a program that runs, and of one that does not.
//!
//! It changes nothing and locks nothing. What goes while it looks is left out.

use super::{
    since,
    volume::{ASIDE, Found, Head, Name, Opened},
};
use crate::{disk::Disk, scan::AHEAD_BYTES};
use riser_model::{LogId, RoomId, Seq};
use std::io;

/// What is in an archive's folder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ArchiveSurvey {
    /// The volumes, in order.
    pub volumes: Vec<VolumeSurvey>,
    /// What was set aside: its name, and how many bytes it has.
    pub aside: Vec<(String, u64)>,
    /// Files that say since when rooms are archived and cannot be read, if all of it was to be.
    pub rooms_lost: Vec<String>,
}

/// One volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VolumeSurvey {
    /// The file.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// The log that it was copied from.
    pub log: LogId,
    /// The first seq that it speaks of, and the last.
    pub seqs: (Seq, Seq),
    /// The rooms of which it has everything; none where it cannot be read.
    pub rooms: Option<Vec<RoomId>>,
    /// What is in it, if all of it was read.
    pub held: Option<Held>,
}

/// What is in a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// How many entries.
    pub entries: u64,
    /// Seqs that the log had lost when it was copied.
    pub lost: u64,
    /// Seqs of which it should speak and cannot: they are told as damage.
    pub damaged: u64,
    /// Its head or its index cannot be read. Nothing is lost by one of them: what readers could skip they read.
    pub unframed: bool,
}

impl VolumeSurvey {
    /// Whether something of it cannot be read.
    pub fn is_damaged(&self) -> bool {
        self.rooms.is_none() || self.held.is_some_and(|held| held.damaged > 0 || held.unframed)
    }
}

impl ArchiveSurvey {
    /// How many of its files are not as they were written, as far as it looked.
    pub fn damages(&self) -> usize {
        self.volumes.iter().filter(|volume| volume.is_damaged()).count() + self.rooms_lost.len()
    }

    /// Looks into a folder; with `whole` it reads every volume to its end.
    pub fn of<D: Disk>(disk: &D, whole: bool) -> io::Result<Self> {
        let mut survey = Self::default();
        let mut names: Vec<Name> = Vec::new();
        for file in disk.list()? {
            if file.starts_with(ASIDE) {
                let bytes = disk.open(&file).map_or(0, |(_, bytes)| bytes);
                survey.aside.push((file, bytes));
            } else if let Some(name) = Name::of(&file) {
                names.push(name);
            } else if whole && since::is_whole(disk, &file) == Some(false) {
                survey.rooms_lost.push(file);
            }
        }
        survey.aside.sort();
        names.sort();
        for name in names {
            match disk.open(&name.file()) {
                Ok((file, bytes)) => {
                    let opened = Opened::new(disk.clone(), file, bytes, name);
                    survey.volumes.push(volume(name, bytes, opened, whole)?);
                }
                // It went meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(survey)
    }
}

fn volume<D: Disk>(name: Name, bytes: u64, mut opened: Opened<D>, whole: bool) -> io::Result<VolumeSurvey> {
    let head: Option<Head> = opened.head(name)?;
    Ok(VolumeSurvey {
        file: name.file(),
        bytes,
        log: name.log,
        seqs: (name.first, name.last),
        rooms: head.map(|head| head.rooms.into_iter().collect()),
        held: if whole { Some(held(name, &mut opened)?) } else { None },
    })
}

fn held<D: Disk>(name: Name, opened: &mut Opened<D>) -> io::Result<Held> {
    let mut held = Held { unframed: !opened.is_framed(name)?, ..Held::default() };
    opened.set_ahead(AHEAD_BYTES);
    let (mut offset, mut next) = (0, name.first);
    let gap = |from: Seq, to: Seq| to.0.saturating_sub(from.0);
    while next <= name.last {
        match opened.piece(offset)? {
            Found::Piece { directory, next: after, .. } => {
                offset = after;
                held.damaged += gap(next, directory.first);
                held.entries +=
                    directory.stretches.iter().map(|stretch| u64::from(stretch.count)).sum::<u64>();
                held.lost += directory.gaps.iter().map(riser_model::Gap::count).sum::<u64>();
                next = directory.last.next();
            }
            Found::Other { next: after } => offset = after,
            Found::End => {
                held.damaged += gap(next, name.last.next());
                break;
            }
        }
    }
    Ok(held)
}
