//! Certificates by which a Redis is believed to be ours, where it has one of a private authority.

use std::{fmt, path::Path};

use redis::TlsCertificates;
use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject},
    },
};

/// Why a file of certificates is of no use.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    #[error("the file can't be read")]
    Read(#[source] std::io::Error),
    #[error("the file is no PEM")]
    Pem(#[source] pem::Error),
    #[error(
        "the file holds no certificate; it takes those of the authorities that signed the certificate of Redis, as PEM"
    )]
    Empty,
    #[error("the file holds a certificate that no authority can have")]
    Unusable(#[source] rustls::Error),
}

/// At least one certificate, as PEM.
#[derive(Clone)]
pub struct Authorities(Vec<u8>);

impl Authorities {
    /// Reads and checks the file.
    pub fn read(path: &Path) -> Result<Self, AuthoritiesError> {
        let pem = std::fs::read(path).map_err(AuthoritiesError::Read)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.map_err(AuthoritiesError::Pem)?).map_err(AuthoritiesError::Unusable)?;
        }
        if roots.is_empty() {
            return Err(AuthoritiesError::Empty);
        }
        Ok(Self(pem))
    }

    pub(super) fn certificates(&self) -> TlsCertificates {
        TlsCertificates { client_tls: None, root_cert: Some(self.0.clone()) }
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorities")
    }
}
