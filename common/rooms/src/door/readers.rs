//! The subscriptions of one connection, each with the position that its client knows.
//!
//! Always holds: a push's `prev` is what the client was last told, unless the bus itself jumped; then it is
//! the bus's, so that the client sees the jump. A subscription with a window never gets more messages than
//! its client gave credit for. What was pulled beyond that is parked, at most [`PARKED_BYTES_MAX`] of it, and the bus
//! lets the full window rest, so that the others on this connection go on; its cursor stays where it is.

use super::{refusal, reported_at};
use riser_model::{
    Cause, Gap, Position, RoomName, SubscriptionId, Wall,
    door::{
        self, Ask, Code, Delivery, Flow, From, Output, Refusal, Showing, Subscribed, Texts, Want, Worded,
        Wording,
    },
};
use riser_wire::{
    client::{Channels, Fields, Msg, Published, Push, Started, Subscribe, Technical, scope_name},
    cloud_event,
    entry::{Body, Kind, Publication},
    limits::SUBSCRIPTIONS_CEILING,
};
use std::collections::{BTreeMap, VecDeque};

/// Parked for one subscription beyond its credit.
const PARKED_BYTES_MAX: usize = 16 * 1024;

/// The number of what every connection hears. No client has it for its own.
const UNASKED: u32 = SubscriptionId::UNASKED.0;

/// Who waits for the bus's answer to a subscribe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// A request.
    Request(u64),
    /// The n-th subscription of `hello`.
    Hello(usize),
    /// A window of which more was parked than it may hold: it is read again.
    Resume,
    /// Nobody: every connection hears what the system says.
    Nobody,
}

/// One subscription.
#[derive(Debug)]
struct Reader {
    want: Want,
    flow: Flow,
    /// Up to here the client was told.
    told: Option<Position>,
    /// Up to here the bus pushed.
    seen: Option<Position>,
    /// Where it began at a time: from when on what lies up to `until` is meant.
    since: Option<Wall>,
    until: Option<Position>,
    window: Option<Window>,
    /// Whether the bus lets it rest.
    paused: bool,
}

/// What a subscription may still get.
#[derive(Debug, Default)]
struct Window {
    credit: u64,
    parked: VecDeque<Parked>,
    parked_bytes: usize,
    /// The bound was met: the rest of what was pulled is read again later.
    cut: bool,
}

/// A push that waits for credit, and whether it follows the one before it without a jump.
#[derive(Debug)]
struct Parked {
    push: door::Push,
    follows: bool,
}

/// Requests that the bus has not answered, per subscription, in order.
#[derive(Debug, Default)]
struct Unanswered {
    subscribes: VecDeque<Asked>,
    unsubscribes: VecDeque<u64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Readers {
    room: RoomName,
    /// Each in a place of its own: a map has room for eleven where it has one.
    readers: BTreeMap<u32, Box<Reader>>,
    unanswered: BTreeMap<u32, Unanswered>,
}

impl Readers {
    /// None yet; all will be of this room.
    pub(super) fn new(room: RoomName) -> Self {
        Self { room, readers: BTreeMap::new(), unanswered: BTreeMap::new() }
    }

    /// Starts or replaces one.
    pub(super) fn subscribe(&mut self, asked: Asked, request: Subscribe) -> Result<Ask, Refusal> {
        let asked_for = self.readers.len() - usize::from(self.readers.contains_key(&UNASKED));
        if asked_for >= SUBSCRIPTIONS_CEILING && !self.readers.contains_key(&request.sub) {
            let what = format!("more than {SUBSCRIPTIONS_CEILING} subscriptions on one connection");
            return Err(refusal(Code::TooMany, &what, "wider filters, or another connection"));
        }
        let want = match request.channels {
            Channels::Filter(filter) => Want::Room(self.room.clone(), filter),
            Channels::Technical(whose) => Want::Technical(self.technical(whose)),
        };
        let window = request.credit.map(|credit| Window { credit: credit.into(), ..Window::default() });
        let reader = Reader::new(want, (request.from, request.flow), window);
        let ask = reader.ask(request.sub, request.from);
        self.readers.insert(request.sub, Box::new(reader));
        self.unanswered.entry(request.sub).or_default().subscribes.push_back(asked);
        Ok(ask)
    }

