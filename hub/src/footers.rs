//! The history index: what each sealed segment of the log holds, a row per room, channel and segment, in sled.
//!
//! It is a cache of the segments' footers and never the only copy of anything. What always holds: a row that does not
//! pass its checksum is not used; a database that cannot be opened, or panics over what it finds, is moved aside and
//! an empty one takes its place, which is filled again while nobody reads. Without any, footers are read from the log.

use riser_log::{ChannelFooter, Footer, Index, SegmentKey};
use riser_model::{Interest, RoomId, Seq};
use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// sled's own memory, bytes.
const CACHE_BYTES: u64 = 16 << 20;
/// How often sled writes what it has, milliseconds: what is lost is learned again.
const FLUSH_EVERY_MS: u64 = 10_000;
/// A row of another version is not used.
const VERSION: u8 = 1;
/// So many rows are forgotten in one piece.
const FORGET_ROWS: usize = 4096;

/// A disk that makes it fail so often would make it fail for ever.
const RENEWALS_MAX: u32 = 3;

const SEGMENT: u8 = b's';
const CHANNEL: u8 = b'c';

/// The history index of a hub's log.
#[derive(Debug)]
pub struct Footers {
    path: PathBuf,
    /// None where it could not be opened again: then there is no index until the next start.
    db: Option<sled::Db>,
    forgotten: Seq,
    /// How often it was made anew.
    renewals: u32,
}

/// What sled made of an order.
enum Failed {
    Sled(sled::Error),
    Panicked,
}

impl Footers {
    /// Opens it, or a new one in its place.
    pub fn open(path: &Path) -> Self {
        let mut footers = Self { path: path.to_owned(), db: None, forgotten: Seq::ZERO, renewals: 0 };
        footers.db = match open(path) {
            Ok(db) => Some(db),
            Err(failed) => footers.renew(&failed),
        };
        footers
    }

    /// Moves what there is aside and begins anew.
    fn renew(&mut self, failed: &Failed) -> Option<sled::Db> {
        let reason = failed.to_string();
        self.renewals += 1;
        if self.renewals > RENEWALS_MAX {
            tracing::warn!(
                reason,
                "the history index fails again and again: there is none until the next start"
            );
            return None;
        }
        match aside(&self.path) {
            Ok(aside) => {
                let aside = aside.display();
                tracing::warn!(reason, %aside, "the history index was bad and is moved aside; it is made again");
            }
            Err(error) => {
                tracing::warn!(reason, %error, "the history index is bad and cannot be moved aside: replays read the log's own footers");
                return None;
            }
        }
        open(&self.path).inspect_err(|failed| tracing::warn!(reason = %failed, "no history index")).ok()
    }

    /// Does something with the database; none if that failed, and then it is another one.
    fn with<T>(&mut self, act: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Option<T> {
        let db = self.db.take()?;
        match guarded(|| act(&db)) {
            Ok(done) => {
                self.db = Some(db);
                Some(done)
            }
            Err(failed) => {
                // Its threads may have panicked too: dropping it must not take this one along.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(db)));
                self.db = self.renew(&failed);
                None
            }
        }
    }
}

impl Index for Footers {
    fn find(&mut self, segment: SegmentKey, of: &Interest) -> Option<Footer> {
        self.with(|db| {
            let Some(mut footer) = db.get(segment_row(segment))?.and_then(|row| load::<Footer>(&row)) else {
                return Ok(None);
            };
            for (room, selections) in &of.rooms {
                let exact: Option<Vec<_>> = selections.iter().map(|one| one.channels.exact()).collect();
                let Some(mut channels) = exact else {
                    for row in db.scan_prefix(rows_of(segment.first, *room)) {
                        let Some(channel) = load::<ChannelFooter>(&row?.1) else { return Ok(None) };
                        footer.channels.push(channel);
                    }
                    continue;
                };
                channels.sort();
                channels.dedup();
                for channel in channels {
                    let Some(row) = db.get(channel_row(segment.first, *room, channel.as_str()))? else {
                        continue;
                    };
                    let Some(channel) = load::<ChannelFooter>(&row) else { return Ok(None) };
                    footer.channels.push(channel);
                }
            }
            Ok(Some(footer))
        })
        .flatten()
    }

