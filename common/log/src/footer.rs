//! What a segment holds of each channel, so that readers can skip it (rule 6.6).
//!
//! A footer never says that a channel is missing where it is not: if there are more channels than it may list,
//! it says that it is incomplete.

use crate::{
    block::{HEADER_BYTES, padded},
    definitions::Definitions,
};
use riser_model::{ChannelName, ClientId, Interest, Mark, NumberMap, RoomId, Route, RouteNumber, Seq, Wall};
use riser_wire::{
    entry::{FRAME_HEADER_BYTES, Frame, frames},
    membership,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most points of one segment.
pub(crate) const POINTS_MAX: u64 = 256;
/// The end of a segment says how long the footer is: its length, then these bytes.
const TRAILER_MAGIC: [u8; 4] = *b"RSRf";
/// The trailer's length.
pub(crate) const TRAILER_BYTES: usize = 8;
/// What a room takes that has namesakes, at most: an id and four numbers, and a share of how many there are.
const NAMESAKE_BYTES: u64 = 64;

/// What a segment holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Footer {
    /// The first seq of the segment.
    pub first: Seq,
    /// The last; `first - 1` if it holds none.
    pub last: Seq,
    /// Where its last block ends.
    pub(crate) data_end: u64,
    /// Whether all channels are listed. If not, one that is missing may be there all the same.
    pub complete: bool,
    /// Places from which to read on, in order.
    pub(crate) points: Vec<Point>,
    /// The channels, in order of room and name.
    pub channels: Vec<ChannelFooter>,
    /// What others than the system published in a channel that is called as the one in which it tells who came and went: a
    /// channel's line does not say which of it is whose. Behind the rest where there is any; footers of older programs have
    /// none, and then it counts for nothing.
    #[serde(skip)]
    pub(crate) namesakes: BTreeMap<RoomId, Mark>,
}

/// A block's beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    pub offset: u64,
    pub first: Seq,
}

/// What a segment holds of one channel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChannelFooter {
    /// Its room.
    pub room: RoomId,
    /// The channel.
    pub channel: ChannelName,
    /// Its first seq here.
    pub first: Seq,
    /// Its last seq here.
    pub last: Seq,
    /// How many entries.
    pub count: u64,
    /// How many bytes of frames.
    pub bytes: u64,
    /// The earliest time of publication, by this log's clock.
    pub time_min: Wall,
    /// The latest.
    pub time_max: Wall,
    /// After which points there are any: a bit per point.
    slots: Slots,
}

type Slots = [u64; 4];

impl Footer {
    /// How much it holds of each room's past, as far as it lists its channels. What the system told of who came and went is
    /// none of it.
    pub fn sums(&self) -> BTreeMap<RoomId, Mark> {
        let mut sums = self.namesakes.clone();
        for channel in self.channels.iter().filter(|one| one.channel.as_str() != membership::CHANNEL) {
            add(&mut sums, channel.room, channel.mark());
        }
        sums
    }

    /// Whether its sums hold what its channels' lines do not say.
    pub(crate) fn sums_beyond_lines(&self) -> bool {
        !self.namesakes.is_empty()
    }

    /// What it says of a channel, if it lists it.
    pub fn channel(&self, room: RoomId, channel: &ChannelName) -> Option<&ChannelFooter> {
        let at = self.channels.binary_search_by(|c| (c.room, &c.channel).cmp(&(room, channel))).ok()?;
        self.channels.get(at)
    }

    /// The seqs among which the channel's entries of this segment are, newest first: read these and nothing else.
    pub fn ranges(&self, of: &ChannelFooter) -> Vec<(Seq, Seq)> {
        let mut ranges: Vec<(Seq, Seq)> = Vec::new();
        for (slot, point) in self.points.iter().enumerate().rev() {
            if !has(&of.slots, slot) {
                continue;
            }
            let to = self.points.get(slot + 1).map_or(self.last, |next| next.first.prev()).min(of.last);
            let from = point.first.max(of.first);
            match ranges.last_mut() {
                Some(newer) if newer.0 == to.next() => newer.0 = from,
                _ if from <= to => ranges.push((from, to)),
                _ => {}
            }
        }
        ranges
    }

