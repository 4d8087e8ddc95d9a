//! What a log holds, found without changing it: of a copy, of a stopped program, or of one that runs.
//!
//! It is recovery over a disk that refuses every write. What always holds: nothing is locked, written, renamed or
//! removed, and no epoch begins. Whether every block can be read is not its business: see
//! [`verify`](crate::verification::verify).

use crate::{
    checkpoint::Counters,
    config::Config,
    disk::Disk,
    errors::OpenError,
    gaps::GapRecord,
    read_only::ReadOnly,
    recovered::{Finding, Recovered},
    segment::{Segment, fresh_number, segment_name, segment_number},
    writer::{Entropy, Writer},
};
use riser_model::{
    Cause, Chunk, CursorKey, CursorValue, Epoch, EpochSpan, Gap, LogId, Now, Route, RouteNumber, Run, Seq,
};
use std::{io, sync::Arc};

/// How often a log that changes meanwhile is looked at again.
const TRIES: u32 = 16;

/// A log, as it was at some moment.
pub struct Survey<D: Disk> {
    /// Which log.
    pub log: LogId,
    /// All openings that may still matter, oldest first.
    pub chain: Vec<EpochSpan>,
    /// The oldest entry that is still there; `next` if none is.
    pub oldest: Seq,
    /// The seq of the next entry.
    pub next: Seq,
    /// All files, segments that hold entries first, in order.
    pub files: Vec<FileSurvey>,
    /// All cursors, in order.
    pub cursors: Vec<(CursorKey, CursorValue)>,
    /// The live routes, by number.
    pub routes: Vec<(RouteNumber, Route)>,
    /// The live origins, by number.
    pub origins: Vec<(u32, (LogId, Epoch))>,
    /// The table of causes, in order.
    pub gaps: Vec<GapRecord>,
    /// What was counted since the log was made.
    pub counters: Counters,
    /// What was not as it should be, as far as an opening meets it.
    pub findings: Vec<Finding>,
    pub(crate) writer: Writer<ReadOnly<D>>,
    disk: D,
    config: Config,
}

/// One file of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSurvey {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The seqs that belong to it; none where it holds none.
    pub seqs: Option<(Seq, Seq)>,
    /// What it is.
    pub state: FileState,
}

/// What a file of a log is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileState {
    /// The last segment: entries go there, or went there last.
    Last,
    /// Full, with its footer.
    Sealed,
    /// Ended without a footer: given up after a failed write, or its footer is not written yet or damaged.
    Ended,
    /// Nothing in it can be read.
    Unreadable,
    /// It holds nothing and waits to be used.
    Spare,
    /// In a format, or of a log, that this build does not know.
    SetAside,
    /// No file of the log.
    Foreign,
}

impl FileState {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Sealed => "sealed",
            Self::Ended => "ended",
            Self::Unreadable => "unreadable",
            Self::Spare => "spare",
            Self::SetAside => "set_aside",
            Self::Foreign => "foreign",
        }
    }
}

/// Why nothing can be said of a log.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// There is none.
    #[error("there is no log here: none of its {files} files is a segment that was written to")]
    NoLog {
        /// How many files there are.
        files: usize,
    },
    /// There is one that this build cannot read.
    #[error("{file} cannot be read: {why}")]
    SetAside {
        /// A file of it.
        file: String,
        /// What is not known about it.
        why: &'static str,
    },
    /// The disk could not be asked.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file could not be read.
    #[error("read {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
}

impl SurveyError {
    /// Whether a file went away while it was looked for: the log is in use, and should be looked at again.
    pub(crate) fn is_race(&self) -> bool {
        match self {
            Self::Open(OpenError::Io { source, .. }) | Self::Read { source, .. } => {
                source.kind() == io::ErrorKind::NotFound
            }
            Self::Open(OpenError::Config(_)) | Self::NoLog { .. } | Self::SetAside { .. } => false,
        }
    }
}

/// Does it until no file goes away meanwhile.
pub(crate) fn settled<T>(mut look: impl FnMut() -> Result<T, SurveyError>) -> Result<T, SurveyError> {
    let mut left = TRIES;
    loop {
        match look() {
            Err(error) if error.is_race() && left > 0 => left -= 1,
            result => return result,
        }
    }
}

impl<D: Disk> Survey<D> {
    /// Looks at the log on a disk. Of the configuration only what names the causes of trimming counts.
    pub fn of(disk: D, config: &Config) -> Result<Self, SurveyError> {
        // Room for anything: nothing is trimmed to make it.
        let config = Config { quota_bytes: u64::MAX, ..config.clone() };
        settled(|| Self::look(&disk, &config))
    }

