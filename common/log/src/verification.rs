//! Reads every block of a log and checks every checksum and the run of seqs, changing nothing.
//!
//! What always holds: damage is only what two readings agree on, and only in a file that still has its name. So a
//! log in use can be verified: a block that is being written at its end is the tail, and a segment that is
//! recycled meanwhile is passed over.

use crate::{
    block::{HEADER_BYTES, Header, Kind},
    checkpoint::{Changes, Checkpoint},
    config::Config,
    disk::Disk,
    footer::{Footer, TRAILER_BYTES, read_trailer},
    gaps::GapTable,
    read_only::ReadOnly,
    scan::{Block, Scanner, Step, Window},
    segment::{Segment, segment_name},
    survey::{Survey, SurveyError},
};
use riser_model::{Cause, LogId, Seq};
use riser_wire::entry::frames;
use std::io;

/// How often a segment with damage is read in all.
const READINGS: u32 = 5;

/// What a log's files were found to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verification {
    /// Which log.
    pub log: LogId,
    /// The oldest seq that is there.
    pub oldest: Seq,
    /// The last.
    pub last: Seq,
    /// Segments that were read to their end.
    pub segments: u64,
    /// Segments that were recycled while they were read.
    pub recycled: u64,
    /// Good blocks.
    pub blocks: u64,
    /// Entries in them.
    pub entries: u64,
    /// Their bytes.
    pub entry_bytes: u64,
    /// Everything that is not as it was written, in order of files and offsets.
    pub damages: Vec<Damage>,
    /// Bytes at the log's end that are no good block: one that was torn, or that is being written.
    pub tail: Option<Tail>,
}

/// Bytes that are not as they were written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where they begin.
    pub from: u64,
    /// Where they end.
    pub to: u64,
    /// The seqs that are gone with them, both ends inclusive; or none.
    pub seqs: Option<(Seq, Seq)>,
    /// What is wrong.
    pub what: Wrong,
}

/// What is wrong with some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Wrong {
    /// The medium cannot read them.
    #[error("the medium cannot read it")]
    Unreadable,
    /// There should be blocks, and there is none.
    #[error("no block can be read here")]
    NoBlock,
    /// The checksum over entries and changes is wrong.
    #[error("the block's checksum does not match")]
    Body,
    /// The checksum of an entry is wrong, though that of its block is right: it was damaged before it was written.
    #[error("the entry's own checksum does not match")]
    Entry,
    /// The entries of a block are not those that its header counts.
    #[error("its entries are not as many as its header says")]
    Count,
    /// The state that a block carries cannot be read.
    #[error("what the block says of the log's state cannot be read")]
    Meta,
    /// A footer, or what leads to it, is not right. Readers do without.
    #[error("the segment's footer is damaged")]
    Footer,
    /// Seqs are not there though all blocks are good.
    #[error("seqs are missing between good blocks")]
    Missing,
    /// Seqs are there twice.
    #[error("seqs come again")]
    Again,
}

/// The end of a log that is no good block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tail {
    /// The file.
    pub file: String,
    /// Where it begins.
    pub from: u64,
    /// How many seqs it says it has, if its header can be read.
    pub seqs: Option<u32>,
}

/// Reads all of the log on a disk.
pub fn verify<D: Disk>(disk: D, config: &Config) -> Result<Verification, SurveyError> {
    let survey = Survey::of(disk, config)?;
    let writer = &survey.writer;
    let mut gaps = GapTable::default();
    survey.gaps.iter().for_each(|record| gaps.insert(record.clone()));
    let mut all = Verification {
        log: survey.log,
        oldest: survey.oldest,
        last: survey.next.prev(),
        segments: 0,
        recycled: 0,
        blocks: 0,
        entries: 0,
        entry_bytes: 0,
        damages: Vec::new(),
        tail: None,
    };
    let mut expect = survey.oldest;
    for (index, segment) in writer.segments.iter().enumerate() {
        let next = writer.segments.get(index + 1);
        let bounds = Bounds {
            from: expect.max(segment.first),
            limit: next.map(|next| next.first),
            // What is missing before a file of which nothing can be read is missing there.
            next_readable: next.is_none_or(|next| next.is_readable()),
        };
        let mut found = Pass::over(&writer.disk, segment, bounds, &gaps)?;
        for _ in 1..READINGS {
            if found.damages.is_empty() {
                break;
            }
            let again = Pass::over(&writer.disk, segment, bounds, &gaps)?;
            let same = again.damages == found.damages;
            found = again;
            if same {
                break;
            }
        }
        expect = found.expect;
        if !found.damages.is_empty() && is_gone(&writer.disk, segment)? {
            all.recycled += 1;
            expect = bounds.limit.unwrap_or(expect);
            continue;
        }
        all.take(found);
    }
    all.last = all.last.max(expect.prev());
    Ok(all)
}

