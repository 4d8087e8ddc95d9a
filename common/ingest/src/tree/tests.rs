//! What one edge says, told by hand.

use super::*;
use riser_model::Wall;
use uuid::Uuid;

const C1: ConnectionId = ConnectionId(1);
const C2: ConnectionId = ConnectionId(2);
const VIA: ClientId = ClientId(Uuid::from_u128(1));
const LOG: LogId = LogId(50);

fn at(ms: u64) -> Now {
    Now { time: Time(1_000_000 * (1_000_000 + ms)), wall: Wall(0) }
}

fn id(n: u128) -> ClientId {
    ClientId(Uuid::from_u128(n))
}

fn low(link: BranchLink, tail: u64) -> Branch {
    Branch {
        number: 1,
        edge: id(2),
        account: AccountId(Uuid::from_u128(9)),
        name: "low".parse().unwrap(),
        path: Vec::new(),
        log: Some((LOG, Epoch(3))),
        link,
        for_ms: 5000,
        tail: Seq(tail),
    }
}

struct Bench {
    trees: Trees,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        Self { trees: Trees::default(), now: 0 }
    }

    fn told_on(&mut self, connection: ConnectionId, tree: Tree) -> (TreeHeard, Vec<String>) {
        let name = "region".parse().unwrap();
        let (heard, said) =
            self.trees.told((connection, VIA, &name), tree, (0, None), |_| Seq(4), at(self.now));
        (heard, words(said))
    }

    fn edges(&mut self, edges: Vec<Branch>) -> Vec<String> {
        self.told_on(C1, Tree { edges, whole: true, ..Tree::default() }).1
    }

    fn taken(&mut self, through: u64) -> Vec<String> {
        words(self.trees.taken(LOG, Seq(through), at(self.now)))
    }

    /// Whose link does what, for how many milliseconds.
    fn shown(&self) -> Vec<(String, BranchLink, u128)> {
        let shown = |one: BranchStatus| (one.status.name.to_string(), one.link, one.link_for.as_millis());
        self.trees.statuses(at(self.now)).map(shown).collect()
    }
}

fn words(said: Said) -> Vec<String> {
    let word = |(_, event): (AccountId, SystemEvent)| match event {
        SystemEvent::EdgeOnline { name, backlog, .. } => format!("{name} online, {backlog} wait"),
        SystemEvent::EdgeSilent { name, cause, .. } => format!("{name} silent, {cause}"),
        SystemEvent::EdgeLag { name, queued, .. } => format!("{name} lags, {queued} wait"),
        SystemEvent::EdgeFlowing { name, .. } => format!("{name} flows"),
        SystemEvent::CaughtUp { name, through, .. } => format!("{name} caught up at {}", through.0),
        other => format!("{other:?}"),
    };
    said.into_iter().map(word).collect()
}

fn waits(bench: &Bench) -> u64 {
    bench.trees.statuses(at(bench.now)).map(|one| one.status.backlog()).sum()
}

#[test]
fn each_turn_of_a_link_below_is_told_once_by_name_and_that_all_of_it_is_here() {
    let mut bench = Bench::new();
    assert_eq!(bench.edges(vec![low(BranchLink::Up, 10)]), ["low online, 6 wait"]);
    assert!(bench.edges(vec![low(BranchLink::Up, 12)]).is_empty());
    assert!(bench.taken(11).is_empty());
    assert_eq!(bench.taken(12), ["low caught up at 12"]);
    assert!(bench.taken(13).is_empty(), "once");
    assert_eq!(bench.edges(vec![low(BranchLink::Down, 13)]), ["low silent, said by region"]);
    assert!(bench.edges(vec![low(BranchLink::Down, 13)]).is_empty());
    assert_eq!(bench.edges(vec![low(BranchLink::Up, 20)]), ["low online, 7 wait"]);
    assert_eq!(bench.taken(20), ["low caught up at 20"]);
}

#[test]
fn an_edge_that_never_came_is_shown_and_nothing_is_told_of_it() {
    let mut bench = Bench::new();
    let never = Branch { log: None, tail: Seq::ZERO, ..low(BranchLink::Down, 0) };
    assert!(bench.edges(vec![never]).is_empty());
    bench.now = 300;
    assert_eq!(bench.shown(), [("low".to_owned(), BranchLink::Down, 5300)]);
}

#[test]
fn below_an_edge_that_is_away_nobody_knows_anything_since_then() {
    let mut bench = Bench::new();
    bench.edges(vec![low(BranchLink::Up, 4)]);
    bench.now = 1000;
    bench.trees.gone(C1);
    bench.trees.away(VIA, at(bench.now));
    bench.now = 1500;
    bench.trees.away(VIA, at(bench.now));
    assert_eq!(bench.shown(), [("low".to_owned(), BranchLink::Unknown, 500)], "since it was first");
    assert_eq!(
        bench.trees.site(LOG, VIA).map(|(name, up)| (name.to_string(), up)),
        Some(("low".into(), false))
    );
    // It is as it was: no news. What comes up comes for so long as the edge between says.
    let (_, said) = bench.told_on(C2, Tree { edges: vec![low(BranchLink::Up, 4)], ..Tree::default() });
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(bench.shown(), [("low".to_owned(), BranchLink::Up, 5000)]);
    // And one that went meanwhile is told of.
    bench.trees.away(VIA, at(bench.now));
    assert_eq!(bench.edges(vec![low(BranchLink::Down, 4)]), ["low silent, said by region"]);
}

