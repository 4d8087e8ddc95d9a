//! What an edge offers behind its HTTP port: the doors of its rooms, and its status as JSON.

use crate::status::Status;
use hyper::{Method, Request, StatusCode, body::Incoming};
use riser_host::doors::Doors;
use riser_model::door::{Door, Refusal};
use riser_net::{
    Answer, Entrance, Knock, Origins, Site,
    entrance::Peer,
    site::{error, plain},
};
use std::sync::Arc;

/// One HTTP listener's site.
pub struct EdgeSite {
    pub(crate) doors: Doors,
    pub(crate) origins: Origins,
    pub(crate) status: Status,
    pub(crate) entrance: Arc<Entrance>,
}

impl Site for EdgeSite {
    fn door(&self, knock: Knock) -> Result<Box<dyn Door>, Refusal> {
        self.doors.open(knock)
    }

    fn answer(&self, request: Request<Incoming>, _: Arc<Peer>) -> Answer {
        let status = self.status.clone();
        let open = self.entrance.open();
        Box::pin(async move {
            match (request.method(), request.uri().path()) {
                (&Method::GET | &Method::HEAD, "/" | "/api/status") => {
                    plain(StatusCode::OK, "application/json", status.json(open).to_string())
                }
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

    fn origins(&self) -> &Origins {
        &self.origins
    }
}
