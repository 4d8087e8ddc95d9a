//! What the system says about itself on technical channels: a closed list, each with its fields.
//!
//! **A technical channel is a room of the log.** Each account, each room and the hub (or edge) itself has one, with
//! an id that no configured room can have ([`Scope::room`]); an event is an entry in it, in the channel that its kind
//! names. So events have positions, a history, resumes and gaps like everything else, and who was away finds what it
//! missed. They ride in the next commit and nobody waits for them. A storm is coalesced: an event that carries
//! `count` stands for so many of its kind, of which it is the newest.
//!
//! **Each is a CloudEvent** (specification 1.0, JSON format) in the envelope and over MQTT:
//! `{"specversion":"1.0","id":"<epoch>-<n>","source":"urn:riser:<log>","type":"riser.joined","subject":"room/hall",
//! "time":"2026-01-31T12:00:00.000Z","datacontenttype":"application/json","data":{...}}`, with the extension `count`
//! where it is more than 1. Over MQTT the topics are `$riser/room/{room}/{kind}`, `$riser/account/{kind}` and
//! `$riser/hub/{kind}`.
//!
//! | kind | where | `data` | who hears it |
//! |---|---|---|---|
//! | `opened` | account | client, name, connection | members |
//! | `closed` | account | client, name, connection, cause | members |
//! | `reader_gap` | account | client, name, connection, gap (from, to, cause) | members |
//! | `slow_reader` | account | client, name, connection | members |
//! | `refused` | account | code, what, client, name, connection (the last three where known) | admins |
//! | `knock` | account; the room too, where it is the room's own gate | connection, client, name, room, acceptor, step, why: it waits to be let in | admins |
//! | `gate` | account | connection, client, name, room, acceptor, step, why | admins |
//! | `edge_online` | account | edge, name, epoch, backlog | members |
//! | `edge_silent` | account | edge, name, cause | members |
//! | `edge_refused` | account | edge, name, code | members |
//! | `edge_flowing` | account | edge, name | members |
//! | `edge_clock` | account | edge, name, off_ms, right: its clock is so far ahead of this one's (behind, below zero) when it greets, or is right again | members |
//! | `edge_lag` | account | edge, name, queued, drain_per_s | members |
//! | `caught_up` | account | edge, name, through | members |
//! | `link_gap` | account | edge, log, epoch, gap (from, to, cause), at_least | members |
//! | `downlink_gap` | account | edge, name, gap (from, to, cause) | members |
//! | `quarantined` | account | edge, seq, code, reason | admins |
//! | `released` | account | entry, to, by, reason | admins |
//! | `dropped` | account | entry, by, reason | admins |
//! | `account_changed` | account | what, of, by: what was made, changed, granted or revoked | admins |
//! | `client_unused` | account | client, name, left_s: nobody uses it, and so soon it is removed | admins |
//! | `not_retained` | account | client, name, reason | members |
//! | `clone` | account | edge, name | admins |
//! | `delivered` | room | entry, client, publish_id (producer, n), to: a device behind an edge has it, or here the client that it is addressed to | admins of the room, and the client that published it |
//! | `expired` | room | entry, client, publish_id: its time was over before any device behind that edge, or that client here, had it | admins of the room, and the client that published it |
//! | `failed` | room | entry, client, publish_id, code: no device behind that edge will have it | admins of the room, and the client that published it |
//! | `joined` | room | client, name, connection, behind | readers of the room |
//! | `left` | room | client, name, connection, behind, cause | readers of the room |
//! | `ready` | room | ready, absent: those who are waited for and are not there | readers of the room |
//! | `room_quota` | room | limit, most, again_ms: it takes no more of these, for so long where it is by time; client, name: where that is one user's own limit, whose | readers of the room |
//! | `statistics` | room | messages, bytes, per_s, per_min, bytes_per_s, bytes_per_min, last, subscribers, connections; newest (channel, pos): its newest publication; channels: the same figures of each of the 16 that were published in last, and at_least: more read those than were looked at; without what is addressed to single clients | who may read all of the room |
//! | `started` | hub | epoch, through | everybody who is let in |
//! | `shutdown` | hub | queued | everybody who is let in |
//! | `log_failing` | hub | code | everybody who is let in |
//! | `quota_reached` | hub | | everybody who is let in |
//! | `log_recovered` | hub | | everybody who is let in |
//! | `clock_stepped` | hub | by_ms | everybody who is let in |
//! | `clock_off` | hub | uplink, off_ms, right: its clock is so far ahead of the one of that uplink's hub (behind, below zero), or is right again | everybody who is let in |
//! | `archive_failing` | hub | code: `disk_full` or `disk` | everybody who is let in |
//! | `archive_recovered` | hub | | everybody who is let in |
//! | `archive_let_go` | hub | seqs, why: `quota` or `disk_full` | everybody who is let in |
//! | `archive_damaged` | hub | files: so many more in which something cannot be read, or that are not the archive's | everybody who is let in |
//! | `configuration_refused` | hub | | everybody who is let in |
//! | `accounts_damaged` | hub | lost: whether some is known no more | everybody who is let in |
//! | `configuration_changed` | hub | | everybody who is let in |
//! | `uplink_up` | hub | uplink, backlog | everybody who is let in |
//! | `uplink_down` | hub | uplink, cause | everybody who is let in |
//! | `uplink_drained` | hub | uplink, through | everybody who is let in |
//! | `uplink_gap` | hub | uplink, gap (from, to, cause) | everybody who is let in |
//! | `uplink_awaits` | hub | uplink, from, to, waits | everybody who is let in |
//!
//! What the hub's own channel says names nobody: no account, client or room. An edge's own channel is called the hub's
//! too.

