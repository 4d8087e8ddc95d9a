//! One client of the run: a process that holds one connection, told what to do line by line.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Trouble;
use crate::needs;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a delivery may take.
pub const DELIVERY: Duration = Duration::from_secs(10);

/// Which client, and in which version of MQTT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    /// Whose it is.
    pub name: &'static str,
    /// 4 is 3.1.1, 5 is 5.
    pub version: u8,
}

/// All of them: each in both versions.
pub const CLIENTS: [Client; 12] = {
    const fn of(name: &'static str, version: u8) -> Client {
        Client { name, version }
    }
    [
        of("mosquitto", 4),
        of("mosquitto", 5),
        of("paho", 4),
        of("paho", 5),
        of("aiomqtt", 4),
        of("aiomqtt", 5),
        of("gmqtt", 4),
        of("gmqtt", 5),
        of("mqttjs", 4),
        of("mqttjs", 5),
        of("rumqttc", 4),
        of("rumqttc", 5),
    ]
};

impl Client {
    /// As a table names it.
    pub fn shown(&self) -> String {
        let version = if self.version == 4 { "3.1.1" } else { "5" };
        format!("{} {version}", self.name)
    }

    /// Whether it is mosquitto's pair of programs, of which neither both publishes and subscribes.
    pub fn is_pair(&self) -> bool {
        self.name == "mosquitto"
    }

    fn command(&self, own: &Path) -> Command {
        let folder = needs::scripts().join("compat");
        match self.name {
            "rumqttc" => {
                let mut command = Command::new(own);
                command.args(["rumqttc", &self.version.to_string()]);
                command
            }
            "mqttjs" => {
                let mut command = Command::new("node");
                command.arg(folder.join("with_mqttjs.mjs")).env("RISER_NODE_TOOLS", needs::node_tools());
                command
            }
            name => {
                let mut command = Command::new(needs::python());
                command.arg(folder.join(format!("with_{name}.py"))).env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
        }
    }
}

/// One delivery.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Its QoS.
    pub qos: u8,
    /// Its retain flag.
    pub retain: bool,
    /// All of it, properties too.
    pub all: Value,
}

impl Message {
    /// Its payload, where it is text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// A running client. It is gone when it is dropped.
pub struct Agent {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    messages: VecDeque<Message>,
    is_closed: bool,
    asked: u64,
}

impl Agent {
    /// Starts one that is not connected.
    pub fn start(client: Client, own: &Path) -> Self {
        let mut command = client.command(own);
        // What a client library prints about itself is not part of the run.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {}: {error}", client.shown()));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str(&line) else { continue };
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, stdin, lines, messages: VecDeque::new(), is_closed: false, asked: 0 }
    }

    /// Connects; gives what the client tells of CONNACK.
    ///
    /// # Errors
    ///
    /// Where it was not let in.
    pub fn connect(&mut self, options: &Value) -> Result<Value, Trouble> {
        self.ask("connect", options.clone())
    }

    /// Subscribes to one filter; gives the code.
    ///
    /// # Errors
    ///
    /// Where it was refused.
    pub fn subscribe(&mut self, filter: &str, qos: u8) -> Result<u8, Trouble> {
        let codes = self.subscribe_to(json!({ "filters": [{ "filter": filter, "qos": qos }] }))?;
        match codes.as_slice() {
            [code] if *code <= 2 => Ok(*code),
            codes => Err(Trouble::Refused(format!("SUBACK {codes:?}"))),
        }
    }

    /// Subscribes with options; gives the codes.
    ///
    /// # Errors
    ///
    /// Where there was no answer.
    pub fn subscribe_to(&mut self, asked: Value) -> Result<Vec<u8>, Trouble> {
        let done = self.ask("subscribe", asked)?;
        let codes = done["codes"].as_array().cloned().unwrap_or_default();
        Ok(codes.iter().filter_map(Value::as_u64).filter_map(|code| u8::try_from(code).ok()).collect())
    }

    /// Publishes text; comes back when it is acknowledged.
    ///
    /// # Errors
    ///
    /// Where it was refused.
    pub fn publish(&mut self, topic: &str, text: &str, qos: u8) -> Result<(), Trouble> {
        self.publish_with(topic, text.as_bytes(), qos, false, json!({}))
    }

    /// Publishes text that is retained.
    ///
    /// # Errors
    ///
    /// Where it was refused.
    pub fn retain(&mut self, topic: &str, text: &str, qos: u8) -> Result<(), Trouble> {
        self.publish_with(topic, text.as_bytes(), qos, true, json!({}))
    }

    /// Publishes with properties.
    ///
    /// # Errors
    ///
    /// Where it was refused.
    pub fn publish_with(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: u8,
        retain: bool,
        mut properties: Value,
    ) -> Result<(), Trouble> {
        properties["topic"] = json!(topic);
        properties["payload"] = json!(encoded(payload));
        properties["qos"] = json!(qos);
        properties["retain"] = json!(retain);
        self.ask("publish", properties).map(|_| ())
    }

    /// Publishes the numbers from 0 up, as fast as it can.
    ///
    /// # Errors
    ///
    /// Where one was refused.
    pub fn burst(&mut self, topic: &str, count: u32, qos: u8) -> Result<(), Trouble> {
        self.ask("burst", json!({ "topic": topic, "count": count, "qos": qos })).map(|_| ())
    }

