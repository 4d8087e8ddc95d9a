//! Accounts of a running hub: made, changed and revoked by its commands, over real sockets, and over a restart.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::mqtt_wire::{Mqtt, Version};
use crate::needs::{Need, needs};
use crate::program::{Program, SOON, free_port, output, wait};
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, READER, Site};

/// A hub with an admin listener.
pub struct House {
    pub site: Site,
    pub admin: u16,
}

pub fn house() -> House {
    house_of(Plan::default())
}

/// The same as planned.
pub fn house_of(plan: Plan) -> House {
    let admin = free_port();
    let mut site = Site::laid_out(plan);
    let text = std::fs::read_to_string(&site.hub.config).unwrap();
    let listen = format!("[listen]\nadmin = \"127.0.0.1:{admin}\"\n");
    site.hub.write_config(&text.replacen("[listen]\n", &listen, 1));
    site.hub.start();
    House { site, admin }
}

impl House {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.site.hub.command(words);
        command.arg("--json").arg("--config").arg(&self.site.hub.config);
        command
    }

    /// What a command of the hub answers.
    pub fn does(&self, words: &[&str]) -> Value {
        serde_json::from_str(&output(self.command(words))).expect("the answer is JSON")
    }

    /// What it says when it is refused.
    pub fn refuses(&self, words: &[&str]) -> String {
        let done = self.command(words).output().unwrap();
        assert!(!done.status.success(), "{words:?} was to be refused");
        String::from_utf8_lossy(&done.stderr).into_owned()
    }

    /// A request of whoever shows this to `curl --user`: status and answer.
    pub fn asks(&self, user: &str, path: &str) -> (u16, Value) {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "30", "--write-out", "\n%{http_code}", "--user", user]);
        command.arg(format!("http://127.0.0.1:{}{path}", self.admin));
        let text = output(command);
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// The same by a token, that says something or nothing.
    pub fn bears(&self, token: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--max-time",
            "30",
            "--write-out",
            "\n%{http_code}",
            "--oauth2-bearer",
            token,
        ]);
        if let Some(body) = body {
            command.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
        }
        command.arg(format!("http://127.0.0.1:{}{path}", self.admin));
        let text = output(command);
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// The same that says something.
    fn says(&self, user: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "30", "--write-out", "\n%{http_code}", "--user", user]);
        command.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
        command.arg(format!("http://127.0.0.1:{}{path}", self.admin));
        let text = output(command);
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// A WebSocket in a room of the account `foo`.
    async fn enters(&self, token: &str, room: &str) -> Result<WebSocketStream<TcpStream>, String> {
        let address = format!("127.0.0.1:{}", self.site.hub.http);
        let mut request = format!("ws://{address}/foo/{room}").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "riser.v1.json".parse().unwrap());
        let socket = TcpStream::connect(&address).await.unwrap();
        let (mut socket, _) = client_async(request, socket).await.map_err(|error| error.to_string())?;
        let hello = json!({ "op": "hello", "id": 1, "credential": { "token": token }, "events": false });
        socket.send(Message::text(hello.to_string())).await.unwrap();
        let answer = timeout(SOON, socket.next()).await.unwrap().unwrap().unwrap();
        let answer: Value = serde_json::from_str(answer.to_text().unwrap_or_default()).unwrap_or_default();
        if answer["ok"].is_object() { Ok(socket) } else { Err(answer.to_string()) }
    }
}

/// The code with which the other end closes.
async fn closed(socket: &mut WebSocketStream<TcpStream>) -> u16 {
    let close = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return 0,
            }
        }
    };
    timeout(SOON, close).await.expect("it is closed")
}