use crate::{
    gap::Gap,
    id::{ClientId, ConnectionId, Epoch, LogId, Seq},
    name::{AccountName, RoomName},
    position::Position,
};
use serde::{Deserialize, Serialize};

mod as_text;
mod fields;
mod kind;
mod scope;

pub use fields::{ChannelTold, Destination, GateStep, Latest, PublishedAs, Statistics, Told};
pub use kind::{is_for_admins, is_of_the_whole_room, is_outcome};
pub use scope::Scope;

/// One sentence of the system about itself. See the module for who hears which.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SystemEvent {
    /// A connection was let in.
    Opened {
        /// The participant.
        client: ClientId,
        /// Its name.
        name: AccountName,
        /// Which of its connections.
        connection: ConnectionId,
    },
    /// A connection that was let in is over.
    Closed {
        /// The participant.
        client: ClientId,
        /// Its name.
        name: AccountName,
        /// Which of its connections.
        connection: ConnectionId,
        /// Why: the name of a close code, or what became of the socket.
        cause: String,
    },
    /// A connection was sent away because it did not take what waited for it.
    SlowReader {
        /// The participant.
        client: ClientId,
        /// Its name.
        name: AccountName,
        /// Which of its connections.
        connection: ConnectionId,
    },
    /// Somebody was refused. Who it was is said only where a credential proved it.
    Refused {
        /// The code.
        code: String,
        /// What was refused.
        what: String,
        /// The participant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<ClientId>,
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<AccountName>,
        /// Which of its connections.
        connection: ConnectionId,
    },
    /// A connection joined a room.
    Joined {
        /// The participant.
        client: ClientId,
        /// Its name.
        name: AccountName,
        /// Its account, if it is a visitor from another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<AccountName>,
        /// Which of its connections.
        connection: ConnectionId,
        /// Through which edge it is there; none for a connection of this instance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        behind: Option<AccountName>,
    },
    /// A connection at a gate went on from one acceptor to the next, or was sent away. For admins: outside, all refusals of
    /// credentials look the same.
    Gate {
        /// Which connection.
        connection: ConnectionId,
        /// As whom, where a client is known that it is, or says it is.
        client: Option<ClientId>,
        /// Its name.
        name: Option<AccountName>,
        /// Its account, if it is a visitor from another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<AccountName>,
        /// Before which room; none for the account's own gate.
        room: Option<RoomName>,
        /// The acceptor, by its name in a gate's configuration.
        acceptor: String,
        /// What it did.
        step: GateStep,
        /// Why, where it refused.
        why: String,
    },
    /// A connection left a room.
    Left {
        /// The participant.
        client: ClientId,
        /// Its name.
        name: AccountName,
        /// Its account, if it is a visitor from another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<AccountName>,
        /// Which of its connections.
        connection: ConnectionId,
        /// Through which edge it is there; none for a connection of this instance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        behind: Option<AccountName>,
        /// Why: the name of a close code, `unsubscribed`, or `restart` of the instance that it was on.
        cause: String,
    },
    /// A room that waits for somebody has everybody that it waits for, or has not.
    Ready {
        /// Whether nobody is missing.
        ready: bool,
        /// Who is.
        absent: Vec<AccountName>,
    },
    /// A room's quota did not take something.
    RoomQuota {
        /// Which: `messages`, `bytes`, `connections`, `channels` or `subscriptions`; `user_messages` or `user_bytes` of one user.
        limit: String,
        /// How much it is.
        most: u64,
        /// For how long it takes no more, milliseconds; none where that depends on others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again_ms: Option<u64>,
        /// Of whom it takes no more, where that is one user's own limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<ClientId>,
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<AccountName>,
    },
    /// A subscription that had begun missed what its channels had.
    ReaderGap {
        /// The participant.
        client: ClientId,
        /// Its name.
        name: AccountName,
        /// Which of its connections.
        connection: ConnectionId,
        /// Which seqs of this instance's log, and why.
        gap: Gap,
    },
    /// Where a room's traffic stands, while somebody listens.
    Statistics(Statistics),
    /// An edge's link came up and was welcomed.
    EdgeOnline {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
        /// The epoch it sends.
        epoch: Epoch,
        /// How many seqs it has that the hub has not.
        backlog: u64,
    },
    /// Nothing was heard from an edge for longer than the link allows, or its connection closed.
    EdgeSilent {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
        /// Why.
        cause: String,
    },
    /// An edge was turned away for want of room: every segment begins with a place in each log that edges brought.
    EdgeRefused {
        /// Which.
        edge: ClientId,
        /// Its name.
        name: AccountName,
        /// The code that it was told.
        code: String,
    },
    /// An edge that was behind or silent has nothing waiting any more, or advances.
    EdgeFlowing {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
    },
    /// The clock of an edge that greets is off, by another amount than was told, or right again.
    EdgeClock {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
        /// So far it is ahead of this instance's; behind, below zero.
        off_ms: i64,
        /// Whether that is as good as nothing.
        right: bool,
    },
    /// What an edge has waits longer than it should.
    EdgeLag {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
        /// How many seqs wait.
        queued: u64,
        /// Seqs taken per second, lately.
        drain_per_s: u64,
    },
    /// An edge's backlog is drained.
    CaughtUp {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
        /// The position in the edge's log at which it was.
        through: Seq,
    },
    /// Seqs of an edge's log are gone for good.
    LinkGap {
        /// The edge.
        edge: ClientId,
        /// The edge's log.
        log: LogId,
        /// The epoch they belong to.
        epoch: Epoch,
        /// Which, and why.
        gap: Gap,
        /// Whether the count is a lower bound (`edge_lost`).
        at_least: bool,
    },
    /// What was published for an edge's rooms did not go down to it: no longer there, or not taken. The seqs are the
    /// hub's, and not all of them need have been meant for that edge.
    DownlinkGap {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
        /// Which, and why.
        gap: Gap,
    },
    /// An entry was taken but could not be placed.
    Quarantined {
        /// The edge it came from, or the client that published it here.
        edge: ClientId,
        /// Its position in the edge's log, or in this instance's own where a client published it here.
        seq: Seq,
        /// Why: an error code.
        code: String,
        /// Why, in words.
        reason: String,
    },
    /// An entry in quarantine was placed where it was meant to go.
    Released {
        /// Where it was.
        #[serde(with = "as_text")]
        entry: Position,
        /// Where it went.
        to: Destination,
        /// Who released it.
        by: AccountName,
        /// Why, in that person's words.
        reason: String,
    },
    /// An entry in quarantine was given up.
    Dropped {
        /// Where it was.
        #[serde(with = "as_text")]
        entry: Position,
        /// Who gave it up.
        by: AccountName,
        /// Why, in that person's words.
        reason: String,
    },
    /// A publication that went down to an edge is at a device there: it acknowledged it, or it was written to its socket
    /// where nobody acknowledges. Told of the first device, of what has a publish id.
    Delivered {
        /// Where it was published: what its receipt said.
        #[serde(with = "as_text")]
        entry: Position,
        /// Who published it.
        client: ClientId,
        /// As what.
        publish_id: PublishedAs,
        /// Which client has it.
        to: AccountName,
    },
    /// A publication that went down to an edge was of no use any more, by the edge's corrected clock, before a device had
    /// it.
    Expired {
        /// Where it was published.
        #[serde(with = "as_text")]
        entry: Position,
        /// Who published it.
        client: ClientId,
        /// As what.
        publish_id: PublishedAs,
    },
    /// A publication that was meant for an edge will reach no device there.
    Failed {
        /// Where it was published.
        #[serde(with = "as_text")]
        entry: Position,
        /// Who published it.
        client: ClientId,
        /// As what.
        publish_id: PublishedAs,
        /// Why: `refused` by the edge, which has no such room; `gone` from the edge's log before anybody read it there, or from this
        /// log before an edge had it.
        code: String,
    },
    /// Somebody changed the account.
    AccountChanged {
        /// What was done, in words: `credential revoked`.
        what: String,
        /// To what: `user ann`, `room plant`, or the account itself.
        of: String,
        /// Who did it.
        by: String,
    },
    /// A client was not used for long: it will be removed, with what is queued for it.
    ClientUnused {
        /// The client.
        client: ClientId,
        /// Its name.
        name: AccountName,
        /// In so many seconds, unless it comes.
        left_s: u64,
    },
    /// A device published what its channel was to retain, and there was no room: it was stored without. Told once for each
    /// connection.
    NotRetained {
        /// The device.
        client: ClientId,
        /// Its name.
        name: AccountName,
        /// Why, in words.
        reason: String,
    },
    /// A second machine presented the identity of a live edge.
    Clone {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
    },
    /// The instance began.
    Started {
        /// The epoch of its log that it writes.
        epoch: Epoch,
        /// The last seq that an earlier one had brought to the disk.
        through: Seq,
    },
    /// A log could not commit; publications are refused until it can.
    LogFailing {
        /// As what they are refused.
        code: String,
    },
    /// The log's quota is used up; publications are refused until there is room.
    QuotaReached,
    /// The log commits again.
    LogRecovered,
    /// What archived rooms have cannot be archived. The log holds it within a bound.
    ArchiveFailing {
        /// Why: `disk_full`, or `disk` for whatever else the hub's own log names.
        code: String,
    },
    /// The archive is written again.
    ArchiveRecovered,
    /// The archive let go of its oldest.
    ArchiveLetGo {
        /// How many seqs.
        seqs: u64,
        /// For what: its `quota`, or what comes on a full disk (`disk_full`).
        why: String,
    },
    /// Files of the archive are not as they should be: nothing is deleted, and what is missing is told as gaps.
    ArchiveDamaged {
        /// How many more.
        files: u64,
    },
    /// The wall clock was stepped.
    ClockStepped {
        /// By how much, milliseconds; negative is back.
        by_ms: i64,
    },
    /// The configuration given was refused and the last good one runs. Why is in the instance's own log: every
    /// account reads this, and a configuration names them all.
    ConfigurationRefused,
    /// Where accounts are kept was damaged.
    AccountsDamaged {
        /// Of some nobody knows any more what was revoked: none of their credentials is taken. Otherwise nothing is lost.
        lost: bool,
    },
    /// Another configuration of rooms is in force.
    ConfigurationChanged,
    /// The instance is going down on purpose.
    Shutdown {
        /// Its uplinks' unconfirmed seqs.
        queued: u64,
    },
    /// The link to a hub came up.
    UplinkUp {
        /// The uplink's name in the configuration.
        uplink: AccountName,
        /// How many seqs the hub has not.
        backlog: u64,
    },
    /// The clock of this instance is off, by another amount than was told, or right again: by a hub's.
    ClockOff {
        /// The uplink's name in the configuration.
        uplink: AccountName,
        /// So far it is ahead of the hub's; behind, below zero.
        off_ms: i64,
        /// Whether that is as good as nothing.
        right: bool,
    },
    /// The link to a hub is down.
    UplinkDown {
        /// The uplink's name in the configuration.
        uplink: AccountName,
        /// Why; `stopped` if this instance goes down on purpose.
        cause: String,
        /// How many seqs the hub has not: after a shutdown, how far it drained.
        queued: u64,
    },
    /// A hub has everything.
    UplinkDrained {
        /// The uplink's name in the configuration.
        uplink: AccountName,
        /// Up to this seq.
        through: Seq,
    },
    /// Seqs that a hub will never have.
    UplinkGap {
        /// The uplink's name in the configuration.
        uplink: AccountName,
        /// Which, and why.
        gap: Gap,
    },
    /// An edge that was moved no longer has what its former parent confirmed, and nobody above the new one has it yet: what
    /// the former one does not deliver is lost.
    UplinkAwaits {
        /// The uplink's name in the configuration.
        uplink: AccountName,
        /// The first such seq.
        from: Seq,
        /// The last.
        to: Seq,
        /// Whether it is waited for, or its configuration says that it is not.
        waits: bool,
    },
}
