//! How far back a room's past goes: its floor in the one log.
//!
//! What always holds: at least as much is above the floor as the room's retention names, and at most 1/64 more, or what
//! one segment held when the log was opened; the floor never comes down while the process runs. What is below it stays on disk until the log lets it go: the floor
//! is where replay begins, not where bytes end.

use riser_model::{Mark, Now, Retention, Seq, Time, Wall};
use std::collections::VecDeque;

/// A mark holds at most this part of all, so that the floor is at most this part too low.
const PARTS: u64 = 64;
/// So many marks are looked through for ones that can be one.
const MARKS_MAX: usize = 1024;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Depth {
    /// Oldest first. When the newest of each was taken, by the monotonic clock: none for what was there at the start.
    marks: VecDeque<(Mark, Option<Time>)>,
    count: u64,
    bytes: u64,
    floor: Seq,
    /// What is from here on is counted.
    counted_from: Seq,
    /// What is below the floor is not younger than this.
    floor_at: Wall,
    /// The clocks when the process looked first.
    began: Option<Now>,
}

impl Depth {
    /// A room with that past, oldest first.
    pub(crate) fn new(past: Vec<Mark>) -> Self {
        let mut depth = Self { floor_at: Wall(i64::MIN), ..Self::default() };
        past.into_iter().for_each(|mark| depth.push(mark, None));
        depth
    }

    /// A room that is counted from there on, and has that past. What it had before it may [recall](Self::recall).
    pub(crate) fn from(first: Seq, past: Vec<Mark>) -> Self {
        Self { counted_from: first, ..Self::new(past) }
    }

    /// What was there before it was counted, oldest first. A part that reaches into what is counted is left out: then more
    /// is kept than is named. It recalls once more where there was an archive that could not be asked.
    pub(crate) fn recall(&mut self, past: Vec<Mark>) {
        let own = std::mem::take(&mut self.marks);
        let before: Vec<Mark> = past.into_iter().filter(|mark| mark.last < self.counted_from).collect();
        self.count += before.iter().map(|mark| mark.count).sum::<u64>();
        self.bytes += before.iter().map(|mark| mark.bytes).sum::<u64>();
        // Parts are the same whoever tells them, so what is older than the oldest ends before this one does.
        self.counted_from = before.first().map_or(self.counted_from, |oldest| oldest.last);
        self.marks = before.into_iter().map(|mark| (mark, None)).chain(own).collect();
    }

    /// One more publication was committed.
    pub(crate) fn add(&mut self, seq: Seq, bytes: u64, wall: Wall, now: Now) {
        self.push(Mark { last: seq, count: 1, bytes, newest: wall }, Some(now.time));
    }

    fn push(&mut self, mark: Mark, taken: Option<Time>) {
        self.count += mark.count;
        self.bytes += mark.bytes;
        let limit = (self.count / PARTS, self.bytes / PARTS);
        match self.marks.back_mut() {
            // What was taken at the same time and is small is one.
            Some((last, at)) if *at == taken && taken.is_some() && fits(last, &mark, limit) => {
                join(last, &mark);
            }
            _ => self.marks.push_back((mark, taken)),
        }
        if self.marks.len() > MARKS_MAX {
            self.thin(limit);
        }
    }

    /// Makes one of neighbours that are small together, and were taken within 1/64 of the time that all were.
    fn thin(&mut self, limit: (u64, u64)) {
        let times = || self.marks.iter().filter_map(|(_, taken)| *taken);
        let span = match (times().next(), times().next_back()) {
            (Some(first), Some(last)) => last.since(first).as_nanos() as u64 / PARTS,
            _ => 0,
        };
        let mut thinned: VecDeque<(Mark, Option<Time>)> = VecDeque::with_capacity(self.marks.len());
        let mut began: Option<Time> = None;
        for (mark, taken) in self.marks.drain(..) {
            match thinned.back_mut() {
                Some((last, at))
                    if at.is_some() == taken.is_some()
                        && fits(last, &mark, limit)
                        && taken
                            .zip(began)
                            .is_none_or(|(taken, began)| taken.since(began).as_nanos() as u64 <= span) =>
                {
                    join(last, &mark);
                    *at = taken;
                }
                _ => {
                    began = taken;
                    thinned.push_back((mark, taken));
                }
            }
        }
        self.marks = thinned;
    }

    /// Lets go of what the retention does not name. Replay begins after the floor.
    pub(crate) fn advance(&mut self, retention: &Retention, now: Now) -> Seq {
        let began = *self.began.get_or_insert(now);
        while let Some((mark, taken)) = self.marks.front() {
            let too_many = retention.count.is_some_and(|most| self.count - mark.count >= most);
            let too_large = retention.bytes.is_some_and(|most| self.bytes - mark.bytes >= most.0);
            let too_old = retention.age.is_some_and(|age| age_of(mark, *taken, began, now) > age.ms());
            if !(too_many || too_large || too_old) {
                break;
            }
            self.count -= mark.count;
            self.bytes -= mark.bytes;
            self.floor = self.floor.max(mark.last);
            self.floor_at = self.floor_at.max(mark.newest);
            self.marks.pop_front();
        }
        self.floor
    }

    /// Whether nothing below the floor was published from then on.
    pub(crate) fn has_all_since(&self, wall: Wall) -> bool {
        wall > self.floor_at
    }
}

