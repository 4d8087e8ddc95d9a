//! Sources beside the doors: brokers that others wrote, and lines on standard input.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::Client;
use crate::needs::{Need, needs};
use crate::place::Place;
use crate::program::{EVENTUALLY, Program, SOON, free_port, output, wait};
use crate::site::{Plan, SENSOR, Site};

/// A user of the foreign broker.
const USER: &str = "riser";
const PASSWORD: &str = "battery staple";

/// A broker that the site already has. It keeps its port and its data over its lives.
struct Broker {
    kind: &'static str,
    port: u16,
    folder: PathBuf,
    /// What its configuration says beside the port.
    more: String,
    program: Option<Program>,
}

impl Broker {
    fn start(kind: &'static str, site: &Site, more: &str) -> Self {
        let folder = site.folder.path().join("broker");
        fs::create_dir_all(&folder).expect("the folder can be written");
        let mut broker = Self { kind, port: free_port(), folder, more: more.to_owned(), program: None };
        broker.launch();
        broker
    }

    fn launch(&mut self) {
        let command = match self.kind {
            "mosquitto" => self.mosquitto(),
            _ => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_test-rumqttd"));
                command.arg(format!("127.0.0.1:{}", self.port));
                command
            }
        };
        let mut program = Program::start(self.kind, command, &self.folder);
        let port = self.port;
        program.wait_until("listening", SOON, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        self.program = Some(program);
    }

    /// Nothing that it keeps is bounded but by the disk, so that what is missing is not missing here.
    fn mosquitto(&self) -> Command {
        let (port, folder, more) = (self.port, self.folder.display(), &self.more);
        let anonymous = if more.contains("password_file") { "false" } else { "true" };
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous {anonymous}\npersistence true\npersistence_location {folder}/\n\
             max_queued_messages 0\nlog_type all\nuser root\n{more}\n"
        );
        let config = self.folder.join("mosquitto.conf");
        fs::write(&config, text).expect("the folder can be written");
        let mut command = Command::new(crate::needs::find("mosquitto").expect("the test needs it"));
        command.arg("-c").arg(config);
        command
    }

    /// SIGTERM, with which mosquitto writes down what it keeps.
    fn stop(&mut self) {
        let mut program = self.program.take().expect("it runs");
        program.signal(Signal::TERM);
        program.ended(SOON);
    }

    /// A publisher of a stream at it.
    fn publisher(&self, site: &Site, stream: &str, qos: u8, count: u64, rate: u64) -> Client {
        let asked = json!({
            "host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD,
            "client_id": format!("publisher-{stream}"), "version": 4, "topic": format!("plant/{stream}"),
            "stream": stream, "qos": qos, "count": count, "rate": rate,
        });
        Client::start(stream, "publish_mqttjs.mjs", &Place::Here, &asked, &site.history, site.folder.path())
    }
}

/// Adds a source of the broker's topics to the edge's file: `plant/x` is channel `old/x` of the hall.
fn add_source(site: &Site, broker: &Broker, qos: u8, more: &str) {
    let scheme = if more.contains("ca =") { "mqtts" } else { "mqtt" };
    let text = fs::read_to_string(&site.edge.config).expect("it was just written");
    let source = format!(
        "{text}\n[[source]]\nname = \"old\"\nas = \"{SENSOR}\"\nroom = \"hall\"\nstrip = 1\nprefix = \"old/\"\n\
         [source.mqtt]\nurl = \"{scheme}://127.0.0.1:{}\"\nclient_id = \"riser-test\"\nfilters = [\"plant/#\"]\n\
         qos = {qos}\n{more}\n",
        broker.port
    );
    site.edge.write_config(&source);
}

fn is_up(site: &Site) -> bool {
    site.edge.metric("riser_source_up", "source=\"old\"") == Some(1.0)
}

fn wait_up(site: &Site) {
    assert!(wait(SOON, || is_up(site).then_some(())).is_some(), "the source is up: {}", site.edge.printed());
}

