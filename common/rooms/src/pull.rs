//! Serving subscriptions: what a connection pulls.
//!
//! A pull goes round the connection's subscriptions that have something, a quantum each, until the budget is
//! used up. Who needs the disk steps aside until the chunk is there (`fetch`); the others go on.

use crate::{
    bus::Bus,
    connection::{self, Connection, Heard},
    output::Output,
    push::push,
    rounds::{Place, Turn},
    subscription::{Next, State, Subscription, View},
    topics,
};
use riser_model::{
    ConnectionId, Gap, Now, SubscriptionId,
    door::{Push, Tell},
    event::{Scope, SystemEvent},
};

/// What a push costs beside its body.
const PUSH_BYTES: u32 = 64;
/// What a subscription may take before the next one's turn.
const QUANTUM_BYTES: u32 = 8192;

/// What gathers for one who hears in a round, as a rule.
const GATHERED: usize = 8;

/// What a subscription does after its turn.
enum After {
    Goes,
    Waits,
    Reads,
}

impl Bus {
    /// A connection has something.
    pub(crate) fn let_hear(&mut self, connection: ConnectionId, heard: Heard) {
        match heard {
            Heard::Nothing => {}
            Heard::Ready => self.outputs.push_back(Output::Tell { connection, tell: Tell::Ready }),
            Heard::Delivery => self.rounds.push(connection),
            Heard::InRound => self.rounds.gather(connection),
        }
    }

    pub(crate) fn pull(&mut self, connection: ConnectionId, bytes: u32, stands: bool) {
        let Some((pushes, more, left)) = self.turn(connection, bytes.max(1), 1) else { return };
        self.deliver(connection, (pushes, more), if stands { left } else { 0 });
    }

    /// What the next connection hears whose turn it is. None if nobody's is.
    pub(crate) fn deliver_due(&mut self) -> Option<Output> {
        while let Some(turn) = self.rounds.pop(self.now.time) {
            let (Turn::AtOnce(connection) | Turn::InRound(connection)) = turn;
            // It may have left, or pulled by itself meanwhile.
            let Some(reader) = self.connections.get_mut(&connection) else { continue };
            if matches!(turn, Turn::InRound(_)) {
                let place = std::mem::take(&mut reader.round);
                if place == Place::Waits && reader.hears() == Heard::Ready {
                    return Some(Output::Tell { connection, tell: Tell::Ready });
                }
                if place == Place::Had {
                    continue;
                }
            }
            let standing = reader.standing;
            if standing == 0 {
                continue;
            }
            // No more at once than one subscription's turn: what is told is not waited for.
            let most = standing.min(QUANTUM_BYTES);
            let gathered = if matches!(turn, Turn::InRound(_)) { GATHERED } else { 1 };
            let Some((pushes, more, left)) = self.turn(connection, most, gathered) else { continue };
            let shown = most - left;
            self.deliver(connection, (pushes, more), if more { 0 } else { standing - shown });
            return self.outputs.pop_front();
        }
        None
    }

    fn deliver(&mut self, connection: ConnectionId, (pushes, more): (Vec<Push>, bool), standing: u32) {
        if let Some(reader) = self.connections.get_mut(&connection) {
            (reader.told, reader.standing) = (more, standing);
            if reader.round == Place::Waits {
                reader.round = Place::Had;
            }
        }
        self.outputs.push_back(Output::Tell { connection, tell: Tell::Deliver { pushes, more } });
        self.let_go(connection);
        self.ask_disk(connection);
    }

