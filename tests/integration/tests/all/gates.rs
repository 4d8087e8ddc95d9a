//! Gates over real sockets: a person at a terminal, a device with a key that OpenSSH made.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use riser_integration::needs::Need;
use serde_json::json;
use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use tokio::time::timeout;

use crate::mqtt_wire::{Mqtt, Version};
use crate::needs::needs;
use crate::program::{SOON, output, wait};
use crate::site::{ACCOUNT, Node, OWNER, PASSWORD, Plan, Site};
use crate::terminal::Terminal;

/// The device's UUID: its address, which proves nothing.
pub const PUMP: &str = "6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a11";

/// Makes a key as a device has one, and says its public half.
pub fn made_key(folder: &Path) -> String {
    let key = folder.join("id_ed25519");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    std::fs::read_to_string(key.with_extension("pub")).unwrap().trim().to_owned()
}

/// A hub with a room behind a gate, and a device that has a key.
fn site(folder: &Path) -> Site {
    let public = made_key(folder);
    let hub_account = format!(
        r#"
[[account.room]]
name = "vault"
gate = ["key", {{ seats = 2 }}]

[[account.client]]
name = "pump"
id = "{PUMP}"
keys = ["{public}"]
role = "member"
"#
    );
    let mut site = Site::laid_out(Plan { hub_account, ..Plan::default() });
    site.hub.start();
    site
}

/// Signs as `ssh-keygen -Y sign` does.
pub fn sign(folder: &Path, message: &str) -> String {
    let file = folder.join("challenge");
    std::fs::write(&file, message).unwrap();
    drop(std::fs::remove_file(file.with_extension("sig")));
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-n", "riser-gate", "-f"]).arg(folder.join("id_ed25519")).arg(&file);
    assert!(command.status().unwrap().success());
    std::fs::read_to_string(folder.join("challenge.sig")).unwrap()
}

#[tokio::test]
async fn person_at_a_terminal_talks_its_way_into_a_room_and_a_stranger_is_dropped() {
    needs!(Need::Program("curl"), Need::Program("ssh-keygen"));
    let folder = tempfile::tempdir().unwrap();
    let site = site(folder.path());

    let mut person = Terminal::open(&site, "/", None).await;
    let hello = person.hears("name: ").await;
    assert!(hello.starts_with("command: ttymode\r\nw\rwh\r"), "{hello:?}");
    person.say(&format!("{ACCOUNT}/{OWNER}")).await;
    person.hears("password: ").await;
    person.say(PASSWORD).await;
    person.hears("welcome, house/ann").await;
    person.say("rooms").await;
    let rooms = person.hears("hall").await;
    assert!(rooms.contains("vault (0 here, behind a gate)"), "{rooms}");
    person.say("connect to room hall").await;
    person.hears("you are in hall").await;
    let mut other = Terminal::open(&site, "/", None).await;
    // What is typed ahead of a question answers nothing.
    other.hears("name: ").await;
    other.say(&format!("{ACCOUNT}/{OWNER}")).await;
    other.hears("password: ").await;
    other.say(PASSWORD).await;
    other.hears("welcome").await;
    other.say("connect to hall").await;
    other.hears("you are in hall").await;
    other.say("say board/news hello from the other side").await;
    person.hears("board/news: hello from the other side").await;
    person.say("quit").await;
    person.hears("goodbye").await;
    person.is_dropped().await;

    // By a proxy on this host that nobody named: what is held against it would be held against everybody.
    for _ in 0..3 {
        let stranger = Terminal::behind(site.hub.http, "/", Some("198.51.100.7")).await;
        guesses(stranger, "name: ", "!! incorrect").await;
    }
    for _ in 0..2 {
        guesses(Terminal::open(&site, "/", None).await, "name: ", "!! incorrect").await;
    }
    is_known(Terminal::open(&site, "/", None).await, "ooh you again! ...\r\nNope!").await;
    Terminal::behind(site.hub.http, "/", Some("198.51.100.7")).await.hears("name: ").await;
    // Programs that come from there are asked for nothing of what people did.
    let credential = json!({ "user": OWNER, "password": PASSWORD });
    Terminal::program(&site, &format!("/{ACCOUNT}/hall"), credential).await.unwrap();
}

