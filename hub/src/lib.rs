//! riser-hub: where edges deliver to, and rooms full of dashboards and devices listen and replay.
//!
//! The program around the hub's core: configuration, listeners, link sockets, the page, metrics. Read [`hub`]
//! first: it puts the parts together; what they do is in `riser-hub-core`.

mod accounts;
mod admin;
mod administer;
mod api;
mod asker;
pub mod command;
pub mod config;
mod cookies;
mod errands;
mod footers;
mod founding;
pub mod hub;
mod invitation;
mod ldap;
mod needs;
mod operators;
mod owners;
mod page;
mod remote;
mod schemas;
mod sign_in;
mod site;
mod status;
mod unused;
mod verifier;

pub use command::main;
pub use config::HubConfig;
pub use hub::Hub;
pub use operators::Named;
