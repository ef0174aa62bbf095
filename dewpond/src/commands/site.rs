//! `dewpond site`: adds and lists sites, changes their settings, issues and revokes their write keys.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use clap::Subcommand;
use engine::text_table;
use lake::{IssuedKey, Lake, Site, SiteSettings};
use serde_json::json;

use crate::lake_flags::{self, Output};

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Add a site and print its write key, which is shown only once.
    Add {
        /// The site's name: letters, digits, '.', '_' and '-', for example shop.example.com.
        name: String,
        /// The organisation whose members read and change it, by its id or its name. Without one it is the operator's.
        #[arg(long, value_name = "NAME")]
        organisation: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// List the sites and the prefixes of their write keys.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Change a site's settings, and print all of them.
    Set {
        /// The site.
        name: String,
        /// How long to keep events, counted from the date they happened: whole days such as `400d`, or `forever`. The
        /// compactor removes older events; past reports are kept.
        #[arg(long, value_name = "TIME", value_parser = parse_retention)]
        retention: Option<Retention>,
        /// Give it to an organisation, by its id or its name; `none` makes it the operator's.
        #[arg(long, value_name = "NAME")]
        organisation: Option<String>,
        #[command(flatten)]
        settings: SettingsFlags,
        #[command(flatten)]
        output: Output,
    },
    /// Issue and revoke write keys.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
}

#[derive(Subcommand, Debug)]
enum KeyCommand {
    /// Issue another write key for a site.
    Add {
        /// The site.
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Revoke a write key. Collectors refuse it within ten seconds.
    Revoke {
        /// The site.
        name: String,
        /// The key, or its prefix as `site list` shows it.
        key: String,
        #[command(flatten)]
        output: Output,
    },
}

/// How collectors treat events sent to a site, and how its reports count them. A change takes effect within seconds.
#[derive(clap::Args, Debug)]
struct SettingsFlags {
    /// Accept events without a write key from senders that name one of these: a domain such as shop.example, or a website
    /// id or app id in other protocols. Replaces the list; `none` empties it.
    #[arg(long = "domain", value_name = "NAME", value_delimiter = ',')]
    domains: Option<Vec<String>>,

    /// Accept events only from pages of these origins, such as https://shop.example, https://*.shop.example for all hosts
    /// below, or capacitor://localhost for an app. Replaces the list; `any` empties it.
    #[arg(long = "origin", value_name = "ORIGIN", value_delimiter = ',')]
    origins: Option<Vec<String>>,

    /// Identify visitors without an id by a first-party cookie that lasts 395 days. Needs --origin.
    #[arg(long, value_name = "on|off", value_parser = parse_switch)]
    cookie: Option<bool>,

    /// Tell visitors without an id apart for a day, by a salted hash of address and user agent. On by default.
    #[arg(long, value_name = "on|off", value_parser = parse_switch)]
    cookieless: Option<bool>,

    /// Store no id of visitors whose browser asks not to be tracked (Global Privacy Control, Do Not Track).
    #[arg(long, value_name = "on|off", value_parser = parse_switch)]
    honor_opt_out: Option<bool>,

    /// The most events per second that each key may send to each collector; `none` uses the collector's setting.
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    events_per_second_max: Option<Rate>,

    /// The longest pause within a session, in whole seconds such as `30m`. All of history follows.
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    session_gap: Option<u32>,

    /// How long after its first event a session is split, in whole seconds such as `24h`. All of history follows.
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    session_cap: Option<u32>,

    /// The zone whose days reports of the site count by, such as `Europe/Berlin`. All of history follows.
    #[arg(long, value_name = "NAME", value_parser = parse_time_zone)]
    time_zone: Option<String>,
}

/// Events per second; `None` for the collector's setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate(Option<NonZeroU32>);

fn parse_rate(text: &str) -> Result<Rate, String> {
    match text {
        "none" => Ok(Rate(None)),
        _ => {
            text.parse().map(|rate| Rate(Some(rate))).map_err(|_| "give a number of events per second, or none".into())
        }
    }
}

fn parse_seconds(text: &str) -> Result<u32, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| time.subsec_nanos() == 0);
    let seconds = time.and_then(|time| u32::try_from(time.as_secs()).ok()).filter(|seconds| *seconds > 0);
    seconds.ok_or("give whole seconds, at least one, for example 30m".into())
}

