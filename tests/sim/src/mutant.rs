//! Deliberately wrong variants of the wiring around the cores: each must be caught by the ledger.

use crate::knobs::Theme;

/// One wrong variant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mutant {
    /// Syncs of files do nothing and say OK.
    NoSync,
    /// Syncs of the folder do nothing and say OK.
    NoDirectorySync,
    /// A failed sync is hidden from the log.
    FailedSyncHidden,
    /// Storage answers when a batch was ordered.
    AckBeforeSync,
    /// Storage says that what failed is stored.
    AckOnFailure,
    /// The hub's ingest cursor rides in the commit after the one with its entries.
    CursorInNextCommit,
    /// An edge's cursor for what came down rides in the commit after the one with its entries.
    DownCursorInNextCommit,
    /// What an edge brought is sent down to it.
    EchoSent,
    /// The hub's ingest cursors are never stored: deduplication in memory only.
    DedupeInMemoryOnly,
    /// MQTT sessions are forgotten at a restart.
    SessionsForgotten,
    /// Publish ids are forgotten at a restart.
    IdsInMemoryOnly,
    /// Every opening of a log takes the same epoch.
    EpochReused,
    /// Gaps on a link become skips.
    GapSkipped,
    /// What stands for no entry of a log two tiers below becomes a skip.
    PassedSkipped,
    /// Gaps on a link lack their last seq, which becomes a skip.
    GapOffByOne,
    /// The hub stores the first two entries of a batch in the wrong order.
    EntriesSwapped,
    /// The hub stores the second entry of a batch where the first was: one twice, one never.
    EntryDoubled,
    /// A byte of a stored payload flips between the edge and the hub's disk.
    PayloadFlipped,
    /// A subscriber's message is delivered twice.
    DeliveredTwice,
    /// Two of a subscriber's messages change places.
    DeliveriesSwapped,
    /// One of a subscriber's messages is not delivered.
    DeliveryDropped,
    /// Denials are left out of the directory.
    DenialsIgnored,
    /// The spool is given twice its quota.
    QuotaDoubled,
    /// Storage answers are lost from one on.
    AnswerLost,
    /// What a read of the disk brings lacks its first run.
    ReadSkipsFirst,
    /// One answer of the disk's reader is lost.
    ReadLost,
    /// The core's deadline is forgotten, once in a while for good.
    WakeLost,
    /// The hub's ingest cursors are stored one too far.
    CursorAhead,
    /// The hub's ingest cursors are stored one too short.
    CursorBehind,
    /// Two routes change places in what the hub stores.
    RoutesSwapped,
    /// The hub stores another epoch as the origin of what came.
    OriginShifted,
    /// A spool that is to refuse drops its oldest instead.
    RingInstead,
    /// Now and then a write never happens and says OK.
    WriteLost,
    /// Now and then a bit of what is written is flipped.
    WriteFlipped,
    /// A byte of what a device publishes changes on site.
    PublishChanged,
    /// Now and then a door is not told what the core says to it.
    TellLost,
    /// At a start what channels retain is what was saved, and not what the log has beyond that.
    RollForwardSkipped,
    /// What is cleared stays in the table on disk.
    ClearIgnored,
    /// A write of the table that a crash interrupted leaves how far it was to have seen the log, and no row.
    TableTorn,
    /// What a session is to remember of its deliveries at QoS 2 is not stored.
    HandOverDropped,
    /// Subscribers hear PUBREL before it is stored that they have the publication.
    PubrelEarly,
    /// Wills are not stored.
    WilledDropped,
    /// That a will is not wanted, or was published, is not stored.
    UnwilledDropped,
    /// Which publications wait for what becomes of them is forgotten at a restart.
    OutcomesForgotten,
    /// The core hears that the log let go of more than it did.
    TrimmedAhead,
    /// The yard takes what breaks its schema.
    SchemaIgnored,
    /// The yard takes more channels than it may have.
    ChannelsUncounted,
    /// Gates of rooms are left out of the directory.
    GatesLeftOut,
    /// The account's own gate is left out.
    FrontLeftOut,
    /// Whoever is asked whether a proof is right says yes.
    EveryProofMatches,
    /// Changes of accounts are in force, and not on disk.
    AccountsForgotten,
    /// Changes of accounts are on disk, and a running core is not told.
    ChangeUntold,
    /// What an admin says to somebody who knocks is heard as yes.
    DecisionsTurned,
    /// That a connection wants what it publishes replayed is not heard.
    SessionUnkept,
    /// That a session ended is told to nobody.
    WipedUntold,
    /// That a connection ended is not heard, now and then.
    LeaveUntold,
    /// Those who share a subscription are each a group of their own.
    MembersApart,
    /// How far a group is that shares a subscription is not stored.
    ShareDropped,
    /// Nobody hears what is archived.
    ArchiveUntold,
    /// What is archived is lost at a restart.
    ArchiveEmptied,
    /// Nobody hears what an archive has that could be opened late only.
    ArchiveOpenedUntold,
    /// A log waits for no archive that cannot be written.
    ArchiveUnawaited,
    /// That a publication is of use for so long only is not said.
    ExpiryUnsaid,
    /// A room that takes so much takes all.
    QuotaIgnored,
    /// A room that takes so much takes half of it.
    QuotaHalved,
    /// A room that keeps only so much keeps all.
    RetentionIgnored,
    /// A room that keeps so much keeps half of it.
    RetentionHalved,
    /// How much of rooms a log has is not known at a start.
    PastsForgotten,
    /// Somebody else may read what is addressed to one client.
    AddressesOpen,
    /// Whom nobody may write to may be written to.
    UnnamedNamed,
    /// A client has another id at edges.
    AddressesApart,
    /// What is addressed to nobody who is there is counted twice.
    VoidDoubled,
    /// Some of what is addressed to nobody who is there is not counted.
    VoidUncounted,
    /// Gates are left out at an annex.
    AnnexOpen,
    /// An annex does not hear whom its hub gave up.
    GivenUpUnheard,
    /// An annex forgets at a start whom its hub gave up.
    GivenUpForgotten,
    /// Who wants to go into another vault is heard to want the next one.
    StepsAstray,
    /// Who goes back to the lobby is told so, and is where it was.
    LeavesUnheard,
    /// Who says anew who it is is told that it did, and nobody looks.
    RenewalsUnheard,
    /// Who says anew who it is is heard to show what it has shown before.
    RenewalsStale,
    /// An annex lets people in however long it has not heard its hub.
    WordsLast,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 81] = [
        Self::NoSync,
        Self::NoDirectorySync,
        Self::FailedSyncHidden,
        Self::AckBeforeSync,
        Self::AckOnFailure,
        Self::CursorInNextCommit,
        Self::DownCursorInNextCommit,
        Self::EchoSent,
        Self::DedupeInMemoryOnly,
        Self::SessionsForgotten,
        Self::IdsInMemoryOnly,
        Self::EpochReused,
        Self::GapSkipped,
        Self::PassedSkipped,
        Self::GapOffByOne,
        Self::EntriesSwapped,
        Self::EntryDoubled,
        Self::PayloadFlipped,
        Self::DeliveredTwice,
        Self::DeliveriesSwapped,
        Self::DeliveryDropped,
        Self::DenialsIgnored,
        Self::QuotaDoubled,
        Self::AnswerLost,
        Self::ReadSkipsFirst,
        Self::ReadLost,
        Self::WakeLost,
        Self::CursorAhead,
        Self::CursorBehind,
        Self::RoutesSwapped,
        Self::OriginShifted,
        Self::RingInstead,
        Self::WriteLost,
        Self::WriteFlipped,
        Self::PublishChanged,
        Self::TellLost,
        Self::RollForwardSkipped,
        Self::ClearIgnored,
        Self::TableTorn,
        Self::HandOverDropped,
        Self::PubrelEarly,
        Self::WilledDropped,
        Self::UnwilledDropped,
        Self::OutcomesForgotten,
        Self::TrimmedAhead,
        Self::SchemaIgnored,
        Self::ChannelsUncounted,
        Self::GatesLeftOut,
        Self::FrontLeftOut,
        Self::EveryProofMatches,
        Self::AccountsForgotten,
        Self::ChangeUntold,
        Self::DecisionsTurned,
        Self::SessionUnkept,
        Self::WipedUntold,
        Self::LeaveUntold,
        Self::MembersApart,
        Self::ShareDropped,
        Self::ArchiveUntold,
        Self::ArchiveEmptied,
        Self::ArchiveOpenedUntold,
        Self::ArchiveUnawaited,
        Self::ExpiryUnsaid,
        Self::QuotaIgnored,
        Self::QuotaHalved,
        Self::RetentionIgnored,
        Self::RetentionHalved,
        Self::PastsForgotten,
        Self::AddressesOpen,
        Self::UnnamedNamed,
        Self::AddressesApart,
        Self::VoidDoubled,
        Self::VoidUncounted,
        Self::AnnexOpen,
        Self::GivenUpUnheard,
        Self::GivenUpForgotten,
        Self::WordsLast,
        Self::StepsAstray,
        Self::LeavesUnheard,
        Self::RenewalsUnheard,
        Self::RenewalsStale,
    ];

    /// Where it shows.
    pub fn theme(self) -> Theme {
        match self {
            Self::GatesLeftOut
            | Self::FrontLeftOut
            | Self::EveryProofMatches
            | Self::AccountsForgotten
            | Self::ChangeUntold
            | Self::DecisionsTurned
            | Self::RenewalsUnheard
            | Self::RenewalsStale => Theme::House,
            Self::SessionUnkept | Self::WipedUntold | Self::LeaveUntold => Theme::Rooms,
            Self::MembersApart
            | Self::ShareDropped
            | Self::ArchiveUntold
            | Self::ArchiveEmptied
            | Self::ArchiveOpenedUntold
            | Self::ArchiveUnawaited
            | Self::ExpiryUnsaid
            | Self::QuotaIgnored
            | Self::QuotaHalved
            | Self::RetentionIgnored
            | Self::RetentionHalved
            | Self::PastsForgotten => Theme::Limits,
            Self::AddressesOpen
            | Self::UnnamedNamed
            | Self::AddressesApart
            | Self::VoidDoubled
            | Self::VoidUncounted => Theme::Post,
            Self::AnnexOpen
            | Self::GivenUpUnheard
            | Self::GivenUpForgotten
            | Self::WordsLast
            | Self::StepsAstray
            | Self::LeavesUnheard => Theme::Annex,
            _ => Theme::Site,
        }
    }
}

impl std::fmt::Display for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}
