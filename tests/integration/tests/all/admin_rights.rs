//! The table of who may ask what of the admin interface: every route of its description, and nine who ask.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::accounts::{House, house_of};
use crate::needs::{Need, needs};
use crate::program::output;
use crate::site::Plan;

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Is {
    /// It is heard, whatever comes of it.
    Heard,
    /// Whose account it is about looks like none.
    Hidden,
    /// It is for who operates the hub.
    TheOperators,
    /// Nobody is let in by that.
    Nobody,
}

use Is::{Heard, Hidden, Nobody, TheOperators};

/// Those who ask, in the order of the columns.
const WHO: [&str; 9] = [
    "operator",
    "named operator",
    "owner",
    "admin",
    "foreign owner",
    "keeper",
    "reader",
    "revoked",
    "nobody",
];
/// Who administers the account, and who operates the hub.
const OWN: [Is; 9] = [Heard, Heard, Heard, Heard, Hidden, Hidden, Nobody, Nobody, Nobody];
/// Everybody who administers something.
const ANY: [Is; 9] = [Heard, Heard, Heard, Heard, Heard, Heard, Nobody, Nobody, Nobody];
/// Who looks after the room as well.
const ITS: [Is; 9] = [Heard, Heard, Heard, Heard, Hidden, Heard, Nobody, Nobody, Nobody];
/// Who operates the hub, and nobody else.
const ONE: [Is; 9] =
    [Heard, Heard, TheOperators, TheOperators, TheOperators, TheOperators, Nobody, Nobody, Nobody];

/// Method, path, what is said, and what becomes of it for each.
fn table() -> Vec<(&'static str, &'static str, Value, [Is; 9])> {
    let no = Value::Null;
    let grant = json!({ "to": "rob", "right": ["publish"], "room": "plant" });
    let account = "/v1/accounts/{account}";
    let member = "/v1/accounts/{account}/members/{member}";
    let credentials = "/v1/accounts/{account}/members/{member}/credentials";
    let one = "/v1/accounts/{account}/members/{member}/credentials/{fingerprint}";
    vec![
        ("get", "/v1/accounts", no.clone(), ANY),
        ("post", "/v1/accounts", json!({ "name": "foo" }), ONE),
        ("get", account, no.clone(), OWN),
        ("put", "/v1/accounts/{account}/name", json!({ "name": "foo" }), ONE),
        ("put", "/v1/accounts/{account}/gate", json!({ "gate": [] }), OWN),
        ("put", "/v1/accounts/{account}/issuers", json!({ "issuer": [] }), OWN),
        ("put", "/v1/accounts/{account}/ldap", json!({ "ldap": null }), ONE),
        ("post", "/v1/accounts/{account}/unseal", no.clone(), ONE),
        ("post", "/v1/accounts/{account}/users", json!({ "name": "newcomer" }), OWN),
        ("post", "/v1/accounts/{account}/clients", json!({ "name": "newcomer" }), OWN),
        ("patch", member, json!({ "groups": [] }), OWN),
        ("delete", member, no.clone(), OWN),
        ("delete", "/v1/accounts/{account}/members/{member}/clients/{client}", no.clone(), OWN),
        ("post", credentials, json!({ "kind": "token" }), OWN),
        ("delete", credentials, no.clone(), OWN),
        ("delete", one, no.clone(), OWN),
        ("post", "/v1/accounts/{account}/members/{member}/credentials/{fingerprint}/rotate", json!({}), OWN),
        ("post", "/v1/accounts/{account}/rooms", json!({ "name": "new", "history": "log" }), OWN),
        ("get", "/v1/accounts/{account}/rooms/{room}", no.clone(), ITS),
        ("get", "/v1/accounts/{account}/rooms/{room}/members", no.clone(), ITS),
        ("put", "/v1/accounts/{account}/rooms/{room}/roles", json!({ "to": "rob", "role": "reader" }), ITS),
        ("patch", "/v1/accounts/{account}/rooms/{room}", json!({ "ready": [] }), ITS),
        ("post", "/v1/accounts/{account}/grants", grant.clone(), ITS),
        ("post", "/v1/accounts/{account}/ungrant", grant, ITS),
        ("get", "/v1/accounts/{account}/connections", no.clone(), OWN),
        ("delete", "/v1/accounts/{account}/connections/{connection}", no.clone(), OWN),
        ("post", "/v1/accounts/{account}/connections/{connection}/decide", json!({ "admit": true }), OWN),
        (
            "post",
            "/v1/accounts/{account}/rooms/{room}/invitations",
            json!({ "name": "rob", "right": "subscribe" }),
            ITS,
        ),
        ("get", "/v1/accounts/{account}/rooms/{room}/connections", no.clone(), ITS),
        (
            "post",
            "/v1/accounts/{account}/rooms/{room}/connections/{connection}/decide",
            json!({ "admit": true }),
            ITS,
        ),
        (
            "post",
            "/v1/accounts/{account}/rooms/{room}/broadcast",
            json!({ "channel": "orders", "data": "open" }),
            ITS,
        ),
        ("get", "/v1/accounts/{account}/rooms/{room}/broadcasts/{broadcast}", no.clone(), ITS),
        ("get", "/v1/audit", no.clone(), ONE),
        ("get", "/v1/accounts/{account}/audit", no.clone(), OWN),
        ("delete", "/v1/accounts/{account}/rooms/{room}", no.clone(), OWN),
        // The last: after it there is no account, and who asks first is not the token's.
        ("delete", account, no, [&[Hidden], &ONE[1..]].concat().try_into().unwrap()),
    ]
}

