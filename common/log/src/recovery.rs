//! Opens a log: finds its segments, takes the newest checkpoint that can be read, rolls it forward, and begins a
//! new epoch (rules 6.1, 6.6, 6.7).
//!
//! What always holds: it opens whatever the files hold (promise 4); nothing that could be read is lost; a seq of
//! a torn end comes again only under the new epoch; nothing is deleted because it is damaged.

use crate::{
    block::{HEADER_BYTES, Header, Kind},
    checkpoint::{Changes, Checkpoint},
    config::Config,
    disk::Disk,
    errors::OpenError,
    fold::Fold,
    footer::{Footer, TRAILER_BYTES, Tally, read_trailer},
    gaps::GapRecord,
    pool::{Pool, Spare},
    recovered::{Finding, Recovered},
    scan::{Block, Scanner, Step, Window},
    segment::{Head, Identity, Segment, fresh_number, inspect, segment_name, segment_number},
    staged::Uses,
    tables::{CursorChanges, Tables},
    view::{Shared, View},
    writer::{Active, Entropy, Failing, Writer},
};
use riser_model::{Cause, Epoch, Gap, LogId, Now, RouteNumber, Seq, Wall};
use riser_wire::entry::frames;
use std::{collections::VecDeque, io, sync::Arc};

/// See [`Writer::open`].
pub(crate) fn open<D: Disk, F: Fold>(
    disk: D,
    config: Config,
    entropy: Entropy,
    now: Now,
) -> Result<(Writer<D, F>, Recovered<F>), OpenError> {
    config.check()?;
    let found = Found::list(&disk)?;
    let mut rolled = Rolled::<D, F>::new(&disk, found.segments, found.findings);
    rolled.roll()?;
    let seed = entropy.0 ^ found.next_number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ rolled.tables.end.0;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut tables = rolled.tables;
    if rolled.log.is_none() {
        tables.log = LogId(rng.u64(1..));
    }
    prove_tail(&mut tables, &mut rolled.findings, now);
    let mut spares = found.spares;
    while let [first, second, ..] = &*rolled.segments
        && second.first <= tables.floor
    {
        // It was given up, and the crash came before its file was used again.
        spares.push(Spare { name: name(first), length: first.length });
        rolled.segments.remove(0);
    }
    tables.floor = rolled.segments.first().map_or(tables.end.next(), |first| first.first).max(tables.floor);
    let epoch = Epoch(rng.u64(1..));
    tables.begin_epoch(epoch);
    let shared = Shared::new(View {
        segments: Arc::new(rolled.segments.clone()),
        end: tables.end,
        end_offset: 0,
        gaps: Arc::new(tables.gaps.clone()),
        trim_cause: config.trim_cause,
    });
    let mut writer = Writer {
        pool: Pool::new(disk.clone(), found.next_number, spares),
        disk,
        holds: config.holds,
        config,
        rng,
        now,
        tables,
        shared: Arc::new(shared),
        segments: rolled.segments,
        active: rolled.active,
        anchor: rolled.anchor,
        aside_bytes: found.aside_bytes,
        staged: VecDeque::new(),
        uses: Uses::default(),
        buffers: Vec::new(),
        moved: CursorChanges::new(),
        repeated: Default::default(),
        unsaid: Default::default(),
        footer_due: None,
        trimmed: 0,
        gaps: Vec::new(),
        bytes_written: 0,
        gave_up: None,
        failing: None,
        blocked: None,
    };
    if let Some(active) = &writer.active {
        active.list(&writer.tables.routes);
    }
    let mut findings = rolled.findings;
    let mut block = writer.empty_block();
    if let Err(error) = writer.place(&mut block, true) {
        writer.give_up_active();
        writer.failing = Some(Failing::DrainOnly);
        findings.push(Finding::DrainOnly { reason: error.to_string() });
    }
    writer.publish();
    let recovered = recovered(&writer, findings);
    Ok((writer, recovered))
}