    fn technical(&self, whose: Technical) -> door::Technical {
        match whose {
            Technical::Room => door::Technical::of_room(self.room.clone()),
            Technical::Account => door::Technical::of_account(),
            Technical::Hub => door::Technical { account: false, ..door::Technical::of_account() },
        }
    }

    /// Starts what every connection hears unless it does not want to: of its room, the account and the instance.
    pub(super) fn listen(&mut self) -> Ask {
        let technical =
            door::Technical { room: Some(self.room.clone()), ..self.technical(Technical::Account) };
        let want = Want::Technical(technical);
        let reader = Reader::new(want, (From::Live, Flow::Credit), None);
        let ask = reader.ask(UNASKED, From::Live);
        self.readers.insert(UNASKED, Box::new(reader));
        self.unanswered.entry(UNASKED).or_default().subscribes.push_back(Asked::Nobody);
        ask
    }

    /// Ends one.
    pub(super) fn unsubscribe(&mut self, id: u64, sub: u32) -> Result<Ask, Refusal> {
        self.readers.remove(&sub).ok_or_else(unknown)?;
        self.unanswered.entry(sub).or_default().unsubscribes.push_back(id);
        Ok(Ask::Unsubscribe { subscription: SubscriptionId(sub) })
    }

    /// The bus answered a subscribe: who waits for it, and what to say. Nobody waits for a resumed window;
    /// what it has to say goes to `out`.
    pub(super) fn subscribed(
        &mut self,
        sub: u32,
        result: Result<Subscribed, Refusal>,
        out: &mut VecDeque<Output>,
    ) -> Option<(Asked, Started)> {
        let unanswered = self.unanswered.get_mut(&sub)?;
        let asked = unanswered.subscribes.pop_front()?;
        let current = unanswered.subscribes.is_empty();
        self.forget_answered(sub);
        let resumed = asked == Asked::Resume;
        if current && let Some(reader) = self.readers.get_mut(&sub) {
            match &result {
                Ok(good) if resumed => reader.resumed(sub, good, out),
                Ok(good) => reader.started(good),
                Err(why) => {
                    if resumed {
                        out.push_back(Output::Text(Push::End { sub, error: why.into() }.text()));
                    }
                    self.readers.remove(&sub);
                }
            }
        }
        (!resumed && asked != Asked::Nobody).then_some((asked, Started { sub, result }))
    }

    /// The bus answered an unsubscribe: which request that was.
    pub(super) fn unsubscribed(&mut self, sub: u32) -> Option<u64> {
        let request = self.unanswered.get_mut(&sub)?.unsubscribes.pop_front();
        self.forget_answered(sub);
        request
    }

    fn forget_answered(&mut self, sub: u32) {
        if self.unanswered.get(&sub).is_some_and(|u| u.subscribes.is_empty() && u.unsubscribes.is_empty()) {
            self.unanswered.remove(&sub);
        }
    }

    /// Says what the bus pushed in `texts`, or parks it. What is to be asked for it goes to `out`.
    pub(super) fn push(&mut self, push: door::Push, texts: &mut Texts, out: &mut VecDeque<Output>) {
        let sub = subscription(&push).0;
        // Pushes that were under way when a subscription ended or was replaced belong to nobody.
        if self.unanswered.contains_key(&sub) {
            return;
        }
        let Some(reader) = self.readers.get_mut(&sub) else { return };
        let Some(follows) = reader.take(&push) else { return };
        reader.say_or_park(sub, Parked { push, follows }, texts, out);
    }

    /// Whether what is pushed is said at once, whatever the socket does: no window, and nothing of which only the newest
    /// counts.
    pub(super) fn hold_nothing(&self) -> bool {
        self.readers.values().all(|reader| reader.window.is_none() && reader.flow == Flow::Credit)
    }

