//! The table of causes: which seqs are gone, why, since when, and what is known of them (rule 6.2).

use riser_model::{Cause, Gap, RoomId, Seq, Wall};
use serde::{Deserialize, Serialize};

/// Why some seqs are gone, and what is known of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GapRecord {
    /// Which, and why.
    pub gap: Gap,
    /// When it was made, by this host's wall clock.
    pub when: Wall,
    /// How many bytes of entries went, where that is known.
    pub bytes: Option<u64>,
    /// How many entries of each room went, where that is known; rooms in order.
    pub rooms: Vec<(RoomId, u64)>,
}
