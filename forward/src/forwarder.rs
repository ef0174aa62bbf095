//! Follows the events for all destinations in the registry, as they are added, changed and removed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use engine::Engine;
use lake::{DestinationSpec, Target};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::destination::Destination;
use crate::destination::data_manager::DataManager;
use crate::destination::files::Files;
use crate::destination::ga4::Ga4;
use crate::destination::kafka::Kafka;
use crate::destination::meta::Meta;
use crate::destination::postgres::Postgres;
use crate::destination::webhook::Webhook;
use crate::follower::Follower;
use crate::selection::Selection;
use crate::settings::ForwardSettings;

/// How often the registry is asked for destinations.
const REGISTRY_EVERY: Duration = Duration::from_secs(5);

/// Forwards the events of the sites that lie in one lake.
pub struct Forwarder {
    engine: Engine,
    settings: ForwardSettings,
    clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    environment: HashMap<String, String>,
}

struct Running {
    spec: DestinationSpec,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Forwarder {
    /// A forwarder for the engine's lake.
    ///
    /// - `environment`: the variables that have the secrets of destinations, and settings of object stores.
    pub fn new(
        engine: Engine,
        settings: ForwardSettings,
        environment: HashMap<String, String>,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ) -> Self {
        Self { engine, settings, clock, environment }
    }

    /// Forwards until it is stopped. What was being sent is finished first.
    pub async fn run(self, stop: CancellationToken) {
        let mut running: HashMap<String, Running> = HashMap::new();
        while !stop.is_cancelled() {
            match self.engine.lake().destinations_here().await {
                Ok(specs) => self.follow(specs, &mut running).await,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "could not read the destinations; trying again"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(REGISTRY_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
        for Running { stop, .. } in running.values() {
            stop.cancel();
        }
        for Running { task, .. } in running.into_values() {
            let _ = task.await;
        }
    }

    async fn follow(&self, specs: Vec<DestinationSpec>, running: &mut HashMap<String, Running>) {
        let wanted: HashMap<&str, &DestinationSpec> =
            specs.iter().filter(|spec| !spec.paused).map(|spec| (spec.name.as_str(), spec)).collect();
        let over: Vec<String> = running
            .iter()
            .filter(|(name, running)| wanted.get(name.as_str()).is_none_or(|spec| **spec != running.spec))
            .map(|(name, _)| name.clone())
            .collect();
        for name in over {
            if let Some(Running { stop, task, .. }) = running.remove(&name) {
                stop.cancel();
                let _ = task.await;
                tracing::info!(destination = name, "stopped forwarding");
            }
        }
        for (name, spec) in wanted {
            if running.contains_key(name) {
                continue;
            }
            match self.start(spec).await {
                Ok(started) => {
                    tracing::info!(destination = name, site = %spec.site_id, "forwarding");
                    running.insert(name.to_owned(), started);
                }
                Err(error) => {
                    tracing::warn!(destination = name, error = format!("{error:#}"), "cannot forward to a destination");
                }
            }
        }
    }

    async fn start(&self, spec: &DestinationSpec) -> anyhow::Result<Running> {
        let stop = CancellationToken::new();
        let follower = Follower {
            lake: self.engine.lake().clone(),
            destination: self.destination(&spec.target)?,
            selection: Selection::new(&self.engine, spec).await.context("its filter is wrong")?,
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            stop: stop.clone(),
            spec: spec.clone(),
        };
        Ok(Running { spec: spec.clone(), stop, task: tokio::spawn(follower.run()) })
    }

    fn destination(&self, target: &Target) -> anyhow::Result<Arc<dyn Destination>> {
        let secret = |variable: &str| {
            let value = self.environment.get(variable).filter(|value| !value.is_empty());
            value.cloned().with_context(|| format!("its secret is not set: set the variable {variable}"))
        };
        let optional = |variable: &Option<String>| variable.as_deref().map(secret).transpose();
        Ok(match target {
            Target::Webhook { url, secret_variable, token_variable } => {
                Arc::new(Webhook::new(url, optional(secret_variable)?, optional(token_variable)?)?)
            }
            Target::Ga4 { measurement_id, secret_variable, url } => {
                Arc::new(Ga4::new(measurement_id, &secret(secret_variable)?, url.as_deref(), self.clock.clone())?)
            }
            Target::DataManager { property_id, measurement_id, key_variable, url } => {
                let (key, clock) = (secret(key_variable)?, self.clock.clone());
                Arc::new(DataManager::new(property_id, measurement_id, &key, url.as_deref(), clock)?)
            }
            Target::Meta { dataset_id, token_variable, test_code, url } => {
                let (token, clock) = (secret(token_variable)?, self.clock.clone());
                Arc::new(Meta::new(dataset_id, token, test_code.clone(), url.as_deref(), clock)?)
            }
            Target::Postgres { url_variable, table } => Arc::new(Postgres::new(&secret(url_variable)?, table)?),
            Target::Kafka { brokers, topic, user, password_variable, mechanism, tls } => {
                let sign_in = user.clone().zip(optional(password_variable)?);
                Arc::new(Kafka::new(brokers, topic, sign_in, *mechanism, *tls)?)
            }
            Target::Files { url } => Arc::new(Files::new(url, &self.environment)?),
        })
    }
}
