//! The hub's configuration, composed of what its parts bring.

use crate::{operators::Named, schemas};
use riser_gate::{AccountConfig, Directory, Invalid, Policy, Words};
use riser_model::AccountName;
use riser_shell::{
    config::{
        AdminListener, ByteSize, Duration, HttpListener, LimitsConfig, LinkListener, Listeners, MqttListener,
        OperationsListener, Program, TlsFiles, listen,
    },
    keys,
    log::LogConfig,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where a hub's metrics are unless it says otherwise.
pub const OPERATIONS_PORT: u16 = 9420;
/// The shortest file of the log: a quarter of it takes the largest batch of a link.
const SEGMENT_MIN: ByteSize = ByteSize::mib(4);

/// `hub.toml`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubConfig {
    /// The folder that holds everything this hub keeps. One process at a time.
    pub data: PathBuf,
    /// The file with the key that edges know this hub by; `hub.key` in the data folder unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// What it says on standard error.
    pub log: LogConfig,
    /// Which doors are open.
    pub listen: HubListen,
    /// The certificate of listeners with `tls = true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// How much its log may take.
    pub quota: HubQuota,
    /// How much peers may cost.
    pub limits: LimitsConfig,
    /// What the chat bot on the front socket says.
    pub tty: Words,
    /// Whether people sign in with their browsers, and how long that holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginConfig>,
    /// What becomes of clients that are used no more.
    pub clients: ClientsConfig,
    /// The users who operate this hub beside who shows its token, as `account/user`, each by name or UUID, looked up when it
    /// starts; nobody unless it is said here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<Named>,
    /// Whose names need no account before them, by name or UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_account: Option<AccountName>,
    /// Who may enter, which edges and which rooms there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub account: Vec<AccountConfig>,
}

/// `[listen]`: what is not listed is closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubListen {
    /// MQTT 3.1.1 and 5.
    pub mqtt: Listeners<MqttListener>,
    /// HTTP and WebSocket.
    pub http: Listeners<HttpListener>,
    /// Edges.
    pub link: Listeners<LinkListener>,
    /// Metrics and health.
    pub operations: Listeners<OperationsListener>,
    /// The admin interface.
    #[serde(skip_serializing_if = "is_empty")]
    pub admin: Listeners<AdminListener>,
}

fn is_empty(listeners: &Listeners<AdminListener>) -> bool {
    listeners.0.is_empty()
}

/// `[login]`: people sign in with their browsers, and get a cookie.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoginConfig {
    /// How long a cookie lets its browser in; a connection that it let in goes on after that.
    pub lasts: Duration,
}

impl Default for LoginConfig {
    fn default() -> Self {
        Self { lasts: Duration::seconds(3600) }
    }
}

/// `[clients]`: a client that was made while the hub ran, and comes no more, is removed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientsConfig {
    /// After this time in which it was let in nowhere; `0s` for never.
    pub unused: Duration,
}

impl Default for ClientsConfig {
    fn default() -> Self {
        Self { unused: Duration::seconds(30 * 24 * 3600) }
    }
}

impl ClientsConfig {
    fn check(&self) -> Option<Invalid> {
        let least = Duration::seconds(24 * 3600);
        (self.unused.ms() > 0 && self.unused < least).then(|| {
            let what = format!("{} is too short", self.unused);
            Invalid::new("clients.unused", what, format!("want {least} or more, or 0s for never"))
        })
    }
}

impl LoginConfig {
    fn check(&self) -> Option<Invalid> {
        let (least, most) = (Duration::seconds(60), Duration::seconds(24 * 3600));
        (!(least.0..=most.0).contains(&self.lasts.0)).then(|| {
            let what = format!("{} is out of range", self.lasts);
            Invalid::new("login.lasts", what, format!("want {least} to {most}"))
        })
    }
}

/// `[quota]`. A full hub lets the oldest go, and readers are told what they miss.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubQuota {
    /// The most that the log takes on disk, spares included.
    pub bytes: ByteSize,
    /// The length of one of its files.
    pub segment: ByteSize,
    /// The most that what is archived takes on disk, beside the log; four times the log's unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<ByteSize>,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            data: Self::standard_data(),
            key: None,
            log: LogConfig::default(),
            listen: HubListen::default(),
            tls: None,
            quota: HubQuota::default(),
            limits: LimitsConfig::default(),
            tty: Words::default(),
            clients: ClientsConfig::default(),
            login: None,
            operators: Vec::new(),
            default_account: None,
            account: vec![],
        }
    }
}

impl Default for HubListen {
    fn default() -> Self {
        let operations = SocketAddr::from((Ipv4Addr::LOCALHOST, OPERATIONS_PORT));
        Self {
            mqtt: Listeners::default(),
            http: Listeners::default(),
            link: Listeners::default(),
            operations: operations.into(),
            admin: Listeners::default(),
        }
    }
}

impl Default for HubQuota {
    fn default() -> Self {
        Self { bytes: ByteSize::gib(16), segment: ByteSize::mib(64), archive: None }
    }
}

