//! Runs a core: one task owns it, everything else sends that task inputs and performs its outputs.
//!
//! It owns the recipe and the wiring that edge and hub share: doors, storage, verifiers, deadlines. What
//! it never does is decide: every branch that matters is in the core. Where uplinks lead is the tier's business.
//!
//! Read [`host`] first: it is the one screen of async code that both tiers run on.

mod archive_news;
pub mod audit;
mod below;
pub mod doors;
mod giving;
pub mod host;
pub mod key_sets;
mod links;
pub mod log_command;
pub mod lookout;
pub mod meter;
pub mod setup;
mod signed_passwords;
mod verifier;

pub use audit::Audit;
pub use below::BelowLook;
pub use host::{Host, HostHandle, Links, Parts, Policies, Watch};
pub use key_sets::KeySets;
pub use links::LinkSockets;
pub use lookout::Lookout;
pub use meter::{InstanceLook, InstanceMeter, Meter};
pub use signed_passwords::SignedPasswords;
pub use verifier::Verifier;
