//! The hub's accounts, as it has them on disk and in force: what the program's registrar does, in virtual time. A change is
//! saved, then in force, then answered; a crash before the answer may leave it saved or not.

use riser_gate::{
    Accounts, Directory,
    accounts::{Change, change::Why},
};
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub struct Registrar {
    /// On disk.
    pub saved: Accounts,
    /// Being saved.
    saving: Option<(Accounts, Arc<Directory>)>,
    in_force: Accounts,
}

/// What becomes of a change that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It is being saved.
    Saving,
    /// It is so already, or never will be.
    Pointless,
    /// Another one is being saved.
    Busy,
}

impl Registrar {
    /// Over what files declare.
    pub fn new(accounts: Accounts) -> Self {
        Self { saved: accounts.clone(), saving: None, in_force: accounts }
    }

    /// Takes a change.
    ///
    /// # Panics
    ///
    /// If what a house changes would not compile: the house is wrong then.
    pub fn take(&mut self, change: Change) -> Taken {
        if self.saving.is_some() {
            return Taken::Busy;
        }
        match self.in_force.apply(change) {
            Ok((accounts, directory, _)) => {
                self.saving = Some((accounts, directory));
                Taken::Saving
            }
            Err(refused) => {
                assert!(matches!(refused.why, Why::Unknown | Why::Taken), "{refused:?}");
                Taken::Pointless
            }
        }
    }

    /// The write is over. What is in force from here on, if it went well.
    pub fn done(&mut self, fails: bool, forgets: bool) -> Option<Arc<Directory>> {
        let (accounts, directory) = self.saving.take()?;
        if fails {
            return None;
        }
        if !forgets {
            self.saved = accounts.clone();
        }
        self.in_force = accounts;
        Some(directory)
    }

    /// The process dies. What was being saved is, or not.
    pub fn die(&mut self, saved: bool) {
        if let Some((accounts, _)) = self.saving.take().filter(|_| saved) {
            self.saved = accounts;
        }
        self.in_force = self.saved.clone();
    }

    /// Who exists at a start.
    ///
    /// # Panics
    ///
    /// If what was saved does not compile: it was compiled before it was saved.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::new(self.saved.compile().expect("it was compiled before it was saved"))
    }
}
