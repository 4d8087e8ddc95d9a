//! A small state folded from entries, carried by every checkpoint.

use riser_model::{Route, Seq};
use riser_wire::entry::Frame;

/// A state that entries change and that must be whole after any crash (open QoS 2 ids, MQTT sessions). The log
/// applies every committed entry to it, in order, saves it in each checkpoint and rolls it forward at start.
///
/// It is kept in RAM and written with every segment: keep it small (an eighth of a segment at most).
pub trait Fold: Default + Clone + Send + 'static {
    /// Takes one committed entry, and where it belongs if it belongs to a channel.
    fn apply(&mut self, seq: Seq, frame: &Frame<'_>, route: Option<&Route>);
    /// Its bytes for a checkpoint, with a version of their own.
    fn save(&self) -> Vec<u8>;
    /// What `save` of this or an older version wrote; none if this cannot be read.
    fn load(bytes: &[u8]) -> Option<Self>;
}

impl Fold for () {
    fn apply(&mut self, _: Seq, _: &Frame<'_>, _: Option<&Route>) {}

    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    fn load(_: &[u8]) -> Option<Self> {
        Some(())
    }
}
