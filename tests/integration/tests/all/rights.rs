//! Who may do what, cell by cell: principals x verbs x protocols x paths against one hub, each judged by a table written by
//! hand and not by the gate.
//!
//! What the table says holds on every path: live, retained, replayed from the start and from a position, paged back, counted,
//! and out of a session's queue; over MQTT 3.1.1, MQTT 5, envelopes, raw WebSockets and HTTP; by exact filter and by wildcard.

use std::collections::BTreeSet;
use std::time::Duration;

use riser_integration::needs::Need;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::mqtt_wire::{Mqtt, Version};
use crate::needs::needs;
use crate::program::{SOON, output};
use crate::site::{ACCOUNT, PASSWORD, Plan, Site};
use crate::terminal::Terminal;

/// Room and channel of each target.
const TARGETS: [(&str, &str); 4] = [("yard", "a/x"), ("yard", "a/secret/x"), ("yard", "b/x"), ("den", "a/x")];

/// Who may read (`r`) and write (`w`) in which target. This is the judge.
const TABLE: [(&str, [&str; 4]); 16] = [
    // By role, on every room.
    ("house/ann", ["rw", "rw", "rw", "rw"]),
    ("house/ada", ["rw", "rw", "rw", "rw"]),
    ("house/mel", ["rw", "rw", "rw", "rw"]),
    ("house/rob", ["r", "r", "r", "r"]),
    // Who only looks on.
    ("house/obi", ["r", "r", "r", "r"]),
    // A writer, and everybody reads the den.
    ("house/wim", ["w", "w", "w", "rw"]),
    // A device hears its orders, and nothing of what others say.
    ("house/dev", ["w", "w", "w", "rw"]),
    // A group's grant on `a/#` of the yard.
    ("house/cas", ["rw", "rw", "-", "r"]),
    // A member to whom `a/secret/#` of the yard is denied.
    ("house/dan", ["rw", "-", "rw", "rw"]),
    // By a role in the yard alone: its owner, one of a group that reads there, a device, a member to whom `a/secret/#` is
    // denied, and a writer who is a reader in every room.
    ("house/oda", ["rw", "rw", "rw", "r"]),
    ("house/gil", ["r", "r", "r", "r"]),
    ("house/dov", ["w", "w", "w", "r"]),
    ("house/ned", ["rw", "-", "rw", "r"]),
    ("house/moe", ["rw", "rw", "rw", "r"]),
    // Nothing but what everybody has.
    ("house/sam", ["-", "-", "-", "r"]),
    // Who owns another account, with rooms of the same names.
    ("garden/eve", ["-", "-", "-", "-"]),
];

/// How something is read.
const READS: [&str; 18] = [
    "mqtt4 live",
    "mqtt4 retained",
    "mqtt5 live",
    "mqtt5 retained",
    "mqtt5 live by wildcard",
    "mqtt5 retained by wildcard",
    "mqtt5 session queue",
    "envelope live",
    "envelope live by wildcard",
    "envelope replay",
    "envelope replay by wildcard",
    "envelope resume",
    "envelope past",
    "envelope statistics",
    "raw live",
    "http statistics",
    "http status",
    "room's figures",
];

/// The ways that speak of a room as a whole: they are for who may read all of it.
const WHOLE: [&str; 2] = ["http status", "room's figures"];

/// How something is written.
const WRITES: [&str; 4] = ["mqtt4", "mqtt5", "envelope", "raw"];

/// A principal with its token.
struct Who {
    name: &'static str,
    token: String,
    may: [&'static str; 4],
}

impl Who {
    /// What the table says.
    fn may(&self, right: char, target: usize) -> bool {
        self.may[target].contains(right)
    }

    /// The same, by one of the ways.
    fn may_by(&self, way: &str, right: char, target: usize) -> bool {
        let beside = |other: &usize| *other == target || WHOLE.contains(&way) && shares_room(*other, target);
        (0..TARGETS.len()).filter(beside).all(|target| self.may(right, target))
    }

