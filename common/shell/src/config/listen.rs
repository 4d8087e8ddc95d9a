//! `[listen]`: which doors are open, where, and on what terms. What is not listed is closed.

use super::Terms;
use riser_gate::{Directory, Invalid, Policy, Words};
use riser_model::Networks;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{collections::BTreeMap, fmt, marker::PhantomData, net::SocketAddr, path::PathBuf, sync::Arc};

/// The listeners of one kind: one address, one table, or a list of these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listeners<L>(pub Vec<L>);

impl<L> Default for Listeners<L> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<L> Listeners<L> {
    /// Each with the name that it has in configuration, logs and errors: `listen.mqtt[0]`.
    pub fn named(&self, kind: &str) -> impl Iterator<Item = (String, &L)> {
        self.0.iter().enumerate().map(move |(index, listener)| (format!("listen.{kind}[{index}]"), listener))
    }
}

impl<L: From<SocketAddr>> From<SocketAddr> for Listeners<L> {
    fn from(address: SocketAddr) -> Self {
        Self(vec![address.into()])
    }
}

impl<L: Serialize> Serialize for Listeners<L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, L: Deserialize<'de> + From<SocketAddr>> Deserialize<'de> for Listeners<L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany<L>(PhantomData<L>);

        impl<'de, L: Deserialize<'de> + From<SocketAddr>> de::Visitor<'de> for OneOrMany<L> {
            type Value = Listeners<L>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, a table with an address, or a list of tables")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Listeners<L>, E> {
                let address: SocketAddr = text.parse().map_err(|_| E::custom(not_an_address(text)))?;
                Ok(address.into())
            }

            fn visit_map<M: de::MapAccess<'de>>(self, map: M) -> Result<Listeners<L>, M::Error> {
                L::deserialize(de::value::MapAccessDeserializer::new(map)).map(|one| Listeners(vec![one]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Listeners<L>, A::Error> {
                let mut listeners = Vec::new();
                while let Some(listener) = list.next_element()? {
                    listeners.push(listener);
                }
                Ok(Listeners(listeners))
            }
        }

        deserializer.deserialize_any(OneOrMany(PhantomData))
    }
}

fn not_an_address(text: &str) -> String {
    let text: String = text.chars().take(64).collect();
    format!("{text:?} is not an address; want an IP address and a port, such as \"127.0.0.1:1883\"")
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| de::Error::custom(not_an_address(&text)))
}

/// Where MQTT is spoken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttListener {
    /// IP address and port.
    #[serde(deserialize_with = "address")]
    pub address: SocketAddr,
    /// Whether and with which certificate it is encrypted.
    #[serde(default)]
    pub tls: TlsConfig,
    /// The authorities (PEM) that vouch for certificates of users and clients. A peer may show one, and need not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// The user or client (`account/name`) as whom everybody enters who shows no credential. Unless set, nobody
    /// does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<String>,
    /// What its MQTT clients are held to.
    #[serde(default, skip_serializing_if = "Terms::is_default")]
    pub terms: Terms,
}

/// Where HTTP and WebSocket are spoken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpListener {
    /// IP address and port.
    #[serde(deserialize_with = "address")]
    pub address: SocketAddr,
    /// Whether and with which certificate it is encrypted.
    #[serde(default)]
    pub tls: TlsConfig,
    /// The authorities (PEM) that vouch for certificates of users and clients. A peer may show one, and need not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// The user or client (`account/name`) as whom everybody enters who shows no credential. Unless set, nobody
    /// does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<String>,
    /// What its MQTT clients are held to.
    #[serde(default, skip_serializing_if = "Terms::is_default")]
    pub terms: Terms,
    /// The Origins (`https://board.example`) from which browsers may connect, beside the listener's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// The addresses of proxies whose `X-Forwarded-For` is believed: limits and rules about addresses are about who is
    /// behind them. Nobody's, unless set.
    #[serde(default, skip_serializing_if = "Networks::is_empty")]
    pub proxies: Networks,
}

/// Where edges connect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkListener {
    /// IP address and port.
    #[serde(deserialize_with = "address")]
    pub address: SocketAddr,
    /// Whether and with which certificate it is encrypted. Required outside loopback unless `insecure`.
    #[serde(default)]
    pub tls: TlsConfig,
    /// Take links without encryption outside loopback. Both ends are still authenticated by their keys.
    #[serde(default)]
    pub insecure: bool,
}

/// Where accounts are administered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminListener {
    /// IP address and port.
    #[serde(deserialize_with = "address")]
    pub address: SocketAddr,
    /// Whether and with which certificate it is encrypted. Required outside loopback unless `insecure`.
    #[serde(default)]
    pub tls: TlsConfig,
    /// Take credentials without encryption outside loopback.
    #[serde(default)]
    pub insecure: bool,
}

/// Where metrics and health are read. It knows no credentials.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationsListener {
    /// IP address and port.
    #[serde(deserialize_with = "address")]
    pub address: SocketAddr,
    /// Answer outside loopback, to everybody who asks.
    #[serde(default)]
    pub insecure: bool,
}

impl From<SocketAddr> for MqttListener {
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: TlsConfig::Off, client_ca: None, anonymous: None, terms: Terms::default() }
    }
}

impl From<SocketAddr> for HttpListener {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            tls: TlsConfig::Off,
            client_ca: None,
            anonymous: None,
            terms: Terms::default(),
            origins: vec![],
            proxies: Networks::default(),
        }
    }
}

impl From<SocketAddr> for LinkListener {
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: TlsConfig::Off, insecure: false }
    }
}

impl From<SocketAddr> for OperationsListener {
    fn from(address: SocketAddr) -> Self {
        Self { address, insecure: false }
    }
}

