//! A file system of one program's own: XFS in a file, mounted through a loop device. It can lose its power and
//! it can be full.
//!
//! Power loss is `xfs_io -x -c shutdown`: nothing that was not synced reaches the image, the journal included.
//! Whoever writes must be stopped before, thread by thread, or a sync that is under way races the shutdown.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use riser_integration::program::wait;

/// XFS refuses to be smaller than 300 MiB.
const BYTES: u64 = 640 << 20;
/// How long a file system may stay busy after its last user was killed.
const FREE_WITHIN: Duration = Duration::from_secs(20);

/// A mounted disk. It goes when dropped.
pub struct Disk {
    mount: PathBuf,
    image: PathBuf,
}

impl Disk {
    /// Makes one and mounts it.
    pub fn make(mount: &Path) -> anyhow::Result<Self> {
        let image = mount.with_extension("xfs");
        fs::create_dir_all(mount)?;
        fs::File::create(&image)?.set_len(BYTES)?;
        run(Command::new("mkfs.xfs").arg("-q").arg(&image))?;
        let disk = Self { mount: mount.to_owned(), image };
        // A namespace that another process makes meanwhile would keep the mount busy: ours are shared, so that
        // unmounting reaches it too.
        run(Command::new("mount").arg("--bind").arg(mount).arg(mount))?;
        run(Command::new("mount").arg("--make-shared").arg(mount))?;
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> anyhow::Result<()> {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount))
    }

    /// Everything on it is durable from here on.
    pub fn sync(&self) -> anyhow::Result<()> {
        run(Command::new("sync").arg("--file-system").arg(&self.mount))
    }

    /// The power goes. Whoever writes must be stopped.
    pub fn lose_power(&self) -> anyhow::Result<()> {
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.mount))
    }

    /// The power comes back. Whoever wrote must be gone.
    pub fn restore_power(&self) -> anyhow::Result<()> {
        let unmount = || run(Command::new("umount").arg(&self.mount)).ok();
        wait(FREE_WITHIN, unmount).with_context(|| format!("{} stays busy", self.mount.display()))?;
        self.mount()?;
        let probe = self.mount.join(".probe");
        // A file system that something else kept alive would still be shut down.
        fs::write(&probe, b"x").context("the file system did not come back with its power")?;
        fs::remove_file(&probe)?;
        Ok(())
    }

    /// Takes all room but so many bytes.
    pub fn fill(&self, free: u64) -> anyhow::Result<()> {
        let stat = rustix::fs::statvfs(&self.mount).context("ask for free room")?;
        let take = (stat.f_bavail * stat.f_frsize).saturating_sub(free);
        ensure!(take > 0, "there is no room to take");
        run(Command::new("fallocate").args(["--length", &take.to_string()]).arg(self.ballast()))
    }

    /// Gives the room back.
    pub fn clear(&self) -> anyhow::Result<()> {
        match fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("clear a disk"),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.mount.join(".ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The file system, and the binding below it.
        for _ in 0..2 {
            let _ = Command::new("umount").arg("--lazy").arg("--quiet").arg(&self.mount).status();
        }
    }
}

/// Stops every thread of a process, and returns when none runs any more.
pub fn stop_all_threads(pid: u32) -> anyhow::Result<()> {
    const STOPS_WITHIN: Duration = Duration::from_secs(20);
    let raw = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).context("a pid")?;
    rustix::process::kill_process(raw, rustix::process::Signal::STOP).context("stop a process")?;
    let stopped = || are_stopped(pid).ok().filter(|stopped| *stopped).map(|_| ());
    wait(STOPS_WITHIN, stopped).with_context(|| format!("process {pid} does not stop"))
}

fn are_stopped(pid: u32) -> anyhow::Result<bool> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("stat"))?;
        // The name before it is in brackets, and may hold anything.
        let (_, rest) = stat.rsplit_once(')').context("a stat without a name")?;
        if !matches!(rest.split_whitespace().next(), Some("T" | "t" | "Z")) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Runs a command to its end; what it said is in the error.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
