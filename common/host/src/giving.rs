//! Who is given what it reads, and when: what is live goes before what is past.
//!
//! A reader pulls, and what it pulls is of the past as long as the delivery before it was large. Whoever is not behind has
//! its turn first, and so has who begins: its pull comes once in many deliveries, and costs little. Two hundred who read the past
//! would else keep it waiting until each of them has had a part. What is past has its turn in each turn of the core's task
//! all the same, so nobody's reading stands still.
//!
//! Wording a large part takes a thread for as long as a slice of the processor, and what is live would wait for that at each of its
//! steps. So all threads but one word what is past at the same time (what somebody who begins gets at once goes besides). Where
//! several read the past while something is live, they rest for [`REST`] after each turn, and nothing more is begun from when a
//! batch goes to disk until [`SETTLES`] after it came from there, which [`REST_MAX`] bounds: two hundred readers then leave the
//! 99th percentile of a quiet client below twice its own. One who reads alone never rests, nor do many while nothing else happens.

use riser_model::{ConnectionId, Route, RouteNumber, Selected, Time};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long several readers of the past leave the processor to others after each turn, while something is live.
const REST: Duration = Duration::from_millis(3);
/// What was committed is with whom it is for within about this.
const SETTLES: Duration = Duration::from_micros(1500);
/// The past has a turn that often at least, however much is committed.
const REST_MAX: Duration = Duration::from_millis(4);
/// Something is live for so long after a batch went to disk, or came from there.
const LIVE: Duration = Duration::from_millis(100);

/// What a connection asks for when it pulls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pull {
    pub(crate) connection: ConnectionId,
    pub(crate) bytes: u32,
    pub(crate) stands: bool,
}

/// What somebody who reads is to be given.
#[derive(Debug)]
pub(crate) enum Giving {
    /// It pulls.
    Pull(Pull),
    /// What numbers mean in what was read next.
    Routes(Vec<(RouteNumber, Route)>),
    /// The log was read for it.
    Read { ticket: u64, found: Selected },
}

/// Who waits. See the module.
#[derive(Debug)]
pub(crate) struct Givings {
    live: VecDeque<Pull>,
    past: VecDeque<Giving>,
    /// How many large deliveries may be worded at once.
    turns: Arc<Semaphore>,
    /// For the next one.
    turn: Option<OwnedSemaphorePermit>,
    /// When a batch went to disk, or came from there.
    live_at: Option<Time>,
    /// The past was given something in this turn.
    has_given: bool,
    /// When it was last.
    given_at: Time,
    rests_until: Time,
}

