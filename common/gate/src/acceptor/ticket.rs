//! Takes tickets: secrets that a connection which was let in had made for one more, to be shown once within 30 s.
//!
//! It also owns the ones that are out, by their hashes; the secrets themselves are kept nowhere. A ticket lets in
//! whoever it was made for, with the rights that one has when it is shown.

use super::{Given, Kind, Sort, Step, cookie::CookieId, not_authorised};
use crate::directory::Evidence;
use riser_model::{
    ClientId, Memberships, Now, Time, Wall,
    door::{Code, Credential, Refusal, Secret, TicketHash},
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long a ticket may be shown.
pub const TICKET_LASTS: Duration = Duration::from_secs(30);
/// Tickets that are out, of everybody together.
const TICKETS_MAX: usize = 10_000;
/// Tickets of one user or client that are out.
const OF_CLIENT_MAX: usize = 32;
/// The longest ticket that is looked at, bytes; ours have 43.
const TICKET_BYTES_MAX: usize = 64;

pub(crate) const SORT: Sort = Sort::Lent;

pub(crate) fn begin(given: &Given<'_>) -> Step {
    let Credential::Ticket(_) = given.credential else { return Step::Next(None) };
    let of = |redeemed: &'_ Redeemed| given.directory.principal_in(redeemed.client, redeemed.memberships);
    match given.redeemed.and_then(|redeemed| of(redeemed).zip(Some(redeemed))) {
        Some((principal, redeemed)) => Step::Proven(principal, redeemed.passed.clone(), redeemed.until),
        None => Step::Refuse(not_authorised("a ticket that is not out")),
    }
}

/// What a ticket stood for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redeemed {
    /// Whose it was.
    pub client: ClientId,
    /// What that one had proven when it had the ticket made.
    pub passed: BTreeSet<Kind>,
    /// By which credentials.
    pub evidence: Evidence,
    /// In which groups a directory server had said that it is.
    pub memberships: Memberships,
    /// When what it had shown expires.
    pub until: Option<Wall>,
    /// The cookie that it had come by.
    pub cookie: Option<CookieId>,
}

/// The tickets that are out.
#[derive(Clone, Debug, Default)]
pub struct Tickets {
    by_hash: BTreeMap<TicketHash, (Redeemed, Time)>,
    by_end: BTreeSet<(Time, TicketHash)>,
    of_client: BTreeMap<ClientId, usize>,
}

impl Tickets {
    /// Takes note of one that was made.
    pub fn issue(&mut self, hash: TicketHash, what: Redeemed, now: Now) -> Result<Duration, Refusal> {
        self.expire(now);
        let client = what.client;
        let own = self.of_client.get(&client).copied().unwrap_or(0);
        if own >= OF_CLIENT_MAX || self.by_hash.len() >= TICKETS_MAX {
            return Err(Refusal {
                code: Code::TooMany,
                what: format!("{own} tickets of yours are out, {} of everybody", self.by_hash.len()),
                want: format!("show them, or wait {} s until they expire", TICKET_LASTS.as_secs()),
            });
        }
        let end = now.time.plus(TICKET_LASTS);
        self.by_hash.insert(hash, (what, end));
        self.by_end.insert((end, hash));
        *self.of_client.entry(client).or_default() += 1;
        Ok(TICKET_LASTS)
    }

    /// What a ticket that was shown stands for, if it is out: from here on it is not.
    pub fn redeem(&mut self, shown: &Secret, now: Now) -> Option<Redeemed> {
        self.expire(now);
        let short = shown.0.len() <= TICKET_BYTES_MAX;
        short.then(|| TicketHash(Sha256::digest(&shown.0).into())).and_then(|hash| self.remove(hash))
    }

    /// Forgets those of who came by that cookie.
    pub fn end(&mut self, cookie: CookieId) {
        let of = |(hash, (what, _)): (&TicketHash, &(Redeemed, Time))| {
            (what.cookie == Some(cookie)).then_some(*hash)
        };
        let gone: Vec<TicketHash> = self.by_hash.iter().filter_map(of).collect();
        for hash in gone {
            self.remove(hash);
        }
    }

