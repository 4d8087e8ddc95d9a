//! How much of which room the log holds when it is opened, by its segments' footers.

use riser_log::{Disk, Reader};
use riser_model::{Room, RoomId, Wall};
use riser_rooms::Mark;
use std::collections::BTreeMap;

/// The past of those rooms whose retention names how much of it is kept, oldest first. A segment whose footer is lost
/// counts as nothing: then more is kept than is named.
pub fn pasts<D: Disk>(rooms: &[Room], reader: &Reader<D>) -> Vec<(RoomId, Vec<Mark>)> {
    let limited = rooms.iter().filter(|room| !room.retention.is_empty());
    let mut pasts: BTreeMap<RoomId, Vec<Mark>> = limited.map(|room| (room.id, Vec::new())).collect();
    if pasts.is_empty() {
        return Vec::new();
    }
    for footer in reader.footers().map_while(Result::ok) {
        let mut sums: BTreeMap<RoomId, Mark> = BTreeMap::new();
        for channel in footer.channels.iter().filter(|channel| pasts.contains_key(&channel.room)) {
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
    pasts.values_mut().for_each(|past| past.reverse());
    pasts.into_iter().collect()
}