impl HubQuota {
    /// The most that the archive takes, bytes.
    pub fn archive_bytes(&self) -> u64 {
        self.archive.map_or(self.bytes.0.saturating_mul(4), |archive| archive.0)
    }

    /// The bounds of the log.
    pub fn log(&self) -> riser_log::Config {
        let standard = riser_log::Config::hub();
        riser_log::Config {
            segment_bytes: self.segment.0,
            quota_bytes: self.bytes.0,
            view_bytes_max: standard.view_bytes_max.min(self.bytes.0 / 4),
            ..standard
        }
    }

    fn check(&self) -> Option<Invalid> {
        if self.segment.0 < SEGMENT_MIN.0 {
            let what = format!("files of {} do not take the largest batch of a link", self.segment);
            return Some(Invalid::new("quota.segment", what, format!("{SEGMENT_MIN} or more")));
        }
        if let Some(archive) = self.archive.filter(|archive| *archive < self.bytes) {
            let what = format!("an archive of {archive} is smaller than its log");
            let want = format!("{} or more: it has what the log has still, too", self.bytes);
            return Some(Invalid::new("quota.archive", what, want));
        }
        let bad = self.log().check().err()?;
        Some(Invalid::new("quota", bad.to_string(), "correct quota.bytes or quota.segment"))
    }
}

impl HubConfig {
    /// The file with the key that edges know this hub by.
    pub fn key_file(&self) -> PathBuf {
        self.key.clone().unwrap_or_else(|| self.data.join("hub.key"))
    }

    /// Who exists.
    pub fn directory(&self) -> Result<Arc<Directory>, Vec<Invalid>> {
        let (directory, wrong) = {
            let directory = Directory::compile(&self.account)?.with_bare(self.default_account.clone());
            schemas::compiled(Arc::new(directory))
        };
        if wrong.is_empty() { Ok(directory) } else { Err(wrong) }
    }

    /// Who may enter where, by the listener's name (`listen.mqtt[0]`).
    pub fn policies(
        &self,
        directory: &Arc<Directory>,
    ) -> Result<BTreeMap<Arc<str>, Arc<Policy>>, Vec<Invalid>> {
        let words = Arc::new(self.tty.clone());
        let mut policies = listen::policies(&self.listen.mqtt, &self.listen.http, directory, &words)?;
        if self.login.is_some() {
            // Over MQTT it is the tokens that programs are given for signing in.
            let http = self.listen.http.named("http").map(|(name, _)| name);
            for name in http.chain(self.listen.mqtt.named("mqtt").map(|(name, _)| name)) {
                if let Some(policy) = policies.get_mut(name.as_str()) {
                    *policy = Arc::new(Policy::clone(policy).with_cookies());
                }
            }
        }
        for (name, _) in self.listen.admin.named("admin") {
            let policy = Policy::new(directory, None, &name).map_err(|invalid| vec![invalid])?;
            policies.insert(name.into(), Arc::new(policy));
        }
        Ok(policies)
    }

    /// The file with the token of whoever operates this hub.
    pub fn token_file(&self) -> PathBuf {
        self.data.join("admin.token")
    }

    fn check_listeners(&self) -> impl Iterator<Item = Invalid> {
        let (listen, tls) = (&self.listen, self.tls.as_ref());
        let mqtt = listen.mqtt.named("mqtt").filter_map(move |(key, mqtt)| mqtt.check(&key, tls));
        let http = listen.http.named("http").filter_map(move |(key, http)| http.check(&key, tls));
        let link = listen.link.named("link");
        let link = link.filter_map(move |(key, link)| link.check(&key).or_else(|| link.tls.check(&key, tls)));
        let operations = listen.operations.named("operations");
        let operations = operations.filter_map(|(key, operations)| operations.check(&key));
        let admin = listen.admin.named("admin");
        let admin =
            admin.filter_map(move |(key, admin)| admin.check(&key).or_else(|| admin.tls.check(&key, tls)));
        mqtt.chain(http).chain(link).chain(operations).chain(admin)
    }

    fn check_accounts(&self) -> Vec<Invalid> {
        match self.directory() {
            Ok(directory) => {
                let mut wrong = self.policies(&directory).err().unwrap_or_default();
                wrong.extend(keys::weak(&directory));
                wrong
            }
            Err(wrong) => wrong,
        }
    }
}

impl Program for HubConfig {
    const NAME: &'static str = "hub";

    fn data(&self) -> &Path {
        &self.data
    }

    fn check(&self) -> Vec<Invalid> {
        let mut wrong: Vec<Invalid> = self.check_listeners().collect();
        wrong.extend(self.quota.check());
        wrong.extend(self.limits.check());
        wrong.extend(self.tty.check("tty"));
        wrong.extend(self.clients.check());
        wrong.extend(self.login.as_ref().and_then(LoginConfig::check));
        wrong.extend(self.check_accounts());
        wrong
    }
}

#[cfg(test)]
mod tests;
