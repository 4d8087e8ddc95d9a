//! A small installation on real sockets and a real disk: one hub, one edge, one account, generated files.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Client, History};
use crate::place::Place;
use crate::program::free_port;
pub use riser_integration::node::Node;
use riser_integration::node::{new_id, new_key};
use riser_integration::wire::Wire;

/// The account of every test.
pub const ACCOUNT: &str = "house";
/// A user who may do everything.
pub const OWNER: &str = "ann";
/// A user who may subscribe and nothing else.
pub const READER: &str = "rob";
/// A device at the edge: `sensors/x` is `hall`, `sensor/x`.
pub const SENSOR: &str = "sensor";
/// Everybody's password.
pub const PASSWORD: &str = "correct horse";

/// What a test wants otherwise than usual.
#[derive(Default)]
pub struct Plan {
    /// Where the hub runs, if not here.
    pub hub_place: Option<Place>,
    /// Where the edge runs, if not here.
    pub edge_place: Option<Place>,
    /// Lines for the top of the hub's file.
    pub hub_top: String,
    /// Lines for the hub's account.
    pub hub_account: String,
    /// Lines for the top of the edge's file.
    pub edge_top: String,
    /// Where the edge keeps its data, if not in the test's folder.
    pub edge_data: Option<PathBuf>,
    /// Another edge between the two.
    pub middle: bool,
}

/// The installation.
pub struct Site {
    /// Everything lies in here and goes with the test.
    pub folder: TempDir,
    /// The hub.
    pub hub: Node,
    /// The edge between the two, where the plan has one.
    pub middle: Option<Node>,
    /// The edge.
    pub edge: Node,
    /// What the clients saw.
    pub history: History,
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("what is left of the site is kept in {}", self.folder.path().display());
        }
    }
}

impl Site {
    /// Both programs, started and ready.
    pub fn start() -> Self {
        Self::planned(Plan::default())
    }

    /// The same, with a plan.
    pub fn planned(plan: Plan) -> Self {
        let mut site = Self::laid_out(plan);
        site.hub.start();
        if let Some(middle) = &mut site.middle {
            middle.start();
        }
        site.edge.start();
        site
    }

    /// The edge between the two.
    pub fn middle(&mut self) -> &mut Node {
        self.middle.as_mut().expect("it was planned")
    }

    /// Files and keys only; nothing runs yet.
    pub fn laid_out(plan: Plan) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let node = |kind, place: Option<Place>| {
            Node::new(kind, program(kind).as_ref(), place.unwrap_or(Place::Here), folder.path())
        };
        let mut hub = node("hub", plan.hub_place);
        let mut edge = node("edge", plan.edge_place);
        edge.data = plan.edge_data.unwrap_or(edge.data);
        let hub_key = new_key(program("hub").as_ref(), &hub.data.join("hub.key"));
        let edge_key = new_key(program("edge").as_ref(), &edge.data.join("edge.key"));
        hub.link = free_port();
        let id = || new_id(program("hub").as_ref());
        let ids = Ids { account: id(), edge: id(), middle: id() };
        let mut config = hub_file(&hub, &plan.hub_top, &ids, &edge_key);
        let middle = plan.middle.then(|| {
            let mut middle = Node::new("middle", program("edge").as_ref(), Place::Here, folder.path());
            middle.link = free_port();
            let key = new_key(program("edge").as_ref(), &middle.data.join("edge.key"));
            let Ids { middle: id, .. } = &ids;
            write!(
                config,
                "\n[[account.client]]\nname = \"middle\"\nid = \"{id}\"\nrole = \"member\"\nkey = \"{key}\"\nrelays = true\n"
            )
            .expect("text takes text");
            middle.write_config(&middle_file(&middle, &ids, (&hub, &hub_key), &edge_key));
            (middle, key)
        });
        hub.write_config(&(config + &plan.hub_account));
        let above = middle.as_ref().map_or((&hub, &hub_key), |(middle, key)| (middle, key));
        edge.write_config(&edge_file(&edge, &plan.edge_top, &ids, above.0, above.1));
        let middle = middle.map(|(middle, _)| middle);
        Self { folder, hub, middle, edge, history: History::default() }
    }

    /// The edge's uplink leads to the hub itself from its next start on.
    pub fn move_edge_to_hub(&mut self) {
        let key = |text: &str| text.lines().find(|line| line.starts_with("hub_key")).map(str::to_owned);
        let read = |node: &Node| std::fs::read_to_string(&node.config).expect("it was written");
        let middle = self.middle.as_ref().expect("it was planned");
        let (edge, above) = (read(&self.edge), read(middle));
        let (from, to) = (key(&edge).expect("it has an uplink"), key(&above).expect("it has an uplink"));
        let url = |link: u16| format!(":{link}/link");
        self.edge.write_config(&edge.replace(&from, &to).replace(&url(middle.link), &url(self.hub.link)));
    }

    /// The edge's uplink leads through a wire from its next start on.
    pub fn wire_edge(&mut self) -> Wire {
        let above = self.middle.as_ref().unwrap_or(&self.hub).link;
        let wire = Wire::to(above);
        let edge = std::fs::read_to_string(&self.edge.config).expect("it was written");
        let url = |link: u16| format!(":{link}/link");
        assert_eq!(edge.matches(&url(above)).count(), 1, "it has one uplink");
        self.edge.write_config(&edge.replace(&url(above), &url(wire.port)));
        wire
    }

    /// What the hub shows of its edges to its owner.
    pub fn status(&self) -> Value {
        let mut curl = self.hub.place.command("curl");
        let url = format!("http://127.0.0.1:{}/api/status", self.hub.http);
        curl.args(["--silent", "--fail", "--user", &format!("{OWNER}:{PASSWORD}"), &url]);
        serde_json::from_str(&crate::program::output(curl)).expect("the status is JSON")
    }

    /// Starts a client script beside one of the programs. It is told host, port, user and password.
    pub fn client(&self, name: &str, script: &str, node: &Node, user: &str, asked: Value) -> Client {
        let mut all = json!({
            "host": node.place.address(), "port": node.mqtt, "user": user, "password": PASSWORD, "client_id": name,
        });
        merge(&mut all, asked);
        Client::start(name, script, &node.place, &all, &self.history, self.folder.path())
    }

    /// Starts a dashboard on the `ws` package at one of the programs, in a room.
    pub fn dashboard(&self, name: &str, node: &Node, room: &str, asked: Value) -> Client {
        let url = format!("ws://{}:{}/{ACCOUNT}/{room}", node.place.address(), node.http);
        let mut all = json!({ "url": url, "user": OWNER, "password": PASSWORD, "reader": name });
        merge(&mut all, asked);
        Client::start(name, "envelope.mjs", &node.place, &all, &self.history, self.folder.path())
    }
}

