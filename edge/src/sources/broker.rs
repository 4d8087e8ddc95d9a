//! A broker that the site already has: dialled again and again, and each connection served like any other.
//!
//! Deciding is [`Subscriber`]'s; the connection's recipe is that of every door (`riser-net`), so a full inbox, a
//! slow disk or a stop of the process are felt by the broker as by a device: its socket is not read. Nothing here
//! keeps an edge from starting: what is wrong is said once, and tried again.

mod custody;
mod frame;
mod mark;
mod subscriber;

pub(crate) use mark::Mark;
pub(crate) use subscriber::{Setup, Subscriber};

use crate::config::BrokerUrl;
use riser_net::{
    Entrance, Peer, Stream,
    door::serve_door,
    tcp::{TcpStream, lookup_host},
    tls::{self, TlsFailed, Trust},
};
use riser_shell::{Clock, entropy};
use rustls_pki_types::ServerName;
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// Where systems keep the certificate authorities that they believe.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Each step of dialling takes at most this long.
const STEP_WITHIN: Duration = Duration::from_secs(5);
/// The first pause between two attempts; each is twice as long as the one before,
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// up to this. Of each a random part is waited for.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// However small the part.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// A connection that was up for so long was a good one: the pauses begin anew.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// Reasons that are remembered as said.
const REASONS_MAX: usize = 16;
/// A password is one line.
const PASSWORD_BYTES_MAX: u64 = 65_535;

/// Why there is no connection. What a person can do is in the words.
#[derive(Debug, thiserror::Error)]
enum DialFailed {
    #[error("find {url}: {source}")]
    Name { url: BrokerUrl, source: io::Error },
    #[error("connect to {url} at {address}: {source}")]
    Connect { url: BrokerUrl, address: SocketAddr, source: io::Error },
    #[error(
        "set up tls with {url}: {source}; want a certificate for this name that an authority of mqtt.ca vouches for"
    )]
    Tls { url: BrokerUrl, source: io::Error },
    #[error(transparent)]
    Trust(#[from] TlsFailed),
    #[error("{step} {url}: no answer within 5 s")]
    Late { step: &'static str, url: BrokerUrl },
    #[error("read password file {}: {source}; want one line of text, for the user that runs this program", path.display())]
    Password { path: PathBuf, source: io::Error },
    #[error("read password file {}: its mode is {mode:04o}; want 0600: `chmod 600` it", path.display())]
    Readable { path: PathBuf, mode: u32 },
}

/// One broker.
pub(crate) struct Broker {
    pub(crate) setup: Arc<Setup>,
    pub(crate) entrance: Arc<Entrance>,
    /// The name of its policy: `source[0]`.
    pub(crate) key: Arc<str>,
}

impl Broker {
    /// Reads from it until the entrance stops.
    pub(crate) async fn run(self) {
        let mut pauses = Pauses::default();
        let mut said = BTreeSet::new();
        loop {
            let began = Instant::now();
            let end = tokio::select! {
                biased;
                () = self.entrance.stopped() => return,
                dialled = self.dial() => match dialled {
                    Ok((stream, peer, password)) => self.serve(stream, peer, password, !said.is_empty()).await,
                    Err(failed) => failed.to_string(),
                },
            };
            if self.entrance.is_stopping() {
                return;
            }
            if self.setup.standing().was_up && began.elapsed() >= GOOD_AFTER {
                pauses = Pauses::default();
                said.clear();
            }
            self.say(end, &mut said);
            tokio::select! {
                () = self.entrance.stopped() => return,
                () = tokio::time::sleep(pauses.next(entropy::number())) => {}
            }
            self.setup.meter.reconnects.inc();
        }
    }

    /// Each reason is said once between two good connections.
    fn say(&self, reason: String, said: &mut BTreeSet<String>) {
        let source = &*self.setup.meter.name;
        if said.contains(&reason) {
            tracing::debug!(source, reason, "source not connected; trying on");
        } else {
            tracing::warn!(source, reason, "source not connected; trying on");
            if said.len() < REASONS_MAX {
                said.insert(reason);
            }
        }
    }

    /// Serves a connection to its end, and says why it ended. A stop ends it from inside.
    async fn serve(&self, stream: Stream, peer: Peer, password: Option<String>, is_again: bool) -> String {
        let visitor = match self.entrance.admit(peer) {
            Ok(visitor) => visitor,
            Err(full) => return full.to_string(),
        };
        let subscriber = Subscriber::new(Arc::clone(&self.setup), password, Clock.now());
        let mut served = std::pin::pin!(serve_door(stream, visitor, Box::new(subscriber)));
        tokio::select! {
            () = &mut served => return self.setup.standing().end,
            () = tokio::time::sleep(GOOD_AFTER) => {}
        }
        if is_again && self.setup.standing().was_up {
            tracing::info!(source = &*self.setup.meter.name, "source connected for good again");
        }
        served.await;
        self.setup.standing().end
    }

    async fn dial(&self) -> Result<(Stream, Peer, Option<String>), DialFailed> {
        let broker = &self.setup.broker;
        let password = broker.password_file.as_deref().map(read_password).transpose()?;
        // Read for each attempt: authorities change while an edge runs.
        let authorities = broker.ca.as_deref().unwrap_or(Path::new(SYSTEM_AUTHORITIES));
        let tls = broker.url.tls.then(|| tls::client(Trust::roots(authorities)?)).transpose()?;
        let (tcp, address) = connect(&broker.url).await?;
        let peer = Peer {
            address,
            listener: Arc::clone(&self.key),
            proxy: false,
            origin: None,
            tls: tls.is_some(),
            certificate: None,
        };
        let Some(tls) = tls else { return Ok((Stream::Plain(tcp), peer, password)) };
        let failed = |source| DialFailed::Tls { url: broker.url.clone(), source };
        let name =
            ServerName::try_from(broker.url.host.clone()).map_err(|error| failed(io::Error::other(error)))?;
        let secured =
            in_time("set up tls with", &broker.url, async { tls.connect(name, tcp).await.map_err(failed) });
        Ok((Stream::Client(Box::new(secured.await?)), peer, password))
    }
}

async fn in_time<T>(
    step: &'static str,
    url: &BrokerUrl,
    future: impl Future<Output = Result<T, DialFailed>>,
) -> Result<T, DialFailed> {
    timeout(STEP_WITHIN, future).await.map_err(|_| DialFailed::Late { step, url: url.clone() })?
}

/// Tries the name's addresses in turn, all of them in time.
async fn connect(url: &BrokerUrl) -> Result<(TcpStream, SocketAddr), DialFailed> {
    let named = |source| DialFailed::Name { url: url.clone(), source };
    let find = async { lookup_host(&url.host, url.port).await.map_err(named) };
    let addresses: Vec<SocketAddr> = in_time("find", url, find).await?.collect();
    in_time("connect to", url, async {
        let mut failed = named(io::ErrorKind::NotFound.into());
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(tcp) => {
                    // A socket that refuses the option is as good without.
                    let _ = tcp.set_nodelay(true);
                    return Ok((tcp, address));
                }
                Err(source) => failed = DialFailed::Connect { url: url.clone(), address, source },
            }
        }
        Err(failed)
    })
    .await
}

