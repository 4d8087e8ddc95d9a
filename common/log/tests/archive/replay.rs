//! What archived rooms have, over the seam with the log and over power loss.

use crate::world::*;

#[test]
fn archived_rooms_are_replayed_over_the_seam_without_hole_or_double_and_others_are_told_what_is_gone() {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(120);
    assert!(world.open());
    world.run(80);
    assert!(world.oldest() > 100, "the log has let go of most: {}", world.oldest());
    world.check();
    for from in 1..world.oldest() + 5 {
        let (found, gaps) = world.replay(from, &[1]);
        assert_eq!((found, gaps), (world.expected(from, &[1]), vec![]), "from {from}");
    }
    // A room that is not archived has what the log has.
    let oldest = world.oldest();
    let (found, gaps) = world.replay(1, &[2]);
    assert_eq!(gaps.iter().map(Gap::count).sum::<u64>(), oldest - 1);
    assert!(gaps.iter().all(|gap| gap.cause == Cause::HubQuota));
    assert_eq!(found, world.expected(oldest, &[2]));
}

#[test]
fn power_loss_between_every_two_calls_of_the_archives_disk_loses_and_doubles_nothing() {
    for call in 1..=calls(false) {
        for fate in [Fate::Lost, Fate::Kept, Fate::Dice] {
            crashed(call, false, fate);
        }
    }
}

#[test]
fn power_loss_between_two_calls_of_the_logs_disk_loses_and_doubles_nothing() {
    for call in (1..=calls(true)).step_by(7) {
        crashed(call, true, [Fate::Lost, Fate::Kept, Fate::Dice][call as usize % 3]);
    }
}
