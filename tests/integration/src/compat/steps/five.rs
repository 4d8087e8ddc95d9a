//! What only MQTT 5 has.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::agent::encoded;
use super::super::broker::Kind;
use super::super::{Bench, Trouble};
use super::{Step, demand, demand_texts, demand_then_nothing};

pub const STEPS: &[Step] = &[
    Step::new("request and response with user properties", request).five().short(),
    Step::new("user properties: order and repetitions", user_properties).five(),
    Step::new("content type and payload format", content_type).five(),
    Step::new("content type `application/octet-stream`", octet_stream).five(),
    Step::new("message expiry: dropped, or what is left", expiry).five(),
    Step::new("subscription identifier", identifier).five(),
    Step::new("no local", no_local).five(),
    Step::new("no local: retained, on a later connection", no_local_retained).five().because(&[(
        Kind::Mosquitto,
        "What a client id retained comes back to it on its next connection. The standard goes by the client id \
         (MQTT-3.8.3-3).",
    )]),
    Step::new("topic alias from the client", alias).five(),
    Step::new("Receive Maximum 1", receive_maximum).five(),
];

fn demand_same(came: &Value, want: &Value) -> Result<(), Trouble> {
    let fields = want.as_object().expect("properties are an object");
    let odd = fields.iter().find(|(key, value)| came[key.as_str()] != **value);
    demand(odd.is_none(), || {
        let (key, want) = odd.expect("it was just found");
        format!("{key} is delivered as {}, want {want}", came[key])
    })
}

fn request(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut server = bench.reader("server", "ask/x", 1)?;
    let mut asker = bench.reader("asker", "answer/to/me", 1)?;
    let question = json!({
        "response_topic": "answer/to/me", "correlation": encoded(b"number 7"),
        "user": [["unit", "°C"], ["zone", "cellar"]],
    });
    bench.writer()?.publish_with("ask/x", b"how warm", 1, false, question.clone())?;
    let came = server.take_one()?.all;
    demand_same(&came, &question)?;
    let topic = came["response_topic"].as_str().unwrap_or_default().to_owned();
    let answer = json!({ "correlation": came["correlation"], "user": came["user"] });
    bench.writer()?.publish_with(&topic, b"21", 1, false, answer.clone())?;
    let came = asker.take_one()?;
    demand_texts(std::slice::from_ref(&came), &["21"])?;
    demand_same(&came.all, &answer)
}

fn user_properties(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut reader = bench.reader("user-reader", "user/x", 1)?;
    let pairs = json!({ "user": [["b", "1"], ["a", "2"], ["a", "3"], ["a", "2"], ["empty", ""]] });
    bench.writer()?.publish_with("user/x", b"x", 1, false, pairs.clone())?;
    demand_same(&reader.take_one()?.all, &pairs)
}

fn content_type(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut reader = bench.reader("type-reader", "type/x", 1)?;
    let properties = json!({ "content_type": "application/json", "format": 1 });
    bench.writer()?.publish_with("type/x", b"{\"a\":1}", 1, false, properties.clone())?;
    let came = reader.take_one()?;
    demand_same(&came.all, &properties)?;
    demand(came.payload == b"{\"a\":1}", || came.text())
}

fn octet_stream(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut reader = bench.reader("octet-reader", "octet/x", 1)?;
    let properties = json!({ "content_type": "application/octet-stream" });
    bench.writer()?.publish_with("octet/x", b"x", 1, false, properties.clone())?;
    demand_same(&reader.take_one()?.all, &properties)
}

fn expiry(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let options = bench.kept("late");
    let mut late = bench.connect(&options)?;
    late.subscribe("expiry/x", 1)?;
    late.disconnect()?;
    let mut writer = bench.writer()?;
    writer.publish_with("expiry/x", b"short", 1, false, json!({ "expiry": 1 }))?;
    writer.publish_with("expiry/x", b"long", 1, false, json!({ "expiry": 60 }))?;
    // Time itself is what is waited for.
    std::thread::sleep(Duration::from_secs(3));
    let mut late = bench.connect(&options)?;
    if bench.client.is_pair() {
        late.subscribe("expiry/x", 1)?;
    }
    let came = demand_then_nothing(&mut writer, &mut late, "expiry/x", &["long"])?;
    let left = came[0].all["expiry"].as_u64();
    drop(late);
    bench.connect(&bench.options("late"))?.disconnect()?;
    demand(left.is_some_and(|left| left <= 58), || format!("{left:?} seconds left of 60 after 3"))
}

fn identifier(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut reader = bench.connect(&bench.options("id-reader"))?;
    reader.subscribe_to(json!({ "filters": [{ "filter": "id/#", "qos": 1 }], "identifier": 268_435_455 }))?;
    bench.writer()?.publish("id/x", "x", 1)?;
    demand_same(&reader.take_one()?.all, &json!({ "identifiers": [268_435_455] }))
}

fn no_local(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut both = bench.connect(&bench.options("both"))?;
    both.subscribe_to(json!({ "filters": [{ "filter": "local/x", "qos": 1, "no_local": true }] }))?;
    both.publish("local/x", "from itself", 1)?;
    demand_then_nothing(&mut bench.writer()?, &mut both, "local/x", &[]).map(|_| ())
}

fn no_local_retained(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut both = bench.connect(&bench.options("both"))?;
    both.retain("local/kept", "its own", 1)?;
    both.disconnect()?;
    let mut both = bench.connect(&bench.options("both"))?;
    both.subscribe_to(json!({ "filters": [{ "filter": "local/kept", "qos": 1, "no_local": true }] }))?;
    let came = demand_then_nothing(&mut bench.writer()?, &mut both, "local/kept", &[]);
    bench.writer()?.retain("local/kept", "", 1)?;
    came.map(|_| ())
}

fn alias(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut reader = bench.reader("alias-reader", "alias/x", 1)?;
    let mut writer = bench.writer()?;
    writer.publish_with("alias/x", b"with its topic", 1, false, json!({ "alias": 1 }))?;
    writer.publish_with("", b"by its alias", 1, false, json!({ "alias": 1 }))?;
    demand_texts(&reader.take(2)?, &["with its topic", "by its alias"])
}

fn receive_maximum(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut options = bench.options("narrow");
    options["receive_maximum"] = json!(1);
    let mut reader = bench.connect(&options)?;
    reader.subscribe("narrow/x", 2)?;
    let mut writer = bench.writer()?;
    let texts: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    for text in &texts {
        writer.publish("narrow/x", text, 2)?;
    }
    let want: Vec<&str> = texts.iter().map(String::as_str).collect();
    demand_then_nothing(&mut writer, &mut reader, "narrow/x", &want).map(|_| ())
}
