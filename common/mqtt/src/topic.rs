//! MQTT's grammar of topics and topic filters, on bytes that need not be ASCII. Which rooms and channels they
//! mean is the bus's business.

use riser_model::{RoomName, door::Want, name::CHANNEL_BYTES_MAX};

/// The longest topic or filter that is looked at: longer ones name no room and channel, whatever a binding
/// makes of them.
pub(crate) const TOPIC_BYTES_MAX: usize = 2 * CHANNEL_BYTES_MAX + 2;

/// Whether a string (UTF-8 without NUL) names one topic: not empty and without wildcards.
pub(crate) fn is_topic(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|b| b == b'+' || b == b'#')
}

/// Whether a string (UTF-8 without NUL) is a topic filter: `+` is a whole level, `#` a whole last one.
pub(crate) fn is_filter(text: &str) -> bool {
    let mut levels = text.split('/').rev();
    let last = levels.next().unwrap_or_default();
    let plain = |level: &str| level == "+" || !level.contains(['+', '#']);
    !text.is_empty() && (last == "#" || plain(last)) && levels.all(plain)
}

/// What a filter asks the bus for, or why it asks for nothing.
pub(crate) fn want(filter: &str) -> Result<Want, BadFilter> {
    if filter.len() > TOPIC_BYTES_MAX || !is_filter(filter) {
        return Err(BadFilter::Invalid);
    }
    if filter.starts_with("$share/") {
        return Err(BadFilter::Shared);
    }
    if filter == "$riser/account" {
        return Ok(Want::Technical(None));
    }
    if let Some(room) = filter.strip_prefix("$riser/room/") {
        return room
            .parse::<RoomName>()
            .map(|room| Want::Technical(Some(room)))
            .map_err(|_| BadFilter::Invalid);
    }
    if filter.starts_with('$') {
        return Err(BadFilter::Invalid);
    }
    Ok(Want::Topic(filter.to_owned()))
}

/// Why a filter asks for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadFilter {
    /// Not MQTT's grammar, too long, or a `$` that nobody answers to.
    Invalid,
    /// A shared subscription.
    Shared,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_filters_follow_mqtt() {
        for text in ["a", "/", "a//b", "é/ü", "$x"] {
            assert!(is_topic(text) && is_filter(text), "{text}");
        }
        for text in ["#", "+", "a/+", "+/+/#", "/#", "é/#"] {
            assert!(!is_topic(text) && is_filter(text), "{text}");
        }
        for text in ["", "a#", "#/a", "a+/b", "a/#/b", "++"] {
            assert!(!is_topic(text) && !is_filter(text), "{text}");
        }
    }

    #[test]
    fn filters_ask_for_topics_or_technical_channels() {
        assert_eq!(want("+/x"), Ok(Want::Topic("+/x".into())));
        assert_eq!(want("$riser/account"), Ok(Want::Technical(None)));
        assert_eq!(want("$riser/room/hall"), Ok(Want::Technical(Some("hall".parse().unwrap()))));
        assert_eq!(want("$riser/room/+"), Err(BadFilter::Invalid));
        assert_eq!(want("$SYS/#"), Err(BadFilter::Invalid));
        assert_eq!(want("$share/g/a"), Err(BadFilter::Shared));
        assert_eq!(want(&"x".repeat(TOPIC_BYTES_MAX + 1)), Err(BadFilter::Invalid));
    }
}
