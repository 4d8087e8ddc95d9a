//! The hub's configuration as it is shipped, as it is empty, and as it is wrong.

use super::*;
use riser_shell::config::{ConfigError, Loaded, Sources};

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/hub.toml")
}

/// The shipped file with its examples on: the lines that begin with `#` and no space.
fn examples(text: &str) -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(example) if !example.starts_with(' ') => example.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    text.lines().map(on).collect::<Vec<_>>().join("\n")
}

fn load(text: &str) -> Result<HubConfig, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hub.toml");
    std::fs::write(&file, text).unwrap();
    Loaded::strictly(&Sources::file(file)).map(|loaded| loaded.config)
}

#[test]
fn the_shipped_file_is_accepted_and_opens_nothing_to_the_network() {
    let config: HubConfig = Loaded::strictly(&Sources::file(shipped())).unwrap().config;
    let mqtt = config.listen.mqtt.0.iter().map(|listener| listener.address);
    let http = config.listen.http.0.iter().map(|listener| listener.address);
    let link = config.listen.link.0.iter().map(|listener| listener.address);
    let operations = config.listen.operations.0.iter().map(|listener| listener.address);
    assert!(mqtt.chain(http).chain(link).chain(operations).all(|address| address.ip().is_loopback()));
    assert!(config.listen.mqtt.0.iter().all(|listener| listener.anonymous.is_none()));
    assert_eq!((config.quota, config.limits), (HubQuota::default(), LimitsConfig::default()));
    assert_eq!(config.data, Path::new("/var/lib/riser/hub"));
}

/// Everything that the shipped file only shows (`#example`) is right too.
#[test]
fn every_example_in_the_shipped_file_is_accepted() {
    let text = std::fs::read_to_string(shipped()).unwrap();
    let examples = examples(&text);
    let config = load(&examples).unwrap_or_else(|error| panic!("{error}\n{examples}"));
    assert!(!config.account.is_empty());
    let directory = config.directory().unwrap();
    assert!(directory.edges().count() > 0 && !directory.rooms().is_empty());
}

#[test]
fn the_example_beside_it_is_accepted() {
    let file = shipped().with_file_name("examples").join("public-hub.toml");
    Loaded::<HubConfig>::strictly(&Sources::file(file)).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_service_runs_without_privileges_on_the_standard_folders() {
    let unit = std::fs::read_to_string(shipped().with_file_name("riser-hub.service")).unwrap();
    let says = |line: &str| unit.lines().any(|known| known == line);
    assert!(says("ExecStart=/usr/bin/riser-hub serve"), "without --config: the standard file");
    let folder = HubConfig::standard_data();
    assert_eq!(folder.strip_prefix("/var/lib").unwrap(), Path::new("riser/hub"));
    assert!(says("StateDirectory=riser/hub") && says("StateDirectoryMode=0700"));
    assert_eq!(HubConfig::standard_file(), Path::new("/etc/riser/hub.toml"));
    assert!(says("User=riser") && says("NoNewPrivileges=yes") && says("CapabilityBoundingSet="));
    assert!(says("ProtectSystem=strict") && says("SystemCallFilter=@system-service"));
    let files = unit.lines().find_map(|line| line.strip_prefix("LimitNOFILE=")).unwrap();
    assert!(files.parse::<usize>().unwrap() > LimitsConfig::default().connections + 128);
}

#[test]
fn every_key_is_in_the_shipped_file() {
    let text = std::fs::read_to_string(shipped()).unwrap();
    let config: HubConfig = load(&examples(&text)).unwrap();
    for line in riser_shell::config::print(&config).lines() {
        let key = line.split([' ', '=']).next().unwrap_or_default();
        let key = key.trim_matches(['[', ']']).rsplit('.').next().unwrap_or_default();
        assert!(key.is_empty() || text.contains(key), "{key} is explained nowhere");
    }
}

#[test]
fn an_empty_file_opens_no_door() {
    let config = load("").unwrap();
    assert_eq!(config, HubConfig::default());
    assert!(config.listen.mqtt.0.is_empty() && config.listen.link.0.is_empty());
    assert!(config.listen.operations.0.iter().all(|listener| listener.address.ip().is_loopback()));
}

#[test]
fn the_quota_is_the_logs() {
    let config = load("[quota]\nbytes = \"1 GiB\"").unwrap();
    let log = config.quota.log();
    assert_eq!((log.quota_bytes, log.segment_bytes), (1 << 30, 64 << 20));
    assert!(log.view_bytes_max <= log.quota_bytes / 4);
    assert_eq!(HubQuota::default().log(), riser_log::Config::hub());
    assert_eq!(config.quota.archive_bytes(), 4 << 30);
    let config = load("[quota]\nbytes = \"1 GiB\"\narchive = \"2 GiB\"").unwrap();
    assert_eq!(config.quota.archive_bytes(), 2 << 30);
}

#[test]
fn the_key_is_beside_the_data_unless_named() {
    assert_eq!(HubConfig::default().key_file(), Path::new("/var/lib/riser/hub/hub.key"));
    assert_eq!(load("key = \"/etc/riser/hub.key\"").unwrap().key_file(), Path::new("/etc/riser/hub.key"));
}

#[test]
fn what_contradicts_itself_is_refused_by_key() {
    let account = "[[account]]\nname = \"a\"\nid = \"7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10\"\n\
                   [[account.client]]\nname = \"edge\"\n";
    let weak = "A".repeat(43);
    for (text, key, want) in [
        ("[quota]\nsegment = \"2 MiB\"".to_owned(), "quota.segment", "4 MiB or more"),
        ("[quota]\nbytes = \"64 MiB\"".to_owned(), "quota", "quota.bytes"),
        ("[quota]\narchive = \"1 GiB\"".to_owned(), "quota.archive", "16 GiB or more"),
        (format!("{account}key = \"{weak}\""), "account[a].client[edge].key", "key show"),
        ("listen.link = \"0.0.0.0:7420\"".to_owned(), "listen.link[0].tls", "insecure = true"),
        ("[listen.link]\naddress = \"[::]:1\"\ntls = true".to_owned(), "listen.link[0].tls", "[tls]"),
        (
            "[listen.mqtt]\naddress = \"[::]:1\"\nanonymous = \"ann\"".to_owned(),
            "listen.mqtt[0].anonymous",
            "[[account]]",
        ),
        ("[clients]\nunused = \"1h\"".to_owned(), "clients.unused", "1d or more"),
        ("listen.operations = \"0.0.0.0:9420\"".to_owned(), "listen.operations[0].address", "loopback"),
    ] {
        let Err(ConfigError::Wrong(problems)) = load(&text) else { panic!("{key} is wrong") };
        let found = problems.iter().any(|p| p.invalid.key == key && p.invalid.want.contains(want));
        assert!(found, "{key}: {problems:?}");
    }
}
