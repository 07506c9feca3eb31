//! The HTTP client: one `_bulk` request after the other, with credentials and certificates from
//! files that may change while the agent runs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use tetragon_tls::add_authorities;
use tetragon_tls::client::{Builder, system_roots, trusting, unchecked};

use super::settings::{Account, Settings};
use super::verdict::Reply;

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long a request may take in all. What it was about is asked again: the ids tell what is stored.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Longest answer: some 200 bytes a document when all of them are refused.
const ANSWER_MAX: usize = 32 << 20;

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The client.
#[derive(Debug)]
pub struct Service {
    endpoint: Uri,
    account: Account,
    roots: Roots,
    client: Http,
}

/// Where the certificates come from that the server's is checked with.
#[derive(Debug)]
enum Roots {
    /// No certificate is needed, or not checked, or the system's are used.
    Fixed,
    /// A file, and its content when the client was made.
    File(PathBuf, Vec<u8>),
}

impl Service {
    /// A client that has sent nothing yet.
    pub fn new(settings: &Settings) -> Result<Service> {
        let plain = settings.endpoint.scheme_str() == Some("http");
        let (roots, trust) = match &settings.ca_file {
            _ if plain => (Roots::Fixed, trusting(RootCertStore::empty())?),
            _ if settings.skip_verify => (Roots::Fixed, unchecked()?),
            None => {
                let hint = "name a file of certificates with --export-elasticsearch-ca-file";
                (Roots::Fixed, trusting(system_roots().context(hint)?)?)
            }
            Some(path) => {
                let pem = read(path)?;
                let trust = trusting(roots(&pem, path)?)?;
                (Roots::File(path.clone(), pem), trust)
            }
        };
        let (endpoint, account) = (settings.endpoint.clone(), settings.account.clone());
        let service = Service { endpoint, account, roots, client: client(trust) };
        authorization(&service.account)?;
        Ok(service)
    }

    /// Sends the text of a request, to be polled elsewhere. Files that changed are read before.
    pub fn bulk(&mut self, body: Bytes) -> impl Future<Output = Reply> + Send + 'static + use<> {
        let request = self.request(body).map(|request| self.client.request(request));
        async move {
            let answer = async {
                let response = request.map_err(|e| format!("{e:#}"))?.await.map_err(|e| chain(&e))?;
                let status = response.status().as_u16();
                let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
                let body = body.map_err(|e| format!("the answer cannot be read: {}", chain(&*e)))?;
                Ok(Reply::Answer { status, body: body.to_bytes().to_vec() })
            };
            match tokio::time::timeout(ANSWER_WITHIN, answer).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(why)) => Reply::None(why),
                Err(_) => Reply::None(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
            }
        }
    }

    fn request(&mut self, body: Bytes) -> Result<Request<Full<Bytes>>> {
        self.renew()?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.endpoint.clone())
            .header(CONTENT_TYPE, "application/x-ndjson")
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("tetragon-rs/", env!("CARGO_PKG_VERSION")));
        if let Some(value) = authorization(&self.account)? {
            request = request.header(AUTHORIZATION, value);
        }
        request.body(Full::new(body)).context("the request cannot be made")
    }

    /// A new client when there are new certificates: connections that stand keep the old ones.
    fn renew(&mut self) -> Result<()> {
        if let Roots::File(path, known) = &mut self.roots {
            let pem = read(path)?;
            if pem != *known {
                self.client = client(trusting(roots(&pem, path)?)?);
                *known = pem;
            }
        }
        Ok(())
    }
}

/// The authorities of a file.
fn roots(pem: &[u8], path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    add_authorities(&mut roots, pem).with_context(|| in_file(path))?;
    Ok(roots)
}

fn client(trust: Builder) -> Http {
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(CONNECT_WITHIN));
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(trust.with_no_client_auth())
        .https_or_http()
        .enable_http1();
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(1)
        .build(https.wrap_connector(tcp))
}

/// The header with the credentials, as the files have them now.
fn authorization(account: &Account) -> Result<Option<HeaderValue>> {
    let text = match account {
        Account::None => return Ok(None),
        Account::Basic { username, password } => {
            let pair = format!("{}:{}", secret(username)?, secret(password)?);
            format!("Basic {}", STANDARD.encode(pair))
        }
        Account::ApiKey(path) => {
            let key = secret(path)?;
            // As the server hands them out: encoded, or id and key.
            if key.contains(':') {
                format!("ApiKey {}", STANDARD.encode(key))
            } else {
                format!("ApiKey {key}")
            }
        }
    };
    let mut value =
        HeaderValue::from_str(&text).context("the credentials have characters that no header may have")?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn secret(path: &Path) -> Result<String> {
    let text =
        String::from_utf8(read(path)?).ok().with_context(|| format!("{}: it is no text", path.display()))?;
    let text = text.trim_end_matches(['\n', '\r']);
    ensure!(!text.is_empty(), "{}: it is empty", path.display());
    Ok(text.to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))
}

fn in_file(path: &Path) -> String {
    format!("--export-elasticsearch-ca-file {}", path.display())
}

/// An error with those that it comes from: the first one alone says "client error".
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a String does not fail.
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

/// For messages: where requests go, without what is always the same.
pub fn shown(endpoint: &Uri) -> String {
    let text = endpoint.to_string();
    text.split_once("/_bulk?").map_or(text.clone(), |(target, _)| target.to_owned())
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
