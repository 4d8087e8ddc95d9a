//! The cookie of who has signed in, as browsers carry it.
//!
//! Its name says which pages it is for: with `__Host-` a browser takes it over HTTPS only, from this very host and for all
//! of its paths, so that nobody beside us can put one in its place (RFC 6265bis section 4.1.3.2).

use crate::origin::Vouched;
use hyper::{HeaderMap, header};
use riser_model::door::Secret;
use std::time::Duration;

/// The name of the cookie for pages like this one.
fn name(page: Vouched) -> &'static str {
    match page {
        Vouched::Secure => "__Host-riser",
        Vouched::Plain => "riser",
    }
}

/// The name of what a browser keeps while its person is at a provider.
fn way_name(page: Vouched) -> &'static str {
    match page {
        Vouched::Secure => "__Host-riser-way",
        Vouched::Plain => "riser-way",
    }
}

/// The name of what a browser is called by, among those of its person.
fn client_name(page: Vouched) -> &'static str {
    match page {
        Vouched::Secure => "__Host-riser-client",
        Vouched::Plain => "riser-client",
    }
}

/// The cookie that a request from such a page shows, if it shows one and not several.
pub fn shown(headers: &HeaderMap, page: Vouched) -> Option<Secret> {
    shown_as(name(page), headers)
}

/// The same of what a browser keeps while its person is at a provider.
pub fn way_shown(headers: &HeaderMap, page: Vouched) -> Option<Secret> {
    shown_as(way_name(page), headers)
}

/// The same of what a browser is called by. It proves nothing.
pub fn client_shown(headers: &HeaderMap, page: Vouched) -> Option<Secret> {
    shown_as(client_name(page), headers)
}

fn shown_as(name: &str, headers: &HeaderMap) -> Option<Secret> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    let (Some(value), None) = (ours.next(), ours.next()) else { return None };
    (!value.is_empty()).then(|| Secret(value.to_owned().into()))
}

/// The `Set-Cookie` that gives it to a page's browser. No script reads it, and it goes along with nothing that another
/// site asks for.
pub fn given(value: &str, page: Vouched, lasts: Duration) -> String {
    let secure = match page {
        Vouched::Secure => "; Secure",
        Vouched::Plain => "",
    };
    let seconds = lasts.as_secs();
    format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", name(page))
}

/// The same of what it keeps while its person is at a provider, from where the person comes back by itself: another site sends
/// it here.
pub fn way_given(value: &str, page: Vouched, lasts: Duration) -> String {
    let secure = match page {
        Vouched::Secure => "; Secure",
        Vouched::Plain => "",
    };
    let seconds = lasts.as_secs();
    format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", way_name(page))
}

/// The same of what it is called by from now on, for as long as browsers keep anything (400 days, RFC 6265bis section 5.5). It
/// comes along from a provider too.
pub fn client_given(value: &str, page: Vouched) -> String {
    let secure = match page {
        Vouched::Secure => "; Secure",
        Vouched::Plain => "",
    };
    format!("{}={value}; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax{secure}", client_name(page))
}

/// The `Set-Cookie` that takes that away.
pub fn way_taken(page: Vouched) -> String {
    way_given("", page, Duration::ZERO)
}

/// The `Set-Cookie` that takes it away.
pub fn taken(page: Vouched) -> String {
    given("", page, Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cookies: &[&str], page: Vouched) -> Option<Secret> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, cookie.parse().unwrap());
        }
        shown(&headers, page)
    }

    #[test]
    fn each_kind_of_page_shows_its_own_cookie_and_one_only() {
        let value = |text: &str| Some(Secret(text.to_owned().into()));
        assert_eq!(read(&["a=b; riser=x.y; c=d"], Vouched::Plain), value("x.y"));
        assert_eq!(read(&["a=b", "__Host-riser=x"], Vouched::Secure), value("x"));
        for none in [
            &["riser=x"][..],
            &["__Host-riser="],
            &["__Host-riser=x; __Host-riser=y"],
            &["__Host-riser"],
            &[],
        ] {
            assert_eq!(read(none, Vouched::Secure), None, "{none:?}");
        }
        assert_eq!(read(&["__Host-riser=x; notriser=y"], Vouched::Plain), None);
    }

    #[test]
    fn cookie_is_for_this_host_and_no_script() {
        assert_eq!(
            given("v", Vouched::Secure, Duration::from_secs(60)),
            "__Host-riser=v; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(
            client_given("v", Vouched::Secure),
            "__Host-riser-client=v; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(taken(Vouched::Plain), "riser=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    }
}