/// Somebody at a terminal is asked for its name in these words, gets the password wrong, and hears so in those.
async fn guesses(mut stranger: Terminal, asked: &str, incorrect: &str) {
    stranger.hears(asked).await;
    stranger.say(&format!("{ACCOUNT}/{OWNER}")).await;
    stranger.heard().await.expect("it is asked for the password");
    stranger.say("hunter2").await;
    assert_eq!(stranger.heard().await.as_deref(), Some(incorrect));
    stranger.is_dropped().await;
}

/// It is known again, hears so, and is asked nothing.
async fn is_known(mut offender: Terminal, words: &str) {
    assert_eq!(offender.heard().await.as_deref(), Some(words));
    offender.is_dropped().await;
}

#[tokio::test]
async fn offender_is_known_again_in_the_words_of_the_configuration_and_by_its_own_address_behind_a_proxy() {
    needs!(Need::Program("curl"));
    let hub_top = r#"
[tty]
greeting = "hark"
prompter = "speak"
name = "thy name? "
password = "the word? "
incorrect = "alas"
again = "thee again"
nope = "begone"
"#;
    let mut site = Site::laid_out(Plan { hub_top: hub_top.into(), ..Plan::default() });
    let text = std::fs::read_to_string(&site.hub.config).unwrap();
    let address = format!("\"127.0.0.1:{}\"", site.hub.http);
    let proxied = format!("http = {{ address = {address}, proxies = [\"127.0.0.1\"] }}");
    let text = text.replacen(&format!("http = {address}"), &proxied, 1);
    assert!(text.contains("proxies"), "{text}");
    site.hub.write_config(&text);
    site.hub.start();
    let behind = async |client: Option<&str>| Terminal::behind(site.hub.http, "/", client).await;
    let asked = "hark\r\ns\rsp\rspe\rspea\rspeak\r\r\nthy name? ";
    for _ in 0..2 {
        guesses(behind(Some("198.51.100.7")).await, asked, "alas").await;
    }
    is_known(behind(Some("198.51.100.7")).await, "thee again\r\nbegone").await;
    // Somebody else behind the same proxy, and everybody of whom that says nothing.
    guesses(behind(Some("198.51.100.8")).await, asked, "alas").await;
    for _ in 0..3 {
        guesses(behind(None).await, asked, "alas").await;
    }
}

#[test]
fn person_with_wscat_talks_its_way_into_a_room_and_says_something_there() {
    needs!(Need::Program("ssh-keygen"), Need::Node);
    let folder = tempfile::tempdir().unwrap();
    let site = site(folder.path());
    let mut wscat = Command::new(riser_integration::needs::node_tools().join("node_modules/.bin/wscat"));
    wscat.args(["--connect", &format!("ws://127.0.0.1:{}/", site.hub.http)]);
    let mut wscat = wscat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut typed, mut shown) = (wscat.stdin.take().unwrap(), wscat.stdout.take().unwrap());
    let screen = Arc::new(Mutex::new(String::new()));
    let shows = Arc::clone(&screen);
    let reader = std::thread::spawn(move || {
        let mut part = [0; 1024];
        while let Ok(count @ 1..) = shown.read(&mut part) {
            shows.lock().unwrap().push_str(&String::from_utf8_lossy(&part[..count]));
        }
    });
    let shown = || screen.lock().unwrap().clone();
    // What is shown since the last line was typed.
    let mut answered = |line: &str, answer: &str| {
        let before = shown().len();
        if !line.is_empty() {
            writeln!(typed, "{line}").unwrap();
        }
        let is_there = || {
            let shown = shown();
            let since = if line.is_empty() { 0 } else { before };
            shown.get(since..)?.contains(answer).then_some(())
        };
        assert!(wait(SOON, is_there).is_some(), "{answer:?} after {line:?}: {}", shown());
    };
    answered("", "name: ");
    answered(&format!("{ACCOUNT}/{OWNER}"), "password: ");
    answered(PASSWORD, "welcome, house/ann");
    answered("connect to room hall", "you are in hall");
    answered("say board/news from a terminal", "board/news: from a terminal");
    answered("quit", "goodbye");
    drop(typed);
    // It ends when it is closed.
    assert!(wait(SOON, || wscat.try_wait().unwrap()).is_some(), "it goes on: {}", shown());
    reader.join().unwrap();
    assert!(!shown().contains(PASSWORD), "it is not repeated");
}

