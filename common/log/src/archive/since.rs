//! Since when which room is archived.
//!
//! A room that was archived no more for a time, and is again, shows nothing of what it had archived before: whoever said
//! that it is not to be kept was promised that. The volumes cannot say so, for none is made while no room is archived. So
//! it is one small file, written under a new name whenever it changes.
//!
//! What always holds: a room's place only rises. Where the file cannot be read, a room begins where the volumes name it
//! without a break: damage hides nobody's past.

use super::volume::UNFINISHED;
use crate::{disk::Disk, reader::Reader, scan::Window};
use riser_model::{Archived, LogId, RoomId, Seq, Wall};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io};

const PREFIX: &str = "rooms-";
const MAGIC: [u8; 4] = *b"RSRr";
const VERSION: u8 = 1;
/// Far more than all rooms of an instance take: what is longer is damage.
const BYTES_MAX: u64 = 64 << 20;

/// Where the archived past of one room begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Begun {
    oldest: Seq,
    oldest_at: Wall,
    /// It was not among the rooms when the accounts could not be read whole: that says nothing of it.
    missed: bool,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Since {
    rooms: BTreeMap<RoomId, Begun>,
    generation: u32,
    /// There is no file that says so.
    pub is_new: bool,
    /// The file does not say so yet.
    unsaved: bool,
}

impl Since {
    /// Reads what these files of a folder say of that log. Which of them was damaged; an error is one of the disk.
    pub fn load<D: Disk>(disk: &D, files: &[String], log: LogId) -> io::Result<(Self, Option<String>)> {
        let mut damaged = None;
        let mut names: Vec<(u32, String)> =
            files.iter().filter_map(|file| Some((generation(file, log)?, file.clone()))).collect();
        names.sort();
        let newest = names.last().map_or(0, |(generation, _)| *generation);
        let empty = Self { generation: newest, is_new: true, ..Self::default() };
        for (_, file) in names.into_iter().rev() {
            match read(disk, &file)? {
                Some(rooms) => return Ok((Self { rooms, is_new: false, ..empty }, damaged)),
                None => damaged = damaged.or(Some(file)),
            }
        }
        Ok((empty, damaged))
    }

    /// These rooms are archived from here on. One that was not begins where the log does; the others are forgotten, unless
    /// who says so may have `missed` some.
    pub fn want<'a, D: Disk>(
        &mut self,
        wanted: impl Iterator<Item = &'a RoomId>,
        missed: bool,
        log: &Reader<D>,
    ) {
        let before = self.rooms.clone();
        let is_new = std::mem::take(&mut self.is_new);
        let (oldest, oldest_at) = log.begins();
        let now = Begun { oldest, oldest_at, missed: false };
        let new = if is_new { Begun { oldest: Seq::ZERO, oldest_at: Wall(i64::MIN), ..now } } else { now };
        // A place that the log has not come to is one of its future, before it went back to an older image.
        let still =
            |begun: &Begun| if begun.oldest > oldest { now } else { Begun { missed: false, ..*begun } };
        let rooms: BTreeMap<RoomId, Begun> =
            wanted.map(|room| (*room, before.get(room).map_or(new, still))).collect();
        let absent =
            before.iter().filter(|(room, begun)| !rooms.contains_key(room) && (missed || begun.missed));
        let absent: Vec<_> = absent.map(|(room, begun)| (*room, Begun { missed: true, ..*begun })).collect();
        self.rooms = rooms;
        self.rooms.extend(absent);
        self.unsaved |= is_new || self.rooms != before;
    }

    /// Where a room's archived past begins, if all that the volumes have of it begins there; none if it has none.
    pub fn of(&self, room: RoomId, volumes: Archived) -> Option<Archived> {
        let begun = self.rooms.get(&room)?;
        let since = Archived { oldest: begun.oldest, oldest_at: begun.oldest_at };
        Some(if begun.oldest > volumes.oldest { since } else { volumes })
    }

    /// Nothing of a room up to here is shown, whatever its floor.
    pub fn before(&self, room: RoomId) -> Seq {
        self.rooms.get(&room).map_or(Seq::ZERO, |begun| begun.oldest.prev())
    }

    /// Makes it durable, if it changed.
    pub fn save<D: Disk>(&mut self, disk: &D, log: LogId) -> io::Result<()> {
        if !self.unsaved {
            return Ok(());
        }
        let older: Vec<String> =
            disk.list()?.into_iter().filter(|file| generation(file, log).is_some()).collect();
        self.generation = self.generation.wrapping_add(1);
        let name = format!("{PREFIX}{:016x}-{:08x}", log.0, self.generation);
        let unfinished = format!("{UNFINISHED}{name}");
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        let rooms = postcard::to_stdvec(&self.rooms);
        bytes.extend(rooms.expect("plain fields and known lengths, which postcard always encodes"));
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        let file = disk.create(&unfinished)?;
        let written = disk
            .write_at(&file, 0, &bytes)
            .and_then(|()| disk.sync_all(&file))
            .and_then(|()| disk.rename(&unfinished, &name));
        written.inspect_err(|_| {
            // If it cannot be removed now, the next start does.
            let _ = disk.remove(&unfinished);
        })?;
        disk.sync_dir()?;
        self.unsaved = false;
        // What stays is older, and not read where this one can be.
        older.iter().for_each(|file| drop(disk.remove(file)));
        Ok(())
    }
}

/// Whether all of such a file can be read; none for other files, and for one that has gone meanwhile.
pub(super) fn is_whole<D: Disk>(disk: &D, file: &str) -> Option<bool> {
    if !file.starts_with(PREFIX) {
        return None;
    }
    match read(disk, file) {
        Ok(rooms) => Some(rooms.is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        // Whatever keeps it from being read, the rest of the report is worth having.
        Err(_) => Some(false),
    }
}

/// None for other files.
fn generation(file: &str, log: LogId) -> Option<u32> {
    let (of, generation) = file.strip_prefix(PREFIX)?.split_once('-')?;
    let generation = u32::from_str_radix(generation, 16).ok()?;
    (u64::from_str_radix(of, 16) == Ok(log.0)).then_some(generation)
}

/// None if it is damaged.
fn read<D: Disk>(disk: &D, name: &str) -> io::Result<Option<BTreeMap<RoomId, Begun>>> {
    let (file, length) = disk.open(name)?;
    if length > BYTES_MAX {
        return Ok(None);
    }
    let bytes = Window::new(disk.clone(), file, length).get(0, length as usize)?;
    let Some((said, crc)) = bytes.split_last_chunk::<4>() else { return Ok(None) };
    let rooms = said.strip_prefix(&MAGIC).and_then(|rest| rest.strip_prefix(&[VERSION]));
    let whole = crc32c::crc32c(said) == u32::from_le_bytes(*crc);
    Ok(rooms.filter(|_| whole).and_then(|rooms| postcard::from_bytes(rooms).ok()))
}
