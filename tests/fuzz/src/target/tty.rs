//! A person at a terminal: lines, before the gate, in the lobby and in a room. What it is shown cannot command its terminal,
//! and comes only while it is in a room.
//!
//! Input: how often the gate asks (of 3) and whose lobby it is, then a line each.

use super::site::{Said, Site};
use riser_model::door::{Input, Method, Prompt, SessionState};
use riser_rooms::door::Tty;

pub fn run(input: &[u8]) {
    let [how, lines @ ..] = input else { return };
    let questions = [
        Prompt::Words("name: ".to_owned()),
        Prompt::Challenge { method: Method::Key, nonce: "00ff".to_owned() },
        Prompt::Words("password: ".to_owned()),
    ];
    let host = (how & 4 != 0).then(|| "kim".parse().expect("letters are a name"));
    let asked = questions.into_iter().take(usize::from(how & 3));
    let mut site = Site::new(Tty::new(None, host), SessionState::default()).with_gate(asked).with_echo();
    site.input(Input::Room(64 * 1024));
    for line in String::from_utf8_lossy(lines).split_inclusive('\n') {
        let before = site.said.len();
        site.input(Input::Text(line.to_owned()));
        if !line.trim_start().starts_with("say ") {
            let shown = site.said.iter().skip(before).filter(|said| is_shown(said));
            assert_eq!(shown.count(), 0, "nobody said anything");
        }
    }
    site.input(Input::Gone("cut"));
    assert_eq!(site.unasked, 0, "what is typed ahead answers no question");
    for said in &site.said {
        match said {
            Said::Text(text) => {
                let is_command = |letter: char| letter.is_control() && letter != '\r' && letter != '\n';
                assert!(!text.contains(is_command), "{text:?} commands a terminal");
            }
            Said::Bytes(_) => panic!("a terminal is told text only"),
        }
    }
}

/// `channel: text`; what the door itself says at a prompt has a line's end.
fn is_shown(said: &Said) -> bool {
    matches!(said, Said::Text(text) if !text.contains('\n') && text.starts_with("a/b: "))
}

pub fn seeds() -> Vec<Vec<u8>> {
    let room = "help\r\nrooms\nconnect to room hall\nsay a/b hello there\nsay a/b \u{1b}]0;mine\u{7}\nwhoami\nleave\nquit\n";
    let errands = "create sensor-1\ncreate gauge room hall\ninvite kim hall\nkeys\nkeys add ssh-ed25519 AAAA\nenter\nenter hall\nsay a x\n";
    let gate = "ann\nfYx3\nsecret\nwhoami\nconnect hall\nsay a/b x\n";
    [(0, room), (0, errands), (3, gate), (4, room), (1, "ann\nrooms\nexit\n")]
        .map(|(how, text)| [&[how], text.as_bytes()].concat())
        .to_vec()
}