/// Asks, with a token or without.
fn ask(house: &House, token: &str, method: &str, path: &str, body: &Value) -> Is {
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "30", "--write-out", "\n%{http_code}"]);
    command.args(["--request", &method.to_uppercase()]);
    if !token.is_empty() {
        command.args(["--oauth2-bearer", token]);
    }
    if !body.is_null() {
        command.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
    }
    command.arg(format!("http://127.0.0.1:{}{path}", house.admin));
    let text = output(command);
    let (body, status) = text.rsplit_once('\n').unwrap();
    match status {
        "401" => Nobody,
        "403" => TheOperators,
        "404" if body.contains("no such account, or not yours") => Hidden,
        "200" | "404" | "409" | "422" => Heard,
        _ => panic!("{method} {path}: {status} {body}"),
    }
}

#[test]
fn every_route_is_heard_from_those_whose_business_it_is_and_from_nobody_else() {
    needs!(Need::Program("curl"));
    let hub_top = "operators = [\"foo/olga\"]\n".to_owned();
    let mut house = house_of(Plan { hub_top, ..Plan::default() });
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let foo = house.does(&["account", "create", "foo", "--user", "max"]);
    let bar = house.does(&["account", "create", "bar", "--user", "eve"]);
    // She may nothing in her account, and operates the hub, which looks her name up when it starts.
    house.does(&["user", "add", "foo/olga"]);
    let named = text(&house.does(&["key", "add", "foo/olga"])["value"]);
    house.site.hub.stop();
    house.site.hub.start();
    let user = |name: &str, role: &str| {
        house.does(&["user", "add", &format!("foo/{name}"), "--role", role]);
        text(&house.does(&["key", "add", &format!("foo/{name}")])["value"])
    };
    let (admin, reader, revoked) = (user("amy", "member"), user("rob", "reader"), user("old", "owner"));
    house.does(&["grant", "foo", "amy", "admin"]);
    house.does(&["key", "revoke", "foo/old", "--all"]);
    house.does(&["room", "create", "foo/plant", "history=log"]);
    let keeper = user("kim", "member");
    house.does(&["grant", "foo/plant", "kim", "admin"]);
    let operator = std::fs::read_to_string(house.site.hub.data.join("admin.token")).unwrap();
    let operator = operator.trim().to_owned();
    let tokens = [
        operator,
        named,
        text(&foo["token"]),
        admin,
        text(&bar["token"]),
        keeper,
        reader,
        revoked,
        String::new(),
    ];

    let described = house.asks("", "/openapi.json").1;
    let described: BTreeSet<(String, String)> = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
        })
        .collect();
    let rows = table();
    let own = rows.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned()));
    assert_eq!(own.collect::<BTreeSet<_>>(), described, "every route has a row, and every row is of a route");

    for (method, path, body, expected) in rows {
        // Who looks after a room goes on to look after it.
        let room = if method == "delete" { "ghost" } else { "plant" };
        let path = path
            .replace("{account}", "foo")
            .replace("{member}", "ghost")
            .replace("{room}", room)
            .replace("{client}", "00000000-0000-4000-8000-000000000000")
            .replace("{fingerprint}", "0123456789abcdef")
            .replace("{connection}", "999999")
            .replace("{broadcast}", "999999");
        // Who may not comes first: what is heard may change what there is.
        for ((who, token), expected) in WHO.into_iter().zip(&tokens).zip(expected).rev() {
            assert_eq!(ask(&house, token, method, &path, &body), expected, "{who}: {method} {path}");
        }
    }
}
