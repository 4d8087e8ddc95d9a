//! What came down to this instance, or was addressed to one client here, and whose publisher is to hear what became of it: a
//! fold over the log.
//!
//! A publication with a publish id that came from another log waits here until it is at a device, its time is over, or the
//! log lets go of it; and so does one of this log that is addressed to a client, until that client has it here or behind
//! an edge. What became of it is an event in its room's technical channel, which the fold reads back: what was
//! told before a crash is not told again. It owns its bound: of more than [`PENDING_MAX`] the oldest are forgotten, and
//! counted, of that log of which most wait, and of that of its rooms of which most wait; nothing is told of those. So who
//! says much in one room makes nothing forgotten in another of the same log of which fewer wait. What came up from an edge
//! below looks the same in a log, and is nobody's to tell here: whoever knows the logs below takes them out
//! ([`Outcomes::retain`]).

use riser_model::{ClientId, RoomId, Route, Seq, Wall, event};
use riser_wire::{
    cloud_event::{self, Outcome},
    entry::{Body, Frame, Kind, Publication, PublishId},
    property,
};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// Publications that wait. At most some 300 KiB in a checkpoint.
pub const PENDING_MAX: usize = 4096;
const SAVED_VERSION: u8 = 1;
/// In the place of an origin: it is of this log itself. No origin has that number, for each costs memory.
const OWN: u32 = u32::MAX;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcomes {
    pending: BTreeMap<Seq, Pending>,
    by_id: BTreeMap<(ClientId, PublishId), Seq>,
    expiring: BTreeSet<(Wall, Seq)>,
    /// The same of those from before the process began.
    expiring_before: BTreeSet<(Wall, Seq)>,
    by_origin: BTreeMap<u32, Share>,
    forgotten: u64,
    /// What is added to the time of what comes next.
    by_ms: i64,
}

/// One that waits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pending {
    /// In which room.
    pub room: RoomId,
    /// Who published it.
    pub client: ClientId,
    producer: u64,
    n: u64,
    origin: u32,
    /// Its seq there.
    pub seq: Seq,
    /// Of no use from then on, by this instance's clock, or the one that [`Outcomes::by`] makes of it.
    pub expires: Option<Wall>,
}

impl Pending {
    /// This log's number for the log that it comes from; it means something as long as the entry is in this log. None for
    /// what was published here.
    pub fn origin(&self) -> Option<u32> {
        (self.origin != OWN).then_some(self.origin)
    }

    /// The id that its publisher gave it.
    pub fn id(&self) -> PublishId {
        PublishId { producer: self.producer, n: self.n }
    }
}

impl Outcomes {
    /// From here on what comes was stamped by a clock to which so many milliseconds are to be added, to have the one of
    /// [`Outcomes::take_expired`].
    pub fn by(&mut self, by_ms: i64) {
        self.by_ms = by_ms;
    }

    /// Takes an entry of this log.
    pub fn apply(&mut self, seq: Seq, frame: &Frame<'_>, route: &Route) {
        match frame.origin {
            Some(_) => {
                self.come(seq, frame, route);
                self.is_there(frame, route);
            }
            None => {
                self.go(seq, frame, route);
                self.told(frame, route);
            }
        }
    }

    /// An entry of this log was published. Whether it waits: it is addressed to another client.
    pub fn go(&mut self, seq: Seq, frame: &Frame<'_>, route: &Route) -> bool {
        let is_addressed = route.channel.addressee().is_some_and(|client| client != route.client);
        if frame.origin.is_none() && is_addressed {
            self.wait(seq, frame, route, (OWN, seq, frame.wall()));
        }
        self.pending.contains_key(&seq)
    }

    /// An edge below says that a device has one of this log's, which waits no more. Nobody here is to say so again. What it
    /// says of its own log's bears another publication's id, if it bears one of these.
    pub fn is_there(&mut self, frame: &Frame<'_>, route: &Route) -> Option<Pending> {
        let (said, seq) = self.told_of(frame, route).filter(|_| route.channel.as_str() == "delivered")?;
        let is_own = self.pending.get(&seq).is_some_and(|pending| pending.origin == OWN);
        if said.entry.log == said.log || !is_own {
            return None;
        }
        self.take(seq)
    }

    /// Whether the one that is there waits.
    pub fn waits(&self, seq: Seq) -> bool {
        self.pending.contains_key(&seq)
    }

    /// An entry came from another log.
    pub fn come(&mut self, seq: Seq, frame: &Frame<'_>, route: &Route) {
        if let Some(origin) = frame.origin {
            self.wait(seq, frame, route, (origin.number, origin.seq, origin.wall));
        }
    }

