//! The door for people at terminals: the main lobby, in plain lines.
//!
//! Until a person is let in it only carries what the gate says and what the person answers. Behind the gate it knows a
//! few verbs, and nothing else: it shows the rooms, moves the person into one (whose gate may ask more), and there shows
//! what is said in its channels and says what the person says, as far as the room lets it; in the lobby in the channels of the
//! lobby. Best effort, like every
//! connection without positions: a person who lags is shown the newest of each channel.

use super::{publisher::Publisher, pull::Pull, refusal, reported_at, visitor};
use riser_model::{
    AccountName, ChannelName, Filter, Now, Position, Principal, RoomName, SubscriptionId, Time,
    door::{
        Ask, Code, Credential, Delivery, Door, Errand, Finished, Flow, From, Input, Method, Output, Prompt,
        Push, Refusal, RoomInfo, Secret, Showing, Tell, Want,
    },
    room::PERSONAL,
};
use riser_wire::{
    client::{MOVE_TO_ADMIN, MOVE_TO_ADMIN_BY_NAME, Message, VERBS, finished_lines, from_words},
    entry::{Body, Publication},
};
use std::{borrow::Cow, collections::VecDeque, sync::Arc, time::Duration};

/// The longest line that a person may type, bytes.
pub const LINE_BYTES_MAX: usize = 4096;
/// The most of a payload that is shown.
const SHOWN_BYTES_MAX: usize = 1024;
/// The one subscription: all channels of the room.
const SUBSCRIPTION: SubscriptionId = SubscriptionId(0);
const PROMPT: &str = "> ";
/// How long a person may take to type the operator's token: as long as for its password.
const TOKEN_DEADLINE: Duration = Duration::from_secs(30);
/// What a person is told who was shown something of a session. Lines do not say whose they are, so it names none.
const WIPED: &str = "(a session ended: what it said here is shown to nobody any more)\r\n";

/// See the module.
#[derive(Debug)]
pub struct Tty {
    phase: Phase,
    /// The gate has asked something that is not answered.
    asked: bool,
    /// Whose lobby it is, by name or UUID; the main one is everybody's.
    of: Option<AccountName>,
    pull: Pull,
    out: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    /// At the gate.
    Entering,
    /// Behind it.
    Lobby(Box<Lobby>),
    /// Nothing more comes or goes.
    Closed,
}

#[derive(Debug)]
struct Lobby {
    principal: Arc<Principal>,
    room: Option<RoomName>,
    /// The room that it asked to be moved to.
    moving: bool,
    /// Something is being done for it.
    running: bool,
    /// The next line is the operator's token, if it comes before that.
    asks_token: Option<Time>,
    /// It is in the admin lobby.
    operates: bool,
    /// It is in a lobby of an account that is not its own.
    visits: Option<AccountName>,
    publisher: Publisher,
}

impl Lobby {
    /// The room whose channels it is in: in a lobby they are the lobby's.
    fn place(&self) -> RoomName {
        self.room.clone().unwrap_or_else(RoomName::lobby)
    }
}

impl Tty {
    /// A person, with whatever its handshake showed, in the main lobby or somebody's.
    pub fn new(shown: Option<Credential>, of: Option<AccountName>) -> Self {
        let credential = shown.unwrap_or(Credential::Person);
        let enter = Ask::Enter { credential, session: None, room: None };
        let visit = of.clone().map(|lobby| Ask::Visit { lobby });
        let out = visit.into_iter().chain([enter]).map(Output::Ask).collect();
        Self { phase: Phase::Entering, asked: false, of, pull: Pull::default(), out }
    }

    fn say(&mut self, line: impl Into<String>) {
        let line = line.into();
        self.pull.wrote(line.len());
        self.out.push_back(Output::Text(line));
    }

    fn line(&mut self, text: &str, now: Now) {
        let line = text.trim_end_matches(['\r', '\n']);
        if line.len() > LINE_BYTES_MAX {
            let want = format!("at most {LINE_BYTES_MAX} bytes");
            return self.close(refusal(Code::TooLarge, "a line that is too long", &want));
        }
        match &self.phase {
            Phase::Entering => self.answer(line),
            // What the gate of a room asked.
            Phase::Lobby(lobby) if lobby.moving => self.answer(line),
            Phase::Lobby(lobby) if lobby.asks_token.is_some() => self.operate(line),
            Phase::Lobby(_) => self.verb(line.trim(), now),
            Phase::Closed => {}
        }
    }

    /// Answers the gate's question. What is typed ahead of it is nobody's: a password prompt drops it, too.
    fn answer(&mut self, line: &str) {
        if std::mem::take(&mut self.asked) {
            let answer = Secret(line.as_bytes().to_vec().into());
            self.out.push_back(Output::Ask(Ask::Answer(answer)));
        }
    }

