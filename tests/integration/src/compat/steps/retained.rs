//! Retained messages: set, replaced, cleared, and how a subscription asks for them.

use std::time::Duration;

use serde_json::json;

use super::super::agent::Agent;
use super::super::{Bench, Trouble};
use super::{MEMORY, Step, demand, demand_texts, demand_then_nothing};

pub const STEPS: &[Step] = &[
    Step::new("retained: set", set).short(),
    Step::new("retained: replaced", replaced),
    Step::new("retained: cleared by an empty payload", cleared),
    Step::new("retained: all that a wildcard matches", wildcard),
    Step::new("retained: at the lower QoS", lower_qos),
    Step::new("retained: again when the same filter comes again", again),
    Step::new("retained: after kill -9 of the broker", after_kill).because(MEMORY),
    Step::new("retain handling 0, 1 and 2", handling).five(),
    Step::new("retain as published", as_published).five(),
    Step::new("retained: until it expires", expires).five(),
];

/// Retains text, runs, and clears it whatever came of it.
fn with_retained(
    bench: &mut Bench<'_>,
    topics: &[&str],
    run: impl FnOnce(&mut Bench<'_>, &mut Agent) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut writer = bench.writer()?;
    for topic in topics {
        writer.retain(topic, topic, 1)?;
    }
    let came = run(bench, &mut writer);
    let mut cleaner = bench.connect(&bench.options("cleaner"))?;
    for topic in topics {
        cleaner.retain(topic, "", 1)?;
    }
    came
}

fn set(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut live = bench.reader("live-reader", "keep/x", 1)?;
    with_retained(bench, &["keep/x"], |bench, _| {
        let came = live.take_one()?;
        demand(!came.retain && came.text() == "keep/x", || "flagged for who was there".to_owned())?;
        let came = bench.reader("late-reader", "keep/x", 1)?.take_one()?;
        demand(came.retain && came.text() == "keep/x", || "not flagged for who came later".to_owned())
    })
}

fn replaced(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    with_retained(bench, &["keep/x"], |bench, writer| {
        writer.retain("keep/x", "the newer", 1)?;
        let mut reader = bench.reader("late-reader", "keep/x", 1)?;
        demand_then_nothing(writer, &mut reader, "keep/x", &["the newer"]).map(|_| ())
    })
}

fn cleared(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    with_retained(bench, &["keep/x"], |bench, writer| {
        let mut live = bench.reader("live-reader", "keep/x", 1)?;
        demand_texts(&live.take(1)?, &["keep/x"])?;
        writer.retain("keep/x", "", 1)?;
        demand_texts(&live.take(1)?, &[""])?;
        let mut reader = bench.reader("late-reader", "keep/x", 1)?;
        demand_then_nothing(writer, &mut reader, "keep/x", &[]).map(|_| ())
    })
}

fn wildcard(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    with_retained(bench, &["keep/a", "keep/b", "keep/é", "other/c"], |bench, writer| {
        let mut reader = bench.reader("late-reader", "keep/+", 1)?;
        writer.publish("keep/a", "the last", 1)?;
        let mut came: Vec<String> = reader.take_until("the last")?.iter().map(|one| one.text()).collect();
        came.sort();
        demand(came == ["keep/a", "keep/b", "keep/é"], || format!("delivered {came:?}"))
    })
}

fn lower_qos(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    with_retained(bench, &["keep/x"], |bench, writer| {
        for (published, granted) in [(2, 0), (2, 1), (2, 2), (0, 2), (1, 2)] {
            writer.retain("keep/x", "x", published)?;
            // Of a publication at QoS 0 nobody says when it is there; of one behind it, somebody does.
            writer.publish("keep/behind", "x", 1)?;
            let came = bench.reader("late-reader", "keep/x", granted)?.take_one()?.qos;
            let want = published.min(granted);
            demand(came == want, || format!("{published} to {granted} is delivered at {came}, want {want}"))?;
        }
        Ok(())
    })
}

fn again(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    with_retained(bench, &["keep/x"], |bench, _| {
        let mut reader = bench.reader("late-reader", "keep/x", 1)?;
        demand_texts(&reader.take(1)?, &["keep/x"])?;
        reader.subscribe("keep/x", 1)?;
        demand_texts(&reader.take(1)?, &["keep/x"])
    })
}

fn after_kill(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    with_retained(bench, &["keep/killed"], |bench, _| {
        bench.broker.kill_and_start();
        demand_texts(&bench.reader("late-reader", "keep/killed", 1)?.take(1)?, &["keep/killed"])
    })
}

fn handling(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    with_retained(bench, &["keep/x"], |bench, writer| {
        let ask =
            |handling: u8| json!({ "filters": [{ "filter": "keep/x", "qos": 1, "handling": handling }] });
        let mut reader = bench.connect(&bench.options("late-reader"))?;
        reader.subscribe_to(ask(2))?;
        demand_then_nothing(writer, &mut reader, "keep/x", &[])?;
        reader.subscribe_to(ask(1))?;
        demand_then_nothing(writer, &mut reader, "keep/x", &[])?;
        reader.subscribe_to(ask(0))?;
        demand_then_nothing(writer, &mut reader, "keep/x", &["keep/x"])?;
        let mut reader = bench.connect(&bench.options("later-reader"))?;
        reader.subscribe_to(ask(1))?;
        demand_then_nothing(writer, &mut reader, "keep/x", &["keep/x"]).map(|_| ())
    })
}

fn as_published(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut reader = bench.connect(&bench.options("live-reader"))?;
    reader.subscribe_to(json!({ "filters": [{ "filter": "keep/x", "qos": 1, "as_published": true }] }))?;
    with_retained(bench, &["keep/x"], |_, writer| {
        writer.publish("keep/x", "plain", 1)?;
        let flags: Vec<bool> = reader.take(2)?.iter().map(|one| one.retain).collect();
        demand(flags == [true, false], || format!("flags {flags:?}"))
    })
}

fn expires(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut writer = bench.writer()?;
    writer.publish_with("keep/x", b"short", 1, true, json!({ "expiry": 1 }))?;
    // Time itself is what is waited for.
    std::thread::sleep(Duration::from_secs(3));
    let mut reader = bench.reader("late-reader", "keep/x", 1)?;
    demand_then_nothing(&mut writer, &mut reader, "keep/x", &[])?;
    writer.publish_with("keep/x", b"long", 1, true, json!({ "expiry": 60 }))?;
    std::thread::sleep(Duration::from_secs(2));
    let came = bench.reader("later-reader", "keep/x", 1)?.take_one()?;
    writer.retain("keep/x", "", 1)?;
    let left = came.all["expiry"].as_u64();
    demand(left.is_some_and(|left| left < 60), || format!("{left:?} seconds left of 60 after 2"))
}
