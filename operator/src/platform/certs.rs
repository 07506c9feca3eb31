//! The webhook's certificates. The leader makes them and keeps them in a Secret ([`keeper`]), every
//! replica serves what the Secret holds ([`served`]), and the API server is told whom to trust.
//!
//! ```text
//! tls.crt, tls.key    what is served
//! next.crt, next.key  what will be served once every API server trusts it (while rotating)
//! ca.crt              authorities of both, or of what is served and what was
//! ```
//!
//! Each certificate has an authority of its own, whose key is thrown away once it has signed: there
//! is nothing to steal that could sign more.

pub mod keeper;
pub mod served;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use tetragon_tls::provider;

use crate::config::Host;

/// How long a certificate is good for.
pub const LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Certificates begin this long before they are made: clocks of API servers may be behind.
const BEFORE: Duration = Duration::from_secs(24 * 3600);

/// Makes it the process's, which the client of the API server asks for.
pub fn install_provider() {
    // An error says that one is installed already, and there is only this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A certificate with its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key does not belong into a log.
        f.write_str("Pair")
    }
}

impl Pair {
    /// As the TLS server takes it. `Err`: it is damaged, or the key is another certificate's.
    pub fn certified(&self) -> Result<CertifiedKey> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .context("the certificate is no PEM")?;
        if chain.is_empty() {
            bail!("it has no certificate");
        }
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).context("the key is no PEM")?;
        CertifiedKey::from_der(chain, key, &provider()).context("the key does not fit the certificate")
    }
}

/// What the Secret holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certs {
    /// What is served.
    pub pair: Pair,
    /// What will be.
    pub next: Option<Pair>,
    /// Authorities, the newest first, in PEM.
    pub authorities: Vec<String>,
}

const TLS_CRT: &str = "tls.crt";
const TLS_KEY: &str = "tls.key";
const NEXT_CRT: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const CA_CRT: &str = "ca.crt";

impl Certs {
    /// Reads what a Secret holds. `Err`: something in it is damaged.
    pub fn read(data: &BTreeMap<String, ByteString>) -> Result<Certs> {
        let may = |key: &str| match data.get(key) {
            Some(bytes) => {
                String::from_utf8(bytes.0.clone()).map(Some).with_context(|| format!("{key} is no text"))
            }
            None => Ok(None),
        };
        let must = |key: &str| may(key)?.with_context(|| format!("{key} is missing"));
        let pair = Pair { certificate: must(TLS_CRT)?, key: must(TLS_KEY)? };
        pair.certified().context(TLS_CRT)?;
        let next = match (may(NEXT_CRT)?, may(NEXT_KEY)?) {
            (Some(certificate), Some(key)) => Some(Pair { certificate, key }),
            _ => None,
        };
        if let Some(next) = &next {
            next.certified().context(NEXT_CRT)?;
        }
        let authorities = split_pem(&must(CA_CRT)?).context(CA_CRT)?;
        Ok(Certs { pair, next, authorities })
    }

    /// What the Secret is to hold.
    pub fn data(&self) -> BTreeMap<String, ByteString> {
        let mut data = vec![
            (TLS_CRT, self.pair.certificate.clone()),
            (TLS_KEY, self.pair.key.clone()),
            (CA_CRT, self.bundle()),
        ];
        if let Some(next) = &self.next {
            data.extend([(NEXT_CRT, next.certificate.clone()), (NEXT_KEY, next.key.clone())]);
        }
        data.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes()))).collect()
    }

    /// What API servers are to trust.
    pub fn bundle(&self) -> String {
        self.authorities.concat()
    }

    /// When clients stop to accept what is served, to the second; `None`: they do not accept it now.
    /// (Asked of the verifier by halving: that needs no reader of certificates.)
    pub fn ends(&self, host: &Host, now: SystemTime) -> Option<SystemTime> {
        if !self.accepts(&self.pair, host, now) {
            return None;
        }
        let (mut good, mut bad) = (Duration::ZERO, 2 * LIFE);
        while bad - good > Duration::from_secs(1) {
            let middle = good + (bad - good) / 2;
            if self.accepts(&self.pair, host, now + middle) { good = middle } else { bad = middle }
        }
        Some(now + good)
    }

    /// A client that trusts the authorities accepts `pair` at that time, under that name.
    fn accepts(&self, pair: &Pair, host: &Host, at: SystemTime) -> bool {
        let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).unwrap_or_default());
        let check = || -> Result<()> {
            let mut roots = RootCertStore::empty();
            for authority in &self.authorities {
                roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
            }
            let client = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
            let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes())?;
            client.verify_server_cert(&certificate, &[], &host.server()?, &[], at)?;
            Ok(())
        };
        check().is_ok()
    }
}

