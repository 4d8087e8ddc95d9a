//! The compose files against the real programs: no container engine is needed to see that their paths, ports,
//! flags and names are the ones that the programs know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use yaml_rust2::{Yaml, YamlLoader, yaml::Hash};

use crate::needs::{Need, needs};
use crate::place::Cable;
use crate::program::output;
use crate::site::program;

/// The folder of the compose files.
fn folder() -> PathBuf {
    root().join("compose")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders below the root").to_owned()
}

/// A compose file's services, with merge keys taken in.
fn services(file: &str) -> BTreeMap<String, Yaml> {
    let text = fs::read_to_string(folder().join(file)).expect("the compose file is there");
    let documents = YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let Yaml::Hash(services) = &documents[0]["services"] else { panic!("{file} has no services") };
    services.iter().map(|(name, service)| (string(name), merged(service))).collect()
}

/// Takes `<<` in, as YAML 1.1 means it: what is said beside it wins.
fn merged(value: &Yaml) -> Yaml {
    let Yaml::Hash(hash) = value else { return value.clone() };
    let mut whole = Hash::new();
    if let Some(Yaml::Hash(below)) = hash.get(&Yaml::String("<<".into())).map(merged) {
        whole.extend(below);
    }
    for (key, value) in hash.iter().filter(|(key, _)| key.as_str() != Some("<<")) {
        whole.insert(key.clone(), merged(value));
    }
    Yaml::Hash(whole)
}

fn string(value: &Yaml) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value:?} is a text")).to_owned()
}

fn strings(value: &Yaml) -> Vec<String> {
    value.as_vec().map(|items| items.iter().map(string).collect()).unwrap_or_default()
}

/// The demo as `prepare.sh` makes it, in a folder of its own.
struct Prepared {
    folder: tempfile::TempDir,
    said: String,
}

impl Prepared {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).expect("the temporary folder can be written");
        std::os::unix::fs::symlink(program("hub"), bin.join("riser-hub")).expect("a link can be made");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut prepare = Command::new("bash");
        prepare.arg(self::folder().join("prepare.sh"));
        prepare.env("PATH", format!("{}:{path}", bin.display())).env("RISER_HOME", folder.path());
        let said = output(prepare);
        Self { folder, said }
    }

    /// The configuration that a path inside the containers stands for.
    fn config(&self, inside: &str) -> toml_text::Text {
        let name =
            inside.strip_prefix("/var/lib/riser/").unwrap_or_else(|| panic!("{inside} is not in the volume"));
        let path = self.folder.path().join(name);
        toml_text::Text(
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        )
    }
}

/// What a test asks of a configuration that `prepare.sh` wrote: its own lines, no parser between.
mod toml_text {
    pub struct Text(pub String);

    impl Text {
        /// The port of a listener.
        pub fn port(&self, listener: &str) -> u16 {
            let line = self.0.lines().find(|line| line.starts_with(&format!("{listener} = ")));
            let line = line.unwrap_or_else(|| panic!("no listener {listener}"));
            let (_, rest) = line.rsplit_once(':').expect("an address has a port");
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().expect("a port is a number")
        }
    }
}

/// The program of a service: `hub` or `edge`.
fn kind(service: &Yaml) -> Option<&'static str> {
    match service["image"].as_str() {
        Some("riser-hub") => Some("hub"),
        Some("riser-edge") => Some("edge"),
        _ => None,
    }
}

#[test]
fn prepared_configurations_are_accepted_by_the_programs() {
    let prepared = Prepared::new();
    assert!(prepared.said.contains("riser-demo"), "it says the password: {}", prepared.said);
    for (kind, file) in [("hub", "hub.toml"), ("edge", "edge-a.toml"), ("edge", "edge-b.toml")] {
        let mut check = Command::new(program(kind));
        check.args(["config", "check", "--config"]).arg(prepared.folder.path().join(file));
        output(check);
    }
}

