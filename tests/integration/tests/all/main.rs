//! The one integration binary: every test that needs real processes, or the workspace itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the parts of a test fail the test where they stand"
)]

use riser_integration::{client, needs, place, program};

mod tidy;

mod accounts;
mod admin_rights;
mod administration;
mod archive;
mod bad_input;
mod bad_world;
mod broadcasting;
mod canary;
mod certificates;
mod clocks;
mod compat;
mod compose;
mod conformance;
mod demo;
mod downlink;
mod events;
mod gates;
mod history;
mod kills;
mod ldap;
mod leaving;
mod lobby;
mod log_commands;
mod looking;
mod mqtt_wire;
mod oidc;
mod own_client;
mod page;
mod partition;
mod proxy;
mod quotas;
mod readme;
mod reloading;
mod retaining;
mod rights;
mod room_roles;
mod schema;
mod sensors;
mod sharing;
mod sign_in;
mod site;
mod slow;
mod sources;
mod strangers;
mod stuck;
mod technical;
mod terminal;
mod terms;
mod tiers;
mod tls;
mod vouched;
