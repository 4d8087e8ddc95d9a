//! Riser under measurement: `riser-hub` and `riser-edge` as they are shipped, configured as one would.

use crate::{
    attack,
    peer::{Peer, free_address},
};
use anyhow::{Context, ensure};
use riser_model::AccountId;
use riser_shell::{entropy, keys, passwords};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// The account of everything.
pub const ACCOUNT: &str = "bench";
/// The room of everything.
pub const ROOM: &str = "bench";
/// A room that replays what those said who are still there.
pub const SESSION_ROOM: &str = "session";

/// Whose password is guessed, and who comes by a token.
pub const GUARDED: &str = "guarded";

const EDGE: &str = "riser-edge";
const HUB: &str = "riser-hub";
/// A flood with the link cut takes in more than the GiB that is usual, on a fast machine: full, an edge refuses the rest.
const SPOOL: &str = "[quota]\nbytes = \"4 GiB\"\n";

/// Builds both programs as this one was built. They lie beside it then.
pub fn build() -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--locked", "--package", EDGE, "--package", HUB]);
    build.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml")]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let folder = program("")?;
    if let Some(target) = folder.parent() {
        build.arg("--target-dir").arg(target);
    }
    ensure!(build.status().context("run cargo")?.success(), "riser-edge and riser-hub do not build");
    Ok(())
}

/// A program of ours.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find the benchmark's own binary")?;
    Ok(own.parent().context("a program lies in a folder")?.join(name))
}

/// Both programs, by what they are called in tables.
pub fn programs() -> anyhow::Result<[(&'static str, PathBuf); 2]> {
    Ok([("riser, edge", program(EDGE)?), ("riser, hub", program(HUB)?)])
}

/// An edge and its hub.
pub struct Riser {
    /// The edge's MQTT door.
    pub edge: SocketAddr,
    /// The edge's WebSocket door.
    pub edge_http: SocketAddr,
    /// The hub's MQTT door.
    pub hub: SocketAddr,
    /// The hub's WebSocket door.
    pub hub_http: SocketAddr,
    /// The processes, edge first.
    pub processes: [Peer; 2],
}

impl Riser {
    /// Starts both. The hub takes links at `link`; the edge reaches that at `via` (a cable).
    pub fn start(folder: &Path, link: SocketAddr, via: SocketAddr) -> anyhow::Result<Self> {
        let [edge, edge_http, hub, hub_http] =
            [free_address()?, free_address()?, free_address()?, free_address()?];
        let (edge_folder, hub_folder) = (folder.join("riser-edge"), folder.join("riser-hub"));
        let edge_key = key(&edge_folder.join("edge.key"))?;
        let hub_key = key(&hub_folder.join("hub.key"))?;
        let account = entropy::uuid();
        let client = riser_gate::directory::client_id(AccountId(account), &"edge".parse()?);

        let rest = accounts(account, &edge_key);
        let doors = doors(hub, hub_http)?;
        let text = format!("data = {hub_folder:?}\n{doors}link = \"{link}\"\n{rest}");
        let mut hub_process = start(HUB, &hub_folder, &text)?;
        hub_process.accepts(link)?;

        let doors = self::doors(edge, edge_http)?;
        let uplink = format!(
            "[[uplink]]\nurl = \"ws://{via}/link\"\nhub_key = \"{hub_key}\"\nclient = \"{client}\"\n"
        );
        let text = format!("data = {edge_folder:?}\n{doors}{SPOOL}{uplink}{rest}");
        let mut edge_process = start(EDGE, &edge_folder, &text)?;
        edge_process.accepts(edge)?;
        Ok(Self { edge, edge_http, hub, hub_http, processes: [edge_process, hub_process] })
    }
}

/// A hub alone, over what lies in its folder.
pub struct Hub {
    /// Its MQTT door.
    pub mqtt: SocketAddr,
    /// Its WebSocket door.
    pub http: SocketAddr,
    /// Its process.
    pub process: Peer,
}

impl Hub {
    /// Starts it.
    pub fn start(folder: &Path, account: uuid::Uuid) -> anyhow::Result<Self> {
        let (mqtt, http, folder) = (free_address()?, free_address()?, folder.join("riser-hub"));
        let key = key(&folder.join("edge.key"))?;
        let text = format!("data = {folder:?}\n{}{}", doors(mqtt, http)?, accounts(account, &key));
        let mut process = start(HUB, &folder, &text)?;
        process.accepts(http)?;
        Ok(Self { mqtt, http, process })
    }

    /// Starts one with the limits that come with it, and beside the account of everything another one, of who attacks.
    pub fn to_be_attacked(folder: &Path) -> anyhow::Result<Self> {
        let (mqtt, http, folder) = (free_address()?, free_address()?, folder.join("riser-hub"));
        let key = key(&folder.join("edge.key"))?;
        let doors = listeners(mqtt, http)?;
        let guarded = client("guarded", "what nobody guesses");
        let account = accounts(entropy::uuid(), &key);
        let (user, password) = attack::LOGIN;
        let name = user.rsplit('/').next().unwrap_or_default();
        let attacker = format!(
            "[[account]]\nname = \"{name}\"\nid = \"{}\"\n{}[[account.room]]\nname = \"{ROOM}\"\nhistory = \"log\"\n",
            entropy::uuid(),
            client(name, password),
        );
        let text = format!("data = {folder:?}\n[log]\nlevel = \"warn\"\n{doors}{account}{guarded}{attacker}");
        let mut process = start(HUB, &folder, &text)?;
        process.accepts(http)?;
        Ok(Self { mqtt, http, process })
    }

    /// Starts one whose people sign in, by passwords and by the tokens of an issuer: `guarded`, who may enter one room, and not
    /// the one called `closed`.
    pub fn with_gate(folder: &Path, issuer: &str) -> anyhow::Result<Self> {
        let (mqtt, http, folder) = (free_address()?, free_address()?, folder.join("riser-hub"));
        let key = key(&folder.join("edge.key"))?;
        let hash = passwords::hash(b"what nobody guesses");
        let guarded = format!(
            "[[account.client]]\nname = \"{GUARDED}\"\npassword = \"{}\"\n\
             [[account.room]]\nname = \"closed\"\nhistory = \"log\"\n",
            hash.expose()
        );
        let grant = format!("{{ to = \"{GUARDED}\", right = [\"publish\", \"subscribe\"] }}");
        let account = granted(accounts(entropy::uuid(), &key), &grant);
        let text = format!("data = {folder:?}\n{}[login]\n{account}{guarded}{issuer}", doors(mqtt, http)?);
        let mut process = start(HUB, &folder, &text)?;
        process.accepts(http)?;
        Ok(Self { mqtt, http, process })
    }

    /// What it has read so far, from the disk and from the system's cache of it.
    pub fn bytes_read(&self) -> anyhow::Result<u64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.process.process()))?;
        let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
        read.context("find what the hub has read")?.parse().context("read what the hub has read")
    }
}

