//! Publishers and a subscriber who write into one [`Book`], and outlive the servers that they talk to.
//!
//! A publisher sends each publication once, and ends when its server does. The subscriber comes again when its server does,
//! and goes on where its book says, by the means that its system gives it.

use crate::{
    book::{Book, Name},
    corpus, mqtt, nats,
    pair::{FILTER, PREFIX, Pair, System},
    riser::{ACCOUNT, ROOM},
    websocket,
};
use anyhow::{Context, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, BytesMut};
use serde_json::{Value, json};
use std::{
    io::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, interval, timeout},
};

/// How many publish.
pub const DEVICES: u32 = 50;
/// Unacknowledged of each.
const WINDOW: usize = 100;
/// What they publish in a second when they take their time.
pub const PER_SECOND: u32 = 5_000;
/// After they were told to stop, acknowledgements are taken for so long.
const GRACE: Duration = Duration::from_secs(1);
/// From one attempt of the subscriber's to the next.
const AGAIN_EVERY: Duration = Duration::from_millis(20);
/// A server that is only half there says nothing.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How fast they publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// As fast as it goes.
    Flood,
    /// All together [`PER_SECOND`].
    Steady,
}

/// Devices at an edge.
pub struct Publishers {
    running: JoinSet<anyhow::Result<()>>,
    stop: watch::Sender<bool>,
}

impl Publishers {
    /// They publish until they are stopped or their edge is gone.
    pub async fn start(pair: &Pair, pace: Pace, book: &watch::Sender<Book>) -> anyhow::Result<Self> {
        let (mut running, stop) = (JoinSet::new(), watch::Sender::new(false));
        for number in 0..DEVICES {
            let publisher = Publisher::connect(pair, number).await.context("connect a device")?;
            running.spawn(publisher.run(pace, book.clone(), stop.subscribe()));
        }
        Ok(Self { running, stop })
    }

    /// Waits until all of them have ended.
    pub async fn end(mut self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        while let Some(publisher) = self.running.join_next().await {
            publisher.context("a publisher panicked")??;
        }
        Ok(())
    }
}

struct Publisher {
    system: System,
    number: u32,
    socket: TcpStream,
}

impl Publisher {
    async fn connect(pair: &Pair, number: u32) -> anyhow::Result<Self> {
        let system = pair.system();
        let socket = match system {
            System::Riser | System::Mosquitto => {
                mqtt::connect(pair.edge(), &format!("witness-{number}")).await?
            }
            System::Nats(_) => {
                let mut socket = nats::connect(pair.edge()).await?;
                socket.write_all(format!("SUB _INBOX.{number}.* 1\r\n").as_bytes()).await?;
                socket
            }
        };
        Ok(Self { system, number, socket })
    }

    async fn run(
        self,
        pace: Pace,
        book: watch::Sender<Book>,
        mut stop: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let (sent, room) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(WINDOW)));
        let (read, write) = self.socket.into_split();
        let (system, number) = (self.system, self.number);
        let mut acks = tokio::spawn(write_down(read, system, number, sent.clone(), room.clone(), book));
        let stopped = async move {
            // Whoever could stop it is gone: the same.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        tokio::select! {
            // The server is gone, and what it has acknowledged is in the book.
            ended = &mut acks => return ended.context("a reader of acknowledgements panicked")?,
            ended = publish(write, system, number, pace, &sent, &room) => ended?,
            () = stopped => {}
        }
        match timeout(GRACE, &mut acks).await {
            Ok(ended) => ended.context("a reader of acknowledgements panicked")?,
            Err(_) => {
                acks.abort();
                Ok(())
            }
        }
    }
}