#[test]
fn numbers_are_those_of_their_connection_and_who_is_not_told_with_the_rest_is_gone() {
    let mut bench = Bench::new();
    let other = Branch { number: 2, edge: id(3), log: None, ..low(BranchLink::Up, 0) };
    bench.edges(vec![low(BranchLink::Up, 4), other]);
    let tails = |number| Tree { tails: vec![(number, Seq(9))], ..Tree::default() };
    bench.told_on(C1, tails(1));
    assert_eq!(waits(&bench), 5);
    bench.told_on(C2, tails(1));
    assert_eq!(waits(&bench), 5, "on a new connection nothing is called so");
    bench.told_on(C2, Tree { edges: vec![low(BranchLink::Up, 10)], ..Tree::default() });
    assert_eq!((waits(&bench), bench.shown().len()), (6, 2));
    let (heard, _) = bench.told_on(C2, Tree { whole: true, ..Tree::default() });
    assert_eq!((heard.shown, bench.shown().len()), (1, 1));
    bench.told_on(C2, Tree { gone: vec![1], ..Tree::default() });
    assert!(bench.shown().is_empty() && bench.trees.logs.is_empty());
}

#[test]
fn no_more_are_shown_below_one_edge_than_the_limit_whatever_they_are_called() {
    let mut bench = Bench::new();
    let most = TREE_MAX as u128;
    for n in 0..most {
        let one = Branch { number: n as u32, edge: id(10 + n), ..low(BranchLink::Up, 4) };
        assert_eq!(bench.told_on(C1, Tree { edges: vec![one], ..Tree::default() }).0.why, None);
    }
    let more = Branch { number: 9999, edge: id(10 + most), ..low(BranchLink::Up, 4) };
    let (heard, _) = bench.told_on(C1, Tree { edges: vec![more], ..Tree::default() });
    let want = TreeHeard { shown: TREE_MAX as u32, refused: 1, why: Some(NotShown::TooMany) };
    assert_eq!((heard, bench.trees.not_shown()), (want, 1));
    // The same edges by ever other numbers.
    for n in 0..3 * TREE_MAX as u32 {
        let again = Branch { number: 10_000 + n, edge: id(10 + u128::from(n % 7)), ..low(BranchLink::Up, 4) };
        bench.told_on(C1, Tree { edges: vec![again], ..Tree::default() });
    }
    assert!(bench.trees.sessions[&C1].numbers.len() <= TREE_MAX);
}

#[test]
fn one_that_is_behind_for_long_is_told_to_be_and_that_it_flows_again() {
    let mut bench = Bench::new();
    bench.edges(vec![low(BranchLink::Up, 9)]);
    bench.now = 4000;
    bench.told_on(C1, Tree { tails: vec![(1, Seq(10))], ..Tree::default() });
    let due = bench.trees.watch_at().expect("it is watched");
    bench.now += due.since(at(bench.now).time).as_millis() as u64;
    assert_eq!(words(bench.trees.deadline(at(bench.now))), ["low lags, 6 wait"]);
    assert_eq!(bench.taken(10), ["low flows", "low caught up at 10"]);
}

#[test]
fn what_is_below_is_passed_on_behind_the_edge_that_said_it() {
    let mut bench = Bench::new();
    let lowest = Branch { number: 2, edge: id(3), path: vec![id(2)], ..low(BranchLink::Up, 4) };
    bench.edges(vec![low(BranchLink::Up, 4), lowest]);
    bench.now = 1000;
    bench.trees.away(VIA, at(bench.now));
    bench.now = 1250;
    let said =
        bench.trees.branches(at(bench.now)).map(|one| (one.edge, one.path, one.link, one.for_ms, one.tail.0));
    let said: Vec<_> = said.collect();
    let unknown = BranchLink::Unknown;
    assert_eq!(said, [(id(2), vec![VIA], unknown, 250, 4), (id(3), vec![VIA, id(2)], unknown, 250, 4)]);
}

#[test]
fn of_who_may_relay_no_more_nothing_stays() {
    let mut bench = Bench::new();
    bench.edges(vec![low(BranchLink::Up, 4)]);
    bench.trees.keep(|via| via == VIA);
    assert_eq!(bench.shown().len(), 1);
    bench.trees.keep(|_| false);
    assert!(bench.shown().is_empty() && bench.trees.logs.is_empty() && bench.trees.all.is_empty());
}
