//! How accounts stand: what changed, what is known of them, and what is written down.

use super::Level;
use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// Changes that were taken.
    pub changes: Counter,
    /// Changes that were refused.
    pub refused: Counter,
    /// Clients that were removed since nobody used them.
    pub unused: Counter,
    /// Accounts of which nobody knows any more what was revoked.
    pub sealed: Level,
    /// Tables of accounts that were damaged when the process started.
    pub damaged: Level,
    /// Lines of the audit log.
    pub audited: Counter,
    /// What could not be written down there.
    pub unaudited: Counter,
}

impl Accounts {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("account_changes", "Changes of accounts that were taken", &self.changes),
            ("account_changes_refused", "Changes of accounts that were refused", &self.refused),
            ("clients_unused_removed", "Clients that were removed since nobody used them", &self.unused),
            ("audit_lines", "Lines of the audit log", &self.audited),
            (
                "audit_lost",
                "Grants and refusals that were not written down: too many at once, or a full disk",
                &self.unaudited,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, level) in [
            ("accounts_sealed", "Accounts of which nobody knows what was revoked", &self.sealed),
            ("accounts_damaged", "Tables of accounts that were damaged at the start", &self.damaged),
        ] {
            registry.register(name, help, level.clone());
        }
    }
}