    /// The seqs among which everything is that may concern a reader, oldest first. Only of one that is complete.
    pub(crate) fn wanted(&self, of: &Interest) -> Vec<(Seq, Seq)> {
        let mut slots = [0; 4];
        for channel in &self.channels {
            if of.meets(channel.room, &channel.channel, self.last, channel.time_max) {
                slots.iter_mut().zip(channel.slots).for_each(|(all, one)| *all |= one);
            }
        }
        let mut ranges: Vec<(Seq, Seq)> = Vec::new();
        for (slot, point) in self.points.iter().enumerate().filter(|(slot, _)| has(&slots, *slot)) {
            let to = self.points.get(slot + 1).map_or(self.last, |next| next.first.prev());
            match ranges.last_mut() {
                Some(older) if older.1.next() == point.first => older.1 = to,
                _ if point.first <= to => ranges.push((point.first, to)),
                _ => {}
            }
        }
        ranges
    }

    /// The first seq after the last point at or before `seq`.
    pub(crate) fn point_before(&self, seq: Seq) -> Seq {
        let after = self.points.partition_point(|point| point.first <= seq);
        after.checked_sub(1).and_then(|at| self.points.get(at)).map_or(self.first, |point| point.first)
    }

    /// Where the last point at or before `seq` is.
    pub(crate) fn offset_before(&self, seq: Seq) -> u64 {
        let after = self.points.partition_point(|point| point.first <= seq);
        after.checked_sub(1).and_then(|at| self.points.get(at)).map_or(0, |point| point.offset)
    }

    /// One that lists no channels, and says so.
    pub(crate) fn unlisted(first: Seq, last: Seq, data_end: u64, points: Vec<Point>) -> Self {
        Self {
            first,
            last,
            data_end,
            complete: false,
            points,
            channels: Vec::new(),
            namesakes: BTreeMap::new(),
        }
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        let plain = "plain fields and known lengths, which postcard always encodes";
        let mut bytes = postcard::to_stdvec(self).expect(plain);
        if !self.namesakes.is_empty() {
            bytes.extend(postcard::to_stdvec(&self.namesakes).expect(plain));
        }
        bytes
    }

    pub(crate) fn load(bytes: &[u8]) -> Option<Self> {
        let (footer, rest) = postcard::take_from_bytes::<Self>(bytes).ok()?;
        Some(Self { namesakes: postcard::from_bytes(rest).unwrap_or_default(), ..footer })
    }
}

impl ChannelFooter {
    fn mark(&self) -> Mark {
        Mark { last: self.last, count: self.count, bytes: self.bytes, newest: self.time_max }
    }
}

fn add(sums: &mut BTreeMap<RoomId, Mark>, room: RoomId, mark: Mark) {
    let nothing = Mark { count: 0, bytes: 0, ..mark };
    let sum = sums.entry(room).or_insert(nothing);
    sum.last = sum.last.max(mark.last);
    sum.count += mark.count;
    sum.bytes += mark.bytes;
    sum.newest = sum.newest.max(mark.newest);
}

fn has(slots: &Slots, slot: usize) -> bool {
    slots.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
}

/// The last bytes of a segment whose footer's block has that length, zeros included.
pub(crate) fn trailer(footer_bytes: u32) -> [u8; TRAILER_BYTES] {
    let [a, b, c, d] = footer_bytes.to_le_bytes();
    let [e, f, g, h] = TRAILER_MAGIC;
    [a, b, c, d, e, f, g, h]
}

/// The length of the footer's block, by the last bytes of a segment.
pub(crate) fn read_trailer(bytes: &[u8]) -> Option<u32> {
    let (length, magic) = bytes.last_chunk::<TRAILER_BYTES>()?.split_first_chunk::<4>()?;
    (*magic == TRAILER_MAGIC).then(|| u32::from_le_bytes(*length))
}

/// Counts what is appended to one segment.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    first: Seq,
    last: Seq,
    data_end: u64,
    stride: u64,
    /// Every seq from the first to the last was counted.
    whole: bool,
    points: Vec<Point>,
    by_route: NumberMap<u32, RouteTally>,
}

#[derive(Clone, Debug)]
struct RouteTally {
    first: Seq,
    last: Seq,
    count: u64,
    bytes: u64,
    time_min: Wall,
    time_max: Wall,
    slots: Slots,
}

impl Tally {
    /// Of a segment that begins with `first` and has that length.
    pub fn new(first: Seq, length: u64) -> Self {
        Self {
            first,
            last: first.prev(),
            data_end: 0,
            stride: length.div_ceil(POINTS_MAX),
            whole: true,
            points: Vec::new(),
            by_route: NumberMap::default(),
        }
    }

