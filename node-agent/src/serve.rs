//! Listeners: gRPC on a Unix socket and TCP, metrics and health over HTTP.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::Stream;
use tetragon_api::service::fine_guidance_sensors_server::FineGuidanceSensorsServer;
use tetragon_tls::server::{Files, TlsListener, TlsStream};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;

use crate::config::{Config, DEFAULT_SOCKET};
use crate::control::Command;
use crate::grpc::Service;
use crate::metrics::Metrics;

/// How long a scrape waits for the kernel's newest numbers, before it shows the last ones.
const NUMBERS_WITHIN: Duration = Duration::from_millis(500);

/// An address to serve gRPC on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// HOST:PORT; without a host, all.
    Tcp(String),
}

/// The addresses that `--server-address` means.
pub fn addresses(config: &Config) -> Result<Vec<Address>> {
    let text = config.server_address.as_str();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let socket = |text: &str| text.strip_prefix("unix://").map(|path| Address::Unix(PathBuf::from(path)));
    if let Some(address) = socket(text) {
        if address == Address::Unix(PathBuf::new()) {
            bail!("--server-address {text}: a path is missing; right would be {DEFAULT_SOCKET}");
        }
        return Ok(vec![address]);
    }
    check_tcp("--server-address", text)?;
    Ok([Some(Address::Tcp(text.to_owned())), socket(DEFAULT_SOCKET)].into_iter().flatten().collect())
}

fn check_tcp(flag: &str, text: &str) -> Result<()> {
    let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    if !matches!(port, Some(Ok(_))) {
        bail!(
            "{flag} {text}: right would be HOST:PORT, such as localhost:54321, or :54321 for all addresses"
        );
    }
    Ok(())
}

/// Listens on HOST:PORT.
async fn listen_tcp(flag: &str, text: &str) -> Result<TcpListener> {
    check_tcp(flag, text)?;
    let listener = match text.strip_prefix(':') {
        // All addresses; a kernel without IPv6 has only the older ones.
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
        },
        None => TcpListener::bind(text).await,
    };
    listener.with_context(|| format!("{flag} {text}: cannot listen"))
}

/// Listens on a Unix socket that only root may use. One that a dead agent left is replaced.
fn listen_unix(path: &Path) -> Result<UnixListener> {
    let listen = || -> io::Result<UnixListener> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        match std::fs::symlink_metadata(path) {
            Ok(m) if m.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is no socket")),
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        Ok(listener)
    };
    listen().with_context(|| format!("--server-address unix://{}: cannot listen", path.display()))
}

/// Serves gRPC until `stop`; on TCP with TLS, if there is any.
pub async fn serve_grpc(
    addresses: &[Address],
    service: Service,
    tls: Option<Files>,
    stop: &watch::Receiver<bool>,
) -> Result<()> {
    let tls = tls.map(Arc::new);
    let server = FineGuidanceSensorsServer::new(service);
    for address in addresses {
        let router = Server::builder().add_service(server.clone());
        let stopped = stopped(stop.clone());
        match address {
            Address::Unix(path) => {
                let incoming = UnixListenerStream::new(listen_unix(path)?);
                tokio::spawn(report("gRPC", router.serve_with_incoming_shutdown(incoming, stopped)));
                tracing::info!("gRPC is served on unix://{}", path.display());
            }
            Address::Tcp(text) => {
                let tcp = listen_tcp("--server-address", text).await?;
                match &tls {
                    Some(files) => {
                        let incoming = with_tls(tcp, files.clone());
                        tokio::spawn(report("gRPC", router.serve_with_incoming_shutdown(incoming, stopped)));
                        let clients =
                            if files.authorities.is_empty() { "" } else { ", to clients with a certificate" };
                        tracing::info!("gRPC is served on {text} with TLS{clients}");
                    }
                    None => {
                        let incoming = TcpListenerStream::new(tcp);
                        tokio::spawn(report("gRPC", router.serve_with_incoming_shutdown(incoming, stopped)));
                        tracing::info!("gRPC is served on {text}");
                    }
                }
            }
        }
    }
    Ok(())
}