#[test]
fn services_use_paths_ports_and_flags_that_exist() {
    let prepared = Prepared::new();
    let services = services("compose.demo.yml");
    for (name, service) in &services {
        if let Some(dockerfile) = service["build"]["dockerfile"].as_str() {
            assert!(
                root().join(dockerfile).is_file(),
                "{name} is built from {dockerfile}, which is not there"
            );
        }
        let Yaml::Hash(needed) = &service["depends_on"] else { continue };
        for other in needed.keys().map(string) {
            assert!(services.contains_key(&other), "{name} depends on {other}, which is no service");
        }
    }
    for (name, service) in services.iter().filter(|(name, _)| name.as_str() != "prepare") {
        let Some(kind) = kind(service) else { continue };
        let command = strings(&service["command"]);
        let [verb, flag, path] = &command[..] else { panic!("{name}: {command:?}") };
        let mut help = Command::new(program(kind));
        help.args([verb, "--help"]);
        assert!(output(help).contains(flag.as_str()), "{name}: riser-{kind} {verb} has no {flag}");
        let config = prepared.config(path);
        let open = [config.port("mqtt"), config.port("http")];
        for mapping in strings(&service["ports"]) {
            let (_, inside) = mapping.rsplit_once(':').expect("a mapping has two ends");
            assert!(
                open.contains(&inside.parse().expect("a port")),
                "{name}: {mapping} leads to no listener"
            );
        }
        for volume in strings(&service["volumes"]) {
            let inside = volume.split(':').nth(1).expect("a volume is mounted somewhere");
            assert!(path.starts_with(inside), "{name}: {path} is not in the volume {volume}");
            let data = config.0.lines().next().expect("the first line says where data is");
            let data = data.replace(&prepared.folder.path().display().to_string(), inside);
            assert!(data.contains(inside), "{name}: {data} is not in the volume {volume}");
        }
    }
}

#[test]
fn sensors_publish_where_an_edge_listens_for_them() {
    let prepared = Prepared::new();
    let services = services("compose.demo.yml");
    let mut sensors = 0;
    for (name, service) in services.iter().filter(|(name, _)| name.starts_with("sensor")) {
        let line = strings(&service["command"]).concat();
        let after = |flag: &str| {
            let (_, rest) =
                line.split_once(&format!(" {flag} ")).unwrap_or_else(|| panic!("{name} has no {flag}"));
            rest.split_whitespace().next().unwrap_or_default().to_owned()
        };
        let edge = services.get(&after("-h")).unwrap_or_else(|| panic!("{name} publishes at no service"));
        let config = prepared.config(&strings(&edge["command"])[2]);
        assert_eq!(after("-p"), config.port("mqtt").to_string(), "{name}'s port");
        assert!(config.0.contains(&format!("name = \"{}\"", after("-u"))), "{name}'s user is a client");
        assert!(prepared.said.contains(&format!("\"{}\"", after("-P"))), "{name}'s password is the demo's");
        assert!(
            after("-t").starts_with("sensors/") && config.0.contains("topics = \"sensors/#\""),
            "{name}'s topic"
        );
        sensors += 1;
    }
    assert_eq!(sensors, 2);
}

#[test]
fn chaos_reaches_the_link_of_a_service_of_the_demo() {
    let prepared = Prepared::new();
    let demo = services("compose.demo.yml");
    let chaos = services("compose.chaos.yml");
    let service = &chaos["chaos"];
    let network = string(&service["network_mode"]);
    let target = network.strip_prefix("service:").expect("it shares a service's network");
    let config = prepared.config(&strings(&demo[target]["command"])[2]);
    let hub = prepared.config(&strings(&demo["hub"]["command"])[2]);
    let port = string(&service["environment"]["CHAOS_PORT"]);
    assert_eq!(port, hub.port("link").to_string());
    assert!(config.0.contains(&format!("url = \"ws://hub:{port}/link\"")), "the edge's uplink leads there");
    assert_eq!(strings(&service["cap_add"]), ["NET_ADMIN"]);
    let script = fs::read_to_string(folder().join("chaos.sh")).expect("the script is there");
    let Yaml::Hash(environment) = &service["environment"] else { panic!("chaos has an environment") };
    for name in environment.keys().map(string) {
        assert!(script.contains(&format!("${{{name}:-")), "chaos.sh does not read {name}");
    }
}

