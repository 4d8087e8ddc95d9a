//! Asks directory servers whether a password is a person's: searches for the one entry that has the name, then binds as it.
//!
//! One connection searches for everybody, and a few are kept to bind on; nothing is said before TLS where that is wanted.
//! Who is not there costs a bind as well, as an entry that is nobody's, so that the time says nothing. An empty password is
//! never shown to a server: it would take that for anonymous and say yes (RFC 4513 section 5.1.2).

use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions, ldap_escape,
};
use riser_gate::{GroupAs, LdapServer, Verdict};
use riser_model::{Memberships, door::Secret};
use riser_net::tls::{self, SYSTEM_AUTHORITIES, Trust};
use riser_shell::Places;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinSet};

/// How long one question may take, and connecting.
const QUESTION: Duration = Duration::from_secs(3);
/// How long all of it may take: a gate waits for 15 s.
const ALL: Duration = Duration::from_secs(10);
/// How many passwords of one server are asked for at once; others wait, so many of each address.
const AT_ONCE: usize = 8;
/// Connections that are kept to bind on.
const IDLE_MAX: usize = 4;
/// How many groups of a person are looked at, and how deep they may be in each other.
const GROUPS_MAX: usize = 128;
const DEPTH_MAX: usize = 8;
/// The longest password that is shown to a server, bytes.
const PASSWORD_BYTES_MAX: usize = 256;

/// Results of LDAP (RFC 4511 appendix A).
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const NO_SUCH_OBJECT: u32 = 32;

/// See the module.
#[derive(Debug, Default)]
pub struct Ldaps {
    servers: Mutex<BTreeMap<Arc<LdapServer>, Arc<Connections>>>,
    places: Places,
    answered: AtomicU64,
    failed: AtomicU64,
}

struct Connections {
    searcher: tokio::sync::Mutex<Option<Ldap>>,
    idle: Mutex<Vec<Ldap>>,
    turns: Semaphore,
    /// It did not answer the last time: said once.
    away: Mutex<bool>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("turns", &self.turns.available_permits()).finish_non_exhaustive()
    }
}

impl Default for Connections {
    fn default() -> Self {
        let turns = Semaphore::new(AT_ONCE);
        Self { searcher: Default::default(), idle: Default::default(), turns, away: Default::default() }
    }
}

/// Why a server could not say.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error(transparent)]
    Ldap(#[from] LdapError),
    #[error(transparent)]
    Trust(#[from] tls::TlsFailed),
    #[error("read {0}: want the password of who searches, in a file of mode 0600")]
    Password(PathBuf),
    #[error("search as the configured entry: result {0}")]
    Search(u32),
    #[error("no answer in time")]
    Late,
    #[error("read its answer: it is none of LDAP")]
    Unreadable,
}

impl Ldaps {
    /// Whether that is the person's password, for somebody from there.
    pub async fn verify(
        &self,
        server: &Arc<LdapServer>,
        user: &str,
        password: &Secret,
        from: Option<IpAddr>,
    ) -> Verdict {
        let connections = Arc::clone(lock(&self.servers).entry(Arc::clone(server)).or_default());
        let password = std::str::from_utf8(&password.0).unwrap_or_default();
        if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
            return Verdict::Differs;
        }
        let Some(_place) = self.places.take(from) else { return Verdict::Busy };
        let mut asking = JoinSet::new();
        asking.spawn(judged(
            Arc::clone(&connections),
            Arc::clone(server),
            (user.to_owned(), password.to_owned()),
        ));
        let result = match tokio::time::timeout(ALL, asking.join_next()).await {
            Ok(Some(Ok(result))) => result,
            // The library panics at an answer that it cannot read. That is the server's fault: its own connection may be gone
            // with that, which whoever was asking there too finds out and asks again.
            Ok(Some(Err(_)) | None) => Err(NoAnswer::Unreadable),
            Err(_) => Err(NoAnswer::Late),
        };
        let was_away = std::mem::replace(&mut *lock(&connections.away), result.is_err());
        match result {
            Ok(verdict) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                verdict
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                if !was_away {
                    tracing::warn!(server = server.url, %error, "a directory server cannot be asked; nobody comes in by it");
                }
                Verdict::Away
            }
        }
    }

    /// Each with its labels in metrics.
    pub fn each(&self) -> [(&'static str, &'static str, u64); 2] {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("ldap_asked", "outcome=\"answered\"", count(&self.answered)),
            ("ldap_asked", "outcome=\"failed\"", count(&self.failed)),
        ]
    }
}

