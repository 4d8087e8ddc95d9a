//! Sessions that stay: what is queued for who is away, over restarts of the broker.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::agent::{Agent, Message};
use super::super::{Bench, Trouble};
use super::{MEMORY, Step, demand, demand_texts, demand_then_nothing};

pub const STEPS: &[Step] = &[
    Step::new("session: QoS 1 and 2 wait for who is away", waits),
    Step::new("session: gone after a clean start", clean_start),
    Step::new("session: over a restart of the broker", |bench| restart(bench, Ending::Polite)),
    Step::new("session: over kill -9 of the broker", |bench| restart(bench, Ending::Kill))
        .short()
        .because(MEMORY),
    Step::new("session: subscription over kill -9, then published", subscription_over_kill).because(MEMORY),
    Step::new("session: what was cut off unacknowledged comes again", cut_off),
    Step::new("session: gone when it expires", expires).five(),
];

#[derive(Clone, Copy)]
enum Ending {
    Polite,
    Kill,
}

/// A session with one subscription, whose client is away.
fn leave(bench: &Bench<'_>, filter: &str) -> Result<Value, Trouble> {
    let options = bench.kept("sleeper");
    let mut sleeper = bench.connect(&options)?;
    sleeper.subscribe(filter, 2)?;
    sleeper.disconnect()?;
    Ok(options)
}

/// Comes back to a session. mosquitto_sub cannot without subscribing again.
fn back(bench: &Bench<'_>, options: &Value, filter: &str, is_present: bool) -> Result<Agent, Trouble> {
    let mut sleeper = bench.agent();
    let told = sleeper.connect(options)?;
    let present = told["present"].as_bool().unwrap_or(is_present);
    demand(present == is_present, || format!("session present is {present}"))?;
    if bench.client.is_pair() {
        sleeper.subscribe(filter, 2)?;
    }
    Ok(sleeper)
}

/// Demands that these came at that QoS, in this order. Between one QoS and another there is none.
fn demand_in_order(came: &[Message], qos: u8, want: &[&str]) -> Result<(), Trouble> {
    let of_qos: Vec<Message> = came.iter().filter(|one| one.qos == qos).cloned().collect();
    demand_texts(&of_qos, want)
}

/// Ends the session, so that the next step begins with none.
fn forget(bench: &Bench<'_>) -> Result<(), Trouble> {
    bench.connect(&bench.options("sleeper"))?.disconnect()
}

fn waits(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let options = leave(bench, "sleep/x")?;
    let mut writer = bench.writer()?;
    writer.publish("sleep/x", "one", 1)?;
    writer.publish("sleep/x", "two", 2)?;
    writer.publish("sleep/x", "three", 1)?;
    let mut sleeper = back(bench, &options, "sleep/x", true)?;
    let came = sleeper.take(3)?;
    demand_in_order(&came, 1, &["one", "three"])?;
    demand_in_order(&came, 2, &["two"])?;
    demand_then_nothing(&mut writer, &mut sleeper, "sleep/x", &[])?;
    drop(sleeper);
    forget(bench)
}

fn clean_start(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut options = leave(bench, "sleep/x")?;
    let mut writer = bench.writer()?;
    writer.publish("sleep/x", "lost on purpose", 1)?;
    forget(bench)?;
    options["clean"] = json!(false);
    let mut sleeper = back(bench, &options, "sleep/x", false)?;
    if !bench.client.is_pair() {
        sleeper.subscribe("sleep/x", 2)?;
    }
    demand_then_nothing(&mut writer, &mut sleeper, "sleep/x", &[])?;
    drop(sleeper);
    forget(bench)
}

fn restart(bench: &mut Bench<'_>, ending: Ending) -> Result<(), Trouble> {
    // A broker that comes back with an older state has nothing of this one.
    let name = match ending {
        Ending::Polite => "stop",
        Ending::Kill => "kill",
    };
    let topic = format!("sleep/{name}");
    let options = leave(bench, &topic)?;
    let mut writer = bench.writer()?;
    let texts: Vec<String> = (0..20).map(|n| format!("{name} {n}")).collect();
    for (text, qos) in texts.iter().zip([1, 2].into_iter().cycle()) {
        writer.publish(&topic, text, qos)?;
    }
    drop(writer);
    match ending {
        Ending::Polite => bench.broker.stop_and_start(),
        Ending::Kill => bench.broker.kill_and_start(),
    }
    let mut sleeper = back(bench, &options, &topic, true)?;
    let came = sleeper.take(texts.len())?;
    for (first, qos) in [(0, 1), (1, 2)] {
        let want: Vec<&str> = texts.iter().skip(first).step_by(2).map(String::as_str).collect();
        demand_in_order(&came, qos, &want)?;
    }
    demand_then_nothing(&mut bench.writer()?, &mut sleeper, &topic, &[])?;
    drop(sleeper);
    forget(bench)
}

fn subscription_over_kill(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let options = leave(bench, "sleep/after")?;
    bench.broker.kill_and_start();
    bench.writer()?.publish("sleep/after", "after the kill", 1)?;
    let mut sleeper = back(bench, &options, "sleep/after", true)?;
    demand_texts(&sleeper.take(1)?, &["after the kill"])?;
    drop(sleeper);
    forget(bench)
}

/// A connection is cut in the middle of a stream; the next one has the rest, and nothing is missing between.
fn cut_off(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    const COUNT: u32 = 500;
    // These acknowledge before they hand over: what was between the two is lost with the client, not with the broker.
    if matches!(bench.client.name, "aiomqtt" | "gmqtt" | "rumqttc") {
        return Err(Trouble::NotOffered("acknowledging only what was handed over, as it comes".to_owned()));
    }
    let options = bench.kept("sleeper");
    let mut sleeper = bench.connect(&options)?;
    sleeper.subscribe("sleep/x", 1)?;
    let mut writer = bench.writer()?;
    writer.burst("sleep/x", COUNT, 1)?;
    let mut came = sleeper.take(20)?;
    sleeper.cut();
    // What it had printed before it was cut.
    while let Ok(more) = sleeper.take_within(1, Duration::from_millis(200)) {
        came.extend(more);
    }
    let mut sleeper = back(bench, &options, "sleep/x", true)?;
    writer.publish("sleep/x", "the last", 1)?;
    let rest = sleeper.take_until("the last")?;
    let number = |one: &Message| one.text().parse::<u32>().ok();
    let is_ordered = rest.iter().filter_map(number).is_sorted();
    let mut numbers: Vec<u32> = came.iter().chain(&rest).filter_map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let missing = COUNT as usize - numbers.len();
    demand(missing == 0, || format!("{missing} of {COUNT} are missing"))?;
    demand(is_ordered, || "not in order".to_owned())?;
    drop(sleeper);
    forget(bench)
}

fn expires(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut options = bench.kept("sleeper");
    options["expiry"] = json!(1);
    let mut sleeper = bench.connect(&options)?;
    sleeper.subscribe("sleep/x", 1)?;
    sleeper.disconnect()?;
    let mut writer = bench.writer()?;
    writer.publish("sleep/x", "too late", 1)?;
    // Time itself is what is waited for.
    std::thread::sleep(Duration::from_secs(4));
    let mut sleeper = back(bench, &options, "sleep/x", false)?;
    if !bench.client.is_pair() {
        sleeper.subscribe("sleep/x", 2)?;
    }
    demand_then_nothing(&mut writer, &mut sleeper, "sleep/x", &[])?;
    drop(sleeper);
    forget(bench)
}
