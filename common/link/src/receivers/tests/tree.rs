//! What an edge may say of the edges below it.

use super::*;
use riser_wire::link::{Above, Branch, BranchLink, HOPS_MAX, NotShown, SEQ_MAX, Tree};

const LOW: ClientId = ClientId(Uuid::from_bytes([2; 16]));

fn branch() -> Branch {
    Branch {
        number: 0,
        edge: LOW,
        account: registered().account,
        name: "low".parse().unwrap(),
        path: Vec::new(),
        log: Some((LogId(50), Epoch(8))),
        link: BranchLink::Up,
        for_ms: 5,
        tail: Seq(9),
    }
}

fn between(n: u8) -> Vec<ClientId> {
    (0..n).map(|n| ClientId(Uuid::from_bytes([100 + n; 16]))).collect()
}

/// What of it may be shown, how much not, and why.
fn told(hub: &mut Hub, branches: Vec<Branch>) -> (usize, u32, Option<NotShown>) {
    let outputs = hub.frame(C1, EdgeFrame::Tree(Tree { edges: branches, ..Tree::default() }));
    let [Output::Tree { connection: C1, edge: EDGE, tree, left_out, why }] = outputs else {
        panic!("{outputs:?}")
    };
    (tree.edges.len(), left_out.len() as u32, *why)
}

fn up() -> Hub {
    let mut hub = Hub::new();
    assert!(welcomed(hub.greet(C1, &hello()), C1));
    hub
}

#[test]
fn an_edge_that_relays_says_what_is_below_it_in_its_account() {
    let mut hub = up();
    let never_came = Branch { log: None, link: BranchLink::Down, ..branch() };
    let deeper = Branch { path: between(1), ..branch() };
    assert_eq!(told(&mut hub, vec![branch(), never_came, deeper]), (3, 0, None));
    let other = Branch { account: AccountId(Uuid::from_bytes([8; 16])), ..branch() };
    assert_eq!(told(&mut hub, vec![other, branch()]), (1, 1, Some(NotShown::OtherAccount)));
    // Whatever it says itself of one that is known here.
    hub.receivers.know([(LOW, AccountId(Uuid::from_bytes([8; 16])))]);
    assert_eq!(told(&mut hub, vec![branch()]), (0, 1, Some(NotShown::OtherAccount)));
    hub.receivers.know([(LOW, registered().account)]);
    assert_eq!(told(&mut hub, vec![branch()]), (1, 0, None));
}

#[test]
fn an_edge_that_may_not_relay_says_nothing_of_what_is_below_it_and_its_link_stays() {
    let mut hub = relay::not_to_relay();
    assert_eq!(told(&mut hub, vec![branch(), branch()]), (0, 2, Some(NotShown::NoRelay)));
    assert!(matches!(hub.frame(C1, EdgeFrame::Ping(1)), [Output::Send { frame: HubFrame::Pong(1), .. }]));
}

#[test]
fn no_log_is_said_to_be_below_that_is_another_accounts_or_lies_here_or_above_or_is_the_edges_own() {
    let other = (ClientId(Uuid::from_bytes([3; 16])), AccountId(Uuid::from_bytes([8; 16])));
    let taken = CursorValue { through: Seq(1), heard: Seq(1), first: Seq(1), ..CursorValue::default() };
    let mut hub = Hub::over([(CursorKey::Ingest(other.0, LogId(60), Epoch(1)), taken)]);
    hub.receivers.know([other, (EDGE, registered().account)]);
    hub.input(Input::Above(Above { hops: 1, logs: vec![LogId(70)] }));
    assert!(welcomed(hub.greet(C1, &hello()), C1));
    for log in [LogId(60), HUB_LOG, LogId(70), hello().log] {
        let of = Branch { log: Some((log, Epoch(1))), ..branch() };
        assert_eq!(told(&mut hub, vec![of]), (0, 1, Some(NotShown::OtherLog)), "{log:?}");
    }
    for of in [
        Branch { edge: EDGE, ..branch() },
        Branch { path: vec![EDGE], ..branch() },
        Branch { path: vec![LOW], ..branch() },
    ] {
        assert_eq!(told(&mut hub, vec![of]), (0, 1, Some(NotShown::OtherLog)), "nobody is below itself");
    }
}

#[test]
fn no_more_links_than_eight_lead_to_an_edge() {
    for hops in 0..3 {
        let mut hub = Hub::new();
        hub.input(Input::Above(Above { hops, logs: Vec::new() }));
        assert!(welcomed(hub.greet(C1, &hello()), C1));
        // One from the edge to who says it, one from there to here, and those above.
        let most = HOPS_MAX - 2 - hops;
        let of = |n| vec![Branch { path: between(n), ..branch() }];
        assert_eq!(told(&mut hub, of(most)), (1, 0, None));
        assert_eq!(told(&mut hub, of(most + 1)), (0, 1, Some(NotShown::TooDeep)));
    }
}

#[test]
fn a_tail_that_no_log_has_ends_the_link() {
    let beyond = SEQ_MAX.next();
    let edges = vec![Branch { tail: beyond, ..branch() }];
    for tree in [Tree { edges, ..Tree::default() }, Tree { tails: vec![(0, beyond)], ..Tree::default() }] {
        let mut hub = up();
        let outputs = hub.frame(C1, EdgeFrame::Tree(tree));
        assert_eq!(closed(outputs, C1), Some(RefusedCode::Malformed));
    }
}

#[test]
fn before_it_is_welcomed_nobody_says_what_is_below_it() {
    let mut hub = Hub::new();
    hub.open(C1);
    let outputs = hub.frame(C1, EdgeFrame::Tree(Tree::default()));
    assert_eq!(closed(outputs, C1), Some(RefusedCode::WrongState));
}
