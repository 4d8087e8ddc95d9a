//! A room's past, page by page backwards, and another wording of what was said in a board.
//!
//! A page is read from the log piece by piece, each the newest that may concern its reader, and every entry is checked
//! against the reader's rights when it is taken. An edit is stored only after the log was asked whose the first wording is:
//! by that client or an admin of the room, in the room's own log, never of an edit.

use super::{Instance, OWN_READS, Output, log_failing, refusal};
use bytes::Bytes;
use riser_model::{
    ClientId, ConnectionId, Filter, Gap, Interest, Now, Position, Principal, Read, Right, RoomId, RoomKind,
    Route, RouteNumber, Run, Selected, Selection, Seq,
    door::{Code, Refusal, Target, Tell},
    look::{Edit, Past, PastEntry, PastWanted, Seen},
};
use riser_rooms::{Append, Input as BusInput, Placed};
use riser_wire::entry::{Body, ContentType, Frame, Kind, Publication, frames};
use std::{collections::BTreeMap, sync::Arc};

/// Bodies in one page, bytes; one entry is in it however large it is.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// Reads for one page: after that it ends with where to go on.
const READS_MAX: u32 = 32;
/// Gaps in one page: after that it ends in the same way.
const GAPS_MAX: usize = 100;
/// What is asked of the past by all connections at once, and by those of one client.
const ASKED_MAX: usize = 256;
const ASKED_BY_ONE_MAX: usize = 8;

/// Questions that wait for the log.
#[derive(Debug, Default)]
pub(super) struct PastAsked {
    /// By the ticket of a read.
    reads: BTreeMap<u64, Asked>,
    /// Edits that wait for their commit, by its token.
    pub(super) edits: BTreeMap<u64, Edited>,
}

/// An edit on its way to the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edited {
    pub(super) connection: ConnectionId,
    /// To be echoed.
    pub(super) id: u64,
    by: ClientId,
}

impl PastAsked {
    /// Whether a client has to wait for answers, its own or those of others.
    fn is_full(&self, client: ClientId) -> bool {
        let all = self.reads.values().map(|asked| asked.principal.client);
        let all = all.chain(self.edits.values().map(|edited| edited.by));
        let own = all.filter(|by| *by == client).count();
        own >= ASKED_BY_ONE_MAX || self.reads.len() + self.edits.len() >= ASKED_MAX
    }
}

/// Somebody's question.
#[derive(Debug)]
struct Asked {
    connection: ConnectionId,
    /// To be echoed.
    id: u64,
    principal: Arc<Principal>,
    room: RoomId,
    what: What,
}

#[derive(Debug)]
enum What {
    Page(Page),
    Edit(Edit),
}

/// A page that is being filled, the newest first.
#[derive(Debug)]
struct Page {
    channels: Filter,
    before: Seq,
    most: usize,
    /// Nothing older is shown.
    from: Seq,
    found: Vec<PastEntry>,
    gaps: Vec<Gap>,
    bytes: usize,
    reads: u32,
}

impl Page {
    /// Takes what is gone of what it has not looked at yet.
    fn lose(&mut self, runs: &[Run]) {
        for run in runs.iter().rev() {
            let Run::Gap(gap) = run else { continue };
            let (from, to) = (gap.from.max(self.from), gap.to.min(self.before.prev()));
            match self.gaps.last_mut() {
                _ if from > to => {}
                Some(newer) if newer.cause == gap.cause && newer.from == to.next() => newer.from = from,
                _ => self.gaps.push(Gap { from, to, cause: gap.cause }),
            }
        }
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.most || self.bytes >= PAGE_BYTES_MAX
    }
}

impl Instance {
    /// Somebody turns a page of the past.
    pub(super) fn page(
        &mut self,
        connection: ConnectionId,
        id: u64,
        who: Arc<Principal>,
        wanted: PastWanted,
    ) {
        let begun = self.begin_page(&who, wanted);
        match begun {
            Ok(Some((room, page))) => {
                self.read_past(Asked { connection, id, principal: who, room, what: What::Page(page) });
            }
            Ok(None) => self.answer_past(connection, id, Ok(Seen::Past(Past::default()))),
            Err(why) => self.answer_past(connection, id, Err(why)),
        }
    }

    /// Where a page begins; none if the room has no past, or none before that place.
    fn begin_page(&self, who: &Principal, wanted: PastWanted) -> Result<Option<(RoomId, Page)>, Refusal> {
        let PastWanted { room, channels, before, most } = wanted;
        let room = self.bus.readable_room(who, &room)?;
        if self.past.is_full(who.client) {
            return Err(refusal(Code::TooMany, "the past is being looked into already", "wait for answers"));
        }
        let before = match before {
            None => self.bus.committed().next(),
            Some(position) if self.is_own(position) => position.seq,
            Some(_) => return Err(not_here()),
        };
        let Some(from) = self.bus.past_from(room).filter(|from| *from < before) else { return Ok(None) };
        let (most, found, gaps) = (most as usize, Vec::new(), Vec::new());
        Ok(Some((room, Page { channels, before, most, from, found, gaps, bytes: 0, reads: 0 })))
    }