async fn judged(
    connections: Arc<Connections>,
    server: Arc<LdapServer>,
    (user, password): (String, String),
) -> Result<Verdict, NoAnswer> {
    // It is never closed.
    let Ok(_turn) = connections.turns.acquire().await else { return Err(NoAnswer::Late) };
    connections.judge(&server, &user, &password).await
}

impl Connections {
    async fn judge(&self, server: &LdapServer, user: &str, password: &str) -> Result<Verdict, NoAnswer> {
        let person = person(server, user);
        let entry = self.one(server, &server.base, &person).await?;
        // Nobody has this name: who may make entries here made none like it.
        let nobody = format!("{}=nobody-{:032x},{}", server.attribute, u128::MAX, server.base);
        let holds = self.binds(server, entry.as_deref().unwrap_or(&nobody), password).await?;
        let (Some(entry), true) = (entry, holds) else { return Ok(Verdict::Differs) };
        let asks_groups = server.groups.is_some() || !server.groups_as.is_empty();
        let around = match server.nested && asks_groups {
            true => self.groups_around(server, &entry, user).await?,
            false => BTreeSet::new(),
        };
        if let Some((base, names)) = &server.groups {
            let is_in = match server.nested {
                true => names.iter().any(|name| around.contains(&folded(name))),
                false => self.any(server, base, &group(names, &entry, user)).await?,
            };
            if !is_in {
                return Ok(Verdict::Differs);
            }
        }
        if server.groups_as.is_empty() {
            return Ok(Verdict::Matches);
        }
        let found = match server.nested {
            true => around,
            false => {
                let names: Vec<String> = server.groups_as.iter().map(|one| one.group.clone()).collect();
                let groups = self.groups(server, &group(&names, &entry, user)).await?;
                groups.into_iter().flat_map(|group| group.names).collect()
            }
        };
        let is_in = |one: &GroupAs| found.contains(&folded(&one.group));
        let places =
            server.groups_as.iter().enumerate().filter(|(_, one)| is_in(one)).map(|(place, _)| place);
        Ok(Verdict::MatchesIn(Memberships::of(places)))
    }

    /// The names of all groups that a person is in, and of those that these are in.
    async fn groups_around(
        &self,
        server: &LdapServer,
        entry: &str,
        user: &str,
    ) -> Result<BTreeSet<String>, NoAnswer> {
        let (mut entries, mut names) = (BTreeSet::new(), BTreeSet::new());
        let mut filter = format!("(|{})", naming(entry, Some(user)));
        for _ in 0..DEPTH_MAX {
            let found = self.groups(server, &filter).await?;
            let left = GROUPS_MAX.saturating_sub(entries.len());
            let new: Vec<Group> = found.into_iter().filter(|group| !entries.contains(&group.entry)).collect();
            if new.len() > left {
                tracing::warn!(
                    server = server.url,
                    most = GROUPS_MAX,
                    "somebody is in more groups than are looked at, and has what those give that were"
                );
            }
            let new: Vec<Group> = new.into_iter().take(left).collect();
            if new.is_empty() {
                return Ok(names);
            }
            filter = new.iter().map(|group| naming(&group.entry, None)).collect();
            filter = format!("(|{filter})");
            for Group { entry, names: called } in new {
                entries.insert(entry);
                names.extend(called);
            }
        }
        Ok(names)
    }

    /// The groups that a filter finds.
    async fn groups(&self, server: &LdapServer, filter: &str) -> Result<Vec<Group>, NoAnswer> {
        let most = i32::try_from(GROUPS_MAX + 1).unwrap_or(i32::MAX);
        let found = self.search(server, &server.group_base, filter, most, "cn").await?;
        Ok(found.into_iter().map(Group::of).collect())
    }

    /// The one entry that a filter finds; none if there are several.
    async fn one(&self, server: &LdapServer, base: &str, filter: &str) -> Result<Option<String>, NoAnswer> {
        // As RFC 4511 calls no attribute at all.
        let mut found = self.search(server, base, filter, 2, "1.1").await?;
        let one = found.pop().map(|entry| entry.dn);
        Ok(one.filter(|_| found.is_empty()))
    }

    async fn any(&self, server: &LdapServer, base: &str, filter: &str) -> Result<bool, NoAnswer> {
        Ok(!self.search(server, base, filter, 1, "1.1").await?.is_empty())
    }

