//! Lines of text as messages: `topic`, a tab, the payload. For scripts.
//!
//! One line is one message; a line with nothing in it is none. The payload is whatever follows the first tab, byte for
//! byte, up to the line's end. A line that is not that, or that is refused, is named with its number, and those after
//! it are read on; where the log cannot take more, nothing after it is read. What the [`Receipt`] calls stored is on
//! disk.
//!
//! It has the shape of a door, and says nothing: its peer is a pipe.

use super::{
    batch::Batch,
    mapping::{Mapping, quote},
    meter::Meter,
};
use riser_model::{
    Now, Position, Seq, Time,
    door::{Ask, Code, Credential, Door, Input, NORMAL, Output, Refusal, Tell},
};
use riser_wire::{
    close,
    entry::{ContentType, Publication},
    limits::PUBLICATION_BYTES_MAX,
};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// The longest topic that is looked at.
const TOPIC_BYTES_MAX: usize = 1024;
/// The longest line: topic, tab, payload.
const LINE_BYTES_MAX: usize = TOPIC_BYTES_MAX + 1 + PUBLICATION_BYTES_MAX;
/// Lines that the receipt names.
const FAULTS_MAX: usize = 100;
/// The cause with which standard input ends well.
pub const END: &str = "end";

/// What became of the lines.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Receipt {
    /// Lines that were read, empty ones included.
    pub lines: u64,
    /// Messages that are on disk.
    pub stored: u64,
    /// Where the first and the last of them are.
    pub range: Option<(Position, Position)>,
    /// Lines that are no messages, or were refused.
    pub refused: u64,
    /// The first of these, by number.
    pub faults: Vec<(u64, Refusal)>,
    /// Why the reading ended before the input did.
    pub stopped: Option<Refusal>,
    /// The input was read to its end.
    pub ended: bool,
}

impl Receipt {
    /// Every line is on disk.
    pub fn is_complete(&self) -> bool {
        self.ended && self.refused == 0 && self.stopped.is_none()
    }

