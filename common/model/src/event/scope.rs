//! Whose technical channel an event is in.

use crate::id::{AccountId, RoomId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Whose technical channel it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Of one room, for those who may read any of it.
    Room(RoomId),
    /// Of an account, for its members.
    Account(AccountId),
    /// Of the whole instance: carries no identities.
    Instance,
}

impl Scope {
    /// The room of the log that holds its events. Names of rooms have no `$`: it is no configured one.
    pub fn room(self) -> RoomId {
        const NAME: &[u8] = b"$riser";
        RoomId(match self {
            Self::Room(room) => Uuid::new_v5(&room.0, NAME),
            Self::Account(account) => Uuid::new_v5(&account.0, NAME),
            Self::Instance => Uuid::new_v5(&Uuid::nil(), NAME),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::RoomName;

    #[test]
    fn technical_rooms_are_no_rooms_that_a_configuration_can_name() {
        let account = AccountId(Uuid::from_u128(1));
        let room = RoomId::of(account, "hall");
        let all = [Scope::Room(room), Scope::Account(account), Scope::Instance].map(Scope::room);
        assert!(all.iter().enumerate().all(|(n, id)| !all[n + 1..].contains(id) && *id != room));
        assert_eq!(Scope::Account(account).room(), RoomId::of(account, "$riser"));
        assert!("$riser".parse::<RoomName>().is_err());
    }
}