    /// A block was appended. The new point, if it made one; `each` sees its entries.
    pub fn add(
        &mut self,
        offset: u64,
        end: u64,
        first: Seq,
        entries: &[u8],
        mut each: impl FnMut(Seq, &Frame<'_>),
    ) -> Option<Point> {
        let far = self.points.last().is_none_or(|point| offset >= point.offset + self.stride);
        let point = far.then_some(Point { offset, first });
        self.points.extend(point);
        self.whole &= first == self.last.next();
        self.data_end = end;
        let slot = self.points.len() - 1;
        let mut seq = first;
        // What one connection sent at once lies together: it is counted together.
        let mut run: Option<(RouteNumber, RouteTally)> = None;
        for frame in frames(entries).map_while(Result::ok) {
            match &mut run {
                Some((route, tally)) if *route == frame.route => tally.add(seq, &frame),
                _ => self.take(run.replace((frame.route, RouteTally::of(seq, &frame, slot)))),
            }
            each(seq, &frame);
            self.last = seq;
            seq = seq.next();
        }
        self.take(run);
        point
    }

    /// A piece was appended that speaks of all seqs from `first` on and holds some of them: what
    /// [`Tally::add_some`] is told next. Beyond the most points there may be, it belongs to the last.
    pub fn begin_piece(&mut self, offset: u64, first: Seq) {
        let far = self.points.last().is_none_or(|point| offset >= point.offset + self.stride);
        if far && (self.points.len() as u64) < POINTS_MAX {
            self.points.push(Point { offset, first });
        }
    }

    /// Entries of the piece at hand, dense from `first` on.
    pub fn add_some(&mut self, first: Seq, entries: &[u8]) {
        let slot = self.points.len().saturating_sub(1);
        for (frame, n) in frames(entries).map_while(Result::ok).zip(0..) {
            self.take(Some((frame.route, RouteTally::of(first.plus(n), &frame, slot))));
        }
    }

    /// The piece at hand speaks of everything up to `last`, and ends there.
    pub fn end_piece(&mut self, last: Seq, end: u64) {
        (self.last, self.data_end) = (last, end);
    }

    fn take(&mut self, run: Option<(RouteNumber, RouteTally)>) {
        let Some((route, run)) = run.filter(|(route, _)| *route != RouteNumber::NONE) else { return };
        self.by_route.entry(route.0).and_modify(|tally| tally.go_on(&run)).or_insert(run);
    }

    /// How many points there are.
    pub fn points(&self) -> usize {
        self.points.len()
    }

    /// About how much a footer takes, zeros and trailer included; at most `max`.
    pub fn footer_bytes(&self, max: u64) -> u64 {
        let points = self.points.len() as u64 * 10;
        let channels = self.by_route.len() as u64 * 120;
        padded(HEADER_BYTES as u64 + 64 + points + channels).min(max)
    }

    /// The footer of pieces that hold some of the seqs: all of the channels that are there.
    pub fn footer_of_some(&self, routes: &Definitions<Route>) -> Footer {
        let footer = self.footer(routes, u64::MAX);
        let complete = self.by_route.keys().all(|number| routes.contains(*number));
        Footer { complete, ..footer }
    }

    /// The footer, with as many channels as fit in about `max` bytes.
    pub fn footer(&self, routes: &Definitions<Route>, max: u64) -> Footer {
        let mut channels: BTreeMap<(RoomId, &ChannelName), ChannelFooter> = BTreeMap::new();
        let mut published = BTreeMap::new();
        let mut complete = self.whole;
        for (number, tally) in &self.by_route {
            let Some(route) = routes.value(*number) else {
                complete = false;
                continue;
            };
            channels
                .entry((route.room, &route.channel))
                .and_modify(|channel| tally.add_to(channel))
                .or_insert_with(|| tally.channel(route));
            if route.channel.as_str() == membership::CHANNEL && route.client != ClientId::SYSTEM {
                add(&mut published, route.room, tally.channel(route).mark());
            }
        }
        let fixed = HEADER_BYTES + TRAILER_BYTES + 48 + self.points.len() * 16;
        let mut room = max.saturating_sub(fixed as u64);
        let (mut listed, mut namesakes) = (Vec::with_capacity(channels.len()), BTreeMap::new());
        for channel in channels.into_values() {
            let is_called_so = channel.channel.as_str() == membership::CHANNEL;
            let also = is_called_so.then(|| published.remove(&channel.room)).flatten();
            let more = if also.is_some() { NAMESAKE_BYTES } else { 0 };
            let bytes = 112 + channel.channel.as_str().len() as u64 + more;
            if bytes > room {
                complete = false;
                break;
            }
            room -= bytes;
            namesakes.extend(also.map(|mark| (channel.room, mark)));
            listed.push(channel);
        }
        Footer {
            first: self.first,
            last: self.last,
            data_end: self.data_end,
            complete,
            points: self.points.clone(),
            channels: listed,
            namesakes,
        }
    }
}

impl RouteTally {
    fn of(seq: Seq, frame: &Frame<'_>, slot: usize) -> Self {
        let (wall, mut slots) = (wall(frame), Slots::default());
        if let Some(word) = slots.get_mut(slot / 64) {
            *word |= 1 << (slot % 64);
        }
        let bytes = (FRAME_HEADER_BYTES + frame.body.len()) as u64;
        Self { first: seq, last: seq, count: 1, bytes, time_min: wall, time_max: wall, slots }
    }

