//! `/metrics`: what the process counts, in Prometheus' text form.
//!
//! Names begin with `riser_` and carry base units (seconds, bytes). Nothing is
//! counted here: whoever does the work counts, and says its numbers. The equation's four numbers of one uplink
//! and epoch are said together and read together, so a scrape never sees them disagree (promise 3).

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use riser_model::{Cause, door::Code};
use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

mod accounts;
mod bus;
mod downlinks;
mod equations;
mod process;
mod tree;

pub use accounts::Accounts;
pub use bus::Bus;
pub use downlinks::Downlinks;
pub use equations::{Equation, EquationOf};
pub use process::resident_bytes;
pub use tree::TreeMetrics;

use equations::Equations;
use process::Process;

/// A number that goes up and down and is never negative.
pub type Level = Gauge<u64, AtomicU64>;
/// A length of time that goes up and down.
pub type Seconds = Gauge<f64, AtomicU64>;
/// A number that only goes up.
pub type Count = Counter;

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
        pub struct $name {
            $(
                #[doc = concat!("`", stringify!($field), "`")]
                pub $field: $type,
            )+
        }
    };
}

label!(
    /// By error code.
    ByCode { code: &'static str }
);
label!(
    /// By cause of a gap, or of an end.
    ByCause { cause: &'static str }
);
label!(
    /// By uplink: its name.
    ByUplink { uplink: String }
);
label!(
    /// By source: its name.
    BySource { source: String }
);
label!(
    /// By source and error code.
    SourceRefused { source: String, code: &'static str }
);
label!(
    /// By edge: its id.
    ByEdge { edge: String }
);
label!(
    /// By edge below an edge: its id and its account's, for each account says itself which edges are below its own.
    ByBranch { edge: String, account: String }
);

/// A counter that someone else keeps: its name without `riser_` and `_total`, its labels as text
/// (`reason="full"`), and how much it is.
pub type Foreign = (&'static str, &'static str, u64);

type ForeignSource = Box<dyn Fn() -> Vec<Foreign> + Send + Sync>;

/// All metrics of a process. Cloning a field gives another handle to the same number.
pub struct Metrics {
    registry: Registry,
    uplinks: Arc<Equations>,
    edges: Arc<Equations>,
    origins: Arc<Equations>,
    foreign: Mutex<Vec<ForeignSource>>,
    /// Publications stored.
    pub publications_accepted: Counter,
    /// Publications refused.
    pub publications_refused: Family<ByCode, Counter>,
    /// Publications delivered to subscriptions.
    pub deliveries: Counter,
    /// Publications that `conflate` subscriptions passed over.
    pub deliveries_skipped: Counter,
    /// Events of the system that were not written by themselves in a storm.
    pub events_coalesced: Counter,
    /// Publications addressed to a client that was not there, in rooms that keep nothing for it.
    pub publications_void: Counter,
    /// Events that say what became of a publication that went down.
    pub outcomes: Counter,
    /// Publications that came down and whose outcome is not told yet.
    pub outcomes_pending: Level,
    /// Publications whose outcome nobody is told, for want of room.
    pub outcomes_forgotten: Level,
    /// Connections behind edges that are not shown to be there, for want of room.
    pub presence_beyond: Level,
    /// Connections that were let in.
    pub connections: Level,
    /// Connections that were not let in, or told to go.
    pub turned_away: Family<ByCode, Counter>,
    /// Seqs under gaps, link gaps and reader gaps.
    pub gaps: Family<ByCause, Counter>,
    /// Entries taken into quarantine.
    pub quarantined: Counter,
    /// Entries of logs below an edge's that had come another way already.
    pub relayed_again: Counter,
    /// Entries that edges brought and that were this instance's own, or from above it.
    pub relayed_own: Counter,
    /// Commits of the durable log.
    pub log_commits: Counter,
    /// Commits that failed.
    pub log_failures: Counter,
    /// Bytes written to the durable log, everything included.
    pub log_written: Counter,
    /// How long syncs take.
    pub log_sync: Histogram,
    /// What the log takes on disk, spares included.
    pub log_used: Level,
    /// What it may take.
    pub log_quota: Level,
    /// What the archive takes on disk.
    pub archive_used: Level,
    /// What was set aside in its folder takes beside that.
    pub archive_aside: Level,
    /// What it may take.
    pub archive_quota: Level,
    /// Segments of the log of which it has something, or that there was nothing.
    pub archive_volumes: Level,
    /// Seqs that its quota or a full disk cost.
    pub archive_let_go: Counter,
    /// 1 while it cannot be written.
    pub archive_failing: Level,
    /// Its files that are not as they should be.
    pub archive_amiss: Counter,
    /// The newest seq of the log.
    pub log_end: Level,
    /// 1 while the link is welcomed.
    pub uplink_up: Family<ByUplink, Level>,
    /// Since the hub's confirmations last advanced, or last equalled what there is: promise 5.
    pub uplink_silence: Family<ByUplink, Seconds>,
    /// The age of the oldest entry that is not confirmed.
    pub uplink_lag: Family<ByUplink, Seconds>,
    /// 1 while the link waits for what a former parent has.
    pub uplink_awaits: Family<ByUplink, Level>,
    /// Connection attempts of the link that did not end in a welcome.
    pub uplink_failures: Family<ByUplink, Counter>,
    /// 1 while a source is subscribed, or its input open.
    pub source_up: Family<BySource, Level>,
    /// Messages that came from a source.
    pub source_received: Family<BySource, Counter>,
    /// Of these, such as it had sent before.
    pub source_resent: Family<BySource, Counter>,
    /// Messages of a source that are on disk.
    pub source_stored: Family<BySource, Counter>,
    /// Messages that a source was told to forget.
    pub source_acknowledged: Family<BySource, Counter>,
    /// Messages of a source that were refused.
    pub source_refused: Family<SourceRefused, Counter>,
    /// Attempts to connect to a source after the first.
    pub source_reconnects: Family<BySource, Counter>,
    /// 1 while an edge is connected (hub).
    pub edge_up: Family<ByEdge, Level>,
    /// Seqs that an edge has and the hub has not (hub).
    pub edge_backlog: Family<ByEdge, Level>,
    /// What the bus let go of, and holds.
    pub bus: Bus,
    /// The way down.
    pub downlinks: Downlinks,
    /// The edges below edges.
    pub tree: TreeMetrics,
    /// How accounts stand.
    pub accounts: Accounts,
    /// 1 while the process runs on its last good configuration because the given one was refused.
    pub configuration_refused: Level,
    /// Times that the wall clock was stepped.
    pub clock_steps: Counter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// All at nothing, for a program of that name (`edge`, `hub`) and version.
    pub fn new(program: &'static str, version: &'static str) -> Self {
        let mut this = Self {
            registry: Registry::with_prefix("riser"),
            uplinks: Arc::new(Equations { of: "uplink", all: Mutex::default() }),
            edges: Arc::new(Equations { of: "edge", all: Mutex::default() }),
            origins: Arc::new(Equations { of: "origin", all: Mutex::default() }),
            foreign: Mutex::default(),
            publications_accepted: Counter::default(),
            publications_refused: Family::default(),
            deliveries: Counter::default(),
            deliveries_skipped: Counter::default(),
            events_coalesced: Counter::default(),
            publications_void: Counter::default(),
            outcomes: Counter::default(),
            outcomes_pending: Level::default(),
            outcomes_forgotten: Level::default(),
            presence_beyond: Level::default(),
            connections: Level::default(),
            turned_away: Family::default(),
            gaps: Family::default(),
            quarantined: Counter::default(),
            relayed_again: Counter::default(),
            relayed_own: Counter::default(),
            log_commits: Counter::default(),
            log_failures: Counter::default(),
            log_written: Counter::default(),
            // 50 us (an NVMe drive) to 1.6 s (an SD card that is collecting garbage).
            log_sync: Histogram::new(exponential_buckets(50e-6, 2.0, 16)),
            log_used: Level::default(),
            log_quota: Level::default(),
            archive_used: Level::default(),
            archive_aside: Level::default(),
            archive_quota: Level::default(),
            archive_volumes: Level::default(),
            archive_let_go: Counter::default(),
            archive_failing: Level::default(),
            archive_amiss: Counter::default(),
            log_end: Level::default(),
            uplink_up: Family::default(),
            uplink_silence: Family::default(),
            uplink_lag: Family::default(),
            uplink_awaits: Family::default(),
            uplink_failures: Family::default(),
            source_up: Family::default(),
            source_received: Family::default(),
            source_resent: Family::default(),
            source_stored: Family::default(),
            source_acknowledged: Family::default(),
            source_refused: Family::default(),
            source_reconnects: Family::default(),
            edge_up: Family::default(),
            edge_backlog: Family::default(),
            bus: Bus::default(),
            downlinks: Downlinks::default(),
            tree: TreeMetrics::default(),
            accounts: Accounts::default(),
            configuration_refused: Level::default(),
            clock_steps: Counter::default(),
        };
        this.register(program, version);
        this.begin_at_nothing();
        this
    }

    fn register(&mut self, program: &'static str, version: &'static str) {
        let Self { registry, .. } = self;
        let build = Family::<[(&'static str, &'static str); 2], Level>::default();
        build.get_or_create(&[("program", program), ("version", version)]).set(1);
        registry.register("build", "What runs; always 1", build);
        let metric = &mut *registry;
        metric.register("publications_accepted", "Publications stored", self.publications_accepted.clone());
        metric.register("publications_refused", "Publications refused", self.publications_refused.clone());
        metric.register("deliveries", "Publications delivered to subscriptions", self.deliveries.clone());
        metric.register(
            "deliveries_skipped",
            "Publications that conflate subscriptions passed over",
            self.deliveries_skipped.clone(),
        );
        metric.register(
            "events_coalesced",
            "Events of the system that others stand for, in a storm",
            self.events_coalesced.clone(),
        );
        metric.register(
            "publications_void",
            "Publications addressed to a client that was not there, in rooms that keep nothing for it",
            self.publications_void.clone(),
        );
        metric.register(
            "outcomes",
            "What became of publications that went down, as it was told",
            self.outcomes.clone(),
        );
        metric.register(
            "outcomes_pending",
            "Publications that came down and of which nothing is told yet",
            self.outcomes_pending.clone(),
        );
        metric.register(
            "outcomes_forgotten",
            "Publications of which nothing will be told, for want of room, since the log was opened",
            self.outcomes_forgotten.clone(),
        );
        metric.register(
            "presence_beyond",
            "Connections behind edges that are there and not kept, for more than 16384 are: presence lacks them",
            self.presence_beyond.clone(),
        );
        metric.register("connections", "Connections that were let in", self.connections.clone());
        metric.register(
            "turned_away",
            "Connections not let in, or told to go, by code",
            self.turned_away.clone(),
        );
        metric.register("gaps", "Seqs that are gone, by cause", self.gaps.clone());
        metric.register("quarantined", "Entries taken into quarantine", self.quarantined.clone());
        metric.register(
            "relayed_again",
            "Entries of logs below an edge's that had come another way",
            self.relayed_again.clone(),
        );
        metric.register(
            "relayed_own",
            "Entries that an edge brought and that were from here or above",
            self.relayed_own.clone(),
        );
        metric.register("log_commits", "Commits of the durable log", self.log_commits.clone());
        metric.register(
            "log_failures",
            "Writes and syncs of the durable log that failed",
            self.log_failures.clone(),
        );
        let bytes = || Unit::Bytes;
        metric.register_with_unit(
            "log_written",
            "Written to the durable log",
            bytes(),
            self.log_written.clone(),
        );
        metric.register_with_unit("log_sync", "How long syncs take", Unit::Seconds, self.log_sync.clone());
        metric.register_with_unit("log_used", "What the log takes on disk", bytes(), self.log_used.clone());
        metric.register_with_unit(
            "log_quota",
            "What the log may take on disk",
            bytes(),
            self.log_quota.clone(),
        );
        metric.register_with_unit(
            "archive_used",
            "What the archive takes on disk",
            bytes(),
            self.archive_used.clone(),
        );
        metric.register_with_unit(
            "archive_aside",
            "What was set aside in the archive's folder and is not read takes on disk",
            bytes(),
            self.archive_aside.clone(),
        );
        metric.register_with_unit(
            "archive_quota",
            "What the archive may take on disk",
            bytes(),
            self.archive_quota.clone(),
        );
        metric.register("archive_volumes", "Files of the archive", self.archive_volumes.clone());
        metric.register(
            "archive_let_go",
            "Seqs that the archive's quota or a full disk cost",
            self.archive_let_go.clone(),
        );
        metric.register(
            "archive_failing",
            "1 while the archive cannot be written",
            self.archive_failing.clone(),
        );
        metric.register(
            "archive_amiss",
            "Files of the archive that cannot be read whole or are not its own, since the start",
            self.archive_amiss.clone(),
        );
        metric.register("log_end_seq", "The newest seq of the log", self.log_end.clone());
        metric.register("uplink_up", "1 while the link is welcomed", self.uplink_up.clone());
        metric.register_with_unit(
            "uplink_silence",
            "Since the hub's confirmations last advanced or equalled what there is",
            Unit::Seconds,
            self.uplink_silence.clone(),
        );
        metric.register_with_unit(
            "uplink_lag",
            "The age of the oldest entry that is not confirmed",
            Unit::Seconds,
            self.uplink_lag.clone(),
        );
        metric.register(
            "uplink_awaits",
            "1 while the link waits for what a former parent has and has not delivered",
            self.uplink_awaits.clone(),
        );
        metric.register(
            "uplink_failures",
            "Attempts to connect that were not welcomed",
            self.uplink_failures.clone(),
        );
        self.register_sources();
        let metric = &mut self.registry;
        metric.register("edge_up", "1 while the edge is connected", self.edge_up.clone());
        metric.register(
            "edge_backlog",
            "Seqs that the edge has and the hub has not",
            self.edge_backlog.clone(),
        );
        self.bus.register(metric);
        self.downlinks.register(metric);
        self.tree.register(metric);
        self.accounts.register(metric);
        metric.register(
            "configuration_refused",
            "1 while the last good configuration runs because the given one was refused",
            self.configuration_refused.clone(),
        );
        metric.register("clock_steps", "Times that the wall clock was stepped", self.clock_steps.clone());
        metric.register_collector(Box::new(Arc::clone(&self.uplinks)));
        metric.register_collector(Box::new(Arc::clone(&self.edges)));
        metric.register_collector(Box::new(Arc::clone(&self.origins)));
        metric.register_collector(Box::new(Process));
    }

    fn register_sources(&mut self) {
        let metric = &mut self.registry;
        metric.register("source_up", "1 while the source is subscribed or open", self.source_up.clone());
        for (name, help, family) in [
            ("source_received", "Messages that came from the source", &self.source_received),
            ("source_resent", "Messages that the source had sent before", &self.source_resent),
            ("source_stored", "Messages of the source that are on disk", &self.source_stored),
            ("source_acknowledged", "Messages that the source may forget", &self.source_acknowledged),
            ("source_reconnects", "Attempts to connect after the first", &self.source_reconnects),
        ] {
            metric.register(name, help, family.clone());
        }
        metric.register(
            "source_refused",
            "Messages of the source that were refused",
            self.source_refused.clone(),
        );
    }

    /// What can be refused or gone is there from the start, at 0: a rate of what appears out of nothing is wrong.
    fn begin_at_nothing(&self) {
        for code in Code::ALL {
            drop(self.publications_refused.get_or_create(&ByCode { code: code.name() }));
            drop(self.turned_away.get_or_create(&ByCode { code: code.name() }));
        }
        for cause in Cause::ALL {
            drop(self.gaps.get_or_create(&ByCause { cause: cause.name() }));
        }
    }

    /// A connection was not let in, or was told to go.
    pub fn turned_away(&self, code: Code) {
        self.turned_away.get_or_create(&ByCode { code: code.name() }).inc();
    }

    /// Publications were refused.
    pub fn refused(&self, code: Code, count: u64) {
        self.publications_refused.get_or_create(&ByCode { code: code.name() }).inc_by(count);
    }

    /// Seqs are gone.
    pub fn gone(&self, cause: Cause, seqs: u64) {
        self.gaps.get_or_create(&ByCause { cause: cause.name() }).inc_by(seqs);
    }

    /// Says the equations of all uplinks anew, as `riser_uplink_accepted` and so on: what is not among them is over.
    pub fn uplinks(&self, all: impl IntoIterator<Item = (EquationOf, Equation)>) {
        self.uplinks.say(all);
    }

    /// The same of all edges below, as `riser_edge_accepted` and so on.
    pub fn edges(&self, all: impl IntoIterator<Item = (EquationOf, Equation)>) {
        self.edges.say(all);
    }

    /// The same of all logs below those edges, as `riser_origin_accepted` and so on.
    pub fn origins(&self, all: impl IntoIterator<Item = (EquationOf, Equation)>) {
        self.origins.say(all);
    }

    /// Also shows counters that someone else keeps.
    pub fn also(&self, source: impl Fn() -> Vec<Foreign> + Send + Sync + 'static) {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(source));
    }

    /// All of it as text, for `Content-Type:` [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        let whole = text::encode_registry(&mut text, &self.registry)
            .and_then(|()| self.encode_foreign(&mut text))
            .and_then(|()| text::encode_eof(&mut text));
        whole.expect("a String takes everything that is written to it");
        text
    }

    fn encode_foreign(&self, text: &mut String) -> fmt::Result {
        let mut by_name: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
        for source in &*self.foreign.lock().unwrap_or_else(PoisonError::into_inner) {
            for (name, labels, value) in source() {
                by_name.entry(name).or_default().push((labels, value));
            }
        }
        for (name, samples) in by_name {
            writeln!(text, "# HELP riser_{name} {}.\n# TYPE riser_{name} counter", name.replace('_', " "))?;
            for (labels, value) in samples {
                let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
                writeln!(text, "riser_{name}_total{braced} {value}")?;
            }
        }
        Ok(())
    }
}

/// What the text of [`Metrics::encode`] is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn line<'a>(text: &'a str, name: &str) -> &'a str {
        text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    #[test]
    fn numbers_appear_under_their_names_and_units() {
        let metrics = Metrics::new("edge", "1.2.3");
        metrics.publications_accepted.inc_by(3);
        metrics.refused(Code::QuotaExceeded, 2);
        metrics.gone(Cause::Damage, 5);
        metrics.connections.set(7);
        metrics.log_written.inc_by(4096);
        metrics.log_sync.observe(0.0003);
        metrics.uplink_lag.get_or_create(&ByUplink { uplink: "hub".to_owned() }).set(1.5);
        let text = metrics.encode();
        for (name, value) in [
            ("riser_build{program=\"edge\",version=\"1.2.3\"}", "1"),
            ("riser_publications_accepted_total", "3"),
            ("riser_publications_refused_total{code=\"quota_exceeded\"}", "2"),
            ("riser_publications_refused_total{code=\"denied\"}", "0"),
            ("riser_gaps_total{cause=\"damage\"}", "5"),
            ("riser_gaps_total{cause=\"quota\"}", "0"),
            ("riser_connections", "7"),
            ("riser_log_written_bytes_total", "4096"),
            ("riser_log_sync_seconds_count", "1"),
            ("riser_uplink_lag_seconds{uplink=\"hub\"}", "1.5"),
            ("riser_configuration_refused", "0"),
        ] {
            assert_eq!(line(&text, name), format!("{name} {value}"));
        }
        assert!(line(&text, "riser_resident_bytes ").len() > "riser_resident_bytes 100000".len());
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn counters_kept_elsewhere_are_shown_too() {
        let metrics = Metrics::new("hub", "1.2.3");
        metrics.also(|| {
            vec![("closed", "reason=\"tls\"", 2), ("opened", "", 5), ("closed", "reason=\"late\"", 1)]
        });
        let text = metrics.encode();
        let expected = "# TYPE riser_closed counter\n\
                        riser_closed_total{reason=\"tls\"} 2\nriser_closed_total{reason=\"late\"} 1\n";
        assert!(text.contains(expected) && text.contains("riser_opened_total 5\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