    /// Before a pull: the bus lets full windows rest, so that the others can go on. Whether there is anything to pull
    /// for.
    pub(super) fn make_way(&mut self, out: &mut VecDeque<Output>) -> bool {
        if !self.readers.is_empty() && self.readers.values().all(|reader| reader.is_full()) {
            return false;
        }
        for (sub, reader) in &mut self.readers {
            if reader.is_full() && !std::mem::replace(&mut reader.paused, true) {
                out.push_back(Output::Ask(pause(*sub, true)));
            }
        }
        true
    }

    /// Whether the bus owes no answer to a subscribe or its end.
    pub(super) fn is_answered(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Its connection is in another room from here on. All of them have ended, and the bus has forgotten them: each is said
    /// to have, behind what was held back of it for want of credit, which nobody gets any more.
    pub(super) fn move_to(&mut self, room: RoomName, out: &mut VecDeque<Output>) {
        self.room = room;
        let ended = std::mem::take(&mut self.readers);
        for sub in ended.keys().copied().filter(|sub| *sub != UNASKED) {
            let why =
                refusal(Code::WrongState, "you have left its room", "to subscribe where you are by now");
            out.push_back(Output::Text(Push::End { sub, error: (&why).into() }.text()));
        }
    }

    /// Asks again for what was thrown away for want of a place, where there is credit by now.
    pub(super) fn read_again(&mut self, out: &mut VecDeque<Output>) {
        for (sub, reader) in &mut self.readers {
            if reader.is_to_be_read_again() {
                out.push_back(Output::Ask(reader.ask_onward(*sub)));
                self.unanswered.entry(*sub).or_default().subscribes.push_back(Asked::Resume);
            }
        }
    }

    /// A client gave credit: says what was parked, and resumes the cursor when nothing is; not while its connection may be in
    /// another room before that is asked for.
    pub(super) fn credit(
        &mut self,
        sub: u32,
        n: u32,
        stays: bool,
        out: &mut VecDeque<Output>,
    ) -> Result<(), Refusal> {
        let reader = self.readers.get_mut(&sub).ok_or_else(unknown)?;
        let Some(window) = &mut reader.window else {
            let what = "a subscription without a window: it follows the socket's pace";
            return Err(refusal(Code::WrongState, what, "subscribe with credit to have one"));
        };
        window.credit = window.credit.saturating_add(n.into());
        let (mut texts, mut asks) = (Texts::default(), VecDeque::new());
        while let Some(parked) = reader.next_parked() {
            reader.say(sub, parked, &mut texts, &mut asks);
        }
        out.extend((!texts.is_empty()).then_some(Output::Texts(texts)));
        out.append(&mut asks);
        if stays && reader.is_to_be_read_again() {
            out.push_back(Output::Ask(reader.ask_onward(sub)));
            self.unanswered.entry(sub).or_default().subscribes.push_back(Asked::Resume);
        } else if !reader.is_full() && std::mem::replace(&mut reader.paused, false) {
            out.push_back(Output::Ask(pause(sub, false)));
        }
        Ok(())
    }

    /// Where every subscription is, for a ping; from then on their clients know.
    pub(super) fn through(&mut self) -> BTreeMap<u32, String> {
        let mut through = BTreeMap::new();
        for (sub, reader) in &mut self.readers {
            if !reader.is_full() {
                reader.told = reader.seen;
            }
            if let Some(position) = reader.told.filter(|_| *sub != UNASKED) {
                through.insert(*sub, position.to_string());
            }
        }
        through
    }
}

impl Reader {
    fn new(want: Want, (from, flow): (From, Flow), window: Option<Window>) -> Self {
        let since = match from {
            From::Since(since) | From::Onward { since, .. } => Some(since),
            From::Live | From::After(_) | From::Last(_) | From::Start => None,
        };
        Self { want, flow, told: None, seen: None, since, until: None, window, paused: false }
    }

    fn started(&mut self, good: &Subscribed) {
        (self.told, self.seen) = (Some(good.at), Some(good.at));
        self.until = good.until;
    }

