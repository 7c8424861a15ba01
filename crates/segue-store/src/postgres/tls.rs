//! TLS to the server: always verified, never half.
//!
//! `sslmode=prefer`, the default, uses TLS where the server offers it; `require` insists; `disable` does
//! without. Whenever TLS is used the certificate must be of a trusted authority and name the host, unlike
//! libpq, which verifies only when it is told to.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{OpenError, Refusal, Settings};

/// What makes connections to the server secure.
pub(super) fn connector(settings: &Settings) -> Result<MakeRustlsConnect, OpenError> {
    let authorities = match settings.tls_ca() {
        Some(file) => read(file).map_err(|reason| {
            let path = file.display().to_string();
            OpenError::new(settings, Refusal::Authority { path, reason })
        })?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3")
        .with_root_certificates(authorities)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn read(file: &Path) -> Result<RootCertStore, String> {
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        authorities.add(certificate).map_err(|error| error.to_string())?;
    }
    if authorities.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    Ok(authorities)
}
