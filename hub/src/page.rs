//! The page and its assets, built into the program.

use axum::{
    Router,
    extract::Path,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};

const PAGE: &str = include_str!("../assets/index.html");
/// Where the demo puts its own block.
const DEMO: &str = "<!--riser-demo-->";
/// Only what this hub serves runs or is shown, and nobody frames it.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

const ASSETS: [(&str, &str, &str); 7] = [
    ("page.css", "text/css", include_str!("../assets/page.css")),
    ("page.js", "text/javascript", include_str!("../assets/page.js")),
    ("cells.js", "text/javascript", include_str!("../assets/cells.js")),
    ("edges.js", "text/javascript", include_str!("../assets/edges.js")),
    ("series.js", "text/javascript", include_str!("../assets/series.js")),
    ("riser.js", "text/javascript", include_str!("../assets/riser.js")),
    ("riser.d.ts", "text/plain", include_str!("../assets/riser.d.ts")),
];

/// The page's routes; `block` takes the place of the demo's mark.
pub fn routes(block: Option<String>) -> Router {
    let page = PAGE.replace(DEMO, block.as_deref().unwrap_or_default());
    Router::new().route("/", get(move || async move { safe(Html(page)) })).route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => safe(([(header::CONTENT_TYPE, format!("{kind}; charset=utf-8"))], *text)),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn safe(response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let headers: [(HeaderName, &'static str); 4] = headers;
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
