//! A role as a process of its own, as an operator runs it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The built binary.
pub const DEWPOND: &str = env!("CARGO_BIN_EXE_dewpond");

/// The directory of the metrics.
pub fn queries_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../queries")
}

/// A running role. Killed with SIGKILL when it is dropped.
pub struct Role {
    child: Child,
    /// The address that each part said it listens on, by the part's name.
    addresses: Vec<(String, String)>,
}

impl Role {
    /// Starts the binary and waits until it says that `part` is up.
    pub async fn start(args: &[&str], env: &[(String, String)], part: &str) -> Self {
        Self::start_under(&[], args, env, part).await
    }

    /// The same, started by another program, which must become the role with `exec`.
    pub async fn start_under(outer: &[&str], args: &[&str], env: &[(String, String)], part: &str) -> Self {
        let mut child = command_under(outer, args, env).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut addresses = Vec::new();
        let up = timeout(Duration::from_secs(60), async {
            let mut log = String::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                log += &format!("{line}\n");
                let Some((said, fields)) = line.split_once(" is up") else { continue };
                let name = said.rsplit(' ').next().unwrap().to_owned();
                let listen = fields.split_whitespace().find_map(|field| field.strip_prefix("listen="));
                addresses.push((name.clone(), listen.unwrap_or_default().to_owned()));
                if name == part {
                    return Ok(());
                }
            }
            Err(log)
        });
        match up.await {
            Ok(Ok(())) => {}
            Ok(Err(log)) => panic!("{args:?} ended before {part} was up:\n{log}"),
            Err(_) => panic!("{args:?} did not say within a minute that {part} is up"),
        }
        // Keep reading: a full pipe would stop the writer.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, addresses }
    }

    /// The URL of a part.
    pub fn url(&self, part: &str) -> String {
        let found = self.addresses.iter().find(|(name, _)| name == part);
        format!("http://{}", found.unwrap_or_else(|| panic!("{part} is not among {:?}", self.addresses)).1)
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// The most memory that the process has taken so far.
    pub fn peak_memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
    }

    /// SIGKILL: no destructor, no flush, nothing.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM; returns the exit status.
    pub async fn stop(mut self) -> std::process::ExitStatus {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        timeout(Duration::from_secs(60), self.child.wait()).await.expect("a role ends within a minute").unwrap()
    }
}

/// Runs the binary to its end. Returns whether it succeeded, its standard output, and its standard error.
pub async fn run(args: &[&str], env: &[(String, String)]) -> (bool, String, String) {
    let output = timeout(Duration::from_secs(120), command(args, env).output()).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// Runs the binary to its end as the child of another program. Returns whether it succeeded and its standard error.
pub async fn run_under(outer: &[&str], args: &[&str]) -> (bool, String) {
    let output = timeout(Duration::from_secs(120), command_under(outer, args, &[]).output()).await;
    let output = output.expect("it ends").unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// Runs the binary to its end, which must be a success, and returns its standard output.
pub async fn run_well(args: &[&str], env: &[(String, String)]) -> String {
    let (succeeded, stdout, stderr) = run(args, env).await;
    assert!(succeeded, "{args:?} failed:\n{stderr}");
    stdout
}

/// Adds a site as an operator does, and returns its write key.
pub async fn add_site(lake: &str, name: &str) -> String {
    let added = run_well(&["site", "add", name, "--lake", lake, "--json"], &[]).await;
    let added: serde_json::Value = serde_json::from_str(&added).unwrap();
    added["write_key"].as_str().unwrap().to_owned()
}

fn command(args: &[&str], env: &[(String, String)]) -> Command {
    command_under(&[], args, env)
}

fn command_under(outer: &[&str], args: &[&str], env: &[(String, String)]) -> Command {
    let words = [outer, &[DEWPOND], args].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).envs(env.iter().cloned()).env("DEWPOND_LOG", "info").kill_on_drop(true);
    command
}