#[tokio::test]
async fn an_account_is_made_used_revoked_and_stays_so_over_a_restart() {
    needs!(Need::Program("curl"), Need::Program("mosquitto_sub"));
    let mut house = house();
    let made = house.does(&["account", "create", "foo", "--user", "max"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (token, password) = (text(&made["token"]), text(&made["password"]));
    house.does(&["room", "create", "foo/plant", "history=log", "retention.count=1000"]);
    assert!(house.refuses(&["account", "create", "foo"]).contains("taken"));

    // Usable at once, by WebSocket and by MQTT.
    let mut socket = house.enters(&token, "plant").await.unwrap();
    // To a file it would print in blocks.
    let mut subscriber = house.site.hub.place.command("stdbuf");
    let port = house.site.hub.mqtt.to_string();
    subscriber.args(["-oL", "mosquitto_sub"]).args([
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-u",
        "foo/max",
        "-P",
        &password,
        "-t",
        "plant/#",
        "-d",
    ]);
    let mut subscriber = Program::start("subscriber", subscriber, house.site.folder.path());
    subscriber.wait_printed("Subscribed", SOON);

    // The one credential is revoked: who showed it is closed, the other one stays.
    let shown = house.does(&["account", "show", "foo"]);
    let credentials = shown["users"][0]["credentials"].as_array().unwrap();
    let fingerprint = |kind: &str| {
        let one = credentials.iter().find(|one| one["kind"] == kind).unwrap();
        text(&one["fingerprint"])
    };
    house.does(&["key", "revoke", "foo/max", &fingerprint("token")]);
    assert_eq!(closed(&mut socket).await, 4103, "do not come back with this");
    assert!(house.enters(&token, "plant").await.is_err());
    assert!(subscriber.runs(), "it showed the password");
    house.does(&["key", "revoke", "foo/max", &fingerprint("password")]);
    let ended = wait(SOON, || subscriber.status());
    assert!(
        ended.is_some_and(|status| !status.success()),
        "it is closed, and not let in again: {}",
        subscriber.printed()
    );
    let another = text(&house.does(&["key", "add", "foo/max"])["value"]);
    house.enters(&another, "plant").await.unwrap();

    // What was written down, without any secret.
    let audit = house.does(&["audit", "foo"]).to_string();
    for what in ["account created", "room created", "credential revoked", "credential added", "operator"] {
        assert!(audit.contains(what), "{what}: {audit}");
    }
    let entered = wait(SOON, || {
        let audit = house.does(&["audit", "foo"]).to_string();
        (audit.contains("\"entered\"") && audit.contains("\"refused\"") && audit.contains("127.0.0.1"))
            .then_some(())
    });
    assert!(entered.is_some(), "grants and refusals are written down");

    house.site.hub.stop();
    house.site.hub.start();
    assert!(house.enters(&token, "plant").await.is_err(), "what was revoked stays revoked");
    house.enters(&another, "plant").await.unwrap();
    let audit = house.does(&["audit", "foo"]).to_string();
    assert!(audit.contains("account created"));
    for secret in [&token, &password, &another] {
        assert!(!audit.contains(secret.as_str()) && !house.site.hub.printed().contains(secret.as_str()));
    }
}

#[tokio::test]
async fn credential_that_another_takes_the_place_of_lets_nobody_in_any_more_and_that_is_written_down() {
    needs!(Need::Program("curl"));
    let house = house();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let made = house.does(&["account", "create", "foo", "--user", "max"]);
    let (token, password) = (text(&made["token"]), text(&made["password"]));
    house.does(&["room", "create", "foo/plant", "history=log"]);
    let fingerprint = |kind: &str| {
        let shown = house.does(&["account", "show", "foo"]);
        let credentials = shown["users"][0]["credentials"].as_array().unwrap().clone();
        text(&credentials.iter().find(|one| one["kind"] == kind).unwrap()["fingerprint"])
    };
    let comes = |password: &str, id: &str| {
        let by = (Some("foo/max"), password);
        Mqtt::connect(house.site.hub.mqtt, Version::Five, id, by, (true, 0))
    };
    let mut by_token = house.enters(&token, "plant").await.unwrap();
    let mut by_password = comes(&password, "one").unwrap();

    // A token is one of several: it comes, and the other goes.
    let old = fingerprint("token");
    let rotated = house.does(&["key", "rotate", "foo/max", &old]);
    let began = Instant::now();
    assert_eq!(closed(&mut by_token).await, 4103);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(house.enters(&token, "plant").await.is_err());
    house.enters(&text(&rotated["value"]), "plant").await.unwrap();
    let audit = house.does(&["audit", "foo"]).to_string();
    let revoked = |audit: &str, old: &str| audit.contains(&format!("in place of {old}, which is revoked"));
    assert!(revoked(&audit, &old), "{audit}");

    // A password is the only one: it takes the place of the other by itself, rotated or added.
    let mut current = password;
    for words in [&["key", "rotate", "foo/max"][..], &["key", "add", "foo/max", "--kind", "password"]] {
        let old = fingerprint("password");
        let mut words = words.to_vec();
        if words[1] == "rotate" {
            words.push(&old);
        }
        let another = text(&house.does(&words)["value"]);
        let began = Instant::now();
        assert_eq!(by_password.awaits(0xe0).map(|body| body[0]), Some(0x87), "{words:?}");
        assert!(began.elapsed() < Duration::from_secs(5));
        assert!(comes(&current, "two").is_err(), "{words:?}");
        by_password = comes(&another, "one").unwrap();
        let audit = house.does(&["audit", "foo"]).to_string();
        assert!(revoked(&audit, &old), "{words:?}: {audit}");
        assert!(!audit.contains("credential added"), "{audit}");
        current = another;
    }
}

#[test]
fn user_that_is_renamed_keeps_its_session_and_its_rights() {
    needs!(Need::Program("curl"));
    let house = house();
    let made = house.does(&["account", "create", "foo", "--user", "boss"]);
    let boss = made["password"].as_str().unwrap();
    house.does(&["room", "create", "foo/plant", "history=log"]);
    house.does(&["user", "add", "foo/max", "--role", "member"]);
    let made = house.does(&["key", "add", "foo/max", "--kind", "password"]);
    let password = made["value"].as_str().unwrap();
    let port = house.site.hub.mqtt;
    let comes = |name: &str| Mqtt::connect(port, Version::Five, "his", (Some(name), password), (false, 600));
    let mut max = comes("foo/max").unwrap();
    assert_eq!(max.welcome[0], 0, "a new session");
    max.subscribe(&["plant/#".to_owned()], false);

    house.does(&["user", "set", "foo/max", "--rename", "moritz"]);
    assert_eq!(max.publish("plant/x", b"by max", false), Some(0), "who is there stays");
    max.hears(&[("plant/x".to_owned(), b"by max".to_vec(), false)]);
    max.disconnect();
    let by = (Some("foo/boss"), boss);
    let mut other = Mqtt::connect(port, Version::Five, "other", by, (true, 0)).unwrap();
    assert_eq!(other.publish("plant/x", b"meanwhile", false), Some(0));

    assert!(comes("foo/max").is_err(), "nobody has that name");
    let mut moritz = comes("foo/moritz").unwrap();
    assert_eq!(moritz.welcome[0], 1, "the session is there");
    moritz.hears(&[("plant/x".to_owned(), b"meanwhile".to_vec(), false)]);
    assert_eq!(moritz.publish("plant/y", b"by moritz", false), Some(0));
    moritz.hears(&[("plant/y".to_owned(), b"by moritz".to_vec(), false)]);
}

#[tokio::test]
async fn browser_of_a_user_is_listed_and_removed_and_what_came_by_it_goes() {
    needs!(Need::Program("curl"));
    let admin = free_port();
    let mut site = Site::laid_out(Plan { hub_top: "[login]\n".into(), ..Plan::default() });
    let text = std::fs::read_to_string(&site.hub.config).unwrap();
    let listen = format!("[listen]\nadmin = \"127.0.0.1:{admin}\"\n");
    site.hub.write_config(&text.replacen("[listen]\n", &listen, 1));
    site.hub.start();
    let mut house = House { site, admin };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let made = house.does(&["account", "create", "foo", "--user", "max"]);
    house.does(&["room", "create", "foo/plant", "history=log"]);
    let signs_in = |house: &House, client: &str| {
        let shown =
            json!({ "user": "foo/max", "password": made["password"], "client": client, "give": "token" });
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "30", "--header", "Content-Type: application/json"]);
        command.args(["--data", &shown.to_string()]);
        command.arg(format!("http://127.0.0.1:{}/api/login", house.site.hub.http));
        let answer: Value = serde_json::from_str(&output(command)).unwrap();
        (text(&answer["client"]), text(&answer["token"]))
    };
    let (one, by_one) = signs_in(&house, "new");
    let (other, by_other) = signs_in(&house, "new");
    let listed = |house: &House| house.does(&["account", "show", "foo"])["users"][0]["clients"].clone();
    let mut both = vec![one.clone(), other.clone()];
    both.sort();
    assert_eq!(listed(&house), json!(both));
    house.site.hub.stop();
    house.site.hub.start();
    let mut gone = house.enters(&by_one, "plant").await.unwrap();
    let mut stays = house.enters(&by_other, "plant").await.unwrap();
    house.does(&["user", "forget", "foo/max", &one]);
    assert_eq!(closed(&mut gone).await, 4103);
    assert!(house.enters(&by_one, "plant").await.is_err());
    assert_eq!(listed(&house), json!([other]));
    stays.send(Message::text(json!({ "op": "ping", "id": 2 }).to_string())).await.unwrap();
    let pong = timeout(SOON, stays.next()).await.unwrap().unwrap().unwrap();
    assert!(pong.to_text().unwrap().contains("\"re\":2"));
    let (again, _) = signs_in(&house, &one);
    assert!(again != one && again != other, "it comes back as another one");
    let audit = house.does(&["audit", "foo"]).to_string();
    for line in [format!("max: {one}"), "client added".to_owned(), "client removed".to_owned()] {
        assert!(audit.contains(&line), "{line}: {audit}");
    }
    assert!(!audit.contains(&by_one));
    assert!(house.refuses(&["user", "forget", "foo/max", &one]).contains("unknown"));
}

