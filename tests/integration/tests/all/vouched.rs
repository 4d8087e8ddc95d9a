//! Accounts that an edge knows by its hub's word: what is revoked there lets nobody in here, also while the hub is away, and
//! not for ever while it is.

use crate::accounts::House;
use crate::mqtt_wire::{Mqtt, Version};
use crate::needs::{Need, needs};
use crate::program::{SOON, free_port, output, wait};
use crate::site::{ACCOUNT, Plan, Site};
use serde_json::Value;

/// A hub and an edge that know two more users, and the tokens of these.
fn house(grant_max_age: &str) -> (House, [String; 2]) {
    let vouched = format!("[vouched]\naccounts = [\"{ACCOUNT}\"]\ngrant_max_age = \"{grant_max_age}\"\n");
    let mut site = Site::laid_out(Plan { edge_top: vouched, ..Plan::default() });
    let (mut users, mut tokens) = (String::new(), Vec::new());
    for name in ["kay", "lou"] {
        let made = output(site.hub.command(&["account", "token"]));
        let mut lines = made.lines().map(str::trim).filter(|line| !line.is_empty());
        tokens.push(lines.next().unwrap().to_owned());
        let hash = lines.next().unwrap();
        users +=
            &format!("\n[[account.user]]\nname = \"{name}\"\nrole = \"member\"\ntokens = [\"{hash}\"]\n");
    }
    let admin = free_port();
    let listen = format!("[listen]\nadmin = \"127.0.0.1:{admin}\"\n");
    let text = std::fs::read_to_string(&site.hub.config).unwrap();
    site.hub.write_config(&(text.replacen("[listen]\n", &listen, 1) + &users));
    let text = std::fs::read_to_string(&site.edge.config).unwrap();
    site.edge.write_config(&(text + &users));
    site.hub.start();
    site.edge.start();
    (House { site, admin }, tokens.try_into().unwrap())
}

fn comes(house: &House, token: &str) -> Result<Mqtt, u8> {
    Mqtt::connect(house.site.edge.mqtt, Version::Five, "", (None, token), (true, 0))
}

/// It is let in, now or soon.
fn enters(house: &House, token: &str) -> Mqtt {
    wait(SOON, || comes(house, token).ok()).unwrap_or_else(|| panic!("{}", house.site.edge.printed()))
}

#[test]
fn what_is_revoked_at_a_hub_lets_nobody_in_at_its_edges_over_a_cut_and_a_restart() {
    needs!(Need::Program("curl"));
    let (mut house, [kay, lou]) = house("24h");
    let mut connected = enters(&house, &kay);
    house.does(&["key", "revoke", &format!("{ACCOUNT}/kay"), "--all"]);
    let goodbye = connected.awaits(0xe0).expect("DISCONNECT");
    assert_eq!(goodbye.first(), Some(&0x87), "not authorised");
    assert_eq!(comes(&house, &kay).err(), Some(0x86));
    let mut stays = enters(&house, &lou);
    house.site.hub.stop();
    stays.subscribe(&["hall/#".to_owned()], false);
    house.site.edge.stop();
    house.site.edge.start();
    assert_eq!(comes(&house, &kay).err(), Some(0x86), "its file still declares that token");
    comes(&house, &lou).expect("the hub was heard a moment ago");
    house.site.hub.start();
    house.does(&["user", "remove", &format!("{ACCOUNT}/lou")]);
    assert!(wait(SOON, || comes(&house, &lou).err()).is_some(), "who is removed there is removed here");
}

#[test]
fn an_edge_writes_down_who_was_let_in_who_was_not_and_who_was_sent_away() {
    needs!(Need::Program("curl"));
    let (mut house, [kay, lou]) = house("24h");
    let mut connected = enters(&house, &kay);
    assert_eq!(comes(&house, "not-a-token-of-anybody").err(), Some(0x86));
    house.does(&["key", "revoke", &format!("{ACCOUNT}/kay"), "--all"]);
    connected.awaits(0xe0).expect("DISCONNECT");
    drop(enters(&house, &lou));
    let audit = |house: &House, words: &[&str]| {
        let mut command = house.site.edge.command(&[&["audit"], words].concat());
        command.arg("--config").arg(&house.site.edge.config);
        let text = output(command);
        assert!(!text.contains(&kay) && !text.contains(&lou) && !text.contains("not-a-token"), "{text}");
        let line = |line: &str| serde_json::from_str::<Value>(line).expect("a line of JSON");
        text.lines().map(line).collect::<Vec<_>>()
    };
    // What gates did is written down within a second.
    let deeds = |lines: &[Value]| lines.iter().map(|line| line["what"].to_string()).collect::<Vec<_>>();
    let all = wait(SOON, || {
        Some(audit(&house, &[]))
            .filter(|lines| lines.iter().any(|line| line["who"] == "lou" && line["what"] == "entered"))
    });
    let all = all.unwrap_or_else(|| panic!("{:?}", audit(&house, &[])));
    for deed in ["\"refused\"", "\"revoked\""] {
        assert!(deeds(&all).iter().any(|what| what == deed), "{deed}: {all:?}");
    }
    let numbers: Vec<u64> = all.iter().filter_map(|line| line["n"].as_u64()).collect();
    assert!(numbers.is_sorted_by(|newer, older| newer > older) && numbers.len() == all.len(), "{numbers:?}");
    let of_kay = audit(&house, &[ACCOUNT, "--contains", "KAY"]);
    assert!(!of_kay.is_empty() && of_kay.iter().all(|line| line.to_string().contains("kay")), "{of_kay:?}");
    assert_eq!(audit(&house, &["--limit", "1"]).len(), 1);
    house.site.edge.stop();
    house.site.hub.stop();
    assert_eq!(audit(&house, &[ACCOUNT, "--contains", "kay"]).len(), of_kay.len(), "it need not run");
}

#[test]
fn an_edge_that_does_not_hear_its_hub_for_too_long_lets_nobody_in_by_its_word_until_it_does() {
    needs!(Need::Program("curl"));
    let (mut house, [_, lou]) = house("3s");
    let mut connected = enters(&house, &lou);
    house.site.hub.stop();
    let goodbye = connected.awaits(0xe0).expect("DISCONNECT");
    assert_eq!(goodbye.first(), Some(&0x87));
    assert_eq!(comes(&house, &lou).err(), Some(0x86));
    assert_eq!(house.site.edge.metric("riser_accounts_sealed", ""), Some(1.0));
    house.site.hub.start();
    drop(enters(&house, &lou));
}
