//! Who is behind each log, and whether that edge is cut off, as the instance shows it.

use super::Below;
use riser_instance::Instance;
use riser_model::{AccountName, ClientId, LogId, Now};
use std::collections::{BTreeMap, BTreeSet};

/// The links that there are: which edges have one, and which logs these show.
pub(super) struct Links {
    edges: BTreeSet<ClientId>,
    logs: BTreeMap<LogId, ClientId>,
}

impl Below {
    /// A look at them.
    pub(super) fn links(&self) -> Links {
        let edges: BTreeSet<ClientId> = self.welcomed.values().copied().collect();
        let logs = edges.iter().filter_map(|edge| Some((self.receivers.shown(*edge)?, *edge))).collect();
        Links { edges, logs }
    }

    /// The instance shows who is behind an edge, and whether it is cut off.
    pub(super) fn know_sites(&self, client: ClientId, links: &Links, instance: &mut Instance) {
        // What comes by another edge may have been up by this one only.
        let by_name = self.receivers.shown(client).into_iter().chain(self.trees.logs_below(client));
        let logs = self.receivers.logs_of(client).chain(by_name).collect();
        self.know(&logs, links, instance);
    }

    /// The same of some logs. One that nothing came of is behind nobody yet.
    pub(super) fn know(&self, logs: &BTreeSet<LogId>, links: &Links, instance: &mut Instance) {
        for log in logs {
            let site = self.receivers.owner(*log).and_then(|via| self.site(*log, via, links));
            if let Some((name, online)) = site {
                instance.know_site(*log, name, online);
            }
        }
    }

    /// Of a log that came last through an edge which is none any more, and which nobody is said to have below, nobody can say
    /// who is there: nobody is, until it comes another way.
    pub(super) fn end_orphans(&self, instance: &mut Instance, now: Now) {
        let links = self.links();
        let is_orphan = |log: &LogId| {
            let via = self.receivers.owner(*log);
            let is_removed = via.is_some_and(|via| self.directory.edge(via).is_none());
            is_removed && !links.logs.contains_key(log) && !self.trees.knows(*log)
        };
        let logs: BTreeSet<LogId> =
            self.receivers.relays().map(|(_, log, ..)| log).filter(is_orphan).collect();
        logs.into_iter().for_each(|log| instance.end_site(log, "removed", now));
    }

    /// Whose log it is that came by that edge, and whether a way to there is up: its own link, or one below any edge of its
    /// account.
    pub(super) fn site(&self, log: LogId, via: ClientId, links: &Links) -> Option<(&AccountName, bool)> {
        if let Some(itself) = links.logs.get(&log).and_then(|edge| self.edges.get(edge)) {
            return Some((itself.name(), true));
        }
        let edge = self.edges.get(&via)?;
        let online = links.edges.contains(&via);
        let (name, online) =
            self.trees.site(log, edge.account(), (via, online)).unwrap_or((edge.name(), online));
        let is_own = self.receivers.shown(via) == Some(log);
        Some((if is_own { edge.name() } else { name }, online))
    }
}