#[test]
fn who_administers_an_account_sees_that_account_and_nothing_else() {
    needs!(Need::Program("curl"));
    let house = house();
    house.does(&["account", "create", "foo"]);
    let ann = format!("{ACCOUNT}/{OWNER}:{PASSWORD}");
    let (status, own) = house.asks(&ann, &format!("/v1/accounts/{ACCOUNT}"));
    assert_eq!((status, own["name"].as_str()), (200, Some(ACCOUNT)));
    let (status, all) = house.asks(&ann, "/v1/accounts");
    assert_eq!((status, all.as_array().map(Vec::len)), (200, Some(1)));
    let unknown = house.asks(&ann, "/v1/accounts/nothing");
    assert_eq!(unknown.0, 404);
    assert_eq!(house.asks(&ann, "/v1/accounts/foo"), unknown, "another's account looks like none");
    assert_eq!(house.asks(&ann, "/v1/audit").0, 403);
    for nobody in
        [format!("{ACCOUNT}/{READER}:{PASSWORD}"), format!("{ACCOUNT}/{OWNER}:wrong"), "x:y".to_owned()]
    {
        let (status, answer) = house.asks(&nobody, "/v1/accounts");
        assert_eq!((status, answer["error"]["code"].as_str()), (401, Some("not_authorised")), "{nobody}");
    }
    let (status, description) = house.asks("", "/openapi.json");
    assert_eq!((status, description["openapi"].as_str()), (200, Some("3.1.0")));
}

