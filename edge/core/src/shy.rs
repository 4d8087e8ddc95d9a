//! What an edge says to a hub that may be too old to know it. Such a hub closes the link over it. Then it is said later, and
//! later still: the way up has to go on.

use riser_model::Time;
use std::time::Duration;

/// Whoever closes the link so soon after it was said did so because of that.
const CLOSES_WITHIN: Duration = Duration::from_secs(10);
/// How long it is not said then, at first and at most.
const SHY: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3600)];

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Shy {
    unanswered: Option<Time>,
    shy: Duration,
}

impl Shy {
    /// When it may be said on a link that is up now.
    pub(crate) fn from(&self, now: Time) -> Time {
        now.plus(self.shy)
    }

    /// It was said.
    pub(crate) fn asked(&mut self, now: Time) {
        self.unanswered = Some(now);
    }

    /// It was answered.
    pub(crate) fn answered(&mut self) {
        *self = Self::default();
    }

    /// It is not known whether it was heard.
    pub(crate) fn forget(&mut self) {
        self.unanswered = None;
    }

    /// Whether an answer is waited for.
    pub(crate) fn waits(&self) -> bool {
        self.unanswered.is_some()
    }

    /// The link is down. For how long it is not said on the next one, if that is why.
    pub(crate) fn closed(&mut self, now: Time) -> Option<Duration> {
        self.unanswered.take().filter(|asked| now.since(*asked) < CLOSES_WITHIN)?;
        self.shy = (self.shy * 2).clamp(SHY[0], SHY[1]);
        Some(self.shy)
    }
}
