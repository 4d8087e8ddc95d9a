//! The secrets that cookies are signed with, in the file `cookie.key` of the data folder, and the cookies that were ended.
//!
//! A secret signs for [`SIGNS`] and verifies until the last cookie that it signed has expired; then it is forgotten, on
//! disk too. The file is written as a whole and renamed into place. One that is bad or that others may read is moved aside
//! and made anew: people sign in again. What was ended by signing out is kept until it would have expired ([`ended`]), in
//! the file `cookie.ended` beside it as well, which is on disk before anybody is told. Where that file cannot be read, what it
//! said of is not known, so the secrets go with it.

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
/// The first line of the file of those that were ended.
const ENDED_HEADER: &str = "riser cookies ended 1";
/// Beyond so many bytes that file is written anew, without what has expired.
const ENDED_BYTES_MAX: u64 = 1 << 20;

/// See the module.
pub struct Cookies {
    path: PathBuf,
    lasts: Duration,
    inner: Mutex<Inner>,
    /// Of those that were ended. Nobody who only looks waits for it.
    file: Mutex<EndedFile>,
}

#[derive(Default)]
struct Inner {
    /// Newest last.
    secrets: Vec<Secret>,
    ended: Ended,
}

/// Open once it was written as a whole, with how long it is and how long it may become.
#[derive(Default)]
struct EndedFile(Option<(File, u64, u64)>);

impl Inner {
    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.secrets.iter().any(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.bytes);
            hmac::verify(&key, message, signature).is_ok()
        })
    }
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
    pub fn open(path: &Path, lasts: Duration, now: Wall) -> io::Result<Self> {
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
        let ended_path = path.with_extension("ended");
        let (secrets, ended) = match read_ended(&ended_path, now) {
            Ok(ended) => (secrets, ended),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let aside = path.with_extension("ended.bad");
                tracing::warn!(%error, file = %ended_path.display(), aside = %aside.display(),
                    "which cookies were ended cannot be read; everybody signs in again");
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
                fs::rename(&ended_path, aside)?;
                (Vec::new(), Ended::default())
            }
            Err(error) => return Err(error),
        };
        // What was read is written as a whole before anything is appended: its end may be torn.
        let inner = Mutex::new(Inner { secrets, ended });
        Ok(Self { path: path.to_owned(), lasts, inner, file: Mutex::default() })
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
        let holds = |statement: Statement| !inner.ended.has(&statement);
        if inner.has_signed(message, signature) && Statement::of_message(message).is_some_and(holds) {
            Verdict::Matches
        } else {
            Verdict::Differs
        }
    }

    /// Whether one of the secrets has signed it, whether or not it was ended.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.inner().has_signed(message, signature)
    }

    /// Whether one that states this was ended.
    pub fn is_ended(&self, statement: &Statement) -> bool {
        self.inner().ended.has(statement)
    }

    /// Ends one that verified, and that nobody may show again until it would have expired anyway. Writes to the disk; where
    /// that fails it is ended until a restart.
    pub fn end(&self, statement: &Statement, now: Wall) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let text = {
            let mut inner = self.inner();
            if inner.ended.has(statement) && file.0.is_some() {
                return Ok(());
            }
            inner.ended.add(statement, now);
            let is_long = file.0.as_ref().is_none_or(|(_, bytes, most)| bytes >= most);
            is_long.then(|| format!("{ENDED_HEADER}\n{}", inner.ended.text()))
        };
        // What it has at its end after an error is not known: then it is written as a whole the next time.
        let written = match (text, file.0.take()) {
            (None, Some((mut open, bytes, most))) => {
                let line = Ended::line(statement);
                let written = open.write_all(line.as_bytes()).and_then(|()| open.sync_data());
                written.map(|()| (open, bytes + line.len() as u64, most))
            }
            (text, _) => {
                let (path, text) = (self.path.with_extension("ended"), text.unwrap_or_default());
                let bytes = text.len() as u64;
                let open = || OpenOptions::new().append(true).open(&path);
                replace(&path, &text)
                    .and_then(|()| open())
                    .map(|open| (open, bytes, ENDED_BYTES_MAX.max(2 * bytes)))
            }
        };
        written.map(|open| file.0 = Some(open))
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

