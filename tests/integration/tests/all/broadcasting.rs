//! What is said to all devices of a room: by a command, to a device whose key OpenSSH made, and not to who has none.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::process::Command;

use crate::accounts::{House, house_of};
use crate::gates::{PUMP, made_key, sign};
use crate::needs::{Need, needs};
use crate::program::{SOON, wait};
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan};
use crate::terminal::Terminal;

const MIB: usize = 1 << 20;
/// The largest payload.
const LARGEST: usize = 256 << 10;

/// A hub with a room `yard`, a device that has a key and one that has another and stays away, and a client with a password.
fn house(folder: &std::path::Path) -> House {
    let public = made_key(folder);
    let away = tempfile::tempdir().unwrap();
    let other = made_key(away.path());
    let hub_account = format!(
        r#"
[[account.room]]
name = "yard"
history = "log"
grant = [{{ to = "kim", right = "admin" }}]

[[account.client]]
name = "pump"
id = "{PUMP}"
keys = ["{public}"]
role = "device"

[[account.client]]
name = "valve"
keys = ["{other}"]
role = "device"

[[account.client]]
name = "lamp"
password = "{hash}"
role = "member"

[[account.user]]
name = "kim"
password = "{hash}"
role = "reader"
"#,
        hash = crate::site::password_hash()
    );
    house_of(Plan { hub_account, ..Plan::default() })
}

/// The device, let in by its key, and listening where it is told.
async fn pump(house: &House, folder: &std::path::Path) -> Terminal {
    let mut device = Terminal::open(&house.site, &format!("/{ACCOUNT}/yard"), Some("riser.v1.json")).await;
    let credential = json!({ "user": "pump", "method": "ed25519" });
    device
        .say(&json!({ "op": "hello", "id": 1, "credential": credential, "events": false }).to_string())
        .await;
    let nonce = device.json().await["nonce"].as_str().unwrap().to_owned();
    let message = format!("riser gate challenge 2\n{nonce}\n{ACCOUNT}/pump\n{}\n", house.site.hub.key());
    device.say(&json!({ "op": "answer", "proof": sign(folder, &message) }).to_string()).await;
    assert_eq!(device.json().await["ok"]["name"], "pump");
    let listens = json!({ "op": "subscribe", "sub": 1, "channels": format!("{PUMP}/#"), "from": "start" });
    assert!(device.asks(listens).await["ok"].is_object());
    device
}

/// The bytes of the next publication.
async fn bytes(device: &mut Terminal) -> Vec<u8> {
    let heard: Value = serde_json::from_str(&device.hears("\"ev\":\"msg\"").await).unwrap();
    assert_eq!(heard["channel"], format!("{PUMP}/orders"), "{heard}");
    STANDARD.decode(heard["data_b64"].as_str().unwrap()).unwrap()
}

fn became(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = answer["reached"].as_array().unwrap();
    let mut all: Vec<_> = all.iter().map(|one| (text(&one["name"]), text(&one["became"]))).collect();
    all.sort();
    all
}

/// What became of it, once the pump has it.
fn received(house: &House, id: &str) -> Vec<(String, String)> {
    let seen = wait(SOON, || {
        let answer = house.does(&["room", "received", &format!("{ACCOUNT}/yard"), id]);
        (answer["counts"]["delivered"] == 1).then(|| became(&answer))
    });
    seen.expect("the pump has it")
}

fn is(name: &str, what: &str) -> (String, String) {
    (name.to_owned(), what.to_owned())
}