#[test]
fn a_file_is_taken_when_it_says_something_new_and_gives_nothing_back_that_was_revoked() {
    needs!(Need::Program("curl"));
    let mut house = house();
    let ann = format!("{ACCOUNT}/{OWNER}:{PASSWORD}");
    assert_eq!(house.asks(&ann, "/v1/accounts").0, 200);
    house.does(&["key", "revoke", &format!("{ACCOUNT}/{OWNER}"), "--all"]);
    assert_eq!(house.asks(&ann, "/v1/accounts").0, 401);
    house.site.hub.stop();
    let text = std::fs::read_to_string(&house.site.hub.config).unwrap();
    house.site.hub.write_config(&(text + "\n[[account.room]]\nname = \"attic\"\nhistory = \"log\"\n"));
    house.site.hub.start();
    assert_eq!(house.asks(&ann, "/v1/accounts").0, 401, "the file still declares that password");
    let shown = house.does(&["account", "show", ACCOUNT]);
    assert!(shown["rooms"].as_array().unwrap().iter().any(|room| room["name"] == "attic"));
}

#[test]
fn an_edge_whose_key_is_revoked_is_cut_off_and_a_new_key_lets_it_in() {
    needs!(Need::Program("curl"));
    let mut house = house();
    house.site.edge.start();
    let is_up = |house: &House, up: f64| {
        let seen = wait(SOON, || (house.site.hub.metric("riser_edge_up", "") == Some(up)).then_some(()));
        seen.is_some()
    };
    assert!(is_up(&house, 1.0));
    let edge = format!("{ACCOUNT}/edge");
    let shown = house.does(&["account", "show", ACCOUNT]);
    let clients = shown["clients"].as_array().unwrap();
    let key = clients.iter().flat_map(|client| client["credentials"].as_array().unwrap());
    let key = key.clone().find(|one| one["kind"] == "edge_key").unwrap();
    house.does(&["key", "revoke", &edge, key["fingerprint"].as_str().unwrap()]);
    // It is an edge no more, and so none of the hub's.
    let gone = wait(SOON, || house.site.edge.printed().contains("not_authorised").then_some(()));
    assert!(gone.is_some(), "its link is refused: {}", house.site.edge.printed());
    let file = house.site.edge.data.join("edge.key");
    let mut command = house.site.edge.command(&["key", "show"]);
    command.arg(&file);
    let public = output(command);
    let again = house.refuses(&["key", "add", &edge, "--kind", "edge_key", "--value", public.trim()]);
    assert!(again.contains("was revoked"), "{again}");
    house.site.edge.stop();
    std::fs::remove_file(&file).unwrap();
    let mut command = house.site.edge.command(&["key", "new"]);
    command.arg(&file);
    let public = output(command);
    house.does(&["key", "add", &edge, "--kind", "edge_key", "--value", public.trim()]);
    house.site.edge.start();
    assert!(is_up(&house, 1.0), "{}", house.site.edge.printed());
}

