//! A canary: secrets that are like nothing else go through a whole site, and everything that it says or keeps is searched for
//! them.
//!
//! By rule a secret is in the file that is there for it (a key, the operator's token, what cookies are signed with), and what a
//! device shares with the hub is where accounts are kept: who checks it has to know it. Everything else is kept as a hash.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::accounts::house_of;
use crate::mqtt_wire::{Mqtt, Version};
use crate::needs::{Need, needs};
use crate::program::output;
use crate::site::Plan;
use crate::terminal::Terminal;

/// Of files that are there for a secret: what their names contain.
const KEPT: [&str; 2] = [".key", "admin.token"];
/// Where accounts are kept.
const ACCOUNTS: &str = "accounts";

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// Those of the files that hold one of these texts, as it is or in base64 of its own.
fn holding(files: &[PathBuf], texts: &[&str], folder: &Path) -> Vec<PathBuf> {
    let encoded = |text: &&str| [(*text).to_owned(), STANDARD.encode(text).trim_end_matches('=').to_owned()];
    let patterns: Vec<String> = texts.iter().flat_map(encoded).collect();
    let list = folder.join("patterns");
    std::fs::write(&list, patterns.join("\n")).unwrap();
    let mut grep = Command::new("grep");
    grep.args(["--text", "--fixed-strings", "--files-with-matches", "--file"]).arg(&list).args(files);
    let done = grep.output().unwrap();
    // 1 where nothing was found.
    assert!(done.status.code() < Some(2), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// What a request of HTTP is answered with, headers included.
fn curl(words: &[&str], url: &str) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--include", "--max-time", "30"]).args(words).arg(url);
    output(command)
}

#[tokio::test]
async fn no_secret_that_goes_through_a_site_is_said_or_kept_where_it_is_not_by_rule() {
    needs!(Need::Program("curl"));
    let hub_top = "log.level = \"debug\"\n[login]\n".to_owned();
    let edge_top = "log.level = \"debug\"\n".to_owned();
    let mut house = house_of(Plan { hub_top, edge_top, ..Plan::default() });
    house.site.edge.start();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let made = house.does(&["account", "create", "foo", "--user", "max"]);
    house.does(&["room", "create", "foo/plant", "history=log"]);
    house.does(&["client", "add", "foo/pump", "--role", "member"]);
    let added = |whom: &str, kind: &str| text(&house.does(&["key", "add", whom, "--kind", kind])["value"]);
    let (password, token) = (text(&made["password"]), text(&made["token"]));
    let (another, device, shared) =
        (added("foo/max", "token"), added("foo/pump", "password"), added("foo/pump", "secret"));
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let own = [
        read(house.site.hub.data.join("admin.token")),
        read(house.site.hub.data.join("hub.key")),
        read(house.site.edge.data.join("edge.key")),
    ];
    let (http, mqtt) = (house.site.hub.http, house.site.hub.mqtt);
    let front = format!("http://127.0.0.1:{http}");

    // By every door, right and wrong.
    let guess = "canary-of-a-wrong-guess";
    for (token, right) in [(&token[..], true), (&another, true), (guess, false)] {
        let came = Terminal::program(&house.site, "/foo/plant", json!({ "token": token })).await;
        assert_eq!(came.is_ok(), right);
    }
    for (user, password, right) in
        [("foo/max", &password[..], true), ("foo/pump", &device, true), ("foo/max", guess, false)]
    {
        let shown = (Some(user), password);
        assert_eq!(Mqtt::connect(mqtt, Version::Five, "canary", shown, (true, 0)).is_ok(), right);
        let mut person = Terminal::open(&house.site, "/", None).await;
        person.hears("name: ").await;
        person.say(user).await;
        person.hears("password: ").await;
        person.say(password).await;
        drop(person);
        let user = format!("{user}:{password}");
        curl(&["--user", &user], &format!("{front}/api/status"));
        curl(&["--user", &user], &format!("http://127.0.0.1:{}/v1/accounts/foo", house.admin));
    }
    // A challenge that is answered with the secret itself.
    let mut device_end = Terminal::open(&house.site, "/foo/plant", Some("riser.v1.json")).await;
    let claims = json!({ "user": "foo/pump", "method": "hmac-sha256" });
    device_end.say(&json!({ "op": "hello", "id": 1, "credential": claims }).to_string()).await;
    device_end.hears("challenge").await;
    device_end.say(&json!({ "op": "answer", "proof": STANDARD.encode(&shared) }).to_string()).await;
    drop(device_end);
    // A ticket in a query, good once; and a cookie.
    let mut program = Terminal::program(&house.site, "/foo/plant", json!({ "token": token })).await.unwrap();
    let ticket = text(&program.asks(json!({ "op": "ticket" })).await["ok"]["ticket"]);
    drop(Terminal::open(&house.site, &format!("/foo/plant/x?ticket={ticket}"), None).await);
    let body = json!({ "user": "foo/max", "password": password }).to_string();
    let origin = format!("Origin: {front}");
    let json = "Content-Type: application/json";
    let login =
        curl(&["--header", &origin, "--header", json, "--data", &body], &format!("{front}/api/login"));
    let cookie = login.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = cookie.split(';').next().unwrap().trim().to_owned();
    let seen = curl(
        &["--header", &origin, "--header", &format!("Cookie: {cookie}")],
        &format!("{front}/api/status"),
    );
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
    let cookie = cookie.split_once('=').unwrap().1.to_owned();
    // A password that somebody hashes, and one put in place of another.
    let mut hash = house.site.hub.command(&["account", "hash"]);
    let mut hash = hash.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    hash.stdin.take().unwrap().write_all(b"canary-to-be-hashed\n").unwrap();
    assert!(hash.wait().unwrap().success());
    let shown = house.does(&["account", "show", "foo"]);
    let tokens = shown["users"][0]["credentials"].as_array().unwrap();
    let old = tokens.iter().find(|one| one["kind"] == "token").unwrap();
    let replaced =
        text(&house.does(&["key", "rotate", "foo/max", old["fingerprint"].as_str().unwrap()])["value"]);

    let secrets = [password, token, another, device, ticket, cookie, replaced]
        .into_iter()
        .chain(own)
        .chain([guess, "canary-to-be-hashed"].map(str::to_owned));
    let secrets: Vec<String> = secrets.collect();
    assert!(secrets.iter().chain([&shared]).all(|secret| secret.len() >= 16), "each is like nothing else");

    // What was said meanwhile, and what is asked of the site now, each in a file.
    let folder = tempfile::tempdir().unwrap();
    let heard = tempfile::tempdir().unwrap();
    let say = |name: &str, text: String| std::fs::write(heard.path().join(name), text).unwrap();
    let metrics =
        |node: &crate::site::Node| curl(&[], &format!("http://127.0.0.1:{}/metrics", node.operations));
    say("accounts as they are shown", shown.to_string());
    say("metrics of the hub", metrics(&house.site.hub));
    say("metrics of the edge", metrics(&house.site.edge));
    let audit = house.does(&["audit", "--limit", "1000"]);
    assert!(audit["lines"].as_array().unwrap().len() > 8, "{audit}");
    say("the audit log", audit.to_string());
    // Who came by the former token is sent away.
    let mut program =
        Terminal::program(&house.site, "/foo/plant", json!({ "token": secrets[6] })).await.unwrap();
    let events = json!({ "op": "subscribe", "id": 9, "sub": 9, "technical": "account", "from": "start" });
    program.say(&events.to_string()).await;
    let mut events = program.hears("riser.opened").await;
    for _ in 0..20 {
        events += &program.pong().await.join("\n");
    }
    assert!(events.contains("riser.account_changed"), "{events}");
    say("what the system says", events);
    house.site.hub.stop();
    house.site.edge.stop();
    for (name, node) in [("hub", &house.site.hub), ("edge", &house.site.edge)] {
        let printed = node.printed();
        assert!(printed.contains("DEBUG") && !printed.contains("panicked"), "{printed}");
        say(name, printed);
    }
    let by_hand = folder.path();
    let all: Vec<&str> = secrets.iter().chain([&shared]).map(String::as_str).collect();
    assert_eq!(
        holding(&files(heard.path()), &all, by_hand),
        [] as [PathBuf; 0],
        "one of the secrets is said"
    );
    let kept: Vec<PathBuf> =
        [&house.site.hub.data, &house.site.edge.data].into_iter().flat_map(|data| files(data)).collect();
    let named = |path: &PathBuf, parts: &[&str]| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        parts.iter().any(|part| name.contains(part))
    };
    let (by_rule, others): (Vec<_>, Vec<_>) = kept.into_iter().partition(|path| named(path, &KEPT));
    assert!(others.len() > 6 && by_rule.len() >= 3, "{others:?}, {by_rule:?}");
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    assert_eq!(holding(&others, &secrets, by_hand), [] as [PathBuf; 0], "one of the secrets is kept");
    let holding_shared = holding(&others, &[&shared], by_hand);
    assert!(holding_shared.iter().all(|path| named(path, &[ACCOUNTS])), "{holding_shared:?}");
    // Whoever searches finds what is there.
    assert_eq!(holding(&by_rule, &secrets, by_hand).len(), 3, "{by_rule:?}");
}
