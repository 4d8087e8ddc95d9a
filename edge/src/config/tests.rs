//! The edge's configuration as it is shipped, as it is empty, and as it is wrong.

use super::*;
use riser_shell::config::{ConfigError, Loaded, Sources};

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/edge.toml")
}

/// The shipped file with its examples on: the lines that begin with `#` and no space.
fn examples(text: &str) -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(example) if !example.starts_with(' ') => example.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    text.lines().map(on).collect::<Vec<_>>().join("\n")
}

fn load(text: &str) -> Result<EdgeConfig, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.toml");
    std::fs::write(&file, text).unwrap();
    Loaded::strictly(&Sources::file(file)).map(|loaded| loaded.config)
}

#[test]
fn the_shipped_file_is_accepted_and_opens_nothing_to_the_network() {
    let config: EdgeConfig = Loaded::strictly(&Sources::file(shipped())).unwrap().config;
    let mqtt = config.listen.mqtt.0.iter().map(|listener| listener.address);
    let http = config.listen.http.0.iter().map(|listener| listener.address);
    let operations = config.listen.operations.0.iter().map(|listener| listener.address);
    assert!(mqtt.chain(http).chain(operations).all(|address| address.ip().is_loopback()));
    assert!(config.listen.mqtt.0.iter().all(|listener| listener.anonymous.is_none()));
    assert_eq!((config.quota, config.limits), (EdgeQuota::default(), LimitsConfig::default()));
    assert_eq!(config.data, Path::new("/var/lib/riser/edge"));
}

/// Everything that the shipped file only shows (`#example`) is right too.
#[test]
fn every_example_in_the_shipped_file_is_accepted() {
    let text = std::fs::read_to_string(shipped()).unwrap();
    let examples = examples(&text);
    let config = load(&examples).unwrap_or_else(|error| panic!("{error}\n{examples}"));
    let [hub] = &config.uplink[..] else { panic!("one uplink: {examples}") };
    assert!(hub.url.tls && !hub.insecure);
    assert!(!config.binding.is_empty() && !config.account.is_empty());
    assert_eq!(config.bindings().len(), config.binding.len());
}

#[test]
fn the_examples_beside_it_are_accepted() {
    for name in ["building-edge.toml", "collector-edge.toml"] {
        let file = shipped().with_file_name("examples").join(name);
        let loaded = Loaded::<EdgeConfig>::strictly(&Sources::file(file));
        let config = loaded.unwrap_or_else(|error| panic!("{name}: {error}")).config;
        // What is printed is read again as it was, but for secrets.
        let printed = riser_shell::config::print(&config);
        if !printed.contains("(hidden)") {
            assert_eq!(load(&printed).unwrap(), config, "{name}");
        }
    }
}

#[test]
fn the_service_runs_without_privileges_on_the_standard_folders() {
    let unit = std::fs::read_to_string(shipped().with_file_name("riser-edge.service")).unwrap();
    let says = |line: &str| unit.lines().any(|known| known == line);
    assert!(says("ExecStart=/usr/bin/riser-edge serve"), "without --config: the standard file");
    let folder = EdgeConfig::standard_data();
    assert_eq!(folder.strip_prefix("/var/lib").unwrap(), Path::new("riser/edge"));
    assert!(says("StateDirectory=riser/edge") && says("StateDirectoryMode=0700"));
    assert_eq!(EdgeConfig::standard_file(), Path::new("/etc/riser/edge.toml"));
    assert!(says("User=riser") && says("NoNewPrivileges=yes") && says("CapabilityBoundingSet="));
    assert!(says("ProtectSystem=strict") && says("SystemCallFilter=@system-service"));
    let files = unit.lines().find_map(|line| line.strip_prefix("LimitNOFILE=")).unwrap();
    assert!(files.parse::<usize>().unwrap() > LimitsConfig::default().connections + 128);
}

#[test]
fn every_key_is_in_the_shipped_file() {
    let text = std::fs::read_to_string(shipped()).unwrap();
    let config: EdgeConfig = load(&examples(&text)).unwrap();
    for line in riser_shell::config::print(&config).lines() {
        let key = line.split([' ', '=']).next().unwrap_or_default();
        let key = key.trim_matches(['[', ']']).rsplit('.').next().unwrap_or_default();
        assert!(key.is_empty() || text.contains(key), "{key} is explained nowhere");
    }
}