    /// The targets with that right.
    fn all(&self, right: char) -> impl Iterator<Item = usize> {
        (0..TARGETS.len()).filter(move |target| self.may(right, *target))
    }
}

fn topic(target: usize) -> String {
    format!("{}/{}", TARGETS[target].0, TARGETS[target].1)
}

fn shares_room(one: usize, other: usize) -> bool {
    TARGETS[one].0 == TARGETS[other].0
}

/// What was seen to be possible: principal, way, target.
type Seen = BTreeSet<(&'static str, String, usize)>;

/// A hub with the table's users, each with a token, and the tokens.
fn site() -> (Site, Vec<Who>) {
    let mut site = Site::laid_out(Plan::default());
    let text = std::fs::read_to_string(&site.hub.config).unwrap();
    let hash = text.lines().find(|line| line.starts_with("password = ")).unwrap();
    let mut all = Vec::new();
    let mut user = |name: &'static str, may, rest: &str| {
        let made = output(site.hub.command(&["account", "token"]));
        let mut lines = made.lines().map(str::trim).filter(|line| !line.is_empty());
        let (token, stored) = (lines.next().unwrap().to_owned(), lines.next().unwrap().to_owned());
        all.push(Who { name, token, may });
        let name = name.split_once('/').unwrap().1;
        format!("\n[[account.user]]\nname = \"{name}\"\n{hash}\ntokens = [\"{stored}\"]\n{rest}\n")
    };
    let role = |name: &str| match name {
        "house/ann" | "garden/eve" => "role = \"owner\"",
        "house/ada" => "role = \"admin\"",
        "house/mel" | "house/dan" => "role = \"member\"",
        "house/rob" => "role = \"reader\"",
        "house/obi" => "role = \"observer\"",
        "house/dev" => "role = \"device\"",
        "house/wim" => "role = \"writer\"",
        "house/cas" => "groups = [\"crew\"]",
        "house/gil" => "groups = [\"press\"]",
        "house/moe" => "role = \"reader\"",
        _ => "",
    };
    let rooms = |yard: &str, roles: &str, den: &str| {
        format!(
            "\n[[account.room]]\nname = \"yard\"\nhistory = \"log\"\ngrant = [{yard}]\nroles = {{ {roles} }}\n\
             \n[[account.room]]\nname = \"den\"\nhistory = \"log\"\ngrant = [{den}]\n"
        )
    };
    let yard = r##"{ to = "@crew", right = ["publish", "subscribe"], channels = "a/#" },
        { to = "dan", right = ["publish", "subscribe"], channels = "a/secret/#", deny = true },
        { to = "ned", right = ["publish", "subscribe"], channels = "a/secret/#", deny = true }"##;
    let roles = r#"oda = "owner", "@press" = "observer", dov = "device", ned = "member", moe = "writer""#;
    let den = r#"{ to = "*", right = "subscribe" }"#;
    let (house, garden) = ("5f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a01", "5f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a02");
    let mut config: String = text.split("[[account]]").next().unwrap().to_owned();
    for (account, id) in [("house", house), ("garden", garden)] {
        config.push_str(&format!("\n[[account]]\nname = \"{account}\"\nid = \"{id}\"\n"));
        for (name, may) in TABLE.into_iter().filter(|(name, _)| name.starts_with(account)) {
            config.push_str(&user(name, may, role(name)));
        }
        config.push_str(&if account == "house" { rooms(yard, roles, den) } else { rooms("", "", "") });
    }
    site.hub.write_config(&config);
    site.hub.start();
    (site, all)
}

fn five(site: &Site, who: &Who, id: &str, session: (bool, u32)) -> Mqtt {
    Mqtt::connect(site.hub.mqtt, Version::Five, id, (None, &who.token), session).expect("its token is taken")
}

fn four(site: &Site, who: &Who, id: &str) -> Mqtt {
    let shown = (Some(who.name), PASSWORD);
    Mqtt::connect(site.hub.mqtt, Version::Four, id, shown, (true, 0)).expect("its password is taken")
}

/// A connection that is subscribed, and the ways that it stands for: what it retains, and what comes.
struct Reader {
    mqtt: Mqtt,
    retained: Option<&'static str>,
    live: &'static str,
}

impl Reader {
    /// Waits for what is to come, and notes what came.
    fn note(&mut self, who: &Who, seen: &mut Seen) {
        let retained = self.retained.is_some();
        let kept = |target| retained.then(|| (topic(target), b"kept".to_vec(), true));
        let expected = who
            .all('r')
            .flat_map(|target| kept(target).into_iter().chain([(topic(target), b"live".to_vec(), false)]));
        self.mqtt.hears(&expected.collect::<Vec<_>>());
        for (topic_of, payload, was_retained) in &self.mqtt.heard {
            let target = (0..TARGETS.len()).find(|target| topic(*target) == *topic_of).unwrap();
            let way = match (&payload[..], was_retained) {
                (b"kept", true) => self.retained.unwrap_or("mqtt5 retained out of a queue"),
                (b"live", false) => self.live,
                other => panic!("nobody published {other:?}"),
            };
            seen.insert((who.name, way.to_owned(), target));
        }
    }
}

/// A program in each of the two rooms, subscribed in every way.
struct Program {
    room: &'static str,
    terminal: Terminal,
    heard: Vec<Value>,
}

/// Subscription numbers: a way's first, and after it one for each target.
const WAYS: [(u64, &str); 5] = [
    (0, "envelope live by wildcard"),
    (1, "envelope replay by wildcard"),
    (10, "envelope live"),
    (20, "envelope replay"),
    (30, "envelope resume"),
];

impl Program {
    async fn enter(site: &Site, who: &Who, room: &'static str, mark: &str) -> Option<Self> {
        let path = format!("/{ACCOUNT}/{room}");
        let terminal = Terminal::program(site, &path, json!({ "token": who.token })).await.ok()?;
        let mut program = Self { room, terminal, heard: Vec::new() };
        program.asks(json!({ "op": "subscribe", "sub": 0, "channels": "#" })).await;
        program.asks(json!({ "op": "subscribe", "sub": 1, "channels": "#", "from": "start" })).await;
        for (n, (_, channel)) in TARGETS.iter().enumerate().filter(|(_, (of, _))| *of == room) {
            for (sub, from) in [(10, json!("live")), (20, json!("start")), (30, json!({ "after": mark }))] {
                let subscribe =
                    json!({ "op": "subscribe", "sub": sub + n, "channels": channel, "from": from });
                program.asks(subscribe).await;
            }
        }
        Some(program)
    }

