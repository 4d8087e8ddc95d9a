//! One run: a seed's world, its faults, its healing, and the verdict.

use crate::{
    channels, downward, judge,
    knobs::{Knobs, Theme},
    ledger::Counts,
    mutant::Mutant,
    outcomes,
    world::World,
};
use riser_model::Time;
use riser_wire::entry::Kind;
use std::time::Duration;

/// After everything was made well, all must be where it belongs within so long.
const HEALS_WITHIN: Duration = Duration::from_secs(1200);
/// Out of step with what hosts say of themselves every 5 s, which is always under way for a moment.
const LOOK_EVERY: Duration = Duration::from_millis(3_700);

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// What it was about.
    pub theme: Theme,
    /// Its seed.
    pub seed: u64,
    /// How long it lasted, in its own time.
    pub lasted: Duration,
    /// What was counted.
    pub counts: Counts,
    /// What is wrong: when, and what.
    pub wrong: Vec<(Time, String)>,
    /// Its lines, if they were kept.
    pub lines: Vec<String>,
}

/// Runs a seed of a site to its end.
pub fn run(seed: u64, mutant: Option<Mutant>, traced: bool) -> Report {
    run_theme(Theme::Site, seed, mutant, traced)
}

/// Runs a seed to its end.
pub fn run_theme(theme: Theme, seed: u64, mutant: Option<Mutant>, traced: bool) -> Report {
    let knobs = match theme {
        Theme::Site => Knobs::draw(seed),
        Theme::House => Knobs::draw_house(seed),
        Theme::Rooms => Knobs::draw_rooms(seed),
        Theme::Limits => Knobs::draw_limits(seed),
        Theme::Post => Knobs::draw_post(seed),
        Theme::Annex => Knobs::draw_annex(seed),
    };
    let mut world = World::new(seed, knobs, mutant, traced);
    let heals_at = world.knobs.heals_at();
    world.run_until(heals_at);
    conclude((theme, seed), world)
}

/// Heals a world, waits until all is where it belongs, and judges it.
pub fn conclude(which: (Theme, u64), mut world: World) -> Report {
    world.heal();
    settles(&mut world, HEALS_WITHIN);
    finish(which, world)
}

/// Waits until all is where it belongs, which must be within so long.
pub(crate) fn settles(world: &mut World, within: Duration) {
    let until = world.now.plus(within);
    let mut unfinished = unfinished(world);
    while unfinished.is_some() && world.now < until {
        let next = world.now.plus(LOOK_EVERY);
        world.run_until(next);
        unfinished = self::unfinished(world);
    }
    if let Some(what) = unfinished {
        let at = world.now;
        world.trace.wrong(at, format!("{} s after all was mended: {what}", within.as_secs()));
    }
}

/// Judges a world in which all is where it belongs, or should be.
pub(crate) fn finish((theme, seed): (Theme, u64), mut world: World) -> Report {
    let mut wrong = judge::judge(&world.hosts, &mut world.ledger);
    wrong.extend(judge::written(&world.hosts, &world.ledger));
    let (of_downlinks, came_down) = downward::judge(&world.hosts, &world.ledger);
    wrong.extend(of_downlinks);
    world.ledger.counts.came_down += came_down;
    wrong.extend(world.hosts.first().into_iter().flat_map(|hub| channels::judge(hub, &world.ledger)));
    let (of_outcomes, outcomes) = outcomes::judge(&world.hosts, &world.ledger, world.now);
    wrong.extend(of_outcomes);
    world.ledger.counts.outcomes += outcomes;
    if world.knobs.post {
        let (of_post, void) = world.post.judge(&world.hosts, world.now);
        wrong.extend(of_post);
        world.ledger.counts.void += void;
    }
    wrong.extend(world.market.iter().flat_map(|market| market.judge(&world.hosts)));
    wrong.extend(world.judge_guests());
    let at = world.now;
    for what in wrong {
        world.trace.wrong(at, what);
    }
    let counts = world.ledger.counts;
    // There are houses that let nobody in, or one for a moment, at whose end the hub dies before it has said anything. Who may
    // get in when all is well again and is told nothing is owed that, and has been said to be.
    let is_shut = matches!(theme, Theme::House | Theme::Annex) && counts.whole == 0 && counts.turned_away > 0;
    if counts.delivered + counts.heard == 0 && !is_shut || counts.hub_entries == 0 {
        world.trace.wrong(at, "nothing was delivered".to_owned());
    }
    world.trace.line(at, || format!("{counts:?}"));
    Report {
        theme,
        seed,
        lasted: Duration::from_nanos(at.0),
        counts,
        lines: world.trace.lines().to_vec(),
        wrong: world.trace.wrong,
    }
}

/// What is not where it belongs yet.
fn unfinished(world: &mut World) -> Option<String> {
    for (n, seat) in world.devices.iter().enumerate() {
        if seat.device.owes() > 0 {
            return Some(format!("device {n} still has {} to publish", seat.device.owes()));
        }
    }
    for (n, seat) in world.writers.iter().enumerate() {
        if seat.writer.owes() > 0 {
            return Some(format!("writer {n} still has {} to publish", seat.writer.owes()));
        }
    }
    if let Some(owed) = world.callers_owed().or_else(|| world.talkers_owed()) {
        return Some(owed);
    }
    let hub = world.hosts.first()?;
    if let Some(behind) = world.hosts.iter().find_map(|host| host.behind_downwards(world.now)) {
        return Some(behind);
    }
    for (n, edge) in world.hosts.iter().enumerate().skip(1) {
        let last = edge.journal.entries.iter().rev().find(|(_, entry)| entry.kind == Kind::Publication);
        let (Some((seq, entry)), Some(log)) = (last, edge.log) else { continue };
        let through = hub.journal.taken(log, entry.epoch);
        if through.is_none_or(|through| through < *seq) {
            return Some(format!("the hub has not all of edge {n}: {through:?} of {}", seq.0));
        }
    }
    let owed = world.subscribers.iter().find_map(|seat| {
        let who = &seat.subscriber.identity;
        let owed = seat.reading.owed(who, &hub.journal)?;
        Some(format!("{} was not told {}", who.user, owed.0))
    });
    owed.or_else(|| world.guests_owed())
}
