//! A will as the publication that it becomes.

use riser_model::{
    Now, RouteNumber,
    door::{Intake, Will},
};
use riser_wire::entry::{ContentType, Publication};

/// The connection is leaving: whatever its door meant by this alias is said no more.
const ALIAS: u32 = 0;
/// A ticket that no door hands out; nobody waits for it.
const TICKET: u64 = u64::MAX;

/// The will as one batch of its connection.
pub(crate) fn intake(will: Will, now: Now) -> Intake {
    let publication = Publication {
        retain: will.retain,
        qos: will.qos,
        properties: &will.properties,
        ..Publication::new(ContentType::named(&will.content_type), &will.payload)
    };
    let mut entries = Vec::new();
    publication.write_frame(&mut entries, RouteNumber(ALIAS), now.stamp());
    Intake { ticket: TICKET, aliases: vec![(ALIAS, will.target)], entries: entries.into(), count: 1 }
}
