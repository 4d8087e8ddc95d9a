//! One short scenario, whole: real programs, a real run, a real verdict.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

#[test]
fn killed_sides_lose_and_repeat_nothing_and_the_run_says_so() {
    // The runner takes the programs that lie beside it.
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("riser-chaos");
    fs::copy(env!("CARGO_BIN_EXE_riser-chaos"), &own).unwrap();
    symlink(env!("CARGO_BIN_EXE_chaos-hub"), folder.path().join("riser-hub")).unwrap();
    symlink(env!("CARGO_BIN_EXE_chaos-edge"), folder.path().join("riser-edge")).unwrap();

    let mut run = Command::new(own);
    run.args(["--as-built", "run", "short", "--seed", "1"]).stdin(Stdio::null());
    let output = run.output().expect("the runner was built for this test");
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("cannot run here") && std::env::var_os("CI").is_none() {
        eprintln!("skipped: {said}");
        return;
    }
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("clean") && said.contains("kills 2"), "{said}");
    assert!(said.contains("lost silently 0"), "{said}");
}

#[test]
fn timeline_that_makes_no_sense_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.timeline");
    fs::write(&path, "about x\nkill edge7\n").unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_riser-chaos"));
    let output = run.args(["--as-built", "run"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("edge7"), "{said}");
}