fn counted(site: &Site, what: &str) -> f64 {
    site.edge.metric(&format!("riser_source_{what}"), "source=\"old\"").unwrap_or(0.0)
}

fn wait_for(site: &Site, count: u64) {
    site.history.wait(&format!("{count} delivered"), EVENTUALLY, |ledger| ledger.delivered("board") >= count);
}

/// Publishes a retained message at the broker.
fn retain(broker: &Broker, topic: &str, payload: &str) {
    let mut command = Command::new(crate::needs::find("mosquitto_pub").expect("the test needs it"));
    let port = broker.port.to_string();
    command.args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-r", "-t", topic, "-m", payload]);
    output(command);
}

#[test]
fn what_mosquitto_retains_is_stored_once_however_often_the_edge_is_killed() {
    needs!(Need::Program("mosquitto"), Need::Program("mosquitto_pub"), Need::Program("curl"));
    let mut site = Site::laid_out(Plan::default());
    let broker = Broker::start("mosquitto", &site, "");
    (0..5).for_each(|n| retain(&broker, &format!("plant/{n}"), "as it stands"));
    add_source(&site, &broker, 1, "");
    site.edge.start();
    wait_up(&site);
    let stored = |site: &Site, count: f64| {
        let has = || (counted(site, "acknowledged") >= count).then_some(());
        assert!(wait(SOON, has).is_some(), "acknowledged: {}", counted(site, "acknowledged"));
    };
    stored(&site, 5.0);
    for n in 0..2 {
        site.edge.kill();
        site.edge.start();
        wait_up(&site);
        // What is retained would come before what is published from here on.
        retain(&broker, "plant/0", &format!("as it stands after {n}"));
        stored(&site, 1.0);
        assert_eq!(counted(&site, "received"), 1.0, "none of it comes again");
    }
}

/// The broker is given a stream while the edge is down; the edge then has all of it.
fn kept_for_an_edge_that_is_down(kind: &'static str, qos: u8) {
    const COUNT: u64 = 400;
    let mut site = Site::laid_out(Plan::default());
    let broker = Broker::start(kind, &site, "");
    add_source(&site, &broker, qos, "");
    site.hub.start();
    site.edge.start();
    wait_up(&site);
    site.edge.stop();
    broker.publisher(&site, "s", qos, COUNT, 0).finish(EVENTUALLY);
    site.edge.start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    wait_for(&site, COUNT);
    let verdict = site.history.ledger().verdict("board");
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!((counted(&site, "received"), counted(&site, "stored")), (400.0, 400.0));
    let all = || (counted(&site, "acknowledged") >= 400.0).then_some(());
    assert!(wait(SOON, all).is_some(), "the broker is told: {}", counted(&site, "acknowledged"));
}

#[test]
fn mosquitto_keeps_for_an_edge_that_is_down_and_gives_it_all() {
    needs!(Need::Program("mosquitto"), Need::Program("curl"), Need::Node);
    kept_for_an_edge_that_is_down("mosquitto", 1);
}

#[test]
fn rumqttd_keeps_for_an_edge_that_is_down_and_gives_it_all() {
    needs!(Need::Program("curl"), Need::Node);
    kept_for_an_edge_that_is_down("rumqttd", 1);
}

/// An edge that is killed three times in mid stream, behind a broker that is not. Gives how many came twice.
fn killed_in_mid_stream(kind: &'static str, qos: u8) -> u64 {
    const COUNT: u64 = 1200;
    let mut site = Site::laid_out(Plan::default());
    let broker = Broker::start(kind, &site, "");
    add_source(&site, &broker, qos, "");
    site.hub.start();
    site.edge.start();
    wait_up(&site);
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let publisher = broker.publisher(&site, "s", qos, COUNT, 400);
    let mut resent = 0.0;
    for upto in [150, 450, 800] {
        wait_for(&site, upto);
        site.edge.kill();
        site.edge.start();
        wait_up(&site);
        resent += counted(&site, "resent");
    }
    publisher.finish(EVENTUALLY);
    wait_for(&site, COUNT);
    let verdict = site.history.ledger().verdict("board");
    assert!(verdict.is_clean_but_for_resent(), "{verdict:?}");
    // What the broker sends again while the edge comes up may be counted after the look.
    eprintln!("{kind} at QoS {qos}: {} twice, {resent} or more were sent again", verdict.duplicated);
    verdict.duplicated
}

