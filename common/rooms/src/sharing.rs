//! Shared subscriptions at work: members come and go, and each entry goes to one of them.

use crate::{
    bus::Bus,
    chain::Resume,
    graph::{ChannelSlot, Key},
    replay::Item,
    share::{Member, Share, ShareId},
    subscription::{Next, State, Subscription, View},
    topics,
};
use riser_model::{
    AccountId, Cause, ConnectionId, Gap, Position, Principal, Seq, ShareChange, ShareKey, ShareState,
    ShareWant,
};
use std::{collections::BTreeMap, sync::Arc};

/// What became of one entry that was looked for by its seq.
enum Picked {
    Here(Next),
    /// It must be read from the disk.
    Blocked,
    /// Not for this member.
    Denied(ChannelSlot),
    Gone,
}

impl Bus {
    /// Makes a subscription a member of its group. The group goes on where it is; a new one begins at the cursor.
    pub(crate) fn join_share(
        &mut self,
        connection: ConnectionId,
        principal: &Principal,
        want: &ShareWant,
        subscription: &mut Subscription,
    ) {
        let key = ShareKey { account: principal.account, filter: want.filter.clone() };
        let id = self.shares.group(&key, &want.topic, subscription.cursor);
        let member = Member::new(Arc::clone(&principal.grants), want.most, want.kept);
        self.shares.join(id, (connection, subscription.id), member);
        subscription.share = Some(id);
        let cursor = self.shares.get(id).map_or(subscription.cursor, |share| share.cursor);
        subscription.at = self.chain.position(cursor);
        subscription.own.extend(self.here(&want.own));
    }

    /// A member is none any more. What it was given it may still settle.
    pub(crate) fn part_share(&mut self, connection: ConnectionId, gone: &Subscription) {
        if gone.share.is_some() {
            self.shares.part((connection, gone.id));
        }
    }

    /// The seqs of positions, and whether they are in this line of the log.
    pub(crate) fn here(&self, positions: &[Position]) -> BTreeMap<Seq, bool> {
        let exact = |position: &Position| matches!(self.chain.resume(*position), Resume::Exact(_));
        positions.iter().map(|position| (position.seq, exact(position))).collect()
    }

    /// What sessions mean for a group.
    pub(crate) fn change_share(&mut self, change: ShareChange) {
        match change {
            ShareChange::Kept { sessions, state } => {
                let known = self.shares.named(&state.key);
                match known {
                    Some(id) => self.shares.kept(id, sessions),
                    None if sessions > 0 => self.restore_share(sessions, state),
                    None => {}
                }
            }
            ShareChange::Taken { key, seqs } => self.shares.taken(&key, &seqs),
            ShareChange::Returned { key, seqs } => {
                let seqs: Vec<Seq> = seqs.into_iter().filter(|seq| *seq <= self.chain.committed).collect();
                if let Some(id) = self.shares.returned(&key, &seqs) {
                    self.offer(id);
                }
            }
        }
    }

    fn restore_share(&mut self, sessions: usize, state: ShareState) {
        let ShareState { key, cursor, open, taken } = state;
        let exact = matches!(self.chain.resume(cursor), Resume::Exact(_));
        let at = match self.chain.resume(cursor) {
            Resume::Exact(seq) | Resume::Fork(seq) => seq,
            Resume::Unknown | Resume::OtherLog => self.chain.committed,
        };
        let topic = key.filter.splitn(3, '/').nth(2).unwrap_or_default().to_owned();
        let id = self.shares.group(&key, &topic, at);
        if let Some(mut share) = self.shares.lend(id) {
            if exact {
                share.pending.extend(open.into_iter().filter(|seq| *seq <= at).map(|seq| (seq, None)));
                share.taken.extend(taken.into_iter().filter(|seq| *seq > at));
            }
            self.shares.put_back(id, share);
        }
        self.shares.kept(id, sessions);
    }

    /// What became of a member's entries.
    pub(crate) fn settle_share(&mut self, key: Key, done: &[Seq], returned: &[Seq]) {
        let moved = self.shares.settle(key, done, returned);
        let reader = self.connections.get(&key.0);
        let subscription = reader.and_then(|reader| reader.subscriptions.get(&key.1));
        if subscription.is_some_and(|subscription| subscription.state == State::Idle) {
            self.look_again(key);
        }
        if let Some(id) = moved {
            self.offer(id);
        }
    }

    /// A group has something that was not there before: whoever waits looks at it.
    pub(crate) fn offer(&mut self, id: ShareId) {
        for key in self.shares.waiting(id) {
            let reader = self.connections.get(&key.0);
            let subscription = reader.and_then(|reader| reader.subscriptions.get(&key.1));
            if subscription.is_some_and(|subscription| subscription.state == State::Idle) {
                self.look_again(key);
            }
        }
    }

