//! The role `forward` as a process, and the commands for destinations.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use engine::{Engine, EngineSettings, Engines, text_table};
use forward::{ForwardSettings, Forwarder, Selection};
use lake::{DestinationSpec, Lake, Lakes, Position, SaslMechanism, Scan, Target};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, AdminFlags};
use crate::lake_flags::{LakeFlags, clock, engines};
use crate::roles::of_lakes;
use crate::shutdown;

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    role: RoleFlags,
}

#[derive(Args, Debug)]
struct RoleFlags {
    #[command(flatten)]
    lake: LakeFlags,

    #[command(flatten)]
    forward: ForwardSettings,

    #[command(flatten)]
    engine: EngineSettings,

    #[command(flatten)]
    admin: AdminFlags,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Add a destination for the events of a site.
    Add(Box<AddFlags>),
    /// Show how far each destination is, and what fails.
    Status(StatusFlags),
    /// Send events again, from a time on, and then go on with new ones.
    From(FromFlags),
    /// Send nothing for now. Nothing is lost.
    Pause(NameFlags),
    /// Go on where a destination was paused.
    Resume(NameFlags),
    /// Remove a destination, and forget how far it was.
    Remove(NameFlags),
}

#[derive(Args, Debug)]
struct AddFlags {
    #[command(flatten)]
    lake: LakeFlags,

    /// A name for it: letters, digits, - and _.
    name: String,

    /// The site whose events are sent.
    #[arg(long, value_name = "ID")]
    site: String,

    /// Post batches of Segment's calls to this address.
    #[arg(long, value_name = "URL", group = "target")]
    webhook: Option<String>,

    /// Send to Google Analytics 4: the measurement id.
    #[arg(long, value_name = "G-…", group = "target")]
    ga4: Option<String>,

    /// Send to Google Analytics 4 by the Data Manager API: the id of the property, which is a number.
    #[arg(long, value_name = "PROPERTY", group = "target", requires_all = ["stream", "secret_variable"])]
    data_manager: Option<String>,

    /// The measurement id of the property's stream.
    #[arg(long, value_name = "G-…", requires = "data_manager")]
    stream: Option<String>,

    /// Send to Meta's Conversions API: the id of the data set, once called a pixel.
    #[arg(long, value_name = "DATASET", group = "target", requires = "token_variable")]
    meta: Option<String>,

    /// The code under which Meta shows events as a test, and does not count them.
    #[arg(long, value_name = "CODE", requires = "meta")]
    test_code: Option<String>,

    /// Insert into a table of PostgreSQL, which is made if it is not there: NAME or SCHEMA.NAME.
    #[arg(long, value_name = "TABLE", group = "target", requires = "secret_variable")]
    postgres: Option<String>,

    /// Append to a topic of Kafka.
    #[arg(long, value_name = "TOPIC", group = "target", requires = "brokers")]
    kafka: Option<String>,

    /// Brokers to begin with: host:port,host:port
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', requires = "kafka")]
    brokers: Vec<String>,

    /// Encrypt connections to Kafka (its `SSL` and `SASL_SSL`), trusting the certificates that this machine trusts.
    #[arg(long, requires = "kafka")]
    tls: bool,

    /// Who signs in to Kafka, with the password of --secret-variable.
    #[arg(long, value_name = "USER", requires_all = ["kafka", "secret_variable"])]
    user: Option<String>,

    /// How he signs in. `plain` sends the password itself, so it needs --tls.
    #[arg(long, value_name = "MECHANISM", requires = "user", default_value = "scram-sha-512")]
    sasl_mechanism: Mechanism,

    /// Write Parquet files by day: a path, or s3://…, gs://… or az://…
    #[arg(long, value_name = "URL", group = "target")]
    files: Option<String>,

    /// The variable of the environment that has the secret: of a webhook's signature, Google's API secret, the key of a Google
    /// service account (the JSON file), PostgreSQL's connection string, Kafka's password. The lake never has the secret
    /// itself.
    #[arg(long, value_name = "NAME")]
    secret_variable: Option<String>,

