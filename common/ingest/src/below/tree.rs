//! The tree of edges: what those below say of those below them, and what is said of all of them to whoever is above.

use super::{Below, LinkOutput, emit};
use crate::{
    edges::EdgeStatus,
    tree::{self, BranchStatus, Here, Said},
};
use riser_instance::Instance;
use riser_model::{AccountId, ClientId, ConnectionId, LogId, Now, Seq, Time};
use riser_wire::link::{Branch, BranchLink, HOPS_MAX, HubFrame, NotShown, Tree};
use std::{collections::BTreeMap, time::Duration};

/// On a new connection people are told the same again if it was not told for so long.
const WARN_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// What people were told of what is not shown: below which edge and why, on which connection and when.
#[derive(Debug, Default)]
pub(super) struct Warned(BTreeMap<(ClientId, NotShown), (ConnectionId, Time)>);

impl Warned {
    /// Whether they are to be told now. An edge may say the same in each of its frames.
    fn is_due(&mut self, what: (ClientId, NotShown), connection: ConnectionId, now: Now) -> bool {
        let is_due = self
            .0
            .get(&what)
            .is_none_or(|(on, at)| *on != connection && now.time.since(*at) >= WARN_AGAIN_AFTER);
        if is_due {
            self.0.insert(what, (connection, now.time));
        }
        is_due
    }
}

impl Below {
    /// The edges below the edges, as those say: behind each other, so that each comes behind the one above it.
    pub fn branches(&self, now: Now) -> impl Iterator<Item = BranchStatus> {
        self.trees.statuses(now)
    }

    /// How many edges below edges were told and are not shown, since the start.
    pub fn not_shown(&self) -> u64 {
        self.trees.not_shown()
    }

    /// What is to be told to whoever is above: the edges below, and those below them. Their numbers are whoever tells it's.
    pub fn tree(&self, now: Now) -> Vec<Branch> {
        if self.closed {
            return Vec::new();
        }
        let own = self.edges.values().map(|edge| {
            let status: EdgeStatus = edge.status(self.receivers.progress(edge.client));
            Branch {
                number: 0,
                edge: edge.client,
                account: status.account,
                path: Vec::new(),
                log: self.receivers.shown(edge.client).zip(status.progress.epoch),
                link: if status.online { BranchLink::Up } else { BranchLink::Down },
                for_ms: tree::ms(now.time.since(status.since)),
                tail: status.progress.heard,
                name: status.name,
            }
        });
        let all = own.chain(self.trees.branches(now));
        all.filter(|branch| branch.path.len() < usize::from(HOPS_MAX)).collect()
    }

    /// How often something changed of the tree, and how often a number did: by that whoever tells it knows that it is to.
    pub fn tree_changed(&self) -> (u64, u64) {
        (self.tree_changes + self.trees.changes(), self.tree_counts + self.trees.counts())
    }

    pub(super) fn told_tree(
        &mut self,
        (connection, via): (ConnectionId, ClientId),
        tree: Tree,
        left_out: (Vec<Branch>, Option<NotShown>),
        instance: &mut Instance,
        now: Now,
    ) {
        let Some(name) = self.edges.get(&via).map(|edge| edge.name().clone()) else { return };
        let (receivers, welcomed) = (&self.receivers, &self.welcomed);
        let here = Here {
            taken: &|log| receivers.taken(log),
            linked: &|log| welcomed.values().any(|edge| receivers.shown(*edge) == Some(log)),
        };
        let (heard, news) = self.trees.told((connection, via, &name), tree, left_out, here, now);
        self.out(LinkOutput::Send { connection, frame: HubFrame::Tree(heard) });
        if let Some(why) = heard.why.filter(|why| self.warned.is_due((via, *why), connection, now)) {
            self.out(LinkOutput::NotShown { edge: via, count: heard.refused, why });
        }
        self.say_all(news.said, instance, now);
        if !news.turned.is_empty() {
            self.know(&news.turned, &self.links(), instance);
        }
    }

    /// Accounts changed: what is below an edge that may not relay any more goes, and what is of another account by now.
    pub(super) fn keep_trees(&mut self, instance: &mut Instance, now: Now) {
        let (directory, receivers, welcomed) = (&self.directory, &self.receivers, &self.welcomed);
        let is_of = |account| move |other: AccountId| other == account;
        let stays = |via, edge, account| {
            let via = directory.edge(via).filter(|via| via.relays).map(|via| via.principal.account);
            let itself = directory.edge(edge).map(|edge| edge.principal.account);
            via.is_some_and(is_of(account)) && itself.is_none_or(is_of(account))
        };
        let linked = |log| welcomed.values().any(|edge| receivers.shown(*edge) == Some(log));
        let news = self.trees.keep(stays, &linked);
        self.warned.0.retain(|(via, _), _| directory.edge(*via).is_some());
        self.say_all(news.said, instance, now);
    }

    /// Commits of what came returned: so far are these logs here.
    pub(super) fn tree_taken(&mut self, reached: &[(LogId, Seq)], instance: &mut Instance, now: Now) {
        for (log, through) in reached {
            let said = self.trees.taken(*log, *through, now);
            self.say_all(said, instance, now);
        }
    }

    pub(super) fn say_all(&self, said: Said, instance: &mut Instance, now: Now) {
        for (account, event) in said {
            emit(account, event, instance, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::Wall;
    use uuid::Uuid;

    #[test]
    fn people_are_told_once_why_an_edge_is_not_shown_and_again_on_a_new_link_after_a_while() {
        let at = |s: u64| Now { time: Time(s * 1_000_000_000), wall: Wall(0) };
        let (edge, mut warned) = (ClientId(Uuid::from_u128(1)), Warned::default());
        let mut due = |why, connection, s| warned.is_due((edge, why), ConnectionId(connection), at(s));
        assert!(due(NotShown::OtherLog, 1, 1));
        assert!(due(NotShown::TooMany, 1, 1));
        assert!(!due(NotShown::OtherLog, 1, 1 + 600), "the link is the same");
        assert!(!due(NotShown::OtherLog, 2, 600), "it is not long ago");
        assert!(due(NotShown::OtherLog, 2, 601));
    }
}
