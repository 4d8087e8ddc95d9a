//! The demo's buttons on the hub's page: cut a link, mend it, kill an edge.

use crate::{child::EdgeProcess, forwarder::Forwarder, plan};
use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    routing::post,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Mutex;

/// One edge with its cable.
pub struct Site {
    /// The cable to the hub.
    pub cable: Forwarder,
    /// The process.
    pub process: Mutex<EdgeProcess>,
}

/// All edges by name.
pub type Sites = Arc<BTreeMap<&'static str, Site>>;

#[derive(serde::Deserialize)]
struct Which {
    edge: String,
}

/// The buttons.
pub fn routes(sites: Sites) -> Router {
    Router::new()
        .route("/demo/cut", post(|state, which| cable(state, which, false)))
        .route("/demo/restore", post(|state, which| cable(state, which, true)))
        .route("/demo/kill", post(kill))
        .with_state(sites)
}

async fn cable(State(sites): State<Sites>, Query(Which { edge }): Query<Which>, whole: bool) -> StatusCode {
    match sites.get(edge.as_str()) {
        Some(site) => {
            site.cable.set_whole(whole);
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NOT_FOUND,
    }
}

async fn kill(State(sites): State<Sites>, Query(Which { edge }): Query<Which>) -> StatusCode {
    let Some(site) = sites.get(edge.as_str()) else { return StatusCode::NOT_FOUND };
    let mut process = site.process.lock().await;
    match process.kill().await.and_then(|()| process.start()) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What the page is told in the demo, in the place that it keeps for that.
pub fn block(password: &str, hint: &str) -> String {
    let block = serde_json::json!({
        "account": plan::ACCOUNT, "room": plan::ROOM, "user": plan::VIEWER, "password": password, "try": hint,
    });
    // `<` would end the script element early.
    let block = block.to_string().replace('<', "\\u003c");
    format!("<script type=\"application/json\" id=\"riser-demo\">{block}</script>")
}
