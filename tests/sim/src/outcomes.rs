//! What hosts say became of publications that came down to them, as those hear it who published them, held against the
//! journals: of what came down there and of nothing else, once, and as it was.

use crate::{
    downward::logs_below,
    host::Host,
    journal::{Key, Logged},
    ledger::Ledger,
    post, site,
    talker::FIRST_KEY as FIRST_TALKER,
    writer::FIRST_KEY,
};
use riser_model::{Epoch, LogId, Position, Seq, Time, event};
use riser_wire::entry::Kind;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Where an entry was first appended.
type Place = (LogId, Epoch, Seq);

/// What was let go of is told within this, unless its host ends or its log refuses.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// Two hosts' clocks agree within this, and a commit takes no longer.
const CLOCKS: Duration = Duration::from_secs(5);
/// What was written to a socket arrives within this.
const ROADS: Duration = Duration::from_secs(90);

/// What a host says of a publication.
struct Said {
    place: Place,
    key: Key,
    client: String,
    code: String,
}

/// What is wrong with what hosts say, and how often they say something.
pub fn judge(hosts: &[Host], ledger: &Ledger, now: Time) -> (Vec<String>, u64) {
    let (mut wrong, mut count) = (Vec::new(), 0);
    let again = hosts.iter().any(|host| host.stale);
    let stepped = hosts.iter().any(|host| host.stepped);
    let published = published(hosts, ledger);
    let delivered = delivered(hosts);
    for host in hosts.iter().filter(|host| !host.stale && !host.damaged) {
        let Some(log) = host.log else { continue };
        let below = logs_below(hosts, host.setup.number);
        let here = came_down(host, log, &below);
        let judged =
            Judged { host, ledger, here, again, stepped, published: &published, delivered: &delivered };
        let mut told = BTreeSet::new();
        for (seq, entry) in host.journal.entries.iter().filter(|(_, entry)| is_outcome(entry)) {
            count += 1;
            let said = said(entry);
            let why =
                said.as_ref().map_or_else(|| Some("of nothing".to_owned()), |s| judged.why((*seq, entry), s));
            if let Some(why) = why {
                wrong.push(format!(
                    "{} tells at {} what became of a publication: {why}",
                    judged.name(),
                    seq.0
                ));
            }
            if let Some(said) = said
                && !told.insert(said.place)
                && !again
            {
                wrong.push(format!("{} tells twice what became of {:?}", judged.name(), said.key));
            }
        }
        wrong.extend(judged.untold(&told, now));
        wrong.extend(judged.unexpired(&told, now));
        wrong.extend(judged.too_late());
    }
    (wrong, count)
}

struct Judged<'a> {
    host: &'a Host,
    ledger: &'a Ledger,
    /// What came from above.
    here: BTreeMap<Place, Vec<(Seq, &'a Logged)>>,
    /// What a hub forgot comes again.
    again: bool,
    /// A wall clock was stepped: then it takes others to say when a time is over.
    stepped: bool,
    /// When what has a time was published at the hub.
    published: &'a BTreeMap<Key, Time>,
    /// What some host said a device has.
    delivered: &'a BTreeSet<Place>,
}

