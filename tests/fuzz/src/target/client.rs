//! One envelope connection. Input: text messages, a line each.

use super::site::{Said, Site, now};
use crate::outcome;
use riser_model::door::{Credential, Input, SessionState};
use riser_rooms::door::{Envelope, Place, TicketSeed};
use riser_wire::client::Request;

pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let place = Place {
        account: "acme".parse().expect("letters are a name"),
        room: "hall".parse().expect("letters are a name"),
        credential: Credential::Anonymous,
        anonymous: true,
    };
    let mut site = Site::new(Envelope::new(place, TicketSeed([7; 32]), now()), SessionState::default());
    site.input(Input::Room(64 * 1024));
    for line in text.lines() {
        // Whatever a line is, it is read alone as well: most are not, once the door has closed.
        if let Err(wrong) = Request::read(line) {
            outcome::note_error(&wrong.refusal.want);
        }
        site.input(Input::Text(line.to_owned()));
    }
    for said in &site.said {
        match said {
            Said::Text(text) => {
                serde_json::from_str::<serde_json::Value>(text).expect("what a door says is JSON");
            }
            Said::Bytes(_) => panic!("an envelope door says text only"),
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let hello = r##"{"op":"hello","id":1,"credential":{"user":"ann","password":"x"},"subscriptions":[{"sub":1,"channels":"boiler/#","from":"start","flow":"credit"},{"sub":2,"channels":"+","from":{"last":3},"flow":"conflate"}]}"##;
    let token = r#"{"op":"hello","id":9007199254740991,"credential":{"token":"abc"}}"#;
    let rest = [
        r##"{"op":"subscribe","id":2,"sub":3,"channels":"a/+/#","from":{"after":"0000000000000001.0000000000000002.5"},"flow":"credit"}"##,
        r#"{"op":"subscribe","id":3,"sub":4,"technical":"room"}"#,
        r#"{"op":"publish","id":4,"channel":"a/b","data":{"v":[1,2.5e3,null,"\u00e9\ud83d\ude00"]},"content_type":"application/json"}"#,
        r#"{"op":"publish","id":5,"channel":"a/b","data_b64":"AAEC","publish_id":["00000000000000ff",7]}"#,
        r#"{"op":"publish","id":6,"messages":[{"channel":"a","data":"x"},{"channel":"b","data":1}]}"#,
        r#"{"op":"credit","sub":1,"messages":10}"#,
        r#"{"op":"unsubscribe","id":7,"sub":1}"#,
        r#"{"op":"ping","id":8}"#,
        r#"{"op":"renew","id":9,"credential":{"user":"ann","method":"ed25519"}}"#,
        r#"{"op":"answer","proof":"AAEC"}"#,
        r#"{"op":"renew","id":10,"credential":{"token":"abc"}}"#,
    ];
    let all = format!("{hello}\n{}", rest.join("\n"));
    let other = format!("{token}\n{}", rest.join("\n"));
    [all, other].into_iter().chain(rest.map(str::to_owned)).map(String::into_bytes).collect()
}