#[tokio::test]
async fn program_is_moved_from_the_lobby_into_a_room_and_on_into_another_one() {
    needs!(Need::Program("curl"), Need::Program("ssh-keygen"));
    let folder = tempfile::tempdir().unwrap();
    let site = site(folder.path());
    let mut program = Terminal::open(&site, "/", Some("riser.v1.json")).await;
    let user = format!("{ACCOUNT}/{OWNER}");
    let hello = json!({ "op": "hello", "id": 1, "credential": { "user": user, "password": PASSWORD } });
    program.say(&hello.to_string()).await;
    assert_eq!(program.json().await["ok"]["name"], OWNER);
    program.say(r#"{"op":"rooms","id":2}"#).await;
    let rooms = program.json().await;
    let gated = |name: &str| {
        let rooms = rooms["ok"]["rooms"].as_array().unwrap();
        rooms.iter().find(|room| room["name"] == name).map(|room| room["gated"] == true)
    };
    assert_eq!((gated("hall"), gated("vault"), gated("attic")), (Some(false), Some(true), None), "{rooms}");
    program.say(r#"{"op":"move","id":3,"room":"attic"}"#).await;
    assert_eq!(program.json().await["error"]["code"], "denied");
    program.say(r#"{"op":"move","id":4,"room":"hall"}"#).await;
    assert_eq!(program.json().await["ok"]["room"], "hall");
    program.say(r##"{"op":"subscribe","id":5,"sub":1,"channels":"#"}"##).await;
    assert_eq!(program.json().await["re"], 5);
    program.say(r#"{"op":"publish","id":6,"channel":"a","data":"x"}"#).await;
    program.hears("\"ev\":\"msg\"").await;

    // Whoever is there sees it go and come, and nothing of what it says elsewhere.
    let own = json!({ "user": OWNER, "password": PASSWORD });
    let hall = format!("/{ACCOUNT}/hall");
    let mut watcher = Terminal::program(&site, &hall, own.clone()).await.unwrap();
    watcher.asks(json!({ "op": "subscribe", "sub": 1, "technical": "room" })).await;
    watcher.asks(json!({ "op": "subscribe", "sub": 2, "channels": "#" })).await;
    let mut refusals = Vec::new();
    for nowhere in ["attic", "vault"] {
        let refused = program.asks(json!({ "op": "enter", "room": nowhere })).await;
        refusals.push(refused["error"].clone());
    }
    assert_eq!(refusals[0]["code"], "denied", "{refusals:?}");
    assert_eq!(refusals[0], refusals[1], "a gate that says no looks like a room that is not");
    program.asks(json!({ "op": "publish", "channel": "a", "data": "still here" })).await;
    watcher.hears("still here").await;
    assert_eq!(
        program.asks(json!({ "op": "create", "room": "den", "history": "log" })).await["ok"]["room"],
        "den"
    );
    program.say(r#"{"op":"enter","id":8,"room":"den"}"#).await;
    let ended: serde_json::Value = serde_json::from_str(&program.hears("\"ev\":\"end\"").await).unwrap();
    assert_eq!((&ended["sub"], &ended["error"]["code"]), (&json!(1), &json!("wrong_state")));
    assert_eq!(program.json().await["ok"]["room"], "den");
    let left = watcher.hears("riser.left").await;
    assert!(left.contains(r#""cause":"left""#), "{left}");
    assert!(
        program.asks(json!({ "op": "publish", "channel": "a", "data": "elsewhere" })).await["ok"].is_object()
    );
    assert_eq!(program.asks(json!({ "op": "whoami" })).await["ok"]["room"], "den");
    let here = program.asks(json!({ "op": "presence" })).await;
    assert_eq!((&here["ok"]["room"], &here["ok"]["present"][0]["name"]), (&json!("den"), &json!(OWNER)));
    let there = watcher.asks(json!({ "op": "presence" })).await;
    let present = there["ok"]["present"].as_array().unwrap();
    assert_eq!(present.len(), 1, "the watcher alone: {there}");
    assert!(program.asks(json!({ "op": "enter", "room": "hall" })).await["ok"].is_object());
    assert!(
        program.asks(json!({ "op": "publish", "channel": "a", "data": "back again" })).await["ok"]
            .is_object()
    );
    let heard = watcher.hears("\"ev\":\"msg\"").await;
    assert!(heard.contains("back again"), "nothing of the den: {heard}");
}

#[tokio::test]
async fn device_enters_by_the_key_that_openssh_made_and_by_no_other() {
    needs!(Need::Program("curl"), Need::Program("ssh-keygen"));
    let folder = tempfile::tempdir().unwrap();
    let site = site(folder.path());
    let hello = json!({ "op": "hello", "id": 1, "credential": { "user": "pump", "method": "ed25519" } });
    let path = format!("/{ACCOUNT}/vault");
    for right in [true, false] {
        let mut device = Terminal::open(&site, &path, Some("riser.v1.json")).await;
        device.say(&hello.to_string()).await;
        let challenge = device.json().await;
        assert_eq!((&challenge["ev"], &challenge["method"]), (&json!("challenge"), &json!("ed25519")));
        let nonce = challenge["nonce"].as_str().unwrap();
        let whose = if right { format!("{ACCOUNT}/pump") } else { format!("{ACCOUNT}/{OWNER}") };
        let message = format!("riser gate challenge 2\n{nonce}\n{whose}\n{}\n", site.hub.key());
        device.say(&json!({ "op": "answer", "proof": sign(folder.path(), &message) }).to_string()).await;
        let answer = device.json().await;
        assert_eq!(answer["re"], 1, "{answer}");
        if right {
            assert_eq!(answer["ok"]["name"], "pump", "{answer}");
        } else {
            assert_eq!(answer["error"]["code"], "not_authorised", "{answer}");
        }
    }
    // What was signed for another instance opens nothing here: whoever passed this one's challenge on has nothing of it.
    let mut relayed = Terminal::open(&site, &format!("/{ACCOUNT}/hall/{PUMP}/"), None).await;
    let challenge = relayed.hears("challenge ed25519 ").await;
    let nonce = challenge.rsplit(' ').next().unwrap();
    let message = format!("riser gate challenge 2\n{nonce}\n{ACCOUNT}/{PUMP}\n{}\n", site.edge.key());
    relayed.say(&sign(folder.path(), &message)).await;
    relayed.is_dropped().await;
    let mut device = Terminal::open(&site, &format!("/{ACCOUNT}/hall/{PUMP}/"), None).await;
    let challenge = device.hears("challenge ed25519 ").await;
    let nonce = challenge.rsplit(' ').next().unwrap();
    let message = format!("riser gate challenge 2\n{nonce}\n{ACCOUNT}/{PUMP}\n{}\n", site.hub.key());
    device.say(&sign(folder.path(), &message)).await;
    device.say("21.5").await;
    device.hears("21.5").await;

    let mut password = Terminal::open(&site, &path, Some("riser.v1.json")).await;
    let shown = json!({ "op": "hello", "id": 1, "credential": { "user": OWNER, "password": PASSWORD } });
    password.say(&shown.to_string()).await;
    let answer = password.json().await;
    assert_eq!(answer["error"]["code"], "not_authorised", "the room wants a key, and it has none: {answer}");
    // Who has one is asked for it, and not for ever.
    let mut silent = Terminal::open(&site, &path, Some("riser.v1.json")).await;
    silent.say(&hello.to_string()).await;
    assert_eq!(silent.json().await["ev"], "challenge");
    timeout(Duration::from_secs(15), silent.hears("timeout")).await.expect("a word that it took too long");
}

/// The HMAC of a message, as OpenSSL makes it.
fn hmac(folder: &Path, key: &str, message: &str) -> Vec<u8> {
    let file = folder.join("to-prove");
    std::fs::write(&file, message).unwrap();
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-mac", "HMAC", "-macopt", &format!("hexkey:{key}"), "-binary"]);
    let done = command.arg(&file).output().unwrap();
    assert_eq!(done.stdout.len(), 32, "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

#[tokio::test]
async fn device_enters_by_the_secret_that_it_shares_and_by_no_other_over_websocket_and_mqtt() {
    needs!(Need::Program("curl"), Need::Program("openssl"));
    const SHARED: &str = "000102030405060708090a0b0c0d0e0f";
    const ANOTHER: &str = "100102030405060708090a0b0c0d0e0f";
    let mut site = Site::laid_out(Plan::default());
    let folder = site.folder.path().to_owned();
    let device = "\n[[account.room]]\nname = \"cage\"\nhistory = \"log\"\ngate = [\"secret\"]\n\
                  \n[[account.client]]\nname = \"valve\"\nrole = \"member\"\nsecret = \"AAECAwQFBgcICQoLDA0ODw\"\n";
    for node in [&mut site.hub, &mut site.edge] {
        let text = std::fs::read_to_string(&node.config).unwrap();
        node.write_config(&(text + device));
        node.start();
        let mut show = node.command(&["key", "show"]);
        show.arg(node.data.join(if node.link == 0 { "edge.key" } else { "hub.key" }));
        let instance = output(show).trim().to_owned();
        let proves = |key: &str, nonce: &str| {
            let message = format!("riser gate challenge 2\n{nonce}\n{ACCOUNT}/valve\n{instance}\n");
            hmac(&folder, key, &message)
        };
        let hello =
            json!({ "op": "hello", "id": 1, "credential": { "user": "valve", "method": "hmac-sha256" } });
        for (key, right) in [(SHARED, true), (ANOTHER, false)] {
            let path = format!("/{ACCOUNT}/cage");
            let mut valve = Terminal::open_at(node.http, &path, Some("riser.v1.json")).await;
            valve.say(&hello.to_string()).await;
            let challenge = valve.json().await;
            assert_eq!(
                (&challenge["ev"], &challenge["method"]),
                (&json!("challenge"), &json!("hmac-sha256"))
            );
            let proof = STANDARD.encode(proves(key, challenge["nonce"].as_str().unwrap()));
            valve.say(&json!({ "op": "answer", "proof": proof }).to_string()).await;
            let answer = valve.json().await;
            match right {
                true => assert_eq!(answer["ok"]["name"], "valve", "{answer}"),
                false => assert_eq!(answer["error"]["code"], "not_authorised", "{answer}"),
            }
            let user = format!("{ACCOUNT}/valve");
            let valve = Mqtt::connect_by("hmac-sha256", node.mqtt, &user, |nonce| proves(key, nonce));
            match valve {
                Ok(mut valve) if right => {
                    valve.subscribe(&["cage/#".to_owned()], false);
                    assert_eq!(
                        valve.publish("cage/x", b"1", false),
                        Some(0),
                        "the room wants the secret too"
                    );
                    valve.hears(&[("cage/x".to_owned(), b"1".to_vec(), false)]);
                }
                Err(code) if !right => assert_eq!(code, 0x86),
                other => panic!("{right}: {other:?}"),
            }
        }
    }
}

/// A device's key, its public half as OpenSSH writes it, and what signs with it.
pub fn device_key(folder: &Path) -> (PathBuf, String) {
    let file = folder.join("device.pem");
    let mut made = Command::new("openssl");
    made.args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&file);
    output(made);
    let mut public = Command::new("openssl");
    public.args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(&file);
    let der = public.output().unwrap().stdout;
    let part = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let blob = [part(b"ssh-ed25519"), part(&der[der.len() - 32..])].concat();
    (file, format!("ssh-ed25519 {}", STANDARD.encode(blob)))
}

#[test]
fn signed_password_that_let_a_device_in_lets_nobody_in_after_a_restart() {
    needs!(Need::Program("openssl"));
    let mut site = Site::laid_out(Plan::default());
    let folder = site.folder.path().to_owned();
    let (key, public) = device_key(&folder);
    let device = format!("\n[[account.client]]\nname = \"pump\"\nrole = \"member\"\nkeys = [\"{public}\"]\n");
    for node in [&mut site.hub, &mut site.edge] {
        let text = std::fs::read_to_string(&node.config).unwrap();
        node.write_config(&(text + &device));
        node.start();
        let kind = node.data.join(if node.link == 0 { "edge.key" } else { "hub.key" });
        let mut show = node.command(&["key", "show"]);
        show.arg(kind);
        let instance = output(show).trim().to_owned();
        let signed = |nonce: &str| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            let user = format!("{ACCOUNT}/pump");
            let message = format!("riser signed password 2\n{now}\n{nonce}\n{user}\n{instance}\n");
            std::fs::write(folder.join("message"), message).unwrap();
            let mut sign = Command::new("openssl");
            sign.args(["pkeyutl", "-sign", "-rawin", "-inkey"]).arg(&key);
            let done = sign.arg("-in").arg(folder.join("message")).output().unwrap();
            assert_eq!(done.stdout.len(), 64, "{}", String::from_utf8_lossy(&done.stderr));
            format!("riser2.{now}.{nonce}.{}", URL_SAFE_NO_PAD.encode(done.stdout))
        };
        let comes = |node: &Node, password: &str| {
            let user = format!("{ACCOUNT}/pump");
            Mqtt::connect(node.mqtt, Version::Four, "", (Some(&user), password), (true, 0)).is_ok()
        };
        let captured = signed("0123456789abcdef");
        assert!(comes(node, &captured));
        assert!(!comes(node, &captured), "a replay");
        node.kill();
        node.start();
        assert!(!comes(node, &captured), "a replay after a restart");
        assert!(comes(node, &signed("0123456789abcdeg")), "the device itself");
    }
}

#[test]
fn device_of_mqtt_says_anew_who_it_is_and_goes_on_and_is_sent_away_by_a_wrong_proof() {
    needs!(Need::Program("openssl"));
    let mut site = Site::laid_out(Plan::default());
    let folder = site.folder.path().to_owned();
    let (key, public) = device_key(&folder);
    let device = format!("\n[[account.client]]\nname = \"pump\"\nrole = \"member\"\nkeys = [\"{public}\"]\n");
    for node in [&mut site.hub, &mut site.edge] {
        let text = std::fs::read_to_string(&node.config).unwrap();
        node.write_config(&(text + &device));
        node.start();
        let mut show = node.command(&["key", "show"]);
        show.arg(node.data.join(if node.link == 0 { "edge.key" } else { "hub.key" }));
        let instance = output(show).trim().to_owned();
        let signs = |name: &str, nonce: &str| {
            let message = format!("riser gate challenge 2\n{nonce}\n{ACCOUNT}/{name}\n{instance}\n");
            std::fs::write(folder.join("message"), message).unwrap();
            let mut sign = Command::new("openssl");
            sign.args(["pkeyutl", "-sign", "-rawin", "-inkey"]).arg(&key);
            sign.arg("-in").arg(folder.join("message")).output().unwrap().stdout
        };
        let right = |nonce: &str| signs("pump", nonce);
        let mut pump = Mqtt::connect_by_key(node.mqtt, &format!("{ACCOUNT}/pump"), right);
        pump.subscribe(&["hall/pump".to_owned()], false);
        pump.authenticates_anew();
        // Nothing waits for it.
        let nonce = pump.challenge();
        assert_eq!(pump.publish("hall/pump", b"meanwhile", false), Some(0));
        pump.answers(&right(&nonce));
        assert_eq!(pump.awaits(0xf0).map(|auth| auth[0]), Some(0), "AUTH 0x00");
        assert_eq!(pump.publish("hall/pump", b"after", false), Some(0));
        let heard = |text: &str| ("hall/pump".to_owned(), text.as_bytes().to_vec(), false);
        pump.hears(&[heard("meanwhile"), heard("after")]);
        // Once more, and by what somebody else would sign.
        pump.authenticates_anew();
        let nonce = pump.challenge();
        pump.answers(&signs(OWNER, &nonce));
        assert_eq!(pump.awaits(0xe0).map(|disconnect| disconnect[0]), Some(0x87));
        assert_eq!(pump.awaits(0xf0), None, "it is closed");
    }
}
