//! Why the bus did not do something.

/// Why the bus did not do something. The door's protocol words it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The code.
    pub code: Code,
    /// What was wrong, a lowercase fragment. No secrets.
    pub what: String,
    /// What would be right.
    pub want: String,
}

/// Error codes, the same in every protocol. A closed list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Code {
    /// The peer's bytes are not the protocol.
    Malformed,
    /// Fine bytes, at the wrong moment.
    WrongState,
    /// Not a name, topic, filter or position.
    BadName,
    /// The credential was not accepted. Wrong user, wrong password and unknown account look the same.
    NotAuthorised,
    /// Not allowed there, or no such room: they look the same from outside.
    Denied,
    /// Larger than allowed.
    TooLarge,
    /// More than allowed.
    TooMany,
    /// The quota is used up (`reject`).
    QuotaExceeded,
    /// As much as a room replays of sessions is there already.
    SessionFull,
    /// The log cannot commit.
    LogFailing,
    /// The position belongs to another log, or to a fork that no longer exists.
    UnknownPosition,
    /// Another connection took over.
    TakenOver,
    /// The instance is going down; come back.
    ShuttingDown,
    /// A deadline passed.
    Timeout,
    /// It did not keep up with what a bounded queue holds.
    TooSlow,
    /// It is in the log already, from an earlier time that it was sent.
    Dup,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::WrongState,
        Self::BadName,
        Self::NotAuthorised,
        Self::Denied,
        Self::TooLarge,
        Self::TooMany,
        Self::QuotaExceeded,
        Self::SessionFull,
        Self::LogFailing,
        Self::UnknownPosition,
        Self::TakenOver,
        Self::ShuttingDown,
        Self::Timeout,
        Self::TooSlow,
        Self::Dup,
    ];

    /// Its name on the wire, in metrics and in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongState => "wrong_state",
            Self::BadName => "bad_name",
            Self::NotAuthorised => "not_authorised",
            Self::Denied => "denied",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
            Self::QuotaExceeded => "quota_exceeded",
            Self::SessionFull => "session_full",
            Self::LogFailing => "log_failing",
            Self::UnknownPosition => "unknown_position",
            Self::TakenOver => "taken_over",
            Self::ShuttingDown => "shutting_down",
            Self::Timeout => "timeout",
            Self::TooSlow => "too_slow",
            Self::Dup => "dup",
        }
    }
}
