//! Wrong variants of the network: what it does to messages that no network does.

use super::World;
use crate::{
    downward::goes_down,
    journal::Logged,
    mutant::Mutant,
    site::VAULTS,
    wires::{Client, Message, Way, WireId},
};
use bytes::Bytes;
use riser_model::{ConnectionId, Route, RouteNumber, Seq, Wall};
use riser_wire::{
    entry::{Body, Frame, Kind, Origin, frames, write_frame},
    link::{Batch, Definitions, DownFrame, HubFrame, Item, Items, ItemsWriter},
};

/// One message in so many is treated badly.
const EVERY: u64 = 40;
/// Numbers that no log gives: those of a wrong variant's routes and origins begin here.
const FIRST_ROUTE: u32 = 1_000_000;

impl World {
    fn is_its_turn(&mut self) -> bool {
        self.twists += 1;
        self.twists.is_multiple_of(EVERY)
    }

    /// What a dashboard hears instead of a message.
    pub(super) fn twisted(&mut self, text: String) -> Vec<String> {
        let wrong = matches!(
            self.mutant,
            Some(Mutant::DeliveredTwice | Mutant::DeliveriesSwapped | Mutant::DeliveryDropped)
        );
        if !wrong || !text.contains("\"ev\":\"msg\"") {
            return vec![text];
        }
        if let Some(held) = self.held.take() {
            return vec![text, held];
        }
        if !self.is_its_turn() {
            return vec![text];
        }
        match self.mutant {
            Some(Mutant::DeliveredTwice) => vec![text.clone(), text],
            Some(Mutant::DeliveriesSwapped) => {
                self.held = Some(text);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// What the hub hears instead of a batch.
    pub(super) fn twist_batch(&mut self, batch: &mut Batch) {
        if self.mutant == Some(Mutant::PassedSkipped) {
            batch.items = without_passed(batch);
        }
        if !matches!(self.mutant, Some(Mutant::GapSkipped | Mutant::GapOffByOne)) {
            return;
        }
        let mut out = ItemsWriter::default();
        for item in Items::new(batch.first, batch.items.clone()).map_while(Result::ok) {
            match item {
                Item::Entries { count, frames, .. } => out.entries(count, &frames),
                Item::Skip { from, to } => out.skip(to.0 - from.0 + 1),
                Item::Gap(gap) if self.mutant == Some(Mutant::GapSkipped) => out.skip(gap.count()),
                Item::Gap(gap) => {
                    if gap.count() > 1 {
                        out.gap(gap.count() - 1, gap.cause);
                    }
                    out.skip(1);
                }
            }
        }
        batch.items = out.finish();
    }

    /// What an edge hears instead of a batch: what it brought itself, in the places of skips.
    pub(super) fn twist_down(&mut self, connection: ConnectionId, frame: &mut HubFrame) {
        let HubFrame::Down(DownFrame::Batch(batch)) = frame else { return };
        let wire = self.links.get(&connection).and_then(|id| self.net.wires.get(id));
        let Some(Client::Edge { host, .. }) = wire.map(|wire| wire.client) else { return };
        if self.mutant != Some(Mutant::EchoSent) {
            return;
        }
        let (mut out, mut route) = (ItemsWriter::default(), FIRST_ROUTE);
        for item in Items::new(batch.first, batch.items.clone()).map_while(Result::ok) {
            match item {
                Item::Entries { count, frames, .. } => out.entries(count, &frames),
                Item::Gap(gap) => out.gap(gap.count(), gap.cause),
                Item::Skip { from, to } => {
                    for seq in (from.0..=to.0).map(Seq) {
                        let entry = self.hosts[0]
                            .journal
                            .entries
                            .get(&seq)
                            .filter(|entry| goes_down(entry, &self.ledger));
                        let own = entry.filter(|e| e.origin.map(|(log, ..)| log) == self.hosts[host].log);
                        match own.and_then(|entry| sent_again(entry, route, &mut batch.definitions)) {
                            Some(frame) => out.entries(1, &frame),
                            None => out.skip(1),
                        }
                        route += 1;
                    }
                }
            }
        }
        batch.items = out.finish();
    }

    /// What a door hears instead of where somebody wants to go.
    pub(super) fn twist_step(&mut self, id: WireId, text: String) -> Option<String> {
        match self.mutant {
            Some(Mutant::StepsAstray) if text.contains("\"op\":\"enter\"") => {
                let from = (0..VAULTS.len()).find(|n| text.contains(VAULTS[*n]))?;
                Some(text.replace(VAULTS[from], VAULTS[(from + 1) % VAULTS.len()]))
            }
            Some(Mutant::LeavesUnheard) if text.contains("\"op\":\"leave\"") => {
                let message: serde_json::Value = serde_json::from_str(&text).ok()?;
                let answer = serde_json::json!({"re": message["id"], "ok": {"room": null}}).to_string();
                self.caller_told(id, &answer);
                self.net.send(id, Way::Down, Message::Text(answer), self.now);
                None
            }
            Some(Mutant::RenewalsUnheard) if text.contains("\"op\":\"renew\"") => {
                let answer = serde_json::json!({"re": crate::caller::ANEW, "ok": {}}).to_string();
                self.caller_told(id, &answer);
                self.net.send(id, Way::Down, Message::Text(answer), self.now);
                None
            }
            Some(Mutant::RenewalsStale) if text.contains("\"op\":\"renew\"") => {
                let mut message: serde_json::Value = serde_json::from_str(&text).ok()?;
                message["credential"] = self.visits.by_wire.get(&id)?.first.clone();
                Some(message.to_string())
            }
            _ => Some(text),
        }
    }

    /// What an edge hears instead of what a device says.
    pub(super) fn twist_publish(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let publish = bytes.first().is_some_and(|first| first >> 4 == 3);
        if self.mutant == Some(Mutant::PublishChanged) && publish && self.is_its_turn() {
            bytes.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1);
        }
        bytes
    }
}

fn without_passed(batch: &Batch) -> Bytes {
    let mut out = ItemsWriter::default();
    for item in Items::new(batch.first, batch.items.clone()).map_while(Result::ok) {
        match item {
            Item::Entries { frames: bytes, .. } => {
                let mut from = 0;
                for frame in frames(&bytes).map_while(Result::ok) {
                    let to = from + frame.size();
                    match Body::read(frame.body).map(|body| body.kind) {
                        Ok(Kind::Passed) => out.skip(1),
                        Ok(_) | Err(_) => out.entries(1, &bytes[from..to]),
                    }
                    from = to;
                }
            }
            Item::Skip { from, to } => out.skip(to.0 - from.0 + 1),
            Item::Gap(gap) => out.gap(gap.count(), gap.cause),
        }
    }
    out.finish()
}

/// An entry as a link carries it, under that number, which is defined.
fn sent_again(entry: &Logged, number: u32, definitions: &mut Definitions) -> Option<Vec<u8>> {
    let (log, epoch, seq) = entry.origin?;
    let (room, channel, client) = (entry.room?, entry.channel.clone()?, entry.client?);
    let body = Body::read(&entry.body).ok()?;
    definitions.routes.push((RouteNumber(number), Route { room, channel, client }));
    definitions.origins.push((number, (log, epoch)));
    let mut plain = Vec::new();
    let rest = |out: &mut Vec<u8>| out.extend_from_slice(body.rest);
    write_frame(&mut plain, RouteNumber(number), body.kind, body.flags, body.stamp, rest);
    let (frame, _) = Frame::read(&plain, 0).ok()?;
    let mut bytes = Vec::new();
    Frame { origin: Some(Origin { number, seq, wall: Wall(0), uncertain: false }), ..frame }
        .write(&mut bytes);
    Some(bytes)
}
