//! Who listens to `$SYS`: those who administer their account, and nobody else.

use super::{Instance, refusal};
use crate::system::{self, Standing, System};
use riser_model::{
    AccountId, ConnectionId, Now, SubscriptionId,
    door::{Code, Completeness, Subscribed, Tell},
};
use std::{collections::BTreeSet, sync::Arc};

impl Instance {
    /// SUBSCRIBE of something below `$SYS`.
    pub(super) fn listen(&mut self, id: ConnectionId, subscription: SubscriptionId, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(principal) = connection.principal.clone() else { return };
        let result = if principal.grants.administer() {
            connection.listening.insert(subscription);
            let at = self.bus.position(self.bus.committed());
            Ok(Subscribed {
                completeness: Completeness::None,
                gaps: Vec::new(),
                at,
                floor: None,
                until: None,
            })
        } else {
            let what = "read $SYS";
            Err(refusal(Code::Denied, what, "a user who administers the account, as an owner does"))
        };
        let allowed = result.is_ok();
        self.tell_from_rooms(id, Tell::Subscribed { subscription, result }, now);
        if allowed {
            self.tell_system(&BTreeSet::from([id]), principal.account, now);
        }
    }

    /// True if it was one of those.
    pub(super) fn stop_listening(
        &mut self,
        id: ConnectionId,
        subscription: SubscriptionId,
        now: Now,
    ) -> bool {
        let connection = self.connections.get_mut(&id);
        let was = connection.is_some_and(|connection| connection.listening.remove(&subscription));
        if was {
            self.tell_from_rooms(id, Tell::Unsubscribed { subscription }, now);
        }
        was
    }

    /// An MQTT client of that account was let in.
    pub(super) fn count_entry(&mut self, account: AccountId, now: Now) {
        let connected = self.mqtt_connections(account);
        let system = self.systems.entry(account).or_default();
        system.connections += 1;
        system.connected_max = system.connected_max.max(connected);
        self.systems_due.get_or_insert(now.time.plus(system::EVERY));
    }

    /// What is counted of an account.
    pub(super) fn system(&mut self, account: AccountId) -> &mut System {
        self.systems.entry(account).or_default()
    }

    /// The averages are brought up to date, and who listens is told.
    pub(super) fn systems_due(&mut self, now: Now) {
        if self.systems_due.is_none_or(|due| due > now.time) {
            return;
        }
        self.systems_due = Some(now.time.plus(system::EVERY));
        let accounts: Vec<AccountId> = self.systems.keys().copied().collect();
        for account in accounts {
            self.system(account).sample(now.time);
            let listens = self.connections.iter().filter(|(_, one)| {
                let may = one
                    .principal
                    .as_ref()
                    .is_some_and(|who| who.account == account && who.grants.administer());
                may && !one.listening.is_empty()
            });
            let listening: BTreeSet<ConnectionId> = listens.map(|(id, _)| *id).collect();
            self.tell_system(&listening, account, now);
        }
    }

    fn tell_system(&mut self, listening: &BTreeSet<ConnectionId>, account: AccountId, now: Now) {
        if listening.is_empty() {
            return;
        }
        let standing = self.standing(account, now);
        let values: Arc<[(String, String)]> = self.system(account).values(&standing).into();
        for id in listening {
            self.tell(*id, Tell::System { values: Arc::clone(&values) });
        }
    }

    /// Connections of MQTT that have a session or wait for its commit. Counted, as thousands may come back at once.
    fn mqtt_connections(&self, account: AccountId) -> usize {
        self.systems.get(&account).map_or(0, |system| system.connected)
    }

    fn standing(&self, account: AccountId, now: Now) -> Standing {
        let held = self.connections.values().filter_map(|connection| connection.session.as_ref());
        let held = held.filter(|session| session.key.account == account && session.number != 0).count();
        let sessions = self.sessions.count_of(account);
        Standing {
            uptime: now.time.since(self.started),
            connected: self.mqtt_connections(account),
            alone: sessions.saturating_sub(held),
            subscriptions: self.bus.subscriptions_of(account),
            shared: self.bus.shares_of(account),
            retained: self.bus.retained_of(account),
        }
    }
}
