//! The edge's configuration, composed of what its parts bring.

mod source;

pub use source::{BrokerConfig, BrokerUrl, ClientIdText, SourceConfig, TopicFilter};

use riser_gate::{AccountConfig, Directory, Invalid, Policy, Words, config::RoomConfig};
use riser_log::OnFull;
use riser_model::{AccountName, Binding, RoomName};
use riser_shell::{
    config::{
        BindingConfig, ByteSize, Duration, HttpListener, LimitsConfig, LinkListener, Listeners, MqttListener,
        OperationsListener, Program, TlsFiles, UplinkConfig, listen,
    },
    keys,
    log::LogConfig,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where an edge's metrics are unless it says otherwise.
pub const OPERATIONS_PORT: u16 = 9421;
/// The shortest file of the log: a quarter of it takes whatever is committed at once.
const SEGMENT_MIN: ByteSize = ByteSize::mib(2);
/// The same for an edge that takes links: a sixteenth of it takes the largest publication.
const RELAY_SEGMENT_MIN: ByteSize = ByteSize::mib(8);

/// `edge.toml`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeConfig {
    /// The folder that holds everything this edge keeps. One process at a time.
    pub data: PathBuf,
    /// The file with the key that edges below know this one by; `edge.key` in the data folder unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// What it says on standard error.
    pub log: LogConfig,
    /// Which doors are open.
    pub listen: EdgeListen,
    /// The certificate of listeners with `tls = true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// How much its log may take, and what it does then.
    pub quota: EdgeQuota,
    /// How much peers may cost.
    pub limits: LimitsConfig,
    /// What the chat bot on the front socket says.
    pub tty: Words,
    /// The hubs that it delivers to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uplink: Vec<UplinkConfig>,
    /// What devices' topics mean; the first that matches wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub binding: Vec<BindingConfig>,
    /// Where messages come from besides the listeners.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<SourceConfig>,
    /// Accounts whose credentials hold by the hub's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vouched: Option<VouchedConfig>,
    /// Whose names need no account before them, by name or UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_account: Option<AccountName>,
    /// Who may enter, and which rooms there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub account: Vec<AccountConfig>,
}

/// `[listen]`: what is not listed is closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeListen {
    /// MQTT 3.1.1 and 5.
    pub mqtt: Listeners<MqttListener>,
    /// HTTP and WebSocket.
    pub http: Listeners<HttpListener>,
    /// Edges below this one.
    pub link: Listeners<LinkListener>,
    /// Metrics and health.
    pub operations: Listeners<OperationsListener>,
}

/// `[vouched]`: what the hub of these accounts gave up, by a change there, lets nobody in here either.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VouchedConfig {
    /// Which, by name.
    pub accounts: Vec<AccountName>,
    /// Where the hub was not heard for so long, nobody is let in by a credential of theirs.
    pub grant_max_age: Duration,
}

impl Default for VouchedConfig {
    fn default() -> Self {
        Self { accounts: Vec::new(), grant_max_age: Duration::seconds(24 * 3600) }
    }
}

impl VouchedConfig {
    fn check(&self, config: &EdgeConfig) -> Option<Invalid> {
        let is_there = |name: &&AccountName| config.account.iter().any(|account| account.name == **name);
        if let Some(name) = self.accounts.iter().find(|name| !is_there(name)) {
            let what = format!("no account {name}");
            return Some(Invalid::new("vouched.accounts", what, "the names of accounts of this file"));
        }
        let want = "an [[uplink]] to the hub of these accounts";
        config.uplink.is_empty().then(|| Invalid::new("vouched", "there is nobody to hear", want))
    }
}

/// `[quota]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeQuota {
    /// The most that the log takes on disk, spares included.
    pub bytes: ByteSize,
    /// What a log does that is full of what no hub has confirmed.
    pub policy: FullPolicy,
    /// The length of one of its files.
    pub segment: ByteSize,
}

/// What happens to publications when the log is full of what is not delivered yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FullPolicy {
    /// New ones are refused; those who sent them are told.
    #[default]
    Reject,
    /// The oldest go, and a gap with the cause `quota` says which.
    DropOldest,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            data: Self::standard_data(),
            key: None,
            log: LogConfig::default(),
            listen: EdgeListen::default(),
            tls: None,
            quota: EdgeQuota::default(),
            limits: LimitsConfig::default(),
            tty: Words::default(),
            uplink: vec![],
            binding: vec![],
            source: vec![],
            vouched: None,
            default_account: None,
            account: vec![],
        }
    }
}

impl Default for EdgeListen {
    fn default() -> Self {
        let operations = SocketAddr::from((Ipv4Addr::LOCALHOST, OPERATIONS_PORT));
        Self {
            mqtt: Listeners::default(),
            http: Listeners::default(),
            link: Listeners::default(),
            operations: operations.into(),
        }
    }
}