/// Until the server is gone.
async fn publish(
    mut write: OwnedWriteHalf,
    system: System,
    number: u32,
    pace: Pace,
    sent: &AtomicU64,
    room: &Semaphore,
) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_secs(1) * DEVICES / PER_SECOND);
    let mut packets = Vec::new();
    loop {
        if pace == Pace::Steady {
            ticks.tick().await;
        }
        room.acquire().await.context("nobody closes it")?.forget();
        packets.clear();
        loop {
            let n = sent.fetch_add(1, Ordering::AcqRel);
            put(&mut packets, system, number, n)?;
            match room.try_acquire() {
                Ok(more) if pace == Pace::Flood => more.forget(),
                Ok(_) | Err(_) => break,
            }
        }
        if write.write_all(&packets).await.is_err() {
            return Ok(());
        }
    }
}

fn put(packets: &mut Vec<u8>, system: System, number: u32, n: u64) -> anyhow::Result<()> {
    let payload = corpus::payload(number, n);
    match system {
        System::Riser | System::Mosquitto => {
            mqtt::put_publish(packets, &format!("{PREFIX}{number}"), packet_id(n), &payload);
        }
        System::Nats(_) => {
            write!(packets, "PUB bench.c{number} _INBOX.{number}.{n} {}\r\n", payload.len())?;
            packets.extend_from_slice(&payload);
            packets.extend_from_slice(b"\r\n");
        }
    }
    Ok(())
}

/// How many different ones there are.
const PACKET_IDS: u64 = 65_535;

fn packet_id(n: u64) -> u16 {
    (n % PACKET_IDS) as u16 + 1
}

/// The newest publication with that id, of the first `sent`. Fewer are unacknowledged than there are ids.
fn numbered(id: u16, sent: u64) -> Option<u64> {
    let newest = sent.checked_sub(1)?;
    let place = u64::from(id.checked_sub(1)?);
    let back = (newest % PACKET_IDS + PACKET_IDS - place) % PACKET_IDS;
    newest.checked_sub(back)
}

/// Writes every acknowledgement down, until the server is gone.
async fn write_down(
    mut read: OwnedReadHalf,
    system: System,
    device: u32,
    sent: Arc<AtomicU64>,
    room: Arc<Semaphore>,
    book: watch::Sender<Book>,
) -> anyhow::Result<()> {
    let (mut input, mut ignored) = (BytesMut::new(), Vec::new());
    loop {
        if !matches!(read.read_buf(&mut input).await, Ok(1..)) {
            return Ok(());
        }
        let mut acknowledged = Vec::new();
        match system {
            System::Riser | System::Mosquitto => {
                while let Some((first, body, length)) = mqtt::packet(&input) {
                    ensure!(first >> 4 == 4, "want a PUBACK, got packet {first:#x}");
                    let id = u16::from_be_bytes(*body.first_chunk().context("a cut PUBACK")?);
                    let n = numbered(id, sent.load(Ordering::Acquire));
                    acknowledged.push(n.context("an acknowledgement of nothing")?);
                    input.advance(length);
                }
            }
            System::Nats(_) => {
                while let Some(n) = nats::next_ack(&mut input, &mut ignored)? {
                    acknowledged.push(n as u64);
                }
            }
        }
        room.add_permits(acknowledged.len());
        book.send_if_modified(|book| {
            acknowledged.iter().for_each(|n| book.acknowledged(Name { device, n: *n }));
            !acknowledged.is_empty()
        });
    }
}

/// How a subscriber goes on after a break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Means {
    /// A dashboard (WebSocket) says which position it has seen last.
    Position,
    /// The server has kept a session of MQTT for it, at QoS 1.
    Session,
    /// An ordered consumer of JetStream, from the place after the last one on.
    Ordered,
}

/// What a hub says to a dashboard that concerns the book.
#[derive(PartialEq, Eq, Debug)]
enum Push {
    /// A publication, unless it is none of a publisher's here.
    Message { name: Option<Name>, position: Option<String> },
    /// All up to there was said.
    Through(Option<String>),
    /// So many places before this one are missing.
    Gap { count: u64, position: String },
    /// It will close.
    Bye,
}

