//! Administration by way of the page: who may, with what shown, and what becomes of two who change the same thing.

use std::process::Command;

use serde_json::{Value, json};

use crate::needs::{Need, needs};
use crate::program::output;
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, READER, Site};

/// A hub whose room `talk` is looked after by `kim`, as is `far`, whose gate lets nobody from here in.
fn site(listen: &str) -> Site {
    let people = r#"
[[account.user]]
name = "kim"
password = "{hash}"
role = "reader"

[[account.user]]
name = "wim"
password = "{hash}"
role = "writer"

[[account.room]]
name = "talk"
history = "log"
grant = [{ to = "kim", right = "admin" }]

[[account.room]]
name = "far"
history = "log"
gate = [{ address = ["192.0.2.0/24"] }]
grant = [{ to = "kim", right = "admin" }]
"#;
    let hub_account = people.replace("{hash}", crate::site::password_hash());
    let mut site = Site::laid_out(Plan { hub_account, hub_top: "[login]\n".into(), ..Plan::default() });
    if !listen.is_empty() {
        let text = std::fs::read_to_string(&site.hub.config).unwrap();
        let plain = format!("http = \"127.0.0.1:{}\"", site.hub.http);
        assert!(text.contains(&plain));
        let other = format!("http = {{ address = \"127.0.0.1:{}\", {listen} }}", site.hub.http);
        site.hub.write_config(&text.replacen(&plain, &other, 1));
    }
    site.hub.start();
    site
}

/// A request with these headers: status and answer.
fn ask(site: &Site, method: &str, path: &str, headers: &[&str], body: &Value) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "30", "--write-out", "\n%{http_code}", "--request", method]);
    for header in headers {
        command.args(["--header", header]);
    }
    if !body.is_null() {
        command.args(["--data", &body.to_string()]);
    }
    command.arg(format!("http://127.0.0.1:{}{path}", site.hub.http));
    let text = output(command);
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

/// The same of somebody with everybody's password, about the account.
fn asks(site: &Site, who: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let shown = STANDARD.encode(format!("{ACCOUNT}/{who}:{PASSWORD}"));
    let path = format!("/api/admin/v1/accounts/{ACCOUNT}/{path}");
    ask(site, method, &path, &[&format!("Authorization: Basic {shown}")], body)
}

#[test]
fn who_looks_after_a_room_changes_what_is_that_rooms_and_nothing_else() {
    needs!(Need::Program("curl"));
    let site = site("");
    let no = Value::Null;
    let status = |who, method, path, body: &Value| asks(&site, who, method, path, body).0;
    let grant = json!({ "room": "talk", "to": READER, "right": "publish", "channels": "a/#" });
    let everywhere = json!({ "to": "kim", "right": "admin" });
    let rows = [
        ("GET", "rooms/talk", no.clone(), [200, 200, 401]),
        ("GET", "rooms/talk/members", no.clone(), [200, 200, 401]),
        ("PATCH", "rooms/talk", json!({ "retention": { "count": 9 } }), [200, 200, 401]),
        // What is there already, or is not there any more, is said to be so.
        ("POST", "grants", grant.clone(), [409, 200, 401]),
        ("POST", "ungrant", grant, [404, 200, 401]),
        ("PATCH", "rooms/talk", json!({ "quota": { "messages": 9 } }), [200, 403, 401]),
        ("PATCH", "rooms/talk", json!({ "linked": true }), [200, 403, 401]),
        ("PATCH", "rooms/hall", json!({ "retention": { "count": 9 } }), [200, 404, 401]),
        ("GET", "rooms/hall", no.clone(), [200, 404, 401]),
        // Its gate does not let them in from here; who administers the account needs no gate of a room.
        ("GET", "rooms/far", no.clone(), [200, 404, 401]),
        ("PATCH", "rooms/far", json!({ "gate": [] }), [200, 404, 401]),
        ("POST", "grants", json!({ "room": "hall", "to": "kim", "right": "admin" }), [200, 404, 401]),
        ("GET", "audit", no.clone(), [200, 404, 401]),
        ("PATCH", &format!("members/{READER}"), json!({ "groups": ["ops"] }), [200, 404, 401]),
        ("DELETE", "members/sensor/credentials", no.clone(), [200, 404, 401]),
        ("POST", "users", json!({ "name": "eve", "role": "owner" }), [200, 404, 401]),
        ("POST", "clients", json!({ "name": "valve" }), [200, 404, 401]),
        ("POST", "rooms", json!({ "name": "attic" }), [200, 404, 401]),
        ("POST", "members/kim/credentials", json!({ "kind": "token" }), [200, 404, 401]),
        // What the page has no need of is not there.
        ("GET", "", no.clone(), [404, 404, 404]),
        ("PUT", "issuers", json!({ "issuer": [] }), [404, 404, 404]),
        ("POST", "grants", everywhere, [200, 404, 401]),
    ];
    for (method, path, body, expected) in &rows {
        // Who may not comes first: what is heard may change what there is.
        for (who, expected) in [OWNER, "kim", READER].into_iter().zip(expected).rev() {
            assert_eq!(status(who, method, path, body), *expected, "{who}: {method} {path} {body}");
        }
    }
    let members = |who| asks(&site, who, "GET", "rooms/talk/members?contains=sens", &no).1["members"].clone();
    assert_eq!(members(OWNER)[0]["name"], "sensor");
    assert!(members(OWNER)[0]["credentials"].is_array());
    let lines = asks(&site, OWNER, "GET", "audit?contains=HALL", &no).1["lines"].clone();
    let lines = lines.as_array().unwrap();
    assert!(!lines.is_empty());
    assert!(lines.iter().all(|line| line.to_string().contains("hall")), "{lines:?}");
}

