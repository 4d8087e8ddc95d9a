//! Makes the door that a socket asks for: MQTT, envelope, raw, or the lobby for people.

use riser_model::{
    AccountName, ChannelName, ClientId, RoomName,
    door::{Credential, Door, Method, Refusal},
};
use riser_mqtt::{Config as MqttConfig, Counters as MqttCounters, MqttDoor};
use riser_net::{Doorway, Knock, MqttDoors};
use riser_rooms::door::{Envelope, Lobby, Place, Raw, TicketSeed, Tty};
use riser_shell::{
    Clock,
    config::{LimitsConfig, Terms},
    entropy,
};
use std::sync::Arc;

/// One listener's doors.
#[derive(Clone)]
pub struct Doors {
    mqtt: Arc<MqttConfig>,
    counters: Arc<MqttCounters>,
    anonymous: bool,
    certified: bool,
}

impl Doors {
    /// For a listener that lets in those without a credential, or not; and that asks for certificates, or not: then who
    /// shows nothing else may have shown one, and the gate knows.
    pub fn new(
        (anonymous, certified): (bool, bool),
        terms: &Terms,
        limits: &LimitsConfig,
        counters: Arc<MqttCounters>,
    ) -> Self {
        let mqtt = Arc::new(MqttConfig {
            packet_bytes_max: u32::try_from(terms.packet_max.0).unwrap_or(u32::MAX),
            receive_maximum: terms.receive_maximum,
            inflight_max: terms.inflight_max,
            keepalive_s_max: terms.keepalive_s(),
            session_expiry_s_max: terms.session_expiry_s(),
            subscriptions_max: limits.subscriptions,
            allow_anonymous: anonymous || certified,
            ..MqttConfig::default()
        });
        Self { mqtt, counters, anonymous, certified }
    }

    /// MQTT doors for a listener that speaks nothing else.
    pub fn of_mqtt(self) -> MqttDoors {
        Arc::new(move |_, _| self.mqtt())
    }

    /// The door that a WebSocket asks for.
    pub fn open(&self, knock: Knock) -> Result<Box<dyn Door>, Refusal> {
        let ticket = knock.ticket.map(Credential::Ticket);
        let shown = knock.credential;
        match knock.doorway {
            Doorway::Lobby => Ok(Box::new(Tty::new(shown, None))),
            Doorway::User(name) => Ok(Box::new(Tty::new(shown, Some(name)))),
            Doorway::EnvelopeLobby => Ok(self.lobby(shown, None)),
            Doorway::EnvelopeUser(name) => Ok(self.lobby(shown, Some(name))),
            Doorway::Envelope { account, room } => {
                let place = self.place(account, room, shown.unwrap_or(Credential::Anonymous));
                Ok(Box::new(Envelope::new(place, TicketSeed(entropy::bytes()), Clock.now())))
            }
            Doorway::Client { account, room, client } => {
                let shown = ticket.or(shown).unwrap_or_else(|| claim(&account, client));
                // What lies under a client's UUID is its own, as far as the room's rights go.
                let channel = client.0.as_hyphenated().to_string().parse().expect("a UUID is a channel");
                Ok(Box::new(raw(self.place(account, room, shown), channel, None)))
            }
            Doorway::Raw { account, room, client, channel } => {
                // In a URL stands nothing that lasts: a ticket, or else a header brought the credential. Who shows
                // nothing at a client's address is asked to prove that it is that client.
                let shown = ticket.or(shown);
                let shown = shown
                    .or_else(|| client.filter(|_| !self.anonymous).map(|client| claim(&account, client)));
                let shown = shown.unwrap_or(Credential::Anonymous);
                Ok(Box::new(raw(self.place(account, room, shown), channel, client)))
            }
            Doorway::Mqtt => Ok(self.mqtt()),
        }
    }

    /// Somebody's lobby is for those who say who they are.
    fn lobby(&self, shown: Option<Credential>, of: Option<AccountName>) -> Box<dyn Door> {
        let silent = if of.is_some() { self.certified } else { self.silent() };
        Box::new(Lobby::new(shown, of, silent, TicketSeed(entropy::bytes()), Clock.now()))
    }

    fn mqtt(&self) -> Box<dyn Door> {
        let (config, counters) = (Arc::clone(&self.mqtt), Arc::clone(&self.counters));
        Box::new(MqttDoor::new(config, counters, entropy::number(), Clock.now()))
    }

    /// Whether who shows nothing here may be let in.
    fn silent(&self) -> bool {
        self.anonymous || self.certified
    }

    fn place(&self, account: AccountName, room: RoomName, credential: Credential) -> Place {
        Place { account, room, credential, anonymous: self.silent() }
    }
}

/// A lobby's channels are those of the account's room of that name, by either address.
fn raw(place: Place, channel: ChannelName, of: Option<ClientId>) -> Raw {
    match place.room == RoomName::lobby() {
        true => Raw::in_lobby(place, channel, of),
        false => Raw::new(place, channel, of),
    }
}

fn claim(account: &AccountName, client: ClientId) -> Credential {
    let name = client.0.as_hyphenated().to_string();
    Credential::Claim { account: Some(account.clone()), name, method: Method::Key }
}
