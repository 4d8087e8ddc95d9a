//! Entering, each QoS both ways, order, size.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::broker::Kind;
use super::super::{Bench, Trouble};
use super::{Step, demand, demand_refusal, demand_texts, demand_then_nothing, differs};

pub const STEPS: &[Step] = &[
    Step::new("connect where everybody may", open_door),
    Step::new("connect without a password where one is wanted: refused with a code", no_password),
    Step::new("right password", right_password),
    Step::new("wrong password: refused with a code", wrong_password).short(),
    Step::new("unknown user: refused with a code", unknown_user),
    Step::new("TLS", tls).short(),
    Step::new("WebSocket at /mqtt", web_socket),
    Step::new("empty client id", empty_id),
    Step::new("same client id again: the first is closed", takeover),
    Step::new("idle for nearly two keepalives", idle),
    Step::new("QoS 0 both ways", |bench| both_ways(bench, 0)),
    Step::new("QoS 1 both ways", |bench| both_ways(bench, 1)),
    Step::new("QoS 2 both ways", |bench| both_ways(bench, 2)).short(),
    Step::new("lower of published and granted QoS", lower_qos),
    Step::new("payload of every byte", every_byte),
    Step::new("empty payload", empty_payload),
    Step::new("payload of 200,000 bytes", |bench| large(bench, 200_000)),
    Step::new("payload of 262,144 bytes", |bench| large(bench, 262_144)),
    Step::new("payload of 1,000,000 bytes", |bench| large(bench, 1_000_000)).because(LARGE),
    Step::new("10,000 messages in order, QoS 1", |bench| in_order(bench, 10_000)),
    Step::new("unsubscribe", unsubscribe),
    Step::new("same filter twice: one copy", same_filter),
    Step::new("overlapping filters: each gets it", overlapping),
    Step::new("shared subscription: each message to one member", shared),
];

const LARGE: &[(Kind, &str)] = &[(
    Kind::Riser,
    "A payload here has at most 256 KiB, so that a publication fits into every batch to a hub. Beyond it MQTT 5 is \
     told (0x83, with the bound in words); in 3.1.1, which has no word for it, and where a device whose connection is \
     closed would send it again for ever, it is acknowledged, given up, counted and told to who administers the \
     account. mosquitto takes what the protocol can carry (256 MiB).",
)];

fn open_door(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut options = bench.options("open");
    options["port"] = json!(bench.broker.ports.open);
    without_login(&mut options);
    let mut agent = bench.connect(&options)?;
    agent.publish("open/door", "in", 1)
}

fn without_login(options: &mut Value) {
    let fields = options.as_object_mut().expect("options are an object");
    fields.remove("user");
    fields.remove("password");
}

fn no_password(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut options = bench.options("nobody");
    without_login(&mut options);
    demand_refusal(bench.connect(&options))
}

fn right_password(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    bench.connect(&bench.options("right"))?.publish("password/right", "in", 1)
}

fn wrong_password(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut options = bench.options("wrong");
    options["password"] = json!("battery staple");
    demand_refusal(bench.connect(&options))
}

fn unknown_user(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut options = bench.options("unknown");
    options["user"] = json!("nobody");
    demand_refusal(bench.connect(&options))
}

fn tls(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut options = bench.options("tls-reader");
    options["port"] = json!(bench.broker.ports.tls);
    options["host"] = json!("localhost");
    options["ca"] = json!(bench.broker.authority());
    let mut reader = bench.connect(&options)?;
    reader.subscribe("tls/x", 1)?;
    options["id"] = json!("tls-writer");
    bench.connect(&options)?.publish("tls/x", "sealed", 1)?;
    demand_texts(&reader.take(1)?, &["sealed"])
}

fn web_socket(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut options = bench.options("ws-reader");
    options["port"] = json!(bench.broker.ports.ws);
    options["ws"] = json!("/mqtt");
    let mut reader = bench.connect(&options)?;
    reader.subscribe("ws/x", 1)?;
    options["id"] = json!("ws-writer");
    bench.connect(&options)?.publish("ws/x", "framed", 1)?;
    demand_texts(&reader.take(1)?, &["framed"])
}

fn empty_id(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut agent = bench.agent();
    let told = agent.connect(&bench.options(""))?;
    let assigned = told["assigned"].as_str().unwrap_or_default();
    let tells = bench.client.version == 5 && matches!(bench.client.name, "paho" | "mqttjs" | "rumqttc");
    demand(!tells || !assigned.is_empty(), || "no client id is assigned".to_owned())?;
    agent.publish("empty/id", "in", 1)
}

fn takeover(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    if bench.client.is_pair() {
        return Err(Trouble::NotOffered("staying away once it is closed".to_owned()));
    }
    let mut first = bench.reader("twin", "takeover/x", 1)?;
    let mut second = bench.reader("twin", "takeover/x", 1)?;
    demand(first.is_closed_within(Duration::from_secs(10)), || "the first stays".to_owned())?;
    bench.writer()?.publish("takeover/x", "to the second", 1)?;
    demand_texts(&second.take(1)?, &["to the second"])
}

fn idle(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    // The shortest that every client takes.
    let mut options = bench.options("idle");
    options["keepalive"] = json!(5);
    let mut reader = bench.connect(&options)?;
    reader.subscribe("idle/x", 1)?;
    demand(!reader.is_closed_within(Duration::from_secs(9)), || "it is closed".to_owned())?;
    bench.writer()?.publish("idle/x", "still here", 1)?;
    demand_texts(&reader.take(1)?, &["still here"])
}

