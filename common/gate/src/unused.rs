//! Which clients are not used any more: for how long each was let in nowhere, while the instance ran.
//!
//! Only time in which it could have come counts: neither a stop, nor a step of a clock, nor a sealed account makes a client
//! old. Nobody is removed but some time after a warning that said so, by the same configuration and lately. Users, edges, and
//! what a file declares are never of these: people come back from a long leave, what is behind an edge speaks for it, and a
//! file is its owner's to clear up. A browser or program by which a user comes is: the user comes by another one then.

use crate::accounts::{Account, Accounts};
use riser_model::{AccountId, AccountName, ClientId};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Its admins are told when a tenth of the time is left.
const WARNED_BEFORE: u32 = 10;

/// What is to be done about a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Its admins are to be told that it will be removed so soon.
    Warn(Unused, Duration),
    /// It is to be removed.
    Remove(Unused),
}

/// A client that was not used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unused {
    /// Whose it is.
    pub account: AccountId,
    /// Which.
    pub client: ClientId,
    /// Its name.
    pub name: AccountName,
}

/// For how long each client was not used.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Idle {
    /// How long nobody might be unused when it was last looked, seconds.
    lasts: u64,
    clients: BTreeMap<ClientId, Since>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Since {
    seconds: u64,
    /// For how many it was not used when its admins were warned.
    warned: Option<u64>,
}

impl Idle {
    /// It was written down so long ago. What was warned of then is warned of again, if it would be over by now: what lay aside,
    /// as in a backup, knows nothing of who came meanwhile.
    pub fn resume(&mut self, written: Duration) {
        if written.as_secs() >= self.lasts / u64::from(WARNED_BEFORE) {
            self.forget_warnings();
        }
    }

    fn forget_warnings(&mut self) {
        self.clients.values_mut().for_each(|since| since.warned = None);
    }

    /// So much time went by, in which these were used. What is to be done about the others, where nobody may be unused for
    /// longer than `lasts`.
    pub fn pass(
        &mut self,
        by: Duration,
        accounts: &Accounts,
        used: &BTreeSet<ClientId>,
        lasts: Duration,
    ) -> Vec<Verdict> {
        if std::mem::replace(&mut self.lasts, lasts.as_secs()) != lasts.as_secs() {
            self.forget_warnings();
        }
        let mut before = std::mem::take(&mut self.clients);
        let mut verdicts = Vec::new();
        let notice = lasts / WARNED_BEFORE;
        for (id, account) in accounts.iter() {
            for (client, name) in made_here(account) {
                let mut since = before.remove(&client).unwrap_or_default();
                if used.contains(&client) {
                    since = Since::default();
                } else if !account.sealed {
                    since.seconds = since.seconds.saturating_add(by.as_secs());
                }
                let idle = Duration::from_secs(since.seconds);
                let unused = || Unused { account: id, client, name: name.clone() };
                match since.warned {
                    _ if account.sealed => {}
                    Some(at) if idle >= lasts && since.seconds >= at.saturating_add(notice.as_secs()) => {
                        verdicts.push(Verdict::Remove(unused()));
                    }
                    None if idle >= lasts - notice => {
                        since.warned = Some(since.seconds);
                        verdicts.push(Verdict::Warn(unused(), lasts.saturating_sub(idle).max(notice)));
                    }
                    Some(_) | None => {}
                }
                self.clients.insert(client, since);
            }
        }
        verdicts
    }
}