    /// Asks for what comes after what it has seen.
    fn ask_onward(&self, sub: u32) -> Ask {
        let from = match (self.seen, self.since, self.until) {
            (None, ..) => From::Live,
            (Some(after), Some(since), Some(until)) => From::Onward { after, since, until },
            (Some(after), None, _) | (Some(after), _, None) => From::After(after),
        };
        self.ask(sub, from)
    }

    fn ask(&self, sub: u32, from: From) -> Ask {
        let subscription = SubscriptionId(sub);
        Ask::Subscribe {
            subscription,
            want: self.want.clone(),
            from,
            flow: self.flow,
            keep: None,
            retained: Showing::Nothing,
        }
    }

    fn is_full(&self) -> bool {
        self.window.as_ref().is_some_and(|window| !window.parked.is_empty())
    }

    /// Whether there is credit and nothing is parked, but what follows was thrown away; then it will be read again.
    fn is_to_be_read_again(&mut self) -> bool {
        let Some(window) = self.window.as_mut().filter(|w| w.cut && w.credit > 0 && w.parked.is_empty())
        else {
            return false;
        };
        (window.cut, self.paused) = (false, false);
        true
    }

    fn resumed(&mut self, sub: u32, good: &Subscribed, out: &mut VecDeque<Output>) {
        for gap in &good.gaps {
            out.push_back(Output::Text(Push::Gap { sub, hole: (*gap).into(), pos: good.at }.text()));
            self.told = Some(good.at);
        }
        self.seen = Some(good.at);
    }

    /// Moves to after the push. Whether it follows what was pushed before it without a jump; none if nothing
    /// is to be said.
    fn take(&mut self, push: &door::Push) -> Option<bool> {
        // Nobody says a second time that a session ended.
        let once = matches!(push, door::Push::Wiped { .. });
        if !once && self.window.as_ref().is_some_and(|window| window.cut) {
            return None;
        }
        match push {
            door::Push::Publication(delivery) => {
                let prev = Some(delivery.prev);
                let follows = prev == self.seen || prev == self.told;
                self.seen = delivery.pos.or(self.seen);
                Some(follows)
            }
            door::Push::Gap { pos, .. } => {
                self.seen = Some(*pos);
                Some(true)
            }
            door::Push::Through { pos, .. } => {
                self.seen = Some(*pos);
                None
            }
            door::Push::Wiped { .. } => Some(true),
        }
    }

    fn say_or_park(&mut self, sub: u32, parked: Parked, texts: &mut Texts, out: &mut VecDeque<Output>) {
        match &mut self.window {
            Some(window) if !window.parked.is_empty() || window.credit == 0 => {
                window.parked_bytes += size(&parked.push);
                window.cut = window.parked_bytes > PARKED_BYTES_MAX;
                window.parked.push_back(parked);
            }
            Some(_) | None => self.say(sub, parked, texts, out),
        }
    }

    /// The next parked push, if there is credit for it.
    fn next_parked(&mut self) -> Option<Parked> {
        let window = self.window.as_mut().filter(|window| window.credit > 0)?;
        let parked = window.parked.pop_front()?;
        window.parked_bytes = window.parked_bytes.saturating_sub(size(&parked.push));
        Some(parked)
    }