#[test]
fn edge_killed_in_mid_stream_loses_nothing_that_mosquitto_had() {
    needs!(Need::Program("mosquitto"), Need::Program("curl"), Need::Node);
    killed_in_mid_stream("mosquitto", 1);
}

#[test]
fn edge_killed_in_mid_stream_takes_each_of_qos_2_once() {
    needs!(Need::Program("mosquitto"), Need::Program("curl"), Need::Node);
    let duplicated = killed_in_mid_stream("mosquitto", 2);
    assert_eq!(duplicated, 0);
}

#[test]
fn edge_killed_in_mid_stream_loses_nothing_that_rumqttd_had() {
    needs!(Need::Program("curl"), Need::Node);
    killed_in_mid_stream("rumqttd", 1);
}

/// rumqttd gives out packet ids anew after a cut, and does not say that it sends again: what it had at QoS 2 may come
/// twice, and none of it is taken for another.
#[test]
fn edge_killed_in_mid_stream_loses_nothing_that_rumqttd_had_at_qos_2() {
    needs!(Need::Program("curl"), Need::Node);
    killed_in_mid_stream("rumqttd", 2);
}

/// Killed exactly where what was read is on its way to the disk, and more behind it.
#[test]
fn edge_killed_in_the_nth_sync_loses_nothing_that_mosquitto_had() {
    const COUNT: u64 = 6000;
    needs!(Need::Program("mosquitto"), Need::Program("strace"), Need::Program("curl"), Need::Node);
    let mut site = Site::laid_out(Plan::default());
    let broker = Broker::start("mosquitto", &site, "");
    add_source(&site, &broker, 1, "");
    site.hub.start();
    site.edge.start();
    wait_up(&site);
    site.edge.stop();
    // A backlog, so that the source reads as fast as the disk takes it, and more to come, so that there is a next sync.
    let publisher = broker.publisher(&site, "s", 1, COUNT, 0);
    site.history.wait("a backlog", EVENTUALLY, |ledger| ledger.acked("s") >= COUNT / 4);
    for nth in [6, 7, 9] {
        let inject = format!("inject=fdatasync:signal=KILL:when={nth}");
        let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject];
        site.edge.under = strace.map(str::to_owned).into();
        site.edge.launch();
        site.edge.process().ended(EVENTUALLY);
    }
    site.edge.under = vec![];
    site.edge.start();
    publisher.finish(EVENTUALLY);
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    wait_for(&site, COUNT);
    let verdict = site.history.ledger().verdict("board");
    assert!(verdict.is_clean_but_for_resent(), "{verdict:?}");
    eprintln!("killed in the sync: {} of {COUNT} came twice", verdict.duplicated);
}

#[test]
fn broker_that_restarts_is_found_again_and_the_order_is_kept() {
    const COUNT: u64 = 600;
    needs!(Need::Program("mosquitto"), Need::Program("curl"), Need::Node);
    let mut site = Site::laid_out(Plan::default());
    let mut broker = Broker::start("mosquitto", &site, "");
    add_source(&site, &broker, 1, "");
    site.hub.start();
    site.edge.start();
    wait_up(&site);
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let publisher = broker.publisher(&site, "s", 1, COUNT, 400);
    for upto in [100, 300] {
        wait_for(&site, upto);
        broker.stop();
        let down = || (!is_up(&site)).then_some(());
        assert!(wait(SOON, down).is_some(), "a source whose broker is gone is not up");
        broker.launch();
        wait_up(&site);
    }
    publisher.finish(EVENTUALLY);
    wait_for(&site, COUNT);
    let verdict = site.history.ledger().verdict("board");
    assert!(verdict.is_clean_but_for_resent(), "{verdict:?}");
    assert!(counted(&site, "reconnects") >= 2.0);
    assert!(site.edge.printed().contains("source not connected"), "it says so");
}

