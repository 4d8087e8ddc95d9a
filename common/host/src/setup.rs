//! What a process sets up around its core before it runs: the log, the instance over it, the network's limits.

use riser_instance::{Instance, LogFold};
use riser_log::{
    Config as LogConfig, Disk, Entropy, Finding, OpenError, Reader, Recovered, Writer,
    archive::{Archive, ArchiveStatus},
};
use riser_model::{
    Archived, Binding, Chunk, EpochSpan, Mark, Now, Position, Room, RoomId, Route, RouteNumber, Run, Seq,
};
use riser_net::{Clock as NetClock, Entrance, Limits, core_inbox, inbox::CoreInbox, tls};
use riser_rooms::{Bus, Config as RoomsConfig, RetainedTable, Start, retained::Saved};
use riser_shell::{
    Clock, RealDisk,
    config::{LimitsConfig, TlsConfig, TlsFiles},
    disk::FolderFailed,
    entropy,
    storage::{ArchiveFolder, Open},
    tables::{Contents, Table},
};
use riser_wire::entry::frames;
use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};
use tokio_rustls::TlsAcceptor;

/// Memory for what doors have asked and the core has not taken, bytes.
const INBOX_BYTES_MAX: u32 = 16 << 20;

/// One read of the log at the start, bytes.
const READ_BYTES: usize = 1 << 20;
/// The table of what channels retain, in the data folder.
pub const RETAINED: &str = "retained.redb";
/// The folder of the archive, in the data folder.
pub const ARCHIVE: &str = "archive";

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogFailed {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderFailed),
    /// The log in it.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Opens the log in a folder under a new epoch, and says what was found there.
pub fn open_log(
    folder: &Path,
    config: LogConfig,
    now: Now,
) -> Result<(Writer<RealDisk, LogFold>, Recovered<LogFold>), LogFailed> {
    let disk = RealDisk::open(folder)?;
    let (writer, recovered) = Writer::open(disk, config, Entropy(entropy::number()), now)?;
    for finding in &recovered.findings {
        match finding {
            Finding::TailCut { .. } => tracing::info!(?finding, "the log's end was torn"),
            Finding::Damage { .. }
            | Finding::SetAside { .. }
            | Finding::CheckpointLost { .. }
            | Finding::FoldLost
            | Finding::DrainOnly { .. } => tracing::warn!(?finding, "the log is not as it should be"),
        }
    }
    tracing::info!(
        folder = %folder.display(),
        log = %format_args!("{:016x}", recovered.log.0),
        epoch = %format_args!("{:016x}", recovered.epoch.0),
        oldest = recovered.oldest.0,
        next = recovered.next.0,
        "log opened"
    );
    Ok((writer, recovered))
}

/// Opens the archive in a folder, of a log as it was found, for these rooms, or with `misses` for some of them; and how
/// many of its files are not as they should be. While it cannot be opened the log holds what is not archived within its
/// bound, the archive's worker tries again, and whatever else there is goes on (promise 4).
pub fn open_archive(
    folder: &Path,
    quota_bytes: u64,
    rooms: &[Room],
    misses: bool,
    recovered: &Recovered<LogFold>,
    log: &Reader<RealDisk>,
) -> (ArchiveFolder<RealDisk>, u64) {
    let wanted: BTreeMap<RoomId, Seq> =
        rooms.iter().filter(|room| room.is_archived()).map(|room| (room.id, Seq::ZERO)).collect();
    let (path, id, chain) = (folder.to_owned(), recovered.log, recovered.chain.clone());
    let oldest = recovered.oldest;
    let mut open: Open<RealDisk> = Box::new(move || {
        let disk = RealDisk::open(&path).map_err(io::Error::other)?;
        let (mut archive, findings) = Archive::open(disk, id, &chain, oldest, quota_bytes)?;
        for finding in &findings {
            tracing::warn!(?finding, "the archive is not as it should be");
        }
        if misses {
            archive.expect_misses();
        }
        Ok((archive, findings.len() as u64))
    });
    match open() {
        Ok((mut archive, amiss)) => {
            archive.want(wanted.clone(), log);
            let ArchiveStatus { volumes, bytes, .. } = archive.status();
            tracing::info!(folder = %folder.display(), volumes, bytes, "archive opened");
            (ArchiveFolder { archive: Some(archive), open, wanted }, amiss)
        }
        Err(error) => {
            tracing::error!(
                %error,
                folder = %folder.display(),
                "the archive cannot be opened: the log keeps everything until it is half as large again as its \
                 quota, then the oldest is lost; mend the folder, it is tried again"
            );
            (ArchiveFolder { archive: None, open, wanted }, 0)
        }
    }
}

