//! Groups that share a subscription: one cursor, and who has what of it.
//!
//! A group looks for its next entry when a member pulls, and gives it to that member alone. What was given is kept
//! note of until the member settles it; what a member leaves behind is *pending* and goes to the next that may read
//! it. A group lives as long as it has a member or a session holds it; what sessions have in flight is theirs.

use crate::{
    graph::{ChannelSlot, Key},
    topics,
};
use riser_model::{AccountId, ConnectionId, Gap, Grants, Seq, ShareKey, SubscriptionId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Entries of one group that are given and not settled: with as many nobody gets more.
const GIVEN_MAX: usize = 16_384;
/// Entries of one group that no member which came by may read, and that wait for one that may. With as many, who may
/// not read the next one stops before it.
const LEFT_MAX: usize = 1024;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ShareId(u64);

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) grants: Arc<Grants>,
    /// How much it takes unsettled.
    pub(crate) most: usize,
    /// A session holds it.
    pub(crate) kept: bool,
    /// The group's turn when it last got something: the lowest is the next.
    served: u64,
    given: usize,
}

impl Member {
    pub(crate) fn new(grants: Arc<Grants>, most: u16, kept: bool) -> Self {
        Self { grants, most: usize::from(most.max(1)), kept, served: 0, given: 0 }
    }
}

#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) key: ShareKey,
    topic: String,
    /// Everything up to here was given or passed over, or is pending.
    pub(crate) cursor: Seq,
    /// For whoever may read them, with their channels where those are known.
    pub(crate) pending: BTreeMap<Seq, Option<ChannelSlot>>,
    /// After the cursor, and not for anybody: a session has them.
    pub(crate) taken: BTreeSet<Seq>,
    given: BTreeMap<Seq, (Key, ChannelSlot)>,
    members: BTreeMap<Key, Member>,
    turn: u64,
    /// How many sessions hold it, as the log says.
    pub(crate) sessions: usize,
    /// Its members' rights differed.
    mixed: bool,
    /// A member stopped, for too many were left to others.
    stopped: bool,
}

impl Share {
    fn new(key: ShareKey, topic: String, cursor: Seq) -> Self {
        Self {
            key,
            topic,
            cursor,
            pending: BTreeMap::new(),
            taken: BTreeSet::new(),
            given: BTreeMap::new(),
            members: BTreeMap::new(),
            turn: 0,
            sessions: 0,
            mixed: false,
            stopped: false,
        }
    }

    /// Whether a member takes one more.
    pub(crate) fn takes(&self, member: Key) -> bool {
        let own = self.members.get(&member).is_some_and(|member| member.given < member.most);
        own && self.given.len() < GIVEN_MAX
    }

    /// How many entries a member gets at a time, of so many: a fair part, so that no one takes them all.
    pub(crate) fn portion(&self, newest: Seq) -> usize {
        const PORTION_MAX: usize = 32;
        let waiting = newest.0.saturating_sub(self.cursor.0) as usize + self.pending.len();
        waiting.div_ceil(self.members.len().max(1)).clamp(1, PORTION_MAX)
    }

    /// Whether what one member may not read may be for another one, here or not.
    pub(crate) fn is_mixed(&self) -> bool {
        self.mixed || self.members.values().filter(|member| member.kept).count() < self.sessions
    }

    /// Whether it wants a channel, whoever reads.
    pub(crate) fn wants(&self, room: &str, channel: &str, rooted: bool) -> bool {
        if rooted {
            topics::meets(&self.topic, channel)
        } else {
            topics::meets(&self.topic, &format!("{room}/{channel}"))
        }
    }

    /// One that the member which came by may not read. False if there is no room for it: that member is to stop
    /// before it.
    pub(crate) fn leave_to_others(&mut self, seq: Seq, channel: ChannelSlot) -> bool {
        let fits = self.pending.len() < LEFT_MAX;
        if fits {
            self.pending.insert(seq, Some(channel));
        }
        self.stopped |= !fits;
        fits
    }

    /// Whether who stopped may go on.
    fn goes_on(&mut self) -> bool {
        let goes_on = self.stopped && self.pending.len() < LEFT_MAX;
        self.stopped &= !goes_on;
        goes_on
    }

