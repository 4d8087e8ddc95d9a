use super::*;

const LONG: Duration = Duration::from_secs(60);

fn drained(pair: &mut Pair) {
    if !pair.heal(LONG) {
        let status: Vec<_> = pair.edges.iter().map(|e| (e.status(pair.now), e.tallies())).collect();
        panic!("not drained: {status:#?}\n{}", pair.said.join("\n"));
    }
    if let Err(wrong) = pair.check() {
        panic!("{wrong}\n{}", pair.said.join("\n"));
    }
}

#[test]
fn everything_arrives_once_in_order() {
    let mut pair = Pair::new(1);
    for _ in 0..100 {
        pair.publish(0, 10);
        pair.publish_local(0, 1);
        pair.run_for(Duration::from_millis(5));
    }
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 1000);
    assert!(pair.hubs[0].disk.gaps.is_empty());
}
