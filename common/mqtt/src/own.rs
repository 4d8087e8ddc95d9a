//! Whose connection this is, and so which publications are its own: MQTT 5's No Local does not get those back, on
//! whatever connection of that MQTT client id they were published (5.0: MQTT-3.8.3-3).

use riser_model::{ClientId, door::Delivery};
use riser_wire::entry::{Publication, Publisher};

/// See the module. MQTT client ids name sessions of one client, so both have to be the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Own {
    pub(crate) client: ClientId,
    pub(crate) publisher: Publisher,
}

impl Own {
    pub(crate) fn is_of(self, delivery: &Delivery, publication: &Publication<'_>) -> bool {
        publication.publisher == Some(self.publisher) && delivery.content.route.client == self.client
    }
}
