//! A room's schema over real sockets: what breaks it is refused with the place and the rule, and what an edge brings and breaks
//! it goes to quarantine.

use std::process::Command;

use serde_json::{Value, json};

use crate::mqtt_wire::{Mqtt, Version};
use crate::program::{SOON, free_port, output};
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, Site};
use crate::terminal::Terminal;

const SCHEMA: &str =
    r#"{"type":"object","required":["celsius"],"properties":{"celsius":{"type":"number","minimum":-50}}}"#;

fn site() -> Site {
    let room = |schema: &str| format!("\n[[account.room]]\nname = \"meter\"\nhistory = \"log\"\n{schema}\n");
    let hub_account = room(&format!("schema = '{SCHEMA}'"));
    let admin = format!("[listen]\nadmin = \"127.0.0.1:{}\"\n", free_port());
    let mut site = Site::laid_out(Plan { hub_account, ..Plan::default() });
    let hub = std::fs::read_to_string(&site.hub.config).unwrap();
    site.hub.write_config(&hub.replacen("[listen]\n", &admin, 1));
    let edge = std::fs::read_to_string(&site.edge.config).unwrap();
    site.edge.write_config(&(edge + &room("")));
    site.hub.start();
    site
}

async fn program(site: &Site) -> Terminal {
    let credential = json!({ "user": OWNER, "password": PASSWORD });
    Terminal::program(site, &format!("/{ACCOUNT}/meter"), credential).await.unwrap()
}

fn mqtt(port: u16, version: Version) -> Mqtt {
    let user = format!("{ACCOUNT}/{OWNER}");
    Mqtt::connect(port, version, "meter", (Some(&user), PASSWORD), (true, 0)).unwrap()
}

fn administers(site: &Site, words: &[&str]) -> Command {
    let mut command = site.hub.command(words);
    command.arg("--json").arg("--config").arg(&site.hub.config);
    command
}

#[tokio::test]
async fn payload_that_breaks_a_room_s_schema_is_refused_by_place_and_rule_until_the_schema_changes() {
    let site = site();
    let mut program = program(&site).await;
    let good = program.asks(json!({ "op": "publish", "channel": "a", "data": { "celsius": 21.5 } })).await;
    assert!(good["ok"]["pos"].is_string(), "{good}");
    for (data, place, rule) in [
        (json!({ "celsius": "warm" }), "/celsius of the payload", "/properties/celsius/type"),
        (json!({ "celsius": -51 }), "/celsius of the payload", "/properties/celsius/minimum"),
        (json!({}), "the payload", "/required"),
        (json!("21.5 C"), "the payload", "JSON"),
    ] {
        let answer = program.asks(json!({ "op": "publish", "channel": "a", "data": data })).await;
        let said = |key: &str| answer["error"][key].as_str().unwrap_or_default().to_owned();
        assert_eq!(said("code"), "malformed", "{answer}");
        assert!(said("what").contains(place) && said("want").contains(rule), "{answer}");
    }
    let several = json!({ "op": "publish", "messages": [
        { "channel": "a", "data": { "celsius": 1 } }, { "channel": "a", "data": 1 }, { "channel": "a", "data": { "celsius": 2 } },
    ] });
    let answer = program.asks(several).await;
    let receipts = answer["ok"]["receipts"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let taken: Vec<bool> = receipts.iter().map(|receipt| receipt["pos"].is_string()).collect();
    assert_eq!(taken, [true, false, true], "one that breaks it takes no other with it");

    let mut five = mqtt(site.hub.mqtt, Version::Five);
    assert_eq!(five.publish("meter/a", br#"{"celsius":3}"#, false).map(|reason| reason < 0x80), Some(true));
    let (reason, words) = five.publish_answered("meter/a", br#"{"celsius":"x"}"#, false).unwrap();
    assert_eq!(reason, 0x99, "payload format invalid");
    assert!(
        words.contains("/celsius of the payload") && words.contains("/properties/celsius/type"),
        "by place and rule in MQTT too: {words:?}"
    );
    assert!(
        five.publish("meter/a", b"", true).is_some_and(|reason| reason < 0x80),
        "what clears is no value"
    );

    let looser = r#"schema={"type":"object"}"#;
    output(administers(&site, &["room", "set", &format!("{ACCOUNT}/meter"), looser]));
    assert!(five.publish("meter/a", br#"{"celsius":"x"}"#, false).is_some_and(|reason| reason < 0x80));
    for wrong in [r#"schema={"type":"nonsense"}"#, r#"schema={"$ref":"https://example.org/x"}"#, "schema=[]"]
    {
        let done = administers(&site, &["room", "set", &format!("{ACCOUNT}/meter"), wrong]).output().unwrap();
        assert!(!done.status.success(), "{wrong} is no schema");
    }
    assert_eq!(five.publish("meter/a", b"1", false), Some(0x99), "the last one that was one holds");
    output(administers(&site, &["room", "set", &format!("{ACCOUNT}/meter"), "schema="]));
    assert!(five.publish("meter/a", b"1", false).is_some_and(|reason| reason < 0x80));
}

#[tokio::test]
async fn what_an_edge_brings_and_breaks_a_room_s_schema_is_in_quarantine_and_the_rest_arrives() {
    let mut site = site();
    site.edge.start();
    let mut edge = mqtt(site.edge.mqtt, Version::Four);
    for payload in [&br#"{"celsius":1}"#[..], b"broken", br#"{"celsius":2}"#] {
        edge.publish("meter/a", payload, false).expect("the edge takes it");
    }
    let mut program = program(&site).await;
    let detained = wait_for(&mut program, json!({ "op": "quarantine", "list": {} }), "detained", 1).await;
    assert_eq!(
        (&detained[0]["code"], &detained[0]["room"]),
        (&json!("schema"), &json!("meter")),
        "{detained}"
    );
    let past = wait_for(&mut program, json!({ "op": "past", "channels": "a" }), "messages", 2).await;
    assert_eq!(past.as_array().unwrap().len(), 2, "{past}");
}

/// Asks again until a list has so many members.
async fn wait_for(program: &mut Terminal, request: Value, list: &str, count: usize) -> Value {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let answer = program.asks(request.clone()).await;
        if answer["ok"][list].as_array().is_some_and(|members| members.len() >= count) {
            return answer["ok"][list].clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "{answer}");
    }
}
