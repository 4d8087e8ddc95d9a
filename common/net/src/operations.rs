//! The operations listener: numbers and health, for those who run the process. Loopback unless configured.

use crate::{
    entrance::Entrance,
    http::{Reply, converse},
    listener::{Arrived, Listener},
    site::{Body, error, plain},
};
use futures_util::future::BoxFuture;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use std::{convert::Infallible, sync::Arc};
use tokio::time::Instant;

/// Connections of operations, beside and not among those of the doors: numbers are wanted most when it is full.
pub const OPERATIONS_CONNECTIONS_MAX: usize = 64;

/// What the process says about itself.
#[derive(Clone)]
pub struct Operations {
    /// `/metrics`, in the text format of OpenMetrics.
    pub metrics: Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>,
    /// `/livez`: whether it still answers, or why it should be started anew.
    pub live: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// `/readyz`: whether it can take work, or why not.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// `/status`, as JSON, where there is one: all of it, for those who run the process.
    pub status: Option<Arc<dyn Fn() -> String + Send + Sync>>,
}

/// Serves operations for as long as this is polled: also while the doors are being closed.
pub async fn serve_operations(listener: Listener, entrance: &Arc<Entrance>, operations: Operations) {
    let apart = entrance.apart(OPERATIONS_CONNECTIONS_MAX);
    listener
        .accept(apart, |arrived: Arrived, mut visitor| {
            let operations = operations.clone();
            async move {
                let by = Instant::now() + visitor.entrance.limits.first_frame();
                let Some(stream) = arrived.handshake(&mut visitor).await else { return };
                let handle = async |request| Reply::<Infallible>::Answer(answer(&request, &operations).await);
                // Operations never become anything else.
                let _ = converse(stream, &visitor, by, handle).await;
            }
        })
        .await;
}

async fn answer(request: &Request<Incoming>, operations: &Operations) -> Response<Body> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return error(StatusCode::METHOD_NOT_ALLOWED, "malformed", "not a GET", "GET");
    }
    match request.uri().path() {
        "/metrics" => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            plain(StatusCode::OK, content_type, (operations.metrics)().await)
        }
        "/status" if operations.status.is_some() => {
            let status = operations.status.as_ref().map(|status| status()).unwrap_or_default();
            plain(StatusCode::OK, "application/json", status)
        }
        "/livez" => probe((operations.live)()),
        "/readyz" => probe((operations.ready)()),
        _ => error(StatusCode::NOT_FOUND, "bad_name", "nothing here", "/metrics, /livez or /readyz"),
    }
}

fn probe(answer: Result<(), String>) -> Response<Body> {
    match answer {
        Ok(()) => plain(StatusCode::OK, "text/plain", "ok\n"),
        Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{why}\n")),
    }
}
