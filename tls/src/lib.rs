//! TLS of agent, operator and `tetra`. One provider of cryptography, ring, named each time, so that nothing
//! depends on who installs a default first.

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod server;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Who does the cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The certificates of a PEM text.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .context("a certificate cannot be read")?;
    ensure!(!all.is_empty(), "there is no certificate in it; right would be PEM");
    Ok(all)
}

/// Adds the authorities of a PEM text to those that are trusted.
pub fn add_authorities(to: &mut RootCertStore, pem: &[u8]) -> Result<()> {
    for certificate in certificates(pem)? {
        to.add(certificate).context("a certificate cannot be used")?;
    }
    Ok(())
}

/// The first private key of a PEM text.
pub fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).context("there is no private key in it; right would be PEM")
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))
}
