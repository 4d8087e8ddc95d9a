//! Hub and edge in two network namespaces: the cable is pulled under load, a backlog grows, the cable is
//! plugged in again.

use serde_json::json;

use crate::needs::{Need, needs};
use crate::place::Cable;
use crate::program::{EVENTUALLY, SOON, wait};
use crate::site::{Plan, SENSOR, Site};

const COUNT: u64 = 3000;
const RATE: u64 = 600;

fn apart(cable: &Cable) -> Site {
    let plan =
        Plan { hub_place: Some(cable.a.clone()), edge_place: Some(cable.b.clone()), ..Plan::default() };
    Site::planned(plan)
}

#[test]
fn backlog_of_a_partition_arrives_once_and_in_order() {
    needs!(Need::Namespaces, Need::Program("curl"), Need::Python, Need::Node);
    let cable = Cable::lay();
    let site = apart(&cable);
    let board = json!({ "technical": "account" });
    let _board = site.dashboard("board", &site.hub, "hall", board);
    site.history.wait_mark("board ready", SOON);
    let ask = json!({ "stream": "s", "topic": "sensors/s", "qos": 2, "count": COUNT, "rate": RATE });
    let publisher = site.client("publisher", "publish_paho.py", &site.edge, SENSOR, ask);
    let history = &site.history;
    history.wait("it flows", EVENTUALLY, |ledger| ledger.delivered("board") >= 300);

    cable.cut();
    // The sensor notices nothing: every publication is still acknowledged.
    publisher.finish(EVENTUALLY);
    assert_eq!(history.ledger().acked("s"), COUNT);
    let behind = history.ledger().delivered("board");
    assert!(behind < COUNT, "the cut came before the end");
    let queued = wait(SOON, || site.edge.equation()).map(|[_, _, queued, _]| queued);
    assert!(queued >= Some((COUNT - behind) as f64), "queued {queued:?}, {behind} delivered");

    cable.heal();
    history.wait("the backlog is there", EVENTUALLY, |ledger| ledger.delivered("board") == COUNT);
    let verdict = history.ledger().verdict("board");
    assert!(verdict.is_clean(), "{verdict:?}");
    history.wait_mark("board event caught_up", SOON);
    let equation = wait(SOON, || site.edge.equation().filter(|[_, _, queued, _]| *queued == 0.0));
    let [accepted, synced, _, gapped] = equation.expect("nothing is queued after a while");
    assert!(accepted == synced && gapped == 0.0, "accepted {accepted}, synced {synced}, gapped {gapped}");
}

#[test]
fn link_that_swallows_one_way_is_given_up_and_opened_again() {
    needs!(Need::Namespaces, Need::Program("nft"), Need::Program("curl"), Need::Python, Need::Node);
    let cable = Cable::lay();
    let site = apart(&cable);
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let ask = json!({ "stream": "s", "topic": "sensors/s", "qos": 2, "count": COUNT, "rate": RATE });
    let publisher = site.client("publisher", "publish_paho.py", &site.edge, SENSOR, ask);
    let history = &site.history;
    history.wait("it flows", EVENTUALLY, |ledger| ledger.delivered("board") >= 300);

    // The edge's entries arrive, the hub's confirmations do not: the same entries will be sent again.
    cable.swallow_from_a();
    publisher.finish(EVENTUALLY);
    let queued = wait(SOON, || site.edge.equation().filter(|[_, _, queued, _]| *queued > 0.0));
    assert!(queued.is_some(), "nothing is confirmed, so something is queued");
    cable.swallow_nothing();
    history.wait("the rest is there", EVENTUALLY, |ledger| ledger.delivered("board") == COUNT);
    let verdict = history.ledger().verdict("board");
    assert!(verdict.is_clean(), "{verdict:?}");
}
