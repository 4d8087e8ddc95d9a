//! What a hub offers behind its HTTP port: the doors of its rooms, the page, and its status.

use axum::Router;
use http_body_util::BodyExt;
use hyper::{Request, Response, body::Incoming, service::Service};
use hyper_util::service::TowerToHyperService;
use riser_host::doors::Doors;
use riser_model::{
    ConnectionId,
    door::{Code, Door, Refusal},
};
use riser_net::{Answer, Knock, Origins, Proxies, Site, entrance::Peer};
use std::sync::Arc;

/// One HTTP listener's site.
pub struct HubSite {
    pub(crate) doors: Doors,
    pub(crate) origins: Arc<Origins>,
    pub(crate) proxies: Proxies,
    pub(crate) takes_cookies: bool,
    pub(crate) routes: Router,
}

/// One admin listener's site: no doors, only answers.
pub struct AdminSite {
    pub(crate) origins: Arc<Origins>,
    pub(crate) routes: Router,
}

impl Site for AdminSite {
    fn door(&self, _: Knock) -> Result<Box<dyn Door>, Refusal> {
        Err(Refusal {
            code: Code::BadName,
            what: "there are no doors at the admin interface".to_owned(),
            want: "a listener of HTTP".to_owned(),
        })
    }

    fn answer(&self, request: Request<Incoming>, peer: Arc<Peer>, connection: ConnectionId) -> Answer {
        ask(&self.routes, request, peer, connection)
    }

    fn takes_cookies(&self) -> bool {
        false
    }

    fn origins(&self) -> &Origins {
        &self.origins
    }
}

/// Has a request answered by routes.
fn ask(routes: &Router, mut request: Request<Incoming>, peer: Arc<Peer>, connection: ConnectionId) -> Answer {
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(connection);
    let service = TowerToHyperService::new(routes.clone());
    Box::pin(async move {
        let response: Response<axum::body::Body> = match service.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        response.map(|body| body.map_err(Into::into).boxed_unsync())
    })
}

impl Site for HubSite {
    fn door(&self, knock: Knock) -> Result<Box<dyn Door>, Refusal> {
        self.doors.open(knock)
    }

    fn answer(&self, request: Request<Incoming>, peer: Arc<Peer>, connection: ConnectionId) -> Answer {
        ask(&self.routes, request, peer, connection)
    }

    fn takes_cookies(&self) -> bool {
        self.takes_cookies
    }

    fn origins(&self) -> &Origins {
        &self.origins
    }

    fn proxies(&self) -> &Proxies {
        &self.proxies
    }
}