    /// The variable of the environment that has a token: of a webhook, or Meta's access token.
    #[arg(long, value_name = "NAME")]
    token_variable: Option<String>,

    /// Another address than Google's, for a proxy of one's own.
    #[arg(long, value_name = "URL", requires = "ga4")]
    ga4_url: Option<String>,

    /// The same for the Data Manager API.
    #[arg(long, value_name = "URL", requires = "data_manager")]
    data_manager_url: Option<String>,

    /// Another address than Meta's: what stands before the data set.
    #[arg(long, value_name = "URL", requires = "meta")]
    meta_url: Option<String>,

    /// Only events for which this is true, in SQL: name = 'purchase' AND NOT is_bot
    #[arg(long, value_name = "SQL")]
    filter: Option<String>,

    /// Only events with this property, and true in it.
    #[arg(long, value_name = "PROPERTY")]
    consent: Option<String>,

    /// A field to add to what is sent, and the column or property that it is: properties.plan=properties.plan_name
    #[arg(long = "field", value_name = "PLACE=SOURCE")]
    fields: Vec<String>,

    /// At the most so many events a second.
    #[arg(long, value_name = "N")]
    events_per_second: Option<u32>,
}

#[derive(Args, Debug)]
struct NameFlags {
    #[command(flatten)]
    lake: LakeFlags,

    /// The destination.
    name: String,
}

#[derive(Args, Debug)]
struct StatusFlags {
    #[command(flatten)]
    lake: LakeFlags,

    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct FromFlags {
    #[command(flatten)]
    lake: LakeFlags,

    /// The destination.
    name: String,

    /// Events that happened then or later: 2026-03-01, or 2026-03-01T12:00:00Z.
    time: String,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    match flags.command {
        None => serve(flags.role).await,
        Some(Command::Add(flags)) => add(*flags).await,
        Some(Command::Status(flags)) => status(flags).await,
        Some(Command::From(flags)) => from(flags).await,
        Some(Command::Pause(flags)) => {
            flags.lake.open_existing().await?.pause_destination(&flags.name, true).await?;
            println!("paused {}", flags.name);
            Ok(())
        }
        Some(Command::Resume(flags)) => {
            flags.lake.open_existing().await?.pause_destination(&flags.name, false).await?;
            println!("{} goes on", flags.name);
            Ok(())
        }
        Some(Command::Remove(flags)) => {
            let lakes = flags.lake.lakes_existing().await?;
            lake_of(&lakes, &flags.name).await?.remove_destination(&flags.name).await?;
            println!("removed {}", flags.name);
            Ok(())
        }
    }
}

impl Flags {
    pub(crate) fn ends_by_itself(&self) -> bool {
        self.command.is_some()
    }
}

async fn serve(flags: RoleFlags) -> anyhow::Result<()> {
    let lakes = flags.lake.lakes_for_writing().await?;
    let lake = lakes.main();
    let shutdown = shutdown::on_signal()?;
    admin::start(&flags.admin, lake, shutdown.clone()).await?;
    let engines = engines(&lakes, &flags.engine)?;
    tracing::info!(lake = %lake.url(), "forward is up");
    let main = engines.main().clone();
    let following = follow(engines, flags.forward.clone(), shutdown.clone());
    Forwarder::new(main, flags.forward, std::env::vars().collect(), clock()).run(shutdown).await;
    following.await?;
    Ok(())
}

/// Forwards from the lakes of organisations' own, too.
pub(super) fn follow(engines: Engines, settings: ForwardSettings, stop: CancellationToken) -> JoinHandle<()> {
    of_lakes::follow(engines.lakes().clone(), stop, move |own, stop| {
        let (engines, settings) = (engines.clone(), settings.clone());
        async move {
            let engine = engines.views(Some(&own)).await?.engine().clone();
            let forwarder = Forwarder::new(engine, settings, std::env::vars().collect(), clock());
            Ok(tokio::spawn(forwarder.run(stop)))
        }
    })
}

/// The lake that a destination gets its events from, and that knows how far it is.
async fn lake_of(lakes: &Lakes, destination: &str) -> anyhow::Result<Lake> {
    let destinations = lakes.main().destinations().await?;
    let found = destinations.iter().find(|spec| spec.name == destination);
    let found =
        found.with_context(|| format!("there is no destination {destination}; `dewpond forward status` shows them"))?;
    Ok(lakes.of_site(&found.site_id).await?)
}

async fn add(flags: AddFlags) -> anyhow::Result<()> {
    let lake = flags.lake.open_of_site(Some(&flags.site)).await?;
    let target = flags.target()?;
    let split = |text: &String| text.split_once('=').map(|(place, source)| (place.to_owned(), source.to_owned()));
    let fields: Option<BTreeMap<String, String>> = flags.fields.iter().map(split).collect();
    let spec = DestinationSpec {
        name: flags.name,
        site_id: flags.site.into(),
        created_at: Utc::now(),
        target,
        filter: flags.filter,
        consent: flags.consent,
        fields: fields.context("--field must be PLACE=SOURCE")?,
        events_per_second_max: flags.events_per_second,
        paused: false,
    };
    let engine = Engine::new(lake.clone(), &EngineSettings::default())?;
    Selection::new(&engine, &spec).await.context("the filter is wrong")?;
    // From here on, and not from when a forwarder first sees it.
    let newest = lake.newest_events().await?;
    lake.add_destination(&spec).await?;
    let version = newest.map_or(0, |newest| newest + 1);
    lake.set_cursor(&spec.name, Some(Position { version, ..Position::default() })).await?;
    println!(
        "added {}: events of {} that are published from now on. `dewpond forward from {} TIME` sends earlier ones, too",
        spec.name, spec.site_id, spec.name
    );
    Ok(())
}

/// How somebody signs in to Kafka, in the words of its settings.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mechanism {
    Plain,
    #[value(name = "scram-sha-256")]
    ScramSha256,
    #[value(name = "scram-sha-512")]
    ScramSha512,
}

