//! The kind of an event: the channel that it is in, who hears it there, and what it says of anybody.

use super::{GateStep, SystemEvent};
use crate::name::ChannelName;

/// The kinds that say what became of a publication.
const OUTCOMES: [&str; 3] = ["delivered", "expired", "failed"];

/// Whether an event in that channel of a room's technical channel says what became of a publication. Edges say these, and
/// uplinks carry them: there is one for each publication at most, so they are not coalesced.
pub fn is_outcome(channel: &ChannelName) -> bool {
    OUTCOMES.contains(&channel.as_str())
}

/// The kinds that only admins hear: of the account for its channel, of the room for a room's. What lies in quarantine names
/// rooms and channels that not every member may read.
const FOR_ADMINS: [&str; 9] = [
    "refused",
    "gate",
    "knock",
    "clone",
    "account_changed",
    "client_unused",
    "quarantined",
    "released",
    "dropped",
];

/// Whether an event in that channel of a technical channel is for admins only.
pub fn is_for_admins(channel: &ChannelName) -> bool {
    FOR_ADMINS.contains(&channel.as_str())
}

/// Whether an event in that channel of a room's technical channel says how much went through all of the room: of channels
/// that somebody may not read it learns not even that.
pub fn is_of_the_whole_room(channel: &ChannelName) -> bool {
    channel.as_str() == "statistics"
}

impl SystemEvent {
    /// Its kind: the channel that it is in, and its `type` after `riser.`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Closed { .. } => "closed",
            Self::SlowReader { .. } => "slow_reader",
            Self::Refused { .. } => "refused",
            Self::Joined { .. } => "joined",
            Self::Gate { step: GateStep::Waits, .. } => "knock",
            Self::Gate { step: GateStep::Asked | GateStep::Passed | GateStep::Refused, .. } => "gate",
            Self::Left { .. } => "left",
            Self::Ready { .. } => "ready",
            Self::RoomQuota { .. } => "room_quota",
            Self::ReaderGap { .. } => "reader_gap",
            Self::Statistics(_) => "statistics",
            Self::EdgeOnline { .. } => "edge_online",
            Self::EdgeSilent { .. } => "edge_silent",
            Self::EdgeRefused { .. } => "edge_refused",
            Self::EdgeFlowing { .. } => "edge_flowing",
            Self::EdgeClock { .. } => "edge_clock",
            Self::EdgeLag { .. } => "edge_lag",
            Self::CaughtUp { .. } => "caught_up",
            Self::LinkGap { .. } => "link_gap",
            Self::DownlinkGap { .. } => "downlink_gap",
            Self::Quarantined { .. } => "quarantined",
            Self::Released { .. } => "released",
            Self::Dropped { .. } => "dropped",
            Self::Delivered { .. } => "delivered",
            Self::Expired { .. } => "expired",
            Self::Failed { .. } => "failed",
            Self::AccountChanged { .. } => "account_changed",
            Self::AccountsDamaged { .. } => "accounts_damaged",
            Self::ClientUnused { .. } => "client_unused",
            Self::NotRetained { .. } => "not_retained",
            Self::Clone { .. } => "clone",
            Self::Started { .. } => "started",
            Self::LogFailing { .. } => "log_failing",
            Self::QuotaReached => "quota_reached",
            Self::LogRecovered => "log_recovered",
            Self::ArchiveFailing { .. } => "archive_failing",
            Self::ArchiveRecovered => "archive_recovered",
            Self::ArchiveLetGo { .. } => "archive_let_go",
            Self::ArchiveDamaged { .. } => "archive_damaged",
            Self::ClockStepped { .. } => "clock_stepped",
            Self::ClockOff { .. } => "clock_off",
            Self::ConfigurationRefused => "configuration_refused",
            Self::ConfigurationChanged => "configuration_changed",
            Self::Shutdown { .. } => "shutdown",
            Self::UplinkUp { .. } => "uplink_up",
            Self::UplinkDown { .. } => "uplink_down",
            Self::UplinkDrained { .. } => "uplink_drained",
            Self::UplinkGap { .. } => "uplink_gap",
            Self::UplinkAwaits { .. } => "uplink_awaits",
        }
    }

    /// The channel of its technical channel that it is in.
    pub fn channel(&self) -> ChannelName {
        self.kind().parse().expect("letters and underscores are a channel")
    }

    /// Whether it names nobody, and so may be said on the instance's own channel.
    pub fn names_nobody(&self) -> bool {
        match self {
            Self::Started { .. }
            | Self::LogFailing { .. }
            | Self::QuotaReached
            | Self::LogRecovered
            | Self::ArchiveFailing { .. }
            | Self::ArchiveRecovered
            | Self::ArchiveLetGo { .. }
            | Self::ArchiveDamaged { .. }
            | Self::ClockStepped { .. }
            | Self::ClockOff { .. }
            | Self::ConfigurationRefused
            | Self::ConfigurationChanged
            | Self::AccountsDamaged { .. }
            | Self::Shutdown { .. }
            | Self::UplinkUp { .. }
            | Self::UplinkDown { .. }
            | Self::UplinkDrained { .. }
            | Self::UplinkGap { .. }
            | Self::UplinkAwaits { .. } => true,
            Self::Opened { .. }
            | Self::Closed { .. }
            | Self::SlowReader { .. }
            | Self::Refused { .. }
            | Self::Gate { .. }
            | Self::Joined { .. }
            | Self::Left { .. }
            | Self::Ready { .. }
            | Self::RoomQuota { .. }
            | Self::ReaderGap { .. }
            | Self::Statistics(_)
            | Self::EdgeOnline { .. }
            | Self::EdgeSilent { .. }
            | Self::EdgeRefused { .. }
            | Self::EdgeFlowing { .. }
            | Self::EdgeClock { .. }
            | Self::EdgeLag { .. }
            | Self::CaughtUp { .. }
            | Self::LinkGap { .. }
            | Self::DownlinkGap { .. }
            | Self::Quarantined { .. }
            | Self::Released { .. }
            | Self::Dropped { .. }
            | Self::ClientUnused { .. }
            | Self::NotRetained { .. }
            | Self::AccountChanged { .. }
            | Self::Delivered { .. }
            | Self::Expired { .. }
            | Self::Failed { .. }
            | Self::Clone { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_in_the_table_and_where_it_is_for_admins_the_table_says_so() {
        let table: Vec<&str> =
            include_str!("../event.rs").lines().filter(|l| l.starts_with("//! | `")).collect();
        let kinds: Vec<&str> = include_str!("kind.rs")
            .lines()
            .filter_map(|line| {
                let (what, kind) = line.trim().strip_prefix("Self::")?.split_once("=> \"")?;
                kind.strip_suffix("\",").filter(|_| !what.is_empty())
            })
            .collect();
        assert_eq!(table.len(), kinds.len());
        for kind in kinds {
            let row = table.iter().find(|row| row.contains(&format!("| `{kind}` |")));
            let row = row.unwrap_or_else(|| panic!("{kind} is not in the table"));
            assert_eq!(is_for_admins(&kind.parse().unwrap()), row.ends_with("admins |"), "{row}");
        }
    }
}
