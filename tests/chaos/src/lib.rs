//! Real hubs and edges under what networks, machines and people do to them, judged by a ledger that knows no
//! counter of theirs.
//!
//! A scenario is a timeline file (`riser_timeline`). A run builds its world (programs as they are shipped, a cable between network
//! namespaces, disks that lose their power), publishes into it all the while, does what the timeline says, makes
//! everything whole, and compares what publishers hold receipts for with what two readers at the hub were given.
//!
//! Read [`world`] for what can happen, and [`run`] for how a run goes and is judged.

pub mod clock;
pub mod command;
pub mod disk;
pub mod history;
pub mod machine;
pub mod mangler;
pub mod mqtt;
pub mod payload;
pub mod publisher;
pub mod reader;
pub mod run;
pub mod site;
mod socket;
pub mod world;