fn both_ways(bench: &mut Bench<'_>, qos: u8) -> Result<(), Trouble> {
    let topic = format!("qos/{qos}");
    let mut reader = bench.reader("qos-reader", &topic, qos)?;
    let mut writer = bench.writer()?;
    let texts: Vec<String> = (0..10).map(|n| format!("message {n}")).collect();
    for text in &texts {
        writer.publish(&topic, text, qos)?;
    }
    let want: Vec<&str> = texts.iter().map(String::as_str).collect();
    let came = demand_then_nothing(&mut writer, &mut reader, &topic, &want)?;
    let odd = came.iter().find(|message| message.qos != qos || message.retain || message.topic != topic);
    demand(odd.is_none(), || format!("delivered as {odd:?}"))
}

fn lower_qos(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut writer = bench.writer()?;
    for granted in 0..=2 {
        let mut reader = bench.reader("lower-reader", "lower/x", granted)?;
        for published in 0..=2 {
            writer.publish("lower/x", "x", published)?;
            let came = reader.take_one()?.qos;
            let want = granted.min(published);
            demand(came == want, || format!("{published} to {granted} is delivered at {came}, want {want}"))?;
        }
    }
    Ok(())
}

fn every_byte(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    if bench.client.is_pair() {
        return Err(Trouble::NotOffered("payloads that are not text, together with their flags".to_owned()));
    }
    let bytes: Vec<u8> = (0..=255).collect();
    let mut reader = bench.reader("bytes-reader", "bytes/x", 1)?;
    bench.writer()?.publish_with("bytes/x", &bytes, 1, false, json!({}))?;
    let came = reader.take_one()?.payload;
    demand(came == bytes, || format!("{came:?}"))
}

fn empty_payload(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut reader = bench.reader("empty-reader", "empty/x", 1)?;
    let mut writer = bench.writer()?;
    writer.publish("empty/x", "", 1)?;
    demand_then_nothing(&mut writer, &mut reader, "empty/x", &[""]).map(|_| ())
}

fn large(bench: &mut Bench<'_>, bytes: usize) -> Result<(), Trouble> {
    let text: String =
        (0..bytes).map(|n| char::from(b'a' + u8::try_from(n % 26).expect("below 26"))).collect();
    let mut reader = bench.reader("large-reader", "large/x", 1)?;
    let mut writer = bench.writer()?;
    for qos in [1, 2] {
        writer.publish("large/x", &text, qos)?;
        let came = reader.take_one()?;
        demand(came.payload == text.as_bytes(), || format!("{} bytes came", came.payload.len()))?;
    }
    Ok(())
}

fn in_order(bench: &mut Bench<'_>, count: u32) -> Result<(), Trouble> {
    let mut reader = bench.reader("order-reader", "order/x", 1)?;
    let mut writer = bench.writer()?;
    writer.burst("order/x", count, 1)?;
    let came = reader.take_within(count as usize, Duration::from_secs(30))?;
    let is_right = came.iter().zip(0..count).all(|(message, n)| message.text() == n.to_string());
    demand(is_right, || "not in order, or some twice".to_owned())?;
    demand_then_nothing(&mut writer, &mut reader, "order/x", &[]).map(|_| ())
}

fn unsubscribe(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut reader = bench.reader("un-reader", "un/x", 1)?;
    reader.subscribe("un/y", 1)?;
    let mut writer = bench.writer()?;
    writer.publish("un/x", "before", 1)?;
    demand_texts(&reader.take(1)?, &["before"])?;
    reader.unsubscribe("un/x")?;
    writer.publish("un/x", "after", 1)?;
    demand_then_nothing(&mut writer, &mut reader, "un/y", &[]).map(|_| ())
}

fn same_filter(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut reader = bench.reader("same-reader", "same/x", 1)?;
    reader.subscribe("same/x", 1)?;
    let mut writer = bench.writer()?;
    writer.publish("same/x", "once", 1)?;
    demand_then_nothing(&mut writer, &mut reader, "same/x", &["once"]).map(|_| ())
}

fn overlapping(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut reader = bench.connect(&bench.options("over-reader"))?;
    let filters = json!([{ "filter": "over/x", "qos": 1 }, { "filter": "over/#", "qos": 1 }]);
    reader.subscribe_to(json!({ "filters": filters }))?;
    let mut writer = bench.writer()?;
    writer.publish("over/x", "both", 1)?;
    writer.publish("over/y", "one", 1)?;
    writer.publish("over/z", "the last", 1)?;
    let came = reader.take_until("the last")?;
    // One copy for both, or one for each: the server may choose.
    let mut texts: Vec<String> = came.iter().map(|message| message.text()).collect();
    texts.dedup();
    demand(texts == ["both", "one"] && came.len() <= 3, || format!("delivered {texts:?}"))
}

fn shared(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut readers = [
        bench.reader("share-1", "$share/group/share/x", 1)?,
        bench.reader("share-2", "$share/group/share/x", 1)?,
    ];
    let mut writer = bench.writer()?;
    for n in 0..10 {
        writer.publish("share/x", &n.to_string(), 1)?;
    }
    let mut came = 0;
    for reader in &mut readers {
        while reader.take_within(1, Duration::from_secs(1)).is_ok() {
            came += 1;
        }
    }
    if came == 10 { Ok(()) } else { differs(format!("{came} of 10 delivered")) }
}
