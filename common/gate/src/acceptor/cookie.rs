//! Takes the cookie that a browser was given when its person signed in.
//!
//! It states whose it is, what that one had proven and until when it holds; who signed in has the statement, and only
//! this instance can sign it. The signature also covers everything that this person proves itself with, and whoever
//! vouches for it: a new password, key, token or issuer ends the cookies that were given for the old ones. Whether a page may show it at all is decided where the
//! handshake is read, by its Origin.
//!
//! A browser sends it without anybody's doing, so one that does not hold is the same as none.
//!
//! A program that signs in is given the same as a token, which says that it is one: neither counts in the other's place.

use super::{Awaits, Given, Kind, No, Sort, Step, VERDICT_DEADLINE, Whom, not_authorised};
use crate::gate::{Effect, Proof};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use riser_model::{
    ClientId, Memberships, Wall,
    door::{Credential, Secret},
};
use std::{collections::BTreeSet, fmt};
use uuid::Uuid;

/// The longest cookie that is looked at, bytes; ours have about 160.
pub const COOKIE_BYTES_MAX: usize = 512;
const VERSION: &str = "1";
/// One of somebody who is in groups of a directory server has one part more.
const VERSION_OF_MEMBER: &str = "2";
/// The same two of tokens, which programs show instead.
const TOKEN_VERSION: &str = "3";
const TOKEN_VERSION_OF_MEMBER: &str = "4";
/// What is signed begins so.
const HEADER: &str = "riser cookie 1";

/// Which cookie, among all that were ever given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CookieId(pub [u8; 16]);

impl fmt::Debug for CookieId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieId(redacted)")
    }
}

impl CookieId {
    /// Of what was shown, if that can be read.
    pub fn of(shown: &Secret) -> Option<Self> {
        Statement::shown(shown).map(|statement| statement.id())
    }
}

/// What a cookie states.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// Who signed in.
    pub client: ClientId,
    /// By which acceptors.
    pub passed: BTreeSet<Kind>,
    /// The cookie may be shown until then.
    pub until: Wall,
    /// What was shown at sign-in expires by itself then.
    pub proven_until: Option<Wall>,
    /// In which groups a directory server had said that it is.
    pub memberships: Memberships,
    /// It is a program's, which shows it as a token; no browser shows it by itself.
    pub is_token: bool,
    /// Drawn for this cookie.
    pub nonce: [u8; 16],
}

impl Statement {
    /// As it stands in the cookie, before the signature: six parts between dots, or seven.
    pub fn text(&self) -> String {
        let passed: Vec<&str> = self.passed.iter().map(|kind| kind.name()).collect();
        let proven_until = self.proven_until.map(|until| until.0.to_string()).unwrap_or_default();
        let (until, client, nonce) =
            (self.until.0, self.client.0.simple(), URL_SAFE_NO_PAD.encode(self.nonce));
        let version = match (self.is_token, self.memberships.is_empty()) {
            (false, true) => VERSION,
            (false, false) => VERSION_OF_MEMBER,
            (true, true) => TOKEN_VERSION,
            (true, false) => TOKEN_VERSION_OF_MEMBER,
        };
        let memberships = match self.memberships {
            Memberships(0) => String::new(),
            Memberships(bits) => format!(".{bits:x}"),
        };
        format!("{version}.{until}.{proven_until}.{client}.{}.{nonce}{memberships}", passed.join("-"))
    }

    /// What is signed. `bound` is what the directory knows the client by ([`Directory::bound`](crate::Directory::bound)).
    pub fn message(text: &str, bound: &[u8; 32]) -> Bytes {
        format!("{HEADER}\n{text}\n{}", URL_SAFE_NO_PAD.encode(bound)).into()
    }

    /// What such a message states.
    pub fn of_message(message: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(message).ok()?.lines();
        if lines.next()? != HEADER {
            return None;
        }
        Self::read(lines.next()?)
    }

    /// What a cookie that was shown states, whether or not it holds.
    pub fn shown(shown: &Secret) -> Option<Self> {
        parts(&shown.0).and_then(|(text, _)| Self::read(text))
    }

    /// Which it is: the nonce comes once.
    pub fn id(&self) -> CookieId {
        CookieId(self.nonce)
    }

    /// What such a text states.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut next = || parts.next();
        let (is_token, is_member) = match next()? {
            VERSION => (false, false),
            VERSION_OF_MEMBER => (false, true),
            TOKEN_VERSION => (true, false),
            TOKEN_VERSION_OF_MEMBER => (true, true),
            _ => return None,
        };
        let until = Wall(next()?.parse().ok()?);
        let proven_until = match next()? {
            "" => None,
            text => Some(Wall(text.parse().ok()?)),
        };
        let client = ClientId(Uuid::try_parse(next()?).ok()?);
        let passed = next()?.split('-').map(Kind::proving).collect::<Option<_>>()?;
        let nonce = URL_SAFE_NO_PAD.decode(next()?).ok()?.try_into().ok()?;
        let memberships = match is_member {
            true => {
                Some(Memberships(u64::from_str_radix(next()?, 16).ok()?)).filter(|one| !one.is_empty())?
            }
            false => Memberships::default(),
        };
        let statement = Self { client, passed, until, proven_until, memberships, is_token, nonce };
        parts.next().is_none().then_some(statement)
    }
}

