//! Signing in with a browser: what the cookie opens, for which pages, and what everybody else hears.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::mqtt_wire::{Mqtt, Version};
use crate::needs::{Need, find, needs};
use crate::program::{SOON, output};
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, READER, Site};
use crate::terminal::Terminal;

fn site() -> Site {
    site_of("")
}

/// The same, with this at the top of the hub's file.
fn site_of(top: &str) -> Site {
    let hub_account = "\n[[account.room]]\nname = \"talk\"\nkind = \"board\"\nhistory = \"log\"\n".to_owned();
    let hub_top = format!("{top}[login]\nlasts = \"10m\"\n");
    let mut site = Site::laid_out(Plan { hub_top, hub_account, ..Plan::default() });
    site.hub.start();
    site
}

struct Answer {
    status: u16,
    cookie: Option<String>,
    body: String,
}

/// A POST, or a GET without a body.
fn ask(site: &Site, path: &str, headers: &[&str], body: Option<&str>) -> Answer {
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "30", "--include", "--http1.1"]);
    for header in headers {
        command.args(["--header", header]);
    }
    if let Some(body) = body {
        command.args(["--data-binary", body]);
    }
    let text = output({
        command.arg(format!("http://127.0.0.1:{}{path}", site.hub.http));
        command
    });
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).map(str::to_owned);
    Answer { status, cookie, body: body.to_owned() }
}

fn origin(site: &Site) -> String {
    format!("Origin: http://127.0.0.1:{}", site.hub.http)
}

const JSON: &str = "Content-Type: application/json";

fn sign_in(site: &Site, shown: &Value) -> Answer {
    ask(site, "/api/login", &[&origin(site), JSON], Some(&shown.to_string()))
}

/// The cookie as a browser sends it.
fn cookie(site: &Site) -> String {
    let answer = sign_in(site, &json!({ "user": format!("{ACCOUNT}/{OWNER}"), "password": PASSWORD }));
    let given = answer.cookie.expect("whoever is right gets a cookie");
    given.split(';').next().expect("a cookie has a value").to_owned()
}

