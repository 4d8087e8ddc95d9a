//! Whether the process lives (`/livez`) and whether it takes work (`/readyz`).
//!
//! Live means that its core still answers: it beats, and a beat that stays away for [`STALL`] is death. Ready
//! means that its doors are open and its log commits. A hub that is away changes neither: an edge without its
//! hub is ready, because keeping what it cannot deliver is its work.

use riser_model::Time;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How often the core's owner calls [`Health::beat`] at least, so that idling is not taken for death.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);
/// After this long without a beat the process is not live.
pub const STALL: Duration = Duration::from_secs(30);

/// Where the process is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Its doors are not open yet.
    Starting,
    /// It takes work.
    Serving,
    /// It is finishing what it has begun.
    Stopping,
}

/// Shared between the core's owner and whoever answers the probes.
#[derive(Debug)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    beat: Option<Time>,
    log_failing: Option<String>,
}

/// The answer to a probe: an HTTP status and a line to go with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// 200 or 503.
    pub status: u16,
    /// `ok`, or what is not.
    pub line: String,
}

impl Probe {
    fn ok() -> Self {
        Self { status: 200, line: "ok\n".to_owned() }
    }

    fn not(reason: &str) -> Self {
        Self { status: 503, line: format!("{reason}\n") }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self { state: Mutex::new(State { phase: Phase::Starting, beat: None, log_failing: None }) }
    }
}

impl Health {
    /// The process has come so far.
    pub fn enter(&self, phase: Phase) {
        self.state().phase = phase;
    }

    /// The core answered just now.
    pub fn beat(&self, now: Time) {
        self.state().beat = Some(now);
    }

    /// The log cannot commit, and why; or it can again.
    pub fn log_failing(&self, reason: Option<String>) {
        self.state().log_failing = reason;
    }

    /// The answer to `/livez`.
    pub fn live(&self, now: Time) -> Probe {
        match self.state().beat {
            Some(beat) if now.since(beat) > STALL => {
                Probe::not(&format!("the core has not answered for {} s", now.since(beat).as_secs()))
            }
            Some(_) | None => Probe::ok(),
        }
    }

    /// The answer to `/readyz`.
    pub fn ready(&self, now: Time) -> Probe {
        let live = self.live(now);
        if live.status != 200 {
            return live;
        }
        let state = self.state();
        match (state.phase, &state.log_failing) {
            (Phase::Starting, _) => Probe::not("starting"),
            (Phase::Stopping, _) => Probe::not("stopping"),
            (Phase::Serving, Some(reason)) => Probe::not(&format!("the log cannot commit: {reason}")),
            (Phase::Serving, None) => Probe::ok(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment: a panic elsewhere leaves a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_serving_with_a_log_that_commits() {
        let (health, now) = (Health::default(), Time(0));
        assert_eq!((health.live(now).status, health.ready(now).status), (200, 503));
        health.enter(Phase::Serving);
        assert_eq!(health.ready(now), Probe { status: 200, line: "ok\n".to_owned() });
        health.log_failing(Some("no space left on device".to_owned()));
        assert_eq!(health.ready(now).line, "the log cannot commit: no space left on device\n");
        assert_eq!(health.live(now).status, 200, "a full disk is no reason to kill the process");
        health.log_failing(None);
        assert_eq!(health.ready(now).status, 200);
        health.enter(Phase::Stopping);
        assert_eq!((health.live(now).status, health.ready(now).status), (200, 503));
    }

    #[test]
    fn a_core_that_stops_answering_is_not_live() {
        let health = Health::default();
        health.enter(Phase::Serving);
        health.beat(Time(0));
        assert_eq!(health.live(Time(0).plus(STALL)).status, 200);
        let late = Time(0).plus(STALL + Duration::from_nanos(1));
        assert_eq!((health.live(late).status, health.ready(late).status), (503, 503));
        health.beat(late);
        assert_eq!(health.ready(late).status, 200);
    }
}