/// The one line of a password file that only its owner may read.
fn read_password(path: &Path) -> Result<String, DialFailed> {
    let failed = |source| DialFailed::Password { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(DialFailed::Readable { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(PASSWORD_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains(['\r', '\n']) {
        return Err(failed(io::ErrorKind::InvalidData.into()));
    }
    Ok(line.to_owned())
}

/// How long to wait between attempts.
#[derive(Default)]
struct Pauses(u32);

impl Pauses {
    fn next(&mut self, chance: u64) -> Duration {
        let whole = PAUSE_FIRST.saturating_mul(1 << self.0.min(16)).min(PAUSE_MAX);
        self.0 = self.0.saturating_add(1);
        // The upper half of the number is as random as all of it.
        (whole * (chance >> 32) as u32 / u32::MAX).max(PAUSE_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn pauses_grow_to_their_bound_and_are_never_none() {
        let mut pauses = Pauses::default();
        let longest: Vec<u128> = (0..8).map(|_| pauses.next(u64::MAX).as_millis()).collect();
        assert_eq!(longest, [200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        assert_eq!(Pauses(100).next(0), PAUSE_MIN);
    }

    #[test]
    fn a_password_is_one_line_that_only_its_owner_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let said = |text: &str, mode| {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            read_password(&file).map_err(|error| error.to_string())
        };
        assert_eq!(said("correct horse\n", 0o600).as_deref(), Ok("correct horse"));
        assert_eq!(said("päss ", 0o400).as_deref(), Ok("päss "));
        assert!(said("x", 0o640).unwrap_err().contains("0640"));
        for text in ["", "\n", "a\nb\n"] {
            assert!(said(text, 0o600).unwrap_err().contains("one line"), "{text:?}");
        }
        assert!(read_password(Path::new("/nowhere")).is_err());
    }
}
