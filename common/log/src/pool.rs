//! Segments that hold nothing yet, and the files that may become them (rule 6.5).
//!
//! What always holds: what it hands out was zeroed or used before, is synced, has its name, and the directory
//! was synced after it got that name. A file is removed only if it holds nothing that was ever acknowledged.

use crate::{
    disk::Disk,
    segment::{fresh_name, segment_name},
};
use std::io;

/// How much is zeroed at once, between commits: they wait for it.
const SLICE_BYTES: u64 = 512 * 1024;

/// A segment that is ready to be written from its beginning.
pub(crate) struct Ready<D: Disk> {
    pub number: u64,
    pub file: D::File,
    pub length: u64,
}

/// A file that holds nothing that must stay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Spare {
    pub name: String,
    pub length: u64,
}

struct Fresh<D: Disk> {
    name: String,
    file: D::File,
    length: u64,
    done: u64,
    zeros: Vec<u8>,
}

pub(crate) struct Pool<D: Disk> {
    disk: D,
    next_number: u64,
    ready: Option<Ready<D>>,
    fresh: Option<Fresh<D>>,
    spares: Vec<Spare>,
}

impl<D: Disk> Pool<D> {
    pub fn new(disk: D, next_number: u64, spares: Vec<Spare>) -> Self {
        Self { disk, next_number, ready: None, fresh: None, spares }
    }

    /// Bytes of all files in it.
    pub fn bytes(&self) -> u64 {
        let ready = self.ready.as_ref().map_or(0, |r| r.length);
        let fresh = self.fresh.as_ref().map_or(0, |f| f.length);
        ready + fresh + self.spares.iter().map(|s| s.length).sum::<u64>()
    }

    /// Whether a segment of that length is ready.
    pub fn is_ready(&self, length: u64) -> bool {
        self.ready.as_ref().is_some_and(|ready| ready.length >= length)
    }

    /// How much of the file that is being zeroed is, if one is.
    pub fn zeroed(&self) -> Option<u64> {
        self.fresh.as_ref().map(|fresh| fresh.done)
    }

    /// The length of the segment that is ready.
    pub fn ready_length(&self) -> Option<u64> {
        self.ready.as_ref().map(|ready| ready.length)
    }

    /// The segment that is ready, if it is that long.
    pub fn take(&mut self, length: u64) -> Option<Ready<D>> {
        self.ready.take_if(|ready| ready.length >= length)
    }

    /// Takes a file whose content is not needed any more, or whose writing failed: its handle is never used again.
    pub fn put(&mut self, spare: Spare) {
        self.spares.push(spare);
    }

    /// Whether there is a file that could be made ready without taking more space.
    pub fn has_spare(&self, length: u64) -> bool {
        self.fresh.is_some() || self.spares.iter().any(|spare| spare.length >= length)
    }

    /// Removes a file that holds nothing, if there is one.
    pub fn remove_spare(&mut self) -> io::Result<bool> {
        let Some(spare) = self.spares.last() else { return Ok(false) };
        self.disk.remove(&spare.name)?;
        self.spares.pop();
        self.disk.sync_dir()?;
        Ok(true)
    }

    /// Does a bounded piece of making a segment of at least that length ready out of what is here. Whether it did
    /// anything.
    pub fn step(&mut self, length: u64) -> io::Result<bool> {
        if self.is_ready(length) {
            return Ok(false);
        }
        if let Some(fresh) = self.fresh.take() {
            return self.fill(fresh).map(|()| true);
        }
        if let Some(at) = self.spares.iter().position(|spare| spare.length >= length) {
            let spare = self.spares.swap_remove(at);
            return self.name(spare).map(|()| true);
        }
        // What is too short for anything is worth only its space.
        if let Some(ready) = self.ready.take() {
            self.spares.push(Spare { name: segment_name(ready.number), length: ready.length });
        }
        self.remove_spare()
    }

    /// Begins a new file.
    pub fn begin(&mut self, length: u64) -> io::Result<()> {
        let name = fresh_name(self.number());
        let file = self.disk.create(&name)?;
        let zeros = vec![0; SLICE_BYTES.min(length) as usize];
        self.fresh = Some(Fresh { name, file, length, done: 0, zeros });
        Ok(())
    }

    fn fill(&mut self, mut fresh: Fresh<D>) -> io::Result<()> {
        let done = self.fill_slice(&mut fresh);
        match done {
            Ok(()) if fresh.done < fresh.length => self.fresh = Some(fresh),
            Ok(()) => return self.name(Spare { name: fresh.name, length: fresh.length }),
            Err(error) => {
                // It holds zeros at most. If it cannot be removed now, the next start does.
                let _ = self.disk.remove(&fresh.name);
                return Err(error);
            }
        }
        Ok(())
    }

    fn fill_slice(&self, fresh: &mut Fresh<D>) -> io::Result<()> {
        let left = usize::try_from(fresh.length - fresh.done).unwrap_or(usize::MAX);
        let slice = fresh.zeros.get(..left).unwrap_or(&fresh.zeros);
        self.disk.write_at(&fresh.file, fresh.done, slice)?;
        fresh.done += slice.len() as u64;
        if fresh.done < fresh.length {
            self.disk.sync_data(&fresh.file)
        } else {
            self.disk.sync_all(&fresh.file)
        }
    }

    /// Gives a file the name of the next segment, durably.
    fn name(&mut self, spare: Spare) -> io::Result<()> {
        let number = self.number();
        let name = segment_name(number);
        if let Err(error) = self.disk.rename(&spare.name, &name) {
            self.spares.push(spare);
            return Err(error);
        }
        let named = self.disk.sync_dir().and_then(|()| self.disk.open(&name));
        match named {
            Ok((file, _)) => {
                self.ready = Some(Ready { number, file, length: spare.length });
                Ok(())
            }
            Err(error) => {
                // Whether that name is durable nobody knows: it gets another.
                self.spares.push(Spare { name, length: spare.length });
                Err(error)
            }
        }
    }

    /// A number that no segment ever had, tried or used.
    fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}
