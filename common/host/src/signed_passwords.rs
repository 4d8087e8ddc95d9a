//! The signed passwords that let somebody in lately, in the file `passwords.signed` of the data folder: none is good a second
//! time, after a restart neither.
//!
//! Each is a line, on disk before it lets anybody in: until when it would be good again (milliseconds since 1970), and a
//! digest of what was signed. What has expired goes when the file is opened, and when it has grown. Where the file cannot be read,
//! nobody knows what came before: then nobody comes in by a signed password until all that may have come have expired.

use riser_gate::{Verdict, acceptor::signed::REMEMBERED};
use riser_model::{Now, Time, Wall};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The file.
const NAME: &str = "passwords.signed";
/// Beyond so many bytes it is written anew, or beyond twice what was left the last time.
const BYTES_MAX: u64 = 1 << 20;

/// See the module.
#[derive(Debug)]
pub struct SignedPasswords {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    until: BTreeMap<[u8; 32], Wall>,
    /// Nobody comes in until then.
    closed: Option<Time>,
    /// Open once it was written as a whole.
    file: Option<Written>,
}

#[derive(Debug)]
struct Written {
    file: File,
    /// How long it is.
    bytes: u64,
    /// How long it may become before it is written anew: never less than twice what that left the last time, so that many
    /// who sign in do not have all that is there written by each of them.
    bytes_max: u64,
}

impl SignedPasswords {
    /// Of a data folder.
    pub fn open(folder: &Path, now: Now) -> Self {
        let path = folder.join(NAME);
        let inner = match fs::read(&path).map(|bytes| read(&bytes)) {
            Ok(Some(until)) => Inner { until, ..Inner::default() },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Inner::default(),
            Ok(None) | Err(_) => {
                tracing::warn!(file = %path.display(), seconds = REMEMBERED.as_secs(),
                    "which signed passwords came lately cannot be read; until those have expired nobody comes in by one");
                Inner { closed: Some(now.time.plus(REMEMBERED)), ..Inner::default() }
            }
        };
        Self { path, inner: Mutex::new(inner) }
    }

    /// Whether this one comes for the first time. Then it is on disk.
    pub fn note(&self, digest: [u8; 32], until: Wall, now: Now) -> Verdict {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.closed.is_some_and(|closed| now.time < closed) {
            return Verdict::Busy;
        }
        if inner.until.get(&digest).is_some_and(|until| *until > now.wall) {
            return Verdict::Differs;
        }
        inner.until.insert(digest, until);
        match self.write(&mut inner, &digest, until, now.wall) {
            Ok(()) => Verdict::Matches,
            Err(error) => {
                // What is there of it is not known: it is written as a whole the next time.
                inner.file = None;
                tracing::error!(%error, file = %self.path.display(), "nobody comes in by a signed password: it cannot be kept");
                Verdict::Busy
            }
        }
    }

    fn write(&self, inner: &mut Inner, digest: &[u8; 32], until: Wall, now: Wall) -> io::Result<()> {
        if let Some(written) = inner.file.as_mut().filter(|written| written.bytes < written.bytes_max) {
            let line = line(digest, until);
            written.file.write_all(line.as_bytes())?;
            written.bytes += line.len() as u64;
            return written.file.sync_data();
        }
        inner.until.retain(|_, until| *until > now);
        let text: String = inner.until.iter().map(|(digest, until)| line(digest, *until)).collect();
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        let file = OpenOptions::new().append(true).open(&self.path)?;
        let bytes = text.len() as u64;
        inner.file = Some(Written { file, bytes, bytes_max: BYTES_MAX.max(bytes.saturating_mul(2)) });
        Ok(())
    }
}

fn line(digest: &[u8; 32], until: Wall) -> String {
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {hex}\n", until.0)
}

/// What the file says. A last line without its end let nobody in.
fn read(bytes: &[u8]) -> Option<BTreeMap<[u8; 32], Wall>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(one).collect()
}

fn one(line: &str) -> Option<([u8; 32], Wall)> {
    let (until, hex) = line.split_once(' ')?;
    let mut digest = [0; 32];
    if hex.len() != 2 * digest.len() || !hex.is_ascii() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some((digest, Wall(until.parse().ok()?)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Now {
        let ms = i64::try_from(seconds * 1000).unwrap();
        Now { time: Time::default().plus(Duration::from_secs(seconds)), wall: Wall(ms) }
    }

    fn note(signed: &SignedPasswords, n: u8, seconds: u64) -> Verdict {
        signed.note([n; 32], at(seconds + REMEMBERED.as_secs()).wall, at(seconds))
    }

    #[test]
    fn what_let_somebody_in_lets_nobody_in_again_over_restarts_until_it_has_expired() {
        let folder = tempfile::tempdir().unwrap();
        let open = |seconds| SignedPasswords::open(folder.path(), at(seconds));
        let first = open(0);
        assert_eq!(
            [1, 2, 1].map(|n| note(&first, n, 0)),
            [Verdict::Matches, Verdict::Matches, Verdict::Differs]
        );
        let second = open(60);
        assert_eq!(
            [1, 2, 3].map(|n| note(&second, n, 60)),
            [Verdict::Differs, Verdict::Differs, Verdict::Matches]
        );
        let third = open(130);
        assert_eq!(
            [3, 1].map(|n| note(&third, n, 130)),
            [Verdict::Differs, Verdict::Matches],
            "one has expired"
        );
        let text = fs::read_to_string(folder.path().join(NAME)).unwrap();
        assert_eq!(text.lines().count(), 2, "what has expired is gone: {text}");
    }

    #[test]
    fn more_than_the_file_usually_has_are_not_written_anew_by_each_who_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let digest = |n: u32| {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&n.to_be_bytes());
            digest
        };
        let until = at(REMEMBERED.as_secs()).wall;
        let many: String = (0..20_000).map(|n| line(&digest(n), until)).collect();
        assert!(many.len() as u64 > BYTES_MAX);
        fs::write(&path, many).unwrap();
        let signed = SignedPasswords::open(folder.path(), at(0));
        let file = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
        assert_eq!(signed.note(digest(20_000), until, at(0)), Verdict::Matches);
        // A hard link keeps the number of the file from being given to another one.
        fs::hard_link(&path, folder.path().join("first")).unwrap();
        let first = file();
        assert_eq!(signed.note(digest(20_001), until, at(0)), Verdict::Matches);
        assert_eq!(file(), first, "a line was added");
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 20_002);
    }

    #[test]
    fn torn_line_let_nobody_in_and_a_damaged_file_closes_the_door_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        assert_eq!(note(&SignedPasswords::open(folder.path(), at(0)), 1, 0), Verdict::Matches);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{}", &whole[..40])).unwrap();
        let torn = SignedPasswords::open(folder.path(), at(1));
        assert_eq!([1, 2].map(|n| note(&torn, n, 1)), [Verdict::Differs, Verdict::Matches]);
        fs::write(&path, format!("{}{whole}", &whole[..40])).unwrap();
        let damaged = SignedPasswords::open(folder.path(), at(2));
        let closed = 2 + REMEMBERED.as_secs();
        assert_eq!([2, closed - 1].map(|seconds| note(&damaged, 9, seconds)), [Verdict::Busy; 2]);
        assert_eq!(note(&damaged, 9, closed), Verdict::Matches);
    }
}