/// Connections whose handshake is done.
fn with_tls(tcp: TcpListener, files: Arc<Files>) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
    // What is wrong with the files is said now, not when the first client comes.
    let _ = files.current();
    let listener = TlsListener::new(tcp, Box::new(move || files.current()));
    futures::stream::unfold(listener, async |mut listener| {
        let (connection, _) = listener.accept().await;
        Some((Ok(connection), listener))
    })
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error says that nobody can stop us any more: that is the end too.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn report<E: std::fmt::Display>(what: &str, server: impl Future<Output = Result<(), E>>) {
    if let Err(e) = server.await {
        tracing::error!("{what} is not served any more: {e}");
    }
}

/// What the HTTP paths show.
#[derive(Clone)]
pub struct Pages {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The control thread, for the kernel's numbers.
    pub control: mpsc::Sender<Command>,
    /// Policies are loaded and events are read.
    pub ready: Arc<AtomicBool>,
    /// The event thread and the control thread run.
    pub alive: Arc<AtomicBool>,
}

/// Serves metrics and health until `stop`.
pub async fn serve_http(config: &Config, pages: &Pages, stop: &watch::Receiver<bool>) -> Result<()> {
    let health = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz));
    let metrics = health.clone().route("/metrics", get(metrics_page));
    for (flag, address, router) in [
        ("--metrics-server", &config.metrics_server, metrics),
        ("--health-server-address", &config.health_server_address, health),
    ] {
        if address.is_empty() {
            continue;
        }
        let listener = listen_tcp(flag, address).await?;
        let server = axum::serve(listener, router.with_state(pages.clone()));
        let stopped = stopped(stop.clone());
        tokio::spawn(report("HTTP", async { server.with_graceful_shutdown(stopped).await }));
        tracing::info!(
            "{} on {address}",
            if flag == "--metrics-server" { "metrics are served" } else { "health is served" }
        );
    }
    Ok(())
}

async fn metrics_page(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    let (reply, answer) = oneshot::channel();
    if pages.control.send(Command::Numbers { reply }).is_ok() {
        // While policies are being loaded, the last numbers must do.
        let _ = tokio::time::timeout(NUMBERS_WITHIN, answer).await;
    }
    tetragon_daemon::metrics::page(pages.metrics.registry(), &headers)
}

async fn healthz(State(pages): State<Pages>) -> Response {
    answer(pages.alive.load(Ordering::Acquire), "a thread of the agent has ended")
}

async fn readyz(State(pages): State<Pages>) -> Response {
    answer(pages.ready.load(Ordering::Acquire), "policies are not loaded yet")
}

fn answer(ok: bool, otherwise: &'static str) -> Response {
    if ok {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{otherwise}\n")).into_response()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn of(address: &str) -> Result<Vec<Address>> {
        addresses(&Config::try_parse_from(["tetragon", "--server-address", address]).unwrap())
    }

    #[test]
    fn addresses_of_the_flag() {
        assert_eq!(of("").unwrap(), []);
        assert_eq!(of("unix:///run/x.sock").unwrap(), [Address::Unix("/run/x.sock".into())]);
        let default = Address::Unix("/var/run/tetragon/tetragon.sock".into());
        assert_eq!(of("localhost:54321").unwrap(), [Address::Tcp("localhost:54321".into()), default]);
        for wrong in ["localhost", "localhost:x", "unix://"] {
            assert!(of(wrong).unwrap_err().to_string().contains("right would be"), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_left_socket_is_replaced_but_no_other_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/t.sock");
        drop(listen_unix(&path).unwrap());
        assert!(path.exists());
        listen_unix(&path).unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let error = listen_unix(&file).unwrap_err();
        assert!(format!("{error:#}").contains("is no socket"), "{error:#}");
    }
}