impl Push {
    /// An error for what a dashboard of this kind is never told: what it meant would be missing from the book.
    fn read(text: &[u8]) -> anyhow::Result<Self> {
        let push: Value = serde_json::from_slice(text).context("the hub sent no JSON")?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(match push["ev"].as_str() {
            Some("msg") => {
                // A device of MQTT 3.1.1 cannot say that it sends JSON, so the hub passes on its bytes.
                let payload = push["data_b64"].as_str().and_then(|text| STANDARD.decode(text).ok());
                let name = payload.and_then(|payload| Name::of(&payload));
                Self::Message { name, position: text(&push["pos"]) }
            }
            Some("ping") => Self::Through(text(&push["through"]["1"])),
            Some("gap") => Self::Gap {
                count: push["count"].as_u64().with_context(|| format!("a gap of how many? {push}"))?,
                position: text(&push["pos"]).with_context(|| format!("a gap up to where? {push}"))?,
            },
            Some("bye") => Self::Bye,
            Some(_) | None => bail!("the hub said {push}"),
        })
    }
}

/// What the answer to hello says is missing before the position at which the subscription starts, and that.
fn missing_at_start(answer: &str) -> anyhow::Result<Option<(u64, String)>> {
    let answer: Value = serde_json::from_str(answer).context("the hub answered no JSON")?;
    let started = &answer["ok"]["subscriptions"][0];
    let gaps = started["gaps"].as_array().with_context(|| format!("no subscription: {answer}"))?;
    let counts: Option<Vec<u64>> = gaps.iter().map(|gap| gap["count"].as_u64()).collect();
    let count = counts.with_context(|| format!("a gap of how many? {answer}"))?.iter().sum();
    let position = started["pos"].as_str().with_context(|| format!("a start where? {answer}"))?;
    Ok((count > 0).then(|| (count, position.to_owned())))
}

impl Means {
    /// Whether the server says what is missing to who goes on by it.
    pub fn tells_gaps(self) -> bool {
        self == Self::Position
    }

    /// Those that a system has.
    pub fn of(system: System) -> &'static [Self] {
        match system {
            System::Riser => &[Self::Position, Self::Session],
            System::Mosquitto => &[Self::Session],
            System::Nats(_) => &[Self::Ordered],
        }
    }
}

/// Somebody at the hub who writes down what comes. Ends when dropped.
pub struct Subscriber(JoinHandle<()>);

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Subscriber {
    /// Subscribes for the first time, to what [`Publishers`] publish.
    pub async fn start(pair: &Pair, means: Means, book: &watch::Sender<Book>) -> anyhow::Result<Self> {
        let mut reader = Reader {
            means,
            hub: match pair {
                Pair::Riser(riser) if means == Means::Position => riser.hub_http,
                Pair::Riser(_) | Pair::Mosquitto(_) | Pair::Nats(_) => pair.hub(),
            },
            book: book.clone(),
            position: None,
            attempts: 0,
            place: 0,
        };
        let mut connected = Some(reader.connect().await.context("connect the subscriber")?);
        Ok(Self(tokio::spawn(async move {
            loop {
                if let Some((socket, input)) = connected.take() {
                    // It was killed: there will be another one.
                    let _ = reader.read(socket, input).await;
                }
                if reader.book.borrow().check().is_err() {
                    return;
                }
                tokio::time::sleep(AGAIN_EVERY).await;
                connected = timeout(ANSWERS_WITHIN, reader.connect()).await.ok().and_then(Result::ok);
            }
        })))
    }
}

struct Reader {
    means: Means,
    hub: SocketAddr,
    book: watch::Sender<Book>,
    /// Of a dashboard: the last one.
    position: Option<String>,
    /// Of a consumer: how often it was asked for, and the last place.
    attempts: u64,
    place: u64,
}

