//! What a source's topics mean here: a room of its own configuration, or whatever they mean at a listener.

use crate::config::SourceConfig;
use riser_model::{
    RoomName,
    door::{Code, Refusal, Target},
    name::{CHANNEL_BYTES_MAX, CHANNEL_LEVELS_MAX},
};

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mapping {
    room: Option<RoomName>,
    strip: u8,
    prefix: String,
}

impl Mapping {
    /// As configured.
    pub(crate) fn new(config: &SourceConfig) -> Self {
        Self { room: config.room.clone(), strip: config.strip, prefix: config.prefix.clone() }
    }

    /// Topics as they stand.
    #[cfg(test)]
    pub(crate) fn anything() -> Self {
        Self { room: None, strip: 0, prefix: String::new() }
    }

    /// Where a topic leads. Whether such a room exists and takes it is the bus's to say.
    pub(crate) fn target(&self, topic: &str) -> Result<Target, Refusal> {
        let Some(room) = &self.room else { return Ok(Target::Topic(topic.to_owned())) };
        let levels = usize::from(self.strip);
        let rest = topic.splitn(levels + 1, '/').nth(levels).unwrap_or("");
        let channel = match (self.prefix.as_str(), rest) {
            (prefix, "") => prefix.trim_end_matches('/').to_owned(),
            (prefix, rest) => format!("{prefix}{rest}"),
        };
        match channel.parse() {
            Ok(channel) => Ok(Target::Channel(room.clone(), channel)),
            Err(_) => Err(Refusal {
                code: Code::BadName,
                what: format!("a topic of which no channel can be made: {}", quote(topic)),
                want: format!(
                    "1 to {CHANNEL_BYTES_MAX} bytes in at most {CHANNEL_LEVELS_MAX} levels, without a leading $, \
                     after strip and prefix"
                ),
            }),
        }
    }
}

/// Names from elsewhere are quoted in refusals, but not at any length.
pub(crate) fn quote(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    format!("{short:?}{}", if short.len() < text.len() { "..." } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(room: Option<&str>, strip: u8, prefix: &str) -> Mapping {
        Mapping { room: room.map(|room| room.parse().unwrap()), strip, prefix: prefix.to_owned() }
    }

    #[test]
    fn a_source_with_a_room_has_channels_made_of_its_topics() {
        for (strip, prefix, topic, channel) in [
            (0, "", "sensors/t", "sensors/t"),
            (1, "", "sensors/t", "t"),
            (1, "old/", "sensors/t", "old/t"),
            (0, "sys/", "$SYS/uptime", "sys/$SYS/uptime"),
            (1, "old/", "sensors", "old"),
            (0, "", "Haus 1/Küche", "Haus 1/Küche"),
        ] {
            let found = mapping(Some("hall"), strip, prefix).target(topic).unwrap();
            assert_eq!(found, Target::Channel("hall".parse().unwrap(), channel.parse().unwrap()), "{topic}");
        }
        for (strip, topic) in [(0, "$SYS/uptime"), (1, "sensors"), (0, &*"x".repeat(256)), (0, "")] {
            let refusal = mapping(Some("hall"), strip, "").target(topic).unwrap_err();
            assert_eq!(refusal.code, Code::BadName);
            assert!(refusal.what.len() < 200, "{refusal:?}");
        }
    }

    #[test]
    fn without_a_room_topics_mean_what_they_mean_at_a_listener() {
        assert_eq!(mapping(None, 0, "").target("a/b"), Ok(Target::Topic("a/b".to_owned())));
    }
}
