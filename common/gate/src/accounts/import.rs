//! What a file says of accounts, taken once each time that it says something else.
//!
//! Every account has the rooms `lobby` and `personal`, as one that is made while an instance runs: of one that a file
//! declares without them, the file is taken to declare them ([`RoomConfig::mandated`]), with the ids that rooms without one
//! have. So they stay the same over restarts, give no rights of their own, follow what the file says of them once it does,
//! and stay removed or changed where a change did that.

use super::{Account, Accounts, Removed, with_ids};
use crate::{
    config::{AccountConfig, RoomConfig},
    credential::Member,
};
use riser_model::{AccountId, AccountName, ClientId, RoomId};
use std::collections::BTreeSet;

/// What people should know of an import.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The account.
    pub account: AccountName,
    /// What of it: `user ann`, `room plant`, or the account itself.
    pub of: String,
    /// What became of it.
    pub what: &'static str,
}

/// Of one thing in three versions: as a file said it before, as it stands, as the file says it now.
fn merge<T: PartialEq + Clone>(
    before: Option<&T>,
    stands: Option<&T>,
    says: Option<&T>,
) -> (Option<T>, bool) {
    if before == says || stands == says {
        (stands.cloned(), false)
    } else if before == stands {
        (says.cloned(), false)
    } else {
        (stands.cloned(), true)
    }
}

const HOLDS: &str = "was changed here and in the file: what is running holds";
const REMOVED: &str = "was removed here, and the file still declares it: it stays removed";

/// What a file says, with the rooms that every account has where neither it nor a change says anything of them.
fn with_mandated(mut config: AccountConfig, stands: &Account) -> AccountConfig {
    let Some(account) = config.id else { return config };
    let said_before = |id: Option<RoomId>| {
        let rooms = stands.imported.iter().flat_map(|before| &before.room);
        rooms.into_iter().find(|room| room.id == id)
    };
    for room in RoomConfig::mandated() {
        let id = RoomId::of(account, room.name.as_str());
        let is_it = |one: &&RoomConfig| one.name == room.name || one.id == Some(id);
        let in_file = config.room.iter().any(|one| is_it(&one));
        // A change may have made one of that name before there were such rooms, or after this one got another name.
        let mut same = stands.config.room.iter().filter(is_it);
        let made_here = said_before(Some(id)).is_none() && same.any(|one| said_before(one.id) != Some(one));
        if !in_file && !made_here && !stands.gone.contains(&id.0) {
            config.room.push(RoomConfig { id: Some(id), ..room });
        }
    }
    config
}

impl Accounts {
    /// Takes what a file says. What of it did not become so is told.
    pub fn import(&mut self, file: &[AccountConfig]) -> Vec<Note> {
        let mut notes = Vec::new();
        let declared: BTreeSet<AccountId> = file.iter().filter_map(|config| config.id).collect();
        for config in file.iter().cloned().map(with_ids) {
            let Some(id) = config.id else { continue };
            let before = self.get(id).cloned();
            let mut account = match &before {
                Some(account) => Account::clone(account),
                None => {
                    let empty = AccountConfig::new(config.name.clone(), id);
                    Account { imported: Some(empty.clone()), revision: 0, ..Account::new(empty) }
                }
            };
            if account.removed == Some(Removed::Change) {
                notes.push(Note { account: config.name.clone(), of: "account".to_owned(), what: REMOVED });
                continue;
            }
            let config = with_mandated(config, &account);
            let mut own = account.take(&config);
            account.removed = None;
            let mut changed = self.clone();
            if before.as_ref().is_none_or(|before| **before != account) {
                account.revision += 1;
            }
            changed.insert(account);
            // What was made here meanwhile may have a name or an id that the file gives to something else.
            if changed.compile_after(self).is_ok() {
                *self = changed;
            } else {
                own.push(Note {
                    account: config.name.clone(),
                    of: "account".to_owned(),
                    what: "does not go with what was made here: nothing of the file was taken for it",
                });
            }
            notes.append(&mut own);
        }
        let undeclared: Vec<AccountId> =
            self.iter().map(|(id, _)| id).filter(|id| !declared.contains(id)).collect();
        for id in undeclared {
            notes.extend(self.undeclare(id));
        }
        notes
    }

    /// The file declares it no more.
    fn undeclare(&mut self, id: AccountId) -> Option<Note> {
        let account = self.get(id)?;
        let imported = account.imported.as_ref()?;
        let (name, unchanged) = (account.config.name.clone(), *imported == account.config);
        if unchanged {
            let revision = account.revision + 1;
            let account = Account { removed: Some(Removed::File), revision, ..Account::clone(account) };
            self.insert(account);
            return None;
        }
        let what = "is in the file no more, and was changed here: it stays";
        Some(Note { account: name, of: "account".to_owned(), what })
    }
}

