//! Wills: published when a connection is cut, not when it says goodbye.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::agent::{Agent, encoded};
use super::super::{Bench, Trouble};
use super::{Step, demand, demand_then_nothing};

pub const STEPS: &[Step] = &[
    Step::new("will: published when it is cut", cut).short(),
    Step::new("will: not published after a goodbye", goodbye),
    Step::new("will: retained", retained),
    Step::new("will: with its properties", properties).five(),
    Step::new("will: after its delay", delayed).five(),
    Step::new("will: not when it is back within the delay", back_in_time).five(),
    Step::new("will: published after a goodbye that asks for it", goodbye_with_will).five(),
];

fn will(topic: &str) -> Value {
    json!({ "topic": topic, "payload": encoded(b"gone"), "qos": 1, "retain": false })
}

fn mortal(bench: &Bench<'_>, will: &Value) -> Result<Agent, Trouble> {
    let mut options = bench.options("mortal");
    options["will"] = will.clone();
    bench.connect(&options)
}

fn cut(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut heir = bench.reader("heir", "will/x", 1)?;
    mortal(bench, &will("will/x"))?.cut();
    let came = heir.take_one()?;
    demand(came.text() == "gone" && came.qos == 1 && !came.retain, || format!("{came:?}"))
}

fn goodbye(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut heir = bench.reader("heir", "will/x", 1)?;
    mortal(bench, &will("will/x"))?.disconnect()?;
    demand_then_nothing(&mut bench.writer()?, &mut heir, "will/x", &[]).map(|_| ())
}

fn retained(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut heir = bench.reader("heir", "will/x", 1)?;
    let mut will = will("will/x");
    will["retain"] = json!(true);
    mortal(bench, &will)?.cut();
    heir.take_one()?;
    let came = bench.reader("late-heir", "will/x", 1)?.take_one();
    bench.writer()?.retain("will/x", "", 1)?;
    let came = came?;
    demand(came.text() == "gone" && came.retain, || format!("{came:?}"))
}

fn properties(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut heir = bench.reader("heir", "will/x", 1)?;
    let mut will = will("will/x");
    will["content_type"] = json!("text/plain");
    will["user"] = json!([["who", "mortal"]]);
    will["response_topic"] = json!("will/answer");
    mortal(bench, &will)?.cut();
    let came = heir.take_one()?.all;
    let is_right = ["content_type", "user", "response_topic"].iter().all(|key| came[key] == will[key]);
    demand(is_right, || format!("{came}"))
}

fn lasting(bench: &Bench<'_>, seconds: u32) -> Value {
    let mut options = bench.kept("mortal");
    options["clean"] = json!(true);
    let mut will = will("will/x");
    will["delay"] = json!(seconds);
    options["will"] = will;
    options
}

fn delayed(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut heir = bench.reader("heir", "will/x", 1)?;
    let mut mortal = bench.connect(&lasting(bench, 2))?;
    let began = Instant::now();
    mortal.cut();
    let came = heir.take_one()?;
    let took = began.elapsed();
    demand(came.text() == "gone" && took >= Duration::from_secs(1), || format!("after {took:?}, want 2 s"))
}

fn back_in_time(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut heir = bench.reader("heir", "will/x", 1)?;
    bench.connect(&lasting(bench, 10))?.cut();
    let mut options = bench.kept("mortal");
    let mut back = bench.connect(&options)?;
    if bench.client.is_pair() {
        back.subscribe("will/other", 1)?;
    }
    // Time itself is what is waited for.
    std::thread::sleep(Duration::from_secs(12));
    demand_then_nothing(&mut bench.writer()?, &mut heir, "will/x", &[])?;
    back.disconnect()?;
    options["clean"] = json!(true);
    options["expiry"] = json!(0);
    bench.connect(&options).map(|_| ())
}

fn goodbye_with_will(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut heir = bench.reader("heir", "will/x", 1)?;
    mortal(bench, &will("will/x"))?.disconnect_because(4)?;
    let came = heir.take_one()?;
    demand(came.text() == "gone", || format!("{came:?}"))
}
