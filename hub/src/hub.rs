//! A hub, put together and running: log, core, listeners, links, the page, metrics.

use crate::{
    accounts::{self, Registrar},
    admin::{self, Admin},
    api::{self, Api},
    config::HubConfig,
    cookies::Cookies,
    errands::{self, Errands},
    footers::Footers,
    ldap::Ldaps,
    operators::Operators,
    page,
    sign_in::{self, SignIns, Teller},
    site::{AdminSite, HubSite},
    status::{Look, Status},
    unused::Caretaker,
    verifier::Verifier,
};
use anyhow::Context;
use axum::Router;
use riser_gate::{Directory, TokenHash};
use riser_host::{
    Audit, Host, HostHandle, InstanceMeter, KeySets, LinkSockets, Lookout, Meter, Parts, Policies,
    SignedPasswords, audit::Pace, doors::Doors, setup,
};
use riser_hub_core::{HubCore, LinkInput};
use riser_ingest::{downlinks, placing};
use riser_link::{
    Key, Receivers,
    receivers::{Config as ReceiversConfig, LIMITS, Others, cursors_max},
};
use riser_log::{archive::Archive, pasts};
use riser_model::{
    History, Now, Room,
    event::{Scope, SystemEvent},
};
use riser_mqtt::Counters as MqttCounters;
use riser_net::{
    Entrance, Listener, Origins, Proxies,
    link::{accept, serve_links},
    serve_http, serve_mqtt, serve_operations,
};
use riser_shell::{
    Clock, Health, Metrics, Passwords, Storage, config::Program, fdlimit, health::Phase, keys,
    storage::Answer, tables::Saver,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
};

/// What cookies are signed with, beside the log.
const COOKIES: &str = "cookie.key";
/// The history index, beside the log.
const HISTORY: &str = "history";
/// Link frames that wait for the core.
const LINK_INPUTS_MAX: usize = 256;
/// Beyond what connections may take, the core's own drain.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// Places for those who administer, apart from the doors': they are wanted most when it is full.
const ADMINS_MAX: usize = 64;
/// So many of them one address has at most: nobody keeps the others out.
const ADMINS_OF_ADDRESS_MAX: usize = 16;

/// Places for links, apart from the doors': neither fills the other.
const LINKS_MAX: usize = 4096;

/// What a program puts beside the hub's own pages. Only the demo does.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// More routes.
    pub routes: Router,
    /// What takes the place of the page's mark.
    pub block: String,
}

/// A running hub.
pub struct Hub {
    registrar: Registrar,
    audit: Audit,
    audited: JoinHandle<()>,
    entrance: Arc<Entrance>,
    links: Arc<Entrance>,
    handle: HostHandle<HubCore>,
    host: JoinHandle<HubCore>,
    background: JoinSet<()>,
    /// Who tells what became of those who signed in, and how it is told to come to its end.
    told: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    health: Arc<Health>,
    forked: watch::Receiver<bool>,
    /// Where it listens: the name of each listener in the configuration, and its address.
    pub addresses: Vec<(String, SocketAddr)>,
}

/// What listeners share.
struct Shared {
    status: Status,
    metrics: Arc<Metrics>,
    verifier: Arc<Verifier>,
    cookies: Option<Arc<Cookies>>,
    policies: watch::Receiver<Policies>,
    sockets: LinkSockets,
    inbox: mpsc::Sender<LinkInput>,
    extras: Option<Extras>,
}