#[test]
fn an_empty_file_opens_no_door() {
    let config = load("").unwrap();
    assert_eq!(config, EdgeConfig::default());
    assert!(config.listen.mqtt.0.is_empty() && config.listen.http.0.is_empty());
    assert!(config.listen.operations.0.iter().all(|listener| listener.address.ip().is_loopback()));
}

#[test]
fn the_quota_is_the_logs() {
    let config = load("[quota]\nbytes = \"256 MiB\"\npolicy = \"drop_oldest\"").unwrap();
    let log = config.quota.log();
    assert_eq!((log.quota_bytes, log.on_full, log.segment_bytes), (256 << 20, OnFull::DropOldest, 8 << 20));
    assert!(log.view_bytes_max <= log.quota_bytes / 4);
    assert_eq!(EdgeQuota::default().log(), riser_log::Config::edge());
}

#[test]
fn what_contradicts_itself_is_refused_by_key() {
    let uplink = "[[uplink]]\nurl = \"wss://hub\"\nclient = \"7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10\"\n\
                  hub_key = \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"\n";
    let account = "[[account]]\nname = \"a\"\nid = \"7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10\"\n\
                   [[account.room]]\nname = \"plant\"\n";
    for (text, key, want) in [
        ("[quota]\nbytes = \"8 MiB\"".to_owned(), "quota", "quota.bytes"),
        ("[quota]\nsegment = \"1 MiB\"".to_owned(), "quota.segment", "2 MiB or more"),
        (
            "[listen]\nlink = \"127.0.0.1:1\"\n[quota]\nsegment = \"4 MiB\"".to_owned(),
            "quota.segment",
            "8 MiB or more",
        ),
        (uplink.repeat(2), "uplink[1].hub_key", "keep one"),
        (format!("{uplink}name = \"x\"\n{uplink}name = \"x\"\n"), "uplink[1].name", "another name"),
        (format!("{account}[[binding]]\ntopics = \"#\"\nroom = \"plnat\""), "binding[0].room", "\"plant\"?"),
        (format!("{account}[[binding]]\ntopics = \"#\"\nroom = \"yard\""), "binding[0].room", "account.room"),
        (
            "[listen.mqtt]\naddress = \"[::]:1\"\nanonymous = \"ann\"".to_owned(),
            "listen.mqtt[0].anonymous",
            "[[account]]",
        ),
        ("[listen.http]\naddress = \"[::]:1\"\ntls = true".to_owned(), "listen.http[0].tls", "[tls]"),
        (
            format!("{account}history = \"log\"\narchive = true"),
            "account[a].room[plant].archive",
            "at the hub",
        ),
        (
            format!("{account}history = \"log\"\nschema = '{{}}'"),
            "account[a].room[plant].schema",
            "at the hub",
        ),
        (
            format!("{account}[account.ldap]\nurl = \"ldaps://dc\"\nbase = \"o=x\""),
            "account[a].ldap",
            "at the hub",
        ),
    ] {
        let Err(ConfigError::Wrong(problems)) = load(&text) else { panic!("{key} is wrong") };
        let found = problems.iter().any(|p| p.invalid.key == key && p.invalid.want.contains(want));
        assert!(found, "{key}: {problems:?}");
    }
}