    /// A member gets this.
    pub(crate) fn give(&mut self, member: Key, seq: Seq, channel: ChannelSlot) {
        self.pending.remove(&seq);
        self.cursor = self.cursor.max(seq);
        self.turn += 1;
        if let Some(one) = self.members.get_mut(&member) {
            one.served = self.turn;
            one.given += 1;
        }
        self.given.insert(seq, (member, channel));
    }

    /// These are gone from the log.
    pub(crate) fn pass(&mut self, gap: &Gap) {
        self.cursor = self.cursor.max(gap.to);
        self.pending.retain(|seq, _| !(gap.from..=gap.to).contains(seq));
        self.taken.retain(|seq| *seq > gap.to);
    }

    /// One of those that were given is done with; where it was to be read.
    fn settle(&mut self, member: Option<Key>, seq: Seq) -> Option<ChannelSlot> {
        let (holder, channel) =
            *self.given.get(&seq).filter(|(of, _)| member.is_none_or(|one| one == *of))?;
        self.given.remove(&seq);
        if let Some(one) = self.members.get_mut(&holder) {
            one.given = one.given.saturating_sub(1);
        }
        Some(channel)
    }

    fn take_back(&mut self, of: impl Fn(Key) -> bool) -> bool {
        let gone: Vec<Seq> =
            self.given.iter().filter(|(_, (key, _))| of(*key)).map(|(seq, _)| *seq).collect();
        for seq in &gone {
            if let Some(channel) = self.settle(None, *seq) {
                self.pending.insert(*seq, Some(channel));
            }
        }
        !gone.is_empty()
    }

    fn is_over(&self) -> bool {
        self.members.is_empty() && self.sessions == 0
    }

    /// Its members, the one that waits longest first.
    fn waiting(&self) -> Vec<Key> {
        let mut members: Vec<(u64, Key)> =
            self.members.iter().map(|(key, member)| (member.served, *key)).collect();
        members.sort_unstable();
        members.into_iter().map(|(_, key)| key).collect()
    }

    /// Of what lies up to its cursor, what nobody has for good.
    pub(crate) fn open(&self) -> Vec<Seq> {
        self.pending.keys().chain(self.given.keys()).copied().collect::<BTreeSet<Seq>>().into_iter().collect()
    }
}

/// All groups of one bus.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    by_id: BTreeMap<ShareId, Share>,
    by_key: BTreeMap<ShareKey, ShareId>,
    /// Members, and who was one and has entries that it has not settled.
    by_member: BTreeMap<Key, ShareId>,
    next: u64,
    /// Groups that sessions hold and that got on.
    news: BTreeSet<ShareId>,
}

impl Shares {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn count_of(&self, account: AccountId) -> usize {
        self.by_key.keys().filter(|key| key.account == account).count()
    }

    pub(crate) fn get(&self, id: ShareId) -> Option<&Share> {
        self.by_id.get(&id)
    }

    pub(crate) fn named(&self, key: &ShareKey) -> Option<ShareId> {
        self.by_key.get(key).copied()
    }

    /// The group of that name, which begins there if there is none.
    pub(crate) fn group(&mut self, key: &ShareKey, topic: &str, cursor: Seq) -> ShareId {
        if let Some(id) = self.named(key) {
            return id;
        }
        let id = ShareId(self.next);
        self.next += 1;
        self.by_key.insert(key.clone(), id);
        self.by_id.insert(id, Share::new(key.clone(), topic.to_owned(), cursor));
        id
    }

    /// One more member, or one with other options.
    pub(crate) fn join(&mut self, id: ShareId, key: Key, member: Member) {
        let Some(share) = self.by_id.get_mut(&id) else { return };
        share.mixed |= share.members.values().next().is_some_and(|one| one.grants != member.grants);
        let former = share.members.remove(&key).map_or((0, 0), |one| (one.served, one.given));
        share.members.insert(key, Member { served: former.0, given: former.1, ..member });
        self.by_member.insert(key, id);
    }

    /// One member less. What it has it may still settle.
    pub(crate) fn part(&mut self, key: Key) {
        let Some(id) = self.by_member.get(&key).copied() else { return };
        let Some(share) = self.by_id.get_mut(&id) else { return };
        share.members.remove(&key);
        self.tidy(id, Some(key));
    }

