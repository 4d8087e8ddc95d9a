//! A thousand connections at once that stop half-way, at each state of the gates, and one that was let in and notices nothing.
//! Whose time is over is replaced by others.

use serde_json::json;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::needs::{Need, needs};
use crate::program::{SOON, output};
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, Site};
use crate::terminal::Terminal;

/// How many there are.
const STUCK: usize = 1000;
/// What the one that was let in says, and hears.
const SAYS: usize = 300;

/// Where one stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nothing is said.
    Silent,
    /// A request's head without its end.
    HalfHead,
    /// A CONNECT without its end.
    HalfConnect,
    /// A WebSocket without hello.
    NoHello,
    /// Before the chat bot.
    Nameless,
    /// Before the chat bot, after its name.
    NoPassword,
    /// Challenged in an envelope.
    Challenged,
    /// Challenged in MQTT 5.
    ChallengedByAuth,
    /// At a door where somebody has to say yes.
    Knocking,
    /// Challenged for a secret.
    ChallengedBySecret,
    /// In a room, and at the gate of another one.
    Moving,
    /// In a room, and saying anew who it is.
    Renewing,
    /// In a lobby, asked for the operator's token. Edges have none.
    AskedForToken,
    /// Its password is being hashed, or waits for that.
    Hashed,
    /// A directory server has its password, and says nothing. Edges ask none.
    AwaitsDirectory,
    /// The issuer of its token is asked for its keys, and says nothing.
    AwaitsKeys,
}

const STATES: [State; 16] = [
    State::Silent,
    State::HalfHead,
    State::HalfConnect,
    State::NoHello,
    State::Nameless,
    State::NoPassword,
    State::Challenged,
    State::ChallengedByAuth,
    State::Knocking,
    State::ChallengedBySecret,
    State::Moving,
    State::Renewing,
    State::AskedForToken,
    State::Hashed,
    State::AwaitsDirectory,
    State::AwaitsKeys,
];

/// What hubs have and edges have not.
const OF_HUBS: [State; 2] = [State::AskedForToken, State::AwaitsDirectory];

/// One end that stays open for as long as this is there.
type Kept = Box<dyn std::any::Any + Send>;

/// A hub, or an edge by itself, with a room that is knocked at, and a token of who knocks there.
fn site(at_edge: bool) -> (Site, String) {
    let mut site = Site::laid_out(Plan::default());
    let made = output(site.hub.command(&["account", "token"]));
    let mut lines = made.lines().map(str::trim).filter(|line| !line.is_empty());
    let (token, hash) = (lines.next().unwrap().to_owned(), lines.next().unwrap().to_owned());
    let node = if at_edge { &mut site.edge } else { &mut site.hub };
    let text = std::fs::read_to_string(&node.config).unwrap();
    // Who has said nothing yet stays, and does not end while others still come.
    let text = format!("limits.first_frame = \"1m\"\n{text}");
    let more = format!(
        "\n[[account.room]]\nname = \"porch\"\ngate = [\"knock\"]\n\
         \n[[account.user]]\nname = \"kay\"\nrole = \"member\"\ntokens = [\"{hash}\"]\n\
         \n[[account.issuer]]\nissuer = \"sso\"\naudience = \"riser\"\nkey_set = \"http://127.0.0.1:{}/keys\"\n",
        mute()
    );
    let directory = match at_edge {
        true => String::new(),
        // Whom it may know is declared without a password.
        false => format!(
            "\n[[account.user]]\nname = \"lou\"\nrole = \"member\"\n\
             \n[account.ldap]\npreset = \"yunohost\"\nurl = \"ldap://127.0.0.1:{}\"\nstart_tls = false\n",
            mute()
        ),
    };
    node.write_config(&(text + &more + &directory));
    node.start();
    (site, token)
}

/// The port of somebody who takes whatever comes and never says anything, as long as the tests run.
fn mute() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            kept.push(stream);
        }
    });
    port
}