#[test]
fn what_is_wrong_with_a_source_is_refused_by_key() {
    let account = "[[account]]\nname = \"a\"\nid = \"7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10\"\n\
                   [[account.client]]\nname = \"c\"\n[[account.room]]\nname = \"plant\"\n";
    let head = "[[source]]\nname = \"s\"\nas = \"a/c\"\n";
    let mqtt = |more: &str| {
        let usual = [("url", "\"mqtt://127.0.0.1\""), ("client_id", "\"x\""), ("filters", "[\"#\"]")];
        let said = |key: &str| more.lines().any(|line| line.starts_with(&format!("{key} = ")));
        let rest: String =
            usual.iter().filter(|(key, _)| !said(key)).map(|(k, v)| format!("{k} = {v}\n")).collect();
        format!("{head}[source.mqtt]\n{rest}{more}\n")
    };
    let source = |index: usize, key: &str| format!("source[{index}]{key}");
    for (text, key, want) in [
        (head.to_owned(), source(0, ""), "stdin = true"),
        (mqtt("").replace("as =", "stdin = true\nas ="), source(0, ".stdin"), "for each"),
        (mqtt("").replace("a/c", "a/d"), source(0, ".as"), "a/c"),
        (mqtt("").replace("as =", "strip = 1\nas ="), source(0, ".room"), "name the room"),
        (mqtt("").replace("as =", "room = \"plnat\"\nas ="), source(0, ".room"), "\"plant\"?"),
        (
            mqtt("").replace("as =", "room = \"plant\"\nprefix = \"#\"\nas ="),
            source(0, ".prefix"),
            "without +",
        ),
        (mqtt("").replace("as =", "room = \"plant\"\nstrip = 99\nas ="), source(0, ".strip"), "at most 15"),
        (mqtt("url = \"mqtt://broker\""), source(0, ".mqtt.url"), "insecure = true"),
        (mqtt("url = \"http://broker\""), source(0, ".mqtt.url"), "mqtts://host:8883"),
        (mqtt("ca = \"x.pem\""), source(0, ".mqtt.ca"), "mqtts://"),
        (mqtt("filters = []"), source(0, ".mqtt.filters"), "at least one"),
        (mqtt("filters = [\"a#\"]"), source(0, ".mqtt.filters[0]"), "# alone at the end"),
        (mqtt("client_id = \"a/b\""), source(0, ".mqtt.client_id"), "1 to 64"),
        (mqtt("qos = 3"), source(0, ".mqtt.qos"), "0, 1 or 2"),
        (mqtt("password_file = \"x\""), source(0, ".mqtt.user"), "name the user"),
        (mqtt("keepalive = \"1ms\""), source(0, ".mqtt.keepalive"), "1s to 1h"),
        (mqtt("fliters = []"), source(0, ".mqtt.fliters"), "filters"),
        (mqtt("") + &mqtt("client_id = \"y\""), source(1, ".name"), "another name"),
        (mqtt("") + &mqtt("").replace("\"s\"", "\"t\""), source(1, ".mqtt.client_id"), "another one"),
        (
            format!("{head}stdin = true\n{}stdin = true\n", head.replace("\"s\"", "\"t\"")),
            source(1, ".stdin"),
            "keep one",
        ),
    ] {
        let Err(ConfigError::Wrong(problems)) = load(&format!("{account}{text}")) else {
            panic!("{key} is wrong: {text}")
        };
        let found = problems.iter().any(|p| p.invalid.key == key && p.invalid.want.contains(want));
        assert!(found, "{key}: {problems:?}");
    }
    let own = format!("listen.mqtt = \"0.0.0.0:1883\"\n{account}{}", mqtt(""));
    let Err(ConfigError::Wrong(problems)) = load(&own) else { panic!("it would read what it publishes") };
    assert!(problems.iter().any(|p| p.invalid.what.contains("over and over")), "{problems:?}");
    load(&format!("{account}{}", mqtt("qos = 2"))).unwrap();
}

#[test]
fn account_has_the_rooms_that_its_file_names_and_no_others() {
    let account = "[[account]]\nname = \"acme\"\nid = \"7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10\"\n";
    let lobby = "[[account.room]]\nname = \"lobby\"\nhistory = \"log\"\n";
    for (text, rooms) in [(account.to_owned(), &[][..]), (format!("{account}{lobby}"), &["lobby"])] {
        let directory = load(&text).unwrap().directory().unwrap();
        let there: Vec<&str> = directory.rooms().iter().map(|room| room.name.as_str()).collect();
        // What a sensor publishes into any other one is refused, and not acknowledged and kept here for ever.
        let there: Vec<&str> = there.into_iter().filter(|name| *name != "quarantine").collect();
        assert_eq!(there, rooms);
    }
}

#[test]
fn default_account_is_one_that_the_file_declares() {
    let account = "[[account]]\nname = \"acme\"\nid = \"7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10\"\n";
    for (named, is_there) in
        [("acme", true), ("7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10", true), ("garden", false)]
    {
        let loaded = load(&format!("default_account = \"{named}\"\n{account}"));
        assert_eq!(loaded.is_ok(), is_there, "{named}");
    }
}