    /// The answer to a request; what comes meanwhile is kept.
    async fn asks(&mut self, mut request: Value) -> Value {
        request["id"] = json!(7);
        self.terminal.say(&request.to_string()).await;
        loop {
            let next = self.terminal.json().await;
            if next["re"] == 7 {
                return next;
            }
            self.heard.push(next);
        }
    }

    /// What came, as ways and targets.
    fn seen(&self) -> BTreeSet<(String, usize)> {
        let pushes = self.heard.iter().filter(|push| push["ev"] == "msg");
        let cell = |push: &Value| {
            let channel = push["channel"].as_str().unwrap();
            let target = TARGETS.iter().position(|one| *one == (self.room, channel))?;
            let sub = push["sub"].as_u64().unwrap();
            let is_way =
                |(first, _): &&(u64, &str)| sub == *first || sub == *first + target as u64 && *first > 1;
            let (first, way) = WAYS.iter().find(is_way).expect("a subscription of its own");
            // What is replayed is what was there before; what is live is not.
            let wanted = if matches!(first, 0 | 10) { "live" } else { "kept" };
            (text_of(push).as_deref() == Some(wanted)).then(|| ((*way).to_owned(), target))
        };
        pushes.filter_map(cell).collect()
    }

    async fn note(&mut self, who: &Who, seen: &mut Seen) {
        let room = self.room;
        let own = move |target: &usize| TARGETS[*target].0 == room;
        let expected: BTreeSet<(String, usize)> = who
            .all('r')
            .filter(own)
            .flat_map(|target| WAYS.map(|(_, way)| (way.to_owned(), target)))
            .collect();
        while !expected.is_subset(&self.seen()) {
            let next = self.terminal.json().await;
            self.heard.push(next);
        }
        self.asks(json!({ "op": "ping" })).await;
        seen.extend(self.seen().into_iter().map(|(way, target)| (who.name, way, target)));
        for target in (0..TARGETS.len()).filter(own) {
            let channel = TARGETS[target].1;
            let past = self.asks(json!({ "op": "past", "channels": channel, "most": 9 })).await;
            if past["ok"]["messages"].as_array().is_some_and(|messages| !messages.is_empty()) {
                seen.insert((who.name, "envelope past".to_owned(), target));
            }
        }
        let counted = self.asks(json!({ "op": "statistics", "channels": "#" })).await;
        note_counted(who, self.room, &counted["ok"], "envelope statistics", seen);
        self.note_figures(who, seen);
    }