    fn add(&mut self, seq: Seq, frame: &Frame<'_>) {
        let wall = wall(frame);
        self.last = seq;
        self.count += 1;
        self.bytes += (FRAME_HEADER_BYTES + frame.body.len()) as u64;
        self.time_min = self.time_min.min(wall);
        self.time_max = self.time_max.max(wall);
    }

    /// Entries that follow.
    fn go_on(&mut self, run: &Self) {
        self.last = run.last;
        self.count += run.count;
        self.bytes += run.bytes;
        self.time_min = self.time_min.min(run.time_min);
        self.time_max = self.time_max.max(run.time_max);
        self.slots.iter_mut().zip(run.slots).for_each(|(all, one)| *all |= one);
    }

    fn channel(&self, route: &Route) -> ChannelFooter {
        ChannelFooter {
            room: route.room,
            channel: route.channel.clone(),
            first: self.first,
            last: self.last,
            count: self.count,
            bytes: self.bytes,
            time_min: self.time_min,
            time_max: self.time_max,
            slots: self.slots,
        }
    }

    fn add_to(&self, channel: &mut ChannelFooter) {
        channel.first = channel.first.min(self.first);
        channel.last = channel.last.max(self.last);
        channel.count += self.count;
        channel.bytes += self.bytes;
        channel.time_min = channel.time_min.min(self.time_min);
        channel.time_max = channel.time_max.max(self.time_max);
        for (word, more) in channel.slots.iter_mut().zip(self.slots) {
            *word |= more;
        }
    }
}

/// When it was published: corrected where it came from elsewhere, else the wall stamp in the frozen part of its body.
fn wall(frame: &Frame<'_>) -> Wall {
    if let Some(origin) = frame.origin {
        return origin.wall;
    }
    let bytes = frame.body.get(16..24).and_then(|b| b.first_chunk());
    Wall(bytes.map_or(0, |b| i64::from_le_bytes(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{ClientId, Stamp};
    use riser_wire::entry::{ContentType, Origin, Publication};
    use uuid::Uuid;

    fn routes() -> Definitions<Route> {
        let mut routes = Definitions::new(0);
        for (number, channel, client) in [(0, "b", 1), (1, "a", 1), (2, "a", 2)] {
            let route = Route {
                room: RoomId(Uuid::from_u128(7)),
                channel: channel.parse().unwrap(),
                client: ClientId(Uuid::from_u128(client)),
            };
            routes.define(number, route);
        }
        routes
    }

    fn entries(numbers: &[u32]) -> Vec<u8> {
        let mut out = Vec::new();
        for number in numbers {
            let stamp = Stamp { wall: Wall(i64::from(*number)), ..Stamp::default() };
            Publication::new(ContentType::Octets, b"x").write_frame(&mut out, RouteNumber(*number), stamp);
        }
        out
    }

    #[test]
    fn what_came_from_elsewhere_counts_by_its_corrected_time() {
        let bytes = entries(&[3]);
        let plain = frames(&bytes).next().unwrap().unwrap();
        let origin = Some(Origin { number: 1, seq: Seq(1), wall: Wall(99), uncertain: false });
        assert_eq!((wall(&plain), wall(&Frame { origin, ..plain })), (Wall(3), Wall(99)));
    }

    fn footer(max: u64) -> Footer {
        let mut tally = Tally::new(Seq(10), 256 * 1024);
        let mut seen = Vec::new();
        let mut add = |at: u64, first, numbers: &[u32]| {
            tally.add(at * 512, (at + 1) * 512, Seq(first), &entries(numbers), |seq, _| seen.push(seq.0))
        };
        assert!(add(0, 10, &[0, 0]).is_some());
        assert!(add(1, 12, &[1]).is_none());
        assert!(add(2, 13, &[2, RouteNumber::NONE.0]).is_some());
        assert!(add(4, 15, &[0]).is_some());
        assert_eq!(seen, [10, 11, 12, 13, 14, 15]);
        tally.footer(&routes(), max)
    }

    #[test]
    fn who_came_and_went_is_not_counted_as_a_rooms_past() {
        let mut routes = routes();
        let channel = membership::CHANNEL.parse().unwrap();
        routes.define(3, Route { channel, client: ClientId::SYSTEM, ..routes.value(1).unwrap().clone() });
        let mut tally = Tally::new(Seq(1), 256 * 1024);
        tally.add(0, 512, Seq(1), &entries(&[0, 3, 1, 3]), |_, _| {});
        let footer = tally.footer(&routes, 100_000);
        let [a, b, _] = &footer.channels[..] else { panic!("{:?}", footer.channels) };
        let sums = footer.sums();
        let mark = sums.get(&RoomId(Uuid::from_u128(7))).unwrap();
        assert_eq!((mark.count, mark.bytes, mark.last), (2, a.bytes + b.bytes, Seq(3)));
    }

    #[test]
    fn what_is_published_in_a_channel_called_as_the_systems_is_counted_as_a_rooms_past() {
        let mut routes = routes();
        let channel: ChannelName = membership::CHANNEL.parse().unwrap();
        let systems =
            Route { channel: channel.clone(), client: ClientId::SYSTEM, ..routes.value(1).unwrap().clone() };
        routes.define(3, systems.clone());
        routes.define(4, Route { channel, ..routes.value(1).unwrap().clone() });
        routes.define(5, Route { room: RoomId(Uuid::from_u128(8)), ..systems });
        let mut tally = Tally::new(Seq(1), 256 * 1024);
        tally.add(0, 512, Seq(1), &entries(&[0, 3, 4, 4, 3, 5]), |_, _| {});
        let counted = |max| {
            let footer = tally.footer(&routes, max);
            assert_eq!(Footer::load(&footer.save()).as_ref(), Some(&footer));
            let sums = footer.sums();
            sums.into_iter()
                .map(|(room, mark)| (room.0.as_u128(), mark.count, mark.last.0))
                .collect::<Vec<_>>()
        };
        assert_eq!(counted(100_000), [(7, 3, 4)]);
        assert_eq!(counted(360), [(7, 1, 1)], "what is not listed is not counted");
    }

    /// A footer as older programs wrote it, and as they read ours: the rest is not looked at.
    #[test]
    fn what_is_counted_beside_the_lines_stands_behind_them() {
        let mut routes = routes();
        routes.define(
            0,
            Route { channel: membership::CHANNEL.parse().unwrap(), ..routes.value(0).unwrap().clone() },
        );
        let mut tally = Tally::new(Seq(1), 256 * 1024);
        tally.add(0, 512, Seq(1), &entries(&[0, 1]), |_, _| {});
        let footer = tally.footer(&routes, 100_000);
        let older = postcard::to_stdvec(&footer).unwrap();
        assert!(footer.save().starts_with(&older) && footer.save().len() > older.len());
        let read = Footer::load(&older).unwrap();
        assert_eq!(read.channels, footer.channels);
        assert_eq!(read.sums().values().map(|mark| mark.count).sum::<u64>(), 1);
    }

    #[test]
    fn footer_counts_per_channel_and_says_where_to_read() {
        let footer = footer(100_000);
        assert!(footer.complete);
        assert_eq!((footer.first, footer.last, footer.data_end), (Seq(10), Seq(15), 5 * 512));
        let room = RoomId(Uuid::from_u128(7));
        let a = footer.channel(room, &"a".parse().unwrap()).unwrap();
        assert_eq!(
            (a.first, a.last, a.count, a.time_min, a.time_max),
            (Seq(12), Seq(13), 2, Wall(1), Wall(2))
        );
        assert_eq!(footer.ranges(a), [(Seq(12), Seq(13))]);
        let b = footer.channel(room, &"b".parse().unwrap()).unwrap();
        assert_eq!((b.first, b.last, b.count), (Seq(10), Seq(15), 3));
        assert_eq!(footer.ranges(b), [(Seq(15), Seq(15)), (Seq(10), Seq(12))]);
        assert!(footer.channel(room, &"c".parse().unwrap()).is_none());
        assert_eq!(Footer::load(&footer.save()), Some(footer));
    }

    #[test]
    fn footer_without_room_for_all_channels_says_so() {
        let footer = footer(340);
        assert_eq!(footer.channels.len(), 1);
        assert!(!footer.complete);
    }

    #[test]
    fn trailer_leads_to_the_footer() {
        assert_eq!(read_trailer(&trailer(1024)), Some(1024));
        assert_eq!(read_trailer(&[0; 16]), None);
    }
}