/// Whether the segment's file has another name by now, and so another use.
fn is_gone<D: Disk>(disk: &ReadOnly<D>, segment: &Segment<ReadOnly<D>>) -> Result<bool, SurveyError> {
    let file = segment_name(segment.identity.segment);
    match disk.open(&file) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(SurveyError::Read { file, source }),
    }
}

impl Verification {
    fn take(&mut self, pass: Pass) {
        self.segments += 1;
        self.blocks += pass.blocks;
        self.entries += pass.entries;
        self.entry_bytes += pass.entry_bytes;
        self.damages.extend(pass.damages);
        self.tail = pass.tail.or(self.tail.take());
    }
}

/// What a segment must hold.
#[derive(Clone, Copy)]
struct Bounds {
    /// Its first seq.
    from: Seq,
    /// The first seq of the next segment; none for the last one.
    limit: Option<Seq>,
    next_readable: bool,
}

/// One reading of one segment.
struct Pass {
    file: String,
    /// The seq that comes next.
    expect: Seq,
    blocks: u64,
    entries: u64,
    entry_bytes: u64,
    damages: Vec<Damage>,
    tail: Option<Tail>,
    /// Bytes that are no good block, until it is known whether they matter.
    skipped: Option<Skipped>,
}

#[derive(Clone, Copy)]
struct Skipped {
    from: u64,
    to: u64,
    header: Option<Header>,
}

impl Pass {
    fn over<D: Disk>(
        disk: &ReadOnly<D>,
        segment: &Segment<ReadOnly<D>>,
        bounds: Bounds,
        gaps: &GapTable,
    ) -> Result<Self, SurveyError> {
        let file = segment_name(segment.identity.segment);
        let mut pass = Self {
            file: file.clone(),
            expect: bounds.from,
            blocks: 0,
            entries: 0,
            entry_bytes: 0,
            damages: Vec::new(),
            tail: None,
            skipped: None,
        };
        let read = pass.read(disk, segment, bounds, gaps);
        read.map_err(|source| SurveyError::Read { file, source })?;
        Ok(pass)
    }

    fn read<D: Disk>(
        &mut self,
        disk: &ReadOnly<D>,
        segment: &Segment<ReadOnly<D>>,
        bounds: Bounds,
        gaps: &GapTable,
    ) -> io::Result<()> {
        let limit = bounds.limit.unwrap_or(Seq(u64::MAX));
        let window = Window::new(disk.clone(), segment.file.clone(), segment.length);
        let mut scanner = Scanner::new(window, segment.identity, 0);
        let mut footer = None;
        let end = loop {
            match scanner.step()? {
                Step::Block(block) if block.header.kind == Kind::Footer => {
                    footer = Some((block.header.offset, self.footer(&block)));
                    break None;
                }
                // Never acknowledged: the next segment begins before it.
                Step::Block(block) if block.header.count > 0 && block.header.first >= limit => break None,
                Step::Block(block) => self.block(&block, gaps),
                Step::Skip { from, to, header } => {
                    let from = self.skipped.map_or(from, |skipped| skipped.from);
                    self.skipped = Some(Skipped { from, to, header });
                }
                Step::End { at } => break Some(at),
            }
        };
        let unreadable = scanner.window.unreadable();
        match bounds.limit {
            Some(limit) => self.end(segment, limit, bounds.next_readable, gaps),
            None => self.end_of_log(segment, &mut scanner, end)?,
        }
        self.trailer(&mut scanner, segment, footer)?;
        if unreadable {
            for damage in &mut self.damages {
                damage.what = Wrong::Unreadable;
            }
            if self.damages.is_empty() && self.tail.is_none() {
                self.damage(0, segment.length, None, Wrong::Unreadable);
            }
        }
        Ok(())
    }

    /// A good block, and what lies between it and the one before.
    fn block(&mut self, block: &Block, gaps: &GapTable) {
        let header = &block.header;
        let missing = (header.first > self.expect).then(|| (self.expect, header.first.prev()));
        if let Some(skipped) = self.skipped.take() {
            // A torn end after which the log was opened again, or a block without entries that an opening replaced.
            if missing.is_some() || header.kind != Kind::Checkpoint {
                self.damage(skipped.from, header.offset, missing, skipped.wrong());
            }
        } else {
            self.missing(missing, header.offset, gaps);
        }
        let to = header.offset + header.padded();
        if header.first < self.expect && header.count > 0 {
            let again = (header.first, self.expect.prev().min(header.last()));
            self.damage(header.offset, to, Some(again), Wrong::Again);
        }
        self.blocks += 1;
        self.entries(block, to);
        let good = match header.kind {
            Kind::Changes => Changes::load(&block.meta).is_some(),
            Kind::Checkpoint => Checkpoint::load(&block.meta).is_some(),
            Kind::Footer => true,
        };
        if !good {
            self.damage(header.offset, to, None, Wrong::Meta);
        }
        self.expect = self.expect.max(header.last().next());
    }