#[test]
fn full_edge_leaves_messages_with_the_broker_until_it_has_room() {
    const COUNT: u64 = 300;
    const FILLERS: u32 = 120;
    needs!(Need::Program("mosquitto"), Need::Program("mosquitto_pub"), Need::Program("curl"), Need::Node);
    let quota = "quota = { bytes = \"16 MiB\", segment = \"4 MiB\" }";
    let mut site = Site::laid_out(Plan { edge_top: quota.into(), ..Plan::default() });
    let broker = Broker::start("mosquitto", &site, "");
    add_source(&site, &broker, 1, "");
    // Without a hub nothing is confirmed, and nothing may go.
    site.edge.start();
    wait_up(&site);
    let fillers = site.folder.path().join("fillers");
    let line = format!("{}\n", "x".repeat(200_000));
    fs::write(&fillers, line.repeat(FILLERS as usize)).expect("the folder can be written");
    let mut publish = Command::new("mosquitto_pub");
    publish.args(["-h", "127.0.0.1", "-p", &broker.port.to_string(), "-q", "1", "-t", "plant/filler", "-l"]);
    let published = publish.stdin(File::open(fillers).expect("it was just written")).status();
    assert!(published.is_ok_and(|status| status.success()), "the broker takes them");
    site.edge.process().wait_printed("the log's quota is used up", EVENTUALLY);
    broker.publisher(&site, "s", 1, COUNT, 0).finish(EVENTUALLY);
    let acknowledged = counted(&site, "acknowledged");
    assert!(acknowledged < f64::from(FILLERS), "what it has no room for is not acknowledged: {acknowledged}");
    site.hub.start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({ "channels": "old/s" }));
    wait_for(&site, COUNT);
    let verdict = site.history.ledger().verdict("board");
    assert!(verdict.is_clean_but_for_resent(), "{verdict:?}");
}

/// A certificate for this host: its PEM file and its key's.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("this is a good name");
    let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}-key.pem")));
    fs::write(&cert, made.cert.pem()).expect("the folder can be written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("the folder can be written");
    (cert, key)
}

#[test]
fn source_speaks_tls_and_believes_only_its_authorities_and_needs_its_password() {
    needs!(Need::Program("mosquitto"), Need::Program("mosquitto_pub"), Need::Program("curl"));
    let mut site = Site::laid_out(Plan::default());
    let folder = site.folder.path().to_owned();
    let (own, other) = (certificate(&folder, "own"), certificate(&folder, "other"));
    let (users, secret) = (folder.join("users"), folder.join("secret"));
    let mut passwords = Command::new("mosquitto_passwd");
    passwords.args(["-b", "-c"]).arg(&users).args([USER, PASSWORD]);
    output(passwords);
    let more = format!(
        "certfile {}\nkeyfile {}\npassword_file {}\n",
        own.0.display(),
        own.1.display(),
        users.display()
    );
    let broker = Broker::start("mosquitto", &site, &more);
    let plain = fs::read_to_string(&site.edge.config).expect("it was just written");
    for (ca, password, mode, want) in [
        (&other.0, PASSWORD, 0o600, "invalid peer certificate"),
        (&own.0, "wrong", 0o600, "the broker refuses the connection"),
        (&own.0, PASSWORD, 0o644, "its mode is 0644; want 0600"),
        (&own.0, PASSWORD, 0o600, "source connected"),
    ] {
        fs::write(&secret, password).expect("the folder can be written");
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).expect("the file is ours");
        site.edge.write_config(&plain);
        let login = format!("user = \"{USER}\"\npassword_file = {secret:?}\nca = {ca:?}\n");
        add_source(&site, &broker, 1, &login);
        // A source that cannot be reached keeps no edge from being ready.
        site.edge.start();
        site.edge.process().wait_printed(want, SOON);
        assert_eq!(is_up(&site), want == "source connected", "{want}");
        site.edge.stop();
    }
    assert!(!site.edge.printed().contains(PASSWORD), "no secret is printed");
    site.edge.start();
    wait_up(&site);
    let mut publish = Command::new("mosquitto_pub");
    publish.args(["-h", "127.0.0.1", "-p", &broker.port.to_string(), "-u", USER, "-P", PASSWORD, "--cafile"]);
    publish.arg(&own.0).args(["-q", "1", "-t", "plant/x", "-m", "over tls"]);
    output(publish);
    assert!(wait(SOON, || (counted(&site, "acknowledged") == 1.0).then_some(())).is_some());
}

