//! How a staged block becomes durable, and what is done when that fails (rules 6.3, 6.6, 6.8).

use crate::{
    block::{HEADER_BYTES, Header, Kind, SECTOR_BYTES, padded, seal},
    checkpoint::Changes,
    config::SEGMENTS_MIN,
    definitions::Definitions,
    disk::Disk,
    fold::Fold,
    footer::{POINTS_MAX, TRAILER_BYTES, Tally, trailer},
    pool::{Ready, Spare},
    segment::{Identity, Segment, segment_name},
    staged::Staged,
    writer::{Active, Failing, Repeated, Writer},
};
use riser_model::{Route, RouteNumber, Seq};
use std::{io, sync::Arc};

/// The part of a segment that entries leave free, so that cursors and a checkpoint can always be written.
const RESERVE_SHARE: u64 = 16;
/// A disk is written in pages of this size: where a block ends inside of one, the next one writes it again.
const PAGE_BYTES: u64 = 4096;
/// A block is large when it fills pages, not sectors.
const LARGE_BYTES: u64 = 2 * PAGE_BYTES;
/// Of so many bytes of a segment, one at most is left empty to end large blocks where pages do.
const EMPTY_SHARE: u64 = 16;
/// The most of a segment that its footer takes.
const FOOTER_SHARE: u64 = 8;

/// Readers are told what the segment holds whenever so many points were passed.
const LISTED_EVERY: usize = POINTS_MAX as usize / 16;

impl<D: Disk> Active<D> {
    /// Tells readers what the segment holds so far, now and then.
    fn list_now_and_then(&self, routes: &Definitions<Route>) {
        if self.tally.points().is_multiple_of(LISTED_EVERY) {
            self.list(routes);
        }
    }

    /// Tells readers what the segment holds so far.
    pub(crate) fn list(&self, routes: &Definitions<Route>) {
        self.segment.list(self.tally.footer(routes, u64::MAX));
    }

    /// How many bytes still fit: before the footer, and with entries before the reserve.
    pub fn room(&self, entries: bool) -> u64 {
        let length = self.segment.length;
        let footer = self.tally.footer_bytes(length / FOOTER_SHARE);
        let reserve = if entries { length / RESERVE_SHARE } else { 0 };
        length.saturating_sub(self.offset + footer + reserve)
    }

    /// How many sectors to leave empty after a block of that many bytes, so that the next one begins where a page
    /// does.
    fn empty_sectors(&self, bytes: u64) -> u32 {
        let end = self.offset + padded(bytes);
        let empty = end.next_multiple_of(PAGE_BYTES) - end;
        let spent = self.empty + empty <= end / EMPTY_SHARE;
        let fits = padded(bytes) + empty <= self.room(true);
        if bytes >= LARGE_BYTES && spent && fits { (empty / SECTOR_BYTES as u64) as u32 } else { 0 }
    }
}

/// Where a block comes to lie.
struct Place {
    identity: Identity,
    segment_first: Seq,
    offset: u64,
    empty_sectors: u32,
}

impl Place {
    fn of<D: Disk>(segment: &Segment<D>, offset: u64) -> Self {
        Self { identity: segment.identity, segment_first: segment.first, offset, empty_sectors: 0 }
    }
}

impl<D: Disk, F: Fold> Writer<D, F> {
    /// Makes one block durable: in the segment at hand, or as the first block of the next. After a failure the
    /// segment at hand is given up and the block tried once more in a segment of its own.
    pub(crate) fn place(&mut self, block: &mut Staged, checkpoint: bool) -> io::Result<()> {
        let entries = block.bytes.len();
        let had_active = self.active.is_some();
        let placed = match self.place_here(block, checkpoint) {
            Some(placed) => placed,
            None => self.try_roll(block),
        };
        let placed = match placed {
            Err(error) if had_active && self.active.is_none() => {
                block.bytes.truncate(entries);
                match self.try_roll(block) {
                    Ok(()) => {
                        self.gave_up = Some(error.to_string());
                        Ok(())
                    }
                    Err(second) => {
                        let both = format!("{error}; and in the next segment: {second}");
                        Err(io::Error::new(error.kind(), both))
                    }
                }
            }
            placed => placed,
        };
        if let Err(error) = &placed
            && self.active.is_none()
            && self.failing != Some(Failing::DrainOnly)
        {
            self.failing = Some(Failing::Commit(error.to_string()));
        }
        placed
    }