    /// A connection is gone: what its members had is for others. The groups that have something for them.
    pub(crate) fn leave(&mut self, connection: ConnectionId) -> Vec<ShareId> {
        let (from, to) = ((connection, SubscriptionId(0)), (connection, SubscriptionId(u32::MAX)));
        let own: Vec<(Key, ShareId)> = self.by_member.range(from..=to).map(|(key, id)| (*key, *id)).collect();
        let mut moved = Vec::new();
        for (key, id) in own {
            let Some(share) = self.by_id.get_mut(&id) else { continue };
            share.members.remove(&key);
            if share.take_back(|of| of == key) {
                self.news.insert(id);
                moved.push(id);
            }
            self.tidy(id, Some(key));
        }
        moved
    }

    /// A member says what became of its entries. The group, if others have something now or may go on.
    pub(crate) fn settle(&mut self, key: Key, done: &[Seq], returned: &[Seq]) -> Option<ShareId> {
        let id = *self.by_member.get(&key)?;
        let share = self.by_id.get_mut(&id)?;
        for seq in done {
            share.settle(Some(key), *seq);
        }
        let mut moved = false;
        for seq in returned {
            if let Some(channel) = share.settle(Some(key), *seq) {
                share.pending.insert(*seq, Some(channel));
                moved = true;
            }
        }
        moved |= share.goes_on();
        self.news.insert(id);
        self.tidy(id, Some(key));
        moved.then_some(id)
    }

    /// Sessions have these.
    pub(crate) fn taken(&mut self, key: &ShareKey, seqs: &[Seq]) {
        let Some(id) = self.named(key) else { return };
        let Some(share) = self.by_id.get_mut(&id) else { return };
        for seq in seqs {
            share.settle(None, *seq);
            share.pending.remove(seq);
        }
        self.news.insert(id);
    }

    /// Nobody has these.
    pub(crate) fn returned(&mut self, key: &ShareKey, seqs: &[Seq]) -> Option<ShareId> {
        let id = self.named(key)?;
        let share = self.by_id.get_mut(&id)?;
        for seq in seqs {
            // What lies ahead is found by itself.
            share.taken.remove(seq);
            if *seq <= share.cursor {
                share.pending.insert(*seq, None);
            }
        }
        self.news.insert(id);
        Some(id)
    }

    /// So many sessions hold it.
    pub(crate) fn kept(&mut self, id: ShareId, sessions: usize) {
        if let Some(share) = self.by_id.get_mut(&id) {
            share.sessions = sessions;
            self.news.insert(id);
            self.tidy(id, None);
        }
    }

    /// Forgets who has nothing to do with a group any more, and the group if nobody has.
    fn tidy(&mut self, id: ShareId, key: Option<Key>) {
        let Some(share) = self.by_id.get(&id) else { return };
        if let Some(key) = key
            && !share.members.contains_key(&key)
            && !share.given.values().any(|(of, _)| *of == key)
        {
            self.by_member.remove(&key);
        }
        if share.is_over() {
            let key = share.key.clone();
            self.by_key.remove(&key);
            self.by_id.remove(&id);
            self.by_member.retain(|_, of| *of != id);
            self.news.remove(&id);
        }
    }

    /// Lends a group to whoever looks for its next entry. It is to be put back.
    pub(crate) fn lend(&mut self, id: ShareId) -> Option<Share> {
        self.by_id.remove(&id)
    }

    pub(crate) fn put_back(&mut self, id: ShareId, share: Share) {
        if share.sessions > 0 {
            self.news.insert(id);
        }
        self.by_id.insert(id, share);
    }

    /// The turn at which a member was last served; 0 for who is none.
    pub(crate) fn served(&self, key: Key) -> u64 {
        let share = self.by_member.get(&key).and_then(|id| self.by_id.get(id));
        share.and_then(|share| share.members.get(&key)).map_or(0, |member| member.served)
    }

    /// The members of a group, the one that waits longest first.
    pub(crate) fn waiting(&self, id: ShareId) -> Vec<Key> {
        self.by_id.get(&id).map(Share::waiting).unwrap_or_default()
    }

    pub(crate) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// The groups that sessions hold and that got on since the last time.
    pub(crate) fn take_news(&mut self) -> Vec<&Share> {
        let news = std::mem::take(&mut self.news);
        news.into_iter().filter_map(|id| self.by_id.get(&id)).filter(|share| share.sessions > 0).collect()
    }
}
