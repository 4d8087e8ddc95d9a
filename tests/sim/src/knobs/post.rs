//! Runs in which much is addressed to one client: at the hub, behind edges, and where nobody is.

use super::{Knobs, device, reader, writers_of};
use crate::{
    dice::Dice,
    fault,
    guest::{Comes, Identity as Guest},
    post, site,
    subscriber::Reads,
};
use fastrand::Rng;

impl Knobs {
    /// Those of a seed: as a site, with those who write to lamps and who hear it.
    pub fn draw_post(seed: u64) -> Self {
        let dice = Dice(seed);
        let mut rng = dice.stream("post knobs", 0);
        let mut knobs = Self::draw(seed);
        knobs.post = true;
        (knobs.yard, knobs.channels) = (false, None);
        knobs.devices = (1..=knobs.edges).map(|edge| device(&mut rng, edge, 150)).collect();
        knobs.readers = vec![
            reader("ann", site::PLANT, "#", Reads::Credit, true),
            reader(post::SCREEN, site::PLANT, "#", Reads::Credit, true),
            reader(post::SCREEN, site::YARD, "#", Reads::Credit, false),
            reader(site::OPERATOR, site::YARD, "#", Reads::Credit, false),
        ];
        let edge = rng.usize(1..=knobs.edges);
        let writers = [(0, site::YARD), (0, site::CELLAR), (0, site::PLANT)];
        let at_edges = [(edge, site::YARD), (edge, site::CELLAR), (rng.usize(1..=knobs.edges), site::PLANT)];
        knobs.writers = writers_of(&[writers, at_edges].concat());
        knobs.guests = Vec::new();
        knobs.hear(&mut rng, edge);
        knobs.faults = fault::plan(seed, &knobs, &mut dice.stream("post faults", 0));
        knobs.faults.extend(fault::writers(seed, &knobs, &mut dice.stream("writer faults", 0)));
        knobs.faults.extend(fault::guests(seed, &knobs, &mut dice.stream("guest faults", 0)));
        knobs.faults.extend(fault::readers(seed, &knobs, &mut dice.stream("reader faults", 0)));
        knobs
    }

    /// Those who hear: one lamp by several connections here and there, one that comes and goes, and others to whom nothing of
    /// that is addressed.
    fn hear(&mut self, rng: &mut Rng, edge: usize) {
        let other = rng.usize(1..=self.edges);
        for (user, host, room, comes) in [
            (post::KEPT, 0, site::YARD, Comes::ToKeep),
            (post::KEPT, edge, site::YARD, Comes::ToKeep),
            (post::KEPT, edge, site::YARD, Comes::ToHear),
            (post::KEPT, other, site::YARD, Comes::ToHear),
            (post::KEPT, 0, site::PLANT, Comes::ToKeep),
            (post::PASSING, 0, site::CELLAR, Comes::ToHear),
            (post::PASSING, edge, site::CELLAR, Comes::ToHear),
            ("dan", 0, site::YARD, Comes::ToKeep),
            (site::VIEWER, other, site::YARD, Comes::ToHear),
        ] {
            let settles_at = riser_model::Time(self.heals_at().0 - rng.u64(0..120_000_000_000));
            self.guests.push(Guest {
                id: format!("guest-{}", self.guests.len()),
                user: user.to_owned(),
                password: site::password(user),
                host,
                comes,
                v5: rng.bool(),
                room: room.to_owned(),
                filter: "#".to_owned(),
                group: None,
                qos: rng.u8(1..3),
                receive_max: rng.u16(1..30),
                settles_at,
            });
        }
    }
}
