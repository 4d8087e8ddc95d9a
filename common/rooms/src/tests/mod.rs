//! The bus against a storage that is a plain list.

mod again;
mod archived;
mod corners;
mod model;
mod past;
mod present;
mod quotas;
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
mod writers;
