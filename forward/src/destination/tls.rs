//! What connections to destinations are encrypted with, where no client of HTTP sees to it.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Trusts whom this machine trusts. Fails if that is nobody.
pub(crate) fn client_config() -> anyhow::Result<Arc<ClientConfig>> {
    let (mut roots, found) = (RootCertStore::empty(), rustls_native_certs::load_native_certs());
    for certificate in found.certs {
        // One that cannot be read is in nobody's way.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        bail!("there is no certificate to trust: install ca-certificates, or set SSL_CERT_FILE. {}", why.join("; "));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .context("could not prepare TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