    fn expire(&mut self, now: Now) {
        while let Some((_, hash)) = self.by_end.first().copied().filter(|(end, _)| *end <= now.time) {
            self.remove(hash);
        }
    }

    fn remove(&mut self, hash: TicketHash) -> Option<Redeemed> {
        let (what, end) = self.by_hash.remove(&hash)?;
        let client = what.client;
        self.by_end.remove(&(end, hash));
        if let Some(own) = self.of_client.get_mut(&client) {
            *own -= 1;
            if *own == 0 {
                self.of_client.remove(&client);
            }
        }
        Some(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn at(s: u64) -> Now {
        Now { time: Time(0).plus(Duration::from_secs(s)), ..Now::default() }
    }

    fn shown(n: usize) -> Secret {
        Secret(n.to_string().into())
    }

    fn hash(n: usize) -> TicketHash {
        TicketHash(Sha256::digest(n.to_string()).into())
    }

    fn nobody() -> Redeemed {
        let (client, passed, evidence) = (ClientId(Uuid::nil()), BTreeSet::new(), BTreeSet::new());
        let memberships = Memberships::default();
        Redeemed { client, passed, evidence, memberships, until: None, cookie: None }
    }

    fn client(n: u128) -> Redeemed {
        Redeemed { client: ClientId(Uuid::from_u128(n)), passed: [Kind::Password].into(), ..nobody() }
    }

    #[test]
    fn ticket_is_good_once_and_for_30_s() {
        let mut tickets = Tickets::default();
        for n in 0..3 {
            assert_eq!(tickets.issue(hash(n), client(1), at(0)), Ok(TICKET_LASTS));
        }
        assert_eq!(tickets.redeem(&shown(0), at(29)), Some(client(1)));
        assert_eq!(tickets.redeem(&shown(0), at(29)), None, "it was shown");
        assert_eq!(tickets.redeem(&shown(1), at(30)), None, "it expired");
        assert_eq!(tickets.redeem(&shown(7), at(30)), None, "it never was");
        assert_eq!(tickets.redeem(&Secret(vec![b'x'; 1 << 20].into()), at(30)), None);
        assert!(tickets.by_hash.is_empty() && tickets.by_end.is_empty() && tickets.of_client.is_empty());
    }

    #[test]
    fn tickets_of_a_cookie_end_with_it() {
        let mut tickets = Tickets::default();
        let by = |n| Redeemed { cookie: Some(CookieId([n; 16])), ..client(1) };
        tickets.issue(hash(1), by(1), at(0)).unwrap();
        tickets.issue(hash(2), by(2), at(0)).unwrap();
        tickets.issue(hash(3), client(1), at(0)).unwrap();
        tickets.end(CookieId([1; 16]));
        assert_eq!(tickets.redeem(&shown(1), at(1)), None);
        assert_eq!(tickets.redeem(&shown(2), at(1)), Some(by(2)));
        assert_eq!(tickets.redeem(&shown(3), at(1)), Some(client(1)));
        assert!(tickets.by_hash.is_empty() && tickets.by_end.is_empty() && tickets.of_client.is_empty());
    }

    #[test]
    fn tickets_that_are_out_are_bounded() {
        let mut tickets = Tickets::default();
        for n in 0..OF_CLIENT_MAX {
            assert!(tickets.issue(hash(n), client(1), at(0)).is_ok());
        }
        assert_eq!(tickets.issue(hash(999), client(1), at(1)).map_err(|why| why.code), Err(Code::TooMany));
        assert!(tickets.issue(hash(999), client(2), at(1)).is_ok());
        assert!(tickets.issue(hash(1000), client(1), at(30)).is_ok(), "those before have expired");
        for n in 0..TICKETS_MAX {
            let issued = tickets.issue(hash(2000 + n), client(10 + n as u128), at(31));
            assert_eq!(issued.is_ok(), n < TICKETS_MAX - 1);
        }
    }
}
