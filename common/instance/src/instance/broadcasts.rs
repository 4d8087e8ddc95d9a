//! Broadcasts to the devices of a room: one publication to each, at its own address, and what became of each of them.
//!
//! A device is a client of the account, and no person, that proves itself with a key, a secret or a certificate, and may read
//! what is addressed to it in the room. Of those that are connected here only who came by one of these is meant; who is away,
//! or behind an edge, is meant by what is known of it, and finds the publication in the log when it comes. Each is stored by
//! itself, with the broadcast's id and its place as publish id, so that what becomes of it is an outcome like any other's: told
//! on the room's technical channel, and kept here for who asks.
//!
//! Bounded are the payload, the devices and the bytes of one broadcast, what of it waits for the disk, how many an account has
//! under way (one) and how many are remembered. What is remembered ends with the process; what was told of it does not.

use super::{Instance, refusal};
use bytes::Bytes;
use riser_gate::{Directory, acceptor::Kind};
use riser_model::{
    AccountId, AccountName, ChannelName, ClientId, Now, Principal, Right, RoomId, Route, RouteNumber, Seq,
    Wall,
    door::{Code, Refusal},
};
use riser_rooms::{Append, Input as BusInput, Placed, outcomes::PENDING_MAX};
use riser_wire::{
    client::{WANT_TYPE, is_content_type},
    entry::{ContentType, Publication, PublishId},
    limits::PUBLICATION_BYTES_MAX,
    property,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Devices of one broadcast: few enough that the outcomes of four rooms' are remembered at once. Where more wait, the log and
/// the room of which most do make room.
const DEVICES_MAX: usize = 1000;
const _: () = assert!(DEVICES_MAX * 4 <= PENDING_MAX);
/// The copies of one broadcast together, bytes.
const BYTES_MAX: usize = 64 << 20;
/// Devices in one answer.
const PAGE: usize = 200;
/// Of one broadcast waits for the disk at once: bytes, and publications.
const UNSTORED_BYTES_MAX: usize = 1 << 20;
const UNSTORED_MAX: usize = 64;
/// Broadcasts that are stored at once.
const UNDER_WAY_MAX: usize = 8;
/// Broadcasts that are remembered of one account, and devices of all of them together.
const KEPT_OF_ACCOUNT: usize = 16;
const ROWS_MAX: usize = 65_536;

/// What is said to all devices of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broadcast {
    /// Its id: what is published of it has it as producer.
    pub id: u64,
    /// The account, and the room of it.
    pub place: (AccountId, RoomId),
    /// Who says it, as devices see it.
    pub client: ClientId,
    /// Below each device's address.
    pub channel: ChannelName,
    /// What the payload is: refused unless [`is_content_type`].
    pub content_type: String,
    /// The payload.
    pub payload: Bytes,
    /// Of no use after so many seconds.
    pub expires_s: Option<u32>,
}

/// What became of a broadcast at one device.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Became {
    /// It is not on the disk yet.
    Unstored,
    /// It is on the disk, and not at the device.
    Pending,
    /// The device has it.
    Delivered,
    /// It was not stored, or the log let go of it first: why.
    Failed(String),
    /// Its time was over first.
    Expired,
    /// It was stored, and it is not known any more what became of it.
    Unknown,
}

impl Became {
    /// In one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unstored => "unstored",
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed(_) => "failed",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

/// A device of a broadcast.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reached {
    /// Which.
    pub client: ClientId,
    /// Its name then.
    pub name: AccountName,
    /// What became of it there.
    pub became: Became,
}

/// A page of what became of a broadcast.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broadcasted {
    /// Its id.
    pub id: u64,
    /// When it was said.
    pub at: Wall,
    /// So many devices were meant.
    pub devices: usize,
    /// Of how many of them the same became, by that in one word.
    pub counts: BTreeMap<&'static str, usize>,
    /// Those of this page, in the order of their publish ids, from 1 on.
    pub reached: Vec<Reached>,
    /// After how many devices the next page begins, if there is one.
    pub next: Option<usize>,
}

