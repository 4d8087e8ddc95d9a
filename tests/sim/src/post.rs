//! Publications that are addressed to one client: who may be written to and by whom, who was connected where and when, and so
//! what was nobody's and must have been counted as that (`void`), process by process.
//!
//! That an address is heard by its client and by nobody else is held by whoever judges what is read: [`hears`] says whose it is.

use crate::{host::Host, journal::Logged, mutant::Mutant, site, wires::WireId};
use riser_gate::{
    AccountConfig, ClientConfig, GrantConfig, Role,
    config::{Rights, Whom},
};
use riser_model::{ClientId, Right, Time};
use riser_wire::entry::Kind;
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// Hears its orders alone, in sessions that are kept.
pub const KEPT: &str = "lamp-0";
/// Comes and goes, and leaves no session.
pub const PASSING: &str = "lamp-1";
/// A dashboard.
pub const SCREEN: &str = "lamp-2";
/// Never comes.
pub const DARK: &str = "lamp-3";
/// Nobody may write to it.
pub const UNNAMED: &str = "lamp-4";
const ALL: [(&str, Role); 5] = [
    (KEPT, Role::Device),
    (PASSING, Role::Member),
    (SCREEN, Role::Reader),
    (DARK, Role::Device),
    (UNNAMED, Role::Device),
];

/// What happens within this of a commit may have been before it or after it: the core's task takes its time.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The client of a lamp.
pub fn client_of(user: &str) -> Option<ClientId> {
    let n = ALL.iter().position(|(name, _)| *name == user)?;
    Some(ClientId(Uuid::from_u128(0x1a_0000 + n as u128)))
}

/// The address of a lamp: the first level of its channels.
pub fn address(lamp: &str) -> String {
    client_of(lamp).map(|client| client.to_string()).unwrap_or_default()
}

/// Whose address a channel is, if it is one.
pub fn addressee(channel: &str) -> Option<ClientId> {
    let first = channel.split('/').next().filter(|first| first.len() == 36)?;
    Uuid::try_parse(first).ok().map(ClientId)
}

/// Whether what is published there is that user's to hear, as far as addresses go.
pub fn hears(user: &str, channel: &str) -> bool {
    match addressee(channel) {
        Some(client) => client_of(user) == Some(client) || user == site::OPERATOR,
        None => ![KEPT, DARK, UNNAMED].contains(&user),
    }
}

/// Declares the lamps, and who may write to them, in every room of the account.
pub fn declare(config: &mut AccountConfig, devices: &[String], at_edge: bool, mutant: Option<Mutant>) {
    let lamp = |(name, role): (&str, Role)| {
        let id = client_of(name).map(|client| match mutant {
            Some(Mutant::AddressesApart) if at_edge => ClientId(Uuid::from_u128(client.0.as_u128() + 0x1000)),
            _ => client,
        });
        let password = Some(site::hash(&site::password(name)));
        let name = name.parse().expect("the names of a run are names");
        ClientConfig { id, password, role: Some(role), ..ClientConfig::new(name) }
    };
    config.client.extend(ALL.map(lamp));
    let grant = |to: &str, right, lamp: &str| GrantConfig {
        to: Whom::Named(to.parse().expect("the names of a run are names")),
        right: Rights(vec![right]),
        channels: format!("{}/#", address(lamp)).parse().expect("a client and # are a filter"),
        deny: false,
    };
    let writes = |lamp: &str| *lamp != *UNNAMED || mutant == Some(Mutant::UnnamedNamed);
    for room in &mut config.room {
        for lamp in ALL.map(|(name, _)| name).into_iter().filter(|lamp| writes(lamp)) {
            let writers = devices.iter().map(String::as_str).chain([site::SCRIBE]);
            room.grant.extend(writers.map(|writer| grant(writer, Right::Publish, lamp)));
        }
        if mutant == Some(Mutant::AddressesOpen) && !at_edge {
            room.grant.push(grant("ann", Right::Subscribe, KEPT));
        }
    }
}

