//! The envelope protocol: what a dashboard and its hub or edge say to each other in JSON text messages.
//!
//! Owns the shape of every request, reply and push, and the wording of what is wrong with a request. A
//! request that was read is valid: its channels, filters and positions are parsed, its payloads are bytes.
//! What a connection may say when, and whether it is allowed, is the door's and the bus's business.
//!
//! ```text
//! -> {"op":"hello","id":1,"credential":{"user":"ann","password":"..."},"subscriptions":[{"sub":1,"channels":"#"}]}
//! <- {"re":1,"ok":{"client":"...","subscriptions":[{"sub":1,"complete":"none","gaps":[],"pos":"..."}]}}
//! <- {"ev":"msg","sub":1,"pos":"...","prev":"...","channel":"a/b","client":"...","time":0,"type":"text/plain","data":"x"}
//! -> {"op":"publish","id":2,"channel":"a/b","data":{"celsius":21.5}}
//! <- {"re":2,"ok":{"pos":"..."}}
//! ```
//!
//! **What the system says** comes without being asked for: `{"ev":"event","scope":"room","pos":"...","event":{...}}`,
//! of this room, the account and the hub, unless `hello` says `"events":false` or subscribes with `technical` itself.
//! `technical` is `room`, `account` (and what the hub says of itself) or `hub`; which kinds there are and what they
//! carry is in `riser-model`'s `event`.
//!
//! **Payloads** travel by content type. JSON is `data` as it is, text is `data` as a string, everything else
//! is `data_b64`; so is what is declared JSON or text and is not. A publication without `type` is text if its
//! `data` is a string, JSON if it is anything else, octets if it is `data_b64`.
//!
//! **Publish ids.** A `publish_id` is a `producer`, drawn at random by whoever publishes, and an `n` that rises by one
//! with each of its publications. Who got no receipt sends the same again with the same id: what is in the log already
//! is answered by the error `dup`, over restarts of the server too, and stored once. An instance remembers the last
//! 8,192 producers that published there (of one client the last 32), and of each the newest four runs of consecutive n
//! (what was refused makes a hole). Of an n below them it is not known any more whether it was stored or refused: the
//! answer is `wrong_state`, and whoever sent it looks, or publishes it under a new n. A producer that was forgotten counts
//! as a new one.
//!
//! **Tickets.** `{"op":"ticket","id":3}` is answered by `{"ticket":"...","expires_s":30}`: one raw connection may enter
//! with it as this client, by `?ticket=...` behind its address, once and within that time.
//!
//! **Session history.** In a room whose history is `session`, a connection that said `{"op":"session"}` has what it
//! publishes replayed to whoever joins later, in order and before what is new; those who are there do not get it again.
//! Its messages carry `session`, a name for that connection. When it ends nothing of it is replayed any more, and who was
//! shown any of it in a replay is told `{"ev":"wiped","sub":1,"session":"..."}`. A room replays at most 16,384
//! publications of sessions; one more is answered by the error `session_full`. Who resumes by `after` goes on and joins
//! nothing. The bytes stay on disk until the log's quota takes them.
//!
//! **The lobby.** `hello` at `/` or `/user/{name}` is answered by who one is, without a room. What is subscribed to and published
//! there are channels of the account's room `lobby`; `technical` is that room's too. Who visits another account's lobby has
//! of its channels what that account grants to visitors, and nothing of `technical`. The verbs are in `help`.
//!
//! **Another room.** `{"op":"enter","id":4,"room":"vault"}` (or `move`), in a lobby or in a room, asks for a room of the
//! account, whose gate runs anew: what was proven stands, and what it asks beyond that comes as a push
//! (`{"ev":"challenge",...}`, to be answered by `answer`; `{"ev":"knocked"}`). Its reply is that of `hello` in that room.
//! Whoever comes from a room has left that then: its subscriptions, technical ones too, have ended, and each is said to have
//! before the reply (`{"ev":"end","sub":1,"error":{...}}`); what its session history replayed is wiped; what it hears from the
//! system without having asked goes on, of the new room. Who is refused stays where it was, and everything goes on; a room
//! whose gate says no looks like one that there is not (`denied`). The move waits for the answers to what was asked before it,
//! and until its reply nothing may be published, subscribed to or looked at. `{"op":"leave","id":5}` goes back into the lobby
//! in the same way, and nobody says no: its reply is that of `whoami` there, and the system says nothing unasked until it is
//! in a room again. The other verbs of a lobby may be said in a room
//! as well.
//!
//! **Anew.** What was shown may end while the connection lasts: a token expires, what a directory server said does. Whoever says
//! `{"op":"renew","id":6,"credential":{"token":"..."}}` before that, with any credential of the same user or client, goes on: it
//! is asked what it would be asked if it came now, the room's gate included (`{"ev":"challenge",...}`), within the same
//! deadlines, and works on meanwhile. When the answer comes (`{"re":6,"ok":{}}`) what it has shown now holds, with its end and
//! its rights, and what it had shown before counts no more; the admin lobby asks anew. Who fails is closed, as at `hello`. A
//! credential of somebody else fails too: what waits here, and who is in the room, is somebody's, and stays so.
//!
//! **Numbers.** Whatever JavaScript would round is a string: positions, and log and epoch ids (16 hexadecimal
//! digits, as in positions). Seqs, counts and connection ids are numbers; a publish id may be either.

mod answer;
mod errand;
mod looking;
mod object;
mod published;
mod request;

pub use answer::{
    Done, Entered, Hole, InLobby, Problem, Push, Receipt, ShownRoom, Started, error, ok, scope_name,
};
pub use errand::{
    MOVE_TO_ADMIN, MOVE_TO_ADMIN_BY_NAME, VERBS, Verb, finished, finished_lines, from_words, help,
};
pub use looking::{Looking, seen};
pub use published::{Fields, Msg, Payload, Published};
pub use request::{
    Channels, Hello, Message, Op, Publish, Request, Shown, Subscribe, Technical, WANT_TYPE, Wrong,
    is_content_type,
};

/// The WebSocket sub-protocol.
pub const SUBPROTOCOL: &str = "riser.v1.json";

/// The largest request id: what JavaScript counts without rounding.
pub const REQUEST_ID_MAX: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests;