impl Hub {
    /// Starts one. `refused` says why the last good configuration runs instead of the given one.
    pub async fn start(
        config: &HubConfig,
        refused: Option<String>,
        extras: Option<Extras>,
    ) -> anyhow::Result<Self> {
        let now = Clock.now();
        let files = fdlimit::raise().context("raise the open-file limit")?;
        if !files.covers(config.limits.connections + LINKS_MAX) {
            tracing::warn!(?files, "the open-file limit is below limits.connections");
        }
        let declared = config.directory().map_err(invalid)?;
        let mut policies = config.policies(&declared).map_err(invalid)?;
        let file = config.key_file();
        let (identity, made) = keys::load_or_create(&file)?;
        if made {
            tracing::info!(file = %file.display(), key = identity.public_text(), "made a key; edges pin it as hub_key");
        }
        let (writer, recovered) = setup::open_log(&config.data().join("log"), config.quota.log(), now)?;
        // Behind the log's lock: nobody else has this folder.
        let loaded = accounts::Loaded::open(config.data(), &config.account, config.default_account.clone());
        let (directory, damaged) = (Arc::clone(&loaded.directory), loaded.damaged);
        let operator = operator(config)?;
        let operators = Arc::new(Operators::new(operator, config.operators.iter().cloned(), &directory));
        policies.values_mut().for_each(|policy| *policy = Arc::new(policy.renewed(&directory)));
        let policies = watch::Sender::new(policies);
        let path = config.data().join(setup::RETAINED);
        let (retained, table) = setup::retained(&path, &recovered, writer.reader(), &config.limits);
        let rooms = rooms(&directory);
        let path_of_archive = config.data().join(setup::ARCHIVE);
        let quota = config.quota.archive_bytes();
        let (archive, amiss) =
            setup::open_archive(&path_of_archive, quota, &rooms, loaded.misses, &recovered, &writer.reader());
        let opened = archive.archive.as_ref();
        let mut archived = opened.map(Archive::reader);
        let past = setup::Past {
            pasts: pasts(&rooms, &writer.reader(), archived.as_mut()),
            archived: opened.map(Archive::rooms).unwrap_or_default(),
            spans: opened.map(Archive::spans).unwrap_or_default(),
        };
        let mut instance =
            setup::instance(&recovered, rooms, Vec::new(), &config.limits, retained, past, now);
        instance.know(Arc::clone(&directory));
        let receivers = Receivers::new(
            ReceiversConfig {
                key: Key::from_secret(&identity.signing().to_bytes()),
                log: recovered.log,
                chain: recovered.chain.clone(),
                limits: LIMITS,
                others: Others::All,
                cursors_max: cursors_max(config.quota.log().segment_bytes),
            },
            recovered.cursors.iter().copied(),
        );
        let gaps = recovered.gaps.iter().map(|record| record.gap).collect();
        let opened = downlinks::opened(recovered.log, &recovered.chain, &recovered.cursors, gaps);
        let metrics = Arc::new(Metrics::new("hub", env!("CARGO_PKG_VERSION")));
        metrics.configuration_refused.set(u64::from(refused.is_some()));
        metrics.archive_failing.set(u64::from(archive.archive.is_none()));
        metrics.archive_amiss.inc_by(amiss);
        let audit = Audit::open(config.data(), Arc::clone(&metrics));
        let (audited, keep_audit) = audit.gates(Pace::SERVER);
        let health = Arc::new(Health::default());
        let (entrance, inbox) = setup::entrance(&config.limits);
        let (answer, answers) = mpsc::unbounded_channel();
        let saved = answer.clone();
        let footers = Footers::open(&config.data().join(HISTORY));
        let storage = Storage::start(writer, Box::new(footers), Some(archive), move |said| {
            // The host may have ended; then nobody waits.
            let _ = answer.send(said);
        })
        .context("start the log's threads")?;
        let saver = Saver::start(path, table, move |changes| {
            let _ = saved.send(Answer::Saved { changes });
        })
        .context("start the thread that saves what channels retain")?;
        let (link_sender, link_inputs) = mpsc::channel(LINK_INPUTS_MAX);
        let (fork_sender, forked) = watch::channel(false);
        let cookies = config.login.as_ref().map(|login| {
            let path = config.data().join(COOKIES);
            Cookies::open(&path, login.lasts.0, Clock.now().wall)
                .with_context(|| format!("open {}", path.display()))
        });
        let cookies = cookies.transpose()?.map(Arc::new);
        let passwords = Passwords::new(config.limits.password_verifiers);
        let key_sets = Arc::new(KeySets::default());
        metrics.also({
            let key_sets = Arc::clone(&key_sets);
            move || key_sets.each().to_vec()
        });
        let ldaps = Arc::new(Ldaps::default());
        metrics.also({
            let ldaps = Arc::clone(&ldaps);
            move || ldaps.each().to_vec()
        });
        let shared = Shared {
            status: Status::default(),
            metrics,
            verifier: Arc::new(Verifier::new(
                riser_host::Verifier::new(
                    passwords,
                    Arc::clone(&key_sets),
                    Some(Arc::new(SignedPasswords::open(config.data(), Clock.now()))),
                ),
                cookies.clone(),
                Arc::clone(&ldaps),
            )),
            cookies,
            policies: policies.subscribe(),
            sockets: LinkSockets::new(fork_sender),
            inbox: link_sender,
            extras,
        };
        let (run, wanted) = mpsc::channel(errands::WAITING_MAX);
        let (host, handle) = Host::new(Parts {
            core: HubCore::new(instance, receivers, directory, &opened, now),
            inbox,
            policies,
            storage,
            retained: saver,
            answers,
            link_inputs,
            links: shared.sockets.clone(),
            verifier: Arc::<Verifier>::clone(&shared.verifier),
            errands: run,
            watch: Meter {
                metrics: Arc::clone(&shared.metrics),
                health: Arc::clone(&health),
                audit: Some(audited),
            },
            identity: identity.public_text().into(),
            clock: Clock,
        });
        let registrar = Registrar::new(loaded, handle.clone(), Arc::clone(&shared.metrics), audit.clone());
        let mut hub = Self {
            registrar,
            audit,
            audited: tokio::spawn(keep_audit),
            host: tokio::spawn(host.run()),
            links: entrance.apart(LINKS_MAX),
            entrance,
            handle,
            background: JoinSet::new(),
            told: None,
            health,
            forked,
            addresses: Vec::new(),
        };
        let (audit, known) = (hub.audit.clone(), Arc::clone(&operators));
        let errands = Errands::new(hub.registrar.clone(), hub.handle.clone(), audit, known);
        hub.background.spawn(errands.keep(wanted));
        if config.clients.unused.ms() > 0 {
            let (registrar, core) = (hub.registrar.clone(), hub.handle.clone());
            let (unused, metrics) = (config.clients.unused.0, Arc::clone(&shared.metrics));
            let caretaker = Caretaker::open(config.data(), unused, registrar, core, metrics);
            hub.background.spawn(caretaker.keep());
        } else {
            Caretaker::forget(config.data());
        }
        let lookout = Arc::new(Lookout::new(
            hub.handle.clone(),
            Look::at,
            {
                let mut rooms = InstanceMeter::default();
                let (metrics, status) = (Arc::clone(&shared.metrics), shared.status.clone());
                move |look: Look| {
                    look.meter(&metrics, &mut rooms);
                    status.set(look);
                }
            },
            Arc::clone(&shared.metrics),
            Arc::clone(&hub.health),
        ));
        hub.listen(config, &shared, &lookout, (operator, operators))?;
        hub.background.spawn(lookout.keep(async move |by_ms| {
            // A core that has ended needs no news.
            let _ = shared.inbox.send(LinkInput::ClockStepped(by_ms)).await;
        }));
        hub.health.enter(Phase::Serving);
        if let Some(reason) = refused {
            tracing::error!(reason, "the configuration was refused; the last good one runs");
            hub.say(SystemEvent::ConfigurationRefused).await;
        }
        if let Some(lost) = damaged {
            hub.say(SystemEvent::AccountsDamaged { lost }).await;
        }
        if amiss > 0 {
            hub.say(SystemEvent::ArchiveDamaged { files: amiss }).await;
        }
        for (name, address) in &hub.addresses {
            tracing::info!(listener = name, %address, "listening");
        }
        Ok(hub)
    }