/// Who listened where, and when.
#[derive(Debug, Default)]
pub struct Post {
    stays: BTreeMap<WireId, Stay>,
}

/// A connection of a client.
#[derive(Debug)]
struct Stay {
    host: usize,
    client: ClientId,
    /// It asks to be let in.
    knocked: Time,
    /// It heard that it is subscribed.
    listens: Option<Time>,
    /// It said goodbye, or left.
    left: Option<Time>,
    /// The host's end of it is gone.
    gone: Option<Time>,
}

/// Whether a client listened at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Was {
    There,
    Away,
    Unsure,
}

impl Post {
    /// Somebody says CONNECT.
    pub fn knocks(&mut self, wire: WireId, (host, user): (usize, &str), now: Time) {
        if let Some(client) = client_of(user) {
            let stay = Stay { host, client, knocked: now, listens: None, left: None, gone: None };
            self.stays.insert(wire, stay);
        }
    }

    /// It hears that it is subscribed.
    pub fn listens(&mut self, wire: WireId, now: Time) {
        if let Some(stay) = self.stays.get_mut(&wire) {
            stay.listens.get_or_insert(now);
        }
    }

    /// It goes.
    pub fn leaves(&mut self, wire: WireId, now: Time) {
        if let Some(stay) = self.stays.get_mut(&wire) {
            stay.left.get_or_insert(now);
        }
    }

    /// The host's end of a connection is gone.
    pub fn gone(&mut self, wire: WireId, now: Time) {
        if let Some(stay) = self.stays.get_mut(&wire) {
            stay.gone.get_or_insert(now);
        }
    }

    fn was(&self, host: usize, client: ClientId, at: Time) -> Was {
        let mut was = Was::Away;
        for stay in self.stays.values().filter(|stay| stay.host == host && stay.client == client) {
            let ends = stay.left.into_iter().chain(stay.gone).min();
            if stay.listens.is_some_and(|since| since < at) && ends.is_none_or(|ends| at.plus(AT_ONCE) < ends)
            {
                return Was::There;
            }
            if stay.knocked <= at.plus(AT_ONCE) && stay.gone.is_none_or(|gone| at <= gone.plus(AT_ONCE)) {
                was = Was::Unsure;
            }
        }
        was
    }

    /// What is wrong with what hosts have counted as nobody's, and how much that was.
    pub fn judge(&self, hosts: &[Host], now: Time) -> (Vec<String>, u64) {
        let (mut wrong, mut count) = (Vec::new(), 0);
        for host in hosts.iter().filter(|host| !host.stale && !host.damaged) {
            let running = host.void().map(|void| (now, void));
            for (from, to, told) in host.voids(running) {
                count += told;
                let (least, most) = self.void(host, (from, to));
                if !(least..=most).contains(&told) {
                    wrong.push(format!(
                        "host {} counted {told} as nobody's from {} s to {} s, and {least} to {most} were",
                        host.setup.number,
                        from.0 / 1_000_000_000,
                        to.0 / 1_000_000_000
                    ));
                }
            }
        }
        (wrong, count)
    }

    /// How much a process must have counted at least and at most.
    fn void(&self, host: &Host, (from, to): (Time, Time)) -> (u64, u64) {
        let (mut least, mut most) = (0, 0);
        for (seq, entry) in host.journal.entries.iter().filter(|(_, entry)| may_be_void(entry)) {
            let at = host.committed_at(*seq);
            if at < from || at > to || host.was_found(*seq) {
                continue;
            }
            let client = entry.channel.as_ref().and_then(|channel| addressee(channel.as_str()));
            let was = client.map_or(Was::There, |client| self.was(host.setup.number, client, at));
            least += u64::from(was == Was::Away && at.plus(AT_ONCE) < to);
            most += u64::from(was != Was::There);
        }
        (least, most)
    }
}

/// Whether it is kept for nobody, and goes nowhere else.
fn may_be_void(entry: &Logged) -> bool {
    entry.room == Some(site::room(site::CELLAR))
        && entry.kind == Kind::Publication
        && entry.manner().is_some_and(|(_, retain)| !retain)
}
