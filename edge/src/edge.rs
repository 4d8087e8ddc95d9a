//! An edge, put together and running: log, core, listeners, uplinks, metrics.

use crate::{
    config::EdgeConfig,
    former::{Moved, met},
    reload::Reloading,
    site::EdgeSite,
    sources::{Receipt, Sources},
    status::{Look, Status},
    uplinks::{Route, Uplinks},
    vouched::Vouched,
};
use anyhow::Context;
use riser_edge_core::{Downlink, EdgeCore, LinkInput, Uplink};
use riser_gate::Directory;
use riser_host::{
    Audit, Host, HostHandle, InstanceMeter, KeySets, LinkSockets, Lookout, Meter, Parts, SignedPasswords,
    Verifier, audit::Pace, doors::Doors, setup,
};
use riser_ingest::{Below, downlinks};
use riser_instance::{Instance, LogFold};
use riser_link::{
    Key, Receivers, Sender,
    receivers::{Config as ReceiversConfig, Input as ReceiversInput, Others, cursors_max, relay_limits},
    sender::{Config as SenderConfig, Opened, Way},
};
use riser_log::Recovered;
use riser_log::pasts;
use riser_model::{
    AccountId, AccountName, ClientId, CursorKey, History, Now, PublicKey, Room, RoomId, event::SystemEvent,
    room::QUARANTINE,
};
use riser_mqtt::Counters as MqttCounters;
use riser_net::{
    Entrance, Listener, Origins, Proxies,
    link::{accept, serve_links},
    serve_http, serve_mqtt, serve_operations,
};
use riser_shell::{
    Clock, Health, Loaded, Metrics, Passwords, Storage,
    clock::boot_id,
    config::{ConfigError, Program, UplinkConfig},
    entropy, fdlimit,
    health::Phase,
    keys,
    storage::Answer,
    tables::Saver,
};
use riser_wire::link::{Above, Opening};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::AsyncRead,
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};

/// Link frames that wait for the core.
const LINK_INPUTS_MAX: usize = 64;
/// Places for links from below, apart from the doors': neither fills the other.
const LINKS_MAX: usize = 256;
/// Beyond what connections may take, the core's own drain.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// A running edge.
pub struct Edge {
    entrance: Arc<Entrance>,
    links: Arc<Entrance>,
    sources: Sources,
    reloading: Reloading,
    handle: HostHandle<EdgeCore>,
    host: JoinHandle<EdgeCore>,
    background: JoinSet<()>,
    audited: JoinHandle<()>,
    health: Arc<Health>,
    forked: watch::Receiver<bool>,
    /// Where it listens: the name of each listener in the configuration, and its address.
    pub addresses: Vec<(String, SocketAddr)>,
}

