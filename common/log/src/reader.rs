//! Reads a log in order, holes as gaps, without ever making the writer wait.

use crate::{Disk, errors::ReadError, footer::Footer};
use riser_model::{Chunk, Seq};
use std::marker::PhantomData;

/// Reads a log.
#[derive(Clone)]
pub struct Reader<D> {
    disk: PhantomData<D>,
}

impl<D: Disk> Reader<D> {
    /// Everything from `from` on that is durable, in runs without a hole, about `bytes_max` of it and at least
    /// one entry. Empty at the end.
    pub fn read(&mut self, from: Seq, bytes_max: usize) -> Result<Chunk, ReadError> {
        let _ = (from, bytes_max);
        unimplemented!()
    }

    /// The newest durable seq.
    pub fn last(&self) -> Seq {
        unimplemented!()
    }

    /// The oldest seq that is still there; the one after [`Reader::last`] if none is.
    pub fn oldest(&self) -> Seq {
        unimplemented!()
    }

    /// What each segment holds, newest first, the one written to included.
    pub fn footers(&self) -> impl Iterator<Item = Result<Footer, ReadError>> + use<D> {
        std::iter::empty()
    }
}
