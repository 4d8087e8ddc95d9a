//! `room`: makes, shows and changes rooms, invites to them and speaks to their devices.

use super::{
    Wish,
    place::{of_account, of_room, pair, word},
    value::rights,
};
use crate::admin::requests::{NewBroadcast, NewInvitation};
use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Subcommand;
use riser_model::{AccountName, ChannelName};
use serde_json::{Map, Value, json};

/// `room`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum RoomCommand {
    /// Make a room: `room create acme/plant history=log retention.count=10000`.
    Create {
        /// ACCOUNT/ROOM
        name: String,
        /// Fields of `[[account.room]]`, as KEY=VALUE.
        fields: Vec<String>,
    },
    /// Change a room; what is not given stays, and an empty value takes a field away.
    Set {
        /// ACCOUNT/ROOM
        name: String,
        /// Fields of `[[account.room]]`, as KEY=VALUE.
        fields: Vec<String>,
    },
    /// Remove a room, and its id for ever.
    Remove {
        /// ACCOUNT/ROOM
        name: String,
    },
    /// A room as it is configured.
    Show {
        /// ACCOUNT/ROOM
        name: String,
    },
    /// Who of its account could be in a room, with their roles.
    Members {
        /// ACCOUNT/ROOM
        name: String,
        /// Those whose name contains this.
        #[arg(long)]
        contains: Option<AccountName>,
    },
    /// Give somebody rights in a room; who is not in the account is made, with a token that is shown once.
    Invite {
        /// ACCOUNT/ROOM
        name: String,
        /// A user or client by name.
        guest: AccountName,
        /// publish, subscribe, or both with a comma.
        #[arg(long, default_value = "publish,subscribe")]
        right: String,
    },
    /// Say something to all devices of a room: one publication to each, at its own address. Prints its id, and who has it.
    Broadcast {
        /// ACCOUNT/ROOM
        name: String,
        /// Below each device's address.
        channel: ChannelName,
        /// The payload as text.
        #[arg(required_unless_present = "file")]
        text: Option<String>,
        /// The payload is what is in this file, byte for byte.
        #[arg(long, conflicts_with = "text")]
        file: Option<std::path::PathBuf>,
        /// What it is: a media type.
        #[arg(long = "type")]
        content_type: Option<String>,
        /// Of no use after so many seconds.
        #[arg(long)]
        expires: Option<u32>,
    },
    /// Which devices received a broadcast.
    Received {
        /// ACCOUNT/ROOM
        name: String,
        /// Its id.
        broadcast: u64,
        /// Without so many of the first, as `next` says.
        #[arg(long)]
        after: Option<usize>,
    },
}

impl RoomCommand {
    /// What it asks.
    pub(crate) fn wish(&self) -> anyhow::Result<Wish> {
        match self {
            Self::Create { name, fields } => {
                let (account, room) = pair(name)?;
                let mut all = room_fields(fields)?;
                all.insert("name".to_owned(), json!(room));
                Wish::new("POST", of_account(account, "/rooms")?).says(all)
            }
            Self::Set { name, fields } => {
                let (account, room) = pair(name)?;
                let rest = format!("/rooms/{}", word(room)?);
                Wish::new("PATCH", of_account(account, &rest)?).says(room_fields(fields)?)
            }
            Self::Remove { name } => {
                let (account, room) = pair(name)?;
                Ok(Wish::new("DELETE", of_account(account, &format!("/rooms/{}", word(room)?))?))
            }
            Self::Show { name } => {
                let (account, room) = pair(name)?;
                Ok(Wish::new("GET", of_account(account, &format!("/rooms/{}", word(room)?))?))
            }
            Self::Members { name, contains } => {
                let (account, room) = pair(name)?;
                let contains = contains.as_ref().map(|text| format!("?contains={text}")).unwrap_or_default();
                let rest = format!("/rooms/{}/members{contains}", word(room)?);
                Ok(Wish::new("GET", of_account(account, &rest)?))
            }
            Self::Invite { name, guest, right } => {
                let (account, room) = pair(name)?;
                let right = rights(right)?;
                let rest = format!("/rooms/{}/invitations", word(room)?);
                Wish::new("POST", of_account(account, &rest)?)
                    .says(NewInvitation { name: guest.clone(), right })
            }
            Self::Broadcast { name, channel, text, file, content_type, expires } => {
                let data_b64 = match file {
                    Some(file) => {
                        let bytes = std::fs::read(file);
                        let bytes =
                            bytes.with_context(|| format!("read the payload in {}", file.display()))?;
                        Some(STANDARD.encode(bytes))
                    }
                    None => None,
                };
                let (data, content_type) = (text.clone(), content_type.clone());
                let (channel, expires) = (channel.clone(), *expires);
                Wish::new("POST", of_room(name, "/broadcast")?).says(NewBroadcast {
                    channel,
                    data,
                    data_b64,
                    content_type,
                    expires,
                })
            }
            Self::Received { name, broadcast, after } => {
                let after = after.map(|after| format!("?after={after}")).unwrap_or_default();
                Ok(Wish::new("GET", of_room(name, &format!("/broadcasts/{broadcast}{after}"))?))
            }
        }
    }
}

/// `a.b=1` as `{"a":{"b":1}}`. What is no value of TOML is text, as in `history=log`; nothing is null.
fn room_fields(fields: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut all = Map::new();
    for field in fields {
        let (key, text) = field.split_once('=').with_context(|| format!("{field:?}: want KEY=VALUE"))?;
        let parsed = toml::from_str::<toml::Table>(&format!("value = {text}"));
        let value = match parsed.ok().and_then(|mut table| table.remove("value")) {
            _ if text.is_empty() => Value::Null,
            Some(value) => serde_json::to_value(value)?,
            None => json!(text),
        };
        let (mut place, mut parts) = (&mut all, key.split('.').peekable());
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                place.insert(part.to_owned(), value.clone());
                break;
            }
            let inner = place.entry(part).or_insert_with(|| json!({}));
            place = inner.as_object_mut().with_context(|| format!("{key}: {part} has a value already"))?;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_room_are_typed_as_in_the_file() {
        let fields = [
            "history=log",
            "retention.count=20",
            "down=true",
            "archive=true",
            "gate=[\"key\"]",
            "retention.age=30d",
            "id=",
        ];
        let all = room_fields(&fields.map(str::to_owned)).unwrap();
        let want = json!({
            "history": "log", "retention": { "count": 20, "age": "30d" }, "down": true, "archive": true, "gate": ["key"], "id": null,
        });
        assert_eq!(Value::Object(all), want);
        assert!(room_fields(&["nonsense".to_owned()]).is_err());
    }
}
