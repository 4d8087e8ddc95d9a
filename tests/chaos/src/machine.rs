//! What a scenario needs of the machine. What is missing is named; a scenario that cannot run has not passed.

use std::fs;
use std::process::{Command, Stdio};

use riser_integration::needs::{Need, missing};
use riser_timeline::{Network, Scenario, Step};

use crate::clock;
use crate::mangler;

/// Why it cannot run here, if it cannot.
pub fn lacks(scenario: &Scenario) -> Option<String> {
    let mut needs = vec![Need::Program("curl")];
    if scenario.network != Network::Here {
        needs.extend([Need::Namespaces, Need::Program("nft")]);
    }
    if !scenario.disks.is_empty() {
        needs.extend([Need::Mounts, Need::Program("mkfs.xfs"), Need::Program("xfs_io")]);
    }
    let traces = scenario.has(&|step| matches!(step, Step::Start(_, Some(_))));
    if traces {
        needs.push(Need::Program("strace"));
    }
    let named =
        needs.into_iter().find_map(missing).map(|(what, remedy)| format!("{what} is missing; {remedy}"));
    named
        .or_else(|| (!scenario.disks.is_empty()).then(file_system).flatten())
        .or_else(|| (scenario.network == Network::Tun).then(tun).flatten())
        .or_else(|| (!scenario.clocks.is_empty()).then(faked_time).flatten())
        .or_else(|| traces.then(tracing).flatten())
}

fn file_system() -> Option<String> {
    // Where it is a module that nobody has used yet.
    let _ = Command::new("modprobe").args(["--quiet", "xfs"]).stderr(Stdio::null()).status();
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !known.lines().any(|line| line.trim() == "xfs") {
        return Some("the kernel has no XFS".to_owned());
    }
    let has_loops = fs::exists("/dev/loop-control").unwrap_or(false);
    (!has_loops).then(|| "the kernel has no loop devices".to_owned())
}

fn tun() -> Option<String> {
    mangler::is_possible().err().map(|error| format!("{error:#}"))
}

fn faked_time() -> Option<String> {
    if clock::library().is_none() {
        return Some("libfaketime is missing; run tests/install-tools".to_owned());
    }
    match clock::jumps() {
        Ok(true) => None,
        Ok(false) => Some("libfaketime moves no clock here".to_owned()),
        Err(error) => Some(format!("{error:#}")),
    }
}

fn tracing() -> Option<String> {
    let status =
        Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let works = status.is_ok_and(|status| status.success());
    (!works).then(|| "strace may not trace here".to_owned())
}