impl Judged<'_> {
    fn name(&self) -> String {
        format!("host {}", self.host.setup.number)
    }

    /// Why that may not be said.
    fn why(&self, (seq, entry): (Seq, &Logged), said: &Said) -> Option<String> {
        let key = said.key;
        let is_failed = entry.channel.as_ref().is_some_and(|channel| channel.as_str() == "failed");
        let own: Vec<_> = is_failed.then(|| self.own(said.place)).flatten().into_iter().collect();
        let copies = self.here.get(&said.place).map_or(&own[..], Vec::as_slice);
        let Some((_, copy)) = copies.first() else {
            let what = entry.channel.as_ref().map_or("", |channel| channel.as_str());
            return Some(format!("{key:?}, which did not come down there, is {what} {}", said.code));
        };
        if copy.key() != Some(key)
            || copy.client.map(|client| client.to_string()).as_ref() != Some(&said.client)
        {
            return Some(format!("{key:?} by {}, and it is {:?}", said.client, copy.key()));
        }
        if copy.room.map(site::events_of) != entry.room {
            return Some(format!("{key:?}, in the channel of another room"));
        }
        let oldest = self.host.oldest_there();
        match entry.channel.as_ref().map_or("", |channel| channel.as_str()) {
            "failed" if said.code != "gone" => Some(format!("{key:?} is {}", said.code)),
            "failed" if copies.iter().all(|(at, _)| *at >= oldest) => {
                Some(format!("{key:?} is gone, and is there"))
            }
            "failed" => None,
            "delivered" if self.ledger.heard.contains_key(&(self.host.setup.number, key)) => None,
            "delivered" => Some(format!("a device has {key:?}, and none was told it")),
            "expired" => self.why_expired(seq, key),
            other => Some(format!("{key:?} is {other}")),
        }
    }

    /// What was published there, for many: who did hears it where an edge will never have it.
    fn own(&self, (log, epoch, seq): Place) -> Option<(Seq, &Logged)> {
        let entry = self.host.journal.entries.get(&seq).filter(|_| self.host.log == Some(log))?;
        let is_one = entry.origin.is_none() && entry.epoch == epoch && entry.kind == Kind::Publication;
        is_one.then_some((seq, entry))
    }

    /// Why nobody may say of it that its time was over first.
    fn why_expired(&self, seq: Seq, key: Key) -> Option<String> {
        if !self.ledger.expires.contains_key(&key) {
            return Some(format!("{key:?} has expired, and is of use for ever"));
        }
        let over_at = self.over_at(key)?;
        let said_at = self.host.committed_at(seq);
        let early = !self.stepped && said_at.plus(CLOCKS) < over_at;
        early.then(|| format!("{key:?} has expired {} s early", over_at.since(said_at).as_secs()))
    }

    /// When a publication's time is over, if it is.
    fn over_at(&self, key: Key) -> Option<Time> {
        let lasts = Duration::from_secs(u64::from(*self.ledger.expires.get(&key)?));
        Some(self.published.get(&key)?.plus(lasts))
    }

    /// What was over, in a process that had it all the while, and nobody was told.
    fn unexpired(&self, told: &BTreeSet<Place>, now: Time) -> Vec<String> {
        let is_owed = |(seq, copy): &(Seq, &Logged)| {
            let Some(over_at) = copy.key().and_then(|key| self.over_at(key)) else { return false };
            let (came_at, since) = (self.host.committed_at(*seq), over_at.max(self.host.committed_at(*seq)));
            let within = came_at..=since.plus(TOLD_WITHIN);
            since.plus(TOLD_WITHIN) < now && !self.host.ended.iter().any(|ended| within.contains(ended))
        };
        let quiet = !self.again && !self.stepped && !self.host.refused;
        let owed = self
            .here
            .iter()
            .filter(|(place, copies)| quiet && !told.contains(*place) && copies.iter().all(is_owed));
        let what = |(_, copies): (&Place, &Vec<(Seq, &Logged)>)| {
            let key = copies.first().and_then(|(_, copy)| copy.key());
            format!("{}: the time of {key:?} is over, and nobody is told", self.name())
        };
        owed.map(what).collect()
    }

    /// What a device was told when its time had been over for longer than any road is cut.
    fn too_late(&self) -> Vec<String> {
        let here = |(number, _): &(usize, Key)| *number == self.host.setup.number;
        let heard = self.ledger.heard.iter().filter(|(at, _)| here(at) && !self.stepped);
        heard
            .filter_map(|((_, key), at)| {
                let over_at = self.over_at(*key)?;
                let kept = !self.host.ended.iter().any(|ended| *ended >= over_at && ended <= at);
                (kept && over_at.plus(ROADS) < *at).then(|| {
                    let s = at.since(over_at).as_secs();
                    format!("{}: a device was told {key:?} {s} s after its time was over", self.name())
                })
            })
            .collect()
    }

    /// What came down and was let go of, and nobody was told what became of it.
    fn untold(&self, told: &BTreeSet<Place>, now: Time) -> Vec<String> {
        if self.again || self.host.refused {
            return Vec::new();
        }
        let quiet = |at: &Time| {
            let within = *at..=at.plus(TOLD_WITHIN);
            at.plus(TOLD_WITHIN) < now && !self.host.ended.iter().any(|ended| within.contains(ended))
        };
        let let_go = |seq: Seq| {
            let mut known = self.host.let_go.iter().filter(|(_, oldest)| seq < *oldest);
            known.next().is_some_and(|(at, _)| quiet(at))
        };
        let owed = self.here.iter().filter(|(place, copies)| {
            let is_owed = |(seq, copy): &(Seq, &Logged)| {
                copy.key().is_some_and(|key| key.device >= FIRST_KEY) && let_go(*seq)
            };
            // What was published here and is at a device somewhere else is told from there.
            let elsewhere = self.host.log == Some(place.0) && self.delivered.contains(*place);
            !told.contains(*place) && !elsewhere && copies.iter().all(is_owed)
        });
        let what = |(_, copies): (&Place, &Vec<(Seq, &Logged)>)| {
            let key = copies.first().and_then(|(_, copy)| copy.key());
            format!("{} let go of {key:?}, and tells nobody what became of it", self.name())
        };
        owed.map(what).collect()
    }
}

