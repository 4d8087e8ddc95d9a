//! A hub and its edges as they are configured, each a host of the simulation.

use crate::plan::EDGES;
use anyhow::Context;
use riser_edge::{Edge, EdgeConfig};
use riser_hub::{Hub, HubConfig};
use riser_shell::{Loaded, Sources, keys};
use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// The account of everything.
pub(crate) const ACCOUNT: &str = "acme";
/// The room of everything.
pub(crate) const ROOM: &str = "hall";
const HTTP: u16 = 8080;
const LINK: u16 = 7420;
const MQTT: u16 = 1883;
const ACCOUNT_ID: &str = "0192f3a4-5b6c-7d8e-9f01-23456789abcd";

/// Files and addresses.
pub(crate) struct Site {
    pub(crate) hub: Node,
    pub(crate) edges: Vec<Node>,
}

/// One host.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) address: IpAddr,
    config: PathBuf,
}

impl Node {
    pub(crate) fn mqtt(&self) -> SocketAddr {
        SocketAddr::new(self.address, MQTT)
    }

    pub(crate) fn http(&self) -> SocketAddr {
        SocketAddr::new(self.address, HTTP)
    }

    /// Runs the hub for ever.
    pub(crate) async fn run_hub(self) -> turmoil::Result {
        let loaded = Loaded::<HubConfig>::strictly(&Sources::file(&self.config))?;
        let _hub = Hub::start(&loaded.config, None, None).await?;
        std::future::pending().await
    }

    /// Runs an edge for ever, as its program does.
    pub(crate) async fn run_edge(self) -> turmoil::Result {
        let loaded = Loaded::<EdgeConfig>::strictly(&Sources::file(&self.config))?;
        loop {
            let mut edge = Edge::start(&loaded.config, None).await?;
            edge.forked().await;
            edge.stop().await;
        }
    }
}

impl Site {
    /// Writes the files of all.
    pub(crate) fn lay_out(folder: &Path) -> anyhow::Result<Self> {
        let node = |name: &str, last: u8| Node {
            address: Ipv4Addr::new(10, 0, 0, last).into(),
            config: folder.join(format!("{name}.toml")),
        };
        let hub = node("hub", 1);
        let hub_key = key(&folder.join("hub").join("hub.key"))?;
        let mut clients = String::new();
        let mut edges = Vec::new();
        for number in 0..EDGES {
            let name = format!("edge{number}");
            let data = folder.join(&name);
            let edge = node(&name, 10 + number as u8);
            let id = format!("0192f3a4-5b6c-7d8e-9f01-0000000000{number:02}");
            let edge_key = key(&data.join("edge.key"))?;
            let text = format!(
                "data = {data:?}\n[listen]\nmqtt = {{ address = \"0.0.0.0:{MQTT}\", anonymous = \"{ACCOUNT}/anybody\" }}\n\
                 [[uplink]]\nurl = \"ws://{}:{LINK}/link\"\nhub_key = \"{hub_key}\"\nclient = \"{id}\"\ninsecure = true\n{}",
                hub.address,
                account()
            );
            fs::write(&edge.config, text).context("write a configuration")?;
            write!(
                clients,
                "[[account.client]]\nname = \"{name}\"\nid = \"{id}\"\nkey = \"{edge_key}\"\nrole = \"writer\"\n"
            )?;
            edges.push(edge);
        }
        let text = format!(
            "data = {:?}\n[listen]\nhttp = {{ address = \"0.0.0.0:{HTTP}\", anonymous = \"{ACCOUNT}/anybody\" }}\n\
             link = {{ address = \"0.0.0.0:{LINK}\", insecure = true }}\n{}{clients}",
            folder.join("hub"),
            account()
        );
        fs::write(&hub.config, text).context("write a configuration")?;
        Ok(Self { hub, edges })
    }
}

fn key(file: &Path) -> anyhow::Result<String> {
    fs::create_dir_all(file.parent().context("a file lies in a folder")?).context("make a data folder")?;
    Ok(keys::load_or_create(file)?.0.public_text())
}

/// Everybody may enter: whoever reads a dashboard's password is not what is tested.
fn account() -> String {
    format!(
        "[[account]]\nname = \"{ACCOUNT}\"\nid = \"{ACCOUNT_ID}\"\n\
         [[account.room]]\nname = \"{ROOM}\"\nhistory = \"log\"\n\
         [[account.user]]\nname = \"anybody\"\nrole = \"owner\"\n"
    )
}