    fn listen(
        &mut self,
        config: &HubConfig,
        shared: &Shared,
        lookout: &Arc<Lookout<HubCore, Look>>,
        (operator, operators): (Option<TokenHash>, Arc<Operators>),
    ) -> anyhow::Result<()> {
        let tls = config.tls.as_ref();
        let mqtt_counters = Arc::new(MqttCounters::default());
        let sign_ins = Arc::new(SignIns::default());
        let (teller, told) = Teller::new(Arc::clone(&sign_ins));
        let (stop, stops) = oneshot::channel();
        let core = self.handle.clone();
        let keep = told.keep(async move |said| sign_in::teller::say(&core, said).await, stops);
        self.told = Some((stop, tokio::spawn(keep)));
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
        let pace = Arc::<admin::Pace>::default();
        for (name, listener) in config.listen.http.named("http") {
            let bound = Listener::bind(
                name.as_str(),
                listener.address,
                setup::acceptor(&listener.tls, tls, listener.client_ca.as_deref())?,
            )?;
            let origins = Arc::new(Origins::new(&listener.origins)?);
            let api = self.api(name.as_str(), shared, &origins);
            let admin = Admin {
                registrar: self.registrar.clone(),
                audit: self.audit.clone(),
                api: api.clone(),
                token: None,
                operators: Arc::clone(&operators),
                pace: Arc::clone(&pace),
            };
            let mut routes = api::routes(api.clone());
            routes = routes.nest("/api/admin", admin::routes::for_pages(admin));
            if let Some(cookies) = &shared.cookies {
                routes = routes.merge(sign_in::routes(
                    api,
                    self.registrar.clone(),
                    Arc::clone(cookies),
                    (Arc::clone(&sign_ins), teller.clone()),
                ));
            }
            match &shared.extras {
                Some(extras) => {
                    routes =
                        routes.merge(page::routes(Some(extras.block.clone()))).merge(extras.routes.clone())
                }
                None => routes = routes.merge(page::routes(None)),
            }
            self.addresses.push((name, bound.address()?));
            let site = HubSite {
                doors: Doors::new(
                    (listener.anonymous.is_some(), listener.client_ca.is_some()),
                    &listener.terms,
                    &config.limits,
                    Arc::clone(&mqtt_counters),
                ),
                origins,
                proxies: Proxies::new(listener.proxies.clone()),
                takes_cookies: shared.cookies.is_some(),
                routes,
            };
            self.background.spawn(serve_http(bound, Arc::clone(&self.entrance), Arc::new(site)));
        }
        for (name, listener) in config.listen.link.named("link") {
            let bound =
                Listener::bind(name.as_str(), listener.address, setup::acceptor(&listener.tls, tls, None)?)?;
            accept::check(&bound, listener.insecure)?;
            self.addresses.push((name, bound.address()?));
            let (entrance, insecure) = (Arc::clone(&self.links), listener.insecure);
            let taker = shared.sockets.taker(shared.inbox.clone(), LinkInput::Below);
            self.background.spawn(async move {
                if let Err(error) = serve_links(bound, entrance, insecure, taker).await {
                    tracing::error!(%error, "no links are taken");
                }
            });
        }
        self.listen_admin(config, shared, (operator, operators))?;
        shared.metrics.also({
            let counters = Arc::clone(self.entrance.counters());
            move || counters.each().collect()
        });
        shared.metrics.also(move || sign_ins.each().collect());
        shared.metrics.also(move || mqtt_counters.each().map(|(name, count)| (name, "", count)).collect());
        for (name, listener) in config.listen.operations.named("operations") {
            let bound = Listener::bind(name.as_str(), listener.address, None)?;
            self.addresses.push((name, bound.address()?));
            let (operations, entrance) = (lookout.operations(), Arc::clone(&self.entrance));
            self.background.spawn(async move { serve_operations(bound, &entrance, operations).await });
        }
        Ok(())
    }

