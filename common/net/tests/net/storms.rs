//! More connections at once than are accepted per second.

use crate::house::{Client, House, limits, storing_door};
use riser_net::Limits;

#[tokio::test]
async fn who_is_too_many_waits_and_is_let_in_in_its_turn() {
    const STORM: u64 = 20;
    let house = House::new(Limits { accepts_per_s: 50, ..limits() });
    let address = house.serve(storing_door);
    let mut clients = Vec::new();
    for _ in 0..STORM {
        // The system has taken it before we have.
        clients.push(Client::connect(address).await);
    }
    for client in &mut clients {
        client.write(b"x").await;
        assert_eq!(client.read_line().await, "ok 1\n");
    }
    let counters = house.entrance.counters();
    assert_eq!(counters.accepted.read(), STORM);
    assert!(counters.accepts_paced.read() > 0, "nobody waited");
}

#[tokio::test]
async fn without_a_bound_nobody_waits() {
    let house = House::new(Limits { accepts_per_s: 0, ..limits() });
    let address = house.serve(storing_door);
    for _ in 0..20 {
        let mut client = Client::connect(address).await;
        client.write(b"x").await;
        assert_eq!(client.read_line().await, "ok 1\n");
    }
    assert_eq!(house.entrance.counters().accepts_paced.read(), 0);
}