impl Edge {
    /// Starts one. `refused` says why the last good configuration runs instead of the given one.
    pub async fn start(config: &EdgeConfig, refused: Option<String>) -> anyhow::Result<Self> {
        let now = Clock.now();
        let files = fdlimit::raise().context("raise the open-file limit")?;
        if !files.covers(config.limits.connections) {
            tracing::warn!(?files, "the open-file limit is below limits.connections");
        }
        let directory = config.directory().map_err(invalid)?;
        let mut policies = config.policies(&directory).map_err(invalid)?;
        let vouched = Vouched::open(config, now);
        // What was given up may be what something here goes by: that is no reason not to start.
        let directory = vouched.as_ref().and_then(Vouched::directory).unwrap_or(directory);
        policies.values_mut().for_each(|policy| *policy = Arc::new(policy.renewed(&directory)));
        let mut log_config = config.quota.log();
        // Until its hub has been met an uplink has no cursor, and everything is its due.
        log_config.holds.custodians = config.uplink.len();
        log_config.holds.downlinks_as_views = true;
        let segment_bytes = log_config.segment_bytes;
        let (writer, recovered) = setup::open_log(&config.data().join("log"), log_config, now)?;
        let path = config.data().join(setup::RETAINED);
        let (retained, table) = setup::retained(&path, &recovered, writer.reader(), &config.limits);
        let (rooms, bindings) = (rooms(&directory), config.bindings());
        let past = setup::Past { pasts: pasts(&rooms, &writer.reader(), None), ..setup::Past::default() };
        let linked: BTreeSet<RoomId> = rooms.iter().filter(|room| room.linked).map(|room| room.id).collect();
        let mut instance = setup::instance(&recovered, rooms, bindings, &config.limits, retained, past, now);
        instance.know(Arc::clone(&directory));
        let metrics = Arc::new(Metrics::new("edge", env!("CARGO_PKG_VERSION")));
        metrics.configuration_refused.set(u64::from(refused.is_some()));
        let health = Arc::new(Health::default());
        let (entrance, inbox) = setup::entrance(&config.limits);
        let configured = config.uplink.iter().map(|uplink| uplink.hub_key.0).collect();
        let moved = Moved::of(&recovered.cursors, &configured);
        moved.say(recovered.next.prev());
        let mut routes = Vec::new();
        let mut uplinks = Vec::new();
        for (index, uplink) in config.uplink.iter().enumerate() {
            let only = config.uplink.len() == 1;
            let log = (&recovered, &moved, segment_bytes);
            let (sender, downlink) = ends(uplink, config.data(), log, only, now)?;
            let uplinked = Uplink::new(uplink.name(index), sender, downlink, linked.clone());
            uplinks.push(uplinked.asking(vouched.as_ref().map(Vouched::ask_every)));
            let route = Route::new(uplink, uplink.name(index).to_string(), Arc::clone(&metrics));
            routes.push(route.with_context(|| format!("set up uplink {}", uplink.name(index)))?);
        }
        let below = below(config, &directory, (&recovered, segment_bytes), &mut instance, now)?;
        moved.save(&mut instance, now);
        let (link_sender, link_inputs) = mpsc::channel(LINK_INPUTS_MAX);
        let (fork_sender, forked) = watch::channel(false);
        let (answer, answers) = mpsc::unbounded_channel();
        let saved = answer.clone();
        let storage = Storage::start(writer, Box::new(()), None, move |said| {
            // The host may have ended; then nobody waits.
            let _ = answer.send(said);
        })
        .context("start the log's threads")?;
        let saver = Saver::start(path, table, move |changes| {
            let _ = saved.send(Answer::Saved { changes });
        })
        .context("start the thread that saves what channels retain")?;
        let (given_up, said) = mpsc::unbounded_channel();
        let counters = Arc::clone(entrance.counters());
        let sockets = LinkSockets::new(fork_sender.clone());
        let audit = Audit::open(config.data(), Arc::clone(&metrics));
        let (audited, keep_audit) = audit.gates(Pace::SMALL);
        let key_sets = Arc::new(KeySets::default());
        {
            let key_sets = Arc::clone(&key_sets);
            metrics.also(move || key_sets.each().to_vec());
        }
        let (host, handle) = Host::new(Parts {
            core: EdgeCore::new(instance, uplinks, below).moved_from(moved.former),
            inbox,
            policies: watch::Sender::new(policies),
            storage,
            retained: saver,
            answers,
            link_inputs,
            links: Uplinks::new(
                routes,
                link_sender.clone(),
                counters,
                fork_sender,
                sockets.clone(),
                given_up,
            ),
            verifier: Arc::new(Verifier::new(
                Passwords::new(config.limits.password_verifiers),
                Arc::clone(&key_sets),
                Some(Arc::new(SignedPasswords::open(config.data(), Clock.now()))),
            )),
            // An edge's accounts change with its file only: nobody takes errands.
            errands: mpsc::channel(1).0,
            watch: Meter { metrics: Arc::clone(&metrics), health: Arc::clone(&health), audit: Some(audited) },
            identity: keys::load_or_create(&config.key_file())?.0.public_text().into(),
            clock: Clock,
        });
        let status = Status::default();
        let (declared, files) = mpsc::channel(1);
        let reloading = Reloading {
            handle: handle.clone(),
            vouched: vouched.is_some().then_some(declared),
            rooms: self::rooms,
            linked: BTreeMap::new(),
            audit,
            metrics: Arc::clone(&metrics),
        };
        let mut edge = Self {
            reloading,
            host: tokio::spawn(host.run()),
            sources: Sources::new(config, &entrance, &metrics),
            links: entrance.apart(LINKS_MAX),
            entrance,
            handle,
            background: JoinSet::new(),
            audited: tokio::spawn(keep_audit),
            health,
            forked,
            addresses: Vec::new(),
        };
        let lookout = Arc::new(Lookout::new(
            edge.handle.clone(),
            Look::at,
            {
                let (mut rooms, metrics, status) =
                    (InstanceMeter::default(), Arc::clone(&metrics), status.clone());
                move |look: Look| {
                    look.meter(&metrics, &mut rooms);
                    status.set(look);
                }
            },
            Arc::clone(&metrics),
            Arc::clone(&edge.health),
        ));
        edge.listen(config, &status, &metrics, &lookout)?;
        for (name, listener) in config.listen.link.named("link") {
            let tls = setup::acceptor(&listener.tls, config.tls.as_ref(), None)?;
            let bound = Listener::bind(name.as_str(), listener.address, tls)?;
            accept::check(&bound, listener.insecure)?;
            edge.addresses.push((name, bound.address()?));
            let (entrance, insecure) = (Arc::clone(&edge.links), listener.insecure);
            let taker = sockets.taker(link_sender.clone(), LinkInput::Below);
            edge.background.spawn(async move {
                if let Err(error) = serve_links(bound, entrance, insecure, taker).await {
                    tracing::error!(%error, "no links are taken");
                }
            });
        }
        edge.sources.read_brokers(&mut edge.background);
        if let Some(vouched) = vouched {
            let (handle, metrics) = (edge.handle.clone(), Arc::clone(&metrics));
            edge.background.spawn(vouched.keep(said, files, handle, self::rooms, metrics));
        }
        edge.background.spawn(lookout.keep(async move |by_ms| {
            // A core that has ended needs no news.
            let _ = link_sender.send(LinkInput::ClockStepped(by_ms)).await;
        }));
        edge.health.enter(Phase::Serving);
        if let Some(reason) = refused {
            tracing::error!(reason, "the configuration was refused; the last good one runs");
            edge.say(SystemEvent::ConfigurationRefused).await;
        }
        for (name, address) in &edge.addresses {
            tracing::info!(listener = name, %address, "listening");
        }
        Ok(edge)
    }