/// The real program, in the bin of this package that calls it.
pub fn program(kind: &str) -> &'static str {
    match kind {
        "hub" => env!("CARGO_BIN_EXE_test-hub"),
        "edge" => env!("CARGO_BIN_EXE_test-edge"),
        other => panic!("there is no program {other}"),
    }
}

struct Ids {
    account: String,
    edge: String,
    middle: String,
}

/// The hash of everybody's password, made once.
pub fn password_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let mut command = Command::new(program("hub"));
        command.args(["account", "hash"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the hub's program can be started");
        let mut stdin = child.stdin.take().expect("it was piped");
        std::io::Write::write_all(&mut stdin, format!("{PASSWORD}\n").as_bytes())
            .expect("it reads a password");
        drop(stdin);
        let output = child.wait_with_output().expect("the child is ours");
        assert!(output.status.success(), "account hash: {}", output.status);
        String::from_utf8(output.stdout).expect("a hash is text").trim().to_owned()
    })
}

fn listeners(node: &Node) -> String {
    let address = node.place.address();
    let mut text = String::from("[listen]\n");
    writeln!(text, "mqtt = \"{address}:{}\"", node.mqtt).unwrap();
    writeln!(text, "http = \"{address}:{}\"", node.http).unwrap();
    writeln!(text, "operations = \"127.0.0.1:{}\"", node.operations).unwrap();
    text
}

/// The account, as both sides have it; only the edge's own key differs.
fn account(ids: &Ids, edge_key: Option<&str>) -> String {
    let hash = password_hash();
    let key = edge_key.map(|key| format!("key = \"{key}\"\n")).unwrap_or_default();
    let Ids { account, edge, .. } = ids;
    format!(
        r#"
[[account]]
name = "{ACCOUNT}"
id = "{account}"

[[account.user]]
name = "{OWNER}"
password = "{hash}"
role = "owner"

[[account.user]]
name = "{READER}"
password = "{hash}"
role = "reader"

[[account.client]]
name = "{SENSOR}"
password = "{hash}"
role = "member"

[[account.client]]
name = "edge"
id = "{edge}"
role = "member"
{key}
[[account.room]]
name = "hall"
history = "log"

[[account.room]]
name = "fleeting"
history = "none"

[[account.room]]
name = "lounge"
history = "session"

[[account.room]]
name = "shallow"
history = "log"
retention = {{ count = 20 }}

[[account.room]]
name = "orders"
history = "log"
down = true

[[account.room]]
name = "cellar"
history = "log"
linked = false
"#
    )
}

fn hub_file(hub: &Node, top: &str, ids: &Ids, edge_key: &str) -> String {
    let link = match &hub.place {
        Place::Here => format!("link = \"127.0.0.1:{}\"\n", hub.link),
        Place::Namespace(_, address) => {
            format!("link = {{ address = \"{address}:{}\", insecure = true }}\n", hub.link)
        }
    };
    format!("data = {:?}\n{top}\n{}{link}{}", hub.data, listeners(hub), account(ids, Some(edge_key)))
}

fn middle_file(middle: &Node, ids: &Ids, (hub, hub_key): (&Node, &str), edge_key: &str) -> String {
    format!(
        "data = {:?}\n{}link = \"127.0.0.1:{}\"\n\n[[uplink]]\nurl = \"ws://127.0.0.1:{}/link\"\nhub_key = \"{hub_key}\"\n\
         client = \"{}\"\n{}",
        middle.data,
        listeners(middle),
        middle.link,
        hub.link,
        ids.middle,
        account(ids, Some(edge_key)),
    )
}

fn edge_file(edge: &Node, top: &str, ids: &Ids, hub: &Node, hub_key: &str) -> String {
    format!(
        r#"data = {:?}
{top}
{}
[[uplink]]
url = "ws://{}:{}/link"
hub_key = "{hub_key}"
client = "{}"
insecure = true

[[binding]]
topics = "sensors/#"
room = "hall"
strip = 1
prefix = "{{client}}/"
{}"#,
        edge.data,
        listeners(edge),
        hub.place.address(),
        hub.link,
        ids.edge,
        account(ids, None),
    )
}

fn merge(all: &mut Value, asked: Value) {
    let (Value::Object(all), Value::Object(asked)) = (all, asked) else {
        panic!("a script is asked with an object")
    };
    all.extend(asked);
}
