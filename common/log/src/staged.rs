//! Batches on their way into a block.

use crate::{
    block::HEADER_BYTES,
    tables::{CursorChanges, Tables, move_later},
};
use riser_model::{Batch, Epoch, LogId, Route, RouteNumber, Seq};
use riser_wire::entry::{Frame, frames};

use crate::errors::Refused;

/// A block that waits for its commit: room for the header, then entries, copied here once.
#[derive(Debug)]
pub(crate) struct Staged {
    pub first: Seq,
    pub count: u32,
    pub bytes: Vec<u8>,
    pub routes: Vec<(u32, Route)>,
    pub origins: Vec<(u32, (LogId, Epoch))>,
    pub cursors: CursorChanges,
}

impl Staged {
    /// An empty block in a buffer that may have been used before.
    pub fn new(first: Seq, mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.resize(HEADER_BYTES, 0);
        let (routes, origins) = (Vec::new(), Vec::new());
        Self { first, count: 0, bytes, routes, origins, cursors: CursorChanges::new() }
    }

    pub fn entries_bytes(&self) -> usize {
        self.bytes.len().saturating_sub(HEADER_BYTES)
    }

    pub fn last(&self) -> Seq {
        Seq((self.first.0 + u64::from(self.count)).saturating_sub(1))
    }

    /// About how many bytes it takes as a block.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64 + 1024 + meta_size(self.routes.len(), self.origins.len(), self.cursors.len())
    }

    /// Takes a batch that was found good, and the definitions that must ride with it.
    pub fn add<F: crate::Fold>(&mut self, batch: Batch, uses: &Uses, tables: &mut Tables<F>) {
        let last = Seq((batch.first.0 + u64::from(batch.count)).saturating_sub(1));
        let defined: Vec<u32> = batch.routes.iter().map(|(number, _)| number.0).collect();
        for (number, route) in batch.routes {
            tables.routes.define(number.0, route);
        }
        for number in uses.routes.iter().map(|(number, _)| *number).chain(defined) {
            let definition = tables.routes.stage(number, self.first, last);
            self.routes.extend(definition.map(|route| (number, route)));
        }
        let defined: Vec<u32> = batch.origins.iter().map(|(number, _)| *number).collect();
        for (number, origin) in batch.origins {
            tables.origins.define(number, origin);
        }
        for number in uses.origins.iter().copied().chain(defined) {
            let definition = tables.origins.stage(number, self.first, last);
            self.origins.extend(definition.map(|origin| (number, origin)));
        }
        move_later(&mut self.cursors, &batch.cursors.into_iter().collect());
        self.bytes.extend_from_slice(&batch.entries);
        self.count += batch.count;
    }
}

/// About how many bytes of meta that many definitions and cursors are.
pub(crate) fn meta_size(routes: usize, origins: usize, cursors: usize) -> u64 {
    (64 + routes * 300 + origins * 32 + cursors * 96) as u64
}

/// The numbers that a batch's entries use: routes once per stretch of entries, with the length of its frames.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    pub routes: Vec<(u32, usize)>,
    pub origins: Vec<u32>,
}

impl Uses {
    /// Walks a batch's entries; refuses what the log could not give back later.
    pub fn of<F: crate::Fold>(&mut self, batch: &Batch, tables: &Tables<F>) -> Result<(), Refused> {
        self.routes.clear();
        self.origins.clear();
        for (number, route) in &batch.routes {
            if *number == RouteNumber::NONE || !tables.routes.may_define(number.0, route) {
                return Err(Refused::Redefined(number.0));
            }
        }
        for (number, origin) in &batch.origins {
            if *number == 0 || !tables.origins.may_define(*number, origin) {
                return Err(Refused::Redefined(*number));
            }
        }
        let mut found = 0;
        for frame in frames(&batch.entries) {
            self.see(&frame?);
            found += 1;
        }
        if found != batch.count {
            return Err(Refused::Count { claimed: batch.count, found });
        }
        for (number, _) in &self.routes {
            let known = tables.routes.contains(*number) || batch.routes.iter().any(|(n, _)| n.0 == *number);
            if !known {
                return Err(Refused::UnknownRoute(RouteNumber(*number)));
            }
        }
        for number in &self.origins {
            let known = tables.origins.contains(*number) || batch.origins.iter().any(|(n, _)| n == number);
            if !known {
                return Err(Refused::UnknownOrigin(*number));
            }
        }
        Ok(())
    }

    fn see(&mut self, frame: &Frame<'_>) {
        if frame.route != RouteNumber::NONE {
            match self.routes.last_mut() {
                Some((number, bytes)) if *number == frame.route.0 => *bytes += frame.size(),
                _ => self.routes.push((frame.route.0, frame.size())),
            }
        }
        if let Some(origin) = frame.origin
            && self.origins.last() != Some(&origin.number)
        {
            self.origins.push(origin.number);
        }
    }
}
