//! The table of routes: what the interface takes, and what its description says of it.

use super::{
    Admin, BODY_BYTES_MAX, Failure,
    answers::{
        AccountAnswer, AccountRow, AuditAnswer, BroadcastAnswer, ConnectionAnswer, Done, Invited,
        MadeAccount, MadeCredential, MembersAnswer, RoomAnswer,
    },
    broadcasts as b, handlers as h, members as m, openapi,
    requests::{
        AuditQuery, BroadcastQuery, Decision, GrantRequest, MemberChange, MembersQuery, NewAccount,
        NewBroadcast, NewCredential, NewGate, NewInvitation, NewIssuers, NewLdap, NewMember, NewName,
        Replacement, RoomFields, RoomRole,
    },
};
use crate::api;
use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
    middleware::map_response,
    response::Response,
    routing::{MethodRouter, delete, get, patch, post, put},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::sync::Arc;

type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One route.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What it does, in one line.
    pub(super) does: &'static str,
    /// What its query may say.
    pub(super) query: Option<Shape>,
    /// What its body says.
    pub(super) body: Option<Shape>,
    /// What it answers.
    pub(super) answer: Shape,
    /// Whether it looks at `If-Match`.
    pub(super) matches: bool,
    /// Whether the page has it too.
    for_pages: bool,
    handler: MethodRouter<Admin>,
}

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn route<A: JsonSchema>(
    method: &'static str,
    path: &'static str,
    does: &'static str,
    handler: MethodRouter<Admin>,
) -> Route {
    Route {
        method,
        path,
        does,
        query: None,
        body: None,
        answer: shape::<A>,
        matches: false,
        for_pages: false,
        handler,
    }
}

impl Route {
    fn says<B: JsonSchema>(self) -> Self {
        Self { body: Some(shape::<B>), ..self }
    }

    fn asks<Q: JsonSchema>(self) -> Self {
        Self { query: Some(shape::<Q>), ..self }
    }

    fn matches(self) -> Self {
        Self { matches: true, ..self }
    }

    fn for_pages(self) -> Self {
        Self { for_pages: true, ..self }
    }

    #[cfg(test)]
    pub(super) fn is_for_pages(&self) -> bool {
        self.for_pages
    }
}

