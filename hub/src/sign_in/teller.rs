//! Tells admins what became of who signed in, behind the answer: nobody who signs in waits for the log, and nobody makes the
//! hub remember more of it than so much. What comes while that much waits is told to nobody, and counted; it is in the audit
//! log all the same.
//!
//! It is told at each turn of a clock, not after each answer: a commit takes the disk and a processor for about a millisecond,
//! and only of somebody who is known there is anything to commit. Whoever asks again at once would feel which it was. Who hears
//! what is found then too.

use super::SignIns;
use crate::api::Told;
use riser_host::HostHandle;
use riser_hub_core::HubCore;
use riser_model::{
    ConnectionId,
    event::{Scope, SystemEvent},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

/// Sign-ins of which it is not told yet.
const WAITING_MAX: usize = 1024;

/// What became of people is told this often.
const EVERY: Duration = Duration::from_secs(1);

/// What became of some of them, and who hears it.
pub type Events = Vec<(Scope, SystemEvent)>;

/// What was said at a gate of whoever signs in there.
pub(super) struct Said {
    pub(super) connection: ConnectionId,
    pub(super) told: Vec<Told>,
}

impl Said {
    /// For admins of whoever it is; of nobody none.
    fn events(self) -> Events {
        self.told.iter().filter_map(|told| told.event(self.connection)).collect()
    }
}

/// See the module.
#[derive(Clone)]
pub struct Teller {
    waiting: mpsc::Sender<Said>,
    counts: Arc<SignIns>,
}

/// What waits to be told.
pub struct Waiting(mpsc::Receiver<Said>);

impl Teller {
    /// One for all doors; what it is told goes to whoever [keeps](Waiting::keep) the other end.
    pub fn new(counts: Arc<SignIns>) -> (Self, Waiting) {
        let (waiting, receiver) = mpsc::channel(WAITING_MAX);
        (Self { waiting, counts }, Waiting(receiver))
    }

    /// Tells it, or counts that it is not told. Who is nobody's business takes a place all the same: whoever asked hears no
    /// sooner for that.
    pub(super) fn tell(&self, said: Said) {
        if self.waiting.try_send(said).is_err() {
            self.counts.untold.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Waiting {
    /// Has this say what has come, at each turn, until no door is left or the hub stops: then once more, at once.
    pub async fn keep(mut self, say: impl AsyncFn(Events), mut stops: oneshot::Receiver<()>) {
        let mut turns = turns();
        loop {
            tokio::select! {
                said = self.next(&mut turns) => match said {
                    Some(said) => say(said).await,
                    None => return,
                },
                _ = &mut stops => break,
            }
        }
        let left = self.come();
        if !left.is_empty() {
            say(left).await;
        }
    }

    /// What has come since.
    fn come(&mut self) -> Events {
        std::iter::from_fn(|| self.0.try_recv().ok()).flat_map(Said::events).collect()
    }

    /// What has come by the next turn at which there is anything to tell; none when no door is left.
    async fn next(&mut self, turns: &mut Interval) -> Option<Events> {
        loop {
            turns.tick().await;
            let is_last = self.0.is_closed();
            let said = self.come();
            if !said.is_empty() {
                return Some(said);
            }
            if is_last {
                return None;
            }
        }
    }
}

fn turns() -> Interval {
    let mut turns = interval_at(Instant::now() + EVERY, EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    turns
}

/// Says it where everybody hears it.
pub async fn say(core: &HostHandle<HubCore>, said: Events) {
    let say = move |core: &mut HubCore, now| {
        said.into_iter().for_each(|(scope, event)| core.say(scope, event, now));
    };
    // A core that has ended has nobody to tell.
    let _ = core.ask(say).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use riser_gate::acceptor::Kind;
    use riser_model::{AccountId, ClientId, Grants, Principal, event::GateStep};
    use uuid::Uuid;

    /// Of somebody who is known, or of nobody.
    fn said(is_known: bool) -> Said {
        let principal = Principal {
            account: AccountId(Uuid::from_u128(1)),
            account_name: "acme".parse().unwrap(),
            client: ClientId(Uuid::from_u128(2)),
            name: "ann".parse().unwrap(),
            grants: Arc::new(Grants::new(Vec::new())),
            home: None,
        };
        let who = is_known.then(|| Arc::new(principal));
        let told = Told { acceptor: Kind::Password, step: GateStep::Refused, why: "a wrong password", who };
        Said { connection: ConnectionId(1), told: vec![told] }
    }

    #[test]
    fn what_comes_while_too_much_waits_is_counted_and_nobody_waits_for_it() {
        let counts = Arc::new(SignIns::default());
        let (teller, mut waiting) = Teller::new(Arc::clone(&counts));
        let untold = || counts.untold.load(Ordering::Relaxed);
        (0..WAITING_MAX).for_each(|_| teller.tell(said(false)));
        assert_eq!(untold(), 0);
        (0..3).for_each(|_| teller.tell(said(false)));
        assert_eq!(untold(), 3);
        waiting.0.try_recv().unwrap();
        teller.tell(said(true));
        assert_eq!(untold(), 3, "there is room again");
        assert_eq!(waiting.come().len(), 1, "of nobody nothing is told");
        assert!(counts.each().any(|(_, labels, count)| labels.contains("untold") && count == 3));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_told_at_the_turns_of_a_clock_whenever_it_came() {
        let (teller, mut waiting) = Teller::new(Arc::default());
        let (began, mut turns) = (Instant::now(), turns());
        for after in [300, 900, 999] {
            tokio::time::sleep_until(began + Duration::from_millis(after)).await;
            teller.tell(said(after != 900));
        }
        assert_eq!(waiting.next(&mut turns).await.unwrap().len(), 2);
        assert_eq!(began.elapsed(), EVERY, "no sooner for having come early");
        teller.tell(said(false));
        tokio::time::sleep(EVERY * 3).await;
        teller.tell(said(true));
        drop(teller);
        assert_eq!(waiting.next(&mut turns).await.unwrap().len(), 1);
        assert!(waiting.next(&mut turns).await.is_none(), "no door is left");
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_since_the_last_turn_is_told_when_the_hub_stops_and_what_comes_later_is_counted() {
        let counts = Arc::new(SignIns::default());
        let (teller, waiting) = Teller::new(Arc::clone(&counts));
        let (stop, stops) = oneshot::channel();
        let (sender, mut told) = mpsc::unbounded_channel();
        let kept = tokio::spawn(waiting.keep(async move |said| sender.send(said).unwrap(), stops));
        let began = Instant::now();
        for _ in 0..3 {
            teller.tell(said(true));
        }
        stop.send(()).unwrap();
        kept.await.unwrap();
        assert_eq!(told.recv().await.unwrap().len(), 3);
        assert!(began.elapsed() < EVERY, "nobody waits for the turn");
        teller.tell(said(false));
        assert_eq!(counts.untold.load(Ordering::Relaxed), 1);
    }
}
