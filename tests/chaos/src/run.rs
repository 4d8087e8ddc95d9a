//! One run of a scenario: build, publish, let it happen, make whole, drain, judge.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use riser_integration::client::Client;
use riser_integration::ledger::{Account, Ledger};
use riser_integration::program::EVENTUALLY;
use riser_timeline::{Load, Scenario};

use crate::publisher;
use crate::reader;
use crate::site::{ACCOUNT, ROOM};
use crate::world::{BOARD, FLOWS_WITHIN, World};

/// The reader that comes last and reads everything once more.
const AUDITOR: &str = "auditor";

/// What came of a run.
pub struct Outcome {
    /// Which scenario.
    pub scenario: String,
    /// And with which draws.
    pub seed: u64,
    /// What became of what was accepted.
    pub account: Account,
    /// What happened, and how often.
    pub done: BTreeMap<&'static str, u64>,
    /// What must not be. None: the run is clean.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
    /// Where everything lies, if it was kept.
    pub kept: Option<PathBuf>,
}

impl Outcome {
    /// The one line that people read.
    pub fn line(&self) -> String {
        let Account { accepted, delivered, resent, duplicates, announced, silent, .. } = &self.account;
        let done: Vec<String> = self.done.iter().map(|(what, count)| format!("{what} {count}")).collect();
        let verdict = match (self.violations.is_empty(), silent) {
            (true, 0) => "clean",
            (true, _) => "lost, as it must be",
            (false, _) => "VIOLATION",
        };
        format!(
            "{:<16} seed {}: accepted {accepted}, delivered {delivered}, duplicates {duplicates} (sent again by \
             devices {resent}), announced lost {announced}, lost silently {silent}, {:.1} s; {}: {verdict}",
            self.scenario,
            self.seed,
            self.took.as_secs_f64(),
            done.join(", ")
        )
    }
}

/// Runs it. Everything that lies in its folder is kept if it went wrong, or if that is asked for.
pub fn run(scenario: &Scenario, seed: u64, keep: bool) -> anyhow::Result<Outcome> {
    let mut folder = tempfile::Builder::new().prefix("riser-chaos-").tempdir().context("make a folder")?;
    let began = Instant::now();
    let mut outcome = Outcome {
        scenario: scenario.name.clone(),
        seed,
        account: Account::default(),
        done: BTreeMap::new(),
        violations: vec![],
        took: Duration::ZERO,
        kept: None,
    };
    if let Err(error) = caught(|| play(scenario, folder.path(), &mut outcome)) {
        outcome.violations.push(format!("{error:#}"));
    }
    if scenario.expects_loss {
        outcome.violations = judge_expected_loss(&outcome);
    }
    outcome.took = began.elapsed();
    if keep || !outcome.violations.is_empty() {
        folder.disable_cleanup(true);
        outcome.kept = Some(folder.path().to_owned());
    }
    Ok(outcome)
}

/// Where something must be lost: that it is seen is what is shown.
fn judge_expected_loss(outcome: &Outcome) -> Vec<String> {
    match outcome.account.silent {
        0 => vec![format!("nothing was seen to be lost; {}", outcome.violations.join("; "))],
        _ => vec![],
    }
}

/// A program that does not start, or does not become ready, panics where it is waited for; it is a finding like
/// any other.
fn caught<T>(act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(anyhow!("{}", text.unwrap_or("a panic without a word")))
    })
}

fn play(scenario: &Scenario, folder: &Path, outcome: &mut Outcome) -> anyhow::Result<()> {
    let mut world = World::build(scenario, outcome.seed, folder)?;
    let _board = read(&world, BOARD)?;
    let publishers = publish(&world, &scenario.load)?;
    world.wait("flowing", FLOWS_WITHIN, |history| history.ledger().seen(BOARD) >= 10)?;
    let rest = caught(|| {
        world.play(&scenario.steps)?;
        settle(&mut world, scenario, publishers)
    });
    // What happened until then is told, even where a step could not be done.
    outcome.done.clone_from(&world.done);
    let ledger = world.history.ledger();
    outcome.account = ledger.account(BOARD);
    rest?;
    outcome.violations = violations(&ledger, scenario);
    drop(ledger);
    world.injected_faults_happened()?;
    Ok(())
}

/// Makes everything whole and waits until everything is where it belongs.
fn settle(world: &mut World, scenario: &Scenario, publishers: Vec<Client>) -> anyhow::Result<()> {
    world.make_whole()?;
    end(publishers);
    // One more from each edge: whatever it had before lies in the hub's log before that.
    let last: anyhow::Result<Vec<Client>> = world
        .site
        .edges
        .iter()
        .enumerate()
        .map(|(n, edge)| {
            let asked = asked(&scenario.load, edge.mqtt, &format!("edge{}-last", n + 1), Some(1));
            world.site.client(&asked.stream, edge, "publish", &asked, &world.history)
        })
        .collect();
    end(last?);
    world.wait("drained", scenario.drain, |history| history.ledger().account(BOARD).silent == 0)?;
    let _auditor = read(world, AUDITOR)?;
    world.wait("read once more", scenario.drain, |history| {
        let ledger = history.ledger();
        ledger.seen(AUDITOR) >= ledger.seen(BOARD) && ledger.account(AUDITOR).silent == 0
    })?;
    world.everybody_runs()
}

