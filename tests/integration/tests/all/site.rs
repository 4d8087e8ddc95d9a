//! A small installation on real sockets and a real disk: one hub, one edge, one account, generated files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Client, History};
use crate::place::Place;
use crate::program::{Program, SOON, free_port, output};

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
    /// Lines for the top of the edge's file.
    pub edge_top: String,
    /// Where the edge keeps its data, if not in the test's folder.
    pub edge_data: Option<PathBuf>,
}

/// One of the two programs: its files, its ports, and its process while it runs.
pub struct Node {
    kind: &'static str,
    /// Where it runs.
    pub place: Place,
    /// Its MQTT port.
    pub mqtt: u16,
    /// Its HTTP and WebSocket port.
    pub http: u16,
    /// Its operations port.
    pub operations: u16,
    /// Its link port, used by the hub only.
    pub link: u16,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its data folder.
    pub data: PathBuf,
    /// A program with its arguments that it is run under, for exact faults.
    pub under: Vec<String>,
    folder: PathBuf,
    program: Option<Program>,
}

/// The installation.
pub struct Site {
    /// Everything lies in here and goes with the test.
    pub folder: TempDir,
    /// The hub.
    pub hub: Node,
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
        site.edge.start();
        site
    }

    /// Files and keys only; nothing runs yet.
    pub fn laid_out(plan: Plan) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let mut hub = Node::new("hub", plan.hub_place, folder.path(), None);
        let edge = Node::new("edge", plan.edge_place, folder.path(), plan.edge_data);
        let hub_key = new_key(&hub.data.join("hub.key"));
        let edge_key = new_key(&edge.data.join("edge.key"));
        hub.link = free_port();
        let ids = Ids { account: new_id(), edge: new_id() };
        hub.write_config(&hub_file(&hub, &plan.hub_top, &ids, &edge_key));
        edge.write_config(&edge_file(&edge, &plan.edge_top, &ids, &hub, &hub_key));
        Self { folder, hub, edge, history: History::default() }
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

impl Node {
    fn new(kind: &'static str, place: Option<Place>, folder: &Path, data: Option<PathBuf>) -> Self {
        let data = data.unwrap_or_else(|| folder.join(kind));
        fs::create_dir_all(&data).expect("the temporary folder can be written");
        Self {
            kind,
            place: place.unwrap_or(Place::Here),
            mqtt: free_port(),
            http: free_port(),
            operations: free_port(),
            link: 0,
            config: folder.join(format!("{kind}.toml")),
            data,
            under: vec![],
            folder: folder.to_owned(),
            program: None,
        }
    }

    /// Replaces its configuration file.
    pub fn write_config(&self, text: &str) {
        fs::write(&self.config, text).expect("the temporary folder can be written");
    }

    /// Starts it and waits until it is ready.
    pub fn start(&mut self) {
        self.launch();
        self.wait_ready();
    }

    /// Starts it.
    pub fn launch(&mut self) {
        let mut command = match self.under.split_first() {
            None => self.place.command(program(self.kind)),
            Some((outer, arguments)) => {
                let mut command = self.place.command(outer);
                command.args(arguments).arg(program(self.kind));
                command
            }
        };
        command.arg("serve").arg("--config").arg(&self.config).env("RUST_BACKTRACE", "1");
        self.program = Some(Program::start(self.kind, command, &self.folder));
    }

    /// Waits until its `/readyz` says yes.
    pub fn wait_ready(&mut self) {
        let (place, operations) = (self.place.clone(), self.operations);
        let ready = || get(&place, operations, "/readyz").is_some_and(|(status, _)| status == 200);
        self.process().wait_until("ready", SOON, ready);
    }

    /// Its process. It must have been started.
    pub fn process(&mut self) -> &mut Program {
        self.program.as_mut().expect("the test started it")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process().kill();
        self.program = None;
    }

    /// SIGTERM, and waits for a good end.
    pub fn stop(&mut self) {
        self.process().signal(Signal::TERM);
        let status = self.process().ended(SOON);
        assert!(status.success(), "{} ended with {status} after SIGTERM", self.kind);
        self.program = None;
    }

    /// Everything that it printed, over all its lives.
    pub fn printed(&self) -> String {
        let log = self.folder.join(format!("{}.log", self.kind));
        String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
    }

    /// Runs one of its commands to the end, with its configuration where it takes one.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(self.kind));
        command.args(arguments);
        command
    }

    /// The sum of a metric over all its series whose labels contain `label`; none when there is no such series.
    pub fn metric(&self, name: &str, label: &str) -> Option<f64> {
        let (status, text) = get(&self.place, self.operations, "/metrics")?;
        assert_eq!(status, 200, "metrics of the {}", self.kind);
        sum(&text, name, label)
    }

    /// The equation of an uplink, as its metrics say it: accepted, synced, queued, gapped.
    pub fn equation(&self) -> Option<[f64; 4]> {
        let (_, text) = get(&self.place, self.operations, "/metrics")?;
        let one = |what: &str| sum(&text, &format!("riser_uplink_{what}"), "");
        Some([one("accepted")?, one("synced")?, one("queued")?, one("gapped")?])
    }
}

/// A GET at an operations or HTTP port, through curl: status and body. None when nothing answers.
pub fn get(place: &Place, port: u16, path: &str) -> Option<(u16, String)> {
    let mut command = place.command("curl");
    let url = format!("http://127.0.0.1:{port}{path}");
    command.args(["--silent", "--max-time", "5", "--write-out", "\n%{http_code}", &url]);
    let output = command.stdin(Stdio::null()).output().expect("curl is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n')?;
    let status = status.parse().ok().filter(|status| *status != 0)?;
    Some((status, body.to_owned()))
}

fn sum(text: &str, name: &str, label: &str) -> Option<f64> {
    let mut found: Option<f64> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (series_name, labels) = series.split_once('{').unwrap_or((series, ""));
        if series_name.strip_suffix("_total").unwrap_or(series_name) == name && labels.contains(label) {
            *found.get_or_insert(0.0) += value.parse::<f64>().unwrap_or(0.0);
        }
    }
    found
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
}

fn new_id() -> String {
    let mut command = Command::new(program("hub"));
    command.args(["id", "new"]);
    output(command).trim().to_owned()
}

/// Makes a key file and gives its public key.
fn new_key(path: &Path) -> String {
    let run = |verb| {
        let mut command = Command::new(program("hub"));
        command.args(["key", verb]).arg(path);
        output(command).trim().to_owned()
    };
    run("new");
    run("show")
}

/// The hash of everybody's password, made once.
fn password_hash() -> &'static str {
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
    let Ids { account, edge } = ids;
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

#[test]
fn metrics_are_summed_over_the_series_that_are_meant() {
    let text = "# HELP x y\nriser_a_total{u=\"1\"} 2\nriser_a_total{u=\"2\"} 3\nriser_ab 9\nriser_c 1\n";
    assert_eq!(sum(text, "riser_a", ""), Some(5.0));
    assert_eq!(sum(text, "riser_a", "u=\"2\""), Some(3.0));
    assert_eq!(sum(text, "riser_c", ""), Some(1.0));
    assert_eq!(sum(text, "riser_d", ""), None);
}
