//! `kill -9` of an edge that has a backlog, and of a hub in mid stream: what is lost of what publishers hold acknowledgements
//! for, what comes twice, and how late the rest is. The subscriber's own [`Book`] judges.
//!
//! The machine stays up: what a server has written is in the page cache, synced or not. A power loss would take more, from
//! whoever does not sync.

use crate::{
    book::{self, Book, Verdict},
    cable::{Cut, End},
    command::Bench,
    pair::{Pair, System},
    report::{Report, number},
    series::Claim,
    witness::{Means, Pace, Publishers, Subscriber},
};
use anyhow::Context;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

pub(super) const NAME: &str = "kill";
const EDGE: &str = "edge, with a backlog";
const HUB: &str = "hub, at 5,000 msg/s";
/// Riser's subscribers, by their means.
const DASHBOARD: &str = "riser";
const SESSION: &str = "riser, MQTT session";

const ACKNOWLEDGED: &str = "acknowledged to publishers";
const LOST: &str = "acknowledged and lost";
const TOLD: &str = "told as missing, in places of the log";
const AGAIN: &str = "sent once, delivered again";
const ACCEPTS: &str = "from start to accepting";
const FIRST: &str = "from accepting to the first new one (below 0: it came before accepting was seen)";
const LAST: &str = "from accepting to the last new one (below 0: it came before accepting was seen)";

/// Acknowledged before an edge is killed, while its link is cut.
const BACKLOG: u64 = 100_000;
/// Arrived before a hub is killed.
const STREAM: u64 = 10_000;
/// How long a hub is down, and how long publications go on once it is up.
const DOWN: Duration = Duration::from_secs(1);
/// Nothing more is expected after so many seconds without anything, while something is outstanding. Peers come again after many
/// seconds.
const PATIENCE: f64 = 60.0;
/// A stream that does not get so far is no stream.
const TOO_LONG: Duration = Duration::from_secs(60);

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for system in &bench.systems {
        for (means, subject) in Means::of(*system).iter().zip(subjects(*system)) {
            if *means == Means::of(*system)[0] {
                let found =
                    edge(*system, *means, bench).await.with_context(|| format!("{EDGE}: {subject}"))?;
                add(report, EDGE, subject, *means, &found);
            }
            let found = hub(*system, *means, bench).await.with_context(|| format!("{HUB}: {subject}"))?;
            add(report, HUB, subject, *means, &found);
        }
    }
    Ok(())
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    [
        (EDGE, DASHBOARD, LOST),
        (EDGE, DASHBOARD, AGAIN),
        (HUB, DASHBOARD, LOST),
        (HUB, DASHBOARD, AGAIN),
        // At QoS 1 something may come again: that is MQTT's own promise.
        (HUB, SESSION, LOST),
    ]
    .map(|(who, subject, figure)| {
        // One lost message of one round is a loss, and of few nothing much is claimed: the smallest round says of how many.
        let (_, most) = report.spread(NAME, &what(who, figure), subject);
        let (of, _) = report.spread(NAME, &what(who, ACKNOWLEDGED), subject);
        Claim::at_most(format!("kill: {subject}: {}, of {}", what(who, figure), number(of)), most, 0.0)
    })
    .into()
}

fn what(who: &str, figure: &str) -> String {
    format!("{who}: {figure}")
}

/// By the means that a subscriber has to go on.
fn subjects(system: System) -> [&'static str; 2] {
    [system.name(), if system == System::Riser { SESSION } else { "" }]
}

struct Found {
    verdict: Verdict,
    accepts: Duration,
    up: Instant,
}

fn add(report: &mut Report, who: &str, subject: &str, means: Means, Found { verdict, accepts, up }: &Found) {
    let mut count =
        |figure, count: u64| report.add(NAME, what(who, figure), subject, "messages", count as f64);
    count(ACKNOWLEDGED, verdict.acknowledged);
    count(LOST, verdict.lost);
    if means.tells_gaps() {
        count(TOLD, verdict.told_missing);
    }
    count(AGAIN, verdict.again);
    report.add(NAME, what(who, ACCEPTS), subject, "ms", accepts.as_secs_f64() * 1e3);
    for (figure, at) in [(FIRST, verdict.first), (LAST, verdict.last)] {
        // Of nothing that arrives there is no first.
        let Some(at) = at else { continue };
        report.add(NAME, what(who, figure), subject, "s", after(*up, at));
    }
}

