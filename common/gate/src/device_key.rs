//! A device's public key, as OpenSSH writes it, and what such a key has signed.
//!
//! A signature comes as the 64 bytes of ed25519 over the message, or as `ssh-keygen -Y sign -n riser-gate` makes it
//! (PROTOCOL.sshsig of OpenSSH), whose signed bytes are made of the message's hash.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256, Sha512};
use std::{fmt, str::FromStr};

/// What `ssh-keygen -Y sign` is told the signature is for.
pub const NAMESPACE: &str = "riser-gate";

const KEY_TYPE: &[u8] = b"ssh-ed25519";
const MAGIC: &[u8] = b"SSHSIG";

/// An ed25519 public key of a user or device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DeviceKey(pub [u8; 32]);

/// A text that is not such a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotADeviceKey;

impl fmt::Display for NotADeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not an ed25519 public key; want a line \"ssh-ed25519 AAAA...\", as in a file id_ed25519.pub",
        )
    }
}

impl DeviceKey {
    /// A point of the curve that is nobody's key: what it signs lets nobody in.
    pub(crate) const STAND_IN: Self = {
        let mut point = [0x66; 32];
        point[0] = 0x58;
        Self(point)
    };
}

impl FromStr for DeviceKey {
    type Err = NotADeviceKey;

    fn from_str(text: &str) -> Result<Self, NotADeviceKey> {
        let key = match text.trim().split_once(' ') {
            Some(("ssh-ed25519", rest)) => {
                let blob = rest.split(' ').next().and_then(|blob| STANDARD.decode(blob).ok());
                let blob = blob.ok_or(NotADeviceKey)?;
                let mut strings = Strings(&blob);
                let (kind, key) = (strings.next(), strings.next());
                (kind == Some(KEY_TYPE) && strings.0.is_empty()).then_some(key).flatten().map(<[u8]>::to_vec)
            }
            Some(_) => None,
            None => URL_SAFE_NO_PAD.decode(text.trim()).ok(),
        };
        let key = key.and_then(|key| <[u8; 32]>::try_from(key).ok());
        key.map(Self).ok_or(NotADeviceKey)
    }
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blob = Vec::new();
        string(&mut blob, KEY_TYPE);
        string(&mut blob, &self.0);
        write!(f, "ssh-ed25519 {}", STANDARD.encode(blob))
    }
}

impl Serialize for DeviceKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What was signed, and the signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Signed {
    pub(crate) message: Bytes,
    pub(crate) signature: Bytes,
}

impl Signed {
    /// What a peer answered to a challenge with this message. Which key it names is not believed: the signature says.
    pub(crate) fn read(answer: Vec<u8>, message: String) -> Option<Self> {
        let Some(rest) = answer.strip_prefix(MAGIC) else {
            return (answer.len() == 64).then(|| Self { message: message.into(), signature: answer.into() });
        };
        let mut strings = Strings(rest.strip_prefix(&1_u32.to_be_bytes())?);
        let (_key, namespace, _reserved) = (strings.next()?, strings.next()?, strings.next()?);
        let (hash, signature) = (strings.next()?, strings.next()?);
        let digest = match hash {
            b"sha512" => Sha512::digest(&message).to_vec(),
            b"sha256" => Sha256::digest(&message).to_vec(),
            _ => return None,
        };
        let mut parts = Strings(signature);
        let (kind, signature) = (parts.next()?, parts.next()?);
        if namespace != NAMESPACE.as_bytes()
            || kind != KEY_TYPE
            || signature.len() != 64
            || !strings.0.is_empty()
        {
            return None;
        }
        let mut signed = MAGIC.to_vec();
        for part in [namespace, b"", hash, &digest] {
            string(&mut signed, part);
        }
        Some(Self { message: signed.into(), signature: Bytes::copy_from_slice(signature) })
    }
}

/// The strings of an SSH structure (RFC 4251 section 5), one after another.
struct Strings<'a>(&'a [u8]);

impl<'a> Strings<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (string, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        self.0 = rest;
        Some(string)
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("what is written here is short");
    out.extend(length.to_be_bytes());
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `ssh-keygen -t ed25519 -C device`.
    const LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f device";

    #[test]
    fn public_key_reads_as_openssh_writes_it() {
        let key: DeviceKey = LINE.parse().unwrap();
        assert_eq!(key.0, std::array::from_fn(|n| n as u8));
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(URL_SAFE_NO_PAD.encode(key.0).parse(), Ok(key));
        for text in ["", "ssh-rsa AAAA", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !", "abc"] {
            assert_eq!(text.parse::<DeviceKey>(), Err(NotADeviceKey), "{text}");
        }
        for cut in (12..LINE.len() - 8).step_by(4) {
            assert!(LINE[..cut].parse::<DeviceKey>().is_err(), "{cut}");
        }
    }

    #[test]
    fn nothing_but_a_whole_signature_for_here_is_read() {
        let mut blob = MAGIC.to_vec();
        blob.extend(1_u32.to_be_bytes());
        let mut signature = Vec::new();
        string(&mut signature, KEY_TYPE);
        string(&mut signature, &[7; 64]);
        for part in [b"key".as_slice(), NAMESPACE.as_bytes(), b"", b"sha256", &signature] {
            string(&mut blob, part);
        }
        let signed = Signed::read(blob.clone(), "message".into()).unwrap();
        assert_eq!(signed.signature, [7; 64].as_slice());
        assert!(signed.message.starts_with(MAGIC) && signed.message.ends_with(&Sha256::digest("message")));
        for cut in 0..blob.len() {
            assert_eq!(Signed::read(blob[..cut].to_vec(), "message".into()), None, "{cut}");
        }
        let elsewhere = String::from_utf8_lossy(&blob).find(NAMESPACE).unwrap();
        blob[elsewhere] ^= 1;
        assert_eq!(Signed::read(blob, "message".into()), None, "signed for something else");
        assert!(Signed::read(vec![0; 64], "message".into()).is_some());
        assert!(Signed::read(vec![0; 63], "message".into()).is_none());
    }
}