fn parse_time_zone(text: &str) -> Result<String, String> {
    match engine::params::is_time_zone(text) {
        true => Ok(text.to_owned()),
        false => Err("give the name of a time zone, for example Europe/Berlin or UTC".into()),
    }
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match &*text.to_ascii_lowercase() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("give on or off".into()),
    }
}

impl SettingsFlags {
    fn is_empty(&self) -> bool {
        let Self {
            domains,
            origins,
            cookie,
            cookieless,
            honor_opt_out,
            events_per_second_max,
            session_gap,
            session_cap,
            time_zone,
        } = self;
        domains.is_none()
            && origins.is_none()
            && cookie.is_none()
            && cookieless.is_none()
            && honor_opt_out.is_none()
            && events_per_second_max.is_none()
            && session_gap.is_none()
            && session_cap.is_none()
            && time_zone.is_none()
    }

    fn apply(&self, settings: &mut SiteSettings) {
        let list = |flag: &Option<Vec<String>>, nothing: &str, setting: &mut Vec<String>| {
            if let Some(names) = flag {
                *setting = names.iter().filter(|name| !name.eq_ignore_ascii_case(nothing)).cloned().collect();
            }
        };
        list(&self.domains, "none", &mut settings.domains);
        list(&self.origins, "any", &mut settings.origins);
        settings.cookie = self.cookie.unwrap_or(settings.cookie);
        settings.cookieless = self.cookieless.unwrap_or(settings.cookieless);
        settings.honor_opt_out = self.honor_opt_out.unwrap_or(settings.honor_opt_out);
        if let Some(Rate(max)) = self.events_per_second_max {
            settings.events_per_second_max = max;
        }
        settings.session_gap_s = self.session_gap.unwrap_or(settings.session_gap_s);
        settings.session_cap_s = self.session_cap.unwrap_or(settings.session_cap_s);
        if let Some(time_zone) = &self.time_zone {
            settings.time_zone.clone_from(time_zone);
        }
    }
}

/// How many days to keep events; `None` for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retention(Option<u32>);

const RETENTION_DAYS_MIN: f64 = 4.0;

/// A hundred years.
const RETENTION_DAYS_MAX: f64 = 36_500.0;

fn parse_retention(text: &str) -> Result<Retention, String> {
    if text == "forever" {
        return Ok(Retention(None));
    }
    let days = humantime::parse_duration(text).ok().map(|time| time.as_secs_f64() / 86_400.0);
    match days {
        Some(days) if days.fract() != 0.0 => Err("give whole days, for example 400d, or forever".into()),
        // A client may send an event again for three days, and its first copy must still be there then.
        Some(days) if days < RETENTION_DAYS_MIN => {
            Err("give 4 days at least, because clients may send an event again for three days".into())
        }
        Some(days) if days > RETENTION_DAYS_MAX => Err("give 36500d at most; for longer, give forever".into()),
        Some(days) => Ok(Retention(Some(days as u32))),
        None => Err("give days, for example 400d, or forever".into()),
    }
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    match flags.command {
        Command::Add { name, organisation, output } => {
            let lake = output.lake.open_for_writing().await?;
            let organisation = organisation_id(&lake, organisation.as_deref()).await?;
            let settings = SiteSettings::default();
            let issued = lake.add_site_of(&name, organisation.as_deref(), settings, Utc::now()).await?;
            print_key(&issued, output.json);
        }
        Command::List { output } => list(&output.lake.open_existing().await?, output.json).await?,
        Command::Set { name, retention, organisation, settings, output } => {
            set(&name, retention, organisation.as_deref(), &settings, &output).await?;
        }
        Command::Key { command: KeyCommand::Add { name, output } } => {
            let lake = output.lake.open_for_writing().await?;
            print_key(&lake.add_key(&name, Utc::now()).await?, output.json);
        }
        Command::Key { command: KeyCommand::Revoke { name, key, output } } => {
            let revoked = output.lake.open_for_writing().await?.revoke_key(&name, &key, Utc::now()).await?;
            match output.json {
                true => println!("{}", json!({"site_id": name, "revoked": revoked})),
                false => println!("revoked {revoked} key(s) of {name}"),
            }
        }
    }
    Ok(())
}

