//! What an uplink's hub is told of the edges below this one: all of it when the link is up, then what changes. Links at
//! most ten times a second, numbers at most once a second, and nothing while the last of it is not answered. What the hub did
//! not take is told again after a minute, or when others went.

use crate::shy::Shy;
use riser_model::{ClientId, Seq, Time};
use riser_wire::link::{Branch, NotShown, TREE_PART_MAX, TREE_TAILS_MAX, Tree, TreeHeard};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Links are told no more often: one that flaps costs whoever is above no more than that.
const LINKS_EVERY: Duration = Duration::from_millis(100);
/// What was refused is told again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// On a new link people are told the same again if it was not told for so long.
const WARN_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// Numbers are told no more often.
const NUMBERS_EVERY: Duration = Duration::from_secs(1);

/// The edges between and the edge itself.
type Place = Vec<ClientId>;

#[derive(Debug)]
struct Told {
    branch: Branch,
    tail: Seq,
    /// The hub refused it, or another one of the same frame: it is told again then.
    again: Option<Time>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    shy: Shy,
    /// From when on it may be told on this link; none while it is down.
    from: Option<Time>,
    told: BTreeMap<Place, Told>,
    numbers: u32,
    numbers_from: Time,
    links_from: Time,
    /// Whom the last frame was about.
    last: Vec<Place>,
    /// The first of those that are told again is so then.
    again: Option<Time>,
    /// Why some are not shown, as people were told, and when.
    warned: BTreeMap<NotShown, Time>,
    /// What of the tree's changes, and of those of its numbers, is told.
    seen: Option<(u64, u64)>,
    whole: bool,
}

impl Telling {
    /// The link is up: its hub knows nothing of what was told before.
    pub(crate) fn up(&mut self, now: Time) {
        let (shy, mut warned) = (std::mem::take(&mut self.shy), std::mem::take(&mut self.warned));
        warned.retain(|_, at| now.since(*at) < WARN_AGAIN_AFTER);
        *self = Self { shy, warned, ..Self::default() };
        self.from = Some(self.shy.from(now));
    }

    /// The link is down; the hub may have said that it did not understand. For how long nothing is told on the next, if it
    /// was closed over it.
    pub(crate) fn down(&mut self, not_understood: bool, now: Time) -> Option<Duration> {
        self.from = None;
        self.shy.closed(not_understood, now)
    }

    /// The hub answered. Whether that is news for people.
    pub(crate) fn answered(&mut self, heard: TreeHeard, now: Time) -> bool {
        self.shy.answered();
        let last = std::mem::take(&mut self.last);
        if heard.refused > 0 && !last.is_empty() {
            // It does not say which.
            let again = now.plus(AGAIN_AFTER);
            for place in last {
                if let Some(told) = self.told.get_mut(&place) {
                    told.again = Some(again);
                }
            }
            self.again = Some(self.again.map_or(again, |before| before.min(again)));
        }
        heard.why.is_none_or(|why| self.warned.insert(why, now).is_none())
    }

    /// When there is something to tell, of a tree that changed so often.
    pub(crate) fn due_at(&self, (changes, counts): (u64, u64)) -> Option<Time> {
        let from = self.from.filter(|_| !self.shy.waits())?;
        let links = self.links_from.max(from);
        let again = self.again.map(|again| again.max(links));
        let changed = match self.seen {
            Some((seen, _)) if seen != changes => Some(links),
            Some((_, seen)) if seen != counts => Some(self.numbers_from.max(from)),
            Some(_) => None,
            None => Some(from),
        };
        [changed, again].into_iter().flatten().min()
    }

