//! A WebSocket that names a channel and says nothing of who it is: what it sends is published byte for byte and in order, and
//! comes back as it was sent.
//!
//! Input: whose address it is and what the gate does, then messages: what kind, how long (2 bytes), the bytes.

use super::site::{CLIENT, Said, Site};
use bytes::Bytes;
use riser_model::{
    ClientId,
    door::{Credential, Input, Method, Prompt, SessionState},
};
use riser_rooms::door::{Place, Raw};
use uuid::Uuid;

/// What was sent, and whether as text.
type Sent = (Bytes, bool);

pub fn run(input: &[u8]) {
    let [how, rest @ ..] = input else { return };
    let place = Place {
        account: "acme".parse().expect("letters are a name"),
        room: "hall".parse().expect("letters are a name"),
        credential: Credential::Anonymous,
        anonymous: true,
    };
    let of = [None, Some(CLIENT), Some(ClientId(Uuid::from_u128(9)))].get(usize::from(how % 3)).copied();
    let door = Raw::new(place, "a/b".parse().expect("letters are a channel"), of.flatten());
    let challenge = Prompt::Challenge { method: Method::Secret, nonce: "00ff".to_owned() };
    let questions = [None, Some(challenge), Some(Prompt::Knocked)].into_iter().nth(usize::from(how / 64 % 3));
    let (is_asked, knocks) = (how / 64 % 3 == 1, how / 64 % 3 == 2);
    let questions = questions.flatten();
    let mut site = Site::new(door, SessionState::default()).with_gate(questions).with_echo();
    site.input(Input::Room(1 << 20));
    let sent = messages(rest);
    for (n, (payload, is_text)) in sent.iter().enumerate() {
        if knocks && n == sent.len() / 2 && !site.is_closed() {
            site.go_on();
        }
        site.input(match std::str::from_utf8(payload) {
            Ok(text) if *is_text => Input::Text(text.to_owned()),
            Ok(_) | Err(_) => Input::Bytes(payload.clone()),
        });
    }
    // The first one answers the gate, if that asks.
    let mut heard = sent.iter().skip(usize::from(is_asked));
    for payload in &site.published {
        assert_eq!(heard.next().map(|(sent, _)| sent), Some(payload), "byte for byte, in order");
    }
    assert!(site.is_closed() || heard.next().is_none(), "nothing is left out");
    if how % 3 == 0 {
        let came = site.said.iter().skip(usize::from(is_asked)).map(|said| match said {
            Said::Text(text) => text.as_bytes(),
            Said::Bytes(bytes) => bytes,
        });
        assert!(came.eq(site.published.iter().map(|payload| &**payload)), "as it was sent");
    } else {
        assert!(site.said.len() <= 1, "an address of its own is for publishing");
    }
    site.input(Input::Gone("cut"));
}

fn messages(mut bytes: &[u8]) -> Vec<Sent> {
    let mut messages = Vec::new();
    while let [kind, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        let is_text = kind & 1 == 0 && std::str::from_utf8(payload).is_ok();
        // Now and then one that is larger than any may be.
        let payload =
            if *kind == 0xfe { payload.repeat(300_000 / payload.len().max(1)) } else { payload.to_vec() };
        messages.push((payload.into(), is_text));
        bytes = rest;
    }
    messages
}

pub fn seeds() -> Vec<Vec<u8>> {
    let message =
        |kind: u8, payload: &[u8]| [&[kind], &(payload.len() as u16).to_be_bytes()[..], payload].concat();
    let all = [message(0, b"21.5"), message(1, &[0, 255]), message(0, "\u{e9}".as_bytes()), message(1, b"")]
        .concat();
    let large = [message(0, b"fits"), message(0xfe, b"x"), message(0, b"too late")].concat();
    let mut seeds: Vec<Vec<u8>> = [0, 1, 2, 64, 66, 129, 130].map(|how| [&[how][..], &all].concat()).to_vec();
    seeds.push([&[0][..], &large].concat());
    seeds
}
