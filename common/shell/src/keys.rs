//! Key files: an ed25519 key as one line of 43 characters (32 bytes in base64url), for its owner only.
//!
//! A file that others may read is refused: a key that was readable once is not a secret any more. A file is
//! never overwritten.

use crate::entropy;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{SigningKey, VerifyingKey};
use riser_gate::{Directory, Invalid, KeyText};
use riser_model::PublicKey;
use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// What an edge or hub proves itself with.
#[derive(Clone)]
pub struct Identity {
    signing: SigningKey,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("public", &self.public()).finish_non_exhaustive()
    }
}

impl Identity {
    /// The private key as the file holds it, for who has to show it.
    pub fn private_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.signing.to_bytes())
    }

    /// A new one, from the kernel's randomness.
    pub fn draw() -> Self {
        Self { signing: SigningKey::from_bytes(&entropy::bytes()) }
    }

    /// The private key, for who signs.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.signing.verifying_key().to_bytes())
    }

    /// The public key as configuration of the other side has it.
    pub fn public_text(&self) -> String {
        KeyText(self.public()).to_string()
    }
}

/// Whether these 32 bytes can be a public key at all.
pub fn is_public_key(key: &PublicKey) -> bool {
    VerifyingKey::from_bytes(&key.0).is_ok_and(|key| !key.is_weak())
}

/// The edges of a directory whose key is none.
pub fn weak(directory: &Directory) -> impl Iterator<Item = Invalid> {
    directory.edges().filter(|edge| !is_public_key(&edge.key)).map(|edge| {
        let (account, name) = (&edge.principal.account_name, &edge.principal.name);
        let want = "copy what `riser-edge key show` prints at that edge";
        Invalid::new(format!("account[{account}].client[{name}].key"), "not a point of the curve", want)
    })
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("open key file {}: {source}; make one with `key new {0}`, as the user that runs this program", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read it.
    #[error("open key file {}: its mode is {mode:04o} and must be 0600; make a new key, or `chmod 600` it if nobody can have read it", path.display())]
    Readable {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It does not hold a key.
    #[error("read key file {}: it is not one line of 43 base64url characters; restore it from a backup, or make a new one with `key new`", .0.display())]
    NotAKey(PathBuf),
    /// There is one already.
    #[error("make key file {}: there is one already, and a key is never overwritten; name another file", .0.display())]
    Exists(PathBuf),
}

/// Reads a key file.
pub fn load(path: &Path) -> Result<Identity, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Readable { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    // A key is 43 characters; a file that is much longer is something else.
    match file.take(1024).read_to_string(&mut text) {
        Ok(_) => parse(text.trim()).ok_or_else(|| KeyError::NotAKey(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(KeyError::NotAKey(path.to_owned())),
        Err(error) => Err(io(error)),
    }
}

fn parse(text: &str) -> Option<Identity> {
    let key: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    Some(Identity { signing: SigningKey::from_bytes(&key) })
}

/// Makes a key file that does not exist yet. It is on disk when this returns.
pub fn create(path: &Path) -> Result<Identity, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    let identity = Identity::draw();
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeyError::Exists(path.to_owned()));
        }
        Err(error) => return Err(io(error)),
    };
    let line = URL_SAFE_NO_PAD.encode(identity.signing.to_bytes()) + "\n";
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(identity)
}

/// Reads a key file, or makes it where there is none. The second is whether it was made.
pub fn load_or_create(path: &Path) -> Result<(Identity, bool), KeyError> {
    match create(path) {
        Ok(identity) => Ok((identity, true)),
        Err(KeyError::Exists(_)) => load(path).map(|identity| (identity, false)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_file_is_for_its_owner_only_and_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.key");
        let (made, new) = load_or_create(&path).unwrap();
        assert!(new);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (read, new) = load_or_create(&path).unwrap();
        assert!(!new);
        assert_eq!(read.public(), made.public());
        assert_eq!(made.public_text().parse(), Ok(KeyText(made.public())));
        assert!(is_public_key(&made.public()));
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.key");
        let made = create(&path).unwrap();
        assert!(matches!(create(&path), Err(KeyError::Exists(_))));
        assert_eq!(load(&path).unwrap().public(), made.public());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.key");
        create(&path).unwrap();
        for mode in [0o640, 0o604, 0o666] {
            set_mode(&path, mode);
            let error = load(&path).unwrap_err();
            assert!(error.to_string().contains("0600"), "{error}");
        }
        set_mode(&path, 0o400);
        load(&path).unwrap();
    }

    #[test]
    fn a_file_that_holds_no_key_is_refused_without_repeating_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.key");
        for content in [&b""[..], b"canary", &[0xff; 43], &[b'A'; 4096]] {
            fs::write(&path, content).unwrap();
            set_mode(&path, 0o600);
            let error = load(&path).unwrap_err();
            assert!(matches!(error, KeyError::NotAKey(_)), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
        assert!(matches!(load(&folder.path().join("none")), Err(KeyError::Io { .. })));
    }

    #[test]
    fn an_identity_never_prints_its_private_key() {
        let identity = Identity::draw();
        let printed = format!("{identity:?}");
        let private = URL_SAFE_NO_PAD.encode(identity.signing().to_bytes());
        assert!(!printed.contains(&private) && !printed.contains("signing"), "{printed}");
    }

    #[test]
    fn bytes_off_the_curve_are_no_public_key() {
        assert!(!is_public_key(&PublicKey([0; 32])), "a weak point");
        let off = (0..=255).filter(|n| !is_public_key(&PublicKey([*n; 32]))).count();
        assert!(off > 50, "about half of all texts are no points");
    }
}
