//! The gate: who may enter, as whom, and with which rights.
//!
//! Accounts, users, clients and rooms are declared in configuration or made while an instance runs ([`Accounts`]), and are
//! compiled into a [`Directory`] of principals, which never changes: what changes makes a new one. A [`Gate`] stands before one connection: it takes a credential and answers, one acceptor after another,
//! and lets it pass, has something verified elsewhere, or refuses. Nothing here verifies a password or signature, reads a
//! clock or does I/O. Rights are only compiled here; the check itself is [`riser_model::Grants`], used on every delivery
//! path.
//!
//! Read [`gate`] first (what happens to one connection), then [`acceptor`] (its states), then [`directory`] (what they
//! are checked against).
#![warn(clippy::indexing_slicing)]

pub mod acceptor;
pub mod accounts;
pub mod config;
pub mod credential;
pub mod device_key;
pub mod directory;
pub mod gate;
pub mod gate_config;
pub mod hidden;
pub mod invalid;
pub mod issuer;
pub mod key;
pub mod key_set;
pub mod ldap;
mod nearby;
pub mod offenders;
pub mod persons;
pub mod policy;
pub mod provider;
pub mod schema_text;
pub mod sequence;
pub mod unused;
pub mod verifying_key;
pub mod words;

pub use acceptor::{
    cookie::{CookieId, Statement},
    ticket::{Redeemed, Tickets},
};
pub use accounts::{Account, Accounts, Change};
pub use config::{AccountConfig, ClientConfig, GrantConfig, Role, RoomConfig, UserConfig};
pub use credential::{CredentialConfig, Fingerprint};
pub use device_key::DeviceKey;
pub use directory::{Directory, Edge, Evidence, Holds, QUARANTINE};
pub use gate::{Caller, Effect, Gate, Input, Output, Proof, Stand, Standing, Verdict};
pub use gate_config::{AcceptorConfig, GateConfig};
pub use hidden::{Hidden, PasswordHash, SharedSecret, TokenHash};
pub use invalid::{Invalid, nearest};
pub use issuer::{Algorithm, IssuerConfig, JwkConfig};
pub use key::KeyText;
pub use key_set::{KeySet, KeySource};
pub use ldap::{GroupAs, LdapConfig, LdapServer};
pub use offenders::Offenders;
pub use persons::Persons;
pub use policy::Policy;
pub use provider::{Endpoints, PageConfig, Provider, Way};
pub use schema_text::SchemaText;
pub use sequence::{Sequence, Stage};
pub use verifying_key::VerifyingKey;
pub use words::Words;
