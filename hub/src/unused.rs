//! Clients that are used no more: once an hour it is looked who came, and who came nowhere for too long is warned of and
//! then removed, as an admin would.
//!
//! How long each was not used is in `clients-idle.json` of the data folder. Where that is lost, or nobody looked for a while,
//! the time begins anew. Who came while others were being removed is not.

use crate::accounts::{Registrar, Told, Wanted};
use riser_gate::{
    Change,
    accounts::AccountChange,
    unused::{Idle, Unused, Verdict},
};
use riser_host::HostHandle;
use riser_hub_core::HubCore;
use riser_model::Wall;
use riser_model::event::{Scope, SystemEvent};
use riser_shell::{Clock, Metrics};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The file.
const NAME: &str = "clients-idle.json";
/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(3600);

/// What the file says.
#[derive(Serialize, Deserialize)]
struct Written {
    /// When, milliseconds since 1970.
    at: i64,
    idle: Idle,
}

/// See the module.
pub struct Caretaker {
    file: PathBuf,
    idle: Idle,
    lasts: Duration,
    registrar: Registrar,
    core: HostHandle<HubCore>,
    metrics: Arc<Metrics>,
}

impl Caretaker {
    /// Of a data folder; nobody may be unused for longer than that.
    pub fn open(
        folder: &Path,
        lasts: Duration,
        registrar: Registrar,
        core: HostHandle<HubCore>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let file = folder.join(NAME);
        let idle = read(&file, Clock.now().wall);
        Self { file, idle, lasts, registrar, core, metrics }
    }

    /// Nobody looks: what was known is no reason to remove anybody when somebody looks again.
    pub fn forget(folder: &Path) {
        // Mostly there is none.
        let _ = fs::remove_file(folder.join(NAME));
    }

    /// Looks again and again, for as long as the hub runs.
    pub async fn keep(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if !self.look(EVERY).await {
                return;
            }
        }
    }

    /// So much time went by. False when the hub has ended.
    async fn look(&mut self, by: Duration) -> bool {
        let Some(used) = self.core.ask(|core, _| core.used()).await else { return false };
        let accounts = self.registrar.accounts().await;
        for verdict in self.idle.pass(by, &accounts, &used, self.lasts) {
            match verdict {
                Verdict::Warn(Unused { account, client, name }, left) => {
                    let event = SystemEvent::ClientUnused { client, name, left_s: left.as_secs() };
                    let say = move |core: &mut HubCore, now| core.say(Scope::Account(account), event, now);
                    self.core.ask(say).await;
                }
                Verdict::Remove(unused) => self.remove(unused).await,
            }
        }
        if let Err(error) = self.save() {
            tracing::error!(%error, file = %self.file.display(), "how long clients were not used is not kept");
        }
        true
    }

    async fn remove(&self, Unused { account, client, name }: Unused) {
        if self.core.ask(move |core, _| core.has_come(client)).await != Some(false) {
            return;
        }
        let lasts = riser_model::duration::Duration(self.lasts);
        let told = Told {
            what: "removed",
            of: format!("client {name}: not used for {lasts}"),
            by: "this hub".to_owned(),
            from: String::new(),
        };
        let change = Change::Within(account, AccountChange::RemoveMember(client));
        let wanted = Wanted { change, revision: None, may: Box::new(|_| true) };
        match self.registrar.change(told, wanted).await {
            Ok(_) => drop(self.metrics.accounts.unused.inc()),
            Err(why) => tracing::warn!(%name, ?why, "a client that is not used stays"),
        }
    }

    fn save(&self) -> io::Result<()> {
        let new = self.file.with_extension("new");
        let written = Written { at: Clock.now().wall.0, idle: self.idle.clone() };
        fs::write(&new, serde_json::to_vec(&written)?)?;
        fs::rename(new, &self.file)
    }
}

fn read(file: &Path, now: Wall) -> Idle {
    let bytes = fs::read(file).unwrap_or_default();
    let Ok(Written { at, mut idle }) = serde_json::from_slice(&bytes) else { return Idle::default() };
    // A clock that was set back says nothing of how long it lay there.
    let ago = u64::try_from(now.0.saturating_sub(at)).map_or(Duration::MAX, Duration::from_millis);
    idle.resume(ago);
    idle
}