/// What channels retain, as it was saved beside the log and with what the log has beyond that; and its table, if there
/// is one. A table that is bad is made anew of what the log still has.
pub fn retained<D: Disk>(
    path: &Path,
    recovered: &Recovered<LogFold>,
    mut reader: Reader<D>,
    limits: &LimitsConfig,
) -> (RetainedTable, Option<Table>) {
    let newest = recovered.fold.newest_retained;
    if newest == Seq::ZERO && !path.exists() {
        return (RetainedTable::default(), None);
    }
    let (table, saved) = match opened(path) {
        Ok((table, saved)) => (Some(table), saved),
        Err(error) => {
            tracing::warn!(%error, "what channels retain is read from the log; what is older than that is lost");
            let table = Table::replace(path);
            let table = table.inspect_err(|error| tracing::warn!(%error, "it cannot be saved either"));
            (table.ok(), (RetainedTable::default(), None))
        }
    };
    let (mut retained, through) = saved;
    let mut from = retained.align(through, recovered.log, &recovered.chain, recovered.oldest);
    let routes: BTreeMap<RouteNumber, &Route> =
        recovered.routes.iter().map(|(number, route)| (*number, route)).collect();
    while from <= newest {
        let chunk = reader.read(from, READ_BYTES).unwrap_or_else(|error| {
            tracing::warn!(%error, from = from.0, "the log could not be read");
            Chunk { runs: Vec::new(), next: from }
        });
        for run in &chunk.runs {
            let Run::Entries { first, epoch, entries, .. } = run else { continue };
            for (n, frame) in frames(entries).map_while(Result::ok).enumerate() {
                let (log, seq) = (recovered.log, first.plus(n as u64));
                if let Some(route) = routes.get(&frame.route) {
                    let position = Position { log, epoch: *epoch, seq };
                    retained.apply(&frame, position, route, limits.retained.in_memory());
                }
            }
        }
        if chunk.next <= from {
            break;
        }
        from = chunk.next;
    }
    tracing::info!(channels = retained.len(), bytes = retained.bytes(), "what channels retain is known");
    (retained, table)
}

fn opened(path: &Path) -> anyhow::Result<(Table, (RetainedTable, Option<Position>))> {
    let table = Table::open(path)?;
    let Contents { through, rows } = table.read()?;
    let saved = RetainedTable::read(&Saved { through, rows })?;
    Ok((table, saved))
}

/// What there is of the rooms' past, beside what the log says of itself.
#[derive(Debug, Default)]
pub struct Past {
    /// How much of which room is there, as [`riser_log::pasts`] counts it.
    pub pasts: Vec<(RoomId, Vec<Mark>)>,
    /// From where on an archive has everything of which room that the log has not.
    pub archived: BTreeMap<RoomId, Archived>,
    /// The epochs of what is in the archive.
    pub spans: Vec<EpochSpan>,
}

impl Past {
    /// The epochs of the log, and before them those that only the archive still knows.
    fn chain(&self, log: &[EpochSpan]) -> Vec<EpochSpan> {
        let unknown = |span: &&EpochSpan| log.iter().all(|known| known.epoch != span.epoch);
        self.spans.iter().filter(unknown).chain(log).copied().collect()
    }
}

