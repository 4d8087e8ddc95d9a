//! An edge as a process of its own, so that a kill is SIGKILL and nothing politer.

use anyhow::Context;
use std::{path::PathBuf, process::Stdio};
use tokio::process::{Child, Command};

/// An edge process that can be killed and started again on the same folder.
pub struct EdgeProcess {
    config: PathBuf,
    child: Option<Child>,
}

impl EdgeProcess {
    /// An edge with this configuration file, which does not run yet.
    pub fn new(config: PathBuf) -> Self {
        Self { config, child: None }
    }

    /// Starts it, if it does not run.
    pub fn start(&mut self) -> anyhow::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let program = std::env::current_exe().context("find the demo's own binary")?;
        let child = Command::new(program)
            .arg(crate::EDGE_COMMAND)
            .arg(&self.config)
            // Its end tells the child that the demo is gone, however it went.
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start an edge process")?;
        self.child = Some(child);
        Ok(())
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("kill an edge process")?;
        }
        Ok(())
    }

    /// Whether its process lives.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }
}
