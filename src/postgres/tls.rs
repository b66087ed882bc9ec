//! TLS for the listening connection, by the words of `sslmode` as libpq means them
//! (PostgreSQL documentation, "Protection Provided in Different Modes") and as the pool's driver reads them.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
};
use sqlx::postgres::PgSslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Why no TLS can be spoken, before anything was sent.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} (of {parameter} in the URL) holds no certificate or key that can be read", .path.display())]
    Pem {
        parameter: &'static str,
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("the certificates (sslrootcert, sslcert, sslkey in the URL) can't be used")]
    Certificates(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("sslcert and sslkey in the URL have to be given together")]
    Half,
}

/// What the URL says of TLS.
#[derive(Debug)]
pub struct TlsOptions {
    pub mode: PgSslMode,
    /// `sslrootcert`; without it the authorities of the web are believed.
    pub root: Option<PathBuf>,
    /// `sslcert`
    pub certificate: Option<PathBuf>,
    /// `sslkey`
    pub key: Option<PathBuf>,
}

impl TlsOptions {
    /// Reads the files that are named.
    pub fn connector(&self) -> Result<MakeRustlsConnect, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let read = |source| pem("sslkey", key, source);
                let key = PrivateKeyDer::from_pem_file(key).map_err(read)?;
                config.with_client_auth_cert(certificates("sslcert", certificate)?, key).map_err(unusable)?
            }
            (None, None) => config.with_no_client_auth(),
            _ => return Err(TlsError::Half),
        };
        Ok(MakeRustlsConnect::new(config))
    }

    /// Whom to believe. Short of verify-ca a server may be anybody: these modes ask for secrecy and not for identity.
    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        let by_name = match self.mode {
            PgSslMode::VerifyCa => false,
            PgSslMode::VerifyFull => true,
            _ => return Ok(Arc::new(Anybody(Arc::clone(provider)))),
        };
        let mut roots = RootCertStore::empty();
        match &self.root {
            Some(path) => {
                for certificate in certificates("sslrootcert", path)? {
                    roots.add(certificate).map_err(unusable)?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
        let verifier = verifier.map_err(unusable)?;
        Ok(if by_name { verifier } else { Arc::new(AnyName(verifier)) })
    }
}

fn certificates(parameter: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    found.map_err(|source| pem(parameter, path, source))
}

fn pem(parameter: &'static str, path: &Path, source: pem::Error) -> TlsError {
    TlsError::Pem { parameter, path: path.to_path_buf(), source }
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> TlsError {
    TlsError::Certificates(Box::new(error))
}

/// `require` and below.
struct Anybody(Arc<CryptoProvider>);

/// `verify-ca`
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl fmt::Debug for Anybody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Anybody")
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(certificate, between, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            answer => answer,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
