//! What is told of an archive on the instance's own channel: each trouble when it begins and when it ends.

use riser_log::archive::Why;
use riser_model::event::SystemEvent;
use riser_shell::storage::Failing;

/// As events name it.
const DISK_FULL: &str = "disk_full";

/// What was told last.
#[derive(Debug, Default)]
pub(crate) struct ArchiveNews {
    failing: Option<Failing>,
}

impl ArchiveNews {
    /// What there is to tell after a step of the archive, which let go of so many seqs, and why, or fails.
    pub(crate) fn of(&mut self, let_go: Option<(u64, Why)>, failing: Option<Failing>) -> Vec<SystemEvent> {
        let before = std::mem::replace(&mut self.failing, failing);
        let gone = let_go.map(|(seqs, why)| {
            let why = if why == Why::Quota { "quota" } else { DISK_FULL };
            SystemEvent::ArchiveLetGo { seqs, why: why.to_owned() }
        });
        let turned = match (before, failing) {
            (None, Some(failing)) => {
                let code = if failing == Failing::DiskFull { DISK_FULL } else { "disk" };
                Some(SystemEvent::ArchiveFailing { code: code.to_owned() })
            }
            (Some(_), None) => Some(SystemEvent::ArchiveRecovered),
            (None, None) | (Some(_), Some(_)) => None,
        };
        gone.into_iter().chain(turned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_fails_is_told_once_and_that_it_is_written_again_too() {
        let mut news = ArchiveNews::default();
        assert_eq!(news.of(None, None), []);
        let failing = SystemEvent::ArchiveFailing { code: "disk_full".to_owned() };
        assert_eq!(news.of(None, Some(Failing::DiskFull)), [failing]);
        let gone = |why: &str| SystemEvent::ArchiveLetGo { seqs: 7, why: why.to_owned() };
        assert_eq!(news.of(Some((7, Why::Disk)), Some(Failing::Disk)), [gone("disk_full")]);
        assert_eq!(news.of(None, Some(Failing::Disk)), []);
        assert_eq!(news.of(None, None), [SystemEvent::ArchiveRecovered]);
        assert_eq!(news.of(Some((7, Why::Quota)), None), [gone("quota")]);
        let failing = SystemEvent::ArchiveFailing { code: "disk".to_owned() };
        assert_eq!(news.of(None, Some(Failing::Disk)), [failing]);
    }
}
