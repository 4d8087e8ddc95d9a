//! A program's configuration from its sources to its errors: who wins, what is refused and how it is said.

use super::*;
use crate::log::LogConfig;
use riser_gate::{AccountConfig, Directory};
use serde::Deserialize;
use std::{fs, os::unix::fs::PermissionsExt};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sample {
    data: PathBuf,
    log: LogConfig,
    listen: SampleListen,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsFiles>,
    limits: LimitsConfig,
    uplink: Vec<UplinkConfig>,
    binding: Vec<BindingConfig>,
    account: Vec<AccountConfig>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SampleListen {
    mqtt: Listeners<MqttListener>,
    link: Listeners<LinkListener>,
    operations: Listeners<OperationsListener>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            data: Self::standard_data(),
            log: LogConfig::default(),
            listen: SampleListen::default(),
            tls: None,
            limits: LimitsConfig::default(),
            uplink: vec![],
            binding: vec![],
            account: vec![],
        }
    }
}

impl Program for Sample {
    const NAME: &'static str = "sample-that-is-installed-nowhere";

    fn data(&self) -> &Path {
        &self.data
    }

    fn check(&self) -> Vec<Invalid> {
        let tls = self.tls.as_ref();
        let mut wrong = self.limits.check();
        wrong.extend(self.listen.mqtt.named("mqtt").filter_map(|(key, mqtt)| mqtt.tls.check(&key, tls)));
        wrong.extend(self.listen.link.named("link").filter_map(|(key, link)| link.check(&key)));
        wrong.extend(self.listen.operations.named("operations").filter_map(|(key, one)| one.check(&key)));
        wrong.extend(self.uplink.iter().flat_map(|uplink| uplink.check("uplink[0]")));
        wrong.extend(self.binding.iter().flat_map(|binding| binding.check("binding[0]")));
        wrong.extend(Directory::compile(&self.account).err().unwrap_or_default());
        wrong
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn sources(&self, text: &str) -> Sources {
        let path = self.0.path().join("riser.toml");
        fs::write(&path, text).unwrap();
        Sources::file(path)
    }

    fn data(&self) -> String {
        format!("data = {:?}\n", self.0.path())
    }
}

fn load(text: &str) -> Result<Loaded<Sample>, ConfigError> {
    Loaded::strictly(&Folder::new().sources(text))
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The one problem of a text that is refused.
fn problem(text: &str) -> Problem {
    match load(text) {
        Err(ConfigError::Wrong(problems)) => problems.into_iter().next().expect("a refusal has a reason"),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn the_later_source_wins_and_defaults_fill_the_rest() {
    let folder = Folder::new();
    let mut sources = folder.sources("[log]\nlevel = \"warn\"\nformat = \"json\"\n[limits]\nconnections = 5");
    sources.environment = pairs(&[
        ("RISER_LOG__LEVEL", "debug"),
        ("RISER_LIMITS__TAIL", "16 MiB"),
        ("RISER_LISTEN__MQTT", "127.0.0.1:1883"),
        ("PATH", "/bin"),
    ]);
    sources.flags = pairs(&[("log.level", "trace"), ("limits.stall", "2m")]);
    let config = Loaded::<Sample>::strictly(&sources).unwrap().config;
    assert_eq!(config.log.level.to_string(), "trace");
    assert_eq!(config.log.format, crate::log::LogFormat::Json);
    assert_eq!((config.limits.connections, config.limits.tail), (5, ByteSize::mib(16)));
    assert_eq!((config.limits.stall, config.limits.drain), (Duration::seconds(120), Duration::seconds(5)));
    assert_eq!(config.listen.mqtt.0[0].address.port(), 1883);
}

#[test]
fn an_empty_file_is_a_configuration_that_opens_nothing() {
    let config = load("").unwrap().config;
    assert!(config.listen.mqtt.0.is_empty() && config.listen.link.0.is_empty());
    assert_eq!(config.data, Path::new("/var/lib/riser/sample-that-is-installed-nowhere"));
}

#[test]
fn a_listener_is_an_address_a_table_or_a_list() {
    let mqtt = |text: &str| load(text).unwrap().config.listen.mqtt.0;
    let one = mqtt("listen.mqtt = \"127.0.0.1:1883\"");
    assert_eq!(one, mqtt("[listen.mqtt]\naddress = \"127.0.0.1:1883\""));
    assert_eq!(one, mqtt("[[listen.mqtt]]\naddress = \"127.0.0.1:1883\""));
    let own = mqtt(
        "[listen.mqtt]\naddress = \"[::]:8883\"\ntls = { cert = \"c\", key = \"k\" }\nanonymous = \"a/b\"",
    );
    let files = TlsFiles { cert: "c".into(), key: "k".into() };
    assert_eq!((own[0].tls.files(None), own[0].anonymous.as_deref()), (Some(&files), Some("a/b")));
    let shared = mqtt("[listen.mqtt]\naddress = \"[::]:8883\"\ntls = true\n[tls]\ncert = \"c\"\nkey = \"k\"");
    assert_eq!(shared[0].tls.files(Some(&files)), Some(&files));
}

/// What is written, the key that is named, what is said and what to do instead.
#[test]
fn every_error_names_file_key_and_remedy() {
    let uplink = |rest: &str| {
        let key = crate::keys::Identity::draw().public_text();
        let client = "client = \"7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10\"";
        format!("[[uplink]]\nhub_key = \"{key}\"\n{client}\n{rest}")
    };
    for (text, key, what, want) in [
        ("lisetn = 5".to_owned(), "lisetn", "no such key", "did you mean listen?"),
        (
            "[limits]\nconections = 5".to_owned(),
            "limits.conections",
            "no such key",
            "did you mean connections?",
        ),
        ("[limits]\nzebra = 5".to_owned(), "limits.zebra", "no such key", "known here: connections, "),
        ("[limits]\ntail = \"5 XB\"".to_owned(), "limits.tail", "5 XB", "256 MiB"),
        ("[limits]\ntail = true".to_owned(), "limits.tail", "found true or false", "256 MiB"),
        ("[limits]\nstall = 5".to_owned(), "limits.stall", "found a whole number", "5s"),
        ("[limits]\nstall = \"2h\"".to_owned(), "limits.stall", "out of range", "1ms to 1h"),
        ("[limits]\nsubscriptions = 0".to_owned(), "limits.subscriptions", "out of range", "1 to 2000"),
        ("[log]\nlevel = \"verbose\"".to_owned(), "log.level", "parse level", "want error, warn"),
        ("[log]\nformat = \"txt\"".to_owned(), "log.format", "\"txt\"", "did you mean text?"),
        ("listen.mqtt = \"1883\"".to_owned(), "listen.mqtt", "is not an address", "127.0.0.1:1883"),
        (
            "[[listen.mqtt]]\naddress = 1".to_owned(),
            "listen.mqtt[0].address",
            "found a whole number",
            "want a string",
        ),
        ("[[listen.mqtt]]".to_owned(), "listen.mqtt[0].address", "missing", "add address"),
        (
            "[[listen.mqtt]]\naddress = \"[::]:1\"\ntls = true".to_owned(),
            "listen.mqtt[0].tls",
            "no [tls]",
            "add [tls]",
        ),
        (
            "[[listen.mqtt]]\naddress = \"[::]:1\"\ntls = {}".to_owned(),
            "listen.mqtt[0].tls.cert",
            "missing",
            "add cert",
        ),
        ("listen.link = \"0.0.0.0:7420\"".to_owned(), "listen.link[0].tls", "encrypted", "insecure = true"),
        (
            "listen.operations = \"0.0.0.0:9420\"".to_owned(),
            "listen.operations[0].address",
            "everybody",
            "loopback",
        ),
        (uplink("url = \"http://hub\""), "uplink[0].url", "parse url", "want wss://"),
        (uplink("url = \"ws://hub.example\""), "uplink[0].url", "encrypted", "use wss://"),
        (
            "[[binding]]\ntopics = \"a/#/b\"\nroom = \"r\"".to_owned(),
            "binding[0].topics",
            "parse filter",
            "want a channel",
        ),
        (
            "[[binding]]\ntopics = \"#\"\nroom = \"r\"\nprefix = \"$x\"".to_owned(),
            "binding[0].prefix",
            "no channel can begin",
            "{client}",
        ),
        (
            "[[binding]]\ntopics = \"#\"\nroom = \"r\"\nprefix = \"{cleint}/\"".to_owned(),
            "binding[0].prefix",
            "no channel can begin",
            "{client}",
        ),
        ("[[account]]\nname = \"a\"".to_owned(), "account[a].id", "no id", "id new"),
        (
            "[[account]]\nname = \"a\"\n[[account.user]]\nnmae = \"b\"".to_owned(),
            "account[0].user[0].nmae",
            "no such key",
            "name?",
        ),
    ] {
        let problem = problem(&text);
        let Problem { source, invalid } = &problem;
        assert_eq!(invalid.key, key, "{problem:?}");
        assert!(invalid.what.contains(what) && invalid.want.contains(want), "{problem:?}");
        assert!(source.ends_with("riser.toml"), "{problem:?}");
    }
}

#[test]
fn a_problem_is_laid_at_the_door_of_who_said_it() {
    let folder = Folder::new();
    let mut sources = folder.sources("[limits]\nconnections = 5");
    sources.environment = pairs(&[("RISER_LIMITS__CONECTIONS", "6")]);
    let said = |sources: &Sources| Loaded::<Sample>::strictly(sources).unwrap_err().to_string();
    assert!(said(&sources).starts_with("environment (RISER_...): limits.conections: no such key"));
    sources.environment = vec![];
    sources.flags = pairs(&[("limits.connections", "many")]);
    assert!(
        said(&sources).starts_with("command line: limits.connections: found a text"),
        "{}",
        said(&sources)
    );
}

#[test]
fn all_contradictions_are_said_at_once() {
    let Err(ConfigError::Wrong(problems)) = load("[limits]\nconnections = 0\nsubscriptions = 0") else {
        panic!("it is wrong")
    };
    assert_eq!(problems.len(), 2);
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_line_and_column() {
    let Err(error) = load("# fine\n[log]\nlevel = \"info") else { panic!("it is wrong") };
    let ConfigError::Syntax { line, column, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*line, 3, "{error}");
    assert!(*column > 8, "{error}");
}

#[test]
fn without_a_file_both_places_are_named() {
    let error = Loaded::<Sample>::strictly(&Sources::default()).unwrap_err().to_string();
    assert!(error.contains("--config") && error.contains("/etc/riser/sample-that"), "{error}");
    let error = Loaded::<Sample>::strictly(&Sources::file("/nowhere/at/all.toml")).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all.toml"), "{error}");
    let error = Loaded::<Sample>::strictly(&Sources::file("/")).unwrap_err().to_string();
    assert!(error.contains("not a file"), "{error}");
}

#[test]
fn only_the_named_file_is_read_and_none_of_that_name_above() {
    let folder = Folder::new();
    folder.sources("data = \"/x\"");
    let below = folder.0.path().join("below");
    fs::create_dir(&below).unwrap();
    let sources = Sources::file(below.join("riser.toml"));
    assert!(matches!(Loaded::<Sample>::strictly(&sources), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn a_bad_configuration_is_answered_with_the_last_good_one() {
    for bad in ["[limits]\nconnections = 0", "[limits]\nconections = 5", "[limits", "connections = \"unended"]
    {
        let folder = Folder::new();
        let good = folder.data() + "[limits]\nconnections = 77";
        let mut sources = folder.sources(&good);
        sources.environment = pairs(&[("RISER_LIMITS__SUBSCRIPTIONS", "7")]);
        let loaded = Loaded::<Sample>::or_last_good(&sources).unwrap();
        assert!(loaded.refused.is_none());
        loaded.keep().unwrap();

        let sources = folder.sources(&(folder.data() + bad));
        let loaded = Loaded::<Sample>::or_last_good(&sources).unwrap();
        let refused = loaded.refused.as_ref().expect("the bad one was refused").to_string();
        assert!(refused.contains("riser.toml"), "{refused}");
        assert_eq!((loaded.config.limits.connections, loaded.config.limits.subscriptions), (77, 7), "{bad}");
        assert!(loaded.file.ends_with("last-good.toml"));
    }
}

#[test]
fn a_missing_file_and_a_bad_environment_are_answered_with_the_last_good_one_too() {
    let folder = Folder::new();
    let mut sources = folder.sources(&folder.data());
    Loaded::<Sample>::strictly(&sources).unwrap().keep().unwrap();
    sources.environment = pairs(&[("RISER_LIMITS", "5")]);
    assert!(Loaded::<Sample>::or_last_good(&sources).unwrap().refused.is_some());
    sources.environment = pairs(&[("RISER_DATA", folder.0.path().to_str().unwrap())]);
    sources.file = Some("/nowhere/at/all.toml".into());
    assert!(Loaded::<Sample>::or_last_good(&sources).unwrap().refused.is_some());
}

#[test]
fn without_a_last_good_one_the_first_error_stands() {
    let folder = Folder::new();
    let bad = folder.sources(&(folder.data() + "lisetn = 5"));
    let error = Loaded::<Sample>::or_last_good(&bad).unwrap_err().to_string();
    assert!(error.contains("lisetn"), "{error}");
    fs::write(last_good::path(folder.0.path()), "nor = \"this\"").unwrap();
    let error = Loaded::<Sample>::or_last_good(&bad).unwrap_err().to_string();
    assert!(error.contains("lisetn"), "{error}");
}

#[test]
fn running_on_the_last_good_one_does_not_replace_it() {
    let folder = Folder::new();
    Loaded::<Sample>::strictly(&folder.sources(&folder.data())).unwrap().keep().unwrap();
    let before = fs::read_to_string(last_good::path(folder.0.path())).unwrap();
    let loaded = Loaded::<Sample>::or_last_good(&folder.sources(&(folder.data() + "x = 1"))).unwrap();
    loaded.keep().unwrap();
    assert_eq!(fs::read_to_string(last_good::path(folder.0.path())).unwrap(), before);
}

#[test]
fn what_is_kept_is_for_its_owner_only_and_says_the_same() {
    let folder = Folder::new();
    let text = folder.data() + ACCOUNT + "[limits]\ntail = \"16 MiB\"";
    let first = Loaded::<Sample>::strictly(&folder.sources(&text)).unwrap();
    // A rest of an attempt that a power cut ended, readable by all, must not lend its mode.
    let rest = folder.0.path().join("last-good.toml.new");
    fs::write(&rest, "half").unwrap();
    first.keep().unwrap();
    assert!(!rest.exists());
    let kept = last_good::path(folder.0.path());
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let second = Loaded::<Sample>::strictly(&Sources::file(&kept)).unwrap();
    assert_eq!(second.print(), first.print());
    assert_eq!(second.config.account, first.config.account, "secrets included");
}

/// The canaries are the hash parts of what an account holds.
const ACCOUNT: &str = r#"
[[account]]
name = "acme"
id = "7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10"
[[account.user]]
name = "ann"
password = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$canarycanarycanarycanarycanary"
tokens = ["sha256:00000000000000000000000000000000000000000000000000000000000cabab"]
"#;

#[test]
fn nothing_that_is_printed_of_a_configuration_is_a_secret() {
    let folder = Folder::new();
    let mut sources = folder.sources(&(folder.data() + ACCOUNT));
    sources.environment = pairs(&[("RISER_DATA", "/canary")]);
    sources.flags = pairs(&[("data", "/x")]);
    let loaded = Loaded::<Sample>::strictly(&sources).unwrap();
    let printed = format!("{sources:?} {loaded:?} {:?}", loaded.config) + &loaded.print();
    assert!(!printed.contains("canary") && !printed.contains("cabab"), "{printed}");
    assert!(loaded.print().contains("password = \"(hidden)\""), "{}", loaded.print());
    let again: Result<Dict, _> = sources::parse(&loaded.print());
    again.expect("what is printed is TOML");
}

/// A secret in the wrong place, or damaged, is not repeated in the error about it.
#[test]
fn no_error_repeats_a_secret() {
    for text in [
        ACCOUNT.replace("$argon2id$v=19", "$argon2i$v=19"),
        ACCOUNT.replace("= \"$argon2id", "= [\"$argon2id").replace("canary\"", "canary\"]"),
        ACCOUNT.replace("password", "pasword"),
        ACCOUNT.replace("canary\"", "canary"),
        ACCOUNT.replace("sha256:00", "canary"),
        ACCOUNT.replace("[\"sha256", "\"sha256").replace("cabab\"]", "canary\""),
        ACCOUNT.replace("password = \"$", "password = $"),
        "limits = \"canary\"".to_owned(),
        "[limits]\nconnections = \"canary\"".to_owned(),
        "[[uplink]]\nurl = \"wss://ann:canary@hub\"".to_owned(),
        "[[account]]\nname = \"Canary canary\"".to_owned(),
    ] {
        let error = load(&text).expect_err(&text);
        let printed = format!("{error} {error:?}");
        assert!(!printed.contains("canary"), "{printed}");
    }
}