/// A token of the issuer that says nothing.
fn of_issuer() -> String {
    let part = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text);
    let claims = r#"{"iss":"sso","aud":"riser","sub":"kay","exp":4102444800}"#;
    [part(r#"{"alg":"EdDSA"}"#), part(claims), part(&"x".repeat(64))].join(".")
}

async fn stop_at(state: State, (http, mqtt): (u16, u16), token: String) -> Kept {
    let stream = async |port: u16, said: Vec<u8>| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(&said).await.unwrap();
        stream
    };
    let room = |room: &str| format!("/{ACCOUNT}/{room}");
    let hello = |credential| json!({ "op": "hello", "id": 1, "credential": credential }).to_string();
    match state {
        State::Silent => Box::new(stream(http, Vec::new()).await),
        State::HalfHead => Box::new(stream(http, b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec()).await),
        State::HalfConnect => Box::new(stream(mqtt, connect_by_key()[..9].to_vec()).await),
        State::NoHello => Box::new(Terminal::open_at(http, &room("hall"), Some("riser.v1.json")).await),
        State::Nameless => {
            let mut person = Terminal::open_at(http, "/", None).await;
            person.hears("name: ").await;
            Box::new(person)
        }
        State::NoPassword => {
            let mut person = Terminal::open_at(http, "/", None).await;
            person.hears("name: ").await;
            person.say(&format!("{ACCOUNT}/{OWNER}")).await;
            person.hears("password: ").await;
            Box::new(person)
        }
        State::Challenged => {
            let mut device = Terminal::open_at(http, &room("hall"), Some("riser.v1.json")).await;
            device.say(&hello(json!({ "user": "kay", "method": "ed25519" }))).await;
            device.hears("challenge").await;
            Box::new(device)
        }
        State::ChallengedByAuth => {
            let mut device = stream(mqtt, connect_by_key()).await;
            let head = timeout(SOON, device.read_u8()).await.expect("an answer").unwrap();
            assert_eq!(head, 0xf0, "AUTH");
            Box::new(device)
        }
        State::Knocking => {
            let mut guest = Terminal::open_at(http, &room("porch"), Some("riser.v1.json")).await;
            guest.say(&hello(json!({ "token": token }))).await;
            guest.hears("knocked").await;
            Box::new(guest)
        }
        State::ChallengedBySecret => {
            let mut device = Terminal::open_at(http, &room("hall"), Some("riser.v1.json")).await;
            device.say(&hello(json!({ "user": "kay", "method": "hmac-sha256" }))).await;
            device.hears("challenge").await;
            Box::new(device)
        }
        State::Moving => {
            let mut guest =
                Terminal::program_at(http, &room("hall"), json!({ "token": token })).await.unwrap();
            guest.say(&json!({ "op": "enter", "id": 2, "room": "porch" }).to_string()).await;
            guest.hears("knocked").await;
            Box::new(guest)
        }
        State::Renewing => {
            let mut device =
                Terminal::program_at(http, &room("hall"), json!({ "token": token })).await.unwrap();
            let credential = json!({ "user": "kay", "method": "ed25519" });
            device.say(&json!({ "op": "renew", "id": 2, "credential": credential }).to_string()).await;
            device.hears("challenge").await;
            Box::new(device)
        }
        State::Hashed | State::AwaitsDirectory | State::AwaitsKeys => {
            let mut guest = Terminal::open_at(http, &room("hall"), Some("riser.v1.json")).await;
            let credential = match state {
                State::Hashed => json!({ "user": OWNER, "password": "another one" }),
                State::AwaitsDirectory => json!({ "user": "lou", "password": "her word" }),
                _ => json!({ "token": of_issuer() }),
            };
            guest.say(&hello(credential)).await;
            Box::new(guest)
        }
        State::AskedForToken => {
            let mut person = Terminal::open_at(http, "/", None).await;
            person.hears("name: ").await;
            person.say(&format!("{ACCOUNT}/{OWNER}")).await;
            person.hears("password: ").await;
            person.say(PASSWORD).await;
            person.hears("welcome, ").await;
            person.say("move to admin lobby").await;
            person.hears("token: ").await;
            Box::new(person)
        }
    }
}

/// How many connections to one of these ports are open, as the system counts them.
fn open(ports: [u16; 2]) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let of_node = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().and_then(|local| u16::from_str_radix(local.split_once(':')?.1, 16).ok());
        // Established.
        let is_open = words.nth(1) == Some("01");
        is_open && local.is_some_and(|port| ports.contains(&port))
    };
    table.lines().filter(of_node).count()
}

