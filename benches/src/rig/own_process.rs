//! Runs work in a process of its own, so that its memory figure excludes what was allocated before.

use std::ffi::OsStr;
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use tokio::process::Command;

/// Runs this program with other arguments. Returns its output, parsed as JSON.
pub(crate) async fn ask<T: DeserializeOwned>(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<T> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args);
    answer(command).await
}

/// Runs a program. Returns its output, parsed as JSON.
pub(crate) async fn answer<T: DeserializeOwned>(mut command: Command) -> anyhow::Result<T> {
    // Its output() would take the errors, too, and say nothing of them.
    let child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true).spawn()?;
    let child = child.wait_with_output().await?;
    ensure!(child.status.success(), "the process of the measurement ended with {}", child.status);
    serde_json::from_slice(&child.stdout).context("the process of the measurement said something else than its figures")
}
