//! A hub behind nginx, by the very file that `configs/examples` gives: everything on one encrypted port, and the
//! rules about who may open what still hold.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::client::Client;
use crate::needs::{Need, find, needs, node_tools, scripts};
use crate::program::{EVENTUALLY, Program, SOON, free_port, output, wait};
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, READER, Site};
use crate::tls::certificate;

/// A hub and its proxy.
struct Behind {
    site: Site,
    proxy: Program,
    port: u16,
    /// What a client must trust.
    ca: PathBuf,
    log: PathBuf,
}

impl Behind {
    fn start() -> Self {
        let mut site = Site::laid_out(Plan::default());
        site.hub.start();
        let folder = site.folder.path().to_owned();
        let (ca, key) = certificate(&folder, "proxy");
        let (port, log) = (free_port(), folder.join("access.log"));
        let file = documented(&[
            ("127.0.0.1:8080;", &format!("127.0.0.1:{};", site.hub.http)),
            ("listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl")),
            ("/etc/ssl/certs/riser.pem", ca.to_str().unwrap()),
            ("/etc/ssl/private/riser.pem", key.to_str().unwrap()),
            ("/var/log/nginx/riser.log", log.to_str().unwrap()),
        ]);
        let own = folder.join("riser.conf");
        fs::write(&own, file).expect("the folder can be written");
        let all = folder.join("nginx.conf");
        fs::write(&all, around(&folder, &own)).expect("the folder can be written");
        let mut command = Command::new(find("nginx").expect("it is there"));
        command.args(["-e", "stderr", "-p"]).arg(&folder).arg("-c").arg(&all);
        let proxy = Program::start("nginx", command, &folder);
        let mut behind = Self { site, proxy, port, ca, log };
        let mut probe = behind.curl(&["--fail", "--output", "/dev/null"], "/");
        let is_there = || probe.status().is_ok_and(|status| status.success());
        behind.proxy.wait_until("the page is there", SOON, is_there);
        behind
    }

    fn curl(&self, arguments: &[&str], path: &str) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--cacert"]).arg(&self.ca).args(arguments);
        command.arg(format!("https://127.0.0.1:{}{path}", self.port));
        command
    }

    /// A Node client that comes through the proxy, and trusts it: to a path over a WebSocket, or by `over` to MQTT.
    fn client(&self, name: &str, script: &str, user: &str, path: &str, asked: Value) -> Client {
        let url = format!("wss://127.0.0.1:{}{path}", self.port);
        let mut all = json!({
            "url": url, "host": "127.0.0.1", "port": self.port, "user": user, "password": PASSWORD,
            "client_id": name, "reader": name, "over": { "protocol": "wss", "path": "/mqtt" },
        });
        all.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
        let mut command = Command::new(find("node").expect("it is there"));
        command.env("RISER_NODE_TOOLS", node_tools()).env("NODE_EXTRA_CA_CERTS", &self.ca);
        command.arg(scripts().join(script)).arg(all.to_string());
        Client::run(name, command, &self.site.history, self.site.folder.path())
    }
}

/// The example with its ports and files replaced, each of which it must have.
fn documented(replaced: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/examples/nginx.conf");
    let mut text = fs::read_to_string(path).expect("the example is there");
    for (usual, ours) in replaced {
        assert!(text.contains(usual), "the example has no {usual}");
        text = text.replace(usual, ours);
    }
    text
}

/// What Debian's own file has around it, for one process that ends with the test.
fn around(folder: &Path, own: &Path) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nevents {{ worker_connections 768; }}\n\
         http {{\n{temporary}    gzip on;\n    gzip_types text/javascript;\n    include {};\n}}\n",
        own.display()
    )
}