    /// An entry waits that is there, in this log or the one it comes from, and was published then.
    fn wait(&mut self, at: Seq, frame: &Frame<'_>, route: &Route, (origin, seq, wall): (u32, Seq, Wall)) {
        if !Publication::has_publish_id(frame.body) {
            return;
        }
        let Ok(body) = Body::read(frame.body) else { return };
        let Ok(publication) = Publication::read(&body) else { return };
        let Some(PublishId { producer, n }) = publication.publish_id else { return };
        let wall = Wall(wall.0.saturating_add(self.by_ms));
        let expires = property::expiry_s(publication.properties).map(|s| wall.plus_s(s));
        let (room, client) = (route.room, route.client);
        self.insert(at, Pending { room, client, producer, n, origin, seq, expires });
    }

    fn insert(&mut self, seq: Seq, pending: Pending) {
        self.by_id.insert((pending.client, pending.id()), seq);
        self.expiring.extend(pending.expires.map(|at| (at, seq)));
        self.by_origin.entry(pending.origin).or_default().insert(pending.room, seq);
        self.pending.insert(seq, pending);
        if self.pending.len() > PENDING_MAX
            && let Some(most) = self.by_origin.values().max_by_key(|share| share.len)
            && let Some(oldest) = most.oldest_of_most()
        {
            self.take(oldest);
            self.forgotten += 1;
        }
    }

    /// What the system says of what became of one.
    fn told(&mut self, frame: &Frame<'_>, route: &Route) {
        if let Some((_, seq)) = self.told_of(frame, route) {
            self.take(seq);
        }
    }

    /// Which of those that wait an entry tells of.
    fn told_of(&self, frame: &Frame<'_>, route: &Route) -> Option<(Outcome, Seq)> {
        let is_event = frame.body.get(1) == Some(&Kind::Publication.number());
        if !is_event || route.client != ClientId::SYSTEM || !event::is_outcome(&route.channel) {
            return None;
        }
        let body = Body::read(frame.body).ok()?;
        let publication = Publication::read(&body).ok()?;
        let said = cloud_event::outcome(publication.payload)?;
        let seq = self.by_id.get(&(said.client, said.id)).copied()?;
        Some((said, seq))
    }

    /// It waits no more.
    pub fn take(&mut self, seq: Seq) -> Option<Pending> {
        let pending = self.pending.remove(&seq)?;
        let key = (pending.client, pending.id());
        if self.by_id.get(&key) == Some(&seq) {
            self.by_id.remove(&key);
        }
        if let Some(at) = pending.expires {
            let _ = self.expiring.remove(&(at, seq)) || self.expiring_before.remove(&(at, seq));
        }
        if let Some(share) = self.by_origin.get_mut(&pending.origin) {
            share.remove(pending.room, seq);
            if share.len == 0 {
                self.by_origin.remove(&pending.origin);
            }
        }
        Some(pending)
    }

    /// When the first of them expires, and the first of those from before the process began.
    pub fn first_expiry(&self) -> (Option<Wall>, Option<Wall>) {
        let first = |expiring: &BTreeSet<(Wall, Seq)>| expiring.first().map(|(at, _)| *at);
        (first(&self.expiring), first(&self.expiring_before))
    }

    /// The next of those whose time was over then, by this process' clock; of those from before it began, by `latest`. It
    /// waits no more.
    pub fn take_expired(&mut self, by: Wall, latest: Wall) -> Option<Pending> {
        let is_over = |by: Wall| move |(at, _): &&(Wall, Seq)| *at <= by;
        let (_, seq) = (self.expiring.first().filter(is_over(by)))
            .or_else(|| self.expiring_before.first().filter(is_over(latest)))
            .copied()?;
        self.take(seq)
    }

    /// The next of those that the log let go of; it waits no more.
    pub fn take_trimmed(&mut self, oldest: Seq) -> Option<Pending> {
        let seq = self.pending.first_key_value().map(|(seq, _)| *seq).filter(|seq| *seq < oldest)?;
        self.take(seq)
    }

    /// Keeps those that are somebody's to tell here.
    pub fn retain(&mut self, keep: impl Fn(&Pending) -> bool) {
        let others: Vec<Seq> =
            self.pending.iter().filter(|(_, one)| !keep(one)).map(|(seq, _)| *seq).collect();
        for seq in others {
            self.take(seq);
        }
    }