impl Default for EdgeQuota {
    fn default() -> Self {
        Self { bytes: ByteSize::gib(1), policy: FullPolicy::Reject, segment: ByteSize::mib(8) }
    }
}

impl EdgeQuota {
    /// The bounds of the log.
    pub fn log(&self) -> riser_log::Config {
        let standard = riser_log::Config::edge();
        riser_log::Config {
            segment_bytes: self.segment.0,
            quota_bytes: self.bytes.0,
            on_full: match self.policy {
                FullPolicy::Reject => OnFull::Reject,
                FullPolicy::DropOldest => OnFull::DropOldest,
            },
            view_bytes_max: standard.view_bytes_max.min(self.bytes.0 / 4),
            ..standard
        }
    }

    fn check(&self, takes_links: bool) -> Option<Invalid> {
        let least = if takes_links { RELAY_SEGMENT_MIN } else { SEGMENT_MIN };
        if self.segment.0 < least.0 {
            let what = format!("files of {} do not take the largest publication", self.segment);
            return Some(Invalid::new("quota.segment", what, format!("{least} or more")));
        }
        let bad = self.log().check().err()?;
        Some(Invalid::new("quota", bad.to_string(), "correct quota.bytes or quota.segment"))
    }
}

impl EdgeConfig {
    /// The file with the key that edges below know this one by.
    pub fn key_file(&self) -> PathBuf {
        self.key.clone().unwrap_or_else(|| self.data.join("edge.key"))
    }

    /// Who exists.
    pub fn directory(&self) -> Result<Arc<Directory>, Vec<Invalid>> {
        let directory = Directory::compile(&self.account)?.with_bare(self.default_account.clone());
        if let Some(default) = self.default_account.as_ref().filter(|name| directory.account(name).is_none())
        {
            let want = "the name or id of an [[account]] of this file";
            return Err(vec![Invalid::new("default_account", format!("no account {default:?}"), want)]);
        }
        Ok(Arc::new(directory))
    }

    /// Who may enter where, by the name of the listener (`listen.mqtt[0]`) or source (`source[0]`).
    pub fn policies(
        &self,
        directory: &Arc<Directory>,
    ) -> Result<BTreeMap<Arc<str>, Arc<Policy>>, Vec<Invalid>> {
        let words = Arc::new(self.tty.clone());
        let mut policies = listen::policies(&self.listen.mqtt, &self.listen.http, directory, &words)?;
        let mut wrong = Vec::new();
        for (index, source) in self.source.iter().enumerate() {
            let key = SourceConfig::key(index);
            match directory.require(&format!("{key}.as"), &source.principal) {
                Ok(principal) => {
                    policies.insert(key.into(), Arc::new(Policy::own(principal)));
                }
                Err(invalid) => wrong.push(invalid),
            }
        }
        if wrong.is_empty() { Ok(policies) } else { Err(wrong) }
    }

