//! Whom the sources may trust, and who the agent is to them.
//!
//! Loading the system's root certificates takes 9 ms and a megabyte, so a host
//! that only scrapes `http://` never does it, and sources with the same
//! certificates share them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::model::{Gap, GapKind, Tls};

/// The configurations that were needed so far, and few: one for each set of
/// certificates.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    known: Mutex<Vec<(Tls, Arc<ClientConfig>)>>,
}

impl Certificates {
    /// The configuration for these certificates, read when first needed.
    ///
    /// # Errors
    ///
    /// A gap that names the file that cannot be used.
    pub(super) fn config(&self, tls: &Tls) -> Result<Arc<ClientConfig>, Gap> {
        let mut known = self.lock();
        if let Some((_, config)) = known.iter().find(|(t, _)| t == tls) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(load(tls)?);
        known.push((tls.clone(), Arc::clone(&config)));
        Ok(config)
    }

    /// Forgets certificates after a TLS failure, so that what was replaced on
    /// disk is read at the next sample.
    pub(super) fn forget(&self, tls: &Tls) {
        if *tls != Tls::default() {
            self.lock().retain(|(t, _)| t != tls);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Tls, Arc<ClientConfig>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(tls: &Tls) -> Result<ClientConfig, Gap> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let builder = match &tls.ca {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(system(provider)?),
    };
    let mut config = match &tls.cert {
        Some(path) => {
            let chain = certificates(path)?;
            let key = key(tls.key.as_ref().unwrap_or(path))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| broken(path, &error))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Whom the system trusts.
fn system(provider: Arc<CryptoProvider>) -> Result<Arc<Verifier>, Gap> {
    Verifier::new(provider)
        .map(Arc::new)
        .map_err(|error| unusable(&error))
}

fn roots(path: &str) -> Result<RootCertStore, Gap> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| broken(path, &error))?;
    }
    Ok(roots)
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, Gap> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| broken(path, &error))?;
    if found.is_empty() {
        return Err(broken(path, &pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn key(path: &str) -> Result<PrivateKeyDer<'static>, Gap> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| broken(path, &error))
}

fn read(path: &str) -> Result<Vec<u8>, Gap> {
    std::fs::read(path)
        .map_err(|error| Gap::new(GapKind::Tls, format!("cannot read {path}: {error}")))
}

fn broken(path: &str, error: &dyn std::error::Error) -> Gap {
    Gap::new(
        GapKind::Tls,
        format!("{path} is no PEM that can be used: {error}"),
    )
}

fn unusable(error: &rustls::Error) -> Gap {
    Gap::new(GapKind::Tls, format!("TLS cannot be set up: {error}"))
}