    fn look(disk: &D, config: &Config) -> Result<Self, SurveyError> {
        let only = ReadOnly(disk.clone());
        let (writer, recovered) = Writer::open(only.clone(), config.clone(), Entropy(0), Now::default())?;
        let mut names =
            disk.list().map_err(|source| SurveyError::Read { file: "the folder".into(), source })?;
        names.sort_unstable();
        if writer.segments.is_empty() {
            let aside = recovered.findings.into_iter().find_map(|finding| match finding {
                Finding::SetAside { file, why } => Some(SurveyError::SetAside { file, why }),
                Finding::TailCut { .. }
                | Finding::Damage { .. }
                | Finding::CheckpointLost { .. }
                | Finding::FoldLost
                | Finding::DrainOnly { .. } => None,
            });
            return Err(aside.unwrap_or(SurveyError::NoLog { files: names.len() }));
        }
        let files = files(&writer, &recovered, &only, names)?;
        let Recovered {
            log,
            mut chain,
            next,
            oldest,
            routes,
            origins,
            cursors,
            gaps,
            counters,
            mut findings,
            ..
        } = recovered;
        // The opening that did not happen.
        chain.pop();
        findings.retain(|finding| !matches!(finding, Finding::DrainOnly { .. }));
        Ok(Self {
            log,
            chain,
            oldest,
            next,
            files,
            cursors,
            routes,
            origins,
            gaps,
            counters,
            findings,
            writer,
            disk: disk.clone(),
            config: config.clone(),
        })
    }

    /// Reads from `from` on, as [`Reader::read`](crate::Reader::read) does, or less. Where the log is in use, what
    /// was trimmed meanwhile is looked at again: so nothing is called damage that is not.
    pub fn read(&mut self, from: Seq, bytes_max: usize) -> Result<Chunk, SurveyError> {
        let mut doubted = None;
        for _ in 0..TRIES {
            let chunk = until_damage(self.read_once(from, bytes_max)?);
            let damaged = chunk.runs.first().and_then(damage);
            if damaged.is_none() || damaged == doubted {
                return Ok(chunk);
            }
            doubted = damaged;
            *self = Self::of(self.disk.clone(), &self.config)?;
        }
        Ok(Chunk { runs: Vec::new(), next: from })
    }

    fn read_once(&self, from: Seq, bytes_max: usize) -> Result<Chunk, SurveyError> {
        let read = self.writer.reader().read(from, bytes_max);
        read.map_err(|error| SurveyError::Read { file: format!("seq {}", error.at), source: error.source })
    }
}

/// What comes before the first damage; or that, where it comes first.
fn until_damage(mut chunk: Chunk) -> Chunk {
    let first = chunk.runs.iter().enumerate().find_map(|(at, run)| damage(run).map(|gap| (at, gap)));
    if let Some((at, gap)) = first {
        chunk.runs.truncate(at.max(1));
        chunk.next = if at == 0 { gap.to.next() } else { gap.from };
    }
    chunk
}

fn damage(run: &Run) -> Option<Gap> {
    match run {
        Run::Gap(gap) if gap.cause == Cause::Damage => Some(*gap),
        Run::Gap(_) | Run::Entries { .. } => None,
    }
}

fn files<D: Disk>(
    writer: &Writer<ReadOnly<D>>,
    recovered: &Recovered<()>,
    disk: &ReadOnly<D>,
    names: Vec<String>,
) -> Result<Vec<FileSurvey>, SurveyError> {
    let mut files = Vec::new();
    for (index, segment) in writer.segments.iter().enumerate() {
        files.push(of_segment(writer, index, segment)?);
    }
    for name in names {
        if files.iter().any(|file| file.name == name) {
            continue;
        }
        let read = |source| SurveyError::Read { file: name.clone(), source };
        let (_, bytes) = disk.open(&name).map_err(read)?;
        let aside = recovered.findings.iter().any(|finding| match finding {
            Finding::SetAside { file, .. } => *file == name,
            Finding::TailCut { .. }
            | Finding::Damage { .. }
            | Finding::CheckpointLost { .. }
            | Finding::FoldLost
            | Finding::DrainOnly { .. } => false,
        });
        let ours = fresh_number(&name).is_some() || segment_number(&name).is_some();
        let state = match (aside, ours) {
            (true, _) => FileState::SetAside,
            (false, true) => FileState::Spare,
            (false, false) => FileState::Foreign,
        };
        files.push(FileSurvey { name, bytes, seqs: None, state });
    }
    Ok(files)
}

fn of_segment<D: Disk>(
    writer: &Writer<ReadOnly<D>>,
    index: usize,
    segment: &Arc<Segment<ReadOnly<D>>>,
) -> Result<FileSurvey, SurveyError> {
    let name = segment_name(segment.identity.segment);
    let last = writer.segments.get(index + 1).map_or(writer.tables.end, |next| next.first.prev());
    let seqs = Some((segment.first, last)).filter(|(first, last)| first <= last);
    let footer = writer.reader().stored_footer(segment);
    let sealed = footer.map_err(|source| SurveyError::Read { file: name.clone(), source })?.is_some();
    let state = match (segment.is_readable(), sealed) {
        (false, _) => FileState::Unreadable,
        (true, true) => FileState::Sealed,
        (true, false) if index + 1 == writer.segments.len() => FileState::Last,
        (true, false) => FileState::Ended,
    };
    Ok(FileSurvey { name, bytes: segment.length, seqs, state })
}
