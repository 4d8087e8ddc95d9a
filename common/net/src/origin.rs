//! Which pages may open a WebSocket here.
//!
//! A browser says which page it acts for, and only a browser does. Its word protects the browser's user, not
//! us: whoever is no browser leaves it out and passes, and is asked for a credential like everyone else. A cookie, which
//! a browser shows without being asked, counts only where the word was given.

use hyper::{HeaderMap, header};
use std::sync::Arc;

/// The pages that may: those that came from here, and those that the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    allowed: Vec<String>,
}

/// A page that may connect here, as far as cookies are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// It came over HTTPS, perhaps through a proxy: nobody on the way sees its cookies.
    Secure,
    /// It came over HTTP.
    Plain,
}

/// A text that is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse origin {0:?}: want scheme://host or scheme://host:port, without a path")]
pub struct NotAnOrigin(pub String);

impl Origins {
    /// Allows these origins beside our own, such as `https://dash.example.com`.
    pub fn new<T: AsRef<str>>(allowed: impl IntoIterator<Item = T>) -> Result<Self, NotAnOrigin> {
        let parse = |text: T| {
            let text = text.as_ref().to_ascii_lowercase();
            if authority(&text).is_some() { Ok(text) } else { Err(NotAnOrigin(text)) }
        };
        Ok(Self { allowed: allowed.into_iter().map(parse).collect::<Result<_, _>>()? })
    }

    /// The kind of page that a request comes from, if its one `Origin` says so and may connect here.
    pub fn vouch(&self, headers: &HeaderMap) -> Option<Vouched> {
        let origin = headers.get(header::ORIGIN)?.to_str().ok()?;
        let is_secure = origin.to_ascii_lowercase().starts_with("https://");
        let vouched = if is_secure { Vouched::Secure } else { Vouched::Plain };
        self.allow(headers).then_some(vouched)
    }

    /// Whether a request may open a WebSocket, by its `Origin` and `Host`.
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return true };
        let (Ok(origin), None) = (origin.to_str(), origins.next()) else { return false };
        let origin = origin.to_ascii_lowercase();
        self.allowed.contains(&origin) || is_own(&origin, headers)
    }
}

/// The page that a browser acts for, if the request says so once. A page that reads from where it is from names itself in
/// another way (Fetch Metadata: `Sec-Fetch-Site`, which no page can set).
pub(crate) fn shown(headers: &HeaderMap, tls: bool) -> Option<Arc<str>> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else {
        let mut sites = headers.get_all("sec-fetch-site").iter();
        let is_own = sites.next().is_some_and(|site| site == "same-origin") && sites.next().is_none();
        let host = headers.get(header::HOST).filter(|_| is_own)?.to_str().ok()?;
        let scheme = if tls { "https" } else { "http" };
        let fits = host.len() <= 300 && authority(&format!("{scheme}://{host}")).is_some();
        return fits.then(|| format!("{scheme}://{host}").to_ascii_lowercase().into());
    };
    let origin = origin.to_str().ok()?;
    // No origin is as long as that: names of hosts have 253 letters.
    (origins.next().is_none() && origin.len() <= 300).then(|| origin.to_ascii_lowercase().into())
}

/// Whether a page's host and port are those that the request was sent to.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let (Some((scheme, authority)), Some(host)) = (authority(origin), host) else { return false };
    let default = if scheme == "https" { ":443" } else { ":80" };
    let host = host.to_ascii_lowercase();
    host.strip_suffix(default).unwrap_or(&host) == authority.strip_suffix(default).unwrap_or(authority)
}

/// Scheme and authority of an origin.
fn authority(origin: &str) -> Option<(&str, &str)> {
    let (scheme, authority) = origin.split_once("://")?;
    let known = matches!(scheme, "http" | "https");
    (known && !authority.is_empty() && !authority.contains(['/', '@', '?', '#']))
        .then_some((scheme, authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(origin: Option<&str>, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        Origins::new(["https://Dash.example.com"]).unwrap().allow(&headers)
    }

    #[test]
    fn only_a_page_s_own_word_vouches_for_cookies() {
        let vouched = |origins: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "hub:8080".parse().unwrap());
            for origin in origins {
                headers.append(header::ORIGIN, origin.parse().unwrap());
            }
            Origins::new(["https://dash.example.com"]).unwrap().vouch(&headers)
        };
        assert_eq!(vouched(&["http://hub:8080"]), Some(Vouched::Plain));
        assert_eq!(vouched(&["HTTPS://dash.example.com"]), Some(Vouched::Secure));
        for none in [&[][..], &["null"], &["http://evil.example"], &["http://hub:8080", "http://hub:8080"]] {
            assert_eq!(vouched(none), None, "{none:?}");
        }
    }

    #[test]
    fn the_page_is_who_says_so_once_or_reads_from_where_it_is_from() {
        let page = |said: &[(&'static str, &str)], tls| {
            let mut headers = HeaderMap::new();
            for (name, value) in said {
                headers.append(*name, value.parse().unwrap());
            }
            shown(&headers, tls).map(|page| page.to_string())
        };
        let own = [("host", "Hub:8080"), ("sec-fetch-site", "same-origin")];
        assert_eq!(page(&own, false).as_deref(), Some("http://hub:8080"));
        assert_eq!(page(&own, true).as_deref(), Some("https://hub:8080"));
        let named = [own[0], own[1], ("origin", "https://dash.example")];
        assert_eq!(page(&named, true).as_deref(), Some("https://dash.example"));
        for none in [
            &own[..1],
            &own[1..],
            &[own[0], ("sec-fetch-site", "same-site")],
            &[own[0], own[1], own[1]],
            &[("host", "hub/x@y"), own[1]],
            &[own[0], named[2], named[2]],
        ] {
            assert_eq!(page(none, true), None, "{none:?}");
        }
    }

    #[test]
    fn pages_from_elsewhere_are_refused() {
        for (origin, host) in [
            (None, "hub:8080"),
            (Some("http://hub:8080"), "hub:8080"),
            (Some("http://HUB"), "hub"),
            (Some("http://hub:80"), "hub"),
            (Some("https://hub"), "hub:443"),
            (Some("https://dash.example.com"), "hub"),
        ] {
            assert!(allow(origin, host), "{origin:?} {host}");
        }
        for (origin, host) in [
            (Some("http://evil.example"), "hub:8080"),
            (Some("http://hub:8081"), "hub:8080"),
            (Some("null"), "hub"),
            (Some("http://dash.example.com"), "hub"),
            (Some("https://dash.example.com.evil"), "hub"),
            (Some("http://hub@evil"), "hub"),
            (Some("file://hub"), "hub"),
        ] {
            assert!(!allow(origin, host), "{origin:?} {host}");
        }
        assert!(Origins::new(["example.com"]).is_err());
        assert!(Origins::new(["https://example.com/"]).is_err());
    }
}
