//! A sensor as any building has them: an MQTT client that somebody else wrote, QoS 2, persistent session.

use crate::{
    ledger::{Ledger, Stream},
    readings::Reading,
};
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::watch;

/// What a sensor needs to know.
pub struct Sensor {
    /// Whose numbers it writes into the ledger.
    pub stream: Stream,
    /// What it measures.
    pub reading: Reading,
    /// The edge's MQTT door.
    pub broker: SocketAddr,
    /// User name and password.
    pub credentials: (String, String),
    /// The topic it publishes to.
    pub topic: String,
    /// The shortest time between two publications.
    pub pace: Duration,
}

impl Sensor {
    /// Publishes until `stop` says so, then completes what is under way.
    ///
    /// One publication is in flight at a time: rumqttc resends in slot order, so that is what keeps order.
    pub async fn run(self, ledger: Arc<Ledger>, mut stop: watch::Receiver<bool>) {
        let mut options = MqttOptions::new(
            format!("{}-{}", self.stream.edge, self.stream.sensor),
            self.broker.ip().to_string(),
            self.broker.port(),
        );
        options.set_credentials(&self.credentials.0, &self.credentials.1);
        options.set_clean_session(false).set_inflight(1).set_keep_alive(Duration::from_secs(5));
        let (client, mut events) = AsyncClient::new(options, 4);
        let mut pace = tokio::time::interval(self.pace);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut n = 0;
        let mut under_way: Option<UnderWay> = None;
        loop {
            if under_way.is_none() {
                if *stop.borrow() {
                    break;
                }
                pace.tick().await;
                n += 1;
                if !self.publish(&client, n).await {
                    break;
                }
                under_way = Some(UnderWay { times_sent: 0 });
            }
            tokio::select! {
                event = events.poll() => match event {
                    Ok(Event::Outgoing(Outgoing::Publish(_))) => {
                        if let Some(message) = &mut under_way {
                            message.times_sent += 1;
                            if message.times_sent > 1 {
                                ledger.resent(&self.stream);
                            }
                        }
                    }
                    Ok(Event::Incoming(Packet::PubComp(_))) => {
                        ledger.completed(&self.stream, n);
                        under_way = None;
                    }
                    // Without a session the client forgets what it had under way: the sensor says it again.
                    Ok(Event::Incoming(Packet::ConnAck(ack))) => {
                        let sent = under_way.as_ref().is_some_and(|message| message.times_sent > 0);
                        if sent && !ack.session_present && !self.publish(&client, n).await {
                            break;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(RECONNECT_AFTER).await,
                },
                _ = stop.changed() => {}
            }
        }
    }

    async fn publish(&self, client: &AsyncClient, n: u64) -> bool {
        let Some(mut reading) = self.reading.take() else { return false };
        reading["n"] = n.into();
        client.publish(&self.topic, QoS::ExactlyOnce, false, reading.to_string()).await.is_ok()
    }
}

const RECONNECT_AFTER: Duration = Duration::from_millis(100);

struct UnderWay {
    times_sent: u32,
}