/// CONNECT of MQTT 5 with enhanced authentication.
fn connect_by_key() -> Vec<u8> {
    let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
    let method = [&[21][..], &text("ed25519")].concat();
    let length = u8::try_from(method.len()).unwrap();
    let user = format!("{ACCOUNT}/kay");
    let body = [&text("MQTT")[..], &[5, 0x82, 0, 60, length], &method, &text(""), &text(&user)].concat();
    [&[0x10, u8::try_from(body.len()).unwrap()][..], &body].concat()
}

#[tokio::test]
async fn a_thousand_that_are_stuck_at_every_state_of_the_gate_do_not_disturb_who_was_let_in() {
    needs!(Need::Program("curl"));
    do_not_disturb(false).await;
}

#[tokio::test]
async fn nor_do_they_at_an_edge() {
    needs!(Need::Program("curl"));
    do_not_disturb(true).await;
}

async fn do_not_disturb(at_edge: bool) {
    let (site, token) = site(at_edge);
    let node = if at_edge { &site.edge } else { &site.hub };
    let credential = json!({ "user": OWNER, "password": PASSWORD });
    let room = format!("/{ACCOUNT}/hall");
    let mut admitted = Terminal::program_at(node.http, &room, credential).await.unwrap();
    admitted.asks(json!({ "op": "subscribe", "sub": 1, "channels": "stuck/#", "flow": "credit" })).await;
    let before = node.metric("riser_connections_accepted", "").unwrap_or_default();
    let (mut said, mut heard) = (0, 0);
    let mut alone = Vec::new();
    for _ in 0..SAYS / 10 {
        alone.push(publish(&mut admitted, &mut said, &mut heard).await);
    }

    let ports = (node.http, node.mqtt);
    let mut coming = JoinSet::new();
    let mut kept = Vec::new();
    let here: Vec<State> = STATES.into_iter().filter(|state| !at_edge || !OF_HUBS.contains(state)).collect();
    let mut states = here.iter().copied().cycle();
    let mut among = Vec::new();
    // They come by the dozen, and between them the one that was let in goes on.
    let most = loop {
        for state in states.by_ref().take(here.len() * 3) {
            coming.spawn(timeout(SOON, stop_at(state, ports, token.clone())));
        }
        while let Some(stuck) = coming.join_next().await {
            kept.push(stuck.unwrap().expect("it gets as far as it wants"));
        }
        for _ in 0..SAYS / 20 {
            among.push(publish(&mut admitted, &mut said, &mut heard).await);
        }
        let at_once = open([node.http, node.mqtt]);
        if at_once > STUCK {
            break at_once;
        }
        assert!(kept.len() < 10 * STUCK, "{at_once} at once of {} that came", kept.len());
    };
    while said < SAYS {
        among.push(publish(&mut admitted, &mut said, &mut heard).await);
    }
    assert_eq!(heard, said, "all of it came back, in order");
    let came = node.metric("riser_connections_accepted", "").unwrap_or_default() - before;
    assert!(kept.len() >= STUCK && came >= kept.len() as f64, "{} stopped, {came} came", kept.len());
    let usual = |mut took: Vec<Duration>| {
        took.sort_unstable();
        took[took.len() / 2]
    };
    // By far more than another load of the machine makes of it.
    let (alone, among) = (usual(alone), usual(among));
    assert!(among < alone * 50 + Duration::from_millis(250), "{among:?} among {most}, {alone:?} alone");
}

/// Says one thing, and hears it; how long that took.
async fn publish(admitted: &mut Terminal, said: &mut usize, heard: &mut usize) -> Duration {
    let began = Instant::now();
    *said += 1;
    let data = format!("number {said}");
    admitted
        .say(&json!({ "op": "publish", "id": *said, "channel": "stuck/a", "data": data }).to_string())
        .await;
    let (mut receipt, mut push) = (false, false);
    while !(receipt && push) {
        let next = admitted.json().await;
        if next["re"] == json!(*said) {
            assert!(next["ok"]["pos"].is_string(), "{next}");
            receipt = true;
        }
        if next["ev"] == "msg" {
            assert_eq!(next["data"], json!(data), "{next}");
            *heard += 1;
            push = true;
        }
    }
    let took = began.elapsed();
    admitted.say(&json!({ "op": "credit", "sub": 1, "n": 1 }).to_string()).await;
    took
}