    fn listen_admin(
        &mut self,
        config: &HubConfig,
        shared: &Shared,
        (operator, operators): (Option<TokenHash>, Arc<Operators>),
    ) -> anyhow::Result<()> {
        let listeners = config.listen.admin.named("admin");
        let Some(operator) = operator else { return Ok(()) };
        let entrance = self.entrance.apart_in_shares(ADMINS_MAX, ADMINS_OF_ADDRESS_MAX);
        for (name, listener) in listeners {
            let acceptor = setup::acceptor(&listener.tls, config.tls.as_ref(), None)?;
            let bound = Listener::bind(name.as_str(), listener.address, acceptor)?;
            self.addresses.push((name.clone(), bound.address()?));
            let origins = Arc::new(Origins::new::<String>([])?);
            let admin = Admin {
                registrar: self.registrar.clone(),
                audit: self.audit.clone(),
                api: self.api(name.as_str(), shared, &origins),
                token: Some(operator),
                operators: Arc::clone(&operators),
                pace: Arc::default(),
            };
            let site = AdminSite { origins, routes: admin::routes::routes(admin) };
            self.background.spawn(serve_http(bound, Arc::clone(&entrance), Arc::new(site)));
        }
        Ok(())
    }

    fn api(&self, listener: &str, shared: &Shared, origins: &Arc<Origins>) -> Api {
        Api {
            status: shared.status.clone(),
            policies: shared.policies.clone(),
            listener: listener.into(),
            verifier: Arc::clone(&shared.verifier),
            origins: Arc::clone(origins),
            core: self.handle.clone(),
        }
    }

