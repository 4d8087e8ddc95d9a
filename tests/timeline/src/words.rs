//! The words of one line, taken one by one.

use std::str::{FromStr, SplitWhitespace};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::Who;

/// What is left of a line.
pub struct Words<'a>(SplitWhitespace<'a>);

impl<'a> Words<'a> {
    /// All of a line.
    pub fn of(line: &'a str) -> Self {
        Self(line.split_whitespace())
    }

    /// The next word, which must be there.
    pub fn need(&mut self, what: &str) -> anyhow::Result<&'a str> {
        self.0.next().with_context(|| format!("want {what}"))
    }

    /// The next word as a number.
    pub fn number<T: FromStr>(&mut self, what: &str) -> anyhow::Result<T> {
        let word = self.need(what)?;
        word.parse().ok().with_context(|| format!("want {what}, not {word}"))
    }

    /// The next word as one of the programs; `edge` is the first edge.
    pub fn who(&mut self) -> anyhow::Result<Who> {
        let word = self.need("who: hub, edge, edge2 ...")?;
        let Some(number) = word.strip_prefix("edge") else {
            ensure!(word == "hub", "want hub, edge, edge2 ..., not {word}");
            return Ok(Who::Hub);
        };
        let number = if number.is_empty() { 1 } else { number.parse::<usize>().context("number an edge")? };
        Ok(Who::Edge(number.checked_sub(1).context("edges are numbered from 1")?))
    }

    /// The next word as `key=value`.
    pub fn pair(&mut self) -> anyhow::Result<Option<(&'a str, &'a str)>> {
        let Some(word) = self.0.next() else { return Ok(None) };
        Ok(Some(word.split_once('=').with_context(|| format!("want key=value, not {word}"))?))
    }

    /// All that is left.
    pub fn rest(&mut self) -> String {
        self.0.by_ref().collect::<Vec<_>>().join(" ")
    }

    /// Nothing may be left.
    pub fn end(&mut self) -> anyhow::Result<()> {
        let rest = self.rest();
        ensure!(rest.is_empty(), "nobody asked for {rest:?}");
        Ok(())
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }
}

/// `1.5` is a second and a half.
pub fn seconds(word: &str) -> anyhow::Result<Duration> {
    let seconds = word.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.with_context(|| format!("want seconds, not {word}"))
}

/// `1..2.5`, or one length.
pub fn span(word: &str) -> anyhow::Result<(Duration, Duration)> {
    let (least, most) = word.split_once("..").unwrap_or((word, word));
    let (least, most) = (seconds(least)?, seconds(most)?);
    ensure!(least <= most, "{word} ends before it begins");
    Ok((least, most))
}

/// `0.5%`.
pub fn share(word: &str) -> anyhow::Result<f64> {
    let percent = word.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    match percent {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        Some(_) | None => bail!("want a share such as 0.5%, not {word}"),
    }
}