    /// Makes a block durable in the segment at hand; none if there is none, or not enough room.
    fn place_here(&mut self, block: &mut Staged, checkpoint: bool) -> Option<io::Result<()>> {
        let active = self.active.as_ref()?;
        let (kind, meta) = if checkpoint {
            (Kind::Checkpoint, self.checkpoint(block))
        } else {
            (Kind::Changes, self.changes(block).save())
        };
        let entries = block.bytes.len();
        if padded((entries + meta.len()) as u64) > active.room(block.count > 0) {
            return None;
        }
        let offset = active.offset;
        let segment = active.segment.clone();
        // What is staged after it was promised its room.
        let alone = self.staged.is_empty();
        let empty = if alone { active.empty_sectors((entries + meta.len()) as u64) } else { 0 };
        let place = Place { empty_sectors: empty, ..Place::of(&segment, offset) };
        self.seal(block, &meta, kind, place);
        let written = self.write(&segment.file, offset, &block.bytes);
        match &written {
            Ok(()) => {
                self.landed(block, kind, offset, entries);
                if let Some(active) = &mut self.active {
                    active.empty += u64::from(empty) * SECTOR_BYTES as u64;
                }
            }
            Err(_) => self.give_up_active(),
        }
        Some(written)
    }

    /// Makes a block durable as the first of the next segment: a checkpoint that names the end before it.
    fn try_roll(&mut self, block: &mut Staged) -> io::Result<()> {
        let entries = block.bytes.len();
        let next = self.next_segment(block)?;
        let meta = self.checkpoint(block);
        let identity = Identity { log: self.tables.log, segment: next.number, salt: self.rng.u64(1..) };
        let first = self.next_durable();
        let place = Place { identity, segment_first: first, offset: 0, empty_sectors: 0 };
        self.seal(block, &meta, Kind::Checkpoint, place);
        if let Err(error) = self.write(&next.file, 0, &block.bytes) {
            // Nothing in it was acknowledged, and its handle is never used again. But what it says of where the log
            // ends may be on the medium: so nothing is appended before it any more either.
            self.give_up_active();
            self.pool.put(Spare { name: segment_name(next.number), length: next.length });
            return Err(error);
        }
        self.seal_active();
        let segment = Arc::new(Segment::new(identity, next.file, next.length, first, self.now.wall));
        self.segments.push(segment.clone());
        let tally = Tally::new(first, next.length);
        self.active = Some(Active { segment, offset: 0, empty: 0, tally });
        self.failing = None;
        self.landed(block, Kind::Checkpoint, 0, entries);
        Ok(())
    }

    /// The next segment, long enough for this block: with room to spare, or with little where the quota has not room for a few
    /// such.
    fn next_segment(&mut self, block: &Staged) -> io::Result<Ready<D>> {
        let needed = padded((block.bytes.len() + self.checkpoint(block).len()) as u64);
        // Room for what the checkpoint may still gain, a footer, and as much again.
        let shares = needed.saturating_add(4096).saturating_mul(2).next_multiple_of(4096);
        let roomy = shares.max(self.config.segment_bytes);
        // Room for a footer, and for some blocks more.
        let least = needed.saturating_add(needed / 3).saturating_add(8192).next_multiple_of(4096);
        let are_few = roomy.saturating_mul(SEGMENTS_MIN) > self.config.quota_bytes;
        let length = if are_few { least.max(self.config.segment_bytes) } else { roomy };
        if let Some(next) = self.pool.take(length) {
            return Ok(next);
        }
        self.prepare_all(length)?;
        self.pool
            .take(length)
            .ok_or_else(|| io::Error::new(io::ErrorKind::StorageFull, self.no_segment(needed, length)))
    }

    /// Why none is ready that has room for a checkpoint and the block that comes with it.
    fn no_segment(&self, needed: u64, length: u64) -> String {
        let quota = self.config.quota_bytes;
        if length.saturating_mul(2) > quota {
            return format!(
                "each segment begins with {needed} bytes of the log's own state, and two such segments do not fit in the quota \
                 of {quota} bytes: raise it to {} at least",
                length.saturating_mul(SEGMENTS_MIN)
            );
        }
        self.blocked.as_ref().map_or_else(|| "no segment is ready".to_owned(), ToString::to_string)
    }

    fn write(&mut self, file: &D::File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write_at(file, offset, bytes)?;
        self.disk.sync_data(file)?;
        self.bytes_written += bytes.len() as u64;
        Ok(())
    }

    fn seal(&self, block: &mut Staged, meta: &[u8], kind: Kind, place: Place) {
        let Place { identity, segment_first, offset, empty_sectors } = place;
        let header = Header {
            kind,
            count: block.count,
            entries_bytes: (block.bytes.len() - HEADER_BYTES) as u32,
            meta_bytes: meta.len() as u32,
            empty_sectors,
            body_crc: 0,
            salt: identity.salt,
            segment: identity.segment,
            epoch: self.tables.epoch(),
            log: identity.log,
            first: block.first,
            offset,
            segment_first,
            now: self.now,
        };
        block.bytes.extend_from_slice(meta);
        seal(&mut block.bytes, header);
    }

