//! What the check of rights adds to a fan-out, in instructions: those of the pure core, counted by valgrind, which is slow
//! and always counts the same.

use crate::{
    child::{CORE_FAN, own},
    command::Bench,
    core_fan::{LISTENERS, Rights},
    report::Report,
    series::Claim,
};
use anyhow::{Context, ensure};
use std::process::Command;

pub(super) const NAME: &str = "rights";
const WHAT: &str = "instructions of the core and its doors per delivery of a fan-out to 100";
/// Messages of the shorter and the longer of two runs: what both do, to start, is taken away.
const MESSAGES: (u64, u64) = (100, 600);

pub(super) fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
            return Err(error).context("run valgrind");
        }
        report.missing.push(format!("valgrind: {error}: the instructions of a fan-out"));
        return Ok(());
    }
    let (short, long) = (MESSAGES.0, bench.count(MESSAGES.1 - MESSAGES.0) + MESSAGES.0);
    for rights in [Rights::All, Rights::Rules] {
        let more = instructions(rights, long)?.saturating_sub(instructions(rights, short)?);
        let deliveries = (long - short) * LISTENERS;
        report.add(NAME, WHAT, subject(rights), "instructions", more as f64 / deliveries as f64);
    }
    Ok(())
}

fn subject(rights: Rights) -> &'static str {
    match rights {
        Rights::All => "everything allowed",
        Rights::Rules => "a dozen rules",
    }
}

/// What a run takes, from start to end.
fn instructions(rights: Rights, messages: u64) -> anyhow::Result<u64> {
    let fan = own(CORE_FAN)?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(fan.get_program()).args(fan.get_args()).arg(rights.name()).arg(messages.to_string());
    let output = command.output().context("run valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the fan-out failed under valgrind: {said}");
    let counted = said.lines().find_map(|line| line.split_once("Collected :"));
    let (_, counted) = counted.with_context(|| format!("valgrind counted nothing: {said}"))?;
    counted.trim().parse().with_context(|| format!("valgrind counted {counted:?}"))
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    let of = |rights| report.median(NAME, WHAT, subject(rights));
    let ratio = of(Rights::Rules) / of(Rights::All);
    vec![Claim::at_most(
        "rights: instructions of a fan-out, of one in which everything is allowed",
        ratio,
        1.05,
    )]
}