/// One that is stored, or was.
#[derive(Debug)]
struct Said {
    said: Broadcast,
    at: Wall,
    devices: Vec<(Arc<Principal>, State)>,
    /// The first device whose publication is not on its way to the disk.
    next: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Unstored,
    Stored(Seq),
    Delivered,
    Failed(String),
    Expired,
}

/// What is remembered of them.
#[derive(Debug, Default)]
pub(super) struct Broadcasts {
    all: BTreeMap<u64, Said>,
    /// Oldest first.
    order: VecDeque<u64>,
    /// What is on its way to the disk: of which broadcast, the place of which device.
    unstored: BTreeMap<u64, (u64, usize)>,
}

impl Broadcasts {
    /// Whether nothing of any waits for the disk.
    pub(super) fn are_stored(&self) -> bool {
        self.unstored.is_empty()
    }

    fn is_under_way(&self, id: u64) -> bool {
        self.unstored.values().any(|(of, _)| *of == id)
    }

    fn of(&self, account: AccountId) -> impl Iterator<Item = u64> {
        let is_its = move |id: &&u64| self.all.get(id).is_some_and(|one| one.said.place.0 == account);
        self.order.iter().filter(is_its).copied()
    }

    fn may_begin(&self, account: AccountId) -> Result<(), Refusal> {
        let under_way: Vec<u64> = self.order.iter().copied().filter(|id| self.is_under_way(*id)).collect();
        if under_way.len() >= UNDER_WAY_MAX || self.of(account).any(|id| under_way.contains(&id)) {
            let what = "another broadcast is being stored";
            return Err(refusal(Code::TooMany, what, "come back when it is answered"));
        }
        Ok(())
    }

    fn keep(&mut self, said: Said) {
        let (id, account) = (said.said.id, said.said.place.0);
        self.all.insert(id, said);
        self.order.push_back(id);
        if self.of(account).count() > KEPT_OF_ACCOUNT {
            self.forget_of(account);
        }
        // Whoever has most makes room: nobody's are forgotten for somebody else's who has more.
        while self.all.values().map(|one| one.devices.len()).sum::<usize>() > ROWS_MAX {
            let mut rows: BTreeMap<AccountId, usize> = BTreeMap::new();
            for one in self.all.values() {
                *rows.entry(one.said.place.0).or_default() += one.devices.len();
            }
            let most = rows.into_iter().max_by_key(|(_, rows)| *rows).map(|(account, _)| account);
            if !most.is_some_and(|account| self.forget_of(account)) {
                break;
            }
        }
    }

    /// The oldest of an account that is stored and has a younger one. Whether there was one.
    fn forget_of(&mut self, account: AccountId) -> bool {
        let last = self.order.back().copied();
        let oldest = self.of(account).find(|id| Some(*id) != last && !self.is_under_way(*id));
        self.order.retain(|id| Some(*id) != oldest);
        oldest.and_then(|id| self.all.remove(&id)).is_some()
    }

    /// Whether none is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The room of one.
    pub(super) fn room(&self, id: u64) -> Option<RoomId> {
        self.all.get(&id).map(|one| one.said.place.1)
    }

    /// What became of what has that publish id. What was said first stays, by whatever edge, until a device has it.
    pub(super) fn note(&mut self, room: RoomId, id: PublishId, became: Became) {
        let Some(one) = self.all.get_mut(&id.producer).filter(|one| one.said.place.1 == room) else { return };
        let place = usize::try_from(id.n).ok().and_then(|n| n.checked_sub(1));
        if let Some((_, state)) = place.and_then(|place| one.devices.get_mut(place))
            && (matches!(state, State::Unstored | State::Stored(_)) || became == Became::Delivered)
        {
            *state = match became {
                Became::Delivered => State::Delivered,
                Became::Failed(code) => State::Failed(code),
                Became::Expired => State::Expired,
                Became::Unstored | Became::Pending | Became::Unknown => return,
            };
        }
    }
}

