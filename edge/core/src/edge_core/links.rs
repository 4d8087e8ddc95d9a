//! The uplinks of an edge: what their sockets bring, what their senders want, and what hubs are asked and told.

use super::{
    ABOVE_MAX, Above, Append, BTreeSet, Down, EdgeCore, EdgeFrame, HubFrame, Kind, LinkEvent, LinkInput,
    LinkOutput, LogId, Now, Present, RefusedCode, RoomsInput, SenderInput, SenderOutput, Seq, SystemEvent,
    Uplink, UplinkNumber, downlink,
};
use riser_link::Off;
use riser_model::AccountName;

impl EdgeCore {
    pub(super) fn link(&mut self, input: LinkInput, now: Now) {
        match input {
            LinkInput::Connected { uplink, attempt, binding, nonce } => {
                self.sender(uplink, SenderInput::Connected { attempt, binding, nonce }, now);
            }
            LinkInput::Frame { uplink, attempt, frame: HubFrame::Down(frame) } => {
                self.sender(uplink, SenderInput::Heard { attempt }, now);
                if self.uplinks.get(&uplink).is_some_and(|one| one.attempt == attempt) {
                    self.downlink(uplink, downlink::Input::Frame(frame), now);
                }
            }
            LinkInput::Frame { uplink, attempt, frame: HubFrame::GivenUp(said) } => {
                self.sender(uplink, SenderInput::Heard { attempt }, now);
                // Only a hub that has proven who it is.
                if self.uplinks.get(&uplink).is_some_and(|one| one.attempt == attempt && one.is_up()) {
                    if let Some(one) = self.uplinks.get_mut(&uplink) {
                        one.asking.answered();
                    }
                    if said.more {
                        self.out(LinkOutput::Send { uplink, attempt, frame: EdgeFrame::GivenUp });
                    }
                    self.out(LinkOutput::GivenUp { uplink, said });
                }
            }
            LinkInput::Frame { uplink, attempt, frame: HubFrame::Tree(heard) } => {
                self.sender(uplink, SenderInput::Heard { attempt }, now);
                let one = self.uplinks.get_mut(&uplink).filter(|one| one.attempt == attempt && one.is_up());
                if one.is_some_and(|one| one.telling.answered(heard, now.time)) {
                    self.out(LinkOutput::Told { uplink, heard });
                }
            }
            LinkInput::Frame { uplink, attempt, frame } => {
                self.sender(uplink, SenderInput::Frame { attempt, frame }, now);
            }
            LinkInput::Disconnected { uplink, attempt } => {
                self.sender(uplink, SenderInput::Disconnected { attempt }, now);
            }
            LinkInput::RouteUp => self.every_sender(&SenderInput::RouteUp, now),
            LinkInput::Heard { uplink, attempt } => self.sender(uplink, SenderInput::Heard { attempt }, now),
            LinkInput::ClockStepped(by_ms) => {
                self.say(SystemEvent::ClockStepped { by_ms }, now);
                self.tell_off(|off| off.stepped(by_ms), now);
            }
            LinkInput::Below(input) => self.below.handle(input, &mut self.instance, now),
        }
    }

    pub(super) fn sender(&mut self, number: UplinkNumber, input: SenderInput, now: Now) {
        let Some(uplink) = self.uplinks.get_mut(&number) else { return };
        uplink.tell_numbers(self.instance.bus(), self.below.receivers(), now);
        uplink.sender.handle(input, now);
        while let Some(output) = self.uplinks.get_mut(&number).and_then(|uplink| uplink.sender.poll()) {
            self.said_by_sender(number, output, now);
        }
    }

    pub(super) fn every_sender(&mut self, input: &SenderInput, now: Now) {
        let numbers: Vec<UplinkNumber> = self.uplinks.keys().copied().collect();
        for number in numbers {
            self.sender(number, input.clone(), now);
        }
    }