fn recovered<D: Disk, F: Fold>(writer: &Writer<D, F>, findings: Vec<Finding>) -> Recovered<F> {
    let tables = &writer.tables;
    let all = |(number, value, _)| (number, value);
    Recovered {
        log: tables.log,
        epoch: tables.epoch(),
        chain: tables.chain.clone(),
        next: tables.end.next(),
        oldest: writer.shared.view().oldest(),
        oldest_at: writer.shared.view().oldest_at(),
        routes: tables.routes.live(tables.floor, tables.end).into_iter().map(all).map(route).collect(),
        next_route: RouteNumber(tables.routes.next()),
        origins: tables.origins.live(tables.floor, tables.end).into_iter().map(|(n, o, _)| (n, o)).collect(),
        next_origin: tables.origins.next(),
        cursors: tables.cursors.iter().map(|(key, value)| (*key, *value)).collect(),
        fold: tables.fold.clone(),
        gaps: tables.gaps.records().to_vec(),
        trim_cause: writer.config.trim_cause,
        counters: tables.counters,
        findings,
        batch_bytes_max: writer.entries_bytes_max(),
        drain_only: writer.active.is_none(),
    }
}

fn route<T>((number, route): (u32, T)) -> (RouteNumber, T) {
    (RouteNumber(number), route)
}

