//! What is not a peer's fault: bad configurations, keys, files and disks. The programs start, say what is
//! wrong, and lose nothing that they acknowledged without saying so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::needs::{Need, needs};
use crate::program::{EVENTUALLY, SOON, output, wait};
use crate::site::{Plan, SENSOR, Site};

#[test]
fn bad_configuration_names_file_key_and_remedy() {
    let site = Site::laid_out(Plan::default());
    let good = fs::read_to_string(&site.hub.config).expect("it was just written");
    let cases = [
        ("an unknown key", good.replace("mqtt =", "mqt ="), "mqtt"),
        ("no address", good.replacen("127.0.0.1:", "nowhere:", 1), "listen"),
        ("a role that is none", good.replace("\"reader\"", "\"guest\""), "role"),
        ("a bad room name", good.replace("\"hall\"", "\"The Hall\""), "room"),
        ("no TOML", good.replace("[listen]", "[listen"), "line"),
    ];
    for (what, text, named) in cases {
        assert_ne!(text, good, "{what} changes the file");
        site.hub.write_config(&text);
        let mut check = site.hub.command(&["config", "check", "--config"]);
        let output = check.arg(&site.hub.config).output().expect("the program can be started");
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{what} was accepted");
        assert!(said.contains("hub.toml"), "{what}: names no file: {said}");
        assert!(said.contains(named), "{what}: does not name {named:?}: {said}");
    }
    site.hub.write_config(&good);
    let mut check = site.hub.command(&["config", "check", "--config"]);
    assert!(
        check.arg(&site.hub.config).output().expect("it starts").status.success(),
        "the good one is accepted"
    );
}

#[test]
fn program_runs_on_its_last_good_configuration_and_says_so() {
    needs!(Need::Program("curl"), Need::Python);
    let mut site = Site::start();
    site.edge.stop();
    // A hand that slipped: the file still says where the data is, and is no TOML.
    let right = fs::read_to_string(&site.edge.config).expect("it was just written");
    site.edge.write_config(&format!("{right}\nthis is no TOML\n"));
    site.edge.start();
    site.edge.process().wait_printed("last good", SOON);
    let ask = json!({ "stream": "s", "topic": "sensors/s", "count": 3 });
    site.client("publisher", "publish_paho.py", &site.edge, SENSOR, ask).finish(SOON);
    assert_eq!(site.history.ledger().acked("s"), 3);
    assert_eq!(site.edge.metric("riser_configuration_refused", ""), Some(1.0));
}

#[test]
fn configuration_is_printed_without_secrets() {
    let site = Site::laid_out(Plan::default());
    let mut print = site.hub.command(&["config", "print", "--config"]);
    let output = print.arg(&site.hub.config).output().expect("the program can be started");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("hall"), "{printed}");
    assert!(!printed.contains("argon2"), "a hash was printed: {printed}");
}

#[test]
fn hub_that_is_not_the_pinned_one_gets_nothing() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::laid_out(Plan::default());
    let right = fs::read_to_string(&site.edge.config).expect("it was just written");
    let line = right.lines().find(|line| line.starts_with("hub_key")).expect("the uplink pins a key");
    // Any other point of the curve: the edge's own.
    let mut show = site.edge.command(&["key", "show"]);
    show.arg(site.edge.data.join("edge.key"));
    let own = output(show);
    site.edge.write_config(&right.replace(line, &format!("hub_key = \"{}\"", own.trim())));
    site.hub.start();
    site.edge.start();
    let ask = json!({ "stream": "s", "topic": "sensors/s", "count": 20 });
    site.client("publisher", "publish_paho.py", &site.edge, SENSOR, ask).finish(SOON);
    site.edge.process().wait_printed("key", SOON);
    let [accepted, synced, queued, _] = site.edge.equation().expect("the edge counts");
    assert!(accepted >= 20.0 && synced == 0.0 && queued == accepted, "{accepted} {synced} {queued}");

    // With the right key it all arrives.
    site.edge.stop();
    site.edge.write_config(&right);
    site.edge.start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait("it all arrives", EVENTUALLY, |ledger| ledger.delivered("board") == 20);
}

#[test]
fn edge_with_a_foreign_key_is_refused() {
    needs!(Need::Program("curl"));
    let mut site = Site::laid_out(Plan::default());
    fs::remove_file(site.edge.data.join("edge.key")).expect("it was made");
    let mut new = site.edge.command(&["key", "new"]);
    assert!(new.arg(site.edge.data.join("edge.key")).output().expect("it starts").status.success());
    site.hub.start();
    // An edge that no hub lets in is still an edge: ready, and keeping what it takes.
    site.edge.start();
    site.edge.process().wait_printed("refused", SOON);
    assert!(site.edge.process().runs() && site.hub.process().runs());
}

#[test]
fn key_that_others_may_read_is_refused_with_the_remedy() {
    let mut site = Site::laid_out(Plan::default());
    let key = site.edge.data.join("edge.key");
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
    fs::set_permissions(&key, mode).expect("the file is ours");
    site.edge.launch();
    let status = site.edge.process().ended(SOON);
    assert!(!status.success());
    assert!(site.edge.printed().contains("0600"), "{}", site.edge.printed());
}