fn read_ended(path: &Path, now: Wall) -> io::Result<Ended> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ended::default()),
        text => text?,
    };
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "it does not hold what was ended");
    // What has no end was being written when the power failed, and nobody was told.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut lines = whole.lines();
    if lines.next() != Some(ENDED_HEADER) {
        return Err(bad());
    }
    let mut ended = Ended::default();
    lines.try_for_each(|line| ended.read(line, now)).ok_or_else(bad)?;
    Ok(ended)
}

fn write(path: &Path, secrets: &[Secret]) -> io::Result<()> {
    let line = |secret: &Secret| format!("{} {}\n", secret.made.0, URL_SAFE_NO_PAD.encode(secret.bytes));
    replace(path, &format!("{HEADER}\n{}", secrets.iter().map(line).collect::<String>()))
}

/// Writes a file as a whole, on disk when this returns: what was there before is there or what is there now.
fn replace(path: &Path, text: &str) -> io::Result<()> {
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
            is_token: false,
            nonce: [n; 16],
        }
    }

    #[test]
    fn a_secret_signs_for_a_week_and_verifies_as_long_as_its_cookies_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cookie.key");
        let cookies = Cookies::open(&path, HOUR, after(Duration::ZERO)).unwrap();
        let [m, n] = [1, 2].map(|n| Statement::message(&statement(n).text(), &[7; 32]));
        let first = bytes(&cookies.sign(&m, after(Duration::ZERO)).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bytes(&cookies.sign(&m, after(SIGNS - HOUR)).unwrap()), first);
        let second = bytes(&cookies.sign(&m, after(SIGNS)).unwrap());
        assert_ne!(second, first, "another secret signs");
        let again = Cookies::open(&path, HOUR, after(Duration::ZERO)).unwrap();
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
        let cookies = Cookies::open(&folder.path().join("cookie.key"), HOUR, after(Duration::ZERO)).unwrap();
        let (one, other) = (statement(1), statement(2));
        let message = |of: &Statement| Statement::message(&of.text(), &[7; 32]);
        let sign = |of: &Statement| bytes(&cookies.sign(&message(of), after(Duration::ZERO)).unwrap());
        let (signed, also) = (sign(&one), sign(&other));
        assert_eq!(cookies.verify(&message(&one), &signed), Verdict::Matches);
        cookies.end(&one, after(Duration::ZERO)).unwrap();
        assert_eq!(cookies.verify(&message(&one), &signed), Verdict::Differs);
        assert_eq!(cookies.verify(&message(&other), &also), Verdict::Matches);
        // Over a restart too, and over one in the middle of a line.
        let path = folder.path().join("cookie.key");
        let file = folder.path().join("cookie.ended");
        let [third, fourth] = [3, 4].map(statement);
        for torn in [false, true] {
            let again = Cookies::open(&path, HOUR, after(Duration::ZERO)).unwrap();
            assert_eq!(again.verify(&message(&one), &signed), Verdict::Differs, "{torn}");
            assert_eq!(again.verify(&message(&other), &also), Verdict::Matches, "{torn}");
            for one in [&third, &fourth, &third] {
                again.end(one, after(Duration::ZERO)).unwrap();
            }
            let mut text = fs::read_to_string(&file).unwrap();
            assert_eq!(text.lines().count(), 4, "{text}");
            text.push_str("one 00");
            fs::write(&file, text).unwrap();
        }
        // What cannot be read may have said anything: all sign in again.
        fs::write(&file, "nonsense\n").unwrap();
        let again = Cookies::open(&path, HOUR, after(Duration::ZERO)).unwrap();
        assert_eq!(again.verify(&message(&other), &also), Verdict::Differs);
        assert!(!file.exists() && folder.path().join("cookie.ended.bad").exists());
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
            let cookies = Cookies::open(&path, HOUR, after(Duration::ZERO)).unwrap();
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
