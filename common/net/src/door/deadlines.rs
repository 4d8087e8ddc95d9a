//! A connection's deadlines: when each is, what comes of it, and the one timer that they share.

use super::{Connection, Phase, Turn, refusal};
use crate::pipe::Pipe;
use riser_model::{
    Time,
    door::{Code, Input, STALLED},
};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// Since when nothing came, how much had come until then, and whether an answer was asked for.
pub(super) struct Silence {
    since: Time,
    taken: u64,
    pinged: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deadline {
    /// The door's own.
    Door,
    /// For saying who is there.
    Enter,
    /// For taking what was written.
    Stall,
    /// For saying anything at all.
    Silence,
    /// For publishing more.
    Paced,
    /// For the open tickets, when the process ends.
    Stop,
    /// For the last words.
    Close,
}

impl<P: Pipe> Connection<P> {
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        loop {
            let now = (self.visitor.entrance.clock)().time;
            let next = self.next_deadline(now);
            if let Some((time, deadline)) = next
                && time <= now
            {
                return Poll::Ready(self.due(deadline));
            }
            ready!(self.timer.poll(cx, now, next.map(|(time, _)| time)));
        }
    }

    fn next_deadline(&mut self, now: Time) -> Option<(Time, Deadline)> {
        let stall = self.stall(now).map(|time| (time, Deadline::Stall));
        let silence = self.silence(now).map(|time| (time, Deadline::Silence));
        let (own, door) = match self.phase {
            Phase::Open if !self.asker.has_knocked() && !self.refused => {
                (Some((self.enter_by, Deadline::Enter)), self.door.poll_timeout())
            }
            Phase::Open => (None, self.door.poll_timeout()),
            Phase::Stopping(by) => (Some((by, Deadline::Stop)), self.door.poll_timeout()),
            Phase::Closing(by) => (Some((by, Deadline::Close)), None),
            Phase::Gone => (None, None),
        };
        let door = door.map(|time| (time, Deadline::Door));
        let paced = self.paced.map(|time| (time, Deadline::Paced));
        [stall, silence, paced, own, door].into_iter().flatten().min_by_key(|(time, _)| *time)
    }

    /// When a write that does not move has lasted too long. What TLS holds moves when all of it is taken: 64 KiB.
    fn stall(&mut self, now: Time) -> Option<Time> {
        let socket = self.pipe.socket();
        let written = socket.written();
        self.stalled = match self.stalled {
            _ if socket.is_drained() => None,
            Some((since, before)) if written == before => Some((since, before)),
            Some(_) | None => Some((now, written)),
        };
        self.stalled.map(|(since, _)| since.plus(self.visitor.entrance.limits.stall()))
    }

    /// When a peer that is silent is pinged, or was silent for too long. While nothing is read, nobody is silent.
    fn silence(&mut self, now: Time) -> Option<Time> {
        let limits = (self.visitor.entrance.limits.ping(), self.visitor.entrance.limits.pong());
        if !self.pipe.has_pings() || !self.asker.has_knocked() || !self.may_hear() {
            self.silence = None;
            return None;
        }
        let taken = self.pipe.socket().taken();
        let silence = self.silence.take().filter(|silence| silence.taken == taken);
        let silence = self.silence.insert(silence.unwrap_or(Silence { since: now, taken, pinged: false }));
        Some(silence.since.plus(if silence.pinged { limits.0 + limits.1 } else { limits.0 }))
    }

    fn ping(&mut self) -> Turn {
        let counters = &self.visitor.entrance.counters;
        match &mut self.silence {
            Some(silence) if silence.pinged => {
                counters.silent.one();
                Turn::Gone("silent")
            }
            Some(silence) => {
                silence.pinged = true;
                self.pipe.say_ping();
                Turn::Again
            }
            None => Turn::Again,
        }
    }

    fn due(&mut self, deadline: Deadline) -> Turn {
        let counters = &self.visitor.entrance.counters;
        match deadline {
            Deadline::Door => {
                if self.deaf.is_some() && self.phase == Phase::Open {
                    self.handle(Input::Unheard);
                }
                Turn::Input(Input::Deadline)
            }
            Deadline::Enter => {
                counters.first_frame_late.one();
                let ms = self.visitor.entrance.limits.first_frame_ms;
                Turn::Refused(refusal(
                    Code::Timeout,
                    "nothing that says who is there".into(),
                    format!("the first frame within {ms} ms"),
                ))
            }
            Deadline::Stall => {
                counters.stalled.one();
                Turn::Gone(STALLED)
            }
            Deadline::Silence => self.ping(),
            Deadline::Paced => {
                self.paced = None;
                Turn::Again
            }
            Deadline::Stop => Turn::Stop,
            Deadline::Close => Turn::Over,
        }
    }
}

/// One timer of tokio's, made when there is a deadline and moved only when the next one is earlier: most
/// deadlines move away from us with every packet.
#[derive(Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Time>,
}

impl Timer {
    /// Ready when the time may have come: look again.
    fn poll(&mut self, cx: &mut Context<'_>, now: Time, next: Option<Time>) -> Poll<()> {
        let Some(next) = next else { return Poll::Pending };
        let at = || Instant::now() + next.since(now).max(Duration::from_millis(1));
        match &mut self.sleep {
            Some(sleep) if self.armed.is_none_or(|armed| next < armed) => sleep.as_mut().reset(at()),
            Some(_) => {}
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(at()))),
        }
        self.armed = Some(self.armed.map_or(next, |armed| armed.min(next)));
        let sleep = self.sleep.as_mut().expect("it was made above");
        ready!(sleep.as_mut().poll(cx));
        self.armed = None;
        Poll::Ready(())
    }
}