impl Instance {
    /// The devices of an account that a broadcast in that room reaches, in the order of their ids.
    pub(super) fn devices_of<'a>(
        &'a self,
        directory: &'a Directory,
        (account, room): (AccountId, RoomId),
    ) -> impl Iterator<Item = &'a Arc<Principal>> {
        let hears = move |device: &Principal| {
            let own = device.client.to_string().parse();
            own.is_ok_and(|own| device.grants.allow(Right::Subscribe, room, &own))
        };
        directory.devices(account).filter(move |device| hears(device) && self.is_proven(device.client))
    }

    /// Whether nobody is here as that client, or somebody who came by a key, a secret or a certificate.
    fn is_proven(&self, client: ClientId) -> bool {
        let by_key = |kind: &Kind| matches!(kind, Kind::Key | Kind::Secret | Kind::Certificate);
        let mut own = self.of_client.get(&client).into_iter().flatten().peekable();
        own.peek().is_none()
            || own
                .filter_map(|id| self.connections.get(id))
                .any(|one| one.standing.evidence.iter().any(|(kind, _)| by_key(kind)))
    }

    /// Says something to all devices of a room, for who looks after the room. How many they are; they are stored one after the
    /// other from here on.
    pub fn broadcast(&mut self, directory: &Directory, said: Broadcast, now: Now) -> Result<usize, Refusal> {
        let (account, room) = said.place;
        if self.bus.account_of(room) != Some(account) {
            return Err(refusal(Code::Denied, "no such room", "a room of this account"));
        }
        self.broadcasts.may_begin(account)?;
        if said.expires_s == Some(0) {
            let want = "a time of 1 to 4294967295 seconds, or none: then it is of use for ever";
            return Err(refusal(Code::Malformed, "a broadcast that is of no use after 0 seconds", want));
        }
        if !is_content_type(&said.content_type) {
            return Err(refusal(Code::Malformed, "a broadcast with a wrong type", WANT_TYPE));
        }
        if said.payload.len() > PUBLICATION_BYTES_MAX {
            let what = format!("a payload of {} bytes", said.payload.len());
            return Err(refusal(Code::TooLarge, &what, &format!("at most {PUBLICATION_BYTES_MAX} bytes")));
        }
        self.bus.check_payload(room, &said.payload)?;
        let devices: Vec<_> =
            self.devices_of(directory, said.place).take(DEVICES_MAX + 1).map(Arc::clone).collect();
        let (count, bytes) = (devices.len(), devices.len().saturating_mul(said.payload.len()));
        if count > DEVICES_MAX {
            let what = format!("more than {DEVICES_MAX} devices");
            return Err(refusal(Code::TooMany, &what, "a publication in a channel that they subscribe to"));
        }
        if bytes > BYTES_MAX {
            let what = format!("{bytes} bytes: one copy for each of {count} devices");
            return Err(refusal(Code::TooLarge, &what, &format!("at most {BYTES_MAX} bytes in all")));
        }
        if let Some(device) = devices.first() {
            address(device.client, &said.channel)?;
        }
        let devices = devices.into_iter().map(|device| (device, State::Unstored)).collect();
        let id = said.id;
        self.broadcasts.keep(Said { said, at: now.wall, devices, next: 0 });
        self.go_on_broadcasting(id, now);
        Ok(count)
    }

    /// Puts of a broadcast on its way to the disk what may be.
    fn go_on_broadcasting(&mut self, id: u64, now: Now) {
        let under_way = self.broadcasts.unstored.values().filter(|(of, _)| *of == id).count();
        let Some(one) = self.broadcasts.all.get_mut(&id) else { return };
        let size = one.said.payload.len().max(1);
        let most = (UNSTORED_BYTES_MAX / size).clamp(1, UNSTORED_MAX);
        let mut appends = Vec::new();
        while appends.len() + under_way < most
            && let Some((device, state)) = one.devices.get_mut(one.next)
        {
            let place = one.next;
            one.next += 1;
            let Ok(channel) = address(device.client, &one.said.channel) else {
                *state = State::Failed(Code::BadName.name().to_owned());
                continue;
            };
            let route = Route { room: one.said.place.1, channel, client: one.said.client };
            let properties = one.said.expires_s.map(property::expiry);
            let publication = Publication {
                qos: 1,
                publish_id: Some(PublishId { producer: id, n: place as u64 + 1 }),
                properties: properties.as_ref().map_or(&[], |properties| properties),
                ..Publication::new(ContentType::named(&one.said.content_type), &one.said.payload)
            };
            let mut entries = Vec::new();
            publication.write_frame(&mut entries, RouteNumber(0), now.stamp());
            appends.push((place, route, entries));
        }
        if one.next == one.devices.len() {
            // It is in the log from here on.
            one.said.payload = Bytes::new();
        }
        for (place, route, entries) in appends {
            let token = self.next_token;
            self.next_token += 1;
            self.broadcasts.unstored.insert(token, (id, place));
            let append = Append { counted: true, ..Append::new(token, vec![route], entries) };
            self.rooms(BusInput::Append(append), now);
        }
    }

    /// A commit returned, or failed. Whether it was of a broadcast.
    pub(super) fn broadcast_done(&mut self, token: u64, result: &Result<Placed, Code>, now: Now) -> bool {
        let Some((id, place)) = self.broadcasts.unstored.remove(&token) else { return false };
        let one = self.broadcasts.all.get_mut(&id);
        if let Some((_, state)) = one.and_then(|one| one.devices.get_mut(place))
            && *state == State::Unstored
        {
            *state = match result {
                Ok(placed) => State::Stored(placed.first),
                Err(code) => State::Failed(code.name().to_owned()),
            };
        }
        self.go_on_broadcasting(id, now);
        true
    }

    /// What became of a broadcast in that room, from after so many devices on. None is remembered by that id otherwise.
    pub fn broadcasted(&self, place: (AccountId, RoomId), id: u64, after: usize) -> Option<Broadcasted> {
        let one = self.broadcasts.all.get(&id).filter(|one| one.said.place == place)?;
        let became = |state: &State| match state {
            State::Unstored => Became::Unstored,
            State::Stored(seq) if self.outcomes.waits(*seq) => Became::Pending,
            State::Stored(_) => Became::Unknown,
            State::Delivered => Became::Delivered,
            State::Failed(code) => Became::Failed(code.clone()),
            State::Expired => Became::Expired,
        };
        let mut counts = BTreeMap::new();
        for (_, state) in &one.devices {
            *counts.entry(became(state).name()).or_default() += 1;
        }
        let page = one.devices.iter().skip(after).take(PAGE);
        let reached = page.map(|(device, state)| Reached {
            client: device.client,
            name: device.name.clone(),
            became: became(state),
        });
        let next = after.saturating_add(PAGE);
        let next = (next < one.devices.len()).then_some(next);
        let (at, devices, reached) = (one.at, one.devices.len(), reached.collect());
        Some(Broadcasted { id, at, devices, counts, reached, next })
    }

    /// Whether nothing of a broadcast waits for the disk any more.
    pub fn is_broadcast_stored(&self, id: u64) -> bool {
        !self.broadcasts.is_under_way(id)
    }
}

/// Where a device is told.
fn address(client: ClientId, channel: &ChannelName) -> Result<ChannelName, Refusal> {
    format!("{client}/{channel}").parse().map_err(|_| {
        let what = "a channel that is too long below the address of a device";
        refusal(Code::BadName, what, "at most 218 bytes, and 15 levels")
    })
}
