//! The commands that change a running hub: accounts, users, clients, credentials, rooms, grants, knocks, the audit log. Each
//! family of them has a file, which says what it takes and which one request it is.

mod account;
mod audit;
mod connection;
mod grant;
mod key;
mod member;
mod place;
mod plain;
mod room;
mod value;

pub(crate) use account::AccountCommand;
pub(crate) use audit::AuditArgs;
pub(crate) use connection::ConnectionCommand;
pub(crate) use grant::{GrantArgs, RoleArgs};
pub(crate) use key::KeyCommand;
pub(crate) use member::MemberCommand;
pub(crate) use room::RoomCommand;

use crate::remote::Remote;
use plain::plain;
use serde::Serialize;
use serde_json::Value;

/// One request, as a command says it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Wish {
    method: &'static str,
    path: String,
    body: Option<Value>,
}

impl Wish {
    fn new(method: &'static str, path: String) -> Self {
        Self { method, path, body: None }
    }

    fn says(self, body: impl Serialize) -> anyhow::Result<Self> {
        Ok(Self { body: Some(serde_json::to_value(body)?), ..self })
    }

    /// Asks, and prints the answer.
    pub(crate) async fn perform(self, remote: &Remote, as_json: bool) -> anyhow::Result<()> {
        let Self { method, path, body } = self;
        let answer = remote.ask(method, &path, body).await?;
        if as_json {
            println!("{answer}");
        } else {
            let mut text = String::new();
            plain(&answer, 0, &mut text);
            print!("{text}");
        }
        Ok(())
    }
}
