//! An issuer of tokens, with a key of each kind that hubs take: what it says of its keys, and tokens that it signs.

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use serde_json::json;
use std::{
    fmt::Write as _,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

/// The names of its algorithms (RFC 7518, RFC 8037).
pub const ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "RS256"];

const NAME: &str = "https://issuer.bench";
const AUDIENCE: &str = "bench";

/// See the module.
pub struct Issuer {
    random: SystemRandom,
    ed: Ed25519KeyPair,
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

impl Issuer {
    /// With new keys. That for RS256 has 2048 bits and is made by openssl: ring makes none.
    pub fn new() -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let made = |_| anyhow::anyhow!("make a key");
        let ed = Ed25519KeyPair::generate_pkcs8(&random).map_err(made)?;
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(made)?;
        let mut openssl = Command::new("openssl");
        openssl.args([
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-outform",
            "DER",
        ]);
        let rsa = openssl
            .output()
            .context("run openssl, which makes the key for RS256 (apt-get install openssl)")?;
        ensure!(rsa.status.success(), "openssl made no key: {}", String::from_utf8_lossy(&rsa.stderr));
        let read = |error| anyhow::anyhow!("read a key that was just made: {error}");
        Ok(Self {
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).map_err(read)?,
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random)
                .map_err(read)?,
            // Older ones write PKCS #1 in DER.
            rsa: RsaKeyPair::from_pkcs8(&rsa.stdout)
                .or_else(|_| RsaKeyPair::from_der(&rsa.stdout))
                .map_err(read)?,
            random,
        })
    }

    /// As `[[account.issuer]]`, for the account before it.
    pub fn declared(&self) -> String {
        let mut text = format!("[[account.issuer]]\nissuer = \"{NAME}\"\naudience = \"{AUDIENCE}\"\n");
        let mut key = |algorithm: &str, members: &[(&str, &[u8])]| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "[[account.issuer.key]]\nkid = \"{algorithm}\"\nalg = \"{algorithm}\"");
            for (name, bytes) in members {
                let _ = writeln!(text, "{name} = \"{}\"", URL_SAFE_NO_PAD.encode(bytes));
            }
        };
        key("EdDSA", &[("x", self.ed.public_key().as_ref())]);
        // One byte that says that it is a point, and both its coordinates.
        let point = self.ec.public_key().as_ref().get(1..65).unwrap_or_default();
        let (x, y) = point.split_at(point.len() / 2);
        key("ES256", &[("x", x), ("y", y)]);
        let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        key("RS256", &[("n", &n), ("e", &e)]);
        text
    }

    /// A token for somebody, good for an hour.
    pub fn token(&self, algorithm: &str, subject: &str) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": algorithm });
        let claims = json!({ "iss": NAME, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3600 });
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signed = |_| anyhow::anyhow!("sign with {algorithm}");
        let signature = match algorithm {
            "EdDSA" => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
            "ES256" => self.ec.sign(&self.random, message.as_bytes()).map_err(signed)?.as_ref().to_vec(),
            _ => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                let done = self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, message.as_bytes(), &mut signature);
                done.map_err(signed)?;
                signature
            }
        };
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