/// A request of its head alone, up to where the hub asks for the body: it knows who asks by then.
async fn begins(house: &House, user: &str, path: &str, length: usize) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", house.admin)).await.unwrap();
    let authorization = STANDARD.encode(user);
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: hub\r\nAuthorization: Basic {authorization}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let asked = timeout(SOON, async {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(socket.read_u8().await.unwrap());
        }
        answer
    });
    assert!(asked.await.unwrap().starts_with(b"HTTP/1.1 100"));
    socket
}

#[tokio::test]
async fn a_request_whose_sender_is_revoked_before_its_body_comes_changes_nothing() {
    let house = house();
    let made = house.does(&["account", "create", "foo", "--user", "max"]);
    let user = format!("foo/max:{}", made["password"].as_str().unwrap());
    let body = json!({ "name": "accomplice", "role": "owner" }).to_string();
    let mut thief = begins(&house, &user, "/v1/accounts/foo/users", body.len()).await;
    house.does(&["key", "revoke", "foo/max", "--all"]);
    thief.write_all(body.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    timeout(SOON, thief.read_exact(&mut status)).await.unwrap().unwrap();
    assert_eq!(&status, b"HTTP/1.1 401", "it was let in when it began");
    assert!(!house.does(&["account", "show", "foo"]).to_string().contains("accomplice"));
}

#[tokio::test]
async fn a_change_whose_sender_is_gone_is_done_and_stands_in_nobodys_way() {
    let house = house();
    let made = house.does(&["account", "create", "foo", "--user", "max"]);
    let user = format!("foo/max:{}", made["password"].as_str().unwrap());
    for n in 0..40 {
        let body = json!({ "name": format!("room-{n}"), "history": "log" }).to_string();
        let mut sender = begins(&house, &user, "/v1/accounts/foo/rooms", body.len()).await;
        sender.write_all(body.as_bytes()).await.unwrap();
        // A little later each time: some of these are gone while the tables are written.
        tokio::time::sleep(Duration::from_micros(250 * n)).await;
        drop(sender);
    }
    house.does(&["room", "create", "foo/last", "history=log"]);
    let audited = house.does(&["audit"]).to_string();
    let shown = house.does(&["account", "show", "foo"]).to_string();
    for n in 0..40 {
        let room = format!("room-{n}\"");
        assert_eq!(
            shown.contains(&room),
            audited.contains(&room),
            "{room} is there and written down, or neither"
        );
    }
}

#[test]
fn only_the_hubs_operator_chooses_ids() {
    needs!(Need::Program("curl"));
    let house = house();
    let made = house.does(&["account", "create", "foo", "--user", "max"]);
    let user = format!("foo/max:{}", made["password"].as_str().unwrap());
    // The one of this hub's own technical channel, and one that nobody has.
    for id in ["c4f8f584-7fef-5d8f-a1b2-defd126f15ec", "0b9a4d6e-58d0-4d0c-9b6e-6a4c8a9a6a11"] {
        let room = json!({ "name": "x", "id": id, "history": "log" });
        assert_eq!(house.says(&user, "/v1/accounts/foo/rooms", &room).0, 403);
        for kind in ["users", "clients"] {
            let member = json!({ "name": "x", "id": id });
            assert_eq!(house.says(&user, &format!("/v1/accounts/foo/{kind}"), &member).0, 403);
        }
    }
    assert_eq!(house.says(&user, "/v1/accounts/foo/rooms", &json!({ "name": "x", "history": "log" })).0, 200);
    let refused = house.refuses(&["room", "create", "foo/y", "id=c4f8f584-7fef-5d8f-a1b2-defd126f15ec"]);
    assert!(refused.contains("makes itself"), "{refused}");
}

/// From here on no sync of the second table is done.
fn second_table_fails(house: &mut House) -> Program {
    let table = house.site.hub.data.join("accounts-copy.redb");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-p", &house.site.hub.process().id().to_string(), "-P"]).arg(table);
    strace.args(["-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"]);
    let mut strace = Program::start("strace", strace, house.site.folder.path());
    strace.wait_printed("attached", SOON);
    strace
}

#[test]
fn a_change_that_one_table_could_not_save_is_refused_and_does_not_come_back_with_a_restart() {
    needs!(Need::Program("strace"), Need::Program("curl"));
    let mut house = house();
    house.does(&["account", "create", "foo"]);
    house.does(&["room", "create", "foo/before", "history=log"]);
    let _strace = second_table_fails(&mut house);
    let refused = house.refuses(&["room", "create", "foo/ghost", "history=log"]);
    assert!(refused.contains("could not be saved"), "{refused}");
    let rooms = |house: &House| house.does(&["account", "show", "foo"])["rooms"].to_string();
    assert!(!rooms(&house).contains("ghost"), "it has no effect");
    // No last moment to mend it.
    house.site.hub.kill();
    house.site.hub.start();
    let after = rooms(&house);
    assert!(after.contains("before") && !after.contains("ghost"), "{after}");
    assert!(house.does(&["audit"]).to_string().contains("refused: not saved"));
    house.does(&["room", "create", "foo/after", "history=log"]);
    assert!(rooms(&house).contains("after"));
}

#[test]
fn passwords_guessed_by_requests_are_written_down_and_wait_while_others_come_in() {
    needs!(Need::Namespaces, Need::Program("curl"));
    let cable = crate::place::Cable::lay();
    let mut site = Site::laid_out(Plan { hub_place: Some(cable.a.clone()), ..Plan::default() });
    site.hub.start();
    let asks = |place: &crate::place::Place, password: &str| {
        let mut command = place.command("curl");
        command.args(["--silent", "--max-time", "30", "--user", &format!("{ACCOUNT}/{OWNER}:{password}")]);
        command.arg(format!("http://{}:{}/api/status", cable.a.address(), site.hub.http));
        let answer: Value = serde_json::from_str(&output(command)).unwrap();
        answer["error"]["code"].as_str().unwrap_or("in").to_owned()
    };
    assert_eq!(asks(&cable.b, PASSWORD), "in");
    let guesses: Vec<String> = (0..7).map(|_| asks(&cable.b, "hunter2")).collect();
    assert_eq!(guesses, vec!["not_authorised"; 7]);
    assert_eq!(asks(&cable.b, PASSWORD), "too_many", "however right it is");
    assert_eq!(asks(&cable.a, PASSWORD), "in", "from elsewhere");
    let file = site.hub.data.join("audit-gates.jsonl");
    let lines = || std::fs::read_to_string(&file).unwrap_or_default();
    let told = wait(SOON, || {
        let lines = lines();
        (lines.contains("\"refused\"") && lines.contains(&cable.b.address().to_string())).then_some(())
    });
    assert!(told.is_some(), "{}", lines());
    assert!(!lines().contains("hunter2"));
}
