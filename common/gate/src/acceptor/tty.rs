//! The chat bot: asks a person at a terminal for a name and a password, in that order and once, and drops whoever gets it
//! wrong. Who did so several times lately hears that it is known, and nothing else.

use super::{Awaits, Given, Hears, Known, No, Refused, Sort, Step, not_authorised, password};
use crate::words::Words;
use riser_model::door::{Credential, Prompt, Secret};
use std::{sync::Arc, time::Duration};

/// How long a person may take to type its name. Until then nothing is known of who holds the place.
const NAME_DEADLINE: Duration = Duration::from_secs(15);
/// How long it may take to type its password.
const PASSWORD_DEADLINE: Duration = Duration::from_secs(30);
/// The longest answer that is looked at, bytes.
const ANSWER_BYTES_MAX: usize = 256;

/// A conversation.
#[derive(Debug)]
pub(crate) struct Chat {
    words: Arc<Words>,
    /// Once it was said, and whether without an account in the lobby of one.
    name: Option<(String, bool)>,
}

/// At a terminal it is asked for its password.
pub(crate) const SORT: Sort = Sort::Known(Known { of: password::known, is_one_of_several: false });

pub(crate) fn begin(words: &Arc<Words>, given: &Given<'_>) -> Step {
    match given.credential {
        Credential::Person if given.caller.known => {
            let refused = not_authorised("it was refused several times lately");
            Step::Refuse(Refused { words: Some(format!("{}\r\n{}", words.again, words.nope)), ..refused })
        }
        Credential::Person => {
            let chat = Chat { words: Arc::clone(words), name: None };
            Step::Say(Prompt::Words(words.hello()), Hears::Chat(chat))
        }
        Credential::Anonymous
        | Credential::Password { .. }
        | Credential::Token(_)
        | Credential::Ticket(_)
        | Credential::Cookie(_)
        | Credential::Claim { .. } => Step::Next(None),
    }
}

impl Chat {
    /// How long it waits for the next answer.
    pub(crate) fn deadline(&self) -> Duration {
        if self.name.is_none() { NAME_DEADLINE } else { PASSWORD_DEADLINE }
    }

    pub(crate) fn hear(self, answer: &Secret, given: &Given<'_>) -> Step {
        let Self { words, name } = self;
        let incorrect = |why| Refused { words: Some(words.incorrect.clone()), ..not_authorised(why) };
        if answer.0.len() > ANSWER_BYTES_MAX {
            return Step::Refuse(incorrect("an answer that is too long"));
        }
        match name {
            None => {
                let Ok(name) = std::str::from_utf8(&answer.0) else {
                    return Step::Refuse(incorrect("a name that is no text"));
                };
                let said = Prompt::Words(words.password.clone());
                let (home, name) = (given.caller.home.as_ref(), name.trim());
                let is_bare = home.is_some() && !name.contains('/');
                let name = Some((given.directory.typed_at(home, name), is_bare));
                Step::Say(said, Hears::Chat(Self { words, name }))
            }
            Some((name, is_bare)) => {
                let password = Secret(answer.0.clone());
                let (effect, awaits) = password::verify(None, (&name, is_bare), &password, given);
                let no = match awaits.no {
                    No::Refuse(refused) => No::Refuse(incorrect(refused.why)),
                    no @ (No::Next(_) | No::Another { .. }) => no,
                };
                Step::have(effect, None, Awaits { no, ..awaits })
            }
        }
    }
}