/// Statement and signature of a cookie, if it has both.
pub fn parts(shown: &[u8]) -> Option<(&str, Secret)> {
    if shown.len() > COOKIE_BYTES_MAX {
        return None;
    }
    let (text, signature) = std::str::from_utf8(shown).ok()?.rsplit_once('.')?;
    Some((text, Secret(URL_SAFE_NO_PAD.decode(signature).ok()?.into())))
}

pub(crate) const SORT: Sort = Sort::Lent;

pub(crate) fn begin(given: &Given<'_>) -> Step {
    let (shown, is_token) = match given.credential {
        Credential::Cookie(shown) => (shown, false),
        Credential::Token(shown) => (shown, true),
        Credential::Anonymous
        | Credential::Person
        | Credential::Password { .. }
        | Credential::Ticket(_)
        | Credential::Claim { .. } => return Step::Next(None),
    };
    let not = |why| Step::Next(Some(not_authorised(why)));
    let read = parts(&shown.0).and_then(|(text, mac)| Some((text, mac, Statement::read(text)?)));
    let Some((text, signature, statement)) = read else {
        // Other acceptors take tokens of other kinds.
        return if is_token { Step::Next(None) } else { not("a cookie that cannot be read") };
    };
    if statement.is_token != is_token {
        return not("a cookie that was shown as a token, or the other way round");
    }
    let ended = |until: Wall| until <= given.now.wall;
    if ended(statement.until) || statement.proven_until.is_some_and(ended) {
        return not("a cookie that has expired");
    }
    let known = given.directory.bound(statement.client);
    // The groups are signed with the server's list that they are of.
    let principal = given.directory.principal_in(statement.client, statement.memberships);
    let Some(((_, bound), principal)) = known.zip(principal) else {
        return not("a cookie of nobody who is known here");
    };
    if !given.directory.backs(statement.client, &statement.passed) {
        return not("a cookie by a credential of which there is none any more");
    }
    let message = Statement::message(text, &bound);
    let whom = Whom::Proven(principal, statement.passed, statement.proven_until);
    let no = No::Next(not_authorised(
        "a cookie that is not ours, was ended, or is from before the credentials changed",
    ));
    let awaits = Awaits { whom, no, deadline: VERDICT_DEADLINE };
    Step::have(Effect::Verify(Proof::Cookie { message, signature }), None, awaits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            client: ClientId(Uuid::from_u128(7)),
            passed: [Kind::Password, Kind::Jwt].into(),
            until: Wall(1_700_000_000_000),
            proven_until: None,
            memberships: Memberships::default(),
            is_token: false,
            nonce: [3; 16],
        }
    }

    #[test]
    fn what_a_cookie_states_is_read_back_and_has_one_spelling() {
        let text = statement().text();
        assert_eq!(
            text,
            "1.1700000000000..00000000000000000000000000000007.password-jwt.AwMDAwMDAwMDAwMDAwMDAw"
        );
        assert_eq!(Statement::read(&text), Some(statement()));
        let timed = Statement { proven_until: Some(Wall(5)), ..statement() };
        assert_eq!(Statement::read(&timed.text()), Some(timed));
        let member = Statement { memberships: Memberships::of([0, 4]), ..statement() };
        assert!(member.text().starts_with("2.") && member.text().ends_with(".11"));
        assert_eq!(Statement::read(&member.text()), Some(member.clone()));
        for (one, version) in [(statement(), "3."), (member.clone(), "4.")] {
            let token = Statement { is_token: true, ..one };
            assert!(token.text().starts_with(version));
            assert_eq!(Statement::read(&token.text()), Some(token));
        }
        let nowhere =
            [member.text().replace(".11", ".0"), member.text().replacen('2', "1", 1), format!("{text}.11")];
        for wrong in nowhere {
            assert_eq!(Statement::read(&wrong), None, "{wrong}");
        }
        for wrong in ["", "1", "2.1..a", &text.replace("password", "knock"), &format!("{text}.x")] {
            assert_eq!(Statement::read(wrong), None, "{wrong}");
        }
        for cut in 0..text.len() {
            assert_ne!(Statement::read(&text[..cut]), Some(statement()));
        }
    }

    #[test]
    fn no_two_people_or_statements_are_signed_alike() {
        let text = statement().text();
        let message = Statement::message(&text, &[1; 32]);
        assert_ne!(message, Statement::message(&text, &[2; 32]));
        assert_eq!(Statement::of_message(&message), Some(statement()));
        assert_eq!(Statement::of_message(text.as_bytes()), None);
        assert_ne!(message, Statement::message(&format!("{text}0"), &[1; 32]));
        assert_eq!(parts(format!("{text}.AQI").as_bytes()), Some((text.as_str(), Secret(vec![1, 2].into()))));
        assert_eq!(parts(&[b'a'; COOKIE_BYTES_MAX + 1]), None);
    }
}