/// Everything in the history that must not be.
fn violations(ledger: &Ledger, scenario: &Scenario) -> Vec<String> {
    let mut found = vec![];
    for reader in [BOARD, AUDITOR] {
        let account = ledger.account(reader);
        found.extend(account.examples.iter().map(|example| format!("{reader}: {example}")));
        if !account.is_clean() {
            found.push(format!("{reader}: {account:?}"));
        }
        for (cause, count) in account.causes.iter().filter(|(cause, _)| !scenario.allowed.contains(cause)) {
            found.push(format!(
                "{reader} was told that {count} are gone ({cause}), which nothing here explains"
            ));
        }
        if ledger.has_mark(&reader::torn(reader)) {
            found.push(format!("{reader}: a push did not continue where the last one ended"));
        }
        if ledger.has_mark(&reader::stranger(reader)) {
            found.push(format!("{reader} was given something that nobody sent"));
        }
        if account.accepted == 0 || account.delivered == 0 {
            found.push(format!("{reader}: nothing was accepted and delivered, so nothing was shown"));
        }
    }
    found.extend(ledger.differences(BOARD, AUDITOR));
    found
}

fn read(world: &World, name: &str) -> anyhow::Result<Client> {
    let hub = &world.site.hub;
    let asked = reader::Asked {
        server: ([127, 0, 0, 1], hub.http).into(),
        account: ACCOUNT.to_owned(),
        room: ROOM.to_owned(),
        reader: name.to_owned(),
    };
    world.site.client(name, hub, "read", &asked, &world.history)
}

fn publish(world: &World, load: &Load) -> anyhow::Result<Vec<Client>> {
    let mut publishers = vec![];
    for (n, edge) in world.site.edges.iter().enumerate() {
        for stream in 1..=load.streams {
            let asked = asked(load, edge.mqtt, &format!("edge{}-s{stream}", n + 1), None);
            publishers.push(world.site.client(&asked.stream, edge, "publish", &asked, &world.history)?);
        }
    }
    Ok(publishers)
}

fn asked(load: &Load, port: u16, stream: &str, count: Option<u64>) -> publisher::Asked {
    publisher::Asked {
        server: ([127, 0, 0, 1], port).into(),
        stream: stream.to_owned(),
        room: ROOM.to_owned(),
        rate: load.rate,
        window: load.window,
        size: load.size,
        version: load.version,
        count,
    }
}

/// Lets publishers come to their end, all at once.
fn end(mut publishers: Vec<Client>) {
    publishers.iter_mut().for_each(Client::close_input);
    publishers.into_iter().for_each(|publisher| publisher.finish(EVENTUALLY));
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_integration::ledger::Line;

    fn scenario(allow: &str) -> Scenario {
        Scenario::parse("t", &format!("about x\n{allow}\nheal")).unwrap()
    }

    /// Both readers got these of five that were acknowledged.
    fn ledger(delivered: &[u64]) -> Ledger {
        let mut ledger = Ledger::default();
        for n in 1..=5 {
            ledger.enter(Line::Offered { stream: "s".into(), n, digest: n.to_string() });
            ledger.enter(Line::Acked { stream: "s".into(), n });
        }
        for reader in [BOARD, AUDITOR].map(str::to_owned) {
            for n in delivered.iter().copied() {
                let (reader, stream, digest) = (reader.clone(), "s".into(), n.to_string());
                ledger.enter(Line::Delivered { reader, stream, n, digest, pos: Some(n.to_string()) });
            }
        }
        ledger
    }

    #[test]
    fn clean_run_has_no_violation() {
        assert!(violations(&ledger(&[1, 2, 3, 4, 5]), &scenario("")).is_empty());
    }

    #[test]
    fn lost_doubled_reordered_or_nothing_at_all_is_a_violation() {
        for delivered in [&[1, 2, 4, 5][..], &[1, 2, 2, 3, 4, 5], &[1, 3, 2, 4, 5], &[]] {
            assert!(!violations(&ledger(delivered), &scenario("")).is_empty(), "{delivered:?}");
        }
        assert!(!violations(&Ledger::default(), &scenario("")).is_empty());
    }

    #[test]
    fn gap_is_a_violation_unless_its_cause_may_be_announced() {
        let mut ledger = ledger(&[1, 2, 3]);
        for reader in [BOARD, AUDITOR].map(str::to_owned) {
            ledger.enter(Line::Gap { reader, cause: "quota".into(), count: 2 });
        }
        assert!(violations(&ledger, &scenario("allow quota")).is_empty());
        assert!(!violations(&ledger, &scenario("allow damage")).is_empty());
    }

    #[test]
    fn torn_push_and_a_stranger_are_violations() {
        for mark in [reader::torn(BOARD), reader::stranger(AUDITOR)] {
            let mut ledger = ledger(&[1, 2, 3, 4, 5]);
            ledger.enter(Line::Mark { what: mark });
            assert_eq!(violations(&ledger, &scenario("")).len(), 1);
        }
    }
}
