//! Encryption between coordinators and workers, in which either side proves who it is. What cannot be used is an error at
//! the start; without files, they meet on one machine alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The files of a process. Coordinators and workers have the same three: each connects to workers, and workers accept.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ClusterTls {
    /// Certificate that this process shows to workers and coordinators, its chain behind it, as PEM.
    #[arg(long = "cluster-tls-cert", env = "DEWPOND_CLUSTER_TLS_CERT", value_name = "FILE")]
    certificate: Option<PathBuf>,

    /// The certificate's key, as PEM.
    #[arg(long = "cluster-tls-key", env = "DEWPOND_CLUSTER_TLS_KEY", value_name = "FILE")]
    key: Option<PathBuf>,

    /// Certificates of the authority that must have signed what the others show, as PEM. Whoever has a certificate of it
    /// may run plans on a worker, so let it sign for nothing else.
    #[arg(long = "cluster-tls-ca", env = "DEWPOND_CLUSTER_TLS_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Some of the files were given.
    #[error("--cluster-tls-cert, --cluster-tls-key and --cluster-tls-ca belong together: give all three")]
    Incomplete,
    /// A file cannot be read, or is not PEM.
    #[error("{file} cannot be read as PEM: {reason}")]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate and the key do not fit each other, or are of a kind that cannot be used.
    #[error("the certificate in {certificate} cannot be used with its key and the authority: {reason}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// Both sides of a connection.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) connector: TlsConnector,
}

impl ClusterTls {
    /// Reads the files; `None` if none is given.
    pub(crate) fn read(&self) -> Result<Option<Tls>, TlsError> {
        let (certificate, key, ca) = match (&self.certificate, &self.key, &self.ca) {
            (None, None, None) => return Ok(None),
            (Some(certificate), Some(key), Some(ca)) => (certificate, key, ca),
            _ => return Err(TlsError::Incomplete),
        };
        let (chain, mut authority) = (certificates(certificate)?, RootCertStore::empty());
        for trusted in certificates(ca)? {
            authority.add(trusted).map_err(|error| unreadable(ca, error.to_string()))?;
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error.to_string()))?;
        let unusable = |reason: String| TlsError::Unusable { certificate: certificate.clone(), reason };
        let (provider, authority) = (Arc::new(ring::default_provider()), Arc::new(authority));

        let clients = WebPkiClientVerifier::builder_with_provider(authority.clone(), provider.clone()).build();
        let clients = clients.map_err(|error| unusable(error.to_string()))?;
        let server =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().and_then(
                |builder| builder.with_client_cert_verifier(clients).with_single_cert(chain.clone(), key.clone_key()),
            );
        let mut server = server.map_err(|error| unusable(error.to_string()))?;
        server.alpn_protocols = vec![HTTP_2.to_vec()];

        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_root_certificates(authority).with_client_auth_cert(chain, key));
        let mut client = client.map_err(|error| unusable(error.to_string()))?;
        client.alpn_protocols = vec![HTTP_2.to_vec()];
        Ok(Some(Tls { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() }))
    }
}

const HTTP_2: &[u8] = b"h2";

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| unreadable(file, error.to_string()))?;
    match found.is_empty() {
        true => Err(unreadable(file, "it has no certificate".into())),
        false => Ok(found),
    }
}

fn unreadable(file: &Path, reason: String) -> TlsError {
    TlsError::File { file: file.to_owned(), reason }
}
