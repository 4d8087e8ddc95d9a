//! Takes a token (JWT, RFC 7519) that one of the account's issuers has signed.
//!
//! The key says which algorithm is right, and the token must name the same: neither `none` nor an RSA key taken for a
//! secret can pass. Keys are those of the configuration, and those that the issuer publishes where the configuration says;
//! what a token says about where to get one is refused. A claim that comes twice is refused, for two readers might see two
//! tokens.

use super::{Awaits, Given, Known, No, Sort, Step, VERDICT_DEADLINE, Whom, not_authorised};
use crate::{
    directory::Directory,
    gate::{Effect, Proof},
    issuer::{Algorithm, Issuer},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use riser_model::{Principal, Wall, door::Credential};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// The longest token that is looked at, bytes.
pub const JWT_BYTES_MAX: usize = 8 * 1024;
/// How far two clocks may be apart.
const SKEW_S: i64 = 60;
/// Header members that would have us believe something else than our own keys, or that must be understood and are not.
const REFUSED: [&str; 7] = ["crit", "jku", "jwk", "x5u", "x5c", "zip", "b64"];

pub(crate) const SORT: Sort = Sort::Known(Known {
    of: |directory, member| directory.vouched(member.principal.account),
    is_one_of_several: true,
});

pub(crate) fn begin(given: &Given<'_>) -> Step {
    let Credential::Token(token) = given.credential else { return Step::Next(None) };
    // Ours have no dots.
    if !token.0.contains(&b'.') {
        return Step::Next(None);
    }
    match read(given, &token.0) {
        Ok(step) => step,
        Err(why) => Step::Refuse(not_authorised(why)),
    }
}

fn read(given: &Given<'_>, token: &[u8]) -> Result<Step, &'static str> {
    if token.len() > JWT_BYTES_MAX {
        return Err("a token that is too long");
    }
    let text = std::str::from_utf8(token).map_err(|_| UNREADABLE)?;
    let (message, signature) = text.rsplit_once('.').ok_or(UNREADABLE)?;
    let (header, claims) = message.split_once('.').ok_or(UNREADABLE)?;
    let (header, claims) = (object(header)?, object(claims)?);
    if REFUSED.iter().any(|name| header.contains_key(*name)) {
        return Err("a token whose header asks for what is not done here");
    }
    let (alg, kid) = (text_of(&header, "alg").ok_or(UNREADABLE)?, text_of(&header, "kid"));
    let issuers = issuers(given.directory, &claims)?;
    let until = times(&claims, given.now.wall)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| UNREADABLE)?.into();
    let shown = Shown { alg, kid, message: Bytes::copy_from_slice(message.as_bytes()), signature };
    let tries = issuers.into_iter().filter_map(|issuer| {
        let name = text_of(&claims, &issuer.claim);
        let member = name.and_then(|name| given.directory.claimed(Some(&issuer.account), name));
        let whom = member.map(|member| Whom::Until(Arc::clone(member.principal), until));
        Some((shown.proof(issuer)?, whom))
    });
    // One account's issuer says nothing of another's tokens: whoever of them it may be of is tried, those first whose keys
    // are here.
    let (mut known, unknown): (Vec<_>, Vec<_>) = tries.partition(|(_, whom)| whom.is_some());
    known.sort_by_key(|(proof, _)| matches!(proof, Proof::Token { .. }));
    let why = if known.is_empty() { "a token for nobody who is known here" } else { WRONG };
    if known.is_empty() {
        known.extend(unknown.into_iter().next());
    }
    let mut tries = known.into_iter().map(|(proof, whom)| (proof, whom.unwrap_or(Whom::Nobody)));
    let (proof, whom) = tries.next().ok_or("a token that none of its issuer's keys is for")?;
    let no = No::Another { others: tries.collect(), refused: not_authorised(why) };
    Ok(Step::have(Effect::Verify(proof), None, Awaits { whom, no, deadline: VERDICT_DEADLINE }))
}

/// Whom a token speaks of, whether or not it holds.
pub(crate) fn claimed(directory: &Directory, token: &[u8]) -> Option<Arc<Principal>> {
    let text = std::str::from_utf8(token).ok().filter(|text| text.len() <= JWT_BYTES_MAX)?;
    let claims = object(text.split('.').nth(1)?).ok()?;
    let whom = |issuer: &Issuer| {
        let name = text_of(&claims, &issuer.claim)?;
        directory.claimed(Some(&issuer.account), name).map(|member| Arc::clone(member.principal))
    };
    // The same issuer may vouch in several accounts: of two of that name it is not known who is meant.
    let mut all = issuers(directory, &claims).ok()?.into_iter().filter_map(whom);
    let one = all.next()?;
    all.all(|other| other.client == one.client).then_some(one)
}

/// What a token brings to be verified.
struct Shown<'a> {
    alg: &'a str,
    kid: Option<&'a str>,
    message: Bytes,
    signature: Bytes,
}