    /// Up to so many entries, each with one of its attributes. A connection that was lost meanwhile is made again, once.
    async fn search(
        &self,
        server: &LdapServer,
        base: &str,
        filter: &str,
        most: i32,
        attribute: &str,
    ) -> Result<Vec<SearchEntry>, NoAnswer> {
        for last in [false, true] {
            let mut ldap = self.searcher(server).await?;
            ldap.with_timeout(QUESTION).with_search_options(SearchOptions::new().sizelimit(most));
            match ldap.search(base, Scope::Subtree, filter, [attribute]).await {
                Ok(result) if matches!(result.1.rc, SUCCESS | SIZE_LIMIT_EXCEEDED | NO_SUCH_OBJECT) => {
                    let entries =
                        result.0.into_iter().filter(|entry| !entry.is_ref() && !entry.is_intermediate());
                    return Ok(entries.map(SearchEntry::construct).collect());
                }
                Ok(result) => return Err(NoAnswer::Search(result.1.rc)),
                Err(error) => {
                    *self.searcher.lock().await = None;
                    if last || matches!(error, LdapError::Timeout { .. }) {
                        return Err(error.into());
                    }
                }
            }
        }
        Err(NoAnswer::Late)
    }

    async fn searcher(&self, server: &LdapServer) -> Result<Ldap, NoAnswer> {
        let mut searcher = self.searcher.lock().await;
        if let Some(ldap) = searcher.as_mut()
            && !ldap.is_closed()
        {
            return Ok(ldap.clone());
        }
        let mut ldap = connect(server).await?;
        if let Some((name, file)) = &server.bind {
            let password = password(file)?;
            ldap.with_timeout(QUESTION);
            let result = ldap.simple_bind(name, &password).await?;
            if result.rc != SUCCESS {
                return Err(NoAnswer::Search(result.rc));
            }
        }
        Ok(searcher.insert(ldap).clone())
    }

    /// Whether the server takes this password for this entry.
    async fn binds(&self, server: &LdapServer, entry: &str, password: &str) -> Result<bool, NoAnswer> {
        loop {
            let kept = lock(&self.idle).pop();
            let is_new = kept.is_none();
            let mut ldap = match kept {
                Some(ldap) => ldap,
                None => connect(server).await?,
            };
            ldap.with_timeout(QUESTION);
            match ldap.simple_bind(entry, password).await {
                Ok(result) => {
                    let mut idle = lock(&self.idle);
                    if idle.len() < IDLE_MAX {
                        idle.push(ldap);
                    }
                    return Ok(result.rc == SUCCESS);
                }
                Err(error) if is_new || matches!(error, LdapError::Timeout { .. }) => {
                    return Err(error.into());
                }
                // It was lost while it was kept.
                Err(_) => {}
            }
        }
    }
}

async fn connect(server: &LdapServer) -> Result<Ldap, NoAnswer> {
    let mut settings = LdapConnSettings::new().set_conn_timeout(QUESTION).set_starttls(server.start_tls);
    if server.start_tls || server.url.starts_with("ldaps:") {
        let authorities = server.ca.as_deref().unwrap_or(Path::new(SYSTEM_AUTHORITIES));
        settings = settings.set_config(tls::client_config(Trust::roots(authorities)?)?);
    }
    let connected = tokio::time::timeout(QUESTION, LdapConnAsync::with_settings(settings, &server.url));
    let (connection, ldap) = connected.await.map_err(|_| NoAnswer::Late)??;
    // It ends with its last handle, or with the server.
    tokio::spawn(async move {
        if let Err(error) = connection.drive().await {
            tracing::debug!(%error, "a connection to a directory server ended");
        }
    });
    Ok(ldap)
}

fn password(file: &Path) -> Result<String, NoAnswer> {
    secret_in(file).ok_or_else(|| NoAnswer::Password(file.to_owned()))
}

