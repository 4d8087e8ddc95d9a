//! What a listener holds its MQTT clients to, over real sockets: keepalive, sessions, packets, subscriptions, and words.

use std::time::Instant;

use crate::mqtt_wire::{Mqtt, Version, text};
use crate::program::EVENTUALLY;
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, Site};
use crate::terminal::Terminal;
use serde_json::json;

/// A hub whose MQTT listener has these terms.
fn hub(terms: &str, limits: &str) -> Site {
    let mut site = Site::laid_out(Plan::default());
    let config = std::fs::read_to_string(&site.hub.config).unwrap();
    let address = format!("mqtt = \"127.0.0.1:{}\"", site.hub.mqtt);
    assert!(config.contains(&address), "{config}");
    let listener = format!("mqtt = {{ address = \"127.0.0.1:{}\", terms = {{ {terms} }} }}", site.hub.mqtt);
    site.hub.write_config(&(config.replace(&address, &listener) + limits));
    site.hub.start();
    site
}

fn client(site: &Site, version: Version, id: &str, kept: bool) -> Mqtt {
    let user = format!("{ACCOUNT}/{OWNER}");
    let lasts = if kept { 86_400 } else { 0 };
    Mqtt::connect(site.hub.mqtt, version, id, (Some(&user), PASSWORD), (!kept, lasts)).unwrap()
}

/// Whether CONNACK of MQTT 5 says so.
fn tells(client: &Mqtt, property: &[u8]) -> bool {
    client.welcome.windows(property.len()).any(|part| part == property)
}

#[test]
fn client_is_told_the_listener_s_terms_and_closed_when_it_is_silent_for_longer() {
    let terms =
        r#"keepalive_max = "1s", session_expiry_max = "1h", receive_maximum = 7, packet_max = "64 KiB""#;
    let site = hub(terms, "");
    let mut client = client(&site, Version::Five, "told", true);
    for (what, property) in [
        ("server keepalive", &[0x13, 0, 1][..]),
        ("session expiry", &[0x11, 0, 0, 0x0e, 0x10]),
        ("receive maximum", &[0x21, 0, 7]),
        ("packet size", &[0x27, 0, 1, 0, 0]),
    ] {
        assert!(tells(&client, property), "{what}: {:x?}", client.welcome);
    }
    let last = client.awaits(0xe0).expect("it is told why before it is closed");
    assert_eq!(last[0], 0x8d, "keepalive timeout");
}

