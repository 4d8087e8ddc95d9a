//! What was given up of an account for ever: credentials that were revoked, users, clients and rooms that were removed.
//!
//! A hub tells it to the edges that carry the account; an edge holds to it beside what its own file declares.

use super::{Account, Accounts, closed, with_ids};
use crate::{
    config::AccountConfig,
    credential::{Digest, Member},
};
use riser_model::{AccountId, ClientId};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};
use uuid::Uuid;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GivenUp {
    /// Credentials.
    pub credentials: BTreeSet<Digest>,
    /// Users, clients and rooms.
    pub ids: BTreeSet<Uuid>,
}

impl GivenUp {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.credentials.is_empty() && self.ids.is_empty()
    }
}

/// How far somebody was told what was given up of an account, part by part.
#[derive(Clone, Debug)]
pub struct Walk {
    account: Option<Arc<Account>>,
    /// Of this all was told.
    before: Option<Arc<Account>>,
    credential: Option<Digest>,
    id: Option<Uuid>,
    is_done: bool,
}

impl Walk {
    /// From the beginning.
    pub fn of(account: Option<Arc<Account>>) -> Self {
        Self { account, before: None, credential: None, id: None, is_done: false }
    }

    /// The next part, of at most so many credentials and so many ids, and whether there is more after it.
    pub fn next(&mut self, most: usize) -> (GivenUp, bool) {
        let Some(account) = &self.account else {
            self.is_done = true;
            return (GivenUp::default(), false);
        };
        let before = self.before.as_deref();
        let is_new = |digest: &&Digest| before.is_none_or(|before| !before.revoked.contains(*digest));
        let credentials = account.revoked.range((after(self.credential), Bound::Unbounded)).filter(is_new);
        let is_new = |id: &&Uuid| before.is_none_or(|before| !before.gone.contains(*id));
        let ids = account.gone.range((after(self.id), Bound::Unbounded)).filter(is_new);
        let (mut credentials, mut ids) = (credentials.copied(), ids.copied());
        let part = GivenUp {
            credentials: credentials.by_ref().take(most).collect(),
            ids: ids.by_ref().take(most).collect(),
        };
        let more = credentials.next().is_some() || ids.next().is_some();
        self.credential = part.credentials.last().copied().or(self.credential);
        self.id = part.ids.last().copied().or(self.id);
        self.is_done = !more;
        (part, more)
    }

    /// The account stands like this by now. Whether there is something to be told at once: somebody who is in the middle
    /// asks for the next part by himself, and begins anew.
    pub fn go_on(&mut self, now: Option<Arc<Account>>) -> bool {
        // It only ever grows: where there is as much as there was, it is the same.
        if self.is_done && amount(self.account.as_deref()) == amount(now.as_deref()) {
            return false;
        }
        let before = if self.is_done { self.account.take() } else { self.before.take() };
        let was_done = std::mem::replace(&mut self.is_done, false);
        *self = Self { before, ..Self::of(now) };
        if !was_done {
            return false;
        }
        let has_more = !self.clone().next(1).0.is_empty();
        self.is_done = !has_more;
        has_more
    }
}

fn amount(account: Option<&Account>) -> (usize, usize) {
    account.map_or((0, 0), |account| (account.revoked.len(), account.gone.len()))
}

fn after<T>(last: Option<T>) -> Bound<T> {
    last.map_or(Bound::Unbounded, Bound::Excluded)
}

impl Accounts {
    /// What a file declares, without what was given up. Of those that are `sealed` nobody is let in by what he shows; edges
    /// below stay, for they speak for others.
    pub fn declared(
        file: &[AccountConfig],
        given_up: &BTreeMap<AccountId, GivenUp>,
        sealed: &BTreeSet<AccountId>,
    ) -> Self {
        let account = |config: AccountConfig| {
            let id = config.id;
            let mut account = Account::new(with_ids(config));
            if let Some(known) = id.and_then(|id| given_up.get(&id)) {
                account.give_up(known);
            }
            if id.is_some_and(|id| sealed.contains(&id)) {
                account.shut();
            }
            account
        };
        Self::of(file.iter().cloned().map(account))
    }
}

impl Account {
    fn give_up(&mut self, known: &GivenUp) {
        let own: Vec<ClientId> = self.members().filter_map(|member| id_of(&member)).collect();
        for id in own.into_iter().filter(|id| known.ids.contains(&id.0)) {
            // It is there: it was found a moment ago.
            let _ = self.remove_member(id);
        }
        self.config.room.retain(|room| room.id.is_none_or(|id| !known.ids.contains(&id.0)));
        self.revoked.extend(&known.credentials);
        self.gone.extend(&known.ids);
        self.strip();
    }

    fn shut(&mut self) {
        closed(&mut self.config);
        for mut member in self.members().collect::<Vec<_>>() {
            let key = match &member {
                Member::Client(client) => client.key,
                Member::User(_) => None,
            };
            member.retain(|_| false);
            if let Member::Client(client) = &mut member {
                client.key = key;
            }
            self.put(member);
        }
    }
}

