//! Tells admins what became of who signed in, behind the answer: nobody who signs in waits for the log, and nobody makes the
//! hub remember more of it than so much. What comes while that much waits is told to nobody, and counted; it is in the audit
//! log all the same.

use super::SignIns;
use riser_host::HostHandle;
use riser_hub_core::HubCore;
use riser_model::event::{Scope, SystemEvent};
use std::sync::{Arc, atomic::Ordering};
use tokio::sync::mpsc;

/// Sign-ins of which it is not told yet.
const WAITING_MAX: usize = 256;

type Said = Vec<(Scope, SystemEvent)>;

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
    /// Tells one after the other, until no door is left.
    pub async fn keep(mut self, core: HostHandle<HubCore>) {
        while let Some(said) = self.0.recv().await {
            let say = move |core: &mut HubCore, now| {
                said.into_iter().for_each(|(scope, event)| core.say(scope, event, now));
            };
            // A core that has ended has nobody to tell.
            let _ = core.ask(say).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_comes_while_too_much_waits_is_counted_and_nobody_waits_for_it() {
        let counts = Arc::new(SignIns::default());
        let (teller, mut waiting) = Teller::new(Arc::clone(&counts));
        let untold = || counts.untold.load(Ordering::Relaxed);
        (0..WAITING_MAX).for_each(|_| teller.tell(Vec::new()));
        assert_eq!(untold(), 0);
        (0..3).for_each(|_| teller.tell(Vec::new()));
        assert_eq!(untold(), 3);
        waiting.0.try_recv().unwrap();
        teller.tell(vec![(Scope::Instance, SystemEvent::ConfigurationRefused)]);
        assert_eq!(untold(), 3, "there is room again");
        let told = std::iter::from_fn(|| waiting.0.try_recv().ok()).last().unwrap();
        assert_eq!(told.len(), 1);
        assert!(counts.each().any(|(_, labels, count)| labels.contains("untold") && count == 3));
    }
}
