//! TLS from PEM files: ring is the one provider, TLS 1.2 and 1.3 its versions.

use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, UnixTime,
    pem::{self, PemObject},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Where systems keep the certificate authorities that they believe.
pub const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsFailed {
    /// A file could not be read, or holds no PEM of the kind that is wanted.
    #[error("read {what} from {path}: {source}; want a PEM file with {what}")]
    File {
        /// What was wanted of it.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// A file has no certificate in it.
    #[error("read certificates from {0}: there is none; want at least one CERTIFICATE section")]
    Empty(PathBuf),
    /// The certificate and the key are of no use together.
    #[error("use the certificate of {path}: {source}; want the leaf first and the key that belongs to it")]
    Unfit {
        /// Which certificate.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// The protocol versions are not offered by the provider: a build without them.
    #[error("set up tls: {0}")]
    Provider(rustls::Error),
}

/// Whom a client takes for the server.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Whoever shows a certificate that one of these roots vouches for, for the name in the address.
    Roots(RootCertStore),
    /// Exactly these certificates, whatever name and date they bear.
    Pinned(Vec<CertificateDer<'static>>),
}

impl Trust {
    /// Trusts the certificates in a PEM file as roots.
    pub fn roots(path: &Path) -> Result<Self, TlsFailed> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            let added = roots.add(certificate);
            added.map_err(|source| TlsFailed::Unfit { path: path.into(), source })?;
        }
        Ok(Self::Roots(roots))
    }

    /// Trusts exactly the certificates in a PEM file.
    pub fn pinned(path: &Path) -> Result<Self, TlsFailed> {
        Ok(Self::Pinned(certificates(path)?))
    }
}

/// A server's side of TLS from its certificate chain (leaf first) and its key.
pub fn server(chain: &Path, key: &Path) -> Result<TlsAcceptor, TlsFailed> {
    let certificates = certificates(chain)?;
    server_from(certificates, private(key)?).map_err(|source| TlsFailed::Unfit { path: chain.into(), source })
}

/// The same, for peers that may show a certificate which one of these authorities vouches for. Who shows none is asked for
/// a credential; who shows one that is not in order is turned away in the handshake.
pub fn server_for_clients(chain: &Path, key: &Path, authorities: &Path) -> Result<TlsAcceptor, TlsFailed> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authorities)? {
        let added = roots.add(certificate);
        added.map_err(|source| TlsFailed::Unfit { path: authorities.into(), source })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = verifier.allow_unauthenticated().build();
    let verifier =
        verifier.map_err(|error| TlsFailed::Provider(rustls::Error::General(error.to_string())))?;
    let (certificates, private) = (certificates(chain)?, private(key)?);
    with_clients(certificates, private, verifier)
        .map_err(|source| TlsFailed::Unfit { path: chain.into(), source })
}

/// A server's side of TLS from what is in memory already.
pub fn server_from(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, rustls::Error> {
    with_clients(chain, key, WebPkiClientVerifier::no_client_auth())
}

fn with_clients(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<TlsAcceptor, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    // No resumption state: 10,000 sensors' tickets are memory, and links must derive their keys anew.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A client's side of TLS.
pub fn client(trust: Trust) -> Result<TlsConnector, TlsFailed> {
    client_config(trust).map(TlsConnector::from)
}

/// The same, for who brings sockets of its own.
pub fn client_config(trust: Trust) -> Result<Arc<ClientConfig>, TlsFailed> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsFailed::Provider)?;
    let mut config = match trust {
        Trust::Roots(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
        Trust::Pinned(certificates) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { certificates, provider }))
            .with_no_client_auth(),
    };
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn private(key: &Path) -> Result<PrivateKeyDer<'static>, TlsFailed> {
    PrivateKeyDer::from_pem_file(key).map_err(|source| file("a private key", key, source))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFailed> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().map_err(|source| file("certificates", path, source))?;
    if certificates.is_empty() { Err(TlsFailed::Empty(path.into())) } else { Ok(certificates) }
}

fn file(what: &'static str, path: &Path, source: pem::Error) -> TlsFailed {
    TlsFailed::File { what, path: path.into(), source }
}

/// Compares the certificate itself; the handshake still proves that the server has its key.
#[derive(Debug)]
struct Pinned {
    certificates: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificates.iter().any(|pinned| pinned == end_entity) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