/// Seconds; less than 0 if `at` was before `up`.
fn after(up: Instant, at: Instant) -> f64 {
    at.saturating_duration_since(up).as_secs_f64() - up.saturating_duration_since(at).as_secs_f64()
}

/// The link is cut, the edge acknowledges a backlog and is killed while more comes in; it starts, and the link is mended.
async fn edge(system: System, means: Means, bench: &Bench) -> anyhow::Result<Found> {
    let (folder, book) = (bench.folder()?, Book::shared());
    let (mut pair, cable) = Pair::on_a_cable(system, folder.path()).await?;
    pair.joined_up().await?;
    let _subscriber = Subscriber::start(&pair, means, &book).await?;
    cable.cut(Cut::Reset).await;
    let publishers = Publishers::start(&pair, Pace::Flood, &book).await?;
    let backlog = bench.count(BACKLOG);
    until(&book, |book| book.count_acknowledged() >= backlog).await.context("take in a backlog")?;
    pair.kill(End::Edge);
    publishers.end().await?;
    let accepts = pair.restart(End::Edge)?;
    book.send_modify(Book::from_here);
    cable.mend();
    let up = Instant::now();
    Ok(Found { verdict: book::closed(&book, bench.seconds(PATIENCE)).await?, accepts, up })
}

/// Publications go on at the edge while the hub is killed, is down, and starts.
async fn hub(system: System, means: Means, bench: &Bench) -> anyhow::Result<Found> {
    let (folder, book) = (bench.folder()?, Book::shared());
    let mut pair = Pair::start(system, folder.path())?;
    pair.joined_up().await?;
    let _subscriber = Subscriber::start(&pair, means, &book).await?;
    let publishers = Publishers::start(&pair, Pace::Steady, &book).await?;
    let stream = bench.count(STREAM);
    until(&book, |book| book.count_arrived() >= stream).await.context("see a stream")?;
    pair.kill(End::Hub);
    sleep(DOWN).await;
    book.send_modify(Book::from_here);
    let accepts = pair.restart(End::Hub)?;
    let up = Instant::now();
    sleep(DOWN).await;
    publishers.end().await?;
    Ok(Found { verdict: book::closed(&book, bench.seconds(PATIENCE)).await?, accepts, up })
}

async fn until(book: &watch::Sender<Book>, mut there: impl FnMut(&Book) -> bool) -> anyhow::Result<()> {
    let mut seen = book.subscribe();
    let seen = timeout(TOO_LONG, seen.wait_for(|book| there(book) || book.check().is_err())).await;
    seen.context("it takes too long")?.context("the book is gone")?.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_in_one_round_of_three_misses_its_claim_and_the_claim_says_of_how_many() {
        let mut report = Report::default();
        for (round, acknowledged) in [100_000.0, 90_000.0, 95_000.0].into_iter().enumerate() {
            for (who, subject) in [(EDGE, DASHBOARD), (HUB, DASHBOARD), (HUB, SESSION)] {
                let lost = if (who, subject, round) == (HUB, SESSION, 1) { 1.0 } else { 0.0 };
                let again = if (who, subject, round) == (EDGE, DASHBOARD, 2) { 3.0 } else { 0.0 };
                for (figure, value) in [(ACKNOWLEDGED, acknowledged), (LOST, lost), (AGAIN, again)] {
                    report.add(NAME, what(who, figure), subject, "messages", value);
                }
            }
        }
        let claims = claims(&report);
        assert!(claims.iter().all(|claim| claim.what.ends_with("of 90.0 k")), "{claims:?}");
        let missed: Vec<_> = claims
            .iter()
            .filter(|claim| !claim.holds())
            .map(|claim| (&*claim.what, claim.measured))
            .collect();
        let session = format!("kill: {SESSION}: {HUB}: {LOST}, of 90.0 k");
        let twice = format!("kill: {DASHBOARD}: {EDGE}: {AGAIN}, of 90.0 k");
        assert_eq!(missed, [(&*twice, 3.0), (&*session, 1.0)]);
    }

    #[test]
    fn nothing_that_was_not_measured_is_claimed_to_hold() {
        assert!(claims(&Report::default()).iter().all(|claim| !claim.holds()));
    }

    #[test]
    fn what_came_before_it_was_up_is_not_told_as_nothing() {
        let up = Instant::now() + DOWN;
        assert_eq!((after(up, up - DOWN), after(up, up), after(up, up + 2 * DOWN)), (-1.0, 0.0, 2.0));
    }
}