    /// Whether it is a place of this log that was given out.
    fn is_own(&self, position: Position) -> bool {
        self.bus.position(position.seq) == position && position.seq <= self.bus.committed()
    }

    /// Somebody words something otherwise.
    pub(super) fn edit(&mut self, connection: ConnectionId, id: u64, principal: Arc<Principal>, edit: Edit) {
        let room = self.bus.readable_room(&principal, &edit.room).and_then(|room| {
            if self.bus.kind_of(room) != Some(RoomKind::Board) {
                let want = "a room of kind board; elsewhere publish what is new";
                return Err(refusal(Code::WrongState, "an edit in a room that is no board", want));
            }
            if self.past.is_full(principal.client) {
                return Err(refusal(Code::TooMany, "very many edits at once", "wait for answers"));
            }
            let shown = self.bus.past_from(room).is_some_and(|from| edit.entry.seq >= from);
            if shown && self.is_own(edit.entry) { Ok(room) } else { Err(not_here()) }
        });
        match room {
            Ok(room) => self.read_past(Asked { connection, id, principal, room, what: What::Edit(edit) }),
            Err(why) => self.answer_past(connection, id, Err(why)),
        }
    }

    fn read_past(&mut self, asked: Asked) {
        self.next_care += 1;
        let ticket = OWN_READS | self.next_care;
        let of = |channels| {
            let rooms = [(asked.room, vec![Selection { channels, since: None }])].into();
            let grants = Arc::clone(&asked.principal.grants);
            Arc::new(Interest { rooms, grants, open: Default::default() })
        };
        let read = match &asked.what {
            What::Page(page) => Read::Before { before: page.before, of: of(page.channels.clone()) },
            What::Edit(edit) => Read::Of { from: edit.entry.seq, max_bytes: 1, of: of(Filter::all()) },
        };
        self.past.reads.insert(ticket, asked);
        self.outputs.push_back(Output::Read { ticket, read });
    }

    /// The log was read. Hands back what was read for somebody else.
    pub(super) fn past_read(&mut self, ticket: u64, found: Selected, now: Now) -> Option<Selected> {
        let Some(asked) = self.past.reads.remove(&ticket) else { return Some(found) };
        let Asked { connection, id, principal, room, what } = asked;
        // What it may by now: the log was read meanwhile, or waited for.
        let principal = self.known_still(connection, &principal)?;
        match what {
            What::Page(page) => {
                self.turn(Asked { connection, id, principal, room, what: What::Page(page) }, &found)
            }
            What::Edit(edit) => {
                let stored = self.reword(&principal, room, &edit, &found, now);
                match stored {
                    Ok((route, entries)) => {
                        self.store_edit(Edited { connection, id, by: principal.client }, route, entries, now)
                    }
                    Err(why) => self.answer_past(connection, id, Err(why)),
                }
            }
        }
        None
    }

    /// Takes what a piece of the log has for a page, and goes on where it must.
    fn turn(&mut self, mut asked: Asked, found: &Selected) {
        let What::Page(page) = &mut asked.what else { return };
        page.reads += 1;
        let down_to = found.chunk.runs.first().map_or(found.chunk.next, Run::first);
        let mut piece = Vec::new();
        page.lose(&found.chunk.runs);
        for run in &found.chunk.runs {
            let Run::Entries { first, entries, .. } = run else { continue };
            for (n, frame) in frames(entries).map_while(Result::ok).enumerate() {
                let seq = first.plus(n as u64);
                if seq < page.before && seq >= page.from {
                    piece.extend(self.shown(
                        &asked.principal,
                        asked.room,
                        &page.channels,
                        seq,
                        &frame,
                        entries,
                    ));
                }
            }
        }
        for entry in piece.into_iter().rev() {
            if page.is_full() {
                break;
            }
            page.bytes += entry.body.len();
            page.found.push(entry);
        }
        let went_on = down_to < page.before;
        let next = if page.is_full() {
            page.found.last().map(|oldest| oldest.entry)
        } else if down_to <= page.from {
            None
        } else if !went_on || page.reads >= READS_MAX || page.gaps.len() >= GAPS_MAX {
            Some(self.bus.position(down_to.min(page.before)))
        } else {
            page.before = down_to;
            return self.read_past(asked);
        };
        let (mut entries, mut gaps) = (std::mem::take(&mut page.found), std::mem::take(&mut page.gaps));
        entries.reverse();
        gaps.reverse();
        // What is before the next page's end is told there.
        gaps.retain(|gap| next.is_none_or(|next| gap.from >= next.seq));
        self.answer_past(asked.connection, asked.id, Ok(Seen::Past(Past { entries, gaps, next })));
    }