#[test]
fn who_looks_after_a_room_sees_nobodys_credentials() {
    needs!(Need::Program("curl"));
    let site = site("");
    let seen = asks(&site, "kim", "GET", "rooms/talk/members", &Value::Null).1;
    assert!(seen["members"].as_array().unwrap().len() > 3);
    assert!(!seen.to_string().contains("credentials"), "{seen}");
    assert_eq!(asks(&site, "kim", "GET", "rooms/talk", &Value::Null).1["account"], false);
}

#[test]
fn a_cookie_administers_from_allowed_pages_only_and_nothing_shown_administers_nothing() {
    needs!(Need::Program("curl"));
    let site = site(&format!("anonymous = \"{ACCOUNT}/{OWNER}\""));
    let origin = format!("Origin: http://127.0.0.1:{}", site.hub.http);
    let mut login = Command::new("curl");
    let body = json!({ "user": format!("{ACCOUNT}/{OWNER}"), "password": PASSWORD }).to_string();
    login.args(["--silent", "--include", "--header", &origin, "--header", "Content-Type: application/json"]);
    login.args(["--data", &body, &format!("http://127.0.0.1:{}/api/login", site.hub.http)]);
    let head = output(login);
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    let path = format!("/api/admin/v1/accounts/{ACCOUNT}/rooms/talk");
    let set = |headers: &[&str]| ask(&site, "PATCH", &path, headers, &json!({ "history": "log" })).0;
    assert_eq!(set(&[&cookie, &origin]), 200);
    assert_eq!(set(&[&cookie]), 401, "without an Origin a cookie is not looked at");
    assert_eq!(set(&[&cookie, "Origin: http://evil.example"]), 403);
    assert_eq!(set(&[&cookie, "Origin: null"]), 403);
    // The listener lends the owner to everybody who shows nothing; that enters rooms, and administers none.
    assert_eq!(ask(&site, "GET", "/api/rooms/talk/presence", &[], &Value::Null).0, 200);
    assert_eq!(set(&[]), 401);
    assert_eq!(set(&[&origin]), 401);
}