fn id_of(member: &Member) -> Option<ClientId> {
    match member {
        Member::User(user) => user.id,
        Member::Client(client) => client.id,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{
        ClientConfig, GrantConfig, KeyText, RoomConfig, TokenHash, UserConfig,
        config::{Rights, Whom},
    };
    use riser_model::{History, PublicKey, Right, RoomId};

    const ACME: AccountId = AccountId(Uuid::from_u128(1));

    fn file() -> Vec<AccountConfig> {
        let user = |name: &str| UserConfig {
            tokens: vec![TokenHash::of(name.as_bytes())],
            ..UserConfig::new(name.parse().unwrap())
        };
        let mut config = AccountConfig::new("acme".parse().unwrap(), ACME);
        config.user = vec![user("ann"), user("bob")];
        let edge = ClientConfig::new("edge".parse().unwrap());
        config.client = vec![ClientConfig { key: Some(KeyText(PublicKey([9; 32]))), ..edge }];
        config.grant = vec![GrantConfig {
            to: Whom::Named("bob".parse().unwrap()),
            right: Rights(vec![Right::Subscribe]),
            channels: "#".parse().unwrap(),
            deny: false,
        }];
        vec![config]
    }

    /// Who is let in by a token, and whether the edge is one.
    fn lets(given_up: GivenUp, sealed: bool) -> (bool, bool, bool) {
        let sealed = sealed.then_some(ACME).into_iter().collect();
        let accounts = Accounts::declared(&file(), &[(ACME, given_up)].into(), &sealed);
        let directory = accounts.compile().unwrap();
        let lets = |name: &str| directory.token(TokenHash::of(name.as_bytes())).is_some();
        let edges = directory.edges().count() == 1;
        (lets("ann"), lets("bob"), edges)
    }

    #[test]
    fn what_was_given_up_elsewhere_lets_nobody_in_by_what_a_file_declares() {
        assert_eq!(lets(GivenUp::default(), false), (true, true, true));
        let declared = Accounts::declared(&file(), &BTreeMap::new(), &BTreeSet::new());
        let account = declared.get(ACME).unwrap();
        let member = |name: &str| {
            account
                .members()
                .find(|one| matches!(one, Member::User(user) if user.name.as_str() == name))
                .unwrap()
        };
        let credentials = member("ann").credentials().iter().map(|one| one.digest()).collect();
        assert_eq!(lets(GivenUp { credentials, ..GivenUp::default() }, false), (false, true, true));
        let ids = [id_of(&member("bob")).unwrap().0].into();
        assert_eq!(
            lets(GivenUp { ids, ..GivenUp::default() }, false),
            (true, false, true),
            "with what it was granted"
        );
        assert_eq!(lets(GivenUp::default(), true), (false, false, true), "who is below speaks for others");
    }

    #[test]
    fn nobody_visits_what_is_shut() {
        let mut file = file();
        let room = RoomConfig::new("lobby".parse().unwrap(), History::None);
        let all = file[0].grant.iter().cloned();
        let grant = all.map(|grant| GrantConfig { to: Whom::Visitors, ..grant }).collect();
        file[0].room = vec![RoomConfig { grant, ..room }];
        let garden = AccountConfig::new("garden".parse().unwrap(), AccountId(Uuid::from_u128(2)));
        file.push(AccountConfig { user: vec![UserConfig::new("eve".parse().unwrap())], ..garden });
        let visits = |sealed: &[AccountId]| {
            let sealed = sealed.iter().copied().collect();
            let directory = Accounts::declared(&file, &BTreeMap::new(), &sealed).compile().unwrap();
            let visiting = directory.visiting(directory.named("eve").unwrap(), Some(ACME));
            visiting.grants.reach(Right::Subscribe, RoomId::of(ACME, "lobby"))
        };
        assert!(visits(&[]) && !visits(&[ACME]));
    }

    #[test]
    fn all_of_it_is_told_in_parts_and_then_only_what_is_new() {
        let account = |revoked: &[u8], gone: &[u128]| {
            Some(Arc::new(Account {
                revoked: revoked.iter().map(|n| [*n; 32]).collect(),
                gone: gone.iter().map(|n| Uuid::from_u128(*n)).collect(),
                ..Account::new(AccountConfig::new("acme".parse().unwrap(), ACME))
            }))
        };
        let mut walk = Walk::of(account(&[2, 4, 6], &[7]));
        let (part, more) = walk.next(2);
        assert_eq!((part.credentials, part.ids.len(), more), ([[2; 32], [4; 32]].into(), 1, true));
        assert!(!walk.go_on(account(&[1, 2, 4, 6], &[7])), "in the middle: it asks, and begins anew");
        let told: Vec<usize> = std::iter::from_fn(|| {
            let (part, more) = walk.next(2);
            (more || !part.is_empty()).then_some(part.credentials.len())
        })
        .take(2)
        .collect();
        assert_eq!(told, [2, 2]);
        assert!(!walk.go_on(account(&[1, 2, 4, 6], &[7])), "nothing new");
        assert!(walk.go_on(account(&[1, 2, 3, 4, 6], &[7, 8])));
        let (part, more) = walk.next(2);
        assert_eq!(
            (part.credentials, part.ids, more),
            ([[3; 32]].into(), [Uuid::from_u128(8)].into(), false)
        );
        assert_eq!(Walk::of(None).next(2), (GivenUp::default(), false));
    }
}
