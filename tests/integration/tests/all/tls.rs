//! TLS on every door and on the link, seen with tools that others wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::needs::{Need, needs};
use crate::program::{Program, SOON, output};
use crate::site::{Node, OWNER, PASSWORD, Plan, READER, SENSOR, Site};

/// A certificate for this host: its PEM file and its key's.
pub fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]);
    let made = made.expect("these are good names");
    let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}-key.pem")));
    fs::write(&cert, made.cert.pem()).expect("the folder can be written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("the folder can be written");
    (cert, key)
}

/// Turns TLS on for every door of a node.
fn encrypt(node: &Node, (cert, key): &(PathBuf, PathBuf)) {
    let mut text = fs::read_to_string(&node.config).expect("it was just written");
    for (kind, port) in [("mqtt", node.mqtt), ("http", node.http), ("link", node.link)] {
        let plain = format!("{kind} = \"127.0.0.1:{port}\"");
        text = text.replace(&plain, &format!("{kind} = {{ address = \"127.0.0.1:{port}\", tls = true }}"));
    }
    let tls = format!("[tls]\ncert = {cert:?}\nkey = {key:?}\n\n[listen]");
    node.write_config(&text.replace("[listen]", &tls));
}

fn mosquitto(program: &str, node: &Node, user: &str, ca: Option<&Path>) -> Command {
    let mut command = Command::new("stdbuf");
    command.args([
        "-oL",
        program,
        "-h",
        "127.0.0.1",
        "-p",
        &node.mqtt.to_string(),
        "-u",
        user,
        "-P",
        PASSWORD,
    ]);
    if let Some(ca) = ca {
        command.arg("--cafile").arg(ca);
    }
    command
}

#[test]
fn doors_and_link_speak_tls_and_nothing_else_when_told_to() {
    needs!(Need::Program("mosquitto_pub"), Need::Program("mosquitto_sub"), Need::Program("curl"));
    let mut site = Site::laid_out(Plan::default());
    let (own, other) = (certificate(site.folder.path(), "own"), certificate(site.folder.path(), "other"));
    let ca = own.0.as_path();
    encrypt(&site.hub, &own);
    encrypt(&site.edge, &own);
    let edge = fs::read_to_string(&site.edge.config).expect("it was just written");
    let uplink =
        edge.replace("url = \"ws://", "url = \"wss://").replace("insecure = true", &format!("ca = {ca:?}"));
    assert_ne!(edge, uplink);
    site.edge.write_config(&uplink);
    site.hub.start();
    site.edge.start();

    let mut subscriber = mosquitto("mosquitto_sub", &site.hub, READER, Some(ca));
    subscriber.args(["-q", "1", "-v", "-d", "-t", "hall/#"]);
    let mut subscriber = Program::start("mosquitto_sub", subscriber, site.folder.path());
    subscriber.wait_printed("received SUBACK", SOON);
    let publish = |ca: Option<&Path>, text: &str| {
        let mut command = mosquitto("mosquitto_pub", &site.edge, SENSOR, ca);
        command.args(["-q", "1", "-t", "sensors/x", "-m", text]);
        command
    };
    let arrives = |mut command: Command| command.output().expect("it can be started").status.success();
    assert!(!arrives(publish(None, "in the clear")), "a TLS port takes no plain connection");
    assert!(!arrives(publish(Some(&other.0), "to a stranger")), "a client believes only its own authority");
    output(publish(Some(ca), "sealed"));
    subscriber.wait_printed(&format!("hall/{SENSOR}/x sealed"), SOON);
    assert!(!subscriber.printed().contains("clear"), "{}", subscriber.printed());

    let status = format!("https://127.0.0.1:{}/api/status", site.hub.http);
    site.hub.process().wait_until("the link is flowing, over TLS", SOON, || {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--user", &format!("{OWNER}:{PASSWORD}"), "--cacert"]).arg(ca);
        curl.arg(&status);
        output(curl).contains("\"flowing\"")
    });
}

#[test]
fn edge_that_does_not_know_the_hubs_certificate_sends_nothing() {
    needs!(Need::Program("mosquitto_pub"), Need::Program("curl"));
    let mut site = Site::laid_out(Plan::default());
    let (own, other) = (certificate(site.folder.path(), "own"), certificate(site.folder.path(), "other"));
    encrypt(&site.hub, &own);
    let edge = fs::read_to_string(&site.edge.config).expect("it was just written");
    let edge = edge.replace("url = \"ws://", "url = \"wss://");
    site.edge.write_config(&edge.replace("insecure = true", &format!("ca = {:?}", other.0)));
    site.hub.start();
    site.edge.start();
    let mut publish = mosquitto("mosquitto_pub", &site.edge, SENSOR, None);
    publish.args(["-q", "1", "-t", "sensors/x", "-m", "waits"]);
    output(publish);
    site.edge.process().wait_printed("certificate", SOON);
    let [accepted, synced, queued, _] = site.edge.equation().expect("the edge counts");
    assert!(accepted >= 1.0 && synced == 0.0 && queued == accepted, "{accepted} {synced} {queued}");
}
