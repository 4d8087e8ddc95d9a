//! The subscriber's own book: what publishers hold acknowledgements for, what came, and how often.
//!
//! Nobody's counter is asked. What was never acknowledged is nobody's loss, whether it came or not; what came twice came twice,
//! acknowledged or not: no publisher here sends anything again. What the server says is missing is counted beside what is lost.

use crate::corpus;
use anyhow::bail;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

/// How long nothing must come until nothing more is expected to, also when all is there: what is sent again is sent after somebody
/// came again, which takes some seconds.
const REST: Duration = Duration::from_secs(10);

/// One publication: whose, and the how manieth of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name {
    /// The device.
    pub device: u32,
    /// From 0 on.
    pub n: u64,
}

impl Name {
    /// Whatever that payload calls itself.
    pub fn of(payload: &[u8]) -> Option<Self> {
        Some(Self { device: corpus::device(payload)?, n: corpus::number(payload)? })
    }
}

/// What is known of one publication.
#[derive(Clone, Copy, Default, Debug)]
struct Line {
    acknowledged: bool,
    came: u32,
}

/// What was written down.
#[derive(Default, Debug)]
pub struct Book {
    devices: Vec<Vec<Line>>,
    acknowledged: u64,
    /// Acknowledged, and did not come yet.
    outstanding: u64,
    arrived: u64,
    again: u64,
    told_missing: u64,
    /// What the subscriber heard and does not know.
    fault: Option<String>,
    /// Of what was not there before: when the first came since [`Book::from_here`], and the last.
    first: Option<Instant>,
    last: Option<Instant>,
    /// When anything came at all.
    heard: Option<Instant>,
}

/// What it says in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Publications that were acknowledged.
    pub acknowledged: u64,
    /// Of those, the ones that never came.
    pub lost: u64,
    /// How often something came that had come before.
    pub again: u64,
    /// How many places of its log the server said are missing. Who does not say so has none.
    pub told_missing: u64,
    /// When the first new one came since what is asked about.
    pub first: Option<Instant>,
    /// When the last one did.
    pub last: Option<Instant>,
}

impl Book {
    /// An empty one that several write into.
    pub fn shared() -> watch::Sender<Self> {
        watch::Sender::default()
    }

    /// Its publisher holds the acknowledgement of this one.
    pub fn acknowledged(&mut self, name: Name) {
        let line = self.line(name);
        let is_first = !std::mem::replace(&mut line.acknowledged, true);
        let is_outstanding = is_first && line.came == 0;
        self.acknowledged += u64::from(is_first);
        self.outstanding += u64::from(is_outstanding);
    }

    /// The subscriber was given this one.
    pub fn came(&mut self, name: Name, now: Instant) {
        let line = self.line(name);
        line.came += 1;
        let (is_new, was_outstanding) = (line.came == 1, line.acknowledged);
        self.heard = Some(now);
        if is_new {
            self.arrived += 1;
            self.first.get_or_insert(now);
            self.last = Some(now);
            self.outstanding -= u64::from(was_outstanding);
        } else {
            self.again += 1;
        }
    }

    /// The server said that so many places of its log are missing. What was there stays outstanding: told is not delivered.
    pub fn told_missing(&mut self, count: u64, now: Instant) {
        self.told_missing = self.told_missing.saturating_add(count);
        self.heard = Some(now);
    }

    /// The subscriber heard what it does not know, so that nothing that this book says is to be believed.
    pub fn fail(&mut self, why: String) {
        self.fault.get_or_insert(why);
    }

    /// An error if the subscriber heard what it does not know.
    pub fn check(&self) -> anyhow::Result<()> {
        match &self.fault {
            Some(why) => bail!("the subscriber: {why}"),
            None => Ok(()),
        }
    }

    /// First and last are asked about from now on.
    pub fn from_here(&mut self) {
        (self.first, self.last) = (None, None);
    }

    /// How many are acknowledged.
    pub fn count_acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How many different ones came.
    pub fn count_arrived(&self) -> u64 {
        self.arrived
    }

    /// Whether everything that is acknowledged came.
    pub fn is_settled(&self) -> bool {
        self.outstanding == 0
    }

    /// When nothing more is to be expected, if nothing comes until then. It has been waited for since then.
    fn over(&self, since: Instant, patience: Duration) -> Instant {
        let heard = self.heard.map_or(since, |heard| heard.max(since));
        heard + if self.is_settled() { REST } else { patience }
    }

    /// What it says.
    pub fn verdict(&self) -> Verdict {
        Verdict {
            acknowledged: self.acknowledged,
            lost: self.outstanding,
            again: self.again,
            told_missing: self.told_missing,
            first: self.first,
            last: self.last,
        }
    }

    fn line(&mut self, Name { device, n }: Name) -> &mut Line {
        let (device, n) = (device as usize, n as usize);
        if self.devices.len() <= device {
            self.devices.resize_with(device + 1, Vec::new);
        }
        let lines = &mut self.devices[device];
        if lines.len() <= n {
            lines.resize(n + 1, Line::default());
        }
        &mut lines[n]
    }
}

