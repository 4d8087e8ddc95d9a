//! `$SYS`: what the instance says of the account, to each subscription that meets it.
//!
//! A newcomer is shown all of it as if it was retained; after that what has changed is said. It is said when the socket
//! has room: what came meanwhile is replaced by what is newer.

use crate::{
    Counters,
    deliver::fit,
    outgoing::Outgoing,
    peer::Peer,
    subscription::{Subscription, options},
    subscriptions::Subscriptions,
    topic,
};
use bytes::BytesMut;
use riser_model::door::Want;
use riser_wire::entry::ContentType;
use std::{collections::BTreeMap, sync::Arc};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct System {
    newest: Option<Arc<[(String, String)]>>,
    /// The one that was said last.
    said: Option<Arc<[(String, String)]>>,
}

impl System {
    /// The instance says it anew.
    pub(crate) fn heard(&mut self, values: Arc<[(String, String)]>) {
        self.newest = Some(values);
    }

    /// Says what is to be said.
    pub(crate) fn say(
        &mut self,
        subscriptions: &mut Subscriptions,
        peer: &Peer,
        out: &mut BytesMut,
        counters: &Counters,
    ) {
        let listening = |one: &Subscription| matches!(one.want, Want::System(_)) && one.is_answered();
        let fresh = subscriptions.values().any(|one| listening(one) && one.fresh);
        if self.newest.is_none() && !fresh {
            return;
        }
        let Some(values) = self.newest.take().or_else(|| self.said.clone()) else { return };
        let former: BTreeMap<&str, &str> =
            self.said.iter().flat_map(|said| said.iter()).map(|(t, v)| (t.as_str(), v.as_str())).collect();
        for subscription in subscriptions.values_mut().filter(|one| listening(one)) {
            let fresh = std::mem::take(&mut subscription.fresh);
            for (name, value) in values.iter() {
                let news = former.get(name.as_str()) != Some(&value.as_str());
                if (fresh || news) && topic::meets(&subscription.filter, name) {
                    let retain = fresh || subscription.has(options::RETAIN_AS_PUBLISHED);
                    let outgoing = of(name, value, retain, subscription.keep.identifier);
                    match fit(outgoing, peer) {
                        Some(outgoing) => outgoing.write(peer.version, out),
                        None => counters.too_large.add(1),
                    }
                }
            }
        }
        self.said = Some(values);
    }
}

/// A value of `$SYS`.
fn of<'a>(topic: &'a str, value: &'a str, retain: bool, identifier: u32) -> Outgoing<'a> {
    Outgoing {
        qos: 0,
        dup: false,
        retain,
        room: None,
        topic,
        alias: None,
        id: 0,
        content_type: ContentType::Octets,
        properties: &[],
        identifier,
        notes: &[],
        payload: value.as_bytes(),
    }
}