    /// One that waits in the graph looks, and waits there no more if it has something.
    fn look_again(&mut self, (connection, id): Key) {
        if let Some(subscription) =
            self.connections.get(&connection).and_then(|reader| reader.subscriptions.get(&id))
        {
            crate::connection::stop(&mut self.graph, subscription, (connection, id));
        }
        self.look(connection, id);
        self.ask_disk(connection);
    }

    /// What comes next for a subscription, shared or not.
    pub(crate) fn next_of(
        &mut self,
        connection: ConnectionId,
        subscription: &mut Subscription,
    ) -> Option<Next> {
        let Some((id, mut share)) = subscription.share.and_then(|id| Some((id, self.shares.lend(id)?)))
        else {
            return self.view(connection).map(|view| subscription.look(&view));
        };
        let member = (connection, subscription.id);
        let next = self.view(connection).map(|view| subscription.look_shared(member, &mut share, &view));
        self.shares.put_back(id, share);
        next
    }

    /// A member gets what was found for it.
    pub(crate) fn give(&mut self, connection: ConnectionId, subscription: &mut Subscription, next: &Next) {
        if let Next::Publication { seq, .. } | Next::Passed(seq) = next
            && subscription.own.remove(seq).is_some()
        {
            return;
        }
        let Some(id) = subscription.share else { return };
        let Some(mut share) = self.shares.lend(id) else { return };
        match next {
            Next::Publication { seq, found } => {
                let channel = self.routes.known(found.route).map(|known| known.channel);
                let channel = channel.unwrap_or(ChannelSlot::NONE);
                share.give((connection, subscription.id), *seq, channel);
            }
            Next::Gap(gap) => share.pass(gap),
            Next::Passed(_)
            | Next::Wiped(_)
            | Next::Retained { .. }
            | Next::Shown
            | Next::Newest { .. }
            | Next::Nothing
            | Next::Blocked => {}
        }
        self.shares.put_back(id, share);
    }

    /// Whether what concerns it is more than its own scope says: single entries, and what is for other members.
    pub(crate) fn reads_all(&self, subscription: &Subscription) -> bool {
        let share = subscription.share.and_then(|id| self.shares.get(id));
        !subscription.own.is_empty() || share.is_some_and(|share| share.is_mixed())
    }

    /// How many entries a turn brings a subscription.
    pub(crate) fn portion(&self, subscription: &Subscription) -> usize {
        let share = subscription.share.and_then(|id| self.shares.get(id));
        share.map_or(usize::MAX, |share| share.portion(self.chain.committed).max(subscription.own.len()))
    }

    /// Whether groups that sessions hold got on since [`Bus::take_share_news`].
    pub fn has_share_news(&self) -> bool {
        self.shares.has_news()
    }

    /// How far those are, for the log.
    pub fn take_share_news(&mut self) -> Vec<ShareState> {
        let chain = &self.chain;
        let news = self.shares.take_news().into_iter();
        let state = |share: &Share| ShareState {
            key: share.key.clone(),
            cursor: chain.position(share.cursor),
            open: share.open(),
            taken: share.taken.iter().copied().collect(),
        };
        news.map(state).collect()
    }

    /// How far a group is.
    pub fn share(&self, key: &ShareKey) -> Option<ShareState> {
        let share = self.shares.named(key).and_then(|id| self.shares.get(id))?;
        let (cursor, taken) = (self.chain.position(share.cursor), share.taken.iter().copied().collect());
        Some(ShareState { key: key.clone(), cursor, open: share.open(), taken })
    }

    /// Groups of an account.
    pub fn shares_of(&self, account: AccountId) -> usize {
        self.shares.count_of(account)
    }

    /// How many groups there are.
    pub fn shares(&self) -> usize {
        self.shares.len()
    }
}

impl Subscription {
    /// What comes next for this member: what its session has in flight, what others left, what is new.
    fn look_shared(&mut self, member: Key, share: &mut Share, view: &View<'_>) -> Next {
        if let Some(next) = self.look_own(view) {
            return next;
        }
        if !share.takes(member) {
            return Next::Nothing;
        }
        let mut from = Seq::ZERO;
        while let Some((seq, channel)) = share.pending.range(from..).next().map(|(seq, of)| (*seq, *of)) {
            from = seq.next();
            if let Some(gap) = gone(seq, channel, view) {
                return Next::Gap(gap);
            }
            if channel.is_some_and(|channel| !self.meets(view.graph, view.principal, channel, seq)) {
                continue;
            }
            match self.pick(seq, view) {
                Picked::Here(next) => return next,
                Picked::Blocked => return Next::Blocked,
                Picked::Denied(channel) => {
                    share.pending.insert(seq, Some(channel));
                    if let Some(gap) = gone(seq, Some(channel), view) {
                        return Next::Gap(gap);
                    }
                }
                Picked::Gone => {
                    let gap = view.chain.missing(seq, seq).into_iter().next();
                    return Next::Gap(gap.expect("what is looked for is missing"));
                }
            }
        }
        self.scan(share, view)
    }

