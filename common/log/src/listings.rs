//! What segments hold, of the few that were asked for last.

use crate::{footer::Footer, segment::Identity};
use std::{collections::VecDeque, sync::Arc};

/// How many are kept: a replay goes through one segment after the other, and a few replays go on side by side.
const KEPT: usize = 8;
/// The most channels that all kept ones list together; one is always kept.
const CHANNELS_MAX: usize = 65_536;

/// The listings of the segments that were asked for last.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    kept: VecDeque<(Identity, Arc<Footer>)>,
}

impl Listings {
    pub fn get(&self, of: Identity) -> Option<Arc<Footer>> {
        self.kept.iter().find(|(identity, _)| *identity == of).map(|(_, footer)| footer.clone())
    }

    pub fn keep(&mut self, of: Identity, footer: Arc<Footer>) {
        self.kept.push_back((of, footer));
        let listed = |kept: &VecDeque<(Identity, Arc<Footer>)>| -> usize {
            kept.iter().map(|(_, footer)| footer.channels.len()).sum()
        };
        while self.kept.len() > KEPT || (self.kept.len() > 1 && listed(&self.kept) > CHANNELS_MAX) {
            self.kept.pop_front();
        }
    }
}