/// Waits until everything acknowledged came and nothing comes any more, or nothing has come for `patience`. Whoever publishes
/// has ended. An error if the subscriber heard what it does not know.
pub async fn closed(book: &watch::Sender<Book>, patience: Duration) -> anyhow::Result<Verdict> {
    let since = Instant::now();
    let mut seen = book.subscribe();
    loop {
        book.borrow().check()?;
        let is_settled = book.borrow().is_settled();
        let over = book.borrow().over(since, patience);
        if over <= Instant::now() {
            return Ok(book.borrow().verdict());
        }
        if is_settled {
            sleep_until(over).await;
        } else {
            // It is looked again, whether it is settled or has been silent for so long.
            let _ = timeout_at(over, seen.wait_for(|book| book.is_settled() || book.check().is_err())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Name = Name { device: 3, n: 0 };
    const OTHER: Name = Name { device: 0, n: 7 };

    #[test]
    fn what_was_acknowledged_and_never_came_is_lost_and_nothing_else() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.acknowledged(ONE);
        book.acknowledged(OTHER);
        book.acknowledged(OTHER);
        book.came(ONE, now);
        assert!(!book.is_settled());
        book.came(Name { device: 9, n: 9 }, now);
        let verdict = book.verdict();
        assert_eq!((verdict.acknowledged, verdict.lost, verdict.again), (2, 1, 0));
        assert_eq!((book.count_acknowledged(), book.count_arrived()), (2, 2));
        book.came(OTHER, now);
        assert!(book.is_settled());
    }

    #[test]
    fn what_comes_before_its_acknowledgement_is_not_outstanding_after_it() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.came(ONE, now);
        book.acknowledged(ONE);
        assert_eq!(book.verdict().lost, 0);
        book.came(ONE, now);
        book.came(ONE, now);
        assert_eq!((book.verdict().again, book.verdict().lost), (2, 0));
    }

    #[test]
    fn first_and_last_are_those_since_it_was_asked() {
        let (mut book, began) = (Book::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        book.came(ONE, at(1));
        book.from_here();
        book.came(ONE, at(2));
        assert_eq!(book.verdict().first, None, "a repeat is no first one");
        book.came(OTHER, at(3));
        book.came(Name { device: 1, n: 1 }, at(4));
        book.came(OTHER, at(5));
        let verdict = book.verdict();
        assert_eq!((verdict.first, verdict.last), (Some(at(3)), Some(at(4))), "a last one is a new one");
    }

    #[test]
    fn what_the_server_says_is_missing_is_counted_and_lost_all_the_same() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.acknowledged(ONE);
        book.told_missing(3, now);
        book.told_missing(1, now);
        let verdict = book.verdict();
        assert_eq!((verdict.told_missing, verdict.lost), (4, 1));
        assert!(!book.is_settled());
    }

    #[tokio::test]
    async fn what_the_subscriber_does_not_know_ends_the_wait_with_its_words() {
        let book = Book::shared();
        book.send_modify(|book| book.acknowledged(ONE));
        let waiting = tokio::spawn({
            let book = book.clone();
            async move { closed(&book, Duration::from_secs(3600)).await }
        });
        tokio::task::yield_now().await;
        book.send_modify(|book| book.fail("the hub said wiped".into()));
        let said = tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it ends").unwrap();
        assert!(format!("{:#}", said.unwrap_err()).contains("the hub said wiped"));
    }

    #[test]
    fn silence_after_all_came_is_longer_than_a_reconnect() {
        let (mut book, since) = (Book::default(), Instant::now());
        book.acknowledged(ONE);
        book.came(ONE, since);
        let (over, nine) = (book.over(since, REST), since + Duration::from_secs(9));
        assert!(over > nine, "what comes again after nine seconds is counted");
        book.came(ONE, nine);
        assert_eq!((book.over(since, REST), book.verdict().again), (nine + REST, 1));
    }

    #[test]
    fn what_is_outstanding_is_waited_for_as_long_as_something_comes() {
        let patience = 5 * REST;
        let (mut book, since) = (Book::default(), Instant::now());
        assert_eq!(book.over(since, patience), since + REST, "nothing is outstanding");
        book.acknowledged(ONE);
        book.acknowledged(OTHER);
        assert_eq!(book.over(since, patience), since + patience);
        book.came(ONE, since + REST);
        assert_eq!(book.over(since, patience), since + REST + patience);
        book.came(OTHER, since + 2 * REST);
        assert_eq!(book.over(since, patience), since + 3 * REST);
    }

    #[test]
    fn payload_says_whose_it_is() {
        assert_eq!(Name::of(&corpus::payload(ONE.device, ONE.n)), Some(ONE));
        assert_eq!(Name::of(b"up"), None);
    }
}