/// The line in a file that nobody else may read.
pub(crate) fn secret_in(file: &Path) -> Option<String> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    let text = std::fs::read_to_string(file).ok().filter(|_| mode & 0o077 == 0)?;
    let text = text.trim_end_matches(['\r', '\n']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// Finds whoever has this name, to the letter: what a filter takes for more than a letter is written out (RFC 4515).
fn person(server: &LdapServer, user: &str) -> String {
    let name = format!("({}={})", server.attribute, ldap_escape(user));
    match &server.filter {
        Some(filter) => format!("(&{name}{filter})"),
        None => name,
    }
}

/// Finds those of the groups that a person is in.
fn group(names: &[String], entry: &str, user: &str) -> String {
    let named: String = names.iter().map(|name| format!("(cn={})", ldap_escape(name.as_str()))).collect();
    format!("(&(|{named})(|{}))", naming(entry, Some(user)))
}

/// The ways in which groups name their members: by entry, and people by name.
fn naming(entry: &str, user: Option<&str>) -> String {
    let entry = ldap_escape(entry);
    let user = user.map(|user| format!("(memberUid={})", ldap_escape(user))).unwrap_or_default();
    format!("(member={entry})(uniqueMember={entry}){user}")
}

/// A group, as it was found: its entry, and what it is called.
struct Group {
    entry: String,
    names: Vec<String>,
}

impl Group {
    fn of(found: SearchEntry) -> Self {
        let cn = found.attrs.into_iter().filter(|(attribute, _)| attribute.eq_ignore_ascii_case("cn"));
        Self { entry: found.dn, names: cn.flat_map(|(_, names)| names).map(|name| folded(&name)).collect() }
    }
}

/// As servers compare a `cn` (RFC 4517 section 4.2.11): in any case, however many spaces are in it.
fn folded(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    fn server() -> LdapServer {
        LdapServer {
            url: "ldap://127.0.0.1:1".into(),
            start_tls: false,
            ca: None,
            base: "dc=x".into(),
            attribute: "uid".into(),
            filter: Some("(objectClass=person)".into()),
            bind: None,
            groups: None,
            group_base: String::new(),
            groups_as: vec![],
            nested: false,
            lasts: riser_model::duration::Duration::seconds(3600),
        }
    }

    #[test]
    fn name_is_a_name_in_a_filter_whatever_it_is() {
        assert_eq!(person(&server(), "ann"), "(&(uid=ann)(objectClass=person))");
        let hostile = person(&server(), "*)(uid=*))(|(uid=*\0\\");
        assert_eq!(
            hostile,
            "(&(uid=\\2a\\29\\28uid=\\2a\\29\\29\\28|\\28uid=\\2a\\00\\5c)(objectClass=person))"
        );
        assert_eq!(
            group(&["a*".into(), "b".into()], "uid=x(,dc=x", "x)"),
            "(&(|(cn=a\\2a)(cn=b))(|(member=uid=x\\28,dc=x)(uniqueMember=uid=x\\28,dc=x)(memberUid=x\\29)))"
        );
    }

    #[tokio::test]
    async fn empty_password_is_nobody_s_and_a_server_that_is_not_there_says_nothing() {
        let (ldaps, server) = (Ldaps::default(), Arc::new(server()));
        let secret = |text: &str| Secret(text.to_owned().into());
        assert_eq!(ldaps.verify(&server, "ann", &secret(""), None).await, Verdict::Differs);
        assert_eq!(ldaps.verify(&server, "ann", &secret(&"x".repeat(257)), None).await, Verdict::Differs);
        assert_eq!(ldaps.verify(&server, "ann", &secret("right"), None).await, Verdict::Away);
        assert_eq!(ldaps.each().map(|(_, _, count)| count), [0, 1]);
    }

    /// An element of BER, as long as a short length says.
    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        [&[tag, value.len() as u8][..], &value].concat()
    }

    /// The answer to the first question of a connection.
    fn message(answer: &[u8]) -> Vec<u8> {
        element(0x30, &[&element(2, &[&[1]]), answer])
    }

    /// A server that gives everybody this answer to everything, and where it is.
    async fn answering(answer: Vec<u8>) -> Arc<LdapServer> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ldap://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut asked = [0; 1024];
                while socket.read(&mut asked).await.is_ok_and(|bytes| bytes > 0) {
                    // Who asked may be gone.
                    let _ = socket.write_all(&answer).await;
                }
            }
        });
        Arc::new(LdapServer { url, ..server() })
    }

    #[tokio::test]
    async fn an_answer_that_nobody_can_read_lets_nobody_in_and_ends_nothing_else() {
        let ldaps = Ldaps::default();
        let secret = Secret("right".to_owned().into());
        let done = message(&element(0x65, &[&element(10, &[&[0]]), &element(4, &[]), &element(4, &[])]));
        let entry = |dn: &[u8]| message(&element(0x64, &[&element(4, &[dn]), &element(0x30, &[])]));
        let unreadable = [
            // An entry that is none, or whose name is no text.
            [message(&element(0x64, &[])), done.clone()].concat(),
            [entry(&[0xff]), done.clone()].concat(),
            [message(&element(0x64, &[&element(4, &[b"uid=ann"])])), done].concat(),
            // An end without a result, or with one that is no number.
            message(&element(0x65, &[])),
            message(&element(0x65, &[&element(4, &[b"0"]), &element(4, &[]), &element(4, &[])])),
            message(&element(0x65, &[&element(10, &[&[0]]), &element(4, &[&[0xff]]), &element(4, &[])])),
            // A message without a number, and an empty one.
            element(0x30, &[&element(0x65, &[])]),
            element(0x30, &[]),
        ];
        let count = unreadable.len() as u64;
        for answer in unreadable {
            let server = answering(answer.clone()).await;
            assert_eq!(ldaps.verify(&server, "ann", &secret, None).await, Verdict::Away, "{answer:02x?}");
        }
        assert_eq!(ldaps.each().map(|(_, _, count)| count), [0, count]);
    }
}
