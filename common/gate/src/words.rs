//! `[tty]`: what the chat bot on the front socket says, as a person writes it.

use crate::invalid::Invalid;
use serde::{Deserialize, Serialize};

/// The longest line, bytes.
pub const LINE_BYTES_MAX: usize = 200;

/// What the chat bot says. Lines, without line ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Words {
    /// First, to everybody.
    pub greeting: String,
    /// Then, letter by letter, with carriage returns, as a teleprompter writes.
    pub prompter: String,
    /// Asks for the name.
    pub name: String,
    /// Asks for the password.
    pub password: String,
    /// To who is not let in.
    pub incorrect: String,
    /// To who was not let in several times lately.
    pub again: String,
    /// To the same, before it is dropped.
    pub nope: String,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            greeting: "command: ttymode".to_owned(),
            prompter: "who goes there?".to_owned(),
            name: "name: ".to_owned(),
            password: "password: ".to_owned(),
            incorrect: "!! incorrect".to_owned(),
            again: "ooh you again! ...".to_owned(),
            nope: "Nope!".to_owned(),
        }
    }
}

impl Words {
    /// What is wrong with them; `key` names them.
    pub fn check(&self, key: &str) -> Vec<Invalid> {
        let Self { greeting, prompter, name, password, incorrect, again, nope } = self;
        let all = [
            ("greeting", greeting),
            ("prompter", prompter),
            ("name", name),
            ("password", password),
            ("incorrect", incorrect),
            ("again", again),
            ("nope", nope),
        ];
        let bad = |text: &str| text.len() > LINE_BYTES_MAX || text.chars().any(char::is_control);
        let wrong = all.into_iter().filter(|(_, text)| bad(text));
        wrong
            .map(|(name, _)| {
                let want = format!("at most {LINE_BYTES_MAX} bytes without control characters");
                Invalid::new(format!("{key}.{name}"), "not a line", want)
            })
            .collect()
    }

    /// What everybody hears first.
    pub(crate) fn hello(&self) -> String {
        let mut said = format!("{}\r\n", self.greeting);
        for (end, letter) in self.prompter.char_indices() {
            said.push_str(self.prompter.get(..end + letter.len_utf8()).unwrap_or_default());
            said.push('\r');
        }
        said + &format!("\r\n{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompter_writes_letter_by_letter_over_what_it_wrote() {
        let words = Words { prompter: "añb".to_owned(), ..Words::default() };
        assert_eq!(words.hello(), "command: ttymode\r\na\rañ\rañb\r\r\nname: ");
        assert_eq!(words.check("tty"), []);
    }

    #[test]
    fn words_are_lines() {
        let words = Words { nope: "\x1b[2J".to_owned(), again: "x".repeat(201), ..Words::default() };
        let wrong: Vec<String> = words.check("tty").into_iter().map(|wrong| wrong.key).collect();
        assert_eq!(wrong, ["tty.again", "tty.nope"]);
    }
}