/// How old the newest of a mark is, in milliseconds. What was taken by this process ages by the monotonic clock, and
/// what was there before by how far apart the wall clocks were at the start: a jump of the wall clock ages nothing.
fn age_of(mark: &Mark, taken: Option<Time>, began: Now, now: Now) -> u64 {
    let (since, before) = match taken {
        Some(taken) => (taken, 0),
        None => (began.time, began.wall.0.saturating_sub(mark.newest.0).max(0).unsigned_abs()),
    };
    before.saturating_add(u64::try_from(now.time.since(since).as_millis()).unwrap_or(u64::MAX))
}

fn fits(last: &Mark, next: &Mark, (count, bytes): (u64, u64)) -> bool {
    last.count + next.count <= count.max(1) && last.bytes + next.bytes <= bytes.max(1)
}

fn join(last: &mut Mark, next: &Mark) {
    last.last = next.last;
    last.count += next.count;
    last.bytes += next.bytes;
    last.newest = last.newest.max(next.newest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{duration::Duration, size::ByteSize};

    fn now(s: u64) -> Now {
        Now { time: Time(s * 1_000_000_000), wall: Wall(s as i64 * 1000) }
    }

    #[test]
    fn at_least_what_retention_names_is_above_the_floor_and_little_more() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..30 {
            let most = rng.u64(1..20_000);
            let large = rng.u64(1..4_000_000);
            let retention = Retention { count: Some(most), bytes: Some(ByteSize(large)), age: None };
            let (mut depth, mut sizes) = (Depth::new(vec![]), vec![]);
            for n in 1..30_000 {
                let bytes = rng.u64(20..300);
                sizes.push(bytes);
                depth.add(Seq(n * 3), bytes, Wall(0), now(n / 50));
                if n % 1000 == 0 {
                    let floor = depth.advance(&retention, now(n / 50)).0 / 3;
                    let above = &sizes[floor as usize..];
                    let (count, bytes) = (above.len() as u64, above.iter().sum::<u64>());
                    let kept = (count >= most) || (bytes >= large) || floor == 0;
                    assert!(kept, "{count} of {most}, {bytes} of {large}");
                    let slack = (n / PARTS + 2, sizes.iter().sum::<u64>() / PARTS + 600);
                    assert!(count <= most + slack.0 || bytes <= large + slack.1, "{count} {bytes}");
                    assert!(depth.marks.len() <= MARKS_MAX + 1);
                }
            }
        }
    }

    #[test]
    fn age_is_what_has_passed_and_not_what_the_wall_clock_says() {
        let retention = Retention { age: Some(Duration::seconds(100)), ..Retention::default() };
        let mark = |last, s: i64| Mark { last: Seq(last), count: 1, bytes: 1, newest: Wall(s * 1000) };
        let mut depth = Depth::new(vec![mark(1, 850), mark(2, 950)]);
        assert_eq!(depth.advance(&retention, now(1000)), Seq(1), "150 s old at the start");
        depth.add(Seq(3), 1, Wall(1_000_000), now(1000));
        let ten_years_on = Now { wall: Wall(300_000_000_000), ..now(1001) };
        assert_eq!(depth.advance(&retention, ten_years_on), Seq(1), "a jump ages nothing");
        assert_eq!(depth.advance(&retention, now(1051)), Seq(2));
        assert_eq!(depth.advance(&retention, now(1100)), Seq(2));
        assert_eq!(depth.advance(&retention, now(1101)), Seq(3));
        assert!(depth.has_all_since(Wall(1_000_001)) && !depth.has_all_since(Wall(1_000_000)));
    }

    #[test]
    fn what_an_archive_has_is_counted_when_it_can_be_asked_and_nothing_twice() {
        let retention = Retention { count: Some(25), ..Retention::default() };
        let mark = |last| Mark { last: Seq(last), count: 10, bytes: 10, newest: Wall(0) };
        let (archive, log) = ([mark(20), mark(40)], [mark(60), mark(90)]);
        let both: Vec<Mark> = archive.into_iter().chain(log).collect();
        // While the archive is closed there is the log.
        let mut depth = Depth::from(Seq(100), Vec::new());
        depth.recall(log.to_vec());
        assert_eq!(depth.advance(&retention, now(1)), Seq::ZERO);
        for _ in 0..2 {
            depth.recall(both.clone());
            assert_eq!(depth.advance(&retention, now(1)), Seq(20), "ten of twenty in the archive");
        }
        // One whose log had nothing of the room; and one that was counted at the start.
        let mut depth = Depth::from(Seq(100), Vec::new());
        depth.recall(Vec::new());
        depth.recall(both.clone());
        assert_eq!(depth.advance(&retention, now(1)), Seq(20));
        let mut depth = Depth::from(Seq(50), log.to_vec());
        depth.recall(both);
        assert_eq!(depth.advance(&retention, now(1)), Seq(20));
    }

    #[test]
    fn without_retention_nothing_goes() {
        let mut depth = Depth::new(vec![]);
        (1..5000).for_each(|n| depth.add(Seq(n), 10, Wall(0), now(n)));
        assert_eq!(depth.advance(&Retention::default(), now(1_000_000)), Seq::ZERO);
    }
}