/// All of them.
pub(super) fn table() -> Vec<Route> {
    let (account, member) = ("/v1/accounts/{account}", "/v1/accounts/{account}/members/{member}");
    let room = "/v1/accounts/{account}/rooms/{room}";
    vec![
        route::<Vec<AccountRow>>(
            "get",
            "/v1/accounts",
            "The accounts that are yours to see",
            get(h::accounts),
        ),
        route::<MadeAccount>(
            "post",
            "/v1/accounts",
            "Make an account with its first user",
            post(h::create_account),
        )
        .says::<NewAccount>(),
        route::<AccountAnswer>("get", account, "An account with all that it has", get(h::account)),
        route::<Done>("delete", account, "Remove an account, for ever", delete(h::remove_account)),
        route::<Done>("put", "/v1/accounts/{account}/name", "Rename an account", put(h::rename_account))
            .says::<NewName>(),
        route::<Done>("put", "/v1/accounts/{account}/gate", "Set the gate of an account", put(h::set_gate))
            .says::<NewGate>(),
        route::<Done>(
            "put",
            "/v1/accounts/{account}/issuers",
            "Set who vouches for users",
            put(h::set_issuers),
        )
        .says::<NewIssuers>(),
        route::<Done>(
            "put",
            "/v1/accounts/{account}/ldap",
            "Set which directory server knows an account's people",
            put(h::set_ldap),
        )
        .says::<NewLdap>(),
        route::<Done>(
            "post",
            "/v1/accounts/{account}/unseal",
            "Take the credentials again that files declare of an account whose revocations are lost",
            post(h::unseal),
        ),
        route::<Done>("post", "/v1/accounts/{account}/users", "Make a user", post(m::create_user))
            .says::<NewMember>()
            .for_pages(),
        route::<Done>("post", "/v1/accounts/{account}/clients", "Make a client", post(m::create_client))
            .says::<NewMember>()
            .for_pages(),
        route::<Done>("patch", member, "Change a user or client", patch(m::change))
            .says::<MemberChange>()
            .matches()
            .for_pages(),
        route::<Done>("delete", member, "Remove a user or client, for ever", delete(m::remove))
            .matches()
            .for_pages(),
        route::<Done>(
            "delete",
            "/v1/accounts/{account}/members/{member}/clients/{client}",
            "Remove a browser or program by which a user comes; the user signs in with it anew as another one",
            delete(m::part),
        )
        .for_pages(),
        route::<MadeCredential>(
            "post",
            "/v1/accounts/{account}/members/{member}/credentials",
            "Add a credential",
            post(m::add_credential),
        )
        .says::<NewCredential>()
        .for_pages(),
        route::<Done>(
            "delete",
            "/v1/accounts/{account}/members/{member}/credentials",
            "Revoke all credentials",
            delete(m::revoke_all),
        )
        .for_pages(),
        route::<Done>(
            "delete",
            "/v1/accounts/{account}/members/{member}/credentials/{fingerprint}",
            "Revoke a credential, for ever",
            delete(m::revoke_credential),
        )
        .for_pages(),
        route::<MadeCredential>(
            "post",
            "/v1/accounts/{account}/members/{member}/credentials/{fingerprint}/rotate",
            "Put another credential in place of one",
            post(m::rotate_credential),
        )
        .says::<Replacement>()
        .for_pages(),
        route::<Done>("post", "/v1/accounts/{account}/rooms", "Make a room", post(h::create_room))
            .says::<RoomFields>()
            .for_pages(),
        route::<RoomAnswer>("get", room, "A room, for who looks after it", get(h::room)).for_pages(),
        route::<Done>("patch", room, "Change a room", patch(h::set_room))
            .says::<RoomFields>()
            .matches()
            .for_pages(),
        route::<MembersAnswer>(
            "get",
            "/v1/accounts/{account}/rooms/{room}/members",
            "The users and clients of a room's account, for who looks after the room",
            get(m::members),
        )
        .asks::<MembersQuery>()
        .for_pages(),
        route::<Done>(
            "put",
            "/v1/accounts/{account}/rooms/{room}/roles",
            "Give somebody a role in a room, or none, for who looks after the room",
            put(m::set_room_role),
        )
        .says::<RoomRole>()
        .matches()
        .for_pages(),
        route::<Invited>(
            "post",
            "/v1/accounts/{account}/rooms/{room}/invitations",
            "Invite who is there into a room, for who looks after it; for who administers the account a new user too",
            post(m::invite),
        )
        .says::<NewInvitation>()
        .for_pages(),
        route::<Vec<ConnectionAnswer>>(
            "get",
            "/v1/accounts/{account}/rooms/{room}/connections",
            "Who waits at a room's own gate, for who looks after the room",
            get(h::waiting),
        )
        .for_pages(),
        route::<Done>(
            "post",
            "/v1/accounts/{account}/rooms/{room}/connections/{connection}/decide",
            "Let in who knocks at a room's own gate, or do not, for who looks after the room",
            post(h::decide_at_room),
        )
        .says::<Decision>()
        .for_pages(),
        route::<BroadcastAnswer>(
            "post",
            "/v1/accounts/{account}/rooms/{room}/broadcast",
            "Say something to all devices of a room, for who looks after the room; answered when it is on the disk",
            post(b::broadcast).layer(DefaultBodyLimit::max(b::BODY_BYTES_MAX)),
        )
        .says::<NewBroadcast>()
        .for_pages(),
        route::<BroadcastAnswer>(
            "get",
            "/v1/accounts/{account}/rooms/{room}/broadcasts/{broadcast}",
            "Which devices of a room received a broadcast, for who looks after the room",
            get(b::received),
        )
        .asks::<BroadcastQuery>()
        .for_pages(),
        route::<Done>("delete", room, "Remove a room", delete(h::remove_room)).matches().for_pages(),
        route::<Done>("post", "/v1/accounts/{account}/grants", "Grant or deny a right", post(h::grant))
            .says::<GrantRequest>()
            .matches()
            .for_pages(),
        route::<Done>(
            "post",
            "/v1/accounts/{account}/ungrant",
            "Take a grant or deny back",
            post(h::ungrant),
        )
        .says::<GrantRequest>()
        .matches()
        .for_pages(),
        route::<Vec<ConnectionAnswer>>(
            "get",
            "/v1/accounts/{account}/connections",
            "Who is connected, and who knocks",
            get(h::connections),
        )
        .for_pages(),
        route::<Done>(
            "delete",
            "/v1/accounts/{account}/connections/{connection}",
            "Close a connection; it may come back",
            delete(h::send_away),
        )
        .for_pages(),
        route::<Done>(
            "post",
            "/v1/accounts/{account}/connections/{connection}/decide",
            "Let in who knocks, or do not",
            post(h::decide),
        )
        .says::<Decision>()
        .for_pages(),
        route::<AuditAnswer>("get", "/v1/audit", "The audit log of all accounts", get(h::audit))
            .asks::<AuditQuery>(),
        route::<AuditAnswer>(
            "get",
            "/v1/accounts/{account}/audit",
            "The audit log of an account",
            get(h::account_audit),
        )
        .asks::<AuditQuery>()
        .for_pages(),
    ]
}

/// There are few places here: nobody keeps one by asking for little again and again.
async fn last(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What of it the page has: the same handlers, and so the same checks.
pub fn for_pages(admin: Admin) -> Router {
    let own = table().into_iter().filter(|route| route.for_pages);
    own.fold(Router::new(), |router, route| router.route(route.path, route.handler))
        .fallback(async || Failure::unknown("nothing is here"))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(map_response(async |response: Response| api::no_store(response)))
        .with_state(admin)
}

/// The interface.
pub fn routes(admin: Admin) -> Router {
    let description = Arc::new(openapi::description(&table()));
    let router =
        table().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
    let description = get(move || {
        let description = Arc::clone(&description);
        async move { Json(serde_json::Value::clone(&description)) }
    });
    router
        .route("/openapi.json", description)
        .fallback(async || Failure::unknown("nothing is here; GET /openapi.json says what is where"))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(map_response(last))
        .with_state(admin)
}