    fn listen(
        &mut self,
        config: &EdgeConfig,
        status: &Status,
        metrics: &Arc<Metrics>,
        lookout: &Arc<Lookout<EdgeCore, Look>>,
    ) -> anyhow::Result<()> {
        let tls = config.tls.as_ref();
        let mqtt_counters = Arc::new(MqttCounters::default());
        for (name, listener) in config.listen.mqtt.named("mqtt") {
            let bound = Listener::bind(
                name.as_str(),
                listener.address,
                setup::acceptor(&listener.tls, tls, listener.client_ca.as_deref())?,
            )?;
            self.addresses.push((name, bound.address()?));
            let doors = Doors::new(
                (listener.anonymous.is_some(), listener.client_ca.is_some()),
                &listener.terms,
                &config.limits,
                Arc::clone(&mqtt_counters),
            )
            .of_mqtt();
            self.background.spawn(serve_mqtt(bound, Arc::clone(&self.entrance), doors));
        }
        for (name, listener) in config.listen.http.named("http") {
            let bound = Listener::bind(
                name.as_str(),
                listener.address,
                setup::acceptor(&listener.tls, tls, listener.client_ca.as_deref())?,
            )?;
            self.addresses.push((name, bound.address()?));
            let site = EdgeSite {
                doors: Doors::new(
                    (listener.anonymous.is_some(), listener.client_ca.is_some()),
                    &listener.terms,
                    &config.limits,
                    Arc::clone(&mqtt_counters),
                ),
                origins: Origins::new(&listener.origins)?,
                proxies: Proxies::new(listener.proxies.clone()),
            };
            self.background.spawn(serve_http(bound, Arc::clone(&self.entrance), Arc::new(site)));
        }
        metrics.also({
            let counters = Arc::clone(self.entrance.counters());
            move || counters.each().collect()
        });
        metrics.also(move || mqtt_counters.each().map(|(name, count)| (name, "", count)).collect());
        for (name, listener) in config.listen.operations.named("operations") {
            let bound = Listener::bind(name.as_str(), listener.address, None)?;
            self.addresses.push((name, bound.address()?));
            let (status, entrance) = (status.clone(), Arc::clone(&self.entrance));
            let mut operations = lookout.operations();
            operations.status = Some(Arc::new({
                let entrance = Arc::clone(&entrance);
                move || status.json(entrance.open()).to_string()
            }));
            self.background.spawn(async move { serve_operations(bound, &entrance, operations).await });
        }
        Ok(())
    }

