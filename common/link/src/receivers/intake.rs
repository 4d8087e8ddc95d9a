//! What a welcomed edge sends and what becomes of it: batches to commits, commits to confirmations, and the
//! gaps that only the hub can know of (rules 7.2, 7.4).

use super::{
    BTreeMap, BTreeSet, Cause, ClientId, Connection, ConnectionId, CursorKey, CursorValue, Definitions,
    Epoch, Gap, HubFrame, Ingest, Item, LogId, Now, Others, Output, Pending, Phase, Receivers, RefusedCode,
    Seq, SystemEvent,
    relay::{Place, told},
};
use riser_wire::link::{Batch, REFUSED_MAX, items::numbered};

/// What a batch comes to.
#[derive(Default)]
struct Taken {
    items: Vec<Item>,
    /// Where it leaves the logs below.
    reached: BTreeMap<Place, CursorValue>,
    /// Which entries are another account's.
    foreign: BTreeSet<Seq>,
}

impl Receivers {
    pub(super) fn batch(&mut self, connection: ConnectionId, mut batch: Batch, now: Now) {
        let limits = self.config.limits;
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let Phase::Up(known, flow) = &mut state.phase else { return };
        let bytes = batch.items.len() as u64;
        let allowed = u64::from(limits.unconfirmed_bytes) + u64::from(limits.batch_bytes);
        if bytes > u64::from(limits.batch_bytes) || state.unconfirmed_bytes + bytes > allowed {
            let want = "what the welcome's limits say";
            return self.reject(connection, (RefusedCode::TooLarge, "too many bytes".into(), want), now);
        }
        let (log, live, epoch) = (known.hello.log, known.hello.live, batch.epoch);
        let (first, heard) = (batch.first, batch.last_added);
        let definitions = std::mem::take(&mut batch.definitions);
        let live_first = known.hello.chain.iter().find(|o| o.span.epoch == live).map(|o| o.span.first);
        batch.definitions.clone_from(&definitions);
        let checked = match flow.take(batch) {
            Ok(Some(checked)) => checked,
            // Enqueued before: its confirmation is on its way.
            Ok(None) => return,
            Err(reject) => return self.reject(connection, reject, now),
        };
        state.unconfirmed_bytes += bytes;
        if let Some(live_first) = live_first {
            self.registry.heard(log, live, live_first, heard);
        }
        let (last, crc) = (checked.last, checked.crc);
        let relayed = match self.relayed(connection, (log, epoch), checked.items) {
            Ok(relayed) => relayed,
            Err(reject) => return self.reject(connection, reject, now),
        };
        self.report_gaps(connection, (log, epoch), &relayed.items);
        for (place, gap) in relayed.gaps {
            self.report_gaps(connection, place, &[Item::Gap(gap)]);
        }
        let taken = Taken { items: relayed.items, reached: relayed.reached, foreign: relayed.foreign };
        self.ingest(connection, epoch, (first, last, crc), taken, definitions, (bytes, false, now));
        self.note_lost(connection, now);
    }