impl From<Mechanism> for SaslMechanism {
    fn from(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::ScramSha256 => Self::ScramSha256,
            Mechanism::ScramSha512 => Self::ScramSha512,
        }
    }
}

impl AddFlags {
    /// Where to.
    fn target(&self) -> anyhow::Result<Target> {
        let secret = |what: &str| self.secret_variable.clone().with_context(|| format!("{what} is missing"));
        if let Some(url) = self.webhook.clone() {
            let (secret_variable, token_variable) = (self.secret_variable.clone(), self.token_variable.clone());
            return Ok(Target::Webhook { url, secret_variable, token_variable });
        }
        if let Some(measurement_id) = self.ga4.clone() {
            let secret_variable = secret("--secret-variable: where the API secret is")?;
            return Ok(Target::Ga4 { measurement_id, secret_variable, url: self.ga4_url.clone() });
        }
        if let (Some(property_id), Some(measurement_id)) = (self.data_manager.clone(), self.stream.clone()) {
            let key_variable = secret("--secret-variable: where the key of the service account is")?;
            return Ok(Target::DataManager {
                property_id,
                measurement_id,
                key_variable,
                url: self.data_manager_url.clone(),
            });
        }
        if let (Some(dataset_id), Some(token_variable)) = (self.meta.clone(), self.token_variable.clone()) {
            let (test_code, url) = (self.test_code.clone(), self.meta_url.clone());
            return Ok(Target::Meta { dataset_id, token_variable, test_code, url });
        }
        if let Some(table) = self.postgres.clone() {
            return Ok(Target::Postgres {
                url_variable: secret("--secret-variable: where the connection string is")?,
                table,
            });
        }
        if let Some(topic) = self.kafka.clone() {
            let (brokers, user) = (self.brokers.clone(), self.user.clone());
            let password_variable = self.secret_variable.clone().filter(|_| user.is_some());
            let mechanism = self.sasl_mechanism.into();
            if mechanism == SaslMechanism::Plain && !self.tls {
                bail!("--sasl-mechanism plain would send the password for everybody to read: add --tls");
            }
            return Ok(Target::Kafka { brokers, topic, user, password_variable, mechanism, tls: self.tls });
        }
        if let Some(url) = self.files.clone() {
            return Ok(Target::Files { url });
        }
        bail!("say where to: --webhook, --ga4, --data-manager, --meta, --postgres, --kafka or --files")
    }
}

