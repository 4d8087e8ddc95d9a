//! The cookies that were ended before they expired.
//!
//! What was ended is never forgotten while it would hold, and it never takes more memory than it may: of a person who ends
//! very many, and of everybody when very many do, all that expires up to then is ended in their place. That asks people to
//! sign in again; the other way would let a cookie back in.
//!
//! Lines of text hold the same, in any order and each as often as it likes ([`Ended::text`], [`Ended::read`]).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use riser_gate::{CookieId, Statement};
use riser_model::{ClientId, Wall};
use std::{collections::BTreeMap, fmt::Write};
use uuid::Uuid;

/// Of one client; one more, and all that it was given before are ended.
pub const OF_CLIENT_MAX: usize = 32;
/// Clients of which something is remembered; one more, and all cookies that were given before are ended.
pub const CLIENTS_MAX: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub struct Ended {
    of: BTreeMap<ClientId, Own>,
    /// Whatever expires up to then.
    everybody: Option<Wall>,
}

#[derive(Debug, Default)]
struct Own {
    each: BTreeMap<CookieId, Wall>,
    /// Whatever expires up to then.
    all: Option<Wall>,
}

impl Own {
    fn last(&self) -> Option<Wall> {
        self.each.values().copied().chain(self.all).max()
    }
}

impl Ended {
    /// Whether this one was.
    pub fn has(&self, statement: &Statement) -> bool {
        let by = |all: Option<Wall>| all.is_some_and(|all| statement.until <= all);
        let own = self.of.get(&statement.client);
        by(self.everybody) || own.is_some_and(|own| by(own.all) || own.each.contains_key(&statement.id()))
    }

    /// Takes one more.
    pub fn add(&mut self, statement: &Statement, now: Wall) {
        self.expire(now);
        self.insert(statement.client, statement.id(), statement.until);
    }

    /// One more, as a line.
    pub fn line(statement: &Statement) -> String {
        one(statement.client, statement.id(), statement.until)
    }

    /// All of it, as lines.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (client, own) in &self.of {
            let id = client.0.simple();
            text.extend(own.each.iter().map(|(cookie, until)| one(*client, *cookie, *until)));
            let _ = own.all.map(|Wall(until)| writeln!(text, "all {id} {until}"));
        }
        let _ = self.everybody.map(|Wall(until)| writeln!(text, "everybody {until}"));
        text
    }

    /// Takes what a line says, unless that has expired; none if it says nothing.
    pub fn read(&mut self, line: &str, now: Wall) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        let client = |word: &str| Uuid::try_parse(word).ok().map(ClientId);
        let until = Wall(words.last()?.parse().ok()?);
        let holds = until > now;
        match words[..] {
            ["one", id, cookie, _] => {
                let cookie = CookieId(URL_SAFE_NO_PAD.decode(cookie).ok()?.try_into().ok()?);
                let client = client(id)?;
                holds.then(|| self.insert(client, cookie, until));
            }
            ["all", id, _] => {
                let client = client(id)?;
                holds.then(|| {
                    let own = self.of.entry(client).or_default();
                    own.all = own.all.max(Some(until));
                });
            }
            ["everybody", _] => self.everybody = self.everybody.max(Some(until).filter(|_| holds)),
            _ => return None,
        }
        Some(())
    }

    fn insert(&mut self, client: ClientId, cookie: CookieId, until: Wall) {
        let own = self.of.entry(client).or_default();
        own.each.insert(cookie, until);
        if own.each.len() > OF_CLIENT_MAX {
            own.all = own.last();
            own.each.clear();
        }
        if self.of.len() > CLIENTS_MAX {
            self.everybody = self.of.values().filter_map(Own::last).chain(self.everybody).max();
            self.of.clear();
        }
    }

    /// What has expired needs no remembering.
    fn expire(&mut self, now: Wall) {
        self.everybody = self.everybody.filter(|until| *until > now);
        self.of.retain(|_, own| {
            own.all = own.all.filter(|until| *until > now);
            own.each.retain(|_, until| *until > now);
            own.all.is_some() || !own.each.is_empty()
        });
    }
}

fn one(ClientId(client): ClientId, CookieId(cookie): CookieId, Wall(until): Wall) -> String {
    format!("one {} {} {until}\n", client.simple(), URL_SAFE_NO_PAD.encode(cookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(client: u128, n: u64, until: i64) -> Statement {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&n.to_le_bytes());
        let client = ClientId(Uuid::from_u128(client));
        Statement {
            client,
            passed: Default::default(),
            until: Wall(until),
            proven_until: None,
            memberships: Default::default(),
            is_token: false,
            nonce,
        }
    }

    #[test]
    fn who_ends_very_many_ends_its_own_and_none_comes_back() {
        let mut ended = Ended::default();
        let (ann, bob) = (1, 2);
        ended.add(&given(bob, 0, 100), Wall(0));
        let all: Vec<Statement> = (0..=OF_CLIENT_MAX as u64).map(|n| given(ann, n, 100)).collect();
        all.iter().for_each(|one| ended.add(one, Wall(0)));
        assert!(all.iter().all(|one| ended.has(one)));
        assert!(ended.has(&given(ann, 999, 100)), "what was given with them");
        assert!(!ended.has(&given(ann, 999, 101)), "what is given after them");
        assert!(ended.has(&given(bob, 0, 100)) && !ended.has(&given(bob, 1, 100)), "another's are another's");
        assert_eq!(ended.of.values().map(|own| own.each.len()).sum::<usize>(), 1);
        ended.add(&given(bob, 2, 300), Wall(200));
        assert_eq!(ended.of.len(), 1, "what has expired needs no remembering");
    }

    #[test]
    fn lines_hold_all_of_it() {
        let mut ended = Ended::default();
        let (ann, bob, kim) = (1, 2, 3);
        ended.add(&given(ann, 7, 100), Wall(0));
        (0..=OF_CLIENT_MAX as u64).for_each(|n| ended.add(&given(bob, n, 200), Wall(0)));
        ended.everybody = Some(Wall(50));
        let mut read = Ended::default();
        assert!(ended.text().lines().all(|line| read.read(line, Wall(0)).is_some()));
        assert_eq!(read.text(), ended.text());
        assert!(read.has(&given(ann, 7, 100)) && !read.has(&given(ann, 8, 100)));
        assert!(read.has(&given(bob, 999, 200)) && read.has(&given(kim, 1, 50)));
        let mut line = Ended::default();
        line.read(Ended::line(&given(ann, 7, 100)).trim_end(), Wall(99)).unwrap();
        assert!(line.has(&given(ann, 7, 100)));
        // What has expired takes no place, however much of it there is.
        let mut late = Ended::default();
        assert!(ended.text().lines().all(|line| late.read(line, Wall(150)).is_some()));
        assert!(late.has(&given(bob, 999, 200)) && late.of.len() == 1 && late.everybody.is_none());
        for wrong in ["", "one", "all x 1", "everybody", "one  AA 1", "nobody 1"] {
            assert_eq!(Ended::default().read(wrong, Wall(0)), None, "{wrong:?}");
        }
    }

    #[test]
    fn very_many_who_end_theirs_take_bounded_memory_and_none_comes_back() {
        let mut ended = Ended::default();
        for client in 0..=CLIENTS_MAX as u128 {
            ended.add(&given(client, 0, 100), Wall(0));
        }
        assert!(ended.of.is_empty());
        assert!((0..=CLIENTS_MAX as u128).all(|client| ended.has(&given(client, 0, 100))));
        assert!(!ended.has(&given(7, 1, 101)));
    }
}