#[test]
fn page_websockets_and_mqtt_share_one_port_behind_nginx() {
    needs!(Need::Program("nginx"), Need::Program("curl"), Need::Node);
    let mut behind = Behind::start();

    // The page and its scripts, compressed, and not sent twice.
    let page = output(behind.curl(&["--fail"], "/"));
    assert!(page.contains("/assets/page.js"), "{page}");
    let head = output(behind.curl(
        &["--fail", "--compressed", "--dump-header", "-", "--output", "/dev/null"],
        "/assets/riser.js",
    ));
    let tag = head.lines().find_map(|line| line.strip_prefix("ETag: ").or(line.strip_prefix("etag: ")));
    let tag = format!("If-None-Match: {}", tag.unwrap_or_else(|| panic!("no tag: {head}")));
    assert!(head.to_lowercase().contains("content-encoding: gzip"), "{head}");
    let again = behind.curl(
        &["--compressed", "--header", &tag, "--write-out", "%{http_code} %{size_download}"],
        "/assets/riser.js",
    );
    assert_eq!(output(again), "304 0");

    // Readers of every kind.
    let room = format!("/{ACCOUNT}/hall");
    let _board = behind.client("board", "envelope.mjs", OWNER, &room, json!({}));
    let _mqtt = behind.client("mqtt", "subscribe_mqttjs.mjs", READER, "", json!({ "filter": "hall/#" }));
    for reader in ["board", "mqtt"] {
        behind.site.history.wait_mark(&format!("{reader} ready"), SOON);
    }
    // Publishers of every kind.
    let publish = json!({ "stream": "own", "channel": "own", "count": 200 });
    let readers = json!([{ "reader": "client", "from": "start" }]);
    let own = json!({ "scenario": "stream", "publish": publish, "readers": readers });
    let _own = behind.client("own", "riser.mjs", OWNER, &room, own);
    let raw = json!({ "publish": { "stream": "raw", "count": 20 } });
    let _raw = behind.client("raw", "raw.mjs", OWNER, &format!("{room}/raw"), raw);
    let sensor = json!({ "topic": "hall/m", "stream": "m", "qos": 2, "count": 50 });
    behind.client("sensor", "publish_mqttjs.mjs", OWNER, "", sensor).finish(EVENTUALLY);

    let readers = ["board", "mqtt", "client"];
    behind.site.history.wait("everything is delivered", EVENTUALLY, |ledger| {
        readers.iter().all(|reader| ledger.delivered(reader) == 270) && ledger.has_mark("own done")
    });
    for reader in readers {
        let verdict = behind.site.history.ledger().verdict(reader);
        assert!(verdict.is_clean(), "{reader}: {verdict:?}");
    }

    // What is behind it may die: the proxy says so, and the client comes back through it.
    behind.site.hub.kill();
    behind.site.history.wait_mark("state waiting unreachable", SOON);
    behind.site.hub.start();
    let late = json!({ "stream": "late", "topic": "hall/late", "count": 20 });
    behind.client("late", "publish_mqttjs.mjs", OWNER, "", late).finish(EVENTUALLY);
    let history = &behind.site.history;
    history.wait("what came after is there", EVENTUALLY, |ledger| ledger.delivered("client") == 290);
    assert!(history.ledger().verdict("client").is_clean());
    assert!(behind.proxy.runs());

    let seen = format!("{room}/seen");
    output(behind.curl(&[], &format!("{seen}?ticket=canary")));
    let logged = || fs::read_to_string(&behind.log).expect("it is written");
    let is_logged = || logged().contains(&seen).then_some(());
    assert!(wait(SOON, is_logged).is_some(), "{}", logged());
    assert!(!logged().contains("canary"), "a ticket is in the proxy's log: {}", logged());
}

/// Whoever guesses passwords behind a proxy that is believed waits by itself; nobody is believed who is none.
#[test]
fn who_is_behind_nginx_is_counted_by_its_own_address_and_nobody_is_by_a_word_of_its_own() {
    needs!(Need::Namespaces, Need::Program("nginx"), Need::Program("curl"));
    let cable = crate::place::Cable::lay();
    let mut site = Site::laid_out(Plan { hub_place: Some(cable.a.clone()), ..Plan::default() });
    let (here, there) = (cable.a.address(), cable.b.address());
    let text = fs::read_to_string(&site.hub.config).unwrap();
    let http = format!("http = \"{here}:{}\"", site.hub.http);
    assert_eq!(text.matches(&http).count(), 1);
    let believed = format!("http = {{ address = \"{here}:{}\", proxies = [\"{here}\"] }}", site.hub.http);
    let gated = format!(
        "\n[[account.room]]\nname = \"porch\"\nhistory = \"log\"\ngate = [{{ address = [\"{there}\"] }}]\n"
    );
    site.hub.write_config(&(text.replace(&http, &believed) + &gated));
    site.hub.start();
    let folder = site.folder.path().to_owned();
    let (ca, key) = certificate(&folder, "proxy");
    let (port, log) = (free_port(), folder.join("access.log"));
    let own = folder.join("riser.conf");
    let file = documented(&[
        ("127.0.0.1:8080;", &format!("{here}:{};", site.hub.http)),
        ("listen 443 ssl", &format!("listen {here}:{port} ssl")),
        ("/etc/ssl/certs/riser.pem", ca.to_str().unwrap()),
        ("/etc/ssl/private/riser.pem", key.to_str().unwrap()),
        ("/var/log/nginx/riser.log", log.to_str().unwrap()),
    ]);
    fs::write(&own, file).unwrap();
    let all = folder.join("nginx.conf");
    fs::write(&all, around(&folder, &own)).unwrap();
    let mut command = cable.a.command(find("nginx").expect("it is there"));
    command.args(["-e", "stderr", "-p"]).arg(&folder).arg("-c").arg(&all);
    let mut proxy = Program::start("nginx", command, &folder);
    let asks = |place: &crate::place::Place, at: &str, password: &str, claims: &str, path: &str| {
        let mut command = place.command("curl");
        command.args(["--silent", "--insecure", "--max-time", "30"]);
        command.args(["--user", &format!("{ACCOUNT}/{OWNER}:{password}")]);
        command.args(["--header", &format!("X-Forwarded-For: {claims}")]).arg(format!("{at}{path}"));
        let done = command.output().unwrap();
        let answer: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
        answer["error"]["code"].as_str().map_or_else(|| answer.is_object().to_string(), str::to_owned)
    };
    let through = format!("https://{here}:{port}");
    let straight = format!("http://{here}:{}", site.hub.http);
    let status = "/api/status";
    let is_there = || asks(&cable.b, &through, PASSWORD, "", status) == "true";
    proxy.wait_until("the proxy leads to the hub", SOON, is_there);
    // What stands before what the proxy has seen itself is anybody's word.
    let porch = "/api/rooms/porch/presence";
    assert_eq!(asks(&cable.b, &through, PASSWORD, "203.0.113.9", porch), "true");
    assert_eq!(asks(&cable.a, &through, PASSWORD, "", porch), "denied", "by its own address");
    for n in 0..7 {
        let claims = format!("203.0.113.{n}");
        assert_eq!(asks(&cable.b, &through, "hunter2", &claims, status), "not_authorised");
    }
    assert_eq!(asks(&cable.b, &through, PASSWORD, "203.0.113.9", status), "too_many", "however right it is");
    assert_eq!(asks(&cable.a, &through, PASSWORD, "", status), "true", "others come by the same proxy");
    // Without it the same address is known, and its own word counts for nothing.
    assert_eq!(asks(&cable.b, &straight, PASSWORD, "203.0.113.9", status), "too_many");
    let file = site.hub.data.join("audit-gates.jsonl");
    let lines = || fs::read_to_string(&file).unwrap_or_default();
    let is_told = || lines().contains(&format!("\"{there}\"")).then_some(());
    assert!(wait(SOON, is_told).is_some(), "{}", lines());
    assert!(!lines().contains("203.0.113."), "{}", lines());
}