#[tokio::test]
async fn a_device_whose_key_openssh_made_receives_a_broadcast_to_the_byte_and_who_has_no_key_does_not() {
    needs!(Need::Program("curl"), Need::Program("ssh-keygen"));
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    let place = format!("{ACCOUNT}/yard");
    let mut device = pump(&house, folder.path()).await;
    let shown = json!({ "user": "lamp", "password": PASSWORD });
    let mut lamp = Terminal::program(&house.site, &format!("/{place}"), shown).await.unwrap();
    lamp.asks(json!({ "op": "subscribe", "sub": 1, "channels": "#" })).await;
    let file = folder.path().join("payload");
    let say = |payload: &[u8]| {
        std::fs::write(&file, payload).unwrap();
        house.does(&["room", "broadcast", &place, "orders", "--file", file.to_str().unwrap()])
    };

    let every: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let said = say(&every);
    assert_eq!((&said["devices"], said["reached"].as_array().unwrap().len()), (&json!(2), 2), "{said}");
    assert_eq!(bytes(&mut device).await, every);
    let id = said["id"].as_str().unwrap();
    assert_eq!(received(&house, id), [is("pump", "delivered"), is("valve", "pending")]);

    // The largest is as good as any; one byte more, a MiB more and something that is no broadcast are refused in words.
    let largest: Vec<u8> = every.iter().copied().cycle().take(LARGEST).collect();
    let said = say(&largest);
    assert_eq!(bytes(&mut device).await, largest);
    assert_eq!(
        received(&house, said["id"].as_str().unwrap()),
        [is("pump", "delivered"), is("valve", "pending")]
    );
    for more in [LARGEST + 1, MIB + 1, 4 * MIB] {
        std::fs::write(&file, vec![0; more]).unwrap();
        let refused =
            house.refuses(&["room", "broadcast", &place, "orders", "--file", file.to_str().unwrap()]);
        assert!(refused.contains("too_large") && refused.contains("262144 bytes"), "{more}: {refused}");
    }
    assert!(house.refuses(&["room", "received", &place, "7"]).contains("no such broadcast"));
    assert!(
        house.refuses(&["room", "received", &format!("{ACCOUNT}/hall"), id]).contains("no such broadcast")
    );

    // Whoever looks after the room says something to them too, and is who says it; who only reads does not.
    let path = format!("/v1/accounts/{ACCOUNT}/rooms/yard/broadcast");
    let asks = |who: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--user", &format!("{ACCOUNT}/{who}:{PASSWORD}")]);
        command.args(["--data", r#"{"channel":"orders","data_b64":"AP8=","expires":60}"#]);
        command.arg(format!("http://127.0.0.1:{}{path}", house.admin));
        let text = crate::program::output(command);
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(asks("kim")["devices"], 2);
    assert_eq!(bytes(&mut device).await, [0, 255]);
    assert_eq!(asks("lamp")["error"]["code"], "not_authorised");
    let audited = house.does(&["audit", ACCOUNT, "--contains", "broadcast"]);
    let lines = audited["lines"].as_array().unwrap();
    let kim = format!("{ACCOUNT}/kim");
    assert!(
        lines.iter().any(|line| line["who"] == kim && line["of"] == "room yard, channel orders, 2 bytes")
    );
    assert_eq!(lines.iter().filter(|line| line["who"] == "operator").count(), 2, "{audited}");

    // What an MQTT 5 device could not be told is refused.
    for wrong in ["a\nb", "", &"a".repeat(256)] {
        let refused = house.refuses(&["room", "broadcast", &place, "orders", "on", "--type", wrong]);
        assert!(
            refused.contains("malformed") && refused.contains("1 to 255 visible"),
            "{wrong:?}: {refused}"
        );
    }

    // Nothing of all that came to who has no key.
    let shown = json!({ "user": OWNER, "password": PASSWORD });
    let mut owner = Terminal::program(&house.site, &format!("/{place}"), shown).await.unwrap();
    assert!(
        owner.asks(json!({ "op": "publish", "channel": "plain", "data": "for all" })).await["ok"].is_object()
    );
    let first = lamp.hears("\"ev\":\"msg\"").await;
    assert!(first.contains("for all"), "{first}");
}

#[tokio::test]
async fn a_device_that_was_away_finds_what_was_said_when_it_comes() {
    needs!(Need::Program("curl"), Need::Program("ssh-keygen"));
    let folder = tempfile::tempdir().unwrap();
    let mut house = house(folder.path());
    let said = house.does(&[
        "room",
        "broadcast",
        &format!("{ACCOUNT}/yard"),
        "orders",
        "--type",
        "application/x-order",
        "open",
    ]);
    assert_eq!(became(&said), [is("pump", "pending"), is("valve", "pending")]);
    // What is answered is on the disk.
    house.site.hub.kill();
    house.site.hub.start();
    let mut device = pump(&house, folder.path()).await;
    assert_eq!(bytes(&mut device).await, b"open");
}