    pub(super) fn said_by_sender(&mut self, number: UplinkNumber, output: SenderOutput, now: Now) {
        let uplink = number;
        match output {
            SenderOutput::Connect { attempt } => {
                if let Some(one) = self.uplinks.get_mut(&number) {
                    one.attempt = attempt;
                }
                self.out(LinkOutput::Connect { uplink, attempt });
            }
            SenderOutput::Send { attempt, frame } => self.out(LinkOutput::Send { uplink, attempt, frame }),
            SenderOutput::Close { attempt } => self.out(LinkOutput::Close { uplink, attempt }),
            SenderOutput::Read { number: read, from, bytes_max } => {
                self.read(number, read, from, bytes_max, now)
            }
            SenderOutput::Moved { key, value, at_once } => {
                self.rooms(RoomsInput::Cursor { key, value, at_once }, now);
                self.forget_former(now);
            }
            SenderOutput::Reached { log, epoch, through } => {
                self.below.reached((log, epoch), through, &mut self.instance, now);
            }
            SenderOutput::AppendCanary => self.append(Kind::Canary, None, now),
            SenderOutput::AppendAnchor(anchor) => {
                self.append(Kind::Anchor, Some(anchor), now);
                if let Some(one) = self.uplinks.get_mut(&number) {
                    let news = one.off.anchored(&anchor, now).map(|news| (one.name.clone(), news));
                    self.say_off(news, now);
                }
            }
            SenderOutput::NewEpoch { .. } => {
                let others: Vec<_> = self.uplinks.keys().copied().filter(|other| *other != number).collect();
                for other in others {
                    self.sender(other, SenderInput::Forked, now);
                }
                self.out(LinkOutput::Reopen { uplink });
            }
            SenderOutput::Emit(event) => {
                let input = match &event {
                    LinkEvent::Up { .. } => Some(downlink::Input::LinkUp),
                    LinkEvent::Down(_) => Some(downlink::Input::LinkDown),
                    LinkEvent::Refused(_)
                    | LinkEvent::WrongHub { .. }
                    | LinkEvent::Above(_)
                    | LinkEvent::OtherHub { .. }
                    | LinkEvent::Rewound { .. }
                    | LinkEvent::Forked { .. }
                    | LinkEvent::Gap { .. }
                    | LinkEvent::Awaits { .. }
                    | LinkEvent::CaughtUp { .. }
                    | LinkEvent::Stopped { .. } => None,
                };
                if let LinkEvent::Above(above) = &event {
                    self.above(number, above, now);
                }
                let not_understood = matches!(
                    event,
                    LinkEvent::Down(Down::Refused(RefusedCode::Malformed | RefusedCode::Version))
                );
                self.emit(number, event, now);
                match (&input, self.uplinks.get_mut(&number)) {
                    (Some(downlink::Input::LinkUp), Some(uplink)) => {
                        uplink.asking.up(now.time);
                        uplink.telling.up(now.time);
                        self.ask_given_up(number, now);
                    }
                    (Some(downlink::Input::LinkDown), Some(uplink)) => {
                        let asked = uplink.asking.down(not_understood, now.time);
                        let told = uplink.telling.down(not_understood, now.time);
                        if let Some(again) = asked {
                            self.out(LinkOutput::Unanswered { uplink: number, again });
                        }
                        if let Some(again) = told {
                            self.out(LinkOutput::Untold { uplink: number, again });
                        }
                    }
                    _ => {}
                }
                if let Some(input) = input {
                    self.downlink(number, input, now);
                }
            }
        }
    }

    /// How far this edge's clock is off is looked at again, by each hub's.
    fn tell_off(&mut self, look: impl Fn(&mut Off) -> Option<(i64, bool)>, now: Now) {
        let news = |one: &mut Uplink| look(&mut one.off).map(|news| (one.name.clone(), news));
        let news: Vec<_> = self.uplinks.values_mut().filter_map(news).collect();
        self.say_off(news, now);
    }

    fn say_off(&mut self, news: impl IntoIterator<Item = (AccountName, (i64, bool))>, now: Now) {
        for (uplink, (off_ms, right)) in news {
            self.say(SystemEvent::ClockOff { uplink, off_ms, right }, now);
        }
    }

    /// The hub is asked what was given up of this edge's account, if that is due.
    pub(super) fn ask_given_up(&mut self, number: UplinkNumber, now: Now) {
        if let Some(uplink) = self.uplinks.get_mut(&number)
            && uplink.asking.asks(now.time)
        {
            let (attempt, frame) = (uplink.attempt, EdgeFrame::GivenUp);
            self.out(LinkOutput::Send { uplink: number, attempt, frame });
        }
    }