    /// As whom listeners and sources let in whoever comes, by the key that says so.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, &str)> {
        let mqtt = self.listen.mqtt.named("mqtt").map(|(key, one)| (key, one.anonymous.as_deref()));
        let http = self.listen.http.named("http").map(|(key, one)| (key, one.anonymous.as_deref()));
        let listeners = mqtt.chain(http).filter_map(|(key, name)| Some((format!("{key}.anonymous"), name?)));
        let sources = self.source.iter().enumerate();
        let sources =
            sources.map(|(n, source)| (format!("{}.as", SourceConfig::key(n)), source.principal.as_str()));
        listeners.chain(sources)
    }

    /// What devices' topics mean.
    pub fn bindings(&self) -> Vec<Binding> {
        self.binding.iter().map(BindingConfig::binding).collect()
    }

    fn check_listeners(&self) -> impl Iterator<Item = Invalid> {
        let tls = self.tls.as_ref();
        let mqtt = self.listen.mqtt.named("mqtt").filter_map(move |(key, mqtt)| mqtt.check(&key, tls));
        let http = self.listen.http.named("http").filter_map(move |(key, http)| http.check(&key, tls));
        let link = self.listen.link.named("link");
        let link = link.filter_map(move |(key, link)| link.check(&key).or_else(|| link.tls.check(&key, tls)));
        let operations = self.listen.operations.named("operations");
        mqtt.chain(http).chain(link).chain(operations.filter_map(|(key, operations)| operations.check(&key)))
    }

    fn check_uplinks(&self) -> Vec<Invalid> {
        let mut wrong = Vec::new();
        let mut names = BTreeSet::new();
        let mut hubs = BTreeSet::new();
        for (index, uplink) in self.uplink.iter().enumerate() {
            let key = format!("uplink[{index}]");
            wrong.extend(uplink.check(&key));
            if !names.insert(uplink.name(index)) {
                let what = format!("two uplinks are called {}", uplink.name(index));
                wrong.push(Invalid::new(format!("{key}.name"), what, "give one of them another name"));
            }
            if !hubs.insert(uplink.hub_key) {
                let what = "two uplinks lead to the same hub";
                wrong.push(Invalid::new(format!("{key}.hub_key"), what, "keep one of them"));
            }
        }
        wrong
    }

    fn check_bindings(&self) -> Vec<Invalid> {
        let mut wrong = Vec::new();
        for (index, binding) in self.binding.iter().enumerate() {
            let key = format!("binding[{index}]");
            wrong.extend(binding.check(&key));
            wrong.extend(self.check_room(&key, &binding.room));
        }
        wrong
    }

    fn check_sources(&self) -> Vec<Invalid> {
        let own_ports: Vec<u16> = self.listen.mqtt.0.iter().map(|listener| listener.address.port()).collect();
        let mut wrong = Vec::new();
        let mut names = BTreeSet::new();
        for (index, source) in self.source.iter().enumerate() {
            let key = SourceConfig::key(index);
            wrong.extend(source.check(&key, &own_ports));
            wrong.extend(source.room.as_ref().and_then(|room| self.check_room(&key, room)));
            if !names.insert(&source.name) {
                let what = format!("two sources are called {}", source.name);
                wrong.push(Invalid::new(format!("{key}.name"), what, "give one of them another name"));
            }
            let before = self.source.iter().take(index);
            if source.stdin && before.clone().any(|before| before.stdin) {
                let what = "there is one standard input";
                wrong.push(Invalid::new(
                    format!("{key}.stdin"),
                    what,
                    "keep one of the sources that read it",
                ));
            }
            let session = |source: &SourceConfig| source.mqtt.clone().map(|mqtt| (mqtt.url, mqtt.client_id));
            let own = session(source);
            if own.is_some() && before.clone().any(|before| session(before) == own) {
                let what = "another source has this id at this broker: each would push the other out";
                wrong.push(Invalid::new(format!("{key}.mqtt.client_id"), what, "give it another one"));
            }
        }
        wrong
    }

    /// What of an account only hubs do: said here, it would be nothing that anybody holds to.
    fn check_for_hubs(&self) -> impl Iterator<Item = Invalid> {
        let want = "leave it out here, and set it at the hub";
        let of_room = move |key: String, room: &RoomConfig| {
            let all = [
                ("archive", room.archive, "edges have no archive"),
                ("schema", room.schema.is_some(), "edges hold nobody to a schema"),
            ];
            let said = all.into_iter().filter(|(_, is_set, _)| *is_set);
            said.map(move |(word, _, what)| Invalid::new(format!("{key}.{word}"), what, want))
        };
        self.account.iter().flat_map(move |account| {
            let key = format!("account[{}]", account.name);
            let ldap = account
                .ldap
                .is_some()
                .then(|| Invalid::new(format!("{key}.ldap"), "edges ask no directory server", want));
            let rooms = account.room.iter();
            let rooms = rooms.flat_map(move |room| of_room(format!("{key}.room[{}]", room.name), room));
            rooms.chain(ldap)
        })
    }

    fn check_room(&self, key: &str, room: &RoomName) -> Option<Invalid> {
        let rooms = || self.account.iter().flat_map(|account| &account.room).map(|room| room.name.as_str());
        let room = room.as_str();
        if rooms().any(|known| known == room) {
            return None;
        }
        let want = match riser_gate::nearest(room, rooms()) {
            Some(known) => format!("did you mean {known:?}?"),
            None => "declare it as [[account.room]]".to_owned(),
        };
        Some(Invalid::new(format!("{key}.room"), format!("no account has a room {room:?}"), want))
    }
}

impl Program for EdgeConfig {
    const NAME: &'static str = "edge";

    fn data(&self) -> &Path {
        &self.data
    }

    fn check(&self) -> Vec<Invalid> {
        let mut wrong: Vec<Invalid> = self.check_listeners().collect();
        wrong.extend(self.quota.check(!self.listen.link.0.is_empty()));
        wrong.extend(self.limits.check());
        wrong.extend(self.tty.check("tty"));
        wrong.extend(self.check_uplinks());
        wrong.extend(self.check_bindings());
        wrong.extend(self.check_sources());
        wrong.extend(self.check_for_hubs());
        wrong.extend(self.vouched.as_ref().and_then(|vouched| vouched.check(self)));
        match self.directory() {
            Ok(directory) => {
                wrong.extend(self.policies(&directory).err().unwrap_or_default());
                wrong.extend(keys::weak(&directory));
            }
            Err(invalid) => wrong.extend(invalid),
        }
        wrong
    }
}

#[cfg(test)]
mod tests;
