//! How this server is found, and whom it reaches: browsers by its address, people by e-mail, companies that say who their
//! people are.

use std::path::PathBuf;

use schedule::Cron;

use crate::mail::settings::{MailFrom, PublicUrl, SmtpUrl};
use crate::mail::smtp::Smtp;
use crate::providers::Providers;

/// Settings of what reaches beyond this server.
#[derive(clap::Args, Clone, Debug)]
pub struct OutwardSettings {
    /// Where browsers find this server, such as https://stats.example.com: for links in e-mails, and for signing in with a
    /// company.
    #[arg(long, env = "DEWPOND_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// Send reports by e-mail through this server: smtps://USER:PASSWORD@HOST, or smtp://… with STARTTLS, which is required
    /// where there is a password unless ?tls=none. Use the variable, so that the password is not in the list of processes.
    #[arg(
        long,
        env = "DEWPOND_SMTP_URL",
        hide_env_values = true,
        value_name = "URL",
        requires = "smtp_from",
        requires = "public_url"
    )]
    pub smtp_url: Option<SmtpUrl>,

    /// Whom e-mails are from: reports@example.com, or "Dewpond <reports@example.com>".
    #[arg(long, env = "DEWPOND_SMTP_FROM", value_name = "ADDRESS")]
    pub smtp_from: Option<MailFrom>,

    /// When to look which reports are to be sent by e-mail: a cron in UTC, as --report-cron has it.
    #[arg(long, env = "DEWPOND_EMAIL_CRON", default_value = "30 */5 * * * *", value_name = "CRON")]
    pub email_cron: Cron,

    /// A file that says with which companies people may sign in, and what they become then.
    #[arg(long, env = "DEWPOND_SIGN_IN_PROVIDERS", value_name = "FILE", requires = "public_url")]
    pub sign_in_providers: Option<PathBuf>,
}

/// What reaches beyond this server, ready for use.
#[derive(Default)]
pub struct Outward {
    pub(crate) public_url: Option<PublicUrl>,
    pub(crate) smtp: Option<Smtp>,
    pub(crate) providers: Providers,
}

impl OutwardSettings {
    /// Reads what the settings name.
    ///
    /// - `variable`: a variable of the environment.
    ///
    /// Fails with words for whoever runs this server.
    pub fn open(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Outward, String> {
        let smtp = match (&self.smtp_url, &self.smtp_from) {
            (Some(url), Some(from)) => Some(Smtp::new(url, from)?),
            _ => None,
        };
        let providers = match &self.sign_in_providers {
            Some(file) => Providers::read(file, variable)?,
            None => Providers::default(),
        };
        Ok(Outward { public_url: self.public_url.clone(), smtp, providers })
    }
}
