//! The page and its assets, built into the program: small files with an `ETag` each, so that a browser that has
//! one asks whether it is still that one, and gets no more than a yes.
//!
//! `riser.js` and its declarations are a client for everybody: pages from elsewhere may import them as well.

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

const PAGE: &str = include_str!("../assets/index.html");
/// Where the demo puts its own block.
const DEMO: &str = "<!--riser-demo-->";
/// Only what this hub serves runs or is shown, and nobody frames it.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const CLIENT: [&str; 2] = ["riser.js", "riser.d.ts"];
const ASSETS: [(&str, &str, &str); 30] = [
    ("page.css", "text/css; charset=utf-8", include_str!("../assets/page.css")),
    ("page.js", SCRIPT, include_str!("../assets/page.js")),
    ("administration.js", SCRIPT, include_str!("../assets/administration.js")),
    ("audit.js", SCRIPT, include_str!("../assets/audit.js")),
    ("board.js", SCRIPT, include_str!("../assets/board.js")),
    ("cells.js", SCRIPT, include_str!("../assets/cells.js")),
    ("configuration.js", SCRIPT, include_str!("../assets/configuration.js")),
    ("connections.js", SCRIPT, include_str!("../assets/connections.js")),
    ("devices.js", SCRIPT, include_str!("../assets/devices.js")),
    ("door.js", SCRIPT, include_str!("../assets/door.js")),
    ("edges.js", SCRIPT, include_str!("../assets/edges.js")),
    ("element.js", SCRIPT, include_str!("../assets/element.js")),
    ("feed.js", SCRIPT, include_str!("../assets/feed.js")),
    ("gate.js", SCRIPT, include_str!("../assets/gate.js")),
    ("keys.js", SCRIPT, include_str!("../assets/keys.js")),
    ("lobby.js", SCRIPT, include_str!("../assets/lobby.js")),
    ("making.js", SCRIPT, include_str!("../assets/making.js")),
    ("members.js", SCRIPT, include_str!("../assets/members.js")),
    ("names.js", SCRIPT, include_str!("../assets/names.js")),
    ("office.js", SCRIPT, include_str!("../assets/office.js")),
    ("operating.js", SCRIPT, include_str!("../assets/operating.js")),
    ("past.js", SCRIPT, include_str!("../assets/past.js")),
    ("people.js", SCRIPT, include_str!("../assets/people.js")),
    ("detained.js", SCRIPT, include_str!("../assets/detained.js")),
    ("rights.js", SCRIPT, include_str!("../assets/rights.js")),
    ("series.js", SCRIPT, include_str!("../assets/series.js")),
    ("timeline.js", SCRIPT, include_str!("../assets/timeline.js")),
    ("tree.js", SCRIPT, include_str!("../assets/tree.js")),
    ("riser.js", SCRIPT, include_str!("../assets/riser.js")),
    ("riser.d.ts", "text/plain; charset=utf-8", include_str!("../assets/riser.d.ts")),
];

/// The page's routes; `block` takes the place of the demo's mark.
pub fn routes(block: Option<String>) -> Router {
    let page = PAGE.replace(DEMO, block.as_deref().unwrap_or_default());
    let page = File::new("text/html; charset=utf-8", page.into());
    let assets: Vec<(&str, File)> =
        ASSETS.into_iter().map(|(name, kind, text)| (name, File::new(kind, text.into()))).collect();
    let assets = Arc::new(assets);
    let asset = move |Path(name): Path<String>, headers: HeaderMap| async move {
        let Some((name, file)) = assets.iter().find(|(known, _)| *known == name) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let mut response = file.answer(&headers);
        if CLIENT.contains(name) {
            let anybody = HeaderValue::from_static("*");
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anybody);
        }
        response
    };
    Router::new()
        .route("/", get(move |headers: HeaderMap| async move { page.answer(&headers) }))
        .route("/assets/{name}", get(asset))
}

/// One file, and how a browser knows it again.
#[derive(Clone)]
struct File {
    kind: &'static str,
    text: Bytes,
    tag: String,
}

impl File {
    fn new(kind: &'static str, text: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self { kind, tag: format!("\"{:016x}\"", hasher.finish()), text }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut response = if known.flat_map(|value| value.split(',')).any(|tag| self.is(tag.trim())) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, self.kind)], self.text.clone()).into_response()
        };
        let headers: [(HeaderName, &'static str); 4] = [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        for (name, value) in headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let tag =
            HeaderValue::from_str(&self.tag).expect("hexadecimal digits in quotes are a header's value");
        response.headers_mut().insert(header::ETAG, tag);
        response
    }

    /// Compared as RFC 9110 section 13.1.2 says: a proxy that compresses makes a tag a weak one.
    fn is(&self, tag: &str) -> bool {
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::door::Code;
    use riser_wire::{client::SUBPROTOCOL, close::close_code};

    fn asked(tag: &str) -> StatusCode {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, tag.parse().unwrap());
        File::new("text/plain", "text".into()).answer(&headers).status()
    }

    #[test]
    fn file_that_a_browser_has_is_not_sent_again() {
        let file = File::new("text/plain", "text".into());
        assert_eq!(file.answer(&HeaderMap::new()).status(), StatusCode::OK);
        assert_eq!(file.answer(&HeaderMap::new()).headers()[header::ETAG], file.tag.as_str());
        for tag in [file.tag.clone(), format!("W/{}", file.tag), format!("\"x\", {}", file.tag), "*".into()] {
            assert_eq!(asked(&tag), StatusCode::NOT_MODIFIED, "{tag}");
        }
        for tag in ["\"x\"", "W/\"\"", "", "\"0000000000000000\""] {
            assert_eq!(asked(tag), StatusCode::OK, "{tag}");
        }
        assert_ne!(file.tag, File::new("text/plain", "texts".into()).tag);
    }

    #[test]
    fn script_speaks_the_protocol_of_the_wire() {
        let script = include_str!("../assets/riser.js");
        assert!(script.contains(&format!("SUBPROTOCOL = {SUBPROTOCOL:?}")));
        for code in Code::ALL {
            let line = format!("{}: {:?},", close_code(code), code.name());
            assert!(script.contains(&line), "riser.js does not know {line}");
        }
    }
}