/// The site with this id.
pub(crate) async fn find(lake: &Lake, site_id: &str) -> anyhow::Result<Arc<Site>> {
    let directory = lake.sites().await?;
    directory
        .site(site_id)
        .cloned()
        .with_context(|| format!("there is no site {site_id}; `dewpond site list` shows all sites"))
}

/// The id of an organisation, of its id or its name; `none` is none.
async fn organisation_id(lake: &Lake, named: Option<&str>) -> anyhow::Result<Option<String>> {
    match named.filter(|named| *named != "none") {
        None => Ok(None),
        Some(named) => lake_flags::organisation_id(lake, named).await.map(Some),
    }
}

async fn set(
    name: &str,
    retention: Option<Retention>,
    organisation: Option<&str>,
    flags: &SettingsFlags,
    output: &Output,
) -> anyhow::Result<()> {
    let lake = output.lake.open_existing().await?;
    lake.probe().await?;
    let given_to = organisation_id(&lake, organisation).await?;
    // Settings first: if they are refused, nothing must have changed.
    if !flags.is_empty() {
        lake.change_site(name, |settings| flags.apply(settings)).await?;
    }
    if let Some(Retention(days)) = retention {
        lake.set_retention(name, days).await?;
    }
    if organisation.is_some() {
        lake.give_site(name, given_to.as_deref()).await?;
    }
    let site = find(&lake, name).await?;
    if output.json {
        let settings = &site.settings;
        println!("{}", json!({"site_id": name, "retention_days": site.retention_days, "settings": settings}));
        return Ok(());
    }
    let on = |setting| if setting { "on" } else { "off" }.to_owned();
    let listed = |names: &[String], nothing: &str| if names.is_empty() { nothing.into() } else { names.join(", ") };
    let settings = &site.settings;
    let time = |seconds: u32| humantime::format_duration(Duration::from_secs(seconds.into())).to_string();
    let rate = settings.events_per_second_max.map_or("the collector's setting".into(), |max| max.to_string());
    let rows = [
        ("retention", site.retention_days.map_or("forever".into(), |days| format!("{days}d"))),
        ("domain", listed(&settings.domains, "none (every sender needs a key)")),
        ("origin", listed(&settings.origins, "any")),
        ("cookie", on(settings.cookie)),
        ("cookieless", on(settings.cookieless)),
        ("honor-opt-out", on(settings.honor_opt_out)),
        ("events-per-second-max", rate),
        ("session-gap", time(settings.session_gap_s)),
        ("session-cap", time(settings.session_cap_s)),
        ("time-zone", settings.time_zone.clone()),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    print!("{}", text_table::render(&["setting", name], &rows));
    Ok(())
}

fn print_key(issued: &IssuedKey, as_json: bool) {
    if as_json {
        println!("{}", json!({"site_id": &*issued.site_id, "write_key": issued.write_key}));
        return;
    }
    println!("site:      {}", issued.site_id);
    println!("write key: {}", issued.write_key);
    println!("Save the key: only its hash is stored, so it cannot be shown again.");
}

async fn list(lake: &Lake, as_json: bool) -> anyhow::Result<()> {
    let directory = lake.sites().await?;
    if as_json {
        let sites: Vec<_> = directory
            .sites()
            .iter()
            .map(|site| {
                let keys: Vec<_> = site
                    .keys
                    .iter()
                    .map(
                        |key| json!({"prefix": key.prefix, "created_at": key.created_at, "revoked_at": key.revoked_at}),
                    )
                    .collect();
                json!({"site_id": &*site.site_id, "created_at": site.created_at, "retention_days": site.retention_days, "settings": site.settings, "keys": keys, "lake": site.lake.as_ref().map(|lake| &lake.url)})
            })
            .collect();
        println!("{}", json!(sites));
        return Ok(());
    }
    let rows = directory
        .sites()
        .iter()
        .map(|site| {
            let keys: Vec<String> = site
                .keys
                .iter()
                .map(|key| format!("{}…{}", key.prefix, if key.revoked_at.is_some() { " (revoked)" } else { "" }))
                .collect();
            let added = site.created_at.format("%Y-%m-%d %H:%M").to_string();
            let kept = site.retention_days.map_or("forever".to_owned(), |days| format!("{days}d"));
            vec![site.site_id.to_string(), added, kept, keys.join(", ")]
        })
        .collect::<Vec<_>>();
    print!("{}", text_table::render(&["site", "added", "kept", "keys"], &rows));
    Ok(())
}
