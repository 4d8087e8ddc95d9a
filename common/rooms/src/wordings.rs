//! What doors have made of the newest publications: each is worded once, however many subscribers it has.
//!
//! Bounded by a number of publications, and to small ones: to word a large one again costs little beside writing it.

use riser_model::{Seq, door::Wording};

/// Publications that are remembered, by the lowest bits of their seqs.
const KEPT: usize = 256;
/// Larger bodies are not.
const BODY_BYTES_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Wordings {
    kept: Vec<(Seq, Wording)>,
}

impl Wordings {
    /// The one of the publication at that seq, whose body has so many bytes.
    pub(crate) fn of(&mut self, seq: Seq, body_bytes: usize) -> Option<Wording> {
        if body_bytes > BODY_BYTES_MAX {
            return None;
        }
        if self.kept.is_empty() {
            self.kept.resize_with(KEPT, Default::default);
        }
        let place = (seq.0 % KEPT as u64) as usize;
        let (of, wording) = self.kept.get_mut(place)?;
        if *of != seq {
            (*of, *wording) = (seq, Wording::default());
        }
        Some(wording.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_publication_is_worded_once_while_it_is_new() {
        let mut wordings = Wordings::default();
        let mut say = |seq: u64, text: &str| {
            wordings.of(Seq(seq), 100).map(|wording| wording.get(|| text.to_owned()).to_owned())
        };
        assert_eq!(say(1, "one").as_deref(), Some("one"));
        assert_eq!(say(2, "two").as_deref(), Some("two"));
        assert_eq!(say(1, "made again").as_deref(), Some("one"));
        assert_eq!(say(1 + KEPT as u64, "newer").as_deref(), Some("newer"));
        assert_eq!(say(1, "made again").as_deref(), Some("made again"));
        assert!(wordings.of(Seq(3), BODY_BYTES_MAX + 1).is_none());
    }
}
