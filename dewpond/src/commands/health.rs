//! `dewpond health`: asks a role's admin port whether the role is ready. For health checks in images without curl.

use anyhow::bail;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// The role's admin address.
    #[arg(long, env = "DEWPOND_ADMIN_LISTEN", default_value = "127.0.0.1:9090", value_name = "HOST:PORT")]
    admin: String,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    // The port is on this machine or near it, where a proxy from the environment cannot reach it.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let response = client.get(format!("http://{}/readyz", flags.admin)).send().await?;
    let (status, text) = (response.status(), response.text().await?);
    if !status.is_success() {
        bail!("not ready: {}", text.trim());
    }
    println!("{}", text.trim());
    Ok(())
}
