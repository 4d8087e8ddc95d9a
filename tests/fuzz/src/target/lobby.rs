//! A program in the main lobby: rooms, errands, tickets, and a move into a room, where it goes on as an envelope door.
//!
//! Input: how often the gate asks (of 2), whose lobby it is and whether it shows nothing, then text messages, a line each.

use super::site::{Said, Site, now};
use riser_model::door::{Input, Method, Prompt, SessionState};
use riser_rooms::door::{Lobby, TicketSeed};

pub fn run(input: &[u8]) {
    let [how, lines @ ..] = input else { return };
    let questions = [
        Prompt::Challenge { method: Method::Key, nonce: "00ff".to_owned() },
        Prompt::Words("the word: ".to_owned()),
    ];
    let asked = questions.into_iter().take(usize::from(how & 3));
    let host = (how & 4 != 0).then(|| "kim".parse().expect("letters are a name"));
    let door = Lobby::new(None, host, how & 8 == 0, TicketSeed([7; 32]), now());
    let mut site = Site::new(door, SessionState::default()).with_gate(asked);
    site.input(Input::Room(64 * 1024));
    for line in String::from_utf8_lossy(lines).lines() {
        site.input(Input::Text(line.to_owned()));
    }
    site.input(Input::Gone("cut"));
    for said in &site.said {
        match said {
            Said::Text(text) => {
                serde_json::from_str::<serde_json::Value>(text).expect("what a door says is JSON");
            }
            Said::Bytes(_) => panic!("a lobby says text only"),
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let hello = r#"{"op":"hello","id":1,"credential":{"user":"acme/ann","password":"x"}}"#;
    let claim = r#"{"op":"hello","id":1,"credential":{"user":"ann","method":"ed25519"}}"#;
    let lobby = [
        r#"{"op":"rooms","id":2}"#,
        r#"{"op":"whoami","id":3}"#,
        r#"{"op":"create","id":4,"room":"plant","history":"log"}"#,
        r#"{"op":"invite","id":5,"name":"bob","room":"plant","as":"reader"}"#,
        r#"{"op":"keys","id":6,"make":"token"}"#,
        r#"{"op":"keys","id":7,"revoke":"ab"}"#,
        r#"{"op":"move","id":8,"room":"plant"}"#,
        r##"{"op":"subscribe","id":9,"sub":1,"channels":"#","flow":"conflate"}"##,
        r#"{"op":"publish","id":10,"channel":"a/b","data":1}"#,
        r#"{"op":"ticket","id":11}"#,
    ];
    let answer = r#"{"op":"answer","proof":"AAAA"}"#;
    let (lobby, answers) = (lobby.join("\n"), [answer, answer].join("\n"));
    vec![
        format!("\0{hello}\n{lobby}").into_bytes(),
        format!("\u{2}{claim}\n{answers}\n{lobby}").into_bytes(),
        format!("\u{4}{hello}\n{lobby}").into_bytes(),
        format!("\u{8}{{\"op\":\"hello\",\"id\":1}}\n{lobby}").into_bytes(),
        format!("\0{{\"op\":\"hello\",\"id\":1}}\n{lobby}").into_bytes(),
    ]
}
