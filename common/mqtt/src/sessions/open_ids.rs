//! How many QoS 2 ids are received and not released, of all sessions: they ride in every checkpoint.
//!
//! One session has at most as many as there are packet ids. A client that never says PUBREL fills its own share, and then
//! hears of it; what the log holds already is folded whatever the number.

use crate::record::SessionKey;
use riser_model::{
    AccountId, ClientId,
    door::{Code, Refusal},
};
use std::collections::{BTreeMap, btree_map::Entry};

/// The most of one instance: three bytes each in a checkpoint.
pub const OPEN_IDS_MAX: usize = 262_144;
/// The most of one client's sessions: one participant's credentials never take all the room.
const PER_CLIENT_MAX: usize = OPEN_IDS_MAX / 4 * 3;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct OpenIds {
    all: usize,
    by_client: BTreeMap<(AccountId, ClientId), usize>,
}

impl OpenIds {
    pub(super) fn add(&mut self, of: &SessionKey, count: usize) {
        if count > 0 {
            self.all += count;
            *self.by_client.entry((of.account, of.client)).or_default() += count;
        }
    }

    pub(super) fn take(&mut self, of: &SessionKey, count: usize) {
        self.all = self.all.saturating_sub(count);
        if let Entry::Occupied(mut own) = self.by_client.entry((of.account, of.client)) {
            *own.get_mut() = own.get().saturating_sub(count);
            if *own.get() == 0 {
                own.remove();
            }
        }
    }

    /// Why that client opens no more.
    pub(super) fn check(&self, of: &SessionKey) -> Result<(), Refusal> {
        let own = self.by_client.get(&(of.account, of.client)).copied().unwrap_or_default();
        for (open, most, whose) in
            [(self.all, OPEN_IDS_MAX, "this instance"), (own, PER_CLIENT_MAX, "one client")]
        {
            if open >= most {
                return Err(Refusal {
                    code: Code::TooMany,
                    what: format!("as many QoS 2 publications of {whose} wait for PUBREL as may"),
                    want: format!("PUBREL for those that had PUBREC: at most {most} wait for it"),
                });
            }
        }
        Ok(())
    }
}