#[test]
fn origin_rules_hold_behind_nginx() {
    needs!(Need::Program("nginx"), Need::Program("curl"), Need::Node);
    let behind = Behind::start();
    let at = |name: &str, path: String, protocol: &str, origin: &str| json!({ "name": name, "path": path, "protocol": protocol, "headers": { "origin": origin } });
    let own = format!("https://127.0.0.1:{}", behind.port);
    let room = || format!("/{ACCOUNT}/hall");
    let cases = json!([
        at("own page", room(), "riser.v1.json", &own),
        at("own page mqtt", "/mqtt".to_owned(), "mqtt", &own),
        at(
            "hub by its own port",
            room(),
            "riser.v1.json",
            &format!("http://127.0.0.1:{}", behind.site.hub.http)
        ),
        at("port left out", room(), "riser.v1.json", "https://127.0.0.1"),
        at("foreign page", room(), "riser.v1.json", "https://evil.example"),
        at("foreign page mqtt", "/mqtt".to_owned(), "mqtt", "https://evil.example"),
        at("foreign page raw", format!("/{ACCOUNT}/hall/x"), "", "https://evil.example"),
        at("no page", room(), "riser.v1.json", "null"),
    ]);
    behind.client("misbehave", "misbehave.mjs", OWNER, "/", json!({ "cases": cases })).finish(EVENTUALLY);
    let ledger = behind.site.history.ledger();
    for name in ["own page", "own page mqtt"] {
        assert!(ledger.has_mark(&format!("{name} open")), "{name}: {}", ledger.summary());
    }
    for name in [
        "hub by its own port",
        "port left out",
        "foreign page",
        "foreign page mqtt",
        "foreign page raw",
        "no page",
    ] {
        assert!(ledger.has_mark(&format!("{name} status 403")), "{name}: {}", ledger.summary());
    }
}

#[test]
fn own_client_runs_unchanged_in_a_browser_behind_nginx() {
    needs!(Need::Program("nginx"), Need::Program("curl"), Need::Program("chromium"), Need::Node);
    let behind = Behind::start();
    let chromium = find("chromium").expect("it is there");
    let asked = json!({
        "url": format!("https://127.0.0.1:{}/", behind.port),
        "elsewhere": format!("https://localhost:{}/", behind.port),
        "account": ACCOUNT,
        "room": "hall",
        "chromium": chromium,
    });
    behind.client("browser", "browser.mjs", OWNER, "", asked).finish(EVENTUALLY);
    let ledger = behind.site.history.ledger();
    for seen in [
        "signed in",
        "got 300 in order, 301 receipts, bytes 0,255,7, newest 300",
        "cell shows the newest",
        "from elsewhere unreachable",
        "done",
    ] {
        assert!(ledger.has_mark(&format!("browser {seen}")), "{seen}: {}", ledger.summary());
    }
    assert!(!ledger.summary().contains("browser error"), "{}", ledger.summary());
}
