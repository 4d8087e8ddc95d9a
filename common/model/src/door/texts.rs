//! Several text messages for one peer, in one piece of memory.

/// Text messages, in order. To say one more costs no memory of its own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Texts {
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Texts {
    /// None yet, with room for so many of so many bytes together.
    pub fn with_capacity(messages: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: Vec::with_capacity(messages) }
    }

    /// One more: whatever `write` appends. What stands there already is not its to change.
    pub fn say<T>(&mut self, write: impl FnOnce(&mut String) -> T) -> T {
        let written = write(&mut self.text);
        self.ends.push(self.text.len());
        written
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How long they are together, bytes.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let from = std::iter::once(0).chain(self.ends.iter().copied());
        from.zip(&self.ends).filter_map(|(from, end)| self.text.get(from..*end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_what_was_said_even_nothing() {
        let mut texts = Texts::default();
        assert!(texts.is_empty() && texts.iter().next().is_none());
        for text in ["one", "", "zwei\n", "é"] {
            texts.say(|out| out.push_str(text));
        }
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["one", "", "zwei\n", "é"]);
        assert_eq!((texts.count(), texts.bytes()), (4, 10));
    }
}