/// What a cursor knows of was acknowledged: seqs up to it that are not there are gone, and never given again.
fn prove_tail<F: Fold>(tables: &mut Tables<F>, findings: &mut Vec<Finding>, now: Now) {
    let known = tables.cursors.iter().filter(|(key, _)| key.holds()).map(|(_, value)| value.through);
    let Some(through) = known.max().filter(|through| *through > tables.end) else { return };
    let gap = Gap { from: tables.end.next(), to: through, cause: Cause::TailCut };
    let cut = findings.iter_mut().find_map(|finding| match finding {
        Finding::TailCut { proven, .. } => Some(proven),
        Finding::Damage { .. }
        | Finding::SetAside { .. }
        | Finding::CheckpointLost { .. }
        | Finding::FoldLost
        | Finding::DrainOnly { .. } => None,
    });
    match cut {
        Some(proven) => *proven = gap.count(),
        None => {
            findings.push(Finding::TailCut { end: tables.end, bytes: 0, seqs: None, proven: gap.count() })
        }
    }
    tables.gaps.insert(GapRecord { gap, when: now.wall, bytes: None, rooms: Vec::new() });
    tables.end = through;
    if let Some(span) = tables.chain.last_mut() {
        span.last = through;
    }
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> OpenError {
    let what = what.into();
    move |source| OpenError::Io { what, source }
}

/// The log's files.
struct Found<D: Disk> {
    /// Those that hold blocks, in order.
    segments: Vec<FoundSegment<D>>,
    spares: Vec<Spare>,
    aside_bytes: u64,
    next_number: u64,
    findings: Vec<Finding>,
}

struct FoundSegment<D: Disk> {
    number: u64,
    file: D::File,
    length: u64,
    /// Of its first readable block; none where that was torn or damaged and nothing else is there.
    header: Option<Header>,
    /// Whether it could be synced: if not, its handle is never synced again.
    synced: bool,
}

impl<D: Disk> Found<D> {
    fn list(disk: &D) -> Result<Self, OpenError> {
        let names = disk.list().map_err(io_error("list the data folder"))?;
        // What cannot be removed stays as it is, and keeps its number.
        let kept = |name: &&String| disk.remove(name).is_err();
        let fresh: Vec<&String> =
            names.iter().filter(|name| fresh_number(name).is_some()).filter(kept).collect();
        let mut aside_bytes = 0;
        for name in &fresh {
            aside_bytes +=
                disk.open(name).map(|(_, length)| length).map_err(io_error(format!("open {name}")))?;
        }
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
        numbers.sort_unstable();
        let taken = fresh.iter().filter_map(|name| fresh_number(name)).chain(numbers.last().copied());
        let next_number = taken.max().map_or(1, |number| number.saturating_add(1));
        let (segments, spares, findings) = (Vec::new(), Vec::new(), Vec::new());
        let mut found = Self { segments, spares, aside_bytes, next_number, findings };
        // The newest say which log it is.
        let mut log = None;
        for number in numbers.into_iter().rev() {
            found.look_at(disk, number, &mut log)?;
        }
        found.segments.reverse();
        Ok(found)
    }

    fn look_at(&mut self, disk: &D, number: u64, log: &mut Option<LogId>) -> Result<(), OpenError> {
        let name = segment_name(number);
        let (file, length) = disk.open(&name).map_err(io_error(format!("open {name}")))?;
        let mut synced = true;
        if self.segments.len() < 2 {
            // What a killed process left in the system's memory must be on the medium before it counts, and what
            // the system failed to write must not be read from its memory. If it cannot be synced, the medium's
            // word is taken.
            synced = disk.sync_data(&file).is_ok();
            disk.forget_cached(&file).map_err(io_error(format!("reread {name}")))?;
        }
        let mut window = Window::new(disk.clone(), file.clone(), length);
        let head = inspect(&mut window, number).map_err(io_error(format!("read {name}")))?;
        match head {
            Head::Used(header) if log.is_none_or(|log| log == header.log) => {
                *log = Some(header.log);
                self.segments.push(FoundSegment { number, file, length, header: Some(header), synced });
            }
            Head::Used(_) => self.set_aside(name, length, "it belongs to another log"),
            Head::Unknown => self.set_aside(name, length, "its format is not known here"),
            Head::Damaged => {
                self.segments.push(FoundSegment { number, file, length, header: None, synced });
            }
            Head::Unused => self.spares.push(Spare { name, length }),
        }
        Ok(())
    }

    fn set_aside(&mut self, file: String, length: u64, why: &'static str) {
        self.aside_bytes += length;
        self.findings.push(Finding::SetAside { file, why });
    }
}

/// The state, as it is rolled forward.
struct Rolled<D: Disk, F: Fold> {
    disk: D,
    log: Option<LogId>,
    segments: Vec<Arc<Segment<D>>>,
    tables: Tables<F>,
    /// The last segment, if appending may go on in it.
    active: Option<Active<D>>,
    /// The segment with the newest checkpoint that can be read.
    anchor: Option<u64>,
    findings: Vec<Finding>,
    /// Whether the last segment could be synced.
    synced: bool,
    /// Whether a saved fold could be read, from which it was rolled forward; none where there is no checkpoint.
    fold_readable: Option<bool>,
}

impl<D: Disk, F: Fold> Rolled<D, F> {
    fn new(disk: &D, found: Vec<FoundSegment<D>>, findings: Vec<Finding>) -> Self {
        let log = found.iter().find_map(|found| found.header.map(|h| h.log));
        let synced = found.last().is_none_or(|found| found.synced);
        let mut segments: Vec<Arc<Segment<D>>> = Vec::new();
        // A segment without a readable header holds nothing, wherever it begins: at the next one's first seq.
        let mut first = Seq(u64::MAX);
        for FoundSegment { number, file, length, header, .. } in found.into_iter().rev() {
            first = header.map_or(first, |h| h.segment_first.min(first));
            let identity = Identity {
                log: log.unwrap_or(LogId(0)),
                segment: number,
                salt: header.map_or(0, |h| h.salt),
            };
            let began = header.map_or(Wall(i64::MIN), |h| h.now.wall);
            segments.push(Arc::new(Segment::new(identity, file, length, first, began)));
        }
        segments.reverse();
        let tables = Tables::new(log.unwrap_or(LogId(0)));
        Self {
            disk: disk.clone(),
            log,
            segments,
            tables,
            active: None,
            anchor: None,
            findings,
            synced,
            fold_readable: None,
        }
    }

    fn roll(&mut self) -> Result<(), OpenError> {
        let start = self.newest_checkpoint()?;
        let known = self.findings.len();
        self.roll_from(start)?;
        if self.fold_readable == Some(false) {
            self.findings.truncate(known);
            let older = self.newest_fold(start)?;
            self.findings.push(match (older, self.segments.get(start)) {
                (Some(_), Some(newest)) => Finding::CheckpointLost { file: name(newest) },
                // From the oldest entry on.
                (None, _) | (_, None) => Finding::FoldLost,
            });
            self.tables = Tables::new(self.tables.log);
            self.roll_from(older.unwrap_or(0))?;
        }
        let trimmed = |first: &Arc<Segment<D>>| first.first > Seq(1) && first.first != Seq(u64::MAX);
        if self.fold_readable.is_none() && self.segments.first().is_some_and(trimmed) {
            self.findings.push(Finding::FoldLost);
        }
        // Those at the end that nothing could be read of begin where the log ends.
        let next = self.tables.end.next();
        for segment in &mut self.segments {
            if segment.first > next {
                *segment = Arc::new(Segment::new(
                    segment.identity,
                    segment.file.clone(),
                    segment.length,
                    next,
                    segment.began,
                ));
                segment.end(0);
            }
        }
        Ok(())
    }

    /// The newest segment that begins with a checkpoint that can be read.
    fn newest_checkpoint(&mut self) -> Result<usize, OpenError> {
        for (index, segment) in self.segments.iter().enumerate().rev() {
            if self.checkpoint(segment)?.is_some() {
                return Ok(index);
            }
            self.findings.push(Finding::CheckpointLost { file: name(segment) });
        }
        Ok(0)
    }

    /// The newest segment before that one whose checkpoint has a fold that can be read.
    fn newest_fold(&self, before: usize) -> Result<Option<usize>, OpenError> {
        let older = self.segments.iter().enumerate().take(before).rev();
        for (index, segment) in older {
            if self.checkpoint(segment)?.is_some_and(|checkpoint| F::load(&checkpoint.fold).is_some()) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// What a segment begins with, if that can be read.
    fn checkpoint(&self, segment: &Segment<D>) -> Result<Option<Checkpoint>, OpenError> {
        let step = self.scanner(segment).step().map_err(io_error(name(segment)))?;
        Ok(match &step {
            Step::Block(block) if block.header.kind == Kind::Checkpoint => Checkpoint::load(&block.meta),
            Step::Block(_) | Step::Skip { .. } | Step::End { .. } => None,
        })
    }

    fn roll_from(&mut self, start: usize) -> Result<(), OpenError> {
        let segments = self.segments.clone();
        if let Some(first) = segments.get(start) {
            // What is before is as that checkpoint says.
            self.tables.end = if first.first == Seq(u64::MAX) { Seq::ZERO } else { first.first.prev() };
        }
        for (index, segment) in segments.iter().enumerate().skip(start) {
            let limit = segments.get(index + 1).map_or(Seq(u64::MAX), |next| next.first);
            self.roll_segment(segment, limit, index + 1 == segments.len())
                .map_err(io_error(name(segment)))?;
        }
        Ok(())
    }

    /// Rolls forward over one segment. What it has from `limit` on was never acknowledged: the next one begins
    /// there.
    fn roll_segment(&mut self, segment: &Arc<Segment<D>>, limit: Seq, is_last: bool) -> io::Result<()> {
        let mut scanner = self.scanner(segment);
        let mut tally = Tally::new(segment.first, segment.length);
        let mut skipped: Option<Skipped> = None;
        let end = loop {
            match scanner.step()? {
                Step::Block(block) if block.header.kind == Kind::Footer => {
                    let footer = Footer::load(&block.meta);
                    if let Some(footer) = footer.filter(|f| f.last > self.tables.end && f.last < limit) {
                        let seqs = Some((self.tables.end.next(), footer.last));
                        self.findings.extend(skipped.map(|skipped| skipped.damage(segment, seqs)));
                        self.tables.reach(block.header.epoch, footer.last.next());
                        skipped = None;
                    }
                    break None;
                }
                Step::Block(block) if block.header.count > 0 && block.header.first >= limit => break None,
                Step::Block(block) => {
                    self.note_damage(segment, skipped.take(), &block);
                    let point = self.apply(&block, &mut tally, scanner.at());
                    point.into_iter().for_each(|point| segment.add_point(point));
                }
                Step::Skip { from, to, header } => {
                    skipped = Some(Skipped { from: skipped.map_or(from, |s| s.from), to, header });
                }
                Step::End { at } => break Some(at),
            }
        };
        if !is_last {
            // A hole before the next segment is damage too.
            if let Some(skipped) =
                skipped.filter(|_| limit > self.tables.end.next() && limit != Seq(u64::MAX))
            {
                let seqs = Some((self.tables.end.next(), limit.prev()));
                self.findings.push(skipped.damage(segment, seqs));
            }
            return Ok(());
        }
        self.end_of_log(segment, &mut scanner, tally, skipped, end)
    }

    /// Applies a good block. The point it made.
    fn apply(&mut self, block: &Block, tally: &mut Tally, end: u64) -> Option<crate::footer::Point> {
        let header = &block.header;
        let last = header.last();
        match header.kind {
            Kind::Checkpoint => {
                if let Some(checkpoint) = Checkpoint::load(&block.meta) {
                    // One that was rolled forward up to here is as good.
                    let is_whole = self.fold_readable == Some(true);
                    self.fold_readable = Some(self.tables.load(checkpoint) || is_whole);
                    self.anchor = Some(header.segment);
                }
            }
            Kind::Changes => {
                if let Some(changes) = Changes::load(&block.meta) {
                    self.tables.change(changes, last);
                }
            }
            Kind::Footer => {}
        }
        self.tables.reach(header.epoch, header.first);
        let tables = &mut self.tables;
        let (fold, routes, origins) = (&mut tables.fold, &mut tables.routes, &mut tables.origins);
        let point = tally.add(header.offset, end, header.first, &block.entries, |seq, frame| {
            fold.apply(seq, frame, routes.value(frame.route.0));
            if frame.route != RouteNumber::NONE {
                routes.touch(frame.route.0, seq);
            }
            if let Some(origin) = frame.origin {
                origins.touch(origin.number, seq);
            }
        });
        debug_assert_eq!(frames(&block.entries).count(), header.count as usize);
        self.tables.gave(header.count, last, block.entries.len() as u64);
        point
    }

    /// Unreadable bytes before a good block are damage, unless they are a torn end after which the log was opened
    /// again: then no seq is missing.
    fn note_damage(&mut self, segment: &Segment<D>, skipped: Option<Skipped>, block: &Block) {
        let next = self.tables.end.next();
        let missing = block.header.first > next;
        let reopened = block.header.kind == Kind::Checkpoint && !missing;
        if let Some(skipped) = skipped.filter(|_| !reopened) {
            let seqs = missing.then(|| (next, block.header.first.prev()));
            self.findings.push(skipped.damage(segment, seqs));
        }
    }

    /// Where the log ends, and whether appending may go on there.
    fn end_of_log(
        &mut self,
        segment: &Arc<Segment<D>>,
        scanner: &mut Scanner<D>,
        tally: Tally,
        skipped: Option<Skipped>,
        end: Option<u64>,
    ) -> io::Result<()> {
        let Some(at) = end else {
            segment.end(scanner.at());
            return Ok(());
        };
        let bytes = scanner.window.get(at, HEADER_BYTES)?;
        let next = self.tables.end.next();
        let torn = Header::read_unchecked(&bytes).is_some_and(|header| {
            let ours = header.segment == segment.identity.segment || header.salt == segment.identity.salt;
            ours || (header.first == next && header.offset == at && header.epoch == self.tables.epoch())
        });
        // A segment that nothing could be read of may hold anything.
        let unreadable = scanner.window.unreadable() || segment.first == Seq(u64::MAX);
        if skipped.is_some() || torn || unreadable {
            let from = skipped.map_or(at, |skipped| skipped.from);
            let header = skipped.and_then(|skipped| skipped.header);
            self.findings.push(Finding::TailCut {
                end: self.tables.end,
                bytes: if torn || unreadable { segment.length - from } else { at - from },
                seqs: header.map(|header| header.count),
                proven: 0,
            });
        }
        let sealed = self.has_footer(segment)?;
        // Where the bytes after the end might be a block that a checksum cannot vouch for, nothing is written over
        // them.
        if torn || unreadable || sealed || !self.synced {
            segment.end(at);
            return Ok(());
        }
        self.active = Some(Active { segment: segment.clone(), offset: at, empty: 0, tally });
        Ok(())
    }

    fn has_footer(&self, segment: &Segment<D>) -> io::Result<bool> {
        let at = segment.length.saturating_sub(TRAILER_BYTES as u64);
        let mut window = Window::new(self.disk.clone(), segment.file.clone(), segment.length);
        let Some(bytes) = read_trailer(&window.get(at, TRAILER_BYTES)?) else { return Ok(false) };
        let Some(at) = segment.length.checked_sub(u64::from(bytes)) else { return Ok(false) };
        let step = Scanner::new(window, segment.identity, at).step()?;
        Ok(matches!(step, Step::Block(block) if block.header.kind == Kind::Footer))
    }

    fn scanner(&self, segment: &Segment<D>) -> Scanner<D> {
        let window = Window::new(self.disk.clone(), segment.file.clone(), segment.length);
        Scanner::new(window, segment.identity, 0)
    }
}

/// Bytes that are no good block.
#[derive(Clone, Copy)]
struct Skipped {
    from: u64,
    to: u64,
    header: Option<Header>,
}

impl Skipped {
    fn damage<D: Disk>(self, segment: &Segment<D>, seqs: Option<(Seq, Seq)>) -> Finding {
        Finding::Damage { file: name(segment), from: self.from, to: self.to, seqs }
    }
}

fn name<D: Disk>(segment: &Segment<D>) -> String {
    segment_name(segment.identity.segment)
}
