//! An agent of the compatibility run on rumqttc, in both versions: a process that is told what to do by one JSON
//! object per line on standard input and answers each with one line of the same id.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, Filter, LastWill as Will5, LastWillProperties, Packet as Packet5, PubAckReason,
    PubCompReason, PubRecReason, PublishProperties, RetainForwardRule, SubscribeProperties,
    SubscribeReasonCode as Code5,
};
use rumqttc::{Event, LastWill, MqttOptions, Outgoing, Packet, QoS, SubscribeFilter, SubscribeReasonCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::agent::{decoded, encoded};

/// How many requests may wait in the client.
const WAITING: usize = 20_000;
/// How long an answer of the broker may take.
const WITHIN: Duration = Duration::from_secs(50);
/// The largest packet either way.
const PACKET: u32 = 4 * 1024 * 1024;

/// What happened on the connection, in either version.
enum Seen {
    Connected { present: bool, assigned: Option<String> },
    Subscribed(Vec<u8>),
    Unsubscribed,
    Sent,
    Acked,
    Refused(String),
    Goodbye,
    Ended(String),
}

/// Why something did not come about, as the line says it.
enum Fault {
    NotOffered(&'static str),
    Refused(String),
    Failed(String),
}

impl From<rumqttc::ClientError> for Fault {
    fn from(error: rumqttc::ClientError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<v5::ClientError> for Fault {
    fn from(error: v5::ClientError) -> Self {
        Self::Failed(error.to_string())
    }
}

enum Client {
    Four(rumqttc::AsyncClient),
    Five(v5::AsyncClient),
}

/// Does what is asked until standard input ends. `version` is 4 or 5.
///
/// # Errors
///
/// Where standard input cannot be read or no runtime be had.
pub fn serve(version: &str) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let is_five = version == "5";
    runtime.block_on(async {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let mut agent = None;
        while let Some(line) = lines.next_line().await? {
            let asked: Value = serde_json::from_str(&line)?;
            let mut answer = match perform(&mut agent, &asked, is_five).await {
                Ok(done) => json!({ "done": done }),
                Err(Fault::NotOffered(what)) => json!({ "not_offered": what }),
                Err(Fault::Refused(code)) => json!({ "refused": code }),
                Err(Fault::Failed(error)) => json!({ "failed": error }),
            };
            answer["id"] = asked["n"].clone();
            println!("{answer}");
        }
        Ok(())
    })
}

async fn perform(agent: &mut Option<Agent>, asked: &Value, is_five: bool) -> Result<Value, Fault> {
    if asked["do"] == "connect" {
        let (opened, told) = Agent::connect(asked, is_five).await?;
        *agent = Some(opened);
        return Ok(told);
    }
    let agent = agent.as_mut().ok_or_else(|| Fault::Failed("not connected".to_owned()))?;
    match asked["do"].as_str().unwrap_or_default() {
        "subscribe" => agent.subscribe(asked).await,
        "unsubscribe" => agent.unsubscribe(text(asked, "filter")).await,
        "publish" => agent.publish(asked).await,
        "burst" => agent.burst(asked).await,
        "disconnect" => agent.disconnect(asked).await,
        // Nothing is said to the broker.
        "cut" => std::process::exit(137),
        other => Err(Fault::Failed(format!("no operation {other}"))),
    }
}

struct Agent {
    client: Client,
    seen: UnboundedReceiver<Seen>,
}

impl Agent {
    async fn connect(asked: &Value, is_five: bool) -> Result<(Self, Value), Fault> {
        if !asked["ws"].is_null() {
            return Err(Fault::NotOffered("WebSocket, without a second WebSocket library"));
        }
        let (see, seen) = unbounded_channel();
        let client = if is_five { connect_five(asked, see)? } else { connect_four(asked, see)? };
        let mut agent = Self { client, seen };
        loop {
            match agent.next().await? {
                Seen::Connected { present, assigned } => {
                    return Ok((agent, json!({ "present": present, "assigned": assigned })));
                }
                Seen::Sent => {}
                Seen::Subscribed(_) | Seen::Unsubscribed | Seen::Acked | Seen::Goodbye => {
                    return Err(Fault::Failed("something before CONNACK".to_owned()));
                }
                Seen::Refused(code) => return Err(Fault::Refused(code)),
                Seen::Ended(error) => return Err(Fault::Refused(format!("closed: {error}"))),
            }
        }
    }

    async fn next(&mut self) -> Result<Seen, Fault> {
        let seen = tokio::time::timeout(WITHIN, self.seen.recv()).await;
        let seen = seen.map_err(|_| Fault::Refused("closed: no answer".to_owned()))?;
        seen.ok_or_else(|| Fault::Refused("closed".to_owned()))
    }

    /// Waits for one thing; a refusal or the end of the connection in its place is a refusal.
    async fn until<T>(&mut self, mut is: impl FnMut(Seen) -> Option<T>) -> Result<T, Fault> {
        loop {
            match self.next().await? {
                Seen::Refused(code) => return Err(Fault::Refused(code)),
                Seen::Ended(error) => return Err(Fault::Refused(format!("closed: {error}"))),
                other => {
                    if let Some(found) = is(other) {
                        return Ok(found);
                    }
                }
            }
        }
    }

    async fn subscribe(&mut self, asked: &Value) -> Result<Value, Fault> {
        let filters = asked["filters"].as_array().cloned().unwrap_or_default();
        match &self.client {
            Client::Four(client) => {
                let filters = filters.iter().map(|one| SubscribeFilter::new(text(one, "filter"), qos(one)));
                client.subscribe_many(filters).await?;
            }
            Client::Five(client) => {
                let filters = filters.iter().map(|one| Filter {
                    path: text(one, "filter"),
                    qos: qos5(one),
                    nolocal: one["no_local"].as_bool().unwrap_or_default(),
                    preserve_retain: one["as_published"].as_bool().unwrap_or_default(),
                    retain_forward_rule: match one["handling"].as_u64() {
                        None | Some(0) => RetainForwardRule::OnEverySubscribe,
                        Some(1) => RetainForwardRule::OnNewSubscribe,
                        Some(_) => RetainForwardRule::Never,
                    },
                });
                let id = asked["identifier"].as_u64().and_then(|id| usize::try_from(id).ok());
                if id.is_some() {
                    let properties = SubscribeProperties { id, user_properties: vec![] };
                    client.subscribe_many_with_properties(filters, properties).await?;
                } else {
                    client.subscribe_many(filters).await?;
                }
            }
        }
        let codes =
            self.until(|seen| if let Seen::Subscribed(codes) = seen { Some(codes) } else { None }).await?;
        Ok(json!({ "codes": codes }))
    }

    async fn unsubscribe(&mut self, filter: String) -> Result<Value, Fault> {
        match &self.client {
            Client::Four(client) => client.unsubscribe(filter).await?,
            Client::Five(client) => client.unsubscribe(filter).await?,
        }
        self.until(|seen| matches!(seen, Seen::Unsubscribed).then_some(())).await?;
        Ok(json!({}))
    }

    async fn publish(&mut self, asked: &Value) -> Result<Value, Fault> {
        self.begin(asked).await?;
        self.settle(asked["qos"] == 0).await?;
        Ok(json!({}))
    }

    async fn begin(&mut self, asked: &Value) -> Result<(), Fault> {
        let (topic, payload) = (text(asked, "topic"), decoded(&text(asked, "payload")));
        let retain = asked["retain"].as_bool().unwrap_or_default();
        match &self.client {
            Client::Four(client) => client.publish(topic, qos(asked), retain, payload).await?,
            Client::Five(client) => {
                let properties = publish_properties(asked);
                if properties == PublishProperties::default() {
                    client.publish(topic, qos5(asked), retain, payload).await?;
                } else {
                    client.publish_with_properties(topic, qos5(asked), retain, payload, properties).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits until one publication is acknowledged, or sent where nothing acknowledges it.
    async fn settle(&mut self, is_sent_enough: bool) -> Result<(), Fault> {
        self.until(|seen| match seen {
            Seen::Sent => is_sent_enough.then_some(()),
            Seen::Acked => (!is_sent_enough).then_some(()),
            Seen::Connected { .. }
            | Seen::Subscribed(_)
            | Seen::Unsubscribed
            | Seen::Refused(_)
            | Seen::Goodbye
            | Seen::Ended(_) => None,
        })
        .await
    }

    async fn burst(&mut self, asked: &Value) -> Result<Value, Fault> {
        let count = asked["count"].as_u64().unwrap_or_default();
        let mut one = asked.clone();
        one["retain"] = json!(false);
        for n in 0..count {
            one["payload"] = json!(encoded(n.to_string().as_bytes()));
            self.begin(&one).await?;
        }
        for _ in 0..count {
            self.settle(asked["qos"] == 0).await?;
        }
        Ok(json!({}))
    }

    async fn disconnect(&mut self, asked: &Value) -> Result<Value, Fault> {
        if !asked["reason"].is_null() {
            return Err(Fault::NotOffered("a reason for the goodbye"));
        }
        match &self.client {
            Client::Four(client) => client.disconnect().await?,
            Client::Five(client) => client.disconnect().await?,
        }
        // The connection may end before its own loop tells of the goodbye.
        let ended = self.until(|seen| matches!(seen, Seen::Goodbye).then_some(())).await;
        match ended {
            Ok(()) | Err(Fault::Refused(_)) => Ok(json!({})),
            Err(other) => Err(other),
        }
    }
}

fn connect_four(asked: &Value, see: UnboundedSender<Seen>) -> Result<Client, Fault> {
    let mut options = MqttOptions::new(text(asked, "id"), text(asked, "host"), port(asked));
    options.set_keep_alive(keepalive(asked));
    options.set_clean_session(asked["clean"].as_bool().unwrap_or(true));
    options.set_max_packet_size(PACKET as usize, PACKET as usize);
    options.set_inflight(50);
    if asked["user"].is_string() {
        options.set_credentials(text(asked, "user"), text(asked, "password"));
    }
    if let Some(transport) = transport(asked)? {
        options.set_transport(transport);
    }
    if let Some(will) = asked.get("will") {
        let retain = will["retain"].as_bool().unwrap_or_default();
        let payload = decoded(&text(will, "payload"));
        options.set_last_will(LastWill::new(text(will, "topic"), payload, qos(will), retain));
    }
    let (client, mut events) = rumqttc::AsyncClient::new(options, WAITING);
    tokio::spawn(async move {
        loop {
            let seen = match events.poll().await {
                Ok(event) => four(event),
                Err(rumqttc::ConnectionError::ConnectionRefused(code)) => {
                    Some(Seen::Refused(format!("{code:?}")))
                }
                Err(error) => Some(Seen::Ended(error.to_string())),
            };
            if !tell(&see, seen) {
                break;
            }
        }
    });
    Ok(Client::Four(client))
}

fn connect_five(asked: &Value, see: UnboundedSender<Seen>) -> Result<Client, Fault> {
    let mut options = v5::MqttOptions::new(text(asked, "id"), text(asked, "host"), port(asked));
    options.set_keep_alive(keepalive(asked));
    options.set_clean_start(asked["clean"].as_bool().unwrap_or(true));
    if asked["user"].is_string() {
        options.set_credentials(text(asked, "user"), text(asked, "password"));
    }
    if let Some(transport) = transport(asked)? {
        options.set_transport(transport);
    }
    if let Some(will) = asked.get("will") {
        let retain = will["retain"].as_bool().unwrap_or_default();
        let properties = will_properties(will);
        let payload = decoded(&text(will, "payload"));
        options.set_last_will(Will5::new(text(will, "topic"), payload, qos5(will), retain, Some(properties)));
    }
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = small(asked, "expiry");
    properties.receive_maximum = small(asked, "receive_maximum").and_then(|most| u16::try_from(most).ok());
    properties.max_packet_size = Some(PACKET);
    options.set_connect_properties(properties);
    let (client, mut events) = v5::AsyncClient::new(options, WAITING);
    tokio::spawn(async move {
        loop {
            let seen = match events.poll().await {
                Ok(event) => five(event),
                Err(v5::ConnectionError::ConnectionRefused(code)) => Some(Seen::Refused(format!("{code:?}"))),
                Err(error) => Some(Seen::Ended(error.to_string())),
            };
            if !tell(&see, seen) {
                break;
            }
        }
    });
    Ok(Client::Five(client))
}

/// Passes on what was seen. No more once the connection ended: another poll would connect again.
fn tell(see: &UnboundedSender<Seen>, seen: Option<Seen>) -> bool {
    let Some(seen) = seen else { return true };
    let goes_on = !matches!(seen, Seen::Ended(_) | Seen::Refused(_));
    if let Seen::Ended(error) = &seen {
        println!("{}", json!({ "closed": error }));
    }
    see.send(seen).is_ok() && goes_on
}

fn four(event: Event) -> Option<Seen> {
    match event {
        Event::Incoming(Packet::ConnAck(ack)) => {
            Some(Seen::Connected { present: ack.session_present, assigned: None })
        }
        Event::Incoming(Packet::SubAck(ack)) => {
            let code = |code: &SubscribeReasonCode| match code {
                SubscribeReasonCode::Success(qos) => *qos as u8,
                SubscribeReasonCode::Failure => 0x80,
            };
            Some(Seen::Subscribed(ack.return_codes.iter().map(code).collect()))
        }
        Event::Incoming(Packet::UnsubAck(_)) => Some(Seen::Unsubscribed),
        Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => Some(Seen::Acked),
        Event::Incoming(Packet::Publish(publish)) => {
            let message = json!({
                "topic": publish.topic, "payload": encoded(&publish.payload),
                "qos": publish.qos as u8, "retain": publish.retain,
            });
            println!("{}", json!({ "message": message }));
            None
        }
        Event::Outgoing(Outgoing::Publish(_)) => Some(Seen::Sent),
        Event::Outgoing(Outgoing::Disconnect) => Some(Seen::Goodbye),
        Event::Incoming(_) | Event::Outgoing(_) => None,
    }
}

fn five(event: v5::Event) -> Option<Seen> {
    match event {
        v5::Event::Incoming(Packet5::ConnAck(ack)) => {
            let assigned = ack.properties.and_then(|properties| properties.assigned_client_identifier);
            Some(Seen::Connected { present: ack.session_present, assigned })
        }
        v5::Event::Incoming(Packet5::SubAck(ack)) => {
            Some(Seen::Subscribed(ack.return_codes.iter().map(code_of).collect()))
        }
        v5::Event::Incoming(Packet5::UnsubAck(_)) => Some(Seen::Unsubscribed),
        v5::Event::Incoming(Packet5::PubAck(ack)) => Some(match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Seen::Acked,
            other => Seen::Refused(format!("{other:?}")),
        }),
        v5::Event::Incoming(Packet5::PubRec(ack)) => match ack.reason {
            PubRecReason::Success | PubRecReason::NoMatchingSubscribers => None,
            other => Some(Seen::Refused(format!("{other:?}"))),
        },
        v5::Event::Incoming(Packet5::PubComp(ack)) => Some(match ack.reason {
            PubCompReason::Success => Seen::Acked,
            other => Seen::Refused(format!("{other:?}")),
        }),
        v5::Event::Incoming(Packet5::Publish(publish)) => {
            let mut message = json!({
                "topic": String::from_utf8_lossy(&publish.topic), "payload": encoded(&publish.payload),
                "qos": publish.qos as u8, "retain": publish.retain,
            });
            if let Some(properties) = publish.properties {
                add_properties(&mut message, properties);
            }
            println!("{}", json!({ "message": message }));
            None
        }
        v5::Event::Outgoing(Outgoing::Publish(_)) => Some(Seen::Sent),
        v5::Event::Outgoing(Outgoing::Disconnect) => Some(Seen::Goodbye),
        v5::Event::Incoming(_) | v5::Event::Outgoing(_) => None,
    }
}

fn code_of(code: &Code5) -> u8 {
    match code {
        Code5::Success(qos) => *qos as u8,
        Code5::Failure | Code5::Unspecified => 0x80,
        Code5::ImplementationSpecific => 0x83,
        Code5::NotAuthorized => 0x87,
        Code5::TopicFilterInvalid => 0x8f,
        Code5::PkidInUse => 0x91,
        Code5::QuotaExceeded => 0x97,
        Code5::SharedSubscriptionsNotSupported => 0x9e,
        Code5::SubscriptionIdNotSupported => 0xa1,
        Code5::WildcardSubscriptionsNotSupported => 0xa2,
    }
}

fn add_properties(message: &mut Value, properties: PublishProperties) {
    let fields = [
        ("format", json!(properties.payload_format_indicator)),
        ("expiry", json!(properties.message_expiry_interval)),
        ("response_topic", json!(properties.response_topic)),
        ("correlation", json!(properties.correlation_data.map(|data| encoded(&data)))),
        ("content_type", json!(properties.content_type)),
        ("user", json!(properties.user_properties)),
        ("identifiers", json!(properties.subscription_identifiers)),
    ];
    for (key, value) in fields {
        message[key] = value;
    }
}

fn publish_properties(asked: &Value) -> PublishProperties {
    PublishProperties {
        payload_format_indicator: small(asked, "format").and_then(|format| u8::try_from(format).ok()),
        message_expiry_interval: small(asked, "expiry"),
        topic_alias: small(asked, "alias").and_then(|alias| u16::try_from(alias).ok()),
        response_topic: asked["response_topic"].as_str().map(str::to_owned),
        correlation_data: asked["correlation"].as_str().map(|data| Bytes::from(decoded(data))),
        user_properties: pairs(asked),
        subscription_identifiers: vec![],
        content_type: asked["content_type"].as_str().map(str::to_owned),
    }
}

fn will_properties(will: &Value) -> LastWillProperties {
    LastWillProperties {
        delay_interval: small(will, "delay"),
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: will["content_type"].as_str().map(str::to_owned),
        response_topic: will["response_topic"].as_str().map(str::to_owned),
        correlation_data: None,
        user_properties: pairs(will),
    }
}

fn pairs(asked: &Value) -> Vec<(String, String)> {
    serde_json::from_value(asked["user"].clone()).unwrap_or_default()
}

fn transport(asked: &Value) -> Result<Option<rumqttc::Transport>, Fault> {
    let Some(path) = asked["ca"].as_str() else { return Ok(None) };
    let ca = std::fs::read(path).map_err(|error| Fault::Failed(error.to_string()))?;
    Ok(Some(rumqttc::Transport::tls(ca, None, None)))
}

fn text(asked: &Value, key: &str) -> String {
    asked[key].as_str().unwrap_or_default().to_owned()
}

fn small(asked: &Value, key: &str) -> Option<u32> {
    asked[key].as_u64().and_then(|number| u32::try_from(number).ok())
}

fn port(asked: &Value) -> u16 {
    small(asked, "port").and_then(|port| u16::try_from(port).ok()).unwrap_or_default()
}

fn keepalive(asked: &Value) -> Duration {
    Duration::from_secs(u64::from(small(asked, "keepalive").unwrap_or(30)))
}

fn qos(asked: &Value) -> QoS {
    match asked["qos"].as_u64() {
        Some(2) => QoS::ExactlyOnce,
        Some(1) => QoS::AtLeastOnce,
        _ => QoS::AtMostOnce,
    }
}

fn qos5(asked: &Value) -> v5::mqttbytes::QoS {
    match asked["qos"].as_u64() {
        Some(2) => v5::mqttbytes::QoS::ExactlyOnce,
        Some(1) => v5::mqttbytes::QoS::AtLeastOnce,
        _ => v5::mqttbytes::QoS::AtMostOnce,
    }
}