    /// Who looks for clients that are not used, to be asked by hand.
    #[cfg(test)]
    pub(crate) fn caretaker(&self, folder: &std::path::Path, lasts: Duration) -> Caretaker {
        let metrics = Arc::new(Metrics::new("hub", "0"));
        Caretaker::open(folder, lasts, self.registrar.clone(), self.handle.clone(), metrics)
    }

    /// The address of the first listener of that kind (`mqtt`, `http`, `link`, `operations`).
    pub fn address(&self, kind: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| name.contains(kind)).map(|(_, address)| *address)
    }

    /// Waits until an edge says that this log's epoch is not the one it knows: then the log has to be opened anew.
    pub async fn forked(&mut self) {
        // Its sender lives in the host, which ends only when it is told to.
        if self.forked.wait_for(|forked| *forked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes nothing more, finishes what was begun, tells everybody goodbye, and says where it stopped.
    pub async fn stop(mut self) {
        self.health.enter(Phase::Stopping);
        if let Some((stop, told)) = self.told.take() {
            // One that has ended has told it all.
            let _ = stop.send(());
            if tokio::time::timeout(STOP_WITHIN, told).await.is_err() {
                tracing::warn!("not everybody was told of the last sign-ins; they are in the audit log");
            }
        }
        let say = |core: &mut HubCore, now: Now| {
            let queued = core.edges().map(|edge| edge.backlog()).sum();
            core.say(Scope::Instance, SystemEvent::Shutdown { queued }, now);
        };
        self.handle.farewell(say, |core| core.instance().bus().is_heard()).await;
        self.registrar.stop().await;
        self.entrance.stop();
        self.links.stop();
        self.handle.shut_down();
        match tokio::time::timeout(STOP_WITHIN, &mut self.host).await {
            Ok(Ok(core)) => {
                tracing::info!(
                    last = core.instance().bus().committed().0,
                    "stopped; everything up to here is on disk"
                );
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
        let _ = self.handle.ask(move |core, now| core.say(Scope::Instance, event, now)).await;
    }
}

/// The configured rooms, and a quarantine for every account.
pub(crate) fn rooms(directory: &Directory) -> Vec<Room> {
    let quarantine = |(name, id): (&riser_model::AccountName, riser_model::AccountId)| Room {
        id: placing::quarantine(id),
        account: id,
        account_name: name.clone(),
        name: placing::quarantine_name(),
        kind: Default::default(),
        ready: Vec::new(),
        history: History::Log,
        retention: Default::default(),
        archive: false,
        quota: Default::default(),
        linked: false,
        down: false,
        schema: None,
    };
    // Nothing carries them further from here.
    let mut rooms: Vec<Room> =
        directory.rooms().iter().map(|room| Room { linked: false, ..room.clone() }).collect();
    for room in directory.accounts().map(quarantine) {
        if !rooms.iter().any(|known| known.id == room.id) {
            rooms.push(room);
        }
    }
    rooms
}

fn invalid(wrong: Vec<riser_gate::Invalid>) -> anyhow::Error {
    let all: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    anyhow::anyhow!(all.join("\n"))
}

/// What whoever operates this hub shows: it is made with the first admin interface, and there is none without one.
fn operator(config: &HubConfig) -> anyhow::Result<Option<TokenHash>> {
    if config.listen.admin.named("admin").next().is_none() {
        return Ok(None);
    }
    let file = config.token_file();
    let (token, made) = keys::load_or_create(&file).context("make the operator's token")?;
    if made {
        tracing::info!(file = %file.display(), "made the operator's token");
    }
    Ok(Some(TokenHash::of(token.private_text().as_bytes())))
}