fn key(file: &Path) -> anyhow::Result<String> {
    fs::create_dir_all(file.parent().context("a key file lies in a folder")?)?;
    Ok(keys::load_or_create(file)?.0.public_text())
}

fn start(name: &str, folder: &Path, config: &str) -> anyhow::Result<Peer> {
    let file = folder.join(format!("{name}.toml"));
    fs::write(&file, config).with_context(|| format!("write {name}'s configuration"))?;
    let mut command = Command::new(program(name)?);
    command.arg("serve").arg("--config").arg(file);
    if name == EDGE {
        // As configs/riser-edge.service has it.
        command.env("MALLOC_ARENA_MAX", "1");
    }
    Peer::start(name, command, folder)
}

/// The same accounts, with grants in the room of everything.
fn granted(accounts: String, grants: &str) -> String {
    let own = format!("name = \"{ROOM}\"\nhistory = \"log\"\n");
    accounts.replace(&own, &format!("{own}grant = [{grants}]\n"))
}

/// Of the account before it.
fn client(name: &str, password: &str) -> String {
    let hash = passwords::hash(password.as_bytes());
    let hash = hash.expose();
    format!("[[account.client]]\nname = \"{name}\"\nrole = \"member\"\npassword = \"{hash}\"\n")
}

/// Everybody may enter, as with the peers: what is measured is not the hashing of passwords.
fn doors(mqtt: SocketAddr, http: SocketAddr) -> anyhow::Result<String> {
    let listeners = listeners(mqtt, http)?;
    Ok(format!(
        "[log]\nlevel = \"warn\"\n[limits]\nconnections = 20000\nconnections_per_address = 20000\n\
         connections_per_principal = 20000\nhandshakes_per_second = 0\naccepts_per_second = 0\npublications_per_second = 0\n\
         published_per_second = 0\nsubscriptions_per_second = 0\nrenewals_per_second = 0\n{listeners}"
    ))
}

fn listeners(mqtt: SocketAddr, http: SocketAddr) -> anyhow::Result<String> {
    let anonymous = format!("anonymous = \"{ACCOUNT}/load\"");
    let operations = free_address()?;
    Ok(format!(
        "[listen]\n\
         mqtt = {{ address = \"{mqtt}\", {anonymous} }}\nhttp = {{ address = \"{http}\", {anonymous} }}\n\
         operations = \"{operations}\"\n"
    ))
}

fn accounts(account: uuid::Uuid, edge_key: &str) -> String {
    format!(
        "[[account]]\nname = \"{ACCOUNT}\"\nid = \"{account}\"\n\
         [[account.client]]\nname = \"load\"\nrole = \"member\"\n\
         [[account.client]]\nname = \"edge\"\nkey = \"{edge_key}\"\nrole = \"writer\"\n\
         [[account.room]]\nname = \"{ROOM}\"\nhistory = \"log\"\n\
         [[account.room]]\nname = \"{SESSION_ROOM}\"\nhistory = \"session\"\n"
    )
}
