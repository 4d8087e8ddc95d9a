//! Room for the next segment: taken from the quota while there is some, then from the oldest entries (rule 6.9).

use crate::{
    block::{HEADER_BYTES, padded},
    config::OnFull,
    disk::Disk,
    errors::Refused,
    fold::Fold,
    gaps::GapRecord,
    pool::Spare,
    scan::{Scanner, Step, Window},
    segment::{Segment, segment_name},
    writer::Writer,
};
use riser_model::{Cause, Gap, RoomId, RouteNumber, Seq};
use riser_wire::entry::frames;
use std::{collections::BTreeMap, io, sync::Arc};

impl<D: Disk, F: Fold> Writer<D, F> {
    /// Bytes of all files of the log.
    pub(crate) fn bytes(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| segment.length).sum();
        segments + self.pool.bytes() + self.aside_bytes
    }

    /// Whether entries may go on to the next segment: it is ready, and another could follow it. The last one
    /// stays for cursors and for the openings to come: without it nothing could ever be freed again.
    pub(crate) fn may_roll(&self) -> bool {
        let length = self.config.segment_bytes;
        let another = self.bytes() + length <= self.config.quota_bytes
            || self.pool.has_spare(length)
            || self.config.on_full == OnFull::DropOldest
            || self.oldest_confirmed(true);
        self.pool.is_ready(length) && another
    }

    /// Makes a segment of that length ready, however long it takes.
    pub(crate) fn prepare_all(&mut self, length: u64) -> io::Result<()> {
        while self.prepare_step(length)? {}
        Ok(())
    }

    /// Does a bounded piece of it. Whether there is more to do.
    pub(crate) fn prepare_step(&mut self, length: u64) -> io::Result<bool> {
        if self.footer_due.is_some() {
            self.write_footer();
            return Ok(true);
        }
        self.blocked = None;
        if self.is_too_large() && self.shrink()? {
            return Ok(true);
        }
        if self.pool.is_ready(length) {
            return Ok(false);
        }
        if self.pool.step(length)? {
            return Ok(!self.pool.is_ready(length));
        }
        let mut refused = Refused::Quota { quota: self.config.quota_bytes };
        if self.bytes() + length <= self.quota() {
            if self.disk.free_space()? >= length {
                return self.pool.begin(length).map(|()| true);
            }
            refused = Refused::NoSpace;
        }
        let trimmed = self.trim_oldest()?;
        if !trimmed {
            self.blocked = Some(refused);
        }
        Ok(trimmed)
    }

    /// What all files may take now: half as much again as the quota while an archive has not seen the oldest segment.
    fn quota(&self) -> u64 {
        let quota = self.config.quota_bytes;
        if self.oldest_unarchived() { quota + quota / 2 } else { quota }
    }

    fn oldest_unarchived(&self) -> bool {
        self.holds.archive.is_some_and(|through| self.last_of_oldest() > through) && self.segments.len() > 1
    }

    /// Whether it took more while an archive was behind, this one's or one before a restart. What was set aside cannot be
    /// given back, and who never gives up what is not confirmed needs its spare files to go on at all.
    fn is_too_large(&self) -> bool {
        let gives_up = self.holds.archive.is_some() || self.config.on_full == OnFull::DropOldest;
        gives_up && self.bytes() - self.aside_bytes > self.quota()
    }

    /// Gives back what was taken beyond the quota while an archive was behind.
    fn shrink(&mut self) -> io::Result<bool> {
        Ok(self.pool.remove_spare()? || self.trim_oldest()?)
    }

    /// Takes a step towards giving up the oldest segment, if that is allowed: first what frees it is made durable,
    /// then it goes. Where nothing can be written, the checkpoint that will lie in its place says it.
    fn trim_oldest(&mut self) -> io::Result<bool> {
        if !self.may_trim() {
            return Ok(false);
        }
        let dropped = self.last_of_oldest() < self.tables.floor;
        let said = self.unsaid.floor.is_none() || !self.may_note();
        if (dropped && said) || self.oldest_confirmed(false) {
            self.remove_oldest();
        } else if dropped {
            self.note()?;
        } else if self.oldest_confirmed(true) {
            if self.may_note() { self.note()? } else { self.remove_oldest() }
        } else if self.config.on_full == OnFull::DropOldest {
            self.drop_oldest();
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether there is a checkpoint after the oldest segment: without one it holds all of the log's state.
    fn may_trim(&self) -> bool {
        self.segments
            .first()
            .is_some_and(|oldest| self.anchor.is_some_and(|anchor| oldest.identity.segment < anchor))
    }

    /// Whether a block without entries fits in the segment at hand.
    fn may_note(&self) -> bool {
        let size = HEADER_BYTES + self.changes(&self.empty_block()).save().len();
        self.active.as_ref().is_some_and(|active| padded(size as u64) <= active.room(false))
    }

    fn note(&mut self) -> io::Result<()> {
        let mut block = self.empty_block();
        self.place(&mut block, false)
    }

    /// Whether all who have custody to receive have confirmed the oldest segment, and no view within its bound
    /// wants it; `moved` counts cursors that are not durable yet.
    fn oldest_confirmed(&self, moved: bool) -> bool {
        let last = self.last_of_oldest();
        let nothing = Default::default();
        let custody = self.tables.custody(self.holds, if moved { &self.moved } else { &nothing });
        let bytes: u64 = self.segments.iter().map(|segment| segment.length).sum();
        let bound = self.config.view_bytes_max.min(self.config.quota_bytes / 2);
        let wanted = self.tables.wanted(self.holds).is_some_and(|through| last > through) && bytes <= bound;
        custody.is_none_or(|through| last <= through) && !wanted && !self.oldest_unarchived()
    }

    fn last_of_oldest(&self) -> Seq {
        self.segments.get(1).map_or(self.tables.end, |second| second.first.prev())
    }

    /// Gives the oldest segment up though it is not confirmed: what is lost is a gap.
    fn drop_oldest(&mut self) {
        let Some(oldest) = self.segments.first().cloned() else { return };
        let last = self.last_of_oldest();
        let custody = self.tables.custody(self.holds, &self.moved).unwrap_or(last);
        let custody = custody.min(self.holds.archive.unwrap_or(last));
        let from = oldest.first.max(custody.next());
        if from <= last {
            let record = self.lost(&oldest, from, last);
            self.tables.gaps.insert(record.clone());
            self.unsaid.gaps.push(record);
        }
        self.tables.floor = last.next();
        self.unsaid.floor = Some(last.next());
    }

    fn remove_oldest(&mut self) {
        let oldest = self.segments.remove(0);
        self.trimmed += 1;
        self.tables.floor = self.segments.first().map_or(self.next_durable(), |segment| segment.first);
        self.publish();
        let name = segment_name(oldest.identity.segment);
        self.pool.put(Spare { name, length: oldest.length });
    }

    /// Counts what goes with these seqs of a segment, if all of it can be read.
    fn lost(&self, segment: &Arc<Segment<D>>, from: Seq, to: Seq) -> GapRecord {
        let view = self.shared.view();
        let window = Window::new(self.disk.clone(), segment.file.clone(), view.stop_of(segment));
        let mut scanner = Scanner::new(window, segment.identity, segment.point_before(from));
        let mut rooms: BTreeMap<RoomId, u64> = BTreeMap::new();
        let (mut count, mut bytes) = (0, 0);
        // What cannot be read is missing from the count.
        while let Ok(step) = scanner.step() {
            let block = match step {
                Step::Block(block) if block.header.first <= to => block,
                Step::Skip { .. } => continue,
                Step::Block(_) | Step::End { .. } => break,
            };
            let seqs = (block.header.first.0..).map(Seq);
            for (seq, frame) in seqs.zip(frames(&block.entries).map_while(Result::ok)) {
                if !(from..=to).contains(&seq) {
                    continue;
                }
                count += 1;
                bytes += frame.size() as u64;
                let route = Some(frame.route).filter(|route| *route != RouteNumber::NONE);
                if let Some(route) = route.and_then(|n| self.tables.routes.value(n.0)) {
                    *rooms.entry(route.room).or_default() += 1;
                }
            }
        }
        // What a hub lets go is missing for its readers; what an edge does never comes to its hub.
        let cause = if self.config.trim_cause == Cause::HubQuota { Cause::HubQuota } else { Cause::Quota };
        let gap = Gap { from, to, cause };
        let when = self.now.wall;
        if count < gap.count() {
            // The gap is exact in any case; what was in it is then not known.
            return GapRecord { gap, when, bytes: None, rooms: Vec::new() };
        }
        GapRecord { gap, when, bytes: Some(bytes), rooms: rooms.into_iter().collect() }
    }
}