#[test]
fn second_process_on_one_data_folder_is_refused() {
    needs!(Need::Program("curl"));
    let site = Site::start();
    let mut second = site.edge.command(&["serve", "--config"]);
    let output =
        second.arg(&site.edge.config).stdin(Stdio::null()).output().expect("the program can be started");
    assert!(!output.status.success(), "two processes write one log");
}

/// The files of a log, oldest first.
fn segments(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the data folder can be read") {
            let path = entry.expect("the data folder can be read").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Flips one byte right after the first place where `mark` stands in the data folder's files; says whether it
/// was found.
fn flip(data: &Path, mark: &str) -> bool {
    for path in segments(data) {
        let mut bytes = fs::read(&path).expect("a segment can be read");
        let found = bytes.windows(mark.len()).position(|window| window == mark.as_bytes());
        if let Some(at) = found {
            bytes[at + mark.len()] ^= 0x40;
            fs::write(&path, bytes).expect("a segment can be written");
            return true;
        }
    }
    false
}

#[test]
fn damaged_block_is_a_gap_in_place_and_nothing_else_is_lost() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::laid_out(Plan::default());
    site.edge.start();
    // One at a time: every publication is a block of its own.
    let ask = json!({ "stream": "s", "topic": "sensors/s", "qos": 2, "count": 300, "window": 1 });
    site.client("publisher", "publish_paho.py", &site.edge, SENSOR, ask).finish(EVENTUALLY);
    site.edge.stop();
    assert!(flip(&site.edge.data, "{\"stream\":\"s\",\"n\":150,"), "publication 150 is in the log");

    site.edge.start();
    site.hub.start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({ "technical": "account" }));
    site.history.wait("all but one arrive", EVENTUALLY, |ledger| ledger.delivered("board") == 299);
    let equation = wait(SOON, || site.edge.equation().filter(|[_, _, queued, _]| *queued == 0.0));
    let [accepted, synced, _, gapped] = equation.expect("nothing is queued after a while");
    // The block held the one entry; damage is known to the seq.
    assert!(
        accepted == synced + gapped && gapped >= 1.0,
        "accepted {accepted}, synced {synced}, gapped {gapped}"
    );
    let verdict = site.history.ledger().verdict("board");
    assert_eq!((verdict.lost, verdict.duplicated, verdict.reordered), (1, 0, 0), "{verdict:?}");
}

#[test]
fn torn_tail_is_cut_and_the_log_goes_on() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::laid_out(Plan::default());
    site.edge.start();
    let ask =
        |stream: &str| json!({ "stream": stream, "topic": "sensors/s", "qos": 1, "count": 50, "window": 1 });
    site.client("before", "publish_paho.py", &site.edge, SENSOR, ask("before")).finish(EVENTUALLY);
    site.edge.kill();
    assert!(flip(&site.edge.data, "{\"stream\":\"before\",\"n\":50,"), "the last publication is in the log");
    site.edge.start();
    site.client("after", "publish_paho.py", &site.edge, SENSOR, ask("after")).finish(EVENTUALLY);
    site.hub.start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait("the rest arrives", EVENTUALLY, |ledger| ledger.delivered("board") >= 99);
    let verdict = site.history.ledger().verdict("board");
    assert_eq!((verdict.lost, verdict.duplicated, verdict.reordered), (1, 0, 0), "{verdict:?}");
}

/// A file system of its own, with a size. Unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Self {
        fs::create_dir_all(at).expect("the temporary folder can be written");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(at));
        Self(at.to_owned())
    }

    fn grow(&self, size: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.0));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("mount is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn full_disk_refuses_and_recovers_and_loses_nothing() {
    needs!(Need::Mounts, Need::Program("curl"), Need::Python, Need::Node);
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let data = folder.path().join("edge");
    let disk = SmallDisk::mount(&data, "40m");
    let mut site = Site::laid_out(Plan { edge_data: Some(data.clone()), ..Plan::default() });
    site.edge.start();
    // More than the disk holds. The device is refused (0x97 or 0x83) and is told so for each.
    let ask = json!({ "stream": "much", "topic": "sensors/s", "version": 5, "count": 400, "size": 200_000 });
    site.client("publisher", "publish_paho.py", &site.edge, SENSOR, ask).finish(EVENTUALLY);
    let (taken, refused) = {
        let ledger = site.history.ledger();
        (ledger.acked("much"), ledger.refused("much").len() as u64)
    };
    assert!(taken > 20 && refused > 20 && taken + refused == 400, "{taken} taken, {refused} refused");
    assert!(site.edge.process().runs(), "a full disk is no reason to end");

    disk.grow("300m");
    let took_again = || {
        let ask = json!({ "stream": "again", "topic": "sensors/s", "version": 5, "count": 1 });
        site.client("again", "publish_paho.py", &site.edge, SENSOR, ask).finish(SOON);
        (site.history.ledger().acked("again") > 0).then_some(())
    };
    assert!(wait(EVENTUALLY, took_again).is_some(), "with space it takes publications again");

    site.hub.start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait("all that was taken arrives", EVENTUALLY, |ledger| ledger.delivered("board") > taken);
    let verdict = site.history.ledger().verdict("board");
    assert_eq!((verdict.lost, verdict.duplicated, verdict.reordered), (0, 0, 0), "{verdict:?}");
    site.edge.kill();
    drop(disk);
}