impl Reader {
    async fn connect(&mut self) -> anyhow::Result<(TcpStream, BytesMut)> {
        self.attempts += 1;
        match self.means {
            Means::Position => {
                let from = self.position.as_ref().map_or(json!("start"), |after| json!({ "after": after }));
                let subscriptions = json!([{ "sub": 1, "channels": "c/#", "from": from }]);
                let hello =
                    json!({ "op": "hello", "id": 1, "events": false, "subscriptions": subscriptions });
                let path = format!("/{ACCOUNT}/{ROOM}");
                let (socket, input, answer) = websocket::taken(self.hub, &path, &hello.to_string()).await?;
                match missing_at_start(&answer) {
                    Ok(Some((count, position))) => self.miss(count, position),
                    Ok(None) => {}
                    Err(error) => return Err(self.fail(error)),
                }
                Ok((socket, input))
            }
            Means::Session => {
                let (mut socket, is_known) = mqtt::resume(self.hub, "book").await?;
                // Of a session that is known the subscription is too, and what waits may come before an answer to another one.
                if !is_known {
                    mqtt::subscribe(&mut socket, FILTER, 1).await?;
                }
                Ok((socket, BytesMut::new()))
            }
            Means::Ordered => nats::consume_from(self.hub, self.place + 1, self.attempts).await,
        }
    }

    /// The server said so, and up to where.
    fn miss(&mut self, count: u64, position: String) {
        self.position = Some(position);
        let now = Instant::now();
        self.book.send_modify(|book| book.told_missing(count, now));
    }

    /// Not the server's end: what it said is not understood.
    fn fail(&self, error: anyhow::Error) -> anyhow::Error {
        self.book.send_modify(|book| book.fail(format!("{error:#}")));
        error
    }

    /// Until the server is gone, or what it says is not understood.
    async fn read(&mut self, mut socket: TcpStream, mut input: BytesMut) -> anyhow::Result<()> {
        let mut answers = Vec::new();
        loop {
            let mut came = Vec::new();
            while let Some(length) =
                self.hear(&input, &mut answers, &mut came).map_err(|error| self.fail(error))?
            {
                input.advance(length);
            }
            let now = Instant::now();
            self.book.send_if_modified(|book| {
                came.iter().for_each(|name| book.came(*name, now));
                !came.is_empty()
            });
            socket.write_all(&answers).await?;
            answers.clear();
            input.reserve(64 << 10);
            ensure!(socket.read_buf(&mut input).await? > 0, "the hub closed");
        }
    }

    /// Takes the first whole thing of the input, and says how long it was.
    fn hear(
        &mut self,
        input: &[u8],
        answers: &mut Vec<u8>,
        came: &mut Vec<Name>,
    ) -> anyhow::Result<Option<usize>> {
        Ok(match self.means {
            Means::Position => match websocket::frame(input) {
                Some((websocket::Frame::Text(text), length)) => {
                    came.extend(self.push(text)?);
                    Some(length)
                }
                Some((websocket::Frame::Ping, length)) => {
                    answers.extend_from_slice(&websocket::PONG);
                    Some(length)
                }
                Some((websocket::Frame::Other, length)) => Some(length),
                None => None,
            },
            Means::Session => mqtt::packet(input).map(|(first, body, length)| {
                let publish = (first >> 4 == 3).then(|| mqtt::Publish::read(first, body)).flatten();
                if let Some(publish) = publish {
                    came.extend(Name::of(publish.payload));
                    answers.extend_from_slice(&[0x40, 2]);
                    answers.extend_from_slice(&publish.id.to_be_bytes());
                }
                length
            }),
            Means::Ordered => nats::next(input).map(|(said, length)| {
                match said {
                    nats::Said::Message(payload) => {
                        came.extend(Name::of(payload));
                        self.place = nats::place(input).unwrap_or(self.place);
                    }
                    nats::Said::Ping => answers.extend_from_slice(b"PONG\r\n"),
                    nats::Said::Other => {}
                }
                length
            }),
        })
    }

