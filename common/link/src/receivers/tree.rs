//! What an edge may say of the edges below it: what it may bring of them, and no more.

use super::{ConnectionId, Known, Output, Receivers, RefusedCode};
use riser_model::Now;
use riser_wire::link::{Branch, HOPS_MAX, NotShown, SEQ_MAX, Tree};

impl Receivers {
    /// An edge says which edges are below it. What is not its to say is left out, and counted; the link goes on, for it is
    /// only a picture.
    pub(super) fn told_tree(&mut self, connection: ConnectionId, mut tree: Tree, now: Now) {
        let tails =
            tree.edges.iter().map(|branch| branch.tail).chain(tree.tails.iter().map(|(_, tail)| *tail));
        if tails.max().is_some_and(|tail| tail > SEQ_MAX) {
            let what = "a log below that goes further than any can".to_owned();
            return self.reject(connection, (RefusedCode::Malformed, what, "seqs below 2^62"), now);
        }
        let known = self.connections.get(&connection).and_then(|state| state.phase.known());
        let Some(known) = known else { return };
        let edge = known.hello.edge;
        let (mut left_out, mut why) = (Vec::new(), None);
        for branch in std::mem::take(&mut tree.edges) {
            match self.not_shown(known, &branch) {
                None => tree.edges.push(branch),
                Some(reason) => {
                    why = why.or(Some(reason));
                    left_out.push(branch);
                }
            }
        }
        self.outputs.push_back(Output::Tree { connection, edge, tree, left_out, why });
    }

    fn not_shown(&self, known: &Known, branch: &Branch) -> Option<NotShown> {
        let own = |edge| edge == known.hello.edge;
        let links = branch.path.len().saturating_add(2).saturating_add(usize::from(self.above.hops));
        let may_say = |log| {
            log != known.hello.log && !self.is_above(log) && self.registry.may_bring(log, known.edge.account)
        };
        if !known.edge.relays {
            Some(NotShown::NoRelay)
        } else if branch.account != known.edge.account
            || !self.registry.may_be_of(branch.edge, known.edge.account)
        {
            Some(NotShown::OtherAccount)
        } else if links > usize::from(HOPS_MAX) {
            Some(NotShown::TooDeep)
        } else if own(branch.edge)
            || branch.path.iter().any(|between| own(*between) || *between == branch.edge)
            || branch.log.is_some_and(|(log, _)| !may_say(log))
        {
            Some(NotShown::OtherLog)
        } else {
            None
        }
    }
}