    /// What a connection has, of about so many bytes; whether there is more, and how many bytes are left. None if it is
    /// gone. Probably there are `pushes` of them.
    fn turn(
        &mut self,
        connection: ConnectionId,
        bytes: u32,
        pushes: usize,
    ) -> Option<(Vec<Push>, bool, u32)> {
        let mut pushes = Vec::with_capacity(pushes);
        self.tell_through(connection, self.now, &mut pushes);
        let mut budget = bytes;
        // A member of a group has one turn: then it is others'.
        let mut had: Vec<SubscriptionId> = Vec::new();
        let mut later: Vec<SubscriptionId> = Vec::new();
        while budget > 0 {
            let reader = self.connections.get_mut(&connection)?;
            let Some(id) = reader.active.pop_front() else { break };
            let Some(mut subscription) = reader.subscriptions.remove(&id) else { continue };
            if subscription.share.is_some() && had.contains(&id) {
                reader.subscriptions.insert(id, subscription);
                later.push(id);
                continue;
            }
            if subscription.share.is_some() {
                had.push(id);
            }
            if subscription.state == State::Active {
                self.serve(connection, &mut subscription, &mut budget, &mut pushes);
            }
            if let Some(reader) = self.connections.get_mut(&connection) {
                reader.subscriptions.insert(id, subscription);
            }
        }
        let reader = self.connections.get_mut(&connection)?;
        reader.active.extend(later);
        let active = |id: &SubscriptionId| {
            reader.subscriptions.get(id).is_some_and(|subscription| subscription.state == State::Active)
        };
        let more = reader.active.iter().any(active);
        Some((pushes, more, budget))
    }

    /// One turn of one subscription, which is out of its connection meanwhile.
    fn serve(
        &mut self,
        connection: ConnectionId,
        subscription: &mut Subscription,
        budget: &mut u32,
        pushes: &mut Vec<Push>,
    ) {
        let mut quantum = QUANTUM_BYTES.min(*budget);
        let mut portion = self.portion(subscription);
        let mut shelf = std::mem::take(&mut self.shelf);
        let after = loop {
            if quantum == 0 || portion == 0 {
                break After::Goes;
            }
            let Some(next) = self.next_of(connection, subscription) else { break After::Waits };
            match next {
                Next::Nothing => break After::Waits,
                Next::Blocked => break After::Reads,
                next => {
                    portion -= 1;
                    let replayed = match &next {
                        Next::Publication { seq, .. } => Some(*seq).filter(|seq| *seq <= subscription.joined),
                        Next::Retained { .. }
                        | Next::Shown
                        | Next::Newest { .. }
                        | Next::Wiped(_)
                        | Next::Passed(_)
                        | Next::Gap(_)
                        | Next::Nothing
                        | Next::Blocked => None,
                    };
                    self.give(connection, subscription, &next);
                    let Some(view) = self.view(connection) else { break After::Waits };
                    let push = push(subscription, &view, &mut shelf, next);
                    let cost = cost(&push);
                    self.count(&push);
                    if let Some(seq) = replayed {
                        self.note_shown(&subscription.scope, seq, (connection, subscription.id));
                    }
                    if let Some(Push::Gap { gap, .. }) = &push
                        && !self.is_technical(&subscription.scope)
                    {
                        self.missed(connection, *gap);
                    }
                    pushes.extend(push);
                    quantum = quantum.saturating_sub(cost);
                    *budget = budget.saturating_sub(cost);
                }
            }
        };
        self.shelf = shelf;
        self.rest(connection, subscription, &after);
    }