    fn verb(&mut self, line: &str, now: Now) {
        let (verb, rest) = line.split_once(' ').map_or((line, ""), |(verb, rest)| (verb, rest.trim()));
        match (verb, rest) {
            ("", _) => self.say(PROMPT),
            ("help", "") => self.help(),
            ("quit" | "exit", "") => self.done(),
            ("whoami", "") => self.whoami(),
            ("say", rest) => self.publish(rest, now),
            _ if self.is_visitor() => {
                self.say(format!(
                    "!! you are a visitor in this lobby; try: whoami, say, help, quit\r\n{PROMPT}"
                ));
            }
            ("rooms", "") => self.out.push_back(Output::Ask(Ask::Rooms)),
            ("leave", "") => self.leave_room(),
            ("connect", rest) => {
                let name = ["to room ", "to ", ""].into_iter().find_map(|words| rest.strip_prefix(words));
                self.connect(name.unwrap_or_default().trim());
            }
            ("enter", "") => self.connect(PERSONAL),
            ("enter", name) => self.connect(name),
            ("create" | "invite" | "role" | "keys" | "accounts" | "remove", rest) => self.run(verb, rest),
            ("move", _) if line == MOVE_TO_ADMIN => self.ask_token(now),
            ("move", _) if line == MOVE_TO_ADMIN_BY_NAME => self.have_done(Errand::Operate { token: None }),
            _ => self.say(format!("!! no such command; try: help\r\n{PROMPT}")),
        }
    }

    fn is_visitor(&self) -> bool {
        matches!(&self.phase, Phase::Lobby(lobby) if lobby.visits.is_some())
    }

    fn help(&mut self) {
        let room = [("say <channel> <text>", "say something in the room, or in the lobby")];
        let verbs = VERBS.iter().map(|verb| (verb.line, verb.what)).chain(room);
        let lines: String = verbs.map(|(line, what)| format!("{line:<34}  {what}\r\n")).collect();
        self.say(format!("{lines}{PROMPT}"));
    }

    fn run(&mut self, verb: &str, rest: &str) {
        match from_words(verb, rest) {
            Ok(errand) => self.have_done(errand),
            Err(want) => self.say(format!("!! {want}\r\n{PROMPT}")),
        }
    }

    fn have_done(&mut self, errand: Errand) {
        let Phase::Lobby(lobby) = &mut self.phase else { return };
        if std::mem::replace(&mut lobby.running, true) {
            return self.say(format!("!! one at a time\r\n{PROMPT}"));
        }
        self.out.push_back(Output::Ask(Ask::Run(Box::new(errand))));
    }

    fn ask_token(&mut self, now: Now) {
        if let Phase::Lobby(lobby) = &mut self.phase {
            lobby.asks_token = Some(now.time.plus(TOKEN_DEADLINE));
            self.say("the operator's token: ");
        }
    }

    /// The operator's token was typed, or nothing.
    fn operate(&mut self, line: &str) {
        let Phase::Lobby(lobby) = &mut self.phase else { return };
        lobby.asks_token = None;
        match line.trim() {
            "" => self.say(PROMPT),
            token => {
                self.have_done(Errand::Operate { token: Some(Secret(token.as_bytes().to_vec().into())) })
            }
        }
    }

    /// Nobody types the operator's token any more: what comes next is a command.
    fn deadline(&mut self, now: Now) {
        if let Phase::Lobby(lobby) = &mut self.phase
            && lobby.asks_token.take_if(|until| *until <= now.time).is_some()
        {
            self.say(format!("\r\n!! no token in time\r\n{PROMPT}"));
        }
    }

    fn finished(&mut self, result: Result<Finished, Refusal>) {
        let Phase::Lobby(lobby) = &mut self.phase else { return };
        lobby.running = false;
        lobby.operates |= matches!(result, Ok(Finished::Operates)) && lobby.room.is_none();
        let lines = match result {
            Ok(done) => finished_lines(&done).join("\r\n"),
            Err(why) => format!("!! {}; want {}", why.what, why.want),
        };
        self.say(format!("{lines}\r\n{PROMPT}"));
    }

    fn whoami(&mut self) {
        let Phase::Lobby(lobby) = &self.phase else { return };
        let Principal { account_name, name, client, .. } = &*lobby.principal;
        let place = match (&lobby.room, &lobby.visits) {
            (Some(room), _) => room.to_string(),
            (None, Some(host)) => format!("the lobby of {host}, as a visitor"),
            (None, None) if lobby.operates => "the admin lobby".to_owned(),
            (None, None) => "the lobby".to_owned(),
        };
        let line = format!("{account_name}/{name} ({}), in {place}\r\n{PROMPT}", client.0);
        self.say(line);
    }