/// The instance over a log as it was opened.
pub fn instance(
    recovered: &Recovered<LogFold>,
    rooms: Vec<Room>,
    bindings: Vec<Binding>,
    limits: &LimitsConfig,
    retained: RetainedTable,
    past: Past,
    now: Now,
) -> Instance {
    let standard = RoomsConfig::default();
    let config = RoomsConfig {
        tail_bytes_max: limits.tail.in_memory(),
        subscriptions_max: limits.subscriptions,
        retained_bytes_max: limits.retained.in_memory(),
        batch_bytes_max: standard.batch_bytes_max.min(recovered.batch_bytes_max),
        ..standard
    };
    let start = Start {
        log: recovered.log,
        epoch: recovered.epoch,
        chain: past.chain(&recovered.chain),
        next: recovered.next,
        oldest: recovered.oldest,
        oldest_at: recovered.oldest_at,
        archived: past.archived,
        pasts: past.pasts,
        gaps: recovered.gaps.iter().map(|record| record.gap).collect(),
        trim_cause: recovered.trim_cause,
        routes: recovered.routes.clone(),
        origins: recovered.origins.clone(),
        rooms,
        bindings,
        retained,
        producers: recovered.fold.producers.clone(),
    };
    let mut instance = Instance::new(Bus::new(config, start), recovered.fold.clone(), now);
    instance.limit_connections_of_client(limits.connections_per_principal);
    instance
}

/// The entrance of all listeners, and the end of it that the core's task reads.
pub fn entrance(limits: &LimitsConfig) -> (Arc<Entrance>, CoreInbox) {
    let (handle, inbox) = core_inbox(INBOX_BYTES_MAX);
    let limits = Limits {
        connections_max: limits.connections,
        per_address_max: limits.connections_per_address,
        handshakes_per_s: limits.handshakes_per_second,
        accepts_per_s: limits.accepts_per_second,
        publications_per_s: limits.publications_per_second,
        published_bytes_per_s: limits.published_per_second.0,
        subscriptions_per_s: limits.subscriptions_per_second,
        renewals_per_s: limits.renewals_per_second,
        first_frame_ms: limits.first_frame.ms(),
        stall_ms: limits.stall.ms(),
        stop_ms: limits.drain.ms(),
        ..Limits::default()
    };
    let clock: NetClock = Arc::new(|| Clock.now());
    (Entrance::new(limits, handle, clock, Arc::new(AtomicU64::new(1))), inbox)
}

/// The TLS of a listener, if it has one; `clients` are the authorities that vouch for its peers.
pub fn acceptor(
    config: &TlsConfig,
    shared: Option<&TlsFiles>,
    clients: Option<&Path>,
) -> Result<Option<TlsAcceptor>, tls::TlsFailed> {
    let files = config.files(shared).map(|files| match clients {
        Some(authorities) => tls::server_for_clients(&files.cert, &files.key, authorities),
        None => tls::server(&files.cert, &files.key),
    });
    files.transpose()
}

/// A thread looks at the sockets after so many turns of tasks, however many more are ready. Tokio's own 61 are many
/// milliseconds where each turn words a part of the past, and what comes live is not even seen meanwhile.
const SOCKETS_EVERY: u32 = 8;

/// The runtime of a program with so many worker threads.
pub fn runtime(workers: usize) -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .event_interval(SOCKETS_EVERY)
        .enable_all()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        io::Write,
        os::unix::net::UnixStream,
        sync::{atomic::Ordering, mpsc},
        task::Poll,
        time::{Duration, Instant},
    };
    use tokio::io::AsyncReadExt;

    /// What a turn takes: longer than from one thread to another.
    const TURN: Duration = Duration::from_micros(100);

    #[test]
    fn what_comes_is_heard_though_somebody_always_has_something_to_do() {
        let runtime = runtime(1).unwrap();
        let turns = Arc::new(AtomicU64::new(0));
        let (mut here, there) = UnixStream::pair().unwrap();
        there.set_nonblocking(true).unwrap();
        let (says, said) = mpsc::channel();
        let counted = Arc::clone(&turns);
        runtime.spawn(async move {
            let mut there = tokio::net::UnixStream::from_std(there).unwrap();
            while there.read_u8().await.is_ok() {
                says.send(counted.load(Ordering::SeqCst)).unwrap();
            }
        });
        let counted = Arc::clone(&turns);
        runtime.spawn(poll_fn::<(), _>(move |cx| {
            let began = Instant::now();
            while began.elapsed() < TURN {}
            counted.fetch_add(1, Ordering::SeqCst);
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        for _ in 0..20 {
            here.write_all(&[1]).unwrap();
            let written = turns.load(Ordering::SeqCst);
            let heard = said.recv_timeout(Duration::from_secs(60)).unwrap();
            let waited = heard.saturating_sub(written);
            assert!(waited <= 2 * u64::from(SOCKETS_EVERY), "it waited for {waited} turns of another");
        }
        runtime.shutdown_background();
    }
}
