//! Looks at which page a browser acts for: one of those that are listed, or it does not pass.
//!
//! Only a browser says it, and says the truth: whoever is none may say anything, so this stands beside what proves who somebody
//! is and never in place of it. MQTT says nothing, and a native client as a rule does not: they do not pass.

use super::{Given, Listed, Sort, Step, Written, not_here};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr, sync::Arc};

/// The pages for which browsers may come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pages(pub Vec<Page>);

/// Where a page is from, as browsers say it: `https://board.example`, with a port unless that is the scheme's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page(Arc<str>);

/// A text that is not where a page is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAPage;

impl fmt::Display for NotAPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not an origin; want scheme://host or scheme://host:port, such as \"https://board.example\"",
        )
    }
}

impl FromStr for Page {
    type Err = NotAPage;

    fn from_str(text: &str) -> Result<Self, NotAPage> {
        let text = text.to_ascii_lowercase();
        let (scheme, host) = text.split_once("://").ok_or(NotAPage)?;
        let (host, own_port) = match scheme {
            "https" => (host, ":443"),
            "http" => (host, ":80"),
            _ => return Err(NotAPage),
        };
        let is_host = |letter: char| letter.is_ascii_alphanumeric() || ".-_:[]".contains(letter);
        if host.is_empty() || host.starts_with(':') || !host.chars().all(is_host) {
            return Err(NotAPage);
        }
        // Browsers leave the scheme's own port out.
        Ok(Self(format!("{scheme}://{}", host.strip_suffix(own_port).unwrap_or(host)).into()))
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Page {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Pages of one of these that a change makes: each pass looks at them in turn.
pub const PAGES_MAX: usize = 256;

pub(crate) const SORT: Sort = Sort::Condition;

impl Written for Pages {
    type Asked = Self;

    fn lists(&self) -> Option<Listed> {
        Some(Listed { count: self.0.len(), most: PAGES_MAX, of: "pages in one origin" })
    }

    fn asked(&self) -> Result<Self, &'static str> {
        if self.0.is_empty() { Err("name at least one page, or leave it out") } else { Ok(self.clone()) }
    }
}

pub(crate) fn begin(pages: &Pages, given: &Given<'_>) -> Step {
    let page = given.caller.origin.as_deref().and_then(|origin| origin.parse().ok());
    match page.is_some_and(|page: Page| pages.0.contains(&page)) {
        true => Step::Pass(None, None),
        false => Step::Next(Some(not_here("no page that is listed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_origins_as_browsers_say_them() {
        let said = |text: &str| text.parse::<Page>().map(|page| page.to_string());
        for (text, page) in [
            ("https://board.example", "https://board.example"),
            ("HTTPS://Board.Example:443", "https://board.example"),
            ("http://board.example:80", "http://board.example"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://[2001:db8::7]:8443", "https://[2001:db8::7]:8443"),
        ] {
            assert_eq!(said(text).as_deref(), Ok(page), "{text}");
        }
        for text in [
            "",
            "null",
            "board.example",
            "https://",
            "https://:443",
            "ftp://board.example",
            "https://board.example/",
            "https://a@board.example",
            "https://board.example?x",
            "https://board .example",
            "*",
        ] {
            assert_eq!(said(text), Err(NotAPage), "{text}");
        }
    }
}
