//! The push that a subscription's look comes to, and how that moves the subscription.

use crate::{
    shelf::{Ready, Shelf, Told},
    subscription::{Newest, Next, Subscription, View},
};
use bytes::Bytes;
use riser_model::{
    Position, Route, Seq, SessionId, Wall,
    door::{Content, Delivery, Push, Wording},
};
use riser_wire::entry::{Body, Publication};
use std::sync::Arc;

/// What is delivered, wherever it was found.
struct Found {
    pos: Option<Position>,
    retained: Option<Position>,
    route: Arc<Route>,
    body: Bytes,
    wall: Wall,
    born_ms: i64,
    uncertain: bool,
    skipped: u64,
}

/// Makes the push that a look found, and moves the subscription past it. None if it cannot be named.
pub(crate) fn push(
    subscription: &mut Subscription,
    view: &View<'_>,
    shelf: &mut Shelf,
    next: Next,
) -> Option<Push> {
    let id = subscription.id;
    match next {
        Next::Retained { route, retained } => {
            if let Some(walk) = &mut subscription.walk {
                walk.passes(&route);
            }
            subscription.own.remove(&retained.position.seq);
            let wall = retained.wall;
            let born_ms = view.steps.born_ms(retained.position.seq, wall, view.now);
            let (body, retained) = (retained.body, Some(retained.position));
            // Whoever it comes to when it is new is told.
            let uncertain = false;
            let found = Found { pos: None, retained, route, body, wall, born_ms, uncertain, skipped: 0 };
            deliver(subscription, view, shelf, found)
        }
        Next::Shown => {
            subscription.walk = None;
            Some(Push::Through { subscription: id, pos: subscription.at })
        }
        Next::Publication { seq, found } => {
            subscription.cursor = seq;
            let route = Arc::clone(&view.routes.known(found.route)?.route);
            let pos = Some(Position { log: view.chain.log, epoch: found.epoch, seq });
            let (body, wall, uncertain) = (found.body, found.wall, found.uncertain);
            let born_ms = view.steps.born_ms(seq, wall, view.now);
            let found = Found { pos, retained: None, route, body, wall, born_ms, uncertain, skipped: 0 };
            deliver(subscription, view, shelf, found)
        }
        Next::Newest { channel, value, skipped } => {
            if let Some(conflation) = &mut subscription.conflation {
                conflation.shown(channel, view.graph.channel(channel));
            }
            subscription.wanted = Seq::ZERO;
            let (pos, route, body, wall, uncertain) = match value {
                Newest::Log { position, route, body, wall, uncertain } => {
                    (Some(position), route, body, wall, uncertain)
                }
                Newest::Latest { route, body } => {
                    let wall = Body::read(&body).map_or(view.now.wall, |body| body.stamp.wall);
                    (None, route, body, wall, false)
                }
                Newest::Gone(seq) => {
                    let gap = view.chain.missing(seq, seq).into_iter().next()?;
                    let pos = view.chain.position(seq);
                    subscription.at = pos;
                    return Some(Push::Gap { subscription: id, gap, pos });
                }
            };
            let seq = pos.map_or(Seq(u64::MAX), |pos| pos.seq);
            let born_ms = view.steps.born_ms(seq, wall, view.now);
            let found = Found { pos, retained: None, route, body, wall, born_ms, uncertain, skipped };
            deliver(subscription, view, shelf, found)
        }
        Next::Wiped(session) => {
            subscription.wiped.pop_front();
            Some(Push::Wiped { subscription: id, session })
        }
        Next::Gap(gap) => {
            subscription.cursor = gap.to;
            let pos = view.chain.position(gap.to);
            subscription.at = pos;
            Some(Push::Gap { subscription: id, gap, pos })
        }
        Next::Passed(seq) => Some(Push::Through { subscription: id, pos: view.chain.position(seq) }),
        Next::Nothing | Next::Blocked => None,
    }
}

fn deliver(
    subscription: &mut Subscription,
    view: &View<'_>,
    shelf: &mut Shelf,
    found: Found,
) -> Option<Push> {
    let Found { pos, retained, skipped, .. } = found;
    // Of what has no position (Latest, retained) and of what was read from the disk each is for few.
    let many = pos.filter(|pos| pos.seq >= view.tail.first() && Shelf::takes(found.body.len()));
    let Ready { content, told, has_sessions } = match many {
        Some(pos) => shelf.of(pos.seq, || ready(view, found, Some(Wording::default())))?,
        None => ready(view, found, None)?,
    };
    let prev = subscription.at;
    subscription.at = pos.unwrap_or(prev);
    let session = pos.filter(|_| has_sessions).and_then(|pos| session_of(view, &content.route, pos.seq));
    let in_log = pos.is_some() || retained.is_some();
    let reported = in_log && told.of(view.principal.client);
    let subscription = subscription.id;
    Some(Push::Publication(Delivery {
        subscription,
        pos,
        prev,
        content,
        skipped,
        retained,
        session,
        reported,
    }))
}

/// A publication as everybody gets it. None if its room cannot be named.
fn ready(view: &View<'_>, found: Found, wording: Option<Wording>) -> Option<Ready> {
    let Found { route, body, wall, born_ms, uncertain, .. } = found;
    let slot = view.graph.room_of(route.room)?;
    let (name, room) = (view.graph.name(slot)?, view.graph.room(slot));
    let technical = room.speaks;
    let linked = room.declared.as_ref().is_some_and(|declared| declared.linked);
    let rooted = technical.is_none() && view.root == Some(name);
    // What is addressed to one client is nobody else's to have, wherever it was published; of what came down the first who
    // has it is told.
    let told = match route.channel.addressee() {
        _ if !Publication::has_publish_id(&body) => Told::Nobodys,
        Some(client) => Told::Only(client),
        None if linked => Told::Anybodys,
        None => Told::Nobodys,
    };
    let content =
        Content { route, room: name.clone(), body, wall, born_ms, uncertain, rooted, technical, wording };
    Some(Ready { content: Arc::new(content), told, has_sessions: room.session.is_some() })
}

/// The session that an entry belongs to, as long as it is replayed.
fn session_of(view: &View<'_>, route: &Route, seq: Seq) -> Option<SessionId> {
    let session = view.graph.room(view.graph.room_of(route.room)?).session.as_ref()?;
    session.owner(seq)
}
