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
        let accounts = self.registrar.accounts().await;
        let is_associated = accounts.get(account).is_some_and(|one| one.associated.contains_key(&client));
        let (of, change) = match is_associated {
            true => (format!("client {client} of {name}"), AccountChange::Part(client)),
            false => (format!("client {name}"), AccountChange::RemoveMember(client)),
        };
        let told = Told {
            what: "removed",
            of: format!("{of}: not used for {lasts}"),
            by: "this hub".to_owned(),
            from: String::new(),
        };
        let change = Change::Within(account, change);
        let wanted = Wanted { change, revision: None, may: Box::new(|_, _, _| true) };
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{config::HubConfig, hub::Hub};
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use riser_gate::{ClientConfig, CredentialConfig, KeyText, TokenHash, UserConfig, credential::Member};
    use riser_model::{AccountId, ClientId, PublicKey};
    use riser_shell::{Loaded, Sources};
    use std::net::SocketAddr;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        time::timeout,
    };
    use uuid::Uuid;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const LASTS: Duration = DAY.saturating_mul(30);
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    const EVENTUALLY: Duration = Duration::from_secs(60);
    const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));

    fn id(n: u128) -> ClientId {
        ClientId(Uuid::from_u128(n))
    }

    /// Asks for the hub's status with a token, and nothing else ever.
    async fn asks(http: SocketAddr, token: &str) {
        let mut socket = TcpStream::connect(http).await.unwrap();
        let request = format!(
            "GET /api/status HTTP/1.1\r\nHost: {http}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }

    /// How often the log speaks of this, in whatever event.
    fn said(folder: &Path, what: &str) -> usize {
        let files = fs::read_dir(folder.join("log")).unwrap().map(|file| file.unwrap().path());
        let read = |path: PathBuf| fs::read(path).unwrap_or_default();
        files.map(|file| read(file).windows(what.len()).filter(|part| *part == what.as_bytes()).count()).sum()
    }

    /// A hub with a client `gauge` that comes nowhere, a client `pump` and a user, and an edge; all of them made while it ran.
    async fn hub(folder: &Path) -> (Hub, Caretaker) {
        let file = folder.join("hub.toml");
        let text = format!(
            "data = {:?}\n[listen]\nhttp = \"127.0.0.1:0\"\noperations = \"127.0.0.1:0\"\n[[account]]\nname = \"acme\"\nid = \"{}\"\n",
            folder.join("data"),
            ACCOUNT.0
        );
        fs::write(&file, text).unwrap();
        fs::create_dir(folder.join("data")).unwrap();
        let config = Loaded::<HubConfig>::strictly(&Sources::file(file)).unwrap().config;
        let hub = Hub::start(&config, None, None).await.unwrap();
        let caretaker = hub.caretaker(&folder.join("data"), LASTS);
        let client = |n, name: &str, key: Option<KeyText>| {
            Member::Client(ClientConfig { id: Some(id(n)), key, ..ClientConfig::new(name.parse().unwrap()) })
        };
        let user = UserConfig { id: Some(id(4)), ..UserConfig::new("kim".parse().unwrap()) };
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let key = KeyText(PublicKey(pair.public_key().as_ref().try_into().unwrap()));
        let members = [
            client(2, "gauge", None),
            client(3, "pump", None),
            Member::User(user),
            client(5, "north", Some(key)),
        ];
        let changes = members.map(|member| AccountChange::CreateMember(Box::new(member)));
        let token = CredentialConfig::Token(TokenHash::of(b"of-pump"));
        for change in changes.into_iter().chain([AccountChange::AddCredential(id(3), token)]) {
            let wanted = Wanted {
                change: Change::Within(ACCOUNT, change),
                revision: None,
                may: Box::new(|_, _, _| true),
            };
            caretaker.registrar.change(Told::default(), wanted).await.unwrap();
        }
        (hub, caretaker)
    }

    async fn names(caretaker: &Caretaker) -> Vec<String> {
        let accounts = caretaker.registrar.accounts().await;
        let account = accounts.iter().find(|(id, _)| *id == ACCOUNT).unwrap().1;
        let mut names: Vec<String> = account.members().map(|member| member.name().to_string()).collect();
        names.sort();
        names
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_comes_nowhere_is_warned_of_and_removed_and_who_only_asks_over_http_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let (hub, mut caretaker) = hub(folder.path()).await;
        let (http, data) = (hub.address("http").unwrap(), folder.path().join("data"));
        let all = ["gauge", "kim", "north", "pump"];
        for day in 1..=26 {
            assert!(caretaker.look(DAY).await);
            if day % 10 == 0 {
                asks(http, "of-pump").await;
            }
        }
        assert_eq!(names(&caretaker).await, all);
        let before = ["gauge", "pump", "north", "kim"].map(|name| said(&data, name));
        assert!(caretaker.look(DAY).await, "a tenth of the time is left");
        // The warning is an entry of the log, as every event is: it is on the disk when its commit is.
        let written = async {
            while said(&data, "gauge") == before[0] {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        timeout(EVENTUALLY, written).await.expect("nobody was warned of who is not used");
        let after = ["gauge", "pump", "north", "kim"].map(|name| said(&data, name));
        assert!(after[0] > before[0], "nobody was warned of who is not used");
        assert_eq!(after[1..], before[1..], "an edge, a person and who is used are nobody's worry");
        for _ in 28..=29 {
            assert!(caretaker.look(DAY).await);
            assert_eq!(names(&caretaker).await, all, "warned of, and not removed before it was said");
        }
        assert!(caretaker.look(DAY).await);
        assert_eq!(names(&caretaker).await, ["kim", "north", "pump"]);
        assert_eq!(caretaker.metrics.accounts.unused.get(), 1);
        let audited = fs::read_to_string(data.join("audit.jsonl")).unwrap();
        assert!(audited.contains("client gauge: not used for 30d"), "{audited}");
        // Who comes in the moment in which it would be removed stays.
        asks(http, "of-pump").await;
        let (account, name) = (ACCOUNT, "pump".parse().unwrap());
        caretaker.remove(Unused { account, client: id(3), name }).await;
        assert_eq!(names(&caretaker).await, ["kim", "north", "pump"]);
        hub.stop().await;
        assert!(!caretaker.look(DAY).await, "a hub that has ended removes nobody");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn how_long_clients_were_not_used_is_known_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (hub, mut caretaker) = hub(folder.path()).await;
        let data = folder.path().join("data");
        for _ in 0..28 {
            assert!(caretaker.look(DAY).await);
        }
        let mut again = hub.caretaker(&data, LASTS);
        assert_eq!(again.idle, caretaker.idle);
        again.look(DAY).await;
        assert!(names(&again).await.contains(&"gauge".to_owned()));
        again.look(DAY).await;
        assert_eq!(names(&again).await, ["kim", "north"], "it goes on where it was");
        Caretaker::forget(&data);
        assert_eq!(hub.caretaker(&data, LASTS).idle, Idle::default());
        hub.stop().await;
    }
}