impl Givings {
    /// On a runtime of so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            live: VecDeque::new(),
            past: VecDeque::new(),
            turns: Arc::new(Semaphore::new(threads.saturating_sub(1).max(1))),
            turn: None,
            live_at: None,
            has_given: false,
            given_at: Time::default(),
            rests_until: Time::default(),
        }
    }

    /// Somebody pulls, who is behind or not.
    pub(crate) fn pull(&mut self, pull: Pull, is_behind: bool) {
        if is_behind {
            self.past.push_back(Giving::Pull(pull));
        } else {
            self.live.push_back(pull);
        }
    }

    /// Something was read.
    pub(crate) fn read(&mut self, giving: Giving) {
        self.past.push_back(giving);
    }

    /// A batch goes to disk, or has come from there: what is in it is on its way.
    pub(crate) fn on_its_way(&mut self, now: Time) {
        self.live_at = Some(now);
        if self.past.len() > 1 {
            let until = now.plus(SETTLES).min(self.given_at.plus(REST_MAX));
            self.rests_until = self.rests_until.max(until);
        }
    }

    /// Who pulls next of those who are not behind.
    pub(crate) fn next_live(&mut self) -> Option<Pull> {
        self.live.pop_front()
    }

    /// What comes next of the past, if it may come by now.
    pub(crate) fn next_past(&mut self, now: Time) -> Option<Giving> {
        if self.past.is_empty() || now < self.rests_until {
            return None;
        }
        self.turn = self.turn.take().or_else(|| Arc::clone(&self.turns).try_acquire_owned().ok());
        self.turn.as_ref()?;
        (self.has_given, self.given_at) = (true, now);
        self.past.pop_front()
    }

    /// The permit that goes with what is large. None is waited for here: who has its turn first needs none.
    pub(crate) fn take_turn(&mut self) -> Option<OwnedSemaphorePermit> {
        self.turn.take().or_else(|| Arc::clone(&self.turns).try_acquire_owned().ok())
    }

    /// What was given in this turn is all. Whoever is left waits for the next, or rests.
    pub(crate) fn end(&mut self, now: Time) {
        self.turn = None;
        let has_given = std::mem::take(&mut self.has_given);
        let is_live = self.live_at.is_some_and(|at| now.since(at) < LIVE);
        if is_live && has_given && !self.past.is_empty() {
            self.rests_until = now.plus(REST);
        }
    }

    /// When those who rest go on, if somebody does.
    pub(crate) fn deadline(&self, now: Time) -> Option<Time> {
        (!self.past.is_empty() && now < self.rests_until).then_some(self.rests_until)
    }

    /// Until something may be given: at once, or when a permit is free, which is kept for it. Does not end while nobody
    /// waits, or all rest. Dropped and begun anew it loses nothing.
    pub(crate) fn due(&self, now: Time) -> impl Future<Output = Option<OwnedSemaphorePermit>> + use<> {
        let (is_live, is_past) = (!self.live.is_empty(), !self.past.is_empty() && now >= self.rests_until);
        let turns = Arc::clone(&self.turns);
        async move {
            match (is_live, is_past) {
                (true, _) => None,
                (false, true) => turns.acquire_owned().await.ok(),
                (false, false) => std::future::pending().await,
            }
        }
    }

    /// That permit.
    pub(crate) fn begin(&mut self, turn: Option<OwnedSemaphorePermit>) {
        self.turn = turn.or(self.turn.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_000_000_000);

    fn pull(n: u64) -> Pull {
        Pull { connection: ConnectionId(n), bytes: 1000, stands: false }
    }

    fn past(givings: &mut Givings, now: Time) -> Option<u64> {
        givings.next_past(now).map(|giving| match giving {
            Giving::Pull(pull) => pull.connection.0,
            Giving::Routes(_) | Giving::Read { .. } => panic!("nothing was read"),
        })
    }

    fn after(time: Time, micros: u64) -> Time {
        time.plus(Duration::from_micros(micros))
    }

    #[test]
    fn who_is_not_behind_goes_before_those_who_read_the_past_and_does_not_keep_them_from_it() {
        let mut givings = Givings::new(2);
        (0..3).for_each(|n| givings.pull(pull(n), true));
        givings.pull(pull(3), false);
        assert_eq!(givings.next_live(), Some(pull(3)));
        assert!(givings.take_turn().is_some(), "a permit that is free goes with what is large there too");
        givings.pull(pull(4), false);
        assert_eq!(past(&mut givings, START), Some(0), "in the same turn, whoever else has come");
        assert_eq!(past(&mut givings, START), Some(1), "as long as nothing large was given");
    }

    #[test]
    fn all_threads_but_one_word_what_is_large() {
        for (threads, at_once) in [(1, 1), (2, 1), (4, 3)] {
            let mut givings = Givings::new(threads);
            (0..8).for_each(|n| givings.pull(pull(n), true));
            let mut words = Vec::new();
            while past(&mut givings, START).is_some() {
                words.extend(givings.take_turn());
            }
            assert_eq!(words.len(), at_once, "of {threads} threads");
            words.pop();
            givings.end(START);
            assert!(past(&mut givings, START).is_some(), "one is through");
        }
    }

    #[test]
    fn those_who_read_the_past_rest_after_each_turn_while_something_is_live_and_others_wait() {
        let mut givings = Givings::new(2);
        (0..3).for_each(|n| givings.pull(pull(n), true));
        givings.live_at = Some(START);
        assert_eq!(past(&mut givings, START), Some(0));
        givings.end(START);
        assert_eq!(past(&mut givings, after(START, 50)), None);
        let goes_on = after(START, 3000);
        assert_eq!(givings.deadline(after(START, 50)), Some(goes_on));
        assert_eq!(givings.deadline(goes_on), None);
        assert_eq!(past(&mut givings, goes_on), Some(1));
        givings.end(goes_on);
        let goes_on = after(goes_on, 3000);
        assert_eq!(past(&mut givings, goes_on), Some(2));
        givings.end(goes_on);
        assert_eq!(givings.deadline(goes_on), None, "nobody waits");
        givings.pull(pull(3), true);
        assert_eq!(past(&mut givings, goes_on), Some(3), "who reads alone does not rest");
    }

    #[test]
    fn what_is_on_its_way_goes_before_several_who_read_the_past_and_does_not_keep_them_from_it() {
        let mut givings = Givings::new(2);
        (0..9).for_each(|n| givings.pull(pull(n), true));
        assert_eq!(past(&mut givings, START), Some(0));
        givings.end(START);
        let goes = after(START, 1000);
        givings.on_its_way(goes);
        assert_eq!(givings.deadline(goes), Some(after(goes, 1500)));
        givings.on_its_way(after(goes, 400));
        assert_eq!(past(&mut givings, after(goes, 1899)), None, "it settles");
        assert_eq!(past(&mut givings, after(goes, 1900)), Some(1));
        givings.end(after(goes, 1900));
        let began = after(goes, 1900);
        (1..40).for_each(|n| givings.on_its_way(after(began, n * 100)));
        assert_eq!(
            givings.deadline(after(began, 3900)),
            Some(after(began, 4000)),
            "however much is committed"
        );
        assert_eq!(past(&mut givings, after(began, 4000)), Some(2));

        let mut alone = Givings::new(2);
        alone.pull(pull(0), true);
        alone.on_its_way(START);
        assert_eq!(past(&mut alone, START), Some(0), "nobody else waits");
    }

    #[test]
    fn nobody_rests_while_nothing_is_committed() {
        let mut givings = Givings::new(2);
        (0..9).for_each(|n| givings.pull(pull(n), true));
        givings.live_at = Some(START);
        for n in 0..8 {
            let now = after(START, 100_000 + n * 1000);
            assert_eq!(past(&mut givings, now), Some(n));
            givings.end(now);
        }
    }

    #[tokio::test]
    async fn what_is_due_waits_for_a_permit_and_a_live_reader_for_none() {
        let mut givings = Givings::new(2);
        givings.pull(pull(0), true);
        assert!(past(&mut givings, START).is_some());
        let worded = givings.take_turn();
        givings.pull(pull(1), true);
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, givings.due(START)).await.is_err(), "one is worded");
        givings.pull(pull(2), false);
        assert!(givings.due(START).await.is_none());
        assert_eq!(givings.next_live(), Some(pull(2)));
        drop(worded);
        let turn = givings.due(START).await;
        assert!(turn.is_some());
        givings.begin(turn);
        assert_eq!(past(&mut givings, START), Some(1));
    }
}
