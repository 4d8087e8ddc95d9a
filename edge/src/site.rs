//! What an edge offers behind its HTTP port: the doors of its rooms. What it says about itself is for those who run
//! it, at its operations port.

use hyper::{Method, Request, StatusCode, body::Incoming};
use riser_host::doors::Doors;
use riser_model::{
    ConnectionId,
    door::{Door, Refusal},
};
use riser_net::{
    Answer, Knock, Origins, Proxies, Site,
    entrance::Peer,
    site::{error, plain},
};
use std::sync::Arc;

const GREETING: &str = "A Riser edge. Open a WebSocket to /{account}/{room}.\n";

/// One HTTP listener's site.
pub struct EdgeSite {
    pub(crate) doors: Doors,
    pub(crate) origins: Origins,
    pub(crate) proxies: Proxies,
}

impl Site for EdgeSite {
    fn door(&self, knock: Knock) -> Result<Box<dyn Door>, Refusal> {
        self.doors.open(knock)
    }

    fn answer(&self, request: Request<Incoming>, _: Arc<Peer>, _: ConnectionId) -> Answer {
        Box::pin(async move {
            match (request.method(), request.uri().path()) {
                (&Method::GET | &Method::HEAD, "/") => plain(StatusCode::OK, "text/plain", GREETING),
                (&Method::GET | &Method::HEAD, _) => error(
                    StatusCode::NOT_FOUND,
                    "bad_name",
                    "nothing here",
                    "/, or a WebSocket to /{account}/{room}",
                ),
                _ => error(StatusCode::METHOD_NOT_ALLOWED, "malformed", "not a GET", "GET"),
            }
        })
    }

    fn takes_cookies(&self) -> bool {
        false
    }

    fn origins(&self) -> &Origins {
        &self.origins
    }

    fn proxies(&self) -> &Proxies {
        &self.proxies
    }
}
