//! How much of which room a log holds, and its archive, by what their files say that they hold.

use crate::{archive::ArchiveReader, disk::Disk, reader::Reader};
use riser_model::{Mark, Retention, Room, RoomId};
use std::collections::{BTreeMap, BTreeSet};

/// The past of those rooms whose retention names how much of it is kept, oldest first, as far down as it is kept and one
/// part more. A file that does not say what it holds counts as nothing: then more is kept than is named. What the log has
/// let go of is counted where `archive` has it.
pub fn pasts<D: Disk>(
    rooms: &[Room],
    reader: &Reader<D>,
    archive: Option<&mut ArchiveReader<D>>,
) -> Vec<(RoomId, Vec<Mark>)> {
    let limited = rooms.iter().filter(|room| !room.retention.is_empty());
    let open: BTreeMap<RoomId, Counted> =
        limited.map(|room| (room.id, Counted::new(room.retention))).collect();
    let mut counting = Counting { open, done: BTreeMap::new() };
    let mut footers = reader.footers().map_while(Result::ok);
    while let Some(footer) = (!counting.open.is_empty()).then(|| footers.next()).flatten() {
        counting.add(footer.sums());
    }
    if let Some(archive) = archive {
        let there = archive.rooms();
        let archived: BTreeSet<RoomId> =
            rooms.iter().filter(|room| room.is_archived()).map(|room| room.id).collect();
        counting.open.retain(|room, counted| {
            let goes_on = archived.contains(room) && there.contains_key(room);
            if !goes_on {
                counting.done.insert(*room, std::mem::take(&mut counted.marks));
            }
            goes_on
        });
        if !counting.open.is_empty() {
            archive.visit(reader.oldest(), |first, mut sums| {
                sums.retain(|room, _| there.get(room).is_some_and(|one| one.oldest <= first));
                counting.add(sums);
                !counting.open.is_empty()
            });
        }
    }
    let Counting { open, mut done } = counting;
    done.extend(open.into_iter().map(|(room, counted)| (room, counted.marks)));
    done.values_mut().for_each(|past| past.reverse());
    done.into_iter().collect()
}

/// What was counted of the rooms so far, newest first.
struct Counting {
    open: BTreeMap<RoomId, Counted>,
    done: BTreeMap<RoomId, Vec<Mark>>,
}

struct Counted {
    retention: Retention,
    marks: Vec<Mark>,
    count: u64,
    bytes: u64,
}

impl Counted {
    fn new(retention: Retention) -> Self {
        Self { retention, marks: Vec::new(), count: 0, bytes: 0 }
    }

    /// Whether nothing older is kept.
    fn is_enough(&self) -> bool {
        let too_many = self.retention.count.is_some_and(|most| self.count >= most);
        too_many || self.retention.bytes.is_some_and(|most| self.bytes >= most.0)
    }
}

impl Counting {
    /// Counts what a segment, or what is archived of one, has of the rooms.
    fn add(&mut self, sums: BTreeMap<RoomId, Mark>) {
        for (room, mark) in sums {
            let Some(counted) = self.open.get_mut(&room) else { continue };
            // The first that is not kept says where the rest begins.
            let is_last = counted.is_enough();
            counted.count += mark.count;
            counted.bytes += mark.bytes;
            counted.marks.push(mark);
            if is_last {
                let marks = std::mem::take(&mut counted.marks);
                self.open.remove(&room);
                self.done.insert(room, marks);
            }
        }
    }
}