#[test]
fn who_changes_what_somebody_else_changed_meanwhile_is_told_and_overwrites_nothing() {
    needs!(Need::Program("curl"));
    let site = site("");
    let shown = || asks(&site, OWNER, "GET", "rooms/talk", &Value::Null).1;
    let ask_with = |method: &str, tag: &Value, path: &str, body: Value| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let shown = STANDARD.encode(format!("{ACCOUNT}/{OWNER}:{PASSWORD}"));
        let path = format!("/api/admin/v1/accounts/{ACCOUNT}/{path}");
        let tag = format!("If-Match: \"{}\"", tag.as_str().unwrap());
        ask(&site, method, &path, &[&format!("Authorization: Basic {shown}"), &tag], &body)
    };
    let with = |tag: &Value, path: &str, body: Value| ask_with("PATCH", tag, path, body);
    let before = shown();
    assert_eq!(with(&before["tag"], "rooms/talk", json!({ "retention": { "count": 5 } })).0, 200);
    let (status, said) = with(&before["tag"], "rooms/talk", json!({ "history": "none" }));
    assert_eq!((status, &said["error"]["code"]), (412, &json!("taken")));
    let now = shown();
    assert_eq!((&now["room"]["history"], &now["room"]["retention"]["count"]), (&json!("log"), &json!(5)));
    // What changes elsewhere in the account is no reason to refuse.
    let member =
        || asks(&site, OWNER, "GET", "rooms/talk/members?contains=kim", &Value::Null).1["members"][0].clone();
    let kim = member();
    assert_eq!(with(&kim["tag"], "members/kim", json!({ "groups": ["ops"] })).0, 200);
    assert_eq!(with(&kim["tag"], "members/kim", json!({ "role": null })).0, 412);
    assert_eq!((&member()["role"], &member()["groups"]), (&json!("reader"), &json!(["ops"])));
    assert_eq!(with(&now["tag"], "rooms/talk", json!({ "history": "none" })).0, 200);
    let grant = json!({ "room": "talk", "to": "kim", "right": "publish", "channels": "late" });
    for (method, tag, path, body) in [
        ("DELETE", &kim["tag"], "members/kim", &Value::Null),
        ("POST", &before["tag"], "grants", &grant),
        ("POST", &before["tag"], "ungrant", &grant),
    ] {
        assert_eq!(ask_with(method, tag, path, body.clone()).0, 412, "{path}");
    }
    // One change is taken as a whole or not at all.
    let (status, said) = with(&member()["tag"], "members/kim", json!({ "role": null, "name": READER }));
    assert!(status >= 400, "{said}");
    assert_eq!((&member()["role"], &member()["groups"]), (&json!("reader"), &json!(["ops"])));
    assert_eq!(ask_with("POST", &shown()["tag"], "grants", grant.clone()).0, 200);
    assert_eq!(ask_with("POST", &shown()["tag"], "ungrant", grant).0, 200);
    assert_eq!(ask_with("DELETE", &member()["tag"], "members/kim", Value::Null).0, 200);
}

#[test]
fn who_reads_a_room_learns_the_names_of_those_who_could_be_in_it() {
    needs!(Need::Program("curl"));
    let site = site("");
    let members = asks(&site, OWNER, "GET", "rooms/talk/members", &Value::Null).1;
    let id = |name: &str| {
        let all = members["members"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let names = |who: &str, room: &str, clients: &str| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let shown =
            format!("Authorization: Basic {}", STANDARD.encode(format!("{ACCOUNT}/{who}:{PASSWORD}")));
        ask(&site, "GET", &format!("/api/rooms/{room}/names?clients={clients}"), &[&shown], &Value::Null)
    };
    let nobody = "00000000-0000-4000-8000-000000000000";
    let (kim, owner) = (id("kim"), id(OWNER));
    let (status, said) = names(READER, "talk", &format!("{kim},{owner},{nobody},junk"));
    assert_eq!((status, &said["names"]), (200, &json!({ &kim: "kim", &owner: OWNER })));
    assert_eq!(names(READER, "nowhere", &kim).0, 403);
    assert_eq!(names("wim", "talk", &kim).0, 403, "who only writes reads no names");
    assert_eq!(names("kim", "far", &owner).0, 403, "nor who does not pass the room's gate");
    assert_eq!(names(READER, "talk", &[nobody; 101].join(",")).0, 400);
    // Who may do nothing there is not named.
    let deny = json!({ "room": "talk", "to": "kim", "right": ["publish", "subscribe"], "deny": true });
    assert_eq!(asks(&site, OWNER, "POST", "grants", &deny).0, 200);
    assert_eq!(names(READER, "talk", &kim).1["names"], json!({}));
}

#[test]
fn who_shows_nothing_takes_no_place_in_the_audit_log() {
    needs!(Need::Program("curl"));
    let site = site("");
    let path = format!("/api/admin/v1/accounts/{ACCOUNT}/rooms/talk");
    assert_eq!(ask(&site, "GET", &path, &[], &Value::Null).0, 401);
    assert_eq!(asks(&site, READER, "GET", "rooms/talk", &Value::Null).0, 401);
    let written = || std::fs::read_to_string(site.hub.data.join("audit-gates.jsonl")).unwrap_or_default();
    let lines = crate::program::wait(crate::program::SOON, || {
        let lines = written().lines().filter(|line| line.contains("the admin interface")).count();
        (lines > 0).then_some(lines)
    });
    assert_eq!(lines, Some(1), "who is known and may not is written down: {}", written());
    assert!(!written().contains("\"count\":2"), "{}", written());
}
