//! Topic aliases that the server gives out (MQTT 5, section 3.3.2.3.4): a topic is said in full once, and by a number
//! from there on. As many as the client takes and a bound allows; the one that rested longest makes room.

use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    max: u16,
    by_topic: BTreeMap<Box<str>, u16>,
    /// Topic and last use, from alias 1.
    given: Vec<(Box<str>, u64)>,
    uses: u64,
    /// The topic that is looked for, in one piece.
    topic: String,
}

/// How a topic may be said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Alias {
    pub(crate) number: u16,
    /// The client knows it: the topic need not be said.
    pub(crate) known: bool,
}

impl Aliases {
    /// At most so many; 0 for none.
    pub(crate) fn new(max: u16) -> Self {
        Self { max, ..Self::default() }
    }

    /// The alias of a topic, once [`Aliases::said`] says that it was used. None where there are none, or where it would
    /// only cost.
    pub(crate) fn of(&mut self, room: Option<&str>, channel: &str) -> Option<Alias> {
        /// What the property takes.
        const COST_BYTES: usize = 3;
        if self.max == 0 {
            return None;
        }
        self.topic.clear();
        if let Some(room) = room {
            self.topic.push_str(room);
            self.topic.push('/');
        }
        self.topic.push_str(channel);
        if self.topic.len() <= COST_BYTES {
            return None;
        }
        if let Some(number) = self.by_topic.get(self.topic.as_str()) {
            return Some(Alias { number: *number, known: true });
        }
        let next = u16::try_from(self.given.len() + 1).ok().filter(|next| *next <= self.max);
        let oldest = || {
            let used = self.given.iter().zip(1_u16..).min_by_key(|((_, used), _)| *used);
            used.map(|(_, number)| number)
        };
        next.or_else(oldest).map(|number| Alias { number, known: false })
    }

    /// The topic that was asked for last was said with this alias.
    pub(crate) fn said(&mut self, alias: Alias) {
        self.uses += 1;
        let (place, used) = (usize::from(alias.number) - 1, self.uses);
        if alias.known {
            if let Some(given) = self.given.get_mut(place) {
                given.1 = used;
            }
            return;
        }
        let topic: Box<str> = self.topic.as_str().into();
        self.by_topic.insert(topic.clone(), alias.number);
        match self.given.get_mut(place) {
            Some(given) => {
                let (former, _) = std::mem::replace(given, (topic, used));
                self.by_topic.remove(&former);
            }
            None => self.given.push((topic, used)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(aliases: &mut Aliases, topic: &str) -> Option<(u16, bool)> {
        let alias = aliases.of(Some("hall"), topic)?;
        aliases.said(alias);
        Some((alias.number, alias.known))
    }

    #[test]
    fn the_topic_that_rested_longest_makes_room() {
        let mut aliases = Aliases::new(2);
        assert_eq!(say(&mut aliases, "a"), Some((1, false)));
        assert_eq!(say(&mut aliases, "b"), Some((2, false)));
        assert_eq!(say(&mut aliases, "a"), Some((1, true)));
        assert_eq!(say(&mut aliases, "c"), Some((2, false)));
        assert_eq!(say(&mut aliases, "a"), Some((1, true)));
        assert_eq!(say(&mut aliases, "b"), Some((2, false)), "it was forgotten");
        assert_eq!((aliases.given.len(), aliases.by_topic.len()), (2, 2));
    }

    #[test]
    fn an_alias_that_was_not_said_stands_for_nothing() {
        let mut aliases = Aliases::new(2);
        assert_eq!(aliases.of(None, "long/topic"), Some(Alias { number: 1, known: false }));
        assert_eq!(aliases.of(None, "long/topic"), Some(Alias { number: 1, known: false }));
        assert_eq!(aliases.of(None, "a"), None, "it would only cost");
        assert_eq!(Aliases::new(0).of(None, "long/topic"), None);
    }
}
