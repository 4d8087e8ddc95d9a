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
    /// The edge with the log has a link of its own to here.
    linked: bool,
}

impl Bench {
    fn new() -> Self {
        Self { trees: Trees::default(), now: 0, linked: false }
    }

    fn told_on(&mut self, connection: ConnectionId, tree: Tree) -> (TreeHeard, Vec<String>) {
        let (heard, news) = self.told_by(VIA, connection, tree, Vec::new());
        (heard, words(news.said))
    }

    fn told_by(
        &mut self,
        via: ClientId,
        connection: ConnectionId,
        tree: Tree,
        left_out: Vec<Branch>,
    ) -> (TreeHeard, News) {
        let name = "region".parse().unwrap();
        let why = left_out.first().map(|_| NotShown::OtherLog);
        let linked = self.linked;
        let here = Here { taken: &|_| Seq(4), linked: &|_| linked };
        self.trees.told((connection, via, &name), tree, (left_out, why), here, at(self.now))
    }

    /// Whose log it is, and whether that is up: it came by this edge, whose link is up or not.
    fn site(&self, via: ClientId, online: bool) -> Option<(String, bool)> {
        let site = self.trees.site(LOG, AccountId(Uuid::from_u128(9)), (via, online));
        site.map(|(name, up)| (name.to_string(), up))
    }

