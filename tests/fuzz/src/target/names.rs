//! Names, channels, filters and positions. What is read is written as it was.

use crate::outcome;
use riser_model::{AccountName, ChannelName, Filter, Position, RoomName};
use std::{fmt::Display, str::FromStr};

pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for text in text.split('\n') {
        same::<AccountName>(text);
        same::<RoomName>(text);
        same::<Filter>(text);
        if let Some(channel) = same::<ChannelName>(text) {
            let filter: Filter = text.parse().expect("a channel is a filter");
            assert!(filter.matches(&channel) && Filter::all().matches(&channel));
            assert_eq!(filter.exact().as_ref(), Some(&channel));
        }
        if let Ok(position) = text.parse::<Position>() {
            assert_eq!(position.to_string().parse::<Position>().ok(), Some(position));
        }
    }
}

fn same<T: FromStr + Display>(text: &str) -> Option<T> {
    let read = text.parse::<T>().ok();
    outcome::note(read.is_some());
    let read = read?;
    assert_eq!(read.to_string(), text);
    Some(read)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "acme\nplant-2\nboiler/temperature",
        "a/+/c/#\n+\n#\n+/+",
        "\u{e9}/temp\n$riser/x\na//b\n../x",
        "5ca7c8bfc1c86dba.bf0ff29c0a705641.18446744073709551615",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