    fn say(
        &mut self,
        sub: u32,
        Parked { push, follows }: Parked,
        texts: &mut Texts,
        out: &mut VecDeque<Output>,
    ) {
        match push {
            door::Push::Publication(delivery) => {
                let prev = self.told.filter(|_| follows).unwrap_or(delivery.prev);
                if message(sub, prev, &delivery, texts) {
                    out.extend(reported_at(&delivery).map(Output::Ask));
                    self.told = delivery.pos.or(self.told);
                    if let Some(window) = &mut self.window {
                        window.credit = window.credit.saturating_sub(1);
                    }
                }
            }
            door::Push::Gap { gap, pos, .. } => {
                self.told = Some(pos);
                say_push(&Push::Gap { sub, hole: gap.into(), pos }, texts);
            }
            door::Push::Wiped { session, .. } => {
                say_push(&Push::Wiped { sub, session: session.to_string() }, texts);
            }
            door::Push::Through { .. } => {}
        }
    }
}

fn pause(sub: u32, paused: bool) -> Ask {
    Ask::Pause { subscription: SubscriptionId(sub), paused }
}

fn say_push(push: &Push<'_>, texts: &mut Texts) {
    texts.say(|text| text.push_str(&push.text()));
}

/// Says a delivery as its client reads it; nothing of entries that are not publications. What cannot be read is a
/// gap in place. Whether anything was said.
fn message(sub: u32, prev: Position, delivery: &Delivery, texts: &mut Texts) -> bool {
    let (skipped, latest, session) = (delivery.skipped, delivery.pos.is_none(), delivery.session);
    let msg = Msg { sub, prev, skipped, latest, session };
    let mut say = |worded: &Worded| {
        let alike = worded.subscription.0 == sub && worded.prev == prev;
        texts.say(|text| {
            if alike && skipped == 0 && !latest && session.is_none() {
                text.push_str(&worded.text);
            } else {
                msg.write(Fields::Worded(worded.same()), text);
            }
        });
        true
    };
    if let Some(worded) = delivery.content.wording.as_ref().and_then(Wording::made) {
        return say(worded);
    }
    let Ok(body) = Body::read(&delivery.content.body) else { return damaged(sub, delivery, texts) };
    if body.kind != Kind::Publication {
        return false;
    }
    let Ok(publication) = Publication::read(&body) else { return damaged(sub, delivery, texts) };
    if let Some(scope) = delivery.content.technical {
        let Some(event) = cloud_event::embedded(publication.payload) else {
            return damaged(sub, delivery, texts);
        };
        let (pos, skipped, scope) = (delivery.pos, delivery.skipped, scope_name(scope));
        let sub = (sub != UNASKED).then_some(sub);
        say_push(&Push::Event { sub, pos, prev, scope, skipped, event }, texts);
        return true;
    }
    let published = || {
        let (pos, route) = (delivery.pos, &delivery.content.route);
        let published = Published::new(pos, route.channel.as_str(), route.client, &body, &publication);
        published.uncertain(delivery.content.uncertain)
    };
    match &delivery.content.wording {
        Some(wording) => say(wording.get(|| worded(sub, prev, &published()))),
        None => {
            texts.say(|text| msg.write(Fields::Of(&published()), text));
            true
        }
    }
}

/// A publication of the log, as a subscription gets it that has had everything.
fn worded(sub: u32, prev: Position, published: &Published<'_>) -> Worded {
    let mut text = String::new();
    let msg = Msg { sub, prev, skipped: 0, latest: false, session: None };
    let same = msg.write(Fields::Of(published), &mut text);
    Worded { subscription: SubscriptionId(sub), prev, text: text.into(), same }
}

/// Says that something was here that cannot be read.
fn damaged(sub: u32, delivery: &Delivery, texts: &mut Texts) -> bool {
    let Some(pos) = delivery.pos.filter(|_| sub != UNASKED) else { return false };
    let hole = Gap { from: pos.seq, to: pos.seq, cause: Cause::Damage }.into();
    say_push(&Push::Gap { sub, hole, pos }, texts);
    true
}

fn subscription(push: &door::Push) -> SubscriptionId {
    match push {
        door::Push::Publication(delivery) => delivery.subscription,
        door::Push::Gap { subscription, .. }
        | door::Push::Wiped { subscription, .. }
        | door::Push::Through { subscription, .. } => *subscription,
    }
}

/// What a parked push costs.
fn size(push: &door::Push) -> usize {
    let body = match push {
        door::Push::Publication(delivery) => delivery.content.body.len(),
        door::Push::Gap { .. } | door::Push::Wiped { .. } | door::Push::Through { .. } => 0,
    };
    body + 128
}

fn unknown() -> Refusal {
    refusal(Code::WrongState, "no subscription of that number", "the sub of one that is live")
}
