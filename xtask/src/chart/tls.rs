//! Certificates of gRPC that Helm makes: no two renderings are alike, so they are judged as a client judges them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use serde_json::{Value, json};

use super::helm::Chart;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// What clients ask for, and what the certificate is not for.
const NAMES: [(&str, bool); 4] = [
    ("node.tetragon-grpc.cilium.io", true),
    ("extra.example", true),
    ("10.0.0.7", true),
    ("other.example", false),
];

/// The Secrets of a rendering by their names, decoded.
fn secrets(chart: &Chart, tls: &Value) -> Result<BTreeMap<String, BTreeMap<String, Vec<u8>>>> {
    let set = format!("tetragon.grpc={}", json!({"address": ":54321", "tls": tls}));
    let mut all = BTreeMap::new();
    for object in chart.objects(&["--set-json", &set])?.iter().filter(|o| o["kind"] == "Secret") {
        let data = object["data"].as_object().context("a Secret without data")?;
        let decode = |(key, value): (&String, &Value)| {
            Ok((key.clone(), STANDARD.decode(value.as_str().context("a text")?)?))
        };
        let name = object["metadata"]["name"].as_str().context("a name")?.to_owned();
        all.insert(name, data.iter().map(decode).collect::<Result<_>>()?);
    }
    Ok(all)
}

pub(super) fn helm_makes_certificates(chart: &Chart) -> Result<()> {
    let mut tls = json!({
        "enabled": true,
        "auto": {"certValidityDuration": 20},
        "ca": {"certValidityDuration": 30},
        "server": {"extraDnsNames": ["extra.example"], "extraIpAddresses": ["10.0.0.7"]},
    });
    let made = secrets(chart, &tls)?;
    let (server, authority) = (&made["tetragon-server-certs"], &made["tetragon-ca"]);
    is_trusted(server, &server["ca.crt"])?;
    // The next release's certificate is signed by an authority that is given.
    tls["ca"] =
        json!({"cert": STANDARD.encode(&authority["ca.crt"]), "key": STANDARD.encode(&authority["ca.key"])});
    let next = secrets(chart, &tls)?;
    ensure!(next["tetragon-ca"] == *authority, "the authority that was given is not kept");
    ensure!(next["tetragon-server-certs"]["tls.crt"] != server["tls.crt"], "no certificate was made");
    is_trusted(&next["tetragon-server-certs"], &authority["ca.crt"])?;
    // Who brings one gets none.
    tls["server"] = json!({"existingSecret": "mine"});
    ensure!(secrets(chart, &tls)?.is_empty(), "a Secret is made beside the one that exists");
    Ok(())
}

/// A client that trusts the authority takes the certificate: for its names, for twenty days.
fn is_trusted(server: &BTreeMap<String, Vec<u8>>, authority: &[u8]) -> Result<()> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let own = CertificateDer::from_pem_slice(&server["tls.crt"]).context("tls.crt")?;
    let key = PrivateKeyDer::from_pem_slice(&server["tls.key"]).context("tls.key")?;
    let pair = rustls::sign::CertifiedKey::from_der(vec![own.clone()], key, &provider);
    pair.context("tls.crt and tls.key do not fit")?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority).context("ca.crt")?)?;
    let client = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    for (name, good) in NAMES {
        let to = ServerName::try_from(name)?;
        let takes = |at: Duration| {
            client.verify_server_cert(&own, &[], &to, &[], UnixTime::since_unix_epoch(at)).is_ok()
        };
        let found = [now + Duration::from_secs(60), now + 19 * DAY, now + 21 * DAY].map(takes);
        ensure!(found == [good, good, false], "a client that asks for {name} takes it: {found:?}");
    }
    Ok(())
}