    /// It as one object.
    pub fn json(&self) -> Value {
        let fault = |(line, refusal): &(u64, Refusal)| {
            let Refusal { code, what, want } = refusal;
            json!({ "line": line, "code": code.name(), "what": what, "want": want })
        };
        json!({
            "complete": self.is_complete(),
            "lines": self.lines,
            "stored": self.stored,
            "first": self.range.map(|(first, _)| first.to_string()),
            "last": self.range.map(|(_, last)| last.to_string()),
            "refused": self.refused,
            "faults": self.faults.iter().map(fault).collect::<Vec<_>>(),
            "stopped": self.stopped.as_ref().map(|stopped| stopped.what.as_str()),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The bus is to let us in.
    Entering,
    Open,
    /// No more is read; what was read waits for its commit.
    Ending,
    Closed,
}

/// See the module.
#[derive(Debug)]
pub struct Lines {
    meter: Meter,
    state: State,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    batch: Batch,
    /// Which lines the entries at hand are, and those of each batch that is not on disk yet.
    fresh: Vec<u64>,
    storing: VecDeque<(u64, Vec<u64>)>,
    receipt: Receipt,
    outputs: VecDeque<Output>,
}

impl Lines {
    /// Of an input that is open. Enters the bus at once.
    pub(crate) fn new(mapping: Mapping, meter: Meter) -> Self {
        let enter = Ask::Enter { credential: Credential::Anonymous, session: None, room: None };
        Self {
            meter,
            state: State::Entering,
            partial: vec![],
            batch: Batch::new(mapping),
            fresh: vec![],
            storing: VecDeque::new(),
            receipt: Receipt::default(),
            outputs: VecDeque::from([Output::Ask(enter)]),
        }
    }

    /// Whether more lines may come now: not before those that came are on disk, so that none is stored that follows
    /// one which cannot be.
    pub(crate) fn may_read(&self) -> bool {
        self.state == State::Open && self.storing.is_empty()
    }

    /// What became of the lines so far.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Reads no more, although the input goes on.
    pub(crate) fn stop(&mut self, why: Refusal) {
        if matches!(self.state, State::Closed) {
            return;
        }
        self.receipt.stopped.get_or_insert(why);
        self.finish();
    }

    fn bytes(&mut self, bytes: &[u8], now: Now) {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        // What follows the last line's end; all of it where there is none.
        let rest = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            if self.partial.is_empty() {
                self.line(piece, now);
            } else {
                self.keep(piece);
                let line = std::mem::take(&mut self.partial);
                self.line(&line, now);
            }
        }
        self.keep(rest);
        self.flush();
    }

    /// Keeps the beginning of a line, as far as one may be long.
    fn keep(&mut self, piece: &[u8]) {
        let room = (LINE_BYTES_MAX + 1).saturating_sub(self.partial.len());
        self.partial.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    fn line(&mut self, line: &[u8], now: Now) {
        self.receipt.lines += 1;
        if line.is_empty() {
            return;
        }
        self.meter.received.inc();
        if let Err(refusal) = self.message(line, now) {
            self.fault(self.receipt.lines, refusal);
        }
    }

    fn message(&mut self, line: &[u8], now: Now) -> Result<(), Refusal> {
        if line.len() > LINE_BYTES_MAX {
            let what = format!("a line of more than {LINE_BYTES_MAX} bytes");
            let want = format!("a topic, a tab and at most {PUBLICATION_BYTES_MAX} bytes");
            return Err(Refusal { code: Code::TooLarge, what, want });
        }
        let Some(tab) = line.iter().position(|byte| *byte == b'\t') else {
            let what = "no tab between a topic and a payload".to_owned();
            return Err(Refusal { code: Code::Malformed, what, want: "topic, tab, payload".to_owned() });
        };
        let (topic, payload) = line.split_at_checked(tab).expect("the tab is in the line");
        let payload = payload.get(1..).unwrap_or_default();
        let topic = topic_of(topic)?;
        if payload.len() > PUBLICATION_BYTES_MAX {
            let what = format!("a payload of {} bytes", payload.len());
            return Err(Refusal {
                code: Code::TooLarge,
                what,
                want: format!("at most {PUBLICATION_BYTES_MAX}"),
            });
        }
        if !self.batch.fits(payload.len()) {
            self.flush();
        }
        let alias = self.batch.alias(topic)?;
        let is_text = std::str::from_utf8(payload).is_ok();
        let content_type = if is_text { ContentType::Text } else { ContentType::Octets };
        let publication = Publication { qos: 1, ..Publication::new(content_type, payload) };
        self.batch.add(alias, &publication, now.stamp());
        self.fresh.push(self.receipt.lines);
        Ok(())
    }

    fn fault(&mut self, line: u64, refusal: Refusal) {
        self.receipt.refused += 1;
        self.meter.refused(&refusal);
        if self.receipt.faults.len() < FAULTS_MAX {
            self.receipt.faults.push((line, refusal));
        }
    }

    fn flush(&mut self) {
        if let Some(intake) = self.batch.take() {
            self.storing.push_back((intake.ticket, std::mem::take(&mut self.fresh)));
            self.outputs.push_back(Output::Ask(Ask::Publish(intake)));
        }
    }

    fn stored(&mut self, ticket: u64, first: Position, refused: Vec<(u32, Refusal)>) {
        self.batch.answered(ticket);
        let Some((_, lines)) = self.storing.pop_front_if(|(storing, _)| *storing == ticket) else { return };
        let stored = (lines.len() as u64).saturating_sub(refused.len() as u64);
        self.receipt.stored += stored;
        self.meter.stored.inc_by(stored);
        self.meter.acknowledged.inc_by(stored);
        if let Some(more) = stored.checked_sub(1) {
            let last = Position { seq: Seq(first.seq.0.saturating_add(more)), ..first };
            self.receipt.range = Some((self.receipt.range.map_or(first, |(first, _)| first), last));
        }
        for (index, refusal) in refused {
            let line = lines.get(index as usize).copied().unwrap_or_default();
            if close::after_ms(refusal.code).is_some() {
                self.receipt.stopped.get_or_insert(refusal.clone());
            }
            self.fault(line, refusal);
        }
        if self.receipt.stopped.is_some() || self.state == State::Ending {
            self.finish();
        }
    }

    /// Reads no more; is over as soon as nothing waits.
    fn finish(&mut self) {
        if self.storing.is_empty() {
            let ask = Ask::Leave { cause: NORMAL.to_owned(), expiry_s: None };
            self.outputs.extend([Output::Ask(ask), Output::Done]);
            self.state = State::Closed;
            self.meter.up.set(0);
        } else {
            self.state = State::Ending;
        }
    }

    fn gone(&mut self, cause: &'static str, now: Now) {
        if self.state == State::Open && cause == END {
            let last = std::mem::take(&mut self.partial);
            if !last.is_empty() {
                self.line(&last, now);
            }
            self.flush();
            self.receipt.ended = true;
            self.finish();
        } else {
            let what = format!("standard input ended badly: {cause}");
            self.stop(Refusal { code: Code::Malformed, what, want: "an input that can be read".to_owned() });
        }
    }

    fn refused(&mut self, refusal: Refusal) {
        // Nothing more comes from a bus that has let go.
        self.storing.clear();
        self.stop(refusal);
    }
}

impl Door for Lines {
    fn handle(&mut self, input: Input, now: Now) {
        match (self.state, input) {
            (State::Closed, _) => {}
            (State::Open, Input::Bytes(bytes)) => self.bytes(&bytes, now),
            (State::Entering, Input::Tell(Tell::Entered { .. })) => {
                self.state = State::Open;
                self.meter.up.set(1);
            }
            (_, Input::Tell(Tell::Refused(refusal))) => self.refused(refusal),
            (_, Input::Tell(Tell::Stored { ticket, log, epoch, first, refused })) => {
                self.stored(ticket, Position { log, epoch, seq: first }, refused);
            }
            (_, Input::Gone(cause)) => self.gone(cause, now),
            // Nothing else was asked, and nobody reads before it may.
            (
                State::Entering | State::Open | State::Ending,
                Input::Tell(_)
                | Input::Bytes(_)
                | Input::Text(_)
                | Input::Room(_)
                | Input::Deadline
                | Input::Unheard,
            ) => {}
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }
}

/// A topic that can be published to.
fn topic_of(bytes: &[u8]) -> Result<&str, Refusal> {
    let refuse = |what: String, want: &str| Refusal { code: Code::BadName, what, want: want.to_owned() };
    let topic =
        std::str::from_utf8(bytes).map_err(|_| refuse("a topic that is not UTF-8".to_owned(), "UTF-8"))?;
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || topic.contains(['+', '#', '\0']) {
        let want = "1 to 1024 bytes without +, # and NUL";
        return Err(refuse(format!("topic {}", quote(topic)), want));
    }
    Ok(topic)
}

#[cfg(test)]
mod tests;