/// Gives lines to `riser-edge pipe`.
fn pipe(site: &Site, lines: &[u8]) -> (Output, Value) {
    let input = site.folder.path().join("lines");
    fs::write(&input, lines).expect("the folder can be written");
    let mut command = site.edge.command(&["pipe", "--config"]);
    command.arg(&site.edge.config).stdin(File::open(input).expect("it was just written"));
    let output = command.stdout(Stdio::piped()).output().expect("the program can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let receipt = serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or(Value::Null);
    (output, receipt)
}

fn add_stdin(site: &Site) {
    let text = fs::read_to_string(&site.edge.config).expect("it was just written");
    site.edge
        .write_config(&format!("{text}\n[[source]]\nname = \"script\"\nas = \"{SENSOR}\"\nstdin = true\n"));
}

#[test]
fn every_line_is_on_disk_when_the_pipe_ends_well() {
    const COUNT: u64 = 20_000;
    needs!(Need::Program("curl"), Need::Node);
    let mut site = Site::laid_out(Plan::default());
    add_stdin(&site);
    let lines: String = (1..=COUNT).map(|n| format!("hall/script\tline {n}\n")).collect();
    let (output, receipt) = pipe(&site, lines.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        (&receipt["complete"], &receipt["stored"], &receipt["lines"]),
        (&json!(true), &json!(COUNT), &json!(COUNT))
    );
    // It ended without a word to anybody; whoever opens the log finds them all, and the hub gets them.
    let mut verify = site.edge.command(&["log", "verify", "--config"]);
    verify.arg(&site.edge.config);
    crate::program::output(verify);
    site.hub.start();
    site.edge.start();
    let asked = json!({ "channels": "script" });
    let _board = site.dashboard("board", &site.hub, "hall", asked);
    site.history.wait("the last line is there", EVENTUALLY, |ledger| {
        ledger.has_mark(&format!("board got line {COUNT}"))
    });
    let ledger = site.history.ledger();
    let missing = (1..=COUNT).filter(|n| !ledger.has_mark(&format!("board got line {n}"))).count();
    assert_eq!(missing, 0);
}

#[test]
fn bad_line_is_named_with_its_number_and_the_rest_is_taken() {
    let site = Site::laid_out(Plan::default());
    add_stdin(&site);
    let (output, receipt) = pipe(&site, b"hall/a\tone\nno tab\nnowhere/a\ttwo\nhall/a\tthree");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("line 2: no tab between a topic and a payload; want topic, tab, payload"),
        "{said}"
    );
    assert!(said.contains("line 3: publish to \"nowhere/a\""), "{said}");
    assert_eq!(
        (&receipt["complete"], &receipt["stored"], &receipt["refused"]),
        (&json!(false), &json!(2), &json!(2))
    );
    assert_eq!((&receipt["faults"][0]["line"], &receipt["faults"][1]["line"]), (&json!(2), &json!(3)));
}

#[test]
fn pipe_without_a_source_or_beside_a_running_edge_says_what_to_do() {
    needs!(Need::Program("curl"));
    let mut site = Site::laid_out(Plan::default());
    let (output, _) = pipe(&site, b"hall/a\tone\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("stdin = true"), "{said}");
    add_stdin(&site);
    site.edge.start();
    let (output, _) = pipe(&site, b"hall/a\tone\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("mosquitto_pub -l"), "{said}");
}