    fn keep(&mut self, stays: impl Fn(ClientId, ClientId, AccountId) -> bool) -> Vec<String> {
        words(self.trees.keep(stays, &|_| false).said)
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
    assert_eq!(bench.site(VIA, false), Some(("low".into(), false)));
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
    bench.keep(|via, _, _| via == VIA);
    assert_eq!(bench.shown().len(), 1);
    assert_eq!(bench.keep(|_, _, _| false), ["low silent, below no more"]);
    assert!(bench.shown().is_empty() && bench.trees.logs.is_empty() && bench.trees.all.is_empty());
}

#[test]
fn of_who_is_of_another_account_by_now_nothing_stays() {
    let mut bench = Bench::new();
    let other = Branch { number: 2, edge: id(3), log: None, ..low(BranchLink::Down, 0) };
    bench.edges(vec![low(BranchLink::Up, 4), other]);
    bench.keep(|_, edge, _| edge == id(2));
    assert_eq!(bench.shown().len(), 1);
    bench.keep(|_, _, account| account != AccountId(Uuid::from_u128(9)));
    assert!(bench.shown().is_empty());
}

#[test]
fn a_frame_that_says_nothing_new_changes_nothing() {
    let mut bench = Bench::new();
    let again = || Tree { edges: vec![low(BranchLink::Up, 4)], tails: vec![(1, Seq(4))], ..Tree::default() };
    assert_eq!(bench.told_by(VIA, C1, again(), Vec::new()).1.turned, BTreeSet::from([LOG]));
    let before = (bench.trees.changes(), bench.trees.counts());
    for _ in 0..3 {
        let (heard, news) = bench.told_by(VIA, C1, again(), Vec::new());
        assert_eq!((heard.shown, news.turned.len(), news.said.len()), (1, 0, 0));
    }
    assert_eq!((bench.trees.changes(), bench.trees.counts()), before);
    // A number is no news of a link.
    let (_, news) = bench.told_by(VIA, C1, Tree { tails: vec![(1, Seq(5))], ..Tree::default() }, Vec::new());
    assert!(news.turned.is_empty());
    assert_eq!((bench.trees.changes(), bench.trees.counts()), (before.0, before.1 + 1));
    let down = Tree { edges: vec![low(BranchLink::Down, 5)], ..Tree::default() };
    assert_eq!(bench.told_by(VIA, C1, down, Vec::new()).1.turned, BTreeSet::from([LOG]));
    assert_eq!(bench.trees.changes(), before.0 + 1);
}

#[test]
fn whoever_is_watched_is_so_once_and_not_when_it_is_gone() {
    let mut bench = Bench::new();
    bench.edges(vec![low(BranchLink::Up, 9)]);
    for n in 0..5 {
        bench.now = 4000 + n;
        bench.told_on(C1, Tree { tails: vec![(1, Seq(10 + n))], ..Tree::default() });
    }
    assert_eq!(bench.trees.watched.len(), 1);
    bench.told_on(C1, Tree { gone: vec![1], ..Tree::default() });
    assert_eq!(bench.trees.watch_at(), None);
    bench.edges(vec![low(BranchLink::Up, 9)]);
    bench.now = 8500;
    bench.told_on(C1, Tree { tails: vec![(1, Seq(20))], ..Tree::default() });
    assert!(bench.trees.watch_at().is_some());
    bench.trees.away(VIA, at(bench.now));
    assert_eq!(bench.trees.watch_at(), None);
}

#[test]
fn a_log_is_up_where_any_edge_says_so_and_as_the_edge_it_came_by_where_that_says_nothing() {
    let mut bench = Bench::new();
    let other = id(8);
    let one = |link| Tree { edges: vec![low(link, 4)], whole: true, ..Tree::default() };
    bench.told_by(VIA, C1, one(BranchLink::Down), Vec::new());
    bench.told_by(other, C2, one(BranchLink::Up), Vec::new());
    assert_eq!(bench.site(VIA, true), Some(("low".into(), true)), "it flows by the other one");
    // That one is replaced by a link on which nothing is told: what was is no word of it.
    bench.trees.gone(C2);
    assert_eq!(bench.site(VIA, true), Some(("low".into(), false)));
    assert_eq!(bench.site(other, true), Some(("low".into(), true)), "it hides nobody");
    assert_eq!(bench.site(other, false), Some(("low".into(), false)));
    let elsewhere = AccountId(Uuid::from_u128(10));
    assert_eq!(bench.trees.site(LOG, elsewhere, (VIA, true)), None);
}

#[test]
fn what_may_not_be_shown_any_more_goes_with_its_number() {
    let mut bench = Bench::new();
    bench.edges(vec![low(BranchLink::Up, 4)]);
    let (heard, news) = bench.told_by(VIA, C1, Tree::default(), vec![low(BranchLink::Up, 4)]);
    assert_eq!((heard.shown, heard.refused, heard.why), (0, 1, Some(NotShown::OtherLog)));
    assert_eq!(words(news.said), ["low silent, below no more"]);
    assert!(bench.shown().is_empty() && bench.trees.logs.is_empty());
    assert!(bench.trees.sessions[&C1].numbers.is_empty());
}

#[test]
fn an_edge_that_is_there_by_another_way_is_not_silent() {
    let mut bench = Bench::new();
    let one = |link| Tree { edges: vec![low(link, 4)], ..Tree::default() };
    let gone = || Tree { gone: vec![1], ..Tree::default() };
    bench.told_by(VIA, C1, one(BranchLink::Up), Vec::new());
    bench.told_by(id(8), C2, one(BranchLink::Up), Vec::new());
    assert!(bench.told_by(VIA, C1, one(BranchLink::Down), Vec::new()).1.said.is_empty());
    bench.told_by(VIA, C1, one(BranchLink::Up), Vec::new());
    assert!(bench.told_by(VIA, C1, gone(), Vec::new()).1.said.is_empty());
    bench.linked = true;
    assert!(bench.told_by(id(8), C2, gone(), Vec::new()).1.said.is_empty());
    bench.linked = false;
    bench.told_by(id(8), C2, one(BranchLink::Up), Vec::new());
    let (_, news) = bench.told_by(id(8), C2, gone(), Vec::new());
    assert_eq!(words(news.said), ["low silent, below no more"]);
}

#[test]
fn for_how_long_nothing_is_known_is_kept_as_it_is_told() {
    let mut bench = Bench::new();
    bench.edges(vec![low(BranchLink::Unknown, 4)]);
    assert_eq!(bench.shown(), [("low".to_owned(), BranchLink::Unknown, 5000)]);
}