    /// The log was opened, and this is its oldest. What came from other logs and is there no more is forgotten: by now the
    /// numbers of those logs may be other logs', and what became of one would be told of another. What the process before
    /// did not get to tell of it when the log let go of it is told to nobody.
    pub fn start(&mut self, oldest: Seq) {
        let before = self.pending.range(..oldest).filter(|(_, one)| one.origin != OWN);
        for seq in before.map(|(seq, _)| *seq).collect::<Vec<_>>() {
            self.take(seq);
        }
        self.expiring_before.append(&mut self.expiring);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// How many were forgotten for want of room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// As it is kept beside the log.
    pub fn save(&self) -> Vec<u8> {
        let bytes = postcard::to_extend(&self.pending, vec![SAVED_VERSION]);
        bytes.expect("plain values serialize into memory")
    }

    /// As it was kept; none of another version, or damaged.
    pub fn load(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let pending: BTreeMap<Seq, Pending> =
            postcard::from_bytes(rest).ok().filter(|_| *version == SAVED_VERSION)?;
        let mut outcomes = Self::default();
        pending.into_iter().for_each(|(seq, pending)| outcomes.insert(seq, pending));
        Some(outcomes)
    }
}

/// Those of one log that wait, by their rooms: which to forget where there are too many.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Share {
    rooms: BTreeMap<RoomId, BTreeSet<Seq>>,
    /// How many wait of each room, and its oldest: the room with the most last, of several the one with the oldest.
    sizes: BTreeSet<(usize, Reverse<Seq>)>,
    len: usize,
}

impl Share {
    /// One more waits.
    pub fn insert(&mut self, room: RoomId, seq: Seq) {
        self.change(room, |seqs| seqs.insert(seq));
    }

    /// It waits no more.
    pub fn remove(&mut self, room: RoomId, seq: Seq) {
        self.change(room, |seqs| seqs.remove(&seq));
    }

    fn change(&mut self, room: RoomId, change: impl FnOnce(&mut BTreeSet<Seq>) -> bool) {
        let size = |seqs: &BTreeSet<Seq>| seqs.first().map(|oldest| (seqs.len(), Reverse(*oldest)));
        let seqs = self.rooms.entry(room).or_default();
        self.len -= seqs.len();
        if let Some(before) = size(seqs) {
            self.sizes.remove(&before);
        }
        change(seqs);
        self.len += seqs.len();
        match size(seqs) {
            Some(after) => _ = self.sizes.insert(after),
            None => _ = self.rooms.remove(&room),
        }
    }