/// What is wrong with a listener's TLS and its clients' authorities together.
fn check_clients(
    key: &str,
    tls: &TlsConfig,
    shared: Option<&TlsFiles>,
    client_ca: Option<&PathBuf>,
) -> Option<Invalid> {
    let wrong = || {
        let want = "set tls, or leave client_ca out";
        Invalid::new(format!("{key}.client_ca"), "certificates are shown in TLS, and there is none", want)
    };
    tls.check(key, shared).or_else(|| (client_ca.is_some() && *tls == TlsConfig::Off).then(wrong))
}

impl MqttListener {
    /// What is wrong with it.
    pub fn check(&self, key: &str, shared: Option<&TlsFiles>) -> Option<Invalid> {
        check_clients(key, &self.tls, shared, self.client_ca.as_ref()).or_else(|| self.terms.check(key))
    }
}

impl HttpListener {
    /// What is wrong with it.
    pub fn check(&self, key: &str, shared: Option<&TlsFiles>) -> Option<Invalid> {
        check_clients(key, &self.tls, shared, self.client_ca.as_ref()).or_else(|| self.terms.check(key))
    }
}

impl LinkListener {
    /// What is wrong with it: a link in the clear needs to be asked for by name.
    pub fn check(&self, key: &str) -> Option<Invalid> {
        let open = self.tls == TlsConfig::Off && !self.insecure && !self.address.ip().is_loopback();
        open.then(|| {
            Invalid::new(
                format!("{key}.tls"),
                "links outside loopback are encrypted",
                "set tls = { cert = \"...\", key = \"...\" }, or insecure = true to do without",
            )
        })
    }
}

impl From<SocketAddr> for AdminListener {
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: TlsConfig::Off, insecure: false }
    }
}

impl AdminListener {
    /// What is wrong with it: whoever listens in would administer accounts.
    pub fn check(&self, key: &str) -> Option<Invalid> {
        let open = self.tls == TlsConfig::Off && !self.insecure && !self.address.ip().is_loopback();
        open.then(|| {
            Invalid::new(
                format!("{key}.tls"),
                "accounts are administered over TLS outside loopback",
                "set tls = { cert = \"...\", key = \"...\" }, or insecure = true to do without",
            )
        })
    }
}

impl OperationsListener {
    /// What is wrong with it: it has no gate, so it is opened to a network only by name.
    pub fn check(&self, key: &str) -> Option<Invalid> {
        (!self.insecure && !self.address.ip().is_loopback()).then(|| {
            Invalid::new(
                format!("{key}.address"),
                "metrics and health are open to everybody who reaches them",
                "use a loopback address, or set insecure = true to open them",
            )
        })
    }
}

/// Who enters where: the policy of each listener that has a gate, by the listener's name.
pub fn policies(
    mqtt: &Listeners<MqttListener>,
    http: &Listeners<HttpListener>,
    directory: &Arc<Directory>,
    words: &Arc<Words>,
) -> Result<BTreeMap<Arc<str>, Arc<Policy>>, Vec<Invalid>> {
    let mqtt = mqtt.named("mqtt").map(|(name, listener)| (name, listener.anonymous.as_deref(), None));
    let http = http.named("http").map(|(name, listener)| (name, listener.anonymous.as_deref(), Some(words)));
    let mut policies = BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, anonymous, words) in mqtt.chain(http) {
        let policy = Policy::new(directory, anonymous, &name);
        let policy = policy.map(|policy| match words {
            Some(words) => policy.with_words(words),
            None => policy,
        });
        match policy {
            Ok(policy) => drop(policies.insert(name.into(), Arc::new(policy))),
            Err(invalid) => wrong.push(invalid),
        }
    }
    if wrong.is_empty() { Ok(policies) } else { Err(wrong) }
}

/// A certificate chain and its key, in PEM files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The chain, the listener's own certificate first.
    pub cert: PathBuf,
    /// Its private key, readable by this program's user only.
    pub key: PathBuf,
}

/// Whether and with which certificate a listener is encrypted: `false`, `true` (the certificate of `[tls]`), or
/// `{ cert, key }`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum TlsConfig {
    /// It is not.
    #[default]
    Off,
    /// With the program's certificate.
    Shared,
    /// With its own.
    Own(TlsFiles),
}

impl TlsConfig {
    /// The files, if it is encrypted. `shared` is what `[tls]` says.
    pub fn files<'a>(&'a self, shared: Option<&'a TlsFiles>) -> Option<&'a TlsFiles> {
        match self {
            Self::Off => None,
            Self::Shared => shared,
            Self::Own(files) => Some(files),
        }
    }

    /// What is wrong with it.
    pub fn check(&self, key: &str, shared: Option<&TlsFiles>) -> Option<Invalid> {
        (*self == Self::Shared && shared.is_none()).then(|| {
            Invalid::new(
                format!("{key}.tls"),
                "there is no [tls] to take the certificate from",
                "add [tls] with cert and key, or name them here",
            )
        })
    }
}

impl Serialize for TlsConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::Shared => serializer.serialize_bool(true),
            Self::Own(files) => files.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TlsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;

        impl<'de> de::Visitor<'de> for Choice {
            type Value = TlsConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or { cert = \"...\", key = \"...\" }")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<TlsConfig, E> {
                Ok(if on { TlsConfig::Shared } else { TlsConfig::Off })
            }

            fn visit_map<M: de::MapAccess<'de>>(self, map: M) -> Result<TlsConfig, M::Error> {
                TlsFiles::deserialize(de::value::MapAccessDeserializer::new(map)).map(TlsConfig::Own)
            }
        }

        deserializer.deserialize_any(Choice)
    }
}