impl Account {
    /// Takes what a file says of it, part by part.
    fn take(&mut self, says: &AccountConfig) -> Vec<Note> {
        let nothing =
            AccountConfig::new(self.config.name.clone(), says.id.unwrap_or(AccountId(uuid::Uuid::nil())));
        let before = Self::new(self.imported.take().unwrap_or(nothing));
        let file = Self::new(says.clone());
        let mut notes = Vec::new();
        let mut note = |of: String, what| notes.push(Note { account: says.name.clone(), of, what });
        let head = |config: &AccountConfig| AccountConfig {
            user: Vec::new(),
            client: Vec::new(),
            room: Vec::new(),
            ..config.clone()
        };
        let (merged, differs) =
            merge(Some(&head(&before.config)), Some(&head(&self.config)), Some(&head(says)));
        if differs {
            note("account".to_owned(), HOLDS);
        }
        if let Some(head) = merged {
            let AccountConfig { user, client, room, .. } = std::mem::replace(&mut self.config, head);
            (self.config.user, self.config.client, self.config.room) = (user, client, room);
        }
        let ids = |one: &Self| one.members().filter_map(|member| id_of(&member)).collect::<Vec<ClientId>>();
        let mut all: Vec<ClientId> = ids(self);
        all.extend(ids(&file).into_iter().chain(ids(&before)));
        let mut done = BTreeSet::new();
        for id in all.into_iter().filter(|id| done.insert(*id)) {
            let (b, s, f) = (before.member(id), self.member(id), file.member(id));
            if self.gone.contains(&id.0) {
                if f.is_some() {
                    note(label(&f), REMOVED);
                }
                continue;
            }
            let (merged, differs) = merge(b.as_ref(), s.as_ref(), f.as_ref());
            if differs {
                note(label(&f.or(s)), HOLDS);
            }
            self.config.user.retain(|user| user.id != Some(id) || merged.is_some());
            self.config.client.retain(|client| client.id != Some(id) || merged.is_some());
            if let Some(member) = merged {
                self.put(member);
            }
        }
        self.part_those_of_nobody();
        let ids =
            |config: &AccountConfig| config.room.iter().filter_map(|room| room.id).collect::<Vec<RoomId>>();
        let mut all = ids(&self.config);
        all.extend(ids(says).into_iter().chain(ids(&before.config)));
        let mut done = BTreeSet::new();
        for id in all.into_iter().filter(|id| done.insert(*id)) {
            let find = |config: &AccountConfig| config.room.iter().find(|room| room.id == Some(id)).cloned();
            let (b, s, f) = (find(&before.config), find(&self.config), find(says));
            if self.gone.contains(&id.0) {
                if let Some(f) = f {
                    note(format!("room {}", f.name), REMOVED);
                }
                continue;
            }
            let (merged, differs) = merge(b.as_ref(), s.as_ref(), f.as_ref());
            if let (true, Some(one)) = (differs, f.or(s)) {
                note(format!("room {}", one.name), HOLDS);
            }
            match (self.config.room.iter().position(|room| room.id == Some(id)), merged) {
                (Some(place), Some(room)) => {
                    if let Some(slot) = self.config.room.get_mut(place) {
                        *slot = room;
                    }
                }
                (Some(place), None) => drop(self.config.room.remove(place)),
                (None, Some(room)) => self.config.room.push(room),
                (None, None) => {}
            }
        }
        self.imported = Some(says.clone());
        self.strip();
        notes
    }

    /// Clients of users whom the file declares no more go for ever: they do not wake with whoever it declares in their place.
    fn part_those_of_nobody(&mut self) {
        let users: BTreeSet<ClientId> = self.config.user.iter().filter_map(|user| user.id).collect();
        let of_nobody = self.associated.iter().filter(|(_, user)| !users.contains(user));
        let of_nobody: Vec<ClientId> = of_nobody.map(|(client, _)| *client).collect();
        for client in of_nobody {
            self.part(client).expect("it is there");
        }
    }
}

fn id_of(member: &Member) -> Option<ClientId> {
    match member {
        Member::User(user) => user.id,
        Member::Client(client) => client.id,
    }
}

fn label(member: &Option<Member>) -> String {
    match member {
        Some(Member::User(user)) => format!("user {}", user.name),
        Some(Member::Client(client)) => format!("client {}", client.name),
        None => "account".to_owned(),
    }
}
