//! The tree of edges: what those below say of those below them, and what is said of all of them to whoever is above.

use super::{Below, LinkOutput, emit};
use crate::{
    edges::EdgeStatus,
    tree::{self, BranchStatus, Said},
};
use riser_instance::Instance;
use riser_model::{ClientId, ConnectionId, LogId, Now, Seq};
use riser_wire::link::{Branch, BranchLink, HOPS_MAX, HubFrame, NotShown, Tree};

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
        refused: (u32, Option<NotShown>),
        instance: &mut Instance,
        now: Now,
    ) {
        let Some(name) = self.edges.get(&via).map(|edge| edge.name().clone()) else { return };
        let receivers = &self.receivers;
        let (heard, said) =
            self.trees.told((connection, via, &name), tree, refused, |log| receivers.taken(log), now);
        self.out(LinkOutput::Send { connection, frame: HubFrame::Tree(heard) });
        if let Some(why) = heard.why {
            self.out(LinkOutput::NotShown { edge: via, count: heard.refused, why });
        }
        self.say_all(said, instance, now);
        self.know_sites(via, instance);
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