async fn from(flags: FromFlags) -> anyhow::Result<()> {
    let lake = lake_of(&flags.lake.lakes_existing().await?, &flags.name).await?;
    let at = instant::parse(&flags.time).map_err(|unreadable| anyhow::anyhow!("{:?} {unreadable}", flags.time))?;
    let Some(version) = lake.newest_events().await? else { bail!("nothing has been published yet") };
    let scan = Some(Scan::OccurredSince(at.timestamp_micros()));
    lake.set_cursor(&flags.name, Some(Position { version, scan, file: 0, row: 0 })).await?;
    println!("{} gets the events since {at}, and then new ones", flags.name);
    Ok(())
}

async fn status(flags: StatusFlags) -> anyhow::Result<()> {
    let lakes = flags.lake.lakes_existing().await?;
    let mut rows = Vec::new();
    for spec in lakes.main().destinations().await? {
        rows.push(status_of(&lakes.of_site(&spec.site_id).await?, &spec).await?);
    }
    if flags.json {
        let rows: Vec<serde_json::Value> = rows.iter().map(Status::json).collect();
        println!("{}", serde_json::Value::Array(rows));
        return Ok(());
    }
    let header = ["destination", "site", "delivered", "refused", "versions behind", "last delivered", "state"];
    let rows: Vec<Vec<String>> = rows.iter().map(Status::row).collect();
    print!("{}", text_table::render(&header, &rows));
    Ok(())
}

struct Status {
    name: String,
    site_id: String,
    delivered: u64,
    refused: u64,
    behind: u64,
    delivered_at: Option<DateTime<Utc>>,
    state: String,
}

async fn status_of(lake: &Lake, spec: &DestinationSpec) -> anyhow::Result<Status> {
    let cursor = lake.cursor(&spec.name).await?;
    let newest = lake.newest_events().await?.map_or(0, |newest| newest + 1);
    let behind = cursor.position.map_or(0, |position| newest.saturating_sub(position.version));
    let state = match (&cursor.failing, spec.paused, cursor.position.and_then(|position| position.scan)) {
        (_, true, _) => "paused".to_owned(),
        (Some((since, reason)), ..) => format!("failing since {}: {reason}", since.format("%Y-%m-%d %H:%M:%S")),
        (None, _, Some(_)) => "sending earlier events".to_owned(),
        (None, ..) if behind == 0 => "up to date".to_owned(),
        (None, ..) => "behind".to_owned(),
    };
    Ok(Status {
        name: spec.name.clone(),
        site_id: spec.site_id.to_string(),
        delivered: cursor.delivered,
        refused: cursor.refused,
        behind,
        delivered_at: cursor.delivered_at,
        state,
    })
}

impl Status {
    fn row(&self) -> Vec<String> {
        let at = self.delivered_at.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M:%S").to_string());
        let counts = [self.delivered, self.refused, self.behind].map(|count| count.to_string());
        [&[self.name.clone(), self.site_id.clone()][..], &counts, &[at, self.state.clone()]].concat()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "destination": self.name, "site": self.site_id, "delivered": self.delivered, "refused": self.refused,
            "versions_behind": self.behind, "delivered_at": self.delivered_at, "state": self.state,
        })
    }
}
