//! Unusual topics and what filters match.

use serde_json::json;

use super::super::broker::Kind;
use super::super::{Bench, Trouble};
use super::{Step, demand, demand_then_nothing};

pub const STEPS: &[Step] = &[
    Step::topic("topic `é/temp`", "é/temp").short(),
    Step::topic("topic `日本/温度/🌡`", "日本/温度/🌡"),
    Step::topic("topic `/leading`", "/leading"),
    Step::topic("topic `trailing/`", "trailing/"),
    Step::topic("topic `a//b`", "a//b"),
    Step::topic("topic `/`", "/"),
    Step::topic("topic `with space/ x y `", "with space/ x y "),
    Step::topic("topic `UPPER/upper` beside `upper/UPPER`", "UPPER/upper"),
    Step::topic("topic `a.b/c:d/e,f/{g}/[h]/%20/\"i\"/\\j`", "a.b/c:d/e,f/{g}/[h]/%20/\"i\"/\\j"),
    Step::topic("topic `../up/./here`", "../up/./here").because(&[(
        Kind::Riser,
        "A level that is `.` or `..` names no channel, for a channel is also the path of a URL: 0x90 in MQTT 5. A device \
         of 3.1.1, which has no word for a refusal, is acknowledged, and what it said is in the account's quarantine.",
    )]),
    Step::topic("topic of 15 levels", "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15"),
    Step::new("topic of 100 levels", |bench| arrives(bench, &vec!["l"; 100].join("/"))).because(BOUNDS),
    Step::new("topic of 1,000 bytes", |bench| arrives(bench, &format!("long/{}", "x".repeat(995)))).because(BOUNDS),
    Step::topic("topic `a/$b/c`", "a/$b/c"),
    Step::new("wildcards match what the standard says", wildcards),
    Step::new("`#` and `+/x` do not match `$compat/x`", dollar),
    Step::new("`$SYS/#` tells of the broker", sys),
];

const BOUNDS: &[(Kind, &str)] = &[(
    Kind::Riser,
    "A channel has at most 16 levels and 255 bytes. A filter that could match none is refused: 0x8F in MQTT 5, 0x80 in \
     3.1.1.",
)];

/// A publication to this topic arrives there, and at `#`.
pub fn arrives(bench: &mut Bench<'_>, topic: &str) -> Result<(), Trouble> {
    let mut reader = bench.reader("topic-reader", topic, 1)?;
    let mut all = bench.reader("all-reader", "#", 1)?;
    let mut writer = bench.writer()?;
    writer.publish(topic, "here", 1)?;
    for (filter, reader) in [(topic, &mut reader), ("#", &mut all)] {
        let came = reader.take_one()?;
        let is_it = came.topic == topic && came.text() == "here";
        demand(is_it, || format!("{filter} is delivered {:?} at {:?}", came.text(), came.topic))?;
    }
    Ok(())
}

/// A filter, topics that it matches, and topics that it does not.
const WILDCARDS: [(&str, &[&str], &[&str]); 8] = [
    ("w/#", &["w", "w/", "w/a", "w/a/b"], &["v/w", "ww"]),
    ("w/+", &["w/", "w/a"], &["w", "w/a/b"]),
    ("+/w", &["/w", "é/w", "a b/w"], &["w", "a/b/w"]),
    ("w/+/z", &["w//z", "w/y/z"], &["w/z", "w/x/y/z"]),
    ("/+", &["/w"], &["w", "/w/x"]),
    ("+/+", &["/w", "w/w", "w/"], &["w", "w/w/w"]),
    ("+", &["w"], &["/w", "w/"]),
    ("w/+/#", &["w/a", "w/a/b/c", "w//"], &["w", "v/a"]),
];

fn wildcards(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut writer = bench.writer()?;
    for (filter, matched, others) in WILDCARDS {
        let mut reader = bench.connect(&bench.options("wild-reader"))?;
        let both = json!([{ "filter": filter, "qos": 1 }, { "filter": "until/here", "qos": 1 }]);
        reader.subscribe_to(json!({ "filters": both }))?;
        for topic in matched.iter().chain(others) {
            writer.publish(topic, topic, 1)?;
        }
        writer.publish("until/here", "the last", 1)?;
        let came: Vec<String> = reader.take_until("the last")?.into_iter().map(|one| one.topic).collect();
        demand(came == matched, || format!("{filter} gets {came:?}, want {matched:?}"))?;
    }
    Ok(())
}

fn dollar(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut reader = bench.connect(&bench.options("dollar-reader"))?;
    let both = json!([{ "filter": "#", "qos": 1 }, { "filter": "+/x", "qos": 1 }]);
    reader.subscribe_to(json!({ "filters": both }))?;
    // A broker may refuse such a topic.
    let _ = bench.writer()?.publish("$compat/x", "hidden", 1);
    demand_then_nothing(&mut bench.writer()?, &mut reader, "plain", &[]).map(|_| ())
}

fn sys(bench: &mut Bench<'_>) -> Result<(), Trouble> {
    let mut reader = bench.reader("sys-reader", "$SYS/#", 0)?;
    let came = reader.take_one()?;
    demand(came.topic.starts_with("$SYS/"), || format!("{:?}", came.topic))
}
