//! A server's side: handshakes run beside each other, so that clients that connect and say nothing keep nobody
//! waiting, and certificates may change while it runs.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
pub use tokio_rustls::server::TlsStream;

use crate::{add_authorities, certificates, key, provider, read};

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Most handshakes at a time: the one that has taken longest gives way to the next client.
const MOST: usize = 256;

/// What the next client is greeted with; `None`: there is nothing to greet it with.
pub type Current = Box<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>;

/// Accepts TLS connections.
pub struct TlsListener {
    tcp: TcpListener,
    current: Current,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
    /// Those that go on, the oldest first.
    going_on: VecDeque<AbortHandle>,
}

impl TlsListener {
    /// With what `current` says when a client connects.
    pub fn new(tcp: TcpListener, current: Current) -> TlsListener {
        TlsListener { tcp, current, handshakes: JoinSet::new(), going_on: VecDeque::new() }
    }

    /// The next connection whose handshake is done.
    pub async fn accept(&mut self) -> (TlsStream<TcpStream>, SocketAddr) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                connection = self.tcp.accept() => match connection {
                    Ok((tcp, from)) => self.shake(tcp, from),
                    Err(error) => {
                        // No file descriptors are left, most likely: some come back.
                        tracing::warn!("a TLS connection cannot be accepted: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }

    fn shake(&mut self, tcp: TcpStream, from: SocketAddr) {
        let Some(config) = (self.current)() else { return };
        self.going_on.retain(|handshake| !handshake.is_finished());
        if self.going_on.len() >= MOST
            && let Some(longest) = self.going_on.pop_front()
        {
            longest.abort();
        }
        let acceptor = TlsAcceptor::from(config);
        let handshake = self.handshakes.spawn(async move {
            // Answers are small and waited for.
            let _ = tcp.set_nodelay(true);
            match timeout(HANDSHAKE, acceptor.accept(tcp)).await {
                Ok(Ok(stream)) => return Some((stream, from)),
                Ok(Err(error)) => tracing::debug!(%from, "a TLS handshake failed: {error}"),
                Err(_) => tracing::debug!(%from, "a TLS handshake took too long"),
            }
            None
        });
        self.going_on.push_back(handshake);
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        TlsListener::accept(self).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// Files that a server's TLS comes from. They may change, and need not be there yet: each client is greeted
/// with what they have when it connects, or with what they had last when they were in order.
pub struct Files {
    /// The server's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of clients; none: clients need no certificate.
    pub authorities: Vec<PathBuf>,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// The files, in their order, as they were when they were in order.
    texts: Vec<Vec<u8>>,
    config: Option<Arc<ServerConfig>>,
    error: Option<String>,
}

impl Files {
    /// Nothing is read yet.
    pub fn new(certificate: PathBuf, key: PathBuf, authorities: Vec<PathBuf>) -> Files {
        Files { certificate, key, authorities, last: Mutex::default() }
    }

    /// What they say now, for HTTP/2 and from TLS 1.3 on. What is wrong with them is logged, once.
    pub fn current(&self) -> Option<Arc<ServerConfig>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.config.is_some();
        match self.texts().and_then(|texts| self.renew(&mut last, texts)) {
            Ok(true) if before => {
                tracing::info!(file = %self.certificate.display(), "the certificate of gRPC has changed");
            }
            Ok(_) => {}
            Err(error) => {
                let error = format!("{error:#}");
                if last.error.as_ref() != Some(&error) {
                    let then = if before { "the ones before are used" } else { "no client can connect" };
                    tracing::error!("TLS of gRPC: {error}; {then} until the files are in order");
                    last.error = Some(error);
                }
            }
        }
        last.config.clone()
    }

    /// True: they have changed.
    fn renew(&self, last: &mut Last, texts: Vec<Vec<u8>>) -> Result<bool> {
        let changed = last.texts != texts;
        if changed {
            last.config = Some(Arc::new(self.config(&texts)?));
            last.texts = texts;
        }
        last.error = None;
        Ok(changed)
    }

    fn texts(&self) -> Result<Vec<Vec<u8>>> {
        [&self.certificate, &self.key].into_iter().chain(&self.authorities).map(|path| read(path)).collect()
    }

    fn config(&self, texts: &[Vec<u8>]) -> Result<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .context("TLS cannot be set up")?;
        let builder = if self.authorities.is_empty() {
            builder.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            for (path, text) in self.authorities.iter().zip(&texts[2..]) {
                add_authorities(&mut roots, text).with_context(|| path.display().to_string())?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            builder.with_client_cert_verifier(verifier.context("clients cannot be checked")?)
        };
        let chain = certificates(&texts[0]).with_context(|| self.certificate.display().to_string())?;
        let own = key(&texts[1]).with_context(|| self.key.display().to_string())?;
        let pair = || format!("{} and {} do not fit", self.certificate.display(), self.key.display());
        let mut config = builder.with_single_cert(chain, own).with_context(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        if !self.authorities.is_empty() {
            // A client that comes again shows its certificate again: it may have run out.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A certificate and its key, as PEM.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        (own.pem(), key.serialize_pem())
    }

    #[tokio::test]
    async fn clients_that_say_nothing_keep_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (certificate, own) = pair();
        std::fs::write(path("tls.crt"), &certificate).unwrap();
        std::fs::write(path("tls.key"), own).unwrap();
        let files = Files::new(path("tls.crt"), path("tls.key"), Vec::new());
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let mut listener = TlsListener::new(tcp, Box::new(move || files.current()));
        let begin = std::time::Instant::now();
        let client = async {
            let mut silent = Vec::new();
            for _ in 0..2 * MOST {
                silent.push(TcpStream::connect(address).await.unwrap());
            }
            let mut roots = RootCertStore::empty();
            add_authorities(&mut roots, certificate.as_bytes()).unwrap();
            let config = rustls::ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let tcp = TcpStream::connect(address).await.unwrap();
            let own = tcp.local_addr().unwrap();
            connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
            (own, silent)
        };
        let ((_, from), (own, _silent)) = tokio::join!(listener.accept(), client);
        assert_eq!(from, own);
        assert!(begin.elapsed() < HANDSHAKE, "nobody's time was up: {:?}", begin.elapsed());
        assert!(listener.going_on.len() <= MOST, "{}", listener.going_on.len());
    }

    #[test]
    fn files_come_late_change_and_break() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let files = Files::new(path("tls.crt"), path("tls.key"), vec![path("ca.crt")]);
        assert!(files.current().is_none());
        let put = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        let (certificate, key) = pair();
        put("tls.crt", &certificate);
        put("tls.key", &key);
        assert!(files.current().is_none());
        put("ca.crt", &certificate);
        let first = files.current().unwrap();
        assert!(Arc::ptr_eq(&first, &files.current().unwrap()));
        let (other, other_key) = pair();
        // Half of a change is no pair: what was before goes on.
        put("tls.crt", &other);
        assert!(Arc::ptr_eq(&first, &files.current().unwrap()));
        let error = files.last.lock().unwrap().error.clone().unwrap();
        assert!(error.contains("tls.key do not fit"), "{error}");
        put("tls.key", &other_key);
        let second = files.current().unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!(files.last.lock().unwrap().error, None);
        for (name, text, says) in [
            ("ca.crt", "no PEM", "ca.crt: there is no certificate in it"),
            ("tls.key", &*other, "tls.key: there is no private key in it"),
        ] {
            let before = std::fs::read(path(name)).unwrap();
            put(name, text);
            assert!(Arc::ptr_eq(&second, &files.current().unwrap()));
            let error = files.last.lock().unwrap().error.clone().unwrap();
            assert!(error.contains(says), "{error}");
            std::fs::write(path(name), before).unwrap();
        }
    }
}