    /// Hubs are told of the edges below, as far as that is due.
    pub(super) fn tell_tree(&mut self, now: Now) {
        let changed = self.below.tree_changed();
        let is_due = |uplink: &Uplink| uplink.telling.due_at(changed).is_some_and(|at| at <= now.time);
        let due: Vec<UplinkNumber> =
            self.uplinks.iter().filter(|(_, uplink)| is_due(uplink)).map(|(number, _)| *number).collect();
        for number in due {
            let tree = self.below.tree(now);
            let Some(uplink) = self.uplinks.get_mut(&number) else { continue };
            if let Some(said) = uplink.telling.next(tree, changed, now.time) {
                let (attempt, frame) = (uplink.attempt, EdgeFrame::Tree(said));
                self.out(LinkOutput::Send { uplink: number, attempt, frame });
            }
        }
    }

    /// What lies above this edge, over all uplinks. Of one that is down it is what was heard last.
    pub(super) fn above(&mut self, number: UplinkNumber, heard: &Above, now: Now) {
        if let Some(uplink) = self.uplinks.get_mut(&number) {
            uplink.above = Some(heard.clone());
        }
        let all = || self.uplinks.values().filter_map(|uplink| uplink.above.as_ref());
        let logs: BTreeSet<LogId> = all().flat_map(|above| above.logs.iter().copied()).collect();
        let hops = all().map(|above| above.hops.saturating_add(1)).max().unwrap_or_default();
        let above = Above { hops, logs: logs.into_iter().take(ABOVE_MAX - 1).collect() };
        self.below.above(above, &mut self.instance, now);
    }

    /// What an edge below shows beside its backlog is shown above as well.
    pub(super) fn pass_on(&mut self, present: &Present, now: Now) {
        let carries = |uplink: &Uplink| uplink.linked.contains(&present.route.room);
        let numbers: Vec<UplinkNumber> =
            self.uplinks.iter().filter(|(_, uplink)| carries(uplink)).map(|(number, _)| *number).collect();
        for number in numbers {
            self.sender(number, SenderInput::Present(present.clone()), now);
        }
    }

    /// What was shown is an entry here by now: it goes its way as one.
    pub(super) fn tell_stored(&mut self, now: Now) {
        let shown: Vec<_> = self
            .uplinks
            .iter()
            .flat_map(|(number, uplink)| uplink.sender.presents().map(|place| (*number, place)))
            .collect();
        for (number, (log, epoch)) in shown {
            if let Some(cursor) = self.below.receivers().cursor(log, epoch) {
                self.sender(number, SenderInput::Stored { log, epoch, through: cursor.through }, now);
            }
        }
    }

    /// The cursor of a former parent goes with the commit that takes the last uplink past it, or a later one.
    pub(super) fn forget_former(&mut self, now: Now) {
        let through = |uplink: &Uplink| uplink.sender.cursor().map_or(Seq::ZERO, |(_, value)| value.through);
        let confirmed = self.uplinks.values().map(through).min().unwrap_or_default();
        let cursors: Vec<_> = self
            .former
            .extract_if(.., |former| former.through <= confirmed)
            .flat_map(|former| former.cursors)
            .map(|key| (key, None))
            .collect();
        if !cursors.is_empty() {
            // Nobody waits for it.
            self.rooms(RoomsInput::Append(Append::of_cursors(cursors)), now);
        }
    }

    pub(super) fn downlink(&mut self, number: UplinkNumber, input: downlink::Input, now: Now) {
        let Some(uplink) = self.uplinks.get_mut(&number) else { return };
        let (own, below) = (self.instance.bus().log(), self.below.receivers());
        // What is this edge's own, or came up through it, is here. An edge that was below it once may be elsewhere now.
        let taken = |log, epoch| below.cursor(log, epoch).map_or(Seq::ZERO, |cursor| cursor.through);
        let is_here = |log, epoch, seq| log == own || seq <= taken(log, epoch);
        uplink.downlink.handle(input, (&uplink.linked, &is_here), now);
        while let Some(output) = self.uplinks.get_mut(&number).and_then(|uplink| uplink.downlink.poll()) {
            match output {
                downlink::Output::Say(answer) => {
                    let attempt = self.uplinks.get(&number).map_or(0, |uplink| uplink.attempt);
                    let frame = EdgeFrame::Down(answer);
                    self.out(LinkOutput::Send { uplink: number, attempt, frame });
                }
                downlink::Output::Place(ingest) => {
                    self.tokens += 1;
                    self.placing.insert(self.tokens, (number, ingest.token));
                    self.rooms(
                        RoomsInput::Ingest(riser_rooms::Ingest { token: self.tokens, ..*ingest }),
                        now,
                    );
                }
                downlink::Output::Missing(gap) => self.out(LinkOutput::Missing { uplink: number, gap }),
            }
        }
    }
}