    /// Where a subscription goes after it was looked at.
    fn rest(&mut self, connection: ConnectionId, subscription: &mut Subscription, after: &After) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        let id = subscription.id;
        match after {
            After::Goes => reader.active.push_back(id),
            After::Waits => {
                subscription.state = State::Idle;
                connection::wait(&mut self.graph, subscription, (connection, id));
            }
            After::Reads => {
                subscription.state = State::Reading;
                reader.replay.reading.insert(id);
            }
        }
    }

    /// A reader met a gap.
    fn missed(&mut self, connection: ConnectionId, gap: Gap) {
        let Some(reader) = self.connections.get(&connection) else { return };
        let (client, name) = (reader.principal.client, reader.principal.name.clone());
        let scope = Scope::Account(reader.principal.whose());
        self.event(scope, SystemEvent::ReaderGap { client, name, connection, gap });
    }

    fn count(&mut self, push: &Option<Push>) {
        match push {
            Some(Push::Publication(delivery)) => {
                self.counters.delivered += 1;
                self.counters.skipped += delivery.skipped;
            }
            Some(Push::Gap { gap, .. }) => self.counters.gapped += gap.count(),
            Some(Push::Wiped { .. } | Push::Through { .. }) | None => {}
        }
    }

    /// What a connection's subscriptions read from.
    pub(crate) fn view(&self, connection: ConnectionId) -> Option<View<'_>> {
        let reader: &Connection = self.connections.get(&connection)?;
        Some(View {
            retained: &self.retained,
            now: self.now,
            steps: &self.steps,
            root: topics::root(&self.bindings),
            graph: &self.graph,
            tail: &self.tail,
            chain: &self.chain,
            routes: &self.routes,
            copies: &self.copies,
            principal: &reader.principal,
            held: reader.replay.held.as_ref(),
        })
    }

    /// Tells quiet subscriptions how far they are, now and then.
    fn tell_through(&mut self, connection: ConnectionId, now: Now, pushes: &mut Vec<Push>) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        if now.time < reader.through_at {
            return;
        }
        reader.through_at = now.time.plus(self.config.through_every());
        let pos = self.chain.position(self.chain.committed);
        for subscription in reader.subscriptions.values_mut() {
            let quiet = subscription.state == State::Idle && subscription.at != pos;
            if quiet && subscription.share.is_none() {
                subscription.at = pos;
                pushes.push(Push::Through { subscription: subscription.id, pos });
            }
        }
    }

    /// A subscription rests, or goes on. One that still looks for its place does not rest.
    pub(crate) fn pause(&mut self, connection: ConnectionId, id: SubscriptionId, paused: bool) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        let Some(subscription) = reader.subscriptions.get_mut(&id) else { return };
        match (&subscription.state, paused) {
            (State::Idle | State::Active | State::Reading, true) => {
                subscription.state = State::Paused;
                connection::stop(&mut self.graph, subscription, (connection, id));
                reader.active.retain(|active| *active != id);
                reader.replay.reading.remove(&id);
                self.let_go(connection);
                self.ask_disk(connection);
            }
            (State::Paused, false) => {
                subscription.state = State::Idle;
                self.look(connection, id);
                self.ask_disk(connection);
            }
            (State::Seeking(_), true)
            | (State::Paused, true)
            | (State::Idle | State::Active | State::Reading | State::Seeking(_), false) => {}
        }
    }

    /// Looks what a subscription has to do: nothing, be pulled, or be read for.
    pub(crate) fn look(&mut self, connection: ConnectionId, id: SubscriptionId) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        let Some(mut subscription) = reader.subscriptions.remove(&id) else { return };
        reader.replay.reading.remove(&id);
        let Some(next) = self.next_of(connection, &mut subscription) else { return };
        let after = match next {
            Next::Nothing => After::Waits,
            Next::Blocked => After::Reads,
            Next::Retained { .. }
            | Next::Shown
            | Next::Publication { .. }
            | Next::Newest { .. }
            | Next::Wiped(_)
            | Next::Gap(_)
            | Next::Passed(_) => After::Goes,
        };
        if !matches!(after, After::Goes) {
            self.rest(connection, &mut subscription, &after);
        }
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        reader.subscriptions.insert(id, subscription);
        if matches!(after, After::Goes) {
            let heard = reader.activate(id, false);
            self.let_hear(connection, heard);
        }
    }
}

fn cost(push: &Option<Push>) -> u32 {
    let body = match push {
        Some(Push::Publication(delivery)) => delivery.content.body.len(),
        Some(Push::Gap { .. } | Push::Wiped { .. } | Push::Through { .. }) | None => 0,
    };
    // A body is bounded far below u32.
    PUSH_BYTES + body as u32
}
