//! Accounts that change while an edge runs: its configuration is read again and checked as a whole, and what it says of accounts
//! is taken.
//!
//! Configuration in which anything is wrong changes nothing, and neither does what no running edge can take. What it says
//! besides of accounts has an effect with the next start, and that is said. Either way there is a line in the audit log.

use crate::{config::EdgeConfig, edge::invalid, vouched::Declared};
use riser_edge_core::EdgeCore;
use riser_gate::Directory;
use riser_host::{Audit, HostHandle, audit::Line};
use riser_model::{Room, RoomId, event::SystemEvent};
use riser_shell::{Loaded, Metrics, config::ConfigError};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{mpsc, oneshot};

/// What of the configuration is taken while an edge runs.
const TAKEN: [&str; 2] = ["account", "default_account"];

/// What a running edge has for that.
pub(crate) struct Reloading {
    pub(crate) handle: HostHandle<EdgeCore>,
    /// Who decides who is let in, where that is not the file alone.
    pub(crate) vouched: Option<mpsc::Sender<Declared>>,
    pub(crate) rooms: fn(&Directory) -> Vec<Room>,
    /// Of each room that there was since the start, whether links carry it: they go on with it though it is no more.
    pub(crate) linked: BTreeMap<RoomId, bool>,
    pub(crate) audit: Audit,
    pub(crate) metrics: Arc<Metrics>,
}

impl Reloading {
    /// Takes what was read, if it can be taken: then that is what runs, and the last good configuration. Returns when it is so on
    /// every connection.
    pub(crate) async fn reload(
        &mut self,
        running: &mut Loaded<EdgeConfig>,
        said: Result<Loaded<EdgeConfig>, ConfigError>,
    ) {
        let file = running.file.display().to_string();
        let taken = match said {
            Ok(said) => self.take(running, said).await,
            Err(error) => Err(error.to_string()),
        };
        self.metrics.configuration_refused.set(u64::from(taken.is_err()));
        let result = match taken {
            Ok(waits) => {
                self.metrics.accounts.changes.inc();
                tracing::info!(
                    waits_for_restart = waits.join(", "),
                    "the accounts of the configuration were taken"
                );
                match waits.is_empty() {
                    true => "done".to_owned(),
                    false => format!("done; with the next start: {}", waits.join(", ")),
                }
            }
            Err(why) => {
                self.metrics.accounts.refused.inc();
                tracing::error!(reason = why, "the configuration was refused; what runs goes on as it was");
                // A host that has ended has nobody to tell.
                let say = |core: &mut EdgeCore, now| core.say(SystemEvent::ConfigurationRefused, now);
                let _ = self.handle.ask(say).await;
                format!("not done: {}", why.replace('\n', "; "))
            }
        };
        self.audit.write(Line::change(None, "operator", "", "accounts reloaded", &file, result)).await;
    }

    /// What else is said there, and waits for the next start.
    async fn take(
        &mut self,
        running: &mut Loaded<EdgeConfig>,
        said: Loaded<EdgeConfig>,
    ) -> Result<Vec<String>, String> {
        let directory = said.config.directory().map_err(|wrong| invalid(wrong).to_string())?;
        let before = running.config.directory().map_err(|wrong| invalid(wrong).to_string())?;
        self.linked.extend((self.rooms)(&before).into_iter().map(|room| (room.id, room.linked)));
        self.stay_linked(&directory)?;
        stay(&running.config, (&before, &directory))?;
        let is_taken = match &self.vouched {
            None => {
                let rooms = (self.rooms)(&directory);
                self.handle.change(directory, rooms).await
            }
            Some(vouched) => {
                let (done, is_done) = oneshot::channel();
                let (accounts, bare) = (said.config.account.clone(), said.config.default_account.clone());
                vouched.send(Declared { accounts, bare, done }).await.is_ok()
                    && is_done.await.is_ok_and(|taken| taken)
            }
        };
        if !is_taken {
            return Err("it does not go with what a hub has given up, or the edge goes down".to_owned());
        }
        let waits = waits(&running.config, &said.config);
        running.take(said, &TAKEN, |config, said| {
            (config.account, config.default_account) = (said.account, said.default_account);
        });
        running.keep().unwrap_or_else(
            |error| tracing::warn!(%error, "the configuration could not be kept as last good"),
        );
        Ok(waits)
    }

    /// That links carry the same rooms as before, and new ones.
    fn stay_linked(&self, directory: &Directory) -> Result<(), String> {
        let rooms = (self.rooms)(directory);
        let is_other = |room: &&Room| self.linked.get(&room.id).is_some_and(|linked| *linked != room.linked);
        match rooms.iter().find(is_other) {
            Some(Room { account_name, name, .. }) => Err(format!(
                "account[{account_name}].room[{name}].linked: what links carry of a room is fixed while it runs; \
                 start the edge anew"
            )),
            None => Ok(()),
        }
    }
}

/// That whom listeners and sources let whoever comes in as are the same clients as before.
fn stay(running: &EdgeConfig, (before, after): (&Directory, &Directory)) -> Result<(), String> {
    for (key, name) in running.named() {
        let client = |directory: &Directory| directory.require(&key, name).map(|who| who.client);
        if client(before).ok() != client(after).ok() {
            return Err(format!("{key}: {name} would be somebody else, or nobody; start the edge anew"));
        }
    }
    Ok(())
}

/// The parts of the configuration that are others and are not taken.
fn waits(running: &EdgeConfig, said: &EdgeConfig) -> Vec<String> {
    let parts = |config: &EdgeConfig| match serde_json::to_value(config) {
        Ok(Value::Object(parts)) => parts,
        Ok(_) | Err(_) => Map::new(),
    };
    let (former, parts) = (parts(running), parts(said));
    let keys = former.keys().chain(parts.keys().filter(|key| !former.contains_key(*key)));
    let others = keys.filter(|key| !TAKEN.contains(&key.as_str()) && former.get(*key) != parts.get(*key));
    others.cloned().collect()
}