    /// Gives a subscription up.
    ///
    /// # Errors
    ///
    /// Where there was no answer.
    pub fn unsubscribe(&mut self, filter: &str) -> Result<(), Trouble> {
        self.ask("unsubscribe", json!({ "filter": filter })).map(|_| ())
    }

    /// Says goodbye.
    ///
    /// # Errors
    ///
    /// Where the client has no such thing.
    pub fn disconnect(&mut self) -> Result<(), Trouble> {
        self.ask("disconnect", json!({})).map(|_| ())
    }

    /// Says goodbye with a reason code.
    ///
    /// # Errors
    ///
    /// Where the client has no such thing.
    pub fn disconnect_because(&mut self, reason: u8) -> Result<(), Trouble> {
        self.ask("disconnect", json!({ "reason": reason })).map(|_| ())
    }

    /// Ends without a goodbye, as by a cut of the power.
    pub fn cut(&mut self) {
        // An agent that is killed by this does not answer.
        let _ = self.ask("cut", json!({}));
    }

    /// Waits for so many deliveries.
    ///
    /// # Errors
    ///
    /// Where fewer came.
    pub fn take(&mut self, count: usize) -> Result<Vec<Message>, Trouble> {
        self.take_within(count, DELIVERY)
    }

    /// The same with another deadline after the last that came.
    ///
    /// # Errors
    ///
    /// Where fewer came.
    pub fn take_within(&mut self, count: usize, within: Duration) -> Result<Vec<Message>, Trouble> {
        let mut deadline = Instant::now() + within;
        while self.messages.len() < count {
            let before = self.messages.len();
            let seen = self.hear(deadline);
            if self.messages.len() > before {
                deadline = Instant::now() + within;
            }
            if seen.is_none() {
                let closed = if self.is_closed { ", and the connection was closed" } else { "" };
                let came = self.messages.len();
                return Err(Trouble::Differs(format!("{came} of {count} delivered{closed}")));
            }
        }
        Ok(self.messages.drain(..count).collect())
    }

    /// Waits for one delivery.
    ///
    /// # Errors
    ///
    /// Where none came.
    pub fn take_one(&mut self) -> Result<Message, Trouble> {
        Ok(self.take(1)?.remove(0))
    }

    /// Everything that came up to a delivery with that text, and not that one.
    ///
    /// # Errors
    ///
    /// Where it did not come.
    pub fn take_until(&mut self, text: &str) -> Result<Vec<Message>, Trouble> {
        let mut found = Vec::new();
        loop {
            let message = self.take_one().map_err(|_| {
                let before: Vec<_> = found.iter().map(Message::text).collect();
                Trouble::Differs(format!("{text:?} is not delivered (before it: {before:?})"))
            })?;
            if message.text() == text {
                return Ok(found);
            }
            found.push(message);
        }
    }

    /// Waits until the broker closed the connection.
    pub fn is_closed_within(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while !self.is_closed {
            if self.hear(deadline).is_none() {
                break;
            }
        }
        self.is_closed
    }

    /// Asks for something and waits for the answer.
    ///
    /// # Errors
    ///
    /// Where it was refused, failed, or is not offered.
    pub fn ask(&mut self, what: &str, mut fields: Value) -> Result<Value, Trouble> {
        self.asked += 1;
        fields["do"] = json!(what);
        fields["n"] = json!(self.asked);
        let gone = || Trouble::Differs(format!("the client ended at {what}"));
        let stdin = self.stdin.as_mut().ok_or_else(gone)?;
        writeln!(stdin, "{fields}").map_err(|_| gone())?;
        let deadline = Instant::now() + ANSWER;
        loop {
            let Some(line) = self.hear(deadline) else {
                let why = if Instant::now() < deadline { "the client ended" } else { "no answer" };
                return Err(Trouble::Differs(format!("{why} at {what}")));
            };
            if line["id"].as_u64() != Some(self.asked) {
                continue;
            }
            let text = |key: &str| line[key].as_str().map(str::to_owned);
            return match (text("not_offered"), text("refused"), text("failed")) {
                (Some(what), _, _) => Err(Trouble::NotOffered(what)),
                (_, Some(code), _) => Err(Trouble::Refused(code)),
                (_, _, Some(error)) => Err(Trouble::Differs(format!("{what}: {error}"))),
                (None, None, None) => Ok(line["done"].clone()),
            };
        }
    }

    /// The next line, with deliveries put aside. None after the deadline, or when the client ended.
    fn hear(&mut self, deadline: Instant) -> Option<Value> {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = match self.lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => {
                self.is_closed = true;
                return None;
            }
        };
        if let Some(message) = line.get("message") {
            self.messages.push_back(Message {
                topic: message["topic"].as_str().unwrap_or_default().to_owned(),
                payload: decoded(message["payload"].as_str().unwrap_or_default()),
                qos: message["qos"].as_u64().and_then(|qos| u8::try_from(qos).ok()).unwrap_or(u8::MAX),
                retain: message["retain"].as_bool().unwrap_or_default(),
                all: message.clone(),
            });
        }
        self.is_closed |= line.get("closed").is_some();
        Some(line)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ends with its standard input; what hangs is killed.
        let ended = || self.child.try_wait().is_ok_and(|status| status.is_some()).then_some(());
        if crate::program::wait(Duration::from_secs(2), ended).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Bytes as lines carry them.
pub fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// And back.
pub fn decoded(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap_or_default()
}
