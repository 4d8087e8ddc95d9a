//! The secrets that cookies are signed with, in the file `cookie.key` of the data folder, and the cookies that were ended.
//!
//! A secret signs for [`SIGNS`] and verifies until the last cookie that it signed has expired; then it is forgotten, on
//! disk too. The file is written as a whole and renamed into place. One that is bad or that others may read is moved aside
//! and made anew: people sign in again. What was ended by signing out is kept in memory until it would have expired
//! ([`ended`]), so a restart forgets it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ended::Ended;
use ring::hmac;
use riser_gate::{Statement, Verdict};
use riser_model::Wall;
use riser_shell::entropy;
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

mod ended;

/// How long one secret signs.
pub const SIGNS: Duration = Duration::from_secs(7 * 24 * 3600);
/// The first line of the file.
const HEADER: &str = "riser cookie secrets 1";

/// See the module.
pub struct Cookies {
    path: PathBuf,
    lasts: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Newest last.
    secrets: Vec<Secret>,
    ended: Ended,
}

#[derive(Clone, PartialEq, Eq)]
struct Secret {
    made: Wall,
    bytes: [u8; 32],
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").field("lasts", &self.lasts).finish_non_exhaustive()
    }
}

impl Cookies {
    /// Of the file at this path, which is made when the first is signed; a cookie lasts so long.
    pub fn open(path: &Path, lasts: Duration) -> io::Result<Self> {
        let secrets = match read(path) {
            Ok(secrets) => secrets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied) =>
            {
                let aside = path.with_extension("bad");
                tracing::warn!(%error, file = %path.display(), aside = %aside.display(),
                    "the secrets of cookies cannot be used and were moved aside; everybody signs in again");
                fs::rename(path, aside)?;
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let inner = Mutex::new(Inner { secrets, ended: Ended::default() });
        Ok(Self { path: path.to_owned(), lasts, inner })
    }

    /// How long a cookie lasts.
    pub fn lasts(&self) -> Duration {
        self.lasts
    }

    /// Signs a statement. May write the file.
    pub fn sign(&self, message: &[u8], now: Wall) -> io::Result<String> {
        let mut inner = self.inner();
        let age = |secret: &Secret| now.0.saturating_sub(secret.made.0);
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        if inner.secrets.last().is_none_or(|newest| age(newest) >= ms(SIGNS)) {
            let mut secrets = inner.secrets.clone();
            secrets.retain(|secret| age(secret) < ms(SIGNS).saturating_add(ms(self.lasts)));
            secrets.push(Secret { made: now, bytes: entropy::bytes() });
            write(&self.path, &secrets)?;
            inner.secrets = secrets;
        }
        let newest = inner.secrets.last().expect("there is one that is young enough");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &newest.bytes);
        Ok(URL_SAFE_NO_PAD.encode(hmac::sign(&key, message)))
    }

    /// Whether one of the secrets has signed it, and it was not ended.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Verdict {
        let inner = self.inner();
        let signed = inner.secrets.iter().any(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.bytes);
            hmac::verify(&key, message, signature).is_ok()
        });
        let holds = |statement: Statement| !inner.ended.has(&statement);
        if signed && Statement::of_message(message).is_some_and(holds) {
            Verdict::Matches
        } else {
            Verdict::Differs
        }
    }

    /// Whether one that states this was ended.
    pub fn is_ended(&self, statement: &Statement) -> bool {
        self.inner().ended.has(statement)
    }

    /// Ends one that verified, and that nobody may show again until it would have expired anyway.
    pub fn end(&self, statement: &Statement, now: Wall) {
        self.inner().ended.add(statement, now);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Vec<Secret>> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others may read it; its mode must be 0600",
        ));
    }
    parse(&fs::read_to_string(path)?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it does not hold secrets of cookies"))
}