/// A WebSocket with these headers, and what it hears when it says hello without a credential.
async fn opens(site: &Site, headers: &[(&'static str, String)]) -> (WebSocketStream<TcpStream>, Value) {
    let address = format!("127.0.0.1:{}", site.hub.http);
    let mut request = format!("ws://{address}/{ACCOUNT}/hall").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "riser.v1.json".parse().unwrap());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let socket = TcpStream::connect(&address).await.unwrap();
    let (mut socket, _) = client_async(request, socket).await.unwrap();
    let said = asks(&mut socket, json!({ "op": "hello", "events": false })).await;
    (socket, said)
}

/// The answer to a request.
async fn asks(socket: &mut WebSocketStream<TcpStream>, mut request: Value) -> Value {
    request["id"] = json!(1);
    socket.send(Message::text(request.to_string())).await.unwrap();
    let said = timeout(SOON, socket.next()).await.expect("an answer").expect("an answer").expect("an answer");
    serde_json::from_str(said.to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn who_signs_out_ends_what_came_by_that_cookie_and_nothing_else() {
    needs!(Need::Program("curl"));
    let site = site();
    let page = ("origin", format!("http://127.0.0.1:{}", site.hub.http));
    let (one, other) = (cookie(&site), cookie(&site));
    let (mut by_one, entered) = opens(&site, &[("cookie", one.clone()), page.clone()]).await;
    assert_eq!(entered["ok"]["name"], OWNER);
    let (mut by_other, _) = opens(&site, &[("cookie", other), page.clone()]).await;
    let ticket =
        asks(&mut by_one, json!({ "op": "ticket" })).await["ok"]["ticket"].as_str().unwrap().to_owned();
    let ended = ask(&site, "/api/logout", &[&format!("Cookie: {one}"), &origin(&site)], Some(""));
    assert_eq!(ended.status, 204);
    let close = async {
        loop {
            match by_one.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return 0,
            }
        }
    };
    assert_eq!(timeout(SOON, close).await.expect("it is closed"), 4103);
    assert_eq!(asks(&mut by_other, json!({ "op": "ping" })).await["re"], 1, "another browser's stays");
    let address = format!("127.0.0.1:{}", site.hub.http);
    let request = format!("ws://{address}/{ACCOUNT}/hall/a?ticket={ticket}").into_client_request().unwrap();
    let socket = TcpStream::connect(&address).await.unwrap();
    let (mut raw, _) = client_async(request, socket).await.unwrap();
    let said = timeout(SOON, raw.next()).await.expect("it is closed");
    assert!(
        matches!(said, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 4103),
        "its ticket too"
    );
}

/// What a WebSocket with these headers hears when it says hello without a credential: its name, or an error's code.
async fn enters(site: &Site, headers: &[(&'static str, String)]) -> String {
    enters_with(site, headers, None).await
}

/// The same with a credential.
pub async fn enters_with(
    site: &Site,
    headers: &[(&'static str, String)],
    credential: Option<Value>,
) -> String {
    let address = format!("127.0.0.1:{}", site.hub.http);
    let mut request = format!("ws://{address}/{ACCOUNT}/hall").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "riser.v1.json".parse().unwrap());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let socket = TcpStream::connect(&address).await.unwrap();
    let mut socket = match client_async(request, socket).await {
        Ok((socket, _)) => socket,
        Err(refused) => return refused.to_string(),
    };
    let mut hello = json!({ "op": "hello", "id": 1, "events": false });
    if let Some(credential) = credential {
        hello["credential"] = credential;
    }
    socket.send(Message::text(hello.to_string())).await.unwrap();
    let said = timeout(SOON, socket.next()).await.expect("an answer").expect("an answer").expect("an answer");
    let said: Value = serde_json::from_str(said.to_text().unwrap()).unwrap();
    let found = said["ok"]["name"].as_str().or(said["error"]["code"].as_str());
    found.unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[tokio::test]
async fn cookie_opens_sockets_for_allowed_pages_only_until_it_is_ended() {
    needs!(Need::Program("curl"));
    let mut site = site();
    let given = sign_in(&site, &json!({ "user": format!("{ACCOUNT}/{OWNER}"), "password": PASSWORD }));
    let shown = given.cookie.clone().expect("it is given");
    assert!(
        shown.contains("; HttpOnly")
            && shown.contains("; SameSite=Strict")
            && shown.contains("; Max-Age=600"),
        "{shown}"
    );
    let who: Value = serde_json::from_str(&given.body).unwrap();
    assert_eq!((given.status, &who["name"], &who["account"]), (200, &json!(OWNER), &json!(ACCOUNT)));

    let cookie = shown.split(';').next().unwrap().to_owned();
    let page = ("origin", format!("http://127.0.0.1:{}", site.hub.http));
    let carries = |cookie: &str| [("cookie", cookie.to_owned()), page.clone()];
    assert_eq!(enters(&site, &carries(&cookie)).await, OWNER);
    assert_eq!(enters(&site, &[("cookie", cookie.clone())]).await, "not_authorised", "no Origin, no cookie");
    let elsewhere = [("cookie", cookie.clone()), ("origin", "http://evil.example".to_owned())];
    assert!(enters(&site, &elsewhere).await.contains("403"));
    assert_eq!(enters(&site, std::slice::from_ref(&page)).await, "not_authorised");
    let forged = format!("{}x", cookie.trim_end_matches(|letter: char| letter.is_alphanumeric()));
    assert_eq!(enters(&site, &carries(&forged)).await, "not_authorised");
    assert_eq!(enters(&site, &carries(&format!("{cookie}; {cookie}"))).await, "not_authorised");

    let own = format!("Cookie: {cookie}");
    assert_eq!(ask(&site, "/api/login", &[&own, "Sec-Fetch-Site: same-origin"], None).status, 200);
    assert_eq!(ask(&site, "/api/login", &[&own], None).status, 401, "who says not that it is a page's own");
    site.hub.stop();
    site.hub.start();
    assert_eq!(enters(&site, &carries(&cookie)).await, OWNER, "over a restart");

    assert_eq!(ask(&site, "/api/logout", &[&own], Some("")).status, 403, "only a page signs out");
    let ended = ask(&site, "/api/logout", &[&own, &origin(&site)], Some(""));
    assert_eq!(ended.status, 204);
    assert!(ended.cookie.is_some_and(|cookie| cookie.contains("Max-Age=0")));
    assert_eq!(enters(&site, &carries(&cookie)).await, "not_authorised");
    assert_eq!(site.hub.metric("riser_sign_ins", "ended"), Some(1.0));
    let value = cookie.split('=').nth(1).unwrap();
    assert!(!site.hub.printed().contains(value) && !site.hub.printed().contains(PASSWORD));
}

#[tokio::test]
async fn another_password_ends_what_the_old_one_gave() {
    needs!(Need::Program("curl"));
    let mut site = site();
    let cookie = cookie(&site);
    let page = ("origin", format!("http://127.0.0.1:{}", site.hub.http));
    assert_eq!(enters(&site, &[("cookie", cookie.clone()), page.clone()]).await, OWNER);
    site.hub.stop();
    let text = std::fs::read_to_string(&site.hub.config).unwrap();
    let hash = text.split("password = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let other =
        "$argon2id$v=19$m=19456,t=2,p=1$ZXhhbXBsZS1zYWx0$bm90LXRoZS1oYXNoLW9mLWFueS1wYXNzd29yZC1hdC1hbGw";
    site.hub.write_config(&text.replacen(hash, other, 1));
    site.hub.start();
    assert_eq!(enters(&site, &[("cookie", cookie), page]).await, "not_authorised");
}

#[test]
fn whoever_is_wrong_hears_the_same_and_as_late() {
    needs!(Need::Program("curl"));
    let site = site();
    let wrong = [
        format!("{ACCOUNT}/{OWNER}"),
        format!("{ACCOUNT}/{READER}"),
        format!("{ACCOUNT}/nobody"),
        format!("nowhere/{OWNER}"),
        "No Name/at all".to_owned(),
    ];
    let mut took = vec![Vec::new(); wrong.len()];
    for _ in 0..7 {
        for (user, took) in wrong.iter().zip(&mut took) {
            let began = Instant::now();
            let answer = sign_in(&site, &json!({ "user": user, "password": "hunter2" }));
            took.push(began.elapsed());
            assert_eq!((answer.status, answer.cookie), (401, None));
            let error = r#"{"error":{"code":"not_authorised","what":"the credential was not accepted","want":"a user and password, or a token, that this instance knows"}}"#;
            let error: Value = serde_json::from_str(error).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap(), error);
        }
    }
    let medians: Vec<Duration> = took
        .into_iter()
        .map(|mut took| {
            took.sort();
            took[took.len() / 2]
        })
        .collect();
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    // Without the hash that stands in, those who are nobody are answered at once: in a tenth of the time.
    assert!(*most < *least * 2, "{medians:?}");
    assert_eq!(site.hub.metric("riser_sign_ins", "refused"), Some(35.0));
}

/// Signs in as somebody who says no Origin, with these fields: status and answer.
fn program(site: &Site, user: &str, fields: Value) -> (u16, Value) {
    let mut shown = json!({ "user": format!("{ACCOUNT}/{user}"), "password": PASSWORD, "give": "token" });
    shown.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let answer = ask(site, "/api/login", &[JSON], Some(&shown.to_string()));
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

#[tokio::test]
async fn each_browser_and_program_of_a_person_is_a_client_of_its_own_and_the_same_token_is_the_same_one() {
    needs!(Need::Program("curl"));
    let site = site();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
    let (status, one) = program(&site, OWNER, json!({ "client": "new" }));
    assert_eq!(status, 200, "{one}");
    let (_, other) = program(&site, OWNER, json!({ "client": "new" }));
    let (_, again) = program(&site, OWNER, json!({ "client": one["client"] }));
    let (_, itself) = program(&site, OWNER, json!({}));
    assert_ne!(one["client"], other["client"]);
    assert_eq!(one["client"], again["client"]);
    assert!(![&one, &other].iter().any(|one| one["client"] == itself["client"]));

    // Sessions of their own: one MQTT client id, taken over by the same client alone.
    let connect = |token: &Value| {
        let token = text(&token["token"]);
        Mqtt::connect(site.hub.mqtt, Version::Five, "panel", (None, &token), (false, 300)).unwrap()
    };
    let mut first = connect(&one);
    first.subscribe(&["hall/a".to_owned()], false);
    drop(first);
    assert!(connect(&other).welcome[0] == 0, "another client's session is not its own");
    let mut queued = connect(&again);
    assert!(queued.welcome[0] == 1, "the same client's is");
    let mut says = connect(&itself);
    assert!(says.publish("hall/a", b"for the first", false).unwrap() < 0x80);
    queued.hears(&[("hall/a".to_owned(), b"for the first".to_vec(), false)]);

    // Each its own row in presence, with the person's name; what one said is the person's to edit by another.
    let enters = async |token: &Value| {
        Terminal::program(&site, &format!("/{ACCOUNT}/hall"), json!({ "token": text(&token["token"]) })).await
    };
    let (mut by_one, mut by_other) = (enters(&one).await.unwrap(), enters(&other).await.unwrap());
    for program in [&mut by_one, &mut by_other] {
        let joined = program.asks(json!({ "op": "subscribe", "sub": 1, "channels": "x" })).await;
        assert!(joined["ok"].is_object(), "{joined}");
    }
    let present = by_one.asks(json!({ "op": "presence" })).await;
    let rows = present["ok"]["present"].as_array().unwrap_or_else(|| panic!("{present}")).clone();
    let of = |token: &Value| rows.iter().filter(|row| row["client"] == token["client"]).count();
    assert!(of(&one) >= 1 && of(&other) >= 1, "{present}");
    assert!(rows.iter().all(|row| row["name"] == OWNER), "{present}");
    let talks = async |token: &Value| {
        let token = json!({ "token": text(&token["token"]) });
        Terminal::program(&site, &format!("/{ACCOUNT}/talk"), token).await.unwrap()
    };
    let said = talks(&one).await.asks(json!({ "op": "publish", "channel": "a", "data": "x" })).await;
    let edit = json!({ "op": "edit", "pos": said["ok"]["pos"], "data": "y" });
    let edited = talks(&other).await.asks(edit).await;
    assert!(edited["ok"].is_object(), "{edited}");

    // A client of somebody else's is refused as a wrong password is.
    let wrong = program(&site, READER, json!({ "password": "hunter2" }));
    assert_eq!(program(&site, READER, json!({ "client": one["client"] })), wrong);
    assert_eq!(wrong.0, 401);
    // What was given at a sign-in gives nothing at another one, neither as itself nor as another client, and no key for ever.
    let wrong =
        ask(&site, "/api/login", &[JSON], Some(&json!({ "token": "no", "give": "token" }).to_string()));
    for fields in
        [json!({ "give": "token" }), json!({ "give": "token", "client": other["client"] }), json!({})]
    {
        let mut shown = json!({ "token": one["token"] });
        shown.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = ask(&site, "/api/login", &[JSON, &origin(&site)], Some(&shown.to_string()));
        assert_eq!((answer.status, &answer.body, &answer.cookie), (401, &wrong.body, &None), "{fields}");
    }
    let made = by_one.asks(json!({ "op": "keys", "make": "token" })).await;
    assert_eq!(made["error"]["code"], "denied", "{made}");
    // A token counts in no cookie's place, and neither has what the other one stands for.
    let cookie = format!("Cookie: riser={}", text(&one["token"]));
    assert_eq!(ask(&site, "/api/login", &[&cookie, &origin(&site)], None).status, 401);
    let bearer = format!("Authorization: Bearer {}", text(&one["token"]));
    let own = ask(&site, "/api/login", &[&bearer], None);
    assert_eq!(serde_json::from_str::<Value>(&own.body).unwrap()["client"], one["client"], "{}", own.body);
    assert_eq!(ask(&site, "/api/logout", &[&bearer], Some("")).status, 204);
    by_one.hears("\"bye\"").await;
    assert_eq!(enters(&one).await.err(), Some(json!("not_authorised")));
    assert!(enters(&again).await.is_ok(), "another token of the same client");
}

#[tokio::test]
async fn what_a_sign_in_gave_operates_nothing_though_its_user_is_named() {
    needs!(Need::Program("curl"));
    let site = site_of(&format!("operators = [\"{ACCOUNT}/{READER}\"]\n"));
    let shown = json!({ "user": format!("{ACCOUNT}/{READER}"), "password": PASSWORD });
    let (_, given) = program(&site, READER, json!({ "client": "new" }));
    let cookie = sign_in(&site, &shown).cookie.expect("whoever is right gets a cookie");
    let bearer = format!("Authorization: Bearer {}", given["token"].as_str().unwrap());
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    let own = format!("{ACCOUNT}/{READER}:{PASSWORD}");
    let basic = format!("Authorization: Basic {}", STANDARD.encode(own));
    // The operator's business; she administers nothing in her account.
    let path = format!("/api/admin/v1/accounts/{ACCOUNT}/rooms/hall");
    for (shown, status) in [(&basic, 200), (&bearer, 401), (&cookie, 401)] {
        let answer = ask(&site, &path, &[&origin(&site), shown], None);
        assert_eq!(answer.status, status, "{shown}: {}", answer.body);
    }
    for (shown, allowed) in [(shown, true), (json!({ "token": given["token"] }), false)] {
        let mut lobby = Terminal::program(&site, "/", shown).await.unwrap();
        let answer = lobby.asks(json!({ "op": "admin" })).await;
        assert_eq!(answer["ok"]["admin"] == true, allowed, "{answer}");
        assert_eq!(answer["error"]["code"] == "denied", !allowed, "{answer}");
    }
}

#[test]
fn browser_is_the_same_client_each_time_and_more_than_a_person_has_are_told_so() {
    needs!(Need::Program("curl"));
    let site = site();
    let right = |user: &str| json!({ "user": format!("{ACCOUNT}/{user}"), "password": PASSWORD });
    let jar = |name: &str| site.folder.path().join(name).display().to_string();
    let browser = |name: &str, user: &str| -> Value {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "30", "--cookie", &jar(name), "--cookie-jar", &jar(name)]);
        command.args(["--header", &origin(&site), "--header", JSON, "--data", &right(user).to_string()]);
        command.arg(format!("http://127.0.0.1:{}/api/login", site.hub.http));
        serde_json::from_str::<Value>(&output(command)).unwrap()["client"].clone()
    };
    let first = browser("one", OWNER);
    assert_eq!(browser("one", OWNER), first, "the browser keeps what it is called by");
    let second = browser("two", OWNER);
    assert_ne!(second, first);
    let hers = browser("one", READER);
    assert!(hers.is_string() && hers != first, "whoever else uses it has one of its own there");
    for n in 0..30 {
        let (status, answer) = program(&site, OWNER, json!({ "client": "new" }));
        assert_eq!(status, 200, "{n}: {answer}");
    }
    let (status, answer) = program(&site, OWNER, json!({ "client": "new" }));
    assert_eq!((status, &answer["error"]["code"]), (429, &json!("too_many")), "{answer}");
    assert!(answer["error"]["want"].as_str().unwrap().contains("not used any more"), "{answer}");
    let (_, itself) = program(&site, OWNER, json!({}));
    assert_eq!(browser("three", OWNER), itself["client"], "a browser is let in all the same");
}

#[test]
fn only_pages_that_may_connect_sign_in_and_only_with_what_they_mean_to_send() {
    needs!(Need::Program("curl"));
    let site = site();
    let shown = json!({ "user": format!("{ACCOUNT}/{OWNER}"), "password": PASSWORD }).to_string();
    let post = |headers: &[&str], body: &str| ask(&site, "/api/login", headers, Some(body));
    for headers in [&[JSON][..], &[JSON, "Origin: http://evil.example"], &[JSON, "Origin: null"]] {
        let answer = post(headers, &shown);
        assert_eq!((answer.status, answer.cookie), (403, None), "{headers:?}");
    }
    let origin = origin(&site);
    // What a page from elsewhere can send without asking first is no JSON.
    for kind in ["Content-Type: text/plain", "Content-Type: multipart/form-data"] {
        assert_eq!(post(&[&origin, kind], &shown).status, 400);
    }
    for body in
        ["", "{}", "[]", r#"{"user":"a"}"#, r#"{"token":"x","user":"a","password":"b"}"#, "{\"user\":1}"]
    {
        assert_eq!(post(&[&origin, JSON], body).status, 400, "{body}");
    }
    let long = format!("{{\"token\":\"{}\"}}", "x".repeat(17 << 10));
    assert_eq!(post(&[&origin, JSON], &long).status, 400);
    let form = format!("user={ACCOUNT}%2F{OWNER}&password=correct+horse");
    let answer = post(&[&origin, "Content-Type: application/x-www-form-urlencoded"], &form);
    assert_eq!(answer.status, 303);
    assert!(answer.cookie.is_some());
}

#[test]
fn browser_signs_in_and_no_script_or_foreign_page_has_its_cookie() {
    needs!(Need::Program("curl"), Need::Program("chromium"), Need::Node);
    let site = site();
    let chromium = find("chromium").expect("it is there");
    let asked = json!({
        "url": format!("http://127.0.0.1:{}/", site.hub.http),
        "elsewhere": format!("http://localhost:{}/", site.hub.http),
        "account": ACCOUNT,
        "room": "hall",
        "chromium": chromium,
    });
    let client = site.client("browser", "sign_in.mjs", &site.hub, OWNER, asked);
    client.finish(Duration::from_secs(90));
    let ledger = site.history.ledger();
    for seen in [
        "before: not_authorised",
        "signed in: 200 ann",
        "script sees: ",
        "socket: ann",
        "whoami: 200 ann",
        "from elsewhere: error",
        "signed out: 204",
        "after: not_authorised",
        "done",
    ] {
        assert!(ledger.has_mark(&format!("sign-in {seen}")), "{seen}: {}", ledger.summary());
    }
}

/// A password that is right is as unwelcome as one that is wrong where somebody may listen on the way: nothing is looked at.
#[test]
fn nobody_signs_in_over_plain_http_from_another_host() {
    needs!(Need::Namespaces, Need::Program("curl"));
    let cable = crate::place::Cable::lay();
    let (hub_top, hub_place) = ("[login]\n".to_owned(), Some(cable.a.clone()));
    let mut site = Site::laid_out(Plan { hub_top, hub_place, ..Plan::default() });
    site.hub.start();
    let signs_in = |password: &str| {
        let shown = json!({ "user": format!("{ACCOUNT}/{OWNER}"), "password": password }).to_string();
        let mut command = cable.b.command("curl");
        command.args(["--silent", "--max-time", "30", "--include", "--http1.1", "--data", &shown]);
        let origin = format!("http://{}:{}", cable.a.address(), site.hub.http);
        command.args([
            "--header",
            "Content-Type: application/json",
            "--header",
            &format!("Origin: {origin}"),
        ]);
        command.arg(format!("{origin}/api/login"));
        output(command)
    };
    for password in [PASSWORD, "hunter2"] {
        let answer = signs_in(password);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 403") && !head.to_lowercase().contains("set-cookie"), "{answer}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], "denied", "{body}");
        assert!(body["error"]["want"].as_str().unwrap().contains("https"), "{body}");
    }
}

#[tokio::test]
async fn room_asks_for_a_cookie_and_for_the_page_that_a_browser_acts_for() {
    needs!(Need::Program("curl"));
    let mut site = Site::laid_out(Plan { hub_top: "[login]\n".into(), ..Plan::default() });
    let text = std::fs::read_to_string(&site.hub.config).unwrap();
    let own = format!("http://127.0.0.1:{}", site.hub.http);
    let page = ("origin", own.clone());
    let password = || Some(json!({ "user": OWNER, "password": PASSWORD }));
    let gated = |gate: &str| {
        let hall = "name = \"hall\"\n";
        assert_eq!(text.matches(hall).count(), 1);
        text.replacen(hall, &format!("{hall}gate = [{gate}]\n"), 1)
    };
    site.hub.write_config(&gated(&format!("{{ origin = [\"{own}\"] }}")));
    site.hub.start();
    assert_eq!(enters_with(&site, std::slice::from_ref(&page), password()).await, OWNER);
    assert_eq!(enters_with(&site, &[], password()).await, "denied", "no browser");
    let by = (Some(&*format!("{ACCOUNT}/{OWNER}")), PASSWORD);
    let mut mqtt = Mqtt::connect(site.hub.mqtt, Version::Five, "native", by, (true, 0)).unwrap();
    assert_eq!(mqtt.publish("hall/x", b"1", false), Some(0x87));

    site.hub.stop();
    site.hub
        .write_config(&gated(&format!("\"cookie\", {{ origin = [\"https://board.example\", \"{own}\"] }}")));
    site.hub.start();
    let cookie = ("cookie", cookie(&site));
    assert_eq!(enters_with(&site, &[cookie.clone(), page.clone()], None).await, OWNER);
    assert_eq!(enters_with(&site, std::slice::from_ref(&page), password()).await, "not_authorised");

    site.hub.stop();
    site.hub.write_config(&gated("\"cookie\", { origin = [\"https://board.example\"] }"));
    site.hub.start();
    assert_eq!(enters_with(&site, &[cookie, page], None).await, "denied", "another page");
}
