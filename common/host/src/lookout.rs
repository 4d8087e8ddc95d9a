//! Looks at a running core: again and again, and whenever somebody asks for its numbers.
//!
//! What a scrape shows is the core as it is at that moment, not as it was at the last round.

use crate::host::HostHandle;
use futures_util::FutureExt;
use riser_instance::Core;
use riser_model::{Now, Time};
use riser_net::Operations;
use riser_shell::{
    Clock, Health, Metrics,
    clock::StepWatch,
    health::{BEAT_EVERY, Probe},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::timeout};

/// The core is looked at this often at least, for whoever shows it, for health and for the clock.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A core that does not answer a scrape within this is shown as it was.
const SCRAPE_WITHIN: Duration = Duration::from_secs(2);
const _: () = assert!(LOOK_EVERY.as_nanos() < BEAT_EVERY.as_nanos());

type Seen<L> = Box<dyn FnMut(L) + Send>;

/// One per running core. `L` is what a look brings.
pub struct Lookout<C, L> {
    handle: HostHandle<C>,
    take: fn(&C, Now) -> L,
    /// Locked from the question to the end of the answer, so that looks are shown in the order they were taken.
    seen: Mutex<Seen<L>>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl<C: Core, L: Send + 'static> Lookout<C, L> {
    /// `take` looks at the core, `seen` shows it: in metrics, on pages.
    pub fn new(
        handle: HostHandle<C>,
        take: fn(&C, Now) -> L,
        seen: impl FnMut(L) + Send + 'static,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Self {
        Self { handle, take, seen: Mutex::new(Box::new(seen)), metrics, health }
    }

    /// Looks once. None when the core's host has ended.
    async fn look(&self) -> Option<Time> {
        let mut seen = self.seen.lock().await;
        let take = self.take;
        let (look, at) = self.handle.ask(move |core, now| (take(core, now), now.time)).await?;
        seen(look);
        self.health.beat(at);
        Some(at)
    }

    /// Looks until the host ends. `stepped` hears by how many milliseconds somebody stepped the wall clock.
    pub async fn keep(self: Arc<Self>, mut stepped: impl AsyncFnMut(i64)) {
        let mut steps = StepWatch::new(Clock.now());
        let mut every = tokio::time::interval(LOOK_EVERY);
        loop {
            every.tick().await;
            if self.look().await.is_none() {
                return;
            }
            if let Some(by_ms) = steps.look(Clock.now()) {
                self.metrics.clock_steps.inc();
                tracing::warn!(by_ms, "the wall clock was stepped");
                stepped(by_ms).await;
            }
        }
    }

    /// What an operations listener serves of it.
    pub fn operations(self: &Arc<Self>) -> Operations {
        let (scraped, live, ready) = (Arc::clone(self), Arc::clone(&self.health), Arc::clone(&self.health));
        Operations {
            metrics: Arc::new(move || {
                let lookout = Arc::clone(&scraped);
                async move {
                    // Ended or stuck: the numbers as they were last are better than none.
                    let _ = timeout(SCRAPE_WITHIN, lookout.look()).await;
                    lookout.metrics.encode()
                }
                .boxed()
            }),
            live: Arc::new(move || answer(live.live(Clock.now().time))),
            ready: Arc::new(move || answer(ready.ready(Clock.now().time))),
            status: None,
        }
    }
}

fn answer(probe: Probe) -> Result<(), String> {
    if probe.status == 200 { Ok(()) } else { Err(probe.line.trim_end().to_owned()) }
}