fn parse(text: &str) -> Option<Vec<Secret>> {
    let mut lines = text.lines();
    if lines.next()? != HEADER {
        return None;
    }
    let secret = |line: &str| {
        let (made, bytes) = line.split_once(' ')?;
        let bytes = URL_SAFE_NO_PAD.decode(bytes).ok()?.try_into().ok()?;
        Some(Secret { made: Wall(made.parse().ok()?), bytes })
    };
    lines.map(secret).collect()
}

fn write(path: &Path, secrets: &[Secret]) -> io::Result<()> {
    let line = |secret: &Secret| format!("{} {}\n", secret.made.0, URL_SAFE_NO_PAD.encode(secret.bytes));
    let text = format!("{HEADER}\n{}", secrets.iter().map(line).collect::<String>());
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn after(time: Duration) -> Wall {
        Wall(1_700_000_000_000 + i64::try_from(time.as_millis()).unwrap())
    }

    fn bytes(signature: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(signature).unwrap()
    }

    fn statement(n: u8) -> Statement {
        let client = riser_model::ClientId(uuid::Uuid::nil());
        let passed = [riser_gate::acceptor::Kind::Password].into();
        Statement {
            client,
            passed,
            until: after(HOUR),
            proven_until: None,
            memberships: Default::default(),
            nonce: [n; 16],
        }
    }

    #[test]
    fn a_secret_signs_for_a_week_and_verifies_as_long_as_its_cookies_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cookie.key");
        let cookies = Cookies::open(&path, HOUR).unwrap();
        let [m, n] = [1, 2].map(|n| Statement::message(&statement(n).text(), &[7; 32]));
        let first = bytes(&cookies.sign(&m, after(Duration::ZERO)).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bytes(&cookies.sign(&m, after(SIGNS - HOUR)).unwrap()), first);
        let second = bytes(&cookies.sign(&m, after(SIGNS)).unwrap());
        assert_ne!(second, first, "another secret signs");
        let again = Cookies::open(&path, HOUR).unwrap();
        for signature in [&first, &second] {
            assert_eq!(again.verify(&m, signature), Verdict::Matches, "over a restart too");
            assert_eq!(again.verify(&n, signature), Verdict::Differs);
        }
        again.sign(&m, after(2 * SIGNS)).unwrap();
        assert_eq!(again.verify(&m, &first), Verdict::Differs, "it is forgotten");
        assert_eq!(again.verify(&m, &second), Verdict::Matches);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3, "on disk too");
    }

    #[test]
    fn a_cookie_that_was_ended_is_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let cookies = Cookies::open(&folder.path().join("cookie.key"), HOUR).unwrap();
        let (one, other) = (statement(1), statement(2));
        let message = |of: &Statement| Statement::message(&of.text(), &[7; 32]);
        let sign = |of: &Statement| bytes(&cookies.sign(&message(of), after(Duration::ZERO)).unwrap());
        let (signed, also) = (sign(&one), sign(&other));
        assert_eq!(cookies.verify(&message(&one), &signed), Verdict::Matches);
        cookies.end(&one, after(Duration::ZERO));
        assert_eq!(cookies.verify(&message(&one), &signed), Verdict::Differs);
        assert_eq!(cookies.verify(&message(&other), &also), Verdict::Matches);
    }

    #[test]
    fn secrets_that_are_bad_or_were_readable_are_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cookie.key");
        for (content, mode) in
            [("nonsense", 0o600), (HEADER, 0o640), ("riser cookie secrets 1\n1 AA\n", 0o600)]
        {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let cookies = Cookies::open(&path, HOUR).unwrap();
            assert!(!path.exists() && path.with_extension("bad").exists());
            cookies.sign(b"m", after(HOUR)).unwrap();
            assert_eq!(read(&path).unwrap().len(), 1);
            assert!(!format!("{cookies:?}").contains("bytes"));
        }
    }

    #[test]
    fn the_file_of_version_1_is_read() {
        let text = "riser cookie secrets 1\n1700000000000 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n";
        let secrets = parse(text).unwrap();
        let bytes = std::array::from_fn(|n| u8::try_from(n).unwrap());
        assert!(secrets == [Secret { made: Wall(1_700_000_000_000), bytes }]);
    }
}
