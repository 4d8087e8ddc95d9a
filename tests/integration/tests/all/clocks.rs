//! Wall clocks that are wrong or are stepped, of real programs: what is said of them, and what is asked from a time on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::needs::{Need, needs};
use crate::site::{ACCOUNT, Node, OWNER, PASSWORD, Plan, Site};
use crate::terminal::Terminal;

const HOUR_S: i64 = 3600;

/// A wall clock of one program's own, by libfaketime. The monotonic clock is the machine's.
struct Clock(PathBuf);

impl Clock {
    /// One that is so many seconds off, from the program's next start on.
    fn of(node: &mut Node, folder: &Path, off_s: i64) -> Self {
        let folders = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
        let mut candidates = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
        let library = candidates.find(|path| path.is_file()).expect("faketime brings its library");
        let clock = Self(folder.join("wall.clock"));
        clock.set(off_s);
        node.environment = [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", clock.0.display().to_string()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        clock
    }

    /// It is so many seconds off from here on; the program sees that within a second.
    fn set(&self, off_s: i64) {
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{off_s:+}\n")).unwrap();
        fs::rename(&new, &self.0).unwrap();
    }
}

/// Milliseconds since 1970, by the machine's clock, in so many seconds.
fn in_s(s: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap() + s * 1000
}

/// What the next event of that kind carries.
async fn hears(ears: &mut Terminal, kind: &str) -> Value {
    let heard = ears.hears(&format!("\"type\":\"riser.{kind}\"")).await;
    let heard: Value = serde_json::from_str(&heard).unwrap();
    heard["event"]["data"].clone()
}

/// Whether so many milliseconds are that many seconds, about.
fn is_about(ms: &Value, s: i64) -> bool {
    ms.as_i64().is_some_and(|ms| ms.abs_diff(s * 1000) < 60_000)
}

/// Who enters hears what the system says, of the room, the account and the hub.
async fn enter(site: &Site) -> Terminal {
    let shown = json!({ "user": OWNER, "password": PASSWORD });
    Terminal::program(site, &format!("/{ACCOUNT}/hall"), shown).await.expect("she is let in")
}

async fn publish(site: &Site, text: &str) {
    let asked = json!({ "op": "publish", "channel": "note", "data": text });
    let answer = enter(site).await.asks(asked).await;
    assert!(answer["ok"].is_object(), "{answer}");
}

/// What is shown from a time on, up to what is published next.
async fn shown_since(site: &Site, time: i64, next: &str) -> Vec<String> {
    let mut reader = enter(site).await;
    let asked = json!({ "op": "subscribe", "sub": 1, "channels": "note", "from": { "time": time } });
    let answer = reader.asks(asked).await;
    assert!(answer["ok"].is_object(), "{answer}");
    publish(site, next).await;
    let mut shown = Vec::new();
    loop {
        let heard: Value = serde_json::from_str(&reader.hears("\"ev\":\"msg\"").await).unwrap();
        let text = heard["data"].as_str().expect("it is text").to_owned();
        if text == next {
            return shown;
        }
        shown.push(text);
    }
}

#[tokio::test]
async fn a_hub_says_that_its_clock_was_stepped_and_from_a_time_on_shows_what_its_clock_said_then() {
    needs!(Need::Program("curl"), Need::Program("faketime"));
    let mut site = Site::laid_out(Plan::default());
    let folder = site.folder.path().to_owned();
    let clock = Clock::of(&mut site.hub, &folder, 0);
    site.hub.start();
    let mut ears = enter(&site).await;
    publish(&site, "before").await;
    clock.set(HOUR_S);
    let stepped = hears(&mut ears, "clock_stepped").await;
    assert!(is_about(&stepped["by_ms"], HOUR_S), "{stepped}");
    publish(&site, "ahead").await;
    let half = in_s(HOUR_S / 2);
    assert_eq!(shown_since(&site, half, "one").await, ["ahead"]);
    assert_eq!(shown_since(&site, in_s(-HOUR_S), "two").await, ["before", "ahead", "one"]);
    // What is published after a step back was published earlier than what comes before it.
    clock.set(0);
    let stepped = hears(&mut ears, "clock_stepped").await;
    assert!(is_about(&stepped["by_ms"], -HOUR_S), "{stepped}");
    publish(&site, "after").await;
    assert_eq!(shown_since(&site, half, "three").await, ["ahead", "one", "two"]);
}

#[tokio::test]
async fn an_edge_whose_clock_is_wrong_when_it_starts_is_told_to_be_and_when_it_comes_with_one_that_is_right()
{
    needs!(Need::Program("curl"), Need::Program("faketime"));
    let mut site = Site::laid_out(Plan::default());
    let folder = site.folder.path().to_owned();
    let clock = Clock::of(&mut site.edge, &folder, -HOUR_S);
    site.hub.start();
    let mut ears = enter(&site).await;
    site.edge.start();
    let wrong = hears(&mut ears, "edge_clock").await;
    assert!(wrong["right"] == false && is_about(&wrong["off_ms"], -HOUR_S), "{wrong}");
    site.edge.kill();
    clock.set(0);
    site.edge.start();
    let right = hears(&mut ears, "edge_clock").await;
    assert!(right["right"] == true && is_about(&right["off_ms"], 0), "{right}");
}
