//! Wrong variants of the network: what it does to messages that no network does.

use super::World;
use crate::mutant::Mutant;
use riser_wire::link::{Batch, Item, Items, ItemsWriter};

/// One message in so many is treated badly.
const EVERY: u64 = 40;

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

    /// What an edge hears instead of what a device says.
    pub(super) fn twist_publish(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let publish = bytes.first().is_some_and(|first| first >> 4 == 3);
        if self.mutant == Some(Mutant::PublishChanged) && publish && self.is_its_turn() {
            bytes.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1);
        }
        bytes
    }
}