#[test]
fn session_of_mqtt_3_expires_where_its_listener_says_so() {
    let site = hub(r#"session_expiry_max = "1s""#, "");
    client(&site, Version::Four, "kept", true).disconnect();
    let deadline = Instant::now() + EVENTUALLY;
    // Whoever looks begins it anew, so each look is at another one.
    for n in 0.. {
        client(&site, Version::Four, &format!("kept-{n}"), true).disconnect();
        // Time itself is what is waited for.
        std::thread::sleep(std::time::Duration::from_millis(1_200));
        let present = client(&site, Version::Four, &format!("kept-{n}"), true).welcome[0] == 1;
        if !present {
            break;
        }
        assert!(Instant::now() < deadline, "it never ends");
    }
}

#[test]
fn device_of_mqtt_3_with_a_payload_that_no_entry_holds_is_rid_of_it_and_goes_on() {
    let site = hub("", "");
    let mut reader = client(&site, Version::Five, "reader", false);
    reader.subscribe(&["hall/#".to_owned()], false);
    let mut device = client(&site, Version::Four, "device", true);
    assert_eq!(device.publish("hall/a", &vec![7; 300 * 1024], false), Some(0), "it is acknowledged");
    assert_eq!(device.publish("hall/a", b"behind it", false), Some(0));
    reader.hears(&[("hall/a".to_owned(), b"behind it".to_vec(), false)]);
    assert_eq!(reader.heard.len(), 1);
    let mut five = client(&site, Version::Five, "five", false);
    assert_eq!(five.publish("hall/a", &vec![7; 300 * 1024], false), Some(0x83), "who can hear it is told");
}

#[test]
fn subscription_beyond_the_limit_is_refused_in_words_and_so_is_what_was_never_subscribed() {
    let site = hub("", "\n[limits]\nsubscriptions = 150\n");
    let mut client = client(&site, Version::Five, "many", true);
    let mut body = vec![0, 9, 0];
    for n in 0..151 {
        text(&mut body, &format!("hall/{n}"));
        body.push(1);
    }
    client.send(0x82, &body);
    let suback = client.awaits(0x90).expect("SUBACK");
    let codes = &suback[suback.len() - 151..];
    assert_eq!((codes[149], codes[150]), (1, 0x97));
    let words = String::from_utf8_lossy(&suback).into_owned();
    assert!(words.contains("filter 151") && words.contains("at most 150"), "{words}");
    let mut body = vec![0, 10, 0];
    text(&mut body, "hall/none");
    client.send(0xa2, &body);
    let unsuback = client.awaits(0xb0).expect("UNSUBACK");
    assert_eq!(unsuback.last(), Some(&0x11));
    assert!(String::from_utf8_lossy(&unsuback).contains("nothing was subscribed"), "{unsuback:x?}");
}

#[tokio::test]
async fn subscription_beyond_the_limit_is_refused_with_the_bound_in_mqtt_3_and_over_a_websocket() {
    let site = hub("", "\n[limits]\nsubscriptions = 2\n");
    let mut old = client(&site, Version::Four, "old", false);
    let mut body = vec![0, 9];
    for filter in ["hall/a", "hall/b", "hall/c", "hall/a"] {
        text(&mut body, filter);
        body.push(1);
    }
    old.send(0x82, &body);
    let suback = old.awaits(0x90).expect("SUBACK");
    assert_eq!(suback, [0, 9, 1, 1, 0x80, 1], "whoever has a filter may say it again");

    let credential = json!({ "user": OWNER, "password": PASSWORD });
    let mut program = Terminal::program(&site, &format!("/{ACCOUNT}/hall"), credential).await.unwrap();
    for sub in 1..=3 {
        let asked = json!({ "op": "subscribe", "id": sub + 1, "sub": sub, "channels": "a" });
        let answer = program.asks(asked).await;
        if sub < 3 {
            assert!(answer["ok"].is_object(), "{answer}");
        } else {
            assert_eq!(answer["error"]["code"], "too_many", "{answer}");
            assert!(answer.to_string().contains("at most 2 subscriptions on one connection"), "{answer}");
        }
    }
}

#[test]
fn will_that_waits_is_published_after_its_delay_over_a_restart_of_the_hub() {
    let mut site = hub("", "");
    let user = format!("{ACCOUNT}/{OWNER}");
    let mut body = Vec::new();
    text(&mut body, "MQTT");
    body.extend([5, 0x80 | 0x40 | 0x08 | 0x04, 0, 60, 5, 0x11, 0, 0, 0x0e, 0x10]);
    text(&mut body, "mourned");
    body.extend([5, 0x18, 0, 0, 0, 2]);
    text(&mut body, "hall/will");
    text(&mut body, "gone");
    text(&mut body, &user);
    text(&mut body, PASSWORD);
    let mut reader = client(&site, Version::Five, "reader", true);
    reader.subscribe(&["hall/#".to_owned()], false);
    let mourned = Mqtt::connect_as(site.hub.mqtt, Version::Five, &body).unwrap();
    site.hub.kill();
    drop((mourned, reader));
    site.hub.start();
    let mut reader = client(&site, Version::Five, "reader", true);
    let will = [("hall/will".to_owned(), b"gone".to_vec(), false)];
    reader.hears(&will);
    assert_eq!(reader.heard, will, "once");
}
