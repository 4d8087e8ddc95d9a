//! How often an MQTT session is taken over by another connection. Two clients with one client id throw each other out as fast
//! as they connect, each time with a will and records of the session: past a bound the newcomer is refused, and whoever has
//! the session keeps it.

use riser_model::Time;
use riser_mqtt::SessionKey;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// So often a session changes hands in [`TAKEOVERS_EVERY`].
pub const TAKEOVERS_MAX: u32 = 10;
/// See [`TAKEOVERS_MAX`].
pub const TAKEOVERS_EVERY: Duration = Duration::from_secs(10);

/// The takeovers of late, each forgotten after [`TAKEOVERS_EVERY`].
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    lately: VecDeque<(Time, SessionKey)>,
    of: BTreeMap<SessionKey, u32>,
}

impl Takeovers {
    /// One more of that session. False if there were too many lately: it is not to be.
    pub(super) fn may(&mut self, key: &SessionKey, now: Time) -> bool {
        self.forget(now);
        let of = self.of.entry(key.clone()).or_default();
        if *of >= TAKEOVERS_MAX {
            return false;
        }
        *of += 1;
        self.lately.push_back((now, key.clone()));
        true
    }

    fn forget(&mut self, now: Time) {
        while let Some((at, _)) = self.lately.front()
            && now.since(*at) >= TAKEOVERS_EVERY
        {
            let Some((_, key)) = self.lately.pop_front() else { return };
            if let Some(of) = self.of.get_mut(&key) {
                *of -= 1;
                if *of == 0 {
                    self.of.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::AccountId;

    #[test]
    fn a_session_changes_hands_so_often_and_others_are_nothing_to_it() {
        let mut takeovers = Takeovers::default();
        let [one, other] = ["one", "other"].map(|id| SessionKey::of_nobody(AccountId::NONE, id));
        let at = |seconds| Time(0).plus(Duration::from_secs(seconds));
        assert!((0..TAKEOVERS_MAX).all(|n| takeovers.may(&one, at(n.into()))));
        assert!(!takeovers.may(&one, at(9)) && takeovers.may(&other, at(9)));
        assert!(takeovers.may(&one, at(10)), "the first is forgotten");
        assert!(!takeovers.may(&one, at(10)));
        assert!(takeovers.may(&one, at(60)));
        assert_eq!((takeovers.lately.len(), takeovers.of.len()), (1, 1), "nothing stays");
    }
}
