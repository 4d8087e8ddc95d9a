//! How much of which room the log holds when it is opened, by its segments' footers.

use riser_log::{Disk, Footer, Reader, archive::ArchiveReader};
use riser_model::{Room, RoomId, Wall};
use riser_rooms::Mark;
use std::collections::{BTreeMap, BTreeSet};

/// The past of those rooms whose retention names how much of it is kept, oldest first. A segment whose footer is lost
/// counts as nothing: then more is kept than is named. What the log has let go of is counted where `archive` has it.
pub fn pasts<D: Disk>(
    rooms: &[Room],
    reader: &Reader<D>,
    archive: Option<&mut ArchiveReader<D>>,
) -> Vec<(RoomId, Vec<Mark>)> {
    let limited = rooms.iter().filter(|room| !room.retention.is_empty());
    let mut pasts: BTreeMap<RoomId, Vec<Mark>> = limited.map(|room| (room.id, Vec::new())).collect();
    if pasts.is_empty() {
        return Vec::new();
    }
    for footer in reader.footers().map_while(Result::ok) {
        add(&mut pasts, &footer, |_| true);
    }
    if let Some(archive) = archive {
        let there = archive.rooms();
        let archived: BTreeSet<RoomId> =
            rooms.iter().filter(|room| room.archive).map(|room| room.id).collect();
        for footer in archive.footers(reader.oldest()) {
            add(&mut pasts, &footer, |room| {
                archived.contains(&room) && there.get(&room).is_some_and(|one| one.oldest <= footer.first)
            });
        }
    }
    pasts.values_mut().for_each(|past| past.reverse());
    pasts.into_iter().collect()
}

/// Counts what a segment, or what is archived of one, has of those rooms.
fn add(pasts: &mut BTreeMap<RoomId, Vec<Mark>>, footer: &Footer, counts: impl Fn(RoomId) -> bool) {
    let mut sums: BTreeMap<RoomId, Mark> = BTreeMap::new();
    let counted =
        footer.channels.iter().filter(|channel| pasts.contains_key(&channel.room) && counts(channel.room));
    for channel in counted {
        let nothing = Mark { last: channel.last, count: 0, bytes: 0, newest: Wall(i64::MIN) };
        let sum = sums.entry(channel.room).or_insert(nothing);
        sum.last = sum.last.max(channel.last);
        sum.count += channel.count;
        sum.bytes += channel.bytes;
        sum.newest = sum.newest.max(channel.time_max);
    }
    for (room, sum) in sums {
        pasts.entry(room).or_default().push(sum);
    }
}