    /// Whether it was told how much goes through all of its room.
    fn note_figures(&self, who: &Who, seen: &mut Seen) -> bool {
        let is_told = |push: &Value| push["event"]["type"] == "riser.statistics";
        let told = self.heard.iter().any(is_told);
        let own = (0..TARGETS.len()).filter(|target| told && TARGETS[*target].0 == self.room);
        seen.extend(own.map(|target| (who.name, "room's figures".to_owned(), target)));
        told
    }
}

/// The channels of a room that somebody was shown the figures of.
fn note_counted(who: &Who, room: &str, counted: &Value, way: &str, seen: &mut Seen) {
    for row in counted["channels"].as_array().into_iter().flatten() {
        let target = TARGETS.iter().position(|one| one.0 == room && row["channel"] == one.1);
        seen.extend(target.map(|target| (who.name, way.to_owned(), target)));
    }
}

/// What the hub answers to a request of the page.
fn get(site: &Site, who: &Who, path: &str) -> Value {
    let mut command = site.hub.place.command("curl");
    let shown = format!("Authorization: Bearer {}", who.token);
    command.args(["--silent", "--max-time", "30", "-H", &shown]);
    command.arg(format!("http://127.0.0.1:{}{path}", site.hub.http));
    serde_json::from_str(&output(command)).unwrap()
}

async fn raw(site: &Site, who: &Who, target: usize) -> Terminal {
    let path = format!("/{ACCOUNT}/{}", topic(target));
    Terminal::with_token(site, &path, &who.token).await
}

/// Who could read what, in every way.
async fn reads(site: &Site, all: &[Who]) -> Seen {
    let mut seen = Seen::new();
    let (ann, _) = all.split_first().unwrap();
    let mut owner = Program::enter(site, ann, "yard", "").await.unwrap();
    let mark = owner.asks(json!({ "op": "publish", "channel": "mark", "data": "x" })).await;
    let mark = mark["ok"]["pos"].as_str().unwrap().to_owned();
    let mut says = five(site, ann, "says", (true, 0));
    for target in 0..TARGETS.len() {
        assert!(says.publish(&topic(target), b"kept", true).unwrap() < 0x80);
    }
    let exact: Vec<String> = (0..TARGETS.len()).map(topic).collect();
    let wild = ["yard/#", "den/#"].map(str::to_owned);
    let (mut readers, mut programs, mut raws) = (Vec::new(), Vec::new(), Vec::new());
    for who in all {
        let queue = format!("{}-queue", who.name.replace('/', "-"));
        let mut away = five(site, who, &queue, (true, 300));
        away.subscribe(&exact, false);
        away.disconnect();
        let mut one =
            Reader { mqtt: four(site, who, ""), retained: Some("mqtt4 retained"), live: "mqtt4 live" };
        one.mqtt.subscribe(&exact, true);
        let mqtt = five(site, who, "", (true, 0));
        let mut two = Reader { mqtt, retained: Some("mqtt5 retained"), live: "mqtt5 live" };
        two.mqtt.subscribe(&exact, true);
        let (retained, live) = (Some("mqtt5 retained by wildcard"), "mqtt5 live by wildcard");
        let mut three = Reader { mqtt: five(site, who, "", (true, 0)), retained, live };
        three.mqtt.subscribe(&wild, true);
        readers.push((who, [one, two, three]));
        for room in ["yard", "den"] {
            programs.extend(Program::enter(site, who, room, &mark).await.map(|program| (who, program)));
        }
        for target in 0..TARGETS.len() {
            let mut terminal = raw(site, who, target).await;
            // Until it is let in, or not.
            terminal.pong().await;
            raws.push((who, target, terminal));
        }
    }
    for target in 0..TARGETS.len() {
        assert!(says.publish(&topic(target), b"live", false).unwrap() < 0x80);
    }
    for (who, three) in &mut readers {
        three.iter_mut().for_each(|reader| reader.note(who, &mut seen));
        let queue = format!("{}-queue", who.name.replace('/', "-"));
        let mqtt = five(site, who, &queue, (false, 0));
        Reader { mqtt, retained: None, live: "mqtt5 session queue" }.note(who, &mut seen);
    }
    for (who, program) in &mut programs {
        program.note(who, &mut seen).await;
    }
    for (who, target, terminal) in &mut raws {
        let heard = if who.may('r', *target) {
            terminal.hears("live").await == "live"
        } else {
            terminal.pong().await.iter().any(|text| text == "live")
        };
        if heard {
            seen.insert((who.name, "raw live".to_owned(), *target));
        }
    }
    for who in all {
        for room in ["yard", "den"] {
            let counted = get(site, who, &format!("/api/rooms/{room}/statistics?channels=%23"));
            note_counted(who, room, &counted, "http statistics", &mut seen);
        }
        let status = get(site, who, "/api/status");
        for room in status["rooms"].as_array().unwrap() {
            let figures = ["messages", "bytes", "channels", "last"].map(|figure| &room[figure]);
            let told = figures.iter().any(|figure| figure.as_i64().is_some_and(|count| count > 0));
            let own = (0..TARGETS.len()).filter(|target| told && TARGETS[*target].0 == room["name"]);
            seen.extend(own.map(|target| (who.name, "http status".to_owned(), target)));
        }
    }
    // Rooms say it once a minute, when something was published: who is told is told by the time that the owner is.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(100);
    let mut untold = true;
    while untold {
        assert!(tokio::time::Instant::now() < deadline, "nobody is told the rooms' figures");
        untold = false;
        for (who, program) in &mut programs {
            let request = match who.name == ann.name {
                true => json!({ "op": "publish", "channel": "tick", "data": "x" }),
                false => json!({ "op": "ping" }),
            };
            program.asks(request).await;
            untold |= !program.note_figures(who, &mut seen) && who.name == ann.name;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for (who, program) in &mut programs {
        program.asks(json!({ "op": "ping" })).await;
        program.note_figures(who, &mut seen);
    }
    seen
}

/// Who could write what, in every way: what is in the log.
async fn writes(site: &Site, all: &[Who]) -> Seen {
    let said = |who: &Who, way: &str| format!("{} {way}", who.name);
    for who in all {
        let connect = |version| match version {
            Version::Four => four(site, who, ""),
            Version::Five => five(site, who, "", (true, 0)),
        };
        for (way, version) in [("mqtt4", Version::Four), ("mqtt5", Version::Five)] {
            let mut mqtt = connect(version);
            for target in 0..TARGETS.len() {
                let answer = mqtt.publish(&topic(target), said(who, way).as_bytes(), false);
                // Topics are of one's own account: who is of another one writes there, and here nothing.
                if version == Version::Five && who.name.starts_with(ACCOUNT) {
                    let reason = answer.expect("MQTT 5 has words for it");
                    let name = who.name;
                    assert_eq!(reason < 0x80, who.may('w', target), "{name} {way} {target}: {reason:#x}");
                }
                if answer.is_none() {
                    mqtt = connect(version);
                }
            }
        }
        for (target, (room, channel)) in TARGETS.iter().enumerate() {
            if let Ok(mut program) =
                Terminal::program(site, &format!("/{ACCOUNT}/{room}"), json!({ "token": who.token })).await
            {
                let publish = json!({ "op": "publish", "channel": channel, "data": said(who, "envelope") });
                let answer = program.asks(publish).await;
                assert_eq!(answer["ok"].is_object(), who.may('w', target), "{} {answer}", who.name);
            }
            let mut raw = raw(site, who, target).await;
            raw.pong().await;
            raw.tries(Message::text(said(who, "raw"))).await;
            raw.pong().await;
        }
    }
    let mut seen = Seen::new();
    let (ann, _) = all.split_first().unwrap();
    for (target, (room, channel)) in TARGETS.iter().enumerate() {
        let path = format!("/{ACCOUNT}/{room}");
        let mut owner = Terminal::program(site, &path, json!({ "token": ann.token })).await.unwrap();
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let past = owner.asks(json!({ "op": "past", "channels": channel, "most": 200 })).await;
            let texts: BTreeSet<String> =
                past["ok"]["messages"].as_array().unwrap().iter().filter_map(text_of).collect();
            let cells = all.iter().flat_map(|who| WRITES.map(|way| (who, way)));
            let mut whole = true;
            for (who, way) in cells {
                if texts.contains(&said(who, way)) {
                    seen.insert((who.name, way.to_owned(), target));
                } else {
                    whole &= !who.may('w', target);
                }
            }
            if whole || tokio::time::Instant::now() > deadline {
                break;
            }
        }
    }
    seen
}

/// The payload, whatever it was declared as.
fn text_of(message: &Value) -> Option<String> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    match message["data"].as_str() {
        Some(text) => Some(text.to_owned()),
        None => String::from_utf8(STANDARD.decode(message["data_b64"].as_str()?).ok()?).ok(),
    }
}

#[tokio::test]
async fn every_principal_does_by_every_way_what_the_table_says_and_nothing_else() {
    needs!(Need::Program("curl"));
    let (site, all) = site();
    let seen = [('r', reads(&site, &all).await), ('w', writes(&site, &all).await)];
    let mut cells = 0;
    let mut wrong = Vec::new();
    for (right, seen) in &seen {
        let ways: &[&str] = if *right == 'r' { &READS } else { &WRITES };
        for who in &all {
            for (target, way) in
                (0..TARGETS.len()).flat_map(|target| ways.iter().map(move |way| (target, *way)))
            {
                cells += 1;
                let did = seen.contains(&(who.name, way.to_owned(), target));
                if did != who.may_by(way, *right, target) {
                    wrong.push(format!("{} {way} {}: {did}", who.name, topic(target)));
                }
            }
        }
        let known = |(_, way, _): &&(&str, String, usize)| ways.contains(&way.as_str());
        assert_eq!(seen.iter().filter(known).count(), seen.len(), "a way that the table does not know");
    }
    assert!(cells >= 500, "{cells} cells");
    assert!(wrong.is_empty(), "{} of {cells} cells:\n{}", wrong.len(), wrong.join("\n"));
}
