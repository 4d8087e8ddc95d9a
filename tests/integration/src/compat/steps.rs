//! The script: every step by its name, what it does, and why the brokers differ where they do.

mod basics;
mod five;
mod retained;
mod sessions;
mod topics;
mod wills;

use super::agent::{Agent, Message};
use super::broker::Kind;
use super::{Bench, Trouble};

/// What a step does.
#[derive(Clone, Copy, Debug)]
enum Work {
    Script(fn(&mut Bench<'_>) -> Result<(), Trouble>),
    /// A publication to this topic arrives there.
    Topic(&'static str),
}

/// One step of the script.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What it shows.
    pub name: &'static str,
    /// Only MQTT 5 has it.
    only_five: bool,
    /// It belongs to the short run.
    pub is_short: bool,
    work: Work,
    /// Why a broker differs, where one does.
    pub why: &'static [(Kind, &'static str)],
}

impl Step {
    const fn new(name: &'static str, work: fn(&mut Bench<'_>) -> Result<(), Trouble>) -> Self {
        Self { name, only_five: false, is_short: false, work: Work::Script(work), why: &[] }
    }

    const fn topic(name: &'static str, topic: &'static str) -> Self {
        Self { name, only_five: false, is_short: false, work: Work::Topic(topic), why: &[] }
    }

    const fn five(self) -> Self {
        Self { only_five: true, ..self }
    }

    const fn short(self) -> Self {
        Self { is_short: true, ..self }
    }

    const fn because(self, why: &'static [(Kind, &'static str)]) -> Self {
        Self { why, ..self }
    }

    /// Whether a version of MQTT has it.
    pub fn is_for(&self, version: u8) -> bool {
        version == 5 || !self.only_five
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// Where something else came of it than the standard demands.
    pub fn run(&self, bench: &mut Bench<'_>) -> Result<(), Trouble> {
        match self.work {
            Work::Script(script) => script(bench),
            Work::Topic(topic) => topics::arrives(bench, topic),
        }
    }
}

/// All of it, in order. What is retained by one step is not in the way of a later one.
pub fn all() -> Vec<Step> {
    [basics::STEPS, topics::STEPS, retained::STEPS, wills::STEPS, sessions::STEPS, five::STEPS].concat()
}

/// Why mosquitto comes back from a kill without what it acknowledged.
const MEMORY: &[(Kind, &str)] = &[(
    Kind::Mosquitto,
    "mosquitto keeps sessions and what is retained in memory and writes them down when it ends and every 30 minutes \
     (`autosave_interval`, as it comes). What it acknowledged in between is gone, and what had ended is back. Here an \
     acknowledgement follows the disk.",
)];

fn differs<T>(how: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Differs(how.into()))
}

/// Goes on only where it holds.
fn demand(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Trouble> {
    if holds { Ok(()) } else { differs(otherwise()) }
}

/// Demands that these texts came, in this order.
fn demand_texts(came: &[Message], want: &[&str]) -> Result<(), Trouble> {
    let texts: Vec<String> = came.iter().map(Message::text).collect();
    demand(texts == want, || format!("delivered {texts:?}, want {want:?}"))
}

/// Demands that what was named came, and nothing else before a last message that is sent for this.
fn demand_then_nothing(
    writer: &mut Agent,
    reader: &mut Agent,
    topic: &str,
    want: &[&str],
) -> Result<Vec<Message>, Trouble> {
    // A message of one QoS may overtake one of another: the last is sent when the rest is there.
    let came = reader.take(want.len())?;
    demand_texts(&came, want)?;
    writer.publish(topic, "the last", 1)?;
    demand_texts(&reader.take_until("the last")?, &[])?;
    Ok(came)
}

/// Demands a refusal with a code.
fn demand_refusal(came: Result<impl Sized, Trouble>) -> Result<(), Trouble> {
    match came {
        Ok(_) => differs("it was not refused"),
        Err(Trouble::Refused(code)) if !code.starts_with("closed") => Ok(()),
        Err(Trouble::Refused(code)) => differs(format!("no code: {code}")),
        Err(other) => Err(other),
    }
}