    fn entries(&mut self, block: &Block, to: u64) {
        let header = &block.header;
        let mut seq = header.first;
        for frame in frames(&block.entries).map_while(Result::ok) {
            if !frame.intact() {
                self.damage(header.offset, to, Some((seq, seq)), Wrong::Entry);
            }
            seq = seq.next();
        }
        let found = seq.0 - header.first.0;
        if found != u64::from(header.count) {
            self.damage(header.offset, to, Some((header.first, header.last())), Wrong::Count);
        }
        self.entries += found;
        self.entry_bytes += block.entries.len() as u64;
    }

    /// A good footer: what lies before it, and whether it says what is there.
    fn footer(&mut self, block: &Block) -> bool {
        let Some(footer) = Footer::load(&block.meta) else { return false };
        let missing = (footer.last >= self.expect).then_some((self.expect, footer.last));
        if let Some(skipped) = self.skipped.take().filter(|s| missing.is_some() || s.from < footer.data_end) {
            self.damage(skipped.from, footer.data_end, missing, skipped.wrong());
        }
        self.expect = self.expect.max(footer.last.next());
        true
    }

    /// The end of a segment that another one follows, which begins with `limit`.
    fn end<D: Disk>(
        &mut self,
        segment: &Segment<ReadOnly<D>>,
        limit: Seq,
        next_readable: bool,
        gaps: &GapTable,
    ) {
        let missing = (limit > self.expect && next_readable).then(|| (self.expect, limit.prev()));
        match self.skipped.take() {
            Some(skipped) if missing.is_some() => {
                self.damage(skipped.from, skipped.to, missing, skipped.wrong());
            }
            None if !segment.is_readable() => self.damage(0, segment.length, missing, Wrong::NoBlock),
            Some(_) | None => self.missing(missing, segment.length, gaps),
        }
        if missing.is_some() {
            self.expect = limit;
        }
    }

    /// The end of the last segment: bytes of a block that is none are the tail.
    fn end_of_log<D: Disk>(
        &mut self,
        segment: &Segment<ReadOnly<D>>,
        scanner: &mut Scanner<ReadOnly<D>>,
        end: Option<u64>,
    ) -> io::Result<()> {
        let Some(at) = end else { return Ok(()) };
        let bytes = scanner.window.get(at, HEADER_BYTES)?;
        let torn = Header::is_of(&bytes, segment.identity.segment);
        let skipped = self.skipped.take();
        if skipped.is_some() || torn || !segment.is_readable() {
            let seqs = skipped.and_then(|skipped| skipped.header).map(|header| header.count);
            let from = skipped.map_or(at, |skipped| skipped.from);
            self.tail = Some(Tail { file: self.file.clone(), from, seqs });
        }
        Ok(())
    }

    /// Whether the segment's last bytes lead to its footer, and that is good.
    fn trailer<D: Disk>(
        &mut self,
        scanner: &mut Scanner<ReadOnly<D>>,
        segment: &Segment<ReadOnly<D>>,
        footer: Option<(u64, bool)>,
    ) -> io::Result<()> {
        let Some(end) = segment.length.checked_sub(TRAILER_BYTES as u64) else { return Ok(()) };
        let leads = read_trailer(&scanner.window.get(end, TRAILER_BYTES)?);
        let at = leads.and_then(|bytes| segment.length.checked_sub(u64::from(bytes)));
        match (footer, at) {
            (Some((offset, good)), at) if !good || at != Some(offset) => {
                self.damage(offset, segment.length, None, Wrong::Footer);
            }
            // What an earlier use left leads to what an earlier use left.
            (None, Some(at))
                if Header::is_of(&scanner.window.get(at, HEADER_BYTES)?, segment.identity.segment) =>
            {
                self.damage(at, segment.length, None, Wrong::Footer);
            }
            (Some(_) | None, _) => {}
        }
        Ok(())
    }

    /// Seqs that no bytes account for, but for those whose cause is known.
    fn missing(&mut self, seqs: Option<(Seq, Seq)>, at: u64, gaps: &GapTable) {
        let Some((from, to)) = seqs else { return };
        // `relay_lost` is no cause of a log's own: it marks what the table does not know.
        for gap in
            gaps.split(from, to, Cause::RelayLost).into_iter().filter(|gap| gap.cause == Cause::RelayLost)
        {
            self.damage(at, at, Some((gap.from, gap.to)), Wrong::Missing);
        }
    }

    fn damage(&mut self, from: u64, to: u64, seqs: Option<(Seq, Seq)>, what: Wrong) {
        self.damages.push(Damage { file: self.file.clone(), from, to, seqs, what });
    }
}

impl Skipped {
    fn wrong(&self) -> Wrong {
        if self.header.is_some() { Wrong::Body } else { Wrong::NoBlock }
    }
}
