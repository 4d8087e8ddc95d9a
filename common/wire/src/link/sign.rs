//! What the signatures of [`Hello`] and [`Welcome`] are over, and the bytes they are made of.
//!
//! Both are over everything that makes this connection this connection: both nonces, the hub's key and the
//! channel binding (the TLS exporter's bytes; empty without TLS). So neither can be replayed elsewhere or
//! later. Making and checking signatures is the link's business.

use super::{Hello, Welcome};
use riser_model::{HubIdentity, PublicKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// 32 random bytes, drawn once per connection and side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub [u8; 32]);

/// An ed25519 signature, in two halves because serde knows arrays up to 32.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature([u8; 32], [u8; 32]);

impl Signature {
    /// In the place of one that is not asked for.
    pub const NONE: Self = Self([0; 32], [0; 32]);

    /// From ed25519's 64 bytes.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let mut halves = Self([0; 32], [0; 32]);
        let (r, s) = bytes.split_at(32);
        halves.0.copy_from_slice(r);
        halves.1.copy_from_slice(s);
        halves
    }

    /// As ed25519's 64 bytes.
    pub fn to_bytes(self) -> [u8; 64] {
        let mut bytes = [0; 64];
        let (r, s) = bytes.split_at_mut(32);
        r.copy_from_slice(&self.0);
        s.copy_from_slice(&self.1);
        bytes
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}

/// What the edge signs.
pub fn hello_bytes(hello: &Hello, hub: HubIdentity, hub_nonce: Nonce, binding: &[u8]) -> Vec<u8> {
    let edge_nonce = hello.nonce;
    transcript(b"riser.link.v1 hello", hub.key, hub_nonce, edge_nonce, binding, &(hello, hub))
}

/// What the hub signs.
pub fn welcome_bytes(welcome: &Welcome, hello: &Hello, hub_nonce: Nonce, binding: &[u8]) -> Vec<u8> {
    let parts = (welcome, hello.edge, hello.log);
    transcript(b"riser.link.v1 welcome", welcome.hub.key, hub_nonce, hello.nonce, binding, &parts)
}

/// Every part has a fixed size or its length in front, so that no two transcripts share their bytes.
fn transcript(
    domain: &[u8],
    hub: PublicKey,
    hub_nonce: Nonce,
    edge_nonce: Nonce,
    binding: &[u8],
    frame: &impl Serialize,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    for part in [domain, &hub.0, &hub_nonce.0, &edge_nonce.0, binding] {
        out.extend_from_slice(&(part.len() as u64).to_le_bytes());
        out.extend_from_slice(part);
    }
    postcard::to_extend(frame, out).expect("serializing plain values into memory cannot fail")
}
