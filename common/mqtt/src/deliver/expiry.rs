//! What is left of a publication's time when it is said (MQTT 5, section 3.3.2.3.3).

use riser_model::Wall;
use riser_wire::property;
use std::borrow::Cow;

/// The properties with as much of the message's expiry as is left; none if it is over (MQTT 5, section 3.3.2.3.3).
pub(super) fn aged(properties: &[u8], published: Wall, now: Wall) -> Option<Cow<'_, [u8]>> {
    let Some(at) = property::expiry_at(properties) else { return Some(Cow::Borrowed(properties)) };
    let left = now.seconds_until(published.plus_s(property::expiry_s(properties)?))?;
    Some(Cow::Owned(with_expiry(properties, at, left)))
}

/// The properties of what was begun and whose time is over.
pub(super) fn over(properties: &[u8]) -> Cow<'_, [u8]> {
    match property::expiry_at(properties) {
        Some(at) => Cow::Owned(with_expiry(properties, at, 0)),
        None => Cow::Borrowed(properties),
    }
}

fn with_expiry(properties: &[u8], at: usize, seconds: u32) -> Vec<u8> {
    let mut properties = properties.to_vec();
    if let Some(place) = properties.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = seconds.to_be_bytes();
    }
    properties
}
