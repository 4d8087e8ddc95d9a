//! `[[binding]]`: which room and channel a device's topic means at an edge.

use riser_gate::Invalid;
use riser_model::{AccountName, Binding, ChannelName, Filter, RoomName, name::CHANNEL_LEVELS_MAX};
use serde::{Deserialize, Serialize};

/// One rule; the first that matches a topic wins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindingConfig {
    /// Which topics, in MQTT's grammar: `sensors/#`.
    pub topics: Filter,
    /// The room they go to, within the account of whoever publishes.
    pub room: RoomName,
    /// How many leading levels of the topic are cut off.
    #[serde(default)]
    pub strip: u8,
    /// What the channel then begins with, as it stands: end it with `/` to make levels of it. `{client}` stands
    /// for the name of whoever publishes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
}

impl BindingConfig {
    /// What is wrong with it.
    pub fn check(&self, key: &str) -> Vec<Invalid> {
        let mut wrong = Vec::new();
        if usize::from(self.strip) >= CHANNEL_LEVELS_MAX {
            wrong.push(Invalid::new(
                format!("{key}.strip"),
                "no topic has as many levels",
                format!("cut off at most {}", CHANNEL_LEVELS_MAX - 1),
            ));
        }
        let longest: AccountName = "x".repeat(64).parse().expect("64 letters are a name");
        let begins = self.prefix.replace("{client}", longest.as_str());
        if begins.contains(['{', '}']) || (begins + "x").parse::<ChannelName>().is_err() {
            wrong.push(Invalid::new(
                format!("{key}.prefix"),
                "no channel can begin with it",
                "use levels without +, # or a leading $; {client} stands for the client's name",
            ));
        }
        wrong
    }

    /// The rule itself.
    pub fn binding(&self) -> Binding {
        let Self { topics, room, strip, prefix } = self.clone();
        Binding { topics, room, strip, prefix }
    }
}
