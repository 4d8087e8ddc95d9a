//! What the system asks of the process: stop in good order, or read the configuration again.

use std::io;
use tokio::signal::unix::{self, SignalKind};

/// What was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM or SIGINT: finish what was begun, say where it stopped, exit.
    Stop,
    /// SIGHUP: look at the configuration again.
    Reload,
}

/// The signals of this process from now on.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    /// Takes them over from their defaults, which would end the process.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hang_up: unix::signal(SignalKind::hangup())?,
        })
    }

    /// The next one. May be dropped and called again without losing one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal as Number, getpid, kill_process};
    use std::time::Duration;

    #[tokio::test]
    async fn each_signal_means_what_it_says() {
        let mut signals = Signals::new().unwrap();
        for (number, meaning) in
            [(Number::TERM, Signal::Stop), (Number::HUP, Signal::Reload), (Number::INT, Signal::Stop)]
        {
            kill_process(getpid(), number).unwrap();
            let signal = tokio::time::timeout(Duration::from_secs(5), signals.next()).await;
            assert_eq!(signal.expect("a signal that was sent arrives"), meaning);
        }
    }
}