    /// The next of the single entries that it wants.
    pub(crate) fn look_own(&mut self, view: &View<'_>) -> Option<Next> {
        let (seq, here) = self.own.first_key_value().map(|(seq, here)| (*seq, *here))?;
        if !here {
            return Some(Next::Passed(seq));
        }
        Some(match self.pick(seq, view) {
            Picked::Here(next) => next,
            Picked::Blocked => Next::Blocked,
            Picked::Denied(_) => Next::Passed(seq),
            Picked::Gone => self.look_kept(seq, view).unwrap_or(Next::Passed(seq)),
        })
    }

    /// What is gone from the log may be retained still.
    fn look_kept(&self, seq: Seq, view: &View<'_>) -> Option<Next> {
        let (route, retained) = view.retained.published_at(view.chain.log, seq)?;
        let room = view.graph.room_of(route.room)?;
        topics::readable(view.graph, view.principal, room, &route.channel)
            .then(|| Next::Retained { route: Arc::clone(route), retained: retained.clone() })
    }

    /// What is new for the group.
    fn scan(&mut self, share: &mut Share, view: &View<'_>) -> Next {
        self.cursor = share.cursor;
        loop {
            let before = self.cursor;
            let next = self.look_log(view);
            let fits = !share.is_mixed() || self.leave_to_others(share, view, before);
            share.cursor = self.cursor;
            if !fits {
                return Next::Nothing;
            }
            match next {
                Next::Publication { seq, .. } if share.taken.remove(&seq) => {
                    self.cursor = seq;
                    share.cursor = seq;
                }
                Next::Publication { seq, .. } => {
                    self.wanted = seq;
                    return next;
                }
                next => return next,
            }
        }
    }

    /// What lies between `before` and the cursor, is wanted and is not for this member. False if one more would be too
    /// many: then the cursor stands right before that one.
    fn leave_to_others(&mut self, share: &mut Share, view: &View<'_>, before: Seq) -> bool {
        let mut at = before;
        while at < self.cursor {
            let next = at.next();
            let channel = if next >= view.tail.first() {
                view.tail.publications(next).next().filter(|(seq, _)| *seq <= self.cursor)
            } else {
                match view.held.and_then(|held| held.after(at)) {
                    Some(Item::Entry(seq, channel)) => Some((seq, channel)),
                    Some(Item::Gap(gap)) => Some((gap.to, ChannelSlot::NONE)),
                    Some(Item::Skip(_, to)) => Some((to, ChannelSlot::NONE)),
                    None => None,
                }
            };
            let Some((seq, slot)) = channel else { return true };
            at = seq;
            if slot == ChannelSlot::NONE || seq > self.cursor || share.taken.contains(&seq) {
                continue;
            }
            let channel = view.graph.channel(slot);
            let Some(room) = view.graph.room(channel.room).declared.as_ref() else { continue };
            let rooted = view.root == Some(&room.name);
            if room.account == view.principal.account
                && !self.meets(view.graph, view.principal, slot, seq)
                && share.wants(room.name.as_str(), channel.name.as_str(), rooted)
                && !share.leave_to_others(seq, slot)
            {
                self.cursor = seq.prev();
                return false;
            }
        }
        true
    }

    /// One entry, wherever it lies.
    fn pick(&mut self, seq: Seq, view: &View<'_>) -> Picked {
        self.wanted = seq;
        if seq < view.chain.oldest {
            return Picked::Gone;
        }
        let found = if seq >= view.tail.first() {
            view.tail.get(seq)
        } else {
            match view.held.filter(|held| held.covers(seq, self.id)) {
                Some(held) => held.get(seq),
                None => return Picked::Blocked,
            }
        };
        let Some((found, channel)) =
            found.and_then(|found| view.routes.known(found.route).map(|known| (found, known.channel)))
        else {
            return Picked::Gone;
        };
        let of = view.graph.channel(channel);
        let may = match self.share {
            Some(_) => self.meets(view.graph, view.principal, channel, seq),
            None => topics::readable(view.graph, view.principal, of.room, &of.name),
        };
        let is_told = may && topics::is_told(view.graph, view.principal, channel, &found.body);
        if is_told { Picked::Here(Next::Publication { seq, found }) } else { Picked::Denied(channel) }
    }
}

/// The gap that one entry is: it is not in the log any more, or its room does not show it.
fn gone(seq: Seq, channel: Option<ChannelSlot>, view: &View<'_>) -> Option<Gap> {
    if seq < view.chain.oldest {
        return view.chain.missing(seq, seq).into_iter().next();
    }
    let slot = channel.filter(|slot| *slot != ChannelSlot::NONE)?;
    let floor = view.graph.room(view.graph.channel(slot).room).floor;
    (seq <= floor).then_some(Gap { from: seq, to: seq, cause: Cause::Retention })
}