    /// What is to be told now, if [`Telling::due_at`] has come: of this tree, which changed so often.
    pub(crate) fn next(&mut self, tree: Vec<Branch>, changed: (u64, u64), now: Time) -> Option<Tree> {
        let mut said = Tree::default();
        let mut more = false;
        let may_count = now >= self.numbers_from;
        let mut is_there = BTreeSet::new();
        let mut counts_told = true;
        for branch in tree {
            let place: Place = branch.path.iter().copied().chain([branch.edge]).collect();
            is_there.insert(place.clone());
            let is_again = |told: &Told| told.again.is_some_and(|again| again <= now);
            match self.told.get_mut(&place).filter(|told| !is_again(told)) {
                Some(told) if is_same(&told.branch, &branch) && told.tail == branch.tail => {}
                Some(told) if is_same(&told.branch, &branch) => {
                    if may_count && said.tails.len() < TREE_TAILS_MAX {
                        told.tail = branch.tail;
                        said.tails.push((told.branch.number, branch.tail));
                    } else {
                        counts_told = false;
                    }
                }
                _ if said.edges.len() >= TREE_PART_MAX => more = true,
                _ => {
                    let number = self.told.get(&place).map_or(self.numbers, |told| told.branch.number);
                    self.numbers = self.numbers.max(number.saturating_add(1));
                    let branch = Branch { number, ..branch };
                    let told = Told { tail: branch.tail, branch: branch.clone(), again: None };
                    self.told.insert(place, told);
                    said.edges.push(branch);
                }
            }
        }
        let gone = self.told.extract_if(.., |place, _| !is_there.contains(place));
        said.gone = gone.take(TREE_TAILS_MAX).map(|(_, told)| told.branch.number).collect();
        more |= said.gone.len() == TREE_TAILS_MAX;
        if !said.gone.is_empty() {
            // There may be room now.
            self.told.values_mut().filter_map(|told| told.again.as_mut()).for_each(|again| *again = now);
        }
        self.again = self.told.values().filter_map(|told| told.again).min();
        if !more {
            // What is not told of the numbers is due in a second.
            let counts = if counts_told { changed.1 } else { changed.1.wrapping_sub(1) };
            self.seen = Some((changed.0, counts));
        }
        said.whole = !more && !self.whole;
        if may_count {
            self.numbers_from = now.plus(NUMBERS_EVERY);
        }
        // An edge with nobody below it has nothing to say, and a hub that does not know of trees hears nothing of one.
        let nothing = said.edges.is_empty() && said.tails.is_empty() && said.gone.is_empty();
        if nothing && (!said.whole || self.told.is_empty()) {
            return None;
        }
        self.whole |= said.whole;
        if !more && said.edges.len() + said.gone.len() > 0 {
            self.links_from = now.plus(LINKS_EVERY);
        }
        let place = |branch: &Branch| branch.path.iter().copied().chain([branch.edge]).collect();
        self.last = said.edges.iter().map(place).collect();
        self.shy.asked(now);
        Some(said)
    }
}