    fn connect(&mut self, name: &str) {
        let Ok(room) = name.parse::<RoomName>() else {
            return self.say(format!("!! connect to room <name>; try: rooms\r\n{PROMPT}"));
        };
        if let Phase::Lobby(lobby) = &mut self.phase {
            lobby.moving = true;
            self.out.push_back(Output::Ask(Ask::Move { room }));
        }
    }

    fn moved(&mut self, room: RoomName, result: Result<(), Refusal>) {
        let Phase::Lobby(lobby) = &mut self.phase else { return };
        lobby.moving = false;
        self.asked = false;
        if let Err(why) = result {
            return self.say(format!("!! {}\r\n{PROMPT}", why.what));
        }
        lobby.publisher.move_to(room.clone());
        lobby.operates = false;
        lobby.room = Some(room.clone());
        self.listen();
        self.say(format!("you are in {room}\r\n{PROMPT}"));
    }

    /// Hears what is said where it is.
    fn listen(&mut self) {
        let Phase::Lobby(lobby) = &self.phase else { return };
        let want = Want::Room(lobby.place(), Filter::all());
        self.out.push_back(Output::Ask(Ask::Subscribe {
            subscription: SUBSCRIPTION,
            want,
            from: From::Live,
            flow: Flow::Conflate,
            keep: None,
            retained: Showing::Nothing,
        }));
    }

    fn leave_room(&mut self) {
        let Phase::Lobby(lobby) = &mut self.phase else { return };
        let line = match lobby.room.take() {
            Some(room) => {
                lobby.publisher.move_to(RoomName::lobby());
                self.out.push_back(Output::Ask(Ask::Part));
                self.listen();
                format!("you left {room}\r\n{PROMPT}")
            }
            None => format!("!! you are in the lobby\r\n{PROMPT}"),
        };
        self.say(line);
    }

    fn publish(&mut self, rest: &str, now: Now) {
        let Phase::Lobby(lobby) = &mut self.phase else { return };
        let said = rest
            .split_once(' ')
            .and_then(|(channel, text)| Some((channel.parse::<ChannelName>().ok()?, text.trim_start())));
        let Some((channel, text)) = said else {
            return self.say(format!("!! say <channel> <text>\r\n{PROMPT}"));
        };
        let message = Message {
            channel,
            content_type: Cow::Borrowed("text/plain"),
            payload: Cow::Borrowed(text.as_bytes()),
            publish_id: None,
            expires_s: None,
        };
        match lobby.publisher.publish(None, false, 0, &[message], now) {
            Ok(ask) => self.out.push_back(Output::Ask(ask)),
            Err(why) => self.say(format!("!! {}\r\n{PROMPT}", why.what)),
        }
    }

    fn tell(&mut self, tell: Tell) {
        match tell {
            Tell::Prompt(prompt) => self.prompt(prompt),
            Tell::Entered { principal, .. } => {
                let visits = visitor(self.of.as_ref(), &principal);
                let place =
                    visits.as_ref().map_or("the lobby".to_owned(), |host| format!("the lobby of {host}"));
                let line = format!(
                    "welcome, {}/{}. you are in {place}; try: help\r\n{PROMPT}",
                    principal.account_name, principal.name
                );
                self.phase = Phase::Lobby(Box::new(Lobby {
                    principal,
                    room: None,
                    moving: false,
                    running: false,
                    asks_token: None,
                    operates: false,
                    visits,
                    publisher: Publisher::new(RoomName::lobby()),
                }));
                self.asked = false;
                self.say(line);
                self.listen();
            }
            Tell::Refused(why) => self.refused(why),
            Tell::Moved { room, result } => self.moved(room, result),
            Tell::Rooms(rooms) => self.rooms(&rooms),
            Tell::Finished(result) => self.finished(result),
            Tell::Stored { ticket, first, refused, log, epoch } => {
                let why = refused.first().map(|(_, why)| why.what.clone());
                if let Phase::Lobby(lobby) = &mut self.phase {
                    lobby.publisher.stored(ticket, first, refused, |seq| Position { log, epoch, seq });
                }
                if let Some(why) = why {
                    self.say(format!("!! {why}\r\n{PROMPT}"));
                }
            }
            Tell::Subscribed { result: Err(_), .. } => {
                // Of a lobby nobody expects anything.
                if matches!(&self.phase, Phase::Lobby(lobby) if lobby.room.is_some()) {
                    self.say(format!("you may say something here, and hear nothing\r\n{PROMPT}"));
                }
            }
            // MQTT's.
            Tell::System { .. } => {}
            Tell::Ready => self.pull.ready(),
            Tell::Deliver { pushes, more } => {
                self.pull.delivered(more);
                pushes.into_iter().for_each(|push| self.push(push));
            }
            Tell::Subscribed { result: Ok(_), .. }
            | Tell::Unsubscribed { .. }
            | Tell::Ticketed(_)
            | Tell::Seen { .. }
            | Tell::Renewed { .. }
            | Tell::Decided { .. } => {}
        }
        self.ask_for_more();
    }