    fn learn(&mut self, segment: SegmentKey, footer: &Footer) {
        self.with(|db| {
            let mut batch = sled::Batch::default();
            for row in db.scan_prefix(rows_at(SEGMENT, segment.first)) {
                batch.remove(row?.0);
            }
            for row in db.scan_prefix(rows_at(CHANNEL, segment.first)) {
                batch.remove(row?.0);
            }
            for channel in &footer.channels {
                let row = channel_row(segment.first, channel.room, channel.channel.as_str());
                batch.insert(row, save(channel));
            }
            let mut alone = footer.clone();
            alone.channels.clear();
            batch.insert(segment_row(segment), save(&alone));
            db.apply_batch(batch)
        });
    }

    fn knows(&mut self, segment: SegmentKey) -> bool {
        self.db.is_none() || self.with(|db| db.contains_key(segment_row(segment))).unwrap_or(false)
    }

    fn forget_before(&mut self, oldest: Seq) {
        if oldest <= self.forgotten {
            return;
        }
        let done = self.with(|db| {
            for kind in [SEGMENT, CHANNEL] {
                loop {
                    let mut batch = sled::Batch::default();
                    let mut rows = 0;
                    for row in db.range(rows_at(kind, Seq::ZERO)..rows_at(kind, oldest)).take(FORGET_ROWS) {
                        batch.remove(row?.0);
                        rows += 1;
                    }
                    db.apply_batch(batch)?;
                    if rows < FORGET_ROWS {
                        break;
                    }
                }
            }
            Ok(())
        });
        if done.is_some() {
            self.forgotten = oldest;
        }
    }
}

fn open(path: &Path) -> Result<sled::Db, Failed> {
    guarded(|| {
        sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .mode(sled::Mode::LowSpace)
            .open()
    })
}

/// sled answers damage with errors and with panics.
fn guarded<T>(act: impl FnOnce() -> sled::Result<T>) -> Result<T, Failed> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Failed::Sled(error)),
        Err(_) => Err(Failed::Panicked),
    }
}

/// Renames a database; what was moved aside before goes.
fn aside(path: &Path) -> io::Result<PathBuf> {
    let aside = path.with_extension("bad");
    match fs::remove_dir_all(&aside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn rows_at(kind: u8, first: Seq) -> Vec<u8> {
    [&[kind][..], &first.0.to_be_bytes()].concat()
}

fn segment_row(segment: SegmentKey) -> Vec<u8> {
    [rows_at(SEGMENT, segment.first), segment.salt.to_be_bytes().to_vec()].concat()
}

fn rows_of(first: Seq, room: RoomId) -> Vec<u8> {
    [&rows_at(CHANNEL, first)[..], room.0.as_bytes()].concat()
}

fn channel_row(first: Seq, room: RoomId, channel: &str) -> Vec<u8> {
    [&rows_of(first, room)[..], channel.as_bytes()].concat()
}

/// Version, value, and a checksum over both.
fn save(value: &impl serde::Serialize) -> Vec<u8> {
    let mut row = vec![VERSION];
    row.extend(
        postcard::to_stdvec(value).expect("plain fields and known lengths, which postcard always encodes"),
    );
    let crc = crc32c::crc32c(&row);
    row.extend_from_slice(&crc.to_le_bytes());
    row
}

fn load<T: serde::de::DeserializeOwned>(row: &[u8]) -> Option<T> {
    let (checked, crc) = row.split_last_chunk::<4>()?;
    if crc32c::crc32c(checked) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (version, value) = checked.split_first()?;
    (*version == VERSION).then(|| postcard::from_bytes(value).ok())?
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sled(error) => error.fmt(f),
            Self::Panicked => f.write_str("sled panicked over what it found"),
        }
    }
}

#[cfg(test)]
#[path = "footers/tests.rs"]
mod tests;