    /// What a hub says to a dashboard.
    fn push(&mut self, text: &[u8]) -> anyhow::Result<Option<Name>> {
        Ok(match Push::read(text)? {
            Push::Message { name, position } => {
                self.position = position.or(self.position.take());
                name
            }
            Push::Through(position) => {
                self.position = position.or(self.position.take());
                None
            }
            Push::Gap { count, position } => {
                self.miss(count, position);
                None
            }
            Push::Bye => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgement_is_of_the_newest_publication_with_its_id() {
        for n in [0, 1, 65_533, 65_534, 65_535, 65_536, 1_000_000] {
            for later in [1, 2, WINDOW as u64] {
                assert_eq!(numbered(packet_id(n), n + later), Some(n), "{n}, {later} later");
            }
        }
        assert_eq!((numbered(1, 0), numbered(0, 9), numbered(9, 3)), (None, None, None));
    }

    #[test]
    fn hub_says_what_came_and_what_is_missing_and_nothing_else() {
        let data = STANDARD.encode(corpus::payload(3, 7));
        let message = format!(r#"{{"ev":"msg","sub":1,"pos":"a-9","data_b64":"{data}"}}"#);
        let came = Push::Message { name: Some(Name { device: 3, n: 7 }), position: Some("a-9".into()) };
        assert_eq!(Push::read(message.as_bytes()).unwrap(), came);
        let ping = br#"{"ev":"ping","through":{"1":"a-12"}}"#;
        assert_eq!(Push::read(ping).unwrap(), Push::Through(Some("a-12".into())));
        let gap = br#"{"ev":"gap","sub":1,"from":13,"to":15,"count":3,"cause":"damage","pos":"a-15"}"#;
        assert_eq!(Push::read(gap).unwrap(), Push::Gap { count: 3, position: "a-15".into() });
        assert_eq!(Push::read(br#"{"ev":"bye","code":"going_away","close":1001}"#).unwrap(), Push::Bye);
        let unknown: [&[u8]; 5] = [
            br#"{"ev":"end","sub":1}"#,
            br#"{"ev":"new"}"#,
            br#"{"re":9}"#,
            br#"{"ev":"gap","sub":1,"pos":"a-15"}"#,
            b"{",
        ];
        for text in unknown {
            assert!(Push::read(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[tokio::test]
    async fn told_gap_moves_the_position_and_stands_in_the_book_and_the_unknown_fails_it() {
        let book = Book::shared();
        let mut reader = Reader {
            means: Means::Position,
            hub: ([127, 0, 0, 1], 9).into(),
            book: book.clone(),
            position: None,
            attempts: 0,
            place: 0,
        };
        let gap = r#"{"ev":"gap","sub":1,"from":13,"to":15,"count":3,"cause":"damage","pos":"a-15"}"#;
        assert_eq!(reader.push(gap.as_bytes()).unwrap(), None);
        assert_eq!(reader.position.as_deref(), Some("a-15"));
        assert_eq!(book.borrow().verdict().told_missing, 3);
        assert!(book.borrow().check().is_ok());

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let text = br#"{"ev":"new"}"#;
        let frame = [&[0x81, text.len() as u8], &text[..]].concat();
        assert!(reader.read(socket, BytesMut::from(&frame[..])).await.is_err());
        assert!(format!("{:#}", book.borrow().check().unwrap_err()).contains("new"));
    }

    #[test]
    fn what_is_missing_where_a_subscription_starts_is_in_the_answer() {
        let answer = |gaps: &str| {
            format!(
                r#"{{"re":1,"ok":{{"subscriptions":[{{"sub":1,"complete":"x","gaps":[{gaps}],"pos":"a-20"}}]}}}}"#
            )
        };
        assert_eq!(missing_at_start(&answer("")).unwrap(), None);
        let gaps =
            r#"{"from":1,"to":2,"count":2,"cause":"quota"},{"from":5,"to":5,"count":1,"cause":"damage"}"#;
        assert_eq!(missing_at_start(&answer(gaps)).unwrap(), Some((3, "a-20".into())));
        assert!(missing_at_start(r#"{"re":1,"ok":{"subscriptions":[]}}"#).is_err());
    }
}
