//! The two brokers of the run, with the same doors: one for passwords, one over TLS, one for everybody, one for
//! WebSockets. Each has its folder and keeps its ports over its lives.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::node::new_id;
use crate::program::{Program, SOON, free_port, output, wait};

/// Who may do everything.
pub const USER: &str = "ann";
/// The password.
pub const PASSWORD: &str = "correct horse";

/// Which broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// What the run compares with.
    Mosquitto,
    /// An edge that one binding of `#` makes a plain broker.
    Riser,
}

impl Kind {
    /// As a table names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::Riser => "Riser",
        }
    }
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// MQTT with passwords.
    pub plain: u16,
    /// MQTT with passwords over TLS.
    pub tls: u16,
    /// MQTT for everybody.
    pub open: u16,
    /// MQTT with passwords over WebSockets, at `/mqtt`.
    pub ws: u16,
    operations: u16,
}

/// A running broker. It is gone when it is dropped.
pub struct Broker {
    kind: Kind,
    /// Where it listens.
    pub ports: Ports,
    folder: TempDir,
    own: PathBuf,
    program: Option<Program>,
}

impl Broker {
    /// Starts one in a folder of its own; `own` is the program that its first argument makes an edge.
    pub fn start(kind: Kind, own: &Path) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let [plain, tls, open, ws, operations] = std::array::from_fn(|_| free_port());
        let ports = Ports { plain, tls, open, ws, operations };
        let mut broker = Self { kind, ports, folder, own: own.to_owned(), program: None };
        broker.write_certificate();
        match kind {
            Kind::Mosquitto => broker.write_mosquitto(),
            Kind::Riser => broker.write_edge(),
        }
        broker.launch();
        broker
    }

    /// Which one.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The authority that its clients believe over TLS.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("own.pem")
    }

    /// SIGKILL, and its next life.
    pub fn kill_and_start(&mut self) {
        self.program.as_mut().expect("it was started").kill();
        self.launch();
    }

    /// SIGTERM, and its next life.
    pub fn stop_and_start(&mut self) {
        let program = self.program.as_mut().expect("it was started");
        program.signal(Signal::TERM);
        program.ended(SOON);
        self.launch();
    }

    /// Starts it again where it ended by itself.
    pub fn make_sure_it_runs(&mut self) {
        if !self.program.as_mut().is_some_and(Program::runs) {
            self.launch();
        }
    }

    /// What it printed.
    pub fn printed(&self) -> String {
        self.program.as_ref().map(Program::printed).unwrap_or_default()
    }

    fn launch(&mut self) {
        let (program, config) = match self.kind {
            Kind::Mosquitto => ("mosquitto".into(), "mosquitto.conf"),
            Kind::Riser => (self.own.clone(), "edge.toml"),
        };
        let mut command = Command::new(program);
        match self.kind {
            Kind::Mosquitto => command.arg("-c"),
            Kind::Riser => command.args(["serve", "--config"]),
        };
        command.arg(self.folder.path().join(config));
        self.program = Some(Program::start(self.kind.name(), command, self.folder.path()));
        let ports = [self.ports.plain, self.ports.tls, self.ports.open, self.ports.ws];
        let listens = |port: &u16| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let ready = wait(SOON, || ports.iter().all(listens).then_some(()));
        assert!(ready.is_some(), "{} listens: {}", self.kind.name(), self.printed());
    }

    fn write_certificate(&self) {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("these are good names");
        self.write("own.pem", &made.cert.pem());
        self.write("own-key.pem", &made.signing_key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("the temporary folder can be written");
    }

    fn write_mosquitto(&self) {
        let folder = self.folder.path().display();
        let mut passwords = Command::new("mosquitto_passwd");
        passwords.args(["-b", "-c"]).arg(self.folder.path().join("users")).args([USER, PASSWORD]);
        output(passwords);
        let locked = format!("allow_anonymous false\npassword_file {folder}/users\n");
        let Ports { plain, tls, open, ws, .. } = self.ports;
        // Its own bound of 1000 queued messages would only show that it has one.
        let text = format!(
            "user root\nper_listener_settings true\npersistence true\npersistence_location {folder}/\n\
             max_queued_messages 0\nsys_interval 1\n\
             listener {plain} 127.0.0.1\n{locked}\
             listener {tls} 127.0.0.1\n{locked}certfile {folder}/own.pem\nkeyfile {folder}/own-key.pem\n\
             listener {open} 127.0.0.1\nallow_anonymous true\n\
             listener {ws} 127.0.0.1\nprotocol websockets\n{locked}"
        );
        self.write("mosquitto.conf", &text);
    }

    fn write_edge(&self) {
        let folder = self.folder.path();
        let data = folder.join("data");
        fs::create_dir_all(&data).expect("the temporary folder can be written");
        let Ports { plain, tls, open, ws, operations } = self.ports;
        let text = format!(
            r##"data = {data:?}

[listen]
operations = "127.0.0.1:{operations}"
http = "127.0.0.1:{ws}"

[[listen.mqtt]]
address = "127.0.0.1:{plain}"

[[listen.mqtt]]
address = "127.0.0.1:{tls}"
tls = true

[[listen.mqtt]]
address = "127.0.0.1:{open}"
anonymous = "house/{USER}"

[tls]
cert = {:?}
key = {:?}

[[binding]]
topics = "#"
room = "plant"

[[account]]
name = "house"
id = "{}"

[[account.user]]
name = "{USER}"
password = "{}"
role = "owner"

[[account.room]]
name = "plant"
history = "log"
"##,
            folder.join("own.pem"),
            folder.join("own-key.pem"),
            new_id(&self.own),
            self.password_hash(),
        );
        self.write("edge.toml", &text);
    }

    fn password_hash(&self) -> String {
        let mut command = Command::new(&self.own);
        command.args(["account", "hash"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the edge's program can be started");
        let mut stdin = child.stdin.take().expect("it was piped");
        stdin.write_all(format!("{PASSWORD}\n").as_bytes()).expect("it reads a password");
        drop(stdin);
        let output = child.wait_with_output().expect("the child is ours");
        String::from_utf8(output.stdout).expect("a hash is text").trim().to_owned()
    }
}
