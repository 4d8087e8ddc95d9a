//! Which URLs stay within this host, so that what goes there in the clear is nobody else's.
//!
//! A URL is read as strictly as any reader of it might: what stands before the path is a host and perhaps a port. A user in it
//! (`http://127.0.0.1:80@elsewhere`) makes it somebody else's, and is in no address that is taken here. No URL has spaces or
//! control characters: some readers pass over them, others end there.

/// What stands between the scheme and the path, if the URL has that scheme.
fn authority<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    if url.contains(|letter: char| letter.is_control() || letter.is_whitespace()) {
        return None;
    }
    let rest = url.strip_prefix(scheme)?.strip_prefix("://")?;
    rest.split(['/', '?', '#']).next()
}

/// Whether it is a host and perhaps a port, of that scheme.
pub(crate) fn names_host(url: &str, scheme: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || ".-_:[]".contains(letter);
    authority(url, scheme).is_some_and(|host| !host.is_empty() && host.chars().all(letter))
}

/// Whether it is this very host, of that scheme.
pub(crate) fn is_local(url: &str, scheme: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
    authority(url, scheme).is_some_and(|authority| {
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
            let rest = authority.strip_prefix(host);
            rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_another_host_behind_ours_is_elsewhere() {
        for near in ["http://127.0.0.1/k", "http://localhost:80", "http://[::1]:1/k?x", "http://127.0.0.1"] {
            assert!(is_local(near, "http") && names_host(near, "http"), "{near}");
        }
        for far in [
            "http://127.0.0.1:80@evil/keys",
            "http://localhost@evil",
            "http://127.0.0.1:@evil",
            "http://127.0.0.1\\@evil",
            "http://127.0.0.1.evil",
            "http://127.0.0.1:",
            "http://",
            "https://127.0.0.1",
            " http://127.0.0.1",
        ] {
            assert!(!is_local(far, "http"), "{far}");
        }
        assert!(names_host("https://sso.example:8443/k@x", "https"));
        for wrong in ["https://sso.example@evil/", "https://", "https:///k", "https://a b", "https://a\\b"] {
            assert!(!names_host(wrong, "https"), "{wrong}");
        }
    }

    #[test]
    fn no_url_has_spaces_or_control_characters_wherever_they_are() {
        for wrong in ["/a b", "/a\tb", "/a\r\nb", "/a\u{7f}b", "/a\u{85}b", "?a\0", "\n"] {
            assert!(!names_host(&format!("https://sso.example{wrong}"), "https"), "{wrong:?}");
            assert!(!is_local(&format!("http://127.0.0.1{wrong}"), "http"), "{wrong:?}");
        }
        assert!(names_host("https://sso.example/caf\u{e9}?a=%20", "https"));
    }
}
