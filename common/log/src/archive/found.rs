//! What a folder has at the start: the volumes that are taken, and what is set aside.
//!
//! Every volume that was found is in one of three places when all were looked at: among the archive's, under another name,
//! or removed because a newer one is known to have all of it. What is wrong with one costs that one alone.

use super::{
    Archive, ArchiveFinding,
    shelf::Volume,
    volume::{ASIDE, Head, Name, Opened},
};
use crate::disk::Disk;
use riser_model::{EpochSpan, Seq};
use std::{io, sync::Arc};

/// Why something is set aside that speaks of what another volume speaks of.
pub(super) const IN_PLACE: &str = "another volume speaks of it";

impl<D: Disk> Archive<D> {
    /// Takes a volume that was found, if it is of this log and in nobody's place; else it is set aside.
    pub(super) fn take(
        &mut self,
        name: Name,
        (chain, oldest): (&[EpochSpan], Seq),
        findings: &mut Vec<ArchiveFinding>,
    ) {
        let opened = self.disk.open(&name.file());
        let bytes = opened.as_ref().map_or(0, |(_, bytes)| *bytes);
        if name.log != self.log {
            return self.put_aside(name, bytes, "another log", findings);
        }
        let head =
            opened.and_then(|(file, bytes)| Opened::new(self.disk.clone(), file, bytes, name).head(name));
        // It may be read later: what keeps it from being read now is no reason to lose it.
        let head = head.unwrap_or_default();
        if let Some(head) = &head
            && !head.spans.iter().all(|span| is_of(chain, span))
        {
            // What was made of several may begin long before the log went back.
            if let Some(kept) = self.keep_before(head, chain, oldest) {
                self.volumes.push(kept);
            }
            return self.put_aside(name, bytes, "a past that the log does not have", findings);
        }
        if let Some(newer) = self.volumes.last().cloned().filter(|newer| newer.name.last >= name.first) {
            let merged = newer.name.holds(&name) && has_rooms_of(newer.head.as_ref(), head.as_ref());
            if !(newer.name.is_of_the_same(&name) || merged) || head.is_none() {
                return self.put_aside(name, bytes, IN_PLACE, findings);
            }
            if newer.head.is_some() {
                // A crash came between the newer one and this one's end. If it stays, a later start removes it.
                let _ = self.disk.remove(&name.file());
                return;
            }
            // Of the newer one nothing is known, and this one is whole.
            self.volumes.pop();
            self.put_aside(newer.name, newer.bytes, IN_PLACE, findings);
        } else if head.is_none() {
            findings.push(ArchiveFinding::Unreadable { file: name.file() });
        }
        self.volumes.push(Arc::new(Volume { name, bytes, head }));
    }

    /// Sets it aside; where that fails it is not read either, and stays as it is.
    fn put_aside(&mut self, name: Name, bytes: u64, why: &'static str, findings: &mut Vec<ArchiveFinding>) {
        let aside = self.set_aside(name, bytes, why);
        findings.push(aside.unwrap_or_else(|_| ArchiveFinding::SetAside { file: name.file(), why }));
    }

    pub(super) fn set_aside(
        &mut self,
        name: Name,
        bytes: u64,
        why: &'static str,
    ) -> io::Result<ArchiveFinding> {
        let taken = self.disk.list()?;
        let numbered = (0..).map(|n: u32| format!("{ASIDE}{n:x}-{}", name.file()));
        let file = numbered.into_iter().find(|file| !taken.contains(file)).unwrap_or_default();
        self.disk.rename(&name.file(), &file)?;
        self.disk.sync_dir()?;
        self.aside_bytes += bytes;
        Ok(ArchiveFinding::SetAside { file, why })
    }

    /// What a volume has from before both the log's past and what it holds part, as a volume of its own: the log has the
    /// rest, as it was then.
    fn keep_before(&mut self, head: &Head, chain: &[EpochSpan], oldest: Seq) -> Option<Arc<Volume>> {
        let parts = head.spans.iter().find(|span| !is_of(chain, span))?;
        let known = chain.iter().find(|known| known.epoch == parts.epoch && known.first <= parts.first);
        let last = known.map_or(parts.first.prev(), |known| known.last).min(oldest.prev());
        if last < head.name.first
            || self.volumes.last().is_some_and(|volume| volume.name.last >= head.name.first)
        {
            return None;
        }
        let (_, bytes) = self.disk.open(&head.name.file()).ok()?;
        let names = [head.name];
        self.make_of(std::iter::once(head), &names, (head.name.first, last), bytes).ok()
    }
}

/// Whether a volume has everything of the rooms of which another has.
fn has_rooms_of(newer: Option<&Head>, older: Option<&Head>) -> bool {
    // Of one that says nothing of itself nothing is known either way: the other one is taken.
    let (Some(newer), Some(older)) = (newer, older) else { return true };
    newer.rooms.is_superset(&older.rooms)
}

/// Whether the log has that past, as far as it remembers.
fn is_of(chain: &[EpochSpan], span: &EpochSpan) -> bool {
    let oldest = chain.first().map_or(Seq(1), |first| first.first);
    let known = chain.iter().find(|known| known.epoch == span.epoch);
    known.map_or(span.last < oldest, |known| known.first <= span.first && span.last <= known.last)
}
