//! The open-file limit, raised by the program itself: one connection is one file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// How many files may be open. None means without a bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenFiles {
    /// Before.
    pub before: Option<u64>,
    /// From here on.
    pub after: Option<u64>,
}

impl OpenFiles {
    /// Whether so many connections fit, with some files left for everything else.
    pub fn covers(&self, connections: usize) -> bool {
        const OTHERS: u64 = 128;
        self.after.is_none_or(|after| {
            after >= u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS)
        })
    }
}

/// Raises the soft limit to the hard one, which is as far as an ordinary process may go.
pub fn raise() -> io::Result<OpenFiles> {
    let Rlimit { current: before, maximum } = getrlimit(Resource::Nofile);
    if before != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(OpenFiles { before, after: getrlimit(Resource::Nofile).current })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_allowed() {
        let files = raise().unwrap();
        assert_eq!(files.after, getrlimit(Resource::Nofile).maximum);
        assert_eq!(raise().unwrap().before, files.after);
    }

    #[test]
    fn a_limit_covers_connections_and_a_few_files_more() {
        let files = |after| OpenFiles { before: None, after };
        assert!(files(None).covers(usize::MAX));
        assert!(files(Some(10_128)).covers(10_000) && !files(Some(10_127)).covers(10_000));
    }
}
