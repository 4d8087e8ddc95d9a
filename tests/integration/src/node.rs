//! One of the two programs under test: its files, its ports, and its process over several lives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::place::Place;
use crate::program::{Program, SOON, free_port, output};

/// One of the two programs: its files, its ports, and its process while it runs.
pub struct Node {
    name: String,
    executable: PathBuf,
    /// Where it runs.
    pub place: Place,
    /// Its MQTT port.
    pub mqtt: u16,
    /// Its HTTP and WebSocket port.
    pub http: u16,
    /// Its operations port.
    pub operations: u16,
    /// Its link port, used by the hub only.
    pub link: u16,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its data folder.
    pub data: PathBuf,
    /// A program with its arguments that it is run under, for exact faults.
    pub under: Vec<String>,
    /// What its environment has beside the test's own.
    pub environment: Vec<(String, String)>,
    folder: PathBuf,
    program: Option<Program>,
}

impl Node {
    /// One that does not run yet, with a configuration and a data folder of that name in the folder.
    pub fn new(name: &str, executable: &Path, place: Place, folder: &Path) -> Self {
        let data = folder.join(name);
        fs::create_dir_all(&data).expect("the temporary folder can be written");
        Self {
            name: name.to_owned(),
            executable: executable.to_owned(),
            place,
            mqtt: free_port(),
            http: free_port(),
            operations: free_port(),
            link: 0,
            config: folder.join(format!("{name}.toml")),
            data,
            under: vec![],
            environment: vec![],
            folder: folder.to_owned(),
            program: None,
        }
    }

    /// Replaces its configuration file.
    pub fn write_config(&self, text: &str) {
        fs::write(&self.config, text).expect("the temporary folder can be written");
    }

    /// Starts it and waits until it is ready.
    pub fn start(&mut self) {
        self.launch();
        self.wait_ready();
    }

    /// Starts it.
    pub fn launch(&mut self) {
        let mut command = match self.under.split_first() {
            None => self.place.command(&self.executable),
            Some((outer, arguments)) => {
                let mut command = self.place.command(outer);
                command.args(arguments).arg(&self.executable);
                command
            }
        };
        command.arg("serve").arg("--config").arg(&self.config).env("RUST_BACKTRACE", "1");
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        self.program = Some(Program::start(&self.name, command, &self.folder));
    }

    /// Waits until its `/readyz` says yes.
    pub fn wait_ready(&mut self) {
        self.wait_said("ready", "/readyz");
    }

    /// Waits until its `/livez` says yes.
    pub fn wait_alive(&mut self) {
        self.wait_said("alive", "/livez");
    }

    fn wait_said(&mut self, what: &str, path: &str) {
        let (place, operations) = (self.place.clone(), self.operations);
        let said = || get(&place, operations, path).is_some_and(|(status, _)| status == 200);
        self.process().wait_until(what, SOON, said);
    }

    /// Its process. It must have been started.
    pub fn process(&mut self) -> &mut Program {
        self.program.as_mut().expect("the test started it")
    }

    /// Whether it was started, and not ended by the test.
    pub fn is_started(&self) -> bool {
        self.program.is_some()
    }

    /// Waits until it ended by itself.
    pub fn ended(&mut self, within: Duration) {
        self.process().ended(within);
        self.program = None;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process().kill();
        self.program = None;
    }

    /// SIGTERM, and waits for a good end.
    pub fn stop(&mut self) {
        self.process().signal(Signal::TERM);
        let status = self.process().ended(SOON);
        assert!(status.success(), "{} ended with {status} after SIGTERM", self.name);
        self.program = None;
    }

    /// Everything that it printed, over all its lives.
    pub fn printed(&self) -> String {
        let log = self.folder.join(format!("{}.log", self.name));
        String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
    }

    /// Runs one of its commands to the end, with its configuration where it takes one.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(arguments);
        command
    }

    /// Its public key.
    pub fn key(&self) -> String {
        let file = if self.name == "hub" { "hub.key" } else { "edge.key" };
        let mut command = Command::new(&self.executable);
        command.args(["key", "show"]).arg(self.data.join(file));
        output(command).trim().to_owned()
    }

    /// The sum of a metric over all its series whose labels contain `label`; none when there is no such series.
    pub fn metric(&self, name: &str, label: &str) -> Option<f64> {
        let (status, text) = get(&self.place, self.operations, "/metrics")?;
        assert_eq!(status, 200, "metrics of the {}", self.name);
        sum(&text, name, label)
    }

    /// The equation of an uplink, as its metrics say it: accepted, synced, queued, gapped.
    pub fn equation(&self) -> Option<[f64; 4]> {
        let (_, text) = get(&self.place, self.operations, "/metrics")?;
        let one = |what: &str| sum(&text, &format!("riser_uplink_{what}"), "");
        Some([one("accepted")?, one("synced")?, one("queued")?, one("gapped")?])
    }
}

/// A GET at an operations or HTTP port, through curl: status and body. None when nothing answers.
pub fn get(place: &Place, port: u16, path: &str) -> Option<(u16, String)> {
    let mut command = place.command("curl");
    let url = format!("http://127.0.0.1:{port}{path}");
    command.args(["--silent", "--max-time", "5", "--write-out", "\n%{http_code}", &url]);
    let output = command.stdin(Stdio::null()).output().expect("curl is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n')?;
    let status = status.parse().ok().filter(|status| *status != 0)?;
    Some((status, body.to_owned()))
}

fn sum(text: &str, name: &str, label: &str) -> Option<f64> {
    let mut found: Option<f64> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (series_name, labels) = series.split_once('{').unwrap_or((series, ""));
        if series_name.strip_suffix("_total").unwrap_or(series_name) == name && labels.contains(label) {
            *found.get_or_insert(0.0) += value.parse::<f64>().unwrap_or(0.0);
        }
    }
    found
}

/// A new id, of a client or an account, from either program.
pub fn new_id(executable: &Path) -> String {
    let mut command = Command::new(executable);
    command.args(["id", "new"]);
    output(command).trim().to_owned()
}

/// Makes a key file with either program, and gives its public key.
pub fn new_key(executable: &Path, path: &Path) -> String {
    let run = |verb| {
        let mut command = Command::new(executable);
        command.args(["key", verb]).arg(path);
        output(command).trim().to_owned()
    };
    run("new");
    run("show")
}

#[test]
fn metrics_are_summed_over_the_series_that_are_meant() {
    let text = "# HELP x y\nriser_a_total{u=\"1\"} 2\nriser_a_total{u=\"2\"} 3\nriser_ab 9\nriser_c 1\n";
    assert_eq!(sum(text, "riser_a", ""), Some(5.0));
    assert_eq!(sum(text, "riser_a", "u=\"2\""), Some(3.0));
    assert_eq!(sum(text, "riser_c", ""), Some(1.0));
    assert_eq!(sum(text, "riser_d", ""), None);
}