/// What is to be done about the certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// They are good for a while.
    Keep,
    /// There are none that work: new ones at once.
    Replace,
    /// They end soon: new ones beside them, not served yet.
    Prepare,
    /// The new ones are known to the API servers: serve them.
    Promote,
}

/// Decides. `published`: API servers have had the time to learn of the present authorities.
pub fn step(certs: Option<&Certs>, host: &Host, now: SystemTime, life: Duration, published: bool) -> Step {
    let Some(certs) = certs.filter(|c| c.accepts(&c.pair, host, now)) else { return Step::Replace };
    // Before a third of the life is left.
    let soon = now + life / 3;
    match &certs.next {
        Some(next) if !certs.accepts(next, host, soon) => Step::Prepare,
        Some(_) if published => Step::Promote,
        Some(_) => Step::Keep,
        None if !certs.accepts(&certs.pair, host, soon) => Step::Prepare,
        None => Step::Keep,
    }
}

/// Takes a step.
pub fn take(
    step: &Step,
    certs: Option<&Certs>,
    host: &Host,
    now: SystemTime,
    life: Duration,
) -> Result<Certs> {
    Ok(match (step, certs) {
        (Step::Prepare, Some(old)) => {
            let (authority, next) = issue(host, now, life)?;
            // What is served stays trusted; a certificate that was prepared and never served does not.
            let serving = old.authority_of_pair(host, now)?;
            Certs { next: Some(next), authorities: vec![authority, serving], ..old.clone() }
        }
        (Step::Promote, Some(Certs { next: Some(next), authorities, .. })) => {
            Certs { pair: next.clone(), next: None, authorities: authorities.clone() }
        }
        (Step::Keep, Some(certs)) => certs.clone(),
        _ => {
            let (authority, pair) = issue(host, now, life)?;
            Certs { pair, next: None, authorities: vec![authority] }
        }
    })
}

impl Certs {
    /// The authority that signed what is served.
    fn authority_of_pair(&self, host: &Host, now: SystemTime) -> Result<String> {
        let signed = |authority: &&String| {
            Certs { authorities: vec![(*authority).clone()], ..self.clone() }.accepts(&self.pair, host, now)
        };
        self.authorities.iter().find(signed).cloned().context("no authority signed what is served")
    }
}

/// A new authority, and a certificate that it signed. The authority's key is not kept.
fn issue(host: &Host, now: SystemTime, life: Duration) -> Result<(String, Pair)> {
    let dated = |mut params: CertificateParams, name: &str| {
        params.not_before = (now - BEFORE).into();
        params.not_after = (now + life).into();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut authority = dated(CertificateParams::default(), "tetragon-operator webhook authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();

    let mut server = dated(CertificateParams::new(vec![host.0.clone()])?, "tetragon-operator webhook");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key))?.pem();
    Ok((authority_pem, Pair { certificate, key: key.serialize_pem() }))
}

/// The certificates of a bundle, one by one.
fn split_pem(bundle: &str) -> Result<Vec<String>> {
    const END: &str = "-----END CERTIFICATE-----\n";
    let all: Vec<String> = bundle.split_inclusive(END).map(str::to_owned).collect();
    if all.is_empty() {
        bail!("it has no certificate");
    }
    for one in &all {
        CertificateDer::from_pem_slice(one.as_bytes()).context("it is no PEM")?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
