//! Faults in system calls as timelines name them (strace's words), as faults of a simulated disk.

use crate::disk::{Call, Ill, Injection};
use riser_log::fault::Failure;
use std::time::Duration;

/// `fdatasync:error=EIO:when=20` and its like. None: nothing here stands for that.
pub fn injection(fault: &str) -> Option<Injection> {
    let mut words = fault.split(':');
    let call = match words.next()? {
        "fdatasync" => Call::Sync,
        "pwrite64" => Call::Write,
        _ => return None,
    };
    let ill = match words.next()?.split_once('=')? {
        ("error", "EIO") => Ill::Fails(Failure::Io),
        ("error", "ENOSPC") => Ill::Fails(Failure::Full),
        ("signal", "KILL") => Ill::Dies,
        ("delay_enter", micros) => Ill::Takes(Duration::from_micros(micros.parse().ok()?)),
        ("retval", "0") => Ill::Lies,
        _ => return None,
    };
    let when = words.next()?.strip_prefix("when=")?;
    if words.next().is_some() {
        return None;
    }
    let (first, last) = match (when.strip_suffix('+'), when.split_once("..")) {
        (Some(first), _) => (first.parse().ok()?, u64::MAX),
        (None, Some((first, last))) => (first.parse().ok()?, last.parse().ok()?),
        (None, None) => (when.parse().ok()?, when.parse().ok()?),
    };
    Some(Injection { call, first, last, ill })
}

/// Whether a process may end by it.
pub fn ends(injection: &Injection) -> bool {
    injection.ill == Ill::Dies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strace_would_do_is_read_and_what_no_disk_here_does_is_not() {
        let read = |call, first, last, ill| Some(Injection { call, first, last, ill });
        for (fault, want) in [
            ("fdatasync:error=EIO:when=20", read(Call::Sync, 20, 20, Ill::Fails(Failure::Io))),
            ("pwrite64:error=ENOSPC:when=30..60", read(Call::Write, 30, 60, Ill::Fails(Failure::Full))),
            ("fdatasync:signal=KILL:when=7", read(Call::Sync, 7, 7, Ill::Dies)),
            ("fdatasync:retval=0:when=1+", read(Call::Sync, 1, u64::MAX, Ill::Lies)),
            (
                "fdatasync:delay_enter=200000:when=5+",
                read(Call::Sync, 5, u64::MAX, Ill::Takes(Duration::from_millis(200))),
            ),
            ("openat:error=EMFILE:when=3", None),
            ("fdatasync:error=EINTR:when=3", None),
            ("fdatasync:error=EIO", None),
        ] {
            assert_eq!(injection(fault), want, "{fault}");
        }
    }
}