    /// The address of the first listener of that kind (`mqtt`, `http`, `link`, `operations`).
    pub fn address(&self, kind: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| name.contains(kind)).map(|(_, address)| *address)
    }

    /// Publishes each line of an input, to its end or until the edge takes nothing more. None where no source is
    /// configured for it.
    pub async fn read_lines(&self, input: impl AsyncRead + Unpin) -> Option<Receipt> {
        self.sources.read_lines(input).await
    }

    /// Reads no more from any source; what was read is finished.
    pub fn stop_sources(&self) {
        self.sources.stop();
    }

    /// Takes the accounts of a configuration that was read again, if all of it is sound: then that is part of what runs. It is
    /// so on every connection when this returns.
    pub async fn reload(
        &mut self,
        running: &mut Loaded<EdgeConfig>,
        said: Result<Loaded<EdgeConfig>, ConfigError>,
    ) {
        self.reloading.reload(running, said).await;
    }

    /// Waits until a hub says that this log's epoch is not the one it knows: then the log has to be opened anew.
    pub async fn forked(&mut self) {
        // The sender lives in the host, which ends only when it is told to.
        if self.forked.wait_for(|forked| *forked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes nothing more, finishes what was begun, tells the hub goodbye, and says where it stopped.
    pub async fn stop(mut self) {
        self.health.enter(Phase::Stopping);
        let say = |core: &mut EdgeCore, now: Now| {
            let queued = core.uplinks().map(|(_, uplink)| uplink.sender.status(now).lag()).sum();
            core.say(SystemEvent::Shutdown { queued }, now);
        };
        self.handle.farewell(say, |core| core.instance().bus().is_heard()).await;
        self.entrance.stop();
        self.links.stop();
        self.sources.stop();
        self.handle.shut_down();
        match tokio::time::timeout(STOP_WITHIN, &mut self.host).await {
            Ok(Ok(core)) => {
                for (_, uplink) in core.uplinks() {
                    let status = uplink.sender.status(Clock.now());
                    tracing::info!(
                        uplink = %uplink.name,
                        last_added = status.last_added.0,
                        last_synced = status.last_synced.0,
                        queued = status.lag(),
                        "stopped"
                    );
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "the core's task panicked"),
            Err(_) => tracing::warn!("not everything was finished in time; what was acknowledged is on disk"),
        }
        // The host had the other end: what it said is written down, then this ends.
        if tokio::time::timeout(STOP_WITHIN, &mut self.audited).await.is_err() {
            tracing::warn!("the audit log was not finished in time");
        }
    }

    async fn say(&self, event: SystemEvent) {
        // A host that has ended has nobody to tell.
        let _ = self.handle.ask(move |core, now| core.say(event, now)).await;
    }
}

/// What is wrong with accounts, a line each.
pub(crate) fn invalid(wrong: Vec<riser_gate::Invalid>) -> anyhow::Error {
    let all: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    anyhow::anyhow!(all.join("\n"))
}

/// The ends of one uplink over the log as it was opened: what sends up, and what takes what comes down.
fn ends(
    config: &UplinkConfig,
    data: &Path,
    (recovered, moved, segment_bytes): (&Recovered<LogFold>, &Moved, u64),
    only_uplink: bool,
    now: Now,
) -> anyhow::Result<(Sender, Downlink)> {
    let file = config.key_file(data);
    let (identity, made) = keys::load_or_create(&file)?;
    if made {
        tracing::info!(file = %file.display(), key = identity.public_text(), "made a key; register it at the hub");
    }
    let opened = Opened {
        log: recovered.log,
        boot: boot_id().context("read the boot's id")?,
        chain: recovered
            .chain
            .iter()
            // An anchor does not say whose clock it is by: with several hubs it may be another's.
            .map(|span| {
                let anchor = recovered.fold.anchors.of(*span).filter(|_| only_uplink);
                Opening { span: *span, anchor }
            })
            .collect(),
        cursors: moved.cursors.clone(),
        gaps: recovered.gaps.iter().map(|record| record.gap).collect(),
    };
    let (key, hub) = (Key::from_secret(&identity.signing().to_bytes()), config.hub_key.0);
    let log = (recovered.log, segment_bytes);
    let receivers = Receivers::of_downlink(key.clone(), log, hub, recovered.cursors.iter().copied());
    let downlink = Downlink::new(receivers, hub, config.client);
    let way = Way::Up { key, hub };
    let waits = config.wait_for_former;
    let config = SenderConfig { edge: config.client, way, seed: entropy::number(), waits };
    Ok((Sender::new(config, opened, now), downlink))
}

/// The edges below, over the log as it was opened: those of the directory, where there is a listener for them.
fn below(
    config: &EdgeConfig,
    directory: &Arc<Directory>,
    (recovered, segment_bytes): (&Recovered<LogFold>, u64),
    instance: &mut Instance,
    now: Now,
) -> anyhow::Result<Below> {
    let listens = config.listen.link.named("link").next().is_some();
    let directory =
        if listens { Arc::clone(directory) } else { Arc::new(Directory::compile(&[]).map_err(invalid)?) };
    let (identity, made) = keys::load_or_create(&config.key_file())?;
    if made && listens {
        let file = config.key_file();
        tracing::info!(file = %file.display(), key = identity.public_text(), "made a key; edges below pin it as hub_key");
    }
    let configured = config.uplink.iter().map(|uplink| uplink.hub_key.0);
    // What came down from a hub, one of now or of before, is not from below.
    let hubs: BTreeSet<ClientId> = configured.chain(met(&recovered.cursors)).map(PublicKey::client).collect();
    let from_below = |key: &CursorKey| match key {
        CursorKey::Ingest(client, ..) => !hubs.contains(client),
        CursorKey::Relayed(..) => true,
        CursorKey::Uplink(_) | CursorKey::Downlink(_) | CursorKey::Former(_) => false,
    };
    let mut receivers = Receivers::new(
        ReceiversConfig {
            key: Key::from_secret(&identity.signing().to_bytes()),
            log: recovered.log,
            chain: recovered.chain.clone(),
            limits: relay_limits(segment_bytes),
            // With an uplink or without: one may come, and is to be told what became of every seq.
            others: Others::Relayed,
            cursors_max: cursors_max(segment_bytes),
        },
        recovered.cursors.iter().copied().filter(|(key, _)| from_below(key)),
    );
    if !config.uplink.is_empty() {
        // Somebody is above, though none of them has said yet who.
        receivers.handle(ReceiversInput::Above(Above { hops: 1, logs: Vec::new() }), now);
    }
    let gaps = recovered.gaps.iter().map(|record| record.gap).collect();
    let opened = downlinks::opened(recovered.log, &recovered.chain, &recovered.cursors, gaps);
    let mut below = Below::new(receivers, directory, &opened, instance, now);
    // It knows by its hubs' word only, and when it has heard it.
    below.speak_for(BTreeSet::new());
    Ok(if listens { below } else { below.closed() })
}

/// The configured rooms, and a quarantine for every account, which goes up to the hub's.
fn rooms(directory: &Directory) -> Vec<Room> {
    let quarantine = |(name, id): (&AccountName, AccountId)| Room {
        id: RoomId::of(id, QUARANTINE),
        account: id,
        account_name: name.clone(),
        name: QUARANTINE.parse().expect("lower-case letters are a name"),
        kind: Default::default(),
        ready: Vec::new(),
        history: History::Log,
        retention: Default::default(),
        archive: false,
        quota: Default::default(),
        linked: true,
        down: false,
        schema: None,
    };
    let mut rooms = directory.rooms().to_vec();
    for room in directory.accounts().map(quarantine) {
        if !rooms.iter().any(|known| known.id == room.id) {
            rooms.push(room);
        }
    }
    rooms
}
