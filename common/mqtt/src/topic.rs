//! MQTT's grammar of topics and topic filters, on bytes that need not be ASCII. Which rooms and channels they
//! mean is the bus's business.

use riser_model::{
    ShareWant,
    door::{Technical, Want},
    name::CHANNEL_BYTES_MAX,
};

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

/// Whether a filter meets a topic that begins with a level of both that is no wildcard.
pub(crate) fn meets(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// What a filter asks the bus for, or why it asks for nothing.
pub(crate) fn want(filter: &str) -> Result<Want, BadFilter> {
    if filter.len() > TOPIC_BYTES_MAX || !is_filter(filter) {
        return Err(BadFilter);
    }
    if filter.starts_with(SHARE) {
        return shared(filter).map(|shared| Want::Shared(Box::new(shared))).ok_or(BadFilter);
    }
    if let Some(rest) = filter.strip_prefix("$riser/") {
        return technical(rest).map(Want::Technical).ok_or(BadFilter);
    }
    if filter.starts_with("$SYS/") {
        return Ok(Want::System(filter.to_owned()));
    }
    if filter.starts_with('$') {
        return Err(BadFilter);
    }
    Ok(Want::Topic(filter.to_owned()))
}

/// What a shared subscription's filter begins with.
pub(crate) const SHARE: &str = "$share/";

/// `$share/{group}/{filter}` (MQTT 5, section 4.8.2). What servers say of themselves is not for one member alone.
fn shared(filter: &str) -> Option<ShareWant> {
    let (group, topic) = filter.strip_prefix(SHARE)?.split_once('/')?;
    let named = !group.is_empty() && !group.contains(['+', '#']);
    (named && is_filter(topic) && !topic.starts_with('$')).then(|| ShareWant {
        filter: filter.to_owned(),
        topic: topic.to_owned(),
        most: 0,
        kept: false,
        own: Vec::new(),
    })
}

/// What is asked for by what follows `$riser/`: `account`, `hub` or `room/{room}`, and after it the kinds.
fn technical(rest: &str) -> Option<Technical> {
    let (whose, rest) = rest.split_once('/')?;
    let (room, kinds) = match whose {
        "room" => {
            let (room, kinds) = rest.split_once('/')?;
            (Some(room.parse().ok()?), kinds)
        }
        "account" | "hub" => (None, rest),
        _ => return None,
    };
    let (account, hub) = (whose == "account", whose == "hub");
    Some(Technical { room, account, hub, kinds: kinds.parse().ok()? })
}

/// The filter asks for nothing: not MQTT's grammar, too long, or a `$` that nobody answers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BadFilter;

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
    fn filters_meet_what_the_system_says() {
        let met = |filter| meets(filter, "$SYS/broker/clients/total");
        for filter in ["$SYS/#", "$SYS/broker/+/total", "$SYS/broker/clients/total/#", "$SYS/+/#"] {
            assert!(met(filter), "{filter}");
        }
        for filter in ["$SYS/broker", "$SYS/broker/+", "$SYS/broker/clients/total/x", "$SYS/+/total"] {
            assert!(!met(filter), "{filter}");
        }
    }

    #[test]
    fn filters_ask_for_topics_or_technical_channels() {
        assert_eq!(want("+/x"), Ok(Want::Topic("+/x".into())));
        let account = Technical { hub: false, ..Technical::of_account() };
        let hub = Technical { account: false, ..Technical::of_account() };
        assert_eq!(want("$riser/account/#"), Ok(Want::Technical(account)));
        let left =
            Technical { kinds: "left".parse().unwrap(), ..Technical::of_room("hall".parse().unwrap()) };
        assert_eq!(want("$riser/room/hall/left"), Ok(Want::Technical(left)));
        assert_eq!(
            want("$riser/hub/+"),
            Ok(Want::Technical(Technical { kinds: "+".parse().unwrap(), ..hub }))
        );
        for bad in ["$riser/account", "$riser/room/hall", "$riser/room/+/#", "$riser/#", "$riser/user/#"] {
            assert_eq!(want(bad), Err(BadFilter), "{bad}");
        }
        assert_eq!(want("$riser/room/+"), Err(BadFilter));
        assert_eq!(want("$SYS/#"), Ok(Want::System("$SYS/#".into())));
        assert_eq!(want("$SYS"), Err(BadFilter));
        for text in
            ["$share/g", "$share//a", "$share/g/", "$share/+/a", "$share/g#/a", "$share/g/$riser/account/#"]
        {
            assert_eq!(want(text), Err(BadFilter), "{text}");
        }
        match want("$share/g/a/+") {
            Ok(Want::Shared(shared)) => {
                assert_eq!((&shared.topic[..], &shared.filter[..]), ("a/+", "$share/g/a/+"))
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(want(&"x".repeat(TOPIC_BYTES_MAX + 1)), Err(BadFilter));
    }
}