    /// The oldest of the room of which most wait.
    pub fn oldest_of_most(&self) -> Option<Seq> {
        self.sizes.last().map(|(_, Reverse(oldest))| *oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{Epoch, LogId, Position, RouteNumber, Stamp, event::SystemEvent};
    use riser_wire::{
        cloud_event::{About, payload},
        entry::{ContentType, Origin},
    };
    use uuid::Uuid;

    const ROOM: RoomId = RoomId(Uuid::from_u128(5));
    const ANN: ClientId = ClientId(Uuid::from_u128(6));

    fn route(channel: &str, client: ClientId) -> Route {
        Route { room: ROOM, channel: channel.parse().unwrap(), client }
    }

    const HERE: u32 = 0;

    /// A publication of that n comes from that log, with seconds until it expires.
    fn come(outcomes: &mut Outcomes, seq: u64, n: u64, expires_s: Option<u32>, from: u32) {
        come_to(outcomes, seq, n, expires_s, (from, "lamp"));
    }

    fn come_to(
        outcomes: &mut Outcomes,
        seq: u64,
        n: u64,
        expires_s: Option<u32>,
        (from, channel): (u32, &str),
    ) {
        come_along(outcomes, (seq, n), expires_s, from, &route(channel, ANN));
    }

    fn come_along(
        outcomes: &mut Outcomes,
        (seq, n): (u64, u64),
        expires_s: Option<u32>,
        from: u32,
        route: &Route,
    ) {
        let properties: Vec<u8> =
            expires_s.into_iter().flat_map(|s| [vec![2], s.to_be_bytes().to_vec()].concat()).collect();
        let mut publication = Publication::new(ContentType::Text, b"on");
        publication.publish_id = Some(PublishId { producer: 9, n });
        publication.properties = &properties;
        let mut bytes = Vec::new();
        publication.write_frame(&mut bytes, RouteNumber(1), Stamp::default());
        let (frame, _) = Frame::read(&bytes, 0).unwrap();
        let origin = Origin { number: from, seq: Seq(seq * 10), wall: Wall(1000), uncertain: false };
        let frame = Frame { origin: (from != HERE).then_some(origin), ..frame };
        outcomes.apply(Seq(seq), &frame, route);
    }

    fn tell(outcomes: &mut Outcomes, n: u64, client: ClientId) {
        tell_from(outcomes, n, client, (true, LogId(3)));
    }

    /// The system says so here, or at an edge below, of an entry of that log.
    fn tell_from(outcomes: &mut Outcomes, n: u64, client: ClientId, (here, of): (bool, LogId)) {
        let entry = Position { log: of, epoch: Epoch(1), seq: Seq(1) };
        let publish_id = event::PublishedAs { producer: 9, n };
        let event = match here {
            true => SystemEvent::Expired { entry, client: ANN, publish_id },
            false => SystemEvent::Delivered { entry, client: ANN, publish_id, to: "lamp".parse().unwrap() },
        };
        let scope = event::Scope::Room(ROOM);
        let id = (Epoch(1), 1);
        let about = About { log: LogId(1), id, scope, name: Some("hall"), wall: Wall(0), count: 1 };
        let payload = payload(about, &event);
        let mut bytes = Vec::new();
        Publication::new(ContentType::Json, &payload).write_frame(
            &mut bytes,
            RouteNumber(1),
            Stamp::default(),
        );
        let (frame, _) = Frame::read(&bytes, 0).unwrap();
        let origin = Origin { number: 2, seq: Seq(7), wall: Wall(1000), uncertain: false };
        let frame = Frame { origin: (!here).then_some(origin), ..frame };
        outcomes.apply(Seq(999), &frame, &route(event.kind(), client));
    }

    #[test]
    fn what_is_addressed_to_a_client_here_waits_until_it_is_there_or_an_edge_says_so() {
        let mut outcomes = Outcomes::default();
        let lamp = Uuid::from_u128(7).to_string() + "/mode";
        let own = format!("{}/mode", ANN.0);
        come_to(&mut outcomes, 1, 1, Some(5), (HERE, &lamp));
        come_to(&mut outcomes, 2, 2, None, (HERE, &lamp));
        come_to(&mut outcomes, 3, 3, None, (HERE, &own));
        assert_eq!(outcomes.len(), 2, "what one says of oneself is nobody's to have");
        let mut outcomes = Outcomes::load(&outcomes.save()).unwrap();
        tell_from(&mut outcomes, 2, ClientId::SYSTEM, (false, LogId(1)));
        assert_eq!(outcomes.len(), 2, "of an entry of the edge's own, by the same publish id");
        tell_from(&mut outcomes, 2, ClientId::SYSTEM, (false, LogId(3)));
        assert!(outcomes.take(Seq(2)).is_none(), "a device behind an edge has it");
        let expired = outcomes.take_expired(Wall(i64::MAX), Wall(0)).unwrap();
        assert_eq!((expired.seq, expired.origin()), (Seq(1), None));
        come(&mut outcomes, 4, 4, None, 1);
        assert_eq!(outcomes.take(Seq(4)).unwrap().origin(), Some(1));
    }

    #[test]
    fn what_came_down_waits_until_its_outcome_is_told_over_a_restart_too() {
        let mut outcomes = Outcomes::default();
        come(&mut outcomes, 1, 1, None, 1);
        come(&mut outcomes, 2, 2, Some(5), 1);
        come(&mut outcomes, 3, 3, None, HERE);
        assert_eq!(outcomes.len(), 2, "what is published here is nobody's to tell");
        let mut outcomes = Outcomes::load(&outcomes.save()).unwrap();
        tell(&mut outcomes, 1, ANN);
        assert_eq!(outcomes.len(), 2, "only the system says what became of it");
        tell(&mut outcomes, 1, ClientId::SYSTEM);
        assert!(outcomes.take(Seq(1)).is_none());
        assert_eq!(
            outcomes.first_expiry(),
            (Some(Wall(6000)), None),
            "by the corrected time of its publication"
        );
        assert!(outcomes.take_expired(Wall(5999), Wall(9999)).is_none());
        outcomes.start(Seq(1));
        assert_eq!(outcomes.first_expiry(), (None, Some(Wall(6000))));
        assert!(outcomes.take_expired(Wall(9999), Wall(5999)).is_none(), "from before the process began");
        assert_eq!(outcomes.take_expired(Wall(0), Wall(6000)).unwrap().seq, Seq(20));
        assert!(outcomes.is_empty() && outcomes.first_expiry() == (None, None));
    }

    #[test]
    fn what_the_log_let_go_of_before_a_start_is_not_told_by_a_number_that_is_another_s_by_now() {
        let mut outcomes = Outcomes::default();
        let lamp = Uuid::from_u128(7).to_string() + "/mode";
        come_to(&mut outcomes, 1, 1, None, (HERE, &lamp));
        (2..=4).for_each(|n| come(&mut outcomes, n, n, Some(5), 1));
        outcomes.start(Seq(4));
        assert_eq!(
            outcomes.take_trimmed(Seq(4)).map(|one| one.origin()),
            Some(None),
            "its own has no number"
        );
        assert!(outcomes.take_trimmed(Seq(4)).is_none());
        assert_eq!(outcomes.take_expired(Wall(0), Wall(i64::MAX)).map(|one| one.n), Some(4), "it is there");
        assert!(outcomes.is_empty() && outcomes.by_id.is_empty());
    }

    #[test]
    fn a_log_that_brings_much_makes_only_its_own_forgotten() {
        let mut outcomes = Outcomes::default();
        come(&mut outcomes, 1, 1, None, 1);
        (2..=PENDING_MAX as u64 + 9).for_each(|n| come(&mut outcomes, n, n, None, 2));
        assert_eq!((outcomes.len(), outcomes.forgotten()), (PENDING_MAX, 9));
        outcomes.retain(|one| one.origin == 1);
        assert_eq!(outcomes.len(), 1);
        assert_eq!(outcomes.take(Seq(1)).map(|one| one.n), Some(1));
        assert!(outcomes.by_origin.is_empty() && outcomes.by_id.is_empty());
    }

    #[test]
    fn a_room_that_says_much_makes_only_its_own_forgotten() {
        let mut outcomes = Outcomes::default();
        let lamp = Uuid::from_u128(7).to_string() + "/mode";
        let quiet = Route { room: RoomId(Uuid::from_u128(4)), ..route(&lamp, ANN) };
        let loud = Route { client: ClientId::SYSTEM, ..route(&lamp, ANN) };
        (1..=100).for_each(|n| come_along(&mut outcomes, (n, n), None, HERE, &quiet));
        (101..=9000).for_each(|n| come_along(&mut outcomes, (n, n), None, HERE, &loud));
        assert_eq!((outcomes.len(), outcomes.forgotten()), (PENDING_MAX, 9000 - PENDING_MAX as u64));
        assert!((1..=100).all(|n| outcomes.waits(Seq(n))), "what waited there first waits on");
        let last = 9000 - PENDING_MAX as u64 + 100;
        assert!(!outcomes.waits(Seq(last)) && outcomes.waits(Seq(last + 1)), "the oldest of the loud room");
        // A checkpoint of it is read to the same.
        assert_eq!(
            Outcomes::load(&outcomes.save()).map(|one| one.by_origin),
            Some(outcomes.by_origin.clone())
        );
        // Over many rooms too, a log that brings much makes only its own forgotten.
        (9001..=20_000).for_each(|n| {
            let route = Route { room: RoomId(Uuid::from_u128(u128::from(n))), ..quiet.clone() };
            come_along(&mut outcomes, (n, n), None, 1, &route);
        });
        assert!((1..=100).all(|n| outcomes.waits(Seq(n))));
        assert!(outcomes.waits(Seq(20_000)) && !outcomes.waits(Seq(9001)), "and of as many the oldest");
        outcomes.retain(|_| false);
        assert!(outcomes.by_origin.is_empty() && outcomes.by_id.is_empty());
    }

    #[test]
    fn of_too_many_the_oldest_are_forgotten_and_counted() {
        let mut outcomes = Outcomes::default();
        (1..=PENDING_MAX as u64 + 3).for_each(|n| come(&mut outcomes, n, n, Some(1), 1));
        assert_eq!((outcomes.len(), outcomes.forgotten()), (PENDING_MAX, 3));
        assert_eq!(outcomes.expiring.len(), PENDING_MAX);
        assert_eq!(outcomes.take_trimmed(Seq(6)).map(|one| one.n), Some(4));
        assert_eq!(outcomes.take_trimmed(Seq(6)).map(|one| one.n), Some(5));
        assert!(outcomes.take_trimmed(Seq(6)).is_none());
        let saved = outcomes.save();
        assert!(saved.len() < 400_000, "{}", saved.len());
        assert!(Outcomes::load(&saved[..saved.len() - 1]).is_none());
    }
}