    /// A block is durable: its changes hold.
    fn landed(&mut self, block: &mut Staged, kind: Kind, offset: u64, entries: usize) {
        let end = offset + block.bytes.len() as u64;
        let bytes = block.bytes.get(HEADER_BYTES..entries).unwrap_or_default();
        let Some(active) = &mut self.active else { return };
        let (fold, routes) = (&mut self.tables.fold, &self.tables.routes);
        // Those of one connection lie together, and have one route.
        let mut route = (RouteNumber::NONE, None);
        let point = active.tally.add(offset, end, block.first, bytes, |seq, frame| {
            if route.0 != frame.route {
                route = (frame.route, routes.value(frame.route.0));
            }
            fold.apply(seq, frame, route.1);
        });
        if let Some(point) = point {
            active.segment.add_point(point);
            active.list_now_and_then(&self.tables.routes);
        }
        active.offset = end;
        self.tables.gave(block.count, block.last(), bytes.len() as u64);
        let mut moved = std::mem::take(&mut block.cursors);
        moved.append(&mut self.moved);
        self.tables.move_cursors(&moved);
        let unsaid = std::mem::take(&mut self.unsaid);
        self.gaps.extend_from_slice(&unsaid.gaps);
        if kind == Kind::Checkpoint {
            self.anchor = Some(active.segment.identity.segment);
            self.tables.routes.checkpointed(self.tables.floor, defined_by(block));
            self.tables.origins.checkpointed(self.tables.floor, defined_by(block));
        }
        self.tables.routes.committed(block.routes.iter().map(|(number, _)| *number));
        self.tables.origins.committed(block.origins.iter().map(|(number, _)| *number));
        self.repeated = Repeated {
            routes: std::mem::take(&mut block.routes),
            origins: std::mem::take(&mut block.origins),
            gaps: unsaid.gaps,
            floor: unsaid.floor,
        };
        self.publish();
    }

    pub(crate) fn changes(&self, block: &Staged) -> Changes {
        let mut cursors = block.cursors.clone();
        cursors.extend(self.moved.iter().map(|(key, value)| (*key, *value)));
        Changes {
            cursors: cursors.into_iter().collect(),
            routes: [&*self.repeated.routes, &*block.routes].concat(),
            origins: [&*self.repeated.origins, &*block.origins].concat(),
            gaps: [&*self.repeated.gaps, &*self.unsaid.gaps].concat(),
            floor: self.unsaid.floor.max(self.repeated.floor),
        }
    }

    fn checkpoint(&self, block: &Staged) -> Vec<u8> {
        let mut cursors = block.cursors.clone();
        cursors.extend(self.moved.iter().map(|(key, value)| (*key, *value)));
        self.tables.checkpoint(defined_by(block), &cursors).save()
    }

    /// The segment at hand is full: its footer is due.
    fn seal_active(&mut self) {
        let Some(active) = self.active.take() else { return };
        // A footer that is still due is written now or never.
        self.write_footer();
        let max =
            active.segment.length.saturating_sub(active.offset).min(active.segment.length / FOOTER_SHARE);
        let footer = active.tally.footer(&self.tables.routes, max);
        active.segment.end(active.offset);
        active.segment.list(footer.clone());
        self.footer_due = Some((active.segment, footer));
    }

    /// A write to the segment at hand failed: nothing past its last synced block is read again, and its handle
    /// is never synced again. Its footer stays in memory.
    pub(crate) fn give_up_active(&mut self) {
        let Some(active) = self.active.take() else { return };
        let footer = active.tally.footer(&self.tables.routes, u64::MAX);
        active.segment.unlist();
        active.segment.end(active.offset);
        // It was not there before: a segment is given up once.
        let _ = active.segment.footer.set(Arc::new(footer));
        self.publish();
    }

    /// Writes the footer of the segment that was sealed last. Readers do without one, so failing is no failure.
    pub(crate) fn write_footer(&mut self) {
        let Some((segment, footer)) = self.footer_due.take() else { return };
        let meta = footer.save();
        let bytes = padded((HEADER_BYTES + meta.len() + TRAILER_BYTES) as u64);
        let Some(offset) = segment.length.checked_sub(bytes).filter(|offset| *offset >= footer.data_end)
        else {
            let _ = segment.footer.set(Arc::new(footer));
            segment.unlist();
            return;
        };
        let mut block = Staged::new(footer.last.next(), self.buffers.pop().unwrap_or_default());
        self.seal(&mut block, &meta, Kind::Footer, Place::of(&segment, offset));
        block.bytes.resize(bytes as usize, 0);
        if let Some(place) = block.bytes.last_chunk_mut() {
            *place = trailer(bytes as u32);
        }
        if self.write(&segment.file, offset, &block.bytes).is_err() {
            let _ = segment.footer.set(Arc::new(footer));
        }
        segment.unlist();
        self.buffers.push(block.bytes);
    }
}

/// A checkpoint holds what is defined by blocks that begin no later than this: a block that brings no definitions
/// must not bring those of another that waits to begin where it does.
fn defined_by(block: &Staged) -> Seq {
    let brings = block.count > 0 || !block.routes.is_empty() || !block.origins.is_empty();
    if brings { block.first } else { block.first.prev() }
}
