//! Companies that say who their people are, by OpenID Connect.
//!
//! | File | Question |
//! |---|---|
//! | `settings` | which companies, and what their people become here |
//! | `exchange` | how one is asked, and what of its answer is believed |

pub(crate) mod exchange;
pub(crate) mod settings;

use std::path::Path;
use std::sync::Arc;

use self::exchange::{Exchange, ExchangeError};
use self::settings::Provider;

/// The companies with which people may sign in.
#[derive(Default)]
pub(crate) struct Providers(Vec<Arc<Exchange>>);

impl Providers {
    /// Reads the file that says them.
    ///
    /// - `variable`: a variable of the environment.
    ///
    /// Fails with words for whoever wrote it.
    pub(crate) fn read(file: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let name = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| format!("could not read {name}: {error}"))?;
        let providers = settings::parse(&text, variable, |path| {
            // A path in the file is seen from there.
            let path = file.parent().unwrap_or(Path::new(".")).join(path);
            std::fs::read_to_string(&path).map_err(|error| format!("could not read {}: {error}", path.display()))
        });
        let providers = providers.map_err(|reason| format!("{name}: {reason}"))?;
        let ready = providers.into_iter().map(|provider| Ok(Arc::new(Exchange::new(provider)?)));
        ready.collect::<Result<_, ExchangeError>>().map(Self).map_err(|error| format!("{name}: {error}"))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.0.iter().map(|exchange| &exchange.provider)
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Arc<Exchange>> {
        self.0.iter().find(|exchange| exchange.provider.id == id)
    }
}