    /// An entry as somebody may see it.
    fn shown(
        &self,
        who: &Principal,
        room: RoomId,
        channels: &Filter,
        seq: Seq,
        frame: &Frame<'_>,
        entries: &Bytes,
    ) -> Option<PastEntry> {
        let route = self.bus.route(frame.route).filter(|route| route.room == room)?;
        let may =
            channels.matches(&route.channel) && who.grants.allow(Right::Subscribe, room, &route.channel);
        let is_one = frame.body.get(1) == Some(&Kind::Publication.number());
        (may && is_one).then(|| PastEntry {
            entry: self.bus.position(seq),
            channel: route.channel.clone(),
            client: route.client,
            uncertain: frame.is_uncertain(),
            body: entries.slice_ref(frame.body),
        })
    }

    /// The entry that another wording is, if it is this one's to say.
    fn reword(
        &self,
        who: &Principal,
        room: RoomId,
        edit: &Edit,
        found: &Selected,
        now: Now,
    ) -> Result<(Route, Vec<u8>), Refusal> {
        let seq = edit.entry.seq;
        let first = found.chunk.runs.iter().find_map(|run| match run {
            Run::Entries { first, entries, .. } => {
                let n = usize::try_from(seq.0.checked_sub(first.0)?).ok()?;
                frames(entries).map_while(Result::ok).nth(n)
            }
            Run::Gap(_) => None,
        });
        let first = first.ok_or_else(not_here)?;
        let body =
            Body::read(first.body).ok().filter(|body| body.kind == Kind::Publication).ok_or_else(not_here)?;
        let said = Publication::read(&body).map_err(|_| not_here())?;
        let route = self.bus.route(first.route).filter(|route| route.room == room).ok_or_else(not_here)?;
        if !who.grants.allow(Right::Subscribe, room, &route.channel) {
            return Err(not_here());
        }
        let author = self.directory.as_ref().and_then(|directory| directory.user_of(route.client));
        let is_author = author.map_or(route.client, |author| author.client) == who.user();
        let own =
            route.client == who.client || is_author || who.grants.allow(Right::Admin, room, &route.channel);
        if !own {
            let want = "the client that published it, or who administers the room";
            return Err(refusal(Code::Denied, "an edit of what somebody else said", want));
        }
        if said.replaces.is_some_and(|replaced| replaced.log == edit.entry.log) {
            let want = "the position of the first wording, as its replaces says";
            return Err(refusal(Code::WrongState, "an edit of an edit", want));
        }
        let target = Target::Channel(edit.room.clone(), route.channel.clone());
        let to = self.bus.route_to(who, &target)?;
        self.bus.check_payload(room, &edit.payload)?;
        let mut entries = Vec::new();
        let content_type = ContentType::named(&edit.content_type);
        let publication = Publication {
            qos: 1,
            replaces: Some(edit.entry),
            ..Publication::new(content_type, &edit.payload)
        };
        publication.write_frame(&mut entries, RouteNumber(0), now.stamp());
        Ok((to, entries))
    }

    fn store_edit(&mut self, edited: Edited, route: Route, entries: Vec<u8>, now: Now) {
        let token = self.next_token;
        self.next_token += 1;
        self.past.edits.insert(token, edited);
        self.rooms(BusInput::Append(Append::new(token, vec![route], entries)), now);
    }

    /// The commit of an edit returned, or failed.
    pub(super) fn edited(&mut self, Edited { connection, id, by: _ }: Edited, result: Result<Placed, Code>) {
        let result = match result {
            Ok(placed) => {
                Ok(Seen::Edited(Position { log: self.bus.log(), epoch: placed.epoch, seq: placed.first }))
            }
            Err(_) => Err(log_failing()),
        };
        self.answer_past(connection, id, result);
    }

    /// Whoever asked, with the rights of now; none if it is gone, or somebody else by now: then nobody is told.
    pub(super) fn known_still(&self, connection: ConnectionId, asked: &Principal) -> Option<Arc<Principal>> {
        let now = self.connections.get(&connection)?.principal.as_ref()?;
        (now.client == asked.client && now.account == asked.account).then(|| Arc::clone(now))
    }

    fn answer_past(&mut self, connection: ConnectionId, id: u64, result: Result<Seen, Refusal>) {
        self.tell(connection, Tell::Seen { id, result });
    }
}

fn not_here() -> Refusal {
    refusal(
        Code::UnknownPosition,
        "nothing of this room's past is there",
        "a position of this room exactly as it was received from this instance, that its retention still covers",
    )
}
