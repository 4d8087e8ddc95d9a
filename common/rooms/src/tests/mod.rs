//! The bus against a storage that is a plain list.

mod again;
mod archived;
mod beginnings;
mod bindings;
mod corners;
mod figures;
mod floors;
mod ingested;
mod model;
mod past;
mod present;
mod quarantine;
mod quotas;
mod reach;
mod readers;
mod resent;
mod retained;
mod rounds;
mod script;
mod sessions;
mod sharing;
mod shelf;
mod standing;
mod storage;
mod technical;
#[path = "../door/together.rs"]
mod together;
mod told;
mod writers;
