//! A hub and its edges as they are shipped, with generated files; and the clients beside them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use riser_integration::client::{Client, History};
use riser_integration::node::{Node, new_id, new_key};
use riser_integration::place::Place;
use riser_integration::program::free_port;
use riser_timeline::{Network, Scenario, Who};
use serde::Serialize;

/// The account of everything.
pub const ACCOUNT: &str = "chaos";
/// The room of everything.
pub const ROOM: &str = "hall";

const EDGE: &str = "riser-edge";
const HUB: &str = "riser-hub";

/// Builds both programs as this one was built. They lie beside it then.
pub fn build() -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--locked", "--package", EDGE, "--package", HUB]);
    build.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml")]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    build.arg("--target-dir").arg(program("..")?);
    let status = build.stdin(Stdio::null()).status().context("run cargo")?;
    ensure!(status.success(), "riser-edge and riser-hub do not build");
    Ok(())
}

/// What lies beside this program.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    Ok(own.parent().context("a program lies in a folder")?.join(name))
}

/// The programs of a run. Edges are in their order.
pub struct Site {
    /// The hub.
    pub hub: Node,
    /// The edges.
    pub edges: Vec<Node>,
    folder: PathBuf,
}

impl Site {
    /// Files and keys; nothing runs yet. Data folders may be mount points already.
    pub fn lay_out(
        scenario: &Scenario,
        folder: &Path,
        hub_place: Place,
        edge_place: Place,
    ) -> anyhow::Result<Self> {
        let (hub_program, edge_program) = (program(HUB)?, program(EDGE)?);
        let mut hub = Node::new(&Who::Hub.to_string(), &hub_program, hub_place, folder);
        hub.link = free_port();
        let hub_key = new_key(&hub_program, &hub.data.join("hub.key"));
        let account = new_id(&hub_program);
        let mut edges = vec![];
        let mut accounts = account_text(&account);
        for n in 0..scenario.edges {
            let who = Who::Edge(n);
            let edge = Node::new(&who.to_string(), &edge_program, edge_place.clone(), folder);
            let id = new_id(&edge_program);
            let key = new_key(&edge_program, &edge.data.join("edge.key"));
            let uplink = format!(
                "[[uplink]]\nurl = \"ws://{}:{}/link\"\nhub_key = \"{hub_key}\"\nclient = \"{id}\"\ninsecure = true\n",
                hub.place.address(),
                hub.link
            );
            edge.write_config(&file(&edge, &set(scenario, who), "", &uplink, &account_text(&account)));
            write!(
                accounts,
                "[[account.client]]\nname = \"{who}\"\nid = \"{id}\"\nkey = \"{key}\"\nrole = \"writer\"\n"
            )?;
            edges.push(edge);
        }
        let insecure = scenario.network != Network::Here;
        let link = format!(
            "link = {{ address = \"{}:{}\", insecure = {insecure} }}\n",
            hub.place.address(),
            hub.link
        );
        hub.write_config(&file(&hub, &set(scenario, Who::Hub), &link, "", &accounts));
        Ok(Self { hub, edges, folder: folder.to_owned() })
    }

    /// One of the programs.
    pub fn node(&mut self, who: Who) -> anyhow::Result<&mut Node> {
        match who {
            Who::Hub => Ok(&mut self.hub),
            Who::Edge(n) => self.edges.get_mut(n).with_context(|| format!("there is no {who}")),
        }
    }

    /// Everybody that there is.
    pub fn everybody(&self) -> Vec<Who> {
        (0..self.edges.len()).map(Who::Edge).chain([Who::Hub]).collect()
    }

    /// Starts this very program as a client, beside one of the programs.
    pub fn client(
        &self,
        name: &str,
        node: &Node,
        verb: &str,
        asked: &impl Serialize,
        history: &History,
    ) -> anyhow::Result<Client> {
        let own = std::env::current_exe().context("find this program")?;
        let mut command = node.place.command(own);
        command.arg(verb).arg(serde_json::to_string(asked).context("ask a client")?);
        Ok(Client::run(name, command, history, &self.folder))
    }
}

fn set(scenario: &Scenario, who: Who) -> String {
    let own = scenario.settings.iter().filter(|(whose, _)| *whose == who);
    own.map(|(_, line)| format!("{line}\n")).collect()
}

fn file(node: &Node, top: &str, link: &str, uplink: &str, accounts: &str) -> String {
    let anonymous = format!("anonymous = \"{ACCOUNT}/anybody\"");
    format!(
        "data = {:?}\n{top}[listen]\n\
         mqtt = {{ address = \"127.0.0.1:{}\", {anonymous} }}\n\
         http = {{ address = \"127.0.0.1:{}\", {anonymous} }}\n\
         operations = \"127.0.0.1:{}\"\n{link}{uplink}{accounts}",
        node.data, node.mqtt, node.http, node.operations
    )
}

/// Everybody may enter: whoever reads a dashboard's password is not what is tested.
fn account_text(id: &str) -> String {
    format!(
        "[[account]]\nname = \"{ACCOUNT}\"\nid = \"{id}\"\n\
         [[account.room]]\nname = \"{ROOM}\"\nhistory = \"log\"\n\
         [[account.user]]\nname = \"anybody\"\nrole = \"owner\"\n"
    )
}