    fn prompt(&mut self, prompt: Prompt) {
        self.asked = match &prompt {
            Prompt::Words(_) | Prompt::Challenge { .. } => true,
            Prompt::Knocked => false,
        };
        match prompt {
            Prompt::Words(words) => self.say(words),
            Prompt::Knocked => self.say("an admin was asked; wait"),
            Prompt::Challenge { method, nonce } => {
                let how = match method {
                    Method::Key => "sign",
                    Method::Secret => "prove",
                };
                self.say(format!("{how} {} {nonce}\r\nanswer: ", method.name()));
            }
        }
    }

    fn rooms(&mut self, rooms: &[RoomInfo]) {
        let line = |room: &RoomInfo| {
            let gate = if room.gated { ", behind a gate" } else { "" };
            format!("{} ({} here{gate})\r\n", room.name, room.members)
        };
        let lines: String = rooms.iter().map(line).collect();
        self.say(format!("{lines}{PROMPT}"));
    }

    fn push(&mut self, push: Push) {
        match push {
            Push::Publication(delivery) => {
                if let (Phase::Lobby(lobby), Some(line)) = (&self.phase, shown(&delivery))
                    && lobby.place() == delivery.content.room
                {
                    self.say(line);
                    self.out.extend(reported_at(&delivery).map(Output::Ask));
                }
            }
            Push::Wiped { .. } => self.say(WIPED),
            Push::Gap { .. } | Push::Through { .. } => {}
        }
    }

    fn ask_for_more(&mut self) {
        if matches!(self.phase, Phase::Lobby(_)) {
            self.out.extend(self.pull.next(false).map(Output::Ask));
        }
    }

    fn refused(&mut self, why: Refusal) {
        // Who it is asked about has heard the gate's own words.
        if why.code != Code::NotAuthorised {
            self.say(format!("!! {}", why.what));
        }
        match self.phase {
            // The bus never had this connection: there is nothing to leave.
            Phase::Entering => self.bye(why),
            Phase::Lobby(_) | Phase::Closed => self.close(why),
        }
    }

    fn done(&mut self) {
        self.say("goodbye");
        self.leave(riser_model::door::NORMAL);
        self.out.push_back(Output::Done);
    }

    /// Leaves and closes.
    fn close(&mut self, why: Refusal) {
        if !matches!(self.phase, Phase::Closed) {
            self.leave(why.code.name());
            self.bye(why);
        }
    }

    fn leave(&mut self, cause: &str) {
        if !matches!(self.phase, Phase::Closed) {
            self.out.push_back(Output::Ask(Ask::Leave { cause: cause.into(), expiry_s: None }));
        }
        self.phase = Phase::Closed;
    }

    fn bye(&mut self, why: Refusal) {
        self.phase = Phase::Closed;
        self.out.push_back(Output::Close(why));
    }
}

/// A delivery as a line: what a terminal would take for a command to itself is not shown as such.
fn shown(delivery: &Delivery) -> Option<String> {
    let body = Body::read(&delivery.content.body).ok()?;
    let publication = Publication::read(&body).ok()?;
    let channel = delivery.content.route.channel.as_str();
    let payload = match std::str::from_utf8(publication.payload) {
        Ok(text) => {
            let plain = |letter: char| if letter.is_control() { '.' } else { letter };
            let mut text: String = text.chars().map(plain).collect();
            let end = (0..=SHOWN_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
            text
        }
        Err(_) => format!("({} bytes)", publication.payload.len()),
    };
    Some(format!("{channel}: {payload}"))
}

impl Door for Tty {
    fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Text(text) => self.line(&text, now),
            Input::Bytes(_) => {
                self.close(refusal(Code::Malformed, "a binary message", "lines of text, from a terminal"));
            }
            Input::Tell(tell) => self.tell(tell),
            Input::Room(bytes) => {
                self.pull.room(bytes);
                self.ask_for_more();
            }
            Input::Deadline => self.deadline(now),
            Input::Unheard => {}
            Input::Gone(cause) => self.leave(cause),
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Before the lobby the gate keeps the time.
    fn poll_timeout(&self) -> Option<Time> {
        match &self.phase {
            Phase::Lobby(lobby) => lobby.asks_token,
            Phase::Entering | Phase::Closed => None,
        }
    }
}

#[cfg(test)]
#[path = "tty_tests.rs"]
mod tests;