/// Whether it is what was told, its tail and the time that passed aside.
fn is_same(told: &Branch, branch: &Branch) -> bool {
    told.log == branch.log
        && told.link == branch.link
        && told.name == branch.name
        && told.account == branch.account
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{AccountId, Epoch, LogId};
    use riser_wire::link::BranchLink;

    const HEARD: TreeHeard = TreeHeard { shown: 1, refused: 0, why: None };

    fn at(ms: u64) -> Time {
        Time(0).plus(Duration::from_millis(ms))
    }

    fn branch(edge: u128, link: BranchLink, tail: u64) -> Branch {
        Branch {
            number: 0,
            edge: ClientId(format!("{edge:032x}").parse().unwrap()),
            account: AccountId(format!("{:032x}", 7).parse().unwrap()),
            name: "low".parse().unwrap(),
            path: Vec::new(),
            log: Some((LogId(edge as u64), Epoch(1))),
            link,
            for_ms: 5,
            tail: Seq(tail),
        }
    }

    /// A hub that answers at once is told this; what it hears, if anything.
    fn tell(telling: &mut Telling, tree: &[Branch], changed: (u64, u64), ms: u64) -> Option<Tree> {
        telling.due_at(changed).filter(|due| *due <= at(ms))?;
        let said = telling.next(tree.to_vec(), changed, at(ms))?;
        telling.answered(HEARD, at(ms));
        Some(said)
    }

    fn up() -> Telling {
        let mut telling = Telling::default();
        assert_eq!(telling.due_at((1, 1)), None, "there is no link");
        telling.up(at(0));
        telling
    }

    #[test]
    fn a_hub_is_told_all_once_then_links_soon_and_numbers_once_a_second() {
        let mut telling = up();
        let (one, two) = (branch(1, BranchLink::Up, 5), branch(2, BranchLink::Down, 0));
        let said = tell(&mut telling, &[one.clone(), two.clone()], (1, 1), 0).unwrap();
        let numbers: Vec<u32> = said.edges.iter().map(|branch| branch.number).collect();
        assert_eq!((numbers, said.whole), (vec![0, 1], true));
        assert_eq!(telling.due_at((1, 1)), None);
        // Numbers: a second later, with all that came meanwhile.
        let tail = |tail| [branch(1, BranchLink::Up, tail), two.clone()];
        let tails = |said: Tree| (said.edges.len(), said.tails);
        assert_eq!(telling.due_at((1, 2)), Some(at(1000)));
        assert_eq!(tell(&mut telling, &tail(6), (1, 2), 10), None);
        assert_eq!(tell(&mut telling, &tail(7), (1, 3), 1000).map(tails), Some((0, vec![(0, Seq(7))])));
        // One that is not another number costs a look in a second, too.
        assert_eq!(tell(&mut telling, &tail(7), (1, 4), 2000), None);
        assert_eq!(telling.due_at((1, 5)), Some(at(3000)));
        // A link: soon, and numbers still wait.
        let came = [branch(1, BranchLink::Up, 8), branch(2, BranchLink::Up, 3)];
        let said = tell(&mut telling, &came, (2, 6), 2500).unwrap();
        assert_eq!((said.edges.len(), said.edges[0].number, said.whole), (1, 1, false));
        assert!(said.tails.is_empty());
        assert_eq!(telling.due_at((2, 6)), Some(at(3000)));
        assert_eq!(tell(&mut telling, &came, (2, 6), 3000).map(tails), Some((0, vec![(0, Seq(8))])));
        // One is below no more.
        let said = tell(&mut telling, &came[1..], (3, 6), 3020).unwrap();
        assert_eq!((said.gone, said.edges.len()), (vec![0], 0));
    }

    #[test]
    fn nothing_more_is_told_before_the_answer() {
        let mut telling = up();
        let tree = vec![branch(1, BranchLink::Up, 5)];
        assert!(telling.next(tree.clone(), (1, 1), at(0)).is_some());
        assert_eq!(telling.due_at((2, 2)), None);
        telling.answered(HEARD, at(20));
        assert_eq!(telling.due_at((2, 2)), Some(at(100)));
    }

    #[test]
    fn what_a_hub_refused_is_told_again_after_a_minute_or_when_others_went() {
        let refused = TreeHeard { shown: 1, refused: 1, why: Some(NotShown::TooMany) };
        let mut telling = up();
        let mut tree = vec![branch(1, BranchLink::Up, 5), branch(2, BranchLink::Up, 5)];
        assert_eq!(tell(&mut telling, &tree[..1], (1, 1), 0).map(|said| said.edges.len()), Some(1));
        let said = telling.next(tree.clone(), (2, 1), at(500)).unwrap();
        assert_eq!(said.edges.len(), 1);
        assert!(telling.answered(refused, at(500)), "people are told");
        assert_eq!(telling.due_at((2, 1)), Some(at(60_500)));
        let said = telling.next(tree.clone(), (2, 1), at(60_500)).unwrap();
        assert_eq!(
            said.edges.iter().map(|one| one.number).collect::<Vec<_>>(),
            [1],
            "as the number that it has"
        );
        assert!(!telling.answered(refused, at(60_500)), "once");
        // The other one goes: there may be room at once.
        tree.remove(0);
        assert_eq!(tell(&mut telling, &tree, (3, 1), 61_000).map(|said| said.gone), Some(vec![0]));
        assert_eq!(telling.due_at((3, 1)), Some(at(61_100)));
        assert_eq!(tell(&mut telling, &tree, (3, 1), 61_100).map(|said| said.edges.len()), Some(1));
        assert_eq!(telling.due_at((3, 1)), None, "it was taken");
        // On a new link after a while people are told again.
        telling.down(false, at(70_000));
        telling.up(at(71_000));
        assert!(!telling.answered(refused, at(71_000)));
        telling.up(at(700_000));
        assert!(telling.answered(refused, at(700_000)));
    }

    #[test]
    fn many_edges_are_told_in_parts_and_all_are_told_with_the_last() {
        let mut telling = up();
        let tree: Vec<Branch> = (0..150).map(|n| branch(n, BranchLink::Up, 1)).collect();
        let mut parts = Vec::new();
        while let Some(said) = tell(&mut telling, &tree, (1, 1), 0) {
            parts.push((said.edges.len(), said.whole));
        }
        assert_eq!(parts, [(TREE_PART_MAX, false), (TREE_PART_MAX, false), (150 - 2 * TREE_PART_MAX, true)]);
    }

    #[test]
    fn each_link_is_told_all_anew() {
        let mut telling = up();
        let tree = [branch(1, BranchLink::Up, 5)];
        assert!(tell(&mut telling, &tree, (1, 1), 0).is_some());
        telling.down(false, at(5));
        assert_eq!(telling.due_at((2, 1)), None);
        telling.up(at(10));
        let said = tell(&mut telling, &tree, (2, 1), 10).unwrap();
        assert_eq!((said.edges.len(), said.whole), (1, true));
    }

    #[test]
    fn whoever_has_nobody_below_says_nothing_and_the_first_that_comes_is_all() {
        let mut telling = up();
        assert_eq!(tell(&mut telling, &[], (1, 1), 0), None);
        assert_eq!(telling.due_at((1, 1)), None);
        let said = tell(&mut telling, &[branch(1, BranchLink::Up, 5)], (2, 1), 5).unwrap();
        assert!(said.whole);
    }

    #[test]
    fn a_hub_that_does_not_understand_is_told_later_and_one_whose_link_is_cut_at_once() {
        let mut telling = up();
        let tree = vec![branch(1, BranchLink::Up, 5)];
        assert!(telling.next(tree.clone(), (1, 1), at(0)).is_some());
        assert_eq!(telling.down(true, at(10)), Some(Duration::from_secs(60)));
        telling.up(at(20));
        assert_eq!(telling.due_at((1, 1)), Some(at(60_020)), "the way up goes on meanwhile");
        assert!(telling.next(tree.clone(), (1, 1), at(60_020)).is_some());
        telling.answered(HEARD, at(60_030));
        // Cuts, each before the answer: of some nothing is concluded.
        let mut waits = Vec::new();
        for n in 1..=4 {
            telling.up(at(100_000 * n));
            waits.push(telling.due_at((1, 1)).unwrap().since(at(100_000 * n)).as_secs());
            assert!(telling.next(tree.clone(), (1, 1), at(100_000 * n)).is_some());
            telling.down(false, at(100_000 * n + 1));
        }
        assert_eq!(waits, [0, 0, 0, 60]);
    }
}