    pub(super) fn latest(&mut self, connection: ConnectionId, batch: Batch, now: Now) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let Phase::Up(known, flow) = &mut state.phase else { return };
        let (edge, log, epoch) = (known.hello.edge, known.hello.log, batch.epoch);
        let definitions = batch.definitions.clone();
        match flow.latest(batch) {
            Ok(items) => {
                let items = self.showable(connection, items);
                self.outputs.push_back(Output::Latest { connection, edge, log, epoch, items, definitions });
            }
            Err(reject) => self.reject(connection, reject, now),
        }
    }

    /// Without what is of a log below that the edge may not bring, or of one that is here or above.
    fn showable(&self, connection: ConnectionId, items: Vec<Item>) -> Vec<Item> {
        let Some(Connection { phase: Phase::Up(known, flow), .. }) = self.connections.get(&connection) else {
            return Vec::new();
        };
        if flow.origins.is_empty() {
            return items;
        }
        let may = |number: u32| {
            flow.origins.get(&number).is_some_and(|(log, _)| {
                let brings = known.edge.relays && self.registry.may_bring(*log, known.edge.account);
                brings && *log != self.config.log && !self.above.logs.contains(log)
            })
        };
        let mut shown = Vec::new();
        for item in items {
            let Item::Entries { first, frames, .. } = &item else { continue };
            let mut at = 0;
            for (seq, frame) in numbered(*first, frames).map_while(Result::ok) {
                let after = at + frame.size();
                if frame.origin.is_none_or(|origin| may(origin.number)) {
                    shown.push(Item::Entries { first: seq, count: 1, frames: frames.slice(at..after) });
                }
                at = after;
            }
        }
        shown
    }

    pub(super) fn caught_up(&mut self, connection: ConnectionId, through: Seq) {
        let Some(known) = self.connections.get(&connection).and_then(|state| state.phase.known()) else {
            return;
        };
        let (edge, account, name) = (known.hello.edge, known.edge.account, known.edge.name.clone());
        self.outputs.push_back(Output::CaughtUp { edge });
        self.emit(account, SystemEvent::CaughtUp { edge, name, through });
    }

    /// What was heard of closed epochs and is not in the edge's chain any more is lost: a gap, at least so many.
    pub(super) fn note_lost(&mut self, connection: ConnectionId, now: Now) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let Phase::Up(known, flow) = &mut state.phase else { return };
        let log = known.hello.log;
        let lost: Vec<(Epoch, Seq, Seq)> = flow
            .closed()
            .filter(|(_, last, next)| next > last)
            .filter_map(|(epoch, _, next)| {
                let heard = self.registry.cursor(log, epoch)?.heard;
                (heard >= next).then_some((epoch, next, heard))
            })
            .collect();
        for (epoch, _, to) in &lost {
            flow.advance(*epoch, *to);
        }
        for (epoch, from, to) in lost {
            let items = vec![Item::Gap(Gap { from, to, cause: Cause::EdgeLost })];
            self.report_gaps(connection, (log, epoch), &items);
            let taken = Taken { items, ..Taken::default() };
            self.ingest(connection, epoch, (from, to, 0), taken, Definitions::default(), (0, true, now));
        }
    }

    fn report_gaps(&mut self, connection: ConnectionId, (log, epoch): Place, items: &[Item]) {
        let Some(known) = self.connections.get(&connection).and_then(|state| state.phase.known()) else {
            return;
        };
        let (edge, account) = (known.hello.edge, known.edge.account);
        for item in items {
            if let Item::Gap(gap) = item {
                let at_least = gap.cause == Cause::EdgeLost;
                self.emit(account, SystemEvent::LinkGap { edge, log, epoch, gap: *gap, at_least });
            }
        }
    }

    fn ingest(
        &mut self,
        connection: ConnectionId,
        epoch: Epoch,
        (first, last, crc): (Seq, Seq, u32),
        Taken { items, reached, foreign }: Taken,
        definitions: Definitions,
        (bytes, silent, now): (u64, bool, Now),
    ) {
        let Some(known) = self.connections.get(&connection).and_then(|state| state.phase.known()) else {
            return;
        };
        let (edge, log, live, account) =
            (known.hello.edge, known.hello.log, known.hello.live, known.edge.account);
        let chain = known.hello.chain.clone();
        let (clock, known_clock) = (known.clocks.of(epoch, now), known.hello.clock);
        let gaps = items.iter().map(|item| if let Item::Gap(gap) = item { gap.count() } else { 0 });
        let gapped = gaps.fold(0, u64::saturating_add);
        let mut moved = self.enqueued((log, epoch)).unwrap_or_default();
        // Another edge may have brought more.
        (moved.through, moved.crc) = if moved.through > last { (moved.through, 0) } else { (last, crc) };
        moved.heard = moved.heard.max(last);
        moved.gapped = moved.gapped.saturating_add(gapped);
        let key = CursorKey::Ingest(edge, log, epoch);
        let renamed = self.name((log, epoch)).filter(|before| *before != key);
        let mut cursors: Vec<_> = renamed.map(|before| (before, None)).into_iter().collect();
        cursors.push((key, Some(moved)));
        let moves = self.relay_moves(edge, &reached);
        cursors.extend(moves.iter().copied());
        if live != epoch
            && let Some(heard) = self.registry.cursor(log, live)
        {
            cursors.push((CursorKey::Ingest(edge, log, live), Some(heard)));
        }
        let mut forgets = vec![(log, self.registry.forget(edge, log, &chain))];
        let logs: BTreeSet<LogId> = reached.keys().map(|(log, _)| *log).collect();
        forgets.extend(logs.into_iter().map(|log| (log, self.registry.forget(edge, log, &[]))));
        cursors.extend(forgets.iter().flat_map(|(_, moves)| moves).copied());
        let begins = chain.iter().any(|o| o.span.epoch == epoch && o.span.first == first);
        let items = if self.config.others == Others::Relayed {
            let epoch_first =
                chain.iter().find(|o| o.span.epoch == epoch).map_or(Seq::ZERO, |o| o.span.first);
            told(items, begins.then_some(first), epoch_first, known_clock)
        } else {
            items
        };
        self.tokens += 1;
        let token = self.tokens;
        let pending = Pending {
            connection,
            edge,
            log,
            epoch,
            first,
            last,
            crc,
            gapped,
            forgets,
            reached,
            moves,
            void: false,
            bytes,
            silent,
        };
        self.pending.insert(token, pending);
        self.registry.edge(edge).outstanding += 1;
        let ingest = Ingest {
            token,
            connection,
            edge,
            account,
            log,
            epoch,
            items,
            foreign,
            definitions,
            cursors,
            clock,
        };
        self.outputs.push_back(Output::Ingest(Box::new(ingest)));
    }

    pub(super) fn ingested(&mut self, token: u64, refused: Vec<Gap>, now: Now) {
        let Some(done) = self.pending.remove(&token) else { return };
        let gapped = refused.iter().map(|gap| gap.count()).fold(done.gapped, u64::saturating_add);
        let key = CursorKey::Ingest(done.edge, done.log, done.epoch);
        self.registry.committed(key, (done.log, done.epoch), done.last, done.crc, gapped);
        self.registry.relayed(&done.moves);
        for (log, forgets) in &done.forgets {
            self.registry.forgot(*log, forgets);
        }
        if let Some(state) = self.connections.get_mut(&done.connection)
            && matches!(state.phase, Phase::Up(..))
        {
            state.unconfirmed_bytes -= done.bytes;
            let gaps: Vec<Item> = refused.iter().copied().map(Item::Gap).collect();
            self.report_gaps(done.connection, (done.log, done.epoch), &gaps);
            if !done.silent {
                let refused = within(refused, done.first, done.last);
                let synced = HubFrame::Synced { epoch: done.epoch, through: done.last, refused };
                self.send(done.connection, synced);
            }
        }
        self.released(done.edge, now);
    }

    pub(super) fn failed(&mut self, token: u64, now: Now) {
        let Some(done) = self.pending.remove(&token) else { return };
        for later in self.pending.range_mut(token..).map(|(_, pending)| pending) {
            later.void = true;
        }
        let what = "the hub's log cannot commit".into();
        self.refuse(done.connection, RefusedCode::LogFailing, what, "come back later", Some(1000), now);
        self.released(done.edge, now);
    }

    fn released(&mut self, client: ClientId, now: Now) {
        let edge = self.registry.edge(client);
        edge.outstanding = edge.outstanding.saturating_sub(1);
        let current = edge.current;
        self.settle(client, now);
        if let Some(connection) = current {
            self.arm(connection);
        }
    }
}

/// Refused ranges as the edge accepts them: rising, inside of the batch, as many as a frame carries.
fn within(mut refused: Vec<Gap>, first: Seq, last: Seq) -> Vec<Gap> {
    refused.retain(|gap| first <= gap.from && gap.from <= gap.to && gap.to <= last);
    refused.truncate(REFUSED_MAX);
    refused
}
