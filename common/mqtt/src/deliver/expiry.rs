//! What is left of a publication's time when it is said (MQTT 5, section 3.3.2.3.3).

use riser_model::Time;
use riser_wire::property;
use std::borrow::Cow;

/// The properties with as much of the message's expiry as is left, never more than its publisher said; none if it is over
/// (MQTT 5, section 3.3.2.3.3). It was published at `born_ms` of the same clock: one that is not stepped.
pub(super) fn aged(properties: &[u8], born_ms: i64, now: Time) -> Option<Cow<'_, [u8]>> {
    let Some(at) = property::expiry_at(properties) else { return Some(Cow::Borrowed(properties)) };
    let expiry_s = property::expiry_s(properties)?;
    let over_ms = born_ms.saturating_add(i64::from(expiry_s) * 1000);
    let now_ms = i64::try_from(now.0 / 1_000_000).unwrap_or(i64::MAX);
    let left_ms = over_ms.checked_sub(now_ms).filter(|left| *left > 0)?;
    let left = u32::try_from(left_ms.unsigned_abs().div_ceil(1000)).unwrap_or(u32::MAX).min(expiry_s);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_never_more_than_was_said() {
        let ten_seconds = [2, 0, 0, 0, 10];
        let left = |born_ms| aged(&ten_seconds, born_ms, Time(100_000_000_000)).map(|left| left[4]);
        let found = [100_000, 96_001, 90_000, 170_000, i64::MAX, i64::MIN].map(left);
        // By the clock that it was stamped by it is still to come.
        assert_eq!(found, [Some(10), Some(7), None, Some(10), Some(10), None]);
    }
}
