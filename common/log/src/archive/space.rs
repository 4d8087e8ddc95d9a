//! What of an archive goes, and for what: its quota, what nobody shows any more, and on a full disk the newest.
//!
//! What always holds: the last volume never goes for another one, and none goes for space where all that may go would not
//! make enough.

use super::{Archive, Step, Why, volume::Name};
use crate::{disk::Disk, reader::Reader, view::View};
use riser_model::{RoomId, Seq};
use std::io;

/// So much a volume takes at most for an entry, beside its bytes: it may lie alone between others' entries.
const STRETCH_BYTES: u64 = 40;
/// A volume's heads, its index and what its pieces define take no more than this part of a segment; if they do, the
/// volume finds no space, and a whole segment is looked for.
const LISTING: u64 = 16;

impl<D: Disk> Archive<D> {
    /// Lets go of the oldest volume where it is too much, or nobody's.
    pub(super) fn let_go(&mut self) -> io::Result<Option<Step>> {
        let Some(oldest) = self.volumes.first() else { return Ok(None) };
        let shown = |room: &RoomId| {
            let floor = self.wanted.get(room).map(|floor| (*floor).max(self.since.before(*room)));
            floor.is_none_or(|floor| floor < oldest.name.last)
        };
        let nobodys = oldest.head.as_ref().is_some_and(|head| !head.rooms.iter().any(shown));
        if self.bytes() > self.quota_bytes && self.volumes.len() > 1 {
            self.let_go_of_oldest(Why::Quota)
        } else if nobodys {
            self.let_go_of_oldest(Why::Unseen)
        } else {
            Ok(None)
        }
    }

    fn let_go_of_oldest(&mut self, why: Why) -> io::Result<Option<Step>> {
        let Some(oldest) = self.volumes.first().cloned() else { return Ok(None) };
        let Name { first, last, .. } = oldest.name;
        // Readers know first: what they do not find then is a hole, and no error.
        self.volumes.remove(0);
        self.publish();
        if let Err(error) = self.disk.remove(&oldest.name.file()) {
            self.volumes.insert(0, oldest);
            self.publish();
            return Err(error);
        }
        self.given_up = self.given_up.max(last.next());
        self.freed += if why == Why::Disk { oldest.bytes } else { 0 };
        // One that comes back with a crash goes again.
        let _ = self.disk.sync_dir();
        Ok(Some(Step::LetGo { first, last, why }))
    }

    /// On a full disk the newest is worth more than the oldest. But somebody else may fill it, and for a time: so nothing
    /// goes before the log is about to let go of what is not archived, then no more than makes space for that, and
    /// nothing at all where all that may go would not. Only what is older than the segment that begins at `before` may:
    /// a newer one is worth more than that segment.
    pub(super) fn make_space(&mut self, (needed, free): (u64, u64), before: Seq) -> io::Result<Option<Step>> {
        let older = self.volumes.iter().take_while(|volume| volume.name.last < before);
        // One stays in any case.
        let most = self.volumes.len().saturating_sub(1);
        let (mut may_go, mut bytes) = (0, free);
        for volume in older.take(most) {
            may_go += 1;
            bytes = bytes.saturating_add(volume.bytes);
        }
        if may_go == 0 || bytes < needed || self.freed >= needed {
            return Ok(None);
        }
        self.let_go_of_oldest(Why::Disk)
    }

    /// How many bytes the volume of a segment takes at most, as far as the segment says what it holds of the rooms.
    pub(super) fn volume_bytes(&self, log: &Reader<D>, view: &View<D>, at: usize) -> u64 {
        let Some(segment) = view.segments.get(at) else { return 0 };
        let footer = log.footer(view, segment, view.last_of(at)).ok();
        // One that found no space was larger than that.
        let said = footer.filter(|footer| footer.complete && self.refused != Some(segment.first));
        let Some(footer) = said else { return segment.length };
        let all = footer.channels.iter().filter(|channel| self.wanted.contains_key(&channel.room));
        let entries =
            all.map(|channel| channel.bytes.saturating_add(channel.count.saturating_mul(STRETCH_BYTES)));
        let listing = segment.length / LISTING;
        entries.fold(listing, u64::saturating_add).min(segment.length)
    }
}
