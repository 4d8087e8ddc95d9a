//! Everything of one demo that is decided before it starts: addresses, names, passwords, configuration files.

use crate::{folder::Folder, ports::Ports};
use anyhow::Context;
use riser_shell::{entropy, keys, passwords};
use std::{fs, net::SocketAddr, path::PathBuf};

/// The account, the room and the users of the demo.
pub const ACCOUNT: &str = "house";
/// The room that the sensors publish in.
pub const ROOM: &str = "building";
/// The room that goes down: what is published in it at the hub is heard at the edges.
pub const ORDERS: &str = "orders";
/// Who publishes.
pub const SENSOR: &str = "sensor";
/// Who looks on.
pub const VIEWER: &str = "viewer";
/// The edges that sensors publish to, by name.
pub const EDGES: [&str; 2] = ["north", "south"];
/// The edge between those and the hub, where there are three tiers.
pub const REGION: &str = "region";

/// One edge as planned.
#[derive(Clone, Debug)]
pub struct EdgePlan {
    /// Its name.
    pub name: &'static str,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its MQTT door.
    pub mqtt: SocketAddr,
    /// Its metrics.
    pub operations: SocketAddr,
    /// Where it takes links, if it is between others and the hub.
    pub link: Option<SocketAddr>,
    /// Where its own link leads, and the key of who is there.
    pub above: (SocketAddr, String),
}

/// The whole demo as planned.
#[derive(Debug)]
pub struct Plan {
    /// The hub's configuration file.
    pub hub: PathBuf,
    /// The hub's page and WebSocket door.
    pub http: SocketAddr,
    /// The hub's MQTT door.
    pub mqtt: SocketAddr,
    /// The hub's link listener.
    pub link: SocketAddr,
    /// The edges.
    pub edges: Vec<EdgePlan>,
    /// The password of both users: the demo listens on loopback only, and draws a new one each time.
    pub password: String,
    account: uuid::Uuid,
    hash: String,
    folder: PathBuf,
    /// The edges below the one that is between, as its file and otherwise the hub's has them.
    clients: String,
}

impl Plan {
    /// Draws ids and passwords, and writes the hub's file. The edges' files need the forwarders' addresses.
    pub fn new(folder: &Folder, tiers: u8) -> anyhow::Result<Self> {
        let mut ports = Ports::default();
        let password = format!("{:016x}", entropy::number());
        let hash = passwords::hash(password.as_bytes()).expose().to_owned();
        let data = folder.path().join("hub");
        fs::create_dir_all(&data).context("make the hub's folder")?;
        let (hub_identity, _) = keys::load_or_create(&data.join("hub.key"))?;
        let mut plan = Self {
            hub: folder.path().join("hub.toml"),
            http: ports.free(8080)?,
            mqtt: ports.free(1883)?,
            link: ports.free(7420)?,
            edges: Vec::new(),
            password,
            account: account(folder)?,
            hash,
            folder: folder.path().to_owned(),
            clients: String::new(),
        };
        let (hub_mqtt, hub_operations) = (plan.mqtt, ports.free(9420)?);
        let mut above = (plan.link, hub_identity.public_text());
        let mut below_hub = String::new();
        if tiers > 2 {
            let link = ports.free(7421)?;
            let (region, key) = plan.edge(REGION, 1886, above, Some(link), &mut ports)?;
            plan.edges.push(region);
            below_hub = client(REGION, &key).replace("role =", "relays = true\nrole =");
            above = (link, key);
        }
        for (name, port) in EDGES.into_iter().zip([1884, 1885]) {
            let (edge, key) = plan.edge(name, port, above.clone(), None, &mut ports)?;
            plan.edges.push(edge);
            plan.clients += &client(name, &key);
        }
        let clients = if tiers > 2 { &below_hub } else { &plan.clients };
        let text = format!(
            "data = \"{}\"\n\n[log]\nlevel = \"warn\"\n\n[listen]\nmqtt = \"{hub_mqtt}\"\nhttp = \"{}\"\n\
             link = \"{}\"\noperations = \"{hub_operations}\"\n\n[quota]\nbytes = \"1 GiB\"\n\n{}{clients}",
            data.display(),
            plan.http,
            plan.link,
            plan.accounts(),
        );
        fs::write(&plan.hub, text).context("write the hub's configuration")?;
        Ok(plan)
    }

    /// An edge and its public key.
    fn edge(
        &self,
        name: &'static str,
        port: u16,
        above: (SocketAddr, String),
        link: Option<SocketAddr>,
        ports: &mut Ports,
    ) -> anyhow::Result<(EdgePlan, String)> {
        let data = self.folder.join(name);
        fs::create_dir_all(&data).context("make an edge's folder")?;
        let (identity, _) = keys::load_or_create(&data.join("edge.key"))?;
        let edge = EdgePlan {
            name,
            config: self.folder.join(format!("{name}.toml")),
            mqtt: ports.free(port)?,
            operations: ports.free(port + 7537)?,
            link,
            above,
        };
        Ok((edge, identity.public_text()))
    }

    /// The edges that sensors publish to.
    pub fn sites(&self) -> impl Iterator<Item = &EdgePlan> {
        self.edges.iter().filter(|edge| edge.link.is_none())
    }

    /// Writes an edge's file, with who is above it at `cable`.
    pub fn write_edge(&self, edge: &EdgePlan, cable: SocketAddr) -> anyhow::Result<()> {
        let client = riser_gate::directory::client_id(
            riser_model::AccountId(self.account),
            &edge.name.parse().context("an edge's name")?,
        );
        let link = edge.link.map(|link| format!("link = \"{link}\"\n")).unwrap_or_default();
        let clients = edge.link.map(|_| self.clients.as_str()).unwrap_or_default();
        let text = format!(
            "data = \"{}\"\n\n[log]\nlevel = \"warn\"\n\n[listen]\nmqtt = \"{}\"\noperations = \"{}\"\n{link}\n\
             [quota]\nbytes = \"256 MiB\"\n\n[[uplink]]\nurl = \"ws://{cable}/link\"\nhub_key = \"{}\"\n\
             client = \"{client}\"\n\n{}{clients}",
            self.folder.join(edge.name).display(),
            edge.mqtt,
            edge.operations,
            edge.above.1,
            self.accounts(),
        );
        fs::write(&edge.config, text).context("write an edge's configuration")
    }

    fn accounts(&self) -> String {
        let Self { account, hash, .. } = self;
        format!(
            "[[account]]\nname = \"{ACCOUNT}\"\nid = \"{account}\"\n\n\
             [[account.user]]\nname = \"{VIEWER}\"\npassword = \"{hash}\"\nrole = \"member\"\n\n\
             [[account.user]]\nname = \"{SENSOR}\"\npassword = \"{hash}\"\nrole = \"writer\"\n\n\
             [[account.room]]\nname = \"{ROOM}\"\nhistory = \"log\"\n\n\
             [[account.room]]\nname = \"{ORDERS}\"\nhistory = \"log\"\ndown = true\n\n"
        )
    }
}

/// An edge as those above it know it.
fn client(name: &str, key: &str) -> String {
    format!("[[account.client]]\nname = \"{name}\"\nkey = \"{key}\"\nrole = \"member\"\n\n")
}

/// A given folder keeps its account from run to run, as its logs do.
fn account(folder: &Folder) -> anyhow::Result<uuid::Uuid> {
    let file = folder.path().join("account");
    match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().context("read the account's id"),
        Err(_) => {
            let id = entropy::uuid();
            fs::write(&file, id.to_string()).context("keep the account's id")?;
            Ok(id)
        }
    }
}