/// What some host says a device has.
fn delivered(hosts: &[Host]) -> BTreeSet<Place> {
    let says = |entry: &&Logged| {
        is_outcome(entry) && entry.channel.as_ref().is_some_and(|channel| channel.as_str() == "delivered")
    };
    let all = hosts.iter().flat_map(|host| host.journal.entries.values().filter(says));
    all.filter_map(|entry| said(entry).map(|said| said.place)).collect()
}

/// When those publications that have a time were on disk at the hub.
fn published(hosts: &[Host], ledger: &Ledger) -> BTreeMap<Key, Time> {
    let Some(hub) = hosts.first().filter(|_| !ledger.expires.is_empty()) else { return BTreeMap::new() };
    let own = hub.journal.entries.iter().filter(|(_, entry)| entry.origin.is_none());
    let timed = own.filter_map(|(seq, entry)| Some((entry.key()?, *seq)));
    timed
        .filter(|(key, seq)| ledger.expires.contains_key(key) && !hub.was_found(*seq))
        .map(|(key, seq)| (key, hub.committed_at(seq)))
        .collect()
}

/// What came to a host from above, by where it was first appended.
fn came_down<'a>(
    host: &'a Host,
    log: LogId,
    below: &BTreeSet<LogId>,
) -> BTreeMap<Place, Vec<(Seq, &'a Logged)>> {
    let mut here: BTreeMap<Place, Vec<(Seq, &Logged)>> = BTreeMap::new();
    for (seq, entry) in host.journal.entries.iter().filter(|(_, entry)| is_to_another(entry)) {
        here.entry((log, entry.epoch, *seq)).or_default().push((*seq, entry));
    }
    if host.setup.number == 0 {
        return here;
    }
    for (seq, entry) in host.journal.entries.iter().filter(|(_, entry)| entry.kind == Kind::Publication) {
        if let Some(place) = entry.origin.filter(|(from, ..)| *from != log && !below.contains(from)) {
            here.entry(place).or_default().push((*seq, entry));
        }
    }
    here
}

/// Whether it was published there by whoever gives publish ids, and is addressed to one client.
fn is_to_another(entry: &Logged) -> bool {
    let is_writers = |key: Key| (FIRST_KEY..FIRST_TALKER).contains(&key.device);
    entry.origin.is_none()
        && entry.kind == Kind::Publication
        && entry.channel.as_ref().is_some_and(|channel| post::addressee(channel.as_str()).is_some())
        && entry.key().is_some_and(is_writers)
}

/// Whether the host itself says there what became of a publication.
pub fn is_outcome(entry: &Logged) -> bool {
    let spoken = [site::PLANT, site::YARD, site::SHED, site::CELLAR];
    entry.origin.is_none()
        && entry.kind == Kind::Publication
        && entry.channel.as_ref().is_some_and(event::is_outcome)
        && entry.room.is_some_and(|room| spoken.iter().any(|name| site::events_of(site::room(name)) == room))
}

fn said(entry: &Logged) -> Option<Said> {
    let event: serde_json::Value = serde_json::from_slice(&entry.payload()?).ok()?;
    let data = event.get("data")?;
    let Position { log, epoch, seq } = data.get("entry")?.as_str()?.parse().ok()?;
    let id = data.get("publish_id")?;
    let device = FIRST_KEY + id.get("producer")?.as_str()?.parse::<u32>().ok()?;
    let n = u32::try_from(id.get("n")?.as_u64()?).ok()?;
    let word = |name: &str| data.get(name).and_then(|word| word.as_str()).unwrap_or_default().to_owned();
    Some(Said {
        place: (log, epoch, seq),
        key: Key { device, n },
        client: word("client"),
        code: word("code"),
    })
}