/// The clients of an account that changes made and that are no edges, and those by which users come: of each its user's name.
fn made_here(account: &Account) -> impl Iterator<Item = (ClientId, &AccountName)> {
    let declared = account.imported.iter().flat_map(|file| &file.client).filter_map(|client| client.id);
    let declared: BTreeSet<ClientId> = declared.collect();
    let own = account.config.client.iter().filter(|client| client.key.is_none());
    let own = own.filter_map(|client| Some((client.id?, &client.name)));
    let names: BTreeMap<ClientId, &AccountName> =
        account.config.user.iter().filter_map(|user| Some((user.id?, &user.name))).collect();
    let associated =
        account.associated.iter().filter_map(move |(client, user)| Some((*client, *names.get(user)?)));
    own.filter(move |(id, _)| !declared.contains(id)).chain(associated)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{AccountConfig, ClientConfig, KeyText, UserConfig};
    use riser_model::PublicKey;
    use uuid::Uuid;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const LASTS: Duration = DAY.saturating_mul(30);
    const PUMP: ClientId = id(1);
    const LAMP: ClientId = id(2);
    const EDGE: ClientId = id(3);
    const DECLARED: ClientId = id(4);

    const fn id(n: u128) -> ClientId {
        ClientId(Uuid::from_u128(n))
    }

    fn accounts() -> Accounts {
        let client =
            |id, name: &str| ClientConfig { id: Some(id), ..ClientConfig::new(name.parse().unwrap()) };
        let edge = ClientConfig { key: Some(KeyText(PublicKey([9; 32]))), ..client(EDGE, "edge") };
        let mut config = AccountConfig::new("acme".parse().unwrap(), AccountId(Uuid::from_u128(7)));
        config.user = vec![UserConfig { id: Some(id(5)), ..UserConfig::new("ann".parse().unwrap()) }];
        config.client = vec![client(DECLARED, "declared")];
        let imported = Some(config.clone());
        config.client.extend([client(PUMP, "pump"), client(LAMP, "lamp"), edge]);
        Accounts::of([Account { imported, ..Account::new(config) }])
    }

    /// What is told of each client, by the day, when these are used on these days.
    fn days(used: impl Fn(u32) -> Vec<ClientId>, most: u32) -> Vec<(u32, ClientId, &'static str)> {
        let (mut idle, accounts, mut told) = (Idle::default(), accounts(), Vec::new());
        for day in 1..=most {
            // A restart changes nothing.
            idle = serde_json::from_str(&serde_json::to_string(&idle).unwrap()).unwrap();
            for verdict in idle.pass(DAY, &accounts, &used(day).into_iter().collect(), LASTS) {
                told.push(match verdict {
                    Verdict::Warn(unused, left) => {
                        assert!(left <= DAY * 3, "{left:?}");
                        (day, unused.client, "warned")
                    }
                    Verdict::Remove(unused) => (day, unused.client, "removed"),
                });
            }
        }
        told
    }

    #[test]
    fn who_comes_nowhere_for_thirty_days_is_warned_of_and_removed_and_nobody_else() {
        let told = days(|day| if day % 29 == 0 { vec![LAMP] } else { vec![] }, 30);
        assert_eq!(told, [(27, PUMP, "warned"), (27, LAMP, "warned"), (30, PUMP, "removed")]);
    }

    /// What is told of the two when it is looked `days` later, where nobody may be unused for longer than `lasts`.
    fn told(idle: &mut Idle, days: u32, lasts: Duration) -> Vec<&'static str> {
        let verdicts = idle.pass(DAY * days, &accounts(), &BTreeSet::new(), lasts);
        verdicts
            .iter()
            .map(|verdict| match verdict {
                Verdict::Warn(_, left) => {
                    assert!(*left >= lasts / WARNED_BEFORE, "{left:?}");
                    "warned"
                }
                Verdict::Remove(_) => "removed",
            })
            .collect()
    }

    #[test]
    fn nobody_is_removed_without_a_warning_by_the_same_configuration_some_time_before() {
        let mut idle = Idle::default();
        assert_eq!(told(&mut idle, 28, LASTS), ["warned"; 2]);
        assert_eq!(
            told(&mut idle, 0, DAY * 10),
            ["warned"; 2],
            "it lasts less by now: that is another warning"
        );
        assert_eq!(told(&mut idle, 0, DAY * 10), [""; 0]);
        assert_eq!(told(&mut idle, 1, DAY * 10), ["removed"; 2]);
        let mut idle = Idle::default();
        assert_eq!(told(&mut idle, 100, LASTS), ["warned"; 2], "whatever it is late for");
        assert_eq!(told(&mut idle, 2, LASTS), [""; 0]);
        assert_eq!(told(&mut idle, 1, LASTS), ["removed"; 2]);
    }

    #[test]
    fn what_was_written_long_ago_warns_again_before_anybody_is_removed() {
        let mut idle = Idle::default();
        assert_eq!(told(&mut idle, 29, LASTS), ["warned"; 2]);
        let mut backup = idle.clone();
        idle.resume(DAY * 2);
        assert_eq!(told(&mut idle, 3, LASTS), ["removed"; 2]);
        backup.resume(DAY * 3);
        assert_eq!(told(&mut backup, 3, LASTS), ["warned"; 2]);
    }

    #[test]
    fn time_in_which_an_account_was_sealed_does_not_count() {
        let mut idle = Idle::default();
        assert_eq!(told(&mut idle, 29, LASTS), ["warned"; 2]);
        let all = accounts();
        let account = all.iter().next().unwrap().1;
        let sealed = Accounts::of([Account { sealed: true, ..Account::clone(account) }]);
        assert_eq!(idle.pass(DAY * 100, &sealed, &BTreeSet::new(), LASTS), []);
        assert_eq!(told(&mut idle, 2, LASTS), [""; 0]);
        assert_eq!(told(&mut idle, 1, LASTS), ["removed"; 2]);
    }

    #[test]
    fn who_comes_once_in_a_while_stays() {
        assert_eq!(days(|day| if day % 26 == 0 { vec![LAMP, PUMP] } else { vec![] }, 365), []);
    }

    #[test]
    fn browser_of_a_user_that_comes_nowhere_is_warned_of_and_removed_and_its_user_is_not() {
        let (mut idle, browser) = (Idle::default(), id(6));
        let all = accounts();
        let account = Account::clone(all.iter().next().unwrap().1);
        let all = Accounts::of([Account { associated: [(browser, id(5))].into(), ..account }]);
        let used = [PUMP, LAMP].into();
        let mut told = |days| idle.pass(DAY * days, &all, &used, LASTS);
        let unused =
            Unused { account: AccountId(Uuid::from_u128(7)), client: browser, name: "ann".parse().unwrap() };
        assert_eq!(told(27), [Verdict::Warn(unused.clone(), DAY * 3)]);
        assert_eq!(told(3), [Verdict::Remove(unused)]);
    }

    #[test]
    fn time_in_which_nobody_could_come_does_not_count() {
        let (mut idle, accounts) = (Idle::default(), accounts());
        assert_eq!(idle.pass(Duration::ZERO, &accounts, &BTreeSet::new(), LASTS), []);
        assert_eq!(idle.clients.len(), 2, "neither users, nor edges, nor what a file declares");
        assert_eq!(idle.pass(DAY, &Accounts::default(), &BTreeSet::new(), LASTS), []);
        assert!(idle.clients.is_empty(), "what is gone is forgotten");
    }
}