#[test]
fn chaos_script_makes_rules_that_the_kernel_takes() {
    needs!(Need::Namespaces, Need::Program("nft"));
    let cable = Cable::lay();
    let mut chaos = cable.a.command("bash");
    chaos.arg(folder().join("chaos.sh")).env("CHAOS_SECONDS", "0").env("CHAOS_ROUNDS", "1");
    let said = output(chaos);
    assert_eq!(said.matches("whole").count(), 5, "{said}");
    let mut rules = cable.a.command("nft");
    rules.args(["list", "ruleset"]);
    assert_eq!(output(rules).trim(), "", "no rule is left behind");
}

/// A Dockerfile's instructions, continued lines joined.
fn dockerfile(name: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(folder().join(name)).expect("the Dockerfile is there").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (instruction, rest) = line.split_once(' ').expect("an instruction has an argument");
            (instruction.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

#[test]
fn images_run_the_real_programs_without_root() {
    let prepared = Prepared::new();
    for (kind, config, operations) in [("hub", "hub.toml", 9420), ("edge", "edge-a.toml", 9421)] {
        let file = dockerfile(&format!("{kind}.Dockerfile"));
        let last = |instruction: &str| {
            let found = file.iter().rev().find(|(name, _)| name == instruction);
            &found.unwrap_or_else(|| panic!("{kind}.Dockerfile has no {instruction}")).1
        };
        let config = prepared.config(&format!("/var/lib/riser/{config}"));
        assert_eq!(
            file.iter().filter(|(name, _)| name == "FROM").count(),
            2,
            "a stage to build and one to run"
        );
        let user = last("USER").split(':').next().expect("a user has an id");
        assert!(user.parse::<u32>().is_ok_and(|id| id > 0), "{kind} runs as {user}");
        let binary = format!("riser-{kind}");
        assert_eq!(*last("ENTRYPOINT"), format!("[\"{binary}\"]"));
        assert_eq!(*last("CMD"), format!("[\"serve\", \"--config\", \"/etc/riser/{kind}.toml\"]"));
        assert!(last("COPY").contains(&format!("/target/release/{binary} /usr/local/bin/{binary}")));
        assert!(
            file.iter()
                .any(|(name, line)| name == "RUN" && line.contains(&format!("--locked --package {binary}")))
        );
        let exposed: BTreeSet<u16> =
            last("EXPOSE").split(' ').map(|port| port.parse().expect("a port")).collect();
        let mut open = BTreeSet::from([config.port("mqtt"), config.port("http")]);
        if kind == "hub" {
            open.insert(config.port("link"));
        }
        assert_eq!(exposed, open, "{kind}.Dockerfile exposes what it listens on");
        assert_eq!(config.port("operations"), operations);
        assert!(last("HEALTHCHECK").contains(&format!("/dev/tcp/127.0.0.1/{operations} ")));
        assert!(last("HEALTHCHECK").contains("GET /readyz "));
    }
}

#[test]
fn images_are_built_with_the_toolchain_of_the_workspace() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace has a manifest");
    let line =
        manifest.lines().find(|line| line.starts_with("rust-version")).expect("the workspace names it");
    let version = line.split('"').nth(1).expect("it is quoted");
    for kind in ["hub", "edge"] {
        let file = dockerfile(&format!("{kind}.Dockerfile"));
        assert!(file[0].1.starts_with(&format!("rust:{version}-")), "{kind}: {} is not {version}", file[0].1);
    }
}
