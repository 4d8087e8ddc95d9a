//! What is wrong with a configuration: the key, what it holds, and what would be right.

use std::fmt;

/// One thing that is wrong in a configuration. It never carries a secret's text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invalid {
    /// Where: `account[acme].user[ann].password`.
    pub key: String,
    /// What is wrong there, a lowercase fragment.
    pub what: String,
    /// What to do about it.
    pub want: String,
}

impl Invalid {
    /// The three parts of it.
    pub fn new(key: impl Into<String>, what: impl Into<String>, want: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into(), want: want.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.what, self.want)
    }
}

/// The known word that `text` was most likely meant to be, when one is near enough to say so.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (text.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (distance(text, word), word))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, word)| word)
}

/// Levenshtein's distance, a swap of neighbours counted as one edit.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut older: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |cells: &[usize], n: usize| cells.get(n).copied().unwrap_or(usize::MAX - 1);
            let mut cell =
                (at(&above, j) + usize::from(x != y)).min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x) {
                cell = cell.min(at(&older, j - 1) + 1);
            }
            row.push(cell);
        }
        older = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_the_word_that_was_meant() {
        let known = ["listen", "limits", "quota", "account"];
        assert_eq!(nearest("lisetn", known), Some("listen"));
        assert_eq!(nearest("accounts", known), Some("account"));
        assert_eq!(nearest("quotas", known), Some("quota"));
        assert_eq!(nearest("retention", known), None);
    }
}
