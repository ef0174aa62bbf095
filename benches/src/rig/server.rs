//! A server under measurement: a child process of this one.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::rig::machine::{self, Usage};

/// A collector drains for 20 seconds and then writes what it has left.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// A running server. Killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pid: u32,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts this program again as a server. It prints its address first.
    pub(crate) async fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args);
        Self::spawn(command).await
    }

    /// Starts another program as a server. It prints its address first, or `{"port":N}`, and ends with its standard
    /// input.
    pub(crate) async fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("could not start a server")?;
        let pid = child.id().context("the server ended at once")?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let said = BufReader::new(stdout).lines().next_line().await?.context("the server printed no address")?;
        let port = || serde_json::from_str::<serde_json::Value>(&said).ok()?["port"].as_u64()?.try_into().ok();
        let address = said.parse().ok().or_else(|| Some(SocketAddr::from(([127, 0, 0, 1], port()?))));
        Ok(Self { child, pid, address: address.context("the server printed no address")? })
    }

    /// What the server and its child processes have used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        machine::usage_of_tree(self.pid)
    }

    /// Lets the server write what it still holds, and waits for it to end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let status = timeout(STOP_WITHIN, self.child.wait()).await.context("the server did not end")??;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }
}