impl Shown<'_> {
    /// That an issuer has signed it; none if it has no key for it.
    fn proof(&self, issuer: &Issuer) -> Option<Proof> {
        let fits = |of: &Option<String>| of.as_deref().is_none_or(|of| self.kid == Some(of));
        let keys = issuer.keys.iter().filter(|key| key.alg.name() == self.alg && fits(&key.kid));
        let keys: Vec<_> = keys.map(|key| key.key.clone()).collect();
        let (message, signature) = (self.message.clone(), self.signature.clone());
        if !keys.is_empty() {
            return Some(Proof::Signature { keys, message, signature });
        }
        let (source, alg) = issuer.source.as_ref().zip(Algorithm::public(self.alg))?;
        let (source, kid) = (Arc::clone(source), self.kid.map(str::to_owned));
        Some(Proof::Token { source, kid, alg, message, signature })
    }
}

const WRONG: &str = "a token with a wrong signature";
const UNREADABLE: &str = "a token that cannot be read";

/// Those that it may be of: the same issuer may vouch in several accounts, with keys that are each account's own to name.
fn issuers<'a>(directory: &'a Directory, claims: &Object) -> Result<Vec<&'a Issuer>, &'static str> {
    let iss = text_of(claims, "iss").ok_or("a token without an issuer")?;
    let meant = |audience: &str| match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(audience)),
        Some(_) | None => false,
    };
    let mut known = directory.issuers().iter().filter(|issuer| issuer.issuer == iss).peekable();
    if known.peek().is_none() {
        return Err("a token of an unknown issuer");
    }
    let meant: Vec<&Issuer> = known.filter(|issuer| meant(&issuer.audience)).collect();
    if meant.is_empty() { Err("a token for another audience") } else { Ok(meant) }
}

/// Until when it holds, if it does now.
fn times(claims: &Object, now: Wall) -> Result<Wall, &'static str> {
    let seconds = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            let whole = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64));
            whole.filter(|seconds| (0..=i64::MAX / 2000).contains(seconds)).map(Some).ok_or(UNREADABLE)
        }
    };
    let now_s = now.0.div_euclid(1000);
    let until = seconds("exp")?.ok_or("a token without an end")?;
    if until + SKEW_S <= now_s {
        return Err("a token that has expired");
    }
    let begun = |from: Option<i64>| from.is_none_or(|from| from <= now_s + SKEW_S);
    if begun(seconds("nbf")?) && begun(seconds("iat")?) {
        Ok(Wall((until + SKEW_S) * 1000))
    } else {
        Err("a token of the future")
    }
}

type Object = BTreeMap<String, Value>;

fn text_of<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

fn object(part: &str) -> Result<Object, &'static str> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| UNREADABLE)?;
    serde_json::from_slice::<Distinct>(&bytes).map(|object| object.0).map_err(|_| UNREADABLE)
}

/// A JSON object in which no name comes twice.
struct Distinct(Object);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> de::Visitor<'de> for Members {
            type Value = Distinct;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: de::MapAccess<'de>>(self, mut map: M) -> Result<Distinct, M::Error> {
                let mut object = Object::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if object.insert(name, value).is_some() {
                        return Err(de::Error::custom("a name comes twice"));
                    }
                }
                Ok(Distinct(object))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests;
