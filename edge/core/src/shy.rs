//! What an edge says to a hub that may be too old to know it. Such a hub closes the link over it. Then it is said later, and
//! later still: the way up has to go on.
//!
//! A link that is cut is no reason for that. One that ends over it again and again is, whatever was heard.

use riser_model::Time;
use std::time::Duration;

/// Whoever closes the link so soon after it was said did so because of that.
const CLOSES_WITHIN: Duration = Duration::from_secs(10);
/// So many links in a row that end so soon, and the hub is taken for one that does not know it.
const ENDS_MAX: u8 = 3;
/// How long it is not said then, at first and at most.
const SHY: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3600)];

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Shy {
    unanswered: Option<Time>,
    /// How many links in a row ended soon after it was said, and before it was answered.
    ends: u8,
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

    /// Whether an answer is waited for.
    pub(crate) fn waits(&self) -> bool {
        self.unanswered.is_some()
    }

    /// The link is down; the hub may have said that it did not understand. For how long it is not said on the next one, if it
    /// was closed over it.
    pub(crate) fn closed(&mut self, not_understood: bool, now: Time) -> Option<Duration> {
        self.unanswered.take().filter(|asked| now.since(*asked) < CLOSES_WITHIN)?;
        self.ends = self.ends.saturating_add(1);
        if !not_understood && self.ends < ENDS_MAX {
            return None;
        }
        self.shy = (self.shy * 2).clamp(SHY[0], SHY[1]);
        Some(self.shy)
    }
}
